//! Another model for a home that has vectors already: the pictures are embedded again, from wherever they can be had.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::Serialize;

use super::picture::Picture;
use super::{Engine, EngineBuilder, EngineError, HarvestError};
use crate::cancel::{Interrupt, Interrupted};
use crate::fetch::Fetch;
use crate::photo::read_bytes;
use crate::photo_id::PhotoId;
use crate::store::{Entry, Lacks, Refill};
use crate::verify::SKETCH_FORMAT;

/// Addresses taken from the catalogue at a time.
const CHUNK: u32 = 256;

/// Where the pictures may be had again; the catalogue keeps no originals.
#[derive(Debug)]
pub struct Originals<'a> {
    /// Files, in any order and of any name: they are told by their bytes.
    pub files: Vec<PathBuf>,
    /// Fetches the pictures of offers anew.
    pub fetcher: Option<&'a dyn Fetch>,
    /// Go over to the new model even if there are pictures that could not be had. They stay known by their bytes and
    /// pixels, but no copy of them is recognised.
    pub leave_the_rest: bool,
}

/// What [`EngineBuilder::reembed`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reembedded {
    /// The model to whose vectors the home goes over.
    pub model: String,
    /// Vectors made now.
    pub embedded: u64,
    /// Sketches made now, for photos from before there were any.
    pub sketched: u64,
    /// Photos from before colour profiles were honoured that look different with theirs. Their vectors and sketches, which
    /// are counted above, were made anew.
    pub recoloured: u64,
    /// Originals that could not be read or fetched, or are other pictures by now.
    pub failed: u64,
    /// Photos that still lack a vector of the model.
    pub without_vector: u64,
    /// Photos that are still without a sketch.
    pub without_sketch: u64,
    /// Photos that were last decoded before colour profiles were honoured: those with one may look wrong.
    pub decoded_before: u64,
    /// Whether the home belongs to the model now.
    pub done: bool,
    /// Why the caller has ended it before all originals were tried.
    pub interrupted: Option<Interrupted>,
}

/// What became of one original.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refilled {
    /// Its path or address.
    pub original: String,
    /// What the photo lacked, and now has; `None` when no photo lacked anything. `decoding` is set for a photo that looks
    /// different to the decoder of today.
    pub result: Result<Option<(PhotoId, Lacks)>, HarvestError>,
}

impl Reembedded {
    fn count(&mut self, result: Result<Option<(PhotoId, Lacks)>, HarvestError>) -> Result<(), EngineError> {
        match result {
            Ok(Some((_, lacks))) => {
                self.embedded += u64::from(lacks.vector);
                self.sketched += u64::from(lacks.sketch);
                self.recoloured += u64::from(lacks.decoding);
            }
            Ok(None) => {}
            Err(HarvestError::Engine(error)) if !error.is_input_error() => return Err(error),
            Err(_) => self.failed += 1,
        }
        Ok(())
    }
}

impl EngineBuilder {
    /// Makes what the photos of a home lack to be searched with the chosen model: vectors of that model, sketches for photos
    /// from before there were any, and both anew for pictures whose colour profile was passed over when they were stored.
    /// The old vectors serve until the new ones are complete, so searches with the old model go on meanwhile; then the home goes over at once, and processes that still run the old model are
    /// refused with that reason. Whatever ends this, it is taken up again by calling it again. `each` hears of every
    /// original.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder or the model fails.
    pub fn reembed(
        self,
        originals: &Originals<'_>,
        each: &(dyn Fn(&Refilled) + Sync),
    ) -> Result<Reembedded, EngineError> {
        self.reembed_unless(&Interrupt::never(), originals, each)
    }

