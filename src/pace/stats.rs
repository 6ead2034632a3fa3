//! What was sent: counters that any task may read while the run goes on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::model::{Class, Operation, RequestError};

/// Counters of one run's requests.
#[derive(Debug, Default)]
pub struct Stats {
    requests: [AtomicU64; Operation::ALL.len()],
    in_flight: AtomicU64,
    retries: AtomicU64,
    throttled: AtomicU64,
}

/// A request under way; dropped when it has ended.
#[derive(Debug)]
pub struct Sent<'a>(&'a Stats);

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Stats {
    /// Counts a request that is sent: one that goes under the permit of another counts itself.
    pub fn sent(&self, operation: Operation) -> Sent<'_> {
        self.requests[operation as usize].fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        Sent(self)
    }

    pub(super) fn failed(&self, error: &RequestError) {
        if error.class == Class::Throttled {
            self.throttled.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Requests of one operation sent so far, every attempt counted.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.requests[operation as usize].load(Relaxed)
    }

    /// Requests under way now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Attempts that were repeats.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Answers that asked for fewer requests.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Relaxed)
    }
}
