//! What a run would do, as people and programs read it.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, HumanFloatCount};
use serde::Serialize;

use crate::model::{
    Cost, Lifecycle, Made, Money, Plan, PlannedKind, PlannedRestore, PlannedSum, Prices, Requests, escape_key,
    is_archive_class,
};

/// Whose prices an estimate is made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PricedBy {
    /// The region that they hold in.
    pub region: String,
    /// When they were looked up.
    pub as_of: String,
    /// Whether they are those that are built in.
    pub built_in: bool,
}

impl From<&Prices> for PricedBy {
    fn from(prices: &Prices) -> Self {
        Self { region: prices.region.clone(), as_of: prices.as_of.clone(), built_in: prices.built_in }
    }
}

impl fmt::Display for PricedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (region, as_of) = (escape_key(&self.region), escape_key(&self.as_of));
        let whose = if self.built_in { "built-in" } else { "your" };
        write!(f, "estimated with {whose} prices ({region}, {as_of})")
    }
}

/// How fast the run is taken to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Requests.
    pub requests_per_second: f64,
    /// Whether nobody said so.
    pub assumed: bool,
    /// Bytes through this machine, if that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
}

impl Rate {
    /// How long it takes.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn time(&self, requests: u64, bytes: u64) -> Duration {
        let by_requests = requests as f64 / self.requests_per_second;
        let by_bytes = self.bytes_per_second.map_or(0.0, |rate| bytes as f64 / rate.max(1) as f64);
        Duration::try_from_secs_f64(by_requests.max(by_bytes)).unwrap_or(Duration::MAX)
    }
}

/// A lifecycle rule that does the same.
#[derive(Clone, Debug, Serialize)]
struct Cheaper {
    configuration: Lifecycle,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "Money::serialize_number_if_any")]
    estimated_cost_usd: Option<Money>,
}

#[derive(Clone, Debug, Serialize)]
struct Copies {
    #[serde(flatten)]
    kind: PlannedKind,
    #[serde(flatten)]
    sum: PlannedSum,
}

#[derive(Clone, Debug, Serialize)]
struct Restores {
    #[serde(flatten)]
    kind: PlannedRestore,
    objects: u64,
    bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Costs {
    #[serde(rename = "total_usd", serialize_with = "Money::serialize_number")]
    total: Money,
    #[serde(flatten)]
    of: Cost,
}

/// What a run would do.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restores: Vec<Restores>,
    copies: Vec<Copies>,
    requests: Requests,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Costs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prices: Option<PricedBy>,
    estimated_seconds: u64,
    at: Rate,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Cheaper>,
    /// What is to be known of it, a sentence each.
    notes: Vec<String>,
}

