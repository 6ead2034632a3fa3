//! Objects: what a bucket holds under a key.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::content::{Content, Segment};
use crate::{checksum, encoding};

mod headers;
mod protection;

pub use headers::ContentHeaders;
pub(crate) use headers::{hide_odd_values, metadata_from_request, write_metadata};
pub(crate) use protection::CustomerKey;
pub use protection::{Encryption, Lock};

/// An object with everything S3 keeps about it. The fields may be set freely, also to what S3
/// would never produce; only [`Object::new`], its kin and the S3 calls keep `etag` and `checksum` in step with `body`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The stored bytes.
    pub body: Bytes,
    /// How many zero bytes follow `body` without being stored, so that huge objects fit in
    /// memory. Their entity tags are made up.
    pub hole: u64,
    /// What follows `body` and `hole`, for objects of more pieces than these two.
    pub rest: Vec<Segment>,
    /// The CRC-64/NVME of all the bytes, which objects from before S3 had checksums do not have.
    pub checksum: Option<u64>,
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
    /// The request that its restore in progress began with, or was made faster by.
    pub restore_request: Option<RestoreRequest>,
    /// The archive tier of an `INTELLIGENT_TIERING` object, such as `ARCHIVE_ACCESS`.
    pub archive_status: Option<String>,
    /// The sizes of its parts, in order; empty unless it was uploaded in parts.
    pub part_sizes: Vec<u64>,
    /// How the server encrypts it; absent: nothing is said about that.
    pub encryption: Option<Encryption>,
    /// The MD5 of the key that the client brings for each request (SSE-C), in base64.
    pub customer_key_md5: Option<String>,
    /// Its lock, if it has one.
    pub lock: Option<Lock>,
    /// What is granted, such as `READ`, and to whom, such as `id=1` or `uri=http://...`; empty:
    /// what `canned_acl` says.
    pub acl: Vec<(String, String)>,
    /// The canned access list, such as `public-read`; absent: only its owner has access.
    pub canned_acl: Option<String>,
    /// Its version, given to it when it is put into a bucket; absent where there are no versions.
    pub version_id: Option<String>,
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

/// When a restore was asked for, and how fast it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRequest {
    /// When.
    pub at: SystemTime,
    /// `Bulk`, `Standard` or `Expedited`.
    pub tier: String,
}

impl Object {
    /// An object of this body and nothing else, written now.
    pub fn new(body: impl Into<Bytes>) -> Object {
        let body = body.into();
        Object {
            etag: md5_hex(&body),
            checksum: Some(checksum::of(&body)),
            body,
            hole: 0,
            rest: Vec::new(),
            last_modified: now(),
            storage_class: "STANDARD".to_owned(),
            headers: ContentHeaders::default(),
            metadata: BTreeMap::new(),
            tags: Vec::new(),
            restore: None,
            restore_request: None,
            archive_status: None,
            part_sizes: Vec::new(),
            encryption: None,
            customer_key_md5: None,
            lock: None,
            acl: Vec::new(),
            canned_acl: None,
            version_id: None,
        }
    }

    /// An object of so many zero bytes that takes no memory.
    pub fn hole(size: u64) -> Object {
        Object::made_of(Segment::Hole(size))
    }

    /// An object of so many bytes that take no memory and look random; those of another seed are
    /// others. Its entity tag is made up, its checksum is right.
    pub fn pattern(size: u64, seed: u64) -> Object {
        Object::made_of(Segment::Pattern { seed, range: 0..size })
    }

    fn made_of(segment: Segment) -> Object {
        let content = Content::from_iter([segment]);
        let (etag, checksum) = (encoding::hex(&content.md5()), content.checksum());
        Object { etag, checksum: Some(checksum), ..Object::new(Bytes::new()) }.holding(content)
    }

