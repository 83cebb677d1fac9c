//! The picture in question, and what is made of it: each thing once, when it is first asked for.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};

use super::judge::Look;
use super::timings::{Stage, Stopwatch};
use super::{Engine, EngineError, Query};
use crate::clock::Timestamp;
use crate::embed::FirstLook;
use crate::photo::{Digest, Photo, PhotoFormat};
use crate::photo_id::PhotoId;
use crate::pool::Pool;
use crate::question::{Region, SearchParams};
use crate::store::{CatalogError, NewPhoto, Stored};
use crate::tensor::{Preprocessor, Tensor, TensorSpec};
use crate::vector::Embedding;
use crate::verdict::{Match, Rule};
use crate::verify::{Measurements, Probe, Sketch};

/// A picture's bytes, and whatever was made of them so far.
pub(super) struct Picture<'e> {
    engine: &'e Engine,
    bytes: &'e [u8],
    byte_digest: Digest,
    photo: OnceCell<Photo>,
    first_look: OnceCell<FirstLook>,
    parts: OnceCell<Vec<Embedding>>,
    probe: OnceCell<Probe>,
    /// Of the probe.
    measurements: RefCell<Measurements>,
    pub(super) timings: Stopwatch,
}

impl<'e> Picture<'e> {
    pub(super) fn new(engine: &'e Engine, bytes: &'e [u8]) -> Self {
        let timings = Stopwatch::start();
        let byte_digest = timings.measure(Stage::Catalog, || Digest::of(bytes));
        Self::hashed(engine, bytes, byte_digest, timings)
    }

    /// For bytes whose digest is known already.
    pub(super) fn with_digest(engine: &'e Engine, bytes: &'e [u8], byte_digest: Digest) -> Self {
        Self::hashed(engine, bytes, byte_digest, Stopwatch::start())
    }

    fn hashed(engine: &'e Engine, bytes: &'e [u8], byte_digest: Digest, timings: Stopwatch) -> Self {
        let (photo, first_look, parts, probe, measurements) = Default::default();
        Self { engine, bytes, byte_digest, photo, first_look, parts, probe, measurements, timings }
    }

