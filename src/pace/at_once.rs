//! How many requests, or parts, are in flight: as many as still add to the throughput. Pure.
//!
//! It begins low and doubles while the throughput grows; from then on it tries a few more now and then,
//! and keeps them where they were worth it. A server that gets slower with its load is not overrun.

use std::time::Duration;

/// The least that a window takes.
const WINDOW: Duration = Duration::from_millis(50);

/// How much more it must be, times the square root of how many tell of it: few differ by chance.
const DOUBT: f64 = 0.5;

/// So many tell, later, of a bound that is smaller.
const ENOUGH: usize = 32;

/// What is under way takes some time, whatever the clock says.
const LEAST: Duration = Duration::from_micros(1);

/// A doubling is worth it from such a gain in throughput.
const WORTH_DOUBLING: f64 = 1.15;
/// So many windows without it end the doubling.
const MISSES: u32 = 2;

/// How many more are tried later, and the gain that is worth it.
const MORE: f64 = 1.25;
const WORTH_MORE: f64 = 1.06;

/// How long before more are tried again, at first and at most.
const TRY_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(16)];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Doubling; so many windows brought nothing.
    Start(u32),
    /// As it is, until then.
    Hold(Duration),
    /// More than before are tried.
    Try(usize),
}

/// A bound of what is in flight. Times are those since the run began.
#[derive(Debug)]
pub(super) struct AtOnce {
    limit: usize,
    first: usize,
    most: usize,
    phase: Phase,
    patience: Duration,
    /// What began earlier does not count.
    since: Option<Duration>,
    work: f64,
    /// The time that what counts was under way, added up.
    under_way: Duration,
    done: usize,
    busy: usize,
    /// The throughput at the last limit.
    before: f64,
}

impl AtOnce {
    /// A bound of `first` at first, and of at most `most`.
    pub(super) fn new(first: usize, most: usize) -> Self {
        let first = first.min(most);
        Self {
            limit: first,
            first,
            most,
            phase: Phase::Start(0),
            patience: TRY_AGAIN[0],
            since: None,
            work: 0.0,
            under_way: Duration::ZERO,
            done: 0,
            busy: 0,
            before: 0.0,
        }
    }

