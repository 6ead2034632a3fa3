//! One piece of work, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Accepted, Evidence, Failure, Line, Position, Receipt, RequestError, RestoreStatus, Spent, Upload};

/// An object as a listing shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The full key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// The entity tag, as the server writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it was written: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<i64>,
    /// The storage class; `None` for `STANDARD`, or where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// The version that is meant, where it is not the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// How far its restore from an archive is, where that was asked for and told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStatus>,
}

impl Object {
    /// An object of which only key and size are known.
    pub fn new(key: impl Into<String>, size: u64) -> Self {
        Self { key: key.into(), size, ..Self::default() }
    }

    /// Whether nothing is known of it but its key: not its size either.
    pub fn is_unknown(&self) -> bool {
        self.size == 0 && self.etag.is_none() && self.last_modified.is_none()
    }
}

/// What the destination holds under the name that an object's copy will have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nobody looked.
    #[default]
    Unknown,
    /// Nothing.
    Nothing,
    /// This object.
    Object(Box<Object>),
}

/// What yielded an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A listing.
    Listing,
    /// The failures of an earlier run: this number.
    Failure(u64),
    /// A line of a manifest.
    Manifest {
        /// Which.
        at: Line,
        /// Whether the store was asked for the object in this run.
        asked: bool,
    },
}

/// One unit of work for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which of the job's sources it belongs to.
    pub source: u32,
    /// What yielded it.
    pub origin: Origin,
    /// The object to work on.
    pub object: Object,
    /// What the destination holds of it.
    pub beside: Beside,
    /// The upload that an earlier run began for it.
    pub upload: Option<Box<Upload>>,
}

impl Item {
    /// An object of the source numbered `source`, as a listing shows it.
    pub fn listed(source: u32, object: Object) -> Self {
        Self { source, origin: Origin::Listing, object, beside: Beside::Unknown, upload: None }
    }

    /// The entity tag that the store showed in this run: that of a failure or a manifest may be old.
    pub fn listed_etag(&self) -> Option<&String> {
        let is_fresh = matches!(self.origin, Origin::Listing | Origin::Manifest { asked: true, .. });
        self.object.etag.as_ref().filter(|_| is_fresh)
    }

    /// The entity tag that a manifest tells, which may be old.
    pub fn claimed_etag(&self) -> Option<&String> {
        let is_claim = matches!(self.origin, Origin::Manifest { asked: false, .. });
        self.object.etag.as_ref().filter(|_| is_claim)
    }

    /// Whether nothing is known of it but what a manifest calls it.
    pub fn was_only_named(&self) -> bool {
        matches!(self.origin, Origin::Manifest { .. }) && self.object.is_unknown()
    }

    /// Where it stands in its range.
    pub fn position(&self) -> Position {
        match self.origin {
            Origin::Listing => Position::Key(self.object.key.clone()),
            Origin::Failure(number) => Position::Failure(number),
            Origin::Manifest { at, .. } => Position::Line(at),
        }
    }
}

/// Why an object was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// It was listed, and gone when its turn came.
    Vanished,
    /// The destination has an object of this name, and it is not to be overwritten.
    Exists,
    /// The destination has the same object.
    Same,
    /// The destination has a newer object.
    Newer,
    /// It can be read at once: there is nothing to restore.
    NotArchived,
    /// Its restored copy stays for as long as was asked for.
    Restored,
    /// Its restore is under way.
    Restoring,
    /// It was waited for, and an interrupted run has finished it, or it is gone.
    FinishedOrGone,
    /// It was waited for, and is gone, or archived again.
    Lapsed,
    /// A dry run: it can be read, and would be copied.
    WouldCopy,
    /// A dry run: it would be restored.
    WouldRestore,
    /// It is archived, and not restored.
    Archived,
    /// It is in the storage class already that it was to be brought to.
    SameClass,
    /// A dry run: it would be copied by the store itself.
    WouldCopyServerSide,
    /// A dry run: its bytes would go through this machine.
    WouldCopyThroughClient,
}

impl Skip {
    /// The reason as users read it, behind a number of objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vanished => "skipped: vanished between its listing and its turn",
            Self::Exists => "skipped: the destination has an object of this name",
            Self::Same => "skipped: the destination has the same object",
            Self::Newer => "skipped: the destination's object is newer",
            Self::NotArchived => "skipped: not archived, can be read at once",
            Self::Restored => "skipped: restored already, for long enough",
            Self::Restoring => "skipped: being restored already",
            Self::FinishedOrGone => "skipped: finished by the run that was interrupted, or vanished",
            Self::Lapsed => "skipped: deleted, replaced or archived again while it was waited for",
            Self::WouldCopy => "can be read, and would be copied",
            Self::WouldRestore => "would be restored",
            Self::Archived => "skipped: archived and not restored",
            Self::SameClass => "skipped: is in that storage class already",
            Self::WouldCopyServerSide => "would be copied server-side",
            Self::WouldCopyThroughClient => "would be copied through this machine",
        }
    }
}

/// What is known of an item that is done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Bytes written.
    pub bytes: u64,
    /// Why the copy is known to be right.
    pub evidence: Option<Evidence>,
    /// Whether its tags could not be read, and are missing from the copy.
    pub lacks_tags: bool,
    /// What the store said to its restore.
    pub restore: Option<Accepted>,
    /// What it cost, where prices are known.
    pub spent: Option<Box<Spent>>,
    /// Its line in the receipt, where one is kept.
    pub receipt: Option<Box<Receipt>>,
}

/// What is known of an item whose restore is under way.
#[derive(Clone, Debug, Default)]
pub struct Waited {
    /// What the store said, if it was asked for now.
    pub accepted: Option<Accepted>,
    /// What that cost, where prices are known.
    pub spent: Option<Box<Spent>>,
}

/// What became of an item.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The destination acknowledged the write.
    Done(Done),
    /// Left alone, for a reason.
    Skipped(Skip),
    /// Not done, and recorded so.
    Failed(Box<Failure>),
    /// Its restore is under way, asked for now or before: it is looked at again.
    Waiting(Waited),
    /// Looked at again, and it can be read.
    Readable,
    /// Looked at again, and there is nothing to be done or counted.
    Passed,
    /// Not done because the run is draining: stays to be done.
    Interrupted,
    /// Not done, and no other item would fare better: stays to be done, and the run drains.
    Fatal(RequestError),
}
