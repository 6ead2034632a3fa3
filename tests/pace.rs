//! The pace of a run: what the store bears, and what is typed; requests that hang; runs that only fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{DEST, World, run};
use s3bulk_test_server::{Config, Fault, Operation, Rule, When};

fn denied() -> Fault {
    Fault::Code { status: 403, code: "AccessDenied".to_owned() }
}

fn expired() -> Fault {
    Fault::Code { status: 400, code: "ExpiredToken".to_owned() }
}

#[test]
fn a_server_with_a_limit_gets_little_more_than_it_takes() {
    let world = World::new();
    world.fill(1_000);
    world.server.faults().add(Rule::on(Operation::CopyObject, Fault::SlowDown).when(When::Above(100.0)));
    let ran = world.copy_all(&["-v"]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 1_000);
    // What is in flight when the first answer asks to slow down, and a few.
    assert!(ran.count("throttled") < 150, "{}", ran.count("throttled"));
    assert!(ran.stderr.contains("slowed down"), "{}", ran.stderr);
    world.assert_copied();
}

#[test]
fn requests_that_hang_are_sent_again_soon() {
    let world = World::new();
    world.fill(2_000);
    let hang = |operation| Rule::on(operation, Fault::Hang(Duration::from_secs(300)));
    world.server.faults().add(hang(Operation::CopyObject).when(When::Every(300)));
    world.server.faults().add(hang(Operation::ListObjectsV2).when(When::Kth(2)));
    let began = Instant::now();
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert!(ran.count("retries") > 5);
    world.assert_copied();
}

#[test]
fn no_more_requests_a_second_are_sent_than_typed() {
    let world = World::new();
    world.fill(150);
    let began = Instant::now();
    world.copy_all(&["--max-rps", "50"]).expect(0);
    assert!(began.elapsed() > Duration::from_millis(2_900), "{:?}", began.elapsed());
    world.assert_copied();
}

#[test]
fn no_more_bytes_a_second_are_read_than_typed() {
    let world = World::new();
    for n in 0..8 {
        let object = s3bulk_test_server::Object::new(vec![n; 256 << 10]);
        world.store().put(common::SOURCE, &format!("in/{n}"), object);
    }
    let began = Instant::now();
    world.copy_all(&["--via", "client", "--bandwidth", "1MiB"]).expect(0);
    assert!(began.elapsed() > Duration::from_millis(1_700), "{:?}", began.elapsed());
    world.assert_copied();
}

#[test]
fn the_end_of_a_run_does_not_wait_for_the_bandwidth() {
    let world = World::new();
    for n in 0..4 {
        let object = s3bulk_test_server::Object::new(vec![n; 4 << 20]);
        world.store().put(common::SOURCE, &format!("in/{n}"), object);
    }
    let began = Instant::now();
    let limits = ["--via", "client", "--bandwidth", "100KiB", "--max-runtime", "2s"];
    let ran = world.copy_all(&limits).expect(3);
    assert_eq!(ran.json()["status"], "interrupted", "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    world.copy_all(&["--via", "client"]).expect(0);
    world.assert_copied();
}

#[test]
fn five_in_a_hundred_of_each_fault_slow_nothing_down_for_long() {
    let world = World::new();
    world.fill(2_000);
    let all = [Fault::SlowDown, Fault::TooManyRequests, Fault::InternalError, Fault::ServiceUnavailable];
    for fault in all.into_iter().chain([Fault::ResetBefore, Fault::ResetAfter, Fault::ErrorIn200, Fault::CutXml]) {
        world.server.faults().add(Rule::always(fault).when(When::Probability(0.05)));
    }
    let began = Instant::now();
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 2_000);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    world.assert_copied();
}

#[test]
fn a_run_that_only_fails_ends_and_goes_on_when_that_is_mended() {
    let world = World::new();
    world.fill(3_000);
    world.server.faults().add(Rule::on(Operation::CopyObject, denied()));
    let ran = world.copy_all(&["--via", "server"]).expect(10);
    assert!(ran.stderr.contains("of the last 200 objects failed with AccessDenied"), "{}", ran.stderr);
    assert!(world.server.requests(Operation::CopyObject) < 1_000);
    world.server.faults().clear();
    let ran = world.copy_all(&["--via", "server"]).expect(0);
    assert_eq!(ran.count("done") + ran.count("resumed"), 3_000, "{ran:?}");
    world.assert_copied();
}

