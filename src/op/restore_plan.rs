//! What a restore would do, without doing it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::left_alone::Alone;
use super::restore::{Restore, no_tier, now};
use super::restored::Step;
use super::{Op, Steps};
use crate::model::{Access, Item, Outcome, Plan, PlannedRestore, STANDARD, Skip};

/// Says of each item what a [restore](struct@Restore) would do, and adds it to a plan. Asks for nothing.
#[derive(Debug)]
pub struct RestorePlan {
    restore: Restore,
    plan: Arc<Mutex<Plan>>,
}

impl RestorePlan {
    /// Of `restore`; the plan is complete when the run is over.
    pub fn new(restore: Restore) -> (Self, Arc<Mutex<Plan>>) {
        let plan = Arc::new(Mutex::new(Plan::default()));
        (Self { restore, plan: Arc::clone(&plan) }, plan)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the copy of an item. Why it would be skipped, if it would.
    async fn copy(&self, item: &Item) -> Option<Outcome> {
        let copy = self.restore.copy.as_ref()?;
        let plan = match copy.plan(item) {
            Ok(plan) => plan,
            Err(error) => return Some(copy.failed(item, error)),
        };
        match copy.kept(&plan, item).await {
            Ok(Alone::Skipped(skip)) => return Some(Outcome::Skipped(skip)),
            Ok(Alone::Not | Alone::Done(_)) => {}
            Err(error) => return Some(copy.failed(item, error)),
        }
        let mut planned = copy.planned(item, &plan);
        // It is read from the copy that was restored.
        if let Some(cost) = &mut planned.cost {
            cost.retrieval = Default::default();
        }
        self.plan().add(planned);
        None
    }
}

impl Op for RestorePlan {
    async fn run(&self, item: &Item, _: &Steps) -> Outcome {
        let Some(bucket) = self.restore.bucket(item) else { return Outcome::Passed };
        let (mut object, mut access) = (item.object.clone(), item.object.access(now()));
        let is_unknown = access == Access::Unknown || object.last_modified.is_none();
        if is_unknown {
            match bucket.head(&object.key, object.version_id.as_deref()).await {
                Ok(head) => (object, access, _) = self.restore.as_told(item, &head),
                Err(error) => return self.restore.refused(bucket, item, error).await,
            }
        }
        let item = &Item { object, ..item.clone() };
        match self.restore.step(access, is_unknown) {
            Step::Skip(skip) => Outcome::Skipped(skip),
            Step::Copy => self.copy(item).await.unwrap_or(Outcome::Skipped(Skip::WouldCopy)),
            Step::Wait => self.copy(item).await.unwrap_or(Outcome::Skipped(Skip::Restoring)),
            Step::Ask | Step::Pass | Step::Readable | Step::Head => {
                let Some(tier) = self.restore.tiers(&item.object).first() else {
                    return self.restore.failed(item, no_tier());
                };
                if let Some(skipped) = self.copy(item).await {
                    return skipped;
                }
                let storage_class = item.object.storage_class.clone().unwrap_or_else(|| STANDARD.to_owned());
                let kind = PlannedRestore { storage_class, tier: *tier, days: self.restore.settings.days };
                self.plan().restore(kind, item.object.size, self.restore.cost(&item.object));
                Outcome::Skipped(Skip::WouldRestore)
            }
        }
    }
}
