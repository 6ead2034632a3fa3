//! What may be under way now: permits, whose number follows what is worth it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::at_once::AtOnce;

/// Permits, whose number follows what is worth it.
#[derive(Debug)]
pub struct Permits {
    semaphore: Arc<Semaphore>,
    /// Permits that are out and too many: they are not given back.
    owed: AtomicUsize,
    at_once: Mutex<AtOnce>,
    began: Instant,
}

/// The right to send one request, or to have one part under way. One that is dropped is given back, and
/// does not count.
#[derive(Debug)]
pub struct Permit {
    permit: OwnedSemaphorePermit,
    since: Instant,
}

impl Permits {
    /// `first` permits at first, and at most `most`.
    pub fn new(first: usize, most: usize) -> Self {
        let at_once = AtOnce::new(first, most.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            semaphore: Arc::new(Semaphore::new(at_once.limit())),
            owed: AtomicUsize::new(0),
            at_once: Mutex::new(at_once),
            began: Instant::now(),
        }
    }

    /// How many there are.
    pub(super) fn limit(&self) -> usize {
        self.at_once().limit()
    }

    /// Waits for a permit, in order of arrival.
    ///
    /// # Cancellation
    /// Safe: nothing is taken before the future is finished.
    pub async fn acquire(&self) -> Permit {
        loop {
            // It is never closed.
            if let Ok(permit) = Arc::clone(&self.semaphore).acquire_owned().await {
                return Permit { permit, since: Instant::now() };
            }
        }
    }

    /// Gives a permit back: what it was for is over, and was worth `work`.
    pub fn ended(&self, permit: Permit, work: f64) {
        let busy = self.semaphore.available_permits() == 0;
        let mut at_once = self.at_once();
        let before = at_once.limit();
        let since = permit.since.duration_since(self.began);
        let changed = at_once.ended(since, self.began.elapsed(), work, busy);
        drop(at_once);
        match changed {
            Some(limit) if limit > before => {
                let more = limit - before;
                let forgiven = self.owed.fetch_update(Relaxed, Relaxed, |owed| Some(owed.saturating_sub(more)));
                self.semaphore.add_permits(more - more.min(forgiven.unwrap_or_default()));
            }
            Some(limit) => drop(self.owed.fetch_add(before - limit, Relaxed)),
            None => {}
        }
        if self.owed.fetch_update(Relaxed, Relaxed, |owed| owed.checked_sub(1)).is_ok() {
            permit.permit.forget();
        }
    }

    fn at_once(&self) -> MutexGuard<'_, AtOnce> {
        self.at_once.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.semaphore.available_permits()
    }
}
