//! What the destination already has: overwritten only where that is wanted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{DEST, MIB, Ran, SOURCE, WAYS, World, end, kill, object};
use s3bulk_test_server::{Checksums, Config, Fault, Object, Operation, Rule, When};
use serde_json::json;

/// Whole, and in parts.
const SIZES: [u64; 2] = [100, 6 * MIB];

/// What writes an object last, one way and in one size.
fn last_write(way: &str, size: u64) -> Operation {
    match (way, size > 5 * MIB) {
        (_, true) => Operation::CompleteMultipartUpload,
        ("server", _) => Operation::CopyObject,
        _ => Operation::PutObject,
    }
}

fn skipped(ran: &Ran, reason: &str) -> u64 {
    ran.json()["skipped_by_reason"][reason].as_u64().unwrap_or(0)
}

/// So many seconds before now; times have no fractions.
fn ago(seconds: u64) -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    UNIX_EPOCH + Duration::from_secs(now - seconds)
}

/// The destination's own object.
fn other(size: u64) -> Object {
    Object::pattern(size, 99).metadata("mine", "yes")
}

fn is_other(world: &World, key: &str) -> bool {
    world.store().get(DEST, key).unwrap().metadata.contains_key("mine")
}

#[test]
fn what_is_there_is_not_overwritten() {
    for way in WAYS {
        let world = World::new();
        for (seed, key) in (0..).zip(["a", "b", "c", "d"]) {
            world.store().put(SOURCE, &format!("in/{key}"), Object::pattern(SIZES[seed % 2], seed as u64));
        }
        world.store().put(DEST, "out/a", other(100));
        world.store().put(DEST, "out/b", other(7));
        let ran = world.copy_in_parts(way, &["--no-overwrite"]).expect(0).expect_sums();
        assert_eq!((ran.count("done"), skipped(&ran, "exists")), (2, 2), "{ran:?}");
        assert!(is_other(&world, "out/a") && is_other(&world, "out/b"));
        assert!(!is_other(&world, "out/c") && !is_other(&world, "out/d"));
        world.assert_none_open();
    }
}

#[test]
fn what_appears_meanwhile_is_not_overwritten() {
    for way in WAYS {
        for size in SIZES {
            let world = World::new();
            world.store().put(SOURCE, "in/a", Object::pattern(size, 1));
            let operation = last_write(way, size);
            let late = Fault::Latency(Duration::from_millis(200));
            world.server.faults().add(Rule::on(operation, late));
            let child = world.spawn_copy_in_parts(way, &["--no-overwrite"]);
            common::wait_until(|| world.server.requests(operation) == 1);
            world.store().put(DEST, "out/a", other(size));
            let ran = end(child).expect(0).expect_sums();
            assert_eq!((ran.count("done"), skipped(&ran, "exists")), (0, 1), "{way} {size}");
            assert!(is_other(&world, "out/a"));
            world.assert_none_open();
        }
    }
}

#[test]
fn a_write_whose_answer_is_lost_is_done_and_not_skipped() {
    let with = |checksums| Config { checksums, ..Config::default() };
    let plain = |object: Object| object;
    type Case<'a> = (Config, fn(Object) -> Object, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        (with(Checksums::Supported), plain, &[]),
        (with(Checksums::Supported), Object::without_checksum, &[]),
        (with(Checksums::Supported), |object| object.uploaded_in_parts(1 << 20), &[]),
        (with(Checksums::Supported), plain, &["--sse", "aws:kms"]),
        // Neither checksums nor entity tags tell that one is a copy of the other.
        (with(Checksums::Ignored), |object| object.uploaded_in_parts(1 << 20), &["--sse", "aws:kms"]),
        (with(Checksums::Ignored), plain, &[]),
    ];
    for (config, made, flags) in cases {
        for way in WAYS {
            for size in SIZES {
                let world = World::with(config.clone());
                world.store().put(SOURCE, "in/a", made(Object::new(vec![7; usize::try_from(size).unwrap()])));
                let lost = Rule::on(last_write(way, size), Fault::ResetAfter).when(When::Kth(1));
                world.server.faults().add(lost);
                let ran = world.copy_in_parts(way, &[&["--no-overwrite"], flags].concat()).expect(0).expect_sums();
                let case = format!("{way} {size} {:?} {flags:?}: {ran:?}", config.checksums);
                assert_eq!((ran.count("done"), ran.count("skipped")), (1, 0), "{case}");
                world.assert_copied();
                world.assert_none_open();
            }
        }
    }
}

