//! Restores: what is asked for, what is waited for, what is copied, each against the real binary.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{DEST, Ran, SOURCE, World, end, kill, run, wait_until};
use s3bulk_test_server::{Config, Fault, Object, Operation, Restore, Rule, When};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn command(world: &World, args: &[&str]) -> Command {
    let endpoint = world.server.endpoint();
    let from = format!("s3://{SOURCE}/in/");
    world.command(&[&["restore", "--endpoint-url", &endpoint, "--json", &from], args].concat())
}

fn restore(world: &World, args: &[&str]) -> Ran {
    run(command(world, args))
}

fn spawn(world: &World, args: &[&str]) -> Child {
    command(world, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A world whose `in/` holds so many objects of DEEP_ARCHIVE and GLACIER.
fn frozen(config: Config, count: usize) -> World {
    let world = World::with(config);
    for n in 0..count {
        let key = format!("in/{:02}/{n:05}", n % 7);
        let class = if n % 2 == 0 { "GLACIER" } else { "DEEP_ARCHIVE" };
        world.store().put(SOURCE, &key, common::object(&key, n).storage_class(class));
    }
    world
}

fn thaws_within(milliseconds: u64) -> Config {
    Config { restore_after: Some(Duration::from_millis(milliseconds)), ..Config::default() }
}

fn skipped(ran: &Ran, reason: &str) -> u64 {
    ran.json()["skipped_by_reason"][reason].as_u64().unwrap_or(0)
}

fn accepted(ran: &Ran, how: &str) -> u64 {
    ran.json()["restores"][how].as_u64().unwrap_or(0)
}

fn asked(world: &World) -> u64 {
    world.server.requests(Operation::RestoreObject)
}

/// Restores that were begun: a request that came in may not be answered yet.
fn begun(world: &World) -> u64 {
    world.server.completed(Operation::RestoreObject)
}

#[test]
fn archived_objects_are_asked_for_and_all_others_are_not() {
    let world = World::new();
    let put = |key: &str, object: Object| world.store().put(SOURCE, &format!("in/{key}"), object);
    let of = |class: &str| Object::new("x").storage_class(class);
    let restored = |days: u32| Some(Restore::Restored { expiry: SystemTime::now() + DAY * days });
    for n in 0..20 {
        put(&format!("cold/{n}"), of(if n % 2 == 0 { "GLACIER" } else { "DEEP_ARCHIVE" }));
    }
    put("going/1", Object { restore: Some(Restore::InProgress { days: Some(7) }), ..of("GLACIER") });
    put("long/1", Object { restore: restored(30), ..of("GLACIER") });
    put("short/1", Object { restore: restored(2), ..of("GLACIER") });
    for (n, class) in ["STANDARD", "GLACIER_IR", "STANDARD_IA"].into_iter().enumerate() {
        put(&format!("warm/{n}"), of(class));
    }
    put("tiered/cold", Object { archive_status: Some("ARCHIVE_ACCESS".to_owned()), ..of("INTELLIGENT_TIERING") });
    put("tiered/warm", of("INTELLIGENT_TIERING"));

    let ran = restore(&world, &["--days", "7"]).expect(0).expect_sums();
    assert_eq!((accepted(&ran, "begun"), accepted(&ran, "extended")), (21, 1), "{ran:?}");
    assert_eq!((ran.count("done"), skipped(&ran, "not-archived")), (22, 4), "{ran:?}");
    assert_eq!((skipped(&ran, "restoring"), skipped(&ran, "restored")), (1, 1), "{ran:?}");
    // Only those of which the listing does not tell.
    assert_eq!(world.server.requests(Operation::HeadObject), 2);
    assert_eq!(asked(&world), 22);

    let ran = restore(&world, &["--days", "7"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), skipped(&ran, "restoring")), (0, 22), "{ran:?}");
    assert_eq!(asked(&world), 22, "nothing is asked for twice");
}

#[test]
fn a_dry_run_asks_for_nothing() {
    let world = frozen(Config::default(), 9);
    let ran = restore(&world, &["--days", "7", "--dry-run"]).expect(0).expect_sums();
    assert_eq!((skipped(&ran, "would-restore"), asked(&world)), (9, 0), "{ran:?}");
}

#[test]
fn a_tier_without_capacity_makes_way_for_the_next() {
    let world = World::with(Config { expedited: false, ..Config::default() });
    for n in 0..10 {
        world.store().put(SOURCE, &format!("in/{n}"), Object::new("x").storage_class("GLACIER"));
    }
    let ran = restore(&world, &["--days", "1", "--tier", "expedited"]).expect(3).expect_sums();
    assert_eq!(ran.count("failed"), 10);
    assert!(ran.stderr.contains("GlacierExpeditedRetrievalNotAvailable"), "{ran:?}");
    let ran = restore(&world, &["--days", "1", "--tier", "expedited,standard"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), accepted(&ran, "begun")), (10, 10), "{ran:?}");
}

