//! The part of checking a picture that needs no order: what it is, and what it is like among what is stored now.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::super::judge::{CANDIDATES, CANDIDATES_PER_PART, Corpus, Judged, Look, judge, of_same_pixels};
use super::super::picture::{Compared, Measured, Picture};
use super::super::{Engine, EngineError, SecondLook, Stage};
use super::hashes::{Hashes, PROPOSED, StoredHashes};
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
use crate::verify::{Measurements, Probe};

/// Files of seen pictures that are kept until their rows are settled, together, in bytes: should a later picture leave
/// them unseen, their parts have to be looked at. Where more would be kept, parts are looked at at once.
const MAX_RETAINED_BYTES: u64 = 64 << 20;

/// What one run compares with: the home, and what it remembers itself if it stores nothing.
pub(super) struct Scope<'e> {
    pub(super) engine: &'e Engine,
    pub(super) overlay: Option<Overlay>,
    pub(super) stats: &'e CheckStats,
    pub(super) second_look: SecondLook,
    hashes: StoredHashes,
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

/// A picture that was decoded and judged.
pub(super) struct Fresh {
    pub(super) byte_digest: Digest,
    pub(super) pixel_digest: Digest,
    pub(super) hashes: Hashes,
    probe: Probe,
    /// Of the probe.
    measurements: Mutex<Measurements>,
    pub(super) is_blank: bool,
    /// Made when it is first asked for, of a picture that was recognised by its hash.
    whole: OnceLock<Whole>,
    parts: OnceLock<Vec<Embedding>>,
    /// While it may have to be embedded, or its parts may have to be looked at.
    file: Mutex<Option<RetainedFile>>,
    /// By all that was stored up to `mark` at least.
    pub(super) judged: Judged,
    pub(super) mark: Mark,
}

/// What the model makes of a picture.
struct Whole {
    measured: Measured,
    may_be_composite: bool,
}

impl Whole {
    fn of(picture: &Picture<'_>) -> Result<Self, EngineError> {
        Ok(Self { measured: picture.measured()?, may_be_composite: picture.may_be_composite()? })
    }
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
        let hashes = StoredHashes::new(engine.index.folder().to_owned());
        Ok(Self { engine, overlay, stats, second_look, hashes, retained_bytes: Arc::default() })
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

    /// What is near by its hashes, of all that is stored and remembered.
    pub(super) fn near_by_hash(&self, hashes: &Hashes) -> Result<Candidates, EngineError> {
        let near = self.stored_near_by_hash(hashes, PhotoId(0))?;
        Ok(match &self.overlay {
            None => near,
            Some(overlay) => merged(&near, overlay.proposed(hashes, PhotoId(0)), PROPOSED),
        })
    }

    /// Of those that came after `mark`.
    pub(super) fn near_by_hash_since(&self, hashes: &Hashes, mark: Mark) -> Result<Candidates, EngineError> {
        match &self.overlay {
            None => self.stored_near_by_hash(hashes, mark.photo),
            Some(overlay) => Ok(overlay.proposed(hashes, mark.photo)),
        }
    }

    fn stored_near_by_hash(&self, hashes: &Hashes, after: PhotoId) -> Result<Candidates, EngineError> {
        let engine = self.engine;
        self.hashes.near(hashes, after, engine.store.as_ref(), engine.progress.as_ref())
    }

    pub(super) fn save_hashes(&self) {
        self.hashes.save_if_grown();
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
        if let Some(photo_id) = self.by_bytes(fresh.byte_digest)? {
            return Ok(Some(Verdict::Hit(Match::equal(photo_id, Rule::SameBytes))));
        }
        let same_pixels = self.by_pixels(fresh.pixel_digest)?;
        Ok(same_pixels.map(|photo_id| of_same_pixels(photo_id, fresh.is_blank)))
    }

