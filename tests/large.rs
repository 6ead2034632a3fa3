//! Large objects go in parts: which parts, and that they make the object.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{DEST, MIB, SMALL_PARTS, SOURCE, WAYS, World, end, object};
use s3bulk_test_server::{Checksums, Config, Fault, Object, Operation, Rule, When};
use serde_json::json;

fn denied() -> Fault {
    Fault::Code { status: 403, code: "AccessDenied".to_owned() }
}

/// The sizes of the parts that a copy was written in.
fn part_sizes(world: &World, key: &str) -> Vec<u64> {
    world.store().get(DEST, &format!("out/{key}")).unwrap().part_sizes.clone()
}

/// An object of so many MiB that are stored, each of other bytes, so that its entity tags are real.
fn stored(mebibytes: u8) -> Object {
    let mut body = Vec::new();
    for n in 0..mebibytes {
        body.resize(body.len() + (1 << 20), n);
    }
    Object::new(body)
}

#[test]
fn twenty_gibibytes_are_copied_by_the_store_in_parts() {
    let world = World::new();
    let described = Object::pattern(20 << 30, 1).content_type("video/x").metadata("a", "b c").tag("t", "v");
    world.store().put(SOURCE, "in/large", described);
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    world.assert_copied();
    world.assert_none_open();
    assert_eq!((ran.count("done"), ran.count("bytes")), (1, 20 << 30));
    assert_eq!(ran.json()["verified"], json!({ "checksum": 1 }));
    assert_eq!(part_sizes(&world, "large"), [64 * MIB; 320]);
    assert_eq!(world.part_requests(), 320);
    for operation in [Operation::CopyObject, Operation::GetObject, Operation::AbortMultipartUpload] {
        assert_eq!(world.server.requests(operation), 0, "{operation}");
    }
}

#[test]
fn only_objects_above_the_threshold_go_in_parts() {
    let sizes = [("empty", 0), ("folder/", 0), ("one", 1), ("just", 5 * MIB), ("more", 5 * MIB + 1), ("two", 10 * MIB)];
    for way in WAYS {
        let world = World::new();
        for (seed, (key, size)) in (0..).zip(sizes) {
            world.store().put(SOURCE, &format!("in/{key}"), Object::pattern(size, seed).metadata("k", key));
        }
        let ran = world.copy_in_parts(way, &[]).expect(0).expect_sums();
        world.assert_copied();
        world.assert_none_open();
        assert_eq!((ran.count("done"), ran.verified("checksum")), (6, if way == "client" { 6 } else { 2 }));
        for key in ["empty", "folder/", "one", "just"] {
            assert!(part_sizes(&world, key).is_empty(), "{key} {way}");
        }
        assert_eq!(part_sizes(&world, "more"), [5 * MIB, 1]);
        assert_eq!(part_sizes(&world, "two"), [5 * MIB, 5 * MIB]);
        assert_eq!(world.part_requests(), 4);
    }
}

#[test]
fn the_usual_thresholds_are_256_and_32_mebibytes() {
    let world = World::new();
    for (seed, key, size) in [(1, "a", 256 * MIB), (2, "b", 256 * MIB + 1)] {
        world.store().put(SOURCE, &format!("in/{key}"), Object::pattern(size, seed));
    }
    world.copy_all(&[]).expect(0);
    world.assert_copied();
    assert_eq!((part_sizes(&world, "a").len(), part_sizes(&world, "b").len()), (0, 5));
    let world = World::with(Config { keep_bodies: 0, ..Config::default() });
    world.store().put(SOURCE, "in/c", Object::pattern(32 * MIB + 1, 3));
    world.copy_all(&["--via", "client"]).expect(0);
    world.assert_copied();
    assert_eq!(part_sizes(&world, "c"), [16 * MIB, 16 * MIB, 1]);
}

#[test]
fn the_largest_object_in_one_piece_has_5_gibibytes_whatever_is_asked_for() {
    let world = World::new();
    for (seed, key, size) in [(1, "a", 5 << 30), (2, "b", (5 << 30) + 1)] {
        world.store().put(SOURCE, &format!("in/{key}"), Object::pattern(size, seed));
    }
    world.copy_all(&["--multipart-threshold", "1TiB"]).expect(0);
    world.assert_copied();
    assert_eq!((part_sizes(&world, "a").len(), part_sizes(&world, "b").len()), (0, 81));
}

