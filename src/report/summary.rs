//! The end of a run: what happened, for people and for programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::model::{Accepted, Evidence, Money, Operation, Skip, Tally, escape_key};
use crate::pace::{Kind, Pacer, Slowed};

use super::{Added, PlanReport, PricedBy};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All done.
    Complete,
    /// It came to its end, and some objects failed.
    Partial,
    /// It was told to end before all was done.
    Interrupted,
    /// It could not begin, or had to end before all was done.
    Failed,
}

impl Status {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// What `--json` prints. The counts are those of this run, but for `resumed`.
///
/// `listed` = `filtered` + `selected`; `selected` = `done` + `skipped` + `failed` + `pending`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The verb.
    pub verb: &'static str,
    /// The short name of the job, as its requests carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// How it ended.
    pub status: Status,
    /// When the job (not only this run) began, RFC 3339. Keys added since may be missing.
    pub started_at: String,
    /// It was ended because more objects failed than may.
    #[serde(skip)]
    pub too_many_failures: bool,
    /// It was ended because the job has cost what it may.
    #[serde(skip)]
    pub too_dear: bool,
    /// It was ended by a line of its manifest that is at fault.
    #[serde(skip)]
    pub at_bad_line: bool,
    /// Requests that may be in flight at the end.
    #[serde(skip)]
    pub at_once: usize,
    /// The ranges of keys that the store slowed down, the worst first.
    #[serde(skip)]
    pub slowed: Vec<Slowed>,
    /// Objects that the sources yielded.
    pub listed: u64,
    /// Objects that the filters left out.
    pub filtered: u64,
    /// Objects to work on.
    pub selected: u64,
    /// Objects done.
    pub done: u64,
    /// Bytes of the objects done.
    pub bytes: u64,
    /// Objects left alone.
    pub skipped: u64,
    /// Objects left alone, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped_by_reason: BTreeMap<Skip, u64>,
    /// Restores that the store took, by what it said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub restores: BTreeMap<Accepted, u64>,
    /// Objects whose restore was still waited for.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: u64,
    /// Objects that failed.
    pub failed: u64,
    /// Objects copied, by how they are known to be right.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub verified: BTreeMap<Evidence, u64>,
    /// Objects copied without their tags, which could not be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub lacking_tags: u64,
    /// Objects that were selected and not come to.
    pub pending: u64,
    /// Objects that earlier runs of this job had finished.
    pub resumed: u64,
    /// Requests among these that looked for places to cut a listing at, to go on from there at once.
    pub probes: u64,
    /// Requests sent, by operation.
    pub requests: BTreeMap<&'static str, u64>,
    /// Requests that were sent again.
    pub retries: u64,
    /// Answers that asked for fewer requests.
    pub throttled: u64,
    /// What the job (not only this run) is estimated to have cost, where there are prices.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "Money::serialize_number_if_any")]
    pub estimated_cost_usd: Option<Money>,
    /// The prices of the estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<PricedBy>,
    /// How long this run took, in seconds.
    pub elapsed_s: f64,
    /// The checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// The failures file, if anything failed.
    pub failures: Option<PathBuf>,
    /// The receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<PathBuf>,
    /// Why the run failed, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a listing added up.
    #[serde(flatten)]
    pub added: Option<Added>,
    /// What a restore has done to the objects that are done, in words.
    #[serde(skip)]
    pub restored: &'static str,
    /// Whether it was a dry run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What would be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<PlanReport>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Summary {
    /// A summary of nothing, to be filled.
    pub fn new(verb: &'static str, started_at: String) -> Self {
        Self {
            too_many_failures: false,
            too_dear: false,
            at_bad_line: false,
            at_once: 0,
            slowed: Vec::new(),
            verb,
            job: None,
            status: Status::Failed,
            started_at,
            listed: 0,
            filtered: 0,
            selected: 0,
            done: 0,
            bytes: 0,
            skipped: 0,
            skipped_by_reason: BTreeMap::new(),
            restores: BTreeMap::new(),
            waiting: 0,
            failed: 0,
            verified: BTreeMap::new(),
            lacking_tags: 0,
            pending: 0,
            resumed: 0,
            probes: 0,
            requests: BTreeMap::new(),
            retries: 0,
            throttled: 0,
            estimated_cost_usd: None,
            prices: None,
            elapsed_s: 0.0,
            checkpoint: None,
            failures: None,
            receipt: None,
            error: None,
            added: None,
            restored: "restored",
            dry_run: false,
            plan: None,
        }
    }

    /// Takes the counts over; what is selected and has not ended is pending.
    pub fn count(&mut self, listed: u64, tally: &Tally) {
        self.listed = listed;
        self.selected = listed - self.filtered;
        self.done = tally.done;
        self.bytes = tally.bytes;
        self.skipped = tally.skipped();
        self.skipped_by_reason.clone_from(&tally.skipped);
        self.failed = tally.failed;
        self.restores.clone_from(&tally.restores);
        self.verified.clone_from(&tally.verified);
        self.lacking_tags = tally.lacking_tags;
        self.pending = self.selected.saturating_sub(tally.ended());
    }

    /// Takes the counts of requests over.
    pub fn take_requests(&mut self, pacer: &Pacer) {
        let stats = pacer.stats();
        self.requests = Operation::ALL
            .into_iter()
            .map(|operation| (operation.as_str(), stats.requests(operation)))
            .filter(|(_, count)| *count > 0)
            .collect();
        self.retries = stats.retries();
        self.throttled = stats.throttled();
        self.at_once = pacer.at_once();
        self.slowed = pacer.slowed();
    }

