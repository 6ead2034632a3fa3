//! HeadObject, GetObject, GetObjectTagging.

use std::ops::Range as ByteRange;
use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, StatusCode};
use futures::stream;
use s3s::dto::*;
use s3s::{Body, S3Error, S3ErrorCode, S3Response, S3Result, StdError};

use super::conditions::check_read;
use super::{Answer, Call, Calls, answer, check_customer_key, digest, etag, fail, fail_with, int, write_version};
use crate::content::Content;
use crate::object::{self, CustomerKey, Restore};

pub(super) async fn head(calls: &Calls, req: Call<HeadObjectInput>) -> Answer<HeadObjectOutput> {
    let input = req.input;
    let object = find(calls, &input.bucket, &input.key, input.version_id.as_deref())?;
    check_customer_key(CustomerKey::OfObject, &req.headers, &object)?;
    check_read(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let section = Section::of(&object, input.range, input.part_number)?;
    let checksum_crc64nvme = section.checksum(calls, &object, input.checksum_mode.as_ref());
    let output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        archive_status: object.archive_status.clone().map(ArchiveStatus::from),
        checksum_type: digest::kind(checksum_crc64nvme.as_ref()),
        checksum_crc64nvme,
        content_length: Some(int(section.len())),
        content_range: section.content_range(&object),
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(object.last_modified.into()),
        parts_count: section.parts_count,
        restore: object.restore.as_ref().map(restore_header),
        storage_class: storage_class(&object),
        ..Default::default()
    };
    Ok(S3Response { headers: headers(&object), ..S3Response::new(output) })
}

pub(super) async fn get(calls: &Calls, req: Call<GetObjectInput>) -> Answer<GetObjectOutput> {
    let input = req.input;
    let object = find(calls, &input.bucket, &input.key, input.version_id.as_deref())?;
    check_customer_key(CustomerKey::OfObject, &req.headers, &object)?;
    check_read(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    if object.is_archived() {
        return Err(fail(S3ErrorCode::InvalidObjectState, "the object is archived and not restored"));
    }
    let section = Section::of(&object, input.range, input.part_number)?;
    let checksum_crc64nvme = section.checksum(calls, &object, input.checksum_mode.as_ref());
    let output = GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        body: Some(body(&object, &section.bytes)?),
        checksum_type: digest::kind(checksum_crc64nvme.as_ref()),
        checksum_crc64nvme,
        content_length: Some(int(section.len())),
        content_range: section.content_range(&object),
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(object.last_modified.into()),
        parts_count: section.parts_count,
        restore: object.restore.as_ref().map(restore_header),
        storage_class: storage_class(&object),
        ..Default::default()
    };
    Ok(S3Response { status: section.status(), headers: headers(&object), ..S3Response::new(output) })
}

pub(super) async fn tagging(calls: &Calls, req: Call<GetObjectTaggingInput>) -> Answer<GetObjectTaggingOutput> {
    let input = req.input;
    let object = find(calls, &input.bucket, &input.key, input.version_id.as_deref())?;
    let tag = |(name, value): &(String, String)| Tag { key: Some(name.clone()), value: Some(value.clone()) };
    let tag_set = object.tags.iter().map(tag).collect();
    answer(GetObjectTaggingOutput { tag_set, version_id: object.version_id.clone() })
}

