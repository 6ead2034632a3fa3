//! What is done with an object, as a bill. Pure.

use std::ops::AddAssign;

use serde::Serialize;

use super::{Money, Prices, Requests, Transfer};

/// What something costs, by what it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Requests.
    #[serde(rename = "requests_usd", serialize_with = "Money::serialize_number")]
    pub requests: Money,
    /// Reading from a class that is billed for that, or restoring from an archive.
    #[serde(rename = "retrieval_usd", serialize_with = "Money::serialize_number")]
    pub retrieval: Money,
    /// Bytes that leave their region, or AWS.
    #[serde(rename = "transfer_usd", serialize_with = "Money::serialize_number")]
    pub transfer: Money,
    /// The first month of what is written.
    #[serde(rename = "first_month_storage_usd", serialize_with = "Money::serialize_number")]
    pub storage: Money,
    /// What is missing of the shortest time that objects are billed for, of those that are replaced.
    #[serde(rename = "early_deletion_usd", serialize_with = "Money::serialize_number")]
    pub early_deletion: Money,
    /// The readable copies of restored objects.
    #[serde(rename = "restored_copies_usd", serialize_with = "Money::serialize_number")]
    pub restored_copies: Money,
}

impl Cost {
    /// All of it, each with what it is for.
    pub fn items(&self) -> [(&'static str, Money); 6] {
        [
            ("requests", self.requests),
            ("retrieval", self.retrieval),
            ("transfer", self.transfer),
            ("the first month's storage", self.storage),
            ("deletion before the shortest time", self.early_deletion),
            ("readable copies of restored objects", self.restored_copies),
        ]
    }

    /// The sum.
    pub fn total(&self) -> Money {
        self.items().into_iter().map(|(_, money)| money).sum()
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.retrieval += other.retrieval;
        self.transfer += other.transfer;
        self.storage += other.storage;
        self.early_deletion += other.early_deletion;
        self.restored_copies += other.restored_copies;
    }
}

/// What an item that is done has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// All of it.
    pub money: Money,
    /// The requests that are in it.
    pub requests: Requests,
}

/// A copy of one object, as far as it is billed.
#[derive(Clone, Copy, Debug)]
pub struct Billed<'a> {
    /// Its size, in bytes.
    pub size: u64,
    /// The class that it is in.
    pub from: &'a str,
    /// The class that it is written in.
    pub to: &'a str,
    /// Days since it was written, where it is replaced by its copy.
    pub replaced_after: Option<u64>,
    /// Which way its bytes go.
    pub transfer: Transfer,
    /// The requests for it.
    pub requests: &'a Requests,
}

impl Prices {
    /// What a copy costs.
    pub fn copy(&self, billed: &Billed<'_>) -> Cost {
        let Billed { size, from, to, .. } = *billed;
        Cost {
            requests: self.requests(billed.requests, (from, to)),
            retrieval: self.retrieval(from, size),
            transfer: self.transfer(billed.transfer, size),
            storage: self.month(to, size),
            early_deletion: billed.replaced_after.map(|age| self.early_deletion(from, size, age)).unwrap_or_default(),
            restored_copies: Money::ZERO,
        }
    }

    /// Whether the copy costs more a month than the object does where it is.
    pub fn rises(&self, billed: &Billed<'_>) -> bool {
        self.month(billed.to, billed.size) > self.month(billed.from, billed.size)
    }
}

#[cfg(test)]
mod tests {
    use super::super::prices::table;
    use super::*;
    use crate::model::{Operation, Tier};

    const GB: u64 = 1 << 30;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn billed<'a>(size: u64, (from, to): (&'a str, &'a str), requests: &'a Requests) -> Billed<'a> {
        Billed { size, from, to, replaced_after: None, transfer: Transfer::None, requests }
    }

    #[test]
    fn a_copy_is_billed_by_kind() {
        let one = Requests::of(&[Operation::CopyObject]);
        let cost = table().copy(&Billed {
            transfer: Transfer::BetweenRegions,
            ..billed(10 * GB, ("STANDARD_IA", "GLACIER_IR"), &one)
        });
        assert_eq!(cost.requests, money("0.00002"));
        assert_eq!((cost.retrieval, cost.transfer), (money("0.1"), money("0.2")));
        assert_eq!((cost.storage, cost.early_deletion), (money("0.04"), Money::ZERO));
        assert_eq!(cost.total(), money("0.34002"));
    }

    #[test]
    fn only_what_is_replaced_leaves_its_class() {
        let one = Requests::of(&[Operation::CopyObject]);
        let at = |replaced_after| {
            table().copy(&Billed { replaced_after, ..billed(GB, ("STANDARD_IA", "GLACIER"), &one) }).early_deletion
        };
        assert_eq!((at(None), at(Some(30))), (Money::ZERO, Money::ZERO));
        assert_eq!(at(Some(15)), money("0.00625"));
    }

    #[test]
    fn small_objects_cost_more_in_a_cheaper_class() {
        let (prices, none) = (table(), Requests::default());
        let rises = |size, from, to| prices.rises(&billed(size, (from, to), &none));
        assert!(rises(10 << 10, "STANDARD", "STANDARD_IA") && !rises(100 << 10, "STANDARD", "STANDARD_IA"));
        assert!(rises(8 << 10, "STANDARD", "DEEP_ARCHIVE") && !rises(64 << 10, "STANDARD", "DEEP_ARCHIVE"));
        assert!(rises(GB, "GLACIER", "STANDARD") && !rises(GB, "STANDARD", "STANDARD"));
    }

    #[test]
    fn sums_over_many_objects_are_exact() {
        let one = Requests::of(&[Operation::CopyObject]);
        let each = table().copy(&billed(1 << 20, ("STANDARD", "DEEP_ARCHIVE"), &one));
        let mut sum = Cost::default();
        (0..100_000).for_each(|_| sum += each);
        assert_eq!(sum.requests, Money::dollars(5));
        assert_eq!(sum.total(), each.total().times(100_000, 1));
    }

    #[test]
    fn a_restore_adds_up_with_what_follows() {
        let mut sum = Cost::default();
        for _ in 0..1_000 {
            sum += table().restore("DEEP_ARCHIVE", Tier::Bulk, 30, GB).unwrap();
        }
        assert_eq!(sum.total(), money("0.025") + money("2.5") + money("23"));
        let shown: serde_json::Value = serde_json::to_value(sum).unwrap();
        assert_eq!(shown["restored_copies_usd"], 23.0);
        assert_eq!(shown["transfer_usd"], 0.0);
    }
}
