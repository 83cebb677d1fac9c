//! One search, one value: the query, the picture, what is known about it, and what came of asking.

use std::time::Duration;

use super::cache_policy::Freshness;
use super::judge::{judge, of_same_pixels};
use super::picture::Picture;
use super::recent::Ticket;
use super::{
    Answer, ConfiguredUpstream, Engine, EngineError, Explanation, Inspection, Matched, Mode, Outcome, Query,
    Source,
};
use super::{Stage, Timings, Unanswered, Unstored};
use crate::clock::Timestamp;
use crate::photo_id::PhotoId;
use crate::question::Region;
use crate::store::{AnswerKey, StoredAnswer, WaitReason};
use crate::upstream::UpstreamPage;
use crate::verdict::{Policy, Rule, Verdict};

/// Answers that have grown old wait behind pictures about which nothing is known (0 by default).
pub(super) const REFRESH_PRIORITY: i32 = -1;

pub(super) struct Search<'e> {
    pub(super) engine: &'e Engine,
    pub(super) query: &'e Query<'e>,
    pub(super) picture: &'e Picture<'e>,
    /// The catalogue's when it was last looked at.
    pub(super) generation: u64,
    /// For keeping what is read, where the store can go away.
    pub(super) ticket: Option<Ticket>,
    pub(super) verdict: Verdict,
    /// What the verdict was drawn by.
    pub(super) policy: Policy,
    ground: Ground,
    /// The photo that the verdict names.
    pub(super) matched: Option<Matched>,
    /// The stored answer to this very question; `None` when there is none, or when it must not be used.
    pub(super) known: Option<Known>,
    pub(super) reply: Reply,
    /// Parts that would better be asked about than all of it.
    pub(super) suggested_regions: Vec<Region>,
    /// Calls that were made, and perhaps billed.
    pub(super) calls: u32,
    pub(super) warnings: Vec<String>,
    /// See [`Answer::as_of`].
    pub(super) as_of: Option<Timestamp>,
}

/// What a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ground {
    /// Equal bytes or pixels, or nothing yet.
    Equal,
    /// What these very bytes were taken for before.
    Recognised,
    /// Likeness.
    Judged,
}

/// A stored answer that may be given.
pub(super) struct Known {
    pub(super) stored: StoredAnswer,
    pub(super) freshness: Freshness,
    pub(super) origin: Origin,
}

/// Whose answer it is.
pub(super) enum Origin {
    /// The recognised photo's.
    Recognised,
    /// That of another photo, which is the same by a person's word.
    Remembered { photo_id: PhotoId, matched: Option<Matched> },
    /// That of these very bytes, which waits in the side journal.
    Journal,
}

/// What came of asking.
pub(super) enum Reply {
    /// Nothing was asked, or in vain beside an expired answer.
    None,
    Answered {
        page: UpstreamPage,
        fetched_at: Timestamp,
        unstored: Option<Unstored>,
    },
    /// Nothing could be asked. `beside`: the answer of the photo that stands out.
    Unanswered {
        why: Unanswered,
        beside: Option<StoredAnswer>,
    },
}

impl<'e> Search<'e> {
    /// The local half of the line: from bytes to a verdict. `picture`: that of the query.
    pub(super) fn recognise(
        engine: &'e Engine,
        query: &'e Query<'e>,
        picture: &'e Picture<'e>,
    ) -> Result<Self, EngineError> {
        query.interrupt.check()?;
        let heard = picture.timings.measure(Stage::Catalog, || engine.hear())?;
        let mut search = Self::new(engine, query, picture, heard);
        if search.find_by_bytes()? {
            return Ok(search);
        }
        if let Some(same) = picture.find_pixels()? {
            search.verdict = of_same_pixels(same.photo_id, picture.probe()?.is_blank());
        } else {
            query.interrupt.check()?;
            search.judge()?;
        }
        Ok(search)
    }

    /// One that knows nothing yet. `heard`: of [`Engine::hear`].
    pub(super) fn new(
        engine: &'e Engine,
        query: &'e Query<'e>,
        picture: &'e Picture<'e>,
        heard: (u64, Option<Ticket>),
    ) -> Self {
        Self {
            engine,
            query,
            picture,
            generation: heard.0,
            ticket: heard.1,
            verdict: Verdict::Miss { nearest: None },
            policy: engine.bound.newest(),
            ground: Ground::Equal,
            matched: None,
            known: None,
            reply: Reply::None,
            suggested_regions: Vec::new(),
            calls: 0,
            warnings: Vec::new(),
            as_of: None,
        }
    }

