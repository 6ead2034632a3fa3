//! The checkpoint as a whole: simulated runs that are killed at any point, damaged files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::file::recover;
use super::state::State;
use super::{Claim, JobIdentity, Journal, Mode, Place, Ticket, Wrote};
use crate::model::{
    Checksum, Done, Error, Failure, Item, Object, Origin, Outcome, Position, Range, RequestError, Revision, Skip, Sum,
    Upload, UploadedPart,
};

fn job() -> JobIdentity {
    JobIdentity { verb: "copy".into(), sources: vec!["s3://a/".into()], dest: "s3://b/".into(), ..Default::default() }
}

fn open(path: &Path, mode: Mode) -> Result<Journal, Error> {
    Claim::new(job(), &Place::At(path.to_owned()), mode)?.begin()
}

fn failed(item: &Item) -> Outcome {
    let error =
        RequestError::local(crate::model::Operation::CopyObject, crate::model::Class::Denied, "AccessDenied", "no");
    Outcome::Failed(Box::new(Failure::new("a", &item.object, "s3://b/x".to_owned(), error)))
}

/// A small generator of numbers, so that a case is its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n.max(1) as u64).unwrap()
    }
}

/// Whether an item is none for the job: only its range's watermark passes it.
fn is_filtered(item: &Item) -> bool {
    item.origin == Origin::Listing && item.object.key.ends_with('7')
}

/// A source of keys, and what really became of each.
struct World {
    keys: Vec<String>,
    settled: BTreeMap<String, usize>,
    broken: BTreeSet<String>,
    /// Uploads that were begun in this run, by key.
    uploads: BTreeMap<String, String>,
}

impl World {
    fn new(count: usize) -> Self {
        let keys = (0..count).map(|n| format!("{n:04}")).collect();
        Self { keys, settled: BTreeMap::new(), broken: BTreeSet::new(), uploads: BTreeMap::new() }
    }

    /// The keys of a range that are behind where it stands.
    fn left(&self, range: &Range) -> Vec<String> {
        let key = |position: Option<&Position>| position.and_then(Position::key).map(str::to_owned);
        let (after, until) = (key(range.cursor()), key(range.until.as_ref()));
        let inside = |key: &&String| Some(*key) > after.as_ref() && until.as_ref().is_none_or(|until| *key <= until);
        self.keys.iter().filter(inside).cloned().collect()
    }

    fn outcome(&mut self, item: &Item, dice: &mut Dice) -> Outcome {
        match dice.below(10) {
            0 if item.origin == Origin::Listing => {
                self.broken.insert(item.object.key.clone());
                return failed(item);
            }
            _ => drop(self.broken.remove(&item.object.key)),
        }
        *self.settled.entry(item.object.key.clone()).or_default() += 1;
        if dice.below(9) == 0 {
            Outcome::Skipped(Skip::Vanished)
        } else {
            Outcome::Done(Done { bytes: 1, ..Done::default() })
        }
    }

    /// Begins an upload for an item and adds a part, or only adds a part.
    fn upload(&mut self, journal: &mut Journal, ticket: Ticket, item: &Arc<Item>) {
        let key = &item.object.key;
        let part = UploadedPart { etag: "e".into(), checksum: Some(Checksum::EMPTY) };
        let begun = self.uploads.len();
        self.uploads.entry(key.clone()).or_insert_with(|| {
            let of = Revision { size: 1, etag: "e".into(), version_id: None };
            let id = format!("{begun}");
            let parts = BTreeMap::from([(7, part.clone())]);
            let upload = Upload { id: id.clone(), part_size: 1, of, checksums: true, parts, ..Upload::default() };
            journal.begin_upload(ticket, item, upload).unwrap();
            id
        });
        journal.uploaded(item, 8, part).unwrap();
    }

