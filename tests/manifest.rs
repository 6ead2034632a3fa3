//! Manifests in place of listings, and `--limit`, from end to end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::listing::keys_of;
use common::{DEST, Ran, SOURCE, World, kill, object, ran, run, send};
use s3bulk_test_server::{Config, Fault, Object, Operation, Rule, When};

/// Keys that lines, tables and URLs hold only with care.
const AWKWARD: [&str; 8] =
    ["in/a b", "in/a+b", "in/a%20b", "in/x,y \"z\"", "in/new\nline", "in/tab\tend ", "in/é😀", "in/{\"key\":1}"];

fn awkward() -> World {
    let world = World::new();
    for (n, key) in AWKWARD.iter().enumerate() {
        world.store().put(SOURCE, key, object(key, n));
    }
    // Named by no manifest.
    world.store().put(SOURCE, "in/other", Object::new("other"));
    world
}

/// The copies are those of [`AWKWARD`], without these; the destination is emptied.
#[track_caller]
fn assert_awkward(world: &World, without: &[&str]) {
    let mut expected: Vec<String> = AWKWARD.iter().map(|key| key.replacen("in/", "out/", 1)).collect();
    expected.retain(|key| !without.iter().any(|left| key.ends_with(left)));
    expected.sort();
    assert_eq!(world.store().keys(DEST), expected);
    for key in expected {
        world.store().delete(DEST, &key);
    }
}

fn write(world: &World, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = world.home.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// As S3 encodes keys: a blank is a plus.
fn url_encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    key.bytes().map(encode).collect()
}

/// Keys of the source as `World::fill` makes them, a line each.
fn filled(count: usize) -> String {
    (0..count).map(|n| format!("in/{:04}/{n:06}.txt\n", n / 50)).collect()
}

fn heads(world: &World) -> u64 {
    world.server.requests(Operation::HeadObject)
}

#[test]
fn plain_keys_are_copied_and_nothing_is_listed() {
    let world = awkward();
    let lines: String = AWKWARD.iter().filter(|key| !key.contains('\n')).map(|key| format!("{key}\r\n")).collect();
    let manifest = write(&world, "keys.txt", format!("\u{feff}{lines}\n"));
    let before = world.server.listings().requests;
    let ran = world.copy_all(&["--manifest", &manifest, "--no-overwrite"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), heads(&world)), (7, 7));
    assert_eq!(ran.verified("etag"), 7, "a HEAD says what a listing says");
    let listed = world.server.listings().requests - before;
    assert!(listed <= 7, "what is there is asked for key by key: {listed}");
    assert_awkward(&world, &["out/new\nline"]);
}

#[test]
fn tables_of_batch_operations_are_url_encoded() {
    let world = awkward();
    let table: String = AWKWARD.iter().map(|key| format!("{SOURCE},{}\n", url_encoded(key))).collect();
    let quoted: String = AWKWARD.iter().map(|key| format!("\"{SOURCE}\",\"{}\"\r\n", url_encoded(key))).collect();
    for (name, bytes) in
        [("a", table.clone().into_bytes()), ("b", quoted.into_bytes()), ("c.gz", gzip(table.as_bytes()))]
    {
        let manifest = write(&world, name, bytes);
        let ran = world.copy_all(&["--manifest", &manifest]).expect(0).expect_sums();
        assert_eq!(ran.count("done"), 8);
        assert_awkward(&world, &[]);
    }
}

#[test]
fn our_own_listings_come_back_without_a_request_for_each() {
    let world = awkward();
    let before = heads(&world);
    for name in ["list.jsonl", "list.csv", "list.tsv", "list.csv.gz", "list.jsonl.zst"] {
        let manifest = world.home.path().join(name).to_str().unwrap().to_owned();
        world.list(&["--output", &manifest, "--exclude", "in/other"]).expect(0);
        let ran = world.copy_all(&["--manifest", &manifest]).expect(0).expect_sums();
        let bytes: u64 = AWKWARD.iter().map(|key| world.store().get(SOURCE, key).unwrap().size()).sum();
        assert_eq!((ran.count("done"), ran.count("bytes")), (8, bytes), "{name}");
        assert_awkward(&world, &[]);
        let again = world.list(&["--manifest", &manifest, "--format", "jsonl", "--quiet"]).expect(0);
        let mut keys = keys_of(&again.stdout);
        keys.sort();
        let mut expected = AWKWARD.to_vec();
        expected.sort_unstable();
        assert_eq!(keys, expected, "{name}");
    }
    assert_eq!(heads(&world), before);
}

