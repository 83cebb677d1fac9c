//! The part of checking a picture that needs no order: what it is, and what it is like among what is stored now.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::super::judge::{CANDIDATES, CANDIDATES_PER_PART, Corpus, Judged, Look, judge, of_same_pixels};
use super::super::picture::{Measured, Picture};
use super::super::{Engine, EngineError, SecondLook, Stage};
use super::overlay::Overlay;
use super::provisional::{is_provisional, provisional};
use super::report::CheckMatch;
use super::{CheckOptions, CheckStats};
use crate::cancel::Interrupt;
use crate::index::Candidates;
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::store::Said;
use crate::vector::Embedding;
use crate::verdict::{Match, Policy, Rule, Verdict};
use crate::verify::Probe;

/// Files of seen pictures that are kept until their rows are settled, together, in bytes: should a later picture leave
/// them unseen, their parts have to be looked at. Where more would be kept, parts are looked at at once.
const MAX_RETAINED_BYTES: u64 = 64 << 20;

/// What one run compares with: the home, and what it remembers itself if it stores nothing.
pub(super) struct Scope<'e> {
    pub(super) engine: &'e Engine,
    pub(super) overlay: Option<Overlay>,
    pub(super) stats: &'e CheckStats,
    pub(super) second_look: SecondLook,
    retained_bytes: Arc<AtomicU64>,
}

/// A picture before its row is settled.
#[derive(Clone)]
pub(super) enum Prepared {
    /// Its bytes or pixels were known when it was looked for.
    Known {
        verdict: Box<Verdict>,
        matched: CheckMatch,
    },
    Fresh(Arc<Fresh>),
}

/// A picture that was decoded and embedded.
pub(super) struct Fresh {
    pub(super) measured: Measured,
    probe: Probe,
    pub(super) is_blank: bool,
    may_be_composite: bool,
    parts: OnceLock<Vec<Embedding>>,
    /// While its parts may have to be looked at.
    file: Mutex<Option<RetainedFile>>,
    /// By all that was stored up to `mark` at least.
    pub(super) judged: Judged,
    pub(super) mark: Mark,
}

/// How far a look among the stored pictures reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Pictures up to this number were looked at, whether stored or remembered.
    pub(super) photo: PhotoId,
    pub(super) removal: i64,
}

/// A file in memory, counted.
struct RetainedFile {
    bytes: Vec<u8>,
    counter: Arc<AtomicU64>,
}

impl Drop for RetainedFile {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}

