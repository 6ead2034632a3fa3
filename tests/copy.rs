//! Copies with the real binary: what arrives, and what is said about it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::listing::awkward_keys;
use common::{DEST, Ran, SOURCE, World, assert_same, object, run};
use s3bulk_test_server::{Account, Config, ContentHeaders, Object, Operation, Server};

#[test]
fn a_prefix_is_copied_by_the_store_itself() {
    let world = World::new();
    world.fill(2_500);
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    world.assert_copied();
    assert_eq!((ran.count("done"), ran.count("listed"), ran.count("resumed")), (2_500, 2_500, 0));
    assert_eq!(ran.json()["status"], "complete");
    assert_eq!(world.server.requests(Operation::GetObject), 0);
    let requests = ran.json()["requests"].clone();
    assert_eq!(requests["CopyObject"].as_u64(), Some(world.server.requests(Operation::CopyObject)));
    assert_eq!(requests["ListObjectsV2"].as_u64(), Some(world.server.requests(Operation::ListObjectsV2)));
    assert!(ran.json()["failures"].is_null());
}

#[test]
fn a_prefix_is_copied_through_this_machine_with_all_that_describes_it() {
    let world = World::new();
    world.fill(300);
    let headers = ContentHeaders {
        content_type: Some("text/x; charset=utf-8".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        content_disposition: Some("attachment; filename=\"x y.txt\"".to_owned()),
        content_language: Some("de, en".to_owned()),
        cache_control: Some("max-age=3600, public".to_owned()),
        expires: Some("Wed, 21 Oct 2026 07:28:00 GMT".to_owned()),
        ..ContentHeaders::default()
    };
    let full = Object::new("body").headers(headers).metadata("a", "b c").metadata("d", "").tag("k+ &=é", "v/ ü");
    world.store().put(SOURCE, "in/full", full);
    world.store().put(SOURCE, "in/empty", Object::new(""));
    world.store().put(SOURCE, "in/large", Object::new(vec![7; 9 << 20]));
    let ran = world.copy_all(&["--via", "client"]).expect(0).expect_sums();
    world.assert_copied();
    assert_eq!(ran.count("done"), 303);
    assert_eq!(world.server.requests(Operation::CopyObject), 0);
    // Tags are asked for only where there are some: of each 4 objects one, and the full one.
    assert_eq!(world.server.requests(Operation::GetObjectTagging), 76);
}

#[test]
fn bytes_through_this_machine_stay_within_the_budget() {
    let world = World::new();
    for n in 0..40 {
        world.store().put(SOURCE, &format!("in/{n}"), Object::new(vec![n; 1 << 20]));
    }
    world.copy_all(&["--via", "client", "--memory", "4MiB"]).expect(0);
    world.assert_copied();
    // Less than one object has: one at a time then.
    world.copy_all(&["--via", "client", "--memory", "512KiB"]).expect(0);
    world.assert_copied();
}

#[test]
fn awkward_keys_arrive_as_they_were_on_both_ways() {
    let world = World::new();
    let keys = awkward_keys();
    assert!(keys.len() > 1_800);
    for (n, key) in keys.iter().enumerate() {
        let key = format!("in/{key}");
        world.store().put(SOURCE, &key, object(&key, n));
    }
    let ran = world.copy_all(&[]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), keys.len() as u64);
    world.assert_copied();
    let other = format!("s3://{DEST}/client/");
    let ran = world.copy(&["--via", "client", &format!("s3://{SOURCE}/in/"), &other, "--json"]).expect(0);
    assert_eq!(ran.count("done"), keys.len() as u64);
    assert_same(&world.under(SOURCE, "in/"), &world.under(DEST, "client/"));
}

