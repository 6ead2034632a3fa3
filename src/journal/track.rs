//! When the watermark of a range moves. Pure: time comes in as a value.
//!
//! Items finish in any order. Everything up to the first item that is not finished may be marked;
//! an item that others have passed is parked, so that it holds the mark back only for a moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::again::Again;
use super::record::{Mark, OpenItem, Recorded};
use crate::model::{Failure, Item, Outcome, Position, Range, Tally};

/// How long an item may hold the watermark back after others passed it. Kept this short so that a
/// kill repeats only what was in flight and what the last tenth of a second finished; an item that
/// is parked costs one more line. Chosen, not measured.
const PARK_AFTER: Duration = Duration::from_millis(50);

/// How many finished items one unfinished item may hold back.
const PARK_BEHIND: usize = 1_000;

/// An item that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticket {
    /// The `seq`-th item of a range of this run.
    InRange {
        /// Index of the range.
        range: usize,
        /// Number of the item within it, from 0.
        seq: u64,
    },
    /// An item that an earlier run left open.
    Reopened,
}

/// The items of one range that are handed out and above its watermark.
#[derive(Debug)]
pub(super) struct Track {
    range: Range,
    slots: VecDeque<Slot>,
    /// Number of the first slot.
    first: u64,
    exhausted: bool,
    ended: bool,
    /// The positions of its items say nothing about where it stands.
    unordered: bool,
    /// Where there are items to be looked at again, in a job that looks again.
    again: Option<Again>,
}

#[derive(Debug)]
pub(super) enum Slot {
    /// An item that was handed out.
    Item { item: Arc<Item>, state: SlotState },
    /// There is nothing more up to here.
    Passed(Position),
}

#[derive(Debug)]
pub(super) enum SlotState {
    Open {
        passed_at: Option<Instant>,
    },
    /// Recorded as open: its end has a record of its own.
    Parked,
    Finished(Outcome),
}

impl Slot {
    /// The state of an item that is open.
    fn open(&mut self) -> Option<&mut SlotState> {
        match self {
            Self::Item { state: state @ SlotState::Open { .. }, .. } => Some(state),
            _ => None,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Item { state: SlotState::Open { .. }, .. })
    }

    fn is_finished(&self) -> bool {
        matches!(self, Self::Item { state: SlotState::Finished(_), .. })
    }
}

impl Track {
    pub(super) fn new(range: Range, looks_again: bool) -> Self {
        let unordered = range.at.as_ref().is_some_and(|at| !at.is_ordered());
        let again = looks_again.then(|| Again::new(&range));
        Self { range, slots: VecDeque::new(), first: 0, exhausted: false, ended: false, unordered, again }
    }

    pub(super) fn range(&self) -> &Range {
        &self.range
    }

    /// Cuts the range; what is behind the first cut is no longer tracked here.
    pub(super) fn split(&mut self, cuts: &[Position]) -> Vec<Range> {
        self.range.split(cuts)
    }

    /// Takes the next item in; returns its number.
    pub(super) fn emit(&mut self, item: Arc<Item>) -> u64 {
        self.slots.push_back(Slot::Item { item, state: SlotState::Open { passed_at: None } });
        self.first + self.slots.len() as u64 - 1
    }

    /// There is nothing more up to `position`.
    pub(super) fn passed(&mut self, position: Position) {
        match self.slots.back_mut() {
            Some(Slot::Passed(last)) => *last = position,
            _ => self.slots.push_back(Slot::Passed(position)),
        }
    }

    /// From here on only what is passed moves the watermark: the items come in no order.
    pub(super) fn unordered(&mut self) {
        self.unordered = true;
    }

    /// All up to `at` is written out.
    pub(super) fn wrote(&mut self, at: Option<&Position>) {
        self.range.at = at.cloned().or(self.range.at.take());
    }

    /// Whether nothing of it is left to be tracked.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The source has no more items in this range.
    pub(super) fn exhausted(&mut self) {
        self.exhausted = true;
    }

