//! Faults on the way of parts: the object is right in the end, or fails with nothing left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::{DEST, MIB, Ran, SOURCE, WAYS, World, end, object};
use s3bulk_test_server::{Checksums, Config, Fault, Object, Operation, Rule, When};

const PART_WRITES: [Operation; 2] = [Operation::UploadPart, Operation::UploadPartCopy];

/// Everything is copied, and nothing is left behind.
#[track_caller]
fn finished(world: &World, ran: Ran) -> Ran {
    let ran = ran.expect(0).expect_sums();
    world.assert_copied();
    assert_eq!(world.open_uploads(), [""; 0], "{ran:?}");
    ran
}

fn on_parts(world: &World, fault: &Fault, when: When) {
    for operation in PART_WRITES {
        world.server.faults().add(Rule::on(operation, fault.clone()).when(when));
    }
}

#[test]
fn some_of_each_fault_on_every_operation() {
    let faults = [
        Fault::SlowDown,
        Fault::TooManyRequests,
        Fault::InternalError,
        Fault::ServiceUnavailable,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ErrorIn200,
        Fault::MalformedXml,
        Fault::CutXml,
        Fault::Truncated,
        Fault::Corrupted,
        Fault::CorruptedRequest,
    ];
    // An upload that the store says it aborted, and did not, nobody can know of.
    let loses = |operation: &&Operation| **operation != Operation::AbortMultipartUpload;
    for (way, objects, probability) in [("server", 40, 0.015), ("client", 5, 0.03)] {
        let world = World::new();
        for seed in 0..objects {
            let object = Object::pattern(11 * MIB + seed, seed).metadata("n", seed.to_string()).tag("t", "v");
            world.store().put(SOURCE, &format!("in/{seed}"), object);
        }
        for fault in &faults {
            world.server.faults().add(Rule::always(fault.clone()).when(When::Probability(probability)));
        }
        for operation in Operation::ALL.iter().filter(loses) {
            let empty = Rule::on(*operation, Fault::Empty200).when(When::Probability(probability));
            world.server.faults().add(empty);
        }
        let ran = finished(&world, world.copy_in_parts(way, &[]));
        assert!(ran.count("done") == objects && ran.count("retries") > 0, "{ran:?}");
    }
}

#[test]
fn bodies_that_come_damaged_are_read_again() {
    for (size, memory) in [(100, "256MiB"), (6 * MIB, "256MiB"), (6 * MIB, "16MiB")] {
        let world = World::new();
        for seed in 0..2 {
            world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(size, seed));
        }
        world.server.faults().add(Rule::on(Operation::GetObject, Fault::Corrupted).when(When::First(3)));
        let ran = finished(&world, world.copy_in_parts("client", &["--memory", memory, "--concurrency", "4"]));
        assert_eq!(ran.verified("checksum"), 2, "{ran:?}");
    }
}

#[test]
fn an_object_that_always_comes_damaged_fails_and_says_so() {
    for size in [100, 6 * MIB] {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(size, 1));
        world.store().put(SOURCE, "in/b", object("b", 0));
        world.server.faults().add(Rule::on(Operation::GetObject, Fault::Corrupted).key("in/a"));
        let ran = world.copy_in_parts("client", &["--attempts", "2"]).expect(3).expect_sums();
        assert_eq!((ran.count("done"), ran.count("failed")), (1, 1));
        assert!(ran.stderr.contains("ChecksumMismatch"), "{ran:?}");
        assert_eq!(world.store().keys(DEST), ["out/b"]);
        world.assert_none_open();
    }
}

#[test]
fn bodies_that_arrive_damaged_are_sent_again_if_the_store_checks_crcs_or_md5s() {
    for checksums in [Checksums::Supported, Checksums::Refused] {
        for (size, memory) in [(100, "256MiB"), (6 * MIB, "256MiB"), (6 * MIB, "16MiB")] {
            for known in [true, false] {
                let world = World::with(Config { checksums, ..Config::default() });
                let object = Object::pattern(size, 1);
                world.store().put(SOURCE, "in/a", if known { object } else { object.without_checksum() });
                for operation in [Operation::PutObject, Operation::UploadPart] {
                    world.server.faults().add(Rule::on(operation, Fault::CorruptedRequest).when(When::First(2)));
                }
                let ran = world.copy_in_parts("client", &["--memory", memory]).expect(0);
                let same = world.store().get(DEST, "out/a").unwrap().has_bytes_of(&Object::pattern(size, 1));
                assert!(same, "{checksums:?}, {size} bytes, {memory}, checksum {known}: {ran:?}");
                world.assert_none_open();
            }
        }
    }
}

