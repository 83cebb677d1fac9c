//! Which picture is the same as which, in the order that [`super`] tells of.
//!
//! Work is done ahead on all threads where it can be: pictures are measured in chunks, and the next few are judged among
//! the medoids that are there already. One thread then goes through them in order. Where a picture that it has just made a
//! medoid belongs among another's candidates, that one is judged again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::reading::read_again;
use super::state::{Decision, FilesOfPhotos, KnownPicture, Near};
use super::{Depth, Relation, Scan, ScanEnd, ScanError, Trouble};
use crate::cancel::Interrupt;
use crate::engine::{Engine, JUDGED, PictureFacts, PreparedPicture, Progress};
use crate::index::{Candidate, PhotoSet};
use crate::photo::{Digest, PhotoLimits, Unseen};
use crate::photo_id::PhotoId;
use crate::vector::Embedding;
use crate::verdict::{Match, Policy, Verdict};
use crate::verify::{CONFIDENCE_RULES, Doubt, Probe, REVIEW_CONFIDENCE, Sketch, weights_digest};

/// Pictures that are measured and stored together. Each takes about 1 MB until it is judged.
const CHUNK: usize = 64;

/// Candidates that are got from the index: more than are judged, so that equal scores can be put in order.
const NEAREST: usize = 64;

/// One picture in so many of the medoids is judged ahead at a time: what is judged ahead is seldom judged again then.
const AHEAD_OF: usize = 100;

/// Edited pictures of a group, each unlike the ones before it, that later ones are compared with.
const MOST_FIRSTS: usize = 64;

/// The first byte of what a decision rests on. Raised when the rules of scanning change.
const RULES: u8 = 3;

/// What the decision about a picture rests on that could not be read again.
const CHANGED: &[u8] = b"changed";

/// A picture whose turn it is.
struct Item {
    byte_digest: Digest,
    photo_id: PhotoId,
    facts: PictureFacts,
    embedding: Embedding,
    probe: Option<Probe>,
    path: PathBuf,
}

/// What judging takes beside the state: it goes to all threads.
#[derive(Clone, Copy)]
struct Judge<'s> {
    engine: &'s Engine,
    folder: &'s Path,
    limits: &'s PhotoLimits,
    files: &'s FilesOfPhotos,
}

/// Pictures that stand for a group, and who joined.
#[derive(Default)]
struct Medoids {
    /// Those that others are compared with.
    set: PhotoSet,
    /// Place in the order, and pixels.
    of: HashMap<PhotoId, (u64, Digest)>,
    by_pixels: HashMap<Digest, PhotoId>,
    /// Photos of joined pictures by those of their medoids.
    joined: HashMap<PhotoId, PhotoId>,
}

/// What was found of a picture among some medoids.
struct Judged {
    evidence: Digest,
    decision: Decision,
}

impl Scan {
    /// Goes through all pictures in order.
    pub(super) fn judge_all(
        &mut self,
        depth: Depth,
        interrupt: &Interrupt,
        progress: &dyn Progress,
    ) -> Result<ScanEnd, ScanError> {
        let order = self.state.in_order()?;
        let whole = if depth == Depth::Grouped { Some(self.all_rest_on(&order)?) } else { None };
        if let Some(whole) = whole {
            if self.state.take_over(whole, self.photo_count()?)? {
                progress.step("comparing", order.len(), order.len());
                return Ok(ScanEnd::Done);
            }
            self.state.unsettle()?;
        }
        let (mut medoids, mut seen) = (Medoids::default(), HashSet::new());
        let mut place = 0;
        for (number, chunk) in order.chunks(CHUNK).enumerate() {
            if interrupt.check().is_err() {
                return Ok(ScanEnd::Stopped);
            }
            let mut items = self.take_in(chunk)?;
            if depth == Depth::Grouped {
                items.retain(|item| seen.insert(item.facts.pixel_digest));
                let mut rest = items.as_mut_slice();
                while !rest.is_empty() {
                    let ahead = (medoids.set.len() / AHEAD_OF).clamp(rayon::current_num_threads(), CHUNK);
                    let (now, later) = rest.split_at_mut(ahead.min(rest.len()));
                    self.judge_some(now, &mut medoids, &mut place)?;
                    rest = later;
                }
            }
            progress.step("comparing", number * CHUNK + chunk.len(), order.len());
        }
        if depth == Depth::Grouped {
            self.note_wholes()?;
        }
        if let Some(whole) = whole
            && !self.was_changed
            && self.changed.is_empty()
        {
            self.state.settle(whole, self.photo_count()?)?;
        }
        Ok(ScanEnd::Done)
    }

