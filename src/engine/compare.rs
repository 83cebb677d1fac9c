//! How does a stored photo lie over a picture? For doors that show people what agrees and what differs.

use image::RgbImage;

use super::{Engine, EngineError, Geometry};
use crate::photo::Photo;
use crate::photo_id::PhotoId;
use crate::verify::{Placement, Probe, SketchedCandidate, placed};

/// A picture, and a stored photo beside it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The picture in question, upright.
    pub picture: RgbImage,
    /// What is kept of the stored one: at most 136 x 136 pixels. `None` where it was stored without a sketch, or with one that
    /// cannot be read.
    pub stored: Option<RgbImage>,
    /// Where the stored one lies in the picture, if it can be laid over it.
    pub laid: Option<Laid>,
}

/// A stored photo that lies over a picture.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Laid {
    /// Leads from the stored photo into the picture.
    pub placement: Placement,
    /// The same in numbers.
    pub geometry: Geometry,
    /// The share of the places in sight, 0..=1, that have the stored photo's colour.
    pub colour_agreement: f32,
}

impl Engine {
    /// Lays a stored photo over a picture, in the way by which they show the same goods the most surely. Says nothing of whether
    /// they do; never asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read, there is no such photo, or the home folder fails.
    pub fn compare(&self, bytes: &[u8], photo_id: PhotoId) -> Result<Comparison, EngineError> {
        if self.store.photo(photo_id)?.is_none() {
            return Err(EngineError::NoSuchPhoto { photo_id });
        }
        let picture = Photo::decode(bytes, &self.limits)?.into_image();
        let Some(sketch) = self.stored_sketch(photo_id)? else {
            return Ok(Comparison { picture, stored: None, laid: None });
        };
        // The cosine tells which ways are worth trying; here all are.
        let candidate = SketchedCandidate { sketch: &sketch, cosine: 1.0 };
        let laid = placed(&Probe::of(&picture)?, &candidate).map(|(placement, evidence)| Laid {
            placement,
            geometry: Geometry::from(&evidence),
            colour_agreement: evidence.colour_agreement,
        });
        Ok(Comparison { picture, stored: Some(sketch.picture()), laid })
    }
}
