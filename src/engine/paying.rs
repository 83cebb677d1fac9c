//! May an answer be paid for, can it be kept, and what becomes of one that cannot be stored?

use std::time::Duration;

use super::{Engine, EngineError, Known, Outcome, Query, Seen, Stage, Timings, Unstored};
use crate::catalog::{
    CatalogError, NewAnswer, Paid, PaidAnswer, PaidDetails, PaidRefusal, Patience, Refusal,
};
use crate::clock::Timestamp;
use crate::offer::{OfferDetail, OfferId};
use crate::photo::Digest;
use crate::verdict::{Rule, Verdict};

/// How long a search waits for others that write before it asks, over all that it writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// As [`PATIENCE`], when the attempt before has failed: so short is each of the others of a batch.
const IMPATIENCE: Duration = Duration::from_millis(250);

/// How long an answer that is there waits for what is merely noted beside it.
pub(super) const NOTE_PATIENCE: Duration = Duration::from_millis(100);

/// How long each picture waits that is fetched anew after the answers were given.
pub(super) const REFRESH_PATIENCE: Duration = Duration::from_secs(1);

impl Engine {
    /// Limits what a search that may pay waits for others that write.
    pub(super) fn patience(&self) -> Patience {
        // What waits to be stored would have been by now, were there nothing in the way.
        let is_blocked = self.catalog.storing_fails() || self.catalog.has_something_set_aside();
        Patience::limited_to(if is_blocked { IMPATIENCE } else { PATIENCE })
    }

    /// Sees to it that an answer that is paid for now can be kept: stores what was paid for before and could not be stored
    /// then, and has room made for one more that may come to wait.
    pub(super) fn make_room_for_an_answer(&self) -> Result<(), CatalogError> {
        let room = self.catalog.store_what_waits().and_then(|()| self.catalog.keep_room_for_an_answer());
        self.catalog.note_storing(room.is_err());
        room
    }

    /// Answers with what was paid for and waits to be stored, if that is there.
    pub(super) fn take_set_aside(&self, seen: &Seen, query: &Query<'_>, known: &mut Known) {
        let profiles: Vec<&str> = self.desks.iter().map(|desk| desk.guard.profile()).collect();
        let Some(stored) = self.catalog.waiting_answer(seen.byte_digest, &query.params.key(), &profiles)
        else {
            return;
        };
        let standing = self.freshness_of(&stored.profile).judge(&stored, self.clock.now(), query.max_age);
        known.standing = Some(standing);
        known.answer.verdict = Outcome::Hit;
        known.answer.rule = Some(Rule::SameBytes);
        (known.answer.similarity, known.answer.score, known.answer.confidence) =
            (Some(100), Some(1.0), Some(1.0));
        (known.answer.matched, known.answer.why) = (None, None);
        known.answer.stale = standing != super::Standing::Fresh;
        known.answer.take_stored(stored);
        known.answer.warnings.push("this answer waits in the side journal to be stored".to_owned());
    }

    /// Stores what an upstream said or, where that cannot be done, sets it aside, and says so. An answer that is there is
    /// never lost over it.
    pub(super) fn keep(
        &self,
        seen: &mut Seen,
        query: &Query<'_>,
        answer: &NewAnswer<'_>,
        timings: &mut Timings,
    ) -> Option<Unstored> {
        let mut paid = None;
        let result = self.store_asked(seen, query, answer, &mut paid, timings);
        self.catalog.note_storing(result.is_err());
        let error = result.err()?;
        let matched = match seen.verdict {
            Verdict::Hit(matched) => Some(matched.photo_id),
            _ => None,
        };
        // Without an embedding it is worth something only to a photo that is stored.
        let paid = paid.or_else(|| PaidAnswer::new(seen.byte_digest, matched, None, answer));
        let set_aside = paid.is_some_and(|paid| self.catalog.set_aside(Paid::Answer(paid)));
        Some(Unstored { message: error.to_string(), set_aside })
    }

    /// Stores an answer in the catalogue, from where the index follows. What is to be set aside if that fails is left in
    /// `paid`.
    fn store_asked(
        &self,
        seen: &mut Seen,
        query: &Query<'_>,
        answer: &NewAnswer<'_>,
        paid: &mut Option<PaidAnswer>,
        timings: &mut Timings,
    ) -> Result<(), EngineError> {
        let byte_digest = seen.byte_digest;
        let mut failed = None;
        let mut photo_id = None;
        // Somebody may have had the photo removed while the upstream was asked: then it is a new one.
        if let Verdict::Hit(matched) = seen.verdict {
            photo_id = Some(matched.photo_id);
            let stored =
                timings.measure(Stage::Catalog, || self.catalog.store_answer(matched.photo_id, answer));
            match stored {
                Ok(true) => return Ok(()),
                Ok(false) => photo_id = None,
                Err(error) => failed = Some(error),
            }
        }
        self.with_new_photo(seen, query.bytes, query.label, timings, |photo| {
            let result = match failed {
                Some(error) => Err(error),
                None => self.catalog.store(photo, answer),
            };
            if result.is_err() {
                *paid = PaidAnswer::new(byte_digest, photo_id, Some(photo), answer);
            }
            result
        })?;
        Ok(())
    }

    /// As [`Engine::keep`], for details of an offer.
    pub(super) fn keep_details(
        &self,
        profile: &str,
        offer_id: &OfferId,
        detail: &OfferDetail,
        fetched_at: Timestamp,
    ) -> Option<Unstored> {
        let result = self.catalog.store_details(profile, offer_id, detail, fetched_at);
        self.catalog.note_storing(result.is_err());
        let error = result.err()?;
        let set_aside = self.catalog.set_aside(Paid::Details(PaidDetails {
            profile: profile.to_owned(),
            offer_id: offer_id.clone(),
            fetched_at_ms: fetched_at.unix_ms(),
            detail: detail.clone(),
        }));
        Some(Unstored { message: error.to_string(), set_aside })
    }

    /// As [`Engine::keep`], for what an upstream has against a picture. The caller hears of that in any case.
    pub(super) fn keep_refusal(&self, byte_digest: Digest, refusal: &Refusal) {
        let result = self.catalog.remember_refusal(byte_digest, refusal);
        self.catalog.note_storing(result.is_err());
        if result.is_err() {
            self.catalog.set_aside(Paid::Refusal(PaidRefusal::new(byte_digest, refusal)));
        }
    }
}
