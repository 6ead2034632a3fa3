//! The loop of a listing: what the sources yield is written out, a batch at a time. The checkpoint
//! says that something is listed when it is in the output, and on disk if that is a file.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::MissedTickBehavior;

use super::chunk::{Chunk, Renderer};
use super::feed::{Feed, Heard};
use super::in_order::{InOrder, Next};
use super::writer::{Batch, Done, DoneOr, Told, WriteError, Written, start_writer};
use super::{Finished, Stop, unlistable};
use crate::journal::{Ending, Journal, Wrote};
use crate::model::{Class, Error, Position, Sums};
use crate::pace::Pacer;
use crate::report::{Format, Output, Progress, Report, Status, Summary};
use crate::source::{Manifest, Order, Source, Yield};

/// How often what waits is written, and the ranges are looked at.
const TICK: Duration = Duration::from_millis(25);

/// Bytes of lines that are written at once.
const BATCH: usize = 256 << 10;

/// Pages of the parts that ranges are cut into where lines come in order: smaller ones would cost more
/// requests.
const PART: u32 = 8;

/// Ranges that are listed at once at most where lines come in order: the lines of [`PART`] pages of
/// each, some 20 MB, may be in memory.
const IN_ORDER: usize = 16;

/// How long an output that takes nothing is waited for when the run is to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// A listing that is ready to run.
#[derive(Debug)]
pub struct Listing {
    /// What is listed.
    pub sources: Vec<Source>,
    /// What gives the objects, in place of listings.
    pub manifest: Option<Arc<Manifest>>,
    /// Objects that the job lists at most, in all its runs.
    pub objects: Option<u64>,
    /// The checkpoint, open.
    pub journal: Journal,
    /// Where the checkpoint is kept.
    pub checkpoint: Option<PathBuf>,
    /// Where lines are written, if they are.
    pub output: Option<Output>,
    /// How the lines look.
    pub format: Format,
    /// Whether they come in byte order.
    pub ordered: bool,
    /// Folders are told apart to this depth, if anything is added up.
    pub depth: Option<usize>,
    /// What the user sees.
    pub report: Report,
    /// The gate of all requests.
    pub pacer: Arc<Pacer>,
    /// Ranges that are listed at once.
    pub concurrency: usize,
    /// How it is asked to end.
    pub stop: Stop,
}

/// How a listing ended.
#[derive(Debug)]
pub struct Listed {
    /// As every run.
    pub finished: Finished,
    /// What all runs of the job added up.
    pub sums: Sums,
    /// Nobody reads what it writes any more.
    pub closed: bool,
}

impl Listing {
    /// Lists to the end, or until it is asked to stop or cannot go on.
    ///
    /// # Cancellation
    /// Dropping it is like a kill: the checkpoint holds what was on disk some 100 ms ago.
    pub async fn run(mut self) -> Listed {
        let started = Instant::now();
        let mut summary = Summary::new("list", self.journal.started_at().to_owned());
        summary.checkpoint.clone_from(&self.checkpoint);
        let (stop, pacer, output) = (self.stop.clone(), Arc::clone(&self.pacer), self.output.take());
        let (batches, written) = start_writer(output, self.checkpoint.is_some());
        let mut run = Run::new(self, batches);
        let worked = run.pass(written).await;
        let error = run.close(worked);
        let interrupted = stop.was_asked() && !run.is_over();
        let signal = stop.signal().filter(|_| interrupted);
        summary.status = match (&error, interrupted) {
            (Some(_), _) => Status::Failed,
            (None, true) => Status::Interrupted,
            (None, false) => Status::Complete,
        };
        run.count(&mut summary);
        summary.resumed = run.resumed;
        summary.take_requests(&pacer);
        summary.elapsed_s = started.elapsed().as_secs_f64();
        summary.error = error.as_ref().map(Error::to_string);
        Listed { finished: Finished { summary, signal, error }, sums: run.journal.sums().clone(), closed: run.closed }
    }
}

