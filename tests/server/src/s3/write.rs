//! PutObject, PutObjectTagging, DeleteObject, and what all writes share.

use std::sync::Arc;

use ::http::HeaderMap;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use md5::{Digest, Md5};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::conditions::check_write;
use super::{Answer, Call, Calls, answer, etag, fail};
use crate::encoding;
use crate::object::{self, ContentHeaders, metadata_from_request};

/// The most tags that an object can have.
const MAX_TAGS: usize = 10;

pub(super) async fn put(calls: &Calls, req: Call<PutObjectInput>) -> Answer<PutObjectOutput> {
    let input = req.input;
    let body = read_body(input.body, input.content_md5.as_deref()).await?;
    let template = template(&req.headers, input.storage_class.as_ref(), input.tagging.as_deref())?;
    let object = object::Object { etag: object::md5_hex(&body, 0), body, ..template };
    let written = etag(&object.etag);
    let mut state = calls.store.lock();
    let objects = &mut state.bucket(&input.bucket)?.objects;
    let existing = objects.get(&input.key).map(Arc::as_ref);
    check_write(existing, input.if_match.as_ref(), input.if_none_match.as_ref())?;
    objects.insert(input.key, Arc::new(object));
    answer(PutObjectOutput { e_tag: Some(written), ..Default::default() })
}

pub(super) async fn delete(calls: &Calls, req: Call<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
    calls.store.lock().bucket(&req.input.bucket)?.objects.remove(&req.input.key);
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

/// The whole body, checked against the digest that came with it.
pub(super) async fn read_body(body: Option<StreamingBlob>, content_md5: Option<&str>) -> S3Result<Bytes> {
    let chunks: Vec<Bytes> = match body {
        Some(stream) => stream.try_collect().await.map_err(|_| S3ErrorCode::IncompleteBody)?,
        None => Vec::new(),
    };
    let body = joined(chunks);
    if let Some(expected) = content_md5
        && !is_digest(&Md5::digest(&body), expected)
    {
        return Err(fail(S3ErrorCode::BadDigest, "the body does not have this MD5"));
    }
    Ok(body)
}

/// The pieces in one; a single piece is not copied.
pub(super) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

/// An object without a body, as a request describes it.
pub(super) fn template(
    headers: &HeaderMap,
    storage_class: Option<&StorageClass>,
    tagging: Option<&str>,
) -> S3Result<object::Object> {
    Ok(object::Object {
        storage_class: storage_class.map_or("STANDARD", StorageClass::as_str).to_owned(),
        headers: ContentHeaders::from_request(headers),
        metadata: metadata_from_request(headers),
        tags: tags(tagging.unwrap_or_default())?,
        ..object::Object::new(Bytes::new())
    })
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

/// Whether the bytes are what the base64 text says.
fn is_digest(digest: &[u8], base64: &str) -> bool {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut expected = String::new();
    for chunk in digest.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            expected.push(ALPHABET.get(index as usize).copied().map_or('=', char::from));
        }
        expected.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    expected == base64
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

    #[test]
    fn digests_are_compared_in_base64() {
        assert!(is_digest(b"", ""));
        assert!(is_digest(b"f", "Zg=="));
        assert!(is_digest(b"fo", "Zm8="));
        assert!(is_digest(b"foobar", "Zm9vYmFy"));
        assert!(!is_digest(b"foobar", "Zm9vYmFz"));
    }
}
