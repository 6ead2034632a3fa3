//! Answers that arrive broken: the work is done, the client cannot tell.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use ::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use s3s::{Body, StdError};
use tokio::time::Sleep;

use super::Dropped;
use crate::connection::ResetSwitch;
use crate::operation::{Operation, Target};
use crate::xml::DECLARATION;

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
    Response::from_parts(parts, Body::from(format!("{DECLARATION}<Result><ETag>&quot;0123</ET")))
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

/// The answer with the first half of its body and the length of the whole. Then comes silence for
/// so long, then the end of the connection.
pub(super) async fn truncate(answer: Response<Body>, silence: Silence) -> Result<Response<Body>, Dropped> {
    let (mut parts, body) = answer.into_parts();
    let told = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let (size, body) = match told.or(body.size_hint().exact()) {
        Some(size) => (size, body),
        None => {
            let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
            (body.len() as u64, Body::from(body))
        }
    };
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    let half = Half { body, left: size / 2, paused: false, silence };
    Ok(Response::from_parts(parts, Body::http_body_unsync(half)))
}

/// The answer whose length is told to be one byte less, and whose body ends there. An answer without
/// a body is told to have one, and the connection ends where it would begin.
pub(super) async fn mislead(answer: Response<Body>, head: bool) -> Result<Response<Body>, Dropped> {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(TRANSFER_ENCODING);
    if head {
        let told = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(told.unwrap_or_default().saturating_sub(1)));
        return Ok(Response::from_parts(parts, body));
    }
    let mut body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    if body.is_empty() {
        parts.status = StatusCode::OK;
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(1));
        let half = Half { body: Body::empty(), left: 0, paused: false, silence: Silence::none() };
        return Ok(Response::from_parts(parts, Body::http_body_unsync(half)));
    }
    body.truncate(body.len() - 1);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Pieces that a body drips in, if it has as many bytes.
const DROPS: usize = 10;

/// The answer, its body in pieces over so long; one without a body comes that much later.
pub(super) async fn drip(answer: Response<Body>, duration: Duration) -> Result<Response<Body>, Dropped> {
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    if body.is_empty() {
        tokio::time::sleep(duration).await;
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    let pieces = body.len().min(DROPS);
    let every = duration / u32::try_from(pieces).unwrap_or(1);
    let dripping = Dripping { piece: body.len() / pieces, body, every, wait: Box::pin(tokio::time::sleep(every)) };
    Ok(Response::from_parts(parts, Body::http_body_unsync(dripping)))
}

/// A body that comes slowly.
struct Dripping {
    body: Bytes,
    /// Bytes that come at once.
    piece: usize,
    every: Duration,
    wait: Pin<Box<Sleep>>,
}

impl http_body::Body for Dripping {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if self.body.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.wait.as_mut().poll(cx));
        self.wait = Box::pin(tokio::time::sleep(self.every));
        let piece = self.piece.min(self.body.len());
        Poll::Ready(Some(Ok(Frame::data(self.body.split_to(piece)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() as u64)
    }
}

/// What comes between the half of a body and the end of the connection.
pub(super) struct Silence {
    sleep: Pin<Box<Sleep>>,
    /// Flipped at its end.
    switch: Option<ResetSwitch>,
}

impl Silence {
    /// None, and an orderly close.
    pub(super) fn none() -> Silence {
        Silence { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), switch: None }
    }

    /// So long, and then a reset.
    pub(super) fn of(duration: Duration, switch: &ResetSwitch) -> Silence {
        Silence { sleep: Box::pin(tokio::time::sleep(duration)), switch: Some(switch.clone()) }
    }

    /// Waits for its end.
    pub(super) async fn await_end(mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.sleep.as_mut().poll(cx));
        if let Some(switch) = &self.switch {
            switch.flip();
        }
        Poll::Ready(())
    }
}

/// A body that breaks off after some bytes.
struct Half {
    body: Body,
    /// How many bytes are still sent.
    left: u64,
    /// Whether the bytes have been given a turn to go out before the break.
    paused: bool,
    silence: Silence,
}

impl http_body::Body for Half {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        while self.left > 0 {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else { break };
            let mut bytes = frame.into_data().unwrap_or_default();
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= bytes.len() as u64;
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        if !self.paused {
            self.paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.silence.poll(cx));
        Poll::Ready(Some(Err(Box::new(Dropped))))
    }
}

/// The bytes of an object with one of them changed; every other answer as it is.
pub(super) fn corrupt(answer: Response<Body>, target: &Target) -> Response<Body> {
    if target.operation != Operation::GetObject || !answer.status().is_success() {
        return answer;
    }
    answer.map(corrupted)
}

/// The body with one byte changed, in the middle of the first piece that comes through.
pub(super) fn corrupted(body: Body) -> Body {
    Body::http_body_unsync(Corrupted { body, done: false })
}

struct Corrupted {
    body: Body,
    done: bool,
}

impl http_body::Body for Corrupted {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else { return Poll::Ready(None) };
        if self.done {
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = frame.map_data(|bytes| {
            let mut bytes = Vec::from(bytes);
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 1;
                self.done = true;
            }
            Bytes::from(bytes)
        });
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