    /// The bound.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes in that one has ended that `began` then, worth `work`; `busy` tells whether the bound was
    /// reached. The new bound, where it changes.
    #[allow(clippy::cast_precision_loss, reason = "thousands")]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
    pub(super) fn ended(&mut self, began: Duration, now: Duration, work: f64, busy: bool) -> Option<usize> {
        // What was under way when the first ended, or when the bound changed, tells nothing of it.
        let since = *self.since.get_or_insert(now);
        if began < since {
            return None;
        }
        self.done += 1;
        self.work += work;
        self.under_way += now.saturating_sub(began);
        self.busy += usize::from(busy);
        let enough = if matches!(self.phase, Phase::Start(_)) { self.limit } else { self.limit.max(ENOUGH) };
        if now.saturating_sub(since) < WINDOW || self.done < enough {
            return None;
        }
        // Little's law: what ends in bursts does not blur it.
        let throughput = self.limit as f64 * self.work / self.under_way.max(LEAST).as_secs_f64();
        let doubt = DOUBT / (self.done as f64).sqrt();
        let was_busy = self.busy * 2 > self.done;
        (self.since, self.work, self.under_way, self.done, self.busy) = (Some(now), 0.0, Duration::ZERO, 0, 0);
        if !was_busy || self.limit == self.most && !matches!(self.phase, Phase::Try(_)) {
            return None;
        }
        let old = self.limit;
        match self.phase {
            Phase::Start(_) if throughput > self.before * (WORTH_DOUBLING + doubt) => {
                (self.before, self.limit, self.phase) = (throughput, (old * 2).min(self.most), Phase::Start(0));
            }
            Phase::Start(misses) if misses + 1 < MISSES => self.phase = Phase::Start(misses + 1),
            // The last doubling was not worth it.
            Phase::Start(_) => {
                self.limit = (old / 2).max(self.first);
                self.phase = Phase::Hold(now + self.patience);
            }
            Phase::Hold(until) if now < until => self.before = throughput,
            Phase::Hold(_) => {
                (self.before, self.phase) = (throughput, Phase::Try(old));
                self.limit = ((old as f64 * MORE).ceil() as usize).min(self.most);
            }
            Phase::Try(before) => {
                let is_worth_it = throughput > self.before * (WORTH_MORE + doubt);
                self.patience = if is_worth_it { TRY_AGAIN[0] } else { (self.patience * 2).min(TRY_AGAIN[1]) };
                self.limit = if is_worth_it { old } else { before };
                self.phase = Phase::Hold(now + self.patience);
            }
        }
        (self.limit != old).then_some(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::Rng as _;
    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;

    const FIRST: usize = 32;

    /// The bound after so many seconds against a server that answers after so long, told by what is in
    /// flight and by how many were answered before.
    fn after(seconds: f64, mut at_once: AtOnce, mut latency: impl FnMut(usize, usize) -> f64) -> usize {
        let mut in_flight = BinaryHeap::new();
        let (mut now, mut answered) = (Duration::ZERO, 0);
        while now.as_secs_f64() < seconds {
            while in_flight.len() < at_once.limit() {
                let takes = Duration::from_secs_f64(latency(at_once.limit(), answered));
                in_flight.push(Reverse((now + takes, now)));
            }
            let Some(Reverse((ends, began))) = in_flight.pop() else { break };
            (now, answered) = (ends, answered + 1);
            at_once.ended(began, now, 1.0, true);
        }
        at_once.limit()
    }

    #[test]
    fn what_adds_to_the_throughput_is_used_within_a_second() {
        assert_eq!(after(1.0, AtOnce::new(FIRST, 256), |_, _| 0.05), 256);
        assert_eq!(after(1.0, AtOnce::new(FIRST, 8), |_, _| 0.05), 8);
    }

    #[test]
    fn a_server_that_gets_slower_with_its_load_is_not_overrun() {
        let limit = after(60.0, AtOnce::new(FIRST, 256), |limit, _| 0.02 * (limit as f64 / 40.0).max(1.0));
        assert!((32..=80).contains(&limit), "{limit}");
    }

    #[test]
    fn a_server_that_gets_faster_is_followed() {
        let latency = |limit: usize, answered| (limit as f64 / if answered < 10_000 { 1_000.0 } else { 1e6 }).max(0.02);
        let limit = after(120.0, AtOnce::new(FIRST, 256), latency);
        assert!(limit > 200, "{limit}");
    }

    /// Numbers around 1, of a spread as answers have it; those of a seed are always the same.
    fn noise(seed: u8, spread: f64) -> impl FnMut() -> f64 {
        let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &[seed + 1; 16]);
        move || {
            // A sum of twelve is nearly normal.
            let sum: f64 = (0..12).map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX)).sum();
            ((sum - 6.0) * spread).exp()
        }
    }

    #[test]
    fn few_are_enough_where_they_fill_the_line_whatever_the_first_take() {
        for (seed, slow) in (0..15).zip([0.0, 0.1, 1.0].into_iter().cycle()) {
            let mut noise = noise(seed, 0.2);
            // The first answers take longer.
            let latency = |limit: usize, answered: usize| {
                let first = if answered < 4 { slow } else { 0.0 };
                first + 0.01 * limit as f64 * noise()
            };
            let limit = after(60.0, AtOnce::new(4, 192), latency);
            assert!((4..=8).contains(&limit), "{limit} after {slow}, {seed}");
        }
    }

    #[test]
    fn many_are_found_from_few_within_seconds() {
        for seed in 0..15 {
            let mut noise = noise(seed, 0.4);
            let limit = after(5.0, AtOnce::new(4, 192), |_, _| 0.3 * noise());
            assert!(limit >= 128, "{limit}, {seed}");
        }
    }

    #[test]
    fn nothing_is_concluded_while_there_is_too_little_work() {
        let mut at_once = AtOnce::new(FIRST, 256);
        for n in 0..1_000 {
            at_once.ended(Duration::from_millis(n * 10), Duration::from_millis(n * 10 + 10), 1.0, false);
        }
        assert_eq!(at_once.limit(), FIRST);
    }
}
