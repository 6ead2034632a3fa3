//! What the records of a checkpoint add up to. Pure: the same records give the same state.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{
    Close, Ending, FORMAT, Header, Mark, OpenItem, Output, Phase, Plan, Record, Recorded, Step, Totals,
};
use crate::model::{Item, Position, Range, RangeId, Sums, Tally};

/// A job as its checkpoint knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) header: Header,
    /// The pass whose ranges these are; `None` before anything was planned.
    pub(super) pass: Option<u32>,
    /// What the pass is.
    pub(super) phase: Phase,
    /// The unfinished ranges of the pass.
    pub(super) ranges: BTreeMap<RangeId, Range>,
    /// Items that are begun and not finished, and that their ranges need not yield again.
    pub(super) open: BTreeMap<(u32, Position), OpenItem>,
    /// Items that are closed, and that their ranges' watermarks have not passed.
    pub(super) ahead: BTreeSet<(u32, Position)>,
    /// What earlier passes have left for later ones.
    pub(super) rest: Vec<Range>,
    /// Where there is something to be looked at again.
    pub(super) again: BTreeMap<RangeId, Range>,
    /// What is finished.
    pub(super) totals: Tally,
    pub(super) next_failure: u64,
    pub(super) retried_to: u64,
    pub(super) ended: Option<Ending>,
    /// The length of a listing's output, in bytes.
    pub(super) output: Option<u64>,
    /// What a listing adds up.
    pub(super) sums: Sums,
}

impl State {
    /// An empty job. It is written in the format of this program, whatever it was read in.
    pub(super) fn new(header: Header) -> Self {
        Self {
            header: Header { format: FORMAT, ..header },
            pass: None,
            phase: Phase::Work,
            ranges: BTreeMap::new(),
            open: BTreeMap::new(),
            ahead: BTreeSet::new(),
            rest: Vec::new(),
            again: BTreeMap::new(),
            totals: Tally::default(),
            next_failure: 1,
            retried_to: 0,
            ended: None,
            output: None,
            sums: Sums::default(),
        }
    }

    /// The open items for which uploads were begun.
    pub(super) fn uploads(&self) -> impl Iterator<Item = Item> {
        self.open.values().filter(|open| open.upload.is_some()).map(Item::from)
    }

    /// Failures that were not tried again since.
    pub(super) fn failures_left(&self) -> u64 {
        self.last_failure().saturating_sub(self.retried_to)
    }

    /// The number of the last failure; 0 if there is none.
    pub(super) fn last_failure(&self) -> u64 {
        self.next_failure.saturating_sub(1)
    }

