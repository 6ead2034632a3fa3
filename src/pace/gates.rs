//! The limits of a run, each for a range of the keys of one bucket, reads, writes and restores apart, and who waits
//! at them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::kind::Kind;
use super::limit::Limit;
use super::partition::{Answers, Division};

/// Ranges of one bucket at most.
const MOST: usize = 64;

/// Requests beyond the keys that a limit was found for that cast doubt on it, and how often they may: keys
/// that only go on in their order are beyond, too.
const BEYOND: u32 = 64;
const NEW_GROUNDS: u32 = 6;

/// Who waits longer than so many seconds makes a crowd.
const CROWD: f64 = 0.2;

/// A limit, and who waits at it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    limit: Mutex<Limit>,
    answers: Mutex<Answers>,
    /// Held by the one whose turn it is.
    turn: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    /// Whether others have taken its place: who waits at it goes there.
    is_replaced: AtomicBool,
    /// How often it was cut.
    slowed: AtomicU64,
    ground: Mutex<Ground>,
}

/// The keys that a limit was found for.
#[derive(Debug, Default)]
struct Ground {
    first: Box<str>,
    last: Box<str>,
    /// Requests beyond that were accepted since, and how often that was found.
    beyond: u32,
    found: u32,
}

impl Gate {
    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether many keys are accepted that lie beyond those for which the limit was found: it may be that
    /// of others.
    fn is_new_ground(&self, key: &str) -> bool {
        let mut ground = self.ground.lock().unwrap_or_else(PoisonError::into_inner);
        if ground.found >= NEW_GROUNDS || *ground.first <= *key && *key <= *ground.last {
            return false;
        }
        if ground.last.is_empty() {
            (ground.first, ground.last) = (key.into(), key.into());
        }
        ground.beyond += 1;
        if ground.beyond < BEYOND {
            return false;
        }
        (ground.beyond, ground.found) = (0, ground.found + 1);
        if *key < *ground.first {
            ground.first = key.into();
        } else {
            ground.last = key.into();
        }
        true
    }

    /// Waits until the limit lets one more pass, in order of arrival. `false` where others have taken its
    /// place.
    async fn pass(&self, began: Instant) -> bool {
        if self.waiting.load(Relaxed) == 0 && self.limit().take(began.elapsed()).is_ok() {
            return true;
        }
        let _waiting = Waiting::new(&self.waiting);
        let _turn = self.turn.lock().await;
        loop {
            if self.is_replaced.load(Relaxed) {
                return false;
            }
            let taken = self.limit().take(began.elapsed());
            let Err(wait) = taken else { return true };
            // The limit may rise meanwhile.
            tokio::time::sleep(wait.min(Duration::from_millis(200))).await;
        }
    }
}

/// One who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What a request is limited by: its bucket and key, and whether it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key, or what the keys begin with.
    pub key: &'a str,
}

type Place = (Box<str>, Kind);

/// All limits.
#[derive(Debug)]
pub(super) struct Gates {
    began: Instant,
    /// By bucket and kind, the ranges by their first keys.
    ranges: Mutex<HashMap<Place, BTreeMap<String, Arc<Gate>>>>,
    /// KMS limits an account, wherever the keys lie.
    kms: Gate,
    has_kms: AtomicBool,
    /// Whether nothing was ever throttled.
    is_calm: AtomicBool,
    epoch: AtomicU64,
}

/// A range of keys that was slowed down.
#[derive(Clone, Debug, PartialEq)]
pub struct Slowed {
    /// The bucket, or `KMS`.
    pub bucket: String,
    /// Which requests.
    pub kind: Kind,
    /// The first key of the range, and the first behind it; `None` where it is open.
    pub keys: (Option<String>, Option<String>),
    /// How often.
    pub times: u64,
    /// The limit at the end, in requests/s, if there was one.
    pub rate: Option<f64>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            ranges: Mutex::default(),
            kms: Gate::default(),
            has_kms: AtomicBool::new(false),
            is_calm: AtomicBool::new(true),
            epoch: AtomicU64::new(0),
        }
    }
}

