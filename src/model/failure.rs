//! The record of an object that failed: a line of the failures file, and part of the checkpoint.

use serde::{Deserialize, Serialize};

use super::{Object, RequestError, now};

/// One object that was not copied, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The source bucket.
    pub bucket: String,
    /// The source key.
    pub key: String,
    /// The source version, where one was pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Size in bytes, as last seen.
    pub size: u64,
    /// Its entity tag, as it was listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Where it should have gone: `s3://bucket/key`.
    pub dest: String,
    /// The S3 error code, or a name of our own in the same style.
    pub code: String,
    /// The server's words, or ours.
    pub message: String,
    /// How many times the failing request was sent.
    pub attempts: u32,
    /// The server's request ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When it failed, RFC 3339.
    pub time: String,
    /// Whether no retry mends it. Of this run only: not recorded.
    #[serde(skip)]
    pub is_final: bool,
}

impl Failure {
    /// The code of a manifest's line that cannot be read.
    pub const MALFORMED_LINE: &str = "MalformedLine";

    /// The code of a manifest's line that names an object outside the sources.
    pub const OUTSIDE_SOURCE: &str = "OutsideSource";

    /// The failure of a manifest's line, with `code`, that names `key` of `bucket`, as far as it can be
    /// read; `message` says which line it is.
    pub fn of_line(code: &str, bucket: &str, key: &str, message: String) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version_id: None,
            size: 0,
            etag: None,
            dest: String::new(),
            code: code.to_owned(),
            message,
            attempts: 0,
            request_id: None,
            time: now(),
            // It says nothing of the next line.
            is_final: false,
        }
    }

    /// Whether a manifest's line is at fault: no operation is tried on what it names.
    pub fn is_of_line(&self) -> bool {
        [Self::MALFORMED_LINE, Self::OUTSIDE_SOURCE].contains(&self.code.as_str())
    }

    /// The failure of `object` in `bucket`, on its way to `dest`, because of `error`.
    pub fn new(bucket: &str, object: &Object, dest: String, error: RequestError) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: object.key.clone(),
            version_id: object.version_id.clone(),
            size: object.size,
            etag: object.etag.clone(),
            dest,
            code: error.code,
            message: format!("{}: {}", error.operation, error.message),
            attempts: error.attempts,
            request_id: error.request_id,
            time: now(),
            is_final: !error.class.is_retryable(),
        }
    }
}
