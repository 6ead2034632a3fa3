//! Runs that nobody watches: logs for machines, metrics, and an end in time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use common::{DEST, Ran, SOURCE, World, end, run, send};
use s3bulk_test_server::{Config, Fault, Operation, Rule, When};
use serde_json::Value;

fn slow(latency: u64) -> World {
    World::with(Config { latency: Duration::from_millis(latency), ..Config::default() })
}

/// What the lines on stderr tell machines.
#[track_caller]
fn objects(ran: &Ran) -> Vec<Value> {
    let lines: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert!(["error", "warn", "info", "debug"].contains(&line["level"].as_str().unwrap()), "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
    }
    assert!(!ran.stderr.replace('\n', "").contains(char::is_control), "{ran:?}");
    lines
}

#[test]
fn each_line_of_a_log_for_machines_is_an_object() {
    let world = World::new();
    world.fill(20);
    world.store().put(SOURCE, "in/\u{1b}[31m\n", common::object("x", 1));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).key("out/\u{1b}[31m\n"));
    world.server.faults().add(Rule::on(Operation::CopyObject, Fault::SlowDown).when(When::First(2)));
    let ran = world.copy_all(&["--log-format", "json", "-vv"]).expect(3);
    let lines = objects(&ran);
    let failed: Vec<_> = lines.iter().filter(|line| line["code"] == "AccessDenied").collect();
    assert_eq!(failed.len(), 1, "{ran:?}");
    assert_eq!((&failed[0]["bucket"], &failed[0]["level"]), (&SOURCE.into(), &"error".into()));
    assert_eq!(failed[0]["key"], "in/\u{1b}[31m\n");
    let retried = lines.iter().filter(|line| line["message"].as_str().unwrap().contains("sent again"));
    assert!(retried.clone().count() >= 1 && retried.clone().all(|line| line["error"].is_string()), "{ran:?}");
    let summaries: Vec<_> = lines.iter().filter(|line| line["summary"].is_object()).collect();
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0]["summary"], ran.json());
    assert!(lines.last().unwrap()["message"].as_str().unwrap().contains("--retry-failed"));
    // Why nothing could begin.
    let ran = world.copy(&["--log-format", "json", "s3://no-such-bucket/", "s3://dest-bucket/x/"]).expect(10);
    assert_eq!(objects(&ran).last().unwrap()["level"], "error");
    // Nothing else on stdout.
    let ran = world.copy(&["--log-format=json", "-q", "s3://source-bucket/in/0000/", "s3://dest-bucket/x/"]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

#[test]
fn lines_for_people_hold_no_control_characters() {
    let world = World::new();
    world.store().put(SOURCE, "in/\u{1b}[31m\n", common::object("x", 1));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied));
    let ran =
        world.copy(&["-vv", "--no-glob", "s3://source-bucket/in/\u{1b}[31m\n", "s3://dest-bucket/\u{7}"]).expect(3);
    assert!(!ran.stderr.replace('\n', "").contains(char::is_control), "{ran:?}");
}

#[test]
fn a_run_ends_when_its_time_is_up_and_is_resumed() {
    let world = slow(50);
    world.fill(1_000);
    let began = Instant::now();
    let args = ["--max-runtime", "11s", "--concurrency", "2", "--log-format", "json"];
    let ran = world.copy_all(&args).expect(3).expect_sums();
    assert!((11..20).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let json = ran.json();
    assert_eq!(json["status"], "interrupted");
    assert!(ran.count("done") > 10 && ran.count("done") < 1_000, "{ran:?}");
    let lines = objects(&ran);
    let progress: Vec<_> = lines.iter().filter(|line| line["in_flight"].is_u64()).collect();
    assert!(!progress.is_empty() && progress[0]["done"].as_u64().unwrap() > 10, "{ran:?}");
    assert!(ran.said("the time is up") >= 2 && ran.said("to resume, run the same command again") == 1, "{ran:?}");
    let done = ran.count("done");
    let ran = world.copy_all(&["--max-runtime", "1h"]).expect(0);
    assert_eq!((ran.count("resumed"), ran.count("done")), (done, 1_000 - done));
    world.assert_copied();
}

#[test]
fn a_listing_ends_when_its_time_is_up_and_is_resumed() {
    let world = World::with(Config { list_latency: Duration::from_millis(150), page_size: 50, ..Config::default() });
    world.fill_keys((0..2_000).map(|n| format!("in/{n:05}")));
    let output = world.home.path().join("keys.jsonl");
    let args = ["--output", output.to_str().unwrap(), "--list-concurrency", "1", "--max-runtime"];
    let ran = world.list(&[&args[..], &["2s"]].concat()).expect(3);
    assert!(ran.stderr.contains("the time is up") && !output.exists(), "{ran:?}");
    world.list(&[&args[..], &["1h"]].concat()).expect(0);
    world.assert_listed(&fs::read_to_string(&output).unwrap());
}

#[test]
fn time_that_is_not_used_up_changes_nothing() {
    let world = slow(0);
    world.fill(10);
    assert_eq!(world.copy_all(&["--max-runtime", "1h"]).expect(0).json()["status"], "complete");
    // Over before it began: a bucket that takes longer to answer.
    let world = slow(3_000);
    let ran = world.copy_all(&["--max-runtime", "1s"]).expect(3);
    assert!(ran.stderr.contains("before anything was begun"), "{ran:?}");
}

/// The samples of a metrics file, without the labels of the run.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    let plain = |name: &str| {
        let (name, labels) = name.split_once('{').unwrap();
        let rest: Vec<_> = labels.trim_end_matches('}').split(',').skip(2).collect();
        format!("{name} {}", rest.join(",")).trim_end().to_owned()
    };
    samples.map(|(name, value)| (plain(name), value.parse().unwrap())).collect()
}

