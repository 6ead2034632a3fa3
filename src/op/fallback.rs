//! From the server's side to this machine, where the first copy is denied.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use crate::model::RequestError;

/// Whether the copies were turned from the server's side to this machine.
#[derive(Debug)]
pub(super) struct Fallback(AtomicU8);

impl Fallback {
    /// No copy has succeeded or been denied yet.
    const OPEN: u8 = 0;
    /// Server-side copies work, or there is nothing to fall back to.
    const SERVER: u8 = 1;
    /// Bytes go through this machine.
    const CLIENT: u8 = 2;

    pub(super) fn new(possible: bool) -> Self {
        Self(AtomicU8::new(if possible { Self::OPEN } else { Self::SERVER }))
    }

    pub(super) fn is_client(&self) -> bool {
        self.0.load(Relaxed) == Self::CLIENT
    }

    pub(super) fn succeeded(&self) {
        if self.0.load(Relaxed) == Self::OPEN {
            let _ = self.0.compare_exchange(Self::OPEN, Self::SERVER, Relaxed, Relaxed);
        }
    }

    /// Whether a denied copy goes through this machine instead. Says so the first time.
    pub(super) fn take(&self, error: &RequestError) -> bool {
        match self.0.compare_exchange(Self::OPEN, Self::CLIENT, Relaxed, Relaxed) {
            Ok(_) => {
                tracing::warn!(
                    "the destination's credentials may not copy from the source ({}): the bytes go through this machine",
                    error.code
                );
                true
            }
            Err(now) => now == Self::CLIENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Class, Operation};

    fn denied() -> RequestError {
        RequestError::local(Operation::CopyObject, Class::Denied, "AccessDenied", "no")
    }

    #[test]
    fn the_first_copy_that_is_denied_turns_all_to_this_machine() {
        let fallback = Fallback::new(true);
        assert!(fallback.take(&denied()) && fallback.take(&denied()) && fallback.is_client());
    }

    #[test]
    fn a_copy_that_is_denied_after_one_that_worked_has_failed() {
        let fallback = Fallback::new(true);
        fallback.succeeded();
        assert!(!fallback.take(&denied()) && !fallback.is_client());
    }

    #[test]
    fn without_other_credentials_there_is_nothing_to_fall_back_to() {
        assert!(!Fallback::new(false).take(&denied()));
    }
}