#[test]
fn it_waits_until_all_can_be_read_by_listing_alone() {
    let world = frozen(thaws_within(1_500), 4_000);
    let ran = restore(&world, &["--days", "7", "--wait", "--poll-interval", "500ms"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), asked(&world)), (4_000, 4_000), "{ran:?}");
    assert_eq!(world.server.requests(Operation::HeadObject), 0);
    let objects = world.under(SOURCE, "in/");
    assert!(objects.values().all(|object| matches!(object.restore, Some(Restore::Restored { .. }))));
}

#[test]
fn a_store_whose_listings_do_not_tell_of_restores_is_asked_by_head() {
    for config in [
        Config { tells_restores: false, ..thaws_within(800) },
        Config { refuses_restore_status: true, ..thaws_within(800) },
    ] {
        let world = frozen(config, 40);
        let ran = restore(&world, &["--days", "7", "--wait", "--poll-interval", "200ms"]).expect(0).expect_sums();
        assert_eq!((ran.count("done"), asked(&world)), (40, 40), "{ran:?}");
        assert!(
            world.under(SOURCE, "in/").values().all(|object| matches!(object.restore, Some(Restore::Restored { .. })))
        );
        let to = format!("s3://{DEST}/out/");
        restore(&world, &["--days", "7", "--to", &to, "--poll-interval", "200ms"]).expect(0).expect_sums();
        world.assert_copied();
    }
}

#[test]
fn a_run_that_is_killed_while_it_waits_goes_on_and_asks_for_nothing_twice() {
    let world = frozen(Config::default(), 3_000);
    let args = ["--days", "7", "--wait", "--poll-interval", "300ms"];
    for _ in 0..2 {
        let child = spawn(&world, &args);
        wait_until(|| begun(&world) == 3_000);
        std::thread::sleep(Duration::from_millis(900));
        kill(child);
    }
    let child = spawn(&world, &args);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(world.store().finish_restores(SOURCE), 3_000);
    let ran = end(child).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("pending"), asked(&world)), (3_000, 0, 3_000), "{ran:?}");
}

#[test]
fn a_run_that_is_killed_at_any_time_asks_for_all_and_for_hardly_any_twice() {
    let world = frozen(Config { latency: Duration::from_millis(5), ..thaws_within(3_000) }, 2_000);
    let args = ["--days", "7", "--wait", "--poll-interval", "200ms", "--concurrency", "32"];
    for part in 1..=6 {
        let child = spawn(&world, &args);
        wait_until(|| begun(&world) >= part * 250);
        kill(child);
    }
    let ran = restore(&world, &args).expect(0).expect_sums();
    assert!(asked(&world) <= 2_000 + 6 * 64, "{}: {ran:?}", asked(&world));
    let objects = world.under(SOURCE, "in/");
    assert!(objects.values().all(|object| matches!(object.restore, Some(Restore::Restored { .. }))));
}

