//! What does the engine ask of an index of vectors?

use super::EngineError;
use crate::index::{Candidates, Index, PhotoSet};
use crate::vector::Embedding;

/// Finds the stored pictures that are near. Called from any thread; searches go on while others insert and remove.
pub(super) trait VectorIndex: Sync {
    fn len(&self) -> usize;

    /// The `k` nearest. What scores below `sure_above` is never missed, as far as the index can promise that.
    fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, EngineError>;

    /// The `k` nearest of all, or of those of `among`, with none missed.
    fn search_exact(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&PhotoSet>,
    ) -> Result<Candidates, EngineError>;

    /// The `k` nearest by the graph alone; by all where there is none. For auditing.
    fn search_graph_alone(&self, query: &Embedding, k: usize) -> Result<Candidates, EngineError>;
}

/// An index of this process, without a graph up to `exact_max` pictures.
pub(super) struct OwnIndex<'i> {
    pub(super) index: &'i Index,
    pub(super) exact_max: usize,
}

impl VectorIndex for OwnIndex<'_> {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, EngineError> {
        Ok(self.index.search(query, k, sure_above)?)
    }

    fn search_exact(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&PhotoSet>,
    ) -> Result<Candidates, EngineError> {
        Ok(match among {
            Some(among) => self.index.search_among(query, k, among)?,
            None => self.index.search_exact(query, k)?,
        })
    }

    fn search_graph_alone(&self, query: &Embedding, k: usize) -> Result<Candidates, EngineError> {
        Ok(if self.index.len() > self.exact_max {
            self.index.search_graph_alone(query, k)?
        } else {
            self.index.search_exact(query, k)?
        })
    }
}
