//! The counts of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Accepted, Evidence, Money, Outcome, Skip};

/// How many objects met which end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Objects that the destination acknowledged.
    #[serde(skip_serializing_if = "is_zero")]
    pub done: u64,
    /// Bytes of these objects.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Objects left alone, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<Skip, u64>,
    /// Objects that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Objects whose restore is waited for.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: u64,
    /// Restores that the store took. Of this run only: not recorded.
    #[serde(skip)]
    pub restores: BTreeMap<Accepted, u64>,
    /// What all this is estimated to have cost.
    #[serde(skip_serializing_if = "Money::is_zero")]
    pub spent: Money,
    /// Objects that were copied, by why that is known to be right. Of this run only: not recorded.
    #[serde(skip)]
    pub verified: BTreeMap<Evidence, u64>,
    /// Objects whose tags could not be read. Of this run only: not recorded.
    #[serde(skip)]
    pub lacking_tags: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Tally {
    /// Counts one outcome; one that leaves the item to be done counts nothing.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done(done) => {
                self.done += 1;
                self.restored(done.restore);
                self.bytes = self.bytes.saturating_add(done.bytes);
                self.lacking_tags += u64::from(done.lacks_tags);
                self.spent += done.spent.as_ref().map(|spent| spent.money).unwrap_or_default();
                if let Some(evidence) = done.evidence {
                    *self.verified.entry(evidence).or_default() += 1;
                }
            }
            Outcome::Skipped(reason) => *self.skipped.entry(*reason).or_default() += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Waiting(waited) => {
                self.waiting += 1;
                self.restored(waited.accepted);
                self.spent += waited.spent.as_ref().map(|spent| spent.money).unwrap_or_default();
            }
            Outcome::Readable | Outcome::Passed | Outcome::Interrupted | Outcome::Fatal(_) => {}
        }
    }

    fn restored(&mut self, accepted: Option<Accepted>) {
        if let Some(accepted) = accepted {
            *self.restores.entry(accepted).or_default() += 1;
        }
    }

    /// Adds another tally to this one. Saturates: the numbers may come from a damaged file.
    pub fn add(&mut self, other: &Self) {
        self.done = self.done.saturating_add(other.done);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.failed = self.failed.saturating_add(other.failed);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.spent += other.spent;
        for (reason, n) in &other.skipped {
            let sum = self.skipped.entry(*reason).or_default();
            *sum = sum.saturating_add(*n);
        }
    }

    /// All that were skipped, whatever the reason.
    pub fn skipped(&self) -> u64 {
        self.skipped.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Objects that need no more work: done, or skipped.
    pub fn settled(&self) -> u64 {
        self.done.saturating_add(self.skipped())
    }

    /// Objects that came to an end of whatever kind.
    pub fn ended(&self) -> u64 {
        self.settled().saturating_add(self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Done, Spent};

    #[test]
    fn what_was_spent_is_recorded_to_the_last_digit() {
        let money: Money = "0.000005012345".parse().unwrap();
        let spent = Some(Box::new(Spent { money, ..Spent::default() }));
        let mut tally = Tally::default();
        tally.count(&Outcome::Done(Done { bytes: 7, spent, ..Done::default() }));
        let written = serde_json::to_string(&tally).unwrap();
        assert_eq!(written, r#"{"done":1,"bytes":7,"spent":"0.000005012345"}"#);
        let mut read: Tally = serde_json::from_str(&written).unwrap();
        assert_eq!(read, tally);
        read.add(&tally);
        assert_eq!(read.spent, money + money);
        // As earlier versions wrote it.
        assert_eq!(serde_json::from_str::<Tally>(r#"{"done":1}"#).unwrap().spent, Money::ZERO);
    }
}
