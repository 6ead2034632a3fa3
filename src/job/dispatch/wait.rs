//! What a job waits for: it is looked at again, pass after pass, until nothing waits any more. Between
//! the looks, what was not looked at before has its turn, as far as there is room for it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::Dispatcher;
use crate::journal::Phase;
use crate::model::{Error, Item, Outcome, Skip, Tally, Waited};
use crate::op::{Look, Op, Waits};

/// How often the screen is drawn and the checkpoint looked after between two looks.
const TICK: Duration = Duration::from_millis(250);

/// What is waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Objects that wait, as far as is known.
    pub(super) now: u64,
    /// Their bytes, of those that were seen by this run.
    bytes: u64,
    /// Those that the look found that goes on.
    found: (u64, u64),
    /// There is no room for the next item: the pass ends early.
    pub(super) is_full: bool,
    /// Those that it found to be readable.
    readable: u64,
    /// Those that it had no time for.
    cut: u64,
    /// The run goes on where another was interrupted, and has not looked at all that waits.
    is_resumed: bool,
    /// Objects that have failed: they are not looked at again.
    failed: HashSet<u64>,
    last: Look,
}

impl<O: Op> Dispatcher<O> {
    /// What an interrupted run has waited for is waited for by this one.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the checkpoint cannot be read.
    pub(super) fn begin_waiting(&mut self) -> Result<(), Error> {
        if self.op.waits().is_none() {
            return Ok(());
        }
        self.journal.look_again();
        self.waiting.now = self.journal.waiting();
        self.waiting.is_resumed = self.journal.is_planned();
        self.counts.listed += self.waiting.now;
        for failure in self.journal.failures(None)? {
            let (item, _) = failure.map_err(|error| Error::Checkpoint(error.to_string()))?;
            self.waiting.failed.insert(hash(&item));
        }
        self.begin_pass(self.journal.phase() == Phase::Sweep);
        Ok(())
    }

