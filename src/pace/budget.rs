//! The bytes of object bodies that may be in memory at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget is counted in units of this many bytes, since a semaphore gives out at most
/// `u32::MAX` permits at once: 4 TiB in these units.
const UNIT: u64 = 1024;

/// A number of bytes that bodies in memory may take together.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    units: Arc<Semaphore>,
    total: u32,
}

/// Bytes that are taken from the budget until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    _permit: Option<OwnedSemaphorePermit>,
}

impl ByteBudget {
    /// A budget of `bytes` bytes.
    pub fn new(bytes: u64) -> Self {
        let total = units(bytes).max(1);
        Self { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// The largest body that fits.
    pub fn total(&self) -> u64 {
        u64::from(self.total) * UNIT
    }

    /// Waits until `bytes` bytes are free and takes them; more than the budget holds takes all of
    /// it. To be called before a permit is asked for, never while one is held.
    ///
    /// # Cancellation
    /// Safe: nothing is taken until the future is finished.
    pub async fn reserve(&self, bytes: u64) -> Reservation {
        let want = units(bytes).min(self.total);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.units).acquire_many_owned(want).await.ok();
        Reservation { _permit: permit }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_taken_and_given_back() {
        let budget = ByteBudget::new(10 * 1024);
        let first = budget.reserve(6 * 1024).await;
        assert_eq!(budget.units.available_permits(), 4);
        let second = budget.reserve(5 * 1024);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(futures::poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn a_body_larger_than_the_budget_takes_it_all_and_does_not_wait_for_ever() {
        let budget = ByteBudget::new(2048);
        let _all = budget.reserve(1 << 50).await;
        assert_eq!(budget.units.available_permits(), 0);
    }
}
