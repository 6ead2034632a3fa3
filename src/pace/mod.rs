//! How fast: who may send a request, when it is sent again, and how many bytes may be in memory.
//!
//! Every request of s3bulk goes through [`Pacer::call`]: the retry loop is outside, the permit
//! inside, so that a request that waits for its retry holds no permit. The `backoff` crate is used
//! in this room only.

mod at_once;
mod budget;
mod cap;
mod gates;
mod kind;
mod limit;
mod partition;
mod permits;
mod retry;
mod stats;
mod typical;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use budget::{ByteBudget, Reservation};
pub use gates::{Slowed, Spot};
pub use kind::Kind;
pub use permits::{Permit, Permits};
pub use retry::RetryPolicy;
pub use stats::{Sent, Stats};

use crate::model::{Class, Operation, RequestError};
use cap::Cap;
use gates::{Asks, Gates};
use typical::Typical;

/// What a copy within the store is assumed to move at least: bytes per second. S3 copies at tens of
/// MB/s. Chosen, not measured.
const SLOWEST_COPY: u64 = 5_000_000;

/// What one upload is assumed to move at least, where many share a slow link: bytes per second.
/// Chosen, not measured.
const SLOWEST_TRANSFER: u64 = 100_000;

/// What is tidied up while the user waits for the end.
const LAST_ATTEMPTS: RetryPolicy = RetryPolicy { attempts: 3, patience: Duration::from_secs(60) };

/// How often it is looked whether a request that is under way has become late: what is usual may not
/// have been known when it was sent.
const LOOK: Duration = Duration::from_millis(500);

/// Requests in flight at first: connections are not opened by the hundred at once.
const FIRST: usize = 32;

/// How long a body may pause at least, and at most. *Source* of the latter: the grace of the AWS SDK's
/// stalled-stream protection is 20 s.
const PAUSE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];

/// The time that a copy of `bytes` bytes within the store may take beyond that of an empty one.
pub fn copy_allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_COPY)
}

/// The time that `bytes` bytes of a body may take on their way, beyond that of an empty one.
pub fn transfer_allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_TRANSFER)
}

/// How fast a run may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests at once.
    pub concurrency: usize,
    /// When to give up on a request.
    pub retry: RetryPolicy,
    /// The longest that a request without a body may take.
    pub request_timeout: Duration,
    /// Requests/s; `None` for any.
    pub max_rps: Option<f64>,
    /// Bytes/s of bodies that are read by this machine; `None` for any.
    pub bandwidth: Option<u64>,
}

/// What is asked for by a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The call.
    pub operation: Operation,
    /// What it is about.
    pub spot: Spot<'a>,
    /// The time that it may take beyond that of a request without a body.
    pub allowance: Duration,
}

/// The one gate in front of every request of a run.
#[derive(Debug)]
pub struct Pacer {
    bounds: Bounds,
    permits: Permits,
    gates: Gates,
    requests: Option<Cap>,
    bytes: Option<Cap>,
    typical: Mutex<Typical>,
    stop: CancellationToken,
    stats: Stats,
}

impl Pacer {
    /// A gate that opens no more once `stop` is cancelled.
    pub fn new(bounds: Bounds, stop: CancellationToken) -> Arc<Self> {
        #[allow(clippy::cast_precision_loss, reason = "bytes/s")]
        let bytes = bounds.bandwidth.map(|bytes| Cap::new(bytes as f64));
        Arc::new(Self {
            bounds,
            permits: Permits::new(FIRST, bounds.concurrency),
            gates: Gates::default(),
            requests: bounds.max_rps.map(Cap::new),
            bytes,
            typical: Mutex::default(),
            stop,
            stats: Stats::default(),
        })
    }

    /// What was sent so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The signal that ends the run.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How many requests may be in flight at the moment.
    pub fn at_once(&self) -> usize {
        self.permits.limit()
    }

    /// The ranges of keys that the store slowed down, the worst first.
    pub fn slowed(&self) -> Vec<Slowed> {
        self.gates.slowed()
    }

    /// Whether the store has never asked to slow down.
    pub fn is_calm(&self) -> bool {
        self.gates.is_calm()
    }

    /// Whether enough requests wait for their turn where one of this kind for this key would have to.
    pub fn is_crowded(&self, spot: Spot<'_>, kind: Kind) -> bool {
        self.gates.is_crowded(spot, kind)
    }

    /// How long a body may pause: told by how long GetObject takes in this run.
    pub fn body_pause(&self) -> Duration {
        let usual = self.typical().deadline(Operation::GetObject, Duration::ZERO, 2, PAUSE[1]);
        usual.max(PAUSE[0]).min(self.bounds.request_timeout)
    }

    /// No more attempts than this run has.
    pub fn patience_of(&self, retry: RetryPolicy) -> RetryPolicy {
        RetryPolicy { attempts: retry.attempts.min(self.bounds.retry.attempts), ..retry }
    }

