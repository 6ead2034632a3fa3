//! The two ends of a job. The AWS crates are used in this room only; everything else speaks in the
//! small types below, and how a call is sent stays this room's secret.
//!
//! One file for each family of S3 calls. Each call goes through the [`Pacer`](crate::pace::Pacer),
//! so that no request of the program escapes retries and permits.

mod attributes;
mod body;
mod bucket;
mod buffers;
mod checksums;
mod connect;
mod copy;
mod credentials;
mod error;
mod get;
mod head;
mod http;
mod keys;
mod lean;
mod list;
mod multipart;
mod offline;
mod onto;
mod page;
mod put;
mod restore;
mod secrets;
mod stream;
mod uploads;
mod versioning;
mod wire;

pub use attributes::{Acl, Attributes, CustomerKey, Encryption, Headers, Lock};
pub use bucket::Bucket;
pub use checksums::mismatch;
pub use connect::{Addressing, End, EndConfig};
pub use get::Fetched;
pub use head::Head;
pub use http::Network;
pub use list::{Page, PageRequest};
pub use multipart::{Created, ListedPart, PartRange, composite_etag};
pub use offline::{Place, place};
pub use onto::Onto;
pub use stream::WINDOW;
pub use uploads::{OpenUpload, UploadMarker};
