//! What is known about a copy that was made: the evidence that it is right, and its receipt.

use serde::{Deserialize, Serialize};

use super::Checksum;

/// Why a copy is known to be right: the best of what there is, the best kind first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Source and destination have the same checksum of the whole object.
    Checksum,
    /// The destination checked a digest of the bytes that this machine read; the source has none
    /// to compare.
    Digest,
    /// Source and destination have the same entity tag, each of an object of one part.
    Etag,
    /// The destination has the size of the source, in as many parts as were sent.
    Size,
    /// The store's word that it made the copy.
    Answer,
}

impl Evidence {
    /// As users read it, behind a number of objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checksum => "by equal checksums of the whole object",
            Self::Digest => "by a digest that the destination checked",
            Self::Etag => "by equal ETags",
            Self::Size => "by size and parts",
            Self::Answer => "by the store's answer",
        }
    }
}

/// Which way the bytes of a copy went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// One CopyObject.
    CopyObject,
    /// UploadPartCopy.
    UploadPartCopy,
    /// GetObject and PutObject.
    PutObject,
    /// Ranged GetObject and UploadPart.
    UploadPart,
}

/// An object as the destination acknowledged it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its entity tag, as the server writes it.
    pub etag: Option<String>,
    /// Its version, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// The checksum of the whole object, where the server says one.
    pub checksum: Option<Checksum>,
    /// Whether the server has checked another digest (an MD5) of the bytes that it was sent.
    pub has_checked: bool,
    /// Whether it says that the object is encrypted so that its entity tag is no MD5 (SSE-KMS,
    /// SSE-C).
    pub has_opaque_etag: bool,
}

/// What the receipt says of one object: a line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When the copy was acknowledged, RFC 3339.
    pub time: String,
    /// The source bucket.
    pub bucket: String,
    /// The source key.
    pub key: String,
    /// The source's version, where one was read.
    pub version_id: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// The source's entity tag, where it is known.
    pub etag: Option<String>,
    /// The destination bucket.
    pub dest_bucket: String,
    /// The destination key.
    pub dest_key: String,
    /// The version that was written, where the bucket keeps versions.
    pub dest_version_id: Option<String>,
    /// The destination's entity tag.
    pub dest_etag: Option<String>,
    /// CRC-64/NVME of the whole object, where it is known.
    pub checksum: Option<Checksum>,
    /// Why the copy is known to be right.
    pub evidence: Evidence,
    /// Which way the bytes went.
    pub way: Made,
}
