//! Own goods: what the user sells or has bought already, indexed so that a search finds it.

use std::sync::Arc;

use serde::Serialize;

use super::picture::{Measured, Picture};
use super::{Engine, EngineError};
use crate::clock::Timestamp;
use crate::offer::Offer;
use crate::photo_id::PhotoId;
use crate::store::{CatalogError, GoodsPhoto, NewGood, StoredGood};

/// What [`Engine::add_own`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Added {
    /// The photo that shows the good.
    pub photo_id: PhotoId,
    /// False when a photo with the same bytes or pixels was there already; the good was added to it.
    pub is_new: bool,
    /// How many photos show the good by now.
    pub photos: u32,
}

impl From<StoredGood> for Added {
    fn from(stored: StoredGood) -> Self {
        let StoredGood { photo_id, is_new, photos } = stored;
        Self { photo_id, is_new, photos }
    }
}

/// A good's picture, looked up and computed as far as storing needs it.
#[derive(Clone)]
pub(super) enum PreparedPhoto {
    Stored(PhotoId),
    New(Arc<Measured>),
}

impl PreparedPhoto {
    pub(super) fn as_new<'a>(&'a self, label: &'a str, added_at: Timestamp) -> GoodsPhoto<'a> {
        match self {
            Self::Stored(photo_id) => GoodsPhoto::Stored(*photo_id),
            Self::New(measured) => GoodsPhoto::New(measured.as_new(label, added_at)),
        }
    }
}

impl Engine {
    /// Stores a good of the user's own with a picture of it. From then on a search for that picture, or an edited
    /// copy of it, is a hit that answers with the good. What is told last of a good counts; a good that is added with
    /// another picture has both. Never asks an upstream. [`Engine::add_all`] stores many, several times faster.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails; nothing is stored then.
    pub fn add_own(&self, good: &Offer, bytes: &[u8], label: &str) -> Result<Added, EngineError> {
        loop {
            let photo = Self::prepare_photo(&Picture::new(self, bytes))?;
            let added_at = self.clock.now();
            let good = NewGood { offer: good, photo: photo.as_new(label, added_at), added_at };
            match self.store.store_all(&[good])?.pop() {
                Some(Ok(stored)) => return Ok(stored.into()),
                // Removed since it was looked for: looked for again, it is a new one.
                None | Some(Err(CatalogError::PhotoGone { .. })) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// A picture that is not stored is decoded, embedded and sketched.
    pub(super) fn prepare_photo(picture: &Picture<'_>) -> Result<PreparedPhoto, EngineError> {
        Ok(match picture.stored_id()? {
            Some(photo_id) => PreparedPhoto::Stored(photo_id),
            None => PreparedPhoto::New(Arc::new(picture.measured()?)),
        })
    }
}
