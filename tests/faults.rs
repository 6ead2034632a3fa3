//! A server that fails and lies: the copy is complete all the same, or says what is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{SOURCE, World, object};
use s3bulk_test_server::{Fault, Operation, Rule, When};

fn some_of_each() -> [Fault; 11] {
    [
        Fault::SlowDown,
        Fault::TooManyRequests,
        Fault::InternalError,
        Fault::ServiceUnavailable,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::ErrorIn200,
        Fault::Empty200,
        Fault::MalformedXml,
        Fault::CutXml,
        Fault::Truncated,
    ]
}

fn copies_despite(faults: impl IntoIterator<Item = Fault>, probability: f64, args: &[&str]) {
    let world = World::new();
    world.fill(1_500);
    for fault in faults {
        world.server.faults().add(Rule::always(fault).when(When::Probability(probability)));
    }
    let ran = world.copy_all(args).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 1_500);
    assert!(ran.count("retries") > 0);
    world.assert_copied();
}

#[test]
fn one_in_a_hundred_of_each_fault_on_every_operation_server_side() {
    copies_despite(some_of_each(), 0.01, &[]);
}

#[test]
fn one_in_a_hundred_of_each_fault_on_every_operation_through_this_machine() {
    copies_despite(some_of_each(), 0.01, &["--via", "client"]);
}

#[test]
fn each_fault_alone_on_the_listing_loses_no_key() {
    for fault in some_of_each() {
        let world = World::new();
        world.fill(2_200);
        world.server.faults().add(Rule::on(Operation::ListObjectsV2, fault.clone()).when(When::Every(2)));
        let ran = world.copy_all(&["--list-concurrency", "2"]).expect(0);
        assert_eq!(ran.count("done"), 2_200, "{fault:?}");
        world.assert_copied();
    }
}

#[test]
fn a_request_that_hangs_is_cut_and_sent_again() {
    let world = World::new();
    world.fill(100);
    let hang = Fault::Hang(Duration::from_secs(100));
    for operation in [Operation::CopyObject, Operation::GetObject, Operation::PutObject, Operation::ListObjectsV2] {
        world.server.faults().add(Rule::on(operation, hang.clone()).when(When::Kth(1)));
    }
    let start = std::time::Instant::now();
    world.copy_all(&["--request-timeout", "1s"]).expect(0);
    world.copy_all(&["--request-timeout", "1s", "--via", "client"]).expect(0);
    assert!(start.elapsed() < Duration::from_secs(40));
    world.assert_copied();
}

#[test]
fn an_object_that_never_works_fails_after_its_attempts_and_stops_no_other() {
    let world = World::new();
    world.fill(200);
    world.server.faults().add(Rule::on(Operation::CopyObject, Fault::InternalError).key("out/0001/000077.txt"));
    let ran = world.copy_all(&["--attempts", "3"]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed"), ran.count("retries")), (199, 1, 2));
    let failures = std::fs::read_to_string(ran.json()["failures"].as_str().unwrap()).unwrap();
    let failure: serde_json::Value = serde_json::from_str(&failures).unwrap();
    assert_eq!((failure["code"].as_str(), failure["attempts"].as_u64()), (Some("InternalError"), Some(3)));
}

#[test]
fn a_listed_object_that_is_gone_is_skipped_and_said() {
    for via in ["server", "client"] {
        let world = World::new();
        world.fill(100);
        let operation = if via == "server" { Operation::CopyObject } else { Operation::GetObject };
        // Slow enough that the object can be deleted between its listing and its turn.
        world.server.faults().add(Rule::on(operation, Fault::Latency(Duration::from_millis(800))).when(When::First(2)));
        let child = world.spawn_copy_all(&["--via", via, "--concurrency", "1"]);
        common::wait_until(|| world.server.requests(operation) > 0);
        world.store().delete(SOURCE, "in/0001/000099.txt");
        let ran = common::ran(child.wait_with_output().unwrap()).expect(0).expect_sums();
        assert_eq!((ran.count("done"), ran.count("skipped")), (99, 1));
        assert_eq!(ran.json()["skipped_by_reason"]["vanished"].as_u64(), Some(1));
        assert!(ran.stderr.contains("1 skipped: vanished"), "{ran:?}");
    }
}

#[test]
fn an_object_that_is_listed_but_cannot_be_found_is_a_failure() {
    let world = World::new();
    world.fill(20);
    let gone = Fault::Code { status: 404, code: "NoSuchKey".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, gone).key("out/0000/000007.txt"));
    let ran = world.copy_all(&[]).expect(3).expect_sums();
    assert_eq!((ran.count("skipped"), ran.count("failed")), (0, 1));
    assert!(ran.stderr.contains("the listing still shows it"), "{ran:?}");
}

