//! The outer layer: it names each request, counts it, and gives it latency and faults before
//! (or after) the S3 calls see it. It knows HTTP and nothing of what S3 means.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::header::{CONTENT_RANGE, CONTENT_TYPE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use s3s::Body;
use s3s::service::S3Service;

use crate::config::{Checksums, Config};
use crate::connection::ResetSwitch;
use crate::counters::Counters;
use crate::faults::{Fault, Faults};
use crate::object::hide_odd_values;
use crate::operation::{Operation, Target};
use crate::store::Store;
use crate::xml::DECLARATION;
use damage::Silence;
use incoming::Shared;

mod damage;
mod incoming;

/// The outer layer, shared by all connections.
pub(crate) struct Front {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    service: S3Service,
    config: Config,
    answers: AtomicU64,
}

/// Returned to hyper, it ends the connection without an answer.
#[derive(Debug)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped without an answer")
    }
}

impl std::error::Error for Dropped {}

impl Front {
    pub(crate) fn new(store: Store, service: S3Service, config: Config) -> Front {
        let faults = Faults::new(config.seed);
        let counters = Counters::new(config.record_keys);
        Front { store, faults, counters, service, config, answers: AtomicU64::new(0) }
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        switch: &ResetSwitch,
    ) -> Result<Response<Body>, Dropped> {
        let (parts, body) = request.into_parts();
        let target = Target::of(&parts);
        let _in_flight = self.counters.count_request(target.operation, &parts.uri);
        let latency = self.latency_of(target.operation);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let answered = match self.faults.decide(&target) {
            None => self.work(parts, body, &target).await,
            Some(fault) => self.fail(fault, parts, body, &target, switch).await,
        };
        match answered {
            Ok(mut response) => {
                self.add_request_ids(response.headers_mut());
                Ok(response)
            }
            Err(dropped) => {
                switch.flip();
                Err(dropped)
            }
        }
    }

    fn latency_of(&self, operation: Operation) -> Duration {
        let listing = operation == Operation::ListObjectsV2;
        self.config.latency + if listing { self.config.list_latency } else { Duration::ZERO }
    }

    /// Has the S3 calls do the work.
    async fn work(&self, parts: Parts, body: Incoming, target: &Target) -> Result<Response<Body>, Dropped> {
        self.work_on(parts, body, target, std::convert::identity).await
    }