impl PlanReport {
    /// The report of a plan whose requests and cost are complete.
    pub fn new(plan: Plan, prices: Option<&Prices>, rate: Rate) -> Self {
        let time = rate.time(plan.requests.total(), plan.bytes_through_client());
        let restores = plan.restores.into_iter();
        let restores = restores.map(|(kind, PlannedSum { objects, bytes, .. })| Restores { kind, objects, bytes });
        let mut report = Self {
            restores: restores.collect(),
            requests: plan.requests,
            cost: plan.cost.map(|of| Costs { total: of.total(), of }),
            prices: prices.map(PricedBy::from),
            estimated_seconds: time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)),
            at: rate,
            lifecycle: None,
            notes: Vec::new(),
            copies: plan.copies.into_iter().map(|(kind, sum)| Copies { kind, sum }).collect(),
        };
        report.note_classes(prices);
        report
    }

    /// Something to be known of it.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Says that a lifecycle rule does the same, if it is no dearer.
    pub fn offer(&mut self, configuration: Lifecycle, cost: Option<Money>) {
        let ours = self.cost.as_ref().map(|cost| cost.of.requests + cost.of.retrieval);
        let is_dearer = ours.zip(cost).is_some_and(|(ours, theirs)| theirs >= ours);
        if !is_dearer {
            self.lifecycle = Some(Cheaper { configuration, estimated_cost_usd: cost });
        }
    }

    /// Says what no copy can read as it is.
    pub fn note_archived(&mut self) {
        if !self.restores.is_empty() {
            return;
        }
        let archived = self.copies.iter().filter(|copies| is_archive_class(Some(&copies.kind.storage_class)));
        let archived = archived.fold(0_u64, |sum, copies| sum.saturating_add(copies.sum.objects));
        if archived > 0 {
            let archived = HumanCount(archived);
            self.note(format!("{archived} objects are archived: they can be copied only while they are restored"));
        }
    }

    /// What the classes do to the price.
    fn note_classes(&mut self, prices: Option<&Prices>) {
        let Some(prices) = prices else { return };
        let mut classes: Vec<&str> = Vec::new();
        for Copies { kind, .. } in &self.copies {
            classes.extend([kind.storage_class.as_str(), kind.to_class.as_str()]);
        }
        classes.sort_unstable();
        classes.dedup();
        let mut notes = Vec::new();
        let unknown: Vec<String> =
            classes.iter().filter(|class| !prices.knows(class)).map(|class| escape_key(class)).collect();
        if !unknown.is_empty() {
            notes.push(format!("no prices of {}: taken to cost what STANDARD does", unknown.join(", ")));
        }
        for class in classes {
            let to = || self.copies.iter().filter(|copies| copies.kind.to_class == class);
            let rising = to().fold(0_u64, |sum, copies| sum.saturating_add(copies.sum.rising));
            if rising > 0 {
                notes.push(format!(
                    "{} objects would cost more a month in {} than in the class where they are{}",
                    HumanCount(rising),
                    escape_key(class),
                    if prices.bills_more(class) { " (small ones are billed as larger ones there)" } else { "" }
                ));
            }
            let days = prices.minimum_days(class);
            if days > 0 && to().next().is_some() {
                notes.push(format!("{} is billed for at least {days} days", escape_key(class)));
            }
        }
        self.notes.extend(notes);
    }

    /// The plan in lines.
    pub(super) fn text(&self) -> Vec<String> {
        let lines = self.restores.iter().map(restores).chain(self.copies.iter().map(copies));
        let mut lines: Vec<String> = lines.collect();
        let requests: Vec<String> =
            self.requests.iter().map(|(name, count)| format!("{name} {}", HumanCount(count))).collect();
        lines.push(format!("  requests: {}", requests.join(", ")));
        let rate = HumanFloatCount(self.at.requests_per_second);
        let (assumed, bytes) = (
            if self.at.assumed { " (a guess: --max-rps and --bandwidth tell another)" } else { "" },
            self.at.bytes_per_second.map(|rate| format!(" and {}/s", HumanBytes(rate))).unwrap_or_default(),
        );
        let time = HumanDuration(Duration::from_secs(self.estimated_seconds));
        lines.push(format!("  time: about {time} at {rate} requests/s{bytes}{assumed}"));
        if let (Some(cost), Some(prices)) = (&self.cost, &self.prices) {
            lines.push(format!("  price: ~{}, {prices}", cost.total));
            let items = cost.of.items().into_iter().filter(|(_, money)| *money > Money::ZERO);
            lines.extend(items.map(|(what, money)| format!("    {money} {what}")));
        }
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        if let Some(cheaper) = &self.lifecycle {
            let cost = cheaper.estimated_cost_usd;
            let cost = cost.map(|cost| format!(" for ~{cost} in place of requests and retrieval")).unwrap_or_default();
            lines.push(format!(
                "  a lifecycle rule does the same{cost}, without a run, and from then on for every new object; it \
                 replaces what rules the bucket has (aws s3api put-bucket-lifecycle-configuration):"
            ));
            lines.push(format!("    {}", serde_json::to_string(&cheaper.configuration).unwrap_or_default()));
        }
        lines
    }
}

/// Restores that are alike, in a line.
fn restores(restores: &Restores) -> String {
    let Restores { kind: PlannedRestore { storage_class, tier, days }, objects, bytes } = restores;
    let (objects, bytes, class) = (HumanCount(*objects), HumanBytes(*bytes), escape_key(storage_class));
    let days = format!("{days} {}", if *days == 1 { "day" } else { "days" });
    format!("    {objects} {class}, {bytes}: RestoreObject, {} tier, for {days}", tier.as_str())
}

