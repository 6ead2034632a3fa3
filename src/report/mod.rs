//! What the user sees, all of it on stderr but for the JSON summary: a bar or plain lines while
//! the run goes on, failures as they come, the summary at the end. `indicatif` is used in this
//! room only. It formats what it is given and decides nothing.

mod added;
mod failures;
mod listed;
mod log;
mod metrics;
mod output;
mod plan;
mod progress;
mod receipt;
mod summary;
mod terminal;

pub use added::{Added, Count, Folder};
pub use failures::FailuresFile;
pub use listed::{Format, STANDARD};
pub use log::JsonLog;
pub use metrics::{MetricsFile, Ran};
pub use output::{Output, Recorded};
pub use plan::{PlanReport, PricedBy, Rate};
pub use progress::{Progress, Show};
pub use receipt::ReceiptFile;
pub use summary::{Status, Summary};
pub use terminal::{LogFormat, Terminal};

use serde::Serialize;
use tracing::Level;

use crate::model::{Failure, escape_key};
use progress::Screen;

/// How many failures are printed as they come; all are in the failures file.
const PRINTED_FAILURES: u64 = 10;

/// The report of one run.
#[derive(Debug)]
pub struct Report {
    terminal: Terminal,
    screen: Screen,
    printed: u64,
    print_all: bool,
}

impl Report {
    /// A report that shows progress as `show` says; `verbose` prints every failure.
    pub fn new(show: Show, terminal: Terminal, verbose: bool) -> Self {
        let screen = Screen::new(show, &terminal);
        Self { terminal, screen, printed: 0, print_all: verbose }
    }

    /// A report that shows nothing, failures neither.
    pub fn silent(terminal: Terminal) -> Self {
        Self { printed: PRINTED_FAILURES + 1, ..Self::new(Show::Nothing, terminal, false) }
    }

    /// Says that a run goes on where another was interrupted.
    pub fn resuming(&self, settled: u64) {
        let settled = indicatif::HumanCount(settled);
        self.terminal.line(&format!("resuming: {settled} objects were finished by earlier runs of this job"));
    }

    /// Shows where the run stands. May be called often.
    pub fn progress(&mut self, progress: &Progress) {
        self.screen.show(progress, &self.terminal);
    }

    /// Prints a failure, if not too many were printed before.
    pub fn failure(&mut self, failure: &Failure) {
        self.printed += 1;
        if self.print_all || self.printed <= PRINTED_FAILURES {
            // A line that cannot be read names no object; its message says which line it is.
            let object = if failure.is_of_line() {
                String::new()
            } else {
                format!("s3://{}/{}: ", failure.bucket, escape_key(&failure.key))
            };
            let (code, message) = (escape_key(&failure.code), escape_key(&failure.message));
            let message = format!("failed: {object}{code}: {message}");
            self.terminal.record(Level::ERROR, &message, Some(&Failed::from(failure)));
        } else if self.printed == PRINTED_FAILURES + 1 {
            self.terminal.warn("failed: more objects, from here on only in the failures file (-v prints all)");
        }
    }

    /// Takes the bar off the screen: the run is over.
    pub fn finish(&mut self) {
        self.screen.finish();
    }
}

/// What the line of a failure tells machines.
#[derive(Serialize)]
struct Failed<'a> {
    bucket: &'a str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    dest: &'a str,
    code: &'a str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl<'a> From<&'a Failure> for Failed<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            bucket: &failure.bucket,
            key: &failure.key,
            version_id: failure.version_id.as_deref(),
            dest: &failure.dest,
            code: &failure.code,
            attempts: failure.attempts,
            request_id: failure.request_id.as_deref(),
        }
    }
}
