//! What a copy would do, without doing it.

use super::copy::Copy;
use super::route::Way;
use super::{Op, Steps};
use crate::model::{Item, Outcome, Skip};

/// Says of each item what a [copy](struct@Copy) would do. Sends nothing.
#[derive(Debug)]
pub struct DryRun(pub Copy);

impl Op for DryRun {
    async fn run(&self, item: &Item, _: &Steps) -> Outcome {
        match self.0.plan(item) {
            Ok(plan) if plan.way == Way::Server => Outcome::Skipped(Skip::WouldCopyServerSide),
            Ok(_) => Outcome::Skipped(Skip::WouldCopyThroughClient),
            Err(error) => self.0.failed(item, error),
        }
    }
}