/// The object, or one of its versions, or the error that says what is missing.
pub(super) fn find(calls: &Calls, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Arc<object::Object>> {
    let mut state = calls.store.lock();
    let bucket = state.bucket(bucket)?;
    match version {
        Some(id) => {
            let version = bucket.version(key, id);
            version.ok_or_else(|| fail(S3ErrorCode::NoSuchVersion, "there is no such version under this key"))
        }
        None => {
            let object = bucket.settle(key).cloned();
            object.ok_or_else(|| fail(S3ErrorCode::NoSuchKey, "there is no object under this key"))
        }
    }
}

/// The bytes that are asked for.
struct Section {
    bytes: ByteRange<u64>,
    partial: bool,
    parts_count: Option<i32>,
}

impl Section {
    fn of(object: &object::Object, range: Option<Range>, part: Option<i32>) -> S3Result<Section> {
        let whole = 0..object.size();
        match (range, part) {
            (Some(_), Some(_)) => {
                Err(fail(S3ErrorCode::InvalidRequest, "a range and a part number cannot be asked for together"))
            }
            (Some(range), None) => Ok(Section { bytes: range.check(object.size())?, partial: true, parts_count: None }),
            (None, None) => Ok(Section { bytes: whole, partial: false, parts_count: None }),
            (None, Some(1)) if object.part_sizes.is_empty() => {
                Ok(Section { partial: !whole.is_empty(), bytes: whole, parts_count: None })
            }
            (None, Some(number)) => Section::of_part(object, number),
        }
    }

    fn of_part(object: &object::Object, number: i32) -> S3Result<Section> {
        let index = usize::try_from(number - 1).ok();
        let part = index.and_then(|index| Some((index, *object.part_sizes.get(index)?)));
        let (index, size) = part.ok_or_else(|| {
            fail_with(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidPartNumber", "there is no such part")
        })?;
        let start = object.part_sizes.iter().take(index).sum::<u64>();
        let parts_count = i32::try_from(object.part_sizes.len()).ok();
        Ok(Section { bytes: start..start + size, partial: true, parts_count })
    }

    /// The checksum, for those who ask for it and for the whole object.
    fn checksum(&self, calls: &Calls, object: &object::Object, mode: Option<&ChecksumMode>) -> Option<String> {
        let enabled = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        let checksum = object.checksum.filter(|_| enabled && !self.partial);
        digest::answered(calls, checksum)
    }

    fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    fn status(&self) -> Option<StatusCode> {
        self.partial.then_some(StatusCode::PARTIAL_CONTENT)
    }

    fn content_range(&self, object: &object::Object) -> Option<String> {
        let last = self.bytes.end.checked_sub(1)?;
        self.partial.then(|| format!("bytes {}-{last}/{}", self.bytes.start, object.size()))
    }
}

fn body(object: &object::Object, bytes: &ByteRange<u64>) -> S3Result<StreamingBlob> {
    let content = object.content().slice(bytes).filter(Content::is_kept).ok_or_else(not_kept)?;
    let (stored, hole, rest) = content.clone().split();
    if hole == 0 && rest.is_empty() {
        return Ok(StreamingBlob::from(Body::from(stored)));
    }
    let frames = stream::iter(content.pieces().map(|piece| Ok::<_, StdError>(http_body::Frame::data(piece))));
    Ok(StreamingBlob::from(Body::http_body_unsync(http_body_util::StreamBody::new(frames))))
}

/// The error where the bytes of a body went away as [`Config::keep_bodies`](crate::Config) says.
pub(super) fn not_kept() -> S3Error {
    fail(S3ErrorCode::NotImplemented, "the bytes were not kept, only their size and their checksum")
}

/// The headers that go out as they came in.
fn headers(object: &object::Object) -> HeaderMap {
    let mut headers = HeaderMap::new();
    object.headers.write_to(&mut headers);
    object::write_metadata(&object.metadata, &mut headers);
    object.write_encryption(&mut headers);
    object.write_lock(&mut headers);
    write_version(object, &mut headers);
    if !object.tags.is_empty() {
        headers.insert("x-amz-tagging-count", HeaderValue::from(object.tags.len()));
    }
    headers
}

fn storage_class(object: &object::Object) -> Option<StorageClass> {
    (object.storage_class != StorageClass::STANDARD).then(|| StorageClass::from(object.storage_class.clone()))
}

fn restore_header(restore: &Restore) -> String {
    match restore {
        Restore::InProgress { .. } => "ongoing-request=\"true\"".to_owned(),
        Restore::Restored { expiry } => {
            let mut date = Vec::new();
            // Writing to a vector cannot fail, and every time has a date.
            let _ = Timestamp::from(*expiry).format(TimestampFormat::HttpDate, &mut date);
            format!("ongoing-request=\"false\", expiry-date=\"{}\"", String::from_utf8_lossy(&date))
        }
    }
}
