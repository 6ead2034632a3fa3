//! `s3bulk copy`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ends::{EndArgs, Open, check_objects, side};
use super::exit::Exit;
use super::machine::{fit_open_files, state_folder, watch_signals};
use super::{hints, report_error};
use crate::job::{Finished, Job, Limits, Stop};
use crate::journal::{Claim, JobIdentity, Mode, Place};
use crate::model::{Error, Location, escape_key, map_sources, parse_duration, parse_size};
use crate::op::{Copy, DryRun, Via, partition, same_store};
use crate::pace::{Pacer, RetryPolicy};
use crate::report::{FailuresFile, Report, Show, Status, Summary, Terminal};
use crate::store::End;

const EXAMPLES: &str = "\
Locations:
  s3://bucket             every object
  s3://bucket/prefix/     every object whose key begins with prefix/
  s3://bucket/key         one object

Examples:
  s3bulk copy s3://logs/2025/ s3://archive/logs/2025/
  s3bulk copy s3://a/x/ s3://a/y/ s3://b/both/
  s3bulk copy --dry-run s3://logs/ s3://archive/
  s3bulk copy --source-profile old --dest-endpoint-url https://minio.example s3://a/ s3://b/
  s3bulk copy --retry-failed s3://logs/2025/ s3://archive/logs/2025/

An interrupted run is resumed by running the same command again.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ViaArg {
    Auto,
    Server,
    Client,
}

/// Copy objects, server-side where the store can
///
/// Copies every object under SOURCE to DEST: s3://a/x/ to s3://b/y/ makes x/K y/K. Of several
/// sources each keeps its last path segment.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CopyArgs {
    /// What to copy
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Where to
    #[arg(value_name = "DEST")]
    dest: String,

    /// Take * ? and [ in locations literally
    #[arg(long)]
    no_glob: bool,
    /// Which way the bytes go; auto: within the store where it can
    #[arg(long, value_enum, default_value = "auto", value_name = "WAY")]
    via: ViaArg,
    /// List, and say what would be done; write nothing
    #[arg(long)]
    dry_run: bool,
    /// A listed object that is gone when its turn comes is a failure, not a skip
    #[arg(long)]
    strict_source: bool,

    #[command(flatten)]
    ends: EndArgs,
    #[command(flatten)]
    speed: SpeedArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    shown: ShownArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How fast")]
struct SpeedArgs {
    /// Requests in flight at most
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = positive)]
    concurrency: usize,
    /// Ranges of keys listed at once
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = positive)]
    list_concurrency: usize,
    /// Memory for objects that go through this machine
    #[arg(long, default_value = "256MiB", value_name = "SIZE", value_parser = parse_memory)]
    memory: u64,
    /// How often a request is sent before its object fails
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// How long a request may take before it is sent again; its bytes add to it
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = parse_duration)]
    request_timeout: Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Checkpoint")]
struct CheckpointArgs {
    /// File of the checkpoint [default: in $XDG_STATE_HOME/s3bulk or ~/.local/state/s3bulk]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Keep none: an interrupted run begins anew
    #[arg(long, conflicts_with = "checkpoint")]
    no_checkpoint: bool,
    /// Keep two like jobs apart
    #[arg(long, value_name = "NAME", value_parser = parse_job_id)]
    job_id: Option<String>,
    /// Begin anew, even where there is an interrupted run
    #[arg(long)]
    restart: bool,
    /// Only what failed in the last run that reached its end
    #[arg(long, conflicts_with_all = ["restart", "no_checkpoint", "dry_run"])]
    retry_failed: bool,
    /// File of the failures, JSON lines [default: beside the checkpoint]
    #[arg(long, value_name = "FILE")]
    failures: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is shown")]
struct ShownArgs {
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
    /// Show no progress and no summary, only what went wrong
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Show more; twice: every retry
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number from 1 up".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
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

impl CopyArgs {
    pub(super) fn verbosity(&self) -> u8 {
        self.shown.verbose
    }

    fn via(&self) -> Via {
        match self.via {
            ViaArg::Auto => Via::Auto,
            ViaArg::Server => Via::Server,
            ViaArg::Client => Via::Client,
        }
    }

