//! What is said when a run has ended.

use std::ffi::OsString;
use std::io::Write as _;

use super::exit::Exit;
use super::flags::ShownArgs;
use super::{hints, report_error};
use crate::job::Finished;
use crate::model::{Error, escape_key};
use crate::report::{Status, Summary, Terminal};

/// Prints a line on stdout. A reader that has seen enough is no fault; one that cannot be written to
/// is.
pub(super) fn print(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Says how a run over `sources` ended: the summary, what to type next, and the JSON.
pub(super) fn tell(
    shown: &ShownArgs,
    sources: &[String],
    typed: &[OsString],
    finished: &Finished,
    terminal: &Terminal,
) -> Exit {
    let summary = &finished.summary;
    if !shown.quiet && summary.selected + summary.resumed > 0 {
        terminal.summary(summary, shown.verbose > 0);
    }
    match summary.status {
        Status::Complete if summary.selected + summary.resumed == 0 => {
            if !shown.quiet {
                let sources: Vec<_> = sources.iter().map(|source| escape_key(source)).collect();
                terminal.line(&format!("nothing matched: no object of {} is chosen", sources.join(" ")));
            }
        }
        Status::Complete => {}
        Status::Partial => tell_failures(typed, summary, terminal),
        Status::Interrupted if summary.checkpoint.is_none() && summary.listed == 0 => {
            terminal.warn("interrupted before anything was begun");
        }
        Status::Interrupted if summary.too_many_failures => {
            tell_resume("ended early, more objects failed than --max-failures allows", typed, summary, terminal);
        }
        Status::Interrupted if summary.too_dear => tell_dear(typed, summary, terminal),
        Status::Interrupted if summary.at_bad_line => {
            tell_resume(
                "ended at a line of the manifest that is at fault, as --strict says: mend it and begin anew with --restart, or go on behind it",
                typed,
                summary,
                terminal,
            );
        }
        Status::Interrupted => {
            let how = if finished.signal.is_some() { "interrupted" } else { "the time is up, and work is left" };
            tell_resume(how, typed, summary, terminal);
        }
        Status::Failed => {
            if let Some(error) = &finished.error {
                report_error(error, terminal);
            }
            if summary.listed > 0 {
                tell_resume("ended early", typed, summary, terminal);
            }
        }
    }
    if shown.json
        && let Err(error) = print(&summary.json())
    {
        let unwritten = Error::Checkpoint(format!("the summary cannot be written to stdout: {error}"));
        let exit = report_error(&unwritten, terminal);
        // What became of the work outweighs it.
        return match Exit::from(finished) {
            Exit::Done => exit,
            worked => worked,
        };
    }
    Exit::from(finished)
}

fn tell_failures(typed: &[OsString], summary: &Summary, terminal: &Terminal) {
    let listed = summary.failures.as_ref().map(|path| format!(": see {}", path.display())).unwrap_or_default();
    terminal.warn(&format!("some objects failed{listed}"));
    if summary.checkpoint.is_some() {
        terminal.line(&format!("to try only these again: {}", hints::retry_failed(typed)));
    }
}

/// The same command would end at once: it is told with another amount.
fn tell_dear(typed: &[OsString], summary: &Summary, terminal: &Terminal) {
    let spent = summary.estimated_cost_usd.unwrap_or_default();
    let how = format!("ended early, the job has cost an estimated {spent}, which is what --max-cost allows");
    let hint = match &summary.checkpoint {
        Some(_) => format!("to go on, allow it more: {}", hints::with_max_cost(typed, spent)),
        None => "there is no checkpoint: the same command begins anew".to_owned(),
    };
    terminal.warn(&format!("{how}; {hint}"));
}

fn tell_resume(how: &str, typed: &[OsString], summary: &Summary, terminal: &Terminal) {
    let hint = match &summary.checkpoint {
        Some(_) => format!("to resume, run the same command again: {}", hints::resume(typed)),
        None => "there is no checkpoint: the same command begins anew".to_owned(),
    };
    terminal.warn(&format!("{how}; {hint}"));
}
