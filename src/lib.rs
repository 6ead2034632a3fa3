//! s3bulk: a bulk object copier for S3 and everything that speaks S3.
//!
//! The rooms, in reading order. Each imports only from the rooms below it.
//!
//! | room | what it is |
//! |---|---|
//! | [`cli`] | what was typed becomes a resolved job; one file a verb; `clap` lives only here |
//! | [`job`] | the loop that serves every verb: source, bounded fan-out, journal, report |
//! | [`source`] | where work comes from: parallel listings, manifests, the failures of earlier runs |
//! | [`op`] | what is done to one item: one file a way of doing it |
//! | [`journal`] | the checkpoint: append, recover, compact, resume |
//! | [`report`] | what the user sees; `indicatif` lives only here |
//! | [`store`] | the two ends; the AWS crates live only here |
//! | [`pace`] | how fast: limits that follow the store, permits, retries, deadlines, the byte budget; the `backoff` crate lives only here |
//! | [`model`] | plain values that all share; the `regex` crate lives only here |
//!
//! A source yields items in ranges; the job runs one operation on each; the outcomes go, in order
//! of completion, to the one task that owns the journal and the counts; the report listens. A new
//! verb is a file in `cli` and one in `op` or `source`.
//!
//! # Invariants
//!
//! 1. Every request passes the retry loop (outside) and the permit (inside), in
//!    [`pace::Pacer::call`]: a request that waits for its retry holds no permit.
//! 2. At most twice the concurrency of items is open. Bytes are reserved before the permit; nobody
//!    waits for bytes while holding one.
//! 3. The journal says *done* only after the destination acknowledged the write; doing a done thing
//!    again is harmless.
//! 4. An upload id is in the journal before its first part; every upload ends completed, aborted, or
//!    named in the journal.
//! 5. One task owns the journal and the terminal events.
//! 6. Bodies in memory stay under the byte budget, and every channel is bounded: memory does not
//!    grow with the number of keys.
//! 7. Nothing below `cli` reads flags, environment or the terminal. (The AWS configuration is read
//!    by `aws-config`, in `store`.)
//! 8. The first signal, or the end of the time that a run was given, drains requests, not objects (a
//!    copy in parts stops after those in flight); the second signal ends the process. Neither loses
//!    anything.
//! 9. listed = filtered + selected; selected = done + skipped + failed + pending; pending is 0
//!    unless the run was interrupted. Every skip and every failure has a reason.

pub mod cli;
pub mod job;
pub mod journal;
pub mod model;
pub mod op;
pub mod pace;
pub mod report;
pub mod source;
pub mod store;