impl Gates {
    fn ranges(&self) -> MutexGuard<'_, HashMap<Place, BTreeMap<String, Arc<Gate>>>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, spot: Spot<'_>, kind: Kind) -> Arc<Gate> {
        let mut all = self.ranges();
        let place: Place = (spot.bucket.into(), kind);
        let ranges = all.entry(place).or_insert_with(|| BTreeMap::from([(String::new(), Arc::default())]));
        let found = ranges.range::<str, _>((Unbounded, Included(spot.key))).next_back();
        found.map_or_else(Arc::default, |(_, gate)| Arc::clone(gate))
    }

    /// Waits until the limits let a request pass. The gate that it passed, for its answer, and the epoch
    /// in which it passed.
    ///
    /// # Cancellation
    /// Safe: nothing is taken before the future is finished.
    pub(super) async fn pass(&self, spot: Spot<'_>, kind: Kind) -> (Arc<Gate>, u64) {
        if !self.is_calm() && self.has_kms.load(Relaxed) {
            self.kms.pass(self.began).await;
        }
        loop {
            let gate = self.find(spot, kind);
            if self.is_calm() || gate.pass(self.began).await {
                return (gate, self.epoch());
            }
        }
    }

    /// Whether nothing was ever throttled.
    pub(super) fn is_calm(&self) -> bool {
        self.is_calm.load(Relaxed)
    }

    /// How often limits were found or changed by cuts.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// Whether more requests wait, where such a request would have to, than pass in a moment.
    pub(super) fn is_crowded(&self, spot: Spot<'_>, kind: Kind) -> bool {
        if self.is_calm() {
            return false;
        }
        let gate = self.find(spot, kind);
        let waiting = u32::try_from(gate.waiting.load(Relaxed)).unwrap_or(u32::MAX);
        waiting > 8 && gate.limit().rate().is_some_and(|rate| f64::from(waiting) > rate * CROWD)
    }

    /// The time of the limits.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes in the answer to a request that was sent at `sent`.
    pub(super) fn answered(&self, gate: &Gate, spot: Spot<'_>, kind: Kind, sent: Duration, asks: Asks) {
        let throttled = asks == Asks::SlowDown;
        if throttled && self.is_calm.swap(false, Relaxed) {
            tracing::debug!("the store asks to slow down");
        }
        let now = self.now();
        if asks == Asks::SlowDownKms {
            self.is_calm.store(false, Relaxed);
            self.has_kms.store(true, Relaxed);
            let cut = self.kms.limit().answered(now, sent, true);
            self.epoch.fetch_add(cut.into(), Relaxed);
            self.kms.slowed.fetch_add(cut.into(), Relaxed);
            return;
        }
        if self.has_kms.load(Relaxed) {
            self.kms.limit().answered(now, sent, false);
        }
        let was_cut = gate.limit().answered(now, sent, throttled);
        if self.is_calm.load(Relaxed) {
            return;
        }
        let division = gate.answers.lock().unwrap_or_else(PoisonError::into_inner).add(spot.key, throttled);
        if let Some(division) = division {
            self.divide(gate, spot, kind, &division);
        }
        if !throttled && gate.is_new_ground(spot.key) {
            gate.limit().doubt();
        }
        if was_cut {
            self.epoch.fetch_add(1, Relaxed);
            gate.slowed.fetch_add(1, Relaxed);
            let rate = gate.limit().rate();
            tracing::debug!(rate, bucket = spot.bucket, "slowed down");
        }
    }

    fn divide(&self, gate: &Gate, spot: Spot<'_>, kind: Kind, division: &Division) {
        let mut all = self.ranges();
        let Some(ranges) = all.get_mut(&(spot.bucket.into(), kind)) else { return };
        let at = ranges.iter().find(|(_, other)| std::ptr::eq(Arc::as_ptr(other), gate));
        let Some(start) = at.map(|(start, _)| start.clone()).filter(|_| ranges.len() < MOST) else { return };
        let end = ranges.range::<str, _>((Excluded(start.as_str()), Unbounded)).next();
        let end = end.map(|(end, _)| end.clone());
        let inside = |cut: &String| *cut > start && end.as_ref().is_none_or(|end| cut < end);
        if !division.cuts.iter().all(inside) {
            return;
        }
        let now = self.now();
        let rate = gate.limit().rate();
        for (first, part) in std::iter::once(&start).chain(&division.cuts).zip(&division.parts) {
            let own = Gate::default();
            if let (Some(part), Some(rate)) = (part, rate) {
                own.limit().begin(now, (rate * part).max(1.0));
            }
            if part.is_some() {
                // Counted once.
                own.slowed.store(gate.slowed.swap(0, Relaxed), Relaxed);
            }
            ranges.insert(first.clone(), Arc::new(own));
        }
        tracing::debug!(
            bucket = spot.bucket,
            cuts = division.cuts.len(),
            "some keys are slowed down apart from others"
        );
    }

    /// What was slowed down.
    pub(super) fn slowed(&self) -> Vec<Slowed> {
        let all = self.ranges();
        let mut slowed: Vec<Slowed> = Vec::new();
        for ((bucket, kind), ranges) in all.iter() {
            let starts: Vec<&String> = ranges.keys().collect();
            for (at, gate) in ranges.values().enumerate() {
                let times = gate.slowed.load(Relaxed);
                let start = Some(starts[at].clone()).filter(|start| !start.is_empty());
                let keys = (start, starts.get(at + 1).map(|end| (*end).clone()));
                if times > 0 {
                    let rate = gate.limit().rate();
                    slowed.push(Slowed { bucket: bucket.to_string(), kind: *kind, keys, times, rate });
                }
            }
        }
        let times = self.kms.slowed.load(Relaxed);
        if times > 0 {
            let rate = self.kms.limit().rate();
            slowed.push(Slowed { bucket: "KMS".to_owned(), kind: Kind::Write, keys: (None, None), times, rate });
        }
        slowed.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.keys.cmp(&b.keys)));
        slowed
    }
}

