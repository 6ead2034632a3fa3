//! Measures the release binary against the other copiers that are found on `PATH`: s5cmd, rclone,
//! s3sync and the AWS CLI.
//!
//! ```text
//! cargo build --release
//! cargo run --release --example bench
//! cargo run --release --example bench -- --only small-server,list --rounds 7 --json bench.json
//! ```
//!
//! Each workload has the S3 server of the tests in a process of its own. All tools run against that one,
//! one after the other, round after round, each round beginning with another tool; before each run the
//! destination is emptied. What is printed are medians over the rounds: wall time, user and system CPU of
//! the tool alone, its peak memory, and the requests that the server saw. A tool whose exit code is not 0,
//! or that did not copy (or list) everything, is shown as failed. A run that took longer than `--patience`
//! is not repeated: the column `rounds` tells. Wall times are only worth something on a machine that has
//! nothing else to do: server and tool share its cores.
//!
//! | workload | what is done |
//! |---|---|
//! | `small-server` | 20,000 objects of 16 bytes within one endpoint, 20 ms before each answer |
//! | `small-client` | 5,000 objects of 4 KiB from one endpoint to another, 20 ms before each answer |
//! | `large` | one object of 4 GiB from one endpoint to another |
//! | `list` | a flat million of hexadecimal keys, 80 ms before each page |
//! | `limited` | 20,000 objects within one endpoint that refuses what is above 1,000 CopyObject a second |
//! | `start` | `--version` |
//!
//! s5cmd and the AWS CLI know one endpoint only, and s3sync does not list: these are left out there.
//!
//! # Instructions
//!
//! Times differ from run to run and from machine to machine; instructions hardly do.
//!
//! ```text
//! cargo run --release --example bench -- --callgrind
//! ```
//!
//! runs the same binary under `valgrind --tool=callgrind` and prints instructions for each key listed and
//! each object copied. Each is measured at two sizes, and the difference divided, so that starting and ending
//! are not in it. Run it before and after a change to a path that every key or object takes; what is more
//! than a few percent up has to have a reason.
//!
//! Two runs on a busy machine differed by 0.1 %. On 2026-11-21, with version 0.1.0 built by Rust 1.95 for
//! `x86_64`:
//!
//! | workload | instructions for each |
//! |---|--:|
//! | list | 20,392 |
//! | small-server | 521,291 |
//! | small-client | 1,000,428 |
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells people what it measures")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

#[path = "bench/callgrind.rs"]
mod callgrind;
#[path = "bench/measure.rs"]
mod measure;
#[path = "bench/serve.rs"]
mod serve;
#[path = "bench/table.rs"]
mod table;
#[path = "bench/tools.rs"]
mod tools;
#[path = "bench/workload.rs"]
mod workload;

use measure::Run;
use serve::{SERVE, Serving};
use table::{Machine, Measured, Series};
use tools::Tool;
use workload::Workload;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measure s3bulk against the other copiers on PATH
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each tool does each workload
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Only these workloads: small-server, small-client, large, list, limited, start
    #[arg(long, value_name = "WORKLOAD,...", value_delimiter = ',')]
    only: Vec<Workload>,

    /// Only these tools of those that are found: s3bulk, s5cmd, rclone, s3sync, aws
    #[arg(long, value_name = "TOOL,...", value_delimiter = ',')]
    tools: Vec<tools::Kind>,

    /// So many objects or keys in place of what the workload has; large always has one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    objects: Option<u64>,

    /// Do not repeat what took longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,

    /// Write every run to FILE, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The binary to measure [default: the one that was built beside this example]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,

    /// Count instructions under valgrind in place of measuring
    #[arg(long, conflicts_with_all = ["rounds", "only", "tools", "objects", "patience", "json"])]
    callgrind: bool,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = if words.next().is_some_and(|first| first == SERVE) { serve::serve(words) } else { run() };
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
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => beside(&std::env::current_exe()?)?,
    };
    if !binary.is_file() {
        return Err(format!("{} is not there: build it with cargo build --release", binary.display()).into());
    }
    if arguments.callgrind {
        return callgrind::print(&binary);
    }
    let tools = Tool::found(&binary, &arguments.tools)?;
    for tool in &tools {
        eprintln!("{} is {}", tool.kind, tool.version);
    }
    let chosen = if arguments.only.is_empty() { Workload::ALL.to_vec() } else { arguments.only.clone() };
    let mut measured = Vec::new();
    for workload in chosen {
        measured.push(measure(&arguments, workload, &tools)?);
    }
    let machine = Machine::this()?;
    println!("{}", table::markdown(&machine, &tools, &measured));
    if let Some(file) = &arguments.json {
        std::fs::write(file, table::json(&machine, &tools, &measured)?)
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// The binary that cargo builds in the folder above that of the examples.
fn beside(example: &Path) -> Outcome<PathBuf> {
    let folder = example.parent().and_then(Path::parent).ok_or("this program is in no folder of cargo's")?;
    Ok(folder.join("s3bulk"))
}

/// All tools on one workload, in turns.
fn measure(arguments: &Arguments, workload: Workload, tools: &[Tool]) -> Outcome<Measured> {
    let count = workload.count(arguments.objects);
    let mut serving = Serving::start(workload, count)?;
    let mut series: Vec<Series> =
        tools.iter().filter(|tool| tool.can(workload)).map(|tool| Series::new(tool.clone())).collect();
    for round in 0..arguments.rounds {
        let tools = series.len();
        for turn in 0..tools {
            let Some(series) = series.get_mut((turn + round as usize) % tools) else { continue };
            if series.runs.iter().any(|run: &Run| run.wall.as_secs() >= arguments.patience) {
                continue;
            }
            let run = measure::run(&series.tool, workload, count, &mut serving)?;
            eprintln!("{workload}, round {}: {}: {}", round + 1, series.tool.kind, run.in_words());
            series.runs.push(run);
        }
    }
    Ok(Measured { workload, count, series })
}
