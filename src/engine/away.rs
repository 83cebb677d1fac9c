//! Hits while the store is away: from what this worker has kept ([`Recent`](super::recent::Recent)), or not at all.
//!
//! A hit alone is given; by an answer that was paid for and waits in the side journal, too. A miss, or a picture about which
//! something is not kept, fails as before: another worker may have stored it meanwhile. Nothing is asked, booked or written.

use super::judge::{CANDIDATES, CANDIDATES_PER_PART, Corpus, judge, of_same_pixels};
use super::picture::Picture;
use super::recent::{Heard, MAX_WORDS, Moment, Ticket};
use super::search::{Known, Origin, Search};
use super::vector_index::VectorIndex;
use super::{Engine, EngineError, Inspection, Matched, Mode, Query};
use crate::index::Candidates;
use crate::photo_id::PhotoId;
use crate::store::{CatalogError, DatabaseTrouble, NewAnswer, PhotoKind, Said, Stored, StoredAnswer};
use crate::vector::Embedding;
use crate::verdict::{Match, Policy, Rule, Verdict};

/// So many removals are read at a time.
const CHUNK: u32 = 8192;

impl Engine {
    pub(super) fn moment(&self) -> Moment {
        Moment::now(self.clock.now())
    }

    /// The store's generation, and what a search needs that is to be kept; beside it, lets go of what was removed. `None` for
    /// a store that does not go away.
    pub(super) fn hear(&self) -> Result<(u64, Option<Ticket>), EngineError> {
        let since = self.moment();
        let Some(pulse) = self.store.pulse()? else { return Ok((self.store.generation()?, None)) };
        // Before anything was heard nothing was kept.
        let after = self.recent.removals_seen().unwrap_or(pulse.last_removal);
        let (mut seen, mut removed) = (after, Vec::new());
        while seen < pulse.last_removal {
            let chunk = self.store.removals_after(seen, CHUNK)?;
            let Some((last, _)) = chunk.last() else { break };
            seen = *last;
            removed.extend(chunk.iter().map(|(_, photo_id)| *photo_id));
        }
        Ok((pulse.generation, Some(self.recent.hear(since, &pulse, (after, &removed)))))
    }

    /// The hit in the place of `error`, if that says that the store is away and all is kept that the hit needs.
    pub(super) fn hit_while_away(
        &self,
        query: &Query<'_>,
        picture: &Picture<'_>,
        error: EngineError,
    ) -> Result<Inspection, EngineError> {
        if !matches!(&error, EngineError::Catalog(error) if error.is_away()) {
            return Err(error);
        }
        // Whatever else is wrong is said when the store is back.
        let Some(search) = Search::while_away(self, query, picture) else { return Err(error) };
        self.saved.count(query.mode, !self.upstreams.is_empty(), || {});
        Ok(search.finish())
    }
}

impl<'e> Search<'e> {
    /// A search that has come to a hit by what is kept; `None` where it has not.
    fn while_away(engine: &'e Engine, query: &'e Query<'e>, picture: &'e Picture<'e>) -> Option<Self> {
        if !matches!(query.mode, Mode::Default | Mode::LocalOnly) {
            return None;
        }
        let (heard, indexed) = engine.recent.heard(engine.moment())?;
        let mut search = Self::new(engine, query, picture, (0, None));
        search.as_of = Some(heard.since.at);
        search.take_kept(&heard, indexed);
        if !search.is_answered() {
            search.look_in_journal();
        }
        search.warnings.extend(search.as_of.map(|as_of| {
            format!(
                "the database is away: this is what was known here at {as_of}; what was stored or removed since is not in it"
            )
        }));
        search.is_answered().then_some(search)
    }

    /// Recognises the picture and takes its answer, as far as that can be done by what is kept; `None` where it cannot.
    fn take_kept(&mut self, heard: &Heard, indexed: Option<Moment>) -> Option<()> {
        let (engine, picture) = (self.engine, self.picture);
        let mut followed = heard.since.at;
        self.verdict = if let Some((same, as_of)) = engine.recent.by_bytes(picture.byte_digest(), heard) {
            followed = followed.min(as_of);
            Verdict::Hit(same)
        } else if let Some(photo_id) = engine.recent.by_pixels(picture.photo().ok()?.pixel_digest()) {
            of_same_pixels(photo_id, picture.probe().ok()?.is_blank())
        } else {
            followed = followed.min(indexed?.at);
            let kept = Kept { engine, heard };
            let judged = judge(picture, &kept, self.query.second_look, &self.query.interrupt).ok()?;
            self.policy = judged.policy;
            judged.verdict
        };
        let Verdict::Hit(found) = self.verdict else { return None };
        let kept = engine.recent.answer(found.photo_id, &self.question(), heard)?;
        self.as_of = Some(kept.as_of.min(followed));
        self.matched = Some(kept.matched);
        self.known = Some(self.known(kept.stored, Origin::Recognised));
        Some(())
    }

