//! One piece of work, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Failure, Position, RequestError};

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The full key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
}

/// What yielded an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A listing.
    Listing,
    /// The failures of an earlier run: this number.
    Failure(u64),
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
}

impl Item {
    /// Where it stands in its range.
    pub fn position(&self) -> Position {
        match self.origin {
            Origin::Listing => Position::Key(self.object.key.clone()),
            Origin::Failure(number) => Position::Failure(number),
        }
    }
}

/// Why an object was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// It was listed, and gone when its turn came.
    Vanished,
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
            Self::WouldCopyServerSide => "would be copied server-side",
            Self::WouldCopyThroughClient => "would be copied through this machine",
        }
    }
}

/// What became of an item.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The destination acknowledged the write.
    Done {
        /// Bytes written.
        bytes: u64,
    },
    /// Left alone, for a reason.
    Skipped(Skip),
    /// Not done, and recorded so.
    Failed(Box<Failure>),
    /// Not done because the run is draining: stays to be done.
    Interrupted,
    /// Not done, and no other item would fare better: stays to be done, and the run drains.
    Fatal(RequestError),
}