    /// Whether these very bytes are stored, or were recognised before: then nothing is decoded.
    fn find_by_bytes(&mut self) -> Result<bool, EngineError> {
        let (known, ground) = match self.picture.find_bytes()? {
            Some(same) => (Some(same), Ground::Equal),
            None => (self.find_recognised()?, Ground::Recognised),
        };
        let Some(same) = known else { return Ok(false) };
        (self.verdict, self.ground) = (Verdict::Hit(same), ground);
        Ok(true)
    }

    fn judge(&mut self) -> Result<(), EngineError> {
        let judged = judge(self.picture, self.engine, self.query.second_look, &self.query.interrupt)?;
        (self.policy, self.verdict, self.ground) = (judged.policy, judged.verdict, Ground::Judged);
        Ok(())
    }

    /// Looks at catalogue and index once more: another search may have stored the answer meanwhile.
    pub(super) fn recheck(&mut self) -> Result<(), EngineError> {
        // What was recognised before, and is not any more, is judged like all else.
        let was_by_sight = self.ground != Ground::Equal;
        if !self.find_by_bytes()? && was_by_sight {
            self.judge()?;
        }
        self.look_up()
    }

    /// What the home folder alone can answer. A recognised picture is a hit only if this very question was answered
    /// before.
    pub(super) fn look_up(&mut self) -> Result<(), EngineError> {
        let (engine, timings) = (self.engine, &self.picture.timings);
        self.known = None;
        self.matched = match self.verdict {
            Verdict::Hit(m) | Verdict::Review(m) => {
                timings.measure(Stage::Catalog, || engine.store.photo(m.photo_id))?.map(Matched::from)
            }
            Verdict::Miss { .. } => None,
        };
        let Verdict::Hit(recognised) = self.verdict else { return Ok(()) };
        if self.query.mode == Mode::Bypass {
            return Ok(());
        }
        self.known = match self.stored_answer(recognised.photo_id)? {
            Some(stored) => Some(self.known(stored, Origin::Recognised)),
            None => self.remembered(recognised.photo_id)?,
        };
        Ok(())
    }

    /// Whose answers may be given.
    pub(super) fn profiles(&self) -> Vec<&str> {
        self.query.upstream.map_or_else(|| self.engine.profiles(), |only| vec![only])
    }

