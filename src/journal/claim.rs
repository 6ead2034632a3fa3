//! Whose checkpoint it is, and whether it goes on or begins anew.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::file::{JournalFile, Recovered, is_ours, recover, refuse_foreign};
use super::lock::Lock;
use super::record::{FORMAT, Header, Phase};
use super::state::State;
use super::{JobIdentity, Journal, ManifestPrint};
use crate::model::{Error, Item, now};

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

/// A checkpoint that is ours, and not written to yet.
#[derive(Debug)]
pub struct Claim {
    header: Header,
    file: Option<(PathBuf, Lock)>,
    resume: Option<(State, u64)>,
    /// Items with uploads of a job that is given up.
    abandoned: Vec<Item>,
    /// When the job was first started whose last run did not reach its end, and when that run last
    /// recorded anything.
    unfinished: Option<(i64, i64)>,
}

impl Claim {
    /// Takes the checkpoint of `job` for this process, and reads it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where it is another job's, held, damaged or newer; [`Error::Usage`]
    /// where `mode` asks for the failures of a run that did not end.
    pub fn new(job: JobIdentity, place: &Place, mode: Mode) -> Result<Self, Error> {
        let header = Header { format: FORMAT, started_at: now(), job, manifest: None };
        let Some(path) = place.path(&header.job) else {
            return Ok(Self { header, file: None, resume: None, abandoned: Vec::new(), unfinished: None });
        };
        if let Place::In(folder) = place {
            make_folder(folder)?;
        }
        // Through a link, so that all names of one file have one lock.
        let path = path.canonicalize().unwrap_or(path);
        refuse_foreign(&path)?;
        let lock = Lock::take(&path)?;
        let found = match (recover(&path), mode) {
            // A damaged checkpoint of ours may be started afresh, another's file may not.
            (Err(_), Mode::Restart) if is_ours(&path) => Recovered { state: None, length: 0 },
            (found, _) => found?,
        };
        let recorded = fs::metadata(&path).and_then(|found| found.modified()).ok();
        let recorded =
            recorded.and_then(|time| jiff::Timestamp::try_from(time).ok()).map_or(i64::MAX, jiff::Timestamp::as_second);
        let file = Some((path, lock));
        let unfinished = found.state.iter().find(|state| state.ended.is_none());
        let times = unfinished.map(|state| (seconds(&state.header), recorded));
        let mut abandoned = Vec::new();
        if let Some(state) = unfinished.filter(|_| mode == Mode::Restart) {
            if state.header.job == header.job {
                abandoned = state.uploads().collect();
            } else if state.uploads().next().is_some() {
                tracing::warn!("the job that is given up has left uploads at {}", state.header.job.dest);
            }
        }
        let resume = match found.state.filter(|_| mode != Mode::Restart) {
            Some(state) if state.header.job != header.job => return Err(another_job(&file, &state.header.job)),
            Some(state) => resumable(mode, &state)?.then_some((state, found.length)),
            None if mode == Mode::RetryFailed => return Err(Error::Usage(NO_LAST_RUN.to_owned())),
            None => None,
        };
        Ok(Self { header, file, resume, abandoned, unfinished: times })
    }

    /// The objects are those of a manifest.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where a run goes on in a manifest that was changed, or cannot be read again.
    pub fn with_manifest(mut self, print: ManifestPrint) -> Result<Self, Error> {
        let goes_on = |state: &State| state.pass.is_none() || !state.ranges.is_empty();
        if let Some((state, _)) = self.resume.as_ref().filter(|(state, _)| goes_on(state)) {
            print.check(state.header.manifest.as_ref()).map_err(Error::Checkpoint)?;
        }
        self.header.manifest = Some(print);
        Ok(self)
    }

    /// Whether a run that was interrupted goes on.
    pub fn is_resumed(&self) -> bool {
        self.resume.is_some()
    }

    /// When the job was first started: seconds since 1970.
    pub fn started_at(&self) -> i64 {
        seconds(self.resume.as_ref().map_or(&self.header, |(state, _)| &state.header))
    }

    /// Whether an interrupted listing had written all that there is.
    pub fn is_all_written(&self) -> bool {
        self.resume.as_ref().is_some_and(|(state, _)| state.pass.is_some() && state.ranges.is_empty())
    }

    /// The length that the output of an interrupted listing is recorded to have, in bytes.
    pub fn output_length(&self) -> Option<u64> {
        self.resume.as_ref().and_then(|(state, _)| state.output)
    }

    /// When the job was first started whose last run did not reach its end, and when that run last
    /// recorded anything: it may have begun uploads that nobody knows. Seconds since 1970.
    pub fn unfinished(&self) -> Option<(i64, i64)> {
        self.unfinished
    }

    /// Items of a job that is given up, with uploads that nothing will name any more.
    pub fn abandoned(&self) -> &[Item] {
        &self.abandoned
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
            let state = State::new(self.header);
            let file = JournalFile::create(&path, &state)?;
            return Ok(Journal::new(state, Some(file), Some(lock)));
        };
        let file = JournalFile::reopen(&path, &state, length)?;
        Ok(Journal::resumed_from(state, file, lock))
    }
}

fn seconds(header: &Header) -> i64 {
    header.started_at.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}

const NO_LAST_RUN: &str = "there is no last run of this job whose failures could be tried again";

const NOT_ENDED: &str = "the last run of this job was interrupted: run the same command without --retry-failed to resume \
                         it (its failures are tried again at its end)";

/// Whether the job goes on, rather than being over.
fn resumable(mode: Mode, state: &State) -> Result<bool, Error> {
    let over = state.ended.is_some();
    // In a later pass than the first, nothing but failures is left, unless something waits.
    let waits = state.phase == Phase::Sweep || !state.again.is_empty() || !state.rest.is_empty();
    let first_pass = waits || state.pass.is_none_or(|pass| pass == 0);
    match mode {
        Mode::RetryFailed if !over && first_pass => Err(Error::Usage(NOT_ENDED.to_owned())),
        Mode::RetryFailed => Ok(true),
        Mode::ResumeOrStart | Mode::Restart => Ok(!over),
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

fn another_job(file: &Option<(PathBuf, Lock)>, job: &JobIdentity) -> Error {
    let path = file.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
    Error::Checkpoint(format!(
        "the checkpoint {path} is another job's ({} {} {}): name another file, or give --restart to give that job up",
        job.verb,
        job.sources.join(" "),
        job.dest
    ))
}