#[test]
fn a_write_that_was_lost_on_its_way_is_skipped_where_another_came_first() {
    for way in WAYS {
        for size in SIZES {
            let world = World::new();
            world.store().put(SOURCE, "in/a", Object::pattern(size, 1));
            let operation = last_write(way, size);
            let lost = Fault::Hang(Duration::from_millis(300));
            world.server.faults().add(Rule::on(operation, lost).when(When::Kth(1)));
            let child = world.spawn_copy_in_parts(way, &["--no-overwrite"]);
            common::wait_until(|| world.server.requests(operation) == 1);
            world.store().put(DEST, "out/a", other(size));
            let ran = end(child).expect(0).expect_sums();
            assert_eq!((ran.count("done"), skipped(&ran, "exists")), (0, 1), "{way} {size}: {ran:?}");
            assert!(is_other(&world, "out/a"));
            world.assert_none_open();
        }
    }
}

#[test]
fn a_killed_run_that_overwrites_nothing_counts_its_own_copies_as_done() {
    for way in WAYS {
        let world = World::with(Config { latency: Duration::from_millis(10), ..Config::default() });
        world.fill(250);
        for _ in 0..2 {
            let child = world.spawn_copy_all(&["--no-overwrite", "--via", way, "--concurrency", "16"]);
            world.wait_for_writes(world.written() + 60);
            kill(child);
        }
        let ran = world.copy_all(&["--no-overwrite", "--via", way]).expect(0).expect_sums();
        assert_eq!((ran.count("resumed") + ran.count("done"), ran.count("skipped")), (250, 0), "{way}: {ran:?}");
        world.assert_copied();
    }
}

#[test]
fn the_same_objects_are_skipped_and_all_others_copied() {
    for way in WAYS {
        for size in SIZES {
            let world = World::new();
            for seed in 0..6 {
                world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(size, seed).last_modified(ago(60)));
            }
            world.copy_in_parts(way, &[]).expect(0);
            let ran = world.copy_in_parts(way, &["--skip-existing"]).expect(0).expect_sums();
            assert_eq!((ran.count("done"), skipped(&ran, "same")), (0, 6), "{way} {size}: {ran:?}");
            world.store().put(SOURCE, "in/1", Object::pattern(size, 11).last_modified(ago(0)));
            world.store().put(SOURCE, "in/2", Object::pattern(size + 1, 12).last_modified(ago(60)));
            world.store().update(DEST, "out/3", |object| object.last_modified = ago(120));
            world.store().delete(DEST, "out/4");
            world.store().put(SOURCE, "in/5x", Object::pattern(size, 13));
            // One may be of the same second as its copy before.
            world.store().update(DEST, "out/1", |object| object.last_modified = ago(30));
            let ran = world.copy_in_parts(way, &["--skip-existing"]).expect(0).expect_sums();
            assert_eq!((ran.count("done"), skipped(&ran, "same")), (5, 2), "{way} {size}: {ran:?}");
            world.assert_copied();
        }
    }
}

#[test]
fn other_bytes_of_the_same_size_and_a_later_time_are_told_by_their_entity_tags() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::new("abc").last_modified(ago(60)));
    world.store().put(DEST, "out/a", Object::new("xyz"));
    let ran = world.copy_all(&["--skip-existing"]).expect(0);
    assert_eq!(ran.count("done"), 1);
    world.assert_copied();
}

