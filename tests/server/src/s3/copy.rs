//! CopyObject, and the sources of copies.

use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

use super::conditions::{check_source, check_write, from_header};
use super::{Answer, Call, Calls, check_customer_key, digest, etag, fail, read, write, written};
use crate::encoding;
use crate::object::{self, ContentHeaders, CustomerKey, now};

/// The largest source of a copy in one request: 5 GiB.
const MAX_SOURCE: u64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn object(calls: &Calls, req: Call<CopyObjectInput>) -> Answer<CopyObjectOutput> {
    let (input, headers) = (req.input, req.headers);
    let replaces_metadata =
        input.metadata_directive.as_ref().is_some_and(|it| it.as_str() == MetadataDirective::REPLACE);
    let replaces_tags = input.tagging_directive.as_ref().is_some_and(|it| it.as_str() == TaggingDirective::REPLACE);
    let named = source_of(&headers)?;
    let source = named.find(calls, &headers)?;
    let conditions = (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
    check_source(&source, conditions.0, conditions.1)?;
    if source.size() > MAX_SOURCE {
        return Err(fail(S3ErrorCode::InvalidRequest, "the source is larger than 5 GiB, the most for one copy"));
    }
    let encrypts = input.server_side_encryption.is_some() || input.sse_customer_algorithm.is_some();
    let redirects = input.website_redirect_location.is_some();
    let changes = replaces_metadata || input.storage_class.is_some() || encrypts || redirects;
    if named.is_newest_of(&input.bucket, &input.key) && !changes {
        return Err(fail(
            S3ErrorCode::InvalidRequest,
            "this copy request is illegal because it is trying to copy an object to itself without changing its metadata, \
             storage class, website redirect location or encryption",
        ));
    }
    take_time(calls, source.size()).await;
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
    let content = source.content();
    let kept_etag = source.part_sizes.is_empty() && !source.hides_md5() && !template.hides_md5();
    let etag_of_copy =
        if kept_etag { source.etag.clone() } else { encoding::hex(&template.hash_in_etag(content.md5())) };
    let checksum = Some(source.checksum.unwrap_or_else(|| content.checksum()));
    let copy = object::Object { checksum, etag: etag_of_copy, last_modified: now(), ..template }.holding(content);
    let checksum_crc64nvme = digest::answered(calls, checksum);
    let result = CopyObjectResult {
        checksum_type: digest::kind(checksum_crc64nvme.as_ref()),
        checksum_crc64nvme,
        e_tag: Some(etag(&copy.etag)),
        last_modified: Some(copy.last_modified.into()),
        ..Default::default()
    };
    let if_match = from_header(&headers, "if-match")?;
    let if_none_match = from_header(&headers, "if-none-match")?;
    let mut state = calls.store.lock();
    let bucket = state.bucket(&input.bucket)?;
    let existing = bucket.objects.get(&input.key).map(Arc::as_ref);
    check_write(existing, if_match.as_ref(), if_none_match.as_ref())?;
    let copy = bucket.insert(&input.key, copy);
    let output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source.version_id.clone(),
        ..Default::default()
    };
    written(output, &copy)
}

/// Takes as long as copying so many bytes does.
pub(super) async fn take_time(calls: &Calls, size: u64) {
    if let Some(rate) = calls.config.copy_bytes_per_second {
        let nanoseconds = u128::from(size) * 1_000_000_000 / u128::from(rate.max(1));
        tokio::time::sleep(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))).await;
    }
}

/// What a copy is made of, as `x-amz-copy-source` names it.
#[derive(Debug, PartialEq)]
pub(super) struct Source {
    bucket: String,
    key: String,
    version: Option<String>,
}

impl Source {
    fn is_newest_of(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && self.key == key && self.version.is_none()
    }

    /// The object, if it can be read.
    pub(super) fn find(&self, calls: &Calls, headers: &HeaderMap) -> S3Result<Arc<object::Object>> {
        let source = read::find(calls, &self.bucket, &self.key, self.version.as_deref())?;
        if source.is_archived() {
            return Err(fail(S3ErrorCode::InvalidObjectState, "the source is archived and not restored"));
        }
        check_customer_key(CustomerKey::OfSource, headers, &source)?;
        Ok(source)
    }
}

/// The source in `x-amz-copy-source`, read from the header itself: S3 takes a `+` there for a
/// space, the protocol layer does not.
pub(super) fn source_of(headers: &HeaderMap) -> S3Result<Source> {
    let wrong = || fail(S3ErrorCode::InvalidArgument, "the copy source is no bucket/key");
    let source = headers.get("x-amz-copy-source").and_then(|value| value.to_str().ok()).ok_or_else(wrong)?;
    parse_source(source).ok_or_else(wrong)
}

fn parse_source(source: &str) -> Option<Source> {
    let (path, query) = source.split_once('?').unwrap_or((source, ""));
    let path = encoding::decode_form(path)?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/')?;
    let version = query.split('&').find_map(|pair| pair.strip_prefix("versionId=")).map(encoding::decode_form);
    let source = Source { bucket: bucket.to_owned(), key: key.to_owned(), version: version.flatten() };
    (!bucket.is_empty() && !key.is_empty()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Option<Source> {
        parse_source(text)
    }

    fn is(bucket: &str, key: &str) -> Option<Source> {
        Some(Source { bucket: bucket.to_owned(), key: key.to_owned(), version: None })
    }

    #[test]
    fn sources_are_decoded_like_s3() {
        assert_eq!(source("bucket/a/b"), is("bucket", "a/b"));
        assert_eq!(source("/bucket/a"), is("bucket", "a"));
        assert_eq!(source("bucket//a"), is("bucket", "/a"));
        assert_eq!(source("bucket%2Fa"), is("bucket", "a"));
        assert_eq!(source("bucket/a+b"), is("bucket", "a b"));
        assert_eq!(source("bucket/a%2Bb%3F%23%25"), is("bucket", "a+b?#%"));
        let version = Some("a=b".to_owned());
        assert_eq!(source("bucket/a?versionId=a%3Db"), is("bucket", "a").map(|source| Source { version, ..source }));
    }

    #[test]
    fn other_sources_are_refused() {
        assert_eq!(source("bucket"), None);
        assert_eq!(source("bucket/"), None);
        assert_eq!(source(""), None);
    }
}
