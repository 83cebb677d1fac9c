//! Removing stored pictures.

use std::time::Duration;

use serde::Serialize;

use super::picture::Picture;
use super::{Engine, EngineError};
use crate::photo_id::PhotoId;

/// What [`Engine::forget`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forgotten {
    /// Photos that were there and are not any more.
    pub photo_ids: Vec<PhotoId>,
}

impl Engine {
    /// Removes photos with everything that is stored about them: digests, embedding, sketch, answers, and their places in
    /// the queue. From then on no search of any process finds them. Numbers without a photo are passed over. What was
    /// spent stays in the books.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails; then all are still there.
    pub fn forget(&self, photo_ids: &[PhotoId]) -> Result<Forgotten, EngineError> {
        let photo_ids = self.store.forget(photo_ids)?;
        self.recent.let_go(&photo_ids);
        Ok(Forgotten { photo_ids })
    }

    /// Removes the pictures of searches that were stored, and last answered by an upstream, longer ago than `age`. Own
    /// goods and pictures of offers stay.
    ///
    /// # Errors
    /// As [`Engine::forget`].
    pub fn forget_older_than(&self, age: Duration) -> Result<Forgotten, EngineError> {
        let old = self.store.searched_before(self.clock.now().minus(age))?;
        self.forget(&old)
    }

    /// The stored photo that has these bytes or these pixels. Neither embeds the picture nor asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails.
    pub fn photo_of(&self, bytes: &[u8]) -> Result<Option<PhotoId>, EngineError> {
        Picture::new(self, bytes).stored_id()
    }
}
