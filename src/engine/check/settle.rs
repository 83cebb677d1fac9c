//! Rows in their order: what each would have been told of had it been checked after all before it.

use std::cell::OnceCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::EngineError;
use super::super::judge::{
    CANDIDATES, CANDIDATES_PER_PART, Corpus, Judged, Look, Near, judge, of_same_pixels,
};
use super::hashes::PROPOSED;
use super::prepare::{Fresh, FreshLook, Mark, Scope, merged};
use super::provisional::{is_provisional, provisional};
use crate::cancel::Interrupt;
use crate::index::{Candidate, Candidates, HashIndex};
use crate::photo_id::PhotoId;
use crate::store::Said;
use crate::vector::Embedding;
use crate::verdict::{Match, Policy, Rule, Verdict};

/// Vectors of the newest pictures that are kept for comparing; a row that was looked at before all of them is looked at
/// anew.
const MAX_RECENT: usize = 2048;

/// How many vectors are read from the store at a time.
const CHUNK: u32 = 1024;

/// The newest pictures, by rising numbers, without a gap.
pub(super) struct Recent {
    /// All above this number are here ...
    after: PhotoId,
    /// ... up to this one.
    up_to: PhotoId,
    pictures: VecDeque<(PhotoId, Embedding)>,
}

impl Recent {
    pub(super) fn new(mark: Mark) -> Self {
        Self { after: mark.photo, up_to: mark.photo, pictures: VecDeque::new() }
    }

    /// Reads what was stored since.
    fn follow(&mut self, scope: &Scope<'_>, mark: Mark) -> Result<(), EngineError> {
        while self.up_to < mark.photo {
            let chunk = scope.engine.store.embeddings_after(Some(self.up_to), CHUNK)?;
            let Some(last) = chunk.last else { break };
            self.up_to = last;
            chunk.embeddings.into_iter().for_each(|(photo_id, embedding)| self.push(photo_id, embedding));
        }
        Ok(())
    }

    pub(super) fn push(&mut self, photo_id: PhotoId, embedding: Embedding) {
        self.up_to = self.up_to.max(photo_id);
        self.pictures.push_back((photo_id, embedding));
        if self.pictures.len() > MAX_RECENT
            && let Some((photo_id, _)) = self.pictures.pop_front()
        {
            self.after = photo_id;
        }
    }

    /// The pictures after `mark`; `None` when they are not here any more.
    fn since(&self, mark: Mark) -> Option<impl Iterator<Item = (PhotoId, &Embedding)>> {
        let start = self.pictures.partition_point(|(photo_id, _)| *photo_id <= mark.photo);
        (self.after <= mark.photo)
            .then(|| self.pictures.range(start..).map(|(photo_id, embedding)| (*photo_id, embedding)))
    }
}

/// A fresh picture of a group, and what is said of it by now.
pub(super) struct Standing {
    pub(super) fresh: Arc<Fresh>,
    /// Its number if it is added: behind all that is stored or remembered.
    number: PhotoId,
    /// What is near it up to `mark`; `None` to look anew.
    base: Option<Near>,
    mark: Mark,
    judged: Judged,
    /// Of equal bytes or pixels.
    equal: Option<Verdict>,
    /// How many pictures it is compared with.
    pub(super) pictures: u64,
}

impl Standing {
    pub(super) fn new(fresh: Arc<Fresh>, number: PhotoId) -> Self {
        let (judged, mark) = (fresh.judged.clone(), fresh.mark);
        Self { number, base: Some(judged.near.clone()), mark, judged, equal: None, pictures: 0, fresh }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.equal.unwrap_or(self.judged.verdict)
    }

    /// The policy and the number of pictures that it was judged by.
    pub(super) fn judged_by(&self) -> Option<(Policy, u64)> {
        self.equal.is_none().then_some((self.judged.policy, self.pictures))
    }

    /// Whether it was recognised without its embedding.
    pub(super) fn is_by_hash(&self) -> bool {
        self.equal.is_none() && self.judged.is_by_hash()
    }

    /// Whether it becomes a photo of its own.
    pub(super) fn is_added(&self) -> bool {
        self.equal.is_none() && !matches!(self.judged.verdict, Verdict::Hit(_))
    }

    pub(super) fn number(&self) -> PhotoId {
        self.number
    }
}