#[test]
fn each_object_is_copied_as_soon_as_it_can_be_read() {
    let world = frozen(Config::default(), 600);
    world.store().put(SOURCE, "in/warm", Object::new("warm"));
    let to = format!("s3://{DEST}/out/");
    let child = spawn(&world, &["--days", "1", "--to", &to, "--poll-interval", "200ms"]);
    wait_until(|| begun(&world) == 600 && world.written() == 1);
    for n in 0..300 {
        let key = format!("in/{:02}/{n:05}", n % 7);
        let expiry = SystemTime::now() + DAY;
        assert!(world.store().set_restore_status(SOURCE, &key, Some(Restore::Restored { expiry })));
    }
    wait_until(|| world.written() == 301);
    world.store().finish_restores(SOURCE);
    let ran = end(child).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (601, 0), "{ran:?}");
    assert_eq!((asked(&world), world.written()), (600, 601));
    world.assert_copied();
}

#[test]
fn a_job_that_restores_and_copies_survives_kills() {
    for way in ["s3", "kms"] {
        let world = frozen(Config { latency: Duration::from_millis(3), ..thaws_within(2_000) }, 1_200);
        let to = format!("s3://{DEST}/out/");
        let kms: &[&str] = if way == "kms" { &["--sse", "aws:kms"] } else { &[] };
        let args = [&["--days", "1", "--to", &to, "--poll-interval", "200ms", "--concurrency", "16"], kms].concat();
        for step in [100, 500, 800] {
            let child = spawn(&world, &args);
            wait_until(|| begun(&world) + world.written() >= step + 600);
            kill(child);
        }
        let ran = restore(&world, &args).expect(0).expect_sums();
        assert_eq!(ran.count("failed"), 0, "{ran:?}");
        world.assert_copied();
        assert!(asked(&world) <= 1_200 + 3 * 32, "{}", asked(&world));
    }
}

#[test]
fn what_is_archived_again_before_its_copy_is_restored_again() {
    let world = frozen(Config { restored_for: Some(Duration::from_secs(2)), ..thaws_within(300) }, 200);
    let slow = Rule::on(Operation::CopyObject, Fault::Latency(Duration::from_millis(200)));
    world.server.faults().add(slow);
    let to = format!("s3://{DEST}/out/");
    let args = ["--days", "1", "--to", &to, "--poll-interval", "250ms", "--concurrency", "8"];
    let ran = restore(&world, &args).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (200, 0), "{ran:?}");
    assert!(asked(&world) > 200, "some of them cannot have lasted");
    world.assert_copied();
}

#[test]
fn a_window_bounds_what_is_restored_and_not_yet_copied() {
    let world = World::with(thaws_within(300));
    for n in 0..120 {
        world.store().put(SOURCE, &format!("in/{n:03}"), Object::new(vec![7; 1000]).storage_class("GLACIER"));
    }
    let to = format!("s3://{DEST}/out/");
    let args = ["--days", "1", "--to", &to, "--poll-interval", "100ms", "--window", "20000"];
    let mut child = spawn(&world, &args);
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let copied = world.under(DEST, "out/");
        let thawed = world.under(SOURCE, "in/").into_iter().filter(|(_, object)| object.restore.is_some());
        most = most.max(thawed.filter(|(key, _)| !copied.contains_key(key)).count());
        std::thread::sleep(Duration::from_millis(5));
    }
    let ran = end(child).expect(0).expect_sums();
    assert_eq!((ran.count("done"), asked(&world)), (120, 120), "{ran:?}");
    assert!((5..=20).contains(&most), "{most} objects of 1,000 bytes were restored at once");
    world.assert_copied();
}

#[test]
fn a_window_that_is_smaller_than_an_object_lets_one_at_a_time_pass() {
    let world = frozen(thaws_within(50), 6);
    let to = format!("s3://{DEST}/out/");
    let args = ["--days", "1", "--to", &to, "--poll-interval", "100ms", "--window", "1"];
    restore(&world, &args).expect(0).expect_sums();
    world.assert_copied();
}

