//! Pictures that were uploaded to be searched for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

/// Uploads that are remembered; the oldest is forgotten first. How long the real ones are remembered is not known.
const KEPT_UPLOADS: usize = 64;
const FIRST_IMAGE_ID: u64 = 1_048_608_196_202_797_156;

/// Uploaded pictures by their id.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    given: u64,
    pictures: VecDeque<(u64, Arc<RgbImage>)>,
}

impl Uploads {
    pub(super) fn put(&self, picture: RgbImage) -> u64 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = FIRST_IMAGE_ID + kept.given;
        kept.given += 1;
        kept.pictures.push_back((id, Arc::new(picture)));
        if kept.pictures.len() > KEPT_UPLOADS {
            kept.pictures.pop_front();
        }
        id
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<RgbImage>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pictures.iter().find(|(known, _)| *known == id).map(|(_, picture)| Arc::clone(picture))
    }
}
