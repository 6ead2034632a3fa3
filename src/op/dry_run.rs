//! What a copy would do, without doing it.

use super::copy::Copy;
use super::left_alone::Alone;
use super::route::Way;
use super::{Op, Steps};
use crate::model::{Item, Outcome, Skip};

/// Says of each item what a [copy](struct@Copy) would do. Writes nothing.
#[derive(Debug)]
pub struct DryRun(pub Copy);

impl Op for DryRun {
    fn dest(&self, item: &Item) -> String {
        self.0.dest_of(item)
    }

    async fn run(&self, item: &Item, _: &Steps) -> Outcome {
        let plan = match self.0.plan(item) {
            Ok(plan) => plan,
            Err(error) => return self.0.failed(item, error),
        };
        match (self.0.left_alone(&plan, item).await, plan.way) {
            (Ok(Alone::Skipped(skip)), _) => Outcome::Skipped(skip),
            (Ok(_), Way::Server) => Outcome::Skipped(Skip::WouldCopyServerSide),
            (Ok(_), Way::Client) => Outcome::Skipped(Skip::WouldCopyThroughClient),
            (Err(error), _) => self.0.failed(item, error),
        }
    }
}
