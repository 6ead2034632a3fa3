//! An S3 server in memory, over real TCP on 127.0.0.1, for tests and demonstrations.
//!
//! It answers the S3 calls a bulk copier makes, holds its buckets in a [`Store`] that tests seed
//! and inspect directly, and injects [`Faults`] in front of the S3 semantics: throttling, server
//! errors, dropped connections, damaged answers.
//!
//! It is no storage product: nothing is durable, encryption, locks and access lists are remembered
//! and not acted upon, and there are no lifecycle rules.
//!
//! | Room | What is in it |
//! |---|---|
//! | [`server`](Server) | the threads, the listener |
//! | `http` | the outer layer: naming the operation, faults, latency, request ids |
//! | `counters` | what is counted and remembered of requests |
//! | [`faults`](Faults) | which call fails, and how |
//! | [`store`](Store) | buckets, objects and uploads in memory |
//! | `content`, `pattern`, `checksum` | what bodies are made of, and their CRC-64/NVME |
//! | `listing`, `order` | pages of keys, as a pure function, in one of several orders |
//! | `restoring` | how restores go on by themselves |
//! | [`keys`](Shape) | keys by the million |
//! | `xml`, `time`, `encoding` | how S3 writes its answers |
//! | `s3` | the S3 calls on the store, a file for each family |

mod checksum;
mod chunked;
mod config;
mod connection;
mod content;
mod counters;
mod encoding;
mod faults;
mod http;
mod keys;
mod listing;
mod object;
mod operation;
mod order;
mod pattern;
mod random;
mod restoring;
mod s3;
mod server;
mod store;
mod time;
mod xml;

pub use config::{Account, Checksums, Config, Order, Versioning};
pub use content::Segment;
pub use counters::{Asked, Listings};
pub use faults::{Fault, Faults, Rule, When};
pub use keys::Shape;
pub use object::{ContentHeaders, Encryption, Lock, Object, Restore, RestoreRequest};
pub use operation::Operation;
pub use server::Server;
pub use store::Store;