/// Settles the fresh pictures of a group; `None` for rows that need none. What is stored is that of `Mark`, which is
/// returned, or, if others store meanwhile, may be more.
pub(super) fn settle(
    standings: &mut [Option<Standing>],
    recent: &mut Recent,
    scope: &Scope<'_>,
) -> Result<Mark, EngineError> {
    let mark = scope.mark()?;
    if scope.overlay.is_none() {
        recent.follow(scope, mark)?;
    }
    let stored = scope.pictures()?;
    let mut policies = HashMap::new();
    loop {
        let mut peers: Vec<usize> = Vec::new();
        let mut equals = Equals::default();
        let mut stale = Vec::new();
        for place in 0..standings.len() {
            let Some(standing) = standings[place].as_mut() else { continue };
            if standing.mark.removal != mark.removal || recent.since(standing.mark).is_none() {
                standing.base = None;
            }
            let equal = if standing.mark == mark { None } else { scope.equal(&standing.fresh)? };
            standing.equal = equal.or_else(|| equals.of(&standing.fresh));
            if standing.equal.is_some() {
                continue;
            }
            standing.pictures = stored + peers.len() as u64;
            // The threshold changes with doublings.
            let policy = match policies.entry(standing.pictures.max(1).next_power_of_two()) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(scope.policy(standing.pictures)?),
            };
            let standing = standings[place].as_ref().unwrap_or_else(|| unreachable!("it was there"));
            let newcomers = newcomers(standing, standings, &peers, recent);
            let proposed = proposed(&standing.fresh, standings, &peers, scope, mark)?;
            if standing.judged.policy != policy || !is_up_to_date(standing, &proposed, &newcomers) {
                stale.push((place, peers.len(), policy, proposed));
            }
            if standing.is_added() {
                equals.add(standing);
                peers.push(place);
            }
        }
        if stale.is_empty() {
            return Ok(mark);
        }
        scope.stats.note_rejudged(stale.len());
        let judged: Result<Vec<_>, EngineError> = stale
            .par_iter()
            .map(|(place, before, policy, proposed)| {
                let standing = standings[*place].as_ref().unwrap_or_else(|| unreachable!("it was there"));
                let corpus = SettledCorpus {
                    scope,
                    standings,
                    base: standing.base.as_ref(),
                    newcomers: newcomers(standing, standings, &peers[..*before], recent),
                    policy: *policy,
                    proposed,
                    found: OnceCell::new(),
                    found_parts: OnceCell::new(),
                };
                let look = FreshLook { fresh: &standing.fresh, engine: scope.engine, stats: scope.stats };
                let judged = judge(&look, &corpus, scope.second_look, &Interrupt::never())?;
                Ok((*place, judged, corpus.found.into_inner(), corpus.found_parts.into_inner()))
            })
            .collect();
        for (place, judged, found, found_parts) in judged? {
            let Some(standing) = standings[place].as_mut() else { continue };
            standing.judged = judged;
            if let Some(whole) = found {
                // Anew, and as far as the mark at least.
                (standing.base, standing.mark) = (Some(Near { whole: Some(whole), ..Near::default() }), mark);
            }
            if let (Some(base), Some(parts)) = (&mut standing.base, found_parts) {
                base.parts = Some(parts);
            }
        }
    }
}

/// Bytes and pixels of the pictures of a group that are added.
#[derive(Default)]
struct Equals {
    by_bytes: HashMap<crate::photo::Digest, PhotoId>,
    by_pixels: HashMap<crate::photo::Digest, PhotoId>,
}

impl Equals {
    fn add(&mut self, standing: &Standing) {
        self.by_bytes.insert(standing.fresh.byte_digest, standing.number);
        self.by_pixels.insert(standing.fresh.pixel_digest, standing.number);
    }

    fn of(&self, fresh: &Fresh) -> Option<Verdict> {
        let same_bytes = self.by_bytes.get(&fresh.byte_digest);
        let same_bytes = same_bytes.map(|photo_id| Verdict::Hit(Match::equal(*photo_id, Rule::SameBytes)));
        let same_pixels = || self.by_pixels.get(&fresh.pixel_digest);
        same_bytes.or_else(|| same_pixels().map(|photo_id| of_same_pixels(*photo_id, fresh.is_blank)))
    }
}

/// What came after a picture was looked at, and those that are added before it in its group.
fn newcomers<'a>(
    standing: &Standing,
    standings: &'a [Option<Standing>],
    peers: &[usize],
    recent: &'a Recent,
) -> Vec<(PhotoId, &'a Embedding)> {
    let peers = peers.iter().filter_map(|place| standings[*place].as_ref());
    // Only what was embedded is ever added.
    let peers = peers.filter_map(|peer| Some((peer.number, &peer.fresh.measured()?.embedding)));
    recent.since(standing.mark).into_iter().flatten().chain(peers).collect()
}

