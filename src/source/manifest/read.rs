//! From the lines of a manifest's file to items: a thread reads, and where a line does not say enough,
//! the store is asked, many lines at once.

use std::io;
use std::sync::Arc;

use futures::future::{Either, ready};
use futures::{Stream, StreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Sender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::layout::{Detected, Layout, detect};
use super::place::Reach;
use super::{DataFile, Manifest, ManifestFormat, NOT_TWICE, READERS};
use crate::model::{
    Class, Failure, Item, Line, Object, Operation, Origin, Position, Range, RequestError, Row, Target, escape_key,
};
use crate::source::{CHUNK, Source, Yield};

/// Batches of lines that may wait.
const BATCHES: usize = 2;

/// Lines of all files that the store is asked for at once. A HEAD takes some 20 ms: so many are more
/// than S3 answers below one prefix in a second (5,500).
const ASKED: usize = 256;

/// A line that names an object, or should.
#[derive(Debug)]
pub(super) struct Told {
    /// The place behind it.
    pub(super) at: Line,
    /// The number of its first line.
    pub(super) number: u64,
    /// What it says, or what is wrong with it.
    pub(super) row: Result<Row, String>,
}

/// Reads on in `range`, the job's number `index`, and sends what it finds to `out`. A line belongs to the
/// one of the `sources` that it lies under.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads; its thread ends when it notices.
pub async fn read(manifest: Arc<Manifest>, sources: Vec<Arc<Source>>, index: usize, range: Range, out: Sender<Yield>) {
    let last = match work(&manifest, sources, index, &range, &out).await {
        Ok(()) => Yield::Exhausted { range: index },
        Err(error) => Yield::Broken { what: format!("the manifest {}", escape_key(&manifest.print.name)), error },
    };
    // Closed only when the run ends.
    let _ = out.send(last).await;
}

async fn work(
    manifest: &Manifest,
    sources: Vec<Arc<Source>>,
    index: usize,
    range: &Range,
    out: &Sender<Yield>,
) -> Result<(), RequestError> {
    let lost = || broken(&"there is no such file in it");
    let Some(Position::Line(from)) = range.cursor().cloned() else { return Err(lost()) };
    let number = usize::try_from(from.file).unwrap_or(usize::MAX);
    let file = manifest.files.get(number).cloned().ok_or_else(lost)?;
    let judge = Judge { name: file.name.clone(), sources, asks: manifest.asks };
    let reach = Reach { runtime: Handle::current(), gone: CancellationToken::new() };
    let _ends_with_us = reach.gone.clone().drop_guard();
    let buckets = judge.sources.iter().map(|source| source.location.bucket.clone()).collect();
    let (lines, told) = mpsc::channel(BATCHES);
    let Some(Position::Line(until)) = range.until else { return Err(lost()) };
    let reading = Reading { file, format: manifest.format, buckets, from, until, reach, out: lines };
    let thread = tokio::task::spawn_blocking(move || reading.run());

    let asked = (ASKED / manifest.files.len().clamp(1, READERS)).max(1);
    let judged = batches(told).flat_map(stream::iter).map(|told| judge.judge(told));
    let mut chunks = std::pin::pin!(judged.buffered(asked).ready_chunks(CHUNK));
    while let Some(chunk) = chunks.next().await {
        for message in messages(chunk, index)? {
            if out.send(message).await.is_err() {
                return Ok(());
            }
        }
    }
    match thread.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<RequestError>()) {
            Some(error) => error.clone(),
            None => broken(&error),
        }),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(why: &dyn std::fmt::Display) -> RequestError {
    RequestError::local(Operation::GetObject, Class::Permanent, "ManifestUnreadable", why.to_string())
}

fn batches(told: mpsc::Receiver<Vec<Told>>) -> impl Stream<Item = Vec<Told>> {
    stream::unfold(told, async |mut told| Some((told.recv().await?, told)))
}

