//! How long is a stored answer good?

use std::time::Duration;

use super::Engine;
use crate::clock::Timestamp;
use crate::store::StoredAnswer;

const DAY: Duration = Duration::from_hours(24);

/// How long the answers of an upstream are good, counted from when they were fetched. Own goods never grow old.
///
/// The defaults are ours: prices and stock on 1688 move over weeks, and a search costs one of 500 calls a day. Setters
/// change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachePolicy {
    /// From this age on an answer is served and fetched anew when there is time for it.
    pub soft_ttl: Duration,
    /// From this age on an answer is fetched anew before it is served; the old one only if that fails.
    pub hard_ttl: Duration,
    /// The hard limit for an answer that holds no offers.
    pub empty_ttl: Duration,
    /// How long a picture that the upstream does not take is not shown to it again.
    pub refused_ttl: Duration,
    /// How long a question is not asked again whose answer could not be read.
    pub unreadable_ttl: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            soft_ttl: 7 * DAY,
            hard_ttl: 30 * DAY,
            empty_ttl: DAY,
            refused_ttl: 7 * DAY,
            unreadable_ttl: DAY,
        }
    }
}

impl Engine {
    /// The profiles of the configured upstreams, in the order in which they are asked.
    #[must_use]
    pub fn profiles(&self) -> Vec<&'static str> {
        self.upstreams.iter().map(|upstream| upstream.guard.profile()).collect()
    }

    pub(super) fn cache_policy_of(&self, profile: &str) -> CachePolicy {
        let configured = self.upstreams.iter().find(|upstream| upstream.guard.profile() == profile);
        configured.map(|upstream| upstream.cache_policy).unwrap_or_default()
    }
}

/// What a stored answer is still good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Freshness {
    /// To be served.
    Fresh,
    /// To be served, and fetched anew afterwards.
    Stale,
    /// To be fetched anew; served only if that fails.
    Expired,
}

impl CachePolicy {
    /// From this age on an answer is served and fetched anew afterwards.
    #[must_use]
    pub fn soft_ttl(self, soft_ttl: Duration) -> Self {
        Self { soft_ttl, ..self }
    }

    /// From this age on an answer is fetched anew before it is served.
    #[must_use]
    pub fn hard_ttl(self, hard_ttl: Duration) -> Self {
        Self { hard_ttl, ..self }
    }

    /// The hard limit for an answer that holds no offers.
    #[must_use]
    pub fn empty_ttl(self, empty_ttl: Duration) -> Self {
        Self { empty_ttl, ..self }
    }

    /// How long a refused picture is not shown to the upstream again.
    #[must_use]
    pub fn refused_ttl(self, refused_ttl: Duration) -> Self {
        Self { refused_ttl, ..self }
    }

    /// How long a question whose answer could not be read is not asked again.
    #[must_use]
    pub fn unreadable_ttl(self, unreadable_ttl: Duration) -> Self {
        Self { unreadable_ttl, ..self }
    }

    /// `max_age` is the caller's own limit: an answer as old as that is not served while a new one can be had.
    pub(super) fn judge(
        &self,
        stored: &StoredAnswer,
        now: Timestamp,
        max_age: Option<Duration>,
    ) -> Freshness {
        if stored.is_own() {
            return Freshness::Fresh;
        }
        let age = stored.fetched_at.until(now);
        let hard = if stored.offers.is_empty() { self.empty_ttl } else { self.hard_ttl };
        if age >= hard || max_age.is_some_and(|max_age| age >= max_age) {
            Freshness::Expired
        } else if age >= self.soft_ttl {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::{Offer, OfferId};

    fn stored(profile: &str, with_offer: bool) -> StoredAnswer {
        let offer = Offer::new(OfferId::new("1").expect("a digit"), "");
        StoredAnswer {
            profile: profile.to_owned(),
            params: String::new(),
            fetched_at: Timestamp::from_unix_ms(0),
            total: None,
            regions: Vec::new(),
            offers: if with_offer { vec![offer] } else { Vec::new() },
        }
    }

    #[test]
    fn an_answer_grows_stale_and_then_expires_to_the_millisecond() {
        let policy = CachePolicy::default();
        let just_before = |ttl: Duration| ttl.saturating_sub(Duration::from_millis(1));
        let after =
            |age: Duration| policy.judge(&stored("aop", true), Timestamp::from_unix_ms(0).plus(age), None);
        assert_eq!(after(just_before(policy.soft_ttl)), Freshness::Fresh);
        assert_eq!(after(policy.soft_ttl), Freshness::Stale);
        assert_eq!(after(just_before(policy.hard_ttl)), Freshness::Stale);
        assert_eq!(after(policy.hard_ttl), Freshness::Expired);
    }

    #[test]
    fn an_empty_answer_expires_sooner_and_an_own_good_never() {
        let policy = CachePolicy::default();
        let later = Timestamp::from_unix_ms(0).plus(policy.empty_ttl);
        assert_eq!(policy.judge(&stored("aop", false), later, None), Freshness::Expired);
        let much_later = Timestamp::from_unix_ms(0).plus(policy.hard_ttl * 10);
        assert_eq!(policy.judge(&stored("own", true), much_later, None), Freshness::Fresh);
    }

    #[test]
    fn the_caller_may_ask_for_younger_answers_but_not_make_old_ones_young() {
        let policy = CachePolicy::default();
        let at = |age: Duration| Timestamp::from_unix_ms(0).plus(age);
        let judge = |age, max_age| policy.judge(&stored("aop", true), at(age), Some(max_age));
        assert_eq!(judge(DAY, DAY), Freshness::Expired);
        assert_eq!(judge(DAY, 2 * DAY), Freshness::Fresh);
        assert_eq!(judge(policy.hard_ttl, policy.hard_ttl * 2), Freshness::Expired);
    }
}
