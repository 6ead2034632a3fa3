//! How many requests are in flight: as many as still add to the throughput. Pure.
//!
//! It begins low and doubles while the throughput grows; from then on it tries a few more now and then,
//! and keeps them where they were worth it. A server that gets slower with its load is not overrun.

use std::time::Duration;

/// Requests in flight at first: connections are not opened by the hundred at once.
const FIRST: usize = 32;

/// The least that a window takes.
const WINDOW: Duration = Duration::from_millis(50);

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

/// A bound of the requests in flight. Times are those since the run began.
#[derive(Debug)]
pub(super) struct AtOnce {
    limit: usize,
    most: usize,
    phase: Phase,
    patience: Duration,
    since: Duration,
    work: f64,
    done: usize,
    busy: usize,
    /// The throughput at the last limit.
    before: f64,
}

impl AtOnce {
    /// A bound of at most `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            limit: FIRST.min(most),
            most,
            phase: Phase::Start(0),
            patience: TRY_AGAIN[0],
            since: Duration::ZERO,
            work: 0.0,
            done: 0,
            busy: 0,
            before: 0.0,
        }
    }

    /// The bound.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes in that a request has ended, worth `work`; `busy` tells whether the bound was reached. The
    /// new bound, where it changes.
    #[allow(clippy::cast_precision_loss, reason = "thousands")]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
    pub(super) fn ended(&mut self, now: Duration, work: f64, busy: bool) -> Option<usize> {
        self.done += 1;
        self.work += work;
        self.busy += usize::from(busy);
        let elapsed = now.saturating_sub(self.since);
        if elapsed < WINDOW || self.done < self.limit {
            return None;
        }
        let (throughput, was_busy) = (self.work / elapsed.as_secs_f64(), self.busy * 2 > self.done);
        (self.since, self.work, self.done, self.busy) = (now, 0.0, 0, 0);
        if !was_busy || self.limit == self.most && !matches!(self.phase, Phase::Try(_)) {
            return None;
        }
        let old = self.limit;
        match self.phase {
            Phase::Start(_) if throughput > self.before * WORTH_DOUBLING => {
                (self.before, self.limit, self.phase) = (throughput, (old * 2).min(self.most), Phase::Start(0));
            }
            Phase::Start(misses) if misses + 1 < MISSES => self.phase = Phase::Start(misses + 1),
            // The last doubling was not worth it.
            Phase::Start(_) => {
                self.limit = (old / 2).max(FIRST.min(self.most));
                self.phase = Phase::Hold(now + self.patience);
            }
            Phase::Hold(until) if now < until => self.before = throughput,
            Phase::Hold(_) => {
                (self.before, self.phase) = (throughput, Phase::Try(old));
                self.limit = ((old as f64 * MORE).ceil() as usize).min(self.most);
            }
            Phase::Try(before) => {
                let is_worth_it = throughput > self.before * WORTH_MORE;
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
    use super::*;

    /// The bound after so many seconds against a server that answers after so long, told by the
    /// requests in flight.
    fn after(seconds: f64, most: usize, latency: impl Fn(usize) -> f64) -> usize {
        let mut at_once = AtOnce::new(most);
        let mut now = 0.0;
        while now < seconds {
            let limit = at_once.limit();
            now += latency(limit) / limit as f64;
            at_once.ended(Duration::from_secs_f64(now), 1.0, true);
        }
        at_once.limit()
    }

    #[test]
    fn what_adds_to_the_throughput_is_used_within_a_second() {
        assert_eq!(after(1.0, 256, |_| 0.05), 256);
        assert_eq!(after(1.0, 8, |_| 0.05), 8);
    }

    #[test]
    fn a_server_that_gets_slower_with_its_load_is_not_overrun() {
        let limit = after(60.0, 256, |limit| 0.02 * (limit as f64 / 40.0).max(1.0));
        assert!((32..=80).contains(&limit), "{limit}");
    }

    #[test]
    fn a_server_that_gets_faster_is_followed() {
        let mut at_once = AtOnce::new(256);
        let mut now = 0.0;
        while now < 120.0 {
            let limit = at_once.limit() as f64;
            let capacity = if now < 10.0 { 1_000.0 } else { 1e6 };
            now += (limit / capacity).max(0.02) / limit;
            at_once.ended(Duration::from_secs_f64(now), 1.0, true);
        }
        assert!(at_once.limit() > 200, "{}", at_once.limit());
    }

    #[test]
    fn nothing_is_concluded_while_there_is_too_little_work() {
        let mut at_once = AtOnce::new(256);
        for n in 0..1_000 {
            at_once.ended(Duration::from_millis(n * 10), 1.0, false);
        }
        assert_eq!(at_once.limit(), FIRST);
    }
}
