//! A part that is too large for memory: streamed from GetObject to UploadPart through a window.

use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_s3::operation::upload_part::UploadPartInput;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::attributes::RequestHeaders;
use super::body::Signed;
use super::checksums::compare;
use super::get::broken;
use super::{Bucket, PartRange};
use crate::model::{Checksum, Checksummer, Operation, RequestError, Revision, Upload, UploadedPart};
use crate::pace::transfer_allowance;

/// Pieces of a body that wait in the window.
const PIECES: usize = 8;

/// Bytes that a streamed part takes in memory: the window, and what the connections hold. A piece
/// has what the HTTP client reads at once, at most some 400 KiB (hyper's adaptive buffer).
pub const WINDOW: u64 = 4 << 20;

impl Bucket {
    /// Copies one part of one state of `source_key`, streaming. Both requests go under one permit,
    /// and are sent again together.
    ///
    /// # Errors
    /// [`Class::Unmet`](crate::model::Class::Unmet) where the source is another object by now.
    pub async fn stream_part(
        &self,
        source: &Self,
        source_key: &str,
        revision: &Revision,
        key: &str,
        upload: &Upload,
        part: &PartRange,
    ) -> Result<UploadedPart, RequestError> {
        let operation = Operation::UploadPart;
        let length = part.bytes.end - part.bytes.start;
        // A store without CRC-64 gets an MD5, which must be known before the first byte: the part is
        // read twice.
        let md5 = match upload.checksums {
            true => None,
            false => Some(source.md5_of(source_key, revision, &part.bytes).await?),
        };
        self.call((operation, key), transfer_allowance(length), || async {
            let _counted = self.pacer.stats().sent(Operation::GetObject);
            let answer = source.open_range(source_key, revision, &part.bytes).await?;
            let (pieces, window) = mpsc::channel(PIECES);
            let encoding = if upload.checksums { Encoding::Trailer } else { Encoding::Plain };
            let body = SdkBody::from_body_1_x(Window { pieces: window, left: encoding.length(length) });
            let sent = UploadPartInput::builder().key(key).upload_id(&upload.id).part_number(part.number.into());
            let sent = sent.body(ByteStream::new(body)).set_content_md5(md5.clone());
            let pump = source.pump(answer.body, length, pieces, encoding);
            let send = self.upload(sent, encoding.signed(), encoding.headers(length));
            tokio::pin!(pump, send);
            let (pumped, sent) = tokio::select! {
                pumped = &mut pump => (Some(pumped), None),
                // An answer before the end: no more is read for it.
                sent = &mut send => (None, Some(sent)),
            };
            let sent = match (pumped, sent) {
                (_, Some(Err(error))) => return Err(error),
                (_, Some(Ok(sent))) => (pump.await, Ok(sent)),
                (Some(pumped), None) => (pumped, send.await),
                (None, None) => return Err(broken("the part was neither read nor sent".to_owned())),
            };
            let (checksum, (etag, confirmed)) = match sent {
                (Ok(checksum), sent) => (checksum, sent?),
                // What broke the source's body broke the upload, too.
                (Err(Pumped::Source(error)), _) | (Err(Pumped::Closed), Err(error)) => return Err(error),
                (Err(Pumped::Closed), Ok(_)) => return Err(broken("the upload ended before its body".to_owned())),
            };
            compare(operation, Some(checksum), confirmed)?;
            Ok(UploadedPart { etag, checksum: Some(checksum) })
        })
        .await
    }

    /// Moves a body of `length` bytes into the window.
    async fn pump(
        &self,
        mut body: ByteStream,
        length: u64,
        window: Sender<Bytes>,
        encoding: Encoding,
    ) -> Result<Checksum, Pumped> {
        let mut left = length;
        let mut checksum = Checksummer::default();
        self.push(&window, encoding.before(length)).await?;
        while let Some(piece) = self.next_chunk(&mut body).await.map_err(Pumped::Source)? {
            let longer = || Pumped::Source(broken(format!("the body is longer than the {length} bytes it said")));
            left = left.checked_sub(piece.len() as u64).ok_or_else(longer)?;
            checksum.update(&piece);
            self.push(&window, piece).await?;
        }
        if left > 0 {
            return Err(Pumped::Source(broken(format!("the body ended {left} bytes before its {length}"))));
        }
        let checksum = checksum.finish();
        self.push(&window, encoding.after(checksum)).await?;
        Ok(checksum)
    }

    /// Puts a piece into the window, once there is room.
    async fn push(&self, window: &Sender<Bytes>, piece: Bytes) -> Result<(), Pumped> {
        if piece.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(self.body_pause(), window.send(piece)).await;
        let stalls = |_| Pumped::Source(broken("the destination takes no more of the body".to_owned()));
        sent.map_err(stalls)?.map_err(|_| Pumped::Closed)
    }
}

/// How a body is sent whose checksum is known only at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    /// As it is.
    Plain,
    /// As one chunk, with the CRC-64 behind it. *Source:* "Signature calculations for the
    /// authorization header: trailing headers", with an unsigned payload.
    Trailer,
}

impl Encoding {
    const END: &str = "\r\n0\r\nx-amz-checksum-crc64nvme:";

    fn before(self, length: u64) -> Bytes {
        match self {
            Self::Plain => Bytes::new(),
            Self::Trailer => Bytes::from(format!("{length:x}\r\n")),
        }
    }

    fn after(self, checksum: Checksum) -> Bytes {
        match self {
            Self::Plain => Bytes::new(),
            Self::Trailer => Bytes::from(format!("{}{checksum}\r\n\r\n", Self::END)),
        }
    }

    /// The length of all that is sent for a body of `length` bytes.
    fn length(self, length: u64) -> u64 {
        let around = self.before(length).len() + self.after(Checksum::EMPTY).len();
        length + around as u64
    }

    fn signed(self) -> Signed {
        match self {
            Self::Plain => Signed::unsigned(),
            Self::Trailer => Signed::with_trailer(),
        }
    }

    fn headers(self, length: u64) -> RequestHeaders {
        let trailer = [
            ("content-encoding", "aws-chunked".to_owned()),
            ("x-amz-decoded-content-length", length.to_string()),
            ("x-amz-trailer", "x-amz-checksum-crc64nvme".to_owned()),
        ];
        match self {
            Self::Plain => RequestHeaders::new(),
            Self::Trailer => trailer.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }
}

/// Why a body did not come through.
enum Pumped {
    Source(RequestError),
    /// The upload takes no more: its own error says why.
    Closed,
}

/// The end of the window that the upload reads. A source that breaks off breaks the upload.
struct Window {
    pieces: Receiver<Bytes>,
    left: u64,
}

impl Body for Window {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            None if self.left > 0 => Some(Err(std::io::Error::other("the source's body broke off"))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
