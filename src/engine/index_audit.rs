//! Does the index find every picture by its own vector?

use rayon::prelude::*;
use serde::Serialize;

use super::vector_index::VectorIndex;
use super::{EngineError, Progress};
use crate::index::Candidates;
use crate::store::Store;
use crate::vector::Embedding;

/// How many embeddings are read from the catalogue at a time.
const CHUNK: u32 = 8192;

/// From so many pictures on the audit says how far it is.
const WORTH_TELLING: usize = 1000;

/// Above so much the score of a picture with its own vector lies: it is 1.
const OWN: f32 = 1.0 - 1e-6;

/// What [`super::Engine::audit`] has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IndexAudit {
    /// How many pictures the catalogue has.
    pub photos: usize,
    /// How many of them the index does not find by their own vectors.
    pub lost: usize,
    /// How many the graph alone does not find; the index finds them all the same.
    pub lost_by_graph: usize,
    /// How many pictures the index has that the catalogue has not.
    pub surplus: usize,
}

impl IndexAudit {
    /// Whether the index does what it promises.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.lost == 0 && self.surplus == 0
    }
}

/// Searches for every picture of the store.
pub(super) fn audit(
    index: &dyn VectorIndex,
    store: &dyn Store,
    progress: &dyn Progress,
) -> Result<IndexAudit, EngineError> {
    let (all, before) = (usize::try_from(store.photo_count()?).unwrap_or(usize::MAX), store.extent()?);
    let mut audit = IndexAudit::default();
    let mut after = None;
    loop {
        let chunk = store.embeddings_after(after, CHUNK)?;
        let Some(last) = chunk.last else { break };
        after = Some(last);
        let lost = |embedding: &Embedding| {
            // An equal vector may belong to another picture: then the score is what counts.
            let is_own = |found: &Candidates| found.best().is_some_and(|best| best.score >= OWN);
            let by_graph = is_own(&index.search_graph_alone(embedding, 1)?);
            Ok::<_, EngineError>((!is_own(&index.search(embedding, 1, 0.999)?), !by_graph))
        };
        let found: Result<Vec<_>, _> =
            chunk.embeddings.par_iter().map(|(_, embedding)| lost(embedding)).collect();
        for (lost, by_graph) in found? {
            audit.photos += 1;
            audit.lost += usize::from(lost);
            audit.lost_by_graph += usize::from(by_graph);
        }
        if all >= WORTH_TELLING {
            progress.step("auditing", audit.photos, all);
        }
    }
    // While others store and remove, the numbers of two moments cannot be compared.
    if store.extent()? == before {
        audit.surplus = index.len().saturating_sub(audit.photos);
    }
    Ok(audit)
}
