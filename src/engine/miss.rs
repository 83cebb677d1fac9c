//! What a picture that is not known costs: one call, for all searches for it that run at the same time.

use super::cache_policy::Freshness;
use super::search::{REFRESH_PRIORITY, Reply, Search};
use super::{ConfiguredUpstream, EngineError, Mode, Stage, Unanswered};
use crate::cancel::Interrupted;
use crate::clock::Timestamp;
use crate::offer::Offer;
use crate::question::{OfferFilter, Region, SearchParams};
use crate::quota_day::QuotaDay;
use crate::store::{CatalogError, NewAnswer, WaitReason};
use crate::upstream::guard::{BilledPage, GuardError, WhyNot};
use crate::upstream::{UpstreamError, UpstreamErrorKind, prepare};
use crate::verdict::Verdict;

impl Search<'_> {
    /// The branch on which money is spent.
    pub(super) fn ask(&mut self) -> Result<(), EngineError> {
        let (engine, mode) = (self.engine, self.query.mode);
        let _patience = engine.patience(&self.query.interrupt);
        let is_anybody_there = self.upstreams().next().is_some();
        let room = match mode {
            Mode::Default | Mode::Refresh if is_anybody_there => {
                engine.make_room_for_an_answer(&self.query.interrupt)
            }
            _ => Ok(()),
        };
        let will_not_ask = room.is_err() || !is_anybody_there;
        if mode == Mode::LocalOnly || mode != Mode::Bypass && will_not_ask {
            self.look_in_journal();
            if self.is_answered() {
                return Ok(());
            }
        }
        if mode == Mode::LocalOnly {
            return self.leave_unanswered(Refused::of(WhyNot::Offline, "nothing may be asked"));
        }
        if !is_anybody_there {
            let message = "no upstream is configured, so nothing was asked";
            return self.leave_unanswered(Refused::of(WhyNot::NoUpstream, message));
        }
        if !self.query.force && self.picture.probe()?.is_blank() {
            let message = "nothing shows in the picture, so nothing was asked";
            return self.leave_unanswered(Refused::of(WhyNot::NothingToCompare, message));
        }
        if !self.query.force
            && let Some((parts, message)) = self.elongated()?
        {
            self.suggested_regions = parts;
            return self.leave_unanswered(Refused::of(WhyNot::TooElongated, &message));
        }
        if let Some(refused) = self.refused_by_caller()? {
            return self.fall_back(refused);
        }
        if let Err(error) = room {
            return self.fall_back(Refused::cannot_store(&error));
        }
        if mode != Mode::Default {
            // Asked in any case, so there is nothing to wait for.
            return self.ask_and_keep();
        }
        let turn = match self.take_turn() {
            Ok(turn) => turn,
            Err(EngineError::Interrupted(reason)) => return self.fall_back(Refused::by_caller(reason)?),
            Err(EngineError::Catalog(error)) if error.is_about_writing() => {
                if let Some(refused) = self.refused_by_caller()? {
                    return self.fall_back(refused);
                }
                engine.store.note_storing(true);
                return self.fall_back(Refused::cannot_store(&error));
            }
            Err(error) => return Err(error),
        };
        if self.is_answered() || self.store_what_waits()? {
            return Ok(());
        }
        let result = self.ask_and_keep();
        drop(turn);
        engine.turn_ended.1.notify_all();
        result
    }

    /// The search whose turn it was before may have paid, and not have been able to store it. Says whether nothing is to
    /// be asked.
    fn store_what_waits(&mut self) -> Result<bool, EngineError> {
        if !self.engine.store.has_something_set_aside() {
            return Ok(false);
        }
        match self.engine.make_room_for_an_answer(&self.query.interrupt) {
            Ok(()) => self.recheck()?,
            Err(error) => {
                self.look_in_journal();
                if !self.is_answered() {
                    self.fall_back(Refused::cannot_store(&error))?;
                }
                return Ok(true);
            }
        }
        Ok(self.is_answered())
    }

    fn ask_and_keep(&mut self) -> Result<(), EngineError> {
        let mut warnings = Vec::new();
        self.picture.photo()?;
        if let Some(refused) = self.refused_by_caller()? {
            return self.fall_back(refused);
        }
        let result = self.picture.timings.measure(Stage::Upstream, || {
            let may_go_on = GuardError::leaves_room_for_another;
            first_with_some_left(self.upstreams(), &mut warnings, may_go_on, |upstream, warnings| {
                self.ask_at(upstream, warnings)
            })
        });
        self.warnings.append(&mut warnings);
        match result {
            Ok((upstream, asked)) => {
                self.take_answer(upstream, asked);
                Ok(())
            }
            Err(EngineError::Upstream(error)) => match Refused::by(&error) {
                Some(refused) => {
                    let refused = self.or_by_caller(refused)?;
                    self.fall_back(refused)
                }
                None if matches!(error, GuardError::Interrupted { .. }) => Err(error.into()),
                None if self.freshness() == Some(Freshness::Expired) => {
                    self.note_in_vain();
                    self.serve_expired(&error.to_string(), error.calls());
                    Ok(())
                }
                None => Err(error.into()),
            },
            Err(error) => Err(error),
        }
    }

    /// The one place where money is spent.
    fn ask_at(
        &self,
        upstream: &ConfiguredUpstream,
        warnings: &mut Vec<String>,
    ) -> Result<BilledPage, EngineError> {
        let Self { engine, query, picture, .. } = self;
        let (guard, byte_digest) = (&upstream.guard, picture.byte_digest());
        if query.mode == Mode::Default {
            engine.refuse_what_was_refused(upstream, byte_digest, UpstreamErrorKind::Image)?;
        }
        let mut prepared = prepare(picture.photo()?.as_image(), query.params.region, &guard.upload_limits())?;
        prepared.picture.source_url = query.source_url.map(str::to_owned);
        let question = format!("{byte_digest} {}", query.params.key());
        let search = || guard.search_unless(&query.interrupt, &prepared.picture, &query.params);
        let result = engine.ask_if_readable(upstream, question, query.mode, search);
        if let Err(EngineError::Upstream(GuardError::Upstream { error, .. })) = &result
            && error.kind == UpstreamErrorKind::Image
        {
            engine.keep_refusal(byte_digest, error);
        }
        let mut asked = result?;
        note_what_was_asked_for(&mut asked.page.offers, &query.params);
        let sent = (prepared.picture.width_px, prepared.picture.height_px);
        let is_whole = query.params.region.is_none() || prepared.picture.region.is_some();
        asked.page.suggested_regions = if is_whole {
            regions_of(&asked.page.suggested_regions, sent, picture.photo()?.as_image().dimensions())
        } else {
            Vec::new()
        };
        warnings.extend(prepared.warnings.iter().map(ToString::to_string));
        warnings.append(&mut asked.warnings);
        let page_size = guard.max_page_size();
        if query.params.page_size > page_size {
            warnings.push(format!("{} gives at most {page_size} offers a page", guard.profile()));
        }
        Ok(asked)
    }

    /// From here on the answer is there, and nothing may come between it and the caller.
    fn take_answer(&mut self, upstream: &ConfiguredUpstream, asked: BilledPage) {
        let fetched_at = self.engine.clock.now();
        let unstored = if self.query.mode == Mode::Bypass {
            None
        } else {
            self.keep(&NewAnswer::Upstream {
                profile: upstream.guard.profile(),
                params: &self.query.params.key(),
                fetched_at,
                total: asked.page.total,
                // Under the photo that it was recognised as, an edited copy's would mean other pixels.
                regions: if self.is_of_its_own_pixels() { &asked.page.suggested_regions } else { &[] },
                offers: &asked.page.offers,
            })
        };
        self.warnings.extend(unstored.as_ref().map(|unstored| unstored.warning(asked.calls)));
        self.warn_before_the_end(upstream);
        self.calls = asked.calls;
        self.reply = Reply::Answered { page: asked.page, fetched_at, unstored };
    }

    /// Why nothing more may be asked, if the caller has no more time; its wish for no answer at all is an error.
    fn refused_by_caller(&self) -> Result<Option<Refused>, EngineError> {
        match self.query.interrupt.check() {
            Ok(()) => Ok(None),
            Err(reason) => Refused::by_caller(reason).map(Some),
        }
    }

    /// A call that could not be booked in time was not refused by the home: see [`Patience`](crate::store::Patience).
    fn or_by_caller(&self, refused: Refused) -> Result<Refused, EngineError> {
        if refused.reason != WhyNot::CannotStore || refused.calls > 0 {
            return Ok(refused);
        }
        Ok(self.refused_by_caller()?.unwrap_or(refused))
    }

    /// When no new answer can be had: an old one is better than none, and what passes by itself is no error.
    fn fall_back(&mut self, refused: Refused) -> Result<(), EngineError> {
        if self.freshness() == Some(Freshness::Expired) {
            // The upstream has not failed where the caller had no time, or the home no room.
            if !matches!(refused.reason, WhyNot::DeadlinePassed | WhyNot::CannotStore) {
                self.note_in_vain();
            }
            // One that is good by itself needs no newer one later.
            let queued = self.freshness_by_policy() != Some(Freshness::Fresh)
                && self.enqueue(WaitReason::Stale, REFRESH_PRIORITY);
            self.serve_expired(&refused.message, refused.calls);
            if self.query.mode == Mode::Refresh {
                // A new one was asked for in so many words.
                let Refused { reason, message, retry_at, .. } = refused;
                let why = Unanswered { reason, message, retry_at, queued, queue_failed: false };
                self.reply = Reply::Unanswered { why, beside: None };
            }
            return Ok(());
        }
        self.leave_unanswered(refused)
    }

    fn serve_expired(&mut self, why: &str, calls: u32) {
        self.calls = calls;
        let is_expired = self.freshness_by_policy() == Some(Freshness::Expired);
        self.warnings.push(if is_expired {
            format!("the answer has expired, but no new one could be had: {why}")
        } else {
            format!("this is the stored answer, because no new one could be had: {why}")
        });
    }

    fn leave_unanswered(&mut self, refused: Refused) -> Result<(), EngineError> {
        let Refused { reason, message, retry_at, calls } = refused;
        let beside = match self.verdict {
            Verdict::Review(candidate) => self.stored_answer(candidate.photo_id)?,
            _ => None,
        };
        let may_wait = self.query.defer.is_some() && !self.query.force;
        let is_of_the_picture = match reason {
            // Nothing has looked at that yet.
            WhyNot::Offline if may_wait => self.picture.probe()?.is_blank() || self.elongated()?.is_some(),
            other => other.is_of_the_picture(),
        };
        let defer = self.query.defer.filter(|_| !is_of_the_picture);
        let queued = defer.map(|priority| self.enqueue(WaitReason::Deferred, priority));
        if queued == Some(false) {
            self.warnings.push("it could not be put into the queue either".to_owned());
        }
        if reason != WhyNot::Offline {
            self.warnings.push(message.clone());
        }
        self.calls = calls;
        let (queued, queue_failed) = (queued == Some(true), queued == Some(false));
        let why = Unanswered { reason, message, retry_at, queued, queue_failed };
        self.reply = Reply::Unanswered { why, beside };
        Ok(())
    }

    /// Says so when the day's budget is about to run out.
    fn warn_before_the_end(&mut self, upstream: &ConfiguredUpstream) {
        let (profile, budget) = (upstream.guard.profile(), upstream.guard.policy().daily_budget);
        let today = QuotaDay::of(self.engine.clock.now());
        let Ok(used) = self.engine.store.calls_spent(profile, &today) else { return };
        let left = budget.saturating_sub(used);
        if left <= budget / 10 {
            self.warnings.push(format!(
                "{left} of {budget} calls are left today for {profile}; the count begins anew at {}",
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

    fn by_caller(reason: Interrupted) -> Result<Self, EngineError> {
        match reason {
            Interrupted::DeadlinePassed => {
                Ok(Self::of(WhyNot::DeadlinePassed, &format!("nothing was asked: {reason}")))
            }
            reason @ Interrupted::Cancelled => Err(reason.into()),
        }
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

/// Asks one upstream after the other: the next one where `may_go_on` says so of the one before, as it is not going to bill the
/// question, which `warnings` then tells.
pub(super) fn first_with_some_left<'d, T>(
    upstreams: impl IntoIterator<Item = &'d ConfiguredUpstream>,
    warnings: &mut Vec<String>,
    may_go_on: impl Fn(&GuardError) -> bool,
    mut ask: impl FnMut(&ConfiguredUpstream, &mut Vec<String>) -> Result<T, EngineError>,
) -> Result<(&'d ConfiguredUpstream, T), EngineError> {
    let mut result = Err(EngineError::NoUpstream);
    for upstream in upstreams {
        if let Err(EngineError::Upstream(error)) = &result {
            warnings.push(format!("{error}; {} is asked instead", upstream.guard.profile()));
        }
        result = ask(upstream, warnings).map(|answer| (upstream, answer));
        if !matches!(&result, Err(EngineError::Upstream(error)) if may_go_on(error)) {
            break;
        }
    }
    result
}

/// Parts of the picture that was sent, in pixels of the one that it was made from. What lies outside is none.
fn regions_of(regions: &[Region], sent: (u32, u32), whole: (u32, u32)) -> Vec<Region> {
    regions.iter().filter_map(|region| region.within(sent)?.scaled(sent, whole).within(whole)).collect()
}

/// An upstream that was asked about one category alone, or about goods that may be sent back, has told that all it answered is
/// such.
fn note_what_was_asked_for(offers: &mut [Offer], params: &SearchParams) {
    let may_be_sent_back = params.filters.contains(&OfferFilter::NO_REASON_RETURN);
    for offer in offers {
        if let Some(asked) = params.category_id.filter(|id| !offer.category_ids.contains(id)) {
            offer.category_ids.insert(0, asked);
        }
        if may_be_sent_back {
            offer.no_reason_return = Some(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_regions_come_back_in_pixels_of_the_picture_that_was_given() {
        let region = |text: &str| text.parse::<Region>().unwrap();
        let told = [region("10,20,60,50"), region("90,0,400,50"), region("100,0,110,9")];
        let whole = regions_of(&told, (100, 50), (1000, 500));
        assert_eq!(whole, [region("100,200,600,500"), region("900,0,1000,500")]);
    }

    #[test]
    fn an_answer_to_a_filter_tells_that_its_offers_meet_it() {
        let mut offers = [Offer::new("1".parse().unwrap(), "cup")];
        let asked = |filters: &[&str]| {
            SearchParams::default().filters(filters.iter().map(|word| word.parse().unwrap()))
        };
        note_what_was_asked_for(&mut offers, &asked(&["shipIn24Hours"]).category_id(7));
        assert_eq!((offers[0].no_reason_return, offers[0].category_ids.as_slice()), (None, &[7][..]));
        note_what_was_asked_for(&mut offers, &asked(&["noReason7DReturn"]).category_id(7));
        assert_eq!((offers[0].no_reason_return, offers[0].category_ids.as_slice()), (Some(true), &[7][..]));
    }
}
