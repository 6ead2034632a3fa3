//! `s3bulk list` with the real binary: what it shows, what that costs, and stores with ways of their
//! own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use common::listing::{awkward_keys, keys_of};
use common::{DEST, Random, SOURCE, World, assert_same, run};
use s3bulk_test_server::{Config, Fault, Object, Operation, Order, Rule, Shape, When};

const JSONL: [&str; 2] = ["--format", "jsonl"];

/// Pages of 100 keys, each after so many milliseconds.
fn paged(milliseconds: u64) -> Config {
    Config { page_size: 100, list_latency: Duration::from_millis(milliseconds), ..Config::default() }
}

/// A world of so many keys of a shape.
fn filled(config: Config, shape: Shape, count: u64) -> World {
    let world = World::with(config);
    world.fill_keys(shape.keys(7, count));
    world
}

#[test]
fn keys_of_every_shape_are_listed_each_once() {
    for shape in Shape::ALL {
        let world = filled(paged(1), shape, 20_000);
        let ran = world.list(&JSONL).expect(0);
        world.assert_listed(&ran.stdout);
    }
}

#[test]
fn keys_of_every_shape_are_listed_in_the_order_of_their_bytes_when_asked() {
    for shape in Shape::ALL {
        let world = filled(paged(1), shape, 20_000);
        let ran = world.list(&[&JSONL[..], &["--ordered"]].concat()).expect(0);
        assert!(world.assert_listed(&ran.stdout).is_sorted(), "{shape:?}");
    }
}

#[test]
fn a_small_bucket_is_one_request() {
    for shape in Shape::ALL {
        let world = filled(Config::default(), shape, 500);
        world.assert_listed(&world.list(&JSONL).expect(0).stdout);
        // Where no key tells whether the store encodes as it says, it is asked.
        let asked = u64::from(shape == Shape::Scripts);
        assert_eq!(world.server.listings().requests, 1 + asked, "{shape:?}");
    }
}

#[test]
fn nothing_is_listed_from_an_empty_bucket_and_that_is_no_error() {
    let world = World::new();
    assert_eq!(world.list(&JSONL).expect(0).stdout, "");
    assert_eq!(world.server.listings().requests, 1);
}

/// Lists so many keys of a shape in pages of 100; this many requests at most.
#[track_caller]
fn costs(shape: Shape, count: u64, most: u64) {
    let world = filled(paged(10), shape, count);
    world.assert_listed(&world.list(&JSONL).expect(0).stdout);
    let listings = world.server.listings();
    let pages = count.div_ceil(100);
    assert!(listings.requests <= most, "{shape:?}: more than {most} for {pages} pages: {listings:?}");
}

#[test]
fn a_bucket_of_five_pages_costs_a_handful_of_further_requests() {
    Shape::ALL.into_iter().for_each(|shape| costs(shape, 500, 5 + 8));
}

#[test]
fn a_large_bucket_costs_a_tenth_more_and_where_keys_lie_oddly_a_few_dozen_questions() {
    costs(Shape::Hex, 100_000, 1_100);
    Shape::ALL.into_iter().for_each(|shape| costs(shape, 30_000, 330 + 90));
}

#[test]
fn a_flat_bucket_is_listed_by_several_requests_at_once() {
    for shape in [Shape::Hex, Shape::Numbers] {
        let world = filled(paged(10), shape, 20_000);
        world.assert_listed(&world.list(&JSONL).expect(0).stdout);
        assert!(world.server.listings().most_at_once > 1, "{shape:?}: {:?}", world.server.listings());
    }
}

#[test]
fn one_request_at_a_time_lists_all_as_well() {
    for shape in [Shape::Hex, Shape::OneFolder] {
        let world = filled(paged(0), shape, 5_000);
        world.assert_listed(&world.list(&[&JSONL[..], &["--list-concurrency", "1"]].concat()).expect(0).stdout);
        assert_eq!(world.server.listings().most_at_once, 1, "{shape:?}");
    }
}

/// Lists the keys from a store with ways of its own, and copies them: all arrive.
#[track_caller]
fn comes_through(config: Config, keys: impl IntoIterator<Item = String>) {
    let list_latency = Duration::from_millis(3);
    let world = World::with(Config { page_size: 10, list_latency, ..config });
    world.fill_keys(keys);
    let ran = world.list(&JSONL).expect(0);
    world.assert_listed(&ran.stdout);
    let ran = world.copy(&["--json", &format!("s3://{SOURCE}/"), &format!("s3://{DEST}/")]).expect(0).expect_sums();
    assert_same(&world.under(SOURCE, ""), &world.under(DEST, ""));
    assert_eq!(ran.count("done"), world.store().keys(SOURCE).len() as u64);
}

#[test]
fn keys_that_xml_cannot_carry_come_through_a_store_that_checks_start_after() {
    let odd = ["\u{1}", "\u{b}x", "m", "m/\u{1f}", "m/\u{fffe}", "n\u{ffff}", "\u{fffe}", "z\r"];
    let keys = (0..800).map(|n| format!("{}{n:05}\u{2}", odd[n * 8 / 800]));
    comes_through(Config::default(), keys);
    let mixed = (0..800).map(|n| format!("{:02}{}{n:05}", n % 50, odd[n % 8]));
    comes_through(Config::default(), mixed);
}