/// What the thread works on.
struct Reading {
    file: DataFile,
    format: Option<ManifestFormat>,
    buckets: Vec<String>,
    from: Line,
    /// The last place that belongs to the range.
    until: Line,
    reach: Reach,
    out: Sender<Vec<Told>>,
}

impl Reading {
    /// Reads to the end, or until nobody listens. A file that is not the one that was found at the start
    /// has not been read.
    fn run(self) -> io::Result<()> {
        self.file.check()?;
        self.records()?;
        self.file.check()
    }

    fn records(&self) -> io::Result<()> {
        if self.file.layout == Some(Layout::Parquet) {
            return self.table();
        }
        let (mut records, packing) = self.file.place.lines(&self.reach)?;
        let layout = match &self.file.layout {
            Some(layout) => layout.clone(),
            None => {
                let buckets: Vec<&str> = self.buckets.iter().map(String::as_str).collect();
                match detect(records.peek_line()?, &self.file.name, self.format, &buckets) {
                    Detected::Lines(Layout::Parquet) => return self.table(),
                    Detected::Lines(layout) => layout,
                    Detected::Inventory => return Err(io::Error::other(NOT_TWICE)),
                }
            }
        };
        if self.from.at > 0 {
            let Line { at, number, .. } = self.from;
            records = self.file.place.lines_from((records, packing), at, number, &self.reach)?;
        } else {
            records.skip_mark()?;
        }
        let mut is_header = layout.has_header() && self.from.at == 0;
        let mut batch = Vec::new();
        loop {
            let enough = batch.len() >= CHUNK || (records.is_drained() && !batch.is_empty());
            if enough && self.out.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
            let Some(record) = records.next(layout.framing())? else { break };
            let (number, row) = (record.number, layout.row(&record.content));
            if std::mem::take(&mut is_header) {
                continue;
            }
            let at = Line { file: self.from.file, at: records.at(), number: records.lines() };
            if at > self.until {
                break;
            }
            batch.extend(row.transpose().map(|row| Told { at, number, row }));
        }
        // Closed only when the run ends.
        let _ = self.out.blocking_send(batch);
        Ok(())
    }

    #[cfg(not(feature = "parquet"))]
    fn table(&self) -> io::Result<()> {
        Err(io::Error::other("it is written in Parquet, which this program was built without"))
    }

    #[cfg(feature = "parquet")]
    fn table(&self) -> io::Result<()> {
        super::table::read(&self.file.place, &self.reach, (self.from, self.until), &self.out)
    }
}

/// What became of a line.
enum Judged {
    Item(Item),
    /// The filters leave it out.
    Filtered(Line),
    /// Nothing can be done with it.
    Refused(Item, Box<Failure>),
    /// No other line would fare better.
    Broken(RequestError),
}

/// What is to be done with a line. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is an item of the source with this number.
    Take(usize, Row),
    Leave,
    /// It does not say enough.
    Ask(usize, Row),
    /// It is at fault: a code, a bucket, a key, and what is wrong.
    Refuse(&'static str, String, String, String),
}

struct Judge {
    name: String,
    sources: Vec<Arc<Source>>,
    asks: bool,
}

impl Judge {
    fn judge(&self, told: Told) -> impl Future<Output = Judged> + use<> {
        let Told { at, number, row } = told;
        let ready = |judged| Either::Left(ready(judged));
        match self.verdict(row) {
            Verdict::Leave => ready(Judged::Filtered(at)),
            Verdict::Take(source, row) => ready(Judged::Item(item(source, at, row.object(), false))),
            Verdict::Refuse(code, bucket, key, why) => {
                let message = format!("{} line {number}: {why}", escape_key(&self.name));
                let failure = Failure::of_line(code, &bucket, &key, message);
                ready(Judged::Refused(item(0, at, Object::new(key, 0), false), Box::new(failure)))
            }
            Verdict::Ask(..) if !self.asks => {
                let name = escape_key(&self.name);
                let why = format!("{name} line {number} does not say all that is needed: --head asks the store for it");
                ready(Judged::Broken(broken(&why)))
            }
            Verdict::Ask(index, row) => match self.sources.get(index).cloned() {
                // A task of its own: it may run on another core.
                Some(source) => {
                    let task = AbortOnDropHandle::new(tokio::spawn(async move { ask(&source, index, at, row).await }));
                    Either::Right(async move { task.await.unwrap_or_else(|error| Judged::Broken(broken(&error))) })
                }
                None => ready(Judged::Broken(broken(&"there is no such source"))),
            },
        }
    }

