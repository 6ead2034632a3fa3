//! What is done to one item. One file for each way of doing it.

mod abort;
mod copy;
mod dry_run;
mod evidence;
mod existing;
mod fallback;
mod left_alone;
mod multipart;
mod parts;
mod policy;
mod resume;
mod route;
mod steps;
mod through;
mod transfer;
mod wants;

use std::future::Future;

use crate::model::{Item, Outcome};

pub use abort::AbortUploads;
pub use copy::{Copy, CopySettings, CopySource};
pub use dry_run::DryRun;
pub use existing::Keep;
pub use parts::{LARGEST_PART, SMALLEST_PART};
pub use policy::{CopyNeeds, Party, Policies, UNKNOWN_ACCOUNT, allow_abort_uploads, allow_copy, allow_list};
pub use route::{Side, Via, Way, choose, partition, same_store};
pub use steps::{Step, Steps, Told};
pub use wants::{Preserve, Wants};

/// The work of a verb on one item.
pub trait Op: Send + Sync + 'static {
    /// Does the work, telling the job its steps. Every fault ends as an [`Outcome`]; doing a done item
    /// again is harmless.
    ///
    /// # Cancellation
    /// Dropping it drops the request that is under way: whether it took effect is then unknown.
    fn run(&self, item: &Item, steps: &Steps) -> impl Future<Output = Outcome> + Send;

    /// Where an item goes: `s3://bucket/key`, or nothing where it goes nowhere.
    fn dest(&self, _item: &Item) -> String {
        String::new()
    }

    /// Whether the store slows down requests for this item, and enough of them wait: others go first.
    fn must_wait(&self, _item: &Item) -> bool {
        false
    }
}
