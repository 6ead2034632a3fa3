//! How fast: who may send a request, when it is sent again, and how many bytes may be in memory.
//!
//! Every request of s3bulk goes through [`Pacer::call`]: the retry loop is outside, the permit
//! inside, so that a request that waits for its retry holds no permit. The `backoff` crate is used
//! in this room only.

mod budget;
mod retry;
mod stats;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use budget::{ByteBudget, Reservation};
pub use retry::RetryPolicy;
pub use stats::{Sent, Stats};

use crate::model::{Class, Operation, RequestError};

/// What a copy within the store is assumed to move at least: bytes per second. S3 copies at tens of
/// MB/s. Chosen, not measured.
const SLOWEST_COPY: u64 = 5_000_000;

/// What one upload is assumed to move at least, where many share a slow link: bytes per second.
/// Chosen, not measured.
const SLOWEST_TRANSFER: u64 = 100_000;

/// What is tidied up while the user waits for the end.
const LAST_ATTEMPTS: RetryPolicy = RetryPolicy { attempts: 3 };

/// The time that a copy of `bytes` bytes within the store may take beyond that of an empty one.
pub fn copy_allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_COPY)
}

/// The time that `bytes` bytes of a body may take on their way, beyond that of an empty one.
pub fn transfer_allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_TRANSFER)
}

/// The one gate in front of every request of a run.
#[derive(Debug)]
pub struct Pacer {
    permits: Semaphore,
    retry: RetryPolicy,
    request_timeout: Duration,
    stop: CancellationToken,
    stats: Stats,
}

impl Pacer {
    /// A gate for `concurrency` requests at once, that opens no more once `stop` is cancelled.
    ///
    /// `request_timeout` is what a request without a body may take, and what a body may pause.
    pub fn new(
        concurrency: usize,
        retry: RetryPolicy,
        request_timeout: Duration,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let permits = Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Self { permits, retry, request_timeout, stop, stats: Stats::default() })
    }

    /// What was sent so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The signal that ends the run.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How long a request without a body may take, and a body may pause.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Sends a request again and again until it succeeds, cannot succeed, or has had its attempts.
    /// Each attempt may take `allowance` more than a request without a body. The permit is held
    /// until the future that `request` returns is finished, so that future must consume the whole
    /// answer.
    ///
    /// # Errors
    /// The last attempt's error with the number of attempts; [`Class::Interrupted`] when the run
    /// is draining and the request was not, or not again, sent.
    ///
    /// # Cancellation
    /// Dropping the future drops the request that is under way: whether the server did its work is
    /// then unknown.
    pub async fn call<T, F, R>(&self, operation: Operation, allowance: Duration, request: F) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        self.call_with(&self.retry, operation, allowance, request).await
    }

    /// The same, with other attempts: before the work begins, the user waits for the answer.
    ///
    /// # Errors
    /// Those of [`Pacer::call`].
    pub async fn call_with<T, F, R>(
        &self,
        retry: &RetryPolicy,
        operation: Operation,
        allowance: Duration,
        request: F,
    ) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        self.call_until(&self.stop, retry, operation, allowance, request).await
    }

    /// The same for what is to be tidied up: once the run is draining, it is tried a few times more.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn last_call<T, F, R>(&self, operation: Operation, mut request: F) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        match self.call(operation, Duration::ZERO, &mut request).await {
            Err(error) if error.class == Class::Interrupted => {
                let never = CancellationToken::new();
                self.call_until(&never, &LAST_ATTEMPTS, operation, Duration::ZERO, request).await
            }
            answer => answer,
        }
    }

    async fn call_until<T, F, R>(
        &self,
        stop: &CancellationToken,
        retry: &RetryPolicy,
        operation: Operation,
        allowance: Duration,
        mut request: F,
    ) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        let deadline = self.request_timeout.saturating_add(allowance);
        let mut waits = retry.waits();
        let mut attempts = 0;
        loop {
            let Some(permit) = self.permit(stop).await else {
                return Err(RequestError::interrupted(operation, attempts));
            };
            attempts += 1;
            let sent = self.stats.sent(operation);
            let answer = tokio::time::timeout(deadline, request()).await;
            drop(sent);
            drop(permit);
            let mut error = match answer {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_) => timed_out(operation, deadline),
            };
            error.attempts = attempts;
            self.stats.failed(&error);
            let wait = if error.class.is_retryable() { waits.next(error.class) } else { None };
            let Some(wait) = wait else { return Err(error) };
            tracing::debug!(%error, ?wait, "request failed, will be sent again");
            self.stats.retried();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return Err(RequestError::interrupted(operation, attempts)),
            }
        }
    }

    /// A permit, or `None` once the run is draining.
    async fn permit(&self, stop: &CancellationToken) -> Option<tokio::sync::SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            permit = self.permits.acquire() => permit.ok(),
        }
    }
}

