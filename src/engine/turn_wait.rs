//! How long is another search waited for that asks about the same?

use std::time::{Duration, Instant};

use super::Progress;
use crate::clock::{Clock, Timestamp};
use crate::store::Holder;
use crate::upstream::guard::WAIT_NOTE_AFTER;

/// A search waits for its turn at the upstream for up to two minutes and for an answer for one at the most; what takes
/// longer is suspended or hangs, and to pay a second time is better than never to answer.
pub(super) const MAX_HOLDER_WAIT: Duration = Duration::from_mins(2);

/// The wait for one holder of the turn.
pub(super) struct TurnWait {
    holder: Holder,
    /// What the holder asks about.
    about: &'static str,
    /// Both: a clock that is set must not end or prolong the wait, and tests have a clock of their own.
    start: (Instant, Timestamp),
    is_said: bool,
}

impl TurnWait {
    pub(super) fn on(holder: Holder, about: &'static str, clock: &dyn Clock) -> Self {
        Self { holder, about, start: (Instant::now(), clock.now()), is_said: false }
    }

    pub(super) fn holder(&self) -> Holder {
        self.holder
    }

    fn waited(&self, clock: &dyn Clock) -> Duration {
        self.start.0.elapsed().max(self.start.1.until(clock.now()))
    }

    /// The holder, if it has been waited for long enough.
    pub(super) fn given_up(&self, clock: &dyn Clock) -> Option<Holder> {
        (self.waited(clock) >= MAX_HOLDER_WAIT).then_some(self.holder)
    }

    /// Says once what is waited for.
    pub(super) fn note(&mut self, clock: &dyn Clock, progress: &dyn Progress) {
        if !self.is_said && self.waited(clock) >= WAIT_NOTE_AFTER {
            self.is_said = true;
            progress.note(&format!(
                "another search is asking about {}: waiting for its answer, at most {} s",
                self.about,
                MAX_HOLDER_WAIT.as_secs()
            ));
        }
    }
}
