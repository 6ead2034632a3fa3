//! Items that were yielded and not begun: a queue for each range, so that one whose keys the store slows
//! down does not hold up the others. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::journal::Ticket;
use crate::model::Item;

/// An item, and the journal's word for it.
type Waiting = (Ticket, Arc<Item>);

/// The queues.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// By range; `None` for what an earlier run left open.
    queues: BTreeMap<Option<usize>, VecDeque<Waiting>>,
    len: usize,
    /// The range that had the last turn.
    last: Option<usize>,
}

impl Ready {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, range: Option<usize>, waiting: Waiting) {
        self.queues.entry(range).or_default().push_back(waiting);
        self.len += 1;
    }

    /// The next item that need not wait, of each range in turn; and its range.
    pub(super) fn pop(&mut self, must_wait: impl Fn(&Item) -> bool) -> Option<(Option<usize>, Waiting)> {
        let free = |(range, queue): (&Option<usize>, &VecDeque<Waiting>)| {
            queue.front().filter(|(_, item)| !must_wait(item)).map(|_| *range)
        };
        let behind = (std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded);
        let range = self.queues.range(behind).find_map(free).or_else(|| self.queues.iter().find_map(free))?;
        self.last = range;
        let queue = self.queues.get_mut(&range)?;
        let waiting = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&range);
        }
        self.len -= 1;
        Some((range, waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Object;

    fn ready(keys: &[(usize, &str)]) -> Ready {
        let mut ready = Ready::default();
        for (range, key) in keys {
            ready.push(Some(*range), (Ticket::Reopened, Arc::new(Item::listed(0, Object::new(*key, 0)))));
        }
        ready
    }

    fn key(popped: Option<(Option<usize>, Waiting)>) -> Option<String> {
        popped.map(|(_, (_, item))| item.object.key.clone())
    }

    #[test]
    fn ranges_take_turns_and_keep_their_order() {
        let mut ready = ready(&[(1, "a"), (1, "b"), (2, "m"), (2, "n")]);
        let keys: Vec<String> = std::iter::from_fn(|| key(ready.pop(|_| false))).collect();
        assert_eq!(keys, ["a", "m", "b", "n"]);
        assert!(ready.is_empty());
    }

    #[test]
    fn a_range_that_must_wait_holds_no_other_up() {
        let mut ready = ready(&[(1, "hot/1"), (1, "hot/2"), (2, "cold/1"), (2, "cold/2")]);
        let hot = |item: &Item| item.object.key.starts_with("hot");
        assert_eq!(key(ready.pop(hot)).as_deref(), Some("cold/1"));
        assert_eq!(key(ready.pop(hot)).as_deref(), Some("cold/2"));
        assert_eq!(key(ready.pop(hot)), None);
        assert_eq!(ready.len(), 2);
        assert_eq!(key(ready.pop(|_| false)).as_deref(), Some("hot/1"));
    }
}