#[test]
fn failures_and_receipts_are_manifests() {
    let world = awkward();
    let receipt = world.home.path().join("r.jsonl").to_str().unwrap().to_owned();
    let fault = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, fault).key("out/new\nline"));
    let args = ["--receipt", &receipt, "--exclude", "other"];
    let failures = world.copy_all(&args).expect(3).json()["failures"].as_str().unwrap().to_owned();
    world.server.faults().clear();
    assert_awkward(&world, &["new\nline"]);
    let before = heads(&world);
    assert_eq!(world.copy_all(&["--manifest", &failures]).expect(0).count("done"), 1);
    assert_eq!(world.copy_all(&["--manifest", &receipt]).expect(0).count("done"), 7);
    assert_eq!(heads(&world), before);
    assert_awkward(&world, &[]);
}

#[test]
fn lines_at_fault_are_told_with_their_numbers_and_all_else_is_copied() {
    let world = awkward();
    let long = "x".repeat(100_000);
    let text = format!(
        "{SOURCE},in/a+b\n{SOURCE}\n{SOURCE},\"in/a%2Bb\n{long}\n{SOURCE},{}\nother-bucket,in/a+b\n{SOURCE},elsewhere/k\n\
         {SOURCE},in/%FF\n{SOURCE},in/no-such-key\n{SOURCE},in/a%2Bb",
        url_encoded("in/é😀")
    );
    let manifest = write(&world, "m.csv", text);
    let ran = world.copy_all(&["--manifest", &manifest]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed"), ran.count("skipped")), (3, 7, 0));
    let why = [
        "line 2: it has 1 field",
        "line 3: its quotes are not closed",
        "line 4: it is longer than 64 KiB",
        "line 6: s3://other-bucket/in/a b is outside s3://source-bucket/in/",
        "line 7: s3://source-bucket/elsewhere/k is outside",
        "line 8: its key is not UTF-8",
    ];
    for why in why {
        assert_eq!(ran.said(why), 1, "{why} in {}", ran.stderr);
    }
    let failures = std::fs::read_to_string(ran.json()["failures"].as_str().unwrap()).unwrap();
    let code = |code: &str| failures.matches(&format!("\"code\":\"{code}\"")).count();
    assert_eq!((code("MalformedLine"), code("OutsideSource")), (4, 2));

    // Nothing mends them.
    let again = world.copy_all(&["--manifest", &manifest, "--retry-failed"]).expect(3).expect_sums();
    assert_eq!((again.count("done"), again.count("failed")), (0, 6));

    let strict = world.copy_all(&["--manifest", &manifest, "--strict", "--restart"]).expect(3).expect_sums();
    assert_eq!(strict.count("failed"), 1);
    assert_eq!(strict.said("as --strict says: mend it"), 1, "{strict:?}");
}

#[test]
fn a_line_belongs_to_the_source_that_it_lies_under() {
    let world = World::new();
    for key in ["x/a", "x/b", "y/a", "z/a"] {
        world.store().put(SOURCE, key, Object::new(key.as_bytes().to_vec()));
    }
    let manifest = write(&world, "m", "x/a\ny/a\nz/a\n");
    let (x, y) = (format!("s3://{SOURCE}/x/"), format!("s3://{SOURCE}/y/*"));
    let dest = format!("s3://{DEST}/out/");
    let ran = world.copy(&[&x, &y, &dest, "--json", "--manifest", &manifest]).expect(3).expect_sums();
    assert_eq!((ran.count("done"), ran.count("failed")), (2, 1));
    assert_eq!(world.store().keys(DEST), ["out/x/a", "out/y/a"]);
}

#[test]
fn filters_ask_only_for_what_a_line_does_not_say() {
    let world = World::new();
    world.fill(100);
    let all = world.home.path().join("all.csv").to_str().unwrap().to_owned();
    world.list(&["--output", &all]).expect(0);
    let ran = world.copy_all(&["--manifest", &all, "--older-than", "2000-01-01", "--min-size", "1"]).expect(0);
    assert_eq!((ran.count("listed"), ran.count("filtered"), heads(&world)), (100, 100, 0));
    let keys = write(&world, "keys", filled(100));
    let args = ["--manifest", &keys, "--include", "*5.txt", "--newer-than", "2000-01-01"];
    let ran = world.copy_all(&args).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("filtered"), heads(&world)), (10, 90, 10));
}