    /// Finds the edited pictures of each group that are re-encodings of one another: a medoid may be the edited picture, and
    /// those that are edited beside it the original and its copies.
    fn note_wholes(&mut self) -> Result<(), ScanError> {
        let (mut wholes, mut of, mut firsts) = (Vec::new(), None, Vec::<(Digest, Sketch)>::new());
        for (medoid, picture, photo_id) in self.state.edited()? {
            if of != Some(medoid) {
                of = Some(medoid);
                firsts.clear();
            }
            let Some(sketch) = self.engine.stored_sketch(photo_id)? else { continue };
            if let Some((first, _)) = firsts.iter().find(|(_, first)| sketch.is_re_encoding_of(first)) {
                wholes.push((picture, *first));
            } else if firsts.len() < MOST_FIRSTS {
                firsts.push((picture, sketch));
            }
        }
        self.state.note_wholes(&wholes)
    }

    /// The digest of all that the decisions about these pictures, in this order, follow from: while it stays, they do, and none
    /// has to be looked at.
    fn all_rest_on(&self, order: &[Digest]) -> Result<Digest, ScanError> {
        let mut hash = Sha256::new();
        hash.update([RULES, CONFIDENCE_RULES]);
        hash.update(weights_digest());
        // The threshold moves with the number of medoids: it is taken at each power of two of those that there can be.
        for medoids in (0..u64::BITS).map(|bit| 1 << bit).take_while(|medoids| *medoids <= order.len() as u64)
        {
            hash_policy(&mut hash, &self.engine.policy_for(medoids)?);
        }
        self.engine.each_told(&mut |told| {
            let [one, other] = told.photos;
            hash.update([one.0.to_le_bytes(), other.0.to_le_bytes()].concat());
            hash.update([u8::from(told.same)]);
            Ok(true)
        })?;
        for digest in order {
            hash.update(digest.as_bytes());
        }
        Ok(Digest::from_bytes(hash.finalize().into()))
    }

    fn photo_count(&self) -> Result<u64, ScanError> {
        Ok(self.engine.catalog().photo_count().map_err(crate::engine::EngineError::from)?)
    }

    /// Measures and stores those of a chunk that are not stored yet; returns those that are pictures, in order.
    fn take_in(&mut self, chunk: &[Digest]) -> Result<Vec<Item>, ScanError> {
        let mut known = Vec::with_capacity(chunk.len());
        for digest in chunk {
            known.extend(self.state.picture(*digest)?.filter(|picture| !picture.is_bad));
        }
        let embedded: Vec<Option<Embedding>> = known
            .iter()
            .map(|picture| match &picture.photo {
                Some((photo_id, _)) => self.engine.stored_embedding(*photo_id),
                None => Ok(None),
            })
            .collect::<Result<_, _>>()?;
        let judge = self.judge();
        let prepared: Vec<Option<Prepared>> = known
            .par_iter()
            .zip(&embedded)
            .map(|(picture, embedded)| embedded.is_none().then(|| judge.prepared(picture)))
            .collect();
        // All that can be stored is, in one transaction; then the state follows.
        let new: Vec<(&PreparedPicture, String)> = prepared
            .iter()
            .zip(&known)
            .filter_map(|(prepared, picture)| match prepared {
                Some(Prepared::Ready(ready, _)) => {
                    let name = picture.path.file_name().unwrap_or_default();
                    Some((ready.as_ref(), name.to_string_lossy().into_owned()))
                }
                _ => None,
            })
            .collect();
        let labelled: Vec<(&PreparedPicture, &str)> =
            new.iter().map(|(ready, label)| (*ready, label.as_str())).collect();
        let stored = if labelled.is_empty() { Vec::new() } else { self.engine.store_prepared(&labelled)? };
        self.summary.embedded += stored.len() as u64;
        let (mut stored, mut notes, mut items) = (stored.into_iter(), Vec::new(), Vec::new());
        for ((picture, embedded), prepared) in known.into_iter().zip(embedded).zip(prepared) {
            let KnownPicture { byte_digest, photo, path, .. } = picture;
            let (photo_id, facts, probe) = match (prepared, photo) {
                (None, Some((photo_id, facts))) => (photo_id, facts, None),
                (Some(Prepared::Ready(ready, unseen)), _) => {
                    let Some(stored) = stored.next() else { continue };
                    let facts = ready.facts();
                    notes.push((byte_digest, Ok((stored.photo_id, facts, unseen))));
                    (stored.photo_id, facts, Some(ready.probe))
                }
                (Some(Prepared::Bad(trouble, code)), _) => {
                    notes.push((byte_digest, Err((trouble, code))));
                    continue;
                }
                (Some(Prepared::Changed), _) => {
                    self.state.unread_again(byte_digest)?;
                    self.changed.push(Trouble::changed(&path));
                    continue;
                }
                (Some(Prepared::Home(error)), _) => return Err(error.into()),
                (None, None) => continue,
            };
            let embedding = match embedded {
                Some(embedding) => Some(embedding),
                None => self.engine.stored_embedding(photo_id)?,
            };
            let Some(embedding) = embedding else { continue };
            items.push(Item { byte_digest, photo_id, facts, embedding, probe, path });
        }
        self.state.note_pictures(&notes)?;
        Ok(items)
    }

