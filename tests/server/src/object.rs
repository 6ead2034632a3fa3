//! Objects: what a bucket holds under a key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderName,
};
use ::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use md5::{Digest, Md5};

use crate::encoding;

/// An object with everything S3 keeps about it. The fields may be set freely, also to what S3
/// would never produce; only [`Object::new`] and the S3 calls keep `etag` in step with `body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The stored bytes.
    pub body: Bytes,
    /// How many zero bytes follow `body` without being stored, so that huge objects fit in
    /// memory. Their entity tags are made up.
    pub hole: u64,
    /// The entity tag, without its quotes.
    pub etag: String,
    /// When it was written, in whole seconds.
    pub last_modified: SystemTime,
    /// The storage class; `STANDARD` unless another was asked for.
    pub storage_class: String,
    /// The standard headers that come back with it.
    pub headers: ContentHeaders,
    /// The user metadata, without the `x-amz-meta-` in front of the names.
    pub metadata: BTreeMap<String, String>,
    /// The tags, in the order in which they were given.
    pub tags: Vec<(String, String)>,
    /// The state of its restore, if one was asked for.
    pub restore: Option<Restore>,
    /// The archive tier of an `INTELLIGENT_TIERING` object, such as `ARCHIVE_ACCESS`.
    pub archive_status: Option<String>,
    /// The sizes of its parts, in order; empty unless it was uploaded in parts.
    pub part_sizes: Vec<u64>,
}

/// The standard headers of an object, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentHeaders {
    /// `Content-Type`; answered as `binary/octet-stream` when absent.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without the `aws-chunked` of the transport.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`, which no copy carries over.
    pub website_redirect_location: Option<String>,
}

/// How far the restore of an archived object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// Accepted and not finished; readable for so many days afterwards.
    InProgress {
        /// Absent for the archive tiers of `INTELLIGENT_TIERING`, which move back for good.
        days: Option<u32>,
    },
    /// Readable until then.
    Restored {
        /// When the restored copy goes away.
        expiry: SystemTime,
    },
}

impl Object {
    /// An object of this body and nothing else, written now.
    pub fn new(body: impl Into<Bytes>) -> Object {
        let body = body.into();
        Object {
            etag: md5_hex(&body, 0),
            body,
            hole: 0,
            last_modified: now(),
            storage_class: "STANDARD".to_owned(),
            headers: ContentHeaders::default(),
            metadata: BTreeMap::new(),
            tags: Vec::new(),
            restore: None,
            archive_status: None,
            part_sizes: Vec::new(),
        }
    }

    /// An object of so many zero bytes that takes no memory.
    pub fn hole(size: u64) -> Object {
        Object { hole: size, etag: md5_hex(&[], size), ..Object::new(Bytes::new()) }
    }

    /// The object in this storage class.
    #[must_use]
    pub fn storage_class(mut self, class: impl Into<String>) -> Object {
        self.storage_class = class.into();
        self
    }

    /// The object with this content type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Object {
        self.headers.content_type = Some(content_type.into());
        self
    }

    /// The object with these content headers.
    #[must_use]
    pub fn headers(mut self, headers: ContentHeaders) -> Object {
        self.headers = headers;
        self
    }

    /// The object with one more entry of user metadata.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Object {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// The object with one more tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Object {
        self.tags.push((name.into(), value.into()));
        self
    }

    /// The object written at this time.
    #[must_use]
    pub fn last_modified(mut self, time: SystemTime) -> Object {
        self.last_modified = time;
        self
    }

    /// The object as if it had been uploaded in parts of this size, with the entity tag that
    /// such an upload has. A `part_size` of 0 counts as 1.
    #[must_use]
    pub fn uploaded_in_parts(mut self, part_size: usize) -> Object {
        let parts: Vec<Bytes> = self.body.chunks(part_size.max(1)).map(|part| self.body.slice_ref(part)).collect();
        self.etag = multipart_etag(parts.iter().map(|part| md5(part, 0)));
        self.part_sizes = parts.iter().map(|part| part.len() as u64).collect();
        self
    }

    /// The size in bytes, as S3 reports it.
    pub fn size(&self) -> u64 {
        self.body.len() as u64 + self.hole
    }

    /// Whether it has to be restored before it can be read.
    pub(crate) fn is_archived(&self) -> bool {
        let restored = matches!(self.restore, Some(Restore::Restored { .. }));
        let cold = matches!(self.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE");
        (cold && !restored) || self.archive_status.is_some()
    }

    /// The stored bytes of a range, and the zero bytes after them.
    pub(crate) fn slice(&self, range: &Range<u64>) -> (Bytes, u64) {
        let stored = self.body.len() as u64;
        let within = |at: u64| usize::try_from(at.min(stored)).unwrap_or(self.body.len());
        let bytes = self.body.slice(within(range.start)..within(range.end));
        let hole = range.end.saturating_sub(range.start) - bytes.len() as u64;
        (bytes, hole)
    }
}