    /// As [`EngineBuilder::reembed`], until `interrupt` ends it, which [`Reembedded::interrupted`] then says: the originals in
    /// hand, one a thread, are embedded. The home goes over to the model only where nothing is missing by then, whatever
    /// [`Originals::leave_the_rest`] says.
    ///
    /// # Errors
    /// Those of [`EngineBuilder::reembed`].
    pub fn reembed_unless(
        self,
        interrupt: &Interrupt,
        originals: &Originals<'_>,
        each: &(dyn Fn(&Refilled) + Sync),
    ) -> Result<Reembedded, EngineError> {
        let engine = self.assemble(false)?;
        // What cannot be read counts as missing: it is made anew where the original is had.
        let mut damage = engine.damage()?;
        damage.retain(|damage| {
            matches!(damage.entry, Entry::Vector(_) | Entry::NextVector(_) | Entry::Sketch(_))
        });
        engine.repair(&damage)?;
        engine.store.gather_for(&engine.embedder.fingerprint)?;
        let done = Mutex::new(Reembedded::default());
        let is_interrupted = || {
            let reason = interrupt.check().err();
            if reason.is_some() {
                done.lock().unwrap_or_else(PoisonError::into_inner).interrupted = reason;
            }
            reason.is_some()
        };
        // Fails where the home does; what lies in one picture is counted.
        let refill = |original: String, bytes: Result<Vec<u8>, HarvestError>, expected: Option<PhotoId>| {
            let result = bytes.and_then(|bytes| Ok(engine.refill(&bytes, expected)?));
            let refilled = Refilled { original, result };
            each(&refilled);
            done.lock().unwrap_or_else(PoisonError::into_inner).count(refilled.result)
        };
        originals.files.par_iter().try_for_each(|path| {
            if is_interrupted() {
                return Ok(());
            }
            let bytes = read_bytes(path, &engine.limits).map_err(|error| EngineError::from(error).into());
            refill(path.display().to_string(), bytes, None)
        })?;
        let mut after = 0;
        'chunks: while let Some(fetcher) = originals.fetcher {
            let chunk = engine.store.fetched_photos(after, CHUNK)?;
            let Some(last) = chunk.last() else { break };
            after = last.image_id;
            for image in chunk {
                let lacks =
                    engine.store.lacks(image.photo_id, &engine.embedder.fingerprint, SKETCH_FORMAT)?;
                if is_interrupted() {
                    break 'chunks;
                }
                if lacks.vector || lacks.sketch {
                    let bytes = fetcher.fetch(&image.url).map_err(HarvestError::from);
                    refill(image.url, bytes, Some(image.photo_id))?;
                }
            }
        }
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let leave_the_rest = originals.leave_the_rest && done.interrupted.is_none();
        engine.finish(done, leave_the_rest)
    }
}

impl Engine {
    /// Fills what the photo with these bytes or pixels lacks. `expected`: the photo that it has to be.
    fn refill(
        &self,
        bytes: &[u8],
        expected: Option<PhotoId>,
    ) -> Result<Option<(PhotoId, Lacks)>, EngineError> {
        let picture = Picture::new(self, bytes);
        let known = picture.stored_id()?;
        if let (Some(photo_id), true) = (expected, known != expected) {
            return Err(EngineError::OtherPicture { photo_id });
        }
        let Some(photo_id) = known else { return Ok(None) };
        let mut lacks = self.store.lacks(photo_id, &self.embedder.fingerprint, SKETCH_FORMAT)?;
        if lacks == (Lacks { vector: false, sketch: false, decoding: false }) {
            return Ok(None);
        }
        let pixel_digest = picture.photo()?.pixel_digest();
        // Several files may be one photo, equal to the older decoder. It then looks like the one that comes first here.
        lacks.decoding &= !self.store.has_pixels(photo_id, pixel_digest)?;
        lacks.vector |= lacks.decoding;
        lacks.sketch |= lacks.decoding;
        let vector = lacks.vector.then(|| picture.embedding()).transpose()?;
        let sketch = lacks.sketch.then(|| picture.sketch()).transpose()?;
        let sketch = sketch.map(|sketch| sketch.to_bytes());
        let refill = Refill { vector, sketch: sketch.as_deref(), pixel_digest };
        self.store.fill(photo_id, &self.embedder.fingerprint, &refill)?;
        let lacked = lacks.vector || lacks.sketch;
        Ok(lacked.then_some((photo_id, lacks)))
    }

    fn finish(&self, mut done: Reembedded, leave_the_rest: bool) -> Result<Reembedded, EngineError> {
        done.model = self.embedder.fingerprint.to_string();
        (done.without_vector, done.without_sketch) = self.store.lacking(&self.embedder.fingerprint)?;
        done.decoded_before = self.store.seen_by_older_decoders()?;
        done.done = self.store.go_over_to(&self.embedder.fingerprint, leave_the_rest)?;
        if done.done && done.embedded > 0 {
            // What it has linked are other vectors, or too few: it is made anew.
            self.index.discard(self.progress.as_ref());
        }
        Ok(done)
    }
}