/// What an answer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// No less.
    Nothing,
    /// Fewer requests for these keys.
    SlowDown,
    /// Fewer requests that KMS has a part in.
    SlowDownKms,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_lets_as_many_pass_as_it_says() {
        let gates = Arc::new(Gates::default());
        gates.is_calm.store(false, Relaxed);
        let spot = Spot { bucket: "b", key: "k" };
        gates.find(spot, Kind::Write).limit().begin(Duration::ZERO, 100.0);
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let gates = Arc::clone(&gates);
            tasks.spawn(async move {
                for _ in 0..20 {
                    let (gate, _) = gates.pass(spot, Kind::Write).await;
                    let sent = gates.now();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    gates.answered(&gate, spot, Kind::Write, sent, Asks::Nothing);
                }
            });
        }
        tasks.join_all().await;
        let seconds = began.elapsed().as_secs_f64();
        assert!((3.5..4.3).contains(&seconds), "{seconds}");
    }

    /// A store that takes so many writes a second of each of the keys p0/ to p3/, and any of p4/.
    #[derive(Default)]
    struct Store {
        saved: [(f64, Duration); 4],
        accepted: [u32; 5],
    }

    impl Store {
        fn throttles(&mut self, partition: usize, now: Duration) -> bool {
            if let Some((saved, since)) = self.saved.get_mut(partition) {
                *saved = (*saved + (now - *since).as_secs_f64() * 100.0).min(10.0);
                *since = now;
                if *saved < 1.0 {
                    return true;
                }
                *saved -= 1.0;
            }
            self.accepted[partition] += 1;
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_is_slowed_down_holds_up_no_other() {
        let gates = Arc::new(Gates::default());
        let store = Arc::new(Mutex::new(Store::default()));
        let mut tasks = tokio::task::JoinSet::new();
        for worker in 0..100_usize {
            let (gates, store) = (Arc::clone(&gates), Arc::clone(&store));
            tasks.spawn(async move {
                let partition = worker % 5;
                for n in 0.. {
                    let key = format!("p{partition}/{worker:03}/{n:06}");
                    let spot = Spot { bucket: "b", key: &key };
                    let (gate, _) = gates.pass(spot, Kind::Write).await;
                    let sent = gates.now();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let throttled = store.lock().unwrap().throttles(partition, gates.now());
                    let asks = if throttled { Asks::SlowDown } else { Asks::Nothing };
                    gates.answered(&gate, spot, Kind::Write, sent, asks);
                    if throttled {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        tasks.shutdown().await;
        let accepted = store.lock().unwrap().accepted;
        // 20 workers could do 60,000.
        assert!(accepted[4] > 30_000, "{accepted:?}");
        assert!(accepted[..4].iter().all(|hot| *hot > 4_500), "{accepted:?}");
    }
}
