//! What is written beside the bytes: what the source has, what was asked for, and nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{DEST, MIB, Ran, Random, SMALL_PARTS, SOURCE, WAYS, World, assert_same, kill, object, run};
use md5::{Digest as _, Md5};
use s3bulk_test_server::{Checksums, Config, ContentHeaders, Encryption, Fault, Lock, Object, Operation, Rule};

/// The four routes: each way, whole and in parts.
const ROUTES: [(&str, u64); 4] = [("server", 100), ("server", 6 * MIB), ("client", 100), ("client", 6 * MIB)];

fn denied(operation: Operation) -> Rule {
    Rule::on(operation, Fault::Code { status: 403, code: "AccessDenied".to_owned() })
}

fn copied(world: &World, key: &str) -> Arc<Object> {
    world.store().get(DEST, &format!("out/{key}")).unwrap()
}

/// What an object of each route becomes with these flags.
fn on_every_route(source: &Object, flags: &[&str], check: impl Fn(&Object, &str)) {
    for (way, size) in ROUTES {
        let world = World::new();
        let (body, rest) = (Object::pattern(size, 1), source.clone());
        let object = Object { etag: body.etag, checksum: body.checksum, rest: body.rest, ..rest };
        world.store().put(SOURCE, "in/a", object.clone());
        world.copy_in_parts(way, flags).expect(0);
        let copy = copied(&world, "a");
        assert!(copy.has_bytes_of(&object), "{way} {size}");
        check(&copy, &format!("{way} {size}"));
    }
}