#[test]
fn bodies_that_stall_are_asked_for_again() {
    for (size, memory) in [(100, "256MiB"), (6 * MIB, "256MiB"), (6 * MIB, "16MiB")] {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(size, 1));
        let stalled = Fault::Stalled(Duration::from_secs(100));
        world.server.faults().add(Rule::on(Operation::GetObject, stalled).when(When::Every(2)));
        let start = std::time::Instant::now();
        finished(&world, world.copy_in_parts("client", &["--memory", memory, "--request-timeout", "1s"]));
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn requests_for_parts_that_hang_are_cut_and_sent_again() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1).tag("a", "b"));
    for operation in [
        Operation::HeadObject,
        Operation::GetObjectTagging,
        Operation::CreateMultipartUpload,
        Operation::UploadPartCopy,
        Operation::CompleteMultipartUpload,
    ] {
        let hang = Fault::Hang(Duration::from_secs(100));
        world.server.faults().add(Rule::on(operation, hang).when(When::Kth(1)));
    }
    let start = std::time::Instant::now();
    finished(&world, world.copy_in_parts("server", &["--request-timeout", "500ms"]));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_upload_that_was_begun_without_an_answer_is_given_up_and_no_other() {
    for way in WAYS {
        for fault in [Fault::ResetAfter, Fault::MalformedXml, Fault::CutXml, Fault::Truncated] {
            let world = World::new();
            world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
            let minute_ago = SystemTime::now() - Duration::from_secs(60);
            let kept = [("out/a", minute_ago), ("out/a2", SystemTime::now()), ("out/", SystemTime::now())];
            for (key, begun) in kept {
                world.store().open_upload(DEST, key, begun);
            }
            let open = world.open_uploads();
            let lost = Rule::on(Operation::CreateMultipartUpload, fault.clone()).when(When::Kth(1));
            world.server.faults().add(lost);
            world.copy_in_parts(way, &[]).expect(0);
            world.assert_copied();
            assert_eq!(world.server.completed(Operation::CreateMultipartUpload), 2, "{fault:?}");
            assert_eq!(world.open_uploads(), open, "{way} {fault:?}");
        }
    }
}

#[test]
fn a_lost_upload_is_looked_for_and_given_up_as_often_as_anything_is_tried() {
    for operation in [Operation::ListMultipartUploads, Operation::AbortMultipartUpload] {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
        let lost = Rule::on(Operation::CreateMultipartUpload, Fault::ResetAfter).when(When::Kth(1));
        world.server.faults().add(lost);
        world.server.faults().add(Rule::on(operation, Fault::InternalError).when(When::First(4)));
        finished(&world, world.copy_in_parts("server", &[]));
    }
}

#[test]
fn an_upload_that_may_not_be_tried_again_leaves_none_behind() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
    world.server.faults().add(Rule::on(Operation::CreateMultipartUpload, Fault::ResetAfter));
    world.copy_in_parts("server", &["--attempts", "1"]).expect(3);
    world.assert_none_open();
    world.copy_in_parts("server", &["--attempts", "2"]).expect(3);
    world.assert_none_open();
}

#[test]
fn an_object_whose_parts_are_refused_fails_alone_and_leaves_no_upload() {
    for way in WAYS {
        let world = World::new();
        for key in ["a", "b", "c"] {
            world.store().put(SOURCE, &format!("in/{key}"), Object::pattern(6 * MIB, 1));
        }
        world.store().put(SOURCE, "in/small", object("small", 0));
        for operation in PART_WRITES {
            let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
            // The first part comes through.
            for nth in 2..20 {
                let rule = Rule::on(operation, denied.clone()).key("out/b").when(When::Kth(nth));
                world.server.faults().add(rule);
            }
        }
        let ran = world.copy_in_parts(way, &[]).expect(3).expect_sums();
        assert_eq!((ran.count("done"), ran.count("failed")), (3, 1), "{ran:?}");
        assert!(ran.stderr.contains("failed: s3://source-bucket/in/b: AccessDenied"), "{ran:?}");
        assert_eq!(world.store().keys(DEST), ["out/a", "out/c", "out/small"]);
        world.assert_none_open();
    }
}

#[test]
fn an_upload_that_cannot_be_given_up_is_named() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    for operation in [Operation::UploadPartCopy, Operation::AbortMultipartUpload] {
        world.server.faults().add(Rule::on(operation, denied.clone()));
    }
    let ran = world.copy_in_parts("server", &[]).expect(3);
    let said = ran.said("s3://dest-bucket/out/a could not be aborted and is left behind");
    assert!(said > 0 && said == world.open_uploads().len(), "{ran:?}");
}

