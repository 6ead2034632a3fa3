//! How copies are known to be right, and the receipt that says so of each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use common::{DEST, MIB, Ran, Random, SMALL_PARTS, SOURCE, WAYS, World, end, kill, object, run, send};
use s3bulk_test_server::{Checksums, Config, Fault, Object, Operation, Rule, Server};
use serde_json::{Value, json};

const ENDINGS: [&str; 2] = ["r.jsonl", "r.jsonl.zst"];

fn denied(operation: Operation) -> Rule {
    Rule::on(operation, Fault::Code { status: 403, code: "AccessDenied".to_owned() })
}

fn path(world: &World, name: &str) -> PathBuf {
    world.home.path().join(name)
}

/// The lines of a receipt, all of them whole.
fn lines(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).unwrap();
    let is_compressed = path.extension().is_some_and(|ending| ending == "zst");
    let text = if is_compressed { zstd::decode_all(&*bytes).unwrap() } else { bytes };
    let text = String::from_utf8(text).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many lines each key has.
fn keys(lines: &[Value]) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    for line in lines {
        *keys.entry(line["key"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    keys
}

/// A line must say of its object what the store says.
fn assert_true(world: &World, line: &Value) {
    let text = |field: &str| line[field].as_str().map(|text| text.trim_matches('"').to_owned());
    let (key, dest_key) = (text("key").unwrap(), text("dest_key").unwrap());
    assert_eq!((text("bucket").as_deref(), text("dest_bucket").as_deref()), (Some(SOURCE), Some(DEST)));
    assert_eq!(dest_key, key.replacen("in/", "out/", 1));
    let source = world.store().get(SOURCE, &key).unwrap();
    let dest = world.store().get(DEST, &dest_key).unwrap();
    assert_eq!(line["size"].as_u64(), Some(source.size()), "{line}");
    assert_eq!(text("etag").as_ref(), Some(&source.etag), "{line}");
    assert_eq!(text("dest_etag").as_ref(), Some(&dest.etag), "{line}");
    assert_eq!(text("version_id"), source.version_id, "{line}");
    assert_eq!(text("dest_version_id"), dest.version_id, "{line}");
    let checksum = dest.checksum.map(|sum| base64::engine::general_purpose::STANDARD.encode(sum.to_be_bytes()));
    assert!(text("checksum").is_none_or(|said| Some(said) == checksum), "{line}");
    assert!(text("time").is_some_and(|time| time.starts_with("20")), "{line}");
}

fn with_receipt<'a>(receipt: &'a Path, args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--receipt", receipt.to_str().unwrap()]].concat()
}

#[test]
fn each_copy_has_a_line_that_is_true() {
    for name in ENDINGS {
        for way in WAYS {
            for versioned in [false, true] {
                let world = World::with(Config { versioned, ..Config::default() });
                world.fill(30);
                world.store().put(SOURCE, "in/awkward \u{1}\"é", object("x", 0));
                world.store().put(SOURCE, "in/empty", Object::new(""));
                world.store().put(SOURCE, "in/large", Object::pattern(6 * MIB, 1));
                let receipt = path(&world, name);
                // Where there are no versions, those of the source are not known without a request.
                let ran = world.copy_in_parts(way, &with_receipt(&receipt, &[])).expect(0);
                assert_eq!(ran.json()["receipt"].as_str(), receipt.to_str());
                let lines = lines(&receipt);
                assert_eq!((lines.len(), keys(&lines).len()), (33, 33));
                let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
                for line in &lines {
                    *kinds.entry(line["evidence"].as_str().unwrap()).or_default() += 1;
                    let mut line = line.clone();
                    if versioned && line["version_id"].is_null() {
                        assert_eq!(line["way"], "copy-object", "{line}");
                        let object = world.store().get(SOURCE, line["key"].as_str().unwrap()).unwrap();
                        line["version_id"] = json!(object.version_id);
                    }
                    assert_true(&world, &line);
                }
                assert_eq!(json!(kinds), ran.json()["verified"]);
                let way_of = |key: &str| lines.iter().find(|line| line["key"] == key).unwrap()["way"].clone();
                let ways =
                    if way == "server" { ["copy-object", "upload-part-copy"] } else { ["put-object", "upload-part"] };
                assert_eq!([way_of("in/empty"), way_of("in/large")], ways);
            }
        }
    }
}

#[test]
fn a_receipt_is_complete_over_kills() {
    let mut random = Random(3);
    for name in ENDINGS {
        let world = World::with(Config { latency: Duration::from_millis(10), ..Config::default() });
        world.fill(600);
        for seed in 0..3 {
            world.store().put(SOURCE, &format!("in/0003/{seed}"), Object::pattern(40 * MIB, seed));
        }
        let receipt = path(&world, name);
        let args = with_receipt(&receipt, &["--concurrency", "16"]);
        for _ in 0..5 {
            let child = world.spawn_copy_in_parts("server", &args);
            world.wait_for_writes(world.written() + 60 + random.below(30));
            kill(child);
        }
        world.copy_in_parts("server", &args).expect(0);
        world.assert_copied();
        let lines = lines(&receipt);
        assert_eq!(keys(&lines).len(), 603);
        assert!(lines.len() < 603 + 5 * 150, "{}", lines.len());
        lines.iter().for_each(|line| assert_true(&world, line));
    }
}

#[test]
fn a_receipt_over_an_interrupt_has_each_copy_once() {
    for name in ENDINGS {
        let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
        world.fill(400);
        let receipt = path(&world, name);
        let args = with_receipt(&receipt, &["--concurrency", "16"]);
        let child = world.spawn_copy_all(&args);
        world.wait_for_writes(100);
        send(&child, "-INT");
        let ended = end(child).expect(130);
        assert_eq!(lines(&receipt).len() as u64, ended.count("done"));
        world.copy_all(&args).expect(0);
        let keys = keys(&lines(&receipt));
        assert!(keys.len() == 400 && keys.values().all(|times| *times == 1));
    }
}

#[test]
fn what_was_not_copied_has_no_line_and_gets_one_when_it_is() {
    let world = World::new();
    world.fill(20);
    world.store().put(DEST, "out/0000/000001.txt", Object::new("mine"));
    world.server.faults().add(denied(Operation::CopyObject).key("out/0000/000002.txt"));
    let receipt = path(&world, "r.jsonl");
    let args = with_receipt(&receipt, &["--no-overwrite"]);
    world.copy_all(&args).expect(3);
    let missing = |lines: &[Value]| {
        let keys = keys(lines);
        (0..20).filter(|n| !keys.contains_key(&format!("in/0000/{n:06}.txt"))).collect::<Vec<_>>()
    };
    assert_eq!(missing(&lines(&receipt)), [1, 2]);
    world.server.faults().clear();
    world.copy_all(&with_receipt(&receipt, &["--no-overwrite", "--retry-failed"])).expect(0);
    assert_eq!((missing(&lines(&receipt)), lines(&receipt).len()), (vec![1], 19));
}

#[test]
fn a_new_job_replaces_the_receipt_of_the_one_before_and_no_other_file() {
    let world = World::new();
    world.fill(10);
    for name in ENDINGS {
        let receipt = path(&world, name);
        for _ in 0..2 {
            world.copy_all(&with_receipt(&receipt, &[])).expect(0);
            assert_eq!(lines(&receipt).len(), 10);
        }
    }
    let written = world.written();
    let thesis = path(&world, "thesis.jsonl");
    std::fs::write(&thesis, "mine\n").unwrap();
    let refused = |args: &[&str], code: i32, why: &str| {
        let ran = world.copy_all(args).expect(code);
        assert!(ran.stderr.contains(why), "{ran:?}");
    };
    refused(&with_receipt(&thesis, &[]), 11, "is not a receipt");
    refused(&with_receipt(&path(&world, "thesis.txt"), &[]), 2, ".jsonl");
    refused(&with_receipt(Path::new("/no/such/folder/r.jsonl"), &[]), 11, "cannot be written");
    let same = path(&world, "same.jsonl");
    let same = same.to_str().unwrap();
    refused(&["--receipt", same, "--checkpoint", same], 2, "name another");
    refused(&["--receipt", same, "--failures", same], 2, "name another");
    assert_eq!((std::fs::read_to_string(&thesis).unwrap().as_str(), world.written()), ("mine\n", written));
    world.copy_all(&["--dry-run", "--receipt", same]).expect(0);
    assert!(!Path::new(same).exists());
}

#[test]
fn a_receipt_that_cannot_be_written_ends_the_run_and_the_next_one_completes_it() {
    for name in ENDINGS {
        let world = World::new();
        world.fill(600);
        let receipt = path(&world, name);
        let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
        let args = with_receipt(&receipt, &[&from, &to, "--json", "--concurrency", "4"]);
        let command = world.copy_command(&args);
        // A file-size limit makes writes fail as a full disk does.
        let mut limited = std::process::Command::new("sh");
        limited.arg("-c").arg("ulimit -f 4; trap '' XFSZ; exec \"$0\" \"$@\"");
        limited.arg(command.get_program()).args(command.get_args());
        limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = run(limited).expect(11);
        assert!(ran.stderr.contains("cannot be written"), "{ran:?}");
        world.copy_all(&with_receipt(&receipt, &[])).expect(0);
        assert_eq!(keys(&lines(&receipt)).len(), 600);
    }
}

/// The evidence for one copy, in the summary and in the receipt.
fn evidence(world: &World, way: &str, flags: &[&str]) -> (String, Ran) {
    let receipt = path(world, "e.jsonl");
    let ran = world.copy_in_parts(way, &with_receipt(&receipt, flags)).expect(0);
    let lines = lines(&receipt);
    let kind = lines[0]["evidence"].as_str().unwrap().to_owned();
    assert_eq!((lines.len(), ran.verified(&kind)), (1, 1), "{ran:?}");
    world.assert_none_open();
    (kind, ran)
}

#[test]
fn the_evidence_is_the_best_that_there_is() {
    use Checksums::{Ignored, Refused, Supported};
    let streamed = ["--memory", "16MiB"];
    for (checksums, known, whole_in_store, parts_in_store, through_machine) in [
        (Supported, true, "etag", "checksum", "checksum"),
        (Supported, false, "etag", "size", "digest"),
        (Ignored, true, "etag", "size", "size"),
        (Refused, true, "etag", "size", "digest"),
    ] {
        let routes = [
            ("server", 100, &[][..], whole_in_store),
            ("server", 6 * MIB, &[], parts_in_store),
            ("client", 100, &[], through_machine),
            ("client", 6 * MIB, &[], through_machine),
            ("client", 6 * MIB, &streamed, through_machine),
        ];
        for (way, size, flags, expected) in routes {
            let world = World::with(Config { checksums, ..Config::default() });
            let object = Object::pattern(size, 1);
            world.store().put(SOURCE, "in/a", if known { object } else { object.without_checksum() });
            let (kind, ran) = evidence(&world, way, flags);
            assert_eq!(kind, expected, "{way} {size} {flags:?} {checksums:?} {known} {ran:?}");
            world.assert_copied();
        }
    }
}

#[test]
fn bytes_between_two_stores_are_checked_as_far_as_both_can() {
    for (checksums, expected) in
        [(Checksums::Supported, "checksum"), (Checksums::Ignored, "size"), (Checksums::Refused, "digest")]
    {
        for (size, memory) in [(100, "256MiB"), (6 * MIB, "256MiB"), (6 * MIB, "16MiB")] {
            let world = World::new();
            let other = Server::start_with(Config { checksums, ..Config::default() }).unwrap();
            other.store().create_bucket(DEST);
            world.store().put(SOURCE, "in/a", Object::pattern(size, 1).metadata("a", "b"));
            let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
            let (source_url, dest_url) = (world.server.endpoint(), other.endpoint());
            let ends = ["copy", "--source-endpoint-url", &source_url, "--dest-endpoint-url", &dest_url];
            let args = [&ends[..], &SMALL_PARTS, &[&from, &to, "--json", "--memory", memory]].concat();
            let ran = run(world.command(&args)).expect(0);
            let (source, dest) =
                (world.store().get(SOURCE, "in/a").unwrap(), other.store().get(DEST, "out/a").unwrap());
            assert!(source.has_bytes_of(&dest) && source.metadata == dest.metadata);
            assert_eq!(ran.json()["verified"], json!({ expected: 1 }), "{size} {memory} {checksums:?}");
            assert_eq!(other.store().open_uploads(DEST), []);
        }
    }
}

#[test]
fn copies_whose_entity_tags_tell_nothing_rest_on_the_store_s_word() {
    for (object, flags) in [
        (Object::pattern(100, 1), &["--sse", "aws:kms"][..]),
        (Object::pattern(4 * MIB, 1).uploaded_in_parts(1 << 20), &[]),
    ] {
        let world = World::new();
        world.store().put(SOURCE, "in/a", object);
        assert_eq!(evidence(&world, "server", flags).0, "answer");
    }
}

#[test]
fn a_destination_that_insists_on_digests_gets_them() {
    for checksums in [Checksums::Supported, Checksums::Refused] {
        for size in [0, 100, 6 * MIB] {
            let world = World::with(Config { checksums, requires_digest: true, ..Config::default() });
            world.store().put(SOURCE, "in/a", Object::pattern(size, 1));
            let (kind, _) = evidence(&world, "client", &[]);
            assert_eq!(kind, if checksums == Checksums::Supported { "checksum" } else { "digest" });
            world.assert_copied();
        }
    }
}

#[test]
fn a_destination_that_may_only_be_written_is_taken_at_its_word() {
    for way in WAYS {
        let world = World::with(Config { checksums: Checksums::Ignored, ..Config::default() });
        world.store().put(SOURCE, "in/a", Object::pattern(6 * MIB, 1));
        world.server.faults().add(denied(Operation::HeadObject).key("out/a"));
        assert_eq!(evidence(&world, way, &[]).0, "answer", "{way}");
        world.assert_copied();
    }
}