    fn show(&self) -> Show {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match (self.shown.quiet, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => Show::Nothing,
            (false, true) => Show::Bar,
            (false, false) => Show::Lines,
        }
    }

    fn mode(&self) -> Mode {
        match (self.checkpoint.restart, self.checkpoint.retry_failed) {
            (true, _) => Mode::Restart,
            (_, true) => Mode::RetryFailed,
            _ => Mode::ResumeOrStart,
        }
    }

    /// What makes another run the same job: what was typed, and the stores that it means.
    fn identity(&self, sources: &[Location], dest: &Location, source_end: &End, dest_end: &End) -> JobIdentity {
        let mut options = BTreeMap::new();
        for (name, end) in [("source", source_end), ("dest", dest_end)] {
            let store = end.endpoint().unwrap_or_else(|| partition(end.region()));
            options.insert(format!("{name}-store"), store.to_owned());
        }
        options.extend(self.ends.profiles().map(|(name, profile)| (name.to_owned(), profile)));
        match self.via {
            ViaArg::Auto => None,
            ViaArg::Server => Some("server"),
            ViaArg::Client => Some("client"),
        }
        .map(|via| options.insert("via".to_owned(), via.to_owned()));
        if self.strict_source {
            options.insert("strict-source".to_owned(), "true".to_owned());
        }
        JobIdentity {
            verb: "copy".to_owned(),
            sources: sources.iter().map(Location::to_string).collect(),
            dest: dest.to_string(),
            options,
            job_id: self.checkpoint.job_id.clone(),
        }
    }

    /// Where failures are written: beside the checkpoint, unless it is said. A dry run writes
    /// nothing.
    fn failures_path(&self, checkpoint: Option<&Path>) -> Result<Option<PathBuf>, Error> {
        if self.dry_run {
            return Ok(None);
        }
        let with = |ending: &str| {
            let mut name = checkpoint?.as_os_str().to_owned();
            name.push(ending);
            Some(PathBuf::from(name))
        };
        let Some(named) = &self.checkpoint.failures else { return Ok(with(".failures.jsonl")) };
        let named = std::path::absolute(named).unwrap_or_else(|_| named.clone());
        if ["", ".lock", ".compacting"].iter().any(|ending| with(ending).as_deref() == Some(&named)) {
            return Err(Error::Usage(format!(
                "--failures {} is the checkpoint's own file: name another",
                named.display()
            )));
        }
        Ok(Some(named))
    }

    /// Where the checkpoint is kept. A dry run has none.
    fn place(&self) -> Result<Place, Error> {
        if self.checkpoint.no_checkpoint || self.dry_run {
            return Ok(Place::Nowhere);
        }
        match &self.checkpoint.checkpoint {
            Some(path) => Ok(Place::At(path.clone())),
            None => state_folder().map(Place::In),
        }
    }
}

/// Runs the verb. `args` is the command line as typed, for the hints.
pub(super) fn run(args: CopyArgs, typed: &[OsString], terminal: &Terminal) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report_error(&Error::Internal(error.to_string()), terminal),
    };
    let stop = Stop::default();
    let finished = runtime.block_on(async {
        watch_signals(stop.clone(), terminal.clone())?;
        let job = tokio::select! {
            biased;
            job = prepare(&args, &stop, terminal) => job,
            // Nothing was begun: there is nothing to drain.
            () = stop.token.cancelled() => return Ok(Finished::before_it_began("copy", stop.signal(), None)),
        };
        let (job, op) = job?;
        if args.dry_run {
            let mut finished = job.run(DryRun(op)).await;
            finished.summary.dry_run = true;
            return Ok(finished);
        }
        Ok(job.run(op).await)
    });
    let finished = finished.unwrap_or_else(|error| Finished::before_it_began("copy", stop.signal(), Some(error)));
    // Tasks that still wait for something (a DNS look-up, say) are not waited for.
    runtime.shutdown_background();
    tell(&args, typed, &finished, terminal);
    Exit::from(&finished)
}

