//! Objects that are changed in place: their storage class above all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{MIB, Ran, SMALL_PARTS, SOURCE, World, assert_same, end, kill, run, wait_until};
use s3bulk_test_server::{Config, Fault, Lock, Object, Operation, Restore, Rule, Versioning, When};
use serde_json::json;

const DEEP: &[&str] = &["--storage-class", "DEEP_ARCHIVE"];

fn in_place(world: &World, args: &[&str]) -> Command {
    let logs = format!("s3://{SOURCE}/in/");
    world.copy_command(&[&[logs.as_str(), &logs, "--json"], args].concat())
}

fn change(world: &World, args: &[&str]) -> Ran {
    run(in_place(world, args))
}

fn spawn(world: &World, args: &[&str]) -> Child {
    in_place(world, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn classes(world: &World) -> BTreeMap<String, u64> {
    let mut classes = BTreeMap::new();
    for object in world.under(SOURCE, "in/").values() {
        *classes.entry(object.storage_class.clone()).or_default() += 1;
    }
    classes
}

#[track_caller]
fn assert_all_in(world: &World, class: &str, count: u64) {
    assert_eq!(classes(world), BTreeMap::from([(class.to_owned(), count)]));
}

fn locked(until: &str) -> Lock {
    Lock { mode: Some("GOVERNANCE".to_owned()), retain_until: Some(until.to_owned()), legal_hold: true }
}

fn locks(objects: &BTreeMap<String, Arc<Object>>) -> Vec<Option<Lock>> {
    objects.values().map(|object| object.lock.clone()).collect()
}

#[test]
fn objects_change_their_class_and_nothing_else() {
    let world = World::new();
    world.fill(300);
    // More than one CopyObject can copy.
    let large = Object::hole(5120 * MIB + 1).uploaded_in_parts(512 << 20).metadata("m", "v").tag("t", "u");
    world.store().put(SOURCE, "in/large", large.content_type("video/mp4"));
    let before = world.under(SOURCE, "in/");
    let ran = change(&world, DEEP).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 301, "{ran:?}");
    assert_all_in(&world, "DEEP_ARCHIVE", 301);
    assert_same(&before, &world.under(SOURCE, "in/"));
    assert_eq!(world.server.completed(Operation::UploadPartCopy), 11);
    assert_eq!(world.server.requests(Operation::CopyObject), 300);
    assert!(world.server.requests(Operation::HeadObject) <= 3, "only for the parts");
    assert_eq!(world.server.requests(Operation::GetBucketVersioning), 1);
    assert_eq!(world.store().open_uploads(SOURCE), []);
}

#[test]
fn a_second_run_does_nothing() {
    let world = World::new();
    world.fill(300);
    change(&world, DEEP).expect(0);
    let writes = world.written();
    let ran = change(&world, DEEP).expect(0).expect_sums();
    assert_eq!(ran.json()["skipped_by_reason"], json!({ "same-class": 300 }), "{ran:?}");
    assert_eq!((world.written(), world.server.requests(Operation::CopyObject)), (writes, 300));
    assert_eq!(world.server.requests(Operation::HeadObject), 0);
    assert!(ran.said("300 skipped: is in that storage class already") == 1, "{ran:?}");
}

#[test]
fn what_is_old_enough_is_moved_and_the_rest_stays() {
    let world = World::new();
    world.fill(20);
    let long_ago = SystemTime::now() - Duration::from_secs(40 * 24 * 3600);
    for n in 0..5 {
        world.store().update(SOURCE, &format!("in/0000/{n:06}.txt"), |object| object.last_modified = long_ago);
    }
    let ran = change(&world, &[DEEP, &["--older-than", "30d"]].concat()).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("filtered")), (5, 15));
    assert_eq!(classes(&world)["DEEP_ARCHIVE"], 5);
}