fn full() -> Object {
    let headers = ContentHeaders {
        content_type: Some("text/x; charset=utf-8".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        content_disposition: Some("attachment; filename=\"größe.txt\"".to_owned()),
        content_language: Some("de, en".to_owned()),
        cache_control: Some("max-age=3600, public".to_owned()),
        expires: Some("0".to_owned()),
        website_redirect_location: None,
    };
    let object = Object::new("").headers(headers);
    let object = object.metadata("plain", "b c").metadata("empty", "").metadata("u", "é漢🦀");
    object.tag("k+ &=é", "v/ ü").tag("empty", "").tag("aws", "=%2F")
}

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

/// An object with any headers, metadata and tags.
fn any(random: &mut Random, size: u64) -> Object {
    let mut maybe = |from: &[&str]| (random.below(2) == 0).then(|| pick(random, from).to_owned());
    let headers = ContentHeaders {
        content_type: maybe(&["a/b", "text/html; charset=\"x\"", "application/x-größe"]),
        content_encoding: maybe(&["gzip", "br, gzip", "identity"]),
        content_disposition: maybe(&["inline", "attachment; filename*=UTF-8''%e2%82%ac", "x; filename=\"漢.txt\""]),
        content_language: maybe(&["de", "en-GB, fr"]),
        cache_control: maybe(&["no-cache", "max-age=0, must-revalidate"]),
        expires: maybe(&["0", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "never"]),
        website_redirect_location: None,
    };
    let mut object = Object::pattern(size, random.below(1 << 20)).headers(headers);
    for n in 0..random.below(8) {
        let name = pick(random, &["a", "x-y_z", "content-type", "1", "~!#$&'*+.^`|"]);
        object = object
            .metadata(format!("{name}{n}"), pick(random, &["", "a  b", "=?UTF-8?Q?=C3=A9?=", "ü", "a\"b,c;d", "%41+"]));
    }
    for n in 0..random.below(11) {
        object = object.tag(
            format!("{}{n}", pick(random, &["t", " ", "&", "é=", "%2F", "+"])),
            pick(random, &["", "v", "a&b=c", "+ %", "漢"]),
        );
    }
    object
}

#[test]
fn any_object_is_the_same_whichever_way_it_is_copied() {
    let world = World::new();
    let mut random = Random(11);
    for n in 0..40 {
        let size = if n % 12 == 0 { 5 * MIB + 1 } else { random.below(3) };
        world.store().put(SOURCE, &format!("in/{n}"), any(&mut random, size));
    }
    for (way, parts) in [("server", &[][..]), ("server", &SMALL_PARTS), ("client", &[]), ("client", &SMALL_PARTS)] {
        let to = format!("s3://{DEST}/{way}{}/", parts.len());
        world.copy(&[&[&format!("s3://{SOURCE}/in/"), &to, "--via", way], parts].concat()).expect(0);
        assert_same(&world.under(SOURCE, "in/"), &world.under(DEST, &format!("{way}{}/", parts.len())));
    }
}

#[test]
fn by_default_headers_metadata_and_tags_come_along_and_the_rest_is_the_destination_s() {
    let source = Object {
        storage_class: "STANDARD_IA".to_owned(),
        encryption: Some(Encryption {
            algorithm: "aws:kms".to_owned(),
            kms_key_id: Some("k".to_owned()),
            bucket_key: true,
        }),
        lock: Some(Lock { legal_hold: true, ..Lock::default() }),
        canned_acl: Some("public-read".to_owned()),
        ..full()
    };
    on_every_route(&source, &[], |copy, case| {
        assert_eq!(
            (&copy.headers, &copy.metadata, &copy.tags),
            (&source.headers, &source.metadata, &source.tags),
            "{case}"
        );
        assert_eq!((copy.storage_class.as_str(), &copy.encryption, &copy.lock), ("STANDARD", &None, &None), "{case}");
        assert_eq!((&copy.acl, &copy.canned_acl), (&Vec::new(), &None), "{case}");
    });
}

#[test]
fn a_redirect_of_a_website_is_not_carried_over() {
    let mut source = full();
    source.headers.website_redirect_location = Some("/elsewhere".to_owned());
    on_every_route(&source, &[], |copy, case| assert_eq!(copy.headers.website_redirect_location, None, "{case}"));
}

#[test]
fn what_is_asked_for_is_written() {
    let flags = ["--storage-class", "GLACIER_IR", "--acl", "bucket-owner-full-control", "--sse", "aws:kms"];
    let more = ["--sse-kms-key-id", "arn:aws:kms:us-east-1:1:key/x", "--sse-bucket-key"];
    on_every_route(&full(), &[&flags[..], &more].concat(), |copy, case| {
        assert_eq!(copy.storage_class, "GLACIER_IR", "{case}");
        assert_eq!(copy.canned_acl.as_deref(), Some("bucket-owner-full-control"), "{case}");
        let key = Some("arn:aws:kms:us-east-1:1:key/x".to_owned());
        let encryption = Encryption { algorithm: "aws:kms".to_owned(), kms_key_id: key, bucket_key: true };
        assert_eq!(copy.encryption, Some(encryption), "{case}");
        assert_eq!(
            (&copy.headers, &copy.metadata, &copy.tags),
            (&full().headers, &full().metadata, &full().tags),
            "{case}"
        );
    });
    for algorithm in ["AES256", "aws:kms:dsse"] {
        on_every_route(&full(), &["--sse", algorithm], |copy, case| {
            let encryption = Encryption { algorithm: algorithm.to_owned(), ..Encryption::default() };
            assert_eq!(copy.encryption, Some(encryption), "{case}");
        });
    }
}

/// An object with everything that may be preserved.
fn protected() -> Object {
    let grant = |permission: &str, grantee: &str| (permission.to_owned(), grantee.to_owned());
    Object {
        storage_class: "STANDARD_IA".to_owned(),
        encryption: Some(Encryption {
            algorithm: "aws:kms".to_owned(),
            kms_key_id: Some("k".to_owned()),
            bucket_key: true,
        }),
        lock: Some(Lock {
            mode: Some("GOVERNANCE".to_owned()),
            retain_until: Some("2040-01-02T03:04:05Z".to_owned()),
            legal_hold: true,
        }),
        acl: vec![
            grant("READ", "uri=http://acs.amazonaws.com/groups/global/AllUsers"),
            grant("READ", "id=reader"),
            grant("READ_ACP", "id=auditor"),
            grant("FULL_CONTROL", "id=owner"),
        ],
        ..full()
    }
}

#[test]
fn what_is_preserved_is_as_the_source_has_it() {
    let source = protected();
    on_every_route(&source, &["--preserve", "storage-class,sse,acl,lock"], |copy, case| {
        assert_eq!((&copy.storage_class, &copy.encryption), (&source.storage_class, &source.encryption), "{case}");
        assert_eq!((&copy.lock, &copy.acl), (&source.lock, &source.acl), "{case}");
        assert_eq!(
            (&copy.headers, &copy.metadata, &copy.tags),
            (&source.headers, &source.metadata, &source.tags),
            "{case}"
        );
    });
    on_every_route(&Object::new(""), &["--preserve", "storage-class,sse,acl,lock"], |copy, case| {
        assert_eq!((copy.storage_class.as_str(), &copy.encryption, &copy.lock), ("STANDARD", &None, &None), "{case}");
    });
}

#[test]
fn each_thing_is_preserved_for_itself_and_what_is_asked_for_outweighs_it() {
    let source = protected();
    on_every_route(&source, &["--preserve", "sse", "--storage-class", "GLACIER_IR"], |copy, case| {
        assert_eq!((copy.storage_class.as_str(), &copy.encryption), ("GLACIER_IR", &source.encryption), "{case}");
        assert_eq!((&copy.lock, copy.acl.len()), (&None, 0), "{case}");
    });
    let flags =
        ["--preserve", "storage-class,sse,acl", "--sse", "AES256", "--acl", "private", "--storage-class", "STANDARD"];
    on_every_route(&source, &flags, |copy, case| {
        let encryption = copy.encryption.clone().unwrap();
        assert_eq!((encryption.algorithm.as_str(), encryption.kms_key_id), ("AES256", None), "{case}");
        assert_eq!((copy.storage_class.as_str(), copy.acl.len()), ("STANDARD", 0), "{case}");
        assert_eq!(copy.canned_acl.as_deref(), Some("private"), "{case}");
    });
}

#[test]
fn what_is_replaced_is_replaced_on_every_route() {
    let flags = ["--metadata-directive", "replace", "--metadata", "Owner=a=b", "--metadata", "empty="];
    let headers = ["--content-type", "x/y", "--content-encoding", "br", "--content-disposition", "inline"];
    let more = ["--content-language", "fr", "--cache-control", "no-store", "--expires=-1"];
    on_every_route(&full(), &[&flags[..], &headers, &more].concat(), |copy, case| {
        let text = |text: &str| Some(text.to_owned());
        let headers = ContentHeaders {
            content_type: text("x/y"),
            content_encoding: text("br"),
            content_disposition: text("inline"),
            content_language: text("fr"),
            cache_control: text("no-store"),
            expires: text("-1"),
            website_redirect_location: None,
        };
        assert_eq!((&copy.headers, &copy.tags), (&headers, &full().tags), "{case}");
        let metadata = [("owner".to_owned(), "a=b".to_owned()), ("empty".to_owned(), String::new())];
        assert_eq!(copy.metadata, metadata.into_iter().collect(), "{case}");
    });
    on_every_route(&full(), &["--tagging-directive", "replace", "--tag", "a&b=c d=é", "--tag", "e="], |copy, case| {
        assert_eq!((&copy.headers, &copy.metadata), (&full().headers, &full().metadata), "{case}");
        let tags = [("a&b".to_owned(), "c d=é".to_owned()), ("e".to_owned(), String::new())];
        assert_eq!(copy.tags, tags, "{case}");
    });
    let nothing = ["--metadata-directive", "replace", "--tagging-directive", "replace"];
    on_every_route(&full(), &nothing, |copy, case| {
        assert!(copy.metadata.is_empty() && copy.tags.is_empty(), "{case}");
        assert!(copy.headers.content_type.as_deref().is_none_or(|it| it == "binary/octet-stream"), "{case}");
        assert_eq!((&copy.headers.cache_control, &copy.headers.expires), (&None, &None), "{case}");
    });
}

#[test]
fn what_would_have_no_effect_or_cannot_be_sent_is_a_usage_error() {
    let world = World::new();
    world.fill(3);
    let short = world.home.path().join("short");
    std::fs::write(&short, "too short").unwrap();
    let short = short.to_str().unwrap();
    for (flags, why) in [
        (&["--metadata", "a=b"][..], "--metadata-directive replace"),
        (&["--content-type", "a/b"], "--metadata-directive replace"),
        (&["--expires", "0", "--metadata-directive", "copy"], "--metadata-directive replace"),
        (&["--tag", "a=b"], "--tagging-directive replace"),
        (&["--sse-kms-key-id", "k"], "--sse aws:kms"),
        (&["--sse", "AES256", "--sse-bucket-key"], "--sse aws:kms"),
        (&["--metadata-directive", "replace", "--metadata", "a b=c"], "name of a header"),
        (&["--metadata-directive", "replace", "--metadata", "a"], "NAME=VALUE"),
        (&["--metadata-directive", "replace", "--cache-control", "a\nb"], "no HTTP header"),
        (&["--tagging-directive", "replace", "--tag", "=v"], "NAME=VALUE"),
        (&["--storage-class", "glacier"], "STANDARD_IA"),
        (&["--acl", "Public Read"], "canned ACL"),
        (&["--preserve", "everything"], "--preserve"),
        (&["--sse-c-key-file", "/no/such/file"], "cannot be read"),
        (&["--sse-c-key-file", short], "32 bytes"),
        (&["--source-sse-c-key-file", short], "32 bytes"),
        (&["--sse-c-key-file", short, "--sse", "AES256"], "cannot be used with"),
    ] {
        let ran = world.copy_all(flags).expect(2);
        assert!(ran.stderr.contains(why) && !ran.stderr.contains("too short"), "{flags:?} {ran:?}");
    }
    let mut command = world.copy_command(&["s3://source-bucket/in/", "s3://dest-bucket/out/", "--sse", "AES256"]);
    command.env("S3BULK_SSE_C_KEY", BASE64.encode([1; 32]));
    run(command).expect(2);
    assert_eq!(world.written(), 0);
}

#[test]
fn another_wish_is_another_job() {
    let world = World::with(Config { latency: Duration::from_millis(20), ..Config::default() });
    world.fill(200);
    let child = world.spawn_copy_all(&["--concurrency", "8"]);
    world.wait_for_writes(50);
    kill(child);
    for flags in [
        &["--storage-class", "STANDARD_IA"][..],
        &["--sse", "AES256"],
        &["--tagging-directive", "replace", "--tag", "a=b"],
        &["--metadata-directive", "replace", "--metadata", "a=b"],
        &["--metadata-directive", "replace", "--metadata", "a=c"],
    ] {
        assert_eq!(world.copy_all(flags).expect(0).count("resumed"), 0, "{flags:?}");
    }
    assert!(world.copy_all(&[]).expect(0).count("resumed") > 0);
}

#[test]
fn tags_that_may_not_be_read_are_missing_and_that_is_counted() {
    for (way, size) in ROUTES {
        let world = World::new();
        for seed in 0..2 {
            world.store().put(
                SOURCE,
                &format!("in/{seed}"),
                Object::pattern(size, seed).tag("a", "b").metadata("m", "n"),
            );
        }
        world.store().put(SOURCE, "in/untagged", Object::pattern(10, 3));
        world.server.faults().add(denied(Operation::GetObjectTagging));
        let ran = world.copy_in_parts(way, &[]).expect(0);
        let whole_in_the_store = (way, size) == ROUTES[0];
        let lacking = if whole_in_the_store { 0 } else { 2 };
        let said = ran.json()["lacking_tags"].as_u64().unwrap_or(0);
        assert_eq!((ran.count("done"), said), (3, lacking), "{way} {size}: {ran:?}");
        assert_eq!(ran.said("2 without their tags"), usize::from(lacking > 0), "{ran:?}");
        assert_eq!(copied(&world, "0").tags.len(), usize::from(whole_in_the_store));
        assert_eq!(copied(&world, "0").metadata.len(), 1);
        let ran = world.copy_in_parts(way, &["--tags", "require"]);
        if whole_in_the_store {
            ran.expect(0);
        } else {
            let ran = ran.expect(3);
            assert!(ran.count("failed") >= 2 && ran.stderr.contains("AccessDenied"), "{way} {size}: {ran:?}");
            assert!(!ran.stderr.contains("without their tags"), "{ran:?}");
        }
        world.assert_none_open();
    }
}

#[test]
fn that_tags_are_missing_is_known_after_a_kill() {
    for way in WAYS {
        let world = World::new();
        world.store().put(SOURCE, "in/a", Object::pattern(15 * MIB, 1).tag("a", "b"));
        world.server.faults().add(denied(Operation::GetObjectTagging));
        for operation in [Operation::UploadPart, Operation::UploadPartCopy] {
            world.server.faults().add(Rule::on(operation, Fault::Latency(Duration::from_millis(100))));
        }
        let child = world.spawn_copy_in_parts(way, &["--concurrency", "1"]);
        world.wait_for_parts(1);
        kill(child);
        let ran = world.copy_in_parts(way, &[]).expect(0);
        assert_eq!(ran.count("lacking_tags"), 1, "{way}: {ran:?}");
    }
}

#[test]
fn nothing_is_asked_that_need_not_be_known() {
    let world = World::new();
    world.fill(40);
    let asked = |flags: &[&str]| {
        let of = |operation| world.server.requests(operation);
        let count = || [Operation::HeadObject, Operation::GetObjectTagging, Operation::GetObjectAcl].map(of);
        let before = count();
        world.copy_all(flags).expect(0);
        let after = count();
        [after[0] - before[0], after[1] - before[1], after[2] - before[2]]
    };
    assert_eq!(asked(&[]), [0, 0, 0]);
    assert_eq!(asked(&["--storage-class", "STANDARD_IA", "--sse", "AES256", "--acl", "private"]), [0, 0, 0]);
    assert_eq!(asked(&["--metadata-directive", "replace", "--tagging-directive", "replace"]), [0, 0, 0]);
    assert_eq!(asked(&["--preserve", "storage-class"]), [0, 0, 0]);
    assert_eq!(asked(&["--preserve", "sse,lock"]), [40, 0, 0]);
    assert_eq!(asked(&["--preserve", "acl"]), [0, 0, 40]);
    // Of each four objects one has tags.
    assert_eq!(asked(&["--via", "client"]), [0, 10, 0]);
    assert_eq!(asked(&["--via", "client", "--tagging-directive", "replace"]), [0, 0, 0]);
    assert_eq!(asked(&["--via", "client", "--tags", "require"]), [0, 40, 0]);
}

/// A key of SSE-C, as text and as S3 remembers it.
struct Key([u8; 32]);

impl Key {
    fn text(&self) -> String {
        BASE64.encode(self.0)
    }

    fn md5(&self) -> String {
        BASE64.encode(Md5::digest(self.0))
    }
}

/// A command with keys of SSE-C for the source and the copies, from files or the environment.
fn with_keys(world: &World, way: &str, source: Option<&Key>, dest: Option<&Key>, files: bool) -> Command {
    let path = |name: &str| world.home.path().join(name).to_str().unwrap().to_owned();
    let mut args =
        [&SMALL_PARTS[..], &["s3://source-bucket/in/", "s3://dest-bucket/out/", "--via", way, "--json", "-vv"]]
            .concat();
    let files_of = [("--source-sse-c-key-file", path("s.key"), source), ("--sse-c-key-file", path("d.key"), dest)];
    for (flag, file, key) in files_of.iter().filter(|_| files) {
        let Some(key) = key else { continue };
        // As it is, and in base64.
        let content =
            if *flag == "--sse-c-key-file" { key.0.to_vec() } else { format!("{}\n", key.text()).into_bytes() };
        std::fs::write(file, content).unwrap();
        args.extend([*flag, file]);
    }
    let receipt = path("receipt.jsonl");
    args.extend(["--receipt", &receipt]);
    let mut command = world.copy_command(&args);
    for (variable, key) in [("S3BULK_SOURCE_SSE_C_KEY", source), ("S3BULK_SSE_C_KEY", dest)] {
        if let Some(key) = key.filter(|_| !files) {
            command.env(variable, key.text());
        }
    }
    command
}

/// A key must not be in what was printed, nor in any file but its own.
fn assert_secret(world: &World, ran: &Ran, keys: &[&Key]) {
    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
    let files = files(world.home.path()).into_iter().filter(|path| path.extension().is_none_or(|it| it != "key"));
    let mut texts: Vec<String> =
        files.map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into()).collect();
    assert!(texts.len() >= 2, "a checkpoint and a receipt");
    texts.extend([ran.stdout.clone(), ran.stderr.clone()]);
    for key in keys {
        assert!(!texts.iter().any(|text| text.contains(&key.text()) || text.contains(&key.md5())));
    }
}

