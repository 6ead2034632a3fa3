//! The end of a run: what is recorded, and what is told of it.

use std::path::PathBuf;

use super::{Counts, Dispatcher, requests};
use crate::journal::Ending;
use crate::model::{Error, Money};
use crate::op::Op;
use crate::report::PricedBy;

impl<O: Op> Dispatcher<O> {
    /// The failures of earlier runs that still stand are in the failures file from the start.
    pub(super) fn show_failures_so_far(&mut self) -> Result<(), Error> {
        if self.journal.failures_left() == 0 {
            return Ok(());
        }
        let failures = self.journal.failures(None)?;
        self.failures.rewrite(failures.map(|failure| failure.map(|(_, failure)| failure)))
    }

    /// Ends the run: what is finished is on disk when this returns. Gives back the fault that
    /// ended it, if one did.
    pub(in super::super) fn close(&mut self, worked: Result<(), Error>) -> Option<Error> {
        let closed = match &worked {
            Ok(()) | Err(Error::Unworkable(_)) => self.record_end(),
            // What follows a lost record must not be recorded.
            Err(_) => Ok(()),
        };
        self.report.finish();
        // A checkpoint that could not be written outweighs a server that could not be worked with.
        closed.err().or(worked.err())
    }

    fn record_end(&mut self) -> Result<(), Error> {
        if let Some(receipt) = &mut self.receipt {
            receipt.flush()?;
            receipt.sync()?;
        }
        let ending = if self.journal.failures_left() > 0 { Ending::Partial } else { Ending::Complete };
        self.journal.close((!self.is_unfinished()).then_some(ending))?;
        if self.retried {
            let failures = self.journal.failures(None)?;
            self.failures.rewrite(failures.map(|failure| failure.map(|(_, failure)| failure)))?;
        }
        Ok(())
    }

    /// Whether there is work left.
    pub(in super::super) fn is_unfinished(&self) -> bool {
        let selected = self.counts.listed - self.counts.filtered;
        let left = !self.feed.is_exhausted() || selected > self.counts.tally.ended() || self.is_left_waiting();
        self.stop.is_cancelled() && (left || self.journal.failures_to_retry().is_some())
    }

    /// Whether it ended because more objects failed than may.
    pub(in super::super) fn has_too_many_failures(&self) -> bool {
        self.too_many
    }

    /// Whether it ended because it has cost what it may.
    pub(in super::super) fn is_too_dear(&self) -> bool {
        self.too_dear
    }

    /// What the job has cost, where there are prices.
    pub(in super::super) fn spent(&self) -> Option<Money> {
        self.meter.spent(&requests(&self.pacer))
    }

    /// The prices.
    pub(in super::super) fn priced(&self) -> Option<PricedBy> {
        self.meter.prices().map(PricedBy::from)
    }

    /// Objects that are waited for.
    pub(in super::super) fn waiting(&self) -> u64 {
        self.waiting.now
    }

    pub(in super::super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Requests that looked for places to cut the listing at.
    pub(in super::super) fn probes(&self) -> u64 {
        self.feed.probes()
    }

    /// Objects that earlier runs of the job had finished.
    pub(in super::super) fn resumed(&self) -> u64 {
        self.resumed
    }

    pub(in super::super) fn failures_left(&self) -> u64 {
        self.journal.failures_left()
    }

    pub(in super::super) fn receipt_path(&self) -> Option<PathBuf> {
        self.receipt.as_ref().and_then(|receipt| std::path::absolute(receipt.path()).ok())
    }

    pub(in super::super) fn failures_path(&self) -> Option<PathBuf> {
        self.failures.path().and_then(|path| std::path::absolute(path).ok())
    }
}