#[test]
fn patterns_single_objects_and_several_sources_are_changed_in_place() {
    let change = |world: &World, sources: &[&str], dest: &str| {
        let at = |path: &str| format!("s3://{SOURCE}/{path}");
        let mut args: Vec<String> = sources.iter().map(|path| at(path)).collect();
        args.push(at(dest));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        world.copy(&[&args[..], DEEP, &["--json"]].concat()).expect(0).count("done")
    };
    let world = World::new();
    world.fill(100);
    assert_eq!(change(&world, &["in/0000/*7.txt"], "in/0000/"), 5);
    assert_eq!(change(&world, &["in/0001/000050.txt"], "in/0001/000050.txt"), 1);
    assert_eq!(change(&world, &["in/0000/", "in/0001/"], "in/"), 94);
    assert_all_in(&world, "DEEP_ARCHIVE", 100);
}

#[test]
fn other_things_change_in_place_and_the_class_stays() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::new("a").storage_class("STANDARD_IA").metadata("old", "1").tag("t", "1"));
    world.store().put(SOURCE, "in/b", Object::new("b").metadata("old", "1"));
    let get = |key: &str| world.store().get(SOURCE, key).unwrap();
    change(&world, &["--tagging-directive", "replace", "--tag", "x=y"]).expect(0);
    for (key, class) in [("in/a", "STANDARD_IA"), ("in/b", "STANDARD")] {
        assert_eq!(
            (get(key).tags.as_slice(), get(key).storage_class.as_str()),
            (&[("x".into(), "y".into())][..], class)
        );
        assert_eq!(get(key).metadata["old"], "1");
    }
    change(&world, &["--metadata-directive", "replace", "--metadata", "new=2"]).expect(0);
    assert_eq!((get("in/a").metadata.clone(), get("in/a").tags.len()), ([("new".into(), "2".into())].into(), 1));
    change(&world, &["--sse", "AES256"]).expect(0);
    assert_eq!(get("in/b").encryption.as_ref().unwrap().algorithm, "AES256");
    change(&world, &["--acl", "bucket-owner-full-control"]).expect(0);
    assert_eq!(get("in/a").canned_acl.as_deref(), Some("bucket-owner-full-control"));
    // An object in the class is not skipped where something else is to change.
    let ran = change(&world, &["--storage-class", "STANDARD_IA", "--sse", "aws:kms"]).expect(0);
    assert_eq!((ran.count("done"), ran.count("skipped")), (2, 0));
    assert_eq!(get("in/a").encryption.as_ref().unwrap().algorithm, "aws:kms");
}

#[test]
fn answers_that_are_lost_are_no_failures() {
    for kept in [false, true] {
        let world = World::new();
        world.fill(100);
        if kept {
            // The entity tag of the copy is another: the second try meets 412 and not the archive.
            for (key, object) in world.store().objects(SOURCE) {
                world.store().put(SOURCE, &key, Object::clone(&object).uploaded_in_parts(4));
            }
        }
        let before = world.under(SOURCE, "in/");
        world.server.faults().add(Rule::on(Operation::CopyObject, Fault::ResetAfter).when(When::Probability(0.3)));
        let ran = change(&world, DEEP).expect(0).expect_sums();
        assert_eq!((ran.count("done"), ran.count("failed")), (100, 0), "{ran:?}");
        assert_all_in(&world, "DEEP_ARCHIVE", 100);
        assert_same(&before, &world.under(SOURCE, "in/"));
        assert_eq!(world.server.completed(Operation::CopyObject), 100, "none was written twice");
    }
}

#[test]
fn an_answer_that_never_comes_is_no_failure_either() {
    let world = World::new();
    world.fill(3);
    world.store().put(SOURCE, "in/large", Object::pattern(20 * MIB, 1));
    for operation in [Operation::CopyObject, Operation::CompleteMultipartUpload] {
        world.server.faults().add(Rule::on(operation, Fault::ResetAfter));
    }
    let args = [&SMALL_PARTS[..], DEEP, &["--attempts", "2"]].concat();
    let ran = change(&world, &args).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 4, "{ran:?}");
    assert_all_in(&world, "DEEP_ARCHIVE", 4);
    assert_eq!(world.store().open_uploads(SOURCE), []);
}

