//! Faults: which call fails, and how. Deciding is separate from doing, which is in `http`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::operation::{Operation, Target};
use crate::random::SplitMix;

/// What goes wrong with a call.
///
/// A HEAD request has no body that could be wrong: [`Fault::ErrorIn200`], [`Fault::Empty200`] and
/// [`Fault::MalformedXml`] answer it like [`Fault::InternalError`].
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// 503 `SlowDown`; nothing is done.
    SlowDown,
    /// 429 `TooManyRequests`; nothing is done.
    TooManyRequests,
    /// 500 `InternalError`; nothing is done.
    InternalError,
    /// 503 `ServiceUnavailable`; nothing is done.
    ServiceUnavailable,
    /// An error of this status and code; nothing is done.
    Code {
        /// The HTTP status.
        status: u16,
        /// The S3 error code, such as `AccessDenied`.
        code: String,
    },
    /// The connection is reset; nothing is done.
    ResetBefore,
    /// The work is done, then the connection is reset without an answer.
    ResetAfter,
    /// A 200 whose body is an `InternalError`; nothing is done.
    ErrorIn200,
    /// A 200 without a body; nothing is done.
    Empty200,
    /// The work is done, then answered with a 200 and XML that ends in the middle of a tag; an
    /// error of the work itself is answered as it is.
    MalformedXml,
    /// The work is done, then answered with a part of the XML whose length is told as if it were all,
    /// cut behind a whole element where there is one; an error is answered as it is.
    CutXml,
    /// The work is done, then the first half of the answer's body is sent with the length of the
    /// whole, and the connection closed. An answer without a body is not sent at all.
    Truncated,
    /// One byte of the answer's body is another; its length is right. Only for the bytes of an
    /// object (GetObject with 200 or 206): all other answers are as usual.
    Corrupted,
    /// One byte of the request's body is another when it arrives, then the request is answered as
    /// usual: it depends on the digests that came with it whether that is noticed.
    CorruptedRequest,
    /// The work is done, then the first half of the answer's body is sent with the length of the
    /// whole, then there is silence for this long, then the connection is reset. An answer without
    /// a body is not sent at all.
    Stalled(Duration),
    /// The work is done, then the answer's body comes in some ten pieces over this time, and whole in the
    /// end. An answer without a body comes after this time.
    Drip(Duration),
    /// The work is done, then the answer's length is told to be one byte less than it is, and the body
    /// ends there. An answer without a body is told to have one of a byte, which never comes.
    WrongLength,
    /// This object is deleted, then the request is answered as usual.
    Deletes {
        /// Where it is.
        bucket: String,
        /// Its key.
        key: String,
    },
    /// Silence for this long, then the connection is reset; nothing is done.
    Hang(Duration),
    /// Answered as usual, this much later.
    Latency(Duration),
}

/// When a rule strikes, among the calls that match it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// Each call with this probability, 0 to 1.
    Probability(f64),
    /// The k-th call only, counted from 1.
    Kth(u64),
    /// Every n-th call.
    Every(u64),
    /// The first n calls.
    First(u64),
    /// What is above so many calls a second: a token bucket that holds a tenth of that.
    Above(f64),
    /// Every call.
    Always,
}

/// A fault, with the calls that it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Only this operation; any when absent.
    pub operation: Option<Operation>,
    /// Only this bucket; any when absent.
    pub bucket: Option<String>,
    /// Only the object with exactly this key; calls on a bucket never match.
    pub key: Option<String>,
    /// Only objects whose keys begin so; calls on a bucket never match.
    pub key_prefix: Option<String>,
    /// Which of the matching calls fail.
    pub when: When,
    /// How they fail.
    pub fault: Fault,
}

impl Rule {
    /// The fault on every call.
    pub fn always(fault: Fault) -> Rule {
        Rule { operation: None, bucket: None, key: None, key_prefix: None, when: When::Always, fault }
    }

    /// The fault on every call of one operation.
    pub fn on(operation: Operation, fault: Fault) -> Rule {
        Rule { operation: Some(operation), ..Rule::always(fault) }
    }

    /// The same rule for one bucket only.
    #[must_use]
    pub fn bucket(self, bucket: impl Into<String>) -> Rule {
        Rule { bucket: Some(bucket.into()), ..self }
    }

    /// The same rule for one key only.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Rule {
        Rule { key: Some(key.into()), ..self }
    }

    /// The same rule for the keys that begin so.
    #[must_use]
    pub fn key_prefix(self, prefix: impl Into<String>) -> Rule {
        Rule { key_prefix: Some(prefix.into()), ..self }
    }

    /// The same rule for some of the matching calls only.
    #[must_use]
    pub fn when(self, when: When) -> Rule {
        Rule { when, ..self }
    }

    fn matches(&self, target: &Target) -> bool {
        let bucket_is = |wanted: &String| target.bucket.as_ref() == Some(wanted);
        let key_is = |wanted: &String| target.key.as_ref() == Some(wanted);
        let key_begins = |prefix: &String| target.key.as_ref().is_some_and(|key| key.starts_with(prefix));
        self.operation.is_none_or(|operation| operation == target.operation)
            && self.bucket.as_ref().is_none_or(bucket_is)
            && self.key.as_ref().is_none_or(key_is)
            && self.key_prefix.as_ref().is_none_or(key_begins)
    }
}

/// The faults of a server; a handle, clones share the same rules.
#[derive(Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

