//! Flags from the environment, and the scripts for shells.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{DEST, Ran, SOURCE, World, run};
use s3bulk_test_server::{Fault, Operation, Rule, When};

/// `in/` to `out/` with these variables, and the endpoint where it is typed.
fn copy(world: &World, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let (from, to) = (format!("s3://{SOURCE}/in/"), format!("s3://{DEST}/out/"));
    let mut command = world.command(&[&["copy", from.as_str(), to.as_str()], args].concat());
    command.envs(variables.iter().copied());
    run(command)
}

#[test]
fn a_variable_wins_over_the_aws_configuration_and_a_flag_over_both() {
    let world = World::new();
    world.fill(3);
    let (right, wrong) = (world.server.endpoint(), "http://127.0.0.1:1");
    let aws = ("AWS_ENDPOINT_URL", wrong);
    copy(&world, &[], &[aws, ("S3BULK_ENDPOINT_URL", &right)]).expect(0);
    copy(&world, &[], &[("AWS_ENDPOINT_URL", &right), ("S3BULK_ENDPOINT_URL", "")]).expect(0);
    copy(&world, &[], &[("AWS_ENDPOINT_URL", &right), ("S3BULK_ENDPOINT_URL", wrong)]).expect(10);
    copy(&world, &["--endpoint-url", &right], &[aws, ("S3BULK_ENDPOINT_URL", wrong)]).expect(0);
    copy(&world, &["--endpoint-url", &right], &[("S3BULK_SOURCE_ENDPOINT_URL", wrong)]).expect(0);
    let config = world.home.path().join("config");
    std::fs::write(&config, format!("[default]\nendpoint_url = {wrong}\n")).unwrap();
    copy(&world, &[], &[("AWS_CONFIG_FILE", config.to_str().unwrap()), aws, ("S3BULK_ENDPOINT_URL", &right)]).expect(0);
}

#[test]
fn a_job_is_the_same_wherever_its_flags_come_from() {
    let world = World::new();
    world.fill(40);
    let endpoint = world.server.endpoint();
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).when(When::First(3)));
    let typed = ["--endpoint-url", &endpoint, "--storage-class", "STANDARD_IA", "--include", "*.txt", "--json"];
    copy(&world, &typed, &[]).expect(3);
    let variables = [
        ("S3BULK_ENDPOINT_URL", endpoint.as_str()),
        ("S3BULK_STORAGE_CLASS", "STANDARD_IA"),
        ("S3BULK_INCLUDE", "*.txt\n"),
        ("S3BULK_JSON", "1"),
        ("S3BULK_RETRY_FAILED", "true"),
    ];
    let ran = copy(&world, &[], &variables).expect(0);
    assert_eq!(ran.count("done"), 3, "{ran:?}");
    world.checkpoint();
}

#[test]
fn the_hint_can_be_pasted_without_the_environment() {
    let world = World::new();
    world.fill(4);
    let endpoint = world.server.endpoint();
    let denied = Fault::Code { status: 403, code: "AccessDenied".to_owned() };
    world.server.faults().add(Rule::on(Operation::CopyObject, denied).when(When::First(2)));
    let variables = [("S3BULK_ENDPOINT_URL", endpoint.as_str()), ("S3BULK_STORAGE_CLASS", "STANDARD_IA")];
    let ran = copy(&world, &[], &variables).expect(3);
    let (_, hint) = ran.stderr.split_once("again: ").unwrap_or_else(|| panic!("{ran:?}"));
    let words: Vec<_> = hint.lines().next().unwrap().split(' ').skip(1).collect();
    let ran = run(world.command(&[&words[..], &["--json"]].concat())).expect(0);
    assert_eq!(ran.count("done"), 2, "{ran:?}");
}

#[test]
fn what_is_typed_wins_over_what_it_excludes() {
    let world = World::new();
    world.fill(2);
    let endpoint = world.server.endpoint();
    let at = world.home.path().join("job.jsonl");
    let variables = [("S3BULK_CHECKPOINT", at.to_str().unwrap()), ("S3BULK_QUIET", "true")];
    let ran = copy(&world, &["--endpoint-url", &endpoint, "--no-checkpoint", "-v"], &variables).expect(0);
    assert!(!at.exists() && ran.stderr.contains("copied: 2 objects"), "{ran:?}");
    let ran = copy(&world, &["--endpoint-url", &endpoint], &variables).expect(0);
    assert!(at.exists() && ran.stderr.is_empty(), "{ran:?}");
}

#[test]
fn an_error_names_the_variable() {
    let world = World::new();
    let refused = |variable: (&str, &str)| {
        let ran = copy(&world, &[], &[variable]).expect(2);
        assert!(ran.stderr.contains(variable.0), "{ran:?}");
    };
    refused(("S3BULK_CONCURRENCY", "many"));
    refused(("S3BULK_JSON", "maybe"));
    refused(("S3BULK_SSE", "rot13"));
    refused(("S3BULK_METADATA", "a=b"));
    let ran = copy(&world, &["--retry-failed"], &[("S3BULK_DRY_RUN", "true")]).expect(2);
    assert!(ran.stderr.contains("S3BULK_DRY_RUN is set"), "{ran:?}");
    let mut command = world.command(&["copy", "--help"]);
    command.env("S3BULK_CONCURRENCY", "many");
    let help = run(command).expect(0).stdout;
    assert!(help.contains("S3BULK_LIST_CONCURRENCY=8") && !help.contains("many"));
}

#[test]
fn shells_get_their_scripts() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(world.command(&["completions", shell])).expect(0);
        assert!(ran.stdout.contains("copy") && ran.stdout.contains("abort-uploads"), "{shell}");
        assert!(ran.stdout.contains("no-checkpoint") && ran.stderr.is_empty(), "{shell}");
    }
    run(world.command(&["completions", "tcsh"])).expect(2);
}
