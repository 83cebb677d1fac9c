//! May an answer be paid for, can it be kept, and what becomes of one that cannot be stored?

use std::time::Duration;

use super::miss::remembered;
use super::search::{Origin, Search};
use super::{ConfiguredUpstream, Engine, EngineError, Stage, Unstored};
use crate::cancel::Interrupt;
use crate::clock::Timestamp;
use crate::offer::{OfferDetail, OfferId};
use crate::photo::Digest;
use crate::store::{
    CatalogError, NewAnswer, Paid, PaidAnswer, PaidDetails, PaidRefusal, Patience, Refusal, Stored,
};
use crate::upstream::{UpstreamError, UpstreamErrorKind};
use crate::verdict::Verdict;

/// How long a search waits for others that write before it asks, over all that it writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// As [`PATIENCE`], when the attempt before has failed: so short is each of the others of a batch.
const IMPATIENCE: Duration = Duration::from_millis(250);

/// How long an answer that is there waits for what is merely noted beside it.
pub(super) const NOTE_PATIENCE: Duration = Duration::from_millis(100);

/// How long each picture waits that is fetched anew after the answers were given.
pub(super) const REFRESH_PATIENCE: Duration = Duration::from_secs(1);

impl Search<'_> {
    /// Answers with what was paid for and waits to be stored, if that is there.
    pub(super) fn look_in_journal(&mut self) {
        let (engine, digest) = (self.engine, self.picture.byte_digest());
        let waiting = engine.store.waiting_answer(digest, &self.query.params.key(), &self.profiles());
        if let Some(stored) = waiting {
            self.known = Some(self.known(stored, Origin::Journal));
            self.warnings.push("this answer waits in the side journal to be stored".to_owned());
        }
    }

    /// Stores what an upstream said or, where that cannot be done, sets it aside, and says so. An answer that is there is
    /// never lost over it.
    pub(super) fn keep(&self, answer: &NewAnswer<'_>) -> Option<Unstored> {
        let (store, mut paid) = (&self.engine.store, None);
        let result = self.store(answer, &mut paid);
        store.note_storing(result.is_err());
        let error = match result {
            Ok(stored) => {
                self.keep_paid(stored, answer);
                return None;
            }
            Err(error) => error,
        };
        let matched = match self.verdict {
            Verdict::Hit(matched) => Some(matched.photo_id),
            _ => None,
        };
        // Without an embedding it is worth something only to a photo that is stored.
        let paid = paid.or_else(|| PaidAnswer::new(self.picture.byte_digest(), matched, None, answer));
        let set_aside = paid.is_some_and(|paid| store.set_aside(Paid::Answer(paid)));
        Some(Unstored { message: error.to_string(), set_aside })
    }

    /// Stores an answer in the catalogue, from where the index follows. What is to be set aside if that fails is left in
    /// `paid`.
    fn store(&self, answer: &NewAnswer<'_>, paid: &mut Option<PaidAnswer>) -> Result<Stored, EngineError> {
        let (store, picture) = (&self.engine.store, &self.picture);
        let mut failed = None;
        let mut photo_id = None;
        // The photo may have been removed while the upstream was asked: then it is a new one.
        if let Verdict::Hit(matched) = self.verdict {
            photo_id = Some(matched.photo_id);
            let store = || store.store_answer(matched.photo_id, answer);
            match picture.timings.measure(Stage::Catalog, store) {
                Ok(true) => return Ok(Stored { photo_id: matched.photo_id, is_new: false }),
                Ok(false) => photo_id = None,
                Err(error) => failed = Some(error),
            }
        }
        picture.store_as_new(self.query.label, |photo| {
            let result = match failed {
                Some(error) => Err(error),
                None => store.store(photo, answer),
            };
            if result.is_err() {
                *paid = PaidAnswer::new(picture.byte_digest(), photo_id, Some(photo), answer);
            }
            result
        })
    }
}

impl Engine {
    /// Limits what a search that may pay waits for others that write, before it asks also by its `interrupt`.
    pub(super) fn patience(&self, interrupt: &Interrupt) -> Patience {
        // What waits to be stored would have been by now, were there nothing in the way.
        let is_blocked = self.store.storing_fails() || self.store.has_something_set_aside();
        Patience::limited_unless(if is_blocked { IMPATIENCE } else { PATIENCE }, interrupt)
    }

    /// Sees to it that an answer that is paid for now can be kept: stores what was paid for before and could not be stored
    /// then, and has room made for one more that may come to wait.
    pub(super) fn make_room_for_an_answer(&self, interrupt: &Interrupt) -> Result<(), CatalogError> {
        let room = self.store.store_what_waits().and_then(|()| self.store.keep_room_for_an_answer());
        // One that had no time for it says nothing about the home.
        if room.is_ok() || interrupt.check().is_ok() {
            self.store.note_storing(room.is_err());
        }
        room
    }

    /// As [`Search::keep`], for details of an offer.
    pub(super) fn keep_details(
        &self,
        profile: &str,
        offer_id: &OfferId,
        detail: &OfferDetail,
        fetched_at: Timestamp,
    ) -> Option<Unstored> {
        let result = self.store.store_details(profile, offer_id, detail, fetched_at);
        self.store.note_storing(result.is_err());
        let error = result.err()?;
        let set_aside = self.store.set_aside(Paid::Details(Box::new(PaidDetails {
            profile: profile.to_owned(),
            offer_id: offer_id.clone(),
            fetched_at_ms: fetched_at.unix_ms(),
            detail: detail.clone(),
        })));
        Some(Unstored { message: error.to_string(), set_aside })
    }

    /// As [`Search::keep`], for what an upstream has against a question: a picture's bytes, or words that stand for it. The caller
    /// hears of that in any case.
    pub(super) fn keep_refusal(&self, question: Digest, error: &UpstreamError) {
        let refusal = Refusal {
            profile: error.profile.to_owned(),
            code: error.code.clone(),
            message: error.message.clone(),
            refused_at: self.clock.now(),
        };
        let result = self.store.remember_refusal(question, &refusal);
        self.store.note_storing(result.is_err());
        if result.is_err() {
            self.store.set_aside(Paid::Refusal(PaidRefusal::new(question, &refusal)));
        }
    }

    /// What the upstream did not take lately is not paid for again: the error of then, which is of this `kind`.
    pub(super) fn refuse_what_was_refused(
        &self,
        upstream: &ConfiguredUpstream,
        question: Digest,
        kind: UpstreamErrorKind,
    ) -> Result<(), EngineError> {
        let (profile, now, ttl) =
            (upstream.guard.profile(), self.clock.now(), upstream.cache_policy.refused_ttl);
        // One from the far future was said before the clock was set back; how long ago is not known.
        let refusal = self.store.refusal(question, profile, now.minus(ttl), now.plus(ttl))?;
        let Some(refusal) = refusal else { return Ok(()) };
        let message = format!("{} (remembered from {})", refusal.message, refusal.refused_at);
        Err(remembered(profile, kind, refusal.code, message))
    }
}
