//! The failures of earlier runs, as a source of work.

use std::io;

use tokio::sync::mpsc::Sender;

use super::{CHUNK, Yield};
use crate::journal::FailedItems;
use crate::model::{Class, Item, Operation, RequestError};

/// Sends the failed items, which are the range with the job's number `index`, to `out`.
///
/// # Cancellation
/// Ends when `out` is closed. Dropping it is safe: it only reads.
pub async fn replay(failures: FailedItems, index: usize, out: Sender<Yield>) {
    // The file is read in a thread where that may block.
    let thread = out.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || send(failures, index, &thread)).await {
        let _ = out.send(broken(error.to_string())).await;
    }
}

fn broken(why: String) -> Yield {
    let error = RequestError::local(Operation::ListObjectsV2, Class::Permanent, "CheckpointUnreadable", why);
    Yield::Broken { what: "the failures in the checkpoint".to_owned(), error }
}

fn send(failures: FailedItems, index: usize, out: &Sender<Yield>) {
    let mut failures = failures.map(|failure| failure.map(|(item, _)| item)).peekable();
    let last = loop {
        if failures.peek().is_none() {
            break Yield::Exhausted { range: index };
        }
        match failures.by_ref().take(CHUNK).collect::<io::Result<Vec<Item>>>() {
            Ok(items) => {
                if out.blocking_send(Yield::Items { range: index, items, filtered: 0, through: None }).is_err() {
                    return;
                }
            }
            Err(error) => break broken(error.to_string()),
        }
    };
    // Closed only when the run ends.
    let _ = out.blocking_send(last);
}