#[test]
fn an_object_that_changed_meanwhile_is_begun_again_with_what_it_is() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::new("old").metadata("v", "1"));
    let late = Rule::on(Operation::CopyObject, Fault::Latency(Duration::from_millis(300))).when(When::Kth(1));
    world.server.faults().add(late);
    let child = spawn(&world, DEEP);
    wait_until(|| world.server.requests(Operation::CopyObject) == 1);
    world.store().put(SOURCE, "in/a", Object::new("new").metadata("v", "2"));
    let ran = end(child).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 1, "{ran:?}");
    let object = world.store().get(SOURCE, "in/a").unwrap();
    assert_eq!((object.body.as_ref(), object.metadata["v"].as_str()), (b"new".as_slice(), "2"));
    assert_eq!(object.storage_class, "DEEP_ARCHIVE");
}

#[test]
fn what_is_written_while_the_store_copies_is_not_overwritten() {
    for (size, operation) in [(4 * MIB, Operation::CopyObject), (20 * MIB, Operation::UploadPartCopy)] {
        let world = World::with(Config { copy_bytes_per_second: Some(8 * MIB), ..Config::default() });
        world.store().put(SOURCE, "in/a", Object::pattern(size, 1));
        let child = spawn(&world, &[&SMALL_PARTS[..], DEEP].concat());
        wait_until(|| world.server.requests(operation) >= 1);
        std::thread::sleep(Duration::from_millis(100));
        world.store().put(SOURCE, "in/a", Object::new("new"));
        let ran = end(child).expect(0).expect_sums();
        let object = world.store().get(SOURCE, "in/a").unwrap();
        assert_eq!(
            (object.body.as_ref(), object.storage_class.as_str()),
            (b"new".as_slice(), "DEEP_ARCHIVE"),
            "{ran:?}"
        );
        assert_eq!(world.store().open_uploads(SOURCE), []);
    }
}

#[test]
fn a_store_without_conditions_on_writes_is_asked_without() {
    let world = World::new();
    world.fill(20);
    // The first write is refused, and the same without the condition is not.
    let refused = Fault::Code { status: 501, code: "NotImplemented".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, refused).when(When::Kth(1)));
    let ran = change(&world, &[DEEP, &["--concurrency", "1"]].concat()).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 20, "{ran:?}");
    assert_eq!(world.server.requests(Operation::CopyObject), 21);
}

#[test]
fn a_bucket_that_keeps_versions_is_left_alone_unless_that_is_allowed() {
    for (versioning, why) in [(Versioning::Enabled, "keeps versions"), (Versioning::Suspended, "kept versions")] {
        let world = World::new();
        world.store().set_versioning(SOURCE, Versioning::Enabled);
        world.fill(40);
        world.store().set_versioning(SOURCE, versioning);
        let until = "2099-01-02T03:04:05Z";
        for n in 0..3 {
            let key = format!("in/0000/{n:06}.txt");
            world.store().update(SOURCE, &key, |object| object.lock = Some(locked(until)));
        }
        let over = Lock { legal_hold: false, ..locked("2001-01-02T03:04:05Z") };
        world.store().update(SOURCE, "in/0000/000009.txt", |object| object.lock = Some(over));
        world.store().put(SOURCE, "in/large", Object { lock: Some(locked(until)), ..Object::pattern(12 * MIB, 1) });
        let before = world.under(SOURCE, "in/");
        for more in [&[][..], &["--dry-run"]] {
            let ran = change(&world, &[DEEP, more].concat()).expect(2);
            assert!(ran.stderr.contains(why) && ran.stderr.contains("--allow-new-versions"), "{ran:?}");
        }
        assert_eq!((world.written(), world.server.requests(Operation::ListObjectsV2)), (0, 0));
        let args = [&SMALL_PARTS[..], DEEP, &["--allow-new-versions"]].concat();
        let ran = change(&world, &args).expect(0).expect_sums();
        assert_eq!(ran.count("done"), 41);
        assert_all_in(&world, "DEEP_ARCHIVE", 41);
        let after = world.under(SOURCE, "in/");
        assert_same(&before, &after);
        for (key, object) in &before {
            let id = object.version_id.as_ref().unwrap();
            assert!(world.store().version(SOURCE, &format!("in/{key}"), id).is_some(), "the old version stays");
        }
        if versioning == Versioning::Enabled {
            let still: Vec<_> = locks(&before).into_iter().map(|lock| lock.filter(|lock| lock.legal_hold)).collect();
            assert_eq!(locks(&after), still, "one retention was over");
        }
        let again = change(&world, &args).expect(0);
        assert_eq!(again.count("skipped"), 41);
    }
}