impl<'e> Scope<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        options: CheckOptions,
        stats: &'e CheckStats,
    ) -> Result<Self, EngineError> {
        let dimension = engine.embedder.fingerprint.dimension;
        let overlay = if options.add { None } else { Some(Overlay::new(dimension)?) };
        let second_look = options.second_look;
        Ok(Self { engine, overlay, stats, second_look, retained_bytes: Arc::default() })
    }

    /// How far a look that begins now will reach at least.
    pub(super) fn mark(&self) -> Result<Mark, EngineError> {
        let extent = self.engine.store.extent()?;
        let photo = match &self.overlay {
            None => extent.last_photo_id.unwrap_or(PhotoId(0)),
            Some(overlay) => PhotoId(provisional(overlay.len()).0 - 1),
        };
        Ok(Mark { photo, removal: extent.last_removal })
    }

    /// Pictures that a new one is compared with at this moment.
    pub(super) fn pictures(&self) -> Result<u64, EngineError> {
        let stored = self.engine.with_index(|index| Ok(index.len()))?;
        Ok((stored + self.overlay.as_ref().map_or(0, Overlay::len)) as u64)
    }

    pub(super) fn policy(&self, pictures: u64) -> Result<Policy, EngineError> {
        let engine = self.engine;
        engine.bound.policy(engine.store.as_ref(), pictures, engine.progress.as_ref())
    }

    pub(super) fn check_match(&self, photo_id: PhotoId) -> Result<CheckMatch, EngineError> {
        match &self.overlay {
            Some(overlay) if is_provisional(photo_id) => Ok(overlay.check_match(photo_id)),
            _ => self.engine.check_match(photo_id),
        }
    }

    /// The picture with these bytes.
    fn by_bytes(&self, digest: Digest) -> Result<Option<PhotoId>, EngineError> {
        let stored = self.engine.store.photo_by_bytes(digest)?;
        Ok(stored.or_else(|| self.overlay.as_ref()?.by_bytes(digest)))
    }

    fn by_pixels(&self, digest: Digest) -> Result<Option<PhotoId>, EngineError> {
        let stored = self.engine.store.photo_by_pixels(digest)?;
        Ok(stored.or_else(|| self.overlay.as_ref()?.by_pixels(digest)))
    }

    /// What is said of a decoded picture whose bytes or pixels are those of another one.
    pub(super) fn equal(&self, fresh: &Fresh) -> Result<Option<Verdict>, EngineError> {
        if let Some(photo_id) = self.by_bytes(fresh.measured.byte_digest)? {
            return Ok(Some(Verdict::Hit(Match::equal(photo_id, Rule::SameBytes))));
        }
        let same_pixels = self.by_pixels(fresh.measured.pixel_digest)?;
        Ok(same_pixels.map(|photo_id| of_same_pixels(photo_id, fresh.is_blank)))
    }

    pub(super) fn prepare(&self, bytes: &[u8], digest: Digest) -> Result<Prepared, EngineError> {
        if let Some(known) = self.stats.measure_stage(Stage::Catalog, || self.by_bytes(digest))? {
            return self.known(Verdict::Hit(Match::equal(known, Rule::SameBytes)));
        }
        let picture = Picture::with_digest(self.engine, bytes, digest);
        let prepared = self.prepare_new(&picture);
        let may_be_composite = match &prepared {
            Ok(New::Fresh(..)) => picture.may_be_composite()?,
            _ => true,
        };
        let (probe, parts, timings) = picture.into_compared();
        self.stats.add_timings(&timings.read());
        let (measured, is_blank, judged, mark) = match prepared? {
            New::Known(verdict) => return self.known(verdict),
            New::Fresh(found) => *found,
        };
        let Some(probe) = probe else { unreachable!("it was looked at whether it is blank") };
        let may_look_twice = self.second_look == SecondLook::Always || may_be_composite;
        let file = (parts.is_none() && may_look_twice).then(|| self.retained(bytes));
        let parts = parts.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Prepared::Fresh(Arc::new(Fresh {
            measured,
            probe,
            is_blank,
            may_be_composite,
            parts,
            file: Mutex::new(file),
            judged,
            mark,
        })))
    }

    fn known(&self, verdict: Verdict) -> Result<Prepared, EngineError> {
        let (Verdict::Hit(named) | Verdict::Review(named)) = verdict else {
            unreachable!("an equal picture is named")
        };
        let matched = self.stats.measure_stage(Stage::Catalog, || self.check_match(named.photo_id))?;
        Ok(Prepared::Known { verdict: Box::new(verdict), matched })
    }

    fn prepare_new(&self, picture: &Picture<'_>) -> Result<New, EngineError> {
        // Before anything is looked up: what is stored from here on is looked at when the row is settled.
        let mark = self.mark()?;
        if let Some(photo_id) = self.by_bytes(picture.byte_digest())? {
            return Ok(New::Known(Verdict::Hit(Match::equal(photo_id, Rule::SameBytes))));
        }
        let pixels = picture.photo()?.pixel_digest();
        let same_pixels = picture.timings.measure(Stage::Catalog, || self.by_pixels(pixels))?;
        let is_blank = picture.probe()?.is_blank();
        if let Some(photo_id) = same_pixels {
            return Ok(New::Known(of_same_pixels(photo_id, is_blank)));
        }
        let judged = judge(picture, self, self.second_look, &Interrupt::never())?;
        if judged.near.parts.is_none() && self.may_look_twice(picture)? && self.retains_enough(picture) {
            picture.parts()?;
        }
        Ok(New::Fresh(Box::new((picture.measured()?, is_blank, judged, mark))))
    }

    fn may_look_twice(&self, look: &impl Look) -> Result<bool, EngineError> {
        Ok(self.second_look == SecondLook::Always || look.may_be_composite()?)
    }

    fn retains_enough(&self, picture: &Picture<'_>) -> bool {
        self.retained_bytes.load(Ordering::Relaxed) + picture.file_bytes() > MAX_RETAINED_BYTES
    }

    fn retained(&self, bytes: &[u8]) -> RetainedFile {
        let counter = Arc::clone(&self.retained_bytes);
        counter.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        RetainedFile { bytes: bytes.to_vec(), counter }
    }
}

