//! Exact caps: requests/s and bytes/s. [`Tokens`] is pure; [`Cap`] waits for them, in order of arrival.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may be saved up, in seconds of the rate: timers come late by a millisecond or two. A server that
/// is at its limit throttles what comes at once.
const SAVED: f64 = 0.005;

/// A token bucket. Times are those since the run began.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    rate: f64,
    saved: f64,
    filled: Duration,
}

impl Tokens {
    /// A bucket for `rate` tokens a second, that holds one.
    pub(super) fn new(now: Duration, rate: f64) -> Self {
        Self { rate, saved: 1.0, filled: now }
    }

    /// Tokens a second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn set_rate(&mut self, now: Duration, rate: f64) {
        self.fill(now);
        self.rate = rate;
        self.saved = self.saved.min(self.room());
    }

    /// Takes `wanted` tokens, or says how long to wait before the next try. More than the bucket holds
    /// is owed: those who come later wait for it.
    pub(super) fn take(&mut self, now: Duration, wanted: f64) -> Result<(), Duration> {
        self.fill(now);
        let needed = wanted.min(self.room());
        // A little less is enough: sums of times are not exact.
        if self.saved + 1e-6 >= needed {
            self.saved -= wanted;
            return Ok(());
        }
        Err(Duration::from_secs_f64(((needed - self.saved) / self.rate).min(1e6)))
    }

    fn room(&self) -> f64 {
        (self.rate * SAVED).max(1.0)
    }

    fn fill(&mut self, now: Duration) {
        let gone = now.saturating_sub(self.filled).as_secs_f64();
        self.saved = (self.saved + gone * self.rate).min(self.room());
        self.filled = self.filled.max(now);
    }
}

/// Tokens that tasks wait for.
#[derive(Debug)]
pub(super) struct Cap {
    tokens: Mutex<Tokens>,
    turn: tokio::sync::Mutex<()>,
    began: Instant,
}

impl Cap {
    pub(super) fn new(rate: f64) -> Self {
        let tokens = Mutex::new(Tokens::new(Duration::ZERO, rate));
        Self { tokens, turn: tokio::sync::Mutex::default(), began: Instant::now() }
    }

    /// Tokens a second.
    pub(super) fn rate(&self) -> f64 {
        self.lock().rate()
    }

    /// Waits for `wanted` tokens.
    ///
    /// # Cancellation
    /// Safe: nothing is taken before the future is finished.
    pub(super) async fn take(&self, wanted: f64) {
        let _turn = self.turn.lock().await;
        loop {
            let taken = self.lock().take(self.began.elapsed(), wanted);
            let Err(wait) = taken else { return };
            tokio::time::sleep(wait).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cap_is_exact() {
        let cap = Cap::new(50.0);
        let began = Instant::now();
        for _ in 0..201 {
            cap.take(1.0).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        assert!((3.9..4.3).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_bucket_is_owed() {
        let cap = Cap::new(1_000_000.0);
        let began = Instant::now();
        for _ in 0..11 {
            cap.take(500_000.0).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        assert!((4.9..5.2).contains(&seconds), "{seconds}");
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_the_rate(rate in 0.5_f64..1e5, waits in prop::collection::vec(0_u64..50_000, 1..200)) {
            let (mut tokens, mut now, mut taken) = (Tokens::new(Duration::ZERO, rate), Duration::ZERO, 0.0);
            for wait in waits {
                now += Duration::from_micros(wait);
                while tokens.take(now, 1.0).is_ok() {
                    taken += 1.0;
                }
            }
            prop_assert!(taken <= now.as_secs_f64() * rate + (rate * SAVED).max(1.0) + 1.0);
        }
    }
}
