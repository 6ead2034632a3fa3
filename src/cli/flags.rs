//! Flags that every verb with a job has.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::machine::state_folder;
use crate::journal::{Mode, Place};
use crate::model::{Error, parse_duration, parse_size};
use crate::pace::{Bounds, RetryPolicy};
use crate::report::{LogFormat, Show};

#[derive(Debug, Args)]
#[command(next_help_heading = "How fast")]
pub(super) struct RequestArgs {
    /// How often a request is sent before its object fails
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) attempts: u32,
    /// The longest a request may take before it is sent again; its bytes add to it. One that takes
    /// far longer than is usual in this run is given up before that
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    pub(super) request_timeout: Duration,
    /// How long a request is tried in all before its object fails
    #[arg(long, default_value = "15m", value_name = "DURATION", value_parser = parse_duration)]
    pub(super) retry_for: Duration,
    /// Requests a second at most [default: what the store bears]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) max_rps: Option<f64>,
}

impl RequestArgs {
    /// How fast a run may be.
    pub(super) fn bounds(&self, concurrency: usize, bandwidth: Option<u64>) -> Bounds {
        Bounds {
            concurrency,
            retry: RetryPolicy { attempts: self.attempts, patience: self.retry_for },
            request_timeout: self.request_timeout,
            max_rps: self.max_rps,
            bandwidth,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("it must be a number of requests a second, above 0".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How fast")]
pub(super) struct ConcurrencyArgs {
    /// Requests in flight at most
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = positive)]
    pub(super) concurrency: usize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How fast")]
pub(super) struct SpeedArgs {
    #[command(flatten)]
    pub(super) at_once: ConcurrencyArgs,
    /// Ranges of keys listed at once; 1: one page after another
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = list_concurrency)]
    pub(super) list_concurrency: usize,
    #[command(flatten)]
    pub(super) requests: RequestArgs,
    /// Memory for objects that go through this machine
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = parse_memory)]
    pub(super) memory: u64,
    /// Bytes a second that are read by this machine at most, as 50MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_bandwidth)]
    pub(super) bandwidth: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Checkpoint")]
pub(super) struct PlaceArgs {
    /// File of the checkpoint [default: in $XDG_STATE_HOME/s3bulk or ~/.local/state/s3bulk]
    #[arg(long, value_name = "FILE")]
    pub(super) checkpoint: Option<PathBuf>,
    /// Keep none: an interrupted run begins anew
    #[arg(long, conflicts_with = "checkpoint")]
    pub(super) no_checkpoint: bool,
    /// Keep two like jobs apart
    #[arg(long, value_name = "NAME", value_parser = parse_job_id)]
    pub(super) job_id: Option<String>,
    /// Begin anew, even where there is an interrupted run
    #[arg(long)]
    pub(super) restart: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Checkpoint")]
pub(super) struct CheckpointArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Only what failed in the last run that reached its end
    #[arg(long, conflicts_with_all = ["restart", "no_checkpoint", "dry_run"])]
    pub(super) retry_failed: bool,
    /// End the run once more objects than this have failed
    #[arg(long, value_name = "N")]
    pub(super) max_failures: Option<u64>,
    /// File of the failures, JSON lines [default: beside the checkpoint]
    #[arg(long, value_name = "FILE")]
    pub(super) failures: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What is shown")]
pub(super) struct ShownArgs {
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress and no summary, only what went wrong
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Show more; twice: every retry
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// How lines on stderr look
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(super) log_format: LogFormatArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormatArg {
    /// For people
    Text,
    /// A JSON object each, with time, level and message
    Json,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number from 1 up".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// The most ranges that are listed at once, whatever is asked for: each holds a page in memory.
const MOST_LISTERS: usize = 1_000;

pub(super) fn list_concurrency(text: &str) -> Result<usize, String> {
    positive(text).map(|number| number.min(MOST_LISTERS))
}

fn parse_memory(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("it must be more than nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

fn parse_bandwidth(text: &str) -> Result<u64, String> {
    match parse_size(text.strip_suffix("/s").unwrap_or(text))? {
        0 => Err("it must be more than nothing".to_owned()),
        bytes => Ok(bytes),
    }
}

fn parse_job_id(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err("it may hold up to 64 letters, digits, '.', '_' and '-'".to_owned());
    }
    Ok(text.to_owned())
}

impl PlaceArgs {
    /// Where the checkpoint is kept.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where there is no place for it.
    pub(super) fn place(&self) -> Result<Place, Error> {
        if self.no_checkpoint {
            return Ok(Place::Nowhere);
        }
        match &self.checkpoint {
            Some(path) => Ok(Place::At(path.clone())),
            None => state_folder().map(Place::In),
        }
    }

    /// What is wanted of the checkpoint that is found.
    pub(super) fn mode(&self) -> Mode {
        if self.restart { Mode::Restart } else { Mode::ResumeOrStart }
    }
}

impl CheckpointArgs {
    /// What is wanted of the checkpoint that is found.
    pub(super) fn mode(&self) -> Mode {
        if self.retry_failed { Mode::RetryFailed } else { self.place.mode() }
    }

    /// Where failures are written: beside the checkpoint, unless it is said.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file of the checkpoint itself.
    pub(super) fn failures_path(&self, checkpoint: Option<&Path>) -> Result<Option<PathBuf>, Error> {
        let with = |ending: &str| {
            let mut name = checkpoint?.as_os_str().to_owned();
            name.push(ending);
            Some(PathBuf::from(name))
        };
        let Some(named) = &self.failures else { return Ok(with(".failures.jsonl")) };
        let named = std::path::absolute(named).unwrap_or_else(|_| named.clone());
        if ["", ".lock", ".compacting"].iter().any(|ending| with(ending).as_deref() == Some(&named)) {
            return Err(Error::Usage(format!(
                "--failures {} is the checkpoint's own file: name another",
                named.display()
            )));
        }
        Ok(Some(named))
    }
}

impl ShownArgs {
    /// How lines look.
    pub(super) fn format(&self) -> LogFormat {
        match self.log_format {
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        }
    }

    /// How progress is shown.
    pub(super) fn show(&self) -> Show {
        if self.format() == LogFormat::Json {
            return if self.quiet { Show::Nothing } else { Show::Lines };
        }
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match (self.quiet, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Bar,
            (false, false) => Show::Lines,
        }
    }
}
