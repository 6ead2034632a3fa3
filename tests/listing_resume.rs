//! Listings that are killed, and the runs after them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{DEST, Ran, SOURCE, World, assert_same, end, kill, ran, run, wait_until};
use s3bulk_test_server::{Config, Operation, Shape};
use serde_json::Value;

const COUNT: u64 = 15_000;
const PAGE: u64 = 100;
const PAGES: u64 = COUNT / PAGE;

/// What a run may have done without it being recorded: that of so much of a second.
const UNRECORDED: f64 = 0.2;

fn slow(shape: Shape) -> World {
    let world = World::with(Config { page_size: 100, list_latency: Duration::from_millis(20), ..Config::default() });
    world.fill_keys(shape.keys(7, COUNT));
    world
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How many ranges a checkpoint tells of.
fn ranges(checkpoint: &Path) -> u64 {
    let text = std::fs::read_to_string(checkpoint).unwrap();
    let records = text.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
    let count = |field: &Value| field.as_array().map_or(0, Vec::len) as u64;
    records.map(|record| count(&record["ranges"]) + count(&record["cuts"])).sum()
}

/// A run that went on where another was killed listed hardly more pages than were left.
#[track_caller]
fn went_on(resumed: &Ran, pages: u64, ranges: u64) {
    let left = resumed.count("listed").div_ceil(PAGE);
    // It may have looked in vain for places to cut what was left at.
    let most = left + left / 20 + ranges + resumed.count("probes");
    assert!(pages <= most, "{pages} pages where {left} were left in {ranges} ranges: {resumed:?}");
}

fn is_continued_after_a_kill(shape: Shape, killed_at: u64) {
    let world = slow(shape);
    let (file, checkpoint) = (world.home.path().join("list.jsonl"), world.home.path().join("checkpoint"));
    let (out, recorded) = (file.to_str().unwrap(), checkpoint.to_str().unwrap());
    let args = ["--format", "jsonl", "--output", out, "--checkpoint", recorded, "--json", "--list-concurrency", "4"];
    let mut first = spawn(world.list_command(&args));
    // It may come to its end before it is killed.
    wait_until(|| world.pages() >= killed_at || first.try_wait().unwrap().is_some());
    kill(first);
    let before = world.pages();
    let mut known = if checkpoint.exists() { ranges(&checkpoint) } else { 1 };
    let resumed = run(world.list_command(&args)).expect(0).expect_sums();
    world.assert_listed(&std::fs::read_to_string(&file).unwrap());
    known = known.max(ranges(&checkpoint));
    went_on(&resumed, world.pages() - before, known);
    if before < PAGES {
        assert_eq!(resumed.count("resumed") + resumed.count("done"), COUNT, "{resumed:?}");
        // Four requests at a time, fifty times a second, and those under way.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
        let lost = (UNRECORDED * 4.0 * 50.0) as u64 + 4 + known;
        let least = before.saturating_sub(lost) * PAGE;
        assert!(resumed.count("resumed") >= least, "{} of {before} pages: {resumed:?}", resumed.count("resumed"));
    }
}

#[test]
fn a_listing_that_is_killed_goes_on_where_it_was() {
    for killed_at in [0, 2, 30, 90] {
        is_continued_after_a_kill(Shape::Hex, killed_at);
    }
}

#[test]
fn a_listing_that_is_killed_near_its_end_goes_on_where_it_was() {
    for killed_at in [PAGES - 20, PAGES] {
        is_continued_after_a_kill(Shape::Scripts, killed_at);
    }
}

#[test]
fn a_listing_of_folders_that_is_killed_goes_on_where_it_was() {
    for (shape, killed_at) in [(Shape::OneFolder, 60), (Shape::OneFolder, 110), (Shape::Dates, 80)] {
        is_continued_after_a_kill(shape, killed_at);
    }
}

#[test]
fn a_listing_that_is_killed_again_and_again_holds_each_key_once() {
    for name in ["list.jsonl", "list.jsonl.zst"] {
        let world = slow(Shape::Hex);
        let (file, checkpoint) = (world.home.path().join(name), world.home.path().join("checkpoint"));
        let (out, recorded) = (file.to_str().unwrap(), checkpoint.to_str().unwrap());
        let args = ["--format", "jsonl", "--output", out, "--checkpoint", recorded, "--list-concurrency", "8"];
        for n in 0..5 {
            let mut child = spawn(world.list_command(&args));
            let target = world.pages() + 5 + 9 * n;
            wait_until(|| world.pages() >= target || child.try_wait().unwrap().is_some());
            // Nobody takes a part for the whole.
            let ended = child.try_wait().unwrap().is_some();
            assert!(ended || !file.exists() || world.pages() >= PAGES);
            kill(child);
            if ended {
                break;
            }
        }
        world.list(&args).expect(0);
        let text = if name.ends_with(".zst") {
            String::from_utf8(zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap()).unwrap()
        } else {
            std::fs::read_to_string(&file).unwrap()
        };
        world.assert_listed(&text);
    }
}

#[test]
fn a_copy_that_is_killed_with_several_ranges_under_way_goes_on_where_it_was() {
    for (shape, killed_at) in [(Shape::Hex, 600), (Shape::OneFolder, 1_500)] {
        let count = 2_500;
        let latency = Duration::from_millis(10);
        let world = World::with(Config { page_size: 100, latency, list_latency: latency, ..Config::default() });
        world.fill_keys(shape.keys(7, count));
        let (from, to) = (format!("s3://{SOURCE}/"), format!("s3://{DEST}/"));
        let args = [from.as_str(), to.as_str(), "--json", "--concurrency", "16", "--list-concurrency", "4"];
        let first = spawn(world.copy_command(&args));
        world.wait_for_writes(killed_at);
        kill(first);
        let (before, written) = (world.pages(), world.written());
        let known = ranges(&world.checkpoint());
        assert!(known > 1, "{shape:?} was listed in one");
        let resumed = end(spawn(world.copy_command(&args))).expect(0).expect_sums();
        assert_same(&world.under(SOURCE, ""), &world.under(DEST, ""));
        assert_eq!(resumed.count("resumed") + resumed.count("done"), count);
        // The first request asks whether the destination is empty.
        went_on(&resumed, world.pages() - before - 1, known.max(ranges(&world.checkpoint())));
        let again = world.server.completed(Operation::CopyObject) - count;
        assert!(again <= 16 + 1_600 * 2 / 10, "{again} of {written} were copied again");
    }
}

#[test]
fn a_listing_that_is_interrupted_can_be_gone_on_with() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let world = slow(Shape::Hex);
        let (file, checkpoint) = (world.home.path().join("list.jsonl"), world.home.path().join("checkpoint"));
        let (out, recorded) = (file.to_str().unwrap(), checkpoint.to_str().unwrap());
        let args = ["--format", "jsonl", "--output", out, "--checkpoint", recorded, "--list-concurrency", "4"];
        let child = spawn(world.list_command(&args));
        wait_until(|| world.pages() >= 20);
        common::send(&child, signal);
        ran(child.wait_with_output().unwrap()).expect(code);
        assert!(!file.exists());
        world.list(&args).expect(0);
        world.assert_listed(&std::fs::read_to_string(&file).unwrap());
    }
}

