//! What a restore is estimated to cost, before anything is asked for.

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::{Arc, PoisonError};

use crate::job::{Job, Limits, Meter, Stop};
use crate::journal::{Claim, JobIdentity, Mode, Place};
use crate::model::{Error, Money, PlannedRestore, Prices};
use crate::op::{Restore, RestorePlan};
use crate::pace::Pacer;
use crate::report::{FailuresFile, Report, Status, Terminal};
use crate::source::{Manifest, Source};

/// What a restore may cost without a question: 100 dollars.
const UNASKED: u64 = 100;

/// A restore that is only listed.
pub(super) struct Estimate<'a> {
    pub(super) sources: Vec<Source>,
    pub(super) manifest: Option<Arc<Manifest>>,
    pub(super) op: Restore,
    pub(super) prices: Arc<Prices>,
    pub(super) identity: JobIdentity,
    pub(super) pacer: Arc<Pacer>,
    pub(super) limits: Limits,
    pub(super) stop: &'a Stop,
}

impl Estimate<'_> {
    /// Asks whether so much may be spent as is estimated, where that is much and somebody can answer.
    ///
    /// # Errors
    /// Those of a run; [`Error::Usage`] where nobody can answer, or the answer is no.
    pub(super) async fn ask(self, terminal: &Terminal) -> Result<(), Error> {
        if self.manifest.as_ref().is_some_and(|manifest| manifest.is_read_once()) {
            return Err(Error::Usage(
                "what is restored by a manifest from a pipe cannot be estimated before: give --yes, --max-cost AMOUNT or a \
                 file"
                    .to_owned(),
            ));
        }
        ask_for(self.cost(terminal).await?, terminal).await
    }

    /// Lists all of it, and adds up what its restores cost.
    async fn cost(self, terminal: &Terminal) -> Result<Money, Error> {
        let (op, plan) = RestorePlan::new(self.op);
        let job = Job {
            verb: "restore",
            sources: self.sources,
            manifest: self.manifest,
            journal: Claim::new(self.identity, &Place::Nowhere, Mode::ResumeOrStart)?.begin()?,
            checkpoint: None,
            failures: FailuresFile::new(None)?,
            receipt: None,
            report: Report::silent(terminal.clone()),
            pacer: self.pacer,
            limits: Limits { max_failures: None, strict: false, ..self.limits },
            meter: Meter::default(),
            // Whatever ends it is not to end the run.
            stop: self.stop.child(),
        };
        let finished = job.run(op).await;
        if let Some(error) = finished.error {
            return Err(error);
        }
        if finished.summary.status == Status::Interrupted {
            return Err(Error::Unworkable("the restore could not be estimated to its end".to_owned()));
        }
        let plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
        let is_priced = |kind: &&PlannedRestore| self.prices.restore(&kind.storage_class, kind.tier, 1, 0).is_some();
        if let Some(kind) = plan.restores.keys().find(|kind| !is_priced(kind)) {
            return Err(Error::Usage(format!(
                "the table of prices has no {} restores from {}: complete it, or give --yes or --max-cost AMOUNT",
                kind.tier.as_str(),
                kind.storage_class
            )));
        }
        Ok(plan.cost.unwrap_or_default().total())
    }
}

async fn ask_for(cost: Money, terminal: &Terminal) -> Result<(), Error> {
    if cost <= Money::dollars(UNASKED) {
        return Ok(());
    }
    let ways = "--yes goes on all the same, --max-cost AMOUNT ends it there, --dry-run shows the plan";
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Error::Usage(format!("this restore is estimated at ~{cost}, more than ${UNASKED}: {ways}")));
    }
    terminal.line(&format!("this restore is estimated at ~{cost} ({ways}). Go on? [y/N]"));
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    match answer.await {
        Ok(Ok(answer)) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(Error::Usage(format!("nothing was asked for: ~{cost} was not agreed to"))),
    }
}