    /// Works like a run: hands items out, ends them in any order, and stops after `steps`.
    /// `true` if all the work of the pass was done.
    fn work(
        &mut self,
        journal: &mut Journal,
        ranges: Vec<usize>,
        reopened: Vec<Item>,
        steps: usize,
        dice: &mut Dice,
    ) -> bool {
        let mut feeds: Vec<(usize, Vec<Item>)> =
            ranges.into_iter().map(|index| (index, self.items(journal, index))).collect();
        let mut open: Vec<(Ticket, Arc<Item>)> =
            reopened.into_iter().map(|item| (Ticket::Reopened, Arc::new(item))).collect();
        let mut known = journal.known_items();
        let mut now = Instant::now();
        for _ in 0..steps {
            now += Duration::from_millis(dice.below(40) as u64);
            match dice.below(6) {
                5 if !feeds.is_empty() => {
                    // Another takes over what is behind some item that was not handed out.
                    let at = dice.below(feeds.len());
                    let (index, items) = &mut feeds[at];
                    let cut = dice.below(items.len());
                    if cut > 0 && items[cut].origin == Origin::Listing {
                        let rest: Vec<Item> = items.drain(..cut).collect();
                        let new = journal.split(*index, vec![items[0].position()]).unwrap();
                        feeds.push((new[0], rest));
                    }
                }
                4 if !open.is_empty() => {
                    let (ticket, item) = &open[dice.below(open.len())];
                    self.upload(journal, *ticket, item);
                }
                0 | 1 if open.len() < 12 && !feeds.is_empty() => {
                    let at = dice.below(feeds.len());
                    let (index, items) = &mut feeds[at];
                    if let Some(item) = items.pop() {
                        if is_filtered(&item) {
                            journal.passed(*index, item.position()).unwrap();
                            continue;
                        }
                        if known.remove(&(item.source, item.position())) {
                            continue;
                        }
                        let item = Arc::new(item);
                        open.push((journal.emit(*index, &item).unwrap(), item));
                    } else {
                        journal.exhausted(*index).unwrap();
                        feeds.remove(at);
                    }
                }
                0..=2 if !open.is_empty() => {
                    let (ticket, item) = open.swap_remove(dice.below(open.len()));
                    let outcome = self.outcome(&item, dice);
                    self.uploads.remove(&item.object.key);
                    journal.finish(ticket, &item, outcome).unwrap();
                }
                _ => journal.flush(Some(now)).unwrap(),
            }
            if feeds.is_empty() && open.is_empty() {
                journal.flush(None).unwrap();
                return true;
            }
        }
        false
    }

    /// The items of a range, last first.
    fn items(&self, journal: &mut Journal, index: usize) -> Vec<Item> {
        let range = journal.range(index).unwrap().clone();
        if matches!(range.until, Some(Position::Failure(_))) {
            let mut items: Vec<Item> = journal.failures(Some(&range)).unwrap().map(|found| found.unwrap().0).collect();
            items.reverse();
            return items;
        }
        let item = |key| Item::listed(0, Object::new(key, 1));
        self.left(&range).into_iter().rev().map(item).collect()
    }

    /// What the checkpoint says is still to do, or failed.
    fn unsettled(&self, path: &Path) -> BTreeSet<String> {
        let mut journal = open(path, Mode::ResumeOrStart).unwrap();
        let mut keys: BTreeSet<String> = journal.open_items().into_iter().map(|item| item.object.key).collect();
        keys.extend(journal.failures(None).unwrap().map(|found| found.unwrap().0.object.key));
        if !journal.is_planned() {
            return self.keys.iter().cloned().collect();
        }
        for index in journal.track_recorded() {
            keys.extend(self.items(&mut journal, index).into_iter().map(|item| item.object.key));
        }
        keys
    }
}