    fn judge(&self) -> Judge<'_> {
        Judge { engine: &self.engine, folder: &self.folder, limits: &self.limits, files: &self.files }
    }

    /// Decides about the next pictures: ahead on all threads, then one after the other.
    fn judge_some(
        &mut self,
        items: &mut [Item],
        medoids: &mut Medoids,
        place: &mut u64,
    ) -> Result<(), ScanError> {
        let before = self.state_of(items)?;
        let judge = self.judge();
        let shared: &Medoids = medoids;
        let ahead: Vec<Ahead> = items
            .par_iter_mut()
            .zip(&before)
            .map(|(item, before)| judge.judge_ahead(item, before.as_ref(), shared))
            .collect::<Result<_, ScanError>>()?;
        let (mut decisions, mut fresh) = (Vec::with_capacity(items.len()), Vec::<usize>::new());
        for (number, (ahead, before)) in ahead.into_iter().zip(before).enumerate() {
            let (judged, looked) = {
                let (earlier, rest) = items.split_at_mut(number);
                let item = &mut rest[0];
                let Ahead { mut nearest, judged, looked } = ahead;
                for other in &fresh {
                    let other = &earlier[*other];
                    let score = item.embedding.cosine(&other.embedding);
                    nearest.push(Candidate { photo_id: other.photo_id, score });
                }
                let known = judged.into_iter().chain(before.map(Judged::from)).collect();
                let (judged, again) = self.judge().decide(item, nearest, known, medoids)?;
                (judged, looked || again)
            };
            let item = &items[number];
            self.summary.judged += u64::from(looked);
            let pixels = item.facts.pixel_digest;
            if judged.decision.medoid == pixels {
                medoids.of.insert(item.photo_id, (*place, pixels));
                medoids.by_pixels.insert(pixels, item.photo_id);
                if !item.facts.is_blank {
                    medoids.set.insert(item.photo_id);
                    fresh.push(number);
                }
            } else if let Some(medoid) = medoids.by_pixels.get(&judged.decision.medoid).copied() {
                medoids.joined.insert(item.photo_id, medoid);
            }
            decisions.push((pixels, *place, judged.decision));
            *place += 1;
        }
        self.was_changed |= decisions.iter().any(|(_, _, decision)| decision.evidence == Digest::of(CHANGED));
        self.state.note_decisions(&decisions)
    }

    fn state_of(&self, items: &[Item]) -> Result<Vec<Option<Decision>>, ScanError> {
        items.iter().map(|item| self.state.decision(item.facts.pixel_digest)).collect()
    }
}

