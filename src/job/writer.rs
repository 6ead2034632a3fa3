//! The thread that writes a listing's output, where that may block.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::journal::Wrote;
use crate::model::{Error, Sum, Sums};
use crate::report::Output;

/// Batches that may wait to be written.
const WAITING: usize = 4;

/// How often a file is synced to disk at most: a kill repeats this much.
const SYNC_EVERY: Duration = Duration::from_millis(100);

/// Lines, and what they mean for the checkpoint.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    /// What each range has in it.
    pub(super) ranges: BTreeMap<usize, Wrote>,
    pub(super) sums: Sums,
}

impl Batch {
    /// What a range has in it.
    pub(super) fn range(&mut self, range: usize) -> &mut Wrote {
        self.ranges.entry(range).or_insert_with(|| Wrote { range, at: None, end: false, objects: 0, bytes: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.ranges.is_empty()
    }
}

/// What the writer is told.
pub(super) enum Told {
    Write(Batch),
    /// All was told: the output is whole.
    Complete,
}

/// What the writer has done.
pub(super) struct Written {
    /// The length of the output, where it is a file.
    pub(super) length: Option<u64>,
    pub(super) ranges: Vec<Wrote>,
    pub(super) sums: Vec<Sum>,
}

pub(super) type WrittenOr = Result<Written, WriteError>;

/// What a listing is written for is gone, or full.
pub(super) enum WriteError {
    /// Nobody reads it any more.
    Closed,
    Broken(Error),
}

/// Starts the thread that may block on the output. It ends when it is told no more.
pub(super) fn start_writer(output: Option<Output>, syncs: bool) -> (Sender<Told>, Receiver<WrittenOr>) {
    let (batches, mut told) = mpsc::channel(WAITING);
    let (done, written) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer { output, syncs, synced: Instant::now(), unsynced: Vec::new() };
        while let Some(next) = told.blocking_recv() {
            let ended = matches!(next, Told::Complete);
            match writer.take(next, told.is_empty()) {
                Ok(None) => {}
                Ok(Some(all)) => drop(done.blocking_send(Ok(all))),
                Err(error) => return drop(done.blocking_send(Err(error))),
            }
            if ended {
                return;
            }
        }
        if let Some(output) = writer.output.filter(|_| !syncs) {
            // Nothing says how far it goes: it is of no use.
            output.discard();
        }
    });
    (batches, written)
}

struct Writer {
    output: Option<Output>,
    /// Whether somebody relies on what was written.
    syncs: bool,
    synced: Instant,
    /// What is written and, if it is a file, not on disk.
    unsynced: Vec<Batch>,
}

impl Writer {
    /// Writes a batch; what is safe then.
    fn take(&mut self, told: Told, idle: bool) -> Result<Option<Written>, WriteError> {
        let complete = matches!(told, Told::Complete);
        let worked = self.work(told, complete || idle || self.synced.elapsed() >= SYNC_EVERY);
        let safe = worked.map_err(|error| match (&self.output, error.kind()) {
            (Some(output), std::io::ErrorKind::BrokenPipe) if !output.is_kept() => WriteError::Closed,
            (Some(output), _) => WriteError::Broken(output.broken(&error)),
            (None, _) => WriteError::Broken(Error::Internal(error.to_string())),
        })?;
        Ok(safe.then(|| self.written()))
    }

    fn work(&mut self, told: Told, due: bool) -> std::io::Result<bool> {
        match (told, &mut self.output) {
            (Told::Write(batch), output) => {
                if let Some(output) = output {
                    output.write(&batch.lines)?;
                }
                self.unsynced.push(Batch { lines: Vec::new(), ..batch });
            }
            (Told::Complete, Some(output)) => output.complete()?,
            (Told::Complete, None) => {}
        }
        if due && self.syncs {
            self.output.as_ref().map_or(Ok(()), Output::sync)?;
            self.synced = Instant::now();
        }
        Ok(due || !self.syncs)
    }

    fn written(&mut self) -> Written {
        let batches = std::mem::take(&mut self.unsynced);
        let mut sums = Sums::default();
        let mut ranges: BTreeMap<usize, Wrote> = BTreeMap::new();
        for mut batch in batches {
            sums.extend(&batch.sums.take());
            for (range, wrote) in batch.ranges {
                match ranges.get_mut(&range) {
                    Some(all) => all.add(wrote),
                    None => drop(ranges.insert(range, wrote)),
                }
            }
        }
        let length = self.output.as_ref().and_then(Output::length);
        Written { length, ranges: ranges.into_values().collect(), sums: sums.take() }
    }
}