#[test]
fn awkward_keys_at_the_root_of_a_bucket() {
    let world = World::new();
    let keys: Vec<String> = awkward_keys().into_iter().filter(|key| !key.trim().is_empty()).collect();
    for (n, key) in keys.iter().enumerate() {
        world.store().put(SOURCE, key, object(key, n));
    }
    world.copy(&[&format!("s3://{SOURCE}"), &format!("s3://{DEST}")]).expect(0);
    assert_same(&world.under(SOURCE, ""), &world.under(DEST, ""));
}

#[test]
fn a_store_that_says_it_encodes_keys_and_does_not_is_found_out() {
    // Each alone, and each beside a key that tells: the listing must not be misread either way.
    let ambiguous = ["c++.txt", "a%2Fb", "%2B", "x/y+z", "%C3%A9"];
    for keys in [&ambiguous[..1], &ambiguous[1..2], &ambiguous[..], &["c++.txt", "100% é"], &["c++.txt", "c  .txt"]] {
        for claims_encoding in [true, false] {
            let world = World::with(Config { claims_encoding, page_size: 2, ..Config::default() });
            for (n, key) in keys.iter().enumerate() {
                let key = format!("in/{key}");
                world.store().put(SOURCE, &key, object(&key, n));
            }
            let ran = world.copy_all(&[]).expect(0);
            assert_eq!(ran.count("skipped"), 0, "{keys:?} {ran:?}");
            world.assert_copied();
        }
    }
}

#[test]
fn folders_beside_ambiguous_keys_do_not_mislead() {
    let world = World::with(Config { claims_encoding: true, ..Config::default() });
    world.fill(1_200);
    for n in 0..5 {
        let key = format!("in/z+{n}.txt");
        world.store().put(SOURCE, &key, object(&key, n));
    }
    let ran = world.copy_all(&[]).expect(0);
    assert_eq!(ran.count("done"), 1_205);
    world.assert_copied();
}

#[test]
fn several_sources_keep_their_last_segment() {
    let world = World::new();
    for key in ["a/x/1", "a/x/2", "b/y/1", "one.txt"] {
        world.store().put(SOURCE, key, object(key, 2));
    }
    let sources = ["a/x/", "b/y/", "one.txt"].map(|path| format!("s3://{SOURCE}/{path}"));
    let [x, y, one] = sources.each_ref().map(String::as_str);
    world.copy(&[x, y, one, &format!("s3://{DEST}/to/")]).expect(0);
    assert_eq!(world.store().keys(DEST), ["to/one.txt", "to/x/1", "to/x/2", "to/y/1"]);
}

#[test]
fn one_object_takes_the_name_that_is_given() {
    let world = World::new();
    world.store().put(SOURCE, "a/k.txt", object("a/k.txt", 0));
    let source = format!("s3://{SOURCE}/a/k.txt");
    world.copy(&[&source, &format!("s3://{DEST}/n")]).expect(0);
    world.copy(&[&source, &format!("s3://{DEST}/d/")]).expect(0);
    assert_eq!(world.store().keys(DEST), ["d/k.txt", "n"]);
}

#[test]
fn two_endpoints_with_credentials_of_their_own() {
    let config = |account: &str| Config {
        accounts: vec![Account::new(format!("key-{account}"), format!("secret-{account}"))],
        ..Config::default()
    };
    let world = World::with(config("one"));
    let other = Server::start_with(config("two")).unwrap();
    other.store().create_bucket(DEST);
    world.fill(200);
    let profile = |name: &str| {
        format!("[{name}]\naws_access_key_id = key-{name}\naws_secret_access_key = secret-{name}\nregion = us-east-1\n")
    };
    let credentials = world.home.path().join("credentials");
    std::fs::write(&credentials, profile("one") + &profile("two")).unwrap();
    let (source_url, dest_url) = (world.server.endpoint(), other.endpoint());
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let args = ["copy", &from, &to, "--source-endpoint-url", &source_url, "--dest-endpoint-url", &dest_url];
    let command = |profiles: &[&str]| {
        let mut command = world.command(&[&args, profiles].concat());
        command.env("AWS_SHARED_CREDENTIALS_FILE", &credentials);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command
    };
    run(command(&["--source-profile", "one", "--dest-profile", "two"])).expect(0);
    let dest = other.store().objects(DEST);
    let dest = dest.into_iter().map(|(key, object)| (key.strip_prefix("out/").unwrap().to_owned(), object)).collect();
    assert_same(&world.under(SOURCE, "in/"), &dest);
    let wrong: Ran = run(command(&["--source-profile", "two", "--dest-profile", "two", "--restart"])).expect(10);
    assert!(wrong.stderr.contains("InvalidAccessKeyId"), "{wrong:?}");
}