    /// Waits until `bytes` more bytes of bodies may be read. `false` where the run is draining, and does
    /// not wait for them.
    ///
    /// # Cancellation
    /// Safe: nothing is taken before the future is finished.
    pub async fn read(&self, bytes: usize) -> bool {
        let Some(cap) = &self.bytes else { return true };
        #[allow(clippy::cast_precision_loss, reason = "a piece of a body")]
        let taken = cap.take(bytes as f64);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = taken => true,
        }
    }

    /// Sends a request again and again until it succeeds, cannot succeed, or has had its attempts. The
    /// permit is held until the future that `request` returns is finished, so that future must consume
    /// the whole answer.
    ///
    /// # Errors
    /// The last attempt's error with the number of attempts; [`Class::Interrupted`] when the run
    /// is draining and the request was not, or not again, sent.
    ///
    /// # Cancellation
    /// Dropping the future drops the request that is under way: whether the server did its work is
    /// then unknown.
    pub async fn call<T, F, R>(&self, ask: Ask<'_>, request: F) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        self.call_with(&self.bounds.retry, ask, request).await
    }

    /// The same, with other attempts: before the work begins, the user waits for the answer.
    ///
    /// # Errors
    /// Those of [`Pacer::call`].
    pub async fn call_with<T, F, R>(&self, retry: &RetryPolicy, ask: Ask<'_>, request: F) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        self.call_until(&self.stop, retry, ask, request).await
    }

    /// The same for what is to be tidied up: once the run is draining, it is tried a few times more.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn last_call<T, F, R>(&self, ask: Ask<'_>, mut request: F) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        match self.call(ask, &mut request).await {
            Err(error) if error.class == Class::Interrupted => {
                self.call_until(&CancellationToken::new(), &LAST_ATTEMPTS, ask, request).await
            }
            answer => answer,
        }
    }

    async fn call_until<T, F, R>(
        &self,
        stop: &CancellationToken,
        retry: &RetryPolicy,
        ask: Ask<'_>,
        mut request: F,
    ) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        let operation = ask.operation;
        let mut waits = retry.waits();
        let (mut attempts, mut cut) = (0, 0);
        let began = Instant::now();
        loop {
            let admitted = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                admitted = self.admit(ask) => Some(admitted),
            };
            let Some((gate, permit)) = admitted else {
                return Err(RequestError::interrupted(operation, attempts));
            };
            attempts += 1;
            let sent = self.stats.sent(operation);
            let sent_at = self.gates.now();
            // Kilobytes, which would be moved again and again with all that it is nested in.
            let answer = self.in_time(stop, ask, cut, Box::pin(request())).await;
            drop(sent);
            self.permits.ended(permit, work(ask, answer.is_ok()));
            self.gates.answered(&gate, ask.spot, operation.into(), sent_at, asks(operation, answer.as_ref().err()));
            let mut error = match answer {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            error.attempts = attempts;
            self.stats.failed(&error);
            cut += u32::from(error.is_late());
            let wait = if error.class.is_retryable() { waits.next(error.class) } else { None };
            let asked_for = error.retry_after.unwrap_or_default();
            let wait = wait.map(|wait| wait.max(asked_for));
            let Some(wait) = wait.filter(|wait| began.elapsed() + *wait <= retry.patience) else { return Err(error) };
            tracing::debug!(%error, ?wait, "request failed, will be sent again");
            self.stats.retried();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return Err(RequestError::interrupted(operation, attempts)),
            }
        }
    }

    /// Waits for the turn of a request: at the limits, for a permit, and for the cap.
    async fn admit(&self, ask: Ask<'_>) -> (Arc<gates::Gate>, Permit) {
        loop {
            let (gate, epoch) = self.gates.pass(ask.spot, ask.operation.into()).await;
            let permit = self.permits.acquire().await;
            // A limit that was found meanwhile holds for those who waited for a permit, too.
            if self.gates.epoch() == epoch {
                if let Some(cap) = &self.requests {
                    // Last: what waited for a permit must not come all at once.
                    cap.take(1.0).await;
                }
                return (gate, permit);
            }
        }
    }

    /// Waits for an answer as long as is usual in this run, and longer if `cut` attempts before it were
    /// given up.
    async fn in_time<T>(
        &self,
        stop: &CancellationToken,
        ask: Ask<'_>,
        cut: u32,
        mut request: impl Future<Output = Result<T, RequestError>> + Unpin,
    ) -> Result<T, RequestError> {
        let began = Instant::now();
        let allowance = ask.allowance.saturating_add(self.for_bandwidth(ask.allowance));
        let ceiling = self.bounds.request_timeout.saturating_add(allowance);
        loop {
            // The end of a run waits for no request longer than is usual.
            let cut = if stop.is_cancelled() { 0 } else { cut };
            let deadline = self.typical().deadline(ask.operation, allowance, cut, ceiling);
            let gone = began.elapsed();
            let Some(left) = deadline.checked_sub(gone).filter(|left| !left.is_zero()) else {
                self.typical().add(ask.operation, allowance, gone);
                return Err(late(ask.operation, gone));
            };
            tokio::select! {
                biased;
                answer = &mut request => {
                    if answer.is_ok() {
                        self.typical().add(ask.operation, allowance, began.elapsed());
                    }
                    return answer;
                }
                () = tokio::time::sleep(left.min(LOOK)) => {}
            }
        }
    }

    /// What bodies take longer because all that are under way share a bandwidth.
    fn for_bandwidth(&self, allowance: Duration) -> Duration {
        let Some(cap) = &self.bytes else { return Duration::ZERO };
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let bytes = allowance.as_secs_f64() * SLOWEST_TRANSFER as f64;
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let at_once = self.bounds.concurrency as f64;
        Duration::from_secs_f64((2.0 * at_once * bytes / cap.rate()).min(1e7))
    }

    fn typical(&self) -> MutexGuard<'_, Typical> {
        self.typical.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer asks for.
