//! Runs that are killed, interrupted, or fail in part, and the runs after them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use common::{DEST, SOURCE, World, ran, send, wait_until};
use s3bulk_test_server::{Config, Fault, Object, Operation, Rule, When};

fn slow(milliseconds: u64) -> World {
    World::with(Config { latency: Duration::from_millis(milliseconds), ..Config::default() })
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let world = slow(20);
    let count = 4_000;
    world.fill(count);
    let concurrency = 64;
    let mut runs = 0;
    let mut written = 0;
    // Each run is killed after some hundred objects; the last one ends by itself.
    let last = loop {
        let mut child = world.spawn_copy_all(&["--concurrency", "64"]);
        runs += 1;
        let target = written + 450 + 37 * (runs % 5);
        while world.written() < target && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let before = Instant::now();
        child.kill().unwrap();
        let ended = ran(child.wait_with_output().unwrap());
        if ended.code.is_some() {
            break ended;
        }
        assert!(before.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(40));
        written = world.written();
    };
    let last = last.expect(0).expect_sums();
    assert!(runs >= 4, "{runs}");
    world.assert_copied();
    assert_eq!(last.count("resumed") + last.count("done"), count as u64);
    // What was in flight at a kill, and what the last tenth of a second finished.
    let again = world.written() - count as u64;
    let rate = 3_300;
    let allowed = (runs - 1) * (concurrency + rate / 10);
    assert!(again <= allowed, "{again} objects were copied again in {runs} runs");
}

#[test]
fn one_slow_object_holds_nothing_back() {
    let world = slow(5);
    world.fill(1_500);
    world.server.faults().add(
        Rule::on(Operation::CopyObject, Fault::Latency(Duration::from_secs(30)))
            .key("in/0000/000003.txt".replace("in/", "out/")),
    );
    let mut child = world.spawn_copy_all(&["--concurrency", "16"]);
    world.wait_for_writes(1_499);
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    world.server.faults().clear();
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    assert_eq!((ran.count("resumed"), ran.count("done")), (1_499, 1));
    world.assert_copied();
}

#[test]
fn a_run_after_a_finished_one_copies_all_anew() {
    let world = World::new();
    world.fill(300);
    world.copy_all(&[]).expect(0);
    let ran = world.copy_all(&[]).expect(0);
    assert_eq!((ran.count("resumed"), ran.count("done")), (0, 300));
    assert_eq!(world.written(), 600);
}

#[test]
fn a_signal_lets_requests_end_and_the_resume_copies_nothing_twice() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let world = slow(50);
        world.fill(1_500);
        let child = world.spawn_copy_all(&["--concurrency", "64"]);
        world.wait_for_writes(300);
        send(&child, signal);
        let asked = Instant::now();
        let ended = ran(child.wait_with_output().unwrap()).expect(code).expect_sums();
        assert!(asked.elapsed() < Duration::from_millis(1_500), "{:?}", asked.elapsed());
        assert_eq!(ended.json()["status"], "interrupted");
        assert!(ended.count("pending") > 0);
        let last = ended.stderr.lines().last().unwrap();
        assert!(last.contains("to resume, run the same command again: ") && last.contains(" copy "), "{last}");
        let resumed = world.copy_all(&["--concurrency", "64"]).expect(0).expect_sums();
        world.assert_copied();
        assert_eq!(resumed.count("resumed"), ended.count("done"));
        assert_eq!(resumed.count("resumed") + resumed.count("done"), 1_500);
        assert!(world.writes().values().all(|times| *times == 1));
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let world = World::new();
    world.fill(50);
    world.server.faults().add(Rule::on(Operation::CopyObject, Fault::Hang(Duration::from_secs(60))));
    let mut child = world.spawn_copy_all(&[]);
    wait_until(|| world.server.requests(Operation::CopyObject) > 0);
    send(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "requests under way are waited for");
    send(&child, "-INT");
    wait_until(|| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_failed_is_recorded_and_tried_again_when_asked() {
    let world = World::new();
    world.fill(600);
    let denied: Vec<String> = (0..10).map(|n| format!("in/{:04}/{:06}.txt", n * 57 / 50, n * 57)).collect();
    for key in &denied {
        let fault = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
        world.server.faults().add(Rule::on(Operation::CopyObject, fault).key(key.replace("in/", "out/")));
    }
    let ran = world.copy_all(&[]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (590, 10));
    let hint = ran.stderr.lines().last().unwrap();
    assert!(hint.contains("--retry-failed"), "{hint}");
    assert_eq!(failed_keys(&ran), denied);

    // They fail again, and are still known.
    let again = world.copy_all(&["--retry-failed"]).expect(3).expect_sums();
    assert_eq!((again.count("listed"), again.count("failed"), again.count("resumed")), (10, 10, 590));
    assert_eq!(failed_keys(&again), denied);

    world.server.faults().clear();
    let before = world.written();
    let mended = world.copy_all(&["--retry-failed"]).expect(0).expect_sums();
    assert_eq!((mended.count("done"), mended.count("resumed")), (10, 590));
    assert_eq!(world.written() - before, 10);
    assert!(mended.json()["failures"].is_null());
    world.assert_copied();
    let nothing = world.copy_all(&["--retry-failed"]).expect(0);
    assert_eq!(nothing.count("listed"), 0);
}

fn failed_keys(ran: &common::Ran) -> Vec<String> {
    let json = ran.json();
    let file = std::fs::read_to_string(json["failures"].as_str().unwrap()).unwrap();
    let mut keys: Vec<String> = file
        .lines()
        .map(|line| {
            let failure: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((failure["bucket"].as_str(), failure["code"].as_str()), (Some(SOURCE), Some("AccessDenied")));
            assert!(failure["request_id"].as_str().is_some_and(|id| !id.is_empty()));
            assert!(failure["dest"].as_str().is_some_and(|dest| dest.starts_with(&format!("s3://{DEST}/out/"))));
            failure["key"].as_str().unwrap().to_owned()
        })
        .collect();
    keys.sort();
    keys
}

#[test]
fn failures_of_an_interrupted_run_are_tried_again_at_the_end() {
    let world = slow(20);
    world.fill(1_000);
    let fault = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, fault).key_prefix("out/0000/"));
    let mut child = world.spawn_copy_all(&["--concurrency", "16"]);
    world.wait_for_writes(400);
    std::thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    let refused = world.copy_all(&["--retry-failed"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("without --retry-failed"), "{refused:?}");
    world.server.faults().clear();
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    world.assert_copied();
    assert_eq!(ran.count("resumed") + ran.count("done"), 1_000);
    assert!(ran.json()["failures"].is_null(), "{ran:?}");
}

