//! The one object through which a job records what it does.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::JobIdentity;
use super::failures::{FailedItems, FailedLines};
use super::file::{FailureBytes, JournalFile, Recovered, recover, write_line};
use super::lock::Lock;
use super::record::{Close, Ending, FORMAT, Header, Record};
use super::state::State;
use super::track::{Ticket, Track, number};
use crate::model::{Error, Item, Outcome, Position, Range, Tally, now};

/// What a run wants of the checkpoint that it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Resume a job that was interrupted; start a new one where there is none or it is over.
    #[default]
    ResumeOrStart,
    /// Start a new job, whatever there is.
    Restart,
    /// Only what failed in the last run that reached its end.
    RetryFailed,
}

/// Where the checkpoint is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this folder, under a name made from the job.
    In(PathBuf),
    /// In this file.
    At(PathBuf),
    /// Nowhere.
    Nowhere,
}

impl Place {
    /// The checkpoint file of `job`.
    pub fn path(&self, job: &JobIdentity) -> Option<PathBuf> {
        match self {
            Self::In(folder) => Some(folder.join(job.file_name())),
            Self::At(path) => Some(path.clone()),
            Self::Nowhere => None,
        }
    }
}

/// The checkpoint of a running job.
#[derive(Debug)]
pub struct Journal {
    state: State,
    tracks: Vec<Track>,
    lines: Vec<u8>,
    failures: FailureBytes,
    file: Option<JournalFile>,
    resumed: Option<Tally>,
    /// The failures so far, of earlier runs: to be tried again up to this number.
    retry_until: u64,
    _lock: Option<Lock>,
}

/// A checkpoint that is ours, and not written to yet.
#[derive(Debug)]
pub struct Claim {
    header: Header,
    file: Option<(PathBuf, Lock)>,
    resume: Option<(State, u64)>,
}

impl Claim {
    /// Takes the checkpoint of `job` for this process, and reads it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is another job's, held, damaged or newer; [`Error::Usage`]
    /// where `mode` asks for the failures of a run that did not end.
    pub fn new(job: JobIdentity, place: &Place, mode: Mode) -> Result<Self, Error> {
        let header = Header { format: FORMAT, started_at: now(), job };
        let Some(path) = place.path(&header.job) else {
            return Ok(Self { header, file: None, resume: None });
        };
        if let Place::In(folder) = place {
            make_folder(folder)?;
        }
        // Through a link, so that all names of one file have one lock.
        let path = path.canonicalize().unwrap_or(path);
        let lock = Lock::take(&path)?;
        let found = match (recover(&path), mode) {
            // A damaged checkpoint of ours may be started afresh, another's file may not.
            (Err(_), Mode::Restart) if is_ours(&path) => Recovered { state: None, length: 0 },
            (found, _) => found?,
        };
        let file = Some((path, lock));
        let resume = match found.state.filter(|_| mode != Mode::Restart) {
            Some(state) if state.header.job != header.job => return Err(another_job(&file, &state.header.job)),
            Some(state) => resumable(mode, &state)?.then_some((state, found.length)),
            None if mode == Mode::RetryFailed => return Err(Error::Usage(NO_LAST_RUN.to_owned())),
            None => None,
        };
        Ok(Self { header, file, resume })
    }

    /// Whether a run that was interrupted goes on.
    pub fn is_resumed(&self) -> bool {
        self.resume.is_some()
    }

    /// Begins to record: a new job replaces what an ended one left.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn begin(self) -> Result<Journal, Error> {
        let Some((path, lock)) = self.file else {
            return Ok(Journal::new(State::new(self.header), None, None));
        };
        let Some((state, length)) = self.resume else {
            return Journal::start(&path, self.header, lock);
        };
        let file = JournalFile::reopen(&path, &state, length)?;
        let mut journal = Journal::new(state, Some(file), Some(lock));
        journal.resumed = Some(journal.state.totals.clone());
        journal.retry_until = journal.state.last_failure();
        Ok(journal)
    }
}

const NO_LAST_RUN: &str = "there is no last run of this job whose failures could be tried again";

const NOT_ENDED: &str = "the last run of this job was interrupted: run the same command without --retry-failed to resume \
                         it (its failures are tried again at its end)";

/// Whether the job goes on, rather than being over.
fn resumable(mode: Mode, state: &State) -> Result<bool, Error> {
    let over = state.ended.is_some();
    // In a later pass than the first, nothing but failures is left.
    let first_pass = state.pass.is_none_or(|pass| pass == 0);
    match mode {
        Mode::RetryFailed if !over && first_pass => Err(Error::Usage(NOT_ENDED.to_owned())),
        Mode::RetryFailed => Ok(true),
        Mode::ResumeOrStart | Mode::Restart => Ok(!over),
    }
}

impl Journal {
    /// Opens the checkpoint of `job`, or starts one: a [`Claim`] that begins at once.
    ///
    /// # Errors
    /// Those of [`Claim::new`] and [`Claim::begin`].
    pub fn open(job: JobIdentity, place: &Place, mode: Mode) -> Result<Self, Error> {
        Claim::new(job, place, mode)?.begin()
    }