#[test]
fn a_shuffled_bucket_comes_through() {
    let config = || Config { order: Order::Shuffled, ..Config::default() };
    comes_through(config(), Shape::Hex.keys(7, 800));
    comes_through(config(), Shape::OneFolder.keys(7, 800));
}

#[test]
fn a_shuffled_bucket_is_not_listed_as_if_it_were_in_order() {
    let world = filled(Config { order: Order::Shuffled, ..paged(0) }, Shape::Hex, 1_000);
    assert_eq!(world.list(&[&JSONL[..], &["--ordered"]].concat()).expect(10).stdout, "");
}

#[test]
fn a_bucket_in_the_order_of_utf_16_comes_through() {
    let config = || Config { order: Order::Utf16, ..Config::default() };
    comes_through(config(), Shape::Scripts.keys(7, 800));
    // The order is that of the bytes for most of it.
    let late = (0..700).map(|n| format!("k{n:05}")).chain((0..100).map(|n| format!("{}{n:05}", ["🦀", "ﾃ"][n % 2])));
    comes_through(config(), late);
    let within = (0..800).map(|n| format!("{:02}/{}{n:05}", n % 40, ["a", "é", "🦀", "ﬁ"][n * 7 % 4]));
    comes_through(config(), within);
}

#[test]
fn a_store_that_skips_behind_a_missing_key_comes_through() {
    for shape in [Shape::Hex, Shape::OneFolder] {
        comes_through(Config { skips_after_missing: true, ..Config::default() }, shape.keys(7, 800));
    }
}

#[test]
fn a_store_that_says_it_encodes_keys_and_does_not_comes_through() {
    comes_through(Config { claims_encoding: true, ..Config::default() }, Shape::Scripts.keys(7, 800));
}

/// Runs of keys, each run with a beginning of its own, some alike and some not.
fn runs_of_keys(random: &mut Random) -> BTreeSet<String> {
    const PIECES: [&str; 14] = ["a", "b", "k", "z", "0", "9", "/", "é", "漢", "🦀", "𝄞", "ﾃ", "ﬁ", "Ａ"];
    let mut below = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap();
    let mut keys = BTreeSet::new();
    for _ in 0..2 + below(12) {
        let lead: String = (0..1 + below(3)).map(|_| PIECES[below(14)]).collect();
        let (alike, count) = (below(2) == 0, below(400));
        keys.extend((0..count).map(|n| match alike {
            true => format!("{lead}{n:04}"),
            false => format!("{lead}{}{n:03}{}", PIECES[below(14)], PIECES[below(14)]),
        }));
    }
    keys
}

#[test]
fn no_key_is_lost_however_keys_lie_and_whatever_their_order() {
    for (order, seed) in [(Order::Bytes, 1), (Order::Shuffled, 2), (Order::Utf16, 3), (Order::Utf16, 4)] {
        let mut random = Random(seed);
        for _ in 0..12 {
            let page_size = 5 + u16::try_from(random.below(40)).unwrap();
            let list_latency = Duration::from_millis(random.below(4));
            let world = World::with(Config { order, page_size, list_latency, ..Config::default() });
            world.fill_keys(runs_of_keys(&mut random));
            world.assert_listed(&world.list(&JSONL).expect(0).stdout);
        }
    }
}

#[test]
fn one_in_ten_answers_of_each_fault_loses_no_key() {
    for fault in
        [Fault::SlowDown, Fault::CutXml, Fault::Truncated, Fault::ResetBefore, Fault::ResetAfter, Fault::Empty200]
    {
        let world = filled(paged(1), Shape::Hex, 3_000);
        let rule = Rule::on(Operation::ListObjectsV2, fault.clone());
        world.server.faults().add(rule.when(When::Probability(0.1)));
        let ran = world.list(&JSONL).expect(0);
        assert!(world.server.faults().injected() > 0, "{fault:?}");
        world.assert_listed(&ran.stdout);
    }
}

#[test]
fn a_listing_that_breaks_off_is_no_success() {
    let world = filled(paged(1), Shape::Hex, 2_000);
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::ListObjectsV2, denied).when(When::Kth(9)));
    let ran = world.list(&[&JSONL[..], &["--list-concurrency", "1"]].concat()).expect(10);
    assert!(ran.stderr.contains("AccessDenied"), "{ran:?}");
    assert!(keys_of(&ran.stdout).len() < 2_000);
}

#[test]
fn a_closed_pipe_is_the_end_and_no_error() {
    let world = filled(paged(20), Shape::Hex, 20_000);
    for args in [&JSONL[..], &["--format", "csv"], &["--format", "text"], &["--format", "jsonl", "--ordered"]] {
        let mut command = world.list_command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{line:?}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}

/// The fields of RFC 4180, line by line.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            _ => field.push(c),
        }
    }
    assert!(line.is_empty() && field.is_empty() && !quoted, "a line without an end: {line:?} {field:?}");
    lines
}

