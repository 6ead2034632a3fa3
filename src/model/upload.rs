//! A multipart upload that is under way: what a resume needs to take it up again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Checksum;

/// A multipart upload and the parts of it that the destination has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The upload id.
    #[serde(rename = "upload_id")]
    pub id: String,
    /// Size of each part but the last, in bytes.
    pub part_size: u64,
    /// What is being copied.
    pub of: Revision,
    /// Whether its parts carry CRC-64 checksums.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checksums: bool,
    /// Whether its parts go through this machine; else the store copies them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub through_client: bool,
    /// Whether it was begun without the source's tags, which could not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_tags: bool,
    /// The parts that are uploaded, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "list")]
    pub parts: BTreeMap<u16, UploadedPart>,
}

/// One state of an object: a copy must not mix two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Size in bytes.
    pub size: u64,
    /// The entity tag, as the server writes it.
    pub etag: String,
    /// The version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// A part that the destination acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    /// Its entity tag.
    pub etag: String,
    /// The checksum of its bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
}

/// Parts as a list: within a tagged line, serde reads the keys of a map as text only.
mod list {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::UploadedPart;

    pub(super) fn serialize<S: Serializer>(
        parts: &BTreeMap<u16, UploadedPart>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(parts)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<u16, UploadedPart>, D::Error> {
        Ok(Vec::<(u16, UploadedPart)>::deserialize(deserializer)?.into_iter().collect())
    }
}
