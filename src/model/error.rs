//! What can go wrong: with one request, and with a whole run.

use std::fmt;
use std::time::Duration;

/// The S3 calls that s3bulk makes, by their names in the S3 API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Operation {
    /// `HeadBucket`: does the bucket exist, and in which region.
    HeadBucket,
    /// `ListObjectsV2`: one page of keys.
    ListObjectsV2,
    /// `HeadObject`: one object's headers.
    HeadObject,
    /// `GetObject`: one object's headers and body.
    GetObject,
    /// `GetObjectTagging`: one object's tags.
    GetObjectTagging,
    /// `PutObject`: write one object in one request.
    PutObject,
    /// `CopyObject`: a copy that the store makes by itself.
    CopyObject,
    /// `GetObjectAcl`: one object's access control list.
    GetObjectAcl,
    /// `CreateMultipartUpload`: begin to write an object in parts.
    CreateMultipartUpload,
    /// `UploadPart`: write one part.
    UploadPart,
    /// `UploadPartCopy`: one part that the store copies by itself.
    UploadPartCopy,
    /// `CompleteMultipartUpload`: make the parts an object.
    CompleteMultipartUpload,
    /// `AbortMultipartUpload`: give an upload up.
    AbortMultipartUpload,
    /// `ListParts`: the parts that an upload has.
    ListParts,
    /// `ListMultipartUploads`: the uploads that are under way.
    ListMultipartUploads,
    /// `RestoreObject`: make an archived object readable for some days.
    RestoreObject,
    /// `GetBucketVersioning`: does the bucket keep older versions.
    GetBucketVersioning,
}

impl Operation {
    /// Every operation, in the order of the enum.
    pub const ALL: [Self; 17] = [
        Self::HeadBucket,
        Self::ListObjectsV2,
        Self::HeadObject,
        Self::GetObject,
        Self::GetObjectTagging,
        Self::PutObject,
        Self::CopyObject,
        Self::GetObjectAcl,
        Self::CreateMultipartUpload,
        Self::UploadPart,
        Self::UploadPartCopy,
        Self::CompleteMultipartUpload,
        Self::AbortMultipartUpload,
        Self::ListParts,
        Self::ListMultipartUploads,
        Self::RestoreObject,
        Self::GetBucketVersioning,
    ];

    /// Whether it is sent to the destination, and changes it.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::PutObject
                | Self::CopyObject
                | Self::CreateMultipartUpload
                | Self::UploadPart
                | Self::UploadPartCopy
                | Self::CompleteMultipartUpload
                | Self::AbortMultipartUpload
        )
    }

    /// The name in the S3 API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeadBucket => "HeadBucket",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::HeadObject => "HeadObject",
            Self::GetObject => "GetObject",
            Self::GetObjectTagging => "GetObjectTagging",
            Self::PutObject => "PutObject",
            Self::CopyObject => "CopyObject",
            Self::GetObjectAcl => "GetObjectAcl",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::ListParts => "ListParts",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::RestoreObject => "RestoreObject",
            Self::GetBucketVersioning => "GetBucketVersioning",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a failed request means for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The server asks for fewer requests: try again, with patience.
    Throttled,
    /// A fault of the moment (5xx, a broken connection, a body cut short): try again.
    Transient,
    /// The object (not its bucket) is not there.
    Missing,
    /// The permission for this object is missing.
    Denied,
    /// A condition of the request does not hold (412): the object is not the one that was meant, or
    /// there is one already.
    Unmet,
    /// No other object would fare better (bad credentials, no such bucket): the run drains.
    Fatal,
    /// The request was not sent because the run is draining.
    Interrupted,
    /// Trying again would give the same answer.
    Permanent,
}

impl Class {
    /// Whether another attempt may succeed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient)
    }
}

/// A request that failed, after all its attempts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {code}{}: {message}", status.map(|s| format!(" (HTTP {s})")).unwrap_or_default())]
pub struct RequestError {
    /// The call that failed.
    pub operation: Operation,
    /// What follows from it.
    pub class: Class,
    /// The S3 error code, or a name of our own in the same style where no answer came.
    pub code: String,
    /// The server's words, or the transport's.
    pub message: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// `x-amz-request-id` and, after a blank, `x-amz-id-2`, where the server sent them.
    pub request_id: Option<String>,
    /// How many times the request was sent.
    pub attempts: u32,
    /// How long the server asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl RequestError {
    /// An error of our own making: no answer of a server stands behind it.
    pub fn local(operation: Operation, class: Class, code: &str, message: impl Into<String>) -> Self {
        Self {
            operation,
            class,
            code: code.to_owned(),
            message: message.into(),
            status: None,
            request_id: None,
            attempts: 1,
            retry_after: None,
        }
    }

    /// The code of a request that was given up because it took too long.
    pub const LATE: &str = "RequestTimeout";

    /// Whether the request was given up because it took too long.
    pub fn is_late(&self) -> bool {
        self.status.is_none() && self.code == Self::LATE
    }

    /// Whether it is KMS that has answered, for all keys of an account alike: its codes begin so, and S3
    /// passes its words on.
    pub fn is_of_kms(&self) -> bool {
        self.code.starts_with("KMS") || self.message.contains("KMS")
    }

    /// Whether the object (not its bucket) is not there.
    pub fn is_missing(&self) -> bool {
        self.class == Class::Missing
    }

    /// The error of a request that was not sent because the run is draining.
    pub fn interrupted(operation: Operation, attempts: u32) -> Self {
        let mut error = Self::local(operation, Class::Interrupted, "Interrupted", "the run is ending");
        error.attempts = attempts;
        error
    }
}

/// Why a run could not begin or had to end; each kind has an exit code of its own.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// No work is possible: credentials, bucket, endpoint.
    #[error("{0}")]
    Unworkable(String),
    /// The checkpoint cannot be used, or what is written elsewhere (the failures, the output, stdout) cannot
    /// be written.
    #[error("{0}")]
    Checkpoint(String),
    /// A bug in s3bulk.
    #[error("internal error: {0}")]
    Internal(String),
}