#[test]
fn a_bucket_that_may_keep_versions_is_refused_too() {
    let world = World::new();
    world.fill(3);
    for (status, code) in [(403, "AccessDenied"), (501, "NotImplemented")] {
        world.server.faults().clear();
        let fault = Fault::Code { status, code: code.to_owned() };
        world.server.faults().add(Rule::on(Operation::GetBucketVersioning, fault));
        let ran = change(&world, DEEP).expect(2);
        assert!(ran.stderr.contains("cannot be found out") && ran.stderr.contains(code), "{ran:?}");
    }
    world.store().update(SOURCE, "in/0000/000001.txt", |object| object.lock = Some(locked("2099-01-02T03:04:05Z")));
    change(&world, &[DEEP, &["--allow-new-versions"]].concat()).expect(0);
    assert!(world.store().get(SOURCE, "in/0000/000001.txt").unwrap().lock.is_some());
}

#[test]
fn what_cannot_be_meant_in_place_is_refused() {
    let world = World::new();
    world.fill(1);
    let logs = format!("s3://{SOURCE}/in/");
    let refused = |args: &[&str], why: &str| {
        let ran = change(&world, args).expect(2);
        assert!(ran.stderr.contains(why), "{ran:?}");
    };
    refused(&[], "nothing to change (--storage-class");
    refused(&["--preserve", "acl"], "nothing to change");
    refused(&[DEEP, &["--via", "client"]].concat(), "--via client");
    for flag in ["--no-overwrite", "--skip-existing", "--skip-newer"] {
        refused(&[DEEP, &[flag]].concat(), "look for another object");
    }
    let one = format!("{logs}0000/000000.txt");
    let version = world.copy(&[&[one.as_str(), &one, "--version-id", "null"], DEEP].concat()).expect(2);
    assert!(version.stderr.contains("--version-id"), "{version:?}");
    let under = world.copy(&[&[logs.as_str(), &format!("{logs}x/")], DEEP].concat()).expect(2);
    assert!(under.stderr.contains("lies under"), "{under:?}");
    let elsewhere = world.copy_all(&["--allow-new-versions"]).expect(2);
    assert!(elsewhere.stderr.contains("is for changes in place"), "{elsewhere:?}");
    assert_eq!(world.server.requests(Operation::ListObjectsV2), 0);
}

