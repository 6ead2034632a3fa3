//! The failures of earlier runs, as a source of work.

use std::io;
use std::iter::Peekable;

use tokio::sync::mpsc::Sender;

use super::{CHUNK, Yield};
use crate::journal::FailedItems;
use crate::model::{Class, Failure, Item, Operation, RequestError};

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
    let mut failures = failures.peekable();
    let last = loop {
        match next(&mut failures, index) {
            Ok(Some(message)) => {
                if out.blocking_send(message).is_err() {
                    return;
                }
            }
            Ok(None) => break Yield::Exhausted { range: index },
            Err(error) => break broken(error.to_string()),
        }
    };
    // Closed only when the run ends.
    let _ = out.blocking_send(last);
}

/// The next failures that are tried again, or the next lines of a manifest that are at fault: nothing
/// mends these.
fn next(
    failures: &mut Peekable<impl Iterator<Item = io::Result<(Item, Failure)>>>,
    range: usize,
) -> io::Result<Option<Yield>> {
    let Some(of_line) = failures.peek().map(|failure| failure.as_ref().is_ok_and(|(_, failure)| failure.is_of_line()))
    else {
        return Ok(None);
    };
    let alike = |failure: &io::Result<(Item, Failure)>| {
        failure.as_ref().map_or(true, |(_, failure)| failure.is_of_line() == of_line)
    };
    let found = std::iter::from_fn(|| failures.next_if(alike)).take(CHUNK).collect::<io::Result<Vec<_>>>()?;
    Ok(Some(if of_line {
        let lines = found.into_iter().map(|(item, failure)| (item, Box::new(failure))).collect();
        Yield::Refused { range, lines }
    } else {
        let items = found.into_iter().map(|(item, _)| item).collect();
        Yield::Items { range, items, filtered: 0, through: None }
    }))
}
