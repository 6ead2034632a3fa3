//! Restores that are interrupted, bounded, or stand beside objects that do not wait: nothing is lost, and
//! nothing is done twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{DEST, Ran, SOURCE, World, end, kill, object, run, send, wait_until};
use s3bulk_test_server::{Config, Encryption, Object, Operation, Order};

fn command(world: &World, args: &[&str]) -> Command {
    let endpoint = world.server.endpoint();
    let flags = ["restore", "--endpoint-url", &endpoint, "--json", "--days", "1"];
    let waits = args.iter().any(|arg| ["--to", "--wait"].contains(arg));
    let pause: &[&str] = if waits { &["--poll-interval", "200ms"] } else { &[] };
    world.command(&[&flags[..], pause, args].concat())
}

fn restore(world: &World, args: &[&str]) -> Ran {
    run(command(world, args))
}

fn spawn(world: &World, args: &[&str]) -> Child {
    command(world, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn thaws_within(milliseconds: u64) -> Config {
    Config { restore_after: Some(Duration::from_millis(milliseconds)), ..Config::default() }
}

/// Every third object is archived.
fn mixed(config: Config, count: usize) -> World {
    let world = World::with(config);
    for n in 0..count {
        let key = format!("in/{n:05}");
        let class = if n % 3 == 0 { "GLACIER" } else { "STANDARD" };
        world.store().put(SOURCE, &key, object(&key, n).storage_class(class));
    }
    world
}

fn asked(world: &World) -> u64 {
    world.server.requests(Operation::RestoreObject)
}

fn from() -> String {
    format!("s3://{SOURCE}/in/")
}

fn to() -> String {
    format!("s3://{DEST}/out/")
}

#[test]
fn a_kill_between_two_looks_loses_nothing_beside_what_was_left_alone() {
    let world = mixed(Config::default(), 90);
    for (key, object) in world.under(SOURCE, "in/") {
        if object.storage_class == "STANDARD" {
            world.store().put(DEST, &format!("out/{key}"), (*object).clone());
        }
    }
    let (from, to) = (from(), to());
    let args = [from.as_str(), "--to", &to, "--no-overwrite"];
    let child = spawn(&world, &args);
    wait_until(|| world.server.completed(Operation::RestoreObject) == 30);
    std::thread::sleep(Duration::from_millis(900));
    kill(child);
    world.store().finish_restores(SOURCE);
    restore(&world, &args).expect(0).expect_sums();
    assert_eq!((asked(&world), world.written()), (30, 30));
    world.assert_copied();
}

#[test]
fn a_signal_in_a_bounded_restore_leaves_what_was_not_looked_at_to_the_next_run() {
    for pause in [200, 600, 1_000] {
        let world = mixed(Config { latency: Duration::from_millis(5), ..thaws_within(300) }, 300);
        let (from, to) = (from(), to());
        let args = [from.as_str(), "--to", &to, "--window", "200", "--concurrency", "8"];
        let child = spawn(&world, &args);
        wait_until(|| asked(&world) > 0);
        std::thread::sleep(Duration::from_millis(pause));
        send(&child, "-INT");
        let ran = end(child);
        assert!(ran.code == Some(130), "{ran:?}");
        restore(&world, &args).expect(0).expect_sums();
        world.assert_copied();
    }
}

#[test]
fn copies_whose_entity_tags_tell_nothing_are_made_once() {
    let world = World::with(thaws_within(900));
    let kms = || Encryption { algorithm: "aws:kms".to_owned(), ..Encryption::default() };
    for n in 0..40 {
        let class = if n % 2 == 0 { "GLACIER" } else { "STANDARD" };
        let encrypted = Object { encryption: Some(kms()), ..Object::new(format!("object {n}")) };
        // Its entity tag is no MD5.
        let encrypted = Object { etag: format!("{n:032x}"), ..encrypted }.without_checksum().storage_class(class);
        world.store().put(SOURCE, &format!("in/{n:02}"), encrypted);
    }
    let (from, to) = (from(), to());
    let ran = restore(&world, &[&from, "--to", &to]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("skipped")), (40, 0), "{ran:?}");
    assert!(world.written() <= 44, "{}", world.written());
}

#[test]
fn a_store_that_lists_in_no_order_is_restored_whole() {
    for order in [Order::Shuffled, Order::Utf16] {
        let world = mixed(Config { order, ..thaws_within(300) }, 2_400);
        let (from, to) = (from(), to());
        let ran = restore(&world, &[&from, "--to", &to]).expect(0).expect_sums();
        assert_eq!(ran.count("failed"), 0, "{ran:?}");
        world.assert_copied();
    }
}

#[test]
fn a_window_holds_over_several_sources_listed_one_after_another() {
    let world = World::with(thaws_within(100));
    for n in 0..40 {
        let object = Object::new(vec![1; 100]).storage_class("GLACIER");
        world.store().put(SOURCE, &format!("{}/{n:02}", ["a", "b"][n % 2]), object);
    }
    let (one, other) = (format!("s3://{SOURCE}/a/"), format!("s3://{SOURCE}/b/"));
    let to = to();
    let args = [one.as_str(), &other, "--to", &to, "--window", "500", "--list-concurrency", "1"];
    let ran = restore(&world, &args).expect(0).expect_sums();
    assert_eq!((ran.count("done"), asked(&world), world.written()), (40, 40, 40), "{ran:?}");
}

/// A manifest of all keys, in a file of the world's home.
fn manifest(world: &World, more: &str) -> String {
    let file = world.home.path().join("keys.txt");
    let keys: Vec<String> = world.under(SOURCE, "").into_keys().collect();
    std::fs::write(&file, keys.join("\n") + "\n" + more).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn looks_by_manifest_stay_within_what_was_chosen() {
    let (from, to) = (from(), to());
    let world = mixed(thaws_within(300), 300);
    let file = manifest(&world, "");
    let args = [from.as_str(), "--to", &to, "--manifest", &file, "--limit", "30"];
    let ran = restore(&world, &args).expect(0).expect_sums();
    assert_eq!((ran.count("done"), asked(&world), world.written()), (30, 10, 30), "{ran:?}");

    let world = mixed(Config::default(), 300);
    let file = manifest(&world, "");
    let args = [from.as_str(), "--to", &to, "--manifest", &file, "--window", "200", "--timeout", "900ms"];
    let ran = restore(&world, &args).expect(3).expect_sums();
    assert!((5..=20).contains(&asked(&world)), "{} objects of 10 bytes and more: {ran:?}", asked(&world));
}

#[test]
fn what_a_manifest_names_and_is_not_there_has_failed() {
    let world = mixed(thaws_within(100), 9);
    let file = manifest(&world, "in/none\n");
    let (from, to) = (from(), to());
    for flags in [&["--wait"][..], &["--to", &to], &[]] {
        let ran = restore(&world, &[&[from.as_str(), "--manifest", &file], flags].concat()).expect(3).expect_sums();
        assert_eq!(ran.count("failed"), 1, "{ran:?}");
        assert!(ran.stderr.contains("in/none"), "{ran:?}");
    }
    let copied = world.copy_all(&["--manifest", &file, "--archived", "skip"]).expect(3).expect_sums();
    assert_eq!(copied.count("failed"), 1, "{copied:?}");
}

#[test]
fn each_class_is_restored_by_a_tier_that_it_has() {
    let world = World::with(thaws_within(100));
    for (n, class) in ["GLACIER", "DEEP_ARCHIVE"].into_iter().enumerate() {
        world.store().put(SOURCE, &format!("in/{n}"), Object::new("x").storage_class(class));
    }
    let ran = restore(&world, &[&from(), "--tier", "expedited"]).expect(3).expect_sums();
    assert!(ran.stderr.contains("TierNotOffered") && ran.count("done") == 1, "{ran:?}");
    let ran = restore(&world, &[&from(), "--tier", "expedited,standard"]).expect(0).expect_sums();
    assert_eq!(ran.count("failed"), 0, "{ran:?}");
}

#[test]
fn a_pipe_that_would_have_to_be_read_twice_is_refused() {
    let world = mixed(Config::default(), 9);
    let prices = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/prices.json");
    let ran = restore(&world, &[&from(), "--manifest", "-", "--prices", prices]).expect(2);
    assert!(ran.stderr.contains("from a pipe"), "{ran:?}");
    assert_eq!(asked(&world), 0);
}