    /// Who may be asked, in this order.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &'e ConfiguredUpstream> + use<'e> {
        let (engine, only) = (self.engine, self.query.upstream);
        engine
            .upstreams
            .iter()
            .filter(move |upstream| only.is_none_or(|only| only == upstream.guard.profile()))
    }

    /// The stored answer of a photo to this question.
    pub(super) fn stored_answer(&self, photo_id: PhotoId) -> Result<Option<StoredAnswer>, EngineError> {
        let (params, profiles) = (self.query.params.key(), self.profiles());
        // Who names an upstream wants to hear that one.
        let without_own = self.query.without_own || self.query.upstream.is_some();
        let key = AnswerKey { profiles: &profiles, params: &params, without_own };
        Ok(self.picture.timings.measure(Stage::Catalog, || self.engine.store.answer(photo_id, &key))?)
    }

    pub(super) fn known(&self, stored: StoredAnswer, origin: Origin) -> Known {
        let freshness = match self.query.mode {
            // Good or not, a new one is wanted; this one is served only if none can be had.
            Mode::Refresh => Freshness::Expired,
            _ => self.judged(&stored, self.query.max_age),
        };
        Known { stored, freshness, origin }
    }

    fn judged(&self, stored: &StoredAnswer, max_age: Option<Duration>) -> Freshness {
        let policy = self.engine.cache_policy_of(&stored.profile);
        policy.judge(stored, self.engine.clock.now(), max_age)
    }

    /// What the stored answer is good for by its upstream's limits, whatever the caller wishes.
    pub(super) fn freshness_by_policy(&self) -> Option<Freshness> {
        self.known.as_ref().map(|known| self.judged(&known.stored, None))
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    pub(super) fn was_judged(&self) -> bool {
        self.ground == Ground::Judged
    }

    /// Whether what is known will do, so that nothing needs to be asked.
    pub(super) fn is_answered(&self) -> bool {
        match self.freshness() {
            None => false,
            Some(Freshness::Expired) => self.query.mode == Mode::LocalOnly,
            Some(Freshness::Fresh | Freshness::Stale) => true,
        }
    }

    pub(super) fn freshness(&self) -> Option<Freshness> {
        self.known.as_ref().map(|known| known.freshness)
    }

    /// Has a stale answer fetched anew when there is time for it.
    pub(super) fn refresh_later(&mut self) {
        if self.freshness() == Some(Freshness::Stale) && self.query.mode == Mode::Default {
            self.enqueue(WaitReason::Stale, REFRESH_PRIORITY);
        }
    }

    /// Whether regions of the stored photo mean the same in this picture; nothing stored is a new photo of its own.
    pub(super) fn is_of_its_own_pixels(&self) -> bool {
        match self.verdict {
            Verdict::Hit(matched) => matches!(matched.rule, Rule::SameBytes | Rule::SamePixels),
            Verdict::Review(_) | Verdict::Miss { .. } => true,
        }
    }

    /// The one place where the outcome is decided.
    fn outcome(&self) -> Outcome {
        match (&self.reply, &self.known, self.verdict) {
            (Reply::None | Reply::Unanswered { .. }, Some(_), _) => Outcome::Hit,
            (_, _, Verdict::Review(_)) => Outcome::Review,
            // One that was recognised, too: about it this was not answered before, or too long ago.
            _ => Outcome::Miss,
        }
    }

    pub(super) fn finish(self) -> Inspection {
        let (verdict, is_its_own) = (self.outcome(), self.is_of_its_own_pixels());
        let Self { engine, query, picture, policy, known, reply, .. } = self;
        let (mut matched, mut remembered, mut from_journal) = (self.matched, None, false);
        // A new answer takes the place of what is known.
        let known = known.filter(|_| !matches!(reply, Reply::Answered { .. }));
        let known = known.map(|Known { stored, freshness, origin }| {
            let mut stored = stored;
            match origin {
                Origin::Recognised if is_its_own => {}
                Origin::Recognised => stored.regions.clear(),
                Origin::Remembered { photo_id, matched: other } => {
                    (matched, remembered) = (other, Some(photo_id));
                    stored.regions.clear();
                }
                Origin::Journal => (matched, from_journal) = (None, true),
            }
            (stored, freshness)
        });
        let stale = known.as_ref().is_some_and(|(_, freshness)| *freshness != Freshness::Fresh);
        let explain = Explanation {
            verdict: self.verdict,
            policy,
            calibrated_on: engine.bound.calibrated_on(),
            remembered,
        };
        let best = explain.best();
        let mut answer = Answer {
            verdict,
            source: Source::None,
            fetched_at: None,
            stale: false,
            matched,
            offers: Vec::new(),
            total_offers: None,
            filtered_out: 0,
            suggested_regions: Vec::new(),
            parts: Vec::new(),
            timings_ms: Timings::default(),
            upstream_calls: self.calls,
            unanswered: None,
            unstored: None,
            explain,
            warnings: self.warnings,
            as_of: self.as_of,
            from_journal,
        };
        let stored = known.map(|(stored, _)| stored);
        match reply {
            Reply::None => answer.take_stored(stored, stale),
            Reply::Unanswered { why, beside } => {
                // What stands out is another picture.
                let beside = beside.map(|stored| StoredAnswer { regions: Vec::new(), ..stored });
                answer.take_stored(stored.or(beside), stale);
                if answer.suggested_regions.is_empty() {
                    answer.suggested_regions = self.suggested_regions;
                }
                answer.unanswered = Some(why);
            }
            Reply::Answered { page, fetched_at, unstored } => {
                answer.take_page(page, fetched_at);
                answer.unstored = unstored;
            }
        }
        answer.filtered_out = query.refine.apply(&mut answer.offers);
        answer.timings_ms = picture.timings.take();
        Inspection { answer, best }
    }
}

impl Answer {
    fn take_stored(&mut self, stored: Option<StoredAnswer>, stale: bool) {
        let Some(stored) = stored else { return };
        self.source = Source::Local;
        self.stale = stale;
        self.fetched_at = Some(stored.fetched_at);
        self.total_offers = stored.total;
        self.suggested_regions = stored.regions;
        self.offers = stored.offers;
    }

    fn take_page(&mut self, page: UpstreamPage, fetched_at: Timestamp) {
        self.source = Source::Upstream;
        self.fetched_at = Some(fetched_at);
        self.total_offers = page.total;
        self.suggested_regions = page.suggested_regions;
        self.offers = page.offers;
        for offer in &mut self.offers {
            offer.seen_at = Some(fetched_at);
        }
    }
}