    /// One JSON object on one line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The summary as people read it, in lines; `verbose` adds the requests.
    pub fn text(&self, verbose: bool) -> Vec<String> {
        let mut lines = vec![self.headline()];
        if self.resumed > 0 {
            lines.push(format!("  {} were finished by earlier runs of this job", HumanCount(self.resumed)));
        }
        if self.filtered > 0 {
            lines.push(format!("  {} were not chosen", HumanCount(self.filtered)));
        }
        for (said, count) in &self.restores {
            lines.push(format!("  {} {}", HumanCount(*count), said.as_str()));
        }
        for (reason, count) in &self.skipped_by_reason {
            lines.push(format!("  {} {}", HumanCount(*count), reason.as_str()));
        }
        if !self.verified.is_empty() {
            let kinds = self.verified.iter();
            let kinds: Vec<String> =
                kinds.map(|(kind, count)| format!("{} {}", HumanCount(*count), kind.as_str())).collect();
            lines.push(format!("  verified: {}", kinds.join(", ")));
        }
        if self.lacking_tags > 0 {
            lines.push(format!(
                "  {} without their tags, which may not be read (--tags require makes that a failure)",
                HumanCount(self.lacking_tags)
            ));
        }
        if self.failed > 0 {
            lines.push(format!("  {} failed", HumanCount(self.failed)));
        }
        if self.waiting > 0 {
            lines.push(format!("  {} are not restored yet", HumanCount(self.waiting)));
        }
        let pending = self.pending.saturating_sub(self.waiting);
        if pending > 0 {
            lines.push(format!("  {} listed and not yet done", HumanCount(pending)));
        }
        if let (Some(spent), Some(prices)) = (self.estimated_cost_usd, &self.prices) {
            lines.push(format!("  ~{spent} spent, {prices}"));
        }
        if let Some(plan) = &self.plan {
            lines.extend(plan.text());
        }
        if verbose {
            let requests: Vec<String> =
                self.requests.iter().map(|(name, count)| format!("{name} {}", HumanCount(*count))).collect();
            lines.push(format!("  requests: {}", requests.join(", ")));
            lines.push(format!("  requests at once at the end: up to {}", HumanCount(self.at_once as u64)));
            let rest = self.slowed.len().saturating_sub(SLOWED_SHOWN);
            lines.extend(self.slowed.iter().take(SLOWED_SHOWN).map(slowed));
            lines.extend((rest > 0).then(|| format!("  {rest} more ranges of keys were slowed down")));
        }
        if verbose || self.throttled > 0 {
            let (retries, throttled) = (HumanCount(self.retries), HumanCount(self.throttled));
            lines.push(format!("  {retries} requests sent again, {throttled} answers asked to slow down"));
        }
        lines
    }

    fn headline(&self) -> String {
        if self.dry_run {
            return format!("dry run: {} objects listed, nothing was written", HumanCount(self.listed));
        }
        #[allow(clippy::cast_precision_loss, reason = "a rate that is shown rounded")]
        let rate = self.done as f64 / self.elapsed_s.max(0.001);
        format!(
            "{}: {} {}, {} in {:.1} s ({rate:.0}/s)",
            self.past_tense(),
            HumanCount(self.done),
            if self.done == 1 { "object" } else { "objects" },
            HumanBytes(self.bytes),
            self.elapsed_s
        )
    }

    fn past_tense(&self) -> &'static str {
        match self.verb {
            "copy" => "copied",
            "list" => "listed",
            "restore" => self.restored,
            verb => verb,
        }
    }
}

/// Ranges of keys that were slowed down, the worst first, of which the summary tells.
const SLOWED_SHOWN: usize = 10;

fn slowed(slowed: &Slowed) -> String {
    let what = if slowed.bucket == "KMS" {
        ""
    } else {
        match slowed.kind {
            Kind::Read => ", reads",
            Kind::Write => ", writes",
            Kind::Restore => ", restores",
        }
    };
    let key = |key: &Option<String>| key.as_deref().map(escape_key);
    let keys = match (key(&slowed.keys.0), key(&slowed.keys.1)) {
        (None, None) => String::new(),
        (Some(from), None) => format!(", keys from {from}"),
        (None, Some(until)) => format!(", keys before {until}"),
        (Some(from), Some(until)) => format!(", keys from {from} to before {until}"),
    };
    let times = HumanCount(slowed.times);
    let rate = slowed.rate.map(|rate| format!(", {rate:.0} requests/s at the end")).unwrap_or_default();
    format!("  slowed down: {}{what}{keys}: {times} times{rate}", escape_key(&slowed.bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let mut summary = Summary::new("copy", "2026-01-02T03:04:05.000Z".to_owned());
        let mut tally = Tally { done: 1_500, bytes: 3 << 20, failed: 2, ..Tally::default() };
        tally.skipped.insert(Skip::Vanished, 1);
        summary.count(1_600, &tally);
        summary.elapsed_s = 3.0;
        summary
    }

    #[test]
    fn the_counts_add_up() {
        let summary = summary();
        assert_eq!(summary.listed, summary.filtered + summary.selected);
        assert_eq!(summary.selected, summary.done + summary.skipped + summary.failed + summary.pending);
        assert_eq!(summary.pending, 97);
    }

    #[test]
    fn the_text_says_each_count_once() {
        assert_eq!(
            summary().text(false),
            [
                "copied: 1,500 objects, 3.00 MiB in 3.0 s (500/s)",
                "  1 skipped: vanished between its listing and its turn",
                "  2 failed",
                "  97 listed and not yet done"
            ]
        );
    }

    #[test]
    fn the_json_is_one_line_with_all_the_fields() {
        let json: serde_json::Value = serde_json::from_str(&summary().json()).unwrap();
        for field in ["verb", "status", "started_at", "requests", "checkpoint", "failures", "elapsed_s"] {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert!(json["checkpoint"].is_null());
    }
}
