//! What has changed: offers that are watched, and answers about one picture from two times.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::{Engine, EngineError, Mode, Unanswered};
use crate::cancel::Interrupt;
use crate::clock::Timestamp;
use crate::offer::{Offer, OfferId, OfferTerms, TermChanges};
use crate::photo_id::PhotoId;
use crate::store::{CatalogError, Store};

/// An offer of an answer whose terms are others than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedOffer {
    /// As it is now.
    pub offer: Offer,
    /// What has changed.
    pub changes: TermChanges,
}

/// An offer that an answer does not name any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoneOffer {
    /// At its upstream.
    pub offer_id: OfferId,
    /// What it was told to cost then.
    pub terms: Option<OfferTerms>,
}

/// How an answer differs from an earlier one to the same question about the same picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerChanges {
    /// The upstream's profile.
    pub profile: String,
    /// The parameters' key: `SearchParams::key`.
    pub params: String,
    /// When the earlier one was given.
    pub before: Timestamp,
    /// When the later one was given.
    pub after: Timestamp,
    /// Offers that the later one alone names, in its order.
    pub came: Vec<Offer>,
    /// Offers that the earlier one alone names, in its order.
    pub went: Vec<GoneOffer>,
    /// Offers that both name, on other terms.
    pub changed: Vec<ChangedOffer>,
    /// How many both name on the same terms.
    pub unchanged: usize,
}

/// What asking about a watched offer again has brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AskedAgain {
    /// What was known of it before; `None` when it was nothing.
    pub before: Option<OfferTerms>,
    /// What is known now.
    pub after: Option<OfferTerms>,
    /// What is different.
    pub changes: TermChanges,
    /// Calls made and (perhaps) billed for this.
    pub upstream_calls: u32,
    /// Why nothing was asked, or asked in vain.
    pub unanswered: Option<Unanswered>,
    /// What the user should know all the same.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Watches offers from now on; those that are watched stay as they are. Returns how many are new.
    ///
    /// # Errors
    /// [`CatalogError`] when the home cannot be written.
    pub fn watch_offers(&self, offer_ids: &[OfferId]) -> Result<u64, CatalogError> {
        self.store.watch_offers(offer_ids, self.clock.now())
    }

    /// Watches offers no longer. Returns how many of them were watched.
    ///
    /// # Errors
    /// [`CatalogError`] when the home cannot be written.
    pub fn unwatch_offers(&self, offer_ids: &[OfferId]) -> Result<u64, CatalogError> {
        self.store.unwatch_offers(offer_ids)
    }

    /// The watched offers of which nothing was told for at least `min_age`, with what was told last: first those of which
    /// nothing is known, then by the time at which they were told of.
    ///
    /// # Errors
    /// [`CatalogError`] when the home cannot be read.
    pub fn offers_to_ask_about(
        &self,
        min_age: Duration,
    ) -> Result<Vec<(OfferId, Option<OfferTerms>)>, CatalogError> {
        let now = self.clock.now();
        let mut due = Vec::new();
        for (offer_id, _) in self.store.watched_offers()? {
            let terms = newest(self.store.as_ref(), &offer_id)?;
            if terms.as_ref().is_none_or(|terms| terms.until.until(now) >= min_age) {
                due.push((offer_id, terms));
            }
        }
        due.sort_by_key(|(_, terms)| terms.as_ref().map(|terms| terms.until));
        Ok(due)
    }

    /// Asks for an offer's details anew, which costs a call, and says what has changed since it was last told of.
    ///
    /// # Errors
    /// As of [`Engine::details`].
    pub fn ask_again(&self, interrupt: &Interrupt, offer_id: &OfferId) -> Result<AskedAgain, EngineError> {
        let before = newest(self.store.as_ref(), offer_id)?;
        let details = self.details_unless(interrupt, offer_id, Mode::Refresh)?;
        let told = match (&details.detail, &details.profile, details.fetched_at) {
            (Some(detail), Some(profile), Some(at)) if details.unanswered.is_none() => {
                Some(OfferTerms::of(&detail.offer, profile, at))
            }
            _ => None,
        };
        let changes = before
            .as_ref()
            .zip(told.as_ref())
            .map(|(before, told)| before.changes_to(told))
            .unwrap_or_default();
        // What was told, also where it could not be stored.
        let after = told.map(|told| match &before {
            Some(before) => OfferTerms {
                price: told.price.or(before.price),
                promotion_price: told.promotion_price.or(before.promotion_price),
                min_order_quantity: told.min_order_quantity.or(before.min_order_quantity),
                month_sold: told.month_sold.or(before.month_sold),
                ..told
            },
            None => told,
        });
        Ok(AskedAgain {
            after: after.or_else(|| before.clone()),
            before,
            changes,
            upstream_calls: details.upstream_calls,
            unanswered: details.unanswered,
            warnings: details.warnings,
        })
    }

    /// How what upstreams say about a stored photo has changed: each question's newest answer beside the one before it, or,
    /// with `by`, beside the last one that was given by then. Questions that were asked once have nothing to be compared with.
    ///
    /// # Errors
    /// [`EngineError`] when the home cannot be read.
    pub fn answer_changes(
        &self,
        photo_id: PhotoId,
        by: Option<Timestamp>,
    ) -> Result<Vec<AnswerChanges>, EngineError> {
        let past = self.store.past_answers(photo_id)?;
        let mut all = Vec::new();
        for newest in self.store.answers(photo_id)? {
            let before = past.iter().find(|past| {
                past.profile == newest.profile
                    && past.params == newest.params
                    && by.is_none_or(|by| past.fetched_at <= by)
            });
            let Some(before) = before else { continue };
            let old: HashSet<&OfferId> = before.offer_ids.iter().collect();
            let (mut came, mut changed, mut unchanged) = (Vec::new(), Vec::new(), 0);
            let mut seen = HashSet::new();
            for offer in newest.offers {
                if !seen.insert(offer.offer_id.clone()) {
                    continue;
                }
                if !old.contains(&offer.offer_id) {
                    came.push(offer);
                    continue;
                }
                let history = self.store.history(&offer.offer_id)?;
                let then = told_by(&history, &newest.profile, before.fetched_at);
                let now = told_by(&history, &newest.profile, newest.fetched_at);
                let changes = then.zip(now).map(|(then, now)| then.changes_to(now)).unwrap_or_default();
                if changes.is_empty() {
                    unchanged += 1;
                } else {
                    changed.push(ChangedOffer { offer, changes });
                }
            }
            let mut went = Vec::new();
            for offer_id in before.offer_ids.iter().filter(|offer_id| !seen.contains(*offer_id)) {
                let history = self.store.history(offer_id)?;
                let terms = told_by(&history, &newest.profile, before.fetched_at).cloned();
                went.push(GoneOffer { offer_id: offer_id.clone(), terms });
            }
            all.push(AnswerChanges {
                profile: newest.profile,
                params: newest.params,
                before: before.fetched_at,
                after: newest.fetched_at,
                came,
                went,
                changed,
                unchanged,
            });
        }
        Ok(all)
    }
}

/// What was told last of an offer, by whomever.
fn newest(store: &dyn Store, offer_id: &OfferId) -> Result<Option<OfferTerms>, CatalogError> {
    Ok(store.history(offer_id)?.into_iter().max_by_key(|terms| terms.until))
}

/// What an upstream's word was at a time.
fn told_by<'h>(history: &'h [OfferTerms], profile: &str, at: Timestamp) -> Option<&'h OfferTerms> {
    history.iter().rfind(|terms| terms.profile == profile && terms.since <= at)
}
