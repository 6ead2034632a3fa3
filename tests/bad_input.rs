//! What cannot be meant, or cannot be done: one clear line, the right exit code, at once, and
//! nothing written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{DEST, Ran, SOURCE, World, run};

/// Runs it, and checks the exit code, that one line on stderr says `why`, and that it took seconds.
#[track_caller]
fn refused(world: &World, args: &[&str], code: i32, why: &str) -> Ran {
    let start = Instant::now();
    let ran = run(world.command(args)).expect(code);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(ran.stderr.contains(why), "{ran:?}");
    assert!(ran.stderr.starts_with("s3bulk: ") && ran.stderr.lines().count() == 1, "{ran:?}");
    assert_eq!(world.written(), 0);
    ran
}

#[test]
fn locations_that_cannot_be_meant_are_usage_errors() {
    let world = World::new();
    world.fill(3);
    let endpoint = world.server.endpoint();
    let copy = |args: &[&str], why: &str| {
        let all = [&["copy", "--endpoint-url", &endpoint], args].concat();
        refused(&world, &all, 2, why);
    };
    copy(&["source-bucket/in/", "s3://dest-bucket/"], "is not a location");
    copy(&["s3:/source-bucket/", "s3://dest-bucket/"], "is not a location");
    copy(&["s3://Source_Bucket/", "s3://dest-bucket/"], "bucket name");
    copy(&["s3://", "s3://dest-bucket/"], "the bucket's name is missing");
    copy(&["s3://source-bucket/in/", "s3://source-bucket/in/"], "nothing to change");
    copy(&["s3://source-bucket/in/", "s3://source-bucket/in/copy/"], "lies under the source");
    copy(&["s3://source-bucket/in/", "s3://dest-bucket/out"], "add a slash");
    copy(&["s3://source-bucket/in/[a.csv", "s3://dest-bucket/"], "--no-glob");
    copy(&["s3://source-bucket/in/", "s3://source-bucket/in/0000/", "s3://dest-bucket/"], "overlap");
}

#[test]
fn wrong_flags_are_usage_errors() {
    let world = World::new();
    for args in [
        &["copy"][..],
        &["copy", "s3://source-bucket/"],
        &["copy", "--concurrency", "0", "s3://aaa/", "s3://bbb/"],
        &["copy", "--memory", "much", "s3://aaa/", "s3://bbb/"],
        &["copy", "--request-timeout", "0s", "s3://aaa/", "s3://bbb/"],
        &["copy", "--restart", "--retry-failed", "s3://aaa/", "s3://bbb/"],
        &["copy", "--no-such-flag", "s3://aaa/", "s3://bbb/"],
        &["no-such-verb"],
        &[],
    ] {
        let ran = run(world.command(args)).expect(2);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{ran:?}");
    }
    for args in [&["--help"][..], &["copy", "--help"], &["jobs", "-h"], &["--version"]] {
        assert!(!run(world.command(args)).expect(0).stdout.is_empty());
    }
}

#[test]
fn the_extremes_of_flags_do_not_panic() {
    let world = World::new();
    world.fill(3);
    let most = usize::MAX.to_string();
    world.copy_all(&["--concurrency", &most, "--list-concurrency", &most, "--request-timeout", &most]).expect(0);
    world.copy_all(&["--concurrency", "1", "--list-concurrency", "1", "--memory", "1", "--attempts", "1"]).expect(0);
    world.copy_all(&["--via", "client", "--memory", "16EiB", "--attempts", "4294967295"]).expect(0);
}

#[test]
fn a_bucket_that_is_not_there_is_told() {
    let world = World::new();
    world.fill(3);
    let endpoint = world.server.endpoint();
    let copy = |from: &str, to: &str| {
        refused(
            &world,
            &["copy", "--endpoint-url", &endpoint, from, to],
            10,
            "the bucket \"no-such-bucket\" does not exist",
        );
    };
    copy("s3://no-such-bucket/in/", "s3://dest-bucket/");
    copy("s3://source-bucket/in/", "s3://no-such-bucket/");
}

#[test]
fn an_object_that_is_not_there_is_told_and_a_missing_slash_too() {
    let world = World::new();
    world.fill(3);
    let endpoint = world.server.endpoint();
    let copy = |from: &str, why: &str| {
        refused(&world, &["copy", "--endpoint-url", &endpoint, from, "s3://dest-bucket/"], 10, why);
    };
    copy("s3://source-bucket/none", "there is no object s3://source-bucket/none");
    copy("s3://source-bucket/in", "there are objects under s3://source-bucket/in/, add the slash");
}

#[test]
fn an_endpoint_that_refuses_is_told_within_seconds() {
    let world = World::new();
    let closed = "http://127.0.0.1:1";
    let args = ["copy", "--endpoint-url", closed, "s3://source-bucket/", "s3://dest-bucket/"];
    let ran = refused(&world, &args, 10, "cannot be reached at http://127.0.0.1:1");
    assert!(ran.stderr.contains("Connection refused") || ran.stderr.contains("connect"), "{ran:?}");
    let args = ["copy", "--endpoint-url", "localhost:9000", "s3://source-bucket/", "s3://dest-bucket/"];
    refused(&world, &args, 2, "is not a URL");
}

