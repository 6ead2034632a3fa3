//! What ranges found, held back until its turn comes: the ranges are listed side by side, and handed
//! on one after another.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::model::RangeId;

/// What is held back of each range, in their order.
#[derive(Debug)]
pub(super) struct InOrder<C> {
    ranges: BTreeMap<RangeId, Held<C>>,
    ids: HashMap<usize, RangeId>,
    /// Ranges that are exhausted and not handed on.
    exhausted: usize,
}

#[derive(Debug)]
struct Held<C> {
    range: usize,
    chunks: VecDeque<C>,
    exhausted: bool,
    /// It was said that its turn has come.
    first: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<C> {
    /// The turn of this range has come: nothing holds it back.
    Turn(usize),
    /// Something of the range whose turn it is.
    Chunk(C),
    /// That was all of this range.
    End(usize),
}

impl<C> Default for InOrder<C> {
    fn default() -> Self {
        Self { ranges: BTreeMap::new(), ids: HashMap::new(), exhausted: 0 }
    }
}

impl<C> InOrder<C> {
    /// There is a range of this index.
    pub(super) fn begin(&mut self, id: RangeId, range: usize) {
        self.ids.insert(range, id.clone());
        self.ranges.insert(id, Held { range, chunks: VecDeque::new(), exhausted: false, first: false });
    }

    fn held(&mut self, range: usize) -> Option<&mut Held<C>> {
        self.ids.get(&range).and_then(|id| self.ranges.get_mut(id))
    }

    /// A range has found something. `false` if there is no such range.
    #[must_use]
    pub(super) fn hold(&mut self, range: usize, chunk: C) -> bool {
        self.held(range).map(|held| held.chunks.push_back(chunk)).is_some()
    }

    /// A range has no more.
    pub(super) fn exhausted(&mut self, range: usize) {
        if let Some(held) = self.held(range) {
            held.exhausted = true;
            self.exhausted += 1;
        }
    }

    /// How many ranges are exhausted and not handed on.
    pub(super) fn waiting(&self) -> usize {
        self.exhausted
    }

    /// What comes next, if it is there.
    pub(super) fn next(&mut self) -> Option<Next<C>> {
        let mut first = self.ranges.first_entry()?;
        let held = first.get_mut();
        if !held.first {
            held.first = true;
            return Some(Next::Turn(held.range));
        }
        if let Some(chunk) = held.chunks.pop_front() {
            return Some(Next::Chunk(chunk));
        }
        if !held.exhausted {
            return None;
        }
        let range = first.remove().range;
        self.ids.remove(&range);
        self.exhausted -= 1;
        Some(Next::End(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    fn id(after: Option<&str>) -> RangeId {
        RangeId { source: 0, after: after.map(|key| Position::Key(key.to_owned())) }
    }

    #[test]
    fn ranges_are_handed_on_one_after_another() {
        let mut held = InOrder::default();
        held.begin(id(None), 7);
        held.begin(id(Some("m")), 8);
        assert_eq!(held.next(), Some(Next::Turn(7)));
        assert!(held.hold(8, "n"));
        held.exhausted(8);
        assert_eq!(held.next(), None);
        assert!(held.hold(7, "a"));
        assert!(!held.hold(9, "x"));
        assert_eq!(held.next(), Some(Next::Chunk("a")));
        // Cut while it goes on.
        held.begin(id(Some("c")), 9);
        held.exhausted(7);
        assert_eq!(held.waiting(), 2);
        assert_eq!(held.next(), Some(Next::End(7)));
        assert_eq!(held.next(), Some(Next::Turn(9)));
        assert_eq!(held.next(), None);
        held.exhausted(9);
        let rest: Vec<_> = std::iter::from_fn(|| held.next()).collect();
        assert_eq!(rest, [Next::End(9), Next::Turn(8), Next::Chunk("n"), Next::End(8)]);
        assert_eq!(held.waiting(), 0);
    }
}