/// What was found of a picture whose bytes are not known.
enum New {
    Known(Verdict),
    Fresh(Box<(Measured, bool, Judged, Mark)>),
}

impl Fresh {
    /// Embeddings of its parts, if they were looked at.
    pub(super) fn known_parts(&self) -> &[Embedding] {
        self.parts.get().map_or(&[], Vec::as_slice)
    }
}

/// A fresh picture that is looked at once more.
pub(super) struct FreshLook<'a> {
    pub(super) fresh: &'a Fresh,
    pub(super) engine: &'a Engine,
    pub(super) stats: &'a CheckStats,
}

impl Look for FreshLook<'_> {
    fn embedding(&self) -> Result<&Embedding, EngineError> {
        Ok(&self.fresh.measured.embedding)
    }

    fn may_be_composite(&self) -> Result<bool, EngineError> {
        Ok(self.fresh.may_be_composite)
    }

    fn parts(&self) -> Result<&[Embedding], EngineError> {
        if let Some(parts) = self.fresh.parts.get() {
            return Ok(parts);
        }
        let mut file = self.fresh.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(retained) = file.take() {
            let picture = Picture::with_digest(self.engine, &retained.bytes, self.fresh.measured.byte_digest);
            let parts = picture.parts()?.to_vec();
            self.stats.add_timings(&picture.timings.read());
            return Ok(self.fresh.parts.get_or_init(|| parts));
        }
        drop(file);
        // Another thread took the file, and is done with it.
        Ok(self.fresh.parts.get().map_or(&[], Vec::as_slice))
    }

    fn probe(&self) -> Result<&Probe, EngineError> {
        Ok(&self.fresh.probe)
    }

    fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.stats.measure_stage(stage, work)
    }
}

impl Corpus for Scope<'_> {
    fn whole(&self, embedding: &Embedding) -> Result<(Policy, Candidates), EngineError> {
        let (policy, stored) = self.engine.whole(embedding)?;
        let Some(overlay) = &self.overlay else { return Ok((policy, stored)) };
        let policy = self.policy(self.pictures()?)?;
        let remembered = overlay.search(embedding, CANDIDATES, policy.hit_threshold())?;
        Ok((policy, merged(&stored, remembered, CANDIDATES)))
    }

    fn parts(&self, parts: &[Embedding]) -> Result<Vec<Candidates>, EngineError> {
        let mut near = Corpus::parts(self.engine, parts)?;
        if let Some(overlay) = &self.overlay {
            for (near, part) in near.iter_mut().zip(parts) {
                *near = merged(near, overlay.search(part, CANDIDATES_PER_PART, -1.0)?, CANDIDATES_PER_PART);
            }
        }
        Ok(near)
    }

    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let mut sketches = self.engine.store.sketches(photo_ids)?;
        if let Some(overlay) = &self.overlay {
            for (sketch, photo_id) in sketches.iter_mut().zip(photo_ids) {
                if is_provisional(*photo_id) {
                    *sketch = overlay.sketch(*photo_id)?;
                }
            }
        }
        Ok(sketches)
    }

    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, EngineError> {
        Ok(self.engine.store.said_of(photo_ids)?)
    }

    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn Display) {
        if !is_provisional(photo_id) {
            self.engine.store.note_unreadable_sketch(photo_id, problem);
        }
    }
}

fn merged(near: &Candidates, others: Candidates, k: usize) -> Candidates {
    Candidates::best_of(near.iter().copied().chain(others).collect(), k)
}
