//! Single flight: of all searches for one picture, and of all questions about one offer, over threads and processes, one at a
//! time may pay.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::search::Search;
use super::turn_wait::TurnWait;
use super::{Engine, EngineError, Stage};
use crate::cancel::Interrupt;
use crate::offer::OfferId;
use crate::store::{Asking, Holder, Subject};
use crate::verdict::Verdict;

/// How often a search looks whether another process has finished; one of this process notifies.
const POLL: Duration = Duration::from_millis(25);

/// However many others were waited for, one after the other: better to pay twice than never to answer.
const MAX_TURN_WAIT: Duration = Duration::from_mins(10);

impl<'e> Search<'e> {
    /// Waits until no other search asks about this picture or an edited copy of it, then takes the right to. `None`
    /// when the answer has come meanwhile, or after the longest wait.
    ///
    /// # Errors
    /// [`EngineError::Interrupted`] when the caller has no more time; else as of the store and the picture.
    pub(super) fn take_turn(&mut self) -> Result<Option<Asking<'e>>, EngineError> {
        let engine = self.engine;
        let params = self.query.params.key();
        let start = Instant::now();
        let mut wait: Option<TurnWait> = None;
        while start.elapsed() < MAX_TURN_WAIT {
            self.query.interrupt.check()?;
            let subject = match self.verdict {
                Verdict::Hit(matched) => Subject::Stored(matched.photo_id),
                _ => Subject::New(self.picture.embedding()?),
            };
            let was_stored = matches!(subject, Subject::Stored(_));
            let given_up = wait.as_ref().and_then(|wait| wait.given_up(engine.clock.as_ref()));
            let turn = self.picture.timings.measure(Stage::Catalog, || {
                engine.store.take_turn_from(given_up, subject, &params, self.policy.hit_threshold())
            })?;
            // The search that asked until now may have stored the answer.
            let newest = engine.store.generation()?;
            if newest != self.generation {
                self.generation = newest;
                self.recheck()?;
                if self.is_answered() {
                    return Ok(None);
                }
                if matches!(self.verdict, Verdict::Hit(_)) != was_stored {
                    // By now the picture is a stored one: the turn to take is that one's.
                    continue;
                }
            }
            match turn {
                Ok(asking) => return Ok(Some(asking)),
                Err(holder) => {
                    let wait_for = || engine.wait_for_turn(&mut wait, holder, "this picture");
                    self.picture.timings.measure(Stage::Upstream, wait_for);
                }
            }
        }
        Ok(None)
    }
}

impl Engine {
    /// Takes the right to ask for the details of an offer, once nobody else has it. `None` after the longest wait.
    ///
    /// # Errors
    /// As [`Search::take_turn`].
    pub(super) fn take_turn_of_offer(
        &self,
        interrupt: &Interrupt,
        offer_id: &OfferId,
    ) -> Result<Option<Asking<'_>>, EngineError> {
        let start = Instant::now();
        let mut wait: Option<TurnWait> = None;
        while start.elapsed() < MAX_TURN_WAIT {
            interrupt.check()?;
            let given_up = wait.as_ref().and_then(|wait| wait.given_up(self.clock.as_ref()));
            match self.store.take_turn_from(given_up, Subject::Offer(offer_id), "", 1.0)? {
                Ok(asking) => return Ok(Some(asking)),
                Err(holder) => self.wait_for_turn(&mut wait, holder, "this offer"),
            }
        }
        Ok(None)
    }

    /// Waits until the holder may have finished.
    fn wait_for_turn(&self, wait: &mut Option<TurnWait>, holder: Holder, about: &'static str) {
        let same = wait.take().filter(|wait| wait.holder() == holder);
        wait.insert(same.unwrap_or_else(|| TurnWait::on(holder, about, self.clock.as_ref())))
            .note(self.clock.as_ref(), self.progress.as_ref());
        let (lock, ended) = &self.turn_ended;
        let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(ended.wait_timeout(held, POLL).unwrap_or_else(PoisonError::into_inner));
    }
}