struct State {
    rules: Vec<Counted>,
    random: SplitMix,
    /// How many calls of each operation met a fault.
    injected: BTreeMap<Operation, u64>,
}

struct Counted {
    rule: Rule,
    /// Matching calls so far.
    seen: u64,
    /// What [`When::Above`] has saved up, and when.
    saved: (f64, Instant),
}

impl Counted {
    fn is_above(&mut self, rate: f64) -> bool {
        let (saved, since) = self.saved;
        let saved = (saved + since.elapsed().as_secs_f64() * rate).min((rate / 10.0).max(1.0));
        let is_above = saved < 1.0;
        self.saved = (if is_above { saved } else { saved - 1.0 }, Instant::now());
        is_above
    }
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        let state = State { rules: Vec::new(), random: SplitMix(seed), injected: BTreeMap::new() };
        Faults { state: Arc::new(Mutex::new(state)) }
    }

    /// Adds a rule. Rules are asked in the order they were added and the first that strikes wins;
    /// all of them count the calls that they match.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(Counted { rule, seen: 0, saved: (f64::MAX, Instant::now()) });
    }

    /// Removes all rules; [`Faults::injected`] stays.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// How many calls a fault was injected into.
    pub fn injected(&self) -> u64 {
        self.lock().injected.values().sum()
    }

    /// How many calls of one operation a fault was injected into.
    pub fn injected_into(&self, operation: Operation) -> u64 {
        self.lock().injected.get(&operation).copied().unwrap_or_default()
    }

    /// Counts the call, and picks the fault that it meets.
    pub(crate) fn decide(&self, target: &Target) -> Option<Fault> {
        let state = &mut *self.lock();
        let mut struck = None;
        for counted in &mut state.rules {
            if !counted.rule.matches(target) {
                continue;
            }
            counted.seen += 1;
            let strikes = match counted.rule.when {
                When::Always => true,
                When::Kth(k) => counted.seen == k,
                When::Every(n) => n > 0 && counted.seen.is_multiple_of(n),
                When::First(n) => counted.seen <= n,
                When::Above(rate) => counted.is_above(rate),
                When::Probability(probability) => state.random.next_f64() < probability,
            };
            if strikes && struck.is_none() {
                struck = Some(counted.rule.fault.clone());
            }
        }
        if struck.is_some() {
            *state.injected.entry(target.operation).or_default() += 1;
        }
        struck
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Faults").field("rules", &state.rules.len()).field("injected", &state.injected).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: Operation, key: &str) -> Target {
        Target { operation, bucket: Some("bucket".to_owned()), key: Some(key.to_owned()) }
    }

    fn strikes(when: When, calls: usize) -> Vec<usize> {
        let faults = Faults::new(7);
        faults.add(Rule::always(Fault::SlowDown).when(when));
        (1..=calls).filter(|_| faults.decide(&call(Operation::GetObject, "k")).is_some()).collect()
    }

    #[test]
    fn rules_strike_when_they_say() {
        assert_eq!(strikes(When::Always, 3), [1, 2, 3]);
        assert_eq!(strikes(When::Kth(2), 4), [2]);
        assert_eq!(strikes(When::Every(3), 7), [3, 6]);
        assert_eq!(strikes(When::First(2), 4), [1, 2]);
        assert_eq!(strikes(When::Probability(0.0), 50), [0; 0]);
        assert_eq!(strikes(When::Probability(1.0), 5).len(), 5);
    }

    #[test]
    fn chance_repeats_with_its_seed_and_keeps_its_rate() {
        let first = strikes(When::Probability(0.2), 5000);
        assert_eq!(first, strikes(When::Probability(0.2), 5000));
        assert!((800..1200).contains(&first.len()), "{}", first.len());
    }

    #[test]
    fn rules_match_operations_and_keys() {
        let faults = Faults::new(1);
        faults.add(Rule::on(Operation::CopyObject, Fault::SlowDown).key("exact"));
        faults.add(Rule::on(Operation::GetObject, Fault::Empty200).key_prefix("logs/"));
        assert_eq!(faults.decide(&call(Operation::CopyObject, "exact")), Some(Fault::SlowDown));
        assert_eq!(faults.decide(&call(Operation::CopyObject, "exactly")), None);
        assert_eq!(faults.decide(&call(Operation::GetObject, "logs/1")), Some(Fault::Empty200));
        assert_eq!(faults.decide(&call(Operation::GetObject, "log")), None);
        assert_eq!((faults.injected(), faults.injected_into(Operation::GetObject)), (2, 1));
        faults.clear();
        assert_eq!(faults.decide(&call(Operation::CopyObject, "exact")), None);
    }

    #[test]
    fn calls_on_a_bucket_never_match_a_key() {
        let faults = Faults::new(1);
        faults.add(Rule::always(Fault::SlowDown).key_prefix(""));
        let listing = Target { operation: Operation::ListObjectsV2, bucket: Some("b".to_owned()), key: None };
        assert_eq!(faults.decide(&listing), None);
        faults.add(Rule::on(Operation::ListObjectsV2, Fault::SlowDown).bucket("other"));
        assert_eq!(faults.decide(&listing), None);
        faults.add(Rule::on(Operation::ListObjectsV2, Fault::SlowDown).bucket("b"));
        assert_eq!(faults.decide(&listing), Some(Fault::SlowDown));
    }
}
