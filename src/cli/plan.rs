//! The plan of a dry run: what the command line knows of it besides what was listed.

use super::flags::SpeedArgs;
use crate::job::Finished;
use crate::model::{
    Choice, Lifecycle, Location, Made, Money, Operation, Plan, PlannedRestore, Prices, Requests, STANDARD, Tier,
};
use crate::op::CopySettings;
use crate::report::{PlanReport, Rate, Status, Summary};

/// Requests a second that are assumed where nothing is said. Within what S3 takes for a prefix
/// ("Best practices design patterns": 3,500 writes a second), and what one machine sends easily.
const USUAL_RATE: f64 = 1_000.0;

/// What a plan depends on.
#[derive(Debug)]
pub(super) struct Planning {
    sources: Vec<Location>,
    dest: Location,
    /// Both ends are one store.
    one_store: bool,
    choice: Choice,
    settings: CopySettings,
    regions: Vec<String>,
    rate: Rate,
    max_cost: Option<Money>,
    /// The run asks first whether there is something at the destination.
    looks_first: bool,
    /// Its objects are chosen in a way that no rule knows.
    chosen_otherwise: bool,
}

/// What the command line says of a copy.
pub(super) struct Said<'a> {
    pub(super) sources: &'a [Location],
    pub(super) dest: &'a Location,
    pub(super) one_store: bool,
    pub(super) choice: &'a Choice,
    pub(super) settings: &'a CopySettings,
    /// The regions of its buckets.
    pub(super) regions: Vec<String>,
    pub(super) speed: &'a SpeedArgs,
    pub(super) max_cost: Option<Money>,
    pub(super) looks_first: bool,
    /// By a manifest, or only so many.
    pub(super) chosen_otherwise: bool,
}

impl Planning {
    pub(super) fn new(said: Said<'_>) -> Self {
        let Said {
            sources,
            dest,
            one_store,
            choice,
            settings,
            regions,
            speed,
            max_cost,
            looks_first,
            chosen_otherwise,
        } = said;
        Self {
            sources: sources.to_vec(),
            dest: dest.clone(),
            one_store,
            choice: choice.clone(),
            settings: settings.clone(),
            regions,
            rate: rate(speed),
            max_cost,
            looks_first,
            chosen_otherwise,
        }
    }

    /// Puts the plan of a dry run into its summary. The run itself lists, and looks what is at the
    /// destination, as the dry run did: these requests are a part of it.
    pub(super) fn finish(&self, mut plan: Plan, finished: &mut Finished) {
        let summary = &mut finished.summary;
        let prices = self.settings.prices.as_deref();
        let mut listing = sent(summary);
        listing.add(Operation::ListObjectsV2, u64::from(self.looks_first));
        plan.requests.add_all(&listing);
        if let Some(prices) = prices {
            plan.cost.get_or_insert_default().requests += prices.requests(&listing, (STANDARD, STANDARD));
        }
        let rule = self.rule(&plan, prices);
        let (bytes, total) = (plan.bytes_through_client(), plan.cost.map(|cost| cost.total()));
        let is_made = |made: &[Made]| plan.copies.keys().any(|kind| made.contains(&kind.way));
        let in_parts = is_made(&[Made::UploadPartCopy, Made::UploadPart]);
        let is_read_apart = in_parts || is_made(&[Made::PutObject]);
        let mut report = PlanReport::new(plan, prices, self.rate);
        report.note_archived();
        if let Some((rule, cost)) = rule {
            report.offer(rule, cost);
        }
        let wants = &self.settings.wants;
        if is_read_apart && wants.tags.is_none() && !wants.tags_required {
            report.note(
                "objects with tags take one GetObjectTagging more, but by CopyObject: a listing does not tell which",
            );
        }
        if in_parts {
            report.note("objects in parts take one HeadObject more where there is no checksum of the whole to compare");
        }
        match prices {
            None => report.note("no price: the store is not AWS, and --prices FILE tells none of it"),
            Some(prices) => {
                if bytes > 0 {
                    report.note(
                        "the transfer is that to a machine outside AWS; to one in the source's region it is free",
                    );
                }
                let elsewhere = self.regions.iter().find(|region| **region != prices.region);
                if let Some(region) = elsewhere.filter(|_| prices.built_in) {
                    report.note(format!("prices in {region} differ: --prices FILE tells them"));
                }
            }
        }
        if let (Some(total), Some(most)) = (total, self.max_cost)
            && total > most
        {
            report.note(format!("that is more than --max-cost {most} allows: the run would end early"));
        }
        if !matches!(summary.status, Status::Complete) {
            report.note("the plan is not complete");
        }
        summary.dry_run = true;
        // It is the plan's.
        (summary.estimated_cost_usd, summary.prices) = (None, None);
        summary.plan = Some(Box::new(report));
    }