impl Judge<'_> {
    fn prepared(&self, picture: &KnownPicture) -> Prepared {
        let Some(bytes) = read_again(self.folder, &picture.path, picture.byte_digest, self.limits) else {
            return Prepared::Changed;
        };
        match self.engine.prepare_picture(&bytes) {
            Ok(ready) => Prepared::Ready(Box::new(ready), Unseen::of(&bytes, self.limits)),
            Err(error) if error.is_input_error() => Prepared::Bad(error.to_string(), error.code()),
            Err(error) => Prepared::Home(error),
        }
    }

    /// What can be said of a picture before those right before it are decided about.
    fn judge_ahead(
        &self,
        item: &mut Item,
        before: Option<&Decision>,
        medoids: &Medoids,
    ) -> Result<Ahead, ScanError> {
        if item.facts.is_blank {
            return Ok(Ahead { nearest: Vec::new(), judged: None, looked: false });
        }
        let nearest = self.engine.nearest_among(&item.embedding, NEAREST, &medoids.set)?;
        if before.is_some() {
            // It rests on the pictures right before it, too: most likely it holds once they are decided about.
            return Ok(Ahead { nearest, judged: None, looked: false });
        }
        let (judged, looked) = self.decide(item, nearest.clone(), Vec::new(), medoids)?;
        Ok(Ahead { nearest, judged: Some(judged), looked })
    }

    /// What a picture is, given its nearest medoids in any order. One of `known` is taken if it rests on the same
    /// evidence; else the picture is laid over them, which the second value tells.
    fn decide(
        &self,
        item: &mut Item,
        mut nearest: Vec<Candidate>,
        known: Vec<Judged>,
        medoids: &Medoids,
    ) -> Result<(Judged, bool), ScanError> {
        let own = item.facts.pixel_digest;
        let alone = |evidence| Decision {
            evidence,
            medoid: own,
            relation: Relation::Medoid.word().to_owned(),
            confidence: None,
            score: None,
            near: None,
        };
        if item.facts.is_blank {
            let evidence = Digest::of(&[RULES]);
            return Ok((Judged { evidence, decision: alone(evidence) }, false));
        }
        let (same, apart) = self.told(item, medoids)?;
        nearest.retain(|candidate| !apart.contains(&candidate.photo_id));
        if let Some(medoid) = same {
            let (_, medoid) = medoids.of[&medoid];
            let evidence = Digest::of(&[&[RULES], medoid.as_bytes().as_slice(), b"told"].concat());
            let relation = Relation::Told.word().to_owned();
            return Ok((
                Judged { evidence, decision: Decision { medoid, relation, ..alone(evidence) } },
                false,
            ));
        }
        let place =
            |candidate: &Candidate| medoids.of.get(&candidate.photo_id).map_or(u64::MAX, |(place, _)| *place);
        nearest.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| place(a).cmp(&place(b))));
        nearest.truncate(JUDGED);
        let policy = self.engine.policy_for(medoids.set.len() as u64)?;
        let ids: Vec<PhotoId> = nearest.iter().map(|candidate| candidate.photo_id).collect();
        let said = self.engine.said_of(&ids)?;
        let evidence = rests_on(&nearest, medoids, &policy, &|a, b| said.of(a, b));
        if let Some(known) = known.into_iter().find(|known| known.evidence == evidence) {
            return Ok((known, false));
        }
        if nearest.is_empty() {
            return Ok((Judged { evidence, decision: alone(evidence) }, false));
        }
        if item.probe.is_none() {
            let Some(bytes) = read_again(self.folder, &item.path, item.byte_digest, self.limits) else {
                // It has changed since it was read: the next scan sees what it is now.
                let evidence = Digest::of(CHANGED);
                return Ok((Judged { evidence, decision: alone(evidence) }, false));
            };
            item.probe = Some(self.engine.probe_of(&bytes)?);
        }
        let Some(probe) = &item.probe else {
            return Ok((Judged { evidence, decision: alone(evidence) }, false));
        };
        let verdict = match self.engine.judge_among(probe, &nearest, &policy, &said)? {
            Verdict::Review(matched) => self.laid_the_other_way(item, matched, &policy)?,
            verdict => verdict,
        };
        let decision = match verdict {
            Verdict::Hit(matched) => Decision {
                medoid: medoids.of[&matched.photo_id].1,
                relation: self.relation(item.photo_id, &matched)?.word().to_owned(),
                confidence: matched.confidence,
                score: Some(matched.score),
                ..alone(evidence)
            },
            Verdict::Review(matched) => Decision { near: near(&matched, medoids), ..alone(evidence) },
            Verdict::Miss { .. } => alone(evidence),
        };
        Ok((Judged { evidence, decision }, true))
    }

    /// What becomes of a review that is not sure enough when the medoid's file is laid over the picture as well.
    fn laid_the_other_way(&self, item: &Item, matched: Match, policy: &Policy) -> Result<Verdict, ScanError> {
        let stands_out = matched.confidence.is_some_and(|sure| sure >= REVIEW_CONFIDENCE)
            && matches!(matched.doubt, Some(Doubt::Uncertain | Doubt::ShapesDiffer | Doubt::OtherVariant));
        if !stands_out || matched.contest.told_apart || matched.contest.rival_confidence.is_some() {
            return Ok(Verdict::Review(matched));
        }
        let Some(file) = self.files.of_photo(matched.photo_id)? else { return Ok(Verdict::Review(matched)) };
        let Some(bytes) = read_again(self.folder, &file.path, file.byte_digest, self.limits) else {
            return Ok(Verdict::Review(matched));
        };
        let Ok(medoid) = self.engine.probe_of(&bytes) else { return Ok(Verdict::Review(matched)) };
        let confidence = self.engine.confidence_both_ways(item.photo_id, &medoid, &matched)?;
        Ok(match confidence.filter(|sure| *sure >= policy.operating_point().confidence) {
            Some(_) => Verdict::Hit(Match { confidence, doubt: None, ..matched }),
            None => Verdict::Review(matched),
        })
    }

    /// The medoid that a person's word leads to, the first in order, and those it keeps away from.
    fn told(&self, item: &Item, medoids: &Medoids) -> Result<(Option<PhotoId>, HashSet<PhotoId>), ScanError> {
        let (mut same, mut apart) = (Vec::new(), HashSet::new());
        for pair in self.engine.catalog().told_of(item.photo_id).map_err(crate::engine::EngineError::from)? {
            let medoid = medoids.joined.get(&pair.other).copied().unwrap_or(pair.other);
            if !medoids.of.contains_key(&medoid) {
                continue;
            }
            if pair.same {
                same.push(medoid);
            } else {
                apart.insert(medoid);
            }
        }
        same.retain(|medoid| !apart.contains(medoid));
        same.sort_by_key(|medoid| medoids.of[medoid].0);
        Ok((same.first().copied(), apart))
    }

    fn relation(&self, photo_id: PhotoId, matched: &Match) -> Result<Relation, ScanError> {
        let sketches = (self.engine.stored_sketch(photo_id)?, self.engine.stored_sketch(matched.photo_id)?);
        let whole = matched.evidence.is_some_and(|evidence| evidence.is_whole_on_whole());
        let (Some(one), Some(other)) = sketches else { return Ok(Relation::Edited) };
        Ok(if whole && one.is_re_encoding_of(&other) { Relation::ReEncoded } else { Relation::Edited })
    }
}

