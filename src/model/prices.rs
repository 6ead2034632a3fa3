//! What S3 asks for what is done: a table of prices, built in or the user's.
//!
//! *Source* of the rules: "Amazon S3 pricing" and its footnotes; "Understanding and managing Amazon S3 storage
//! classes", "Multipart upload and pricing" and "Understanding archive retrieval options" of S3's user guide.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Cost, Money, Operation, Requests, STANDARD, Tier, is_archive_class};

/// The figures that are built in: those of us-east-1, of the first tier of each price, so that large
/// amounts are estimated a little high. As they were known at the date in the file: for estimates.
const BUILT_IN: &str = include_str!("prices.json");

/// Bytes of a gigabyte as S3 bills it. *Source:* the S3 FAQ, "How will I be charged": 1 GB is 2^30 bytes.
const GB: u128 = 1 << 30;

/// Days of a month, as prices a month are taken by the day.
const MONTH: u64 = 30;

/// What S3 asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The region that they hold in.
    pub region: String,
    /// When they were looked up.
    pub as_of: String,
    /// Where they are from.
    #[serde(default)]
    pub source: Option<String>,
    classes: BTreeMap<String, OfClass>,
    transfer_gb: OfTransfer,
    /// Whether they are those that are built in.
    #[serde(skip)]
    pub built_in: bool,
}

/// What a storage class costs, in dollars.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfClass {
    /// A GB for a month.
    storage_gb_month: Price,
    /// 1,000 requests that write: PUT, COPY, POST, LIST.
    put_1000: Price,
    /// 1,000 requests that read: GET, and all others.
    get_1000: Price,
    /// 1,000 transitions into it by a lifecycle rule.
    #[serde(default)]
    transition_1000: Option<Price>,
    /// A GB that is read.
    #[serde(default)]
    retrieval_gb: Price,
    /// 1,000 objects for a month that are watched over.
    #[serde(default)]
    monitoring_1000: Price,
    /// The smallest object that is watched over, in bytes.
    #[serde(default)]
    monitored_from_bytes: u64,
    /// Days that an object is billed for at least.
    #[serde(default)]
    minimum_days: u64,
    /// Bytes that an object is billed for at least.
    #[serde(default)]
    minimum_bytes: u64,
    /// Bytes that each object is billed for beside its own.
    #[serde(default)]
    overhead_bytes: u64,
    /// The same, at the price of STANDARD.
    #[serde(default)]
    overhead_standard_bytes: u64,
    /// The parts of an upload cost what those of STANDARD do; only its completion is the class's.
    #[serde(default)]
    parts_at_standard: bool,
    /// What restores cost, where there are any.
    #[serde(default)]
    restore: BTreeMap<Tier, OfRestore>,
}

/// What a restore costs, in dollars.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRestore {
    /// 1,000 requests.
    request_1000: Price,
    /// A GB.
    gb: Price,
}

/// What bytes on their way cost, in dollars a GB.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTransfer {
    /// To the internet.
    internet: Price,
    /// To another region.
    between_regions: Price,
}

/// A price, for whatever it is for.
#[derive(Clone, Copy, Debug, Default)]
struct Price(Money);

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("{dollars} is not a price in dollars, 0 or more"));
        Money::from_f64(dollars).map(Self).ok_or_else(wrong)
    }
}

impl Price {
    fn a_thousand(self, count: u64) -> Money {
        self.0.times(count.into(), 1_000)
    }

    fn a_gb(self, bytes: u64) -> Money {
        self.0.times(bytes.into(), GB)
    }
}

/// Which way bytes leave the place where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// They stay in their region.
    None,
    /// To another region.
    BetweenRegions,
    /// To this machine, which is taken to be somewhere else.
    Internet,
}