#[test]
fn keys_of_the_customer_open_the_source_and_close_the_copies() {
    let (a, b) = (Key([7; 32]), Key([9; 32]));
    for (way, size) in ROUTES {
        for (source, dest, files) in
            [(Some(&a), Some(&b), true), (Some(&a), None, false), (None, Some(&b), false), (Some(&a), Some(&a), false)]
        {
            let world = World::new();
            let object =
                Object { customer_key_md5: source.map(Key::md5), ..Object::pattern(size, 1).metadata("a", "b") };
            world.store().put(SOURCE, "in/a", object);
            let ran = run(with_keys(&world, way, source, dest, files)).expect(0);
            world.assert_copied();
            world.assert_none_open();
            assert_eq!(copied(&world, "a").customer_key_md5, dest.map(Key::md5), "{way} {size}");
            assert_secret(&world, &ran, &[&a, &b]);
        }
    }
}

#[test]
fn without_the_right_key_objects_fail_and_no_key_is_shown() {
    let (a, b) = (Key([7; 32]), Key([9; 32]));
    for (way, size) in ROUTES {
        for wrong in [None, Some(&b)] {
            let world = World::new();
            world.store().put(SOURCE, "in/a", Object { customer_key_md5: Some(a.md5()), ..Object::pattern(size, 1) });
            let ran = run(with_keys(&world, way, wrong, Some(&b), true)).expect(3);
            assert_eq!((ran.count("failed"), world.store().keys(DEST).len()), (1, 0), "{way} {size}");
            world.assert_none_open();
            assert_secret(&world, &ran, &[&a, &b]);
        }
    }
}