enum Prepared {
    Ready(Box<PreparedPicture>, Option<Unseen>),
    /// No picture after all, with the code of why.
    Bad(String, &'static str),
    /// The file is not what it was.
    Changed,
    /// What fails for all.
    Home(crate::engine::EngineError),
}

struct Ahead {
    nearest: Vec<Candidate>,
    judged: Option<Judged>,
    looked: bool,
}

impl From<Decision> for Judged {
    fn from(decision: Decision) -> Self {
        Self { evidence: decision.evidence, decision }
    }
}

/// What a review is worth showing as.
fn near(matched: &Match, medoids: &Medoids) -> Option<Near> {
    let doubt = matched.doubt.filter(|doubt| *doubt != Doubt::ShapesDiffer)?;
    let (_, medoid) = medoids.of.get(&matched.photo_id)?;
    let confidence = match doubt {
        Doubt::OtherVariant => matched.evidence.map(|evidence| evidence.other_variant()),
        _ => matched.confidence,
    };
    Some(Near { medoid: *medoid, why: doubt.to_string(), confidence, score: matched.score })
}

fn hash_policy(hash: &mut Sha256, policy: &Policy) {
    let point = policy.operating_point();
    hash.update(point.confidence.to_bits().to_le_bytes());
    hash.update(point.max_false_hit.unwrap_or(-1.0).to_bits().to_le_bytes());
    hash.update(policy.hit_threshold().to_bits().to_le_bytes());
}

/// The digest of all that a verdict follows from, beside the picture itself.
fn rests_on(
    nearest: &[Candidate],
    medoids: &Medoids,
    policy: &Policy,
    said: &dyn Fn(PhotoId, PhotoId) -> Option<bool>,
) -> Digest {
    let mut hash = Sha256::new();
    hash.update([RULES, CONFIDENCE_RULES]);
    hash.update(weights_digest());
    hash_policy(&mut hash, policy);
    for candidate in nearest {
        if let Some((_, pixels)) = medoids.of.get(&candidate.photo_id) {
            hash.update(pixels.as_bytes());
        }
        hash.update(candidate.score.to_bits().to_le_bytes());
    }
    for (number, one) in nearest.iter().enumerate() {
        for (other_number, other) in nearest.iter().enumerate().skip(number + 1) {
            if let Some(same) = said(one.photo_id, other.photo_id) {
                hash.update([
                    u8::try_from(number).unwrap_or(255),
                    u8::try_from(other_number).unwrap_or(255),
                    u8::from(same),
                ]);
            }
        }
    }
    Digest::from_bytes(hash.finalize().into())
}
