//! Pictures that wait until the upstream may be asked again, and how they are worked off.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::paying::{NOTE_PATIENCE, REFRESH_PATIENCE};
use super::search::Search;
use super::{Answer, Engine, EngineError, Mode, Query, Stage, Unanswered};
use crate::cancel::{Interrupt, Interrupted};
use crate::clock::Timestamp;
use crate::photo::Digest;
use crate::quota_day::QuotaDay;
use crate::store::{NewWaiting, Patience, WaitReason, Waiting};
use crate::upstream::guard::WhyNot;

/// How long a picture that is to wait for a later day waits for others that write now.
const DEFER_PATIENCE: Duration = Duration::from_secs(5);

/// How long an old answer is left alone after no new one could be had: its search has just asked.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_mins(10);

/// Questions about old answers for which no new ones could be had, by bytes and parameters, and when.
#[derive(Debug, Default)]
pub(super) struct AskedInVain(Mutex<HashMap<(Digest, String), Timestamp>>);

impl AskedInVain {
    fn questions(&self) -> MutexGuard<'_, HashMap<(Digest, String), Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, bytes: Digest, params: String, now: Timestamp) {
        let mut questions = self.questions();
        questions.retain(|_, at| is_recent(*at, now));
        questions.insert((bytes, params), now);
    }

    fn holds(&self, waiting: &Waiting, now: Timestamp) -> bool {
        let questions = self.questions();
        !questions.is_empty()
            && questions
                .get(&(Digest::of(&waiting.bytes), waiting.params.key()))
                .is_some_and(|at| is_recent(*at, now))
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    // Before it, where the clock was set back.
    at <= now && at.until(now) < PAUSE_AFTER_FAILURE
}

/// What came of working off the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Drained {
    /// Answered and taken out of the queue.
    pub answered: u64,
    /// Tried in vain, and never to be answered: taken out, too.
    pub dropped: u64,
    /// Tried in vain; still waiting.
    pub failed: u64,
    /// Why it ended before the queue did, where that was not the caller.
    pub stopped: Option<Unanswered>,
    /// Why the caller has ended it.
    pub interrupted: Option<Interrupted>,
}

/// One picture of the queue and what came of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct DrainedOne<'a> {
    /// What waited.
    pub waiting: &'a Waiting,
    /// What came of it.
    pub result: &'a Result<Answer, EngineError>,
}

impl Engine {
    /// Fetches anew the answers that were found to be old, as [`Engine::drain`] does, and nothing else. Says so
    /// ([`Progress::note`](super::Progress::note)) before the first of them.
    ///
    /// # Errors
    /// Those of [`Engine::drain`].
    pub fn refresh_stale(&self) -> Result<Drained, EngineError> {
        self.refresh_stale_unless(&Interrupt::never())
    }

    /// As [`Engine::refresh_stale`], until `interrupt` ends it as it ends [`Engine::drain_unless`].
    ///
    /// # Errors
    /// Those of [`Engine::drain`].
    pub fn refresh_stale_unless(&self, interrupt: &Interrupt) -> Result<Drained, EngineError> {
        self.work_off(interrupt, None, Some(WaitReason::Stale), &mut |_| {})
    }