#[test]
fn a_bucket_in_another_region_is_found() {
    let world = World::with(Config { accounts: vec![Account::new("test-key", "test-secret")], ..Config::default() });
    world.store().create_bucket_in("far-away", "eu-central-1");
    world.fill(20);
    world.copy(&[&format!("s3://{SOURCE}/in/"), "s3://far-away/out/", "--region", "us-east-1"]).expect(0);
    assert_same(&world.under(SOURCE, "in/"), &world.under("far-away", "out/"));
}

#[test]
fn keys_of_white_space_alone_fail_with_the_reason() {
    let world = World::new();
    for key in [" ", "\t\n", "a b"] {
        world.store().put(SOURCE, key, object(key, 2));
    }
    let ran = world.copy(&["--json", &format!("s3://{SOURCE}"), &format!("s3://{DEST}")]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (1, 2));
    assert!(ran.stderr.contains("keys of white space alone cannot be copied"), "{ran:?}");
}

#[test]
fn nothing_under_the_prefix_is_no_error() {
    let world = World::new();
    let ran = world.copy_all(&[]).expect(0);
    assert!(ran.stderr.contains("nothing matched"), "{ran:?}");
    assert_eq!(ran.count("listed"), 0);
}

#[test]
fn a_dry_run_writes_nothing() {
    let world = World::new();
    world.fill(1_200);
    world.store().put(SOURCE, "in/large", Object::hole(6 << 30));
    let ran = world.copy_all(&["--dry-run"]).expect(0).expect_sums();
    assert_eq!((ran.count("listed"), ran.count("done"), ran.count("failed")), (1_201, 0, 0));
    assert!(ran.stderr.contains("1,201 would be copied server-side"), "{ran:?}");
    assert_eq!((world.written(), world.store().keys(DEST).len()), (0, 0));
    assert!(ran.json()["checkpoint"].is_null());
    assert!(!world.home.path().join("s3bulk").exists());
}

#[test]
fn the_first_object_is_copied_before_the_second_page_is_there() {
    let world = World::new();
    world.fill(3_000);
    let slow_page = s3bulk_test_server::Rule::on(
        Operation::ListObjectsV2,
        s3bulk_test_server::Fault::Latency(std::time::Duration::from_secs(5)),
    );
    // The first page comes at once; all that follow take five seconds.
    // (The very first is of the destination: whether it is empty.)
    for nth in 3..=40 {
        world.server.faults().add(slow_page.clone().when(s3bulk_test_server::When::Kth(nth)));
    }
    let child = world.spawn_copy_all(&[]);
    world.wait_for_writes(500);
    assert_eq!(world.server.completed(Operation::ListObjectsV2), 2);
    common::ran(child.wait_with_output().unwrap()).expect(0);
    world.assert_copied();
}

#[test]
fn folders_are_listed_in_parallel_and_not_each_alone() {
    let world = World::new();
    world.fill(5_000);
    world.copy_all(&[]).expect(0);
    let lists = world.server.requests(Operation::ListObjectsV2);
    assert!((6..=16).contains(&lists), "{lists}");
}

#[test]
fn a_small_source_is_one_page() {
    let world = World::new();
    world.fill(500);
    world.copy_all(&[]).expect(0);
    // And one of the destination: whether it is empty.
    assert_eq!(world.server.requests(Operation::ListObjectsV2), 2);
}
