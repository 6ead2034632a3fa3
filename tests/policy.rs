//! `s3bulk policy` against what runs really send: every request is allowed, by a policy that allows
//! nothing that none of the runs needs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use common::{DEST, MIB, Ran, SMALL_PARTS, SOURCE, WAYS, World, kill, run, wait_until};
use s3bulk_test_server::{Asked, Config, Fault, Object, Operation, Rule, When};
use serde_json::Value;

/// Requests that write parts.
const PARTS: [Operation; 2] = [Operation::UploadPart, Operation::UploadPartCopy];

/// Objects that are written in parts, elsewhere or in place.
const LARGE: [&str; 4] = ["out/large", "out/plain", "in/large", "in/plain"];

/// A permission that a request needs: action, ARN, and the prefix where keys are listed.
type Permission = (String, String, Option<String>);

/// What the command prints; it gets no credentials, and sends nothing.
fn policy(world: &World, args: &[&str]) -> Value {
    let before = world.server.asked();
    let mut command = world.command(&[&["policy"], args].concat());
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let ran = run(command).expect(0);
    assert_eq!(world.server.asked(), before);
    ran.json()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// Whether a name is as the pattern says, where `*` is any run of characters.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.is_char_boundary(at) && is_like(tail, &rest[at..]))),
    }
}

fn allows(statement: &Value, action: &str, (needed, arn, prefix): &Permission) -> bool {
    let prefixes = strings(&statement["Condition"]["StringLike"]["s3:prefix"]);
    let prefix = prefix.as_deref().unwrap_or_default();
    action == needed
        && strings(&statement["Resource"]).iter().any(|resource| is_like(resource, arn))
        && (prefixes.is_empty() || prefixes.iter().any(|pattern| is_like(pattern, prefix)))
}

/// What S3 asks for when these requests come. HeadBucket is denied in all tests, and does not count.
fn needed(world: &World, asked: &BTreeSet<Asked>, args: &[&str]) -> BTreeSet<Permission> {
    let copies_tags = !args.contains(&"--tagging-directive");
    let writes_acl = args.contains(&"--acl") || args.contains(&"acl");
    let versions = args.contains(&"--version-id");
    let mut needed = BTreeSet::new();
    for request in asked {
        let objects = |bucket: &str, key: &str| format!("arn:aws:s3:::{bucket}/{key}");
        let mut need = |action: &str, arn: String| {
            needed.insert((format!("s3:{action}"), arn, None));
        };
        let here = objects(&request.bucket, &request.key);
        let source_key = request.key.replacen("out/", "in/", 1);
        let source = objects(SOURCE, &source_key);
        let tagged = world.store().get(SOURCE, &source_key).is_some_and(|object| !object.tags.is_empty());
        let of_version = |action: &str| {
            if versions && request.bucket == SOURCE {
                action.replacen("Object", "ObjectVersion", 1)
            } else {
                action.to_owned()
            }
        };
        let read = if versions { "GetObjectVersion" } else { "GetObject" };
        let operation = request.operation;
        match operation {
            Operation::HeadBucket => {}
            Operation::ListObjectsV2 => {
                let bucket = format!("arn:aws:s3:::{}", request.bucket);
                needed.insert(("s3:ListBucket".to_owned(), bucket, Some(request.prefix.clone())));
            }
            Operation::HeadObject | Operation::GetObject => need(&of_version("GetObject"), here),
            Operation::GetObjectTagging | Operation::GetObjectAcl => need(&of_version(operation.as_str()), here),
            Operation::CopyObject | Operation::PutObject | Operation::CreateMultipartUpload => {
                need("PutObject", here.clone());
                if args.contains(&"--tag") || (copies_tags && tagged) {
                    need("PutObjectTagging", here.clone());
                }
                if writes_acl {
                    need("PutObjectAcl", here);
                }
                if operation == Operation::CopyObject {
                    need(read, source.clone());
                    if copies_tags && tagged {
                        need(&format!("{read}Tagging"), source);
                    }
                }
            }
            Operation::UploadPart | Operation::CompleteMultipartUpload => need("PutObject", here),
            Operation::UploadPartCopy => {
                need("PutObject", here);
                need(read, source);
            }
            Operation::GetBucketVersioning => {
                need("GetBucketVersioning", format!("arn:aws:s3:::{}", request.bucket));
            }
            Operation::AbortMultipartUpload => need("AbortMultipartUpload", here),
            Operation::ListParts => need("ListMultipartUploadParts", here),
            Operation::ListMultipartUploads => {
                need("ListBucketMultipartUploads", format!("arn:aws:s3:::{}", request.bucket));
            }
            other => panic!("{other} is sent?"),
        }
    }
    needed
}

