//! Patterns in locations, and the flags that say which objects are chosen, from end to end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::{DEST, Ran, SOURCE, World, object, run};
use s3bulk_test_server::{Config, Object};

/// Copies these paths of the source bucket to `out/`; the summary is printed as JSON.
fn copy(world: &World, paths: &[&str], args: &[&str]) -> Ran {
    let sources: Vec<String> = paths.iter().map(|path| format!("s3://{SOURCE}/{path}")).collect();
    let dest = format!("s3://{DEST}/out/");
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    world.copy(&[&sources, &[dest.as_str(), "--json"][..], args].concat())
}

/// What a copy into an empty destination brings there, and nothing else is.
#[track_caller]
fn brings(world: &World, paths: &[&str], args: &[&str], expected: &[&str]) {
    for key in world.store().keys(DEST) {
        world.store().delete(DEST, &key);
    }
    let ran = copy(world, paths, args).expect(0).expect_sums();
    let mut expected: Vec<String> = expected.iter().map(|name| format!("out/{name}")).collect();
    expected.sort();
    assert_eq!(world.store().keys(DEST), expected, "{paths:?} {args:?}");
    assert_eq!(ran.count("selected"), expected.len() as u64);
    if expected.is_empty() {
        assert!(ran.stderr.contains("nothing matched"), "{ran:?}");
    }
}

fn world_of(keys: &[&str]) -> World {
    let world = World::new();
    for (n, key) in keys.iter().enumerate() {
        world.store().put(SOURCE, key, object(key, n));
    }
    world
}

#[test]
fn a_pattern_means_the_keys_that_match() {
    let world = world_of(&[
        "in/a.csv",
        "in/b.csv",
        "in/é.csv",
        "in/a.txt",
        "in/A.CSV",
        "in/sub/c.csv",
        "in/sub/deep/d.csv",
        "in/su/e",
        "in/x\ny.csv",
        "in/{a,b}.csv",
        "in/b\\c.csv",
        "other/a.csv",
    ]);
    let all = ["a.csv", "b.csv", "é.csv", "x\ny.csv", "{a,b}.csv", "b\\c.csv"];
    brings(&world, &["in/*.csv"], &[], &all);
    brings(&world, &["in/*.csv"], &["--via", "client"], &all);
    brings(&world, &["in/**.csv"], &[], &[&all[..], &["sub/c.csv", "sub/deep/d.csv"]].concat());
    brings(&world, &["in/?.csv"], &[], &["a.csv", "b.csv", "é.csv"]);
    brings(&world, &["in/[!a].csv"], &[], &["b.csv", "é.csv"]);
    brings(&world, &["in/?\\?.csv"], &[], &["b\\c.csv"]);
    brings(&world, &["in/{?,?}.csv"], &[], &["{a,b}.csv"]);
    brings(&world, &["in/*/c.csv"], &[], &["sub/c.csv"]);
    brings(&world, &["in/su*/"], &[], &["sub/c.csv", "sub/deep/d.csv", "su/e"]);
    brings(&world, &["*/a.csv"], &[], &["in/a.csv", "other/a.csv"]);
    brings(&world, &["in/*.none"], &[], &[]);
    brings(
        &world,
        &["in/*.csv"],
        &["--exclude", "?.csv", "--include", "é*"],
        &["b\\c.csv", "x\ny.csv", "{a,b}.csv", "é.csv"],
    );
}

#[test]
fn several_patterns_keep_their_folder() {
    let world = world_of(&["p/x/a.csv", "p/x/a.txt", "p/x/a.gz", "p/y/b.csv", "one.txt"]);
    let expected = ["x/a.csv", "x/a.txt", "y/b.csv", "one.txt"];
    brings(&world, &["p/x/*.csv", "p/x/*.txt", "p/y/", "one.txt"], &[], &expected);
}

#[test]
fn taken_literally_a_location_is_another_job() {
    let world = world_of(&["in/[1]/k*", "in/1/k", "in/1/k*"]);
    let checkpoint = world.home.path().join("job.jsonl");
    let kept = ["--checkpoint", checkpoint.to_str().unwrap()];
    brings(&world, &["in/[1]/k*"], &kept, &["1/k", "1/k*"]);
    let ran = copy(&world, &["in/[1]/k*"], &[&kept[..], &["--no-glob"]].concat()).expect(11);
    assert!(ran.stderr.contains("is another job's"), "{ran:?}");
    brings(&world, &["in/[1]/k*"], &["--no-glob"], &["k*"]);
    brings(&world, &["in/[1]/"], &["--no-glob"], &["k*"]);
}

