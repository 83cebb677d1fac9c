//! What does 1688 say about one offer? Asked once, then known.

use serde::Serialize;

use super::miss::{cannot_store, first_with_some_left};
use super::{ConfiguredUpstream, Engine, EngineError, Mode, Source, Unanswered, Unstored};
use crate::cancel::{Interrupt, Interrupted};
use crate::clock::Timestamp;
use crate::offer::{OfferDetail, OfferId};
use crate::photo::Digest;
use crate::store::{OWN_PROFILE, StoredDetail};
use crate::upstream::guard::{BilledDetail, GuardError, WhyNot};
use crate::upstream::{NO_SUCH_OFFER, UpstreamErrorKind};

/// What is known about an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Details {
    /// Not there when nothing is known and nothing could be asked.
    pub detail: Option<OfferDetail>,
    /// Who said so.
    pub profile: Option<String>,
    /// Where they came from.
    pub source: Source,
    /// When they were told.
    pub fetched_at: Option<Timestamp>,
    /// Older than they should be, and no newer ones could be had.
    pub stale: bool,
    /// Calls made and (perhaps) billed for this.
    pub upstream_calls: u32,
    /// Why nothing was asked, or asked in vain.
    pub unanswered: Option<Unanswered>,
    /// As of [`super::Answer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unstored: Option<Unstored>,
    /// What the user should know all the same.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Everything that is known about an offer of an upstream. An offer that it does not know is asked about anew after
    /// [`CachePolicy::refused_ttl`](super::CachePolicy::refused_ttl). What was asked before is answered from the home folder
    /// until the upstream's hard limit ([`CachePolicy`](super::CachePolicy)); then it is asked for anew, and the old
    /// answer served only if that fails. One thread at a time, over all processes on the home, asks about an offer; the others
    /// take what it is told. One of the user's own goods is answered with what they told of it.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails, or the upstream refuses in a way that does not pass by itself (such
    /// as an offer that it does not know) and nothing is stored.
    pub fn details(&self, offer_id: &OfferId, mode: Mode) -> Result<Details, EngineError> {
        self.details_unless(&Interrupt::never(), offer_id, mode)
    }

    /// As [`Engine::details`], with all waits ended by `interrupt`: at its deadline the answer is what is known, and
    /// [`Details::unanswered`] says why. A call that is under way is waited for, because it is paid for.
    ///
    /// # Errors
    /// As [`Engine::details`]; also [`EngineError::Interrupted`] when it was cancelled.
    pub fn details_unless(
        &self,
        interrupt: &Interrupt,
        offer_id: &OfferId,
        mode: Mode,
    ) -> Result<Details, EngineError> {
        if let Some(own) = self.own_details(offer_id)? {
            return Ok(own);
        }
        let upstreams: Vec<&ConfiguredUpstream> =
            self.upstreams.iter().filter(|upstream| upstream.guard.gives_details()).collect();
        let mut known = self.known_details(offer_id)?;
        if known.will_do(mode) {
            self.saved.count(mode, !upstreams.is_empty(), || self.flush_saved());
            return Ok(known);
        }
        if mode == Mode::LocalOnly {
            return Ok(known.without(WhyNot::Offline, "nothing may be asked".to_owned(), None));
        }
        if upstreams.is_empty() {
            let message = "no upstream that tells details of an offer is configured, so nothing was asked";
            return Ok(known.without(WhyNot::NoUpstream, message.to_owned(), None));
        }
        let _patience = self.patience(interrupt);
        if mode == Mode::Bypass {
            return self.ask_for_details(interrupt, offer_id, mode, upstreams, known);
        }
        if let Err(error) = self.make_room_for_an_answer(interrupt) {
            return Ok(known.without(WhyNot::CannotStore, cannot_store(&error), None));
        }
        let turn = match self.take_turn_of_offer(interrupt, offer_id) {
            Ok(turn) => turn,
            Err(EngineError::Interrupted(reason @ Interrupted::DeadlinePassed)) => {
                return Ok(known.without(
                    WhyNot::DeadlinePassed,
                    format!("nothing was asked: {reason}"),
                    None,
                ));
            }
            Err(EngineError::Catalog(error)) if error.is_about_writing() => {
                self.store.note_storing(true);
                return Ok(known.without(WhyNot::CannotStore, cannot_store(&error), None));
            }
            Err(error) => return Err(error),
        };
        if mode == Mode::Default {
            // The call before this one may have been about the same offer.
            known = self.known_details(offer_id)?;
            if known.will_do(mode) {
                return Ok(known);
            }
        }
        let result = self.ask_for_details(interrupt, offer_id, mode, upstreams, known);
        drop(turn);
        self.turn_ended.1.notify_all();
        result
    }

    /// The one place where details are paid for.
    fn ask_for_details(
        &self,
        interrupt: &Interrupt,
        offer_id: &OfferId,
        mode: Mode,
        upstreams: Vec<&ConfiguredUpstream>,
        mut known: Details,
    ) -> Result<Details, EngineError> {
        let mut warnings = Vec::new();
        let may_go_on = GuardError::leaves_details_to_another;
        let result = first_with_some_left(upstreams, &mut warnings, may_go_on, |upstream, warnings| {
            let question = format!("offer {offer_id}");
            let about = Digest::of(question.as_bytes());
            if mode == Mode::Default {
                self.refuse_what_was_refused(upstream, about, UpstreamErrorKind::Param)?;
            }
            let asked = self.ask_if_readable(upstream, question, mode, || {
                upstream.guard.details_unless(interrupt, offer_id)
            });
            if let Err(EngineError::Upstream(GuardError::Upstream { error, .. })) = &asked
                && error.code == NO_SUCH_OFFER
            {
                self.keep_refusal(about, error);
            }
            let mut asked = asked?;
            warnings.append(&mut asked.warnings);
            Ok(asked)
        });
        match result {
            Ok((upstream, BilledDetail { detail, calls, .. })) => {
                let (profile, fetched_at) = (upstream.guard.profile(), self.clock.now());
                let unstored = match mode {
                    Mode::Bypass => None,
                    _ => self.keep_details(profile, offer_id, &detail, fetched_at),
                };
                warnings.extend(unstored.as_ref().map(|unstored| unstored.warning(calls)));
                Ok(Details {
                    detail: Some(detail),
                    profile: Some(profile.to_owned()),
                    source: Source::Upstream,
                    fetched_at: Some(fetched_at),
                    stale: false,
                    upstream_calls: calls,
                    unanswered: None,
                    unstored,
                    warnings,
                })
            }
            Err(EngineError::Upstream(error)) => {
                let is_cancelled =
                    matches!(error, GuardError::Interrupted { reason: Interrupted::Cancelled, .. });
                let or_else = (known.detail.is_some() && !is_cancelled).then_some(WhyNot::UpstreamFailed);
                let Some(why_not) = error.why_not().or(or_else) else {
                    return Err(error.into());
                };
                known.warnings = warnings;
                known.upstream_calls = error.calls();
                Ok(known.without(why_not, error.to_string(), error.retry_at()))
            }
            Err(error) => Err(error),
        }
    }

    /// What its owner told of a good that is not 1688's, whose ids are numbers. Nothing is asked about it, nor about an id
    /// that no upstream can have.
    fn own_details(&self, offer_id: &OfferId) -> Result<Option<Details>, EngineError> {
        if offer_id.as_str().bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        let Some(offer) = self.store.own_good(offer_id)? else {
            let message = format!("no upstream has offers with an id like {offer_id}, so nothing was asked");
            let unknown = || Details::unknown().without(WhyNot::NoUpstream, message, None);
            return Ok((!offer_id.is_upstream_form()).then(unknown));
        };
        Ok(Some(Details {
            profile: Some(OWN_PROFILE.to_owned()),
            source: Source::Local,
            fetched_at: offer.seen_at,
            detail: Some(OfferDetail::new(offer)),
            ..Details::unknown()
        }))
    }

    fn known_details(&self, offer_id: &OfferId) -> Result<Details, EngineError> {
        let profiles = self.profiles();
        let stored = self.store.details(offer_id, &profiles)?;
        let waiting = self.store.waiting_details(offer_id, &profiles);
        let stored = stored.into_iter().chain(waiting).max_by_key(|details| details.fetched_at);
        let Some(StoredDetail { profile, fetched_at, detail }) = stored else {
            return Ok(Details::unknown());
        };
        let age = fetched_at.until(self.clock.now());
        Ok(Details {
            stale: age >= self.cache_policy_of(&profile).hard_ttl,
            detail: Some(detail),
            profile: Some(profile),
            source: Source::Local,
            fetched_at: Some(fetched_at),
            ..Details::unknown()
        })
    }
}

impl Details {
    fn unknown() -> Self {
        Self {
            detail: None,
            profile: None,
            source: Source::None,
            fetched_at: None,
            stale: false,
            upstream_calls: 0,
            unanswered: None,
            unstored: None,
            warnings: Vec::new(),
        }
    }

    fn will_do(&self, mode: Mode) -> bool {
        match mode {
            Mode::Default => self.detail.is_some() && !self.stale,
            Mode::LocalOnly => self.detail.is_some(),
            Mode::Refresh | Mode::Bypass => false,
        }
    }

    fn without(mut self, reason: WhyNot, message: String, retry_at: Option<Timestamp>) -> Self {
        if reason != WhyNot::Offline {
            self.warnings.push(message.clone());
        }
        self.unanswered = Some(Unanswered { reason, message, retry_at, queued: false, queue_failed: false });
        self
    }
}
