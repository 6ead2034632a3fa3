//! The passes of a job that waits: what was not looked at before, and looks at what waits.

use super::again::{joined, not_passed};
use super::log::Journal;
use super::record::{Phase, Plan, Record};
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

    /// Begins a look at all that waits, `what is left of the pass before is kept for a later one. Returns the
    /// indices of its ranges.
    ///
    /// # Errors
    /// [`Error::Internal`] where items are open.
    pub fn plan_sweep(&mut self) -> Result<Vec<usize>, Error> {
        self.end_pass()?;
        let again = self.state.again.values().cloned();
        let (ranges, rest) = match self.state.phase {
            Phase::Work => (joined(again), self.left()),
            Phase::Sweep => {
                let left = self.state.ranges.values().map(not_passed);
                (joined(again.chain(left)), self.state.rest.clone())
            }
        };
        self.plan_pass(Plan { phase: Phase::Sweep, ranges, rest, ..Plan::default() })
    }

    /// Goes on with what is left of passes that were not through. Returns the indices of the ranges.
    ///
    /// # Errors
    /// [`Error::Internal`] where items are open.
    pub fn plan_rest(&mut self) -> Result<Vec<usize>, Error> {
        self.end_pass()?;
        let again = self.state.again.values().cloned().collect();
        let ranges = self.left();
        self.plan_pass(Plan { ranges, again, ..Plan::default() })
    }

    /// A look is through: it found out `tally` beside the ends of items, and that so many objects wait.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be recorded.
    pub fn looked(&mut self, tally: Tally, waits_for: u64) -> Result<(), Error> {
        self.flush(None)?;
        self.record(Record::Looked { tally, waits_for })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record::{FORMAT, Header};
    use super::super::state::State;
    use super::super::{JobIdentity, Ticket};
    use super::*;
    use crate::model::{Done, Item, Object, Outcome, Position, Waited};

    fn journal() -> Journal {
        let job = JobIdentity {
            verb: "restore".into(),
            sources: vec!["s3://b/".into()],
            dest: String::new(),
            options: Default::default(),
            job_id: None,
        };
        let header = Header { format: FORMAT, job, started_at: "2025-01-31T00:00:00Z".into(), manifest: None };
        let mut journal = Journal::new(State::new(header), None, None);
        journal.look_again();
        journal
    }

    /// Works through a range of these keys, of which those that begin with `w` wait.
    fn work(journal: &mut Journal, range: usize, keys: &[&str]) {
        let emit = |key: &&str| {
            let item = Arc::new(Item::listed(0, Object::new(*key, 1)));
            (journal.emit(range, &item).unwrap(), item)
        };
        let items: Vec<(Ticket, Arc<Item>)> = keys.iter().map(emit).collect();
        for (ticket, item) in items {
            let outcome = if item.object.key.contains('w') {
                Outcome::Waiting(Waited::default())
            } else {
                Outcome::Done(Done { bytes: 1, ..Done::default() })
            };
            journal.finish(ticket, &item, outcome).unwrap();
        }
        journal.flush(None).unwrap();
    }

    /// What the file would say after a compaction.
    fn assert_kept(journal: &Journal) {
        let mut again = State::new(journal.state.header.clone());
        for record in journal.state.snapshot(0).iter().skip(1) {
            again.apply(record).unwrap();
        }
        assert_eq!(again, journal.state);
    }

    #[test]
    fn what_waits_is_looked_at_again_until_nothing_does() {
        let mut journal = journal();
        let ranges = journal.plan(vec![Range::whole(0)]).unwrap();
        work(&mut journal, ranges[0], &["a", "bw", "c", "dw", "e"]);
        journal.exhausted(ranges[0]).unwrap();
        journal.flush(None).unwrap();
        assert_eq!((journal.waiting(), journal.has_again(), journal.has_rest()), (2, true, false));
        assert_kept(&journal);

        let ranges = journal.plan_sweep().unwrap();
        let range = journal.range(ranges[0]).unwrap().clone();
        assert_eq!((range.id.after, range.until), (Some(Position::Key("a".into())), Some(Position::Key("dw".into()))));
        work(&mut journal, ranges[0], &["b", "c", "dw"]);
        assert_kept(&journal);
        // It is interrupted before the range is through: the whole of it is covered by the next look.
        assert!(journal.is_in_sweep());
        let ranges = journal.plan_sweep().unwrap();
        assert_eq!((ranges.len(), journal.waiting()), (1, 0), "all that ended is taken to have waited");
        work(&mut journal, ranges[0], &["d"]);
        journal.exhausted(ranges[0]).unwrap();
        journal.looked(Tally { done: 1, ..Tally::default() }, 0).unwrap();
        assert!(!journal.has_again() && !journal.is_in_sweep() && journal.waiting() == 0);
        assert_kept(&journal);
    }

    #[test]
    fn a_pass_that_ends_early_is_gone_on_with_after_a_look() {
        let mut journal = journal();
        let ranges = journal.plan(vec![Range::whole(0)]).unwrap();
        work(&mut journal, ranges[0], &["aw", "b"]);
        assert!(journal.has_rest());
        journal.plan_sweep().unwrap();
        assert!(journal.has_rest() && journal.is_in_sweep());
        assert_kept(&journal);
        let range = journal.state.ranges.values().next().cloned().unwrap();
        let index = journal.track_recorded().pop().unwrap();
        work(&mut journal, index, &["a"]);
        journal.exhausted(index).unwrap();
        journal.flush(None).unwrap();
        assert_eq!(range.until, Some(Position::Key("aw".into())));
        let ranges = journal.plan_rest().unwrap();
        let rest = journal.range(ranges[0]).unwrap().clone();
        assert_eq!((rest.at, rest.until), (Some(Position::Key("b".into())), None));
        assert_kept(&journal);
    }
}
