//! The engine's index: loaded, audited, saved and rebuilt.

use super::home_index::IndexMode;
use super::index_audit::IndexAudit;
use super::shared_snapshot::SharedIndex;
use super::vector_index::VectorIndex;
use super::{Engine, EngineError};
use crate::store::Extent;
use crate::vector::Fingerprint;

impl Engine {
    /// Brings the index into its fastest shape and saves it, when that is worth the time. Answers are right without
    /// it; call it after storing many pictures.
    ///
    /// # Errors
    /// [`EngineError`] when the index cannot be read or saved.
    pub fn settle_index(&self) -> Result<(), EngineError> {
        self.index.settle(self.store.as_ref(), self.progress.as_ref())
    }

    /// Loads the model and the index now instead of at the first search.
    ///
    /// # Errors
    /// [`EngineError`] when either cannot be loaded.
    pub fn warm_up(&self) -> Result<(), EngineError> {
        self.embedder.get(self.progress.as_ref())?;
        self.with_index(|_| Ok(()))
    }

    /// What names the model whose vectors the home holds; with a provider whose vectors are not comparable with the CPU's,
    /// another one than the model's own.
    #[must_use]
    pub fn model(&self) -> &Fingerprint {
        &self.embedder.fingerprint
    }

    /// Which index answers.
    #[must_use]
    pub fn index_mode(&self) -> IndexMode {
        self.index.mode()
    }

    /// How many pictures the index holds, once it has all that the catalogue has.
    ///
    /// # Errors
    /// [`EngineError`] when the index cannot be made.
    pub fn index_len(&self) -> Result<usize, EngineError> {
        self.with_index(|index| Ok(index.len()))
    }

    /// How far the index has followed the feed of additions and removals, once it has followed it; see
    /// [`CatalogView::extent`](super::CatalogView::extent).
    ///
    /// # Errors
    /// [`EngineError`] when the index cannot be made.
    pub fn index_extent(&self) -> Result<Extent, EngineError> {
        self.index.extent(self.store.as_ref(), self.progress.as_ref())
    }

    /// What is there of the index for other workers; `None` where none share it, see
    /// [`EngineBuilder::index_snapshots`](super::EngineBuilder::index_snapshots).
    ///
    /// # Errors
    /// [`EngineError`] when the home cannot be read; a folder that cannot be read is told in the answer.
    pub fn shared_index(&self) -> Result<Option<SharedIndex>, EngineError> {
        self.index.shared(self.store.as_ref())
    }

    pub(super) fn with_index<T>(
        &self,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let moment = self.moment();
        let done = self.index.with(self.store.as_ref(), self.progress.as_ref(), job)?;
        self.recent.followed(moment);
        Ok(done)
    }

    /// Makes the index anew from the catalogue, which [`Engine::audit`] may show to be needed.
    ///
    /// # Errors
    /// [`EngineError`] when the catalogue cannot be read or the index cannot be saved.
    pub fn remake_index(&self) -> Result<(), EngineError> {
        self.index.remake(self.store.as_ref(), self.progress.as_ref())
    }

    /// Searches for every stored picture by its own embedding, and counts those that do not find themselves (or an
    /// equal one).
    ///
    /// # Errors
    /// [`EngineError`] when the catalogue or the index cannot be read.
    pub fn audit(&self) -> Result<IndexAudit, EngineError> {
        self.index.audit(self.store.as_ref(), self.progress.as_ref())
    }
}