#[test]
fn awkward_keys_go_in_parts_and_lost_uploads_to_them_are_found() {
    for way in WAYS {
        let world = World::new();
        let keys = ["%2F+ é", "a\n\u{1}", "//../漢🦀?&#", "\"<'>"];
        for (seed, key) in (0..).zip(keys) {
            world.store().put(SOURCE, &format!("in/{key}"), Object::pattern(5 * MIB + 1, seed).tag("k", key));
            let lost = Rule::on(Operation::CreateMultipartUpload, Fault::ResetAfter).key(format!("out/{key}"));
            world.server.faults().add(lost.when(When::Kth(1)));
        }
        world.copy_in_parts(way, &[]).expect(0);
        world.assert_copied();
        world.assert_none_open();
        assert_eq!(world.server.completed(Operation::CreateMultipartUpload), 8);
    }
}

#[test]
fn ten_thousand_parts_are_the_most() {
    let world = World::new();
    world.store().put(SOURCE, "in/most", Object::pattern(50_000 * MIB, 1));
    let ran = world.copy_in_parts("server", &[]).expect(0);
    world.assert_copied();
    world.assert_none_open();
    assert_eq!((world.part_requests(), ran.verified("checksum")), (10_000, 1));
    assert_eq!(ran.said("--part-size is too small"), 0);
}

#[test]
fn parts_that_would_be_too_many_are_larger_and_that_is_said_once() {
    let world = World::new();
    for seed in 0..3 {
        world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(50_000 * MIB + 1, seed));
    }
    world.server.faults().add(Rule::on(Operation::UploadPartCopy, denied()));
    let ran = world.copy_in_parts("server", &[]).expect(3);
    assert_eq!((ran.said("--part-size is too small"), ran.said("in parts of 6 MiB")), (1, 1), "{ran:?}");
    world.assert_none_open();
}

#[test]
fn the_parts_of_the_source_are_taken_over_so_that_entity_tags_are_equal() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/regular", stored(12).uploaded_in_parts(8 << 20));
        world.store().put(SOURCE, "in/odd", stored(6).uploaded_in_parts((5 << 20) + 1));
        world.copy_all(&["--via", way, "--multipart-threshold", "5MiB"]).expect(0);
        world.assert_copied();
        let etags = |key| [(SOURCE, "in"), (DEST, "out")].map(|(b, p)| world.store().get(b, &format!("{p}/{key}")));
        let [source, dest] = etags("regular").map(|object| object.unwrap().etag.clone());
        assert_eq!(source, dest, "{way}");
        assert_eq!(part_sizes(&world, "regular"), [8 * MIB, 4 * MIB]);
        assert_eq!(part_sizes(&world, "odd"), [6 * MIB], "{way}: parts of no whole MiB are not ours");
    }
}

#[test]
fn a_part_size_that_is_asked_for_outweighs_that_of_the_source() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(100 * MIB, 1).uploaded_in_parts(8 << 20));
    world.copy_all(&["--multipart-threshold", "5MiB", "--part-size", "30MiB"]).expect(0);
    world.assert_copied();
    assert_eq!(part_sizes(&world, "a"), [30 * MIB, 30 * MIB, 30 * MIB, 10 * MIB]);
}

#[test]
fn parts_too_large_for_memory_are_streamed_whatever_the_store_makes_of_checksums() {
    for checksums in [Checksums::Supported, Checksums::Ignored, Checksums::Refused] {
        for [memory, concurrency] in [["16MiB", "256"], ["1", "1"]] {
            let world = World::with(Config { checksums, ..Config::default() });
            world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1).metadata("a", "b"));
            world.copy_in_parts("client", &["--memory", memory, "--concurrency", concurrency]).expect(0);
            world.assert_copied();
            world.assert_none_open();
            assert_eq!(part_sizes(&world, "a"), [5 * MIB, MIB]);
        }
    }
}

#[test]
fn a_destination_that_insists_on_digests_gets_them_with_parts_that_are_streamed() {
    for checksums in [Checksums::Supported, Checksums::Refused] {
        let world = World::with(Config { checksums, requires_digest: true, ..Config::default() });
        world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
        world.copy_in_parts("client", &["--memory", "16MiB"]).expect(0);
        world.assert_copied();
        world.assert_none_open();
    }
}

