//! For grouping pictures: measures, stores and judges them one step at a time, against candidates of the caller's choice.

use super::picture::{Measured, Picture};
use super::{Engine, EngineError};
use crate::clock::Timestamp;
use crate::index::{self, PhotoSet};
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::store::{Said, Stored, StoredVector};
use crate::vector::Embedding;
use crate::verdict::{Finding, Match, Policy, Verdict};
use crate::verify::{self, Measurements, Probe, Sketch, SketchedCandidate};

/// How many candidates a picture is laid over, as in a search.
pub const JUDGED: usize = super::judge::CANDIDATES;

/// A decoded, embedded and sketched picture, without its pixels.
pub struct PreparedPicture {
    measured: Measured,
    /// What it is judged with.
    pub probe: Probe,
    /// Variance of the second derivative of the brightness, in squared 8-bit steps: larger is sharper.
    pub sharpness: f32,
}

/// What stays known of a [`PreparedPicture`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureFacts {
    /// Of the upright sRGB pixels.
    pub pixel_digest: Digest,
    /// Upright, as decoded.
    pub width_px: u32,
    /// Upright, as decoded.
    pub height_px: u32,
    /// See [`PreparedPicture::sharpness`].
    pub sharpness: f32,
    /// Whether next to nothing shows in it, so that looks say nothing.
    pub is_blank: bool,
}

impl std::fmt::Debug for PreparedPicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedPicture").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

impl PreparedPicture {
    /// What stays known when the picture is gone.
    #[must_use]
    pub fn facts(&self) -> PictureFacts {
        let (width_px, height_px) = self.measured.size_px();
        PictureFacts {
            pixel_digest: self.measured.pixel_digest(),
            width_px,
            height_px,
            sharpness: self.sharpness,
            is_blank: self.probe.is_blank(),
        }
    }
}

impl Engine {
    /// Decodes, embeds and sketches a picture; nothing is looked up or stored.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the model fails.
    pub fn prepare_picture(&self, bytes: &[u8]) -> Result<PreparedPicture, EngineError> {
        let picture = Picture::new(self, bytes);
        let sharpness = sharpness(picture.photo()?.as_image());
        picture.probe()?;
        let measured = picture.measured()?;
        Ok(PreparedPicture { measured, probe: picture.into_probe()?, sharpness })
    }

    /// What it takes to judge a picture that is stored already.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read.
    pub fn probe_of(&self, bytes: &[u8]) -> Result<Probe, EngineError> {
        Picture::new(self, bytes).into_probe()
    }

    /// What the engine's clock says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Stores pictures without answers, each under a label for people, in one transaction; those that are there stay.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails; none is stored then.
    pub fn store_prepared(&self, pictures: &[(&PreparedPicture, &str)]) -> Result<Vec<Stored>, EngineError> {
        let now = self.clock.now();
        let new: Vec<_> =
            pictures.iter().map(|(picture, label)| picture.measured.as_new(label, now)).collect();
        Ok(self.store.store_photos(&new)?)
    }

