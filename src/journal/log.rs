//! The one object through which a job records what it does.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::again::around;
use super::failures::{FailedItems, FailedLines};
use super::file::{FailureBytes, JournalFile};
use super::lock::Lock;
use super::record::{Close, Ending, Mark, OpenItem, Output, Plan, Record, Step};
use super::state::State;
use super::track::{Ticket, Track, number};
use crate::model::{Error, Item, Outcome, Position, Range, Sum, Sums, Tally, Upload, UploadedPart, now};

/// What one range of a listing has written since it was last recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrote {
    /// Index of the range.
    pub range: usize,
    /// Where it stands with it.
    pub at: Option<Position>,
    /// Whether that was the last of it.
    pub end: bool,
    /// How many objects.
    pub objects: u64,
    /// Their sizes, added up.
    pub bytes: u64,
}

impl Wrote {
    /// Takes in what the range has written since.
    pub fn add(&mut self, later: Self) {
        self.at = later.at.or(self.at.take());
        self.end |= later.end;
        self.objects += later.objects;
        self.bytes = self.bytes.saturating_add(later.bytes);
    }
}

/// The checkpoint of a running job.
#[derive(Debug)]
pub struct Journal {
    pub(super) state: State,
    /// The ranges of the pass that have not ended, by index.
    pub(super) tracks: BTreeMap<usize, Track>,
    next_track: usize,
    lines: Vec<u8>,
    failures: FailureBytes,
    file: Option<JournalFile>,
    resumed: Option<Tally>,
    /// The failures so far, of earlier runs: to be tried again up to this number.
    retry_until: u64,
    pub(super) looks_again: bool,
    _lock: Option<Lock>,
}

impl Journal {
    pub(super) fn new(state: State, file: Option<JournalFile>, lock: Option<Lock>) -> Self {
        let (tracks, lines) = (BTreeMap::new(), Vec::new());
        let failures = FailureBytes::default();
        Self {
            state,
            tracks,
            next_track: 0,
            lines,
            failures,
            file,
            resumed: None,
            retry_until: 0,
            looks_again: false,
            _lock: lock,
        }
    }

    pub(super) fn resumed_from(state: State, file: JournalFile, lock: Lock) -> Self {
        let mut journal = Self::new(state, Some(file), Some(lock));
        journal.resumed = Some(journal.state.totals.clone());
        journal.retry_until = journal.state.last_failure();
        journal
    }

    /// What earlier runs of this job finished; `None` if this is its first run.
    pub fn resumed(&self) -> Option<&Tally> {
        self.resumed.as_ref()
    }

    /// What all runs of the job finished, as far as it is recorded.
    #[cfg(test)]
    pub(super) fn totals(&self) -> &Tally {
        &self.state.totals
    }

    /// When the job was first started.
    pub fn started_at(&self) -> &str {
        &self.state.header.started_at
    }

    /// Whether ranges were planned: if so, [`Journal::track_recorded`] and [`Journal::open_items`]
    /// give the work that is left of their pass.
    pub fn is_planned(&self) -> bool {
        self.state.pass.is_some()
    }

    /// Failures of the job that still stand.
    pub fn failures_left(&self) -> u64 {
        self.state.failures_left()
    }

    /// The failures of earlier runs that are still to be tried again, as a range.
    pub fn failures_to_retry(&self) -> Option<Range> {
        let after = self.state.retried_to;
        (after < self.retry_until).then(|| Range::failures(after, self.retry_until))
    }

    /// The items that the run before left open.
    pub fn open_items(&self) -> Vec<Item> {
        self.state.open.values().map(Item::from).collect()
    }

    /// Items that the ranges of the recorded pass may yield though they are open or closed.
    pub fn known_items(&self) -> HashSet<(u32, Position)> {
        self.state.open.keys().chain(&self.state.ahead).cloned().collect()
    }

    /// Begins to track the unfinished ranges of the recorded pass; returns their indices.
    pub fn track_recorded(&mut self) -> Vec<usize> {
        let ranges: Vec<Range> = self.state.ranges.values().cloned().collect();
        ranges.into_iter().map(|range| self.track(range)).collect()
    }

    /// Begins the next pass, over these ranges; returns their indices.
    ///
    /// # Errors
    /// [`Error::Internal`] where the pass before is not finished.
    pub fn plan(&mut self, ranges: Vec<Range>) -> Result<Vec<usize>, Error> {
        let (rest, again) = (self.state.rest.clone(), self.state.again.values().cloned().collect());
        self.plan_pass(Plan { ranges, rest, again, ..Plan::default() })
    }

