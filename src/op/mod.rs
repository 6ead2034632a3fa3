//! What is done to one item. One file for each way of doing it.

mod abort;
mod archived;
mod copy;
mod dry_run;
mod evidence;
mod existing;
mod expected;
mod fallback;
mod in_place;
mod left_alone;
mod multipart;
mod parts;
mod policy;
mod restore;
mod restore_plan;
mod restored;
mod resume;
mod route;
mod settings;
mod steps;
mod through;
mod transfer;
mod wants;
mod window;

use std::future::Future;
use std::time::Duration;

use crate::model::{Item, Money, Outcome};

pub use abort::AbortUploads;
pub use archived::Archived;
pub use copy::Copy;
pub use dry_run::DryRun;
pub use existing::Keep;
pub use in_place::InPlace;
pub use parts::{LARGEST_PART, SMALLEST_PART};
pub use policy::{
    CopyNeeds, Party, Policies, UNKNOWN_ACCOUNT, allow_abort_uploads, allow_copy, allow_list, allow_restore,
};
pub use restore::{Restore, RestoreSettings, Waiting};
pub use restore_plan::RestorePlan;
pub use route::{Side, Via, Way, choose, partition, same_store};
pub use settings::{CopySettings, CopySource};
pub use steps::{Step, Steps, Told};
pub use wants::{Preserve, Wants};

/// How an operation waits for what it has asked for. Items that wait are looked at again, in passes.
pub trait Waits: Send + Sync {
    /// A pass begins: over what was not looked at before, or over what waits.
    fn begin(&self, again: bool);

    /// Whether there is room for more than what is waited for. Where there is none, what waits is looked
    /// at again first.
    fn has_room(&self) -> bool;

    /// Takes the room that an item needs which was not looked at before; `false` where there is none.
    fn take_room(&self, item: &Item) -> bool;

    /// How long to wait until the next look.
    fn pause(&self, asked: Duration, looks: Look) -> Duration;

    /// How long the waiting may take in all.
    fn timeout(&self) -> Option<Duration>;

    /// From here on, what waits has failed.
    fn give_up(&self);

    /// Whether an object that no longer waits is done; else it has been done or has gone, unless it was
    /// seen to end.
    fn is_done_when_readable(&self) -> bool;
}

/// The last look at what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// How long it took.
    pub took: Duration,
    /// Whether fewer objects wait than before it.
    pub progressed: bool,
}

/// The work of a verb on one item.
pub trait Op: Send + Sync + 'static {
    /// Does the work, telling the job its steps. Every fault ends as an [`Outcome`]; doing a done item
    /// again is harmless.
    ///
    /// # Cancellation
    /// Dropping it drops the request that is under way: whether it took effect is then unknown.
    fn run(&self, item: &Item, steps: &Steps) -> impl Future<Output = Outcome> + Send;

    /// What becomes of an item, where that needs no request.
    fn decide(&self, _item: &Item) -> Option<Outcome> {
        None
    }

    /// How items are waited for that end as [`Outcome::Waiting`]; `None` where none does.
    fn waits(&self) -> Option<&dyn Waits> {
        None
    }

    /// What an item costs, as far as that is known before.
    fn price(&self, _item: &Item) -> Money {
        Money::ZERO
    }

    /// Where an item goes: `s3://bucket/key`, or nothing where it goes nowhere.
    fn dest(&self, _item: &Item) -> String {
        String::new()
    }

    /// Whether the store slows down requests for this item, and enough of them wait: others go first.
    fn must_wait(&self, _item: &Item) -> bool {
        false
    }
}
