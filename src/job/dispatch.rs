//! The one task that hands items out, takes their outcomes in, and owns the journal, the counts
//! and the report. At most twice the concurrency of items is open at once.

mod ending;
mod limits;
mod wait;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Broken};
use super::feed::{Feed, Heard};
use super::ready::Ready;
use super::sync::Syncer;
use super::{Job, Limits, Meter, unlistable};
use crate::journal::{Journal, Phase, Ticket};
use crate::model::{Class, Error, Item, Money, Outcome, Position, Requests, Tally};
use crate::op::{Op, Step, Steps, Told};
use crate::pace::Pacer;
use crate::report::{FailuresFile, Progress, ReceiptFile, Report};
use crate::source::{Order, Yield};
use wait::Waiting;

/// How often outcomes are written to the checkpoint: with the time after which an item is parked,
/// this bounds what a kill repeats.
const FLUSH_EVERY: Duration = Duration::from_millis(25);

/// Items that may be ready at once: the ranges of a listing are bounded each, the failures of earlier runs
/// are not.
const MOST_READY: usize = 16_384;

/// Items that are decided at once before other things are looked after.
const MOST_DECIDED: usize = 1_000;

/// Steps of open items that may wait to be recorded.
const STEPS: usize = 256;

/// What this run counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Objects that the sources held.
    pub(super) listed: u64,
    /// Those of them that the filters left out.
    pub(super) filtered: u64,
    /// What became of them.
    pub(super) tally: Tally,
}

/// An item that came to its end.
type Ended = (Ticket, Arc<Item>, Outcome);

/// The state of a run.
pub(super) struct Dispatcher<O> {
    pub(super) op: Arc<O>,
    pub(super) feed: Feed,
    pub(super) journal: Journal,
    syncer: Syncer,
    failures: FailuresFile,
    receipt: Option<ReceiptFile>,
    report: Report,
    pacer: Arc<Pacer>,
    limits: Limits,
    pub(super) stop: CancellationToken,
    pub(super) counts: Counts,
    resumed: u64,
    retried: bool,
    /// Items that were yielded and not begun.
    pub(super) ready: Ready,
    /// Items that were decided at once since other things were looked after.
    decided: usize,
    breaker: Breaker,
    /// Whether more objects failed than may.
    too_many: bool,
    /// What is waited for.
    waiting: Waiting,
    meter: Meter,
    /// What the items that are open are estimated to cost.
    reserved: Money,
    /// Whether the job has cost what it may.
    too_dear: bool,
    /// Whether a line of the manifest ended it.
    bad_line: bool,
    /// How many objects more the pass may take, where that is limited.
    room: Option<u64>,
    open: JoinSet<Ended>,
    /// Items that an earlier run left open or closed, and that the sources may yield.
    known: HashSet<(u32, Position)>,
    /// Bytes of the parts of open items: they are on their way, and not done.
    in_parts: HashMap<(u32, Position), u64>,
    /// What the open items tell of their progress.
    steps: (Sender<Told>, Receiver<Told>),
    error: Option<Error>,
}

impl<O: Op> Dispatcher<O> {
    pub(super) fn new(op: O, job: Job) -> Self {
        let mut meter = job.meter;
        meter.resume(job.journal.resumed().map_or(Money::ZERO, |tally| tally.spent));
        Self {
            op: Arc::new(op),
            feed: Feed::new(job.sources, job.manifest, job.limits.list_concurrency, Order::Largest),
            resumed: job.journal.resumed().map_or(0, Tally::settled),
            journal: job.journal,
            syncer: Syncer::new(),
            failures: job.failures,
            receipt: job.receipt,
            report: job.report,
            pacer: job.pacer,
            limits: job.limits,
            stop: job.stop.token,
            counts: Counts::default(),
            retried: false,
            ready: Ready::default(),
            decided: 0,
            breaker: Breaker::new(job.limits.max_failures),
            too_many: false,
            waiting: Waiting::default(),
            meter,
            reserved: Money::ZERO,
            too_dear: false,
            bad_line: false,
            room: None,
            open: JoinSet::new(),
            known: HashSet::new(),
            in_parts: HashMap::new(),
            steps: mpsc::channel(STEPS),
            error: None,
        }
    }