    pub(super) fn plan_pass(&mut self, plan: Plan) -> Result<Vec<usize>, Error> {
        let pass = self.state.pass.map_or(0, |pass| pass + 1);
        self.record(Record::Plan(Plan { pass, ..plan }))?;
        Ok(self.track_recorded())
    }

    /// Cuts a range at `cuts`, all of them behind what it has yielded; returns the new ones.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn split(&mut self, range: usize, cuts: Vec<Position>) -> Result<Vec<usize>, Error> {
        let track = self.track_of(range)?;
        let rest = track.split(&cuts);
        let id = track.range().id.clone();
        self.record(Record::Split { range: id, cuts })?;
        Ok(rest.into_iter().map(|range| self.track(range)).collect())
    }

    fn track(&mut self, range: Range) -> usize {
        let index = self.next_track;
        self.tracks.insert(index, Track::new(range, self.looks_again));
        self.next_track += 1;
        index
    }

    fn track_of(&mut self, index: usize) -> Result<&mut Track, Error> {
        self.tracks.get_mut(&index).ok_or_else(|| Error::Internal(format!("the range {index} has ended")))
    }

    /// The range with this index, as it stands.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn range(&mut self, index: usize) -> Result<&Range, Error> {
        self.track_of(index).map(|track| track.range())
    }

    /// An item of a range is handed out.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn emit(&mut self, range: usize, item: &Arc<Item>) -> Result<Ticket, Error> {
        Ok(Ticket::InRange { range, seq: self.track_of(range)?.emit(Arc::clone(item)) })
    }

    /// There is nothing in a range up to `position` but what was handed out.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn passed(&mut self, range: usize, position: Position) -> Result<(), Error> {
        self.track_of(range).map(|track| track.passed(position))
    }

    /// The items of a range come in no order: only what is [passed](Self::passed) is marked.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn unordered(&mut self, range: usize) -> Result<(), Error> {
        self.track_of(range).map(Track::unordered)
    }

    /// A range has no more items.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn exhausted(&mut self, range: usize) -> Result<(), Error> {
        self.track_of(range).map(Track::exhausted)
    }

    /// No range has more items.
    pub fn exhaust_all(&mut self) {
        self.tracks.values_mut().for_each(Track::exhausted);
    }

    /// Objects that all runs of the job began to work on, as far as it is recorded.
    pub fn begun(&self) -> u64 {
        let totals = &self.state.totals;
        let ended = totals.settled().saturating_add(totals.waiting).saturating_add(self.state.failures_left());
        ended.saturating_add(self.state.open.len() as u64)
    }

    /// What a listing's ranges found is in its output, which has `length` bytes with it where it is a
    /// file; `sums` is what it adds up.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn wrote(&mut self, length: Option<u64>, ranges: Vec<Wrote>, sums: Vec<Sum>) -> Result<(), Error> {
        let mut marks = Vec::with_capacity(ranges.len());
        for Wrote { range, at, end, objects, bytes } in ranges {
            let track = self.track_of(range)?;
            track.wrote(at.as_ref());
            let tally = Tally { done: objects, bytes, ..Tally::default() };
            let Range { id, at, .. } = track.range().clone();
            marks.push(Mark { range: id, at, end, tally, open: Vec::new(), failures: Vec::new(), again: Vec::new() });
            if end {
                self.tracks.remove(&range);
            }
        }
        self.record(Record::Output(Output { length, marks, sums }))
    }

    /// The length of the listing's output that is recorded, in bytes.
    pub fn output_length(&self) -> Option<u64> {
        self.state.output
    }

    /// What the listing has added up.
    pub fn sums(&self) -> &Sums {
        &self.state.sums
    }

    /// An upload begins for an item: from here on it is recorded as open, with the upload, which
    /// takes the place of one that was begun before. On its way to the file when this returns.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn begin_upload(&mut self, ticket: Ticket, item: &Item, upload: Upload) -> Result<(), Error> {
        let open = OpenItem { upload: Some(Box::new(upload)), ..OpenItem::from(item) };
        self.record(Record::Open(open))?;
        if let Ticket::InRange { range, seq } = ticket
            && let Some(track) = self.tracks.get_mut(&range)
        {
            track.park(seq);
        }
        self.flush(Some(Instant::now()))
    }

    /// The upload of an item has one part more. An item that is closed meanwhile needs no record.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it cannot be recorded.
    pub fn uploaded(&mut self, item: &Item, part: u16, uploaded: UploadedPart) -> Result<(), Error> {
        let (source, at) = (item.source, item.position());
        match self.state.open.get(&(source, at.clone())) {
            Some(open) if open.upload.is_some() => self.record(Record::Step(Step { source, at, part, uploaded })),
            _ => Ok(()),
        }
    }

    /// Whether an interrupted run leaves a file behind that names its uploads.
    pub fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// An item came to its end. (One that stays to be done came to none: it is not told here.)
    ///
    /// # Errors
    /// [`Error::Internal`] for an item that was not handed out.
    pub fn finish(&mut self, ticket: Ticket, item: &Item, outcome: Outcome) -> Result<(), Error> {
        let parked = match ticket {
            Ticket::InRange { range, seq } => match self.tracks.get_mut(&range) {
                Some(track) => track.finish(seq, outcome),
                None => Some(outcome),
            },
            Ticket::Reopened => Some(outcome),
        };
        let Some(outcome) = parked else { return Ok(()) };
        let mut tally = Tally::default();
        tally.count(&outcome);
        let failure = match outcome {
            Outcome::Failed(failure) => {
                let mut n = self.state.next_failure;
                Some(Box::new(number(&mut n, item.source, *failure)))
            }
            _ => None,
        };
        // One that an earlier run left open is in no range of this one.
        let is_apart = matches!(ticket, Ticket::Reopened) && self.looks_again && tally.waiting > 0;
        let again = is_apart.then(|| around(item));
        self.record(Record::Close(Close { source: item.source, at: item.position(), tally, failure, again }))
    }

    /// Moves the watermarks and writes what is new. At the end of a run (`now` is `None`) all that
    /// is finished is recorded at once.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn flush(&mut self, now: Option<Instant>) -> Result<(), Error> {
        let mut next_failure = self.state.next_failure;
        let advance = |track: &mut Track| track.advance(now, &mut next_failure);
        let marks: Vec<Mark> = self.tracks.values_mut().filter_map(advance).collect();
        for mark in marks {
            self.record(Record::Mark(mark))?;
        }
        self.tracks.retain(|_, track| !track.is_ended());
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.lines.is_empty() {
            return Ok(());
        }
        file.append(&self.lines, std::mem::take(&mut self.failures), &self.state)?;
        self.lines.clear();
        Ok(())
    }

    /// A handle that is to be synced to disk, if something was written since the last one.
    pub fn take_unsynced(&mut self) -> Option<Arc<File>> {
        self.file.as_mut().and_then(JournalFile::take_unsynced)
    }

    /// The error for a sync that failed.
    pub fn sync_failed(&self, error: &io::Error) -> Error {
        match &self.file {
            Some(file) => file.broken(error),
            None => Error::Internal(error.to_string()),
        }
    }

    /// Records all that is finished, and that the job is over, and waits until it is on disk.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn close(&mut self, ending: Option<Ending>) -> Result<(), Error> {
        if let Some(status) = ending {
            self.flush(None)?;
            self.record(Record::End { status, at: now() })?;
        }
        self.flush(None)?;
        match self.take_unsynced() {
            Some(file) => file.sync_data().map_err(|error| self.sync_failed(&error)),
            None => Ok(()),
        }
    }

    /// The failures that still stand, or those of one range of them.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be read.
    pub fn failures(&mut self, range: Option<&Range>) -> Result<FailedItems, Error> {
        self.flush(Some(Instant::now()))?;
        let Some(file) = &self.file else { return Ok(FailedItems(None)) };
        let mut lines: FailedLines = file.failed_lines(&self.state)?;
        if let Some(range) = range {
            lines.narrow(range);
        }
        Ok(FailedItems(Some(lines)))
    }

    pub(super) fn record(&mut self, record: Record) -> Result<(), Error> {
        self.state.apply(&record).map_err(Error::Internal)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let before = self.lines.len();
        file.encode(&record, &mut self.lines)?;
        let failures = match &record {
            Record::Mark(mark) => mark.failures.len(),
            Record::Close(close) => usize::from(close.failure.is_some()),
            _ => 0,
        };
        // A line's bytes are shared among its failures.
        (0..failures).for_each(|_| self.failures.add((self.lines.len() - before) / failures));
        Ok(())
    }
}
