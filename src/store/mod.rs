//! The two ends of a job. The AWS crates are used in this room only; everything else speaks in the
//! small types below, and how a call is sent stays this room's secret.
//!
//! One file for each family of S3 calls. Each call goes through the [`Pacer`](crate::pace::Pacer),
//! so that no request of the program escapes retries and permits.

mod bucket;
mod connect;
mod copy;
mod error;
mod get;
mod head;
mod keys;
mod list;
mod put;
mod wire;

pub use bucket::Bucket;
pub use connect::{Addressing, End, EndConfig};
pub use get::Fetched;
pub use list::{Page, PageRequest};
pub use put::Headers;