#[test]
fn the_metrics_are_written_whatever_the_end_is() {
    let world = World::new();
    world.fill(20);
    let file = world.home.path().join("s3bulk.prom");
    let path = file.to_str().unwrap();
    let read = || samples(&fs::read_to_string(&file).unwrap());
    let success = "s3bulk_last_success_timestamp_seconds";

    let ran = world.copy_all(&["--metrics-file", path, "--exclude", "*1.txt"]).expect(0);
    let text = fs::read_to_string(&file).unwrap();
    let job = ran.json()["job"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("s3bulk_exit_code{{verb=\"copy\",job=\"{job}\"}} 0\n")), "{text}");
    let first = read();
    assert_eq!(first["s3bulk_objects_total outcome=\"done\""], 18.0);
    assert_eq!(first["s3bulk_objects_total outcome=\"filtered\""], 2.0);
    assert_eq!(first["s3bulk_requests_total operation=\"CopyObject\""], 18.0);
    assert_eq!(first["s3bulk_status status=\"complete\""], 1.0);
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    assert!((now - 60.0..=now).contains(&first[success]) && first[success] >= first["s3bulk_start_time_seconds"]);

    // Some fail.
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).when(When::Kth(3)));
    world.copy_all(&["--metrics-file", path, "--exclude", "*1.txt"]).expect(3);
    let partial = read();
    assert_eq!(partial["s3bulk_objects_total outcome=\"failed\""], 1.0);
    assert_eq!((partial["s3bulk_exit_code"], partial[success]), (3.0, first[success]));

    // Nothing can begin; the job keeps its name.
    let mut command = world.copy_command(&["s3://source-bucket/in/", "s3://dest-bucket/out/", "--metrics-file", path]);
    command.env_remove("AWS_ACCESS_KEY_ID");
    run(command).expect(10);
    let none = read();
    assert_eq!((none["s3bulk_exit_code"], none["s3bulk_status status=\"failed\""]), (10.0, 1.0));
    assert_eq!(none[success], first[success]);
    assert!(fs::read_to_string(&file).unwrap().contains(&format!("job=\"{job}\"")));

    // A listing has a file of its own, or its own labels.
    let listing = world.home.path().join("list.prom");
    let (from, endpoint) = (format!("s3://{SOURCE}/"), world.server.endpoint());
    let args = ["list", "--endpoint-url", &endpoint, &from, "--metrics-file", listing.to_str().unwrap()];
    run(world.command(&[&args[..], &["--job-id", "nightly"]].concat())).expect(0);
    let text = fs::read_to_string(&listing).unwrap();
    assert!(text.contains("s3bulk_objects_total{verb=\"list\",job=\"nightly\",outcome=\"done\"} 20\n"), "{text}");
    // No leftovers.
    assert_eq!(fs::read_dir(world.home.path()).unwrap().count(), 3, "two files of metrics and a folder");
}

#[test]
fn the_metrics_tell_an_interruption() {
    let world = slow(100);
    world.fill(500);
    let file = world.home.path().join("s3bulk.prom");
    let child = world.spawn_copy_all(&["--concurrency", "2", "--metrics-file", file.to_str().unwrap()]);
    world.wait_for_writes(5);
    send(&child, "-TERM");
    end(child).expect(143);
    let interrupted = samples(&fs::read_to_string(&file).unwrap());
    assert_eq!(interrupted["s3bulk_exit_code"], 143.0);
    assert_eq!(interrupted["s3bulk_status status=\"interrupted\""], 1.0);
    assert!(!interrupted.contains_key("s3bulk_last_success_timestamp_seconds"));
}

#[test]
fn metrics_that_cannot_be_written_are_told_before_anything_is_asked() {
    let world = World::new();
    world.fill(3);
    let other = world.home.path().join("notes.txt");
    fs::write(&other, "mine\n").unwrap();
    for path in ["/no/such/folder/x.prom", other.to_str().unwrap(), world.home.path().to_str().unwrap()] {
        let ran = world.copy_all(&["--metrics-file", path]).expect(2);
        assert!(ran.said(path) == 1 && ran.stderr.lines().count() == 1, "{ran:?}");
    }
    assert_eq!(world.server.requests(Operation::HeadBucket), 0);
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine\n");
    assert!(world.store().keys(DEST).is_empty());
}

#[test]
fn metrics_take_the_place_of_no_other_file() {
    let world = World::new();
    world.fill(3);
    let home = world.home.path().to_str().unwrap().to_owned();
    let dangling = format!("{home}/dangling.prom");
    std::os::unix::fs::symlink("/nonexistent/there", &dangling).unwrap();
    let ran = world.copy_all(&["--metrics-file", &dangling]).expect(2);
    assert!(ran.stderr.contains("not a regular file"), "{ran:?}");
    world.copy_all(&["--metrics-file", &home]).expect(2);
    let receipt = format!("{home}/receipt.jsonl");
    let ran = world.copy_all(&["--receipt", &receipt, "--metrics-file", &receipt]).expect(2);
    assert!(ran.stderr.contains("written by this run otherwise"), "{ran:?}");
    assert_eq!(world.written(), 0);
}