#[test]
fn what_is_not_restored_in_time_has_failed_and_is_listed() {
    let world = frozen(Config::default(), 30);
    let args = ["--days", "7", "--wait", "--poll-interval", "200ms", "--timeout", "1s"];
    let ran = restore(&world, &args).expect(3).expect_sums();
    assert_eq!((ran.count("failed"), ran.count("done")), (30, 0), "{ran:?}");
    let failures = std::fs::read_to_string(ran.json()["failures"].as_str().unwrap()).unwrap();
    assert_eq!(failures.matches("\"NotRestored\"").count(), 30);
    world.store().finish_restores(SOURCE);
    let ran = restore(&world, &[&args[..], &["--retry-failed"]].concat()).expect(0).expect_sums();
    assert_eq!((ran.count("failed"), asked(&world)), (0, 30), "{ran:?}");
}

#[test]
fn failures_that_are_tried_again_are_waited_for() {
    let world = frozen(thaws_within(600), 50);
    world
        .server
        .faults()
        .add(Rule::on(Operation::RestoreObject, Fault::Code { status: 403, code: "AccessDenied".into() }));
    let to = format!("s3://{DEST}/out/");
    let args = ["--days", "1", "--to", &to, "--poll-interval", "200ms"];
    let ran = restore(&world, &args).expect(3).expect_sums();
    assert_eq!(ran.count("failed"), 50, "{ran:?}");
    world.server.faults().clear();
    let ran = restore(&world, &[&args[..], &["--retry-failed"]].concat()).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (50, 0), "{ran:?}");
    world.assert_copied();
}

#[test]
fn faults_of_the_server_lose_no_restore() {
    for fault in [
        Fault::ResetAfter,
        Fault::ResetBefore,
        Fault::InternalError,
        Fault::SlowDown,
        Fault::Empty200,
        Fault::Hang(Duration::from_secs(60)),
    ] {
        let world = frozen(thaws_within(500), 60);
        world.server.faults().add(Rule::on(Operation::RestoreObject, fault.clone()).when(When::Probability(0.2)));
        let args = ["--days", "7", "--wait", "--poll-interval", "200ms", "--request-timeout", "2s"];
        let ran = restore(&world, &args).expect(0).expect_sums();
        assert_eq!(ran.count("done"), 60, "{fault:?}: {ran:?}");
        let objects = world.under(SOURCE, "in/");
        assert!(objects.values().all(|object| matches!(object.restore, Some(Restore::Restored { .. }))), "{fault:?}");
    }
}

