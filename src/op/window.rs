//! How much may be restored and not yet copied.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes that are restored, or are to be, and not yet copied.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) size: Option<u64>,
    pub(super) taken: AtomicU64,
    /// As a look finds them.
    pub(super) found: AtomicU64,
}

impl Window {
    /// Takes room for so many bytes: whatever they are where nothing is taken.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let Some(size) = self.size else { return true };
        let fits =
            |taken: u64| (taken == 0 || taken.saturating_add(bytes) <= size).then(|| taken.saturating_add(bytes));
        self.taken.fetch_update(Relaxed, Relaxed, fits).is_ok()
    }

    pub(super) fn give_back(&self, bytes: u64) {
        lessen(&self.taken, bytes);
    }

    pub(super) fn has_room(&self) -> bool {
        self.size.is_none_or(|size| self.taken.load(Relaxed) < size)
    }
}

fn lessen(sum: &AtomicU64, bytes: u64) {
    let _ = sum.fetch_update(Relaxed, Relaxed, |sum| Some(sum.saturating_sub(bytes)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_its_size_or_one_that_is_larger() {
        let window = Window { size: Some(10), ..Window::default() };
        assert!(window.take(15) && !window.has_room() && !window.take(1));
        window.give_back(15);
        assert!(window.take(6) && window.has_room() && window.take(4) && !window.take(1));
        window.give_back(100);
        assert_eq!(window.taken.load(Relaxed), 0);
        assert!(Window::default().take(u64::MAX) && Window::default().has_room());
    }
}
