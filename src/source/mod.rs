//! Where work comes from: listings, a manifest, the failures of earlier runs. Each yields items, range by range, in an order of its own.
//!
//! A range is worked through by one task, which sends what it finds through a bounded channel:
//! the first objects are on their way before the second page is asked for. While it goes on, parts
//! of the range may be taken over by others: [`share_out`] says how many, [`survey`] finds out where.

mod beside;
mod cuts;
mod listing;
mod manifest;
mod replay;
mod ruler;
mod share;
mod spelling;
mod survey;

use std::sync::Arc;

use crate::model::{Failure, Filter, Item, Location, Object, Position, RequestError};
use crate::store::Bucket;

pub use beside::DestSide;
pub use cuts::{Cost, Order, Task, share_out};
pub use listing::list;
pub use manifest::{Manifest, ManifestFormat, ManifestSpec, READERS, read};
pub use replay::replay;
pub use share::{Keyspace, Left, Share};
pub use survey::{Spread, survey};

/// How many items are sent at once: fewer than a page, so that the pages of several ranges
/// interleave and the copies reach several partitions of the store.
const CHUNK: usize = 100;

/// One SOURCE of the command line.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its index on the command line.
    pub index: u32,
    /// The bucket that is listed.
    pub bucket: Bucket,
    /// What is meant in it.
    pub location: Location,
    /// Which of its objects are chosen; `None` for all.
    pub filter: Option<Arc<Filter>>,
    /// Which version of its one object, where that is said.
    pub version_id: Option<String>,
    /// Where its copies go, if what is there matters.
    pub beside: Option<DestSide>,
}

impl Source {
    /// Whether an object is to be worked on.
    fn keeps(&self, object: &Object) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.keeps(object))
    }
}

/// What a task that works through a range sends. `range` is the job's index of it.
#[derive(Debug)]
pub enum Yield {
    /// The next items, in order.
    Items {
        /// The range.
        range: usize,
        /// The items.
        items: Vec<Item>,
        /// Objects among them, or behind them, that the filters left out.
        filtered: u64,
        /// There is nothing more up to here than what was sent.
        through: Option<Position>,
    },
    /// The next lines of a manifest, in order, with which nothing can be done.
    Refused {
        /// The range.
        range: usize,
        /// The lines as items, and why they fail.
        lines: Vec<(Item, Box<Failure>)>,
    },
    /// From here on the items of the range come in no order.
    Unordered {
        /// The range.
        range: usize,
    },
    /// The range is cut here; the task goes on with what is up to the first cut. No item behind the
    /// first cut was sent.
    Split {
        /// The range.
        range: usize,
        /// The cuts, in order.
        cuts: Vec<Position>,
    },
    /// There is no more in this range.
    Exhausted {
        /// The range.
        range: usize,
    },
    /// The range cannot be worked through.
    Broken {
        /// What was being read.
        what: String,
        /// Why.
        error: RequestError,
    },
}
