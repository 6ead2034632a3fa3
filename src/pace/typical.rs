//! How long requests take in this run, and how long one is waited for because of that. Pure.

use std::time::Duration;

use crate::model::Operation;

/// What a small request is waited for at least: a network takes that long now and then.
const LEAST: Duration = Duration::from_secs(2);

/// A request that takes so many times as long as the median is taken for lost.
const TIMES: u32 = 20;

/// So many answers make a median.
const ENOUGH: u32 = 16;

/// What a small request is waited for while there is no median.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Buckets of times: each is a quarter longer than the one before, from 1 ms to over an hour.
const BUCKETS: usize = 72;
const WIDTH: f64 = 1.25;

/// Answers after which old ones count half.
const MEMORY: u32 = 1_000;

/// Classes of requests by the bytes that they move.
const CLASSES: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Times {
    buckets: [u32; BUCKETS],
    total: u32,
}

impl Times {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    #[allow(clippy::cast_precision_loss, reason = "few buckets")]
    fn add(&mut self, took: Duration) {
        let bucket = (took.as_secs_f64() * 1_000.0).max(1.0).log(WIDTH).clamp(0.0, BUCKETS as f64 - 1.0) as usize;
        self.buckets[bucket] += 1;
        self.total += 1;
        if self.total >= MEMORY {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.total = self.buckets.iter().sum();
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "few buckets")]
    fn median(&self) -> Option<Duration> {
        let mut below = 0;
        let middle = |count: &u32| {
            below += count;
            below * 2 >= self.total
        };
        let bucket = self.buckets.iter().position(middle).filter(|_| self.total >= ENOUGH)?;
        Some(Duration::from_secs_f64(WIDTH.powi(bucket as i32 + 1) / 1_000.0))
    }
}

/// The times of a run's requests, by operation and by the time that their bytes may take.
#[derive(Debug)]
pub(super) struct Typical(Vec<Times>);

impl Default for Typical {
    fn default() -> Self {
        Self(vec![Times { buckets: [0; BUCKETS], total: 0 }; Operation::ALL.len() * CLASSES])
    }
}

impl Typical {
    /// Takes in how long a request took whose bytes may take `allowance`.
    pub(super) fn add(&mut self, operation: Operation, allowance: Duration, took: Duration) {
        self.0[index(operation, allowance)].add(took);
    }

    /// How long such a request is waited for, that was given up `cut` times: at most `ceiling`.
    pub(super) fn deadline(&self, operation: Operation, allowance: Duration, cut: u32, ceiling: Duration) -> Duration {
        let median = self.0[index(operation, allowance)].median();
        let usual = match median {
            Some(median) => (median * TIMES).max(LEAST),
            None if class(allowance) == 0 => UNKNOWN,
            None => return ceiling,
        };
        usual.saturating_mul(2_u32.saturating_pow(cut)).min(ceiling)
    }
}

fn index(operation: Operation, allowance: Duration) -> usize {
    operation as usize * CLASSES + class(allowance)
}

/// The class of an allowance: a factor of four each, from a second on.
fn class(allowance: Duration) -> usize {
    let seconds = allowance.as_secs();
    let bits = (u64::BITS - seconds.leading_zeros()).div_ceil(2);
    usize::try_from(bits).unwrap_or_default().min(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: Duration = Duration::from_secs(60);
    const COPY: Operation = Operation::CopyObject;

    fn after(times: &[u64]) -> Typical {
        let mut typical = Typical::default();
        for millis in times {
            typical.add(COPY, Duration::ZERO, Duration::from_millis(*millis));
        }
        typical
    }

    #[test]
    fn a_request_is_waited_for_as_long_as_is_usual() {
        let deadline = |typical: &Typical| typical.deadline(COPY, Duration::ZERO, 0, CEILING).as_secs_f64();
        assert!((deadline(&after(&[])) - 5.0).abs() < 0.01);
        assert!((deadline(&after(&[10; 20])) - 2.0).abs() < 0.01);
        assert!((9.0..15.0).contains(&deadline(&after(&[500; 20]))));
        assert!((deadline(&after(&[30_000; 20])) - 60.0).abs() < 0.01);
        let mostly_quick: Vec<u64> = (0..100).map(|n| if n % 5 == 0 { 9_000 } else { 20 }).collect();
        assert!((deadline(&after(&mostly_quick)) - 2.0).abs() < 0.01);
    }

    #[test]
    fn one_that_was_given_up_is_waited_for_longer() {
        let typical = after(&[10; 20]);
        let deadlines = [0, 1, 2, 9].map(|cut| typical.deadline(COPY, Duration::ZERO, cut, CEILING).as_secs());
        assert_eq!(deadlines, [2, 4, 8, 60]);
    }

    #[test]
    fn large_requests_have_times_of_their_own() {
        let typical = after(&[10; 20]);
        let hour = Duration::from_secs(3_600);
        assert_eq!(typical.deadline(COPY, hour, 0, hour + CEILING), hour + CEILING);
        assert_eq!(typical.deadline(Operation::GetObject, Duration::ZERO, 0, CEILING), UNKNOWN);
    }
}
