//! `s3bulk abort-uploads`: cleans up after uploads that nobody completed.

use std::time::{Duration, Instant};

use clap::Args;

use super::ends::StoreArgs;
use super::exit::Exit;
use super::flags::{ConcurrencyArgs, RequestArgs, ShownArgs};
use super::machine::{fit_open_files, runtime, watch_signals};
use super::policy::{Needed, Reached};
use super::report_error;
use super::tell::print;
use crate::job::{Finished, Signal, Stop};
use crate::model::{Class, Error, Location, Operation, RequestError, Target, escape_key, now, parse_age};
use crate::op::{AbortUploads, allow_abort_uploads};
use crate::pace::Pacer;
use crate::report::{Status, Summary, Terminal};
use crate::store::{End, OpenUpload};

const EXAMPLES: &str = "\
Examples:
  s3bulk abort-uploads --dry-run s3://bucket
  s3bulk abort-uploads --older-than 7d s3://bucket/prefix/

Uploads of interrupted copies are among them: a copy that is resumed afterwards
begins its large objects anew.";

/// Abort multipart uploads that nobody completed
///
/// The parts of such uploads are stored, and billed, until somebody aborts them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AbortUploadsArgs {
    /// Uploads to every key under this prefix, or to this key
    #[arg(value_name = "PREFIX")]
    prefix: String,
    /// Only uploads that were begun longer ago than this, as 12h or 7d
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Show them, and abort none
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    at_once: ConcurrencyArgs,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    shown: ShownArgs,
}

impl AbortUploadsArgs {
    /// What was said of what is shown.
    pub(super) fn shown(&self) -> &ShownArgs {
        &self.shown
    }

    /// The policy that it needs.
    pub(super) async fn needed(&self) -> Result<Needed, Error> {
        let location = Location::parse(&self.prefix, true).map_err(Error::Usage)?;
        let party = Reached::new(self.store.config()).await.party(&location.bucket);
        let policies = allow_abort_uploads(&location, self.dry_run, &party).filter(|_| !party.unsigned);
        Ok(Needed { policies, notes: Vec::new() })
    }
}

/// Runs the verb.
pub(super) fn run(args: &AbortUploadsArgs, terminal: &Terminal) -> Exit {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return report_error(&error, terminal),
    };
    let stop = Stop::default();
    let finished = runtime.block_on(async {
        watch_signals(stop.clone(), terminal.clone())?;
        abort(args, &stop, terminal).await
    });
    let finished =
        finished.unwrap_or_else(|error| Finished::before_it_began("abort-uploads", stop.signal(), Some(error)));
    runtime.shutdown_background();
    tell(args, &finished, terminal)
}

async fn abort(args: &AbortUploadsArgs, stop: &Stop, terminal: &Terminal) -> Result<Finished, Error> {
    let started = Instant::now();
    let location = Location::parse(&args.prefix, true).map_err(Error::Usage)?;
    let concurrency = fit_open_files(args.at_once.concurrency);
    let pacer = Pacer::new(args.requests.bounds(concurrency, None), stop.token.clone());
    let bucket = End::load("", args.store.config()).await?.bucket(&location.bucket, &pacer).await?;
    let age = args.older_than.and_then(|age| i64::try_from(age.as_secs()).ok());
    let work = AbortUploads {
        prefix: location.path().to_owned(),
        key: if let Target::Object(key) = &location.target { Some(key.clone()) } else { None },
        before: age.map(|age| jiff::Timestamp::now().as_second() - age),
        dry_run: args.dry_run,
        concurrency,
    };
    let mut summary = Summary::new("abort-uploads", now());
    summary.dry_run = args.dry_run;
    let each = |upload: &OpenUpload, aborted| count(&mut summary, &location.bucket, upload, aborted, args, terminal);
    let ended = work.run(&bucket, each).await;
    summary.take_requests(&pacer);
    summary.elapsed_s = started.elapsed().as_secs_f64();
    let error =
        ended.err().filter(|error| error.class != Class::Interrupted).map(|error| unworkable(&args.prefix, &error));
    let signal: Option<Signal> = stop.signal();
    summary.status = match (&error, signal, summary.failed) {
        (Some(_), _, _) => Status::Failed,
        (None, Some(_), _) => Status::Interrupted,
        (None, None, 0) => Status::Complete,
        (None, None, _) => Status::Partial,
    };
    summary.error = error.as_ref().map(Error::to_string);
    Ok(Finished { summary, signal, error })
}

fn unworkable(prefix: &str, error: &RequestError) -> Error {
    let what = match error.operation {
        Operation::ListMultipartUploads => "the uploads cannot be listed",
        _ => "the uploads cannot be aborted",
    };
    Error::Unworkable(format!("{}: {what}: {}: {}", escape_key(prefix), error.code, error.message))
}

fn count(
    summary: &mut Summary,
    bucket: &str,
    upload: &OpenUpload,
    aborted: Option<Result<(), RequestError>>,
    args: &AbortUploadsArgs,
    terminal: &Terminal,
) {
    summary.listed += 1;
    let Some(aborted) = aborted else { return summary.filtered += 1 };
    summary.selected += 1;
    let begun = upload.initiated.and_then(|begun| jiff::Timestamp::from_second(begun).ok());
    let begun = begun.map_or("at an unknown time".to_owned(), |begun| begun.to_string());
    let shown = format!("s3://{bucket}/{}  begun {begun}  {}", escape_key(&upload.key), escape_key(&upload.id));
    match aborted {
        Ok(()) if args.dry_run => {
            summary.skipped += 1;
            if !args.shown.quiet {
                terminal.line(&format!("would abort: {shown}"));
            }
        }
        Ok(()) => {
            summary.done += 1;
            tracing::info!("aborted: {shown}");
        }
        Err(error) if matches!(error.class, Class::Interrupted | Class::Fatal) => summary.pending += 1,
        Err(error) => {
            summary.failed += 1;
            terminal.warn(&format!("failed: {shown}: {}: {}", error.code, escape_key(&error.message)));
        }
    }
}

fn tell(args: &AbortUploadsArgs, finished: &Finished, terminal: &Terminal) -> Exit {
    let summary = &finished.summary;
    if let Some(error) = &finished.error {
        report_error(error, terminal);
    } else if !args.shown.quiet {
        let which = if args.older_than.is_some() { "younger, or of other keys," } else { "of other keys" };
        let left =
            if summary.filtered > 0 { format!(" ({} {which} are left)", summary.filtered) } else { String::new() };
        let uploads = |count| format!("{count} {}", if count == 1 { "upload" } else { "uploads" });
        match summary.dry_run {
            true => terminal.line(&format!("dry run: would abort {}{left}", uploads(summary.skipped))),
            false => terminal.line(&format!("aborted: {}{left}", uploads(summary.done))),
        }
        if summary.failed > 0 {
            terminal.line(&format!("  {} failed", summary.failed));
        }
    }
    if args.shown.json
        && let Err(error) = print(&summary.json())
    {
        return report_error(&Error::Checkpoint(format!("the summary cannot be written to stdout: {error}")), terminal);
    }
    Exit::from(finished)
}