    /// Has the S3 calls do the work on what becomes of the request's body.
    async fn work_on(
        &self,
        mut parts: Parts,
        body: Incoming,
        target: &Target,
        change: fn(Body) -> Body,
    ) -> Result<Response<Body>, Dropped> {
        let shared = Shared::new(body);
        if let Some(refusal) = self.refuse(&parts.headers, target) {
            shared.drain().await?;
            return Ok(refusal);
        }
        let mut body = Body::http_body_unsync(shared.clone());
        if self.config.accounts.is_empty() {
            body = incoming::without_signature(&mut parts, body);
            hide_odd_values(&mut parts.headers);
        }
        body = change(body);
        if !matches!(target.operation, Operation::PutObject | Operation::UploadPart) {
            let collected = body.collect().await;
            shared.drain().await?;
            let Ok(collected) = collected else { return Ok(error(StatusCode::BAD_REQUEST, "IncompleteBody")) };
            body = Body::from(collected.to_bytes());
        }
        let answered = self.service.call(Request::from_parts(parts, body)).await;
        shared.drain().await?;
        let mut response = answered.map_err(|_| Dropped)?;
        if response.status().as_u16() < 400 {
            self.counters.count_completed(target);
        }
        if target.operation == Operation::HeadObject && response.headers().contains_key(CONTENT_RANGE) {
            // The protocol layer answers GetObject so, and forgets it here.
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        if let Some(status) = response.extensions_mut().remove::<StatusCode>() {
            // The protocol layer forgets the one that a call gives its answer.
            *response.status_mut() = status;
        }
        if !matches!(target.operation, Operation::GetObject | Operation::ListObjectsV2) {
            escape_control_characters(&mut response);
        }
        Ok(response)
    }

    /// Does to the request what the fault says.
    async fn fail(
        &self,
        fault: Fault,
        parts: Parts,
        body: Incoming,
        target: &Target,
        switch: &ResetSwitch,
    ) -> Result<Response<Body>, Dropped> {
        let head = parts.method == Method::HEAD;
        let of_the_body = matches!(fault, Fault::ErrorIn200 | Fault::Empty200 | Fault::MalformedXml | Fault::CutXml);
        let fault = if head && of_the_body { Fault::InternalError } else { fault };
        if let Some(refusal) = refusal(&fault) {
            // Read to its end: an answer in the middle of a body breaks the connection instead.
            body.collect().await.map_err(|_| Dropped)?;
            return Ok(refusal);
        }
        match fault {
            Fault::ResetAfter => self.work(parts, body, target).await.and(Err(Dropped)),
            Fault::MalformedXml => Ok(damage::malform(self.work(parts, body, target).await?)),
            Fault::CutXml => damage::cut(self.work(parts, body, target).await?).await,
            Fault::Corrupted => Ok(damage::corrupt(self.work(parts, body, target).await?, target)),
            Fault::CorruptedRequest => self.work_on(parts, body, target, damage::corrupted).await,
            Fault::Truncated | Fault::Stalled(_) => {
                let answer = self.work(parts, body, target).await?;
                let silence = match fault {
                    Fault::Stalled(duration) => Silence::of(duration, switch),
                    _ => Silence::none(),
                };
                if head || answer.body().is_end_stream() {
                    silence.await_end().await;
                    return Err(Dropped);
                }
                damage::truncate(answer, silence).await
            }
            Fault::Drip(duration) => damage::drip(self.work(parts, body, target).await?, duration).await,
            Fault::WrongLength => damage::mislead(self.work(parts, body, target).await?, head).await,
            Fault::Deletes { bucket, key } => {
                self.store.delete(&bucket, &key);
                self.work(parts, body, target).await
            }
            Fault::Hang(duration) => {
                tokio::time::sleep(duration).await;
                Err(Dropped)
            }
            Fault::Latency(duration) => {
                tokio::time::sleep(duration).await;
                self.work(parts, body, target).await
            }
            // ResetBefore; all others have been refused above.
            _ => Err(Dropped),
        }
    }

    /// The answer to a request that is refused for its headers alone.
    fn refuse(&self, headers: &HeaderMap, target: &Target) -> Option<Response<Body>> {
        if self.config.checksums == Checksums::Refused && incoming::has_checksum_header(headers) {
            return Some(error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"));
        }
        self.redirect(headers, target)
    }

    /// The answer to a request that was signed for another region than that of the bucket.
    fn redirect(&self, headers: &HeaderMap, target: &Target) -> Option<Response<Body>> {
        let state = self.store.read();
        let region = state.buckets.get(target.bucket.as_ref()?)?.region.as_ref()?;
        let signed_for = incoming::signed_region(headers)?;
        if signed_for == region {
            return None;
        }
        let mut response = error(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect");
        response.headers_mut().insert("x-amz-bucket-region", HeaderValue::from_str(region).ok()?);
        Some(response)
    }

    fn add_request_ids(&self, headers: &mut HeaderMap) {
        let number = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        if let Ok(id) = HeaderValue::from_str(&format!("{number:016X}")) {
            headers.insert("x-amz-request-id", id);
        }
        headers.insert("x-amz-id-2", HeaderValue::from_static("s3bulk-test-server"));
    }
}

/// The whole answer of the faults that are no more than an answer.
fn refusal(fault: &Fault) -> Option<Response<Body>> {
    let (status, code) = match fault {
        Fault::SlowDown => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        Fault::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
        Fault::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Fault::ServiceUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        Fault::Code { status, code } => {
            (StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code.as_str())
        }
        Fault::ErrorIn200 => (StatusCode::OK, "InternalError"),
        Fault::Empty200 => return Some(Response::new(Body::empty())),
        Fault::ResetBefore
        | Fault::ResetAfter
        | Fault::MalformedXml
        | Fault::CutXml
        | Fault::Corrupted
        | Fault::CorruptedRequest
        | Fault::Stalled(_)
        | Fault::Truncated
        | Fault::Drip(_)
        | Fault::WrongLength
        | Fault::Deletes { .. }
        | Fault::Hang(_)
        | Fault::Latency(_) => return None,
    };
    Some(error(status, code))
}

/// An S3 error as an answer.
fn error(status: StatusCode, code: &str) -> Response<Body> {
    let message = "injected, or refused before the request was looked into";
    let body = format!("{DECLARATION}<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// Writes the control characters in an XML answer as `&#xN;`, as S3 does. The protocol layer sends
/// them raw, which no client reads back as they were; it uses none of its own.
fn escape_control_characters(response: &mut Response<Body>) {
    if response.headers().get(CONTENT_TYPE).is_none_or(|value| value != "application/xml") {
        return;
    }
    let Some(xml) = response.body().bytes().filter(|xml| xml.iter().any(u8::is_ascii_control)) else { return };
    let mut escaped = Vec::with_capacity(xml.len() + 64);
    for &byte in &xml {
        if byte.is_ascii_control() {
            escaped.extend_from_slice(format!("&#x{byte:x};").as_bytes());
        } else {
            escaped.push(byte);
        }
    }
    *response.body_mut() = Body::from(escaped);
}
