//! CopyObject, and the sources of copies.

use std::sync::Arc;

use ::http::HeaderMap;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::conditions::{check_source, check_write, from_header};
use super::{Answer, Call, Calls, answer, etag, fail, read, write};
use crate::encoding;
use crate::object::{self, ContentHeaders, now};

/// The largest source of a copy in one request: 5 GiB.
const MAX_SOURCE: u64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn object(calls: &Calls, req: Call<CopyObjectInput>) -> Answer<CopyObjectOutput> {
    let (input, headers) = (req.input, req.headers);
    let replaces_metadata =
        input.metadata_directive.as_ref().is_some_and(|it| it.as_str() == MetadataDirective::REPLACE);
    let replaces_tags = input.tagging_directive.as_ref().is_some_and(|it| it.as_str() == TaggingDirective::REPLACE);
    let (bucket, key) = source_of(&headers)?;
    let source = read::find(calls, &bucket, &key)?;
    check_readable(&source)?;
    let conditions = (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
    check_source(&source, conditions.0, conditions.1)?;
    if source.size() > MAX_SOURCE {
        return Err(fail(S3ErrorCode::InvalidRequest, "the source is larger than 5 GiB, the most for one copy"));
    }
    let changes = replaces_metadata || input.storage_class.is_some() || input.website_redirect_location.is_some();
    if (&bucket, &key) == (&input.bucket, &input.key) && !changes {
        return Err(fail(S3ErrorCode::InvalidRequest, "a copy of an object onto itself has to change something"));
    }
    let mut template = write::template(&headers, input.storage_class.as_ref(), input.tagging.as_deref())?;
    if !replaces_metadata {
        let website_redirect_location = template.headers.website_redirect_location.take();
        template.headers = ContentHeaders { website_redirect_location, ..source.headers.clone() };
        template.metadata.clone_from(&source.metadata);
    }
    if !replaces_tags {
        template.tags.clone_from(&source.tags);
    }
    // One request writes one part, whatever the source was made of.
    let etag_of_copy =
        if source.part_sizes.is_empty() { source.etag.clone() } else { object::md5_hex(&source.body, source.hole) };
    let copy = object::Object {
        body: source.body.clone(),
        hole: source.hole,
        etag: etag_of_copy,
        last_modified: now(),
        ..template
    };
    let result = CopyObjectResult {
        e_tag: Some(etag(&copy.etag)),
        last_modified: Some(copy.last_modified.into()),
        ..Default::default()
    };
    let if_match = from_header(&headers, "if-match")?;
    let if_none_match = from_header(&headers, "if-none-match")?;
    let mut state = calls.store.lock();
    let objects = &mut state.bucket(&input.bucket)?.objects;
    let existing = objects.get(&input.key).map(Arc::as_ref);
    check_write(existing, if_match.as_ref(), if_none_match.as_ref())?;
    objects.insert(input.key, Arc::new(copy));
    answer(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
}

/// Refuses a source that has to be restored first.
pub(super) fn check_readable(source: &object::Object) -> S3Result<()> {
    if source.is_archived() {
        return Err(fail(S3ErrorCode::InvalidObjectState, "the source is archived and not restored"));
    }
    Ok(())
}

/// Bucket and key in `x-amz-copy-source`, read from the header itself: S3 takes a `+` there for a
/// space, the protocol layer does not.
pub(super) fn source_of(headers: &HeaderMap) -> S3Result<(String, String)> {
    let wrong = || fail(S3ErrorCode::InvalidArgument, "the copy source is no bucket/key");
    let source = headers.get("x-amz-copy-source").and_then(|value| value.to_str().ok()).ok_or_else(wrong)?;
    parse_source(source).ok_or_else(wrong)
}

fn parse_source(source: &str) -> Option<(String, String)> {
    let path = source.split('?').next()?;
    let path = encoding::decode_form(path)?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then(|| (bucket.to_owned(), key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Option<(String, String)> {
        parse_source(text)
    }

    fn is(bucket: &str, key: &str) -> Option<(String, String)> {
        Some((bucket.to_owned(), key.to_owned()))
    }

    #[test]
    fn sources_are_decoded_like_s3() {
        assert_eq!(source("bucket/a/b"), is("bucket", "a/b"));
        assert_eq!(source("/bucket/a"), is("bucket", "a"));
        assert_eq!(source("bucket//a"), is("bucket", "/a"));
        assert_eq!(source("bucket%2Fa"), is("bucket", "a"));
        assert_eq!(source("bucket/a+b"), is("bucket", "a b"));
        assert_eq!(source("bucket/a%2Bb%3F%23%25?versionId=null"), is("bucket", "a+b?#%"));
    }

    #[test]
    fn other_sources_are_refused() {
        assert_eq!(source("bucket"), None);
        assert_eq!(source("bucket/"), None);
        assert_eq!(source(""), None);
    }
}