#[test]
fn a_pattern_can_be_copied_below_itself_again_and_again() {
    let world = world_of(&["x/a.csv", "x/b.csv", "x/c.txt"]);
    let (from, to) = (format!("s3://{SOURCE}/x/*.csv"), format!("s3://{SOURCE}/x/done/"));
    for _ in 0..2 {
        let ran = world.copy(&["--json", &from, &to]).expect(0).expect_sums();
        assert_eq!(ran.count("done"), 2);
    }
    let ran = world.copy(&["--json", &from, &to, "--skip-existing"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (0, 2));
    assert_eq!(world.store().keys(SOURCE), ["x/a.csv", "x/b.csv", "x/c.txt", "x/done/a.csv", "x/done/b.csv"]);
}

#[test]
fn patterns_are_found_over_many_pages() {
    let world = World::new();
    world.fill(3_000);
    let ran = copy(&world, &["in/*/*5.txt"], &[]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 300);
    assert!(world.store().keys(DEST).iter().all(|key| key.ends_with("5.txt")));
}

#[test]
fn the_last_rule_that_matches_wins() {
    let world = world_of(&["in/a.csv", "in/a.txt", "in/tmp/b.csv", "in/tmp/keep.csv"]);
    brings(&world, &["in/"], &["--include", "*.csv"], &["a.csv", "tmp/b.csv", "tmp/keep.csv"]);
    brings(&world, &["in/"], &["--exclude", "*.csv"], &["a.txt"]);
    brings(&world, &["in/"], &["--include", "*.csv", "--exclude", "tmp/*"], &["a.csv"]);
    brings(&world, &["in/"], &["--exclude", "tmp/*", "--include", "*keep*"], &["a.csv", "a.txt", "tmp/keep.csv"]);
    let rules = ["--exclude", "*", "--include", "*.csv", "--exclude", "tmp/*", "--include", "tmp/keep.*"];
    brings(&world, &["in/"], &rules, &["a.csv", "tmp/keep.csv"]);
    brings(&world, &["in/"], &["--include", "in/*"], &[]);
    brings(&world, &["in/"], &["--include", "*.CSV"], &[]);
}

#[test]
fn one_object_is_chosen_or_not_as_any() {
    let world = world_of(&["in/a.csv"]);
    brings(&world, &["in/a.csv"], &["--include", "a.*"], &["a.csv"]);
    brings(&world, &["in/a.csv"], &["--exclude", "*.csv"], &[]);
    brings(&world, &["in/a.csv"], &["--min-size", "1MiB"], &[]);
}

#[test]
fn objects_are_chosen_by_their_size() {
    let world = World::new();
    for size in [0, 1, 1023, 1024, 1025] {
        world.store().put(SOURCE, &format!("in/{size}"), Object::pattern(size, 1));
    }
    brings(&world, &["in/"], &["--min-size", "1KiB"], &["1024", "1025"]);
    brings(&world, &["in/"], &["--max-size", "1KiB", "--min-size", "1"], &["1", "1023", "1024"]);
    brings(&world, &["in/"], &["--max-size", "0"], &["0"]);
}

#[test]
fn objects_are_chosen_by_their_time() {
    let world = World::new();
    let written = |key: &str, time: SystemTime| {
        world.store().put(SOURCE, &format!("in/{key}"), Object::new(key.to_owned()).last_modified(time));
    };
    let hour = Duration::from_secs(3_600);
    let year_2020 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    written("2020", year_2020);
    written("2020+1s", year_2020 + Duration::from_secs(1));
    written("3h", SystemTime::now() - 3 * hour);
    written("1h", SystemTime::now() - hour);
    brings(&world, &["in/"], &["--newer-than", "2h"], &["1h"]);
    brings(&world, &["in/"], &["--older-than", "2h", "--newer-than", "1d"], &["3h"]);
    brings(&world, &["in/"], &["--older-than", "2020-01-01T00:00:01Z"], &["2020"]);
    brings(&world, &["in/"], &["--newer-than", "2020-01-01"], &["2020+1s", "3h", "1h"]);
    brings(&world, &["in/"], &["--older-than", "2020-01-01T01:00:01+01:00"], &["2020"]);
}

#[test]
fn objects_are_chosen_by_their_storage_class() {
    let world = World::new();
    for class in ["STANDARD", "STANDARD_IA", "GLACIER_IR", "SNOW"] {
        world.store().put(SOURCE, &format!("in/{class}"), Object::new("x").storage_class(class));
    }
    brings(&world, &["in/"], &["--storage-class-in", "standard,SNOW"], &["STANDARD", "SNOW"]);
    let twice = ["--storage-class-in", "standard_ia", "--storage-class-in", "GLACIER_IR"];
    brings(&world, &["in/"], &twice, &["STANDARD_IA", "GLACIER_IR"]);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_in_one_line() {
    let world = World::new();
    world.fill(3);
    let endpoint = world.server.endpoint();
    let refused = |args: &[&str], why: &str| {
        let ran = run(world.command(&[&["copy", "--endpoint-url", &endpoint], args].concat())).expect(2);
        assert!(ran.stderr.starts_with("s3bulk: ") && ran.stderr.lines().count() == 1, "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    };
    let (from, to) = ("s3://source-bucket/in/", "s3://dest-bucket/");
    refused(&["s3://source-bucket/in/[a", to], "a [ without a ]");
    refused(&["s3://source-bucket/in/*", "s3://dest-bucket/out"], "add a slash");
    refused(&[from, "s3://dest-bucket/*/"], "give --no-glob");
    refused(&["s3://source-bucket/in/**", "s3://source-bucket/in/copy/"], "lies under the source");
    refused(&["s3://source-bucket/in/*", "s3://source-bucket/in/"], "nothing to change");
    refused(&["s3://source-bucket/in/*", "s3://source-bucket/in/0*", to], "name only one of them");
    refused(&["s3://source-bucket/in/*", to, "--version-id", "x"], "no pattern");
    refused(&[from, to, "--min-size", "2KiB", "--max-size", "1KiB"], "--min-size 2048 is more than --max-size 1024");
    refused(&[from, to, "--newer-than", "1h", "--older-than", "2h"], "--newer-than 1h is not before --older-than 2h");
    refused(&[from, to, "--newer-than", "2100-01-01", "--older-than", "1h"], "--newer-than 2100-01-01");
    for flags in [["--include", "["], ["--older-than", "7"], ["--max-size", "big"], ["--storage-class-in", "a-b"]] {
        let ran = run(world.copy_command(&[&[from, to][..], &flags].concat())).expect(2);
        assert!(ran.stderr.contains(flags[0]) && ran.stdout.is_empty(), "{ran:?}");
    }
    assert_eq!(world.written(), 0);
}

#[test]
fn a_resumed_job_chooses_what_it_chose_at_its_start() {
    let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
    let count = 2_500;
    world.fill(count);
    let now = SystemTime::now();
    for key in world.store().keys(SOURCE) {
        world.store().update(SOURCE, &key, |object| object.last_modified = now - Duration::from_secs(3_600));
    }
    world.store().put(SOURCE, "in/zzz", Object::new("young").last_modified(now));
    let args = ["--older-than", "3s", "--concurrency", "32"];
    let child = world.spawn_copy_all(&args);
    world.wait_for_writes(300);
    std::thread::sleep(Duration::from_millis(100));
    common::kill(child);
    // By now the youngest object is old enough for a job that begins now.
    std::thread::sleep(Duration::from_secs(4).saturating_sub(now.elapsed().unwrap()));
    let resumed = world.copy_all(&args).expect(0).expect_sums();
    assert!(resumed.count("resumed") >= 200, "{resumed:?}");
    assert_eq!(resumed.count("resumed") + resumed.count("done"), count as u64);
    assert_eq!((world.under(DEST, "out/").len(), world.store().get(DEST, "out/zzz").is_none()), (count, true));
    assert_eq!(world.copy_all(&args).expect(0).count("done"), count as u64 + 1);
}

#[test]
fn an_interrupted_job_with_an_age_is_resumed_by_the_same_command() {
    let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
    world.fill(1_000);
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3_600);
    for (n, key) in world.store().keys(SOURCE).iter().enumerate() {
        world.store().update(SOURCE, key, |object| object.last_modified = if n % 2 == 0 { hours(2) } else { hours(0) });
    }
    let args = ["--older-than", "1h", "--exclude", "*9.txt", "--concurrency", "16"];
    let child = world.spawn_copy_all(&args);
    world.wait_for_writes(100);
    common::send(&child, "-INT");
    let ended = common::end(child).expect(130).expect_sums();
    // Another choice is another job.
    let other = world.copy_all(&["--older-than", "90m", "--dry-run"]).expect(0);
    assert_eq!(other.count("resumed"), 0);
    let resumed = world.copy_all(&args).expect(0).expect_sums();
    assert_eq!(resumed.count("resumed"), ended.count("done"));
    assert_eq!(resumed.count("resumed") + resumed.count("done"), 500);
    assert!(world.writes().values().all(|times| *times == 1));
}
