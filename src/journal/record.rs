//! The lines of a checkpoint file: a public format with a version.
//!
//! Each line is one JSON object, tagged by `t` and sealed by `crc` (see `line.rs`), and
//! takes effect whole or, torn, not at all. The first is the [`Header`]. A reader refuses a higher [`FORMAT`] than its own.

use serde::{Deserialize, Serialize};

use super::{JobIdentity, ManifestPrint};
use crate::model::{Beside, Failure, Item, Object, Origin, Position, Range, RangeId, Sum, Tally, Upload, UploadedPart};

/// The version of the format that this program writes and reads.
pub(super) const FORMAT: u32 = 4;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub(super) enum Record {
    /// The first line.
    Job(Header),
    /// The work of a pass begins: these are its ranges. The ranges of the pass before are finished.
    Plan(Plan),
    /// A range was cut: it keeps what is up to the first cut.
    Split {
        #[serde(flatten)]
        range: RangeId,
        cuts: Vec<Position>,
    },
    /// A look at what waits is through: what it found out beside the ends of items, and how many objects
    /// still wait.
    Looked {
        #[serde(flatten)]
        tally: Tally,
        waits_for: u64,
    },
    /// A watermark moved.
    Mark(Mark),
    /// A listing wrote what it found.
    Output(Output),
    /// An open item came to its end.
    Close(Close),
    /// An item is open, and is not looked for in its range (within a mark where others passed it).
    Open(OpenItem),
    /// An open item's upload has one part more.
    Step(Step),
    /// An item came to its end before the watermark passed it (compacted files; else it follows from
    /// its close).
    Ahead { source: u32, at: Position },
    /// An object failed (compacted files; else within a mark or a close).
    Failed(Recorded),
    /// What the records before a compaction added up to.
    Totals(Totals),
    /// The job came to its end.
    End { status: Ending, at: String },
}

/// What the file is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// The version of the format.
    pub(super) format: u32,
    /// The job.
    pub(super) job: JobIdentity,
    /// When the job was first started, RFC 3339.
    pub(super) started_at: String,
    /// The manifest that gives its objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) manifest: Option<ManifestPrint>,
}

/// The work of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) pass: u32,
    #[serde(default, skip_serializing_if = "Phase::is_work")]
    pub(super) phase: Phase,
    pub(super) ranges: Vec<Range>,
    /// What is left of earlier passes, for later ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) rest: Vec<Range>,
    /// What is to be looked at again, beside what this pass finds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) again: Vec<Range>,
}

/// What a pass is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What was not looked at before.
    #[default]
    Work,
    /// A look at what is waited for.
    Sweep,
}

impl Phase {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_work(&self) -> bool {
        *self == Self::Work
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All done.
    Complete,
    /// Some objects failed.
    Partial,
}

/// A watermark moved: all up to `at` is finished, but for the items in `open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(flatten)]
    pub(super) range: RangeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Position>,
    /// The range is finished, but for the items that are open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) end: bool,
    /// What was finished between the last mark and this one.
    #[serde(flatten)]
    pub(super) tally: Tally,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<OpenItem>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) failures: Vec<Recorded>,
    /// Where there are items among these that are to be looked at again: ranges that are new, or longer
    /// than they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) again: Vec<Range>,
}

/// What a listing wrote since the last such record: all that its marks pass is in the output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Output {
    /// The length of the output with it, in bytes, where it is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) length: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sums: Vec<Sum>,
}

/// An item that is not finished and that the watermark has passed, or may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenItem {
    pub(super) source: u32,
    pub(super) at: Position,
    #[serde(flatten)]
    pub(super) object: Object,
    /// The upload that was begun for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<Box<Upload>>,
}

impl From<&Item> for OpenItem {
    fn from(item: &Item) -> Self {
        let upload = item.upload.clone();
        Self { source: item.source, at: item.position(), object: item.object.clone(), upload }
    }
}

impl From<&OpenItem> for Item {
    fn from(open: &OpenItem) -> Self {
        let origin = match open.at {
            Position::Key(_) | Position::Token(_) => Origin::Listing,
            Position::Failure(number) => Origin::Failure(number),
            Position::Line(at) => Origin::Manifest { at, asked: false },
        };
        let upload = open.upload.clone();
        Self { source: open.source, origin, object: open.object.clone(), beside: Beside::Unknown, upload }
    }
}

/// One part more of an open item's upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) source: u32,
    pub(super) at: Position,
    pub(super) part: u16,
    #[serde(flatten)]
    pub(super) uploaded: UploadedPart,
}

/// The end of an open item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Close {
    pub(super) source: u32,
    pub(super) at: Position,
    #[serde(flatten)]
    pub(super) tally: Tally,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<Box<Recorded>>,
    /// Where it is to be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<Range>,
}

/// A failure with its number: they count up from 1 through the whole job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) n: u64,
    pub(super) source: u32,
    #[serde(flatten)]
    pub(super) failure: Failure,
}

/// The sums at a compaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// The number that the next failure gets.
    pub(super) next_failure: u64,
    /// Failures up to this number were tried again.
    pub(super) retried_to: u64,
    /// Lines of the compacted state that follow this one: a file with fewer was cut short.
    pub(super) lines: u64,
}
