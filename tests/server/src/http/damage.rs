//! Answers that arrive broken: the work is done, the client cannot tell.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use ::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use s3s::{Body, StdError};

use super::{Dropped, XML_DECLARATION};

/// The answer with XML that ends in the middle of a tag; an error stays what it is.
pub(super) fn malform(answer: Response<Body>) -> Response<Body> {
    if !answer.status().is_success() {
        return answer;
    }
    let (mut parts, _) = answer.into_parts();
    parts.status = StatusCode::OK;
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Response::from_parts(parts, Body::from(format!("{XML_DECLARATION}<Result><ETag>&quot;0123</ET")))
}

/// The answer up to the middlemost end of an element, as if that were all: well-formed to a reader
/// that does not look for what is still open. Bodies that are no XML stay as they are.
pub(super) async fn cut(answer: Response<Body>) -> Result<Response<Body>, Dropped> {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    if !parts.status.is_success() || !body.starts_with(b"<") {
        return Ok(Response::from_parts(parts, Body::from(body)));
    }
    let half = &body[..body.len() / 2];
    let ends = half.windows(2).rposition(|pair| pair == b"><").map_or(half.len(), |at| at + 1);
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Body::from(body.slice(..ends))))
}

/// The answer with the first half of its body and the length of the whole.
pub(super) async fn truncate(answer: Response<Body>, head: bool) -> Result<Response<Body>, Dropped> {
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    if head || body.is_empty() {
        return Err(Dropped);
    }
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = body.slice(..body.len() / 2);
    Ok(Response::from_parts(parts, Body::http_body(Half { half: Some(half), paused: false })))
}

/// A body that breaks off after some bytes.
struct Half {
    half: Option<Bytes>,
    /// Whether the bytes have been given a turn to go out before the break.
    paused: bool,
}

impl http_body::Body for Half {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.paused {
            self.paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Box::new(Dropped))))
    }
}
