//! A dry run is a plan, compared with what the run then does; and the price that is watched.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{DEST, MIB, Ran, SMALL_PARTS, SOURCE, World};
use s3bulk_test_server::{Config, Object};
use serde_json::Value;

/// The table that is built in, as a file.
const PRICES: [&str; 2] = ["--prices", concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/prices.json")];

fn requests(json: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(json.clone()).unwrap()
}

/// Plans a copy, makes it, and compares; gives back the plan.
#[track_caller]
fn as_planned(world: &World, args: &[&str]) -> Value {
    let args = [args, &PRICES].concat();
    let dry = world.copy_all(&[&args[..], &["--dry-run"]].concat()).expect(0).expect_sums();
    assert_eq!((dry.count("done"), dry.json()["dry_run"].as_bool()), (0, Some(true)));
    let plan = dry.json()["plan"].clone();
    let ran = world.copy_all(&args).expect(0).expect_sums();
    let (mut planned, mut sent) = (requests(&plan["requests"]), requests(&ran.json()["requests"]));
    // Where a listing is cut depends on when its pages come.
    let lists = |of: &mut BTreeMap<String, u64>| of.remove("ListObjectsV2").unwrap();
    let (planned_lists, sent_lists) = (lists(&mut planned), lists(&mut sent));
    assert!(planned_lists.abs_diff(sent_lists) <= 4, "{planned_lists} {sent_lists}");
    assert_eq!(planned, sent);
    let sum = |field: &str| {
        let copies = plan["copies"].as_array().unwrap();
        copies.iter().map(|copies| copies[field].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((sum("objects"), sum("bytes")), (ran.count("done"), ran.count("bytes")));
    let (price, spent) = (plan["cost"]["total_usd"].as_f64().unwrap(), cost(&ran));
    let lists = 0.000_005 * 5.0;
    assert!((price - spent).abs() <= price * 1e-6 + lists, "{price} {spent}");
    assert!(price > 0.0);
    plan
}

fn cost(ran: &Ran) -> f64 {
    ran.json()["estimated_cost_usd"].as_f64().unwrap()
}

/// Small objects without tags, and some of other classes.
fn small(world: &World, count: usize) {
    for n in 0..count {
        let class = ["STANDARD", "STANDARD", "STANDARD_IA"][n % 3];
        world.store().put(SOURCE, &format!("in/{n:05}"), Object::pattern(100, 1).storage_class(class));
    }
}

#[test]
fn small_objects_within_the_store() {
    let world = World::new();
    small(&world, 1_500);
    let plan = as_planned(&world, &["--storage-class", "DEEP_ARCHIVE"]);
    let copies = plan["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 2, "{plan}");
    for (copies, class, objects) in [(&copies[0], "STANDARD", 1_000), (&copies[1], "STANDARD_IA", 500)] {
        assert_eq!((&copies["storage_class"], &copies["to_class"]), (&class.into(), &"DEEP_ARCHIVE".into()));
        assert_eq!((&copies["objects"], &copies["way"]), (&objects.into(), &"copy-object".into()));
    }
    let rising: u64 = copies.iter().map(|copies| copies["rising"].as_u64().unwrap()).sum();
    assert_eq!(rising, 1_000, "an object of 100 bytes is billed for 40 KB there, and for 128 KB in STANDARD_IA");
    // 1,500 copies to DEEP_ARCHIVE at $0.05 a thousand, and some pages.
    let of_requests = plan["cost"]["requests_usd"].as_f64().unwrap();
    assert!((0.075..0.0752).contains(&of_requests), "{of_requests}");
    assert!(plan["cost"]["retrieval_usd"].as_f64().unwrap() > 0.0);
    assert_eq!(plan["cost"]["transfer_usd"], 0.0);
}

#[test]
fn small_objects_through_this_machine() {
    let world = World::new();
    small(&world, 300);
    let plan = as_planned(&world, &["--via", "client"]);
    assert_eq!((&plan["requests"]["GetObject"], &plan["requests"]["PutObject"]), (&300.into(), &300.into()));
    assert!(plan["cost"]["transfer_usd"].as_f64().unwrap() > 0.0);
}

#[test]
fn large_objects_in_parts_on_both_ways() {
    for way in common::WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/whole", Object::pattern(23 * MIB, 1));
        let in_parts = Object::pattern(20 * MIB, 2).uploaded_in_parts(6 << 20);
        world.store().put(SOURCE, "in/parts", in_parts);
        world.store().put(SOURCE, "in/small", Object::pattern(100, 3));
        let plan = as_planned(&world, &[&SMALL_PARTS[..], &["--via", way]].concat());
        assert_eq!(plan["requests"]["CompleteMultipartUpload"], 2, "{plan}");
        // The parts of the source are taken over where nothing else is asked for.
        for key in world.store().keys(DEST) {
            world.store().delete(DEST, &key);
        }
        let plan = as_planned(&world, &["--multipart-threshold", "5MiB", "--via", way, "--restart"]);
        let part = if way == "server" { "UploadPartCopy" } else { "UploadPart" };
        let usual = if way == "server" { 1 } else { 2 };
        assert_eq!(plan["requests"][part], 4 + usual, "{plan}");
    }
}

#[test]
fn what_is_kept_takes_requests() {
    let world = World::new();
    small(&world, 30);
    let plan = as_planned(&world, &["--preserve", "storage-class,sse,acl"]);
    assert_eq!((&plan["requests"]["HeadObject"], &plan["requests"]["GetObjectAcl"]), (&30.into(), &30.into()));
    assert!(plan["copies"].as_array().unwrap().iter().all(|copies| copies["storage_class"] == copies["to_class"]));
    let plan = as_planned(&world, &["--via", "client", "--tags", "require"]);
    assert_eq!(plan["requests"]["GetObjectTagging"], 30);
}

#[test]
fn what_is_left_alone_and_what_is_not_chosen_is_not_in_it() {
    let world = World::new();
    small(&world, 300);
    world.copy_all(&[]).expect(0);
    world.store().delete(DEST, "out/00003");
    let plan = as_planned(&world, &["--skip-existing"]);
    assert_eq!(plan["requests"]["CopyObject"], 1);
    world.store().delete(DEST, "out/00003");
    world.store().delete(DEST, "out/00004");
    assert_eq!(as_planned(&world, &["--no-overwrite", "--exclude", "*3"])["requests"]["CopyObject"], 1);
    let plan = as_planned(&world, &["--storage-class-in", "STANDARD_IA", "--include", "*5"]);
    assert_eq!(plan["requests"]["CopyObject"], 10);
}

#[test]
fn tags_are_not_known_before() {
    let world = World::new();
    world.fill(40);
    let dry = world.copy_all(&["--via", "client", "--dry-run"]).expect(0);
    assert!(dry.json()["plan"]["requests"]["GetObjectTagging"].is_null());
    assert_eq!(dry.said("objects with tags take one GetObjectTagging more"), 1, "{dry:?}");
    assert_eq!(world.copy_all(&["--dry-run"]).expect(0).said("GetObjectTagging"), 0);
}

#[test]
fn a_store_that_is_not_aws_has_no_prices_of_its_own() {
    let world = World::new();
    small(&world, 3);
    let dry = world.copy_all(&["--dry-run"]).expect(0);
    assert_eq!((dry.said("$"), dry.said("no price: the store is not AWS")), (0, 1), "{dry:?}");
    assert_eq!((dry.said("  time: about"), dry.said("  requests: ")), (1, 1), "{dry:?}");
    assert!(dry.json()["plan"]["cost"].is_null());
    let ran = world.copy_all(&["-v"]).expect(0);
    assert!(ran.json()["estimated_cost_usd"].is_null() && ran.said("$") == 0, "{ran:?}");
    let refused = world.copy_all(&["--max-cost", "5"]).expect(2);
    assert!(
        refused.stderr.starts_with("s3bulk: --max-cost $5.00") && refused.said("--prices FILE") == 1,
        "{refused:?}"
    );
}

#[test]
fn the_text_of_a_plan() {
    let world = World::new();
    small(&world, 3);
    let dry = world.copy_all(&[&PRICES[..], &["--dry-run", "--max-rps", "2", "--max-cost", "0.00001"]].concat());
    let dry = dry.expect(0);
    for said in [
        "dry run: 3 objects listed, nothing was written",
        "  3 would be copied server-side",
        "    2 STANDARD, 200 B: CopyObject",
        "    1 STANDARD_IA to STANDARD, 100 B: CopyObject",
        "  requests: HeadBucket 2, ListObjectsV2 2, CopyObject 3",
        "  time: about 4 seconds at 2 requests/s",
        "estimated with your prices (us-east-1",
        "requests",
        "that is more than --max-cost $0.0001 allows",
    ] {
        assert!(dry.said(said) >= 1, "{said} in {}", dry.stderr);
    }
    assert!(dry.json()["estimated_cost_usd"].is_null());
}

#[test]
fn a_run_ends_when_it_has_cost_enough_and_goes_on_with_more() {
    let world = World::with(Config { latency: Duration::from_millis(2), ..Config::default() });
    small(&world, 2_000);
    let run =
        |most: &str| world.copy_all(&[&PRICES[..], &["--concurrency", "8", "--max-cost", most]].concat()).expect_sums();
    // 2,000 copies at $0.005 a thousand.
    let first = run("0.005").expect(3);
    assert_eq!(first.json()["status"], "interrupted");
    let done = first.count("done");
    assert!((700..1_100).contains(&done), "{done}");
    assert!((0.005..0.0055).contains(&cost(&first)), "{first:?}");
    assert_eq!(first.said("--max-cost allows; to go on, allow it more: "), 1, "{first:?}");
    assert_eq!(first.said("--max-cost 0.01"), 1, "{first:?}");
    // The same command has nothing left to spend.
    let again = run("0.005").expect(3);
    assert_eq!((again.count("done"), again.count("resumed")), (0, done), "{again:?}");
    let last = run("$1").expect(0);
    assert_eq!((last.count("done") + last.count("resumed"), last.json()["status"].as_str()), (2_000, Some("complete")));
    assert!((0.0099..0.0105).contains(&cost(&last)), "{last:?}");
    assert_eq!(last.said("~$0.010"), 1, "{last:?}");
    assert!(world.writes().values().all(|times| *times == 1));
}

#[test]
fn a_killed_run_has_cost_what_it_did() {
    let world = World::with(Config { latency: Duration::from_millis(5), ..Config::default() });
    small(&world, 1_000);
    let args = [&PRICES[..], &["--concurrency", "8"]].concat();
    let child = world.spawn_copy_all(&args);
    world.wait_for_writes(400);
    std::thread::sleep(Duration::from_millis(100));
    common::kill(child);
    let last = world.copy_all(&args).expect(0);
    assert!((0.0049..0.0055).contains(&cost(&last)), "{last:?}");
}

#[test]
fn a_table_that_cannot_be_read_is_a_usage_error() {
    let world = World::new();
    let refused = |text: &str, why: &str| {
        let path = world.home.path().join("prices.json");
        std::fs::write(&path, text).unwrap();
        let ran = world.copy_all(&["--prices", path.to_str().unwrap()]).expect(2);
        assert!(ran.stderr.starts_with("s3bulk: --prices ") && ran.stderr.lines().count() == 1, "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    };
    let table = std::fs::read_to_string(PRICES[1]).unwrap();
    refused("", "EOF");
    refused(&table.replacen("0.0036", "null", 1), "classes.GLACIER.storage_gb_month");
    refused(&table.replacen("\"transfer_gb\"", "\"transfers\"", 1), "unknown field `transfers`");
    let missing = world.copy_all(&["--prices", "/no/such/file"]).expect(2);
    assert!(missing.stderr.contains("--prices /no/such/file: No such file"), "{missing:?}");
    let refused = world.copy_all(&["--max-cost", "lots"]).expect(2);
    assert!(refused.stderr.contains("write it as 5, $5 or 0.50"), "{refused:?}");
}
