//! Measures the release binary against the other copiers that are found on `PATH`: s5cmd, rclone,
//! s3sync and the AWS CLI. How the README installs them is how they run here: with an empty environment and
//! a home of their own, in which what a version manager puts on `PATH` may not.
//!
//! ```text
//! cargo run --release --example bench
//! cargo run --release --example bench -- --only small-server,list --rounds 7 --json bench.json
//! ```
//!
//! The binary is built first. Each workload has the S3 server of the tests in a process of its own. All tools
//! run against that one, one after the other, round after round, each round beginning with another tool;
//! before each run the destination is emptied. What is printed are medians over the rounds: wall time, user
//! and system CPU of the tool alone, its peak memory, and the requests that the server saw. A tool whose exit
//! code is not 0, that did not copy (or list) each key, and nothing else, or that did not end in 15 minutes is
//! shown as failed, and is not run again on that workload. Exit code 1 is that s3bulk failed, or that an
//! error ended it all; what there is until then is printed. Wall times are only worth something on a machine
//! that has nothing else to do: server and tool share its cores.
//!
//! | workload | what is done |
//! |---|---|
//! | `small-server` | 20,000 objects of 16 bytes within one endpoint, 20 ms before each answer |
//! | `small-client` | 5,000 objects of 4 KiB from one endpoint to another, 20 ms before each answer |
//! | `large` | one object of 4 GiB from one endpoint to another, without latency |
//! | `list` | a flat million of hexadecimal keys, 80 ms before each page |
//! | `limited` | 20,000 objects within one endpoint without latency that refuses what is above 1,000 CopyObject a second |
//! | `start` | `--version` |
//!
//! s5cmd and the AWS CLI know one endpoint only, and s3sync does not list: these are left out there. Of a
//! listing, `rclone lsf` prints bare keys, the others size and time, too. All is plain HTTP: rclone then
//! takes a SHA-256 of what it uploads, which it would not over TLS; s3bulk and s3sync leave bodies unsigned
//! where another checksum covers them. s3bulk keeps its checkpoint, as it does by itself: it lies with
//! the home of the run in `TMPDIR`, which should be on a disk.
//!
//! # Instructions
//!
//! Instructions vary much less than times do from run to run, though not with compilers and libraries.
//!
//! ```text
//! cargo run --release --example bench -- --callgrind
//! ```
//!
//! counts them under `valgrind --tool=callgrind`: those of the same binary for each key listed and each object
//! copied, and those of the library's pure paths, of which one time each is little. Each is counted at two
//! sizes, and the difference divided, so that starting and ending are hardly in it. What was counted last is in
//! `COUNTED` of `bench/callgrind.rs`; where something takes over 3 % more, the exit code is 1. Run it before
//! and after a change to a path that every key or object takes. What is more has to have a reason, and less
//! is worth keeping: the end of the output is what to put down there.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells people what it measures")]

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum as _};

#[path = "bench/callgrind.rs"]
mod callgrind;
#[path = "bench/measure.rs"]
mod measure;
#[path = "bench/pure.rs"]
mod pure;
#[path = "bench/serve.rs"]
mod serve;
#[path = "bench/table.rs"]
mod table;
#[path = "bench/tools.rs"]
mod tools;
#[path = "bench/workload.rs"]
mod workload;