    /// Keeps what this hit was answered with.
    pub(super) fn keep_recent(&self) {
        let (Some(ticket), Verdict::Hit(found)) = (&self.ticket, self.verdict) else { return };
        let Some(Known { stored, origin: Origin::Recognised, .. }) = &self.known else { return };
        // A picture that was only harvested is answered with other photos' answers.
        let Some(matched) = self.matched.as_ref().filter(|matched| matched.kind != PhotoKind::Offer) else {
            return;
        };
        let recent = &self.engine.recent;
        if found.rule != Rule::SamePixels {
            let is_by_sight = found.rule != Rule::SameBytes;
            recent.keep_bytes(ticket, self.picture.byte_digest(), found, is_by_sight);
        } else if let Ok(photo) = self.picture.photo() {
            recent.keep_pixels(photo.pixel_digest(), found.photo_id);
        }
        if self.was_judged() && recent.lacks_words(ticket) {
            self.keep_words(ticket);
        }
        recent.keep_answer(ticket, &self.question(), matched, stored);
    }

    fn keep_words(&self, ticket: &Ticket) {
        // Where they cannot be read now, the next search reads them.
        let Ok(told) = self.engine.store.told_after(None, MAX_WORDS + 1) else { return };
        let pairs = told.iter().map(|told| ((told.photos[0], told.photos[1]), told.same)).collect();
        let are_all = told.len() <= MAX_WORDS as usize;
        self.engine.recent.keep_words(ticket, are_all.then_some(pairs));
    }

    /// Keeps what was paid for and stored just now: of a new photo all that the next hit needs.
    pub(super) fn keep_paid(&self, stored: Stored, answer: &NewAnswer<'_>) {
        let (Some(ticket), NewAnswer::Upstream { profile, params, fetched_at, total, regions, offers }) =
            (&self.ticket, answer)
        else {
            return;
        };
        let recent = &self.engine.recent;
        if !stored.is_new {
            recent.let_go(&[stored.photo_id]);
            return;
        }
        let mut offers = offers.to_vec();
        for offer in &mut offers {
            offer.seen_at = Some(*fetched_at);
        }
        let stored_answer = StoredAnswer {
            profile: (*profile).to_owned(),
            params: (*params).to_owned(),
            fetched_at: *fetched_at,
            total: *total,
            regions: regions.to_vec(),
            offers,
        };
        let label = self.query.label.to_owned();
        let matched = Matched { photo_id: stored.photo_id, kind: PhotoKind::Query, label };
        let same = Match::equal(stored.photo_id, Rule::SameBytes);
        recent.keep_bytes(ticket, self.picture.byte_digest(), same, false);
        recent.keep_answer(ticket, &self.question(), &matched, &stored_answer);
    }

    /// What an answer is kept by: the parameters, and who may have answered.
    fn question(&self) -> String {
        format!("{} of {}", self.query.params.key(), self.profiles().join(","))
    }
}

/// What was stored when the store was heard last, as far as it is kept.
struct Kept<'e> {
    engine: &'e Engine,
    heard: &'e Heard,
}

impl Kept<'_> {
    fn with_index<T>(
        &self,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.engine.index.as_it_is(job).unwrap_or_else(|| Err(not_kept()))
    }
}

impl Corpus for Kept<'_> {
    fn whole(&self, embedding: &Embedding) -> Result<(Policy, Candidates), EngineError> {
        self.with_index(|index| {
            let (bound, progress) = (&self.engine.bound, self.engine.progress.as_ref());
            let policy = bound.policy_as_of(self.heard.calibrations, index.len() as u64, progress);
            let policy = policy.ok_or_else(not_kept)?;
            Ok((policy, index.search(embedding, CANDIDATES, policy.hit_threshold())?))
        })
    }

    fn parts(&self, parts: &[Embedding]) -> Result<Vec<Candidates>, EngineError> {
        self.with_index(|index| {
            let near = |part| index.search(part, CANDIDATES_PER_PART, -1.0);
            parts.iter().map(near).collect()
        })
    }

    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.engine.recent.sketches(photo_ids).ok_or_else(not_kept)
    }

    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, EngineError> {
        self.engine.recent.said_of(photo_ids, self.heard).ok_or_else(not_kept)
    }

    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn std::fmt::Display) {
        self.engine.store.note_unreadable_sketch(photo_id, problem);
    }
}

/// Ends the attempt; its caller hears why the store cannot be asked.
fn not_kept() -> EngineError {
    CatalogError::Database {
        problem: "this worker has not kept what it takes".to_owned(),
        trouble: DatabaseTrouble::Away,
    }
    .into()
}
