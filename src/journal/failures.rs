//! The failures that a checkpoint holds, read from its file: they are never all in memory.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::record::{Record, Recorded};
use crate::model::{Failure, Item, Object, Origin, Position, Range};

/// The failures with numbers `(after, until]`, in the order of the file.
#[derive(Debug)]
pub(super) struct FailedLines {
    lines: BufReader<io::Take<File>>,
    line: Vec<u8>,
    found: std::vec::IntoIter<Recorded>,
    after: u64,
    until: u64,
}

impl FailedLines {
    /// Reads the first `length` bytes of the file at `path`, as they are now: the file may be
    /// appended to, or replaced, meanwhile.
    pub(super) fn open(path: &Path, length: u64, after: u64, until: u64) -> io::Result<Self> {
        let lines = BufReader::with_capacity(1 << 16, File::open(path)?.take(length));
        Ok(Self { lines, line: Vec::new(), found: Vec::new().into_iter(), after, until })
    }

    /// Leaves out what is not in `range`.
    pub(super) fn narrow(&mut self, range: &Range) {
        if let Some(Position::Failure(after)) = range.cursor() {
            self.after = self.after.max(*after);
        }
        if let Some(Position::Failure(until)) = &range.until {
            self.until = self.until.min(*until);
        }
    }

    /// Reads on to the next line with failures. `false` at the end.
    fn refill(&mut self) -> io::Result<bool> {
        if self.after >= self.until {
            return Ok(false);
        }
        loop {
            self.line.clear();
            if self.lines.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(false);
            }
            let (after, until) = (self.after, self.until);
            let mut found = failures_of(&self.line)?;
            found.retain(|failure| failure.n > after && failure.n <= until);
            if !found.is_empty() {
                self.found = found.into_iter();
                return Ok(true);
            }
        }
    }
}

/// Most lines hold none and need not be read in full.
fn failures_of(line: &[u8]) -> io::Result<Vec<Recorded>> {
    if !line.windows(7).any(|bytes| bytes == b"\"code\":") {
        return Ok(Vec::new());
    }
    Ok(match serde_json::from_slice(line)? {
        Record::Failed(failure) => vec![failure],
        Record::Mark(mark) => mark.failures,
        Record::Close(close) => close.failure.into_iter().map(|failure| *failure).collect(),
        _ => Vec::new(),
    })
}

impl Iterator for FailedLines {
    type Item = io::Result<Recorded>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(failure) = self.found.next() {
                return Some(Ok(failure));
            }
            match self.refill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Failures of a job, to be tried again or shown.
#[derive(Debug)]
pub struct FailedItems(pub(super) Option<FailedLines>);

impl Iterator for FailedItems {
    type Item = io::Result<(Item, Failure)>;

    fn next(&mut self) -> Option<Self::Item> {
        let recorded = match self.0.as_mut()?.next()? {
            Ok(recorded) => recorded,
            Err(error) => return Some(Err(error)),
        };
        let object = Object {
            version_id: recorded.failure.version_id.clone(),
            etag: recorded.failure.etag.clone(),
            ..Object::new(recorded.failure.key.clone(), recorded.failure.size)
        };
        let item = Item { origin: Origin::Failure(recorded.n), ..Item::listed(recorded.source, object) };
        Some(Ok((item, recorded.failure)))
    }
}
