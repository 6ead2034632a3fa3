//! Which requests share a limit.

use crate::model::Operation;

/// What stores limit apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Requests that change nothing.
    Read,
    /// Requests that write objects.
    Write,
    /// RestoreObject, which has a limit of its own.
    Restore,
}

impl From<Operation> for Kind {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::RestoreObject => Self::Restore,
            operation if operation.is_write() => Self::Write,
            _ => Self::Read,
        }
    }
}
