//! Plain values that every room shares: nothing here does I/O, waits, or knows the AWS crates.

mod checksum;
mod error;
mod failure;
mod filter;
mod glob;
mod item;
mod location;
mod mapping;
mod moment;
mod pattern;
mod policy;
mod range;
mod receipt;
mod restore;
mod sum;
mod tally;
mod text;
mod upload;

pub use checksum::{Checksum, Checksummer};
pub use error::{Class, Error, Operation, RequestError};
pub use failure::Failure;
pub use filter::{Choice, Filter, Rule};
pub use glob::{Glob, Slash};
pub use item::{Beside, Done, Item, Object, Origin, Outcome, Skip};
pub use location::{Location, Target};
pub use mapping::{Mapping, map_sources, refuse_overlaps};
pub use moment::Moment;
pub use pattern::Pattern;
pub use policy::{Condition, Effect, Policy, Principal, Statement, bucket_arn, keys_of, literally, objects_arn};
pub use range::{Position, Range, RangeId, just_before};
pub use receipt::{Evidence, Made, Receipt, Written};
pub use restore::{Accepted, Access, RestoreStatus, Tier, is_archive_class};
pub use sum::{Sum, Sums};
pub use tally::Tally;
pub use text::{escape_key, now, parse_age, parse_duration, parse_size, shell_word};
pub use upload::{Revision, Upload, UploadedPart};
