//! `s3bulk jobs`: the checkpoints there are, and where each stands.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Exit;
use super::machine::state_folder;
use super::report_error;
use super::tell::print;
use crate::journal::{Ending, JobInfo, inspect};
use crate::model::{Error, escape_key};
use crate::report::Terminal;

/// List the checkpoints there are, and where each stands
#[derive(Debug, Args)]
pub(super) struct JobsArgs {
    /// Folder of checkpoints [default: $XDG_STATE_HOME/s3bulk or ~/.local/state/s3bulk]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &JobsArgs, terminal: &Terminal) -> Exit {
    match list(args) {
        Ok(lines) if lines.is_empty() => {
            terminal.line("no checkpoints");
            Exit::Done
        }
        Ok(lines) => match lines.iter().try_for_each(|line| print(line)) {
            Ok(()) => Exit::Done,
            Err(error) => report_error(&Error::Checkpoint(format!("stdout cannot be written to: {error}")), terminal),
        },
        Err(error) => report_error(&error, terminal),
    }
}

fn list(args: &JobsArgs) -> Result<Vec<String>, Error> {
    let folder = args.folder.clone().map_or_else(state_folder, Ok)?;
    let unreadable = |error| Error::Checkpoint(format!("the folder {} cannot be read: {error}", folder.display()));
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && args.folder.is_none() => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".jsonl") && !name.ends_with(".failures.jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.iter().map(|path| line(path)).collect())
}

fn line(path: &Path) -> String {
    match inspect(path) {
        Ok(info) => describe(&info, path),
        Err(error) => format!("unusable     {error}"),
    }
}

fn describe(info: &JobInfo, path: &Path) -> String {
    let status = match (info.running, info.ended) {
        (true, _) => "running",
        (false, None) => "interrupted",
        (false, Some(Ending::Complete)) => "complete",
        (false, Some(Ending::Partial)) => "partial",
    };
    let job = &info.identity;
    let name = job.job_id.as_ref().map(|id| format!(" --job-id {id}")).unwrap_or_default();
    let options: Vec<String> = job.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let waiting = match info.totals.waiting {
        0 => String::new(),
        waiting => format!(", {waiting} waited for"),
    };
    format!(
        "{status:<12} {}  {} done, {} skipped, {} failed{waiting}  {} {} {}{name}  [{}]  {}",
        info.started_at,
        info.totals.done,
        info.totals.skipped(),
        info.failed,
        job.verb,
        escape_key(&job.sources.join(" ")),
        escape_key(&job.dest),
        escape_key(&options.join(" ")),
        path.display()
    )
}