    /// The lifecycle rule that does the same, and what it costs: where objects only change their class.
    fn rule(&self, plan: &Plan, prices: Option<&Prices>) -> Option<(Lifecycle, Option<Money>)> {
        let wants = &self.settings.wants;
        let to = wants.storage_class.as_deref()?;
        let in_place = self.one_store && self.sources.iter().all(|source| *source == self.dest);
        if self.chosen_otherwise
            || !wants.leave_all_but_the_class()
            || !in_place
            || self.settings.keep != Default::default()
        {
            return None;
        }
        let from = plan.copies.keys().map(|kind| kind.storage_class.as_str());
        let rule = Lifecycle::of(&self.sources, &self.choice, to, from)?;
        let cost = match prices {
            Some(prices) => Some(prices.transition(to, plan.objects())?),
            None => None,
        };
        Some((rule, cost))
    }
}

/// How fast a run is taken to be.
fn rate(speed: &SpeedArgs) -> Rate {
    let (max_rps, bandwidth) = (speed.requests.max_rps, speed.bandwidth);
    Rate {
        requests_per_second: max_rps.unwrap_or(USUAL_RATE),
        assumed: max_rps.is_none() && bandwidth.is_none(),
        bytes_per_second: bandwidth,
    }
}

/// Puts the plan of a restore into the summary of its dry run.
pub(super) fn finish_restore(
    mut plan: Plan,
    (prices, by_manifest): (Option<&Prices>, bool),
    speed: &SpeedArgs,
    finished: &mut Finished,
) {
    let summary = &mut finished.summary;
    let listing = sent(summary);
    plan.requests.add_all(&listing);
    if let Some(prices) = prices {
        plan.cost.get_or_insert_default().requests += prices.requests(&listing, (STANDARD, STANDARD));
    }
    let unpriced = |prices: &Prices| {
        let mut restores = plan.restores.keys();
        let days = |kind: &PlannedRestore| u64::from(kind.days);
        restores.any(|kind| prices.restore(&kind.storage_class, kind.tier, days(kind), 0).is_none())
    };
    let lacks = prices.is_some_and(unpriced);
    let hours = plan.restores.keys().map(hours).max();
    let mut report = PlanReport::new(plan, prices, rate(speed));
    if lacks {
        report.note("some of these restores are not in the table of prices: they are taken to cost nothing");
    }
    match prices {
        None => report.note("no price: the store is not AWS, and --prices FILE tells none of it"),
        Some(_) if by_manifest => report.note("waiting asks for each object by HEAD each time it looks"),
        Some(_) => report.note("waiting asks for a page of the listing for 1,000 objects each time it looks"),
    }
    if let Some(hours) = hours {
        report.note(format!("the restores themselves take up to {hours} hours more"));
    }
    if !matches!(summary.status, Status::Complete) {
        report.note("the plan is not complete");
    }
    summary.dry_run = true;
    (summary.estimated_cost_usd, summary.prices) = (None, None);
    summary.plan = Some(Box::new(report));
}

/// How long restores take at most, in hours. *Source:* "Understanding archive retrieval options" of S3's
/// user guide.
fn hours(kind: &PlannedRestore) -> u32 {
    let is_deep = kind.storage_class == "DEEP_ARCHIVE";
    match kind.tier {
        Tier::Bulk if is_deep => 48,
        Tier::Standard if is_deep => 12,
        Tier::Bulk => 12,
        Tier::Standard => 5,
        Tier::Expedited => 1,
    }
}

fn sent(summary: &Summary) -> Requests {
    Requests::counted(|operation| summary.requests.get(operation.as_str()).copied().unwrap_or(0))
}
