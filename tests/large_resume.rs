//! Copies in parts that are killed or interrupted: the next run sends what is missing, and no upload
//! is left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::Child;
use std::time::Duration;

use common::{DEST, MIB, Ran, Random, SOURCE, WAYS, World, end, kill, run, send, wait_until};
use s3bulk_test_server::{Checksums, Config, Fault, Object, Operation, Rule, When};

/// At most three parts at once.
const FEW: [&str; 2] = ["--concurrency", "4"];

/// Each part takes so long.
fn slow(world: &World, milliseconds: u64) {
    for operation in [Operation::UploadPart, Operation::UploadPartCopy] {
        world.server.faults().add(Rule::on(operation, Fault::Latency(Duration::from_millis(milliseconds))));
    }
}

/// What was done is recorded, and what was in flight at a kill has ended.
fn settle() {
    std::thread::sleep(Duration::from_millis(250));
}

/// A run that is killed when it has written so many parts.
fn killed_after(world: &World, parts: u64, way: &str, args: &[&str]) {
    let target = world.parts() + parts;
    let child = world.spawn_copy_in_parts(way, args);
    world.wait_for_parts(target);
    kill(child);
    settle();
}

fn answers_are_lost(world: &World, operation: Operation) {
    world.server.faults().add(Rule::on(operation, Fault::ResetAfter).when(When::Kth(1)));
    world.server.faults().add(Rule::on(operation, Fault::Hang(Duration::from_secs(60))));
}

/// Everything is copied, and nothing is left behind.
#[track_caller]
fn finished(world: &World, ran: Ran) -> Ran {
    let ran = ran.expect(0).expect_sums();
    world.assert_copied();
    assert_eq!(world.open_uploads(), [""; 0], "{ran:?}");
    ran
}

#[test]
fn a_killed_copy_sends_only_the_parts_that_are_missing() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(30 * MIB + 1, 1).metadata("a", "b"));
        slow(&world, 200);
        killed_after(&world, 2, way, &FEW);
        let (there, sent, read) = (world.parts(), world.part_requests(), world.server.requests(Operation::GetObject));
        assert!((2..7).contains(&there), "{there}");
        let ran = finished(&world, world.copy_in_parts(way, &FEW));
        assert_eq!(world.part_requests() - sent, 7 - there, "{way}");
        if way == "client" {
            assert_eq!(world.server.requests(Operation::GetObject) - read, 7 - there);
        }
        assert_eq!((ran.count("done"), ran.verified("checksum")), (1, 1), "{ran:?}");
        assert_eq!(world.server.requests(Operation::CreateMultipartUpload), 1);
    }
}

#[test]
fn runs_that_are_killed_again_and_again_come_to_an_end() {
    let mut random = Random(7);
    for (way, objects, parts) in [("server", 6, 15), ("client", 3, 4)] {
        let world = World::new();
        world.fill(60);
        for seed in 0..objects {
            let object = Object::pattern(parts * 5 * MIB, seed).tag("t", "v");
            world.store().put(SOURCE, &format!("in/0000/large{seed}"), object);
        }
        let all = objects * parts;
        slow(&world, 40);
        let mut kills = 0;
        let last = loop {
            let child = world.spawn_copy_in_parts(way, &["--concurrency", "8"]);
            if world.parts() > all / 2 {
                break end(child);
            }
            world.wait_for_parts(world.parts() + 1 + random.below(4));
            std::thread::sleep(Duration::from_millis(random.below(40)));
            kill(child);
            kills += 1;
        };
        assert!(kills > 0);
        let ran = finished(&world, last);
        assert_eq!(ran.count("resumed") + ran.count("done"), 60 + objects);
        // What was in flight at a kill.
        let again = world.parts() - all;
        assert!(again <= kills * 6, "{way}: {again} parts were sent again");
    }
}