fn asks(operation: Operation, error: Option<&RequestError>) -> Asks {
    // What another store said, from which the body of a request came, is not for this one.
    match error.filter(|error| error.class == Class::Throttled && error.operation == operation) {
        None => Asks::Nothing,
        Some(error) if error.is_of_kms() => Asks::SlowDownKms,
        Some(_) => Asks::SlowDown,
    }
}

/// What a request adds to the throughput: one operation, and its bytes.
fn work(ask: Ask<'_>, succeeded: bool) -> f64 {
    if succeeded { 1.0 + ask.allowance.as_secs_f64() } else { 0.0 }
}

fn late(operation: Operation, waited: Duration) -> RequestError {
    let message = format!("no complete answer within {:.1} s", waited.as_secs_f64());
    RequestError::local(operation, Class::Transient, RequestError::LATE, message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    fn pacer(concurrency: usize, attempts: u32) -> Arc<Pacer> {
        let retry = RetryPolicy { attempts, ..RetryPolicy::default() };
        let request_timeout = Duration::from_secs(60);
        let bounds = Bounds { concurrency, retry, request_timeout, max_rps: None, bandwidth: None };
        Pacer::new(bounds, CancellationToken::new())
    }

    const COPY: Ask<'static> =
        Ask { operation: Operation::CopyObject, spot: Spot { bucket: "b", key: "k" }, allowance: Duration::ZERO };

    fn error(class: Class) -> RequestError {
        RequestError::local(Operation::CopyObject, class, "Code", "message")
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_retried_until_it_is_gone() {
        let (pacer, calls) = (pacer(1, 10), AtomicU32::new(0));
        let answer = pacer
            .call(COPY, || async { if calls.fetch_add(1, SeqCst) < 4 { Err(error(Class::Transient)) } else { Ok(7) } })
            .await;
        assert_eq!(answer.unwrap(), 7);
        assert_eq!((calls.load(SeqCst), pacer.stats().retries()), (5, 4));
        assert_eq!(pacer.stats().requests(Operation::CopyObject), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_and_end() {
        let pacer = pacer(1, 3);
        let answer: Result<(), _> = pacer.call(COPY, || async { Err(error(Class::Throttled)) }).await;
        assert_eq!(answer.unwrap_err().attempts, 7);
        assert_eq!(pacer.stats().throttled(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_retry_mends_is_not_retried() {
        for class in [Class::Denied, Class::Permanent, Class::Missing, Class::Fatal] {
            let pacer = pacer(1, 10);
            let answer: Result<(), _> = pacer.call(COPY, || async { Err(error(class)) }).await;
            assert_eq!(answer.unwrap_err().attempts, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_for_its_retry_holds_no_permit() {
        let pacer = pacer(1, 10);
        let failing = {
            let pacer = Arc::clone(&pacer);
            tokio::spawn(async move { pacer.call::<(), _, _>(COPY, || async { Err(error(Class::Transient)) }).await })
        };
        while pacer.stats().retries() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pacer.permits.free(), 1);
        failing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_cut_and_tried_again() {
        let (pacer, calls) = (pacer(1, 10), AtomicU32::new(0));
        let answer = pacer
            .call(COPY, || async {
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
                pacer.call(COPY, work).await
            })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        pacer.stop().cancel();
        assert_eq!(slow.await.unwrap().unwrap(), 1);
        let refused: Result<(), _> = pacer.call(COPY, || async { Ok(()) }).await;
        assert_eq!(refused.unwrap_err().class, Class::Interrupted);
    }

    #[test]
    fn the_allowance_grows_with_the_bytes() {
        assert_eq!(copy_allowance(5 << 30), Duration::from_secs(1073));
        assert_eq!(transfer_allowance(64 << 20), Duration::from_secs(671));
    }
}
