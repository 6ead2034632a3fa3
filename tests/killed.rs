//! A machine that dies, and a disk that is full, at any write of the checkpoint; what a kill and a
//! crash leave of it; and processes that want the same one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{DEST, MIB, Past, Ran, SMALL_PARTS, SOURCE, World, end, kill, limited, object, run, wait_until};
use s3bulk_test_server::{Config, Fault, Object, Operation, Rule};

/// Objects of one piece.
const SMALL: usize = 40;

/// At most three parts at once.
const FEW: [&str; 2] = ["--concurrency", "4"];

/// Small objects, one of which is denied, and `large` ones in parts.
fn world(large: u64) -> World {
    let world = World::with(Config { latency: Duration::from_millis(8), page_size: 15, ..Config::default() });
    for n in 0..SMALL {
        let key = format!("in/{n:03}");
        world.store().put(SOURCE, &key, object(&key, n));
    }
    for seed in 0..large {
        world.store().put(SOURCE, &format!("in/{seed:03}-large"), Object::pattern(10 * MIB + 1, seed).tag("t", "v"));
    }
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).key("out/003"));
    world
}

fn args() -> Vec<&'static str> {
    [&SMALL_PARTS[..], &FEW, &["--via", "server"]].concat()
}

/// The last run: nothing fails, and all is there.
#[track_caller]
fn finished(world: &World) -> Ran {
    world.server.faults().clear();
    let ran = world.copy_all(&args()).expect_sums();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world.assert_copied();
    assert_eq!(world.open_uploads(), [""; 0], "{ran:?}");
    assert!(!beside(&world.checkpoint(), ".compacting").exists());
    ran
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// Runs `work` for each number from 1 on, some at once, until one says that there is no more.
fn for_each_number(work: impl Fn(u64) -> bool + Sync) -> u64 {
    let (next, last) = (std::sync::atomic::AtomicU64::new(1), std::sync::atomic::AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number > last.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    if !work(number) {
                        last.fetch_min(number, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    last.into_inner()
}

/// A run whose files may have so many blocks, another that may have one block only, which is
/// stopped in its compaction, and one that may have all. Whether the first one came to its end.
fn stopped_at(blocks: u64, past: Past) -> bool {
    let world = world(1);
    let mut ended = false;
    for blocks in [blocks, 1] {
        let ran = run(limited(&world.copy_all_command(&args()), blocks, past));
        match ran.code {
            Some(0 | 3) => ended = true,
            Some(11) if past == Past::Fails => {
                let ran = ran.expect_sums();
                assert!(ran.stderr.contains("cannot be written"), "{ran:?}");
            }
            None if past == Past::Kills => {}
            _ => panic!("{blocks} blocks: {ran:?}"),
        }
        if ended {
            break;
        }
    }
    let all = SMALL as u64 + 1;
    let ran = finished(&world);
    assert!(ended || ran.count("resumed") + ran.count("done") == all, "{blocks} blocks: {ran:?}");
    ended
}

#[test]
fn a_run_that_dies_at_any_block_of_its_checkpoint_goes_on() {
    let blocks = for_each_number(|blocks| !stopped_at(blocks, Past::Kills));
    assert!(blocks > 3, "{blocks}");
}

#[test]
fn a_disk_that_is_full_at_any_block_of_the_checkpoint_ends_the_run_and_loses_nothing() {
    let blocks = for_each_number(|blocks| !stopped_at(blocks, Past::Fails));
    assert!(blocks > 3, "{blocks}");
}

#[test]
fn a_copy_that_is_killed_at_any_line_of_its_checkpoint_goes_on() {
    let lines = for_each_number(|line| {
        let world = world(1);
        let checkpoint = world.home.path().join("checkpoint.jsonl");
        let args = [&args()[..], &["--checkpoint", checkpoint.to_str().unwrap()]].concat();
        let mut child = world.spawn_copy_all(&args);
        let written = || std::fs::read_to_string(&checkpoint).map_or(0, |text| text.lines().count() as u64);
        wait_until(|| written() >= line || child.try_wait().unwrap().is_some());
        let over = child.try_wait().unwrap().is_some();
        kill(child);
        world.server.faults().clear();
        let ran = world.copy_all(&args).expect(0).expect_sums();
        world.assert_copied();
        assert_eq!(world.open_uploads(), [""; 0], "{ran:?}");
        assert!(over || ran.count("resumed") + ran.count("done") == SMALL as u64 + 1, "line {line}: {ran:?}");
        !over
    });
    assert!(lines > 3, "{lines}");
}

/// A job that was killed, with what it had done by then: it can be put back there.
struct Stopped {
    world: World,
    checkpoint: PathBuf,
    recorded: Vec<u8>,
    there: BTreeMap<String, Arc<Object>>,
}

impl Stopped {
    /// After so many runs that were killed.
    fn after(kills: u64) -> Self {
        let world = world(0);
        for nth in 1..=kills {
            let child = world.spawn_copy_all(&args());
            world.wait_for_writes(10 * nth);
            std::thread::sleep(Duration::from_millis(60));
            kill(child);
            // What was in flight has ended.
            std::thread::sleep(Duration::from_millis(60));
        }
        world.server.faults().clear();
        let checkpoint = world.checkpoint();
        let recorded = std::fs::read(&checkpoint).unwrap();
        let there = world.store().objects(DEST);
        assert!(there.len() < SMALL, "it came to its end");
        Self { world, checkpoint, recorded, there }
    }

    /// Puts it back, with this checkpoint.
    fn again(&self, checkpoint: &[u8]) {
        std::fs::write(&self.checkpoint, checkpoint).unwrap();
        for key in self.world.store().keys(DEST) {
            match self.there.get(&key) {
                Some(object) => self.world.store().put(DEST, &key, Object::clone(object)),
                None => drop(self.world.store().delete(DEST, &key)),
            }
        }
    }
}

#[test]
fn what_a_kill_in_a_compaction_leaves_is_no_matter() {
    for kills in [1, 2] {
        let stopped = Stopped::after(kills);
        let whole = &stopped.recorded;
        let fresh = beside(&stopped.checkpoint, ".compacting");
        let garbage = vec![b'x'; 1 << 20];
        for left in [&[][..], &whole[..whole.len() / 2], &whole[..], &garbage] {
            stopped.again(whole);
            std::fs::write(&fresh, left).unwrap();
            let ran = finished(&stopped.world);
            assert!(ran.count("resumed") > 0, "{ran:?}");
            assert_eq!(ran.count("resumed") + ran.count("done"), SMALL as u64, "{ran:?}");
        }
        // It cannot be written: the checkpoint stays what it is.
        stopped.again(whole);
        std::fs::create_dir(&fresh).unwrap();
        let ran = stopped.world.copy_all(&args()).expect(11);
        assert!(ran.stderr.contains("cannot be written"), "{ran:?}");
        assert_eq!(&std::fs::read(&stopped.checkpoint).unwrap(), whole);
        std::fs::remove_dir(&fresh).unwrap();
        finished(&stopped.world);
    }
}

/// Where a checkpoint is cut: about every end of a line, and at every so-many-th byte.
fn cuts(recorded: &[u8]) -> Vec<usize> {
    let ends = recorded.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let mut cuts: Vec<usize> = ends.flat_map(|end| [end.saturating_sub(1), end, end + 1, end + 2]).collect();
    cuts.extend((0..=recorded.len()).step_by(61));
    cuts.retain(|cut| *cut <= recorded.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Cuts the checkpoint of a job that was killed so often; how often it was gone on with, and refused.
fn cut_everywhere(kills: u64) -> (u32, u32) {
    let stopped = Stopped::after(kills);
    let (mut resumed, mut refused) = (0, 0);
    for cut in cuts(&stopped.recorded) {
        stopped.again(&stopped.recorded[..cut]);
        let ran = stopped.world.copy_all(&args());
        match ran.code {
            Some(0) => {
                resumed += 1;
                let ran = ran.expect_sums();
                stopped.world.assert_copied();
                assert_eq!(ran.count("resumed") + ran.count("done"), SMALL as u64, "cut at {cut}: {ran:?}");
            }
            Some(11) => {
                refused += 1;
                let says = ["is not a checkpoint", "is damaged"].into_iter().any(|why| ran.stderr.contains(why));
                assert!(says, "cut at {cut}: {ran:?}");
                assert_eq!(std::fs::read(&stopped.checkpoint).unwrap(), &stopped.recorded[..cut]);
                assert_eq!(stopped.world.store().objects(DEST).len(), stopped.there.len());
            }
            _ => panic!("cut at {cut}: {ran:?}"),
        }
    }
    (resumed, refused)
}

#[test]
fn a_checkpoint_that_is_cut_anywhere_is_gone_on_with_or_refused() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = [1, 2].into_iter().map(|kills| scope.spawn(move || cut_everywhere(kills))).collect();
        for run in runs {
            let (resumed, refused) = run.join().unwrap();
            assert!(resumed > 10 && refused > 3, "{resumed} and {refused}");
        }
    });
}

#[test]
fn a_checkpoint_that_lost_its_end_leaves_no_upload() {
    for_each_number(|seed| {
        let world = world(3);
        let child = world.spawn_copy_all(&args());
        world.wait_for_parts(1 + seed % 5);
        kill(child);
        std::thread::sleep(Duration::from_millis(60));
        let checkpoint = world.checkpoint();
        let mut recorded = std::fs::read(&checkpoint).unwrap();
        let header = recorded.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let left = usize::try_from(common::Random(seed).below((recorded.len() - header) as u64)).unwrap();
        recorded.truncate(header + left);
        std::fs::write(&checkpoint, recorded).unwrap();
        let ran = finished(&world);
        assert_eq!(ran.count("resumed") + ran.count("done"), SMALL as u64 + 3, "{ran:?}");
        seed < 12
    });
}

#[test]
fn of_processes_that_want_one_checkpoint_all_but_one_are_refused_at_once() {
    let world = world(0);
    let checkpoint = world.home.path().join("one.jsonl");
    let link = world.home.path().join("link.jsonl");
    let named = |path: &Path| [&args()[..], &["--checkpoint", path.to_str().unwrap()]].concat().join("\n");
    let (direct, linked) = (named(&checkpoint), named(&link));
    // The first one records a failure, and goes on for some time.
    world.server.faults().add(Rule::on(Operation::CopyObject, Fault::Latency(Duration::from_secs(4))).key("out/020"));
    let first = world.spawn_copy_all(&direct.lines().collect::<Vec<_>>());
    let failures = beside(&checkpoint, ".failures.jsonl");
    wait_until(|| failures.exists() && std::fs::read(&failures).is_ok_and(|text| text.ends_with(b"\n")));
    std::os::unix::fs::symlink(&checkpoint, &link).unwrap();
    let failed = std::fs::read(&failures).unwrap();
    let other = |path: &Path| {
        let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/elsewhere/"));
        world.copy(&[&from, &to, "--json", "--checkpoint", path.to_str().unwrap(), "--restart"])
    };
    let same = |args: &str| world.copy_all(&args.lines().collect::<Vec<_>>());
    let start = Instant::now();
    for refused in [same(&direct), same(&linked), other(&checkpoint), other(&link)] {
        let refused = refused.expect(11);
        assert!(refused.stderr.contains(&format!("is held by pid {}", first.id())), "{refused:?}");
        assert!(refused.count("listed") == 0, "{refused:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(std::fs::read(&failures).unwrap(), failed);
    assert!(world.under(DEST, "elsewhere/").is_empty());
    end(first).expect(3);
}

#[test]
fn of_processes_that_begin_together_one_works_and_the_others_name_it() {
    for _ in 0..3 {
        let world = world(0);
        world.server.faults().clear();
        let started: Vec<_> = (0..5).map(|_| world.spawn_copy_all(&args())).collect();
        let ended: Vec<(u32, Ran)> = started.into_iter().map(|child| (child.id(), end(child))).collect();
        // One that began late enough may find the job over, and copy all anew.
        let (worked, refused): (Vec<_>, Vec<_>) = ended.into_iter().partition(|(_, ran)| ran.code == Some(0));
        assert!(!worked.is_empty());
        for (_, ran) in &refused {
            assert_eq!(ran.code, Some(11), "{ran:?}");
            let names_one = worked.iter().any(|(pid, _)| ran.stderr.contains(&format!("is held by pid {pid},")));
            assert!(names_one, "{ran:?}");
        }
        world.assert_copied();
        assert_eq!(world.written(), worked.len() as u64 * SMALL as u64);
    }
}