    fn verdict(&self, row: Result<Row, String>) -> Verdict {
        let row = match row {
            Ok(row) => row,
            Err(why) => return Verdict::Refuse(Failure::MALFORMED_LINE, self.bucket(), String::new(), why),
        };
        let found = match self.source_of(&row) {
            Ok(found) => found,
            Err(why) => {
                let bucket = row.bucket.unwrap_or_else(|| self.bucket());
                return Verdict::Refuse(Failure::OUTSIDE_SOURCE, bucket, row.key, why);
            }
        };
        let filter = self.sources.get(found).and_then(|source| source.filter.as_ref());
        match filter.map_or(Some(true), |filter| filter.judges(&row)) {
            Some(false) => Verdict::Leave,
            Some(true) if row.size.is_some() => Verdict::Take(found, row),
            _ => Verdict::Ask(found, row),
        }
    }

    /// The bucket that is meant where a line names none.
    fn bucket(&self) -> String {
        self.sources.first().map(|source| source.location.bucket.clone()).unwrap_or_default()
    }

    /// The number of the source that a line lies under.
    fn source_of(&self, row: &Row) -> Result<usize, String> {
        let of_bucket = |source: &Source| row.bucket.as_ref().is_none_or(|bucket| *bucket == source.location.bucket);
        let with = |is_meant: &dyn Fn(&Target, &str) -> bool| -> Vec<usize> {
            let sources = self.sources.iter().zip(0..).filter(|(source, _)| of_bucket(source));
            let meant = sources.filter(|(source, _)| is_meant(&source.location.target, source.location.root()));
            meant.map(|(_, index)| index).collect()
        };
        let holds = with(&|target, _| target.holds(&row.key));
        let found = match holds.as_slice() {
            // What a pattern leaves out is left to the filters.
            [] => with(&|target, root| matches!(target, Target::Pattern(_)) && row.key.starts_with(root)),
            _ => holds,
        };
        let named = row.bucket.as_ref().map(|bucket| format!("s3://{bucket}/")).unwrap_or_default();
        match found.as_slice() {
            [one] => Ok(*one),
            [first, ..] if row.bucket.is_some() || self.are_of_one_bucket() => Ok(*first),
            [] => {
                let sources: Vec<String> =
                    self.sources.iter().take(3).map(|source| source.location.to_string()).collect();
                let more = if self.sources.len() > 3 { " ..." } else { "" };
                Err(format!("{named}{} is outside {}{more}", escape_key(&row.key), escape_key(&sources.join(" "))))
            }
            [..] => Err(format!("{} may be of several sources: name its bucket", escape_key(&row.key))),
        }
    }

    fn are_of_one_bucket(&self) -> bool {
        self.sources.windows(2).all(|pair| pair[0].location.bucket == pair[1].location.bucket)
    }
}

fn item(source: usize, at: Line, object: Object, asked: bool) -> Item {
    let source = u32::try_from(source).unwrap_or(u32::MAX);
    Item { origin: Origin::Manifest { at, asked }, ..Item::listed(source, object) }
}

