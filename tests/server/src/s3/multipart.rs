//! CreateMultipartUpload, CompleteMultipartUpload, AbortMultipartUpload, ListMultipartUploads.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::conditions::check_write;
use super::{Answer, Call, Calls, answer, digest, etag, fail, int, list, write, written};
use crate::checksum;
use crate::object::{self, multipart_etag, now};
use crate::store;

/// The smallest part that is not the last: 5 MiB.
const MIN_PART: u64 = 5 * 1024 * 1024;

pub(super) async fn create(
    calls: &Calls,
    req: Call<CreateMultipartUploadInput>,
) -> Answer<CreateMultipartUploadOutput> {
    let input = req.input;
    let template = write::template(&req.headers, input.storage_class.as_ref(), input.tagging.as_deref())?;
    let mut state = calls.store.lock();
    state.bucket(&input.bucket)?;
    let id = state.next_upload_id();
    let output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: input.checksum_type,
        key: Some(input.key.clone()),
        upload_id: Some(id.clone()),
        ..Default::default()
    };
    let answered = written(output, &template);
    let upload = store::Upload { initiated: now(), template, parts: BTreeMap::new() };
    state.bucket(&input.bucket)?.uploads.insert((input.key, id), upload);
    answered
}

pub(super) async fn complete(
    calls: &Calls,
    req: Call<CompleteMultipartUploadInput>,
) -> Answer<CompleteMultipartUploadOutput> {
    let mut input = req.input;
    let listed = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
    let id = (input.key.clone(), input.upload_id.clone());
    let mut state = calls.store.lock();
    let bucket = state.bucket(&input.bucket)?;
    let upload = bucket.uploads.get(&id).ok_or_else(no_such_upload)?;
    let parts = chosen_parts(calls, upload, &listed)?;
    let existing = bucket.objects.get(&input.key).map(Arc::as_ref);
    check_write(existing, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let object = assemble(&upload.template, parts);
    if input.mpu_object_size.is_some_and(|size| size != int(object.size())) {
        return Err(fail(S3ErrorCode::InvalidRequest, "the parts do not add up to the size that was given"));
    }
    let checksum_crc64nvme = digest::answered(calls, object.checksum);
    digest::check_whole(calls, &input, object.checksum.unwrap_or_default())?;
    bucket.uploads.remove(&id);
    let object = bucket.insert(&input.key, object);
    let output = CompleteMultipartUploadOutput {
        checksum_type: digest::kind(checksum_crc64nvme.as_ref()),
        checksum_crc64nvme,
        location: Some(format!("/{}", input.bucket)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(etag(&object.etag)),
        ..Default::default()
    };
    written(output, &object)
}

pub(super) async fn abort(calls: &Calls, req: Call<AbortMultipartUploadInput>) -> Answer<AbortMultipartUploadOutput> {
    let id = (req.input.key, req.input.upload_id);
    let removed = calls.store.lock().bucket(&req.input.bucket)?.uploads.remove(&id);
    removed.ok_or_else(no_such_upload)?;
    answer(AbortMultipartUploadOutput::default())
}

pub(super) async fn list(calls: &Calls, req: Call<ListMultipartUploadsInput>) -> Answer<ListMultipartUploadsOutput> {
    let input = req.input;
    let prefix = input.prefix.clone().unwrap_or_default();
    let limit =
        usize::try_from(input.max_uploads.unwrap_or(1000)).unwrap_or_default().min(calls.config.page_size.into());
    let encode = list::encoder(input.encoding_type.as_ref());
    let mut state = calls.store.lock();
    let uploads = &state.bucket(&input.bucket)?.uploads;
    let from = match (&input.key_marker, &input.upload_id_marker) {
        (None, _) => Bound::Included((prefix.clone(), String::new())),
        (Some(key), Some(id)) => Bound::Excluded((key.clone(), id.clone())),
        // All uploads of the marked key are behind it; no key lies between it and this one.
        (Some(key), None) => Bound::Included((format!("{key}\0"), String::new())),
    };
    let mut rest = uploads.range((from, Bound::Unbounded)).filter(|((key, _), _)| key.starts_with(&prefix));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let truncated = limit > 0 && rest.next().is_some();
    let last = page.last().filter(|_| truncated).map(|(id, _)| (*id).clone());
    let (next_key_marker, next_upload_id_marker) = last.map(|(key, id)| (encode(&key), id)).unzip();
    let listed = page.into_iter().map(|((key, id), upload)| MultipartUpload {
        initiated: Some(upload.initiated.into()),
        key: Some(encode(key)),
        storage_class: Some(StorageClass::from(upload.template.storage_class.clone())),
        upload_id: Some(id.clone()),
        ..Default::default()
    });
    answer(ListMultipartUploadsOutput {
        uploads: Some(listed.collect()),
        is_truncated: Some(truncated),
        next_key_marker,
        next_upload_id_marker,
        max_uploads: i32::try_from(limit).ok(),
        prefix: Some(encode(&prefix)),
        key_marker: input.key_marker.as_deref().map(encode),
        upload_id_marker: input.upload_id_marker,
        encoding_type: input.encoding_type,
        bucket: Some(input.bucket),
        ..Default::default()
    })
}

pub(super) fn no_such_upload() -> s3s::S3Error {
    fail(S3ErrorCode::NoSuchUpload, "the upload never was, or was completed or aborted")
}

/// The parts that the client lists, if they are all there as it says.
fn chosen_parts(calls: &Calls, upload: &store::Upload, listed: &[CompletedPart]) -> S3Result<Vec<store::Part>> {
    if listed.is_empty() {
        return Err(fail(S3ErrorCode::MalformedXML, "no parts are listed"));
    }
    let mut previous = 0;
    let mut parts = Vec::with_capacity(listed.len());
    for listed in listed {
        let number = listed.part_number.unwrap_or_default();
        if number <= previous {
            return Err(fail(S3ErrorCode::InvalidPartOrder, "the parts are not in ascending order"));
        }
        previous = number;
        let part = u16::try_from(number).ok().and_then(|number| upload.parts.get(&number));
        let wanted = listed.e_tag.as_ref().map(ETag::value);
        let part = part.filter(|part| {
            let checksum = digest::check(calls, listed.checksum_crc64nvme.as_deref(), part.checksum);
            wanted == Some(&crate::encoding::hex(&part.md5)) && checksum.is_ok()
        });
        parts.push(part.ok_or_else(|| fail(S3ErrorCode::InvalidPart, "a part was not uploaded, or differs"))?.clone());
    }
    let all_but_last = parts.split_last().map(|(_, rest)| rest).unwrap_or_default();
    if all_but_last.iter().any(|part| part.content.size() < MIN_PART) {
        return Err(fail(S3ErrorCode::EntityTooSmall, "a part that is not the last is smaller than 5 MiB"));
    }
    Ok(parts)
}

/// One object of all the parts.
fn assemble(template: &object::Object, parts: Vec<store::Part>) -> object::Object {
    let add = |sum, part: &store::Part| checksum::combine(sum, part.checksum, part.content.size());
    let object = object::Object {
        checksum: Some(parts.iter().fold(0, add)),
        etag: multipart_etag(parts.iter().map(|part| part.md5)),
        last_modified: now(),
        part_sizes: parts.iter().map(|part| part.content.size()).collect(),
        ..template.clone()
    };
    object.holding(parts.into_iter().flat_map(|part| part.content).collect())
}
