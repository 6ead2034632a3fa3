//! The exit codes: scripts depend on them.

use std::process::ExitCode;

use crate::job::{Finished, Signal};
use crate::model::Error;
use crate::report::Status;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All done.
    Done,
    /// A bug in s3bulk.
    Internal,
    /// What was typed cannot be meant.
    Usage,
    /// The job ended, and some objects failed; or its time ended it with work left.
    SomeFailed,
    /// No work is possible: credentials, bucket, endpoint.
    Unworkable,
    /// The checkpoint cannot be used.
    Checkpoint,
    /// Interrupted by SIGINT.
    Interrupted,
    /// Interrupted by SIGTERM.
    Terminated,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::SomeFailed => 3,
            Self::Unworkable => 10,
            Self::Checkpoint => 11,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Interrupt => Self::Interrupted,
            Signal::Terminate => Self::Terminated,
        }
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Usage(_) => Self::Usage,
            Error::Unworkable(_) => Self::Unworkable,
            Error::Checkpoint(_) => Self::Checkpoint,
            Error::Internal(_) => Self::Internal,
        }
    }
}

impl From<&Finished> for Exit {
    fn from(finished: &Finished) -> Self {
        match (&finished.error, finished.signal, finished.summary.status) {
            (Some(error), _, _) => error.into(),
            (None, Some(signal), _) => signal.into(),
            (None, None, Status::Complete) => Self::Done,
            // Interrupted by a limit that was typed: work is left.
            (None, None, Status::Partial | Status::Interrupted) => Self::SomeFailed,
            (None, None, Status::Failed) => Self::Internal,
        }
    }
}
