//! The `aws-chunked` framing of request bodies, taken off without checking its signatures.
//!
//! Needed where no account is configured: whoever checks signatures takes the framing off too.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{Buf, Bytes};
use http_body::Frame;
use s3s::{Body, StdError};

/// The longest line of the framing.
const MAX_LINE: usize = 16 * 1024;

/// The headers behind a body, there once it has been read to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trailers(Arc<Mutex<HeaderMap>>);

impl Trailers {
    pub(crate) fn read<T>(&self, read: impl FnOnce(&HeaderMap) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, line: &str) -> Option<()> {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::try_from(name.trim()).ok()?;
        let value = HeaderValue::try_from(value.trim()).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(name, value);
        Some(())
    }
}

/// The payload in a body of `SIZE[;extensions]CRLF DATA CRLF ... 0 CRLF [trailers] CRLF`; an error
/// where the framing is broken.
pub(crate) struct Payload {
    framed: Body,
    /// Read and not looked at yet.
    pending: Bytes,
    /// The beginning of a line whose end has not come in yet.
    line: Vec<u8>,
    expected: Expected,
    trailers: Trailers,
}

/// What comes next in the framing.
enum Expected {
    Size,
    Data(u64),
    EndOfData,
    Trailer,
    Nothing,
}

impl Payload {
    pub(crate) fn new(framed: Body, trailers: Trailers) -> Payload {
        Payload { framed, pending: Bytes::new(), line: Vec::new(), expected: Expected::Size, trailers }
    }

    /// Takes the next piece of the payload off what is pending, as far as there is one.
    fn advance(&mut self) -> Option<Bytes> {
        let Expected::Data(left) = &mut self.expected else { return None };
        let size = usize::try_from(*left).unwrap_or(usize::MAX).min(self.pending.len());
        *left -= size as u64;
        if *left == 0 {
            self.expected = Expected::EndOfData;
        }
        Some(self.pending.split_to(size)).filter(|piece| !piece.is_empty())
    }

    /// Takes a line, or its beginning, off what is pending; `None` where it is not what is expected.
    fn read_line(&mut self) -> Option<()> {
        let end = self.pending.iter().position(|byte| *byte == b'\n');
        let size = end.map_or(self.pending.len(), |at| at + 1);
        self.line.extend_from_slice(self.pending.get(..size)?);
        self.pending.advance(size);
        if end.is_none() {
            return (self.line.len() <= MAX_LINE).then_some(());
        }
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        self.expected = match self.expected {
            Expected::Size => {
                let size = u64::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
                if size == 0 { Expected::Trailer } else { Expected::Data(size) }
            }
            Expected::EndOfData if line.is_empty() => Expected::Size,
            Expected::Trailer if line.is_empty() => Expected::Nothing,
            Expected::Trailer => {
                self.trailers.add(line)?;
                Expected::Trailer
            }
            _ => return None,
        };
        Some(())
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let broken = || Poll::Ready(Some(Err(Box::from(io::Error::from(io::ErrorKind::InvalidData)))));
        loop {
            if self.pending.is_empty() {
                let Some(frame) = ready!(Pin::new(&mut self.framed).poll_frame(cx)?) else {
                    // Some clients leave the last empty line out.
                    let ended = matches!(self.expected, Expected::Trailer | Expected::Nothing);
                    return if ended { Poll::Ready(None) } else { broken() };
                };
                self.pending = frame.into_data().unwrap_or_default();
            } else if let Some(piece) = self.advance() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            } else if self.read_line().is_none() {
                return broken();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};

    /// The payload of a body that comes in pieces of this size, and one of its trailers.
    fn decode(body: &'static str, piece: usize) -> Option<(Bytes, Option<HeaderValue>)> {
        let pieces = body.as_bytes().chunks(piece).map(|piece| Ok::<_, StdError>(Frame::data(Bytes::from(piece))));
        let framed = Body::http_body_unsync(StreamBody::new(futures::stream::iter(pieces)));
        let trailers = Trailers::default();
        let collected = Payload::new(framed, trailers.clone()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let payload = runtime.block_on(collected).ok()?.to_bytes();
        Some((payload, trailers.read(|headers| headers.get("x-amz-checksum-crc32").cloned())))
    }

    #[test]
    fn the_payload_comes_out() {
        let body = "5;chunk-signature=abc\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n";
        for piece in [1, 2, 3, 7, 1000] {
            let (payload, trailer) = decode(body, piece).unwrap();
            assert_eq!((payload.as_ref(), trailer.unwrap().as_bytes()), (b"hello!".as_slice(), b"AA==".as_slice()));
        }
        assert_eq!(decode("0\r\n", 9), Some((Bytes::new(), None)));
    }

    #[test]
    fn a_cut_body_is_refused() {
        for body in ["5\r\nhel", "5\r\nhello\r\n", "5\r\nhello!\r\n0\r\n\r\n", "x\r\n", ""] {
            assert_eq!(decode(body, 1000), None, "{body:?}");
        }
    }
}
