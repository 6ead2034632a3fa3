//! Copies that meet archived objects.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::{DEST, MIB, SMALL_PARTS, SOURCE, WAYS, World, object};
use s3bulk_test_server::{Config, Object, Operation, Restore};
use serde_json::json;

/// Ten objects, of which four are archived: one is being restored, and one is restored.
fn mixed(config: Config) -> World {
    let world = World::with(config);
    world.fill(6);
    let restored = Restore::Restored { expiry: SystemTime::now() + Duration::from_secs(3600) };
    let states = [None, None, Some(Restore::InProgress { days: Some(1) }), Some(restored)];
    for (n, (class, state)) in
        ["GLACIER", "DEEP_ARCHIVE", "GLACIER", "DEEP_ARCHIVE"].into_iter().zip(states).enumerate()
    {
        let key = format!("in/cold-{n}");
        world.store().put(SOURCE, &key, object(&key, n).storage_class(class));
        world.store().set_restore_status(SOURCE, &key, state);
    }
    world
}

fn reads(world: &World) -> u64 {
    [Operation::CopyObject, Operation::GetObject, Operation::HeadObject, Operation::UploadPartCopy]
        .map(|operation| world.server.requests(operation))
        .iter()
        .sum()
}

#[test]
fn archived_objects_fail_with_a_word_on_what_to_do() {
    for way in WAYS {
        let world = mixed(Config::default());
        let ran = world.copy_all(&["--via", way]).expect(3).expect_sums();
        assert_eq!((ran.count("done"), ran.count("failed")), (7, 3), "{ran:?}");
        assert!(ran.said("archived (GLACIER) and not restored: restore it first") == 1, "{ran:?}");
        assert!(ran.said("being restored from GLACIER") == 1 && ran.said("--archived skip") >= 1, "{ran:?}");
        let failures = std::fs::read_to_string(ran.json()["failures"].as_str().unwrap()).unwrap();
        let lines: Vec<serde_json::Value> = failures.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["code"] == "InvalidObjectState" && line["attempts"] == 0), "{failures}");
        assert_eq!(reads(&world), 7, "no request for what is known to be archived");
        assert!(world.store().get(DEST, "out/cold-3").is_some(), "what is restored is copied");
        // What failed is looked at again: it may be restored by now.
        world.store().set_restore_status(
            SOURCE,
            "in/cold-0",
            Some(Restore::Restored { expiry: SystemTime::now() + Duration::from_secs(60) }),
        );
        let ran = world.copy_all(&["--via", way, "--retry-failed"]).expect(3);
        assert_eq!((ran.count("done"), ran.count("failed")), (1, 2), "{ran:?}");
        assert!(ran.said("restore it first") == 2, "{ran:?}");
    }
}

#[test]
fn archived_objects_are_skipped_where_that_is_asked_for() {
    for way in WAYS {
        let world = mixed(Config::default());
        let ran = world.copy_all(&["--via", way, "--archived", "skip"]).expect(0).expect_sums();
        assert_eq!(ran.json()["skipped_by_reason"], json!({ "archived": 3 }), "{ran:?}");
        assert_eq!((ran.count("done"), reads(&world)), (7, 7));
        assert!(ran.said("3 skipped: archived and not restored") == 1, "{ran:?}");
    }
}

#[test]
fn a_dry_run_says_the_same() {
    let world = mixed(Config::default());
    let ran = world.copy_all(&["--dry-run"]).expect(3).expect_sums();
    assert_eq!((ran.count("failed"), reads(&world)), (3, 0), "{ran:?}");
    let ran = world.copy_all(&["--dry-run", "--archived", "skip"]).expect(0).expect_sums();
    assert_eq!(ran.json()["skipped_by_reason"]["archived"], 3, "{ran:?}");
}

#[test]
fn a_bucket_full_of_them_neither_breaks_the_run_nor_costs_requests() {
    let world = World::new();
    let keys = (0..1_000).map(|n| format!("in/{n:04}"));
    world.store().fill(SOURCE, keys, Object::new("cold").storage_class("DEEP_ARCHIVE"));
    let ran = world.copy_all(&[]).expect(3).expect_sums();
    assert_eq!((ran.count("failed"), reads(&world)), (1_000, 0));
}