    /// Works through all passes: over all that the sources hold, if the job is new, or over what is
    /// left; then over the failures of earlier runs.
    ///
    /// # Errors
    /// What made it impossible to go on. The run has drained by then.
    pub(super) async fn passes(&mut self) -> Result<(), Error> {
        self.begin_waiting()?;
        let (ranges, reopened) = match (self.journal.is_planned(), self.journal.phase()) {
            (false, _) => (self.journal.plan(self.feed.whole())?, Vec::new()),
            // What waits is looked at first, and from the start.
            (true, Phase::Sweep) => (Vec::new(), self.journal.open_items()),
            (true, Phase::Work) if self.is_to_look_first() => (Vec::new(), self.journal.open_items()),
            (true, Phase::Work) => (self.journal.track_recorded(), self.journal.open_items()),
        };
        self.show_failures_so_far()?;
        self.look_at_cost();
        self.pass(ranges, reopened).await?;
        self.wait().await?;
        while let Some(range) = self.journal.failures_to_retry().filter(|_| !self.stop.is_cancelled()) {
            self.retried = true;
            let ranges = self.journal.plan(vec![range.clone()])?;
            self.begin_pass(false);
            self.pass(ranges, Vec::new()).await?;
            self.wait().await?;
            let next = self.journal.failures_to_retry();
            if !self.stop.is_cancelled() && next.is_some_and(|next| next.id == range.id) {
                return Err(Error::Checkpoint(
                    "the checkpoint lacks failures that it counts: it was changed".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// One pass. Returns when all of it is done, or when the run has drained.
    pub(super) async fn pass(&mut self, ranges: Vec<usize>, reopened: Vec<Item>) -> Result<(), Error> {
        self.feed.plan(&mut self.journal, ranges)?;
        if self.journal.phase() == Phase::Work {
            self.counts.listed += reopened.len() as u64;
        }
        self.limit();
        self.known = self.journal.known_items();
        self.ready = Ready::default();
        for item in reopened {
            self.ready.push(None, (Ticket::Reopened, Arc::new(item)));
        }
        let mut tick = tokio::time::interval(FLUSH_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_drained() {
            let stopping = self.stop.is_cancelled() || self.waiting.is_full;
            if !stopping {
                self.feed.begin_listers(&mut self.journal, 0)?;
                self.begin_items();
            }
            let room = !stopping && self.ready.len() < MOST_READY;
            // Every arm is cancel-safe: a dropped branch has taken nothing.
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !stopping => {}
                _ = tick.tick() => self.on_tick()?,
                // What was decided at once has made room.
                () = std::future::ready(()), if !stopping && self.can_begin() => {}
                Some(told) = self.steps.1.recv() => self.on_step(told),
                Some(ended) = self.open.join_next(), if !self.open.is_empty() => self.on_ended(ended),
                Some(heard) = self.feed.next(room) => self.on_heard(heard),
            }
        }
        self.on_steps();
        self.keep_for_later();
        self.keep(|this| this.flush(None));
        self.feed.end().await;
        self.show();
        self.error.take().map_or(Ok(()), Err)
    }

    /// Whether nothing of the pass is under way and nothing more will be.
    fn is_drained(&self) -> bool {
        let over = self.feed.is_exhausted() && self.ready.is_empty();
        self.open.is_empty() && (over || self.stop.is_cancelled() || self.waiting.is_full)
    }

    /// Whether there are items to begin at once.
    fn can_begin(&self) -> bool {
        self.decided >= MOST_DECIDED
    }

    fn begin_items(&mut self) {
        let op = Arc::clone(&self.op);
        self.decided = 0;
        while self.open.len() < 2 * self.limits.concurrency && self.decided < MOST_DECIDED {
            let Some((range, (ticket, item))) = self.ready.pop(|item| op.must_wait(item)) else { break };
            if let Some(range) = range {
                self.feed.begun(range, 1);
            }
            let decided = if self.has_failed(&item) { Some(Outcome::Passed) } else { op.decide(&item) };
            if let Some(outcome) = decided {
                self.decided += 1;
                self.on_outcome(ticket, &item, outcome);
                continue;
            }
            let price = op.price(&item);
            if self.has_to_wait_for(price) || self.is_too_much(&item) {
                self.ready.push(range, (ticket, item));
                break;
            }
            self.reserved += price;
            let op = Arc::clone(&op);
            let steps = Steps::new(ticket, Arc::clone(&item), self.steps.0.clone(), self.journal.is_kept());
            self.open.spawn(async move {
                let outcome = op.run(&item, &steps).await;
                (ticket, item, outcome)
            });
        }
    }

    fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Yield(yielded) => drop(self.keep(|this| this.on_yield(yielded))),
            Heard::Ended(Ok(())) => {}
            Heard::Ended(Err(error)) => self.fail(Error::Internal(format!("a lister ended badly: {error}"))),
        }
    }

    fn on_yield(&mut self, yielded: Yield) -> Result<(), Error> {
        match yielded {
            Yield::Items { range, items, filtered, through } => {
                for item in items {
                    if self.room == Some(0) {
                        break;
                    }
                    if !self.known.is_empty() && self.known.remove(&(item.source, item.position())) {
                        self.feed.begun(range, 1);
                        continue;
                    }
                    if self.journal.phase() == Phase::Work {
                        self.counts.listed += 1;
                        self.take_room();
                    }
                    let item = Arc::new(item);
                    let ticket = self.journal.emit(range, &item)?;
                    self.ready.push(Some(range), (ticket, item));
                }
                if self.journal.phase() == Phase::Work {
                    self.counts.listed += filtered;
                    self.counts.filtered += filtered;
                }
                if self.room == Some(0) {
                    self.cease();
                    return Ok(());
                }
                through.map_or(Ok(()), |through| self.journal.passed(range, through))?;
            }
            Yield::Refused { range, lines } => self.refuse(range, lines)?,
            Yield::Split { range, cuts } => {
                let rest = self.journal.split(range, cuts)?;
                self.feed.on_split(&mut self.journal, rest)?;
            }
            Yield::Unordered { range } => self.journal.unordered(range)?,
            Yield::Exhausted { range } => {
                self.feed.on_exhausted(range);
                self.journal.exhausted(range)?;
            }
            Yield::Broken { error, .. } if error.class == Class::Interrupted => {}
            Yield::Broken { what, error } => self.fail(unlistable(&what, &error)),
        }
        Ok(())
    }

    /// Takes in an item that came to its end, and those that did since.
    fn on_ended(&mut self, ended: Result<Ended, JoinError>) {
        let mut next = Some(ended);
        while let Some(ended) = next {
            // What it told before.
            self.on_steps();
            match ended {
                Ok((ticket, item, outcome)) => self.on_outcome(ticket, &item, outcome),
                Err(error) => self.fail(Error::Internal(format!("an object's task ended badly: {error}"))),
            }
            next = self.open.try_join_next();
        }
    }

    pub(super) fn on_outcome(&mut self, ticket: Ticket, item: &Item, mut outcome: Outcome) {
        let spent = match &mut outcome {
            Outcome::Done(done) => done.spent.as_mut(),
            Outcome::Waiting(waited) => waited.spent.as_mut(),
            _ => None,
        };
        if let Some(spent) = spent {
            spent.money = self.meter.ended(spent, &requests(&self.pacer));
        }
        self.reserved = self.reserved.less(self.op.price(item));
        self.count(item, &outcome);
        if !self.in_parts.is_empty() {
            self.in_parts.remove(&(item.source, item.position()));
        }
        match self.breaker.ended(&outcome) {
            Some(Broken::Alike(words)) => self.fail(Error::Unworkable(format!(
                "the run ends before it fails on: {words}; mend that, then the same command goes on"
            ))),
            Some(Broken::TooMany(_)) => {
                self.too_many = true;
                self.stop.cancel();
            }
            None => {}
        }
        match &mut outcome {
            Outcome::Interrupted => return,
            Outcome::Fatal(error) => {
                let end = if error.operation.is_write() { "destination" } else { "source" };
                let who = error.status.map(|_| format!(", the {end} answered")).unwrap_or_default();
                return self.fail(Error::Unworkable(format!("the run cannot go on{who}: {error}")));
            }
            Outcome::Failed(failure) => {
                self.report.failure(failure);
                let failure = &**failure;
                self.keep(|this| this.failures.append(failure));
            }
            Outcome::Done(done) => {
                if let Some(receipt) = done.receipt.take() {
                    self.keep(|this| this.receipt.as_mut().map_or(Ok(()), |file| file.append(&receipt)));
                }
            }
            Outcome::Skipped(_) | Outcome::Waiting(_) | Outcome::Readable | Outcome::Passed => {}
        }
        self.keep(|this| this.journal.finish(ticket, item, outcome));
        self.look_at_cost();
    }

    fn on_steps(&mut self) {
        while let Ok(told) = self.steps.1.try_recv() {
            self.on_step(told);
        }
    }

    fn on_step(&mut self, told: Told) {
        let Told { ticket, item, step } = told;
        match step {
            Step::Begun { upload, recorded } => {
                // It writes all that is new.
                let written = self.keep(|this| {
                    this.receipt.as_mut().map_or(Ok(()), ReceiptFile::flush)?;
                    this.journal.begin_upload(ticket, &item, *upload)
                });
                if written.is_some() {
                    // Gone only where the item's task is.
                    let _ = recorded.send(());
                }
            }
            Step::Uploaded { number, part, bytes } => {
                *self.in_parts.entry((item.source, item.position())).or_default() += bytes;
                self.keep(|this| this.journal.uploaded(&item, number, part));
            }
        }
    }

    /// Writes what is new: the receipts before the checkpoint that calls their objects done.
    fn flush(&mut self, now: Option<Instant>) -> Result<(), Error> {
        if let Some(receipt) = &mut self.receipt {
            receipt.flush()?;
        }
        self.journal.flush(now)
    }

    pub(super) fn on_tick(&mut self) -> Result<(), Error> {
        if !self.stop.is_cancelled() {
            self.feed.cut()?;
        }
        self.look_at_cost();
        self.keep(|this| this.flush(Some(Instant::now())));
        match self.syncer.is_due() {
            Ok(true) => {
                if let Some(file) = self.journal.take_unsynced() {
                    self.syncer.start(self.receipt.as_ref().map(ReceiptFile::file), file);
                }
            }
            Ok(false) => {}
            Err(error) => self.fail(self.journal.sync_failed(&error)),
        }
        self.show();
        Ok(())
    }

    /// Ends the run where it has cost what it may.
    fn look_at_cost(&mut self) {
        if !self.too_dear && self.meter.is_spent(&requests(&self.pacer)) {
            self.too_dear = true;
            self.stop.cancel();
        }
    }

    /// Whether an item of this price has to wait until others have told what they cost.
    fn has_to_wait_for(&self, price: Money) -> bool {
        !self.open.is_empty() && !self.meter.allows(&requests(&self.pacer), self.reserved + price)
    }

    fn show(&mut self) {
        let tally = &self.counts.tally;
        self.report.progress(&Progress {
            selected: self.counts.listed - self.counts.filtered,
            listed_all: self.feed.is_exhausted(),
            done: tally.done,
            skipped: tally.skipped(),
            failed: tally.failed,
            bytes: self.in_parts.values().fold(tally.bytes, |sum, bytes| sum.saturating_add(*bytes)),
            requested: tally.restores.values().sum(),
            waiting: self.op.waits().map(|_| self.waiting.now),
            in_flight: self.pacer.stats().in_flight(),
            resumed: self.resumed,
            estimated_cost_usd: self.spent(),
            draining: self.stop.is_cancelled(),
        });
    }

    /// Does a step that may fail for good: the first such failure drains the run, and after it
    /// nothing more is recorded, since what follows a lost record must not be.
    pub(super) fn keep<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Option<T> {
        if matches!(self.error, Some(Error::Checkpoint(_) | Error::Internal(_))) {
            return None;
        }
        step(self).map_err(|error| self.fail(error)).ok()
    }

    fn fail(&mut self, error: Error) {
        self.stop.cancel();
        // A record that is lost outweighs a server that is not to be worked with.
        let outweighs = matches!(self.error, None | Some(Error::Unworkable(_)));
        if self.error.is_none() || (outweighs && !matches!(error, Error::Unworkable(_))) {
            self.error = Some(error);
        }
    }
}

/// What was sent so far.
fn requests(pacer: &Pacer) -> Requests {
    Requests::counted(|operation| pacer.stats().requests(operation))
}
