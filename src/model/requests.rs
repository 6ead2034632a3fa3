//! Numbers of requests, by operation.

use serde::{Serialize, Serializer};

use super::Operation;

/// How many requests of each operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests([u64; Operation::ALL.len()]);

impl Requests {
    /// One request of each of these.
    pub fn of(operations: &[Operation]) -> Self {
        let mut requests = Self::default();
        operations.iter().for_each(|operation| requests.add(*operation, 1));
        requests
    }

    /// Those that `count` tells.
    pub fn counted(count: impl Fn(Operation) -> u64) -> Self {
        Self(Operation::ALL.map(count))
    }

    /// So many more of one operation.
    pub fn add(&mut self, operation: Operation, count: u64) {
        let slot = &mut self.0[operation as usize];
        *slot = slot.saturating_add(count);
    }

    /// All of these more.
    pub fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|(operation, count)| self.add(operation, count));
    }

    /// How many of one operation.
    pub fn get(&self, operation: Operation) -> u64 {
        self.0[operation as usize]
    }

    /// Those of each operation that are not among `other`.
    pub fn beyond(&self, other: &Self) -> Self {
        Self::counted(|operation| self.get(operation).saturating_sub(other.get(operation)))
    }

    /// Each operation of which there are any.
    pub fn iter(&self) -> impl Iterator<Item = (Operation, u64)> + '_ {
        Operation::ALL.into_iter().map(|operation| (operation, self.get(operation))).filter(|(_, count)| *count > 0)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

impl Serialize for Requests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(operation, count)| (operation.as_str(), count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_operation() {
        let mut requests = Requests::of(&[Operation::HeadObject, Operation::GetObject, Operation::GetObject]);
        requests.add(Operation::HeadObject, u64::MAX);
        assert_eq!((requests.get(Operation::GetObject), requests.get(Operation::HeadObject)), (2, u64::MAX));
        let rest = requests.beyond(&Requests::of(&[Operation::GetObject, Operation::PutObject]));
        assert_eq!((rest.get(Operation::GetObject), rest.get(Operation::PutObject)), (1, 0));
        assert_eq!(serde_json::to_string(&Requests::of(&[Operation::PutObject])).unwrap(), r#"{"PutObject":1}"#);
    }
}