    /// Takes one record in.
    ///
    /// # Errors
    /// A record that cannot follow the ones before it: the file is damaged.
    pub(super) fn apply(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Job(_) => return Err("a second header".to_owned()),
            Record::Plan(plan) => self.plan(plan)?,
            Record::Split { range, cuts } => self.split(range, cuts)?,
            Record::Looked { tally, waits_for } => {
                self.totals.add(&Tally { failed: 0, waiting: 0, ..tally.clone() });
                self.totals.waiting = *waits_for;
            }
            Record::Mark(mark) => self.mark(mark)?,
            Record::Output(output) => self.output(output)?,
            Record::Close(close) => self.close(close)?,
            Record::Open(item) => self.open(item),
            Record::Step(step) => self.step(step)?,
            Record::Ahead { source, at } => drop(self.ahead.insert((*source, at.clone()))),
            Record::Failed(failure) => self.failed(failure),
            Record::Totals(totals) => {
                self.totals = totals.tally.clone();
                self.next_failure = totals.next_failure;
                self.retried_to = totals.retried_to;
            }
            Record::End { status, .. } => self.ended = Some(*status),
        }
        Ok(())
    }

    fn plan(&mut self, plan: &Plan) -> Result<(), String> {
        // A look at what waits covers what was left of the look before.
        let is_kept = |range| plan.phase == Phase::Sweep || plan.rest.contains(range) || plan.ranges.contains(range);
        if !self.ranges.values().all(is_kept) || !self.open.is_empty() {
            return Err(format!("pass {} begins before the one before it is finished", plan.pass));
        }
        self.ahead.clear();
        (self.pass, self.phase) = (Some(plan.pass), plan.phase);
        self.ended = None;
        let by_id = |range: &Range| (range.id.clone(), range.clone());
        self.ranges = plan.ranges.iter().map(by_id).collect();
        self.rest.clone_from(&plan.rest);
        self.again = plan.again.iter().map(by_id).collect();
        Ok(())
    }

    fn range(&mut self, id: &RangeId) -> Result<&mut Range, String> {
        self.ranges.get_mut(id).ok_or_else(|| format!("no unfinished range begins after {:?}", id.after))
    }

    fn split(&mut self, id: &RangeId, cuts: &[Position]) -> Result<(), String> {
        let rest = self.range(id)?.split(cuts);
        if let Some(twice) = rest.iter().find(|range| self.ranges.contains_key(&range.id)) {
            return Err(format!("two ranges begin after {:?}", twice.id.after));
        }
        self.ranges.extend(rest.into_iter().map(|range| (range.id.clone(), range)));
        Ok(())
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), String> {
        let range = self.range(&mark.range)?;
        if let Some(at) = &mark.at {
            if at.is_ordered() && range.cursor().is_some_and(|before| before > at) {
                return Err(format!("a watermark moves back to {at:?}"));
            }
            range.at = Some(at.clone());
        }
        let passed = if mark.end { range.until.clone() } else { range.at.clone() };
        let all = mark.end && passed.is_none();
        if mark.end {
            self.ranges.remove(&mark.range);
        }
        if let Some(Position::Failure(n)) = &passed {
            self.retried_to = self.retried_to.max(*n);
        }
        let id = &mark.range;
        self.ahead.retain(|(source, at)| {
            !id.is_of(*source, at) || Some(at) <= id.after.as_ref() || !(all || Some(at) <= passed.as_ref())
        });
        self.count(&mark.tally);
        self.again.extend(mark.again.iter().map(|range| (range.id.clone(), range.clone())));
        mark.open.iter().for_each(|item| self.open(item));
        mark.failures.iter().for_each(|failure| self.failed(failure));
        Ok(())
    }

    fn output(&mut self, output: &Output) -> Result<(), String> {
        self.output = output.length.or(self.output);
        self.sums.extend(&output.sums);
        output.marks.iter().try_for_each(|mark| self.mark(mark))
    }

    fn close(&mut self, close: &Close) -> Result<(), String> {
        let item = (close.source, close.at.clone());
        self.open.remove(&item).ok_or_else(|| format!("an item that is not open is closed: {:?}", close.at))?;
        if self.ranges.values().any(|range| range.id.is_of(close.source, &close.at) && range.is_ahead(&close.at)) {
            self.ahead.insert(item);
        }
        self.count(&close.tally);
        self.again.extend(close.again.iter().map(|range| (range.id.clone(), range.clone())));
        if let Some(failure) = &close.failure {
            self.failed(failure);
        }
        Ok(())
    }

    fn open(&mut self, item: &OpenItem) {
        self.open.insert((item.source, item.at.clone()), item.clone());
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let item = self.open.get_mut(&(step.source, step.at.clone()));
        let upload = item.and_then(|item| item.upload.as_mut());
        let upload = upload.ok_or_else(|| format!("a part of an item that has no upload: {:?}", step.at))?;
        upload.parts.insert(step.part, step.uploaded.clone());
        Ok(())
    }

    fn failed(&mut self, failure: &Recorded) {
        self.next_failure = self.next_failure.max(failure.n.saturating_add(1));
    }

    /// Failures are not summed: which still stand follows from their numbers.
    fn count(&mut self, tally: &Tally) {
        match self.phase {
            Phase::Work => self.totals.add(&Tally { failed: 0, ..tally.clone() }),
            Phase::Sweep => {
                // All of them were waited for, and were counted when that began.
                self.totals.waiting = self.totals.waiting.saturating_sub(tally.ended());
                self.totals.add(&Tally { failed: 0, waiting: 0, ..tally.clone() });
            }
        }
    }

    /// The fewest records that give this state, but for the failures, which stay on disk and follow
    /// as `failures` lines more.
    pub(super) fn snapshot(&self, failures: u64) -> Vec<Record> {
        let plan = self.pass.map(|pass| {
            let (ranges, again) = (self.ranges.values().cloned().collect(), self.again.values().cloned().collect());
            Record::Plan(Plan { pass, phase: self.phase, ranges, rest: self.rest.clone(), again })
        });
        let rest = plan.into_iter().chain(self.open.values().cloned().map(Record::Open));
        let ahead = self.ahead.iter().cloned().map(|(source, at)| Record::Ahead { source, at });
        let written = Output { length: self.output, marks: Vec::new(), sums: self.sums.iter().collect() };
        let written = (written != Output::default()).then_some(Record::Output(written));
        let rest: Vec<Record> = rest.chain(ahead).chain(written).collect();
        let totals = Totals {
            tally: self.totals.clone(),
            next_failure: self.next_failure,
            retried_to: self.retried_to,
            lines: rest.len() as u64 + failures,
        };
        [Record::Job(self.header.clone()), Record::Totals(totals)].into_iter().chain(rest).collect()
    }
}