#[test]
fn a_killed_copy_in_parts_with_keys_of_the_customer_is_resumed() {
    let (a, b) = (Key([7; 32]), Key([9; 32]));
    for way in WAYS {
        let world = World::with(Config { checksums: Checksums::Ignored, ..Config::default() });
        world.store().put(SOURCE, "in/a", Object { customer_key_md5: Some(a.md5()), ..Object::pattern(15 * MIB, 1) });
        for operation in [Operation::UploadPart, Operation::UploadPartCopy] {
            world.server.faults().add(Rule::on(operation, Fault::Latency(Duration::from_millis(100))));
        }
        let mut command = with_keys(&world, way, Some(&a), Some(&b), true);
        let child = command.args(["--concurrency", "1"]).stderr(std::process::Stdio::null()).spawn().unwrap();
        world.wait_for_parts(1);
        std::thread::sleep(Duration::from_millis(60));
        kill(child);
        let ran = run(with_keys(&world, way, Some(&a), Some(&b), true)).expect(0);
        world.assert_copied();
        world.assert_none_open();
        assert!(world.parts() <= 4, "{way}");
        assert_secret(&world, &ran, &[&a, &b]);
    }
}

#[test]
fn many_small_objects_are_written_as_asked_for() {
    let world = World::new();
    world.fill(300);
    world.store().put(SOURCE, "in/one", object("one", 0));
    world
        .copy_all(&["--storage-class", "STANDARD_IA", "--metadata-directive", "replace", "--content-type", "a/b"])
        .expect(0);
    assert!(world.under(DEST, "out/").values().all(|copy| {
        copy.storage_class == "STANDARD_IA"
            && copy.headers.content_type.as_deref() == Some("a/b")
            && copy.metadata.is_empty()
    }));
}
