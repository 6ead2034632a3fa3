//! The bodies of PutObject and UploadPart as they come in.

use bytes::Bytes;
use futures::TryStreamExt;
use md5::{Digest, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3ErrorCode, S3Result};

use super::digest::Sent;
use super::{Calls, fail};
use crate::checksum::Running;
use crate::content::{Content, Segment, joined};
use crate::encoding;

/// A body that came in whole.
pub(super) struct Received {
    pub(super) content: Content,
    /// The CRC-64/NVME.
    pub(super) checksum: u64,
}

/// Reads the body to its end, and checks it against the digests that came with it.
pub(super) async fn body(calls: &Calls, body: Option<StreamingBlob>, sent: &Sent) -> S3Result<Received> {
    sent.check_presence(calls)?;
    let content_md5 = sent.content_md5();
    let (mut checksum, mut md5) = (Running::new(), Md5::new());
    let (mut size, mut kept) = (0, Vec::new());
    let mut stream = body;
    while let Some(chunk) = next(&mut stream).await? {
        size += chunk.len() as u64;
        checksum.update(&chunk);
        if content_md5.is_some() {
            md5.update(&chunk);
        }
        if size <= calls.config.keep_bodies {
            kept.push(chunk);
        } else {
            kept.clear();
        }
    }
    let checksum = checksum.finish();
    if content_md5.is_some_and(|expected| encoding::base64(&md5.finalize()) != expected) {
        return Err(fail(S3ErrorCode::BadDigest, "the body does not have this MD5"));
    }
    sent.check(calls, checksum)?;
    let segment = if size <= calls.config.keep_bodies {
        Segment::Stored(joined(kept))
    } else {
        Segment::Discarded { size, checksum }
    };
    Ok(Received { content: Content::from_iter([segment]), checksum })
}

async fn next(stream: &mut Option<StreamingBlob>) -> S3Result<Option<Bytes>> {
    match stream {
        Some(stream) => Ok(stream.try_next().await.map_err(|_| S3ErrorCode::IncompleteBody)?),
        None => Ok(None),
    }
}
