//! Nothing that a run shows or writes holds a secret, whatever the verbosity and the end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#[path = "common/network.rs"]
mod network;

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{DEST, Ran, SMALL_PARTS, SOURCE, World, run};
use md5::{Digest as _, Md5};
use network::Proxy;
use s3bulk_test_server::{Account, Config, Fault, Object, Operation, Rule, When};

const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN//////////wEaDK1";
const PASSWORD: &str = "hunter2";
const SOURCE_KEY: [u8; 32] = *b"source-key-of-sse-c-source-key-o";
const DEST_KEY: [u8; 32] = *b"other-key-of-sse-c-other-key-of-";

/// What must not be seen, each in all the ways in which it is written.
fn secrets() -> Vec<String> {
    let mut secrets = vec![SECRET_KEY.to_owned(), TOKEN.to_owned(), PASSWORD.to_owned()];
    // The password and the token as they go over the wire.
    secrets.push(BASE64_STANDARD.encode("me:hunter2").trim_end_matches('=').to_owned());
    secrets.push(TOKEN.replace('/', "%2F"));
    for key in [SOURCE_KEY, DEST_KEY] {
        secrets.push(String::from_utf8(key.to_vec()).unwrap());
        secrets.push(BASE64_STANDARD.encode(key).trim_end_matches('=').to_owned());
        secrets.push(key.iter().map(|byte| format!("{byte:02x}")).collect());
        secrets.push(format!("{:?}", &key[..8]).trim_end_matches(']').to_owned());
    }
    secrets.extend(["AWS4-HMAC", "Signature=", "X-Amz-Signature", "Basic "].map(str::to_owned));
    secrets
}

fn assert_clean(what: &str, text: &str) {
    for secret in secrets() {
        assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{what} holds {secret}: {text}");
    }
}

/// All that the run said, and all files that it left.
fn assert_none_seen(world: &World, ran: &Ran) {
    assert_clean("stdout", &ran.stdout);
    assert_clean("stderr", &ran.stderr);
    let mut folders = vec![world.home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|ending| ending != "key") {
                assert_clean(&path.display().to_string(), &String::from_utf8_lossy(&fs::read(&path).unwrap()));
            }
        }
    }
}

fn with_secrets(mut command: Command, proxy: &Proxy) -> Ran {
    command.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).env("AWS_SESSION_TOKEN", TOKEN);
    command.env("HTTP_PROXY", format!("http://me:{PASSWORD}@{}", proxy.address));
    command.env("S3BULK_SSE_C_KEY", BASE64_STANDARD.encode(DEST_KEY));
    run(command)
}

fn copy(world: &World, proxy: &Proxy, args: &[&str]) -> Ran {
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let key = world.home.path().join("source.key");
    fs::write(&key, SOURCE_KEY).unwrap();
    let failures = world.home.path().join("failures.jsonl");
    let receipt = world.home.path().join("receipt.jsonl");
    let files =
        [["--source-sse-c-key-file", path(&key)], ["--failures", path(&failures)], ["--receipt", path(&receipt)]];
    let all = [&["-vv", "--json", &from, &to], args, &files.concat()].concat();
    with_secrets(world.copy_command(&all), proxy)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fault(status: u16, code: &str) -> Fault {
    Fault::Code { status, code: code.to_owned() }
}

#[test]
fn a_copy_shows_none_however_it_ends() {
    let on = |operations: &[Operation], status, code: &str| -> Vec<Rule> {
        let fault = Fault::Code { status, code: code.to_owned() };
        operations.iter().map(|operation| Rule::on(*operation, fault.clone())).collect()
    };
    let writes = [Operation::PutObject, Operation::CopyObject];
    let ends = [
        (0, Vec::new()),
        (
            0,
            vec![
                Rule::always(Fault::SlowDown).when(When::Every(3)),
                Rule::always(Fault::ResetAfter).when(When::Every(4)),
            ],
        ),
        (3, on(&writes, 403, "AccessDenied")),
        (3, on(&[Operation::UploadPart, Operation::UploadPartCopy], 400, "InvalidRequest")),
        (10, on(&writes, 400, "ExpiredToken")),
    ];
    for (way, (code, rules)) in ["client", "server"].into_iter().flat_map(|way| ends.iter().map(move |end| (way, end)))
    {
        let (world, proxy) = (World::new(), Proxy::start());
        let md5 = Some(BASE64_STANDARD.encode(Md5::digest(SOURCE_KEY)));
        let object = |size| Object { customer_key_md5: md5.clone(), ..Object::pattern(size, 1) };
        for n in 0..8 {
            world.store().put(SOURCE, &format!("in/{n}"), object(100));
        }
        world.store().put(SOURCE, "in/large", object(11 << 20));
        rules.iter().for_each(|rule| world.server.faults().add(rule.clone()));
        let ran = copy(&world, &proxy, &[&SMALL_PARTS[..], &["--via", way]].concat()).expect(*code);
        assert!(proxy.values("authorization").len() > 1);
        assert_none_seen(&world, &ran);
    }
}

#[test]
fn what_cannot_begin_shows_none() {
    let (mut world, proxy) = (World::new(), Proxy::start());
    for account in [Account::new("test-key", "another"), Account::new("other-key", SECRET_KEY)] {
        world = World::with(Config { accounts: vec![account], ..Config::default() });
        world.fill(3);
        let ran = copy(&world, &proxy, &[]).expect(10);
        assert_none_seen(&world, &ran);
    }
    // Nobody is there, neither behind the proxy nor as the proxy.
    let mut command = world.copy_command(&["-vv", "--endpoint-url", "http://127.0.0.1:1", "s3://abc/", "s3://abd/"]);
    command.env("S3BULK_SSE_C_KEY", "not a key, but secret: hunter2");
    let ran = run(command);
    assert_none_seen(&world, &ran.expect(2));
    let mut command = world.copy_command(&["-vv", "s3://abc/", "s3://abd/"]);
    command.env("HTTP_PROXY", "http://me:hunter2@127.0.0.1:1");
    assert_none_seen(&world, &run(command).expect(10));
}

#[test]
fn a_listing_shows_none() {
    let (world, proxy) = (World::new(), Proxy::start());
    world.fill(30);
    let output = world.home.path().join("keys.csv");
    let (from, endpoint) = (format!("s3://{SOURCE}/"), world.server.endpoint());
    let list = ["list", "-vv", "--json", "--endpoint-url", &endpoint, "--output", path(&output), &from];
    assert_none_seen(&world, &with_secrets(world.command(&list), &proxy).expect(0));
    world.server.faults().add(Rule::on(Operation::ListObjectsV2, fault(403, "AccessDenied")));
    assert_none_seen(&world, &with_secrets(world.command(&list), &proxy).expect(10));
}

/// Some servers repeat what they were sent.
#[test]
fn what_a_server_repeats_is_not_shown() {
    let world = World::new();
    let echo = Proxy::echo();
    let endpoint = format!("http://{}", echo.address);
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let key = world.home.path().join("source.key");
    fs::write(&key, SOURCE_KEY).unwrap();
    let args = ["copy", "-vv", "--endpoint-url", &endpoint, "--source-sse-c-key-file", path(&key), &from, &to];
    let mut command = world.command(&args);
    command.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).env("AWS_SESSION_TOKEN", TOKEN);
    let ran = run(command).expect(10);
    assert!(ran.stderr.contains("you sent"), "{ran:?}");
    assert_none_seen(&world, &ran);
}
