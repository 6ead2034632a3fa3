//! Whether a bucket keeps what is overwritten.

/// What becomes of an object that is overwritten. *Source:* "Using versioning in S3 buckets" of S3's user
/// guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versioning {
    /// It is gone: the bucket never kept versions, and can have no locks either.
    Never,
    /// It stays, as an older version.
    Enabled,
    /// It stays if it was written while versions were kept.
    Suspended,
}
