//! All that is kept of a picture, computed and not stored yet.

use super::{Engine, EngineError, Seen, Stage, Timings};
use crate::catalog::NewPhoto;
use crate::clock::Timestamp;
use crate::embed::Embedding;
use crate::photo::{Digest, PhotoFormat};
use crate::verify::Sketch;

/// A decoded and embedded picture: what the catalogue keeps of it, and no pixels.
pub(super) struct Measured {
    byte_digest: Digest,
    pixel_digest: Digest,
    width_px: u32,
    height_px: u32,
    format: PhotoFormat,
    embedding: Embedding,
    /// As the verifier writes it.
    sketch: Vec<u8>,
}

impl Measured {
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

impl Engine {
    /// Decodes and embeds a picture, as far as that is not done yet, and makes its sketch.
    pub(super) fn measure(
        &self,
        seen: &mut Seen,
        bytes: &[u8],
        timings: &mut Timings,
    ) -> Result<Measured, EngineError> {
        let photo = self.decoded(&mut seen.photo, bytes, timings)?;
        let embedding = match seen.embedding.take() {
            Some(embedding) => embedding,
            None => self.embed(photo, timings)?,
        };
        let sketch = match seen.probe.take() {
            Some(probe) => probe.sketch(),
            None => timings.measure(Stage::Verdict, || Sketch::of(photo.as_image()))?,
        };
        Ok(Measured {
            byte_digest: seen.byte_digest,
            pixel_digest: photo.pixel_digest(),
            width_px: photo.width_px(),
            height_px: photo.height_px(),
            format: photo.format(),
            embedding,
            sketch: sketch.to_bytes(),
        })
    }
}