#[test]
fn restart_begins_anew() {
    let world = slow(20);
    world.fill(600);
    let mut child = world.spawn_copy_all(&["--concurrency", "16"]);
    world.wait_for_writes(200);
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = world.copy_all(&["--restart"]).expect(0);
    assert_eq!((ran.count("resumed"), ran.count("done")), (0, 600));
}

#[test]
fn two_runs_of_one_job_do_not_meet() {
    let world = slow(20);
    world.fill(600);
    let child = world.spawn_copy_all(&["--concurrency", "16"]);
    let pid = child.id().to_string();
    world.wait_for_writes(50);
    let second = world.copy_all(&[]).expect(11);
    assert!(second.stderr.contains(&format!("pid {pid}")), "{second:?}");
    let jobs = common::run(world.command(&["jobs"])).expect(0);
    assert!(jobs.stdout.starts_with("running"), "{jobs:?}");
    ran(child.wait_with_output().unwrap()).expect(0);
    let jobs = common::run(world.command(&["jobs"])).expect(0);
    assert!(jobs.stdout.starts_with("complete") && jobs.stdout.contains("600 done"), "{jobs:?}");
}

#[test]
fn jobs_with_other_names_have_checkpoints_of_their_own() {
    let world = World::new();
    world.fill(10);
    world.copy_all(&[]).expect(0);
    world.copy_all(&["--job-id", "other"]).expect(0);
    let jobs = common::run(world.command(&["jobs"])).expect(0);
    assert_eq!(jobs.stdout.lines().count(), 2);
    assert!(jobs.stdout.contains("--job-id other"));
}

#[test]
fn the_checkpoint_is_private_small_and_holds_no_secret() {
    let world = slow(5);
    world.fill(3_000);
    world.copy_all(&[]).expect(0);
    let path = world.checkpoint();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.len() < 1 << 20, "{} bytes", text.len());
    assert!(!text.contains("test-secret") && !text.contains("test-key"));
}

#[test]
fn without_a_checkpoint_nothing_is_written() {
    let world = slow(20);
    world.fill(400);
    let child = world.spawn_copy_all(&["--no-checkpoint", "--concurrency", "16"]);
    world.wait_for_writes(100);
    send(&child, "-INT");
    let ended = ran(child.wait_with_output().unwrap()).expect(130);
    assert!(ended.stderr.contains("begins anew"), "{ended:?}");
    assert!(ended.json()["checkpoint"].is_null());
    assert!(!world.home.path().join("s3bulk").exists());
}

#[test]
fn an_object_that_grew_since_it_was_listed_is_copied_as_it_is_now() {
    let world = World::new();
    world.store().put(SOURCE, "in/a", Object::new("short"));
    world
        .server
        .faults()
        .add(Rule::on(Operation::GetObject, Fault::Latency(Duration::from_millis(700))).when(When::Kth(1)));
    let child = world.spawn_copy_all(&["--via", "client"]);
    wait_until(|| world.server.requests(Operation::GetObject) > 0);
    world.store().put(SOURCE, "in/a", Object::new("a body that is much longer"));
    ran(child.wait_with_output().unwrap()).expect(0);
    world.assert_copied();
}
