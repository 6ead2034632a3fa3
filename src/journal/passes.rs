//! The passes of a job that waits: what was not looked at before, and looks at what waits.

use super::again::{joined, not_passed};
use super::log::Journal;
use super::record::{Phase, Plan};
use crate::model::{Error, Range, Tally};

impl Journal {
    /// From here on, items that wait are looked at again, in passes of their own.
    pub fn look_again(&mut self) {
        self.looks_again = true;
    }

    /// What the pass is that is recorded.
    pub fn phase(&self) -> Phase {
        self.state.phase
    }

    /// How many objects are waited for, as far as it is recorded.
    pub fn waiting(&self) -> u64 {
        self.state.totals.waiting
    }

    /// Whether there is something to be looked at again.
    pub fn has_again(&self) -> bool {
        !self.state.again.is_empty()
    }

    /// Whether there is something that no pass has looked at.
    pub fn has_rest(&self) -> bool {
        !self.state.rest.is_empty() || (self.state.phase == Phase::Work && !self.state.ranges.is_empty())
    }

    /// Whether a look at what waits was not through.
    pub fn is_in_sweep(&self) -> bool {
        self.state.phase == Phase::Sweep && !self.state.ranges.is_empty()
    }

    /// Begins a look at all that waits, `waiting` objects; what is left of the pass before is kept for
    /// a later one. `settled` is what was found out since by other means than its items. Returns the
    /// indices of its ranges.
    ///
    /// # Errors
    /// [`Error::Internal`] where items are open.
    pub fn plan_sweep(&mut self, waiting: u64, settled: Tally) -> Result<Vec<usize>, Error> {
        self.end_pass()?;
        let again = self.state.again.values().cloned();
        let (ranges, rest) = match self.state.phase {
            Phase::Work => (joined(again), self.left()),
            Phase::Sweep => {
                let left = self.state.ranges.values().map(not_passed);
                (joined(again.chain(left)), self.state.rest.clone())
            }
        };
        let waits_for = Some(waiting);
        self.plan_pass(Plan { phase: Phase::Sweep, ranges, rest, waits_for, tally: settled, ..Plan::default() })
    }

    /// Goes on with what is left of passes that were not through. Returns the indices of the ranges.
    ///
    /// # Errors
    /// [`Error::Internal`] where items are open.
    pub fn plan_rest(&mut self, waiting: u64, settled: Tally) -> Result<Vec<usize>, Error> {
        self.end_pass()?;
        let again = self.state.again.values().cloned().collect();
        let (ranges, waits_for) = (self.left(), Some(waiting));
        self.plan_pass(Plan { ranges, again, waits_for, tally: settled, ..Plan::default() })
    }

    fn left(&self) -> Vec<Range> {
        self.state.ranges.values().chain(&self.state.rest).cloned().collect()
    }

    fn end_pass(&mut self) -> Result<(), Error> {
        self.flush(None)?;
        self.tracks.clear();
        Ok(())
    }
}
