//! The nearest stored pictures, without a verdict.

use serde::Serialize;

use super::picture::Picture;
use super::{Engine, EngineError};
use crate::clock::Timestamp;
use crate::index::PhotoSet;
use crate::photo_id::PhotoId;
use crate::store::{PhotoFilter, PhotoKind};
use crate::verdict::similarity_percent;

/// A stored picture and how alike it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Similar {
    /// The stored photo.
    pub photo_id: PhotoId,
    /// How it came here.
    pub kind: PhotoKind,
    /// For people, usually the file's name.
    pub label: String,
    /// When it was stored.
    pub added_at: Timestamp,
    /// The score as an integer, 0 to 100: negative cosines are 0.
    pub similarity: u8,
    /// Cosine, -1 to 1.
    pub score: f32,
}

impl Engine {
    /// The `k` stored pictures that look most like this one, of those that `filter` means, best first: all of them and
    /// exactly, without a verdict. Never asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails.
    pub fn similar(&self, bytes: &[u8], k: usize, filter: &PhotoFilter) -> Result<Vec<Similar>, EngineError> {
        let embedding = Picture::new(self, bytes).embedding()?.clone();
        let among: Option<PhotoSet> = if *filter == PhotoFilter::default() {
            None
        } else {
            Some(self.store.photos(filter)?.into_iter().collect())
        };
        let found = self.with_index(|index| index.search_exact(&embedding, k, among.as_ref()))?;
        let mut similar = Vec::with_capacity(found.len());
        for candidate in &found {
            // One that has gone since is none.
            let Some(photo) = self.store.photo(candidate.photo_id)? else { continue };
            similar.push(Similar {
                photo_id: photo.photo_id,
                kind: photo.kind,
                label: photo.label,
                added_at: photo.added_at,
                similarity: similarity_percent(candidate.score),
                score: candidate.score,
            });
        }
        Ok(similar)
    }
}
