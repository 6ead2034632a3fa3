//! Where there are items that are to be looked at again, as ranges. Pure.

use super::track::{Slot, SlotState};
use crate::model::{Item, Origin, Outcome, Position, Range, RangeId};

/// So many settled items in a row are not worth looking at again: they would be a page of a listing.
/// *Source:* ListObjectsV2 answers with up to 1,000 keys (S3 API reference).
const GAP: usize = 1_000;

/// Ranges of a look at most: beyond, neighbours are joined. Chosen, not measured.
const MOST: usize = 4_096;

/// What of one range is to be looked at again.
#[derive(Debug)]
pub(super) struct Again {
    /// Where the last item was that has left.
    before: Option<Position>,
    /// The range that may still grow.
    last: Option<Range>,
    /// Items that have settled behind it.
    settled: usize,
    /// What is new since it was last told.
    new: Vec<Range>,
}

impl Again {
    pub(super) fn new(range: &Range) -> Self {
        Self { before: range.cursor().cloned(), last: None, settled: 0, new: Vec::new() }
    }

    /// The next slot of `range` leaves, in order.
    pub(super) fn passed(&mut self, slot: &Slot, range: &Range, unordered: bool) {
        let (item, state) = match slot {
            Slot::Passed(position) => return self.settle(position.clone()),
            Slot::Item { item, state } => (item, state),
        };
        // Of one that is open it is not known.
        let waits = !matches!(state, SlotState::Finished(outcome) if !matches!(outcome, Outcome::Waiting(_)));
        let position = item.position();
        if !waits {
            return self.settle(position);
        }
        if matches!(item.origin, Origin::Failure(_)) {
            // It was waited for in no range.
            return self.new.push(around(item));
        }
        if unordered {
            let whole = Range { at: None, ..range.clone() };
            if self.last.as_ref() != Some(&whole) {
                self.last = Some(whole.clone());
                self.new.push(whole);
            }
            return;
        }
        match &mut self.last {
            Some(last) if self.settled < GAP => last.until = Some(position.clone()),
            last => {
                let id = RangeId { source: range.id.source, after: self.before.clone() };
                *last = Some(Range { id, until: Some(position.clone()), at: None });
            }
        }
        self.settled = 0;
        self.before = Some(position);
        if let Some(last) = &self.last {
            match self.new.last_mut() {
                Some(new) if new.id == last.id => new.clone_from(last),
                _ => self.new.push(last.clone()),
            }
        }
    }

    fn settle(&mut self, position: Position) {
        self.settled += 1;
        self.before = Some(position);
    }

    /// The ranges that are new, or longer than they were.
    pub(super) fn take_new(&mut self) -> Vec<Range> {
        std::mem::take(&mut self.new)
    }
}

/// Where an item is looked at again of which no range says that.
pub(super) fn around(item: &Item) -> Range {
    match item.origin {
        // Where its line begins is not known: its file is.
        Origin::Manifest { at, .. } => Range::lines(at.file),
        Origin::Listing | Origin::Failure(_) => Range::around(item.source, &item.object.key),
    }
}

/// What of a range the watermark has not passed.
pub(super) fn not_passed(range: &Range) -> Range {
    match &range.at {
        Some(at) if at.is_ordered() => {
            let id = RangeId { source: range.id.source, after: Some(at.clone()) };
            Range { id, until: range.until.clone(), at: None }
        }
        _ => Range { at: None, ..range.clone() },
    }
}

/// Ranges in order, without overlaps, and not too many.
pub(super) fn joined(ranges: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut ranges: Vec<Range> = ranges.collect();
    ranges.sort_by(|a, b| a.id.cmp(&b.id));
    let mut joined = join(ranges, |before, next| before.until.is_none() || next.id.after <= before.until);
    while joined.len() > MOST {
        let mut odd = false;
        let len = joined.len();
        joined = join(joined, |_, _| {
            odd = !odd;
            odd
        });
        // Of as many sources, none can be joined.
        if joined.len() == len {
            break;
        }
    }
    joined
}