    pub(super) fn prepare(&self, bytes: &[u8], digest: Digest) -> Result<Prepared, EngineError> {
        if let Some(known) = self.stats.measure_stage(Stage::Catalog, || self.by_bytes(digest))? {
            return self.known(Verdict::Hit(Match::equal(known, Rule::SameBytes)));
        }
        let picture = Picture::with_digest(self.engine, bytes, digest);
        let prepared = self.prepare_new(&picture);
        let Compared { probe, measurements, parts, timings } = picture.into_compared();
        self.stats.add_timings(&timings.read());
        let found = match prepared? {
            New::Known(verdict) => return self.known(verdict),
            New::Fresh(found) => *found,
        };
        let Some(probe) = probe else { unreachable!("it was looked at whether it is blank") };
        let may_need_file = found.whole.as_ref().is_none_or(|whole| {
            parts.is_none() && (self.second_look == SecondLook::Always || whole.may_be_composite)
        });
        let file = may_need_file.then(|| self.retained(bytes));
        Ok(Prepared::Fresh(Arc::new(Fresh {
            byte_digest: digest,
            pixel_digest: found.pixel_digest,
            hashes: probe.hashes(),
            probe,
            measurements: Mutex::new(measurements),
            is_blank: found.is_blank,
            whole: found.whole.map_or_else(OnceLock::new, OnceLock::from),
            parts: parts.map_or_else(OnceLock::new, OnceLock::from),
            file: Mutex::new(file),
            judged: found.judged,
            mark: found.mark,
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
        let retains_enough = self.retains_enough(picture);
        let whole = if judged.is_by_hash() && !retains_enough { None } else { Some(Whole::of(picture)?) };
        let may_look_twice = self.second_look == SecondLook::Always
            || whole.as_ref().is_some_and(|whole| whole.may_be_composite);
        if judged.near.parts.is_none() && may_look_twice && retains_enough {
            picture.parts()?;
        }
        Ok(New::Fresh(Box::new(Found { pixel_digest: pixels, is_blank, whole, judged, mark })))
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
    Fresh(Box<Found>),
}

struct Found {
    pixel_digest: Digest,
    is_blank: bool,
    /// `None` for a picture that was recognised by its hash.
    whole: Option<Whole>,
    judged: Judged,
    mark: Mark,
}

impl Fresh {
    /// What the store keeps of it; of one that was recognised by its hash, if it was needed by now.
    pub(super) fn measured(&self) -> Option<&Measured> {
        Some(&self.whole.get()?.measured)
    }

    fn file(&self) -> MutexGuard<'_, Option<RetainedFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

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

impl FreshLook<'_> {
    fn whole(&self) -> Result<&Whole, EngineError> {
        if let Some(whole) = self.fresh.whole.get() {
            return Ok(whole);
        }
        let file = self.fresh.file();
        // Another thread may have been faster.
        if let (None, Some(retained)) = (self.fresh.whole.get(), &*file) {
            let whole = self.made_of(retained, Whole::of)?;
            return Ok(self.fresh.whole.get_or_init(|| whole));
        }
        Ok(self.fresh.whole.get().unwrap_or_else(|| unreachable!("its file is kept until it is embedded")))
    }

    fn made_of<T>(
        &self,
        retained: &RetainedFile,
        make: impl FnOnce(&Picture<'_>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let picture = Picture::with_digest(self.engine, &retained.bytes, self.fresh.byte_digest);
        let made = make(&picture);
        self.stats.add_timings(&picture.timings.read());
        made
    }
}

impl Look for FreshLook<'_> {
    fn embedding(&self) -> Result<&Embedding, EngineError> {
        Ok(&self.whole()?.measured.embedding)
    }

    fn may_be_composite(&self) -> Result<bool, EngineError> {
        Ok(self.whole()?.may_be_composite)
    }

    fn parts(&self) -> Result<&[Embedding], EngineError> {
        if let Some(parts) = self.fresh.parts.get() {
            return Ok(parts);
        }
        // Before the file is given up.
        self.whole()?;
        let mut file = self.fresh.file();
        if let Some(retained) = file.take() {
            let parts = self.made_of(&retained, |picture| Ok(picture.parts()?.to_vec()))?;
            return Ok(self.fresh.parts.get_or_init(|| parts));
        }
        drop(file);
        // Another thread took the file, and is done with it.
        Ok(self.fresh.parts.get().map_or(&[], Vec::as_slice))
    }

    fn probe(&self) -> Result<&Probe, EngineError> {
        Ok(&self.fresh.probe)
    }

    fn with_measurements<T>(&self, work: impl FnOnce(&mut Measurements) -> T) -> T {
        work(&mut self.fresh.measurements.lock().unwrap_or_else(PoisonError::into_inner))
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

    fn proposed(&self, look: &impl Look) -> Result<Option<(Policy, Candidates)>, EngineError> {
        let probe = look.probe()?;
        if probe.is_blank() {
            return Ok(None);
        }
        Ok(Some((self.policy(self.pictures()?)?, self.near_by_hash(&probe.hashes())?)))
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

pub(super) fn merged(near: &Candidates, others: Candidates, k: usize) -> Candidates {
    Candidates::best_of(near.iter().copied().chain(others).collect(), k)
}