#[test]
fn encrypted_copies_are_the_same_though_their_entity_tags_are_not() {
    for checksums in [Checksums::Supported, Checksums::Ignored] {
        for way in WAYS {
            let world = World::with(Config { checksums, ..Config::default() });
            for seed in 0..3 {
                world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(100, seed).last_modified(ago(60)));
            }
            let args = ["--via", way, "--sse", "aws:kms", "--skip-existing"];
            assert_eq!(world.copy_all(&args).expect(0).count("done"), 3);
            let (source, dest) = (world.store().get(SOURCE, "in/0"), world.store().get(DEST, "out/0"));
            assert_ne!(source.unwrap().etag, dest.unwrap().etag);
            let ran = world.copy_all(&args).expect(0).expect_sums();
            assert_eq!((ran.count("done"), skipped(&ran, "same")), (0, 3), "{way} {checksums:?}: {ran:?}");
        }
    }
}

#[test]
fn an_encrypted_copy_of_other_bytes_is_told_by_its_checksum() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::new("abc").last_modified(ago(60)));
    world.copy_all(&["--sse", "aws:kms"]).expect(0);
    world.store().put(SOURCE, "in/a", Object::new("xyz").last_modified(ago(60)));
    let ran = world.copy_all(&["--sse", "aws:kms", "--skip-existing"]).expect(0);
    assert_eq!(ran.count("done"), 1, "{ran:?}");
    world.assert_copied();
}

#[test]
fn newer_objects_are_skipped_whatever_they_hold() {
    for way in WAYS {
        let world = World::new();
        for key in ["newer", "older", "equal", "none"] {
            world.store().put(SOURCE, &format!("in/{key}"), Object::new("from the source").last_modified(ago(60)));
        }
        world.store().put(DEST, "out/newer", other(9).last_modified(ago(59)));
        world.store().put(DEST, "out/older", other(9).last_modified(ago(62)));
        let equal = world.store().get(SOURCE, "in/equal").unwrap().last_modified;
        world.store().put(DEST, "out/equal", other(9).last_modified(equal));
        let ran = world.copy_all(&["--skip-newer", "--via", way]).expect(0).expect_sums();
        assert_eq!((ran.count("done"), skipped(&ran, "newer")), (3, 1), "{ran:?}");
        assert!(is_other(&world, "out/newer") && !is_other(&world, "out/older") && !is_other(&world, "out/equal"));
    }
}

#[test]
fn looking_costs_pages_and_not_objects() {
    for flag in ["--skip-existing", "--no-overwrite", "--skip-newer"] {
        let world = World::new();
        world.fill(1_500);
        for (key, object) in world.store().objects(SOURCE) {
            let copy = key.replacen("in/", "out/", 1);
            world.store().put(
                DEST,
                &copy,
                Object { last_modified: ago(0) + Duration::from_secs(5), ..(*object).clone() },
            );
        }
        let ran = world.copy_all(&[flag]).expect(0).expect_sums();
        assert_eq!((ran.count("done"), ran.count("skipped")), (0, 1_500), "{ran:?}");
        let lists = world.server.requests(Operation::ListObjectsV2);
        assert!(lists <= 120, "{lists} for {flag}");
        assert_eq!((world.server.requests(Operation::HeadObject), world.written()), (0, 0));
    }
}

#[test]
fn an_empty_destination_costs_hardly_a_look() {
    let world = World::new();
    world.fill(1_500);
    world.copy_all(&["--skip-existing"]).expect(0);
    world.assert_copied();
    let lists = world.server.requests(Operation::ListObjectsV2);
    assert!(lists <= 100, "{lists}");
    assert_eq!(world.server.requests(Operation::HeadObject), 0);
}

#[test]
fn awkward_keys_are_found_at_the_destination() {
    let plain = ["%", "%2F", "+", "?", "&", "\"", "<", "//", "./", "\u{202e}", "🦀", "é", " "];
    // Only a listing that is encoded can hold these.
    let all = [&plain[..], &["\n", "\u{1}", "\u{7f}", "\u{ffff}"]].concat();
    for (claims_encoding, pieces) in [(false, &all[..]), (true, &plain)] {
        let world = World::with(Config { page_size: 7, claims_encoding, ..Config::default() });
        let mut count = 0;
        for a in pieces {
            for b in pieces {
                let key = format!("in/{a}k{b}");
                world.store().put(SOURCE, &key, object(&key, 2).last_modified(ago(60)));
                count += 1;
            }
            // Between those of the source, in each of their pages.
            world.store().put(DEST, &format!("out/{a}k{a}z"), Object::new(""));
            world.store().put(DEST, &format!("out/{a}"), Object::new(""));
        }
        assert_eq!(world.copy_all(&["--skip-existing"]).expect(0).count("done"), count);
        let ran = world.copy_all(&["--skip-existing"]).expect(0).expect_sums();
        assert_eq!((ran.count("done"), skipped(&ran, "same")), (0, count), "{ran:?}");
        let ran = world.copy_all(&["--no-overwrite"]).expect(0).expect_sums();
        assert_eq!((ran.count("done"), skipped(&ran, "exists")), (0, count), "{ran:?}");
    }
}