/// The policy of a command allows what was sent, and nothing else.
#[track_caller]
fn assert_just_enough(world: &World, policy: &Value, args: &[&str]) {
    let needed = needed(world, &world.server.asked(), args);
    let statements = policy["Statement"].as_array().unwrap();
    let allowed = |permission: &Permission| {
        let by = |statement: &Value| {
            strings(&statement["Action"]).iter().any(|action| allows(statement, action, permission))
        };
        statements.iter().any(by)
    };
    let denied: Vec<_> = needed.iter().filter(|permission| !allowed(permission)).collect();
    assert!(denied.is_empty(), "{args:?} may not {denied:?}: {policy:#}");
    for statement in statements {
        for action in strings(&statement["Action"]) {
            let used = needed.iter().any(|permission| allows(statement, action, permission));
            assert!(used, "{args:?} never needs {action} of {statement:#}");
        }
    }
}

/// Nobody may ask for the buckets: runs go on all the same.
fn only_head_bucket_fails(world: &World) {
    world.server.faults().clear();
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::HeadBucket, denied));
}

/// Small objects and large ones, some with tags, and one of which the store has no checksum.
fn filled() -> World {
    let world = World::new();
    world.fill(20);
    world.store().put(SOURCE, "in/large", Object::pattern(20 * MIB, 1).tag("t", "v"));
    world.store().put(SOURCE, "in/plain", Object::pattern(20 * MIB, 2).without_checksum());
    only_head_bucket_fails(&world);
    world
}

/// Runs that provoke what a copy can send: parts that fail, an upload whose begin gets no answer, a
/// kill, a resume, an upload whose completion gets no answer.
fn provoke(world: &World, copy: &dyn Fn(&[&str]) -> Ran, spawn: &dyn Fn(&[&str]) -> std::process::Child) {
    for (operation, key) in PARTS.into_iter().flat_map(|operation| LARGE.map(|key| (operation, key))) {
        let broken = Fault::Code { status: 400, code: "InvalidRequest".to_owned() };
        world.server.faults().add(Rule::on(operation, broken).key(key).when(When::Kth(1)));
    }
    copy(&[]).expect(3);
    only_head_bucket_fails(world);
    world.server.faults().add(Rule::on(Operation::CreateMultipartUpload, Fault::ResetAfter).when(When::Kth(1)));
    for operation in PARTS {
        world.server.faults().add(Rule::on(operation, Fault::Latency(Duration::from_millis(300))));
    }
    let parts = world.parts();
    let child = spawn(&[]);
    wait_until(|| world.parts() > parts);
    std::thread::sleep(Duration::from_millis(150));
    kill(child);
    std::thread::sleep(Duration::from_millis(250));
    only_head_bucket_fails(world);
    world.server.faults().add(Rule::on(Operation::CompleteMultipartUpload, Fault::ResetAfter).when(When::Kth(1)));
    copy(&[]).expect(0);
}

fn check_copy(way: &str, flags: &[&str]) {
    let world = filled();
    let endpoint = world.server.endpoint();
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let args =
        [&["copy", "--endpoint-url", &endpoint, &from, &to, "--json", "--via", way], &SMALL_PARTS[..], flags].concat();
    let policy = policy(&world, &args);
    let few = ["--concurrency", "4"];
    provoke(&world, &|more| world.copy_in_parts(way, &[flags, &few, more].concat()), &|more| {
        world.spawn_copy_in_parts(way, &[flags, &few, more].concat())
    });
    assert_just_enough(&world, &policy, &args);
}

#[test]
fn a_copy_may_do_what_it_does_and_no_more() {
    for way in WAYS {
        check_copy(way, &[]);
    }
}