impl Prices {
    /// Those that are built in.
    ///
    /// # Errors
    /// None: a test reads them.
    pub fn built_in() -> Result<Self, String> {
        Self::parse(BUILT_IN).map(|prices| Self { built_in: true, ..prices })
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Which field is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_str(text);
        let prices: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let at = if path == "." { String::new() } else { format!("{path}: ") };
            format!("{at}{}", error.inner())
        })?;
        json.end().map_err(|error| error.to_string())?;
        if !prices.classes.contains_key(STANDARD) {
            return Err("classes: there must be one that is called STANDARD".to_owned());
        }
        Ok(prices)
    }

    /// What is known of a class; one that is not in the table costs what STANDARD does.
    fn class(&self, class: &str) -> Option<&OfClass> {
        self.classes.get(class).or_else(|| self.classes.get(STANDARD))
    }

    /// Days that an object of this class is billed for at least.
    pub fn minimum_days(&self, class: &str) -> u64 {
        self.of(class, |class| class.minimum_days)
    }

    /// Whether a small object of this class is billed as a larger one.
    pub fn bills_more(&self, class: &str) -> bool {
        self.of(class, |class| class.minimum_bytes > 0 || class.overhead_bytes > 0)
    }

    /// Whether the table has this class.
    pub fn knows(&self, class: &str) -> bool {
        self.classes.contains_key(class)
    }

    fn of<T: Default>(&self, class: &str, price: impl FnOnce(&OfClass) -> T) -> T {
        self.class(class).map(price).unwrap_or_default()
    }

    /// `count` requests of one operation that read objects of the class `from`, or write those of `to`.
    /// What is answered with an error of the server's own (5xx) is not billed, and is counted here all
    /// the same.
    pub fn request(&self, operation: Operation, (from, to): (&str, &str), count: u64) -> Money {
        let get = |class: &str| self.of(class, |class| class.get_1000.a_thousand(count));
        let put = |class: &str| self.of(class, |class| class.put_1000.a_thousand(count));
        match operation {
            Operation::HeadBucket | Operation::GetBucketVersioning => get(STANDARD),
            Operation::HeadObject
            | Operation::GetObject
            | Operation::GetObjectTagging
            | Operation::GetObjectAcl
            | Operation::ListParts
            | Operation::ListMultipartUploads => get(from),
            Operation::ListObjectsV2 => put(STANDARD),
            Operation::PutObject | Operation::CopyObject | Operation::CompleteMultipartUpload => put(to),
            Operation::CreateMultipartUpload | Operation::UploadPart | Operation::UploadPartCopy => {
                put(if self.of(to, |class| class.parts_at_standard) { STANDARD } else { to })
            }
            // *Source:* "DELETE and CANCEL requests are free".
            Operation::AbortMultipartUpload => Money::ZERO,
            // What a restore costs depends on its tier: see `restore`.
            Operation::RestoreObject => Money::ZERO,
        }
    }

    /// All of these requests.
    pub fn requests(&self, requests: &Requests, classes: (&str, &str)) -> Money {
        requests.iter().map(|(operation, count)| self.request(operation, classes, count)).sum()
    }

    /// An object for a month in a class: with its minimal size, what is kept beside it, and the watch over
    /// it.
    pub fn month(&self, class: &str, size: u64) -> Money {
        let standard = self.of(STANDARD, |class| class.storage_gb_month);
        self.of(class, |class| {
            let bytes = size.max(class.minimum_bytes).saturating_add(class.overhead_bytes);
            let watched = u64::from(size >= class.monitored_from_bytes);
            class.storage_gb_month.a_gb(bytes)
                + standard.a_gb(class.overhead_standard_bytes)
                + class.monitoring_1000.a_thousand(watched)
        })
    }

    /// Reading bytes of objects of a class that is billed for that.
    pub fn retrieval(&self, class: &str, bytes: u64) -> Money {
        self.of(class, |class| class.retrieval_gb.a_gb(bytes))
    }

    /// Bytes on their way.
    pub fn transfer(&self, transfer: Transfer, bytes: u64) -> Money {
        match transfer {
            Transfer::None => Money::ZERO,
            Transfer::BetweenRegions => self.transfer_gb.between_regions.a_gb(bytes),
            Transfer::Internet => self.transfer_gb.internet.a_gb(bytes),
        }
    }

    /// What is billed for an object that leaves its class `age` days after it was written, for the days
    /// that are missing.
    pub fn early_deletion(&self, class: &str, size: u64, age: u64) -> Money {
        let days = self.of(class, |class| class.minimum_days).saturating_sub(age);
        self.month(class, size).times(days.into(), MONTH.into())
    }

    /// `objects` that a lifecycle rule moves to a class; `None` where it cannot, as far as the table tells.
    pub fn transition(&self, class: &str, objects: u64) -> Option<Money> {
        Some(self.classes.get(class)?.transition_1000?.a_thousand(objects))
    }

    /// The restore of one object of `size` bytes: see [`Prices::restores`].
    pub fn restore(&self, class: &str, tier: Tier, days: u64, size: u64) -> Option<Cost> {
        self.restores(class, tier, days, (1, size))
    }

    /// The restore of so many (objects, bytes) of a class: the requests, what is asked for the bytes, and
    /// the readable copies for `days`, which cost what STANDARD does. (`INTELLIGENT_TIERING` makes none: the
    /// object itself moves.) `None` where the table has no such restore.
    pub fn restores(&self, class: &str, tier: Tier, days: u64, (objects, bytes): (u64, u64)) -> Option<Cost> {
        let price = self.classes.get(class)?.restore.get(&tier)?;
        let month = self.of(STANDARD, |class| class.storage_gb_month.a_gb(bytes));
        let days = if is_archive_class(Some(class)) { days } else { 0 };
        Some(Cost {
            requests: price.request_1000.a_thousand(objects),
            retrieval: price.gb.a_gb(bytes),
            restored_copies: month.times(days.into(), MONTH.into()),
            ..Cost::default()
        })
    }
}