#[test]
fn a_killed_run_that_skips_what_is_there_comes_to_the_same_end() {
    let world = World::with(Config { latency: Duration::from_millis(10), ..Config::default() });
    world.fill(400);
    for n in 0..100 {
        let key = format!("{:04}/{n:06}.txt", n / 50);
        let there = (*world.store().get(SOURCE, &format!("in/{key}")).unwrap()).clone();
        world.store().put(DEST, &format!("out/{key}"), there);
    }
    let child = world.spawn_copy_all(&["--skip-existing", "--concurrency", "16"]);
    world.wait_for_writes(150);
    kill(child);
    let ran = world.copy_all(&["--skip-existing"]).expect(0).expect_sums();
    assert_eq!(ran.count("resumed") + ran.count("done") + ran.count("skipped"), 400);
    world.assert_copied();
}

#[test]
fn one_object_is_looked_for_by_its_name() {
    let (from, to) = (format!("s3://{SOURCE}/in/a"), format!("s3://{DEST}/copy"));
    for (flag, reason) in [("--no-overwrite", "exists"), ("--skip-existing", "same"), ("--skip-newer", "newer")] {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::new("abc").last_modified(ago(60)));
        world.store().put(DEST, "copy-of-another", Object::new("abc"));
        let copy = || world.copy(&[&from, &to, flag, "--json"]).expect(0).expect_sums();
        assert_eq!(copy().count("done"), 1);
        let ran = copy();
        assert_eq!(ran.json()["skipped_by_reason"], json!({ reason: 1 }), "{ran:?}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_left_alone() {
    let world = World::new();
    world.fill(30);
    world.copy_all(&[]).expect(0);
    world.store().delete(DEST, "out/0000/000003.txt");
    let ran = world.copy_all(&["--no-overwrite", "--dry-run"]).expect(0).expect_sums();
    assert_eq!((skipped(&ran, "exists"), ran.said("1 would be copied server-side")), (29, 1), "{ran:?}");
}

#[test]
fn that_a_destination_is_not_empty_is_said_where_things_may_be_overwritten() {
    let note = "is not empty: what has the same name is overwritten";
    let world = World::new();
    world.fill(20);
    world.store().put(DEST, "outer", Object::new(""));
    assert_eq!(world.copy_all(&[]).expect(0).said(note), 0, "other names are not meant");
    let ran = world.copy_all(&[]).expect(0);
    assert_eq!((ran.said(note), ran.said("s3://dest-bucket/out/ is not empty")), (1, 1), "{ran:?}");
    for flags in [&["--no-overwrite"][..], &["--skip-existing"], &["--skip-newer"], &["--quiet"], &["--dry-run"]] {
        assert_eq!(world.copy_all(flags).expect(0).said(note), 0, "{flags:?}");
    }
    let one = |to: &str| world.copy(&[&format!("s3://{SOURCE}/in/0000/000001.txt"), to]).expect(0).said(note);
    assert_eq!((one("s3://dest-bucket/alone"), one("s3://dest-bucket/alone"), one("s3://dest-bucket/oute")), (0, 1, 0));
}

#[test]
fn a_resumed_run_does_not_say_that_its_own_copies_are_there() {
    let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
    world.fill(200);
    let child = world.spawn_copy_all(&["--concurrency", "8"]);
    world.wait_for_writes(50);
    kill(child);
    assert_eq!(world.copy_all(&[]).expect(0).said("is not empty"), 0);
}