#[test]
fn so_may_one_with_flags_for_what_is_written() {
    check_copy("server", &["--storage-class", "GLACIER", "--acl", "bucket-owner-full-control"]);
    check_copy("client", &["--preserve", "acl"]);
    check_copy("server", &["--tagging-directive", "replace"]);
    for way in WAYS {
        check_copy(way, &["--tagging-directive", "replace", "--tag", "a=b"]);
    }
}

#[test]
fn so_may_a_change_in_place() {
    for dry_run in [false, true] {
        let world = filled();
        let endpoint = world.server.endpoint();
        let place = format!("s3://{SOURCE}/in/");
        let all = ["copy", "--endpoint-url", &endpoint, &place, &place, "--json", "--storage-class", "GLACIER"];
        let mut args = [&all[..], &SMALL_PARTS].concat();
        args.extend(dry_run.then_some("--dry-run"));
        let policy = policy(&world, &args);
        let again = |more: &[&str]| world.command(&[&args[..], &["--concurrency", "4"], more].concat());
        if dry_run {
            run(again(&[])).expect(0);
        } else {
            provoke(&world, &|more| run(again(more)), &|more| {
                again(more).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
            });
        }
        assert_just_enough(&world, &policy, &args);
    }
}

#[test]
fn so_may_one_that_leaves_things_alone() {
    check_copy("server", &["--no-overwrite"]);
    check_copy("client", &["--skip-existing"]);
    check_copy("server", &["--skip-newer"]);
}

#[test]
fn so_may_one_that_says_or_keeps_nothing() {
    check_copy("server", &["--quiet"]);
    check_copy("client", &["--no-checkpoint"]);
}

#[test]
fn what_the_readme_says_can_be_taken_away_can() {
    for way in WAYS {
        let world = filled();
        let few = ["--concurrency", "4"];
        let copy = |more: &[&str]| {
            let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
            for operation in [Operation::ListParts, Operation::ListMultipartUploads] {
                world.server.faults().add(Rule::on(operation, denied.clone()));
            }
            // Of the destination; and an answer that is lost cannot be made up for without it.
            world.server.faults().add(Rule::on(Operation::HeadObject, denied).key_prefix("out/"));
            world.copy_in_parts(way, &[&few, more].concat())
        };
        copy(&[]).expect(0);
        world.assert_copied();
    }
}

#[test]
fn so_may_a_dry_run() {
    for (flags, seed) in [(&[][..], false), (&["--no-overwrite"][..], false), (&["--skip-existing"][..], true)] {
        let world = filled();
        if seed {
            // Of the same size and later, with another ETag.
            world.store().put(DEST, "out/large", Object::pattern(12 * MIB, 9));
            world.store().put(DEST, "out/0000/000002.txt", common::object("in/0000/000002.txt", 3));
        }
        let endpoint = world.server.endpoint();
        let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
        let args = [&["copy", "--endpoint-url", &endpoint, &from, &to, "--json", "--dry-run"], flags].concat();
        let policy = policy(&world, &args);
        run(world.command(&args)).expect(0);
        assert_just_enough(&world, &policy, &args);
        assert_eq!(world.written(), 0);
    }
}

#[test]
fn so_may_a_copy_of_one_object_and_of_one_version() {
    for versioned in [false, true] {
        for way in WAYS {
            let world = World::with(Config { versioned, ..Config::default() });
            world.store().put(SOURCE, "in/large", Object::pattern(20 * MIB, 1).tag("t", "v").without_checksum());
            let id = world.store().get(SOURCE, "in/large").unwrap().version_id.clone().unwrap_or_default();
            only_head_bucket_fails(&world);
            let endpoint = world.server.endpoint();
            let (from, to) = (format!("s3://{SOURCE}/in/large"), format!("s3://{DEST}/out/"));
            let all = ["copy", "--endpoint-url", &endpoint, &from, &to, "--json", "--via", way];
            let version: &[&str] = if versioned { &["--version-id", &id] } else { &[] };
            let args = [&all, &SMALL_PARTS[..], version].concat();
            let policy = policy(&world, &args);
            let again = |more: &[&str]| world.command(&[&args[..], &["--concurrency", "4"], more].concat());
            provoke(&world, &|more| run(again(more)), &|more| {
                again(more).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
            });
            // An object that is said to be gone is looked for.
            for operation in [Operation::UploadPartCopy, Operation::GetObject] {
                let gone = Fault::Code { status: 404, code: "NoSuchKey".to_owned() };
                world.server.faults().add(Rule::on(operation, gone));
            }
            run(again(&[])).expect(3);
            assert_just_enough(&world, &policy, &args);
        }
    }
}