use pure::PURE;
use serve::{SERVE, Serving};
use table::{Machine, Measured, Series};
use tools::Tool;
use workload::Workload;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measure s3bulk against the other copiers on PATH
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each tool does each workload; fewer than 5 only to try it
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Only these workloads
    #[arg(long, value_name = "WORKLOAD,...", value_delimiter = ',')]
    only: Vec<Workload>,

    /// Only these tools of those that are found
    #[arg(long, value_name = "TOOL,...", value_delimiter = ',')]
    tools: Vec<tools::Kind>,

    /// So many objects or keys in place of what the workload has; large always has one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    objects: Option<u64>,

    /// Do not repeat what took longer than this: it then has fewer rounds than the others
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,

    /// Write every run to FILE, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The binary to measure [default: the release binary, built first]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,

    /// Count instructions under valgrind in place of measuring
    #[arg(long, conflicts_with_all = ["rounds", "only", "tools", "objects", "patience", "json"])]
    callgrind: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = match words.next().as_deref() {
        Some(SERVE) => serve::serve(words),
        Some(PURE) => pure::run(words),
        _ => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        return Err("this is a debug build: use cargo run --release --example bench".into());
    }
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => built()?,
    };
    if arguments.callgrind {
        return callgrind::print(&binary);
    }
    let tools = Tool::found(&binary, &arguments.tools)?;
    for tool in &tools {
        eprintln!("{} is at {}", tool.version, tool.binary.display());
    }
    let machine = Machine::this()?;
    let create = |file| File::create(file).map_err(|error| format!("{}: {error}", PathBuf::from(file).display()));
    let file = arguments.json.as_ref().map(create).transpose()?;
    let mut measured = Vec::new();
    let ended = measure_all(&arguments, &tools, &mut measured);
    println!("{}", table::markdown(&machine, &tools, arguments.rounds, &measured));
    if let Some(mut file) = file {
        file.write_all(table::json(&machine, &tools, &measured)?.as_bytes())?;
    }
    ended?;
    let failed = |one: &&Measured| one.of_s3bulk().is_some_and(|series| series.failed().is_some());
    match measured.iter().find(failed) {
        Some(one) => Err(format!("s3bulk failed on {}", one.workload).into()),
        None => Ok(()),
    }
}

/// The release binary, built as cargo was told to build this.
fn built() -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--bin", "s3bulk", "--message-format", "json-render-diagnostics"]);
    command.args(["--manifest-path", manifest]).stderr(Stdio::inherit());
    let said = command.output().map_err(|error| format!("{} does not run: {error}", cargo.display()))?;
    if !said.status.success() {
        return Err("the release binary cannot be built".into());
    }
    executable(&String::from_utf8_lossy(&said.stdout)).ok_or_else(|| "cargo does not tell what it built".into())
}

/// The one executable in cargo's messages, a JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let message = |line| serde_json::from_str::<serde_json::Value>(line).ok();
    messages.lines().filter_map(message).find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// All workloads, until one cannot go on.
fn measure_all(arguments: &Arguments, tools: &[Tool], measured: &mut Vec<Measured>) -> Outcome<()> {
    let chosen = if arguments.only.is_empty() { Workload::value_variants() } else { &arguments.only };
    for workload in chosen {
        let series = tools.iter().filter(|tool| tool.can(*workload)).cloned().map(Series::new).collect();
        let mut one = Measured { workload: *workload, count: workload.count(arguments.objects), series };
        let ended = measure(arguments, &mut one);
        measured.push(one);
        ended?;
    }
    Ok(())
}

/// All tools on one workload, in turns.
fn measure(arguments: &Arguments, measured: &mut Measured) -> Outcome<()> {
    let Measured { workload, count, series } = measured;
    let mut serving = Serving::start(*workload, *count)?;
    for round in 0..arguments.rounds {
        let tools = series.len();
        for turn in 0..tools {
            let Some(series) = series.get_mut((turn + round as usize) % tools) else { continue };
            let slow = |patience| series.runs.iter().any(|run| run.wall.as_secs() >= patience);
            if series.failed().is_some() || arguments.patience.is_some_and(slow) {
                continue;
            }
            let run = measure::run(&series.tool, *workload, *count, &mut serving)?;
            eprintln!("{workload}, round {}: {}: {}", round + 1, series.tool.kind, run.in_words());
            series.runs.push(run);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_the_one_that_cargo_names() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/target/release/s3bulk"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some("/target/release/s3bulk".into()));
        assert_eq!(executable("no JSON"), None);
    }
}
