//! The checkpoint's way to disk: once a second, in a thread where it may block.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// How often the checkpoint is synced to disk. A machine that goes down repeats this much.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// At most one sync is under way.
#[derive(Debug)]
pub(super) struct Syncer {
    last: Instant,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl Syncer {
    pub(super) fn new() -> Self {
        Self { last: Instant::now(), running: None }
    }

    /// Whether it is time for the next sync.
    ///
    /// # Errors
    /// That of the last one.
    pub(super) fn is_due(&mut self) -> io::Result<bool> {
        if let Some(running) = &mut self.running {
            let Some(ended) = running.now_or_never() else { return Ok(false) };
            self.running = None;
            ended.map_err(io::Error::other)??;
        }
        Ok(self.last.elapsed() >= SYNC_EVERY)
    }

    /// Syncs the checkpoint in the background, and before it what it relies on.
    pub(super) fn start(&mut self, before: Option<Arc<File>>, checkpoint: Arc<File>) {
        self.last = Instant::now();
        self.running = Some(tokio::task::spawn_blocking(move || {
            before.map_or(Ok(()), |file| file.sync_data())?;
            checkpoint.sync_data()
        }));
    }
}