    /// The vector of a stored photo; `None` where it is gone or damaged.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn stored_embedding(&self, photo_id: PhotoId) -> Result<Option<Embedding>, EngineError> {
        Ok(match self.store.embedding(photo_id)? {
            StoredVector::Whole(embedding) => Some(embedding),
            StoredVector::Damaged | StoredVector::Missing => None,
        })
    }

    /// The `k` photos of `among` whose vectors are nearest, best first; exact.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn nearest_among(
        &self,
        embedding: &Embedding,
        k: usize,
        among: &PhotoSet,
    ) -> Result<Vec<index::Candidate>, EngineError> {
        if among.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.with_index(|index| index.search_exact(embedding, k, Some(among)))?;
        Ok(found.as_slice().to_vec())
    }

    /// What people have said of these photos among themselves.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, EngineError> {
        Ok(self.store.said_of(photo_ids)?)
    }

    /// The thresholds between hit, review and miss in a home of `stored` pictures.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn policy_for(&self, stored: u64) -> Result<Policy, EngineError> {
        self.bound.policy(self.store.as_ref(), stored, self.progress.as_ref())
    }

    /// Is the picture one of these, by sight? Parts of it are not looked for.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn judge_among(
        &self,
        probe: &Probe,
        candidates: &[index::Candidate],
        policy: &Policy,
        said: &Said,
    ) -> Result<Verdict, EngineError> {
        let mut findings = super::judge::findings(self, candidates)?;
        super::judge::lay_over(probe, &mut findings, &mut Measurements::default());
        Ok(policy.judge(&findings, &|a, b| said.of(a, b)))
    }

    /// How sure it is, 0..=1, that a picture is the stored one when each has been laid over the other: `confidence` is that of the
    /// picture laid over what is kept of the stored one, `stored` is the stored one itself, and the odds of both are averaged.
    /// Where the stored one has a rim or a banner, it shows more of the picture than what is kept of it (docs/benchmarks/scan.md).
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn confidence_both_ways(
        &self,
        photo_id: PhotoId,
        stored: &Probe,
        matched: &Match,
    ) -> Result<Option<f32>, EngineError> {
        let Some((there, sketch)) = matched.confidence.zip(self.stored_sketch(photo_id)?) else {
            return Ok(None);
        };
        let candidate = SketchedCandidate { sketch: &sketch, cosine: matched.score };
        let back = verify::measure(stored, &[candidate])
            .pop()
            .flatten()
            .map_or(0.0, |evidence| evidence.confidence());
        let odds = |share: f32| {
            let share = share.clamp(1e-6, 1.0 - 1e-6);
            (share / (1.0 - share)).ln()
        };
        Ok(Some(1.0 / (1.0 + (-f32::midpoint(odds(there), odds(back))).exp())))
    }

    /// Which of these pictures show the same: for each the place of the first one that it is the same as, or its own. By sight
    /// and by the threshold for as many pictures as there are here; none is stored.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn same_among(&self, pictures: &[PreparedPicture]) -> Result<Vec<usize>, EngineError> {
        let policy = self.policy_for(pictures.len() as u64)?;
        let mut firsts: Vec<Sketch> = Vec::new();
        let mut places: Vec<usize> = Vec::new();
        let mut same_as = Vec::with_capacity(pictures.len());
        for (place, picture) in pictures.iter().enumerate() {
            // The place among the first ones stands for the id that a stored picture has.
            let near = (0..).zip(&places).map(|(id, first)| index::Candidate {
                photo_id: PhotoId(id),
                score: picture.measured.embedding.cosine(&pictures[*first].measured.embedding),
            });
            let near = index::Candidates::best_of(near.collect(), JUDGED);
            let place_of = |photo_id: PhotoId| usize::try_from(photo_id.0).unwrap_or_default();
            let finding = |candidate: &index::Candidate| Finding {
                sketch: firsts.get(place_of(candidate.photo_id)).cloned(),
                ..Finding::from(*candidate)
            };
            let mut findings: Vec<Finding> = near.iter().map(finding).collect();
            super::judge::lay_over(&picture.probe, &mut findings, &mut Measurements::default());
            let first = match policy.judge(&findings, &|_, _| None) {
                Verdict::Hit(found) => places.get(place_of(found.photo_id)).copied(),
                _ => None,
            };
            if first.is_none() {
                firsts.push(picture.probe.sketch());
                places.push(place);
            }
            same_as.push(first.unwrap_or(place));
        }
        Ok(same_as)
    }

    /// The sketch of a stored photo; `None` where it has none that can be read.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn stored_sketch(&self, photo_id: PhotoId) -> Result<Option<Sketch>, EngineError> {
        let bytes = self.store.sketches(&[photo_id])?.pop().flatten();
        Ok(bytes.and_then(|bytes| Sketch::from_bytes(&bytes).ok()))
    }
}

/// Side of the grid, in pixels, above which a picture's sharpness is measured on every second, third ... row.
const MOST_ROWS: u32 = 512;

/// Variance of the Laplacian of the brightness at the picture's own size, over at most [`MOST_ROWS`] of its rows.
fn sharpness(picture: &image::RgbImage) -> f32 {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    // ITU-R BT.601, in 1/256.
    let luma = |x: usize, y: usize| {
        let pixel = &picture.as_raw()[(y * width + x) * 3..][..3];
        i32::from(pixel[0]) * 77 + i32::from(pixel[1]) * 150 + i32::from(pixel[2]) * 29
    };
    let every = picture.height().div_ceil(MOST_ROWS) as usize;
    let (mut count, mut sum, mut squares) = (0.0f64, 0.0f64, 0.0f64);
    for y in (1..height - 1).step_by(every) {
        for x in 1..width - 1 {
            let around = luma(x - 1, y) + luma(x + 1, y) + luma(x, y - 1) + luma(x, y + 1);
            let value = f64::from(4 * luma(x, y) - around) / 256.0;
            count += 1.0;
            sum += value;
            squares += value * value;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a measure for comparing, at most 10^6")]
    let variance = (squares / count - (sum / count).powi(2)) as f32;
    variance.max(0.0)
}
