//! How near do the stored pictures lie to each other? For plots of the corpus.

use rayon::prelude::*;

use super::{Engine, EngineError};
use crate::photo_id::PhotoId;
use crate::store::PhotoFilter;
use crate::verify::{Probe, SketchedCandidate, measure};

/// Of some stored pictures: each one's nearest other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CorpusSample {
    /// Cosines of the embeddings, -1..=1.
    pub similarities: Vec<f32>,
    /// How sure the verifier is, 0..=1, that both are the same picture, as far as the stored sketches show it: originals are
    /// not needed, but a search, which has one of the two whole, may see more.
    pub confidences: Vec<f32>,
    /// The threshold between hit and review, a confidence, 0..=1.
    pub threshold: f32,
}

impl Engine {
    /// Looks at up to `most` stored pictures, evenly spread over their numbers.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn sample_corpus(&self, most: usize) -> Result<CorpusSample, EngineError> {
        let all = self.store.photos(&PhotoFilter::default())?;
        let every = all.len().div_ceil(most.max(1)).max(1);
        let some: Vec<PhotoId> = all.into_iter().step_by(every).collect();
        let pairs: Vec<Option<(f32, Option<f32>)>> =
            some.par_iter().map(|photo_id| self.nearest_other(*photo_id)).collect::<Result<_, _>>()?;
        Ok(CorpusSample {
            similarities: pairs.iter().flatten().map(|(score, _)| *score).collect(),
            confidences: pairs.iter().flatten().filter_map(|(_, sure)| *sure).collect(),
            threshold: self.operating_point()?.confidence,
        })
    }

    fn nearest_other(&self, photo_id: PhotoId) -> Result<Option<(f32, Option<f32>)>, EngineError> {
        let Some(embedding) = self.stored_embedding(photo_id)? else { return Ok(None) };
        let found = self.with_index(|index| index.search_exact(&embedding, 2, None))?;
        let Some(other) = found.iter().find(|other| other.photo_id != photo_id) else { return Ok(None) };
        let (Some(own), Some(sketch)) = (self.stored_sketch(photo_id)?, self.stored_sketch(other.photo_id)?)
        else {
            return Ok(Some((other.score, None)));
        };
        let probe = Probe::of(&own.picture())?;
        let evidence = measure(&probe, &[SketchedCandidate { sketch: &sketch, cosine: other.score }]);
        Ok(Some((other.score, Some(evidence[0].map_or(0.0, |evidence| evidence.confidence())))))
    }
}