#[test]
fn a_list_asks_nothing_unless_told() {
    let world = World::new();
    world.fill(3);
    let keys = write(&world, "keys", filled(4));
    let refused = world.list(&["--manifest", &keys]).expect(10);
    assert!(refused.stderr.contains("keys line 1 does not say all that is needed: --head asks"), "{refused:?}");
    let listed = world.list(&["--manifest", &keys, "--head", "--format", "jsonl"]).expect(0);
    assert_eq!(world.assert_listed(&listed.stdout).len(), 3);
    let bad = write(&world, "bad", "in/0000/000000.txt\nno/such\n");
    let refused = world.list(&["--manifest", &bad, "--head"]).expect(0);
    assert_eq!(refused.stdout.lines().count(), 1, "a bucket has any key: {refused:?}");
    let source = format!("s3://{SOURCE}/in/");
    let endpoint = world.server.endpoint();
    let refused = run(world.command(&["list", &source, "--endpoint-url", &endpoint, "--manifest", &bad, "--head"]));
    assert!(refused.code == Some(2) && refused.stderr.contains("bad line 2: no/such is outside"), "{refused:?}");
}

#[test]
fn a_killed_copy_goes_on_behind_the_last_line_that_is_finished() {
    let count = 1_500;
    for packed in [false, true] {
        let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
        world.fill(count);
        let text = filled(count);
        let bytes = if packed { gzip(text.as_bytes()) } else { text.into_bytes() };
        let manifest = write(&world, "keys", bytes);
        let args = ["--manifest", &manifest, "--concurrency", "64"];
        let child = world.spawn_copy_all(&args);
        world.wait_for_writes(500);
        kill(child);
        std::thread::sleep(Duration::from_millis(50));
        let (written, asked) = (world.written(), heads(&world));
        let ran = world.copy_all(&args).expect(0).expect_sums();
        world.assert_copied();
        assert_eq!(ran.count("resumed") + ran.count("done"), count as u64);
        let again = world.written() - count as u64;
        // In flight at the kill, and finished in the last tenth of a second.
        assert!(again <= 64 + 330 && written < count as u64, "{again} were copied again");
        assert!(
            heads(&world) - asked <= count as u64 - ran.count("resumed") + 400,
            "what is finished is not asked for"
        );
    }
}

#[test]
fn a_manifest_that_was_changed_is_refused_and_begun_anew_when_told() {
    let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
    world.fill(2_000);
    let manifest = write(&world, "keys", filled(2_000));
    let args = ["--manifest", &manifest, "--concurrency", "16"];
    let child = world.spawn_copy_all(&args);
    world.wait_for_writes(100);
    send(&child, "-INT");
    ran(child.wait_with_output().unwrap()).expect(130);
    std::fs::write(&manifest, filled(1_999)).unwrap();
    let refused = world.copy_all(&args).expect(11);
    assert!(refused.stderr.contains("was changed since the job began: it had 38000 bytes"), "{refused:?}");
    assert!(refused.stderr.contains("--restart begins anew"), "{refused:?}");
    let ran = world.copy_all(&[&args[..], &["--restart"]].concat()).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("resumed")), (1_999, 0));
}

/// A copy whose manifest comes through standard input.
fn copy_piped(world: &World, text: &str, args: &[&str]) -> Ran {
    let mut command = world.copy_all_command(&[&["--manifest", "-"], args].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Refused before it is read, it is not taken.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    ran(child.wait_with_output().unwrap())
}

#[test]
fn standard_input_is_read_once() {
    let world = World::new();
    world.fill(300);
    let ran = copy_piped(&world, &filled(300), &[]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 300);
    world.assert_copied();

    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).when(When::Kth(250)));
    copy_piped(&world, &filled(300), &["--max-failures", "0", "--concurrency", "4"]).expect(3);
    let refused = copy_piped(&world, &filled(300), &["--max-failures", "0", "--concurrency", "4"]).expect(11);
    assert!(refused.stderr.contains("a manifest from - cannot be read again"), "{refused:?}");
    copy_piped(&world, &filled(300), &["--restart"]).expect(0);
}

#[test]
fn a_manifest_may_be_in_a_bucket() {
    let world = World::new();
    world.fill(1_000);
    // Of more than one piece.
    let text = format!("{}{}", filled(1_000), "\n".repeat(1_500_000));
    for bytes in [gzip(text.as_bytes()), text.clone().into_bytes()] {
        world.store().put(SOURCE, "manifests/keys", Object::new(bytes));
        let manifest = format!("s3://{SOURCE}/manifests/keys");
        let ran = world.copy_all(&["--manifest", &manifest]).expect(0).expect_sums();
        assert_eq!(ran.count("done"), 1_000);
        world.assert_copied();
    }
    let missing = world.copy_all(&["--manifest", &format!("s3://{SOURCE}/none")]).expect(10);
    assert!(missing.stderr.contains("cannot be read"), "{missing:?}");
}

