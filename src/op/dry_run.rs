//! What a copy would do, without doing it.

use std::sync::{Arc, Mutex, PoisonError};

use super::copy::{Copy, never_there};
use super::left_alone::Alone;
use super::route::Way;
use super::{Op, Steps};
use crate::model::{Class, Item, Operation, Outcome, Plan, RequestError, Skip};

/// Says of each item what a [copy](struct@Copy) would do, and adds it to a plan. Writes nothing.
#[derive(Debug)]
pub struct DryRun {
    copy: Copy,
    plan: Arc<Mutex<Plan>>,
}

impl DryRun {
    /// Of `copy`; the plan is complete when the run is over.
    pub fn new(copy: Copy) -> (Self, Arc<Mutex<Plan>>) {
        let plan = Arc::new(Mutex::new(Plan::default()));
        (Self { copy, plan: Arc::clone(&plan) }, plan)
    }
}

impl Op for DryRun {
    fn dest(&self, item: &Item) -> String {
        self.copy.dest_of(item)
    }

    async fn run(&self, item: &Item, _: &Steps) -> Outcome {
        let plan = match self.copy.plan(item) {
            Ok(plan) => plan,
            Err(error) => return self.copy.failed(item, error),
        };
        if item.was_only_named() {
            let gone = RequestError::local(Operation::HeadObject, Class::Missing, "NoSuchKey", "");
            return self.copy.failed(item, never_there(gone));
        }
        match self.copy.left_alone(&plan, item).await {
            Ok(Alone::Skipped(skip)) => return Outcome::Skipped(skip),
            Ok(Alone::Not | Alone::Done(_)) => {}
            Err(error) => return self.copy.failed(item, error),
        }
        let planned = self.copy.planned(item, &plan);
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).add(planned);
        Outcome::Skipped(match plan.way {
            Way::Server => Skip::WouldCopyServerSide,
            Way::Client => Skip::WouldCopyThroughClient,
        })
    }
}