#[cfg(test)]
pub(super) fn table() -> Prices {
    Prices::built_in().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn the_table_that_is_built_in_is_read_as_a_user_s() {
        let prices = table();
        assert!(prices.built_in && !Prices::parse(BUILT_IN).unwrap().built_in);
        assert_eq!(prices.region, "us-east-1");
        let classes: Vec<&str> = prices.classes.keys().map(String::as_str).collect();
        assert_eq!(
            classes,
            ["DEEP_ARCHIVE", "GLACIER", "GLACIER_IR", "INTELLIGENT_TIERING", "ONEZONE_IA", "STANDARD", "STANDARD_IA"]
        );
    }

    #[test]
    fn what_is_wrong_in_a_table_is_named() {
        let with = |from: &str, to: &str| {
            assert!(BUILT_IN.contains(from), "{from}");
            Prices::parse(&BUILT_IN.replacen(from, to, 1)).unwrap_err()
        };
        for (from, to, named) in [
            ("0.0125", "\"cheap\"", "classes.STANDARD_IA.storage_gb_month: invalid type: string \"cheap\""),
            ("0.0125", "-1", "classes.STANDARD_IA.storage_gb_month: -1 is not a price in dollars"),
            (
                "0.0025, \"monitored",
                "0.0025, \"monitord",
                "classes.INTELLIGENT_TIERING.monitord_from_bytes: unknown field",
            ),
            ("\"get_1000\": 0.0004}", "\"get_1000\": 0.0004, \"get_1000\": 1}", "duplicate field `get_1000`"),
            ("\"internet\": 0.09, ", "", "transfer_gb: missing field `internet`"),
            ("\"expedited\"", "\"fast\"", "unknown variant `fast`"),
            ("\"STANDARD\":", "\"STD\":", "called STANDARD"),
            ("{\n", "", "line 1"),
        ] {
            let error = with(from, to);
            assert!(error.contains(named), "{error}");
        }
        assert!(Prices::parse("").unwrap_err().contains("EOF"));
        assert!(Prices::parse(&format!("{BUILT_IN} x")).unwrap_err().contains("trailing"));
    }

    #[test]
    fn requests_cost_what_their_class_says() {
        let prices = table();
        let of = |operation, from, to| prices.request(operation, (from, to), 1_000);
        assert_eq!(of(Operation::CopyObject, "STANDARD", "DEEP_ARCHIVE"), money("0.05"));
        assert_eq!(of(Operation::UploadPartCopy, "STANDARD", "DEEP_ARCHIVE"), money("0.005"));
        assert_eq!(of(Operation::CompleteMultipartUpload, "STANDARD", "DEEP_ARCHIVE"), money("0.05"));
        assert_eq!(of(Operation::UploadPart, "STANDARD", "STANDARD_IA"), money("0.01"));
        assert_eq!(of(Operation::GetObject, "GLACIER_IR", "STANDARD"), money("0.01"));
        assert_eq!(of(Operation::ListObjectsV2, "GLACIER_IR", "GLACIER_IR"), money("0.005"));
        assert_eq!(of(Operation::AbortMultipartUpload, "STANDARD", "STANDARD"), Money::ZERO);
        assert_eq!(of(Operation::PutObject, "STANDARD", "SNOW"), money("0.005"), "unknown: as STANDARD");
        assert!(!prices.knows("SNOW"));
        let mut two = Requests::of(&[Operation::GetObject]);
        two.add(Operation::PutObject, 2);
        assert_eq!(prices.requests(&two, ("STANDARD", "STANDARD")), money("0.0000104"));
    }

    #[test]
    fn small_objects_are_billed_as_larger_ones() {
        let prices = table();
        assert_eq!(prices.month("STANDARD", GB), money("0.023"));
        assert_eq!(prices.month("STANDARD_IA", 1), prices.month("STANDARD_IA", 128 << 10));
        assert!(prices.month("STANDARD_IA", 129 << 10) > prices.month("STANDARD_IA", 1));
        let overhead = money("0.00099").times(32 << 10, GB.into()) + money("0.023").times(8 << 10, GB.into());
        assert_eq!(prices.month("DEEP_ARCHIVE", 0), overhead);
        let tiered = |size| prices.month("INTELLIGENT_TIERING", size).less(prices.month("STANDARD", size));
        assert_eq!((tiered((128 << 10) - 1), tiered(128 << 10)), (Money::ZERO, money("0.0000025")));
    }

    #[test]
    fn reading_and_moving_bytes_costs_by_the_gigabyte() {
        let prices = table();
        assert_eq!(prices.retrieval("STANDARD_IA", 3 * GB), money("0.03"));
        assert_eq!(prices.retrieval("STANDARD", GB), Money::ZERO);
        assert_eq!(prices.transfer(Transfer::Internet, GB), money("0.09"));
        assert_eq!(prices.transfer(Transfer::BetweenRegions, GB), money("0.02"));
        assert_eq!(prices.transfer(Transfer::None, GB), Money::ZERO);
    }

    #[test]
    fn what_leaves_early_is_billed_to_its_minimum() {
        let prices = table();
        let early = |age| prices.early_deletion("DEEP_ARCHIVE", GB, age);
        assert_eq!(early(150), prices.month("DEEP_ARCHIVE", GB));
        assert_eq!((early(180), early(10_000)), (Money::ZERO, Money::ZERO));
        assert_eq!(early(0), prices.month("DEEP_ARCHIVE", GB).times(6, 1));
        assert_eq!(prices.early_deletion("STANDARD", GB, 0), Money::ZERO);
    }

    #[test]
    fn restores_cost_by_tier_and_class() {
        let prices = table();
        let restore = |class, tier| prices.restore(class, tier, 3, GB).map(|cost| (cost.requests, cost.retrieval));
        assert_eq!(restore("DEEP_ARCHIVE", Tier::Bulk), Some((money("0.000025"), money("0.0025"))));
        assert_eq!(restore("DEEP_ARCHIVE", Tier::Standard), Some((money("0.0001"), money("0.02"))));
        assert_eq!(restore("DEEP_ARCHIVE", Tier::Expedited), None);
        assert_eq!(restore("GLACIER", Tier::Bulk), Some((Money::ZERO, Money::ZERO)));
        assert_eq!(restore("GLACIER", Tier::Expedited), Some((money("0.01"), money("0.03"))));
        assert_eq!(restore("STANDARD", Tier::Bulk), None);
        let days = |class, days| prices.restore(class, Tier::Bulk, days, GB).unwrap().restored_copies;
        assert_eq!((days("GLACIER", 30), days("GLACIER", 3)), (money("0.023"), money("0.0023")));
        assert_eq!(days("INTELLIGENT_TIERING", 30), Money::ZERO);
        let many = prices.restores("DEEP_ARCHIVE", Tier::Bulk, 30, (1_000_000, 1_000 * GB)).unwrap();
        assert_eq!(many.total(), Money::dollars(25) + money("2.5") + Money::dollars(23));
    }
}