#[test]
fn what_is_no_manifest_is_refused() {
    let world = World::new();
    world.fill(1);
    let home = world.home.path().to_str().unwrap();
    let torn = write(&world, "torn.gz", &gzip(filled(5_000).as_bytes())[..200]);
    for (args, code, why) in [
        (vec!["--manifest", "/no/such/file"], 2, "/no/such/file cannot be read"),
        (vec!["--manifest", home], 2, "is a folder"),
        (vec!["--manifest", "s3://source-bucket/in/"], 2, "name one object"),
        (vec!["--manifest", "-", "--manifest-format", "inventory"], 2, "name its manifest.json"),
        (vec!["--manifest", torn.as_str()], 2, "cannot be read"),
        (vec!["--strict"], 2, "--manifest"),
    ] {
        let ran = world.copy_all(&args);
        assert!(ran.code == Some(code) && ran.stderr.contains(why), "{args:?} {ran:?}");
    }
}

/// Puts the `manifest.json` of an inventory with these data files beside it.
fn inventory(folder: &std::path::Path, format: &str, schema: &str, files: &[&str]) -> String {
    let files: Vec<String> = files.iter().map(|name| format!("{{\"key\":\"inv/data/{name}\",\"size\":1}}")).collect();
    let json = format!(
        "{{\n  \"sourceBucket\" : \"{SOURCE}\",\n  \"destinationBucket\" : \"arn:aws:s3:::{DEST}\",\n  \"version\" : \
         \"2016-11-30\",\n  \"fileFormat\" : \"{format}\",\n  \"fileSchema\" : \"{schema}\",\n  \"files\" : [ {} ]\n}}\n",
        files.join(", ")
    );
    let path = folder.join("manifest.json");
    std::fs::write(&path, json).unwrap();
    path.to_str().unwrap().to_owned()
}

const SCHEMA: &str = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";

fn inventory_rows(keys: &[&str]) -> Vec<u8> {
    let mut rows = String::new();
    for key in keys {
        let key = url_encoded(key);
        let rest = "\"2020-01-31T12:00:00.000Z\",\"0123456789abcdef0123456789abcdef\",\"STANDARD\"";
        rows += &format!("\"{SOURCE}\",\"{key}\",\"\",\"true\",\"false\",\"9\",{rest}\n");
        rows += &format!("\"{SOURCE}\",\"{key}\",\"old\",\"false\",\"false\",\"8\",{rest}\n");
    }
    rows += &format!("\"{SOURCE}\",\"in/gone\",\"\",\"true\",\"true\",\"\",\"\",\"\",\"\"\n");
    gzip(rows.as_bytes())
}

#[test]
fn an_inventory_in_csv_is_read_beside_its_manifest_or_in_its_bucket() {
    let world = awkward();
    let folder = world.home.path().join("inv/2024-01-31T01-00Z");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(world.home.path().join("inv/data")).unwrap();
    let manifest = inventory(&folder, "CSV", SCHEMA, &["1.csv.gz", "2.csv.gz"]);
    std::fs::write(world.home.path().join("inv/data/1.csv.gz"), inventory_rows(&AWKWARD[..5])).unwrap();
    world.store().put(DEST, "inv/data/2.csv.gz", Object::new(inventory_rows(&AWKWARD[5..])));
    let ran = world.copy_all(&["--manifest", &manifest]).expect(0).expect_sums();
    assert_eq!((ran.count("listed"), ran.count("done")), (8, 8));
    assert_eq!(heads(&world), 9, "one for a file in the bucket, and one for each that is another by its entity tag");

    // All of it in the bucket.
    world.store().put(DEST, "inv/data/1.csv.gz", Object::new(inventory_rows(&AWKWARD[..5])));
    let json = std::fs::read(&manifest).unwrap();
    world.store().put(DEST, "inv/manifest.json", Object::new(json));
    let manifest = format!("s3://{DEST}/inv/manifest.json");
    let ran = world.copy_all(&["--manifest", &manifest]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 8);
    for key in ["inv/manifest.json", "inv/data/1.csv.gz", "inv/data/2.csv.gz"] {
        world.store().delete(DEST, key);
    }
    assert_awkward(&world, &[]);

    let orc = inventory(&folder, "ORC", SCHEMA, &["1.orc"]);
    let refused = world.copy_all(&["--manifest", &orc]).expect(2);
    assert!(refused.stderr.contains("ORC, which is not read"), "{refused:?}");
}