fn pass(journal: &mut Journal, dice: &mut Dice) -> (Vec<usize>, Vec<Item>) {
    if journal.is_planned() {
        return (journal.track_recorded(), journal.open_items());
    }
    let mut indices = journal.plan(vec![Range::whole(0)]).unwrap();
    if dice.below(2) == 0 {
        let cuts = vec![Position::Key("0010".into()), Position::Key("0025".into())];
        indices.extend(journal.split(indices[0], cuts).unwrap());
    }
    (indices, Vec::new())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// However often a run is killed and wherever its file is cut: what the checkpoint takes for
    /// settled is settled, nothing is lost, and the counts of the last run add up.
    #[test]
    fn a_job_that_is_killed_again_and_again_loses_nothing(seed: u64, count in 1_usize..60) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("job.jsonl");
        let (mut dice, mut world) = (Dice(seed), World::new(count));
        for run in 0.. {
            prop_assert!(run < 500);
            let steps = if run < 8 { dice.below(4 * count) } else { 100_000 };
            let mut journal = open(&path, Mode::ResumeOrStart).unwrap();
            let (indices, reopened) = pass(&mut journal, &mut dice);
            let mut whole = world.work(&mut journal, indices, reopened, steps, &mut dice);
            while let Some(range) = journal.failures_to_retry().filter(|_| whole) {
                let indices = journal.plan(vec![range]).unwrap();
                whole = world.work(&mut journal, indices, Vec::new(), steps, &mut dice);
            }
            if whole {
                prop_assert_eq!(journal.failures_left(), world.broken.len() as u64);
                let totals = journal.totals().clone();
                let selected = world.keys.iter().filter(|key| !key.ends_with('7')).count();
                prop_assert_eq!(totals.settled() + journal.failures_left(), selected as u64);
                break;
            }
            drop(journal);
            // A kill loses no upload.
            let named = open(&path, Mode::ResumeOrStart).unwrap().open_items();
            let named: BTreeMap<_, _> =
                named.into_iter().filter_map(|item| Some((item.object.key, item.upload?.id))).collect();
            for (key, id) in std::mem::take(&mut world.uploads) {
                prop_assert_eq!(named.get(&key), Some(&id));
            }
            // Torn: the machine kept only a part of what was written.
            let bytes = std::fs::read(&path).unwrap();
            let header = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
            let keep = if dice.below(2) == 0 { bytes.len() } else { header + dice.below(bytes.len() - header + 1) };
            std::fs::write(&path, &bytes[..keep]).unwrap();
            if let Err(error) = open(&path, Mode::ResumeOrStart) {
                // Cut inside its compacted part, which no kill can do: it is refused, not believed.
                prop_assert!(error.to_string().contains("is damaged"), "{}", error);
                drop(open(&path, Mode::Restart).unwrap());
                world.broken.clear();
                continue;
            }
            let unsettled = world.unsettled(&path);
            for key in &world.keys {
                let done = world.settled.contains_key(key) || key.ends_with('7');
                prop_assert!(unsettled.contains(key) || done, "{} is lost", key);
            }
        }
    }
}

/// What a file says that is cut behind each of its bytes, and has so many zeros there.
fn says(path: &Path, bytes: &[u8], zeros: u64) -> Vec<Result<Option<State>, String>> {
    std::fs::write(path, bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let cut = |keep: usize| {
        file.set_len(keep as u64).unwrap();
        file.set_len(keep as u64 + zeros).unwrap();
        recover(path).map(|found| found.state).map_err(|error| error.to_string())
    };
    let mut said: Vec<_> = (0..=bytes.len()).rev().map(cut).collect();
    said.reverse();
    said
}

#[test]
fn a_file_that_is_cut_at_any_byte_says_what_it_said_before_its_last_line_or_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    let (mut dice, mut world) = (Dice(11), World::new(12));
    for compacted in [false, true] {
        // Interrupted, and gone on with: the second file begins with what the first came to.
        let mut journal = open(&path, Mode::ResumeOrStart).unwrap();
        let (indices, reopened) = pass(&mut journal, &mut dice);
        world.work(&mut journal, indices, reopened, 30, &mut dice);
        drop(journal);
        let bytes = std::fs::read(&path).unwrap();
        let line_ends = |at: usize| bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let torn = says(&path, &bytes, 0);
        for (keep, said) in torn.iter().enumerate() {
            match said {
                Ok(state) => assert_eq!(Ok(state), torn[line_ends(keep)].as_ref(), "cut at {keep}"),
                Err(why) => assert!(why.contains("is not a checkpoint") || why.contains("is damaged"), "{why}"),
            }
        }
        let refused = torn.iter().filter(|said| said.is_err()).count();
        let header = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        // The header, but for nothing at all and for the whole of it; and what a compaction owes.
        assert!(if compacted { refused > header } else { refused == header }, "{refused} of {}", bytes.len());
        // A machine that went down may have the length on disk, and not the bytes.
        for (keep, said) in says(&path, &bytes, 100).iter().enumerate().skip(header + 1) {
            assert!(said.is_err() || *said == torn[keep], "zeros from {keep}");
        }
        std::fs::write(&path, &bytes).unwrap();
    }
}