    /// The object without a checksum, like one from before S3 had them.
    #[must_use]
    pub fn without_checksum(mut self) -> Object {
        self.checksum = None;
        self
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
        let (content, size) = (self.content(), self.size());
        let step = u64::try_from(part_size.max(1)).unwrap_or(u64::MAX);
        let starts = std::iter::successors(Some(0), |start: &u64| start.checked_add(step)).take_while(|at| *at < size);
        let parts: Vec<Content> =
            starts.filter_map(|start| content.slice(&(start..size.min(start.saturating_add(step))))).collect();
        self.etag = multipart_etag(parts.iter().map(Content::md5));
        self.part_sizes = parts.iter().map(Content::size).collect();
        self
    }

    /// The size in bytes, as S3 reports it.
    pub fn size(&self) -> u64 {
        self.body.len() as u64 + self.hole + self.rest.iter().map(Segment::size).sum::<u64>()
    }

    /// Whether the other has the same bytes, however they are kept: told from their sizes and their
    /// checksums, which are computed anew from what is there.
    pub fn has_bytes_of(&self, other: &Object) -> bool {
        let (own, others) = (self.content(), other.content());
        own == others || (own.size() == others.size() && own.checksum() == others.checksum())
    }

    /// Whether it has to be restored before it can be read.
    pub(crate) fn is_archived(&self) -> bool {
        let restored = matches!(self.restore, Some(Restore::Restored { .. }));
        let cold = matches!(self.storage_class.as_str(), "GLACIER" | "DEEP_ARCHIVE");
        (cold && !restored) || self.archive_status.is_some()
    }

    /// All its bytes.
    pub(crate) fn content(&self) -> Content {
        let first = [Segment::Stored(self.body.clone()), Segment::Hole(self.hole)];
        first.into_iter().chain(self.rest.iter().cloned()).collect()
    }

    /// The object with these bytes; its entity tag and checksum stay what they are.
    pub(crate) fn holding(self, content: Content) -> Object {
        let (body, hole, rest) = content.split();
        Object { body, hole, rest, ..self }
    }
}

/// The time in whole seconds, which is all that S3 keeps.
pub(crate) fn now() -> SystemTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The MD5 of the bytes as an entity tag.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    encoding::hex(&Md5::digest(bytes))
}

/// The entity tag of an object with parts of these MD5s: the MD5 of them all, and their number.
pub(crate) fn multipart_etag(parts: impl IntoIterator<Item = [u8; 16]>) -> String {
    let parts: Vec<[u8; 16]> = parts.into_iter().collect();
    format!("{}-{}", md5_hex(parts.as_flattened()), parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_those_of_s3() {
        assert_eq!(Object::new("").etag, "d41d8cd98f00b204e9800998ecf8427e");
        let object = Object::new("aab").uploaded_in_parts(2);
        assert_eq!(object.part_sizes, [2, 1]);
        assert_eq!(object.etag, multipart_etag([Md5::digest("aa").into(), Md5::digest("b").into()]));
        assert!(object.etag.ends_with("-2"));
    }

    #[test]
    fn objects_that_take_no_memory_have_parts_and_checksums() {
        for object in [Object::hole(1 << 40), Object::pattern(20 << 30, 1)] {
            let parts = object.clone().uploaded_in_parts(1 << 30);
            assert_eq!(parts.part_sizes.len() as u64, object.size() >> 30);
            assert_eq!(parts.part_sizes.iter().sum::<u64>(), object.size());
            assert!(parts.has_bytes_of(&object) && object.etag != parts.etag);
        }
        assert_eq!(Object::hole(9).checksum, Object::new(vec![0; 9]).checksum);
        assert!(Object::hole(9).has_bytes_of(&Object::new(vec![0; 9])));
        assert!(!Object::hole(9).has_bytes_of(&Object::new("123456789")));
        assert!(!Object::pattern(9, 1).has_bytes_of(&Object::pattern(9, 2)));
        assert_eq!(Object::new("x").without_checksum().checksum, None);
    }

    #[test]
    fn archived_objects_are_cold_until_restored() {
        let cold = Object::new("x").storage_class("GLACIER");
        assert!(cold.is_archived());
        assert!(!Object::new("x").storage_class("GLACIER_IR").is_archived());
        assert!(!Object { restore: Some(Restore::Restored { expiry: now() }), ..cold }.is_archived());
    }
}