    /// Waits until there is nothing to wait for any more, or the run drains.
    ///
    /// # Errors
    /// What made it impossible to go on.
    pub(super) async fn wait(&mut self) -> Result<(), Error> {
        let asked = Instant::now();
        // An interrupted run has waited already.
        let mut at_once = self.waiting.is_resumed;
        while self.op.waits().is_some() && !self.stop.is_cancelled() {
            let again = self.is_to_look_again();
            if !again && !self.journal.has_rest() {
                return self.end_waiting();
            }
            if again {
                if !std::mem::take(&mut at_once) && !self.pause(asked).await? {
                    return Ok(());
                }
                self.look(asked).await?;
            }
            let has_room = self.op.waits().is_some_and(Waits::has_room);
            if self.journal.has_rest() && !self.stop.is_cancelled() && (has_room || !self.is_to_look_again()) {
                let ranges = self.journal.plan_rest()?;
                self.begin_pass(false);
                self.pass(ranges, Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// Whether something waits, or may: how much an interrupted run has left is not known for sure before
    /// it was looked at.
    fn is_to_look_again(&self) -> bool {
        let may_wait = self.waiting.now > 0 || self.waiting.is_resumed;
        (may_wait && self.journal.has_again()) || self.journal.is_in_sweep()
    }

    /// Whether a run that goes on where another was interrupted has something to look at before it takes on
    /// more.
    pub(super) fn is_to_look_first(&self) -> bool {
        self.op.waits().is_some() && self.journal.has_again()
    }

    /// Whether there is work left for another run.
    pub(super) fn is_left_waiting(&self) -> bool {
        self.op.waits().is_some() && (self.waiting.now > 0 || self.journal.has_rest() || self.is_to_look_again())
    }

    pub(super) fn begin_pass(&mut self, again: bool) {
        (self.waiting.is_full, self.waiting.found) = (false, (0, 0));
        (self.waiting.readable, self.waiting.cut) = (0, 0);
        if let Some(waits) = self.op.waits() {
            waits.begin(again);
        }
    }

    /// One look at all that waits.
    async fn look(&mut self, asked: Instant) -> Result<(), Error> {
        let began = Instant::now();
        if let Some(waits) = self.op.waits()
            && waits.timeout().is_some_and(|timeout| asked.elapsed() >= timeout)
        {
            waits.give_up();
        }
        let now = self.waiting.now;
        let ranges = self.journal.plan_sweep()?;
        self.begin_pass(true);
        self.pass(ranges, Vec::new()).await?;
        let is_through = self.feed.is_exhausted() && self.ready.is_empty() && self.waiting.cut == 0;
        if !is_through {
            return Ok(());
        }
        self.waiting.last = Look { took: began.elapsed(), progressed: self.waiting.found.0 < now };
        self.settle(self.waiting.found)
    }

    /// A look is through, and has found that so many objects and bytes wait: the others have come to an
    /// end of which nothing was heard.
    fn settle(&mut self, (found, bytes): (u64, u64)) -> Result<(), Error> {
        let gone = self.waiting.now.saturating_sub(found);
        self.counts.listed += found.saturating_sub(self.waiting.now);
        let mut tally = Tally::default();
        let mut rest = gone;
        if self.op.waits().is_some_and(Waits::is_done_when_readable) {
            tally.done = gone.min(self.waiting.readable);
            tally.bytes = self.waiting.bytes.saturating_sub(bytes);
            rest = gone - tally.done;
        }
        if rest > 0 {
            let how = if self.waiting.is_resumed { Skip::FinishedOrGone } else { Skip::Lapsed };
            tally.skipped.insert(how, rest);
        }
        self.counts.tally.add(&tally);
        self.journal.looked(tally, found)?;
        self.waiting.is_resumed = false;
        (self.waiting.now, self.waiting.bytes) = (found, bytes);
        Ok(())
    }

    /// Nothing waits any more: what an interrupted run has left to wait, and no look has to find, is over.
    fn end_waiting(&mut self) -> Result<(), Error> {
        if self.waiting.now > 0 { self.settle((0, 0)) } else { Ok(()) }
    }

    /// Waits until the next look is due. `false` where the run is to end.
    async fn pause(&mut self, asked: Instant) -> Result<bool, Error> {
        let Some(waits) = self.op.waits() else { return Ok(true) };
        let mut pause = waits.pause(asked.elapsed(), self.waiting.last);
        if let Some(timeout) = waits.timeout() {
            pause = pause.min(timeout.saturating_sub(asked.elapsed()));
        }
        let due = tokio::time::sleep(pause);
        tokio::pin!(due);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                () = &mut due => return Ok(true),
                _ = tick.tick() => self.on_tick()?,
            }
        }
    }

    /// Counts what became of an item. In a look at what waits, all of them were listed before.
    pub(super) fn count(&mut self, item: &Item, outcome: &Outcome) {
        let size = item.object.size;
        match outcome {
            Outcome::Failed(_) if self.op.waits().is_some() => drop(self.waiting.failed.insert(hash(item))),
            // It failed before, and now it waits.
            Outcome::Waiting(_) if !self.waiting.failed.is_empty() => drop(self.waiting.failed.remove(&hash(item))),
            _ => {}
        }
        match (self.journal.phase(), outcome) {
            (Phase::Work, Outcome::Waiting(_)) => {
                self.waiting.now += 1;
                self.waiting.bytes = self.waiting.bytes.saturating_add(size);
                self.counts.tally.count(outcome);
            }
            (Phase::Sweep, Outcome::Waiting(_)) => {
                self.waiting.found.0 += 1;
                self.waiting.found.1 = self.waiting.found.1.saturating_add(size);
                self.counts.tally.count(outcome);
            }
            (Phase::Sweep, Outcome::Readable) => self.waiting.readable += 1,
            (Phase::Sweep, Outcome::Interrupted | Outcome::Fatal(_)) => self.waiting.cut += 1,
            (Phase::Sweep, Outcome::Done(_) | Outcome::Failed(_) | Outcome::Skipped(_)) => {
                self.waiting.now = self.waiting.now.saturating_sub(1);
                self.waiting.bytes = self.waiting.bytes.saturating_sub(size);
                self.counts.tally.count(outcome);
            }
            _ => self.counts.tally.count(outcome),
        }
    }

    /// Whether there is no room for an item beside what is waited for: the pass then ends early.
    pub(super) fn is_too_much(&mut self, item: &Item) -> bool {
        let is_too_much = self.op.waits().is_some_and(|waits| !waits.take_room(item));
        self.waiting.is_full |= is_too_much;
        is_too_much
    }

    /// Whether an item is in a look at what waits, and has failed before.
    pub(super) fn has_failed(&self, item: &Item) -> bool {
        self.journal.phase() == Phase::Sweep && self.waiting.failed.contains(&hash(item))
    }

    /// What was handed out by a pass that ended early, and not begun, waits as well.
    pub(super) fn keep_for_later(&mut self) {
        if !self.waiting.is_full || self.stop.is_cancelled() {
            return;
        }
        while let Some((_, (ticket, item))) = self.ready.pop(|_| false) {
            self.on_outcome(ticket, &item, Outcome::Waiting(Waited::default()));
        }
    }
}

fn hash(item: &Item) -> u64 {
    let mut hasher = DefaultHasher::new();
    (item.source, &item.object.key, &item.object.version_id).hash(&mut hasher);
    hasher.finish()
}
