//! What the server counts and remembers of its requests.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::http::Uri;

use crate::encoding::decode_form;
use crate::operation::{Operation, QueryString, Target, address};

/// How a server was listed with ListObjectsV2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listings {
    /// All requests, those that met a fault included.
    pub requests: u64,
    /// Those with `max-keys=1`, which ask what comes next.
    pub probes: u64,
    /// Those with a delimiter, which ask for folders.
    pub with_delimiter: u64,
    /// The most that were answered at once.
    pub most_at_once: u64,
}

/// What a request asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The call.
    pub operation: Operation,
    /// The bucket.
    pub bucket: String,
    /// The key; empty for a call on a bucket.
    pub key: String,
    /// The prefix of a listing; empty where there is none.
    pub prefix: String,
}

/// What is counted for each operation.
pub(crate) struct Counters {
    started: Instant,
    counts: Vec<Count>,
    probes: AtomicU64,
    with_delimiter: AtomicU64,
    listing_now: AtomicU64,
    most_at_once: AtomicU64,
    recorded: Option<Mutex<Recorded>>,
}

#[derive(Default)]
struct Count {
    requests: AtomicU64,
    completed: AtomicU64,
}

#[derive(Default)]
struct Recorded {
    writes: Vec<(Operation, String)>,
    arrivals: Vec<(Operation, Duration)>,
    asked: BTreeSet<Asked>,
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(Option<&'a AtomicU64>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(now) = self.0 {
            now.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Counters {
    pub(crate) fn new(record: bool) -> Counters {
        let zero = AtomicU64::default;
        Counters {
            started: Instant::now(),
            counts: Operation::ALL.iter().map(|_| Count::default()).collect(),
            probes: zero(),
            with_delimiter: zero(),
            listing_now: zero(),
            most_at_once: zero(),
            recorded: record.then(Mutex::default),
        }
    }

    pub(crate) fn requests(&self, operation: Operation) -> u64 {
        self.counts.get(operation.index()).map_or(0, |count| count.requests.load(Ordering::Relaxed))
    }

    pub(crate) fn completed(&self, operation: Operation) -> u64 {
        self.counts.get(operation.index()).map_or(0, |count| count.completed.load(Ordering::Relaxed))
    }

    pub(crate) fn listings(&self) -> Listings {
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Listings {
            requests: self.requests(Operation::ListObjectsV2),
            probes: value(&self.probes),
            with_delimiter: value(&self.with_delimiter),
            most_at_once: value(&self.most_at_once),
        }
    }

    pub(crate) fn log(&self) -> Vec<(Operation, String)> {
        self.recorded().map(|recorded| recorded.writes.clone()).unwrap_or_default()
    }

    pub(crate) fn asked(&self) -> BTreeSet<Asked> {
        self.recorded().map(|recorded| recorded.asked.clone()).unwrap_or_default()
    }

    pub(crate) fn arrivals(&self, operation: Operation) -> Vec<Duration> {
        let Some(recorded) = self.recorded() else { return Vec::new() };
        recorded.arrivals.iter().filter(|(found, _)| *found == operation).map(|(_, at)| *at).collect()
    }

    /// Counts a request that came in; it is being answered until what is returned is dropped.
    pub(crate) fn count_request(&self, operation: Operation, uri: &Uri) -> InFlight<'_> {
        if let Some(count) = self.counts.get(operation.index()) {
            count.requests.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(mut recorded) = self.recorded() {
            recorded.arrivals.push((operation, self.started.elapsed()));
            let (bucket, key) = address(uri);
            let prefix = QueryString::of(uri).get("prefix").and_then(decode_form);
            let text = Option::unwrap_or_default;
            recorded.asked.insert(Asked { operation, bucket: text(bucket), key: text(key), prefix: text(prefix) });
        }
        if operation != Operation::ListObjectsV2 {
            return InFlight(None);
        }
        let query = QueryString::of(uri);
        if query.get("max-keys") == Some("1") {
            self.probes.fetch_add(1, Ordering::Relaxed);
        }
        if query.get("delimiter").is_some_and(|delimiter| !delimiter.is_empty()) {
            self.with_delimiter.fetch_add(1, Ordering::Relaxed);
        }
        let now = self.listing_now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        InFlight(Some(&self.listing_now))
    }

    pub(crate) fn count_completed(&self, target: &Target) {
        if let Some(count) = self.counts.get(target.operation.index()) {
            count.completed.fetch_add(1, Ordering::Relaxed);
        }
        if target.operation.writes()
            && let Some(mut recorded) = self.recorded()
        {
            let bucket = target.bucket.as_deref().unwrap_or_default();
            let key = target.key.as_deref().unwrap_or_default();
            recorded.writes.push((target.operation, format!("{bucket}/{key}")));
        }
    }

    fn recorded(&self) -> Option<MutexGuard<'_, Recorded>> {
        self.recorded.as_ref().map(|recorded| recorded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