#[test]
fn an_object_that_vanishes_while_it_is_waited_for_is_told() {
    let world = frozen(Config::default(), 20);
    let to = format!("s3://{DEST}/out/");
    let child = spawn(&world, &["--days", "1", "--to", &to, "--poll-interval", "300ms"]);
    wait_until(|| begun(&world) == 20);
    assert!(world.store().delete(SOURCE, "in/00/00000"));
    world.store().finish_restores(SOURCE);
    let ran = end(child).expect(0).expect_sums();
    assert_eq!((ran.count("done"), skipped(&ran, "lapsed")), (19, 1), "{ran:?}");
    world.assert_copied();
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_in_one_line() {
    let world = frozen(Config::default(), 1);
    let refused = |args: &[&str], why: &str| {
        let ran = restore(&world, args).expect(2);
        assert!(ran.stderr.contains(why), "{why}: {ran:?}");
    };
    refused(&[], "--days");
    refused(&["--days", "0"], "--days");
    refused(&["--days", "1", "--timeout", "1h"], "--wait");
    refused(&["--days", "1", "--window", "1GB"], "--to");
    refused(&["--days", "1", "--storage-class", "STANDARD"], "--to");
    refused(&["--days", "1", "--tier", "bulk,expedited"], "fastest first");
    refused(&["--days", "1", "--to", &format!("s3://{SOURCE}/in/x/")], "lies under");
    assert_eq!(asked(&world), 0);
}

#[test]
fn what_a_manifest_names_is_restored_and_copied_whatever_kills_it() {
    let world = frozen(Config { latency: Duration::from_millis(3), ..thaws_within(1_500) }, 400);
    let keys: Vec<String> = world.under(SOURCE, "").into_keys().filter(|key| !key.ends_with('7')).collect();
    let file = world.home.path().join("keys.txt");
    std::fs::write(&file, keys.join("\n")).unwrap();
    let to = format!("s3://{DEST}/out/");
    let manifest = ["--manifest", file.to_str().unwrap(), "--concurrency", "8"];
    let args = [&["--days", "2", "--to", &to, "--poll-interval", "200ms"], &manifest[..]].concat();
    for part in 1..=3 {
        let child = spawn(&world, &args);
        wait_until(|| begun(&world) + world.written() >= part * 120);
        kill(child);
    }
    let ran = restore(&world, &args).expect(0).expect_sums();
    assert_eq!(ran.count("failed"), 0, "{ran:?}");
    let copied: Vec<String> = world.under(DEST, "out/").into_keys().map(|key| format!("in/{key}")).collect();
    assert_eq!(copied, keys);
    assert!(asked(&world) <= 360 + 3 * 16, "{}", asked(&world));
}

#[test]
fn only_so_many_are_restored() {
    let world = frozen(thaws_within(300), 50);
    let to = format!("s3://{DEST}/out/");
    let ran = restore(&world, &["--days", "1", "--to", &to, "--poll-interval", "100ms", "--limit", "20"]);
    let ran = ran.expect(0).expect_sums();
    assert_eq!((ran.count("done"), asked(&world), world.written()), (20, 20, 20), "{ran:?}");
}

#[test]
fn a_signal_ends_the_waiting_and_the_same_command_goes_on() {
    let world = frozen(Config::default(), 30);
    let args = ["--days", "7", "--wait", "--poll-interval", "10s"];
    let child = spawn(&world, &args);
    wait_until(|| begun(&world) == 30);
    std::thread::sleep(Duration::from_millis(300));
    common::send(&child, "-INT");
    let ran = end(child).expect(130).expect_sums();
    assert_eq!((ran.count("pending"), ran.count("waiting")), (30, 30), "{ran:?}");
    world.store().finish_restores(SOURCE);
    let ran = restore(&world, &args).expect(0).expect_sums();
    assert_eq!((ran.count("done"), asked(&world)), (30, 30), "{ran:?}");
}

#[test]
fn a_dear_restore_is_asked_about_and_ends_where_it_may_cost_no_more() {
    let world = World::with(thaws_within(200));
    for n in 0..20 {
        let key = format!("in/{n:02}");
        world.store().put(SOURCE, &key, Object::hole(1 << 40).storage_class("DEEP_ARCHIVE"));
    }
    let prices = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/prices.json");
    let args = ["--days", "1", "--tier", "standard", "--prices", prices, "--wait", "--poll-interval", "100ms"];
    let ran = restore(&world, &args).expect(2);
    assert!(ran.stderr.contains("estimated at ~$4") && ran.stderr.contains("--yes"), "{ran:?}");
    assert_eq!(asked(&world), 0);
    let at_once = ["--concurrency", "1", "--max-cost"];
    let ran = restore(&world, &[&args[..], &at_once, &["100"]].concat()).expect(3).expect_sums();
    assert!((4..=8).contains(&asked(&world)), "{} at some $21 each: {ran:?}", asked(&world));
    assert!(ran.count("pending") > 0 && ran.json()["estimated_cost_usd"].as_f64().unwrap() >= 100.0, "{ran:?}");
    let ran = restore(&world, &[&args[..], &["--yes"]].concat()).expect(0).expect_sums();
    assert_eq!((asked(&world), ran.count("failed")), (20, 0), "{ran:?}");
}
