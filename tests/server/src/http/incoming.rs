//! Request bodies as they come in: streamed where they can be large, never left half-read.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use ::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use ::http::request::Parts;
use ::http::{HeaderMap, Uri};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use s3s::{Body, StdError};

use super::Dropped;
use crate::chunked::{Payload, Trailers};

/// A request body that one reads and another finishes reading. Without that an answer in the middle
/// of the body would break the connection.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Reading>>);

struct Reading {
    body: Incoming,
    /// Whether the client went away in the middle of it.
    failed: bool,
}

impl Shared {
    pub(super) fn new(body: Incoming) -> Shared {
        Shared(Arc::new(Mutex::new(Reading { body, failed: false })))
    }

    /// Reads what is left of it. A client that goes away meanwhile, or went away, gets no answer.
    pub(super) async fn drain(&self) -> Result<(), Dropped> {
        std::future::poll_fn(|cx| {
            while let Some(frame) = ready!(self.poll(cx)) {
                if frame.is_err() {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
        if self.lock().failed { Err(Dropped) } else { Ok(()) }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let mut reading = self.lock();
        if reading.failed {
            return Poll::Ready(Some(Err(Box::new(Dropped))));
        }
        let polled = Pin::new(&mut reading.body).poll_frame(cx);
        reading.failed = matches!(polled, Poll::Ready(Some(Err(_))));
        polled.map_err(Into::into)
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        self.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

/// Takes off all traces of a signature, which nobody is there to check: the headers, the query
/// of a presigned address, the framing of the body.
pub(super) fn without_signature(parts: &mut Parts, body: Body) -> Body {
    parts.headers.remove(AUTHORIZATION);
    let sha256 = parts.headers.remove("x-amz-content-sha256");
    let signed_query = |query: &str| query.contains("X-Amz-Signature=");
    if parts.uri.query().is_some_and(signed_query)
        && let Some(uri) = without_signed_query(&parts.uri)
    {
        parts.uri = uri;
    }
    if !sha256.is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-")) {
        return body;
    }
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(length) = parts.headers.remove("x-amz-decoded-content-length") {
        parts.headers.insert(CONTENT_LENGTH, length);
    }
    if parts.headers.get(CONTENT_ENCODING).is_some_and(|value| value == "aws-chunked") {
        parts.headers.remove(CONTENT_ENCODING);
    }
    let trailers = Trailers::default();
    parts.extensions.insert(trailers.clone());
    Body::http_body_unsync(Payload::new(body, trailers))
}

fn without_signed_query(uri: &Uri) -> Option<Uri> {
    let kept: Vec<&str> = uri.query()?.split('&').filter(|pair| !pair.starts_with("X-Amz-")).collect();
    format!("{}?{}", uri.path(), kept.join("&")).parse().ok()
}

/// The region in the credential scope of a signature of version 4.
pub(super) fn signed_region(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split([',', ' ']).next()?.split('/').nth(2)
}

/// Whether a request says anything about checksums.
pub(super) fn has_checksum_header(headers: &HeaderMap) -> bool {
    let about_checksums = |name: &str| name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm";
    let announced = headers.get_all("x-amz-trailer").iter().filter_map(|names| names.to_str().ok());
    headers.keys().any(|name| about_checksums(name.as_str()))
        || announced.flat_map(|names| names.split(',')).any(|name| about_checksums(name.trim()))
}
