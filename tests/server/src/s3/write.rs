//! PutObject, PutObjectTagging, DeleteObject, and what all writes share.

use std::sync::Arc;

use ::http::HeaderMap;
use bytes::Bytes;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::conditions::check_write;
use super::digest::{self, Sent};
use super::{Answer, Call, Calls, answer, customer_key, etag, fail, receive, written};
use crate::encoding;
use crate::object::{self, ContentHeaders, CustomerKey, metadata_from_request};

/// The most tags that an object can have.
const MAX_TAGS: usize = 10;

pub(super) async fn put(calls: &Calls, mut req: Call<PutObjectInput>) -> Answer<PutObjectOutput> {
    let sent = Sent::of(&mut req);
    let input = req.input;
    let template = template(&sent.headers, input.storage_class.as_ref(), input.tagging.as_deref())?;
    let received = receive::body(calls, input.body, &sent).await?;
    let hash = template.hash_in_etag(received.content.md5());
    let checksum = Some(received.checksum);
    let object = object::Object { etag: encoding::hex(&hash), checksum, ..template }.holding(received.content);
    let mut state = calls.store.lock();
    let bucket = state.bucket(&input.bucket)?;
    let existing = bucket.objects.get(&input.key).map(Arc::as_ref);
    check_write(existing, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let object = bucket.insert(&input.key, object);
    let checksum_crc64nvme = digest::answered(calls, checksum);
    let output = PutObjectOutput {
        checksum_type: digest::kind(checksum_crc64nvme.as_ref()),
        checksum_crc64nvme,
        e_tag: Some(etag(&object.etag)),
        ..Default::default()
    };
    written(output, &object)
}

pub(super) async fn delete(calls: &Calls, req: Call<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
    calls.store.lock().bucket(&req.input.bucket)?.remove(&req.input.key);
    answer(DeleteObjectOutput::default())
}

pub(super) async fn tagging(calls: &Calls, req: Call<PutObjectTaggingInput>) -> Answer<PutObjectTaggingOutput> {
    let input = req.input;
    let tag = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    let tags = check_tags(input.tagging.tag_set.into_iter().map(tag).collect())?;
    let mut state = calls.store.lock();
    let object = state.bucket(&input.bucket)?.objects.get_mut(&input.key);
    let object = object.ok_or_else(|| fail(S3ErrorCode::NoSuchKey, "there is no object under this key"))?;
    Arc::make_mut(object).tags = tags;
    answer(PutObjectTaggingOutput::default())
}

/// An object without a body, as a request describes it.
pub(super) fn template(
    headers: &HeaderMap,
    storage_class: Option<&StorageClass>,
    tagging: Option<&str>,
) -> S3Result<object::Object> {
    let customer_key_md5 = customer_key(CustomerKey::OfObject, headers)?;
    let template = object::Object {
        storage_class: storage_class.map_or("STANDARD", StorageClass::as_str).to_owned(),
        headers: ContentHeaders::from_request(headers),
        metadata: metadata_from_request(headers),
        tags: tags(tagging.unwrap_or_default())?,
        ..object::Object::new(Bytes::new())
    };
    Ok(template.protected_as_in(headers, customer_key_md5))
}

/// The tags in an `x-amz-tagging` header.
pub(super) fn tags(header: &str) -> S3Result<Vec<(String, String)>> {
    let decoded = |text: &str| {
        let text = encoding::decode_form(text);
        text.ok_or_else(|| fail(S3ErrorCode::InvalidArgument, "the tags are not UTF-8"))
    };
    let pairs = header.split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    });
    check_tags(tags.collect::<S3Result<_>>()?)
}

fn check_tags(tags: Vec<(String, String)>) -> S3Result<Vec<(String, String)>> {
    if tags.len() > MAX_TAGS {
        return Err(fail(S3ErrorCode::InvalidTag, "an object has at most ten tags"));
    }
    if tags.iter().any(|(name, _)| name.is_empty()) {
        return Err(fail(S3ErrorCode::InvalidTag, "a tag has no name"));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_form_encoded() {
        let expected = [("a b".to_owned(), "c&d".to_owned()), ("e".to_owned(), String::new())];
        assert_eq!(tags("a+b=c%26d&e").unwrap(), expected);
        assert_eq!(tags("").unwrap(), []);
        assert!(tags("=x").is_err());
        assert!(tags("a&b&c&d&e&f&g&h&i&j&k").is_err());
    }
}