/// `tests/fixtures/inventory.parquet` was written by pyarrow 26.0.1 (`pyarrow.parquet.write_table` with
/// `compression="snappy"` and `row_group_size=25`) with the columns of an S3 Inventory: the latest rows of
/// 60 objects as `World::fill` makes them and of one with an awkward key, an older version of every tenth,
/// and a delete marker.
fn parquet_fixture() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/inventory.parquet"))
}

#[test]
fn an_inventory_in_parquet_is_read_where_it_is_built_in() {
    let world = World::new();
    world.fill(60);
    let awkward = "in/a b+c%20é\n.txt";
    world.store().put(SOURCE, awkward, object(awkward, 60));
    let manifest = inventory(world.home.path(), "Parquet", "message s3.inventory { }", &["inventory.parquet"]);
    let beside = world.home.path().join("inventory.parquet");
    std::fs::copy(parquet_fixture(), &beside).unwrap();
    if cfg!(not(feature = "parquet")) {
        let refused = world.copy_all(&["--manifest", &manifest]).expect(2);
        assert!(refused.stderr.contains("feature `parquet`"), "{refused:?}");
        return;
    }
    let ran = world.copy_all(&["--manifest", &manifest]).expect(0).expect_sums();
    assert_eq!((ran.count("listed"), ran.count("done"), heads(&world)), (61, 61, 0));
    world.assert_copied();

    world.store().put(DEST, "inv/data/inventory.parquet", Object::new(std::fs::read(&beside).unwrap()));
    std::fs::remove_file(&beside).unwrap();
    let args = ["--manifest", &manifest, "--min-size", "20", "--storage-class-in", "STANDARD"];
    let ran = world.copy_all(&args).expect(0).expect_sums();
    assert_eq!((ran.count("listed"), heads(&world)), (61, 1));
}

#[test]
fn versions_are_copied_where_a_line_names_them() {
    let world = World::with(Config { versioned: true, ..Config::default() });
    world.store().put(SOURCE, "in/k", Object::new("old"));
    let old = world.store().get(SOURCE, "in/k").unwrap().version_id.clone().unwrap();
    world.store().put(SOURCE, "in/k", Object::new("newer"));
    let manifest = write(&world, "m.csv", format!("{SOURCE},in/k,{old}\n"));
    let ran = world.copy_all(&["--manifest", &manifest]).expect(0);
    assert_eq!(ran.count("bytes"), 3);
    assert_eq!(world.store().get(DEST, "out/k").unwrap().size(), 3);
}

#[test]
fn a_limit_ends_the_job_with_true_counts() {
    let world = World::new();
    world.fill(2_500);
    let ran = world.copy_all(&["--limit", "1200"]).expect(0).expect_sums();
    assert_eq!((ran.count("done"), ran.count("pending"), world.written()), (1_200, 0, 1_200));
    assert_eq!(ran.json()["status"], "complete");
    let keys = write(&world, "keys", filled(2_500));
    let ran = world.copy_all(&["--limit", "7", "--manifest", &keys]).expect(0).expect_sums();
    assert_eq!(ran.count("done"), 7);
    let ran = world.copy_all(&["--limit", "1", "--dry-run"]).expect(0).expect_sums();
    assert_eq!(ran.count("selected"), 1);

    let listed = world.list(&["--limit", "10", "--ordered", "--format", "jsonl"]).expect(0);
    let first: Vec<String> = filled(10).lines().map(str::to_owned).collect();
    assert_eq!(keys_of(&listed.stdout), first);
    let listed = world.list(&["--limit", "1700", "--format", "jsonl"]).expect(0);
    assert_eq!(listed.stdout.lines().count(), 1_700);
    let out = world.home.path().join("l.csv").to_str().unwrap().to_owned();
    world.list(&["--limit", "1001", "--output", &out]).expect(0);
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 1_002);
}

#[test]
fn a_limit_is_of_all_runs_of_a_job_and_what_failed_is_tried_again() {
    let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
    world.fill(2_000);
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).key("out/0000/000003.txt"));
    let args = ["--limit", "1000", "--concurrency", "32", "--list-concurrency", "1"];
    let child = world.spawn_copy_all(&args);
    world.wait_for_writes(400);
    kill(child);
    let ran = world.copy_all(&args).expect(3).expect_sums();
    assert_eq!(world.store().keys(DEST).len(), 999);
    assert_eq!(ran.count("resumed") + ran.count("done"), 999);
    world.server.faults().clear();
    let ran = world.copy_all(&[&args[..], &["--retry-failed"]].concat()).expect(0);
    assert_eq!((ran.count("done"), world.store().keys(DEST).len()), (1, 1_000));
}