#[test]
fn so_may_a_listing_and_a_cleaning() {
    let world = filled();
    let endpoint = world.server.endpoint();
    let (all, one) = (format!("s3://{SOURCE}/in/"), format!("s3://{SOURCE}/in/plain"));
    let pattern = format!("s3://{SOURCE}/in/*/*0.txt");
    for source in [&all, &one, &pattern] {
        let world = filled();
        let endpoint = world.server.endpoint();
        let args = ["list", "--endpoint-url", &endpoint, source];
        let policy = policy(&world, &args);
        assert!(!run(world.command(&args)).expect(0).stdout.is_empty());
        assert_just_enough(&world, &policy, &args);
    }
    let prefix = format!("s3://{DEST}/out/");
    for dry_run in [true, false] {
        world.store().open_upload(DEST, "out/k", SystemTime::now());
        let mut args = vec!["abort-uploads", "--endpoint-url", &endpoint, &prefix];
        args.extend(dry_run.then_some("--dry-run"));
        let policy = policy(&world, &args);
        run(world.command(&args)).expect(0);
        assert_just_enough(&world, &policy, &args);
    }
}

#[test]
fn nothing_is_sent_and_what_cannot_be_meant_is_refused() {
    let world = World::new();
    let refused = |args: &[&str], why: &str| {
        let ran = run(world.command(&[&["policy"], args].concat())).expect(2);
        assert!(ran.stderr.contains(why) && ran.stdout.is_empty(), "{ran:?}");
    };
    refused(&["jobs"], "there is nothing to allow");
    refused(&["completions", "bash"], "there is nothing to allow");
    refused(&["copy", "s3://source-bucket/", "s3://source-bucket/in/"], "lies under the source");
    refused(&["list", "--no-sign-request", "s3://source-bucket/"], "not signed");
    refused(&["copy", "--tag", "a=b", "s3://source-bucket/", "s3://dest-bucket/"], "--tagging-directive replace");
}

#[test]
fn the_partition_and_the_way_come_from_what_is_configured() {
    let world = World::new();
    let config = world.home.path().join("config");
    let text = "[profile china]\nregion = cn-north-1\n[profile minio]\nregion = x\nendpoint_url = http://127.0.0.1:1\n";
    std::fs::write(&config, text).unwrap();
    let policy = |args: &[&str]| {
        let mut command = world.command(&[&["policy"], args].concat());
        command.env("AWS_CONFIG_FILE", &config).env_remove("AWS_ACCESS_KEY_ID");
        run(command).expect(0).json()
    };
    let list = |args: &[&str]| {
        let policy = policy(&[&["list"], args, &["s3://abc/x/"]].concat());
        policy["Statement"][0]["Resource"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(list(&[]), "arn:aws:s3:::abc");
    assert_eq!(list(&["--region", "us-gov-west-1"]), "arn:aws-us-gov:s3:::abc");
    assert_eq!(list(&["--profile", "china"]), "arn:aws-cn:s3:::abc");
    let both = policy(&["copy", "--dest-profile", "minio", "s3://abc/x/", "s3://xyz/y/"]);
    let resources = |end: &str| both[end]["Statement"].to_string();
    assert!(resources("source").contains("abc") && !resources("source").contains("xyz"), "{both:#}");
    assert!(resources("destination").contains("xyz") && !resources("destination").contains("abc"), "{both:#}");
    let both = policy(&["copy", "--source-profile", "china", "s3://abc/x/", "s3://xyz/y/"]);
    assert!(both["source"].to_string().contains("arn:aws-cn:s3:::abc/x/*"), "{both:#}");
    let ran = run(world.command(&["policy", "copy", "--dest-profile", "b", "s3://abc/x/", "s3://xyz/y/"])).expect(0);
    assert!(
        ran.json()["bucket_policies"]["abc"].is_object() && ran.stderr.contains("ACCOUNT_OF_DESTINATION"),
        "{ran:?}"
    );
}