/// Objects that are alike, in a line.
fn copies(copies: &Copies) -> String {
    let Copies { kind, sum } = copies;
    let (from, to) = (escape_key(&kind.storage_class), escape_key(&kind.to_class));
    let classes = if from == to { from } else { format!("{from} to {to}") };
    let parts = |what: &str| format!("{what} in {} parts", HumanCount(sum.parts));
    let how = match kind.way {
        Made::CopyObject => "CopyObject".to_owned(),
        Made::UploadPartCopy => parts("UploadPartCopy"),
        Made::PutObject => "GetObject and PutObject".to_owned(),
        Made::UploadPart => parts("GetObject and UploadPart"),
    };
    format!("    {} {classes}, {}: {how}", HumanCount(sum.objects), HumanBytes(sum.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Choice, Location, Operation, Planned};

    fn plan() -> Plan {
        let mut plan = Plan::default();
        for n in 0..1_200 {
            let large = n == 0;
            plan.add(Planned {
                made: if large { Made::UploadPartCopy } else { Made::CopyObject },
                from: "STANDARD".into(),
                to: "DEEP_ARCHIVE".into(),
                size: if large { 6 << 30 } else { 10 },
                parts: if large { 96 } else { 0 },
                requests: Requests::of(&[if large { Operation::UploadPartCopy } else { Operation::CopyObject }]),
                cost: Some(Cost { requests: Money::dollars(1), ..Cost::default() }),
                rises: !large,
            });
        }
        plan
    }

    const RATE: Rate = Rate { requests_per_second: 100.0, assumed: true, bytes_per_second: None };

    #[test]
    fn the_text_has_kinds_requests_time_and_price() {
        let prices = Prices::built_in().unwrap();
        let as_of = prices.as_of.clone();
        assert_eq!(
            PlanReport::new(plan(), Some(&prices), RATE).text(),
            [
                "    1,199 STANDARD to DEEP_ARCHIVE, 11.71 KiB: CopyObject".to_owned(),
                "    1 STANDARD to DEEP_ARCHIVE, 6.00 GiB: UploadPartCopy in 96 parts".to_owned(),
                "  requests: CopyObject 1,199, UploadPartCopy 1".to_owned(),
                "  time: about 12 seconds at 100 requests/s (a guess: --max-rps and --bandwidth tell another)".to_owned(),
                format!("  price: ~$1,200.00, estimated with built-in prices (us-east-1, {as_of})"),
                "    $1,200.00 requests".to_owned(),
                "  note: 1,199 objects would cost more a month in DEEP_ARCHIVE than in the class where they are (small \
                 ones are billed as larger ones there)"
                    .to_owned(),
                "  note: DEEP_ARCHIVE is billed for at least 180 days".to_owned(),
            ]
        );
    }

    #[test]
    fn what_has_to_be_restored_first_is_said() {
        let mut plan = plan();
        let text = |plan| {
            let mut report = PlanReport::new(plan, None, RATE);
            report.note_archived();
            report.text().join("\n")
        };
        assert!(!text(plan.clone()).contains("restored"));
        let archived =
            PlannedKind { way: Made::CopyObject, storage_class: "GLACIER".into(), to_class: "STANDARD".into() };
        plan.copies.insert(archived, PlannedSum { objects: 7, ..PlannedSum::default() });
        let text = text(plan);
        assert!(
            text.contains("note: 7 objects are archived: they can be copied only while they are restored"),
            "{text}"
        );
    }

    #[test]
    fn without_prices_there_are_no_dollars() {
        let plan = Plan { cost: None, ..plan() };
        let report = PlanReport::new(plan, None, RATE);
        assert!(!report.text().iter().any(|line| line.contains('$')), "{report:?}");
        let json = serde_json::to_value(&report).unwrap();
        assert!(json.get("cost").is_none() && json.get("prices").is_none());
        assert_eq!((&json["copies"][0]["way"], &json["copies"][0]["objects"]), (&"copy-object".into(), &1_199.into()));
    }

    #[test]
    fn the_slower_of_requests_and_bytes_is_the_time() {
        let rate = Rate { bytes_per_second: Some(10), ..RATE };
        assert_eq!((rate.time(100, 5), rate.time(100, 50)), (Duration::from_secs(1), Duration::from_secs(5)));
        assert!(Rate { requests_per_second: 1e-300, ..RATE }.time(u64::MAX, 0) > Duration::from_secs(1 << 40));
    }

    #[test]
    fn a_rule_is_offered_where_it_is_cheaper() {
        let sources = [Location::parse("s3://bucket/x/", false).unwrap()];
        let rule = || Lifecycle::of(&sources, &Choice::default(), "DEEP_ARCHIVE", ["STANDARD"].into_iter()).unwrap();
        let said = |cost: Option<u64>| {
            let mut report = PlanReport::new(plan(), Some(&Prices::built_in().unwrap()), RATE);
            report.offer(rule(), cost.map(Money::dollars));
            report.text().join("\n")
        };
        assert!(said(Some(1_199)).contains("lifecycle rule does the same for ~$1,199.00"));
        assert!(said(Some(1_199)).contains(r#""StorageClass":"DEEP_ARCHIVE""#));
        assert!(said(None).contains("lifecycle rule does the same, without"));
        assert!(!said(Some(1_200)).contains("lifecycle"));
    }
}