#[test]
fn sizes_of_parts_that_cannot_be_are_usage_errors() {
    let world = World::new();
    for (flag, size, why) in [
        ("--part-size", "1MiB", "at least 5MiB"),
        ("--part-size", "6GiB", "at most 5GiB"),
        ("--part-size", "much", "--part-size"),
        ("--multipart-threshold", "1MiB", "above 5MiB"),
    ] {
        let ran = world.copy_all(&[flag, size]).expect(2);
        assert!(ran.stderr.contains(why), "{ran:?}");
    }
}

#[test]
fn parts_that_are_denied_go_through_this_machine_where_the_source_has_its_own_credentials() {
    let world = World::new();
    for seed in 0..2 {
        world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(6 * MIB, seed));
    }
    world.store().put(SOURCE, "in/small", object("small", 0));
    for operation in [Operation::UploadPartCopy, Operation::CopyObject] {
        world.server.faults().add(Rule::on(operation, denied()));
    }
    let ran = world.copy_all(&[&SMALL_PARTS, &["--source-no-sign-request"][..]].concat()).expect(0);
    assert_eq!((ran.count("done"), ran.said("the bytes go through this machine")), (3, 1), "{ran:?}");
    world.assert_copied();
    world.assert_none_open();
}

#[test]
fn a_version_is_copied_whole_or_in_parts_on_both_ways() {
    for way in WAYS {
        for size in [100, 6 * MIB] {
            let world = World::with(Config { versioned: true, ..Config::default() });
            world.store().put(SOURCE, "in/a", Object::pattern(size, 1).metadata("which", "old").tag("which", "old"));
            let old = world.store().get(SOURCE, "in/a").unwrap();
            world.store().put(SOURCE, "in/a", Object::pattern(size, 2).metadata("which", "new").tag("which", "new"));
            let (from, to) = (format!("s3://{SOURCE}/in/a"), format!("s3://{DEST}/copy"));
            let id = old.version_id.as_deref().unwrap();
            let args = [&SMALL_PARTS, &[from.as_str(), to.as_str(), "--via", way, "--version-id", id][..]].concat();
            world.copy(&args).expect(0);
            let copy = world.store().get(DEST, "copy").unwrap();
            assert!(copy.has_bytes_of(&old), "{way} {size}");
            assert_eq!((&copy.metadata, &copy.tags), (&old.metadata, &old.tags), "{way} {size}");
        }
    }
}

#[test]
fn a_version_needs_one_object() {
    let world = World::new();
    let ran = world.copy_all(&["--version-id", "version-1"]).expect(2);
    assert!(ran.stderr.contains("name one SOURCE"), "{ran:?}");
    let (from, to) = (format!("s3://{SOURCE}/a"), format!("s3://{DEST}/a"));
    world.copy(&[&from, &format!("s3://{SOURCE}/b"), &to, "--version-id", "x"]).expect(2);
}

#[test]
fn a_large_object_that_goes_slowly_holds_up_no_small_ones() {
    let world = World::with(Config { copy_bytes_per_second: Some(6_000_000), ..Config::default() });
    world.store().put(SOURCE, "in/a", Object::pattern(150 * MIB, 1));
    for n in 0..200 {
        let key = format!("in/b/{n}");
        world.store().put(SOURCE, &key, object(&key, n));
    }
    let start = std::time::Instant::now();
    let child = world.spawn_copy_in_parts("server", &["--concurrency", "16"]);
    world.wait_for_writes(200);
    let (took, parts) = (start.elapsed(), world.parts());
    assert!(parts < 25, "{parts} of 30 parts in {took:?}");
    end(child).expect(0);
    world.assert_copied();
}

#[test]
fn a_large_object_that_vanishes_while_it_is_copied_is_skipped_and_nothing_is_left() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(40 * MIB, 1));
        for operation in [Operation::UploadPart, Operation::UploadPartCopy] {
            world.server.faults().add(Rule::on(operation, Fault::Latency(Duration::from_millis(200))));
        }
        let child = world.spawn_copy_in_parts(way, &["--concurrency", "2"]);
        world.wait_for_parts(1);
        world.store().delete(SOURCE, "in/a");
        let ran = end(child).expect(0).expect_sums();
        assert_eq!(ran.json()["skipped_by_reason"], json!({ "vanished": 1 }), "{ran:?}");
        world.assert_none_open();
    }
}
