//! Which stores take part in checksums: found out by the first request that carries one.

use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::model::{Checksum, Class, Operation, RequestError};

/// What one kind of request may ask of a bucket.
#[derive(Debug, Default)]
pub(super) struct Negotiated(AtomicU8);

impl Negotiated {
    const UNKNOWN: u8 = 0;
    const TAKEN: u8 = 1;
    const REFUSED: u8 = 2;

    /// Sends a request with checksums (`true`), or without where the bucket refuses them. A refusal
    /// is believed only if the same request without them is answered.
    pub(super) async fn call<T, F, R>(&self, mut request: F) -> Result<T, RequestError>
    where
        F: FnMut(bool) -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        let known = self.0.load(Relaxed);
        if known == Self::REFUSED {
            return request(false).await;
        }
        let answer = request(true).await;
        match &answer {
            Ok(_) => {
                if known == Self::UNKNOWN {
                    self.0.store(Self::TAKEN, Relaxed);
                }
                answer
            }
            Err(error) if known == Self::UNKNOWN && may_be_refusal(error) => {
                let Ok(without) = request(false).await else { return answer };
                tracing::info!(operation = %error.operation, code = error.code, "this store refuses CRC-64 checksums");
                self.0.store(Self::REFUSED, Relaxed);
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