    pub(super) fn byte_digest(&self) -> Digest {
        self.byte_digest
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The stored photo with the same pixels.
    pub(super) fn find_pixels(&self) -> Result<Option<Match>, EngineError> {
        let pixel_digest = self.photo()?.pixel_digest();
        let known =
            self.timings.measure(Stage::Catalog, || self.engine.store.photo_by_pixels(pixel_digest))?;
        Ok(known.map(|photo_id| Match::equal(photo_id, Rule::SamePixels)))
    }

    /// The stored photo with the same bytes.
    pub(super) fn find_bytes(&self) -> Result<Option<Match>, EngineError> {
        let digest = self.byte_digest;
        let known = self.timings.measure(Stage::Catalog, || self.engine.store.photo_by_bytes(digest))?;
        Ok(known.map(|photo_id| Match::equal(photo_id, Rule::SameBytes)))
    }

    /// The part of it that is meant: what lies inside it, and `None` where that is all of it, so that the whole picture is one
    /// question however it is put. What lies outside altogether stays as it is, and is refused where it is asked.
    pub(super) fn part(&self, region: Option<Region>) -> Result<Option<Region>, EngineError> {
        let Some(region) = region else { return Ok(None) };
        let (width_px, height_px) = self.size_px()?;
        let inside = region.within((width_px, height_px)).unwrap_or(region);
        Ok((inside.edges_px() != [0, 0, width_px, height_px]).then_some(inside))
    }

    /// The query about the part of this picture that lies inside it.
    pub(super) fn clamped<'q, 'a>(&self, query: &'q Query<'a>) -> Result<Cow<'q, Query<'a>>, EngineError> {
        let part = self.part(query.params.region)?;
        if part == query.params.region {
            return Ok(Cow::Borrowed(query));
        }
        let params = SearchParams { region: part, ..query.params.clone() };
        // All of it was named, which an elongated picture needs.
        Ok(Cow::Owned(Query { params, whole: query.whole || part.is_none(), ..query.clone() }))
    }

    /// Width and height. Known bytes are not decoded for it.
    fn size_px(&self) -> Result<(u32, u32), EngineError> {
        if self.photo.get().is_none()
            && let Ok(Some(same)) = self.find_bytes()
            && let Ok(Some(stored)) = self.engine.store.photo(same.photo_id)
        {
            return Ok((stored.width_px, stored.height_px));
        }
        Ok(self.photo()?.as_image().dimensions())
    }

    /// The number of the stored photo with the same bytes or, else, the same pixels: known bytes are not decoded, and neither is
    /// embedded.
    pub(super) fn stored_id(&self) -> Result<Option<PhotoId>, EngineError> {
        let same = match self.find_bytes()? {
            Some(same) => Some(same),
            None => self.find_pixels()?,
        };
        Ok(same.map(|same| same.photo_id))
    }

    pub(super) fn photo(&self) -> Result<&Photo, EngineError> {
        once(&self.photo, || {
            let decode = || Photo::decode_hashed(self.bytes, self.byte_digest, &self.engine.limits);
            Ok(self.timings.measure(Stage::Decode, decode)?)
        })
    }

    pub(super) fn embedding(&self) -> Result<&Embedding, EngineError> {
        Ok(&self.first_look()?.embedding)
    }

    fn first_look(&self) -> Result<&FirstLook, EngineError> {
        once(&self.first_look, || {
            let embedder = self.embedder()?;
            let tensor = self.tensor(&self.engine.preprocessors[0], embedder.input())?;
            Ok(self.timings.measure(Stage::Embed, || embedder.look(&tensor))?)
        })
    }

    /// Embeddings of parts of the picture; none where the embedder knows whole pictures only.
    pub(super) fn parts(&self) -> Result<&[Embedding], EngineError> {
        let parts = once(&self.parts, || {
            let embedder = self.embedder()?;
            let Some(input) = embedder.parts_input() else { return Ok(Vec::new()) };
            let tensor = self.tensor(&self.engine.preprocessors[1], &input)?;
            Ok(self.timings.measure(Stage::Embed, || embedder.embed_parts(&tensor))?)
        });
        parts.map(Vec::as_slice)
    }

    /// For comparing it with stored pictures.
    pub(super) fn probe(&self) -> Result<&Probe, EngineError> {
        once(&self.probe, || {
            let photo = self.photo()?;
            Ok(self.timings.measure(Stage::Verdict, || Probe::of(photo.as_image()))?)
        })
    }

    /// As [`Picture::probe`], of a picture that is not needed any more.
    pub(super) fn into_probe(self) -> Result<Probe, EngineError> {
        self.probe()?;
        let made = self.probe.into_inner();
        Ok(made.expect("it was made above"))
    }

    /// What the verifier keeps of it.
    pub(super) fn sketch(&self) -> Result<Sketch, EngineError> {
        if let Some(probe) = self.probe.get() {
            return Ok(probe.sketch());
        }
        let photo = self.photo()?;
        Ok(self.timings.measure(Stage::Verdict, || Sketch::of(photo.as_image()))?)
    }

    /// All that is kept of it.
    pub(super) fn measured(&self) -> Result<Measured, EngineError> {
        let photo = self.photo()?;
        Ok(Measured {
            byte_digest: self.byte_digest,
            pixel_digest: photo.pixel_digest(),
            width_px: photo.width_px(),
            height_px: photo.height_px(),
            format: photo.format(),
            embedding: self.embedding()?.clone(),
            sketch: self.sketch()?.to_bytes(),
        })
    }

    /// What was made of it for comparing, and of its parts if those were looked at.
    pub(super) fn into_compared(self) -> Compared {
        let (probe, parts) = (self.probe.into_inner(), self.parts.into_inner());
        Compared { probe, measurements: self.measurements.into_inner(), parts, timings: self.timings }
    }

    /// Has it stored as a new photo.
    pub(super) fn store_as_new(
        &self,
        label: &str,
        store: impl FnOnce(&NewPhoto<'_>) -> Result<Stored, CatalogError>,
    ) -> Result<Stored, EngineError> {
        let measured = self.measured()?;
        let photo = measured.as_new(label, self.engine.clock.now());
        Ok(self.timings.measure(Stage::Catalog, || store(&photo))?)
    }

    fn embedder(&self) -> Result<std::sync::Arc<dyn crate::embed::Embedder>, EngineError> {
        let get = || self.engine.embedder.get(self.engine.progress.as_ref());
        Ok(self.timings.measure(Stage::Embed, get)?)
    }

    fn tensor(&self, idle: &Pool<Preprocessor>, spec: &TensorSpec) -> Result<Tensor, EngineError> {
        let photo = self.photo()?;
        let make = || Ok(Preprocessor::new(spec.clone()));
        let resized = |preprocessor: &mut Preprocessor| preprocessor.tensor(photo);
        Ok(idle.with(make, |preprocessor| self.timings.measure(Stage::Tensor, || resized(preprocessor)))?)
    }
}

impl Look for Picture<'_> {
    fn embedding(&self) -> Result<&Embedding, EngineError> {
        Self::embedding(self)
    }

    fn may_be_composite(&self) -> Result<bool, EngineError> {
        Ok(self.first_look()?.may_be_composite)
    }

    fn parts(&self) -> Result<&[Embedding], EngineError> {
        Self::parts(self)
    }

    fn probe(&self) -> Result<&Probe, EngineError> {
        Self::probe(self)
    }

    fn with_measurements<T>(&self, work: impl FnOnce(&mut Measurements) -> T) -> T {
        work(&mut self.measurements.borrow_mut())
    }

    fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.timings.measure(stage, work)
    }
}

/// What was made of a picture that is compared once more later, without its pixels.
pub(super) struct Compared {
    pub(super) probe: Option<Probe>,
    pub(super) measurements: Measurements,
    pub(super) parts: Option<Vec<Embedding>>,
    pub(super) timings: Stopwatch,
}

fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, EngineError>) -> Result<&T, EngineError> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

/// A decoded and embedded picture: what the catalogue keeps of it, and no pixels.
pub(super) struct Measured {
    pub(super) byte_digest: Digest,
    pub(super) pixel_digest: Digest,
    width_px: u32,
    height_px: u32,
    format: PhotoFormat,
    pub(super) embedding: Embedding,
    /// As the verifier writes it.
    pub(super) sketch: Vec<u8>,
}

impl Measured {
    pub(super) fn pixel_digest(&self) -> Digest {
        self.pixel_digest
    }

    /// Width and height.
    pub(super) fn size_px(&self) -> (u32, u32) {
        (self.width_px, self.height_px)
    }

    pub(super) fn as_new<'a>(&'a self, label: &'a str, added_at: Timestamp) -> NewPhoto<'a> {
        NewPhoto {
            label,
            byte_digest: self.byte_digest,
            pixel_digest: self.pixel_digest,
            width_px: self.width_px,
            height_px: self.height_px,
            format: self.format,
            embedding: &self.embedding,
            sketch: &self.sketch,
            added_at,
        }
    }
}