/// The state of a run.
struct Run {
    feed: Feed,
    journal: Journal,
    report: Report,
    pacer: Arc<Pacer>,
    stop: Stop,
    renderer: Renderer,
    /// What holds the lines back whose turn has not come, where they come in order.
    in_order: Option<InOrder<Chunk>>,
    /// The ranges that come in no order, and their last pages.
    unordered: HashMap<usize, Option<Chunk>>,
    /// Ranges that are not exhausted.
    left: BTreeSet<usize>,
    /// Objects that may still be listed, where that is limited.
    room: Option<u64>,
    batch: Batch,
    batches: Option<Sender<Told>>,
    listed: u64,
    filtered: u64,
    vanished: u64,
    done: u64,
    bytes: u64,
    resumed: u64,
    /// All that was listed is recorded.
    synced: bool,
    /// The output is whole.
    completed: bool,
    /// Nobody reads the output any more.
    closed: bool,
}

impl Run {
    fn new(listing: Listing, batches: Sender<Told>) -> Self {
        let (order, concurrency) = match (listing.ordered, listing.objects) {
            // The first of them are wanted: they come one page after another.
            (true, Some(_)) => (Order::First(PART), 1),
            (true, None) => (Order::First(PART), listing.concurrency.min(IN_ORDER)),
            (false, _) => (Order::Largest, listing.concurrency),
        };
        let resumed = listing.journal.resumed().map_or(0, |tally| tally.done);
        Self {
            renderer: Renderer::new(&listing.sources, listing.format, listing.depth),
            feed: Feed::new(listing.sources, listing.manifest, concurrency, order),
            left: BTreeSet::new(),
            room: listing.objects.map(|most| most.saturating_sub(resumed)),
            resumed,
            journal: listing.journal,
            report: listing.report,
            pacer: listing.pacer,
            stop: listing.stop,
            in_order: listing.ordered.then(InOrder::default),
            unordered: HashMap::new(),
            batch: Batch::default(),
            batches: Some(batches),
            listed: 0,
            filtered: 0,
            vanished: 0,
            done: 0,
            bytes: 0,
            synced: false,
            completed: false,
            closed: false,
        }
    }

    /// Lists and writes, until all is written or the run is to end; then the writer has ended, too.
    async fn pass(&mut self, mut written: Receiver<DoneOr>) -> Result<(), Error> {
        let listed = self.list(&mut written).await;
        self.feed.end().await;
        let whole = listed.is_ok() && !self.closed && self.feed.is_exhausted() && self.batch.is_empty();
        let ended = self.end(written, whole).await;
        listed.and(ended)?;
        if self.stop.token.is_cancelled() || self.completed || self.closed {
            return Ok(());
        }
        Err(Error::Internal("the output was not written to its end".to_owned()))
    }

