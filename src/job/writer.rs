//! The thread that writes a listing's output, where that may block.

use std::collections::BTreeMap;
use std::io;
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
    /// All was told: it is to be on disk.
    Sync,
    /// The output is whole: it is to take its name.
    Complete,
}

/// What the writer has done.
pub(super) struct Written {
    /// The length of the output, where it is a file.
    pub(super) length: Option<u64>,
    pub(super) ranges: Vec<Wrote>,
    pub(super) sums: Vec<Sum>,
}

/// The answers of the writer.
pub(super) enum Done {
    Written(Written),
    /// All that was told is on disk.
    Synced,
    /// The output has its name.
    Complete,
}

pub(super) type DoneOr = Result<Done, WriteError>;

/// What a listing is written for is gone, or full.
pub(super) enum WriteError {
    /// Nobody reads it any more.
    Closed,
    Broken(Error),
}

/// Starts the thread that may block on the output. It ends when it is told no more.
pub(super) fn start_writer(output: Option<Output>, syncs: bool) -> (Sender<Told>, Receiver<DoneOr>) {
    let (batches, mut told) = mpsc::channel(WAITING);
    let (done, written) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer { output, syncs, synced: Instant::now(), unsynced: Vec::new(), completed: false };
        while let Some(next) = told.blocking_recv() {
            let answer = match next {
                Told::Write(batch) => writer.write(batch, told.is_empty()),
                Told::Sync => writer.sync(),
                Told::Complete => writer.complete(),
            };
            // Gone only when the run ends.
            let mut say = |done_or: DoneOr| drop(done.blocking_send(done_or));
            match answer {
                Ok(answers) => answers.into_iter().map(Ok).for_each(&mut say),
                Err(error) => {
                    say(Err(writer.failed(&error)));
                    // Nothing is written behind what was lost.
                    break;
                }
            }
        }
        if let Some(output) = writer.output.filter(|output| !writer.completed && (!syncs || output.length() == Some(0)))
        {
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
    completed: bool,
}

impl Writer {
    fn write(&mut self, batch: Batch, idle: bool) -> io::Result<Vec<Done>> {
        if let Some(output) = &mut self.output {
            output.write(&batch.lines)?;
        }
        self.unsynced.push(Batch { lines: Vec::new(), ..batch });
        if self.syncs && !idle && self.synced.elapsed() < SYNC_EVERY {
            return Ok(Vec::new());
        }
        self.on_disk().map(|()| vec![Done::Written(self.written())])
    }

    fn sync(&mut self) -> io::Result<Vec<Done>> {
        self.on_disk().map(|()| vec![Done::Written(self.written()), Done::Synced])
    }

    fn complete(&mut self) -> io::Result<Vec<Done>> {
        if let Some(output) = &mut self.output {
            output.complete()?;
        }
        self.completed = true;
        Ok(vec![Done::Complete])
    }

    fn on_disk(&mut self) -> io::Result<()> {
        self.synced = Instant::now();
        self.output.as_ref().filter(|_| self.syncs).map_or(Ok(()), Output::sync)
    }

    fn failed(&self, error: &io::Error) -> WriteError {
        match &self.output {
            Some(output) if error.kind() == io::ErrorKind::BrokenPipe && output.is_stdout() => WriteError::Closed,
            Some(output) => WriteError::Broken(output.broken(error)),
            None => WriteError::Broken(Error::Internal(error.to_string())),
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_written_behind_what_was_lost() {
        let output = Output::file(Path::new("/dev/full"), "job", None).unwrap();
        let (told, mut done) = start_writer(Some(output), true);
        for _ in 0..3 {
            let batch = Batch { lines: b"line\n".to_vec(), ..Batch::default() };
            // Refused where the writer has ended.
            let _ = told.send(Told::Write(batch)).await;
        }
        assert!(matches!(done.recv().await, Some(Err(WriteError::Broken(_)))));
        assert!(done.recv().await.is_none());
    }
}