/// How many lines a checkpoint has.
fn lines(checkpoint: &Path) -> usize {
    std::fs::read_to_string(checkpoint).map_or(0, |text| text.lines().count())
}

#[test]
fn a_listing_that_is_killed_at_any_line_of_its_checkpoint_goes_on_from_there() {
    let world = World::with(Config { page_size: 20, list_latency: Duration::from_millis(8), ..Config::default() });
    world.fill_keys(Shape::Hex.keys(3, 1_000));
    let (file, checkpoint) = (world.home.path().join("list.jsonl"), world.home.path().join("checkpoint"));
    let (out, recorded) = (file.to_str().unwrap(), checkpoint.to_str().unwrap());
    let args = ["--format", "jsonl", "--output", out, "--checkpoint", recorded, "--json", "--list-concurrency", "3"];
    for line in 1.. {
        let _ = std::fs::remove_file(&file);
        let mut first = spawn(world.list_command(&[&args[..], &["--restart"]].concat()));
        wait_until(|| lines(&checkpoint) >= line && !file.exists() || first.try_wait().unwrap().is_some());
        let over = first.try_wait().unwrap().is_some();
        kill(first);
        run(world.list_command(&args)).expect(0).expect_sums();
        world.assert_listed(&std::fs::read_to_string(&file).unwrap());
        if over {
            assert!(line > 5, "{line} lines");
            return;
        }
    }
}