    /// Notes the end of an item. Returns the outcome back if the item was parked before: it then
    /// needs a record of its own.
    pub(super) fn finish(&mut self, seq: u64, outcome: Outcome) -> Option<Outcome> {
        match self.open_slot(seq) {
            Some(state) => {
                *state = SlotState::Finished(outcome);
                None
            }
            None => Some(outcome),
        }
    }

    /// The item is recorded as open: the watermark may pass it.
    pub(super) fn park(&mut self, seq: u64) {
        if let Some(state) = self.open_slot(seq) {
            *state = SlotState::Parked;
        }
    }

    fn open_slot(&mut self, seq: u64) -> Option<&mut SlotState> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at).and_then(Slot::open)
    }

    /// The mark to write now, if the watermark can move. `now` is `None` at the end of a run, when
    /// every unfinished item that was passed is parked at once.
    pub(super) fn advance(&mut self, now: Option<Instant>, next_failure: &mut u64) -> Option<Mark> {
        self.note_passed(now);
        let finished = self.slots.iter().filter(|slot| slot.is_finished()).count();
        let crowded = finished >= PARK_BEHIND;
        let mut mark = None;
        for _ in 0..self.finished_end() {
            let Some(slot) = self.slots.pop_front_if(|slot| slot.may_leave(now, crowded)) else { break };
            self.first += 1;
            let mark = mark.get_or_insert_with(|| empty_mark(&self.range));
            if let Some(again) = &mut self.again {
                again.passed(&slot, &self.range, self.unordered);
            }
            slot.leave(mark, self.unordered, next_failure);
        }
        if let (Some(mark), Some(again)) = (&mut mark, &mut self.again) {
            mark.again = again.take_new();
        }
        if self.exhausted && self.slots.is_empty() && !self.ended {
            self.ended = true;
            mark.get_or_insert_with(|| empty_mark(&self.range)).end = true;
        }
        if let Some(mark) = &mark {
            self.range.at.clone_from(&mark.at);
        }
        mark
    }

    /// How many slots there are up to and with the last that is finished or parked.
    fn finished_end(&self) -> usize {
        self.slots.iter().rposition(|slot| !slot.is_open()).map_or(0, |last| last + 1)
    }

    /// Notes for each unfinished item when it was first seen to be passed.
    fn note_passed(&mut self, now: Option<Instant>) {
        let Some(now) = now else { return };
        let end = self.finished_end();
        for slot in self.slots.iter_mut().take(end) {
            if let Slot::Item { state: SlotState::Open { passed_at }, .. } = slot {
                passed_at.get_or_insert(now);
            }
        }
    }
}

fn empty_mark(range: &Range) -> Mark {
    Mark {
        range: range.id.clone(),
        at: range.at.clone(),
        end: false,
        tally: Tally::default(),
        open: Vec::new(),
        failures: Vec::new(),
        again: Vec::new(),
    }
}

impl Slot {
    /// Whether the watermark may pass it.
    fn may_leave(&self, now: Option<Instant>, crowded: bool) -> bool {
        match (self, now) {
            (Self::Item { state: SlotState::Open { passed_at: Some(since) }, .. }, Some(now)) => {
                crowded || now.saturating_duration_since(*since) >= PARK_AFTER
            }
            (Self::Item { state: SlotState::Open { passed_at: None }, .. }, Some(_)) => false,
            _ => true,
        }
    }

    fn leave(self, mark: &mut Mark, unordered: bool, next_failure: &mut u64) {
        let (item, state) = match self {
            Self::Passed(position) => return mark.at = Some(position),
            Self::Item { item, state } => (item, state),
        };
        if !unordered {
            mark.at = Some(item.position());
        }
        let outcome = match state {
            SlotState::Open { .. } => return mark.open.push(OpenItem::from(&*item)),
            SlotState::Parked => return,
            SlotState::Finished(outcome) => outcome,
        };
        mark.tally.count(&outcome);
        if let Outcome::Failed(failure) = outcome {
            mark.failures.push(number(next_failure, item.source, *failure));
        }
    }
}