#[test]
fn kills_and_faults_together_lose_nothing() {
    let mut random = Random(3);
    for (way, objects, parts) in [("server", 6, 10), ("client", 3, 3)] {
        let world = World::new();
        world.fill(60);
        for seed in 0..objects {
            let object = Object::pattern(parts * 5 * MIB, seed).tag("t", "v");
            world.store().put(SOURCE, &format!("in/0000/large{seed}"), object);
        }
        for fault in [Fault::SlowDown, Fault::ResetBefore, Fault::ResetAfter, Fault::MalformedXml, Fault::Truncated] {
            world.server.faults().add(Rule::always(fault).when(When::Probability(0.03)));
        }
        slow(&world, 40);
        for _ in 0..3 {
            let child = world.spawn_copy_in_parts(way, &["--concurrency", "8"]);
            std::thread::sleep(Duration::from_millis(150 + random.below(300)));
            kill(child);
        }
        finished(&world, world.copy_in_parts(way, &["--concurrency", "8"]));
    }
}

#[test]
fn a_run_that_cannot_go_on_leaves_exactly_the_uploads_that_its_checkpoint_names() {
    for way in WAYS {
        let world = World::new();
        for seed in 0..3 {
            world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(10 * MIB + 1, seed));
        }
        let gone = Fault::Code { status: 404, code: "NoSuchBucket".to_owned() };
        for operation in [Operation::UploadPart, Operation::UploadPartCopy] {
            world.server.faults().add(Rule::on(operation, gone.clone()).when(When::Kth(4)));
        }
        let ended = world.copy_in_parts(way, &FEW).expect(10).expect_sums();
        assert!(ended.stderr.contains("NoSuchBucket") && ended.count("failed") == 0, "{ended:?}");
        assert_eq!(world.open_uploads(), world.named_uploads(), "{way}");
        let (there, sent) = (world.parts(), world.part_requests());
        finished(&world, world.copy_in_parts(way, &FEW));
        assert_eq!(world.part_requests() - sent, 9 - there, "{way}");
    }
}

#[test]
fn an_interrupted_run_leaves_exactly_the_uploads_that_its_checkpoint_names() {
    for way in WAYS {
        let world = World::new();
        for seed in 0..3 {
            world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(10 * MIB + 1, seed));
        }
        slow(&world, 100);
        let child = world.spawn_copy_in_parts(way, &FEW);
        world.wait_for_parts(3);
        send(&child, "-INT");
        let ended = end(child).expect(130).expect_sums();
        assert!(ended.count("pending") > 0);
        assert!(!world.open_uploads().is_empty());
        assert_eq!(world.open_uploads(), world.named_uploads(), "{way}");
        let (there, sent) = (world.parts(), world.part_requests());
        let ran = finished(&world, world.copy_in_parts(way, &FEW));
        assert_eq!(ran.count("resumed") + ran.count("done"), 3);
        assert_eq!(world.part_requests() - sent, 9 - there, "{way}");
    }
}

#[test]
fn without_a_checkpoint_an_interrupted_run_leaves_no_upload() {
    for way in WAYS {
        let world = World::new();
        for seed in 0..3 {
            world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(10 * MIB + 1, seed));
        }
        slow(&world, 100);
        let child = world.spawn_copy_in_parts(way, &[&FEW[..], &["--no-checkpoint"]].concat());
        world.wait_for_parts(2);
        send(&child, "-TERM");
        end(child).expect(143);
        world.assert_none_open();
    }
}

#[test]
fn parts_are_relied_on_where_the_store_lists_no_checksums_for_the_checkpoint_has_them() {
    for checksums in [Checksums::Ignored, Checksums::Refused] {
        let world = World::with(Config { checksums, ..Config::default() });
        world.store().put(SOURCE, "in/a", Object::pattern(20 * MIB, 1));
        slow(&world, 100);
        killed_after(&world, 2, "client", &["--concurrency", "1"]);
        let (there, sent) = (world.parts(), world.part_requests());
        finished(&world, world.copy_in_parts("client", &FEW));
        // One part may have been in flight, and its answer lost.
        assert!(world.part_requests() - sent <= 4 - there + 1, "{checksums:?}");
    }
}

#[test]
fn an_object_that_changed_since_is_begun_again() {
    for way in WAYS {
        for size in [10 * MIB + 1, 10 * MIB + 2, 6 * MIB, 100, 0] {
            let world = World::new();
            world.store().put(SOURCE, "in/a", Object::pattern(10 * MIB + 1, 1).metadata("which", "old"));
            slow(&world, 50);
            killed_after(&world, 1, way, &FEW);
            world.store().put(SOURCE, "in/a", Object::pattern(size, 2).metadata("which", "new"));
            finished(&world, world.copy_in_parts(way, &FEW));
        }
    }
}