/// Asks the store for an object of which a line does not say enough.
async fn ask(source: &Source, index: usize, at: Line, row: Row) -> Judged {
    let version_id = row.version_id;
    match source.bucket.head(&row.key, version_id.as_deref()).await {
        Ok(head) => {
            let object = Object { version_id, ..head.object(&row.key) };
            if source.keeps(&object) { Judged::Item(item(index, at, object, true)) } else { Judged::Filtered(at) }
        }
        Err(error) if matches!(error.class, Class::Fatal | Class::Interrupted) => Judged::Broken(error),
        // Whether it is gone is for the operation to say, as for every object.
        Err(error) if error.class == Class::Missing => {
            let object = Object { version_id, ..Object::new(row.key, 0) };
            Judged::Item(item(index, at, object, true))
        }
        Err(error) => {
            let object = Object { version_id, ..Object::new(row.key, 0) };
            let failure = Failure::new(source.bucket.name(), &object, String::new(), error);
            Judged::Refused(item(index, at, object, false), Box::new(failure))
        }
    }
}

/// What the job is told of some lines, in their order.
fn messages(chunk: Vec<Judged>, range: usize) -> Result<Vec<Yield>, RequestError> {
    let mut messages: Vec<Yield> = Vec::new();
    for judged in chunk {
        match (judged, messages.last_mut()) {
            (Judged::Broken(error), _) => return Err(error),
            // Those of one message are of one source.
            (Judged::Item(item), Some(Yield::Items { items, through, .. }))
                if items.last().is_none_or(|last| last.source == item.source) =>
            {
                items.push(item);
                *through = None;
            }
            (Judged::Item(item), _) => {
                messages.push(Yield::Items { range, items: vec![item], filtered: 0, through: None });
            }
            (Judged::Filtered(at), Some(Yield::Items { filtered, through, .. })) => {
                *filtered += 1;
                *through = Some(Position::Line(at));
            }
            (Judged::Filtered(at), _) => {
                let through = Some(Position::Line(at));
                messages.push(Yield::Items { range, items: Vec::new(), filtered: 1, through });
            }
            (Judged::Refused(item, failure), Some(Yield::Refused { lines, .. })) => lines.push((item, failure)),
            (Judged::Refused(item, failure), _) => {
                messages.push(Yield::Refused { range, lines: vec![(item, failure)] });
            }
        }
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Line {
        Line { file: 0, at: number, number }
    }

    fn taken(source: usize, number: u64) -> Judged {
        Judged::Item(item(source, at(number), Object::new("k", 1), false))
    }

    fn refused(number: u64) -> Judged {
        let failure = Failure::of_line(Failure::MALFORMED_LINE, "b", "", String::new());
        Judged::Refused(item(0, at(number), Object::new("", 0), false), Box::new(failure))
    }

    /// Each message: how many items it has, how many were left out, and up to where it goes.
    fn told(chunk: Vec<Judged>) -> Vec<(usize, u64, Option<u64>)> {
        let messages = messages(chunk, 7).unwrap();
        let told = messages.into_iter().map(|message| match message {
            Yield::Items { range: 7, items, filtered, through } => {
                let through = through.map(|place| match place {
                    Position::Line(line) => line.number,
                    other => panic!("{other:?}"),
                });
                (items.len(), filtered, through)
            }
            Yield::Refused { range: 7, lines } => (lines.len(), 0, None),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn lines_keep_their_order_whatever_becomes_of_them() {
        let left = |number| Judged::Filtered(at(number));
        assert_eq!(told(vec![left(1), taken(0, 2), left(3), left(4)]), [(1, 3, Some(4))]);
        assert_eq!(told(vec![left(1), taken(0, 2)]), [(1, 1, None)]);
        assert_eq!(
            told(vec![taken(0, 1), refused(2), refused(3), left(4)]),
            [(1, 0, None), (2, 0, None), (0, 1, Some(4))]
        );
        assert_eq!(told(vec![taken(0, 1), taken(0, 2), taken(1, 3)]), [(2, 0, None), (1, 0, None)]);
    }

    #[test]
    fn what_no_other_line_would_fare_better_with_ends_it() {
        assert!(messages(vec![taken(0, 1), Judged::Broken(broken(&"x"))], 0).is_err());
    }
}