/// Gives a failure its number.
pub(super) fn number(next_failure: &mut u64, source: u32, failure: Failure) -> Recorded {
    let n = *next_failure;
    *next_failure += 1;
    Recorded { n, source, failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Done, Object};

    fn item(n: u64) -> Arc<Item> {
        let key = format!("{n:06}");
        Arc::new(Item::listed(0, Object::new(key, n)))
    }

    fn track(items: u64) -> Track {
        let mut track = Track::new(Range::whole(0), false);
        (0..items).for_each(|n| assert_eq!(track.emit(item(n)), n));
        track
    }

    fn done() -> Outcome {
        Outcome::Done(Done { bytes: 1, ..Done::default() })
    }

    fn key(mark: &Mark) -> Option<&str> {
        mark.at.as_ref().and_then(Position::key)
    }

    #[test]
    fn the_mark_stops_before_the_first_unfinished_item() {
        let (mut track, start) = (track(4), Instant::now());
        assert!(track.finish(1, done()).is_none());
        assert!(track.advance(Some(start), &mut 1).is_none());
        track.finish(0, done());
        let mark = track.advance(Some(start), &mut 1).unwrap();
        assert_eq!((key(&mark), mark.tally.done, mark.end), (Some("000001"), 2, false));
    }

    #[test]
    fn an_item_that_is_passed_for_long_is_parked_and_closed_apart() {
        let (mut track, start) = (track(4), Instant::now());
        track.finish(2, done());
        assert!(track.advance(Some(start), &mut 1).is_none());
        let mark = track.advance(Some(start + PARK_AFTER), &mut 1).unwrap();
        assert_eq!((key(&mark), mark.open.len(), mark.tally.done), (Some("000002"), 2, 1));
        assert!(track.finish(0, done()).is_some(), "a parked item is closed by a record of its own");
        assert!(track.finish(3, done()).is_none());
    }

    #[test]
    fn an_item_that_is_recorded_as_open_lets_the_mark_pass_and_is_closed_apart() {
        let (mut track, start) = (track(3), Instant::now());
        track.park(1);
        assert!(track.advance(Some(start), &mut 1).is_none());
        let mark = track.advance(Some(start + PARK_AFTER), &mut 1).unwrap();
        assert_eq!((key(&mark), mark.open.len(), mark.tally.done), (Some("000001"), 1, 0));
        assert!(track.finish(1, done()).is_some());
    }

    #[test]
    fn an_item_that_nobody_passed_is_not_parked() {
        let (mut track, start) = (track(1), Instant::now());
        track.advance(Some(start), &mut 1);
        assert!(track.advance(Some(start + 100 * PARK_AFTER), &mut 1).is_none());
    }

    #[test]
    fn a_thousand_items_behind_one_do_not_wait() {
        let (mut track, start) = (track(1_200), Instant::now());
        (1..1_200).for_each(|n| drop(track.finish(n, done())));
        let mark = track.advance(Some(start), &mut 1).unwrap();
        assert_eq!((mark.open.len(), mark.tally.done), (1, 1_199));
    }

    #[test]
    fn at_the_end_of_a_run_all_that_is_finished_is_marked() {
        let mut track = track(5);
        track.finish(1, done());
        track.finish(3, done());
        let mark = track.advance(None, &mut 1).unwrap();
        assert_eq!((key(&mark), mark.open.len(), mark.tally.done), (Some("000003"), 2, 2));
        assert!(track.advance(None, &mut 1).is_none());
    }

    #[test]
    fn an_exhausted_range_ends_once() {
        let mut track = track(1);
        track.exhausted();
        assert!(track.advance(Some(Instant::now()), &mut 1).is_none());
        track.finish(0, done());
        assert!(track.advance(Some(Instant::now()), &mut 1).unwrap().end);
        assert!(track.advance(Some(Instant::now()), &mut 1).is_none());
    }
}