#[test]
fn an_object_that_is_gone_since_leaves_no_upload() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(15 * MIB, 1));
        slow(&world, 50);
        killed_after(&world, 1, way, &FEW);
        world.store().delete(SOURCE, "in/a");
        let ran = world.copy_in_parts(way, &FEW).expect(0).expect_sums();
        assert_eq!((ran.count("skipped"), ran.json()["skipped_by_reason"]["vanished"].as_u64()), (1, Some(1)));
        world.assert_none_open();
    }
}

#[test]
fn an_upload_that_was_aborted_since_is_begun_again() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(15 * MIB, 1));
        slow(&world, 50);
        killed_after(&world, 1, way, &FEW);
        let [id] = world.open_uploads().try_into().unwrap();
        world.abort("out/a", &id);
        finished(&world, world.copy_in_parts(way, &FEW));
        assert_eq!(world.server.completed(Operation::CreateMultipartUpload), 2);
    }
}

#[test]
fn an_upload_that_was_completed_without_an_answer_is_not_sent_again() {
    for way in WAYS {
        for checksums in [Checksums::Supported, Checksums::Ignored] {
            for flags in [&[][..], &["--no-overwrite"]] {
                let world = World::with(Config { checksums, ..Config::default() });
                let object = Object::pattern(11 * MIB, 1).metadata("a", "b");
                let known = checksums == Checksums::Supported;
                world.store().put(SOURCE, "in/a", if known { object } else { object.without_checksum() });
                answers_are_lost(&world, Operation::CompleteMultipartUpload);
                let args = [&FEW[..], flags].concat();
                let child = world.spawn_copy_in_parts(way, &args);
                wait_until(|| world.server.requests(Operation::CompleteMultipartUpload) == 2);
                settle();
                kill(child);
                world.server.faults().clear();
                let sent = world.part_requests();
                let ran = finished(&world, world.copy_in_parts(way, &args));
                let case = format!("{way} {checksums:?} {flags:?}");
                assert_eq!((ran.count("done"), ran.count("skipped")), (1, 0), "{case}");
                assert_eq!((world.part_requests() - sent, world.parts()), (0, 3), "{case}");
            }
        }
    }
}

#[test]
fn an_upload_that_lacks_nothing_but_its_completion_is_completed() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(11 * MIB, 1));
        let hang = Fault::Hang(Duration::from_secs(60));
        world.server.faults().add(Rule::on(Operation::CompleteMultipartUpload, hang));
        let child = world.spawn_copy_in_parts(way, &FEW);
        wait_until(|| world.server.requests(Operation::CompleteMultipartUpload) == 1);
        kill(child);
        world.server.faults().clear();
        finished(&world, world.copy_in_parts(way, &FEW));
        assert_eq!(world.part_requests(), 3);
    }
}

#[test]
fn an_upload_that_was_begun_without_an_answer_is_given_up_by_the_resume() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(11 * MIB, 1));
        answers_are_lost(&world, Operation::CreateMultipartUpload);
        let child = world.spawn_copy_in_parts(way, &FEW);
        wait_until(|| world.server.requests(Operation::CreateMultipartUpload) == 2);
        kill(child);
        world.server.faults().clear();
        assert_eq!(world.open_uploads().len(), 1);
        finished(&world, world.copy_in_parts(way, &FEW));
    }
}

#[test]
fn an_upload_that_was_begun_without_an_answer_is_given_up_by_a_restart_too() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(11 * MIB, 1));
    answers_are_lost(&world, Operation::CreateMultipartUpload);
    let child = world.spawn_copy_in_parts("server", &FEW);
    wait_until(|| world.server.requests(Operation::CreateMultipartUpload) == 2);
    kill(child);
    world.server.faults().clear();
    // Past what rounding of times forgives.
    std::thread::sleep(Duration::from_millis(4_100));
    finished(&world, world.copy_in_parts("server", &["--restart"]));
}

/// A run whose first answer to the beginning of an upload is lost, and that is interrupted before
/// the second one comes.
fn interrupted_while_it_begins(world: &World, args: &[&str]) -> Child {
    world.store().put(SOURCE, "in/a", Object::pattern(11 * MIB, 1));
    let on = |fault| Rule::on(Operation::CreateMultipartUpload, fault);
    world.server.faults().add(on(Fault::ResetAfter).when(When::Kth(1)));
    world.server.faults().add(on(Fault::Latency(Duration::from_millis(500))).when(When::Kth(2)));
    let child = world.spawn_copy_in_parts("server", args);
    wait_until(|| world.server.requests(Operation::CreateMultipartUpload) == 2);
    send(&child, "-INT");
    child
}

