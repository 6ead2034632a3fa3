//! The checkpoint file: recovered, appended to, made small again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failures::FailedLines;
use super::line::Seal;
use super::record::{FORMAT, Record};
use super::state::State;
use crate::model::Error;

/// The file may grow to this many bytes, and four times its live state more, before it is compacted.
const SLACK: u64 = 1 << 20;
const LIVE_FACTOR: u64 = 4;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Recovered {
    /// What it says; `None` if there is no file or nothing in it.
    pub(super) state: Option<State>,
    /// Its length up to the last whole line, in bytes.
    pub(super) length: u64,
}

/// Reads a checkpoint up to its last whole line.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that cannot be read, is no checkpoint, is damaged before its
/// last line, or was written by a newer version.
pub(super) fn recover(path: &Path) -> Result<Recovered, Error> {
    let unreadable =
        |error: io::Error| Error::Checkpoint(format!("the checkpoint {} cannot be read: {error}", path.display()));
    refuse_foreign(path)?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Recovered { state: None, length: 0 }),
        Err(error) => return Err(unreadable(error)),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut seal = Seal::default();
    let (mut recovered, mut line) = (Recovered { state: None, length: 0 }, Vec::new());
    // Lines of the compacted state that must still come.
    let mut owed = 0_u64;
    for number in 1_u64.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(unreadable)?;
        let damaged = |why: &str| {
            let path = path.display();
            let advice = "--restart starts the job afresh";
            Error::Checkpoint(format!("the checkpoint {path} is damaged at line {number} ({why}): {advice}"))
        };
        let taken = match &mut recovered.state {
            _ if read == 0 && owed > 0 => return Err(damaged("it was cut short")),
            _ if read == 0 => break,
            None => header(path, &line, &mut seal).map(|state| recovered.state = Some(state)),
            Some(state) => take(state, &line, &mut seal, &mut owed).map_err(|why| damaged(&why)),
        };
        match taken {
            Ok(()) => recovered.length += read as u64,
            // The last line of a process that was killed, or of a machine that went down: what it
            // recorded is done again.
            Err(_) if recovered.state.is_some() && owed == 0 && at_end(&mut reader) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(recovered)
}

/// Refuses what cannot be a checkpoint, before anything is left beside it.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that begins otherwise, and for what is no file: a pipe would be
/// waited on for ever.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(Error::Checkpoint(format!("the checkpoint {} is not a regular file", path.display())))
        }
        Ok(found) if found.len() > 0 && !is_ours(path) => Err(foreign(path)),
        _ => Ok(()),
    }
}

/// Whether the file begins as a checkpoint does.
pub(super) fn is_ours(path: &Path) -> bool {
    let mut start = [0; 10];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *br#"{"t":"job""#
}

fn foreign(path: &Path) -> Error {
    let path = path.display();
    Error::Checkpoint(format!("{path} is not a checkpoint of s3bulk, or is damaged: name another file, or remove it"))
}

fn at_end(reader: &mut BufReader<File>) -> bool {
    reader.fill_buf().is_ok_and(<[u8]>::is_empty)
}

fn take(state: &mut State, line: &[u8], seal: &mut Seal, owed: &mut u64) -> Result<(), String> {
    let record = seal.read(line)?;
    state.apply(&record)?;
    *owed = match &record {
        Record::Totals(totals) => totals.lines,
        _ => owed.saturating_sub(1),
    };
    Ok(())
}

/// The first line. Anything but a header is a file that is not ours, and must not be written to.
fn header(path: &Path, line: &[u8], seal: &mut Seal) -> Result<State, Error> {
    let foreign = || foreign(path);
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|_| foreign())?;
    if value.get("t").and_then(|tag| tag.as_str()) != Some("job") {
        return Err(foreign());
    }
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format <= u64::from(FORMAT) => {}
        Some(format) => {
            return Err(Error::Checkpoint(format!(
                "the checkpoint {} has format {format}, written by a newer s3bulk; this one knows {FORMAT}: use that \
                 version, or start afresh with --restart",
                path.display()
            )));
        }
        None => return Err(foreign()),
    }
    match seal.read(line) {
        Ok(Record::Job(header)) => Ok(State::new(header)),
        _ => Err(foreign()),
    }
}

/// A checkpoint that is written to.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: Arc<File>,
    length: u64,
    /// Bytes of the last compaction, without its failures.
    base: u64,
    failures: FailureBytes,
    seal: Seal,
    dirty: bool,
}