#[test]
fn a_killed_change_goes_on() {
    let world = World::with(Config { latency: Duration::from_millis(10), ..Config::default() });
    world.fill(400);
    let before = world.under(SOURCE, "in/");
    let receipt = world.home.path().join("receipt.jsonl").to_str().unwrap().to_owned();
    let args = [DEEP, &["--concurrency", "16", "--receipt", &receipt]].concat();
    for _ in 0..2 {
        let child = spawn(&world, &args);
        world.wait_for_writes(world.written() + 100);
        kill(child);
    }
    let ran = change(&world, &args).expect(0).expect_sums();
    assert_eq!((ran.count("resumed") + ran.count("done"), ran.count("skipped")), (400, 0), "{ran:?}");
    assert_all_in(&world, "DEEP_ARCHIVE", 400);
    assert_same(&before, &world.under(SOURCE, "in/"));
    assert_eq!(world.server.completed(Operation::CopyObject), 400, "none was written twice");
    let text = std::fs::read_to_string(&receipt).unwrap();
    let keys: std::collections::BTreeSet<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|line| line["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 400);
}

#[test]
fn what_a_killed_run_had_no_answer_to_is_done() {
    let world = World::new();
    world.fill(1_500);
    // So long under way that the checkpoint names them.
    let lost = Rule::on(Operation::CopyObject, Fault::ResetAfter).key_prefix("in/0000/00000");
    world.server.faults().add(lost);
    let late = Fault::Latency(Duration::from_millis(5));
    world.server.faults().add(Rule::on(Operation::CopyObject, late));
    let child = spawn(&world, &[DEEP, &["--concurrency", "32"]].concat());
    wait_until(|| classes(&world).get("DEEP_ARCHIVE").is_some_and(|moved| *moved >= 1_300));
    kill(child);
    world.server.faults().clear();
    let ran = change(&world, DEEP).expect(0).expect_sums();
    assert_eq!((ran.count("resumed") + ran.count("done"), ran.count("skipped")), (1_500, 0), "{ran:?}");
    assert_all_in(&world, "DEEP_ARCHIVE", 1_500);
}

#[test]
fn a_killed_change_in_parts_goes_on_where_it_was() {
    let world = World::new();
    world.store().put(SOURCE, "in/large", Object::pattern(40 * MIB, 1).tag("t", "v").uploaded_in_parts(5 << 20));
    let before = world.under(SOURCE, "in/");
    let args = [&SMALL_PARTS[..], DEEP, &["--concurrency", "2"]].concat();
    let late = Fault::Latency(Duration::from_millis(200));
    world.server.faults().add(Rule::on(Operation::UploadPartCopy, late));
    let child = spawn(&world, &args);
    world.wait_for_parts(4);
    // Until its checkpoint knows of them.
    std::thread::sleep(Duration::from_millis(150));
    kill(child);
    // The answer to the completion is lost, and then comes a kill: the object has moved by now.
    world.server.faults().add(Rule::on(Operation::CompleteMultipartUpload, Fault::ResetAfter));
    let (parts, heads) = (world.parts(), world.server.requests(Operation::HeadObject));
    let child = spawn(&world, &args);
    wait_until(|| world.parts() > parts && world.server.requests(Operation::HeadObject) > heads);
    world.server.faults().add(Rule::on(Operation::HeadObject, Fault::Latency(Duration::from_secs(30))));
    wait_until(|| classes(&world).contains_key("DEEP_ARCHIVE"));
    std::thread::sleep(Duration::from_millis(150));
    kill(child);
    world.server.faults().clear();
    let ran = change(&world, &args).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 1, "{ran:?}");
    assert_all_in(&world, "DEEP_ARCHIVE", 1);
    assert_same(&before, &world.under(SOURCE, "in/"));
    assert!(world.parts() <= 8 + 2, "{}", world.parts());
    assert_eq!(world.store().open_uploads(SOURCE), []);
}

#[test]
fn a_failed_change_is_tried_again_with_what_the_object_is_then() {
    let world = World::new();
    world.fill(10);
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).key_prefix("in/0000/00000"));
    let ran = change(&world, DEEP).expect(3).expect_sums();
    assert_eq!(ran.count("failed"), 10);
    world.server.faults().clear();
    world.store().put(SOURCE, "in/0000/000003.txt", Object::new("other"));
    world.store().update(SOURCE, "in/0000/000004.txt", |object| object.storage_class = "DEEP_ARCHIVE".to_owned());
    let ran = change(&world, &[DEEP, &["--retry-failed"]].concat()).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (9, 1), "{ran:?}");
    assert_all_in(&world, "DEEP_ARCHIVE", 10);
}

#[test]
fn objects_that_are_archived_are_not_changed_until_they_are_restored() {
    let world = World::new();
    world.fill(4);
    let cold = |key: &str, restore| {
        world.store().update(SOURCE, key, |object| object.storage_class = "GLACIER".to_owned());
        world.store().set_restore_status(SOURCE, key, restore);
    };
    cold("in/0000/000000.txt", None);
    cold("in/0000/000001.txt", Some(Restore::Restored { expiry: SystemTime::now() + Duration::from_secs(3600) }));
    let ran = change(&world, &["--storage-class", "STANDARD_IA", "--archived", "skip"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (3, 1), "{ran:?}");
    let ran = change(&world, &["--storage-class", "STANDARD"]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (3, 1), "{ran:?}");
    let ran = change(&world, &["--storage-class", "GLACIER", "--include", "*0.txt"]).expect(0);
    assert_eq!(ran.count("skipped"), 1, "it is where it is to be");
}

#[test]
fn another_bucket_may_be_an_archive_too() {
    let world = World::new();
    world.fill(30);
    for class in ["GLACIER", "DEEP_ARCHIVE", "GLACIER_IR"] {
        world.copy_all(&["--storage-class", class]).expect(0);
        world.assert_copied();
        assert!(world.under(common::DEST, "out/").values().all(|object| object.storage_class == class));
    }
}