#[test]
fn an_interrupt_while_an_upload_is_begun_for_the_second_time_leaves_none_in_the_end() {
    let world = World::new();
    end(interrupted_while_it_begins(&world, &[])).expect(130);
    finished(&world, world.copy_in_parts("server", &[]));
}

#[test]
fn an_interrupt_while_an_upload_is_begun_leaves_none_without_a_checkpoint() {
    let world = World::new();
    end(interrupted_while_it_begins(&world, &["--no-checkpoint"])).expect(130);
    world.assert_none_open();
}

#[test]
fn restart_gives_up_what_was_begun() {
    for way in WAYS {
        let world = World::new();
        for seed in 0..2 {
            world.store().put(SOURCE, &format!("in/{seed}"), Object::pattern(10 * MIB, seed));
        }
        slow(&world, 80);
        killed_after(&world, 1, way, &FEW);
        let old = world.open_uploads();
        assert!(!old.is_empty());
        let child = world.spawn_copy_in_parts(way, &["--restart"]);
        wait_until(|| world.server.completed(Operation::AbortMultipartUpload) == old.len() as u64);
        let ran = finished(&world, end(child));
        assert_eq!((ran.count("resumed"), ran.count("done")), (0, 2));
    }
}

#[test]
fn a_resume_keeps_the_size_of_the_parts_that_are_there() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(40 * MIB, 1));
    slow(&world, 50);
    killed_after(&world, 2, "server", &FEW);
    finished(&world, world.copy_all(&["--via", "server", "--part-size", "16MiB"]));
    assert_eq!(world.store().get(DEST, "out/a").unwrap().part_sizes, [5 * MIB; 8]);
}

#[test]
fn a_retry_of_failures_that_is_killed_goes_on_with_the_missing_parts() {
    let world = World::new();
    world.fill(20);
    world.store().put(SOURCE, "in/a", Object::pattern(40 * MIB, 1));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::UploadPartCopy, denied));
    let args = [&FEW[..], &["--retry-failed"]].concat();
    world.copy_in_parts("server", &FEW).expect(3);
    world.assert_none_open();
    world.server.faults().clear();
    slow(&world, 80);
    killed_after(&world, 2, "server", &args);
    let (there, sent) = (world.parts(), world.part_requests());
    let ran = finished(&world, world.copy_in_parts("server", &args));
    assert_eq!((world.part_requests() - sent, ran.count("done")), (8 - there, 1));
}

#[test]
fn a_copy_that_fell_back_to_this_machine_is_resumed() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::pattern(15 * MIB, 1));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::UploadPartCopy, denied));
    let latency = Fault::Latency(Duration::from_millis(100));
    world.server.faults().add(Rule::on(Operation::UploadPart, latency));
    let args = [&FEW[..], &["--source-no-sign-request"]].concat();
    killed_after(&world, 1, "auto", &args);
    finished(&world, world.copy_in_parts("auto", &args));
}

#[test]
fn a_full_disk_under_the_checkpoint_leaves_no_upload_that_it_does_not_name() {
    let world = World::new();
    for seed in 0..40 {
        world.store().put(SOURCE, &format!("in/{seed:02}"), Object::pattern(20 * MIB, seed));
    }
    slow(&world, 20);
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let args = [&common::SMALL_PARTS, &FEW[..], &[from.as_str(), to.as_str(), "--via", "server"]].concat();
    let command = world.copy_command(&args);
    // A file-size limit makes writes fail as a full disk does.
    let mut limited = std::process::Command::new("sh");
    limited.arg("-c").arg("ulimit -f 4; trap '' XFSZ; exec \"$0\" \"$@\"");
    limited.arg(command.get_program()).args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = run(limited).expect(11);
    assert!(ran.stderr.contains("cannot be written"), "{ran:?}");
    let named = world.named_uploads();
    let unknown: Vec<String> = world.open_uploads().into_iter().filter(|id| !named.contains(id)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not among {named:?}");
    finished(&world, world.copy_in_parts("server", &FEW));
}