#[test]
fn so_many_objects_may_fail_and_no_more() {
    let world = World::with(Config { latency: Duration::from_millis(2), ..Config::default() });
    world.fill(2_000);
    world.server.faults().add(Rule::on(Operation::CopyObject, denied()).when(When::Every(10)));
    let ran = world.copy_all(&["--via", "server", "--max-failures", "20", "--concurrency", "8"]).expect(3);
    assert_eq!(ran.json()["status"], "interrupted", "{ran:?}");
    let failed = ran.count("failed");
    assert!((21..60).contains(&failed), "{failed}");
    assert!(ran.stderr.contains("--max-failures"), "{}", ran.stderr);
    world.server.faults().clear();
    world.copy_all(&["--via", "server"]).expect(0);
    world.assert_copied();
    world.copy_all(&["--via", "server", "--max-failures", "0"]).expect(0);
}

#[test]
fn credentials_that_expire_are_renewed_once_for_all() {
    renews("true");
}

#[test]
fn a_slow_source_of_credentials_fails_no_object() {
    renews("test $n = 1 || sleep 6");
}

/// Credentials expire in the middle of a run; their source does `more` each time.
fn renews(more: &str) {
    let world = World::new();
    world.fill(1_200);
    let home = world.home.path();
    let script = "#!/bin/sh\necho x >> \"$HOME/calls\"\nn=$(wc -l < \"$HOME/calls\" | tr -d ' ')\nMORE\n\
                  echo \"{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"id$n\\\",\\\"SecretAccessKey\\\":\\\"s\\\",\\\"SessionToken\\\":\\\"token$n\\\"}\"\n";
    fs::write(home.join("credentials.sh"), script.replace("MORE", more)).unwrap();
    let config = format!("[profile p]\ncredential_process = sh {}\n", home.join("credentials.sh").display());
    fs::write(home.join("config"), config).unwrap();
    world.server.faults().add(Rule::on(Operation::CopyObject, expired()).when(When::Kth(300)));
    world.server.faults().add(Rule::on(Operation::ListObjectsV2, expired()).when(When::Kth(2)));
    let (from, to) = (format!("s3://{}/in/", common::SOURCE), format!("s3://{DEST}/out/"));
    let mut command = world.copy_command(&[&from, &to, "--json", "--profile", "p", "--attempts", "2"]);
    command.env("AWS_CONFIG_FILE", home.join("config")).env("PATH", std::env::var_os("PATH").unwrap());
    let ran = run(command).expect(0);
    assert_eq!(ran.count("done"), 1_200);
    let calls = fs::read_to_string(home.join("calls")).unwrap().lines().count();
    assert!((2..=3).contains(&calls), "{calls}");
    world.assert_copied();
}

#[test]
fn a_run_whose_credentials_cannot_be_renewed_drains_and_says_so() {
    let world = World::new();
    world.fill(2_000);
    world.server.faults().add(Rule::on(Operation::CopyObject, expired()).when(When::Kth(500)));
    let ran = world.copy_all(&[]).expect(10);
    assert!(ran.stderr.contains("have expired") && ran.stderr.contains("the same command"), "{}", ran.stderr);
    assert_eq!(ran.count("failed"), 0);
    world.copy_all(&[]).expect(0);
    world.assert_copied();
}

#[test]
fn a_clock_that_is_off_is_followed() {
    let world = World::new();
    world.fill(100);
    let skewed = Fault::Code { status: 403, code: "RequestTimeTooSkewed".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, skewed.clone()).when(When::First(3)));
    world.copy_all(&[]).expect(0);
    world.assert_copied();
    world.server.faults().add(Rule::on(Operation::CopyObject, skewed));
    let ran = world.copy_all(&["--attempts", "2", "--restart"]).expect(10);
    assert!(ran.stderr.contains("RequestTimeTooSkewed"), "{}", ran.stderr);
}
