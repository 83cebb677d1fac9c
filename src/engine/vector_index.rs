//! What does the engine ask of an index of vectors?

use crate::index::{Candidates, Index, IndexError, PhotoSet};
use crate::photo_id::PhotoId;
use crate::store::Extent;
use crate::vector::Embedding;

/// Finds the stored pictures that are near, and follows the store's feed of additions and removals. Called from any
/// thread; searches go on while others insert and remove.
pub(super) trait VectorIndex: Send + Sync {
    fn len(&self) -> usize;

    /// How far in the store's feed it has come.
    fn extent(&self) -> Extent;

    fn insert(&self, pictures: &[(PhotoId, Embedding)]) -> Result<(), IndexError>;

    /// Takes pictures out; those that are not there are passed over. `last_removal` is the feed's number of the last one.
    fn remove(&self, photo_ids: &[PhotoId], last_removal: i64);

    /// The `k` nearest. What scores below `sure_above` is never missed.
    fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, IndexError>;

    /// The `k` nearest of all, or of those of `among`, with none missed.
    fn search_exact(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&PhotoSet>,
    ) -> Result<Candidates, IndexError>;
}

impl VectorIndex for Index {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn extent(&self) -> Extent {
        Extent { last_photo_id: self.last_photo_id(), last_removal: self.removals_seen() }
    }

    fn insert(&self, pictures: &[(PhotoId, Embedding)]) -> Result<(), IndexError> {
        self.insert_many(pictures.iter().map(|(photo_id, embedding)| (*photo_id, embedding)))
    }

    fn remove(&self, photo_ids: &[PhotoId], last_removal: i64) {
        Self::remove(self, photo_ids, last_removal);
    }

    fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, IndexError> {
        Self::search(self, query, k, sure_above)
    }

    fn search_exact(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&PhotoSet>,
    ) -> Result<Candidates, IndexError> {
        match among {
            Some(among) => self.search_among(query, k, among),
            None => Self::search_exact(self, query, k),
        }
    }
}
