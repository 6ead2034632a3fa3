//! A copy that is killed half-way and goes on where it was, on this machine alone:
//!
//! ```text
//! cargo run --release --example quickstart
//! ```
//!
//! It starts the S3 server of the tests, fills a bucket, copies it with `s3bulk copy`, kills that
//! process with SIGKILL about half-way, runs the same command again, and compares the two buckets.
//! There are no credentials and no network but 127.0.0.1.
//!
//! An example cannot rely on the binary having been built. So the copies run in this very
//! executable, started once more with [`MARKER`] as its first argument.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells people what it shows")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use s3bulk_test_server::{Config, Object, Server, Store};

/// As the first argument: be `s3bulk`, with the arguments that follow.
const MARKER: &str = "__s3bulk";

const SOURCE: &str = "photos";
const DEST: &str = "photos-copy";
const OBJECTS: usize = 20_000;

/// Waited before every answer. With [`CONCURRENCY`] it sets the pace, so that there is a half-way
/// to see on any machine: at most 6,400 objects a second.
const LATENCY: Duration = Duration::from_millis(10);
const CONCURRENCY: &str = "64";

/// How often the destination is looked at, and for how long at most.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == MARKER) {
        return s3bulk::cli::main(std::iter::once(OsString::from("s3bulk")).chain(args));
    }
    match demonstrate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> Outcome<()> {
    let server = Server::start_with(Config { latency: LATENCY, record_keys: true, ..Config::default() })?;
    fill(server.store());
    server.store().create_bucket(DEST);
    let home = tempfile::tempdir()?;
    println!("An S3 server in memory on {} holds {OBJECTS} objects in s3://{SOURCE}/.", server.endpoint());

    println!("\nFirst run: s3bulk copy s3://{SOURCE}/ s3://{DEST}/");
    let there = kill_half_way(s3bulk(&server, home.path())?.spawn()?, server.store())?;
    let first_writes = server.log().len();
    println!("Killed with SIGKILL when {there} of {OBJECTS} objects were there.");

    println!("\nSecond run: the same command again");
    let status = finish(s3bulk(&server, home.path())?.spawn()?)?;
    if !status.success() {
        return Err(format!("the second run ended with {status}").into());
    }
    let log = server.log();
    let (before, after) = log.split_at(first_writes);
    let before: BTreeSet<_> = before.iter().map(|(_, key)| key).collect();
    let twice = after.iter().filter(|(_, key)| before.contains(key)).count();
    println!("It copied {} objects; {twice} of them had been copied before the kill.", after.len());
    if twice * 2 > there {
        return Err("the second run did not go on where the first one was killed".into());
    }

    compare(&server.store().objects(SOURCE), &server.store().objects(DEST))?;
    println!("\nBoth buckets hold the same {OBJECTS} objects: keys, bodies, headers, metadata and tags.");
    Ok(())
}

/// A hundred objects to a folder; some have metadata, some have tags.
fn fill(store: &Store) {
    for number in 0..OBJECTS {
        let key = format!("{}/{:02}/photo {number:05}.jpg", 2020 + number / 5_000, number / 100 % 50);
        let mut object = Object::new(format!("the bytes of photo {number}\n")).content_type("image/jpeg");
        if number % 3 == 0 {
            object = object.metadata("camera", format!("camera {}", number % 7)).metadata("number", number.to_string());
        }
        if number % 50 == 0 {
            object = object.tag("album", format!("album {}", number / 1_000)).tag("rating", "5/5 & more");
        }
        store.put(SOURCE, &key, object);
    }
}

/// The copy, as a command: nothing of the user's AWS configuration gets into it.
fn s3bulk(server: &Server, home: &Path) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_ACCESS_KEY_ID", "quickstart")
        .env("AWS_SECRET_ACCESS_KEY", "quickstart")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", home.join("no-config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", home.join("no-credentials"))
        .env("NO_PROXY", "127.0.0.1")
        .env("XDG_STATE_HOME", home)
        .args([MARKER, "copy", "--endpoint-url", &server.endpoint(), "--concurrency", CONCURRENCY])
        .args([format!("s3://{SOURCE}/"), format!("s3://{DEST}/")]);
    Ok(command)
}

/// Kills the copy when half of the objects are there, and says how many there are then.
fn kill_half_way(mut copy: Child, store: &Store) -> Outcome<usize> {
    let started = Instant::now();
    let mut ended = None;
    while store.keys(DEST).len() < OBJECTS / 2 && ended.is_none() && started.elapsed() < PATIENCE {
        std::thread::sleep(LOOK_EVERY);
        ended = copy.try_wait()?;
    }
    copy.kill()?;
    let status = copy.wait()?;
    if std::io::stderr().is_terminal() {
        // The bar of a killed process has no end of line.
        eprintln!();
    }
    // What the server had begun is done or dropped by then.
    std::thread::sleep(LATENCY * 10);
    let there = store.keys(DEST).len();
    match ended {
        Some(_) => Err(format!("the first run ended by itself with {status}: there was nothing to kill").into()),
        None if there < OBJECTS / 2 => Err(format!("only {there} objects were there after {PATIENCE:?}").into()),
        None if there >= OBJECTS => Err("all objects were there at the kill: there is nothing to resume".into()),
        None => Ok(there),
    }
}

/// Waits for the copy to end, and kills it where it takes too long.
fn finish(mut copy: Child) -> Outcome<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(status) = copy.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    copy.kill()?;
    copy.wait()?;
    Err(format!("the second run did not end within {PATIENCE:?}").into())
}

type Bucket = BTreeMap<String, Arc<Object>>;

/// Compares all that a copy carries over. The first difference is the error.
fn compare(source: &Bucket, dest: &Bucket) -> Outcome<()> {
    if source.len() != OBJECTS {
        return Err(format!("the source has {} objects instead of {OBJECTS}", source.len()).into());
    }
    if let Some(extra) = dest.keys().find(|&key| !source.contains_key(key)) {
        return Err(format!("{extra:?} is in the destination only").into());
    }
    for (key, from) in source {
        let to = dest.get(key).ok_or_else(|| format!("{key:?} is missing in the destination"))?;
        let parts = [
            ("body", from.body == to.body && from.hole == to.hole),
            ("headers", from.headers == to.headers),
            ("metadata", from.metadata == to.metadata),
            ("tags", from.tags == to.tags),
        ];
        if let Some((part, _)) = parts.iter().find(|(_, same)| !same) {
            return Err(format!("{key:?} differs in its {part}").into());
        }
    }
    Ok(())
}
