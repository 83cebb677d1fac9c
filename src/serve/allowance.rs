//! How many calls may one connection cause? A limit that its user has given it, and that ends with it.

use std::sync::atomic::{AtomicU32, Ordering};

/// Calls that may still be caused.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicU32,
}

impl Allowance {
    pub(super) fn new(calls: u32) -> Self {
        Self { left: AtomicU32::new(calls) }
    }

    pub(super) fn left(&self) -> u32 {
        self.left.load(Ordering::Acquire)
    }

    /// Takes all of `calls`, or none.
    pub(super) fn take(&self, calls: u32) -> bool {
        let less = |left: u32| left.checked_sub(calls);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    /// Sets right what was taken, once it is known what was called: retries may have cost more, which is then missing later.
    pub(super) fn settle(&self, taken: u32, called: u32) {
        let set_right = |left: u32| Some(left.saturating_add(taken).saturating_sub(called));
        let _ = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, set_right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_called_is_given_back_and_what_was_called_beyond_it_is_missing_later() {
        let allowance = Allowance::new(3);
        assert!(!allowance.take(4) && allowance.take(2));
        allowance.settle(2, 0);
        assert_eq!(allowance.left(), 3);
        assert!(allowance.take(1));
        allowance.settle(1, 2);
        assert_eq!(allowance.left(), 1);
        assert!(allowance.take(1) && !allowance.take(1));
        allowance.settle(1, 5);
        assert_eq!(allowance.left(), 0);
    }
}