    fn start(path: &Path, header: Header, lock: Lock) -> Result<Self, Error> {
        let state = State::new(header);
        let file = JournalFile::create(path, &state)?;
        Ok(Self::new(state, Some(file), Some(lock)))
    }

    fn new(state: State, file: Option<JournalFile>, lock: Option<Lock>) -> Self {
        let (tracks, lines) = (Vec::new(), Vec::new());
        let failures = FailureBytes::default();
        Self { state, tracks, lines, failures, file, resumed: None, retry_until: 0, _lock: lock }
    }

    /// What earlier runs of this job finished; `None` if this is its first run.
    pub fn resumed(&self) -> Option<&Tally> {
        self.resumed.as_ref()
    }

    /// What all runs of the job finished, as far as it is recorded.
    pub fn totals(&self) -> &Tally {
        &self.state.totals
    }

    /// When the job was first started.
    pub fn started_at(&self) -> &str {
        &self.state.header.started_at
    }

    /// Whether ranges were planned: if so, [`Journal::ranges`] and [`Journal::open_items`] are the
    /// work that is left of their pass.
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
        let pass = self.state.pass.map_or(0, |pass| pass + 1);
        self.record(Record::Plan { pass, ranges })?;
        Ok(self.track_recorded())
    }

    /// Cuts a range at `cuts`, all of them behind what it has yielded; returns the new ones.
    ///
    /// # Errors
    /// [`Error::Internal`] for a range that is finished.
    pub fn split(&mut self, range: usize, cuts: Vec<Position>) -> Result<Vec<usize>, Error> {
        let rest = self.tracks[range].split(&cuts);
        let id = self.tracks[range].range().id.clone();
        self.record(Record::Split { range: id, cuts })?;
        Ok(rest.into_iter().map(|range| self.track(range)).collect())
    }

    fn track(&mut self, range: Range) -> usize {
        self.tracks.push(Track::new(range));
        self.tracks.len() - 1
    }

    /// The range with this index, as it stands.
    pub fn range(&self, index: usize) -> &Range {
        self.tracks[index].range()
    }

    /// An item of a range is handed out.
    pub fn emit(&mut self, range: usize, item: &Arc<Item>) -> Ticket {
        Ticket::InRange { range, seq: self.tracks[range].emit(Arc::clone(item)) }
    }

    /// A range has no more items.
    pub fn exhausted(&mut self, range: usize) {
        self.tracks[range].exhausted();
    }

    /// An item came to its end. (One that stays to be done came to none: it is not told here.)
    ///
    /// # Errors
    /// [`Error::Internal`] for an item that was not handed out.
    pub fn finish(&mut self, ticket: Ticket, item: &Item, outcome: Outcome) -> Result<(), Error> {
        let parked = match ticket {
            Ticket::InRange { range, seq } => self.tracks[range].finish(seq, outcome),
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
        self.record(Record::Close(Close { source: item.source, at: item.position(), tally, failure }))
    }

    /// Moves the watermarks and writes what is new. At the end of a run (`now` is `None`) all that
    /// is finished is recorded at once.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn flush(&mut self, now: Option<Instant>) -> Result<(), Error> {
        for index in 0..self.tracks.len() {
            let mut next_failure = self.state.next_failure;
            if let Some(mark) = self.tracks[index].advance(now, &mut next_failure) {
                self.record(Record::Mark(mark))?;
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.lines.is_empty() {
            return Ok(());
        }
        file.append(&self.lines, std::mem::take(&mut self.failures), &self.state)?;
        self.lines.clear();
        Ok(())
    }

    /// A handle that is to be synced to disk, if something was written since the last one.
    pub fn to_sync(&mut self) -> Option<Arc<File>> {
        self.file.as_mut().and_then(JournalFile::to_sync)
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
        match self.to_sync() {
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

    fn record(&mut self, record: Record) -> Result<(), Error> {
        self.state.apply(&record).map_err(Error::Internal)?;
        if self.file.is_none() {
            return Ok(());
        }
        let before = self.lines.len();
        write_line(&mut self.lines, &record).map_err(|error| Error::Internal(error.to_string()))?;
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

fn make_folder(folder: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        let folder = folder.display();
        Error::Checkpoint(format!(
            "the folder for checkpoints {folder} cannot be made: {error}; name another place with --checkpoint FILE, or \
             give --no-checkpoint"
        ))
    })
}

fn is_ours(path: &Path) -> bool {
    let mut start = [0; 10];
    File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut start)).is_ok()
        && start == *br#"{"t":"job""#
}

fn another_job(file: &Option<(PathBuf, Lock)>, job: &JobIdentity) -> Error {
    let path = file.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
    Error::Checkpoint(format!(
        "the checkpoint {path} is another job's ({} {} {}): name another file, or give --restart to give that job up",
        job.verb,
        job.sources.join(" "),
        job.dest
    ))
}
