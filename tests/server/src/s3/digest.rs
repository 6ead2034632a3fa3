//! The digests that a request brings with its bytes, and the checksums that answers carry.

use ::http::HeaderMap;
use s3s::dto::{ChecksumType, CompleteMultipartUploadInput};
use s3s::{S3ErrorCode, S3Result, TrailingHeaders};

use super::{Call, Calls, fail};
use crate::checksum;
use crate::chunked::Trailers;
use crate::config::Checksums;

const CRC64: &str = "x-amz-checksum-crc64nvme";

/// The headers that hold a checksum.
const CHECKSUMS: [&str; 5] =
    [CRC64, "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-sha1", "x-amz-checksum-sha256"];

/// The headers of a request with a body, those behind the body included.
pub(super) struct Sent {
    pub(super) headers: HeaderMap,
    trailers: Option<Trailers>,
    signed_trailers: Option<TrailingHeaders>,
}

impl Sent {
    pub(super) fn of<I>(req: &mut Call<I>) -> Sent {
        Sent {
            headers: std::mem::take(&mut req.headers),
            trailers: req.extensions.remove(),
            signed_trailers: req.trailing_headers.take(),
        }
    }

    pub(super) fn content_md5(&self) -> Option<&str> {
        self.headers.get("content-md5")?.to_str().ok()
    }

    /// The CRC-64/NVME that the body should have; those behind the body are there when it is read.
    fn crc64(&self) -> Option<String> {
        let text = |headers: &HeaderMap| headers.get(CRC64)?.to_str().ok().map(str::to_owned);
        text(&self.headers)
            .or_else(|| self.trailers.as_ref()?.read(text))
            .or_else(|| self.signed_trailers.as_ref()?.read(text).flatten())
    }

    /// Whether there is any digest, or will be one behind the body.
    fn has_any(&self) -> bool {
        let announced = self.headers.get_all("x-amz-trailer").iter().filter_map(|names| names.to_str().ok());
        self.content_md5().is_some()
            || CHECKSUMS.iter().any(|name| self.headers.contains_key(*name))
            || announced.flat_map(|names| names.split(',')).any(|name| CHECKSUMS.contains(&name.trim()))
    }

    /// Refuses a body without a digest where the server insists on one.
    pub(super) fn check_presence(&self, calls: &Calls) -> S3Result<()> {
        if calls.config.requires_digest && !self.has_any() {
            return Err(fail(S3ErrorCode::InvalidRequest, "Content-MD5 or a checksum is required"));
        }
        Ok(())
    }

    /// Refuses a body that does not have the checksum it came with.
    pub(super) fn check(&self, calls: &Calls, checksum: u64) -> S3Result<()> {
        check(calls, self.crc64().as_deref(), checksum)
    }
}

/// Refuses a body that does not have the expected checksum.
pub(super) fn check(calls: &Calls, expected: Option<&str>, checksum: u64) -> S3Result<()> {
    let differs = expected.is_some_and(|expected| expected != checksum::text(checksum));
    if differs && calls.config.checksums == Checksums::Supported {
        return Err(fail(S3ErrorCode::BadDigest, "the bytes do not have this CRC-64/NVME"));
    }
    Ok(())
}

/// Refuses parts that do not add up to the checksum of the whole object.
pub(super) fn check_whole(calls: &Calls, input: &CompleteMultipartUploadInput, checksum: u64) -> S3Result<()> {
    let expected = input.checksum_crc64nvme.as_deref();
    let composite = input.checksum_type.as_ref().is_some_and(|it| it.as_str() == ChecksumType::COMPOSITE);
    if expected.is_some() && composite && calls.config.checksums == Checksums::Supported {
        return Err(fail(S3ErrorCode::InvalidRequest, "a CRC-64/NVME is always one of the full object"));
    }
    check(calls, expected, checksum)
}

/// The checksum as an answer carries it, if it does.
pub(super) fn answered(calls: &Calls, checksum: Option<u64>) -> Option<String> {
    checksum.filter(|_| calls.config.checksums == Checksums::Supported).map(checksum::text)
}

/// The type of the checksum that an answer carries.
pub(super) fn kind(checksum: Option<&String>) -> Option<ChecksumType> {
    checksum.map(|_| ChecksumType::from_static(ChecksumType::FULL_OBJECT))
}