    async fn list(&mut self, written: &mut Receiver<DoneOr>) -> Result<(), Error> {
        let ranges = if self.journal.is_planned() {
            self.journal.track_recorded()
        } else {
            self.journal.plan(self.feed.whole())?
        };
        if self.journal.output_length().is_none() {
            self.batch.lines = self.renderer.header()?;
        }
        self.hold_back(&ranges)?;
        self.feed.plan(&mut self.journal, ranges)?;
        self.release();
        if self.room == Some(0) {
            self.cease();
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = false;
        loop {
            let stopping = self.stop.token.is_cancelled();
            if !stopping {
                let held = self.in_order.as_ref().map_or(0, InOrder::waiting);
                self.feed.begin_listers(&mut self.journal, held)?;
            }
            let over = self.feed.is_exhausted();
            if over && self.batch.is_empty() || stopping || self.closed {
                return Ok(());
            }
            let full = self.batch.lines.len() >= BATCH;
            let batches = self.batches.clone();
            let permit = async move { batches?.reserve_owned().await.ok() };
            // Every arm is cancel-safe: a dropped branch has taken nothing.
            tokio::select! {
                biased;
                () = self.stop.token.cancelled() => {}
                _ = tick.tick() => {
                    due = true;
                    self.feed.cut()?;
                    self.show();
                }
                done = written.recv() => match done {
                    Some(done) => self.on_done(done)?,
                    None => return Ok(()),
                },
                Some(permit) = permit, if !self.batch.is_empty() && (full || due || over) => {
                    due = false;
                    permit.send(Told::Write(std::mem::take(&mut self.batch)));
                    self.release();
                }
                Some(heard) = self.feed.next(!full) => self.on_heard(heard)?,
            }
        }
    }

    fn hold_back(&mut self, ranges: &[usize]) -> Result<(), Error> {
        self.left.extend(ranges);
        if let Some(in_order) = &mut self.in_order {
            for range in ranges {
                in_order.begin(self.journal.range(*range)?.id.clone(), *range);
            }
        }
        Ok(())
    }

    /// Lets the writer end. What is `whole` is recorded, and then takes its name. An output that takes
    /// nothing is not waited for once the run is to end.
    async fn end(&mut self, mut written: Receiver<DoneOr>, whole: bool) -> Result<(), Error> {
        let stop = self.stop.token.clone();
        let batches = self.batches.take().filter(|_| whole);
        let ended = async {
            if let Some(batches) = batches {
                self.tell(&batches, Told::Sync, &mut written).await?;
                self.tell(&batches, Told::Complete, &mut written).await?;
            }
            while let Some(done) = written.recv().await {
                self.on_done(done)?;
            }
            Ok(())
        };
        tokio::select! {
            ended = ended => ended,
            () = async { stop.cancelled().await; tokio::time::sleep(PATIENCE).await } => Ok(()),
        }
    }

    /// Tells the writer something, and hears it until that is done.
    async fn tell(&mut self, batches: &Sender<Told>, what: Told, written: &mut Receiver<DoneOr>) -> Result<(), Error> {
        let is_complete = matches!(what, Told::Complete);
        let hear = async {
            while let Some(done) = written.recv().await {
                self.on_done(done)?;
                if self.closed || if is_complete { self.completed } else { self.synced } {
                    break;
                }
            }
            Ok(())
        };
        // Both at once: either may wait for the other. The writer is gone only where it has failed.
        tokio::join!(batches.send(what), hear).1
    }

    /// Records what was written.
    fn on_done(&mut self, done: DoneOr) -> Result<(), Error> {
        match done {
            Ok(Done::Written(Written { length, ranges, sums })) => {
                for wrote in &ranges {
                    self.done += wrote.objects;
                    self.bytes = self.bytes.saturating_add(wrote.bytes);
                }
                self.journal.wrote(length, ranges, sums)?;
                self.journal.flush(Some(Instant::now()))
            }
            Ok(Done::Synced) => {
                self.synced = true;
                self.sync_journal()
            }
            Ok(Done::Complete) => {
                self.completed = true;
                Ok(())
            }
            Err(WriteError::Closed) => {
                self.closed = true;
                Ok(())
            }
            Err(WriteError::Broken(error)) => Err(error),
        }
    }

    /// All that is listed is on disk: so must be the word of it, before the output takes its name.
    fn sync_journal(&mut self) -> Result<(), Error> {
        match self.journal.take_unsynced() {
            Some(file) => file.sync_data().map_err(|error| self.journal.sync_failed(&error)),
            None => Ok(()),
        }
    }

    fn on_heard(&mut self, heard: Heard) -> Result<(), Error> {
        match heard {
            Heard::Yield(yielded) => self.on_yield(yielded),
            Heard::Ended(ended) => ended.map_err(|error| Error::Internal(format!("a lister ended badly: {error}"))),
        }
    }

    fn on_yield(&mut self, yielded: Yield) -> Result<(), Error> {
        match yielded {
            Yield::Items { range, mut items, filtered, mut through } => {
                self.feed.begun(range, items.len());
                if let Some(room) = &mut self.room {
                    let fits = usize::try_from(*room).unwrap_or(usize::MAX);
                    through = through.filter(|_| items.len() <= fits);
                    items.truncate(fits);
                    *room -= items.len() as u64;
                }
                self.listed += items.len() as u64 + filtered;
                self.filtered += filtered;
                let (mut chunk, gone) = self.renderer.chunk(range, items, through)?;
                self.vanished += gone;
                match (&mut self.in_order, self.unordered.get_mut(&range)) {
                    (Some(in_order), _) => {
                        chunk.lines.shrink_to_fit();
                        if !in_order.hold(range, chunk) {
                            return Err(Error::Internal(format!("nobody waits for the range {range}")));
                        }
                        self.release();
                    }
                    // Where it stands with its last page is at its end: the two are one step.
                    (None, Some(last)) if chunk.at.as_ref().is_none_or(Position::is_ordered) => *last = Some(chunk),
                    (None, _) => self.write(chunk),
                }
                if self.room == Some(0) {
                    self.cease();
                }
            }
            Yield::Refused { lines, .. } => {
                if let Some((_, failure)) = lines.first() {
                    let why = format!("the manifest cannot be listed: {}: {}", failure.code, failure.message);
                    return Err(if failure.is_of_line() { Error::Usage(why) } else { Error::Unworkable(why) });
                }
            }
            Yield::Split { range, cuts } => {
                let ranges = self.journal.split(range, cuts)?;
                self.hold_back(&ranges)?;
                self.feed.on_split(&mut self.journal, ranges)?;
            }
            Yield::Unordered { .. } if self.in_order.is_some() => {
                return Err(Error::Unworkable(
                    "this store does not list its keys in byte order: leave --ordered out".to_owned(),
                ));
            }
            Yield::Unordered { range } => drop(self.unordered.insert(range, None)),
            Yield::Exhausted { range } => {
                self.feed.on_exhausted(range);
                self.on_end(range);
            }
            Yield::Broken { error, .. } if error.class == Class::Interrupted => {}
            Yield::Broken { what, error } => return Err(unlistable(&what, &error)),
        }
        Ok(())
    }

    /// A range has no more.
    fn on_end(&mut self, range: usize) {
        self.left.remove(&range);
        if let Some(Some(last)) = self.unordered.remove(&range) {
            self.write(Chunk { at: None, ..last });
        }
        match &mut self.in_order {
            Some(in_order) => {
                in_order.exhausted(range);
                self.release();
            }
            None => self.batch.range(range).end = true,
        }
    }

    /// As many objects as may be are listed: all ranges end here.
    fn cease(&mut self) {
        self.feed.cease();
        while let Some(range) = self.left.pop_first() {
            self.on_end(range);
        }
    }

    fn write(&mut self, mut chunk: Chunk) {
        self.batch.lines.extend_from_slice(&chunk.lines);
        self.batch.sums.extend(&chunk.sums.take());
        let Chunk { range, at, objects, bytes, .. } = chunk;
        self.batch.range(range).add(Wrote { range, at, end: false, objects, bytes });
    }

    /// Writes what has come to its turn.
    fn release(&mut self) {
        // What is held back is in memory once.
        while self.batch.lines.len() < BATCH
            && let Some(next) = self.in_order.as_mut().and_then(InOrder::next)
        {
            match next {
                Next::Turn(range) => self.feed.put_first(range),
                Next::Chunk(chunk) => self.write(chunk),
                Next::End(range) => self.batch.range(range).end = true,
            }
        }
    }

    fn show(&mut self) {
        self.report.progress(&Progress {
            selected: self.listed - self.filtered,
            listed_all: self.feed.is_exhausted(),
            done: self.done,
            bytes: self.bytes,
            in_flight: self.pacer.stats().in_flight(),
            resumed: self.resumed,
            draining: self.stop.token.is_cancelled(),
            ..Progress::default()
        });
    }

    /// Whether all is listed and written.
    fn is_over(&self) -> bool {
        self.completed && !self.closed
    }

    /// Ends the run. Gives back the fault that ended it, if one did.
    fn close(&mut self, worked: Result<(), Error>) -> Option<Error> {
        self.report.finish();
        let closed = match &worked {
            Ok(()) | Err(Error::Unworkable(_)) => {
                self.journal.close((worked.is_ok() && self.is_over()).then_some(Ending::Complete))
            }
            // What follows a lost record must not be recorded.
            Err(_) => Ok(()),
        };
        worked.err().or(closed.err())
    }

    fn count(&self, summary: &mut Summary) {
        summary.listed = self.listed;
        summary.filtered = self.filtered;
        summary.selected = self.listed - self.filtered;
        summary.skipped = self.vanished;
        summary.done = self.done;
        summary.bytes = self.bytes;
        summary.pending = summary.selected.saturating_sub(summary.done + summary.skipped);
        summary.probes = self.feed.probes();
    }
}