fn timed_out(operation: Operation, deadline: Duration) -> RequestError {
    let message = format!("no complete answer within {} s", deadline.as_secs_f64());
    RequestError::local(operation, Class::Transient, "RequestTimeout", message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    fn pacer(concurrency: usize, attempts: u32) -> Arc<Pacer> {
        let retry = RetryPolicy { attempts };
        Pacer::new(concurrency, retry, Duration::from_secs(60), CancellationToken::new())
    }

    fn error(class: Class) -> RequestError {
        RequestError::local(Operation::CopyObject, class, "Code", "message")
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_retried_until_it_is_gone() {
        let (pacer, calls) = (pacer(1, 10), AtomicU32::new(0));
        let answer = pacer
            .call(Operation::CopyObject, Duration::ZERO, || async {
                if calls.fetch_add(1, SeqCst) < 4 { Err(error(Class::Transient)) } else { Ok(7) }
            })
            .await;
        assert_eq!(answer.unwrap(), 7);
        assert_eq!((calls.load(SeqCst), pacer.stats().retries()), (5, 4));
        assert_eq!(pacer.stats().requests(Operation::CopyObject), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_and_end() {
        let pacer = pacer(1, 3);
        let answer: Result<(), _> =
            pacer.call(Operation::CopyObject, Duration::ZERO, || async { Err(error(Class::Throttled)) }).await;
        assert_eq!(answer.unwrap_err().attempts, 3);
        assert_eq!(pacer.stats().throttled(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_retry_mends_is_not_retried() {
        for class in [Class::Denied, Class::Permanent, Class::Missing, Class::Fatal] {
            let pacer = pacer(1, 10);
            let answer: Result<(), _> =
                pacer.call(Operation::CopyObject, Duration::ZERO, || async { Err(error(class)) }).await;
            assert_eq!(answer.unwrap_err().attempts, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_for_its_retry_holds_no_permit() {
        let pacer = pacer(1, 10);
        let failing = {
            let pacer = Arc::clone(&pacer);
            tokio::spawn(async move {
                pacer
                    .call::<(), _, _>(Operation::CopyObject, Duration::ZERO, || async { Err(error(Class::Transient)) })
                    .await
            })
        };
        while pacer.stats().retries() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pacer.permits.available_permits(), 1);
        failing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_cut_and_tried_again() {
        let (pacer, calls) = (pacer(1, 10), AtomicU32::new(0));
        let answer = pacer
            .call(Operation::GetObject, Duration::ZERO, || async {
                if calls.fetch_add(1, SeqCst) == 0 {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
            .await;
        assert!(answer.is_ok());
        assert_eq!(calls.load(SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_run_lets_requests_end_and_sends_no_more() {
        let pacer = pacer(1, 10);
        let slow = {
            let pacer = Arc::clone(&pacer);
            tokio::spawn(async move {
                let work = || async {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    Ok(1)
                };
                pacer.call(Operation::CopyObject, Duration::ZERO, work).await
            })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        pacer.stop().cancel();
        assert_eq!(slow.await.unwrap().unwrap(), 1);
        let refused: Result<(), _> = pacer.call(Operation::CopyObject, Duration::ZERO, || async { Ok(()) }).await;
        assert_eq!(refused.unwrap_err().class, Class::Interrupted);
    }

    #[test]
    fn the_allowance_grows_with_the_bytes() {
        assert_eq!(copy_allowance(5 << 30), Duration::from_secs(1073));
        assert_eq!(transfer_allowance(64 << 20), Duration::from_secs(671));
    }
}
