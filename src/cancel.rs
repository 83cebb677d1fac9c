//! May this still be waited for, or asked again? A caller's deadline, its word that it wants no answer any more, and how many
//! calls a question may cost it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::Clock;

/// How often a wait looks whether it was cancelled.
const POLL: Duration = Duration::from_millis(25);

/// Says to whatever holds a clone of it that its result is not wanted any more. Once said, it stays said.
///
/// [`cancel`](Self::cancel) only stores a flag, so it may be called from a signal handler.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that is not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every wait that holds a clone of this, within some 25 ms.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl From<Arc<AtomicBool>> for Cancel {
    /// Shares the flag with what sets it, such as a signal handler.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

/// Why a wait, or a long work, ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Interrupted {
    /// The caller's [`Cancel`] was cancelled.
    #[error("it was cancelled")]
    Cancelled,
    /// The caller's deadline has passed, or would pass before the wait can end.
    #[error("the deadline has passed: give it more time")]
    DeadlinePassed,
}

/// What ends a caller's patience: a deadline, a [`Cancel`], so many calls made in vain, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    deadline: Option<Instant>,
    cancel: Option<Cancel>,
    max_calls: Option<u32>,
}

impl From<Cancel> for Interrupt {
    /// Ended by the token alone.
    fn from(token: Cancel) -> Self {
        Self::never().cancel(token)
    }
}

impl Interrupt {
    /// Nothing ends it.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// With this deadline, or the one it has already if that is earlier.
    #[must_use]
    pub fn deadline(self, at: Instant) -> Self {
        Self { deadline: Some(self.deadline.map_or(at, |known| known.min(at))), ..self }
    }

    /// With this token in the place of the one before.
    #[must_use]
    pub fn cancel(self, token: Cancel) -> Self {
        Self { cancel: Some(token), ..self }
    }

    /// With so many calls for one question at the most, or the limit it has already if that is lower: after attempts that
    /// failed and were (perhaps) billed, no other one is made that would pass it. Whether to ask at all is not its matter.
    #[must_use]
    pub fn max_calls(self, calls: u32) -> Self {
        Self { max_calls: Some(self.max_calls.map_or(calls, |known| known.min(calls))), ..self }
    }

    /// Whether one more call may be made where so many were.
    pub(crate) fn allows_call_after(&self, calls: u32) -> bool {
        self.max_calls.is_none_or(|most| calls < most)
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        self.allow(Duration::ZERO)
    }

    /// Whether there is time for a wait of this length: one that the deadline would cut off need not begin.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn allow(&self, wait: Duration) -> Result<(), Interrupted> {
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return Err(Interrupted::Cancelled);
        }
        match self.deadline {
            // One that is checked as it passes has passed.
            Some(deadline) if deadline.saturating_duration_since(Instant::now()) <= wait => {
                Err(Interrupted::DeadlinePassed)
            }
            _ => Ok(()),
        }
    }

    /// Sleeps by `clock`.
    ///
    /// # Errors
    /// [`Interrupted`], at once where the deadline leaves no time for it.
    pub(crate) fn sleep(&self, clock: &dyn Clock, mut duration: Duration) -> Result<(), Interrupted> {
        self.allow(duration)?;
        let piece = if self.cancel.is_some() { POLL } else { duration };
        while !duration.is_zero() {
            let next = duration.min(piece);
            clock.sleep(next);
            duration -= next;
            self.check()?;
        }
        Ok(())
    }
}

/// A lock whose holder may keep it for long, so that a wait for it can be interrupted.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_taken: Mutex<bool>,
    freed: Condvar,
}

impl Gate {
    /// Waits until the gate is free.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub(crate) fn enter(&self, interrupt: &Interrupt) -> Result<Inside<'_>, Interrupted> {
        let mut is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *is_taken {
            interrupt.check()?;
            let waited = self.freed.wait_timeout(is_taken, POLL);
            is_taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_taken = true;
        Ok(Inside(self))
    }
}

/// Frees its [`Gate`] when dropped.
#[derive(Debug)]
pub(crate) struct Inside<'g>(&'g Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::clock::ManualClock;
    use crate::timestamp::Timestamp;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_wait_that_the_deadline_would_cut_off_does_not_begin() {
        let clock = ManualClock::at(Timestamp::from_unix_ms(0));
        let soon = Interrupt::never().deadline(Instant::now() + MINUTE);
        assert_eq!(soon.sleep(&clock, 2 * MINUTE), Err(Interrupted::DeadlinePassed));
        assert_eq!(clock.now().unix_ms(), 0);
        assert_eq!(soon.sleep(&clock, MINUTE / 2), Ok(()));
        assert_eq!(clock.now().unix_ms(), 30_000);
        assert_eq!(Interrupt::never().deadline(Instant::now()).check(), Err(Interrupted::DeadlinePassed));
    }

    /// Cancels at the first sleep.
    struct Cancels(ManualClock, Cancel);

    impl Clock for Cancels {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn sleep(&self, duration: Duration) {
            self.0.sleep(duration);
            self.1.cancel();
        }
    }

    #[test]
    fn a_sleep_ends_soon_after_it_is_cancelled() {
        let token = Cancel::new();
        let clock = Cancels(ManualClock::at(Timestamp::from_unix_ms(0)), token.clone());
        let interrupt = Interrupt::never().cancel(token);
        assert_eq!(interrupt.sleep(&clock, MINUTE), Err(Interrupted::Cancelled));
        assert_eq!(clock.now().unix_ms(), 25);
    }

    #[test]
    fn a_wait_at_a_gate_can_be_interrupted_and_the_gate_goes_on_working() {
        let gate = Gate::default();
        let token = Cancel::new();
        thread::scope(|scope| {
            let inside = gate.enter(&Interrupt::never()).unwrap();
            let waits = scope.spawn(|| gate.enter(&Interrupt::never().cancel(token.clone())).map(|_| ()));
            token.cancel();
            assert_eq!(waits.join().unwrap(), Err(Interrupted::Cancelled));
            let next = scope.spawn(|| gate.enter(&Interrupt::never()).map(|_| ()));
            drop(inside);
            assert_eq!(next.join().unwrap(), Ok(()));
        });
        assert!(gate.enter(&Interrupt::never()).is_ok());
    }
}
