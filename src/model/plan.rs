//! What a run would do, added up: flat, whatever the number of objects.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Cost, Made, Operation, Requests, Tier};

/// What would be done with one object.
#[derive(Clone, Debug)]
pub struct Planned {
    /// How it would be copied.
    pub made: Made,
    /// The class that it is in.
    pub from: String,
    /// The class that it would be written in.
    pub to: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its parts; 0 in one piece.
    pub parts: u64,
    /// The requests for it.
    pub requests: Requests,
    /// What it costs, where prices are known.
    pub cost: Option<Cost>,
    /// Whether it would cost more a month where it is written than where it is.
    pub rises: bool,
}

/// Objects that are alike in the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedKind {
    /// How they would be copied.
    pub way: Made,
    /// The class that they are in.
    pub storage_class: String,
    /// The class that they would be written in.
    pub to_class: String,
}

/// How many of them there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlannedSum {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their parts; 0 in one piece.
    pub parts: u64,
    /// Those that would cost more a month where they are written than where they are.
    pub rising: u64,
}

/// Objects that would be restored alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedRestore {
    /// The class that they are in.
    pub storage_class: String,
    /// How fast they would be restored.
    pub tier: Tier,
    /// How long they would stay readable, in days.
    pub days: u32,
}

/// What would be done with all objects.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The objects that would be restored.
    pub restores: BTreeMap<PlannedRestore, PlannedSum>,
    /// The objects, by kind.
    pub copies: BTreeMap<PlannedKind, PlannedSum>,
    /// The requests for them.
    pub requests: Requests,
    /// What they cost, where prices are known.
    pub cost: Option<Cost>,
}

impl Plan {
    /// One object more.
    pub fn add(&mut self, planned: Planned) {
        let Planned { made, from, to, size, parts, requests, cost, rises } = planned;
        let sum = self.copies.entry(PlannedKind { way: made, storage_class: from, to_class: to }).or_default();
        sum.objects += 1;
        sum.bytes = sum.bytes.saturating_add(size);
        sum.parts = sum.parts.saturating_add(parts);
        sum.rising += u64::from(rises);
        self.requests.add_all(&requests);
        if let Some(cost) = cost {
            *self.cost.get_or_insert_default() += cost;
        }
    }

    /// One object more that would be restored.
    pub fn restore(&mut self, restore: PlannedRestore, size: u64, cost: Option<Cost>) {
        let sum = self.restores.entry(restore).or_default();
        sum.objects += 1;
        sum.bytes = sum.bytes.saturating_add(size);
        self.requests.add(Operation::RestoreObject, 1);
        if let Some(cost) = cost {
            *self.cost.get_or_insert_default() += cost;
        }
    }

    /// All objects.
    pub fn objects(&self) -> u64 {
        self.copies.values().fold(0, |sum, of| sum.saturating_add(of.objects))
    }

    /// Bytes that go through this machine.
    pub fn bytes_through_client(&self) -> u64 {
        let through = |kind: &PlannedKind| matches!(kind.way, Made::PutObject | Made::UploadPart);
        let of = self.copies.iter().filter(|(kind, _)| through(kind));
        of.fold(0, |sum, (_, of)| sum.saturating_add(of.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Money;

    fn planned(made: Made, from: &str, size: u64, cents: &str) -> Planned {
        Planned {
            made,
            from: from.to_owned(),
            to: "GLACIER".to_owned(),
            size,
            parts: u64::from(made == Made::UploadPart) * 3,
            requests: Requests::of(&[Operation::PutObject]),
            cost: Some(Cost { requests: cents.parse().unwrap(), ..Cost::default() }),
            rises: size < 10,
        }
    }

    #[test]
    fn a_plan_adds_up_by_class_and_way() {
        let mut plan = Plan::default();
        plan.add(planned(Made::PutObject, "STANDARD", 5, "0.1"));
        plan.add(planned(Made::PutObject, "STANDARD", 50, "0.1"));
        plan.add(planned(Made::UploadPart, "STANDARD", 500, "0.1"));
        plan.add(planned(Made::CopyObject, "STANDARD_IA", 7, "0.2"));
        assert_eq!((plan.copies.len(), plan.objects(), plan.bytes_through_client()), (3, 4, 555));
        let sums: Vec<PlannedSum> = plan.copies.into_values().collect();
        let sum = |objects, bytes, parts, rising| PlannedSum { objects, bytes, parts, rising };
        assert_eq!(sums, [sum(1, 7, 0, 1), sum(2, 55, 0, 1), sum(1, 500, 3, 0)]);
        assert_eq!(plan.requests.total(), 4);
        assert_eq!(plan.cost.unwrap().total(), "0.5".parse::<Money>().unwrap());
    }
}
