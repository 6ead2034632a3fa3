//! Which stores take part in checksums, and in conditions: found out by the first request that carries one.

use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::model::{Checksum, Class, Operation, RequestError};

/// What requests may carry, as users read it.
pub(super) const CHECKSUMS: &str = "CRC-64 checksums";

/// What one kind of request may ask of a bucket.
#[derive(Debug)]
pub(super) struct Negotiated {
    /// As users read it.
    what: &'static str,
    known: AtomicU8,
}

impl Negotiated {
    const UNKNOWN: u8 = 0;
    const TAKEN: u8 = 1;
    const REFUSED: u8 = 2;

    /// Nothing is known of `what` yet.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, known: AtomicU8::new(Self::UNKNOWN) }
    }

    /// Sends a request with it (`true`), or without where the bucket refuses it. A refusal
    /// is believed only if the same request without it is answered.
    pub(super) async fn call<T, F, R>(&self, mut request: F) -> Result<T, RequestError>
    where
        F: FnMut(bool) -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        let known = self.known.load(Relaxed);
        if known == Self::REFUSED {
            return request(false).await;
        }
        let answer = request(true).await;
        match &answer {
            Ok(_) => {
                if known == Self::UNKNOWN {
                    self.known.store(Self::TAKEN, Relaxed);
                }
                answer
            }
            Err(error) if known == Self::UNKNOWN && may_be_refusal(error) => {
                let Ok(without) = request(false).await else { return answer };
                tracing::info!(operation = %error.operation, code = error.code, "this store refuses {}", self.what);
                self.known.store(Self::REFUSED, Relaxed);
                Ok(without)
            }
            Err(_) => answer,
        }
    }
}

fn may_be_refusal(error: &RequestError) -> bool {
    error.class == Class::Permanent && matches!(error.status, Some(400 | 501))
}

/// Compares two checksums of the same bytes, where both are known.
///
/// # Errors
/// A mismatch, with both values: a fault of the moment, to be sent again.
pub(super) fn compare(
    operation: Operation,
    sent: Option<Checksum>,
    answered: Option<Checksum>,
) -> Result<(), RequestError> {
    match (sent, answered) {
        (Some(sent), Some(answered)) if sent != answered => Err(mismatch(operation, sent, answered)),
        _ => Ok(()),
    }
}

/// The error for bytes that are not those that they should be.
pub fn mismatch(operation: Operation, source: Checksum, other: Checksum) -> RequestError {
    let message = format!("the checksum of the source is {source}, that of the copy {other}");
    RequestError::local(operation, Class::Transient, "ChecksumMismatch", message)
}
