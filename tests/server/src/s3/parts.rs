//! UploadPart, UploadPartCopy, ListParts.

use std::ops::{Bound, RangeInclusive};

use ::http::HeaderMap;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::conditions::check_source;
use super::copy::{source_of, take_time};
use super::digest::Sent;
use super::multipart::no_such_upload;
use super::read::not_kept;
use super::receive::Received;
use super::{Answer, Call, Calls, answer, check_customer_key, digest, etag, fail, int, receive};
use crate::encoding;
use crate::object::{CustomerKey, now};
use crate::store;

/// The numbers that a part can have.
const PART_NUMBERS: RangeInclusive<u16> = 1..=10_000;

/// The largest part: 5 GiB.
const MAX_PART: u64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn upload(calls: &Calls, mut req: Call<UploadPartInput>) -> Answer<UploadPartOutput> {
    let sent = Sent::of(&mut req);
    let input = req.input;
    let number = part_number(input.part_number)?;
    let received = receive::body(calls, input.body, &sent).await?;
    let id = (input.key, input.upload_id);
    let part = insert(calls, &input.bucket, &id, number, &sent.headers, received)?;
    answer(UploadPartOutput { checksum_crc64nvme: part.checksum_crc64nvme, e_tag: part.e_tag, ..Default::default() })
}

pub(super) async fn copy(calls: &Calls, req: Call<UploadPartCopyInput>) -> Answer<UploadPartCopyOutput> {
    let input = req.input;
    let number = part_number(input.part_number)?;
    let source = source_of(&req.headers)?.find(calls, &req.headers)?;
    check_source(&source, input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref())?;
    let range = match input.copy_source_range.as_deref() {
        Some(range) => source_range(range, source.size())?,
        None => 0..source.size(),
    };
    if range.end - range.start > MAX_PART {
        return Err(fail(S3ErrorCode::InvalidRequest, "the part is larger than 5 GiB"));
    }
    take_time(calls, range.end - range.start).await;
    let content = source.content().slice(&range).ok_or_else(not_kept)?;
    let received = Received { checksum: content.checksum(), content };
    let id = (input.key, input.upload_id);
    let part = insert(calls, &input.bucket, &id, number, &req.headers, received)?;
    let result = CopyPartResult {
        checksum_crc64nvme: part.checksum_crc64nvme,
        e_tag: part.e_tag,
        last_modified: part.last_modified,
        ..Default::default()
    };
    answer(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source.version_id.clone(),
        ..Default::default()
    })
}

pub(super) async fn list(calls: &Calls, req: Call<ListPartsInput>) -> Answer<ListPartsOutput> {
    let input = req.input;
    let limit = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or_default().min(calls.config.page_size.into());
    let marker = u16::try_from(input.part_number_marker.unwrap_or_default()).unwrap_or(u16::MAX);
    let id = (input.key, input.upload_id);
    let mut state = calls.store.lock();
    let upload = state.bucket(&input.bucket)?.uploads.get(&id).ok_or_else(no_such_upload)?;
    let mut rest = upload.parts.range((Bound::Excluded(marker), Bound::Unbounded));
    let parts: Vec<Part> = rest.by_ref().take(limit).map(|(number, part)| listed(calls, *number, part)).collect();
    let truncated = limit > 0 && rest.next().is_some();
    let (key, upload_id) = id;
    answer(ListPartsOutput {
        is_truncated: Some(truncated),
        next_part_number_marker: parts.last().filter(|_| truncated).and_then(|part| part.part_number),
        parts: Some(parts),
        part_number_marker: Some(marker.into()),
        max_parts: i32::try_from(limit).ok(),
        storage_class: Some(StorageClass::from(upload.template.storage_class.clone())),
        bucket: Some(input.bucket),
        key: Some(key),
        upload_id: Some(upload_id),
        ..Default::default()
    })
}

fn part_number(number: i32) -> S3Result<u16> {
    let number = u16::try_from(number).ok().filter(|number| PART_NUMBERS.contains(number));
    number.ok_or_else(|| fail(S3ErrorCode::InvalidArgument, "a part number is from 1 to 10000"))
}

/// The range of a copied part, which has to lie within the source.
fn source_range(header: &str, size: u64) -> S3Result<std::ops::Range<u64>> {
    match Range::parse(header) {
        Ok(Range::Int { first, last: Some(last) }) if last < size => Ok(first..last + 1),
        Ok(Range::Int { last: Some(_), .. }) => {
            Err(fail(S3ErrorCode::InvalidRange, "the range reaches beyond the end of the source"))
        }
        _ => Err(fail(S3ErrorCode::InvalidArgument, "the range of a copied part is bytes=FIRST-LAST")),
    }
}

fn insert(
    calls: &Calls,
    bucket: &str,
    id: &(String, String),
    number: u16,
    headers: &HeaderMap,
    received: Received,
) -> S3Result<Part> {
    let Received { content, checksum } = received;
    let md5 = content.md5();
    let mut state = calls.store.lock();
    let upload = state.bucket(bucket)?.uploads.get_mut(id).ok_or_else(no_such_upload)?;
    check_customer_key(CustomerKey::OfObject, headers, &upload.template)?;
    let part = store::Part { md5: upload.template.hash_in_etag(md5), content, checksum, last_modified: now() };
    let described = listed(calls, number, &part);
    upload.parts.insert(number, part);
    Ok(described)
}

fn listed(calls: &Calls, number: u16, part: &store::Part) -> Part {
    Part {
        checksum_crc64nvme: digest::answered(calls, Some(part.checksum)),
        e_tag: Some(etag(&encoding::hex(&part.md5))),
        last_modified: Some(part.last_modified.into()),
        part_number: Some(number.into()),
        size: Some(int(part.content.size())),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_copied_parts_lie_within_the_source() {
        assert_eq!(source_range("bytes=0-9", 10).unwrap(), 0..10);
        for wrong in ["bytes=0-10", "bytes=5-", "bytes=-5", "0-9", "bytes=9-0"] {
            assert!(source_range(wrong, 10).is_err(), "{wrong}");
        }
    }

    #[test]
    fn part_numbers_have_bounds() {
        assert!(part_number(0).is_err());
        assert_eq!(part_number(10_000).unwrap(), 10_000);
        assert!(part_number(10_001).is_err());
    }
}