/// A journal with one range and these items handed out.
fn with_items(path: &Path, count: usize) -> (Journal, Vec<(Ticket, Arc<Item>)>) {
    let mut journal = open(path, Mode::ResumeOrStart).unwrap();
    let range = journal.plan(vec![Range::whole(0)]).unwrap()[0];
    let item = |n| Item::listed(0, Object::new(format!("{n:09}"), 1));
    let items = (0..count).map(|n| {
        let item = Arc::new(item(n));
        (journal.emit(range, &item).unwrap(), item)
    });
    let items = items.collect();
    (journal, items)
}

#[test]
fn the_file_stays_within_its_bound() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    let (mut journal, items) = with_items(&path, 60_000);
    let (mut now, mut largest, mut failures) = (Instant::now(), 0, 0);
    for (n, (ticket, item)) in items.iter().enumerate() {
        // Every tenth stays open until it is parked, every hundredth fails.
        if n % 10 == 9 {
            continue;
        }
        let outcome = if n % 100 == 0 { failed(item) } else { Outcome::Done(Done { bytes: 1, ..Done::default() }) };
        failures += usize::from(n % 100 == 0);
        journal.finish(*ticket, item, outcome).unwrap();
        now += Duration::from_millis(2);
        if n % 20 == 0 {
            journal.flush(Some(now)).unwrap();
            largest = largest.max(path.metadata().unwrap().len());
        }
        if n > 200 && n % 10 == 0 {
            let (ticket, item) = &items[n - 101];
            journal.finish(*ticket, item, Outcome::Done(Done { bytes: 1, ..Done::default() })).unwrap();
        }
    }
    journal.flush(Some(now)).unwrap();
    let live = journal.failures(None).unwrap().count();
    assert_eq!(live, failures);
    // A failure is a line of some 250 bytes.
    let bound = (1 << 20) + 4 * 300 * failures as u64 + 100_000;
    assert!(largest < bound, "{largest} bytes with {failures} failures");
    assert!(largest > 1 << 20, "the bound was never reached");
}

fn refused(path: &Path, mode: Mode, why: &str) {
    let error = open(path, mode).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Checkpoint(_)), "{error:?}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_file_that_is_no_checkpoint_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    for text in ["my notes\n", "{\"t\":\"other\"}\n", "no newline", "{}\n"] {
        std::fs::write(&path, text).unwrap();
        refused(&path, Mode::ResumeOrStart, "is not a checkpoint");
        refused(&path, Mode::Restart, "is not a checkpoint");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_newer_format_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    std::fs::write(&path, "{\"t\":\"job\",\"format\":99,\"new\":true}\n").unwrap();
    refused(&path, Mode::ResumeOrStart, "format 99");
    assert!(open(&path, Mode::Restart).is_ok());
}

#[test]
fn damage_before_the_last_line_is_refused_and_a_torn_end_is_cut() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    let (mut journal, items) = with_items(&path, 4);
    for (ticket, item) in &items[..3] {
        journal.finish(*ticket, item, Outcome::Done(Done { bytes: 1, ..Done::default() })).unwrap();
        journal.flush(None).unwrap();
    }
    drop(journal);
    let text = std::fs::read_to_string(&path).unwrap();
    for torn in ["{\"t\":\"ma", "{\"t\":\"mark\"}\n", "\0\0\0\0"] {
        std::fs::write(&path, text.clone() + torn).unwrap();
        assert_eq!(open(&path, Mode::ResumeOrStart).unwrap().totals().done, 3, "{torn:?}");
    }
    // A line that is lost, or one digit that is not what was written.
    let without: Vec<&str> = text.lines().enumerate().filter(|(n, _)| *n != 3).map(|(_, line)| line).collect();
    let digit = text.replacen("\"done\":1", "\"done\":2", 1);
    for changed in [without.join("\n") + "\n", digit] {
        assert_ne!(changed, text);
        std::fs::write(&path, changed).unwrap();
        refused(&path, Mode::ResumeOrStart, "is damaged at line");
    }
    let middle = text.lines().count() - 2;
    let damaged: Vec<&str> =
        text.lines().enumerate().map(|(n, line)| if n == middle { "{\"t\":" } else { line }).collect();
    std::fs::write(&path, damaged.join("\n") + "\n").unwrap();
    refused(&path, Mode::ResumeOrStart, "is damaged at line");
    assert!(open(&path, Mode::Restart).is_ok());
}

