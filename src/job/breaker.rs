//! When a run ends because its objects fail: all with the same error, or too many of them. Pure.

use std::collections::VecDeque;

use crate::model::{Failure, Outcome};

/// Outcomes that are looked at, and how many of them must be the same error.
const LAST: usize = 200;
const SAME: usize = 195;

/// Errors that tell something of one object and not of the next: archived, a condition of its own.
const OF_ONE_OBJECT: [&str; 3] = ["InvalidObjectState", "PreconditionFailed", "KeyTooLongError"];

/// Watches the outcomes of a run.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// The codes of the last outcomes; `None` for what did not fail, or failed for reasons of its own.
    last: VecDeque<Option<Box<str>>>,
    failed: u64,
    most: Option<u64>,
}

/// Why a run is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Nearly all objects fail alike: the words say how.
    Alike(String),
    /// More failed than may.
    TooMany(u64),
}

impl Breaker {
    /// A watch that lets `most` objects fail.
    pub(super) fn new(most: Option<u64>) -> Self {
        Self { most, ..Self::default() }
    }

    /// Takes in an outcome.
    pub(super) fn ended(&mut self, outcome: &Outcome) -> Option<Broken> {
        let failure = match outcome {
            Outcome::Done(_) | Outcome::Skipped(_) | Outcome::Waiting(_) => None,
            Outcome::Failed(failure) => Some(&**failure),
            Outcome::Readable | Outcome::Passed | Outcome::Interrupted | Outcome::Fatal(_) => return None,
        };
        self.failed += u64::from(failure.is_some());
        if self.last.len() >= LAST {
            self.last.pop_front();
        }
        self.last.push_back(failure.filter(|failure| is_telling(failure)).map(|failure| failure.code.as_str().into()));
        let failure = failure?;
        if self.most.is_some_and(|most| self.failed > most) {
            return Some(Broken::TooMany(self.failed));
        }
        let alike = self.last.iter().filter(|code| code.as_deref() == Some(failure.code.as_str())).count();
        (alike >= SAME).then(|| {
            Broken::Alike(format!(
                "{alike} of the last {LAST} objects failed with {}: {}",
                failure.code, failure.message
            ))
        })
    }
}

/// Whether a failure may say something of all objects: no retry mends it.
fn is_telling(failure: &Failure) -> bool {
    failure.is_final && !OF_ONE_OBJECT.contains(&failure.code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Object, Operation, RequestError, Skip};

    fn failed(code: &str, class: Class) -> Outcome {
        let error = RequestError::local(Operation::CopyObject, class, code, "no");
        Outcome::Failed(Box::new(Failure::new("b", &Object::new("k", 1), "s3://d/k".to_owned(), error)))
    }

    fn after(most: Option<u64>, outcomes: impl IntoIterator<Item = Outcome>) -> Option<(usize, Broken)> {
        let mut breaker = Breaker::new(most);
        outcomes.into_iter().enumerate().find_map(|(at, outcome)| Some((at + 1, breaker.ended(&outcome)?)))
    }

    #[test]
    fn one_error_for_all_ends_the_run() {
        let (at, broken) = after(None, (0..1_000).map(|_| failed("AccessDenied", Class::Denied))).unwrap();
        assert_eq!(at, SAME);
        assert!(matches!(broken, Broken::Alike(words) if words.contains("AccessDenied: CopyObject: no")));
        let few = (0..10_000).map(|n| {
            if n % 20 == 0 { Outcome::Skipped(Skip::Vanished) } else { failed("AccessDenied", Class::Denied) }
        });
        assert_eq!(after(None, few), None);
    }

    #[test]
    fn what_tells_of_one_object_or_was_retried_does_not() {
        assert_eq!(after(None, (0..1_000).map(|_| failed("InvalidObjectState", Class::Denied))), None);
        assert_eq!(after(None, (0..1_000).map(|_| failed("InternalError", Class::Transient))), None);
        assert_eq!(after(None, (0..1_000).map(|n| failed(["A", "B"][n % 2], Class::Denied))), None);
    }

    #[test]
    fn so_many_may_fail_and_no_more() {
        let mixed = || (0..1_000).map(|n| failed(["A", "B"][n % 2], Class::Denied));
        assert_eq!(after(Some(7), mixed()), Some((8, Broken::TooMany(8))));
        assert_eq!(after(Some(0), mixed()), Some((1, Broken::TooMany(1))));
    }
}
