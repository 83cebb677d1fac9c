//! What a picture that is not known costs: one call, for everybody who asks about it at the same time.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::turn_wait::TurnWait;
use super::{
    Desk, Engine, EngineError, Known, Mode, Outcome, Query, Seen, Stage, Standing, Timings, Unanswered,
};
use crate::catalog::{Asking, CatalogError, NewAnswer, Refusal, Subject, WaitReason};
use crate::clock::Timestamp;
use crate::offer::Offer;
use crate::photo::{Digest, Photo};
use crate::upstream::guard::{Asked, GuardError, WhyNot};
use crate::upstream::{QuotaDay, UpstreamError, UpstreamErrorKind, prepare};
use crate::verdict::Verdict;

/// How often somebody who waits for another process looks whether it has finished; a thread of this one is told.
const POLL: Duration = Duration::from_millis(25);

/// However many others were waited for, one after the other: better to pay twice than never to answer.
const MAX_TURN_WAIT: Duration = Duration::from_mins(10);

impl Engine {
    /// The branch on which money is spent. On return `known` holds the answer.
    pub(super) fn miss(
        &self,
        generation: u64,
        seen: &mut Seen,
        query: &Query<'_>,
        known: &mut Known,
        timings: &mut Timings,
    ) -> Result<(), EngineError> {
        let _patience = self.patience();
        let room = match query.mode {
            Mode::Default | Mode::Refresh if !self.desks.is_empty() => self.make_room_for_an_answer(),
            _ => Ok(()),
        };
        let may_wait = query.mode == Mode::LocalOnly
            || query.mode == Mode::Default && (room.is_err() || self.desks.is_empty());
        if may_wait {
            self.take_set_aside(seen, query, known);
            if known.will_do(query.mode) {
                return Ok(());
            }
        }
        if query.mode == Mode::LocalOnly {
            let refused = Refused::of(WhyNot::Offline, "nothing may be asked");
            return self.leave_unanswered(refused, seen, query, known, timings);
        }
        if self.desks.is_empty() {
            let message = "no upstream is configured, so nothing was asked";
            let refused = Refused::of(WhyNot::NoUpstream, message);
            return self.leave_unanswered(refused, seen, query, known, timings);
        }
        if let Err(error) = room {
            return self.fall_back(Refused::cannot_store(&error), seen, query, known, timings);
        }
        let turn = match query.mode {
            Mode::Default => self.take_turn(generation, seen, query, known, timings),
            // Asked in any case, so there is nothing to wait for.
            _ => Ok(None),
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(EngineError::Catalog(error)) if error.is_about_writing() => {
                self.catalog.note_storing(true);
                return self.fall_back(Refused::cannot_store(&error), seen, query, known, timings);
            }
            Err(error) => return Err(error),
        };
        if known.will_do(query.mode) {
            return Ok(());
        }
        // The one whose turn it was before may have paid, and not have been able to store it.
        if query.mode == Mode::Default && self.catalog.has_something_set_aside() {
            match self.make_room_for_an_answer() {
                Ok(()) => {
                    self.look_again(seen, timings)?;
                    *known = self.known(seen, query, timings)?;
                }
                Err(error) => {
                    self.take_set_aside(seen, query, known);
                    if !known.will_do(query.mode) {
                        return self.fall_back(Refused::cannot_store(&error), seen, query, known, timings);
                    }
                }
            }
            if known.will_do(query.mode) {
                return Ok(());
            }
        }
        let result = match self.ask(seen, query, known, timings) {
            Ok((desk, asked)) => {
                self.take_answer(desk, asked, seen, query, known, timings);
                Ok(())
            }
            Err(EngineError::Upstream(error)) => match Refused::by(&error) {
                Some(refused) => self.fall_back(refused, seen, query, known, timings),
                None if known.standing == Some(Standing::Expired) => {
                    Self::serve_expired(&error.to_string(), error.calls(), known);
                    Ok(())
                }
                None => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        drop(turn);
        self.turn_ended.1.notify_all();
        result
    }

    /// Waits until nobody else asks about this picture or an edited copy of it, then takes the right to. `None`
    /// when the answer has come meanwhile.
    fn take_turn(
        &self,
        mut generation: u64,
        seen: &mut Seen,
        query: &Query<'_>,
        known: &mut Known,
        timings: &mut Timings,
    ) -> Result<Option<Asking<'_>>, EngineError> {
        let params = query.params.key();
        let start = Instant::now();
        let mut wait: Option<TurnWait> = None;
        while start.elapsed() < MAX_TURN_WAIT {
            let subject = match (seen.verdict, &seen.embedding) {
                (Verdict::Hit(matched), _) => Subject::Stored(matched.photo_id),
                (_, Some(embedding)) => Subject::New(embedding),
                (_, None) => return Ok(None),
            };
            let was_stored = matches!(subject, Subject::Stored(_));
            let given_up = wait.as_ref().and_then(|wait| wait.given_up(self.clock.as_ref()));
            let turn = timings.measure(Stage::Catalog, || {
                self.catalog.take_turn_from(given_up, subject, &params, seen.policy.hit_threshold())
            })?;
            // Whoever asked until now may have stored the answer.
            let newest = self.catalog.generation()?;
            if newest != generation {
                generation = newest;
                self.look_again(seen, timings)?;
                *known = self.known(seen, query, timings)?;
                if known.will_do(query.mode) {
                    return Ok(None);
                }
                if matches!(seen.verdict, Verdict::Hit(_)) != was_stored {
                    // By now the picture is a stored one: the turn to take is that one's.
                    continue;
                }
            }
            match turn {
                Ok(asking) => return Ok(Some(asking)),
                Err(holder) => {
                    let same = wait.take().filter(|wait| wait.holder() == holder);
                    wait.insert(same.unwrap_or_else(|| TurnWait::on(holder, self.clock.as_ref())))
                        .note(self.clock.as_ref(), self.progress.as_ref());
                    timings.measure(Stage::Upstream, || {
                        let (lock, ended) = &self.turn_ended;
                        let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
                        drop(ended.wait_timeout(held, POLL).unwrap_or_else(PoisonError::into_inner));
                    });
                }
            }
        }
        Ok(None)
    }

    /// The one place where money is spent: the first upstream that has something left.
    fn ask(
        &self,
        seen: &mut Seen,
        query: &Query<'_>,
        known: &mut Known,
        timings: &mut Timings,
    ) -> Result<(&Desk, Asked), EngineError> {
        let byte_digest = seen.byte_digest;
        let photo = self.decoded(&mut seen.photo, query.bytes, timings)?;
        let start = Instant::now();
        let result = first_with_some_left(&self.desks, &mut known.answer.warnings, |desk, warnings| {
            self.ask_at(desk, photo, byte_digest, query, warnings)
        });
        timings.add(Stage::Upstream, start.elapsed());
        result
    }

    fn ask_at(
        &self,
        desk: &Desk,
        photo: &Photo,
        byte_digest: Digest,
        query: &Query<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Asked, EngineError> {
        if query.mode == Mode::Default {
            self.refuse_what_was_refused(desk, byte_digest)?;
        }
        let mut prepared = prepare(photo.as_image(), query.params.region, &desk.guard.upload_limits())?;
        prepared.picture.source_url = query.source_url.map(str::to_owned);
        let question = format!("{byte_digest} {}", query.params.key());
        let search = || desk.guard.search(&prepared.picture, &query.params);
        let result = self.ask_if_readable(desk, question, query.mode, search);
        if let Err(EngineError::Upstream(GuardError::Upstream { error, .. })) = &result
            && error.kind == UpstreamErrorKind::Image
        {
            let refusal = Refusal {
                profile: error.profile.to_owned(),
                code: error.code.clone(),
                message: error.message.clone(),
                refused_at: self.clock.now(),
            };
            self.keep_refusal(byte_digest, &refusal);
        }
        let mut asked = result?;
        note_category(&mut asked.page.offers, query.params.category_id);
        warnings.extend(prepared.warnings.iter().map(ToString::to_string));
        warnings.append(&mut asked.warnings);
        let page_size = desk.guard.max_page_size();
        if query.params.page_size > page_size {
            let profile = desk.guard.profile();
            warnings.push(format!("{profile} gives at most {page_size} offers a page"));
        }
        Ok(asked)
    }

    /// A picture that the upstream did not take lately is not paid for again.
    fn refuse_what_was_refused(&self, desk: &Desk, byte_digest: Digest) -> Result<(), EngineError> {
        let (profile, now, ttl) = (desk.guard.profile(), self.clock.now(), desk.freshness.refused_ttl);
        // One from the far future was said before the clock was set back; how long ago is not known.
        let refusal = self.catalog.refusal(byte_digest, profile, now.minus(ttl), now.plus(ttl))?;
        let Some(refusal) = refusal else { return Ok(()) };
        let message = format!("{} (remembered from {})", refusal.message, refusal.refused_at);
        Err(remembered(profile, UpstreamErrorKind::Image, refusal.code, message))
    }

    /// From here on the answer is there, and nothing may come between it and the caller.
    fn take_answer(
        &self,
        desk: &Desk,
        asked: Asked,
        seen: &mut Seen,
        query: &Query<'_>,
        known: &mut Known,
        timings: &mut Timings,
    ) {
        let fetched_at = self.clock.now();
        if query.mode != Mode::Bypass {
            let params = query.params.key();
            let answer = NewAnswer::Upstream {
                profile: desk.guard.profile(),
                params: &params,
                fetched_at,
                total: asked.page.total,
                offers: &asked.page.offers,
            };
            known.answer.unstored = self.keep(seen, query, &answer, timings);
        }
        if let Some(unstored) = &known.answer.unstored {
            known.answer.warnings.push(unstored.warning(asked.calls));
        }
        self.warn_before_the_end(desk, known);
        known.answer.take_asked(asked, fetched_at);
    }

    /// When no new answer can be had: an old one is better than none, and what passes by itself is no error.
    fn fall_back(
        &self,
        refused: Refused,
        seen: &Seen,
        query: &Query<'_>,
        known: &mut Known,
        timings: &mut Timings,
    ) -> Result<(), EngineError> {
        if known.standing == Some(Standing::Expired) {
            Self::serve_expired(&refused.message, refused.calls, known);
            self.have_wait(WaitReason::Stale, super::REFRESH_PRIORITY, seen, query, timings);
            return Ok(());
        }
        self.leave_unanswered(refused, seen, query, known, timings)
    }

    fn serve_expired(why: &str, calls: u32, known: &mut Known) {
        known.answer.upstream_calls = calls;
        known.answer.warnings.push(format!("the answer has expired, but no new one could be had: {why}"));
    }

    fn leave_unanswered(
        &self,
        refused: Refused,
        seen: &Seen,
        query: &Query<'_>,
        known: &mut Known,
        timings: &mut Timings,
    ) -> Result<(), EngineError> {
        let Refused { reason, message, retry_at, calls } = refused;
        if let Verdict::Review(candidate) = seen.verdict
            && let Some(stored) = self.stored_answer(candidate.photo_id, query, timings)?
        {
            known.answer.take_stored(stored);
        }
        let queued = match query.defer {
            Some(priority) => {
                let queued = self.have_wait(WaitReason::Deferred, priority, seen, query, timings);
                if !queued {
                    known.answer.warnings.push("it could not be put into the queue either".to_owned());
                }
                queued
            }
            None => false,
        };
        if reason != WhyNot::Offline {
            known.answer.warnings.push(message.clone());
        }
        known.answer.upstream_calls = calls;
        known.answer.unanswered = Some(Unanswered { reason, message, retry_at, queued });
        debug_assert_ne!(known.answer.verdict, Outcome::Hit);
        Ok(())
    }

    /// Says so when the day's budget is about to run out.
    fn warn_before_the_end(&self, desk: &Desk, known: &mut Known) {
        let today = QuotaDay::of(self.clock.now());
        let budget = desk.guard.policy().daily_budget;
        let Ok(used) = self.catalog.calls_spent(desk.guard.profile(), &today) else { return };
        let left = budget.saturating_sub(used);
        if left <= budget / 10 {
            known.answer.warnings.push(format!(
                "{left} of {budget} calls are left today for {}; the count begins anew at {}",
                desk.guard.profile(),
                today.resets_at()
            ));
        }
    }
}

/// Why no new answer can be had, in a way that passes.
struct Refused {
    reason: WhyNot,
    message: String,
    retry_at: Option<Timestamp>,
    /// Made in vain, and perhaps billed.
    calls: u32,
}

impl Refused {
    fn of(reason: WhyNot, message: &str) -> Self {
        Self { reason, message: message.to_owned(), retry_at: None, calls: 0 }
    }

    fn cannot_store(error: &CatalogError) -> Self {
        Self::of(WhyNot::CannotStore, &cannot_store(error))
    }

    /// `None` for what only a person can mend, and for what lies in the picture.
    fn by(error: &GuardError) -> Option<Self> {
        let (message, retry_at, calls) = (error.to_string(), error.retry_at(), error.calls());
        Some(Self { reason: error.why_not()?, message, retry_at, calls })
    }
}

/// What an upstream said a while ago, said again without asking it.
pub(super) fn remembered(
    profile: &'static str,
    kind: UpstreamErrorKind,
    code: String,
    message: String,
) -> EngineError {
    let error = UpstreamError { profile, kind, code, message, retry_after: None, billed: Some(false) };
    GuardError::Upstream { error, calls: 0 }.into()
}

/// Why nothing is asked while the home folder cannot be written.
pub(super) fn cannot_store(error: &CatalogError) -> String {
    format!("nothing was asked, because its answer could not be stored: {error}")
}

/// Asks one upstream after the other: the next one when the one before is not going to bill the question, which
/// `warnings` then tells.
pub(super) fn first_with_some_left<'d, T>(
    desks: impl IntoIterator<Item = &'d Desk>,
    warnings: &mut Vec<String>,
    mut ask: impl FnMut(&Desk, &mut Vec<String>) -> Result<T, EngineError>,
) -> Result<(&'d Desk, T), EngineError> {
    let mut result = Err(EngineError::NoUpstream);
    for desk in desks {
        if let Err(EngineError::Upstream(error)) = &result {
            warnings.push(format!("{error}; {} is asked instead", desk.guard.profile()));
        }
        result = ask(desk, warnings).map(|answer| (desk, answer));
        if !matches!(&result, Err(EngineError::Upstream(error)) if error.leaves_room_for_another()) {
            break;
        }
    }
    result
}

/// An upstream that was asked about one category alone has told that all it answered is of it.
fn note_category(offers: &mut [Offer], asked: Option<u64>) {
    let Some(asked) = asked else { return };
    for offer in offers {
        if !offer.category_ids.contains(&asked) {
            offer.category_ids.insert(0, asked);
        }
    }
}
