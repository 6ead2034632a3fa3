//! What a server is started with.

use std::time::Duration;

/// The credentials of one client that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The public half.
    pub access_key: String,
    /// The half that signs.
    pub secret_key: String,
}

impl Account {
    /// An account with these two keys.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Account {
        Account { access_key: access_key.into(), secret_key: secret_key.into() }
    }
}

/// What a server makes of the checksums of S3, of which it knows CRC-64/NVME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksums {
    /// They are checked, kept and answered.
    #[default]
    Supported,
    /// Their headers are accepted, not looked at and never answered.
    Ignored,
    /// A request with any of their headers is answered with 501 `NotImplemented`.
    Refused,
}

/// In which order a server lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By the bytes of the keys, as S3 does.
    #[default]
    Bytes,
    /// By their UTF-16 code units, as stores written in Java or C# do: characters beyond U+FFFF
    /// come before U+E000.
    Utf16,
    /// Like a directory bucket: in an order of its own, always the same. `start-after` is ignored,
    /// only tokens lead on.
    Shuffled,
}

/// Whether the buckets of a server keep older versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versioning {
    /// They never did.
    #[default]
    Never,
    /// Every write makes a new version.
    Enabled,
    /// They did: what is written now replaces what was written without a version.
    Suspended,
}

/// The settings of a server; the default suits most tests.
#[derive(Clone, Debug)]
pub struct Config {
    /// The TCP port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Who is let in. Empty: everybody, signed or not, and no signature is checked.
    pub accounts: Vec<Account>,
    /// The region of every bucket that was created without one of its own.
    pub region: String,
    /// Waited before every request.
    pub latency: Duration,
    /// Waited before every ListObjectsV2, in addition.
    pub list_latency: Duration,
    /// Where the random faults start from: the same seed gives the same sequence.
    pub seed: u64,
    /// Whether [`Server::log`](crate::Server::log) keeps the keys of completed writes, and
    /// [`Server::arrivals`](crate::Server::arrivals) the times of requests.
    pub record_keys: bool,
    /// Whether listings say that they are encoded (`encoding-type=url`) and are not, as some
    /// servers do.
    pub claims_encoding: bool,
    /// Whether a `start-after` that holds characters that XML 1.0 cannot carry is answered with 400
    /// `InvalidArgument`, as S3 does.
    pub checks_start_after: bool,
    /// In which order keys are listed.
    pub order: Order,
    /// Whether a listing with a `start-after` that names no object leaves out the first entry behind
    /// it. (A release of MinIO does where a token follows; here it is missing at once.)
    pub skips_after_missing: bool,
    /// The most entries on a page of a listing, whatever the client asks for.
    pub page_size: u16,
    /// How many bytes CopyObject and UploadPartCopy copy in a second, each request on its own;
    /// absent: any number in no time.
    pub copy_bytes_per_second: Option<u64>,
    /// Whether every write makes a new version, and older ones can be read by their ids.
    pub versioned: bool,
    /// How long a restore takes at most, from when it was asked for: each object takes between half of
    /// that and all of it, by its key. Absent: until [`Store::finish_restores`](crate::Store::finish_restores).
    pub restore_after: Option<Duration>,
    /// For how long a restored copy can be read; absent: for the days that were asked for.
    pub restored_for: Option<Duration>,
    /// Whether there is capacity for expedited restores; 503 `GlacierExpeditedRetrievalNotAvailable`
    /// otherwise.
    pub expedited: bool,
    /// Whether listings tell `RestoreStatus` to those who ask; otherwise they pass over the question.
    pub tells_restores: bool,
    /// Whether a listing that is asked for `RestoreStatus` is answered with 501 `NotImplemented`.
    pub refuses_restore_status: bool,
    /// What becomes of the checksums in requests.
    pub checksums: Checksums,
    /// Whether PutObject and UploadPart need a `Content-MD5` or a checksum, as in buckets with
    /// Object Lock.
    pub requires_digest: bool,
    /// The size up to which the bodies of PutObject and UploadPart are stored. Larger ones are read
    /// to their end and discarded, all but their size and their CRC-64/NVME; their entity tags are
    /// made up.
    pub keep_bodies: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            port: 0,
            accounts: Vec::new(),
            region: "us-east-1".to_owned(),
            latency: Duration::ZERO,
            list_latency: Duration::ZERO,
            seed: 1,
            record_keys: false,
            claims_encoding: false,
            checks_start_after: true,
            order: Order::Bytes,
            skips_after_missing: false,
            page_size: 1000,
            copy_bytes_per_second: None,
            versioned: false,
            restore_after: None,
            restored_for: None,
            expedited: true,
            tells_restores: true,
            refuses_restore_status: false,
            checksums: Checksums::Supported,
            requires_digest: false,
            keep_bodies: u64::MAX,
        }
    }
}