/// Whether both are of a listing, or both of one file of a manifest.
fn are_alike(one: &Range, other: &Range) -> bool {
    let file = |range: &Range| match range.until.as_ref().or(range.id.after.as_ref()) {
        Some(Position::Line(line)) => Some(line.file),
        _ => None,
    };
    file(one) == file(other)
}

fn join(ranges: Vec<Range>, mut joins: impl FnMut(&Range, &Range) -> bool) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for next in ranges {
        match joined.last_mut() {
            Some(last) if last.id.source == next.id.source && are_alike(last, &next) && joins(last, &next) => {
                last.until = match (last.until.take(), next.until) {
                    (Some(one), Some(other)) => Some(one.max(other)),
                    _ => None,
                };
            }
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Done, Object, Waited};

    fn key(n: usize) -> Position {
        Position::Key(format!("{n:06}"))
    }

    fn item(n: usize, outcome: Option<Outcome>) -> Slot {
        let item = Arc::new(Item::listed(0, Object::new(format!("{n:06}"), 1)));
        let state = outcome.map_or(SlotState::Parked, SlotState::Finished);
        Slot::Item { item, state }
    }

    fn ranges(waits: &[bool]) -> Vec<Range> {
        let mut again = Again::new(&Range::whole(0));
        let mut told = std::collections::BTreeMap::new();
        for (n, waits) in waits.iter().enumerate() {
            let outcome = if *waits { Outcome::Waiting(Waited::default()) } else { Outcome::Done(Done::default()) };
            again.passed(&item(n, Some(outcome)), &Range::whole(0), false);
            told.extend(again.take_new().into_iter().map(|range| (range.id.clone(), range)));
        }
        told.into_values().collect()
    }

    fn holds(ranges: &[Range], position: &Position) -> usize {
        let within = |range: &&Range| {
            range.id.after.as_ref().is_none_or(|after| after < position)
                && range.until.as_ref().is_none_or(|until| position <= until)
        };
        ranges.iter().filter(within).count()
    }

    #[test]
    fn a_range_begins_behind_the_last_that_is_settled_and_ends_with_the_last_that_waits() {
        let found = ranges(&[false, false, true, false, true, false]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].id.after.clone(), found[0].until.clone()), (Some(key(1)), Some(key(4))));
    }

    #[test]
    fn a_page_of_settled_items_is_left_out() {
        let mut waits = vec![false; 3_000];
        (waits[0], waits[2_999]) = (true, true);
        let found = ranges(&waits);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].id.after.clone(), found[1].id.after.clone()), (None, Some(key(2_998))));
    }

    #[test]
    fn one_that_is_open_may_wait() {
        let mut again = Again::new(&Range::whole(0));
        again.passed(&item(7, None), &Range::whole(0), false);
        assert_eq!(holds(&again.take_new(), &key(7)), 1);
    }

    proptest! {
        #[test]
        fn all_that_waits_is_in_just_one_range(waits in prop::collection::vec(prop::bool::weighted(0.01), 0..6_000)) {
            let found = joined(ranges(&waits).into_iter());
            for (n, waits) in waits.iter().enumerate() {
                prop_assert!(holds(&found, &key(n)) <= 1);
                prop_assert!(!*waits || holds(&found, &key(n)) == 1);
            }
        }

        #[test]
        fn joined_ranges_hold_what_they_held(bounds in prop::collection::vec((0_usize..900, 1_usize..50), 0..60)) {
            let range = |(after, long): &(usize, usize)| Range {
                id: RangeId { source: 0, after: Some(key(*after)) },
                until: Some(key(after + long)),
                at: None,
            };
            let ranges: Vec<Range> = bounds.iter().map(range).collect();
            let all = joined(ranges.iter().cloned());
            for n in 0..1_000 {
                prop_assert_eq!(holds(&all, &key(n)), holds(&ranges, &key(n)).min(1));
            }
        }
    }

    #[test]
    fn there_are_not_too_many() {
        let range = |n: usize| Range {
            until: Some(key(3 * n + 1)),
            id: RangeId { source: 0, after: Some(key(3 * n)) },
            at: None,
        };
        let all = joined((0..10_000).map(range));
        assert!(all.len() <= MOST);
        assert!((0..10_000).all(|n| holds(&all, &key(3 * n + 1)) == 1));
    }
}