#[test]
fn an_upload_that_is_aborted_by_others_while_it_is_filled_is_begun_again() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(15 * MIB, 1));
        on_parts(&world, &Fault::Latency(Duration::from_millis(100)), When::Always);
        let child = world.spawn_copy_in_parts(way, &["--concurrency", "1"]);
        world.wait_for_parts(1);
        let [id] = world.open_uploads().try_into().unwrap();
        world.abort("out/a", &id);
        finished(&world, end(child));
    }
}

#[test]
fn a_store_that_has_lost_a_part_gets_all_of_them_again() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
        let lost = Fault::Code { status: 400, code: "InvalidPart".to_owned() };
        let rule = Rule::on(Operation::CompleteMultipartUpload, lost).when(When::Kth(1));
        world.server.faults().add(rule);
        finished(&world, world.copy_in_parts(way, &[]));
        assert_eq!(world.part_requests(), 4);
    }
}

#[test]
fn a_completion_whose_answer_is_lost_is_known_to_be_done() {
    for way in WAYS {
        for checksums in [Checksums::Supported, Checksums::Ignored, Checksums::Refused] {
            for flags in [&[][..], &["--no-overwrite"]] {
                let world = World::with(Config { checksums, ..Config::default() });
                world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1).without_checksum());
                let lost = Rule::on(Operation::CompleteMultipartUpload, Fault::ResetAfter).when(When::Kth(1));
                world.server.faults().add(lost);
                let ran = finished(&world, world.copy_in_parts(way, flags));
                assert_eq!((ran.count("done"), world.parts()), (1, 2), "{way} {checksums:?} {flags:?}");
            }
        }
    }
}

#[test]
fn an_error_whose_answer_is_cut_says_nothing() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
        // The upload is completed, and the answer lost; then there is no such upload.
        for (fault, nth) in [(Fault::ResetAfter, 1), (Fault::Truncated, 2)] {
            let rule = Rule::on(Operation::CompleteMultipartUpload, fault).when(When::Kth(nth));
            world.server.faults().add(rule);
        }
        let ran = finished(&world, world.copy_in_parts(way, &[]));
        assert_eq!((ran.count("done"), world.parts()), (1, 2));
    }
}

#[test]
fn a_source_that_is_replaced_meanwhile_is_copied_as_it_was_or_as_it_is_never_mixed() {
    for way in WAYS {
        for size in [15 * MIB, 15 * MIB + 1, 6 * MIB, 100, 0] {
            let world = World::new();
            let (old, new) = (Object::pattern(15 * MIB, 1), Object::pattern(size, 2));
            world.store().put(SOURCE, "in/a", old.metadata("which", "old"));
            on_parts(&world, &Fault::Latency(Duration::from_millis(60)), When::Always);
            let child = world.spawn_copy_in_parts(way, &["--concurrency", "1"]);
            world.wait_for_parts(1);
            world.store().put(SOURCE, "in/a", new.metadata("which", "new"));
            finished(&world, end(child));
        }
    }
}

#[test]
fn a_version_that_is_replaced_meanwhile_is_copied_to_its_end() {
    for way in WAYS {
        let world = World::with(Config { versioned: true, ..Config::default() });
        world.store().put(SOURCE, "in/a", Object::pattern(20 * MIB, 1).metadata("which", "old"));
        let old = world.store().get(SOURCE, "in/a").unwrap();
        on_parts(&world, &Fault::Latency(Duration::from_millis(60)), When::Always);
        let child = world.spawn_copy_in_parts(way, &["--concurrency", "1"]);
        world.wait_for_parts(1);
        world.store().put(SOURCE, "in/a", Object::pattern(20 * MIB, 2).metadata("which", "new"));
        end(child).expect(0);
        let copy = world.store().get(DEST, "out/a").unwrap();
        assert!(copy.has_bytes_of(&old) && copy.metadata == old.metadata, "{way}");
        assert_eq!(world.part_requests(), 4, "{way}");
        world.assert_none_open();
    }
}

#[test]
fn a_source_that_is_replaced_all_the_time_fails_and_says_so() {
    for way in WAYS {
        let world = World::new();
        let put = |seed| world.store().put(SOURCE, "in/a", Object::pattern(20 * MIB, seed));
        put(0);
        world.store().put(SOURCE, "in/b", object("b", 0));
        on_parts(&world, &Fault::Latency(Duration::from_millis(40)), When::Always);
        let mut child = world.spawn_copy_in_parts(way, &["--concurrency", "2"]);
        for seed in 1.. {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            put(seed);
            std::thread::sleep(Duration::from_millis(20));
        }
        let ran = end(child).expect(3).expect_sums();
        assert_eq!((ran.count("done"), ran.count("failed")), (1, 1));
        assert!(ran.stderr.contains("failed: s3://source-bucket/in/a: SourceChanges"), "{ran:?}");
        assert_eq!(world.store().keys(DEST), ["out/b"]);
        world.assert_none_open();
    }
}
