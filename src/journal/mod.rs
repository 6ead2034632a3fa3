//! The checkpoint: what is finished, so that a killed run goes on where it was.
//!
//! It holds no line for each object. Work is ranges; each has a *watermark*, the position up to
//! which everything is finished. An item that others pass is *parked*: recorded as open, so that
//! the watermark moves on; it is closed by a record of its own. A resume is the open items, then
//! each range from its watermark. Failures are recorded with numbers, and are a range themselves
//! when they are tried again.
//!
//! A [`Claim`] becomes a [`Journal`], through which a job records what it does. Inside, `record` is
//! the file's format and `line` seals each line, `state` is what a file means, and `track` decides
//! when a watermark moves: these are pure. `file` does the I/O.

mod again;
mod claim;
mod failures;
mod file;
mod identity;
mod line;
mod lock;
mod log;
mod passes;
mod record;
mod state;
#[cfg(test)]
mod tests;
mod track;

pub use claim::{Claim, Mode, Place};
pub use failures::FailedItems;
pub use identity::{JobIdentity, ManifestPrint};
pub use log::{Journal, Wrote};
pub use record::{Ending, Phase};
pub use track::Ticket;

use std::path::Path;

use crate::model::{Error, Tally};

/// What a checkpoint says about its job.
#[derive(Clone, Debug)]
pub struct JobInfo {
    /// What the job does.
    pub identity: JobIdentity,
    /// When it was first started.
    pub started_at: String,
    /// Whether a process works on it now.
    pub running: bool,
    /// How it ended, if it did.
    pub ended: Option<Ending>,
    /// What its runs finished.
    pub totals: Tally,
    /// Objects that failed and were not mended.
    pub failed: u64,
}

/// Reads a checkpoint without taking it over.
///
/// # Errors
/// [`Error::Checkpoint`] where it cannot be read or is damaged.
pub fn inspect(path: &Path) -> Result<JobInfo, Error> {
    let recovered = file::recover(path)?;
    let Some(state) = recovered.state else {
        return Err(Error::Checkpoint(format!("{} is empty", path.display())));
    };
    Ok(JobInfo {
        running: lock::is_held(path),
        failed: state.failures_left(),
        identity: state.header.job,
        started_at: state.header.started_at,
        ended: state.ended,
        totals: state.totals,
    })
}
