//! What a restore is estimated to cost, before anything is asked for.

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::{Arc, PoisonError};

use crate::job::{Job, Limits, Meter, Stop};
use crate::journal::{Claim, JobIdentity, Mode, Place};
use crate::model::{Error, Money};
use crate::op::{Restore, RestorePlan};
use crate::pace::Pacer;
use crate::report::{FailuresFile, Report, Show, Terminal};
use crate::source::{Manifest, Source};

/// What a restore may cost without a question: 100 dollars.
const UNASKED: u64 = 100;

/// A restore that is only listed.
pub(super) struct Estimate<'a> {
    pub(super) sources: Vec<Source>,
    pub(super) manifest: Option<Arc<Manifest>>,
    pub(super) op: Restore,
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
            report: Report::new(Show::Nothing, terminal.clone(), false),
            pacer: self.pacer,
            limits: self.limits,
            meter: Meter::default(),
            stop: self.stop.clone(),
        };
        let finished = job.run(op).await;
        if let Some(error) = finished.error {
            return Err(error);
        }
        let plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
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