/// What is near by its hashes by now, with those that are added before it in its group.
fn proposed(
    fresh: &Fresh,
    standings: &[Option<Standing>],
    peers: &[usize],
    scope: &Scope<'_>,
    mark: Mark,
) -> Result<Candidates, EngineError> {
    if fresh.is_blank {
        return Ok(Candidates::default());
    }
    let near = if fresh.mark.removal == mark.removal {
        let since = scope.near_by_hash_since(&fresh.hashes, fresh.mark)?;
        merged(&fresh.judged.near.proposed, since, PROPOSED)
    } else {
        scope.near_by_hash(&fresh.hashes)?
    };
    let peers = peers.iter().filter_map(|place| {
        let peer = standings[*place].as_ref()?;
        let score = HashIndex::likeness(&fresh.hashes, &peer.fresh.hashes[0])?;
        Some(Candidate { photo_id: peer.number, score })
    });
    Ok(Candidates::best_of(near.iter().copied().chain(peers).collect(), PROPOSED))
}

fn is_up_to_date(standing: &Standing, proposed: &Candidates, newcomers: &[(PhotoId, &Embedding)]) -> bool {
    let near = &standing.judged.near;
    if near.proposed != *proposed {
        return false;
    }
    let Some(near_whole) = &near.whole else { return true };
    let (Some(base), Some(measured)) = (&standing.base, standing.fresh.measured()) else { return false };
    let Some(base_whole) = &base.whole else { return false };
    if joined(base_whole, &measured.embedding, newcomers, CANDIDATES) != *near_whole {
        return false;
    }
    let Some(near_parts) = &near.parts else { return true };
    let Some(base_parts) = &base.parts else { return false };
    // Looked at: they are there.
    let parts = standing.fresh.known_parts();
    parts.len() == near_parts.len()
        && parts
            .iter()
            .zip(base_parts)
            .zip(near_parts)
            .all(|((part, base), near)| joined(base, part, newcomers, CANDIDATES_PER_PART) == *near)
}

/// The nearest of `near` and of the newcomers.
fn joined(
    near: &Candidates,
    embedding: &Embedding,
    newcomers: &[(PhotoId, &Embedding)],
    k: usize,
) -> Candidates {
    let floor = near.as_slice().get(k - 1).map_or(f32::NEG_INFINITY, |last| last.score);
    let nearer = newcomers.iter().filter_map(|(photo_id, other)| {
        let score = embedding.cosine(other);
        (score >= floor).then_some(Candidate { photo_id: *photo_id, score })
    });
    Candidates::best_of(near.iter().copied().chain(nearer).collect(), k)
}

/// What is stored, and what is added before one row of a group.
struct SettledCorpus<'a> {
    scope: &'a Scope<'a>,
    standings: &'a [Option<Standing>],
    base: Option<&'a Near>,
    newcomers: Vec<(PhotoId, &'a Embedding)>,
    policy: Policy,
    proposed: &'a Candidates,
    /// What was looked for anew.
    found: OnceCell<Candidates>,
    found_parts: OnceCell<Vec<Candidates>>,
}

impl Corpus for SettledCorpus<'_> {
    fn whole(&self, embedding: &Embedding) -> Result<(Policy, Candidates), EngineError> {
        let base = if let Some(whole) = self.base.and_then(|base| base.whole.as_ref()) {
            whole
        } else {
            let (_, found) = self.scope.whole(embedding)?;
            self.found.get_or_init(|| found)
        };
        Ok((self.policy, joined(base, embedding, &self.newcomers, CANDIDATES)))
    }

    fn parts(&self, parts: &[Embedding]) -> Result<Vec<Candidates>, EngineError> {
        let base = if let Some(base) = self.base.and_then(|base| base.parts.as_ref()) {
            base
        } else {
            let found = self.scope.parts(parts)?;
            self.found_parts.get_or_init(|| found)
        };
        let near = parts.iter().zip(base);
        Ok(near.map(|(part, base)| joined(base, part, &self.newcomers, CANDIDATES_PER_PART)).collect())
    }

    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let mut sketches = self.scope.sketches(photo_ids)?;
        for (sketch, photo_id) in sketches.iter_mut().zip(photo_ids) {
            if is_provisional(*photo_id) && sketch.is_none() {
                let peer = self.standings.iter().flatten().find(|peer| peer.number == *photo_id);
                *sketch = peer.and_then(|peer| Some(peer.fresh.measured()?.sketch.clone()));
            }
        }
        Ok(sketches)
    }

    fn proposed(&self, _: &impl Look) -> Result<Option<(Policy, Candidates)>, EngineError> {
        Ok(Some((self.policy, self.proposed.clone())))
    }

    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, EngineError> {
        self.scope.said_of(photo_ids)
    }

    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn Display) {
        self.scope.note_unreadable_sketch(photo_id, problem);
    }
}

/// Numbers for the pictures of a group, behind all that are remembered.
pub(super) fn numbers(scope: &Scope<'_>) -> impl Iterator<Item = PhotoId> + use<> {
    let remembered = scope.overlay.as_ref().map_or(0, super::overlay::Overlay::len);
    (remembered..).map(provisional)
}
