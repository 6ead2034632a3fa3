//! How long to wait before a request is sent again: exponential, with full jitter.

use std::time::Duration;

use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

use crate::model::Class;

/// The first wait after a fault, on average: faults pass quickly.
const FIRST_WAIT_FAULT: Duration = Duration::from_millis(100);
/// The first wait after a throttle, on average: the server needs relief first.
const FIRST_WAIT_THROTTLE: Duration = Duration::from_millis(500);
/// The longest wait, on average. *Source:* the standard retry mode of the AWS SDKs caps at 20 s.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// When to give up on a request.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// How many times a request is sent at most, the first time included, as long as the server does not
    /// merely ask for patience.
    pub attempts: u32,
    /// How long a request is tried in all.
    pub patience: Duration,
}

/// Being asked to slow down may happen so many times as often: it is no fault.
const PATIENCE: u32 = 3;

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 10, patience: Duration::from_secs(15 * 60) }
    }
}

impl RetryPolicy {
    /// The waits of one request.
    pub(super) fn waits(&self) -> Waits {
        let left = self.attempts.saturating_sub(1);
        Waits { left, throttles: left.saturating_mul(PATIENCE), fault: None, throttle: None }
    }
}

/// The waits of one request: one sequence for faults, a longer one for throttles.
pub(super) struct Waits {
    left: u32,
    throttles: u32,
    fault: Option<ExponentialBackoff>,
    throttle: Option<ExponentialBackoff>,
}

impl Waits {
    /// How long to wait before the next attempt; `None` when the attempts are used up.
    pub(super) fn next(&mut self, class: Class) -> Option<Duration> {
        let (left, waits, first) = match class {
            Class::Throttled => (&mut self.throttles, &mut self.throttle, FIRST_WAIT_THROTTLE),
            _ => (&mut self.left, &mut self.fault, FIRST_WAIT_FAULT),
        };
        *left = left.checked_sub(1)?;
        waits.get_or_insert_with(|| exponential(first)).next_backoff()
    }
}

/// Doubling waits, each drawn evenly from nothing to twice its mean.
fn exponential(first: Duration) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(first)
        .with_multiplier(2.0)
        .with_randomization_factor(1.0)
        .with_max_interval(LONGEST_WAIT)
        .with_max_elapsed_time(None)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(class: Class, nth: usize) -> f64 {
        let draws = 400;
        let wait = |_| {
            let mut waits = RetryPolicy { attempts: 20, ..RetryPolicy::default() }.waits();
            (0..=nth).filter_map(|_| waits.next(class)).last().unwrap().as_secs_f64()
        };
        (0..draws).map(wait).sum::<f64>() / f64::from(draws)
    }

    #[test]
    fn waits_double_and_throttles_wait_longer() {
        assert!((0.07..0.13).contains(&mean(Class::Transient, 0)));
        assert!((0.3..0.5).contains(&mean(Class::Transient, 2)));
        assert!((1.6..2.4).contains(&mean(Class::Throttled, 2)));
        assert!((16.0..24.0).contains(&mean(Class::Throttled, 12)));
    }

    #[test]
    fn the_first_attempt_counts() {
        let mut waits = RetryPolicy { attempts: 3, ..RetryPolicy::default() }.waits();
        let waited = std::iter::from_fn(|| waits.next(Class::Transient)).count();
        assert_eq!(waited, 2);
        let waited = std::iter::from_fn(|| waits.next(Class::Throttled)).count();
        assert_eq!(waited, 6);
    }
}
