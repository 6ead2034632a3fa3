//! A bucket, as one end's credentials reach it. The calls are in the other files of this room.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::types::RequestPayer;

use super::CustomerKey;
use super::buffers::Buffers;
use super::checksums::Negotiated;
use super::credentials::Renewed;
use super::error::no_credentials;
use super::lean::Lean;
use crate::model::{Checksum, Class, Operation, RequestError};
use crate::pace::{Ask, Pacer, Spot};

/// A bucket that requests can be sent to.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(super) client: aws_sdk_s3::Client,
    /// The short ways of the calls that are made most.
    pub(super) lean: Arc<Lean>,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) request_payer: bool,
    pub(super) expected_owner: Option<String>,
    pub(super) pacer: Arc<Pacer>,
    /// Whether its listings are really encoded where they say so; unset while not known.
    pub(super) encodes_keys: Arc<OnceLock<bool>>,
    /// Whether listings ask how far restores from archives are.
    pub(super) asks_restores: Arc<AtomicBool>,
    /// Whether a listing was answered that asked so: the store knows the question.
    pub(super) tells_restores: Arc<AtomicBool>,
    /// Whether reads may ask for checksums.
    pub(super) reads_checksums: Arc<Negotiated>,
    /// Whether writes may carry checksums.
    pub(super) writes_checksums: Arc<Negotiated>,
    /// Whether writes may say which object they overwrite.
    pub(super) guards_overwrites: Arc<Negotiated>,
    /// The key of SSE-C that its objects are, or will be, encrypted with.
    pub(super) customer_key: Option<CustomerKey>,
    /// Whether bodies are left out of signatures, as the user wants it.
    pub(super) unsigned_payload: bool,
    /// Whether requests go over TLS, which protects their bodies.
    pub(super) tls: bool,
    /// Whether the store has said of a body that it has checked its CRC-64.
    pub(super) confirms: Arc<AtomicBool>,
    /// The memory of bodies.
    pub(super) buffers: Buffers,
    /// Whether some request with this end's credentials has succeeded.
    pub(super) works: Arc<AtomicBool>,
    /// What its requests are signed with; `None` where they are not.
    pub(super) credentials: Option<Arc<Renewed>>,
}

impl Bucket {
    /// Its name, or its access point's ARN.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The region that requests for it are sent to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether it is a directory bucket, which lists its keys in no order ("Differences for directory
    /// buckets" of S3's user guide; its name says so).
    pub fn is_directory(&self) -> bool {
        self.name.ends_with("--x-s3")
    }

    /// The same bucket, whose listings tell how far restores from archives are, where the store knows
    /// that question. (Directory buckets do not: ListObjectsV2 in the S3 API reference.)
    pub fn asking_restores(self) -> Self {
        let asks = !self.is_directory();
        Self { asks_restores: Arc::new(AtomicBool::new(asks)), tells_restores: Arc::default(), ..self }
    }

    /// Whether its listings tell how far restores are, as far as is known.
    pub fn tells_restores(&self) -> bool {
        self.asks_restores.load(Relaxed)
    }

    /// The gate that its requests go through.
    pub fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// Sends a request through the gate. While nothing has succeeded with these credentials, a
    /// signature that does not match means that they are wrong, and not one odd key.
    pub(super) async fn call<T, F, R>(
        &self,
        (operation, key): (Operation, &str),
        allowance: Duration,
        mut request: F,
    ) -> Result<T, RequestError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, RequestError>>,
    {
        let mut was_renewed = false;
        loop {
            self.wait_for_credentials(operation).await?;
            let answer = self.pacer.call(self.question(operation, key, allowance), &mut request).await;
            let mut error = match answer {
                Ok(value) => {
                    self.works.store(true, Relaxed);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if let Some(credentials) = &self.credentials {
                // It was given up while it waited for credentials.
                if error.is_late() && !credentials.is_ready() {
                    continue;
                }
                // A HEAD has no words for credentials that have expired.
                let may_be_expired = operation == Operation::HeadObject && error.status == Some(400) && !was_renewed;
                if may_be_expired && credentials.are_others().await {
                    was_renewed = true;
                    continue;
                }
            }
            let is_of_all = match error.code.as_str() {
                "SignatureDoesNotMatch" => !self.works.load(Relaxed),
                // Neither new credentials nor the server's clock have helped.
                "ExpiredToken" | "TokenRefreshRequired" | "RequestTimeTooSkewed" => true,
                _ => false,
            };
            if is_of_all && error.class != Class::Interrupted {
                error.class = Class::Fatal;
            }
            return Err(error);
        }
    }

    /// Waits until there are credentials, holding no permit.
    async fn wait_for_credentials(&self, operation: Operation) -> Result<(), RequestError> {
        let Some(credentials) = self.credentials.as_ref().filter(|credentials| !credentials.is_ready()) else {
            return Ok(());
        };
        tokio::select! {
            biased;
            () = self.pacer.stop().cancelled() => Err(RequestError::interrupted(operation, 0)),
            provided = credentials.provide() => match provided {
                Ok(_) => Ok(()),
                Err(error) => Err(no_credentials(operation, &error)),
            }
        }
    }

    /// What a request of this bucket asks for.
    pub(super) fn question<'a>(&'a self, operation: Operation, key: &'a str, allowance: Duration) -> Ask<'a> {
        Ask { operation, spot: self.spot(key), allowance }
    }

    /// What a request for this key is limited by.
    pub fn spot<'a>(&'a self, key: &'a str) -> Spot<'a> {
        Spot { bucket: &self.name, key }
    }

    /// Whether bodies from memory need no SHA-256: where the user says so, and where a CRC-64, which is signed,
    /// goes with them and TLS protects them, or the store checks it. Until it has shown that it does, they are
    /// signed whole. Stores that know no CRC-64 are old, and some of them refuse what is unsigned.
    pub(super) fn leaves_bodies_unsigned(&self, with_crc: bool) -> bool {
        self.unsigned_payload || with_crc && (self.tls || self.confirms.load(Relaxed))
    }

    /// Notes that a store has confirmed the checksum of a body.
    pub(super) fn confirmed(&self, checksum: Option<Checksum>) {
        if checksum.is_some() && !self.confirms.load(Relaxed) {
            self.confirms.store(true, Relaxed);
        }
    }

    pub(super) fn payer(&self) -> Option<RequestPayer> {
        self.request_payer.then_some(RequestPayer::Requester)
    }
}
