//! `s3bulk abort-uploads`: uploads that nobody completed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, SystemTime};

use common::{DEST, Ran, World};
use s3bulk_test_server::{Config, Fault, Operation, Rule, When};

const DAY: Duration = Duration::from_secs(86_400);

fn abort(world: &World, args: &[&str]) -> Ran {
    let endpoint = world.server.endpoint();
    let mut all = vec!["abort-uploads", "--endpoint-url", endpoint.as_str(), "--json"];
    all.extend_from_slice(args);
    common::run(world.command(&all))
}

fn begun(world: &World, key: &str, days_ago: u32) {
    world.store().open_upload(DEST, key, SystemTime::now() - days_ago * DAY);
}

fn left(world: &World) -> Vec<String> {
    let mut keys: Vec<String> = world.store().open_uploads(DEST).into_iter().map(|(key, _)| key).collect();
    keys.sort();
    keys
}

#[test]
fn uploads_under_the_prefix_are_aborted_page_after_page() {
    let world = World::with(Config { page_size: 7, ..Config::default() });
    (0..40).for_each(|n| begun(&world, &format!("a/é {n}%2F+"), 1));
    begun(&world, "a/twice", 1);
    begun(&world, "a/twice", 2);
    begun(&world, "b/other", 1);
    let ran = abort(&world, &[&format!("s3://{DEST}/a/")]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), left(&world)), (42, vec!["b/other".to_owned()]));
    assert!(ran.stderr.contains("aborted: 42 uploads"), "{ran:?}");
}

#[test]
fn younger_ones_are_left_and_a_dry_run_only_shows() {
    let world = World::new();
    begun(&world, "old", 8);
    begun(&world, "young", 6);
    let all = format!("s3://{DEST}");
    let ran = abort(&world, &["--older-than", "7d", "--dry-run", &all]).expect(0).expect_sums();
    assert!(
        ran.stderr.contains("would abort: s3://dest-bucket/old") && !ran.stderr.contains("young  begun"),
        "{ran:?}"
    );
    assert_eq!((ran.count("skipped"), ran.count("filtered"), left(&world).len()), (1, 1, 2));
    abort(&world, &["--older-than", "7d", &all]).expect(0);
    assert_eq!(left(&world), ["young"]);
}

#[test]
fn a_key_means_its_uploads_only() {
    let world = World::new();
    begun(&world, "k", 1);
    begun(&world, "kk", 1);
    abort(&world, &[&format!("s3://{DEST}/k")]).expect(0);
    assert_eq!(left(&world), ["kk"]);
}

#[test]
fn faults_are_mended_and_what_cannot_be_aborted_is_said() {
    let world = World::new();
    (0..50).for_each(|n| begun(&world, &format!("{n}"), 1));
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::AbortMultipartUpload, denied).key("7"));
    for fault in [Fault::SlowDown, Fault::ResetAfter, Fault::InternalError] {
        world.server.faults().add(Rule::always(fault).when(When::Probability(0.1)));
    }
    let ran = abort(&world, &[&format!("s3://{DEST}")]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed"), left(&world)), (49, 1, vec!["7".to_owned()]));
    assert!(ran.stderr.contains("AccessDenied"), "{ran:?}");
}

#[test]
fn a_bucket_that_is_not_there_and_a_wrong_age_are_told() {
    let world = World::new();
    abort(&world, &["s3://nowhere-to-be-found"]).expect(10);
    let endpoint = world.server.endpoint();
    let wrong = ["abort-uploads", "--endpoint-url", &endpoint, "--older-than", "soon", "s3://dest-bucket"];
    let ran = common::run(world.command(&wrong)).expect(2);
    assert!(ran.stderr.contains("write it as 12h or 7d"), "{ran:?}");
}
