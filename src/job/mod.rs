//! The loop that serves every verb: a source yields items in ranges, one operation runs on each,
//! the outcomes go to one place that owns the journal and the counts, the report listens.
//!
//! A job is a list of passes over its ranges: the work itself, then, in a run that resumes or
//! retries, the failures of earlier runs.

mod breaker;
mod chunk;
mod dispatch;
mod feed;
mod in_order;
mod listing;
mod meter;
mod ready;
mod sync;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::journal::Journal;
use crate::model::{Error, RequestError, now};
use crate::op::Op;
use crate::pace::Pacer;
use crate::report::{FailuresFile, ReceiptFile, Report, Status, Summary};
use crate::source::{Manifest, Source};
use dispatch::Dispatcher;
pub use listing::{Listed, Listing};
pub use meter::Meter;

/// What asked a run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// The wish to end a run: requests under way end, no more are sent.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Cancelled when the run drains, for whatever reason.
    pub token: CancellationToken,
    signal: Arc<OnceLock<Signal>>,
    time_is_up: Arc<OnceLock<()>>,
}

impl Stop {
    /// One that ends with this one, and does not end it.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), ..Self::default() }
    }

    /// Asks the run to end because of `signal`. `false` if it was asked before.
    pub fn ask(&self, signal: Signal) -> bool {
        let first = self.signal.set(signal).is_ok();
        self.token.cancel();
        first
    }

    /// Asks the run to end because it has had its time.
    pub fn time_is_up(&self) {
        let _ = self.time_is_up.set(());
        self.token.cancel();
    }

    /// Whether the run was asked to end, and did not give up by itself.
    pub fn was_asked(&self) -> bool {
        self.signal.get().is_some() || self.time_is_up.get().is_some()
    }

    /// The signal that asked, if one did.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }
}

/// Bounds of a job.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests at once; twice as many items may be open.
    pub concurrency: usize,
    /// Ranges that are listed at once.
    pub list_concurrency: usize,
    /// Objects that may fail; one more ends the run.
    pub max_failures: Option<u64>,
    /// Objects that the job works on at most, in all its runs.
    pub objects: Option<u64>,
    /// Whether a manifest's line that is at fault ends the run.
    pub strict: bool,
}

/// A job that is ready to run.
#[derive(Debug)]
pub struct Job {
    /// The verb, for the summary.
    pub verb: &'static str,
    /// Where the items come from.
    pub sources: Vec<Source>,
    /// What gives the objects, in place of listings.
    pub manifest: Option<Arc<Manifest>>,
    /// The checkpoint, open.
    pub journal: Journal,
    /// Where the checkpoint is kept.
    pub checkpoint: Option<PathBuf>,
    /// Where failures are written.
    pub failures: FailuresFile,
    /// Where copies are receipted, if they are.
    pub receipt: Option<ReceiptFile>,
    /// What the user sees.
    pub report: Report,
    /// The gate of all requests.
    pub pacer: Arc<Pacer>,
    /// Its bounds.
    pub limits: Limits,
    /// What it costs, and may cost.
    pub meter: Meter,
    /// How it is asked to end.
    pub stop: Stop,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The counts.
    pub summary: Summary,
    /// The signal that ended it; one that was interrupted without had had its time.
    pub signal: Option<Signal>,
    /// The fault that ended it.
    pub error: Option<Error>,
}

impl Finished {
    /// The end of a run of `verb` that had not begun: a signal, a fault or its time came first.
    pub fn before_it_began(verb: &'static str, signal: Option<Signal>, error: Option<Error>) -> Self {
        let mut summary = Summary::new(verb, now());
        summary.error = error.as_ref().map(Error::to_string);
        if error.is_none() {
            summary.status = Status::Interrupted;
        }
        Self { summary, signal, error }
    }
}

/// What a run says that cannot list its source.
fn unlistable(what: &str, error: &RequestError) -> Error {
    let tries = if error.attempts > 1 { format!(" (tried {} times)", error.attempts) } else { String::new() };
    // A manifest is read.
    let how = if error.code == "ManifestUnreadable" { "read" } else { "listed" };
    Error::Unworkable(format!("{what} cannot be {how}: {}: {}{tries}", error.code, error.message))
}

impl Job {
    /// Runs `op` on every item to the job's end, or until it is asked to stop or cannot go on.
    ///
    /// # Cancellation
    /// Dropping it is like a kill: the checkpoint holds what was finished some 50 ms ago.
    pub async fn run(self, op: impl Op) -> Finished {
        // A worker wakes a task at less cost than the thread that waits for the end.
        let verb = self.verb;
        let worked = AbortOnDropHandle::new(tokio::spawn(self.work(op))).await;
        worked.unwrap_or_else(|ended| match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(ended) => {
                let error = Error::Internal(format!("the job ended badly: {ended}"));
                Finished::before_it_began(verb, None, Some(error))
            }
        })
    }

    async fn work(self, op: impl Op) -> Finished {
        let started = Instant::now();
        let (stop, pacer) = (self.stop.clone(), Arc::clone(&self.pacer));
        let mut summary = Summary::new(self.verb, self.journal.started_at().to_owned());
        summary.checkpoint.clone_from(&self.checkpoint);
        let mut run = Dispatcher::new(op, self);
        let worked = run.passes().await;
        let error = run.close(worked);
        let (counts, failures_left) = (run.counts(), run.failures_left());
        summary.filtered = counts.filtered;
        summary.count(counts.listed, &counts.tally);
        summary.waiting = run.waiting();
        summary.probes = run.probes();
        summary.too_many_failures = run.has_too_many_failures() && run.is_unfinished();
        summary.too_dear = run.is_too_dear() && run.is_unfinished();
        (summary.estimated_cost_usd, summary.prices) = (run.spent(), run.priced());
        summary.at_bad_line = run.was_strict() && run.is_unfinished();
        let interrupted = stop.was_asked() && run.is_unfinished();
        let signal = stop.signal().filter(|_| interrupted);
        summary.status = match (&error, interrupted) {
            (Some(_), _) => Status::Failed,
            (None, true) => Status::Interrupted,
            (None, false) if summary.too_many_failures || summary.too_dear || summary.at_bad_line => {
                Status::Interrupted
            }
            (None, false) if failures_left > 0 => Status::Partial,
            (None, false) => Status::Complete,
        };
        summary.resumed = run.resumed();
        summary.take_requests(&pacer);
        summary.elapsed_s = started.elapsed().as_secs_f64();
        summary.failures = run.failures_path();
        summary.receipt = run.receipt_path();
        summary.error = error.as_ref().map(Error::to_string);
        Finished { summary, signal, error }
    }
}