#[test]
fn under_strict_source_a_vanished_object_is_a_failure() {
    let world = World::new();
    world.fill(40);
    world
        .server
        .faults()
        .add(Rule::on(Operation::CopyObject, Fault::Latency(Duration::from_millis(800))).when(When::First(2)));
    let child = world.spawn_copy_all(&["--strict-source", "--concurrency", "1"]);
    common::wait_until(|| world.server.requests(Operation::CopyObject) > 0);
    world.store().delete(SOURCE, "in/0000/000039.txt");
    let ran = common::ran(child.wait_with_output().unwrap()).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (39, 1));
}

#[test]
fn a_bucket_that_disappears_ends_the_run_with_its_work_still_to_do() {
    let world = World::new();
    world.fill(300);
    let gone = Fault::Code { status: 404, code: "NoSuchBucket".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, gone));
    let ran = world.copy_all(&["--concurrency", "8"]).expect(10).expect_sums();
    assert!(ran.stderr.contains("NoSuchBucket"), "{ran:?}");
    assert_eq!((ran.json()["status"].as_str(), ran.count("failed")), (Some("failed"), 0));
    assert!(ran.count("pending") > 0);
    world.server.faults().clear();
    assert_eq!(world.copy_all(&["--concurrency", "8"]).expect(0).count("done"), 300);
    world.assert_copied();
}

#[test]
fn a_listing_that_cannot_be_read_is_no_success() {
    let world = World::new();
    world.fill(2_500);
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    // A question about where to cut is no matter; a page is.
    for kth in 3..=40 {
        world.server.faults().add(Rule::on(Operation::ListObjectsV2, denied.clone()).when(When::Kth(kth)));
    }
    let ran = world.copy_all(&[]).expect(10).expect_sums();
    assert!(ran.stderr.contains("cannot be listed: AccessDenied"), "{ran:?}");
    world.server.faults().clear();
    let ran = world.copy_all(&[]).expect(0);
    assert_eq!(ran.count("resumed") + ran.count("done"), 2_500);
    world.assert_copied();
}

#[test]
fn a_denied_copy_goes_through_this_machine_where_the_source_has_its_own_credentials() {
    let world = World::new();
    world.fill(60);
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied));
    let ran = world.copy_all(&["--source-no-sign-request"]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 60);
    let said = ran.stderr.lines().filter(|line| line.contains("the bytes go through this machine")).count();
    assert_eq!(said, 1, "{ran:?}");
    world.assert_copied();
    // The same credentials at both ends: there is nothing to fall back to.
    assert_eq!(world.copy_all(&[]).expect(3).count("failed"), 60);
}

#[test]
fn a_write_only_destination_may_not_be_asked() {
    let world = World::new();
    world.fill(20);
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::HeadBucket, denied));
    world.copy_all(&[]).expect(0);
    world.assert_copied();
}

#[test]
fn keys_are_escaped_when_they_are_printed() {
    let world = World::new();
    let key = "in/\u{1b}[2Jevil\u{202e}";
    world.store().put(SOURCE, key, object(key, 0));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied));
    let ran = world.copy_all(&[]).expect(3);
    assert!(ran.stderr.contains(r"in/\u{1b}[2Jevil\u{202e}"), "{ran:?}");
    assert!(!ran.stderr.contains('\u{1b}'));
}

/// Answers HEAD with 200, and everything else with a body that does not end.
fn endless(listener: &std::net::TcpListener) {
    use std::io::{Read as _, Write as _};
    for connection in listener.incoming() {
        let mut connection = connection.unwrap();
        std::thread::spawn(move || {
            let mut request = [0; 8192];
            while let Ok(1..) = connection.read(&mut request) {
                if request.starts_with(b"HEAD") {
                    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                    continue;
                }
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(65536));
                while connection.write_all(chunk.as_bytes()).is_ok() {}
                return;
            }
        });
    }
}

#[test]
fn an_answer_that_does_not_end_is_cut_and_takes_no_memory() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || endless(&listener));
    let args = ["copy", "--endpoint-url", &endpoint, "s3://source-bucket/", "s3://dest-bucket/", "--attempts", "3"];
    let mut child = world.command(&args).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(resident.unwrap_or(0_u64));
        std::thread::sleep(Duration::from_millis(5));
    }
    let ran = common::ran(child.wait_with_output().unwrap()).expect(10);
    assert!(ran.stderr.contains("cannot be listed"), "{ran:?}");
    assert!(most < 128 << 10, "{most} KiB");
}