#[test]
fn archive_tiers_are_told_by_the_store_alone() {
    for way in WAYS {
        for size in [100, 12 * MIB] {
            let world = World::new();
            let tiered = Object::pattern(size, 1).storage_class("INTELLIGENT_TIERING");
            world.store().put(SOURCE, "in/warm", tiered.clone());
            let cold = Object { archive_status: Some("ARCHIVE_ACCESS".to_owned()), ..tiered };
            world.store().put(SOURCE, "in/cold", cold);
            let args = [&SMALL_PARTS[..], &["--via", way]].concat();
            let ran = world.copy_all(&args).expect(3).expect_sums();
            assert_eq!((ran.count("done"), ran.count("failed")), (1, 1), "{ran:?}");
            assert!(ran.said("InvalidObjectState") == 1 && ran.said("restore it first") == 1, "{ran:?}");
            let ran = world.copy_all(&[&args[..], &["--archived", "skip"]].concat()).expect(0).expect_sums();
            assert_eq!((ran.count("done"), ran.count("skipped")), (1, 1), "{ran:?}");
            world.assert_none_open();
        }
    }
}

#[test]
fn a_store_that_does_not_tell_in_listings_tells_by_its_answers() {
    let world = mixed(Config { refuses_restore_status: true, ..Config::default() });
    let ran = world.copy_all(&["--archived", "skip"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (7, 3), "{ran:?}");
}

#[test]
fn what_the_destination_has_already_is_no_question_to_the_archive() {
    let world = World::new();
    world.fill(5);
    world.copy_all(&["--skip-existing"]).expect(0);
    for key in world.store().keys(SOURCE) {
        world.store().update(SOURCE, &key, |object| object.storage_class = "GLACIER".to_owned());
    }
    let ran = world.copy_all(&["--skip-existing"]).expect(0).expect_sums();
    assert_eq!(ran.json()["skipped_by_reason"], json!({ "same": 5 }), "{ran:?}");
}

#[test]
fn a_restored_copy_that_expires_meanwhile_is_archived_again() {
    let world = World::new();
    for n in 0..4 {
        let key = format!("in/{n}");
        world.store().put(SOURCE, &key, Object::pattern(12 * MIB, n).storage_class("GLACIER"));
        let expiry = SystemTime::now() + Duration::from_secs(2);
        world.store().set_restore_status(SOURCE, &key, Some(Restore::Restored { expiry }));
    }
    let late = s3bulk_test_server::Fault::Latency(Duration::from_millis(2500));
    world.server.faults().add(s3bulk_test_server::Rule::on(Operation::UploadPartCopy, late));
    let ran = world.copy_in_parts("server", &["--archived", "skip"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (0, 4), "{ran:?}");
    world.assert_none_open();
}

#[test]
fn archived_objects_are_restored_and_copied_where_that_is_wanted() {
    let world = World::with(Config { restore_after: Some(Duration::from_millis(500)), ..Config::default() });
    for n in 0..30 {
        let class = ["STANDARD", "GLACIER", "DEEP_ARCHIVE"][n % 3];
        let key = format!("in/{n}");
        world.store().put(SOURCE, &key, object(&key, n).storage_class(class));
    }
    let restoring = ["--archived", "restore", "--days", "1", "--poll-interval", "200ms"];
    let ran = world.copy_all(&[&restoring[..], &["--dry-run"]].concat()).expect(0).expect_sums();
    assert_eq!(ran.json()["skipped_by_reason"]["would-restore"], 20, "{ran:?}");
    let ran = world.copy_all(&restoring).expect(0).expect_sums();
    assert_eq!((ran.count("done"), world.server.requests(Operation::RestoreObject)), (30, 20), "{ran:?}");
    world.assert_copied();
    // What is there is not restored to be skipped.
    let ran = world.copy_all(&[&restoring[..], &["--no-overwrite", "--restart"]].concat()).expect(0).expect_sums();
    assert_eq!((ran.count("skipped"), world.server.requests(Operation::RestoreObject)), (30, 20), "{ran:?}");
    world.copy_all(&["--archived", "restore"]).expect(2);
    world.copy_all(&["--days", "1"]).expect(2);
}
