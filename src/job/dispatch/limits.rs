//! How many objects a job works on at most, and lines of a manifest with which nothing can be done.

use std::sync::Arc;

use super::Dispatcher;
use crate::journal::Phase;
use crate::model::{Error, Failure, Item, Outcome};
use crate::op::Op;

impl<O: Op> Dispatcher<O> {
    /// A pass begins: how many objects it may take.
    pub(super) fn limit(&mut self) {
        // What failed before is no further object.
        let most = self.limits.objects.filter(|_| !self.retried && self.journal.phase() == Phase::Work);
        self.room = most.map(|most| most.saturating_sub(self.journal.begun()));
        if self.room == Some(0) {
            self.cease();
        }
    }

    /// An object is taken.
    pub(super) fn take_room(&mut self) {
        if let Some(room) = &mut self.room {
            *room = room.saturating_sub(1);
        }
    }

    /// As many objects as may be are taken: the pass ends with them.
    pub(super) fn cease(&mut self) {
        self.feed.cease();
        self.journal.exhaust_all();
    }

    /// Lines of a manifest come to their end without the operation.
    pub(super) fn refuse(&mut self, range: usize, lines: Vec<(Item, Box<Failure>)>) -> Result<(), Error> {
        for (item, mut failure) in lines {
            if self.stop.is_cancelled() || self.known.remove(&(item.source, item.position())) {
                continue;
            }
            self.counts.listed += 1;
            self.take_room();
            let item = Arc::new(item);
            let ticket = self.journal.emit(range, &item)?;
            if !failure.is_of_line() {
                failure.dest = self.op.dest(&item);
            } else if self.limits.strict && !self.retried {
                self.bad_line = true;
                self.stop.cancel();
            }
            self.on_ended(Ok((ticket, item, Outcome::Failed(failure))));
            if self.room == Some(0) {
                self.cease();
                break;
            }
        }
        Ok(())
    }

    /// Whether a line of the manifest ended the run.
    pub(in super::super) fn was_strict(&self) -> bool {
        self.bad_line
    }
}
