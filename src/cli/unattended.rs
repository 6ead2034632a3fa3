//! What a run needs that nobody watches: an end in time, and counts for those who ask later.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;

use super::exit::Exit;
use crate::job::Stop;
use crate::model::{Error, parse_duration};
use crate::report::{MetricsFile, Ran, Summary, Terminal};

#[derive(Debug, Args)]
#[command(next_help_heading = "Unattended")]
pub(super) struct UnattendedArgs {
    /// End after this long as a signal would, to be resumed; exit code 3 if work is left
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_runtime: Option<Duration>,
    /// Write the counts to FILE at the end, in the text format of Prometheus
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
}

/// A run from its first moment to its last.
#[derive(Debug)]
pub(super) struct Unattended {
    max_runtime: Option<Duration>,
    metrics: Option<MetricsFile>,
    /// The job's short name, once it is known.
    job: OnceLock<String>,
    started: Timestamp,
    clock: Instant,
}

impl Unattended {
    /// A run that begins now.
    ///
    /// # Errors
    /// [`Error::Usage`] for a metrics file that cannot be written.
    pub(super) fn begin(args: &UnattendedArgs) -> Result<Self, Error> {
        let metrics = args.metrics_file.as_deref().map(MetricsFile::open).transpose()?;
        let (started, clock) = (Timestamp::now(), Instant::now());
        Ok(Self { max_runtime: args.max_runtime, metrics, job: OnceLock::new(), started, clock })
    }

    /// The metrics must not go where the run writes something else, by whatever name.
    ///
    /// # Errors
    /// [`Error::Usage`] where they would.
    pub(super) fn refuse_files(&self, others: &[Option<&Path>]) -> Result<(), Error> {
        let Some(file) = &self.metrics else { return Ok(()) };
        let place = |path: &Path| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
            path.canonicalize().ok().or_else(|| Some(folder?.join(path.file_name()?))).unwrap_or(path)
        };
        let own = place(file.path());
        if others.iter().flatten().any(|other| place(other) == own) {
            let path = file.path().display();
            return Err(Error::Usage(format!("--metrics-file {path} is written by this run otherwise: name another")));
        }
        Ok(())
    }

    /// Says which job it is.
    pub(super) fn name_job(&self, job: String) {
        let _ = self.job.set(job);
    }

    /// The job's short name, if it is known.
    pub(super) fn job(&self) -> Option<String> {
        self.job.get().cloned()
    }

    /// Asks the run to end when its time is up.
    pub(super) fn watch_time(&self, stop: &Stop, terminal: &Terminal) {
        let Some(limit) = self.max_runtime else { return };
        let (stop, terminal) = (stop.clone(), terminal.clone());
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            stop.time_is_up();
            terminal.line("the time is up (--max-runtime): waiting for the requests under way");
        });
    }

    /// Writes the metrics of a run that has ended.
    pub(super) fn end(&self, summary: &Summary, exit: Exit, terminal: &Terminal) -> Exit {
        let Some(file) = &self.metrics else { return exit };
        let (started, took) = (self.started.as_duration().as_secs_f64(), self.clock.elapsed().as_secs_f64());
        let ran = Ran { summary, exit_code: exit.code(), started, took };
        if let Err(error) = file.write(&ran) {
            terminal.warn(&format!("the metrics file {} cannot be written: {error}", file.path().display()));
        }
        exit
    }
}