/// Failures in the file, those that no longer stand included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FailureBytes {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl FailureBytes {
    pub(super) fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
    }

    /// About how many bytes `count` of them take.
    fn of(self, count: u64) -> u64 {
        self.bytes / self.count.max(1) * count
    }
}

impl JournalFile {
    /// Starts the file anew; what stood there is replaced in one step.
    pub(super) fn create(path: &Path, state: &State) -> Result<Self, Error> {
        Self::replace(path, state, None)
    }

    /// Goes on with a recovered file. It is compacted at once, which leaves its torn end behind.
    pub(super) fn reopen(path: &Path, state: &State, length: u64) -> Result<Self, Error> {
        let failed = FailedLines::open(path, length, state.retried_to, state.last_failure());
        Self::replace(path, state, Some(failed.map_err(|error| broken(path, &error))?))
    }

    /// Writes the state to a new file and puts it in place: a kill leaves the one or the other.
    fn replace(path: &Path, state: &State, failed: Option<FailedLines>) -> Result<Self, Error> {
        let fresh = beside(path, ".compacting");
        let written = write_snapshot(&fresh, state, failed).and_then(|written| {
            fs::rename(&fresh, path)?;
            sync_folder(path)?;
            Ok(written)
        });
        let Snapshot { file, length, failures, seal } = written.map_err(|error| {
            let _ = fs::remove_file(&fresh);
            broken(path, &error)
        })?;
        let base = length - failures.bytes;
        Ok(Self { path: path.to_owned(), file: Arc::new(file), length, base, failures, seal, dirty: false })
    }

    /// The failures that still stand, read from the file as it is now.
    pub(super) fn failed_lines(&self, state: &State) -> Result<FailedLines, Error> {
        FailedLines::open(&self.path, self.length, state.retried_to, state.last_failure())
            .map_err(|error| self.broken(&error))
    }

    /// Adds a record to lines that are to be appended next.
    pub(super) fn encode(&mut self, record: &Record, lines: &mut Vec<u8>) -> Result<(), Error> {
        self.seal.write(record, lines).map_err(|error| Error::Internal(error.to_string()))
    }

    /// Appends whole lines, with `failures` among them, and compacts the file where it has grown past
    /// its bound. `state` holds these lines already.
    pub(super) fn append(&mut self, lines: &[u8], failures: FailureBytes, state: &State) -> Result<(), Error> {
        (&*self.file).write_all(lines).map_err(|error| self.broken(&error))?;
        self.length += lines.len() as u64;
        self.failures.count += failures.count;
        self.failures.bytes += failures.bytes;
        self.dirty = true;
        let live = self.base + self.failures.of(state.failures_left());
        if self.length > SLACK + LIVE_FACTOR * live {
            *self = Self::replace(&self.path, state, Some(self.failed_lines(state)?))?;
        }
        Ok(())
    }

    /// A handle to sync, if something was written since it was last asked for.
    pub(super) fn take_unsynced(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.dirty).then(|| Arc::clone(&self.file))
    }

    pub(super) fn broken(&self, error: &io::Error) -> Error {
        broken(&self.path, error)
    }
}

fn broken(path: &Path, error: &io::Error) -> Error {
    Error::Checkpoint(format!("the checkpoint {} cannot be written: {error}", path.display()))
}

/// A compacted file that was written and synced.
struct Snapshot {
    file: File,
    length: u64,
    failures: FailureBytes,
    seal: Seal,
}

fn write_snapshot(path: &Path, state: &State, failed: Option<FailedLines>) -> io::Result<Snapshot> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_len(0)?;
    let mut out = io::BufWriter::new(file);
    let (mut seal, mut line) = (Seal::default(), Vec::new());
    let mut write = |record: &Record| -> io::Result<usize> {
        line.clear();
        seal.write(record, &mut line)?;
        out.write_all(&line).map(|()| line.len())
    };
    let left = if failed.is_some() { state.failures_left() } else { 0 };
    for record in state.snapshot(left) {
        write(&record)?;
    }
    let mut failures = FailureBytes::default();
    for failure in failed.into_iter().flatten() {
        failures.add(write(&Record::Failed(failure?))?);
    }
    if failures.count != left {
        return Err(io::Error::other(format!("{left} failures should be in it, and {} are", failures.count)));
    }
    if let Some(status) = state.ended {
        write(&Record::End { status, at: crate::model::now() })?;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let length = file.metadata()?.len();
    Ok(Snapshot { file, length, failures, seal })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}