/// Resolves what was typed into a job.
async fn prepare(args: &CopyArgs, stop: &Stop, terminal: &Terminal) -> Result<(Job, Copy), Error> {
    let parse = |text: &String| Location::parse(text, args.no_glob).map_err(Error::Usage);
    let locations = args.sources.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let dest = parse(&args.dest)?;
    if args.ends.are_alike() {
        // What cannot be meant is said before anything is asked.
        map_sources(&locations, &dest, true)?;
    }
    let place = args.place()?;
    let concurrency = fit_open_files(args.speed.concurrency);
    let (source_end, dest_end) = args.ends.load().await?;
    let mappings = map_sources(&locations, &dest, same_store(side(&source_end), side(&dest_end)))?;
    let identity = args.identity(&locations, &dest, &source_end, &dest_end);

    let retry = RetryPolicy { attempts: args.speed.attempts };
    let pacer = Pacer::new(concurrency, retry, args.speed.request_timeout, stop.token.clone());
    let open = Open {
        source: &source_end,
        dest: &dest_end,
        pacer: &pacer,
        via: args.via(),
        memory: args.speed.memory,
        strict_source: args.strict_source,
        may_fall_back: args.via() == Via::Auto && args.ends.source_has_own_credentials(),
    };
    let (sources, op) = open.all(locations, mappings, &dest).await?;

    let checkpoint = place.path(&identity).map(|path| std::path::absolute(&path).unwrap_or(path));
    let failures_path = args.failures_path(checkpoint.as_deref())?;
    let claim = Claim::new(identity, &place, args.mode())?;
    if !claim.is_resumed() {
        check_objects(&sources).await?;
    }
    let print_all_failures = args.shown.verbose > 0 || failures_path.is_none();
    let failures = FailuresFile::new(failures_path)?;
    let journal = claim.begin()?;
    if let (Some(resumed), false) = (journal.resumed(), args.shown.quiet) {
        terminal.line(&format!("resuming: {} objects were finished by earlier runs of this job", resumed.settled()));
    }
    let report = Report::new(args.show(), terminal.clone(), print_all_failures);
    let limits = Limits { concurrency, list_concurrency: args.speed.list_concurrency };
    let stop = stop.clone();
    Ok((Job { verb: "copy", sources, journal, checkpoint, failures, report, pacer, limits, stop }, op))
}

/// Says how it ended: the summary, what to type next, and the JSON.
fn tell(args: &CopyArgs, typed: &[OsString], finished: &Finished, terminal: &Terminal) {
    let summary = &finished.summary;
    if !args.shown.quiet && summary.listed + summary.resumed > 0 {
        summary.text(args.shown.verbose > 0).iter().for_each(|line| terminal.line(line));
    }
    match summary.status {
        Status::Complete if summary.listed + summary.resumed == 0 => {
            if !args.shown.quiet {
                let sources: Vec<_> = args.sources.iter().map(|source| escape_key(source)).collect();
                terminal.line(&format!("nothing matched: there is no object under {}", sources.join(" ")));
            }
        }
        Status::Complete => {}
        Status::Partial => tell_failures(typed, summary, terminal),
        Status::Interrupted if summary.checkpoint.is_none() && summary.listed == 0 => {
            terminal.line("interrupted before anything was begun");
        }
        Status::Interrupted => tell_resume("interrupted", typed, summary, terminal),
        Status::Failed => {
            if let Some(error) = &finished.error {
                report_error(error, terminal);
            }
            if summary.listed > 0 {
                tell_resume("ended early", typed, summary, terminal);
            }
        }
    }
    if args.shown.json {
        // A reader that is gone is no fault of the copy.
        let _ = writeln!(std::io::stdout().lock(), "{}", summary.json());
    }
}

fn tell_failures(typed: &[OsString], summary: &Summary, terminal: &Terminal) {
    let listed = summary.failures.as_ref().map(|path| format!(": see {}", path.display())).unwrap_or_default();
    terminal.line(&format!("some objects failed{listed}"));
    if summary.checkpoint.is_some() {
        terminal.line(&format!("to try only these again: {}", hints::retry_failed(typed)));
    }
}

fn tell_resume(how: &str, typed: &[OsString], summary: &Summary, terminal: &Terminal) {
    let hint = match &summary.checkpoint {
        Some(_) => format!("to resume, run the same command again: {}", hints::resume(typed)),
        None => "there is no checkpoint: the same command begins anew".to_owned(),
    };
    terminal.line(&format!("{how}; {hint}"));
}