    /// Works off the queue, the highest priority first, until it is empty, `limit` pictures were tried, or nothing
    /// may be asked any more. Each picture leaves the queue once its answer is stored, so whatever ends this, it is
    /// taken up again by calling it again; two processes at it at once pay for no picture twice. `each` hears of
    /// every picture. An old answer for which this engine could not get a new one is left alone for ten minutes.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails, or an upstream refuses everything until a person mends it.
    pub fn drain(
        &self,
        limit: Option<u64>,
        each: &mut dyn FnMut(&DrainedOne<'_>),
    ) -> Result<Drained, EngineError> {
        self.drain_unless(&Interrupt::never(), limit, each)
    }

    /// As [`Engine::drain`], until `interrupt` ends it, which [`Drained::interrupted`] then says: after the picture in hand, whose
    /// call is under way, or at once where it only waits for its turn. That one then goes on waiting, and `each` does not
    /// hear of it.
    ///
    /// # Errors
    /// Those of [`Engine::drain`].
    pub fn drain_unless(
        &self,
        interrupt: &Interrupt,
        limit: Option<u64>,
        each: &mut dyn FnMut(&DrainedOne<'_>),
    ) -> Result<Drained, EngineError> {
        self.work_off(interrupt, limit, None, each)
    }

    fn work_off(
        &self,
        interrupt: &Interrupt,
        limit: Option<u64>,
        only: Option<WaitReason>,
        each: &mut dyn FnMut(&DrainedOne<'_>),
    ) -> Result<Drained, EngineError> {
        let mut drained = Drained::default();
        let mut place = None;
        let mut tried = 0;
        while limit.is_none_or(|limit| tried < limit)
            && let Some(waiting) = self.store.next_waiting(place)?
        {
            if let Err(reason) = interrupt.check() {
                drained.interrupted = Some(reason);
                break;
            }
            place = Some((waiting.priority, waiting.queue_id));
            let is_stale = waiting.reason == WaitReason::Stale;
            if only.is_some_and(|only| only != waiting.reason)
                || is_stale && (!self.may_refresh()? || self.in_vain.holds(&waiting, self.clock.now()))
            {
                continue;
            }
            if only.is_some() && tried == 0 {
                self.progress.note("fetching old answers anew, for later searches");
            }
            tried += 1;
            // Their answers are given already.
            let _patience = only.map(|_| Patience::limited_to(REFRESH_PATIENCE));
            let result = self.ask_about(&waiting, interrupt);
            if let Some(reason) = interruption_of(&result, interrupt) {
                // An attempt that failed before is one in vain.
                if let Err(EngineError::Upstream(error)) = &result
                    && error.calls() > 0
                {
                    self.note_trouble(&waiting, &error.to_string());
                }
                drained.interrupted = Some(reason);
                break;
            }
            each(&DrainedOne { waiting: &waiting, result: &result });
            match result {
                Ok(Answer { unanswered: Some(unanswered), .. }) => {
                    self.note_trouble(&waiting, &unanswered.message);
                    drained.failed += 1;
                    // Remembered for this picture; if the others fare no better, the breaker ends it.
                    if unanswered.reason == WhyNot::Unreadable {
                        continue;
                    }
                    drained.stopped = Some(unanswered);
                    break;
                }
                Ok(answer) if answer.stale => {
                    // The old answer was served because no new one could be had.
                    let message = answer.warnings.join("; ");
                    self.note_trouble(&waiting, &message);
                    drained.failed += 1;
                    let reason = WhyNot::UpstreamFailed;
                    drained.stopped = Some(Unanswered {
                        reason,
                        message,
                        retry_at: None,
                        queued: true,
                        queue_failed: false,
                    });
                    break;
                }
                Ok(Answer { unstored: Some(unstored), .. }) => {
                    // It leaves the queue once its answer is stored.
                    drained.answered += 1;
                    drained.stopped = Some(cannot_go_on(&unstored.message));
                    break;
                }
                Ok(_) => drained.answered += 1,
                Err(error) if error.is_input_error() => drained.dropped += 1,
                Err(error) => {
                    self.note_trouble(&waiting, &error.to_string());
                    return Err(error);
                }
            }
            if let Err(error) = self.store.unqueue(waiting.queue_id) {
                drained.stopped = Some(cannot_go_on(&error.to_string()));
                break;
            }
        }
        Ok(drained)
    }

    fn ask_about(&self, waiting: &Waiting, interrupt: &Interrupt) -> Result<Answer, EngineError> {
        self.search(&Query {
            source_url: waiting.source_url.as_deref(),
            params: waiting.params.clone(),
            mode: Mode::Default,
            // An answer that was fetched since it was queued will do.
            max_age: (waiting.reason == WaitReason::Stale).then(|| self.shortest_soft_ttl()),
            // Blanks are not queued any more; one that was is asked about, once.
            force: true,
            interrupt: interrupt.clone(),
            ..Query::new(&waiting.bytes, &waiting.label)
        })
    }

    /// A note: the picture goes on waiting in any case.
    fn note_trouble(&self, waiting: &Waiting, trouble: &str) {
        let _patience = Patience::limited_to(NOTE_PATIENCE);
        let _ = self.store.note_trouble(waiting.queue_id, trouble);
    }

    /// Old answers are renewed only while more than a tenth of a budget is left for pictures that are new.
    fn may_refresh(&self) -> Result<bool, EngineError> {
        let today = QuotaDay::of(self.clock.now());
        for upstream in &self.upstreams {
            let budget = upstream.guard.policy().daily_budget;
            let used = self.store.calls_spent(upstream.guard.profile(), &today)?;
            if budget.saturating_sub(used) > budget / 10 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn shortest_soft_ttl(&self) -> Duration {
        self.upstreams.iter().map(|upstream| upstream.cache_policy.soft_ttl).min().unwrap_or_default()
    }
}

/// Whether `interrupt` has ended a search before it had a new answer.
fn interruption_of(result: &Result<Answer, EngineError>, interrupt: &Interrupt) -> Option<Interrupted> {
    match result {
        Err(error) => error.interruption(),
        Ok(Answer { unanswered: Some(Unanswered { reason: WhyNot::DeadlinePassed, .. }), .. }) => {
            Some(Interrupted::DeadlinePassed)
        }
        // The old answer was served, because there was no time for a new one.
        Ok(answer) if answer.stale && answer.upstream_calls == 0 => interrupt.check().err(),
        Ok(_) => None,
    }
}

fn cannot_go_on(why: &str) -> Unanswered {
    let message = format!("nothing more is asked, because what was answered could not be stored: {why}");
    Unanswered { reason: WhyNot::CannotStore, message, retry_at: None, queued: true, queue_failed: false }
}

impl Search<'_> {
    /// No new answer could be had in the place of an old one: it is not asked for again at once.
    pub(super) fn note_in_vain(&self) {
        let Self { engine, query, picture, .. } = self;
        engine.in_vain.note(picture.byte_digest(), query.params.key(), engine.clock.now());
    }

    /// Has the picture wait in the queue, and says whether it does. An answer does not depend on it, and waits for no
    /// other writer.
    pub(super) fn enqueue(&self, reason: WaitReason, priority: i32) -> bool {
        let Self { engine, query, picture, .. } = self;
        let limit = match reason {
            WaitReason::Deferred => DEFER_PATIENCE,
            WaitReason::Stale if engine.store.storing_fails() => Duration::ZERO,
            WaitReason::Stale => NOTE_PATIENCE,
        };
        let _patience = Patience::limited_to(limit);
        let waiting = NewWaiting {
            reason,
            priority,
            label: query.label,
            byte_digest: picture.byte_digest(),
            bytes: query.bytes,
            source_url: query.source_url,
            params: &query.params,
            queued_at: engine.clock.now(),
        };
        let queued = picture.timings.measure(Stage::Catalog, || engine.store.queue(&waiting));
        if reason == WaitReason::Stale && queued.is_err() {
            engine.store.note_storing(true);
        }
        queued.is_ok()
    }
}