#[test]
fn missing_credentials_are_told_within_seconds() {
    let world = World::new();
    let args = ["copy", "--endpoint-url", &world.server.endpoint(), "s3://source-bucket/", "s3://dest-bucket/"];
    let mut command = world.command(&args);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let start = Instant::now();
    let ran = run(command).expect(10);
    assert!(start.elapsed() < Duration::from_secs(8));
    assert!(ran.stderr.contains("no credentials") && ran.stderr.contains("AWS_ACCESS_KEY_ID"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    let args = [&args[..], &["--profile", "nobody"]].concat();
    refused(&world, &args, 10, "no credentials");
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_told() {
    let world = World::new();
    world.fill(3);
    let unusable = |args: &[&str], why: &str| {
        let ran = world.copy_all(args).expect(11);
        assert!(ran.stderr.contains(why), "{ran:?}");
        assert_eq!((ran.json()["status"].as_str(), world.written()), (Some("failed"), 0));
    };
    unusable(&["--checkpoint", "/no/such/folder/job.jsonl"], "No such file or directory");
    let notes = world.home.path().join("notes.txt");
    std::fs::write(&notes, "mine\n").unwrap();
    let notes_path = notes.to_str().unwrap();
    unusable(&["--checkpoint", notes_path], "is not a checkpoint");
    unusable(&["--checkpoint", notes_path, "--restart"], "is not a checkpoint");
    unusable(&["--failures", notes_path], "is not a failures file");
    unusable(&["--checkpoint", "/dev/null"], "is not a regular file");
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "mine\n");
    let job = world.home.path().join("job.jsonl");
    let job_path = job.to_str().unwrap();
    world.copy_all(&["--checkpoint", job_path, "--failures", job_path]).expect(2);
    world.copy_all(&["--checkpoint", job_path]).expect(0);
    let other = ["--endpoint-url", &world.server.endpoint(), "s3://source-bucket/in/", "s3://dest-bucket/other/"];
    let ran = world.copy(&[&other[2..], &["--checkpoint", job_path]].concat()).expect(11);
    assert!(ran.stderr.contains("is another job's"), "{ran:?}");
}

#[test]
fn a_full_disk_under_the_checkpoint_ends_the_job() {
    let world = World::new();
    world.fill(400);
    // A file-size limit makes writes fail as a full disk does.
    let endpoint = world.server.endpoint();
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let command = world.command(&["copy", "--endpoint-url", &endpoint, &from, &to, "--concurrency", "4", "--json"]);
    let mut limited = std::process::Command::new("sh");
    limited
        .arg("-c")
        .arg("ulimit -f 2; trap '' XFSZ; exec \"$0\" \"$@\"")
        .arg(command.get_program())
        .args(command.get_args());
    limited.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = run(limited).expect(11);
    assert!(ran.stderr.contains("cannot be written"), "{ran:?}");
    let resumed = world.copy_all(&["--concurrency", "4"]).expect(0).expect_sums();
    assert_eq!(resumed.count("resumed") + resumed.count("done"), 400);
    world.assert_copied();
}

#[test]
fn interrupted_before_anything_was_begun_is_no_fault() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let mut command = world.command(&["copy", "--endpoint-url", &silent, "s3://source-bucket/", "s3://dest-bucket/"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let _connection = listener.accept().unwrap();
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ran = common::ran(child.wait_with_output().unwrap()).expect(130);
    assert!(ran.stderr.contains("before anything was begun"), "{ran:?}");
}

#[test]
fn interrupted_while_the_first_question_waits_for_its_retry() {
    let world = World::new();
    world.server.faults().add(s3bulk_test_server::Rule::on(
        s3bulk_test_server::Operation::HeadBucket,
        s3bulk_test_server::Fault::SlowDown,
    ));
    let child = world.spawn_copy_all(&[]);
    common::wait_until(|| world.server.requests(s3bulk_test_server::Operation::HeadBucket) > 0);
    std::thread::sleep(Duration::from_millis(20));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ran = common::ran(child.wait_with_output().unwrap()).expect(130);
    assert_eq!(ran.json()["status"], "interrupted");
}

#[test]
fn a_pipe_in_the_place_of_a_file_does_not_hang() {
    let world = World::new();
    let pipe = world.home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    for flag in ["--checkpoint", "--failures"] {
        let ran = world.copy_all(&[flag, pipe]).expect(11);
        assert!(ran.stderr.contains("is not a regular file"), "{ran:?}");
    }
}

#[test]
fn a_summary_that_cannot_be_written_is_told() {
    let world = World::new();
    world.fill(3);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let mut command = world.copy_command(&[&from, &to, "--json"]);
    let child = command.stdout(full).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let ran = common::ran(child.wait_with_output().unwrap()).expect(11);
    assert!(ran.stderr.contains("the summary cannot be written to stdout"), "{ran:?}");
}

#[test]
fn a_closed_stdout_is_no_fault() {
    let world = World::new();
    world.fill(3);
    let mut child = world.spawn_copy_all(&[]);
    drop(child.stdout.take());
    common::ran(child.wait_with_output().unwrap()).expect(0);
    world.assert_copied();
}