impl ContentHeaders {
    fn fields(&mut self) -> [(HeaderName, &mut Option<String>); 7] {
        [
            (CONTENT_TYPE, &mut self.content_type),
            (CONTENT_ENCODING, &mut self.content_encoding),
            (CONTENT_DISPOSITION, &mut self.content_disposition),
            (CONTENT_LANGUAGE, &mut self.content_language),
            (CACHE_CONTROL, &mut self.cache_control),
            (EXPIRES, &mut self.expires),
            (HeaderName::from_static("x-amz-website-redirect-location"), &mut self.website_redirect_location),
        ]
    }

    /// What a request says about the object that it writes.
    pub(crate) fn from_request(headers: &HeaderMap) -> ContentHeaders {
        let mut content = ContentHeaders::default();
        for (name, field) in content.fields() {
            *field = headers.get(name).and_then(text).filter(|value| !value.is_empty());
        }
        let encoding = content.content_encoding.take();
        content.content_encoding = encoding.and_then(|encoding| {
            let codings: Vec<&str> =
                encoding.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
            (!codings.is_empty()).then(|| codings.join(","))
        });
        content
    }

    /// Adds them to the headers of an answer.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
        for (name, field) in self.clone().fields() {
            if let Some(value) = field.as_deref().and_then(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// The user metadata in the headers of a request.
pub(crate) fn metadata_from_request(headers: &HeaderMap) -> BTreeMap<String, String> {
    let entry = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = name.as_str().strip_prefix("x-amz-meta-")?;
        Some((name.to_owned(), text(value)?))
    };
    headers.iter().filter_map(entry).collect()
}

/// Adds user metadata to the headers of an answer.
pub(crate) fn write_metadata(metadata: &BTreeMap<String, String>, headers: &mut HeaderMap) {
    for (name, text) in metadata {
        let name = HeaderName::try_from(format!("x-amz-meta-{name}"));
        if let (Ok(name), Some(value)) = (name, value(text)) {
            headers.insert(name, value);
        }
    }
}

fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
}

fn value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// The time in whole seconds, which is all that S3 keeps.
pub(crate) fn now() -> SystemTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The MD5 of the bytes; a hole after them is told apart by its size, not really hashed.
pub(crate) fn md5(bytes: &[u8], hole: u64) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update(bytes);
    if hole > 0 {
        hash.update(hole.to_be_bytes());
    }
    hash.finalize().into()
}

/// The MD5 as an entity tag.
pub(crate) fn md5_hex(bytes: &[u8], hole: u64) -> String {
    encoding::hex(&md5(bytes, hole))
}

/// The entity tag of an object with parts of these MD5s: the MD5 of them all, and their number.
pub(crate) fn multipart_etag(parts: impl IntoIterator<Item = [u8; 16]>) -> String {
    let parts: Vec<[u8; 16]> = parts.into_iter().collect();
    format!("{}-{}", md5_hex(parts.as_flattened(), 0), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_those_of_s3() {
        assert_eq!(Object::new("").etag, "d41d8cd98f00b204e9800998ecf8427e");
        let object = Object::new("aab").uploaded_in_parts(2);
        assert_eq!(object.part_sizes, [2, 1]);
        assert_eq!(object.etag, multipart_etag([md5(b"aa", 0), md5(b"b", 0)]));
        assert!(object.etag.ends_with("-2"));
    }

    #[test]
    fn slices_reach_into_the_hole() {
        let object = Object { hole: 10, ..Object::new("abc") };
        assert_eq!(object.size(), 13);
        assert_eq!(object.slice(&(0..13)), (Bytes::from("abc"), 10));
        assert_eq!(object.slice(&(1..2)), (Bytes::from("b"), 0));
        assert_eq!(object.slice(&(2..5)), (Bytes::from("c"), 2));
        assert_eq!(object.slice(&(5..9)), (Bytes::new(), 4));
    }

    #[test]
    fn the_transport_encoding_is_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked, gzip"));
        assert_eq!(ContentHeaders::from_request(&headers).content_encoding.as_deref(), Some("gzip"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        assert_eq!(ContentHeaders::from_request(&headers).content_encoding, None);
    }

    #[test]
    fn archived_objects_are_cold_until_restored() {
        let cold = Object::new("x").storage_class("GLACIER");
        assert!(cold.is_archived());
        assert!(!Object::new("x").storage_class("GLACIER_IR").is_archived());
        assert!(!Object { restore: Some(Restore::Restored { expiry: now() }), ..cold }.is_archived());
    }
}
