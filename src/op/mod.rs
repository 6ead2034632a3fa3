//! What is done to one item. One file for each way of doing it.

mod copy;
mod dry_run;
mod route;
mod through;

use std::future::Future;

use crate::model::{Item, Outcome};

pub use copy::{Copy, CopySource};
pub use dry_run::DryRun;
pub use route::{Side, Via, Way, choose, partition, same_store};

/// The work of a verb on one item.
pub trait Op: Send + Sync + 'static {
    /// Does the work. Every fault ends as an [`Outcome`]; doing a done item again is harmless.
    ///
    /// # Cancellation
    /// Dropping it drops the request that is under way: whether it took effect is then unknown.
    fn run(&self, item: &Item) -> impl Future<Output = Outcome> + Send;
}