#[test]
fn another_jobs_file_is_refused_unless_it_is_given_up() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    drop(open(&path, Mode::ResumeOrStart).unwrap());
    let other = JobIdentity { dest: "s3://c/".into(), ..job() };
    let place = Place::At(path);
    let error = Claim::new(other.clone(), &place, Mode::ResumeOrStart).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("another job's (copy s3://a/ s3://b/)"), "{error}");
    assert!(Claim::new(other, &place, Mode::Restart).is_ok());
}

#[test]
fn nothing_to_retry_where_there_was_no_run() {
    let folder = TempDir::new().unwrap();
    let error = open(&folder.path().join("job.jsonl"), Mode::RetryFailed).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
}

#[test]
fn a_listing_without_order_goes_on_behind_its_last_finished_page() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    let mut journal = open(&path, Mode::ResumeOrStart).unwrap();
    let range = journal.plan(vec![Range::whole(0)]).unwrap()[0];
    journal.unordered(range).unwrap();
    for (page, keys) in [["b", "a"], ["d", "c"]].iter().enumerate() {
        for key in keys {
            let item = Arc::new(Item::listed(0, Object::new(*key, 1)));
            let ticket = journal.emit(range, &item).unwrap();
            if *key != "c" {
                journal.finish(ticket, &item, Outcome::Done(Done::default())).unwrap();
            }
        }
        journal.passed(range, Position::Token(format!("page {page}"))).unwrap();
    }
    journal.flush(Some(Instant::now())).unwrap();
    drop(journal);
    let mut journal = open(&path, Mode::ResumeOrStart).unwrap();
    let range = journal.track_recorded()[0];
    assert_eq!(journal.range(range).unwrap().at, Some(Position::Token("page 0".to_owned())));
    assert_eq!(journal.resumed().unwrap().settled(), 3);
    // Tokens are in no order, either.
    journal.passed(range, Position::Token("a page".to_owned())).unwrap();
    journal.flush(Some(Instant::now())).unwrap();
    assert_eq!(journal.range(range).unwrap().at, Some(Position::Token("a page".to_owned())));
}

#[test]
fn a_listing_goes_on_where_its_output_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.jsonl");
    let key = |key: &str| Some(Position::Key(key.to_owned()));
    let sum =
        |objects| Sum { folder: "s3://a/".to_owned(), class: "STANDARD".to_owned(), objects, bytes: 10 * objects };
    let mut journal = open(&path, Mode::ResumeOrStart).unwrap();
    let first = journal.plan(vec![Range::whole(0)]).unwrap()[0];
    let second = journal.split(first, vec![Position::Key("m".to_owned())]).unwrap()[0];
    let wrote = |range, at, end| Wrote { range, at, end, objects: 2, bytes: 20 };
    journal
        .wrote(Some(100), vec![wrote(first, key("c"), false), wrote(second, key("p"), false)], vec![sum(4)])
        .unwrap();
    journal.wrote(Some(150), vec![wrote(first, None, true)], vec![sum(2)]).unwrap();
    journal.flush(Some(Instant::now())).unwrap();
    drop(journal);
    for _ in 0..2 {
        // Compacted in between.
        let mut journal = open(&path, Mode::ResumeOrStart).unwrap();
        assert_eq!(journal.output_length(), Some(150));
        assert_eq!(journal.sums().iter().collect::<Vec<_>>(), [sum(6)]);
        assert_eq!(journal.totals().done, 6);
        let ranges = journal.track_recorded();
        assert_eq!(ranges.len(), 1);
        assert_eq!(journal.range(ranges[0]).unwrap().at, key("p"));
    }
}