#[test]
fn awkward_keys_come_out_as_they_are() {
    let world = World::with(paged(0));
    world.fill_keys(awkward_keys());
    world.assert_listed(&world.list(&JSONL).expect(0).stdout);
    let ordered = world.list(&[&JSONL[..], &["--ordered"]].concat()).expect(0);
    assert_eq!(keys_of(&ordered.stdout), world.store().keys(SOURCE));

    let lines = parse_csv(&world.list(&["--format", "csv", "--ordered"]).expect(0).stdout);
    assert_eq!(lines[0], ["bucket", "key", "size", "last_modified", "etag", "storage_class"]);
    assert!(lines[1..].iter().map(|line| &line[1]).eq(&world.store().keys(SOURCE)));
    assert!(lines[1..].iter().all(|line| line.len() == 6 && line[0] == SOURCE && line[2] == "16"));

    // One line each, whatever is in the key.
    let text = world.list(&["--format", "text"]).expect(0).stdout;
    assert_eq!(text.lines().count(), awkward_keys().len());
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}

#[test]
fn a_line_tells_what_the_store_says() {
    let world = World::new();
    let time = UNIX_EPOCH + Duration::from_secs(1_706_704_496);
    let object = Object::new("hello").last_modified(time).storage_class("GLACIER");
    world.store().put(SOURCE, "a/b", object);
    assert_eq!(
        world.list(&JSONL).expect(0).stdout,
        format!(
            "{{\"bucket\":\"{SOURCE}\",\"key\":\"a/b\",\"size\":5,\"last_modified\":\"2024-01-31T12:34:56Z\",\
             \"etag\":\"5d41402abc4b2a76b9719d911017c592\",\"storage_class\":\"GLACIER\"}}\n"
        )
    );
    let text = world.list(&[]).expect(0).stdout;
    assert!(text.starts_with("2024-01-31 12:34:56 ") && text.trim_end().ends_with("a/b"), "{text:?}");
    assert!(text.contains(" 5 "), "{text:?}");
    let tsv = world.list(&["--format", "tsv"]).expect(0).stdout;
    assert!(tsv.ends_with("\ta/b\t5\t2024-01-31T12:34:56Z\t5d41402abc4b2a76b9719d911017c592\tGLACIER\n"), "{tsv:?}");
}

#[test]
fn a_file_is_written_as_its_ending_says_and_the_summary_goes_to_stdout() {
    for (name, reader) in [("list.jsonl", "cat"), ("list.jsonl.gz", "gzip"), ("list.jsonl.zst", "zstd")] {
        let world = filled(paged(1), Shape::Dates, 5_000);
        let path = world.home.path().join(name);
        let file = path.to_str().unwrap();
        let ran = world.list(&[&JSONL[..], &["--output", file, "--json"]].concat()).expect(0).expect_sums();
        let text = match reader {
            "zstd" => String::from_utf8(zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap()).unwrap(),
            "gzip" => {
                let mut command = Command::new("gzip");
                command.args(["-dc", file]);
                run(command).expect(0).stdout
            }
            _ => std::fs::read_to_string(&path).unwrap(),
        };
        world.assert_listed(&text);
        let counts = ["listed", "selected", "done"].map(|field| ran.count(field));
        assert_eq!(counts, [5_000; 3], "{ran:?}");
        // The last probes may have been given up before they went out.
        let listings = world.server.listings();
        let requests = ran.json()["requests"]["ListObjectsV2"].as_u64().unwrap();
        assert!((listings.requests..listings.requests + 16).contains(&requests), "{requests} and {listings:?}");
        // Pages that were asked for in vain are among them.
        let probes = listings.probes + listings.with_delimiter;
        assert!((probes..requests).contains(&ran.count("probes")), "{listings:?} {ran:?}");
    }
}

#[test]
fn a_summary_and_a_listing_do_not_share_stdout() {
    let world = filled(paged(0), Shape::OneFolder, 1_000);
    assert_eq!(world.list(&["--json"]).expect(2).json()["status"], "failed");
    assert_eq!(world.server.listings().requests, 0);
    let ran = world.list(&["--summarize", "--json"]).expect(0);
    assert_eq!((ran.count("listed"), ran.count("done")), (1_000, 1_000));
    assert!(!world.list(&["--summarize", "--depth", "1"]).expect(0).stdout.is_empty());
}

#[test]
fn only_what_is_chosen_is_listed() {
    let world = filled(paged(1), Shape::OneFolder, 5_000);
    let keys = world.store().keys(SOURCE);
    let (large, small): (Vec<String>, Vec<String>) = keys.into_iter().partition(|key| key.starts_with("folder-17/"));
    let chosen = |args: &[&str]| keys_of(&world.list(&[&JSONL[..], &["--ordered"], args].concat()).expect(0).stdout);
    assert_eq!(chosen(&["--exclude", "folder-17/*"]), small);
    assert_eq!(chosen(&["--exclude", "*", "--include", "folder-17/*"]), large);
    assert_eq!(chosen(&["--min-size", "17"]), [""; 0]);
}
