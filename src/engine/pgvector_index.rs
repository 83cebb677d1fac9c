//! The index that PostgreSQL keeps with pgvector, for a process whose memory does not hold one.
//!
//! | what is asked | who answers |
//! |---|---|
//! | up to `exact_max` pictures | a scan over all vectors, on the server |
//! | above, something sure is near | the graph (HNSW), every candidate scored again with the stored vector |
//! | above, nothing sure is near | the scan, before a miss is declared |
//! | the same, with more than [`SCAN_MAX`] pictures | the graph once more with [`WIDE`] in view: one may be missed |
//! | some of the pictures only, or an exact answer | a scan over those, or all |

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::vector_index::VectorIndex;
use super::{EngineError, Progress};
use crate::index::{Candidate, Candidates, IndexError, PhotoSet};
use crate::photo_id::PhotoId;
use crate::store::{CatalogError, Extent, VectorSearchStore};
use crate::vector::Embedding;

/// Up to so many pictures a scan takes about as long as the graph: docs/benchmarks/pgvector.md.
const EXACT_MAX: usize = 16_384;

/// Up to so many pictures no miss is declared on the graph's word: about a second of the server's for a million, as long as a
/// question upstream takes (docs/benchmarks/pgvector.md).
const SCAN_MAX: usize = 2_000_000;

/// How many vectors the graph's search keeps in view (`hnsw.ef_search`): it brings all of the ten nearest of 100,000 then, and 89 % of
/// those of a million (docs/benchmarks/pgvector.md) ...
const BREADTH: usize = 100;
/// ... so with more pictures than this there are more, which brings 94 % of a million in twice the time, ...
const BROAD_ABOVE: usize = 200_000;
const BROAD: usize = 200;
/// ... and more still where it has the last word: 98 %.
const WIDE: usize = 800;

/// Above so many results wanted the graph has no advantage left.
const GRAPH_MAX_K: usize = 256;

/// How often in one search the vectors may turn out to be made anew by others.
const ATTEMPTS: usize = 3;

pub(super) struct PgvectorIndex {
    /// Of the home on this machine: nothing of this index lies there.
    folder: PathBuf,
    dimension: usize,
    exact_max: usize,
    scan_max: usize,
    known: Mutex<Option<Known>>,
}

/// What was counted last.
#[derive(Clone, Copy)]
struct Known {
    extent: Extent,
    len: u64,
}

impl PgvectorIndex {
    pub(super) fn new(folder: PathBuf, dimension: usize, exact_max: Option<usize>) -> Self {
        let exact_max = exact_max.unwrap_or(EXACT_MAX);
        Self { folder, dimension, exact_max, scan_max: SCAN_MAX, known: Mutex::default() }
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be searched at this moment, made where it is missing.
    pub(super) fn current<'s>(
        &'s self,
        store: &'s dyn VectorSearchStore,
        progress: &dyn Progress,
    ) -> Result<Searchable<'s>, EngineError> {
        for _ in 0..ATTEMPTS {
            let before = *self.known();
            if let Some(reach) = store.search_reach(before.map(|known| known.extent))? {
                let len = (before.map_or(0, |known| known.len) + reach.came).saturating_sub(reach.went);
                *self.known() = Some(Known { extent: reach.extent, len });
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                return Ok(Searchable {
                    index: self,
                    store,
                    extent: reach.extent,
                    len,
                    has_graph: reach.has_graph,
                });
            }
            self.prepare(store, false, progress)?;
        }
        Err(made_anew_again_and_again())
    }

    /// Does something with what can be searched; once more where that was dropped meanwhile.
    pub(super) fn with<T>(
        &self,
        store: &dyn VectorSearchStore,
        progress: &dyn Progress,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        for _ in 0..ATTEMPTS {
            match job(&self.current(store, progress)?) {
                Err(EngineError::Index(IndexError::Damaged)) => {}
                done => return done,
            }
        }
        Err(made_anew_again_and_again())
    }

    /// Makes the graph where the home has grown so far that it needs one.
    pub(super) fn settle(
        &self,
        store: &dyn VectorSearchStore,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let searchable = self.current(store, progress)?;
        if searchable.len > self.exact_max && !searchable.has_graph {
            self.prepare(store, false, progress)?;
        }
        Ok(())
    }

    /// Makes vectors and graph anew.
    pub(super) fn remake(
        &self,
        store: &dyn VectorSearchStore,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        self.prepare(store, true, progress)
    }

    /// Counts anew at the next look.
    pub(super) fn reset(&self) {
        *self.known() = None;
    }

    fn prepare(
        &self,
        store: &dyn VectorSearchStore,
        anew: bool,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        self.reset();
        let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
        let graph_from = u64::try_from(self.exact_max).unwrap_or(u64::MAX).saturating_add(1);
        let tell = |what: &'static str, done, of| progress.step(what, number(done), number(of));
        Ok(store.prepare_search(self.dimension, graph_from, anew, &tell)?)
    }
}

fn made_anew_again_and_again() -> EngineError {
    CatalogError::PgvectorUnavailable {
        problem: "its vectors are dropped as often as they are made: see which other worker does so"
            .to_owned(),
    }
    .into()
}

/// What a store can search at one moment.
pub(super) struct Searchable<'s> {
    index: &'s PgvectorIndex,
    store: &'s dyn VectorSearchStore,
    pub(super) extent: Extent,
    len: usize,
    has_graph: bool,
}

impl Searchable<'_> {
    fn check_dimension(&self, query: &Embedding) -> Result<(), IndexError> {
        let (expected, got) = (self.index.dimension, query.dimension());
        if got == expected { Ok(()) } else { Err(IndexError::Dimension { expected, got }) }
    }

    fn breadth(&self) -> usize {
        if self.len > BROAD_ABOVE { BROAD } else { BREADTH }
    }

    fn by_graph(&self, query: &Embedding, k: usize, breadth: usize) -> Result<Candidates, EngineError> {
        candidates(self.store.nearest_by_graph(query, k, breadth)?, k)
    }
}

/// `None` says that the vectors are being made anew.
fn candidates(found: Option<Vec<(PhotoId, f32)>>, k: usize) -> Result<Candidates, EngineError> {
    let found = found.ok_or(IndexError::Damaged)?;
    let found = found.into_iter().map(|(photo_id, score)| Candidate { photo_id, score });
    Ok(Candidates::best_of(found.collect(), k))
}

impl VectorIndex for Searchable<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, EngineError> {
        self.check_dimension(query)?;
        let wanted = k.min(self.len);
        let may_graph = self.has_graph && sure_above < f32::INFINITY && wanted <= GRAPH_MAX_K;
        if may_graph && self.len > self.index.exact_max {
            let found = self.by_graph(query, k, self.breadth())?;
            if found.len() >= wanted && found.best().is_some_and(|best| best.score >= sure_above) {
                return Ok(found);
            }
            if self.len > self.index.scan_max {
                return self.by_graph(query, k, WIDE);
            }
        }
        self.search_exact(query, k, None)
    }

    fn search_exact(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&PhotoSet>,
    ) -> Result<Candidates, EngineError> {
        self.check_dimension(query)?;
        let among: Option<Vec<PhotoId>> = among.map(|among| among.iter().collect());
        candidates(self.store.nearest_exactly(query, k, among.as_deref())?, k)
    }

    fn search_graph_alone(&self, query: &Embedding, k: usize) -> Result<Candidates, EngineError> {
        self.check_dimension(query)?;
        if self.has_graph {
            self.by_graph(query, k, self.breadth())
        } else {
            self.search_exact(query, k, None)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::Silent;
    use super::*;
    use crate::store::{SearchReach, SearchTell};

    /// Three pictures, of which the graph has lost the first; counts what it is asked.
    #[derive(Default)]
    struct Lossy {
        scans: AtomicUsize,
        breadths: Mutex<Vec<usize>>,
        /// Searches that find the vectors dropped.
        dropped: AtomicUsize,
        prepared: AtomicUsize,
    }

    const ALL: [(PhotoId, f32); 3] = [(PhotoId(1), 0.9), (PhotoId(2), 0.8), (PhotoId(3), 0.7)];

    impl Lossy {
        fn is_dropped(&self) -> bool {
            self.dropped
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
        }
    }

    impl VectorSearchStore for Lossy {
        fn search_reach(&self, since: Option<Extent>) -> Result<Option<SearchReach>, CatalogError> {
            let extent = Extent { last_photo_id: Some(PhotoId(3)), last_removal: 0 };
            let came = if since.is_none() { 3 } else { 0 };
            let is_prepared = self.prepared.load(Ordering::Relaxed) > 0;
            Ok(is_prepared.then_some(SearchReach { extent, came, went: 0, has_graph: true }))
        }

        fn prepare_search(
            &self,
            _: usize,
            _: u64,
            _: bool,
            tell: SearchTell<'_>,
        ) -> Result<(), CatalogError> {
            tell("copying", 3, 3);
            self.prepared.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn nearest_by_graph(
            &self,
            _: &Embedding,
            k: usize,
            breadth: usize,
        ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
            self.breadths.lock().unwrap().push(breadth);
            Ok((!self.is_dropped()).then(|| ALL[1..].iter().copied().take(k).collect()))
        }

        fn nearest_exactly(
            &self,
            _: &Embedding,
            k: usize,
            among: Option<&[PhotoId]>,
        ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
            self.scans.fetch_add(1, Ordering::Relaxed);
            let is_meant = |photo_id| among.is_none_or(|among| among.contains(&photo_id));
            Ok(Some(ALL.into_iter().filter(|(photo_id, _)| is_meant(*photo_id)).take(k).collect()))
        }
    }

    fn index(exact_max: usize, scan_max: usize) -> PgvectorIndex {
        PgvectorIndex { scan_max, ..PgvectorIndex::new(PathBuf::new(), 2, Some(exact_max)) }
    }

    fn first(index: &PgvectorIndex, store: &Lossy, sure_above: f32) -> i64 {
        let query = Embedding::new(vec![1.0, 0.0]).unwrap();
        let found = index.with(store, &Silent, |index| index.search(&query, 1, sure_above)).unwrap();
        found.best().unwrap().photo_id.0
    }

    #[test]
    fn a_miss_is_not_declared_on_the_graphs_word_and_a_hit_needs_no_scan() {
        let store = Lossy::default();
        let index = index(2, 10);
        assert_eq!((first(&index, &store, 0.75), store.scans.load(Ordering::Relaxed)), (2, 0), "sure enough");
        assert_eq!((first(&index, &store, 0.85), store.scans.load(Ordering::Relaxed)), (1, 1));
        assert_eq!(store.prepared.load(Ordering::Relaxed), 1, "what is there is not made again");
    }

    #[test]
    fn few_pictures_are_scanned_and_for_very_many_the_graph_looks_wider() {
        let store = Lossy::default();
        assert_eq!(first(&index(3, 10), &store, 0.75), 1);
        assert!(store.breadths.lock().unwrap().is_empty());
        assert_eq!(first(&index(1, 2), &store, 0.85), 2, "beyond what is promised");
        assert_eq!(*store.breadths.lock().unwrap(), [BREADTH, WIDE]);
    }

    #[test]
    fn among_many_pictures_the_graph_looks_broader_from_the_start() {
        let store = Lossy::default();
        for (len, breadth) in [(BROAD_ABOVE, BREADTH), (BROAD_ABOVE + 1, BROAD)] {
            let index = index(1, 10);
            let extent = Extent { last_photo_id: Some(PhotoId(3)), last_removal: 0 };
            let many = Searchable { index: &index, store: &store, extent, len, has_graph: true };
            let query = Embedding::new(vec![1.0, 0.0]).unwrap();
            many.search_graph_alone(&query, 1).unwrap();
            assert_eq!(store.breadths.lock().unwrap().pop(), Some(breadth), "{len}");
        }
    }

    #[test]
    fn vectors_that_are_dropped_meanwhile_are_looked_for_again_and_not_for_ever() {
        let store = Lossy { dropped: AtomicUsize::new(1), ..Lossy::default() };
        let index = index(2, 10);
        assert_eq!(first(&index, &store, 0.75), 2);
        store.dropped.store(usize::MAX, Ordering::Relaxed);
        let query = Embedding::new(vec![1.0, 0.0]).unwrap();
        let error = index.with(&store, &Silent, |index| index.search(&query, 1, 0.75)).unwrap_err();
        assert_eq!(error.code(), "pgvector_unavailable");
    }

    #[test]
    fn among_some_and_with_a_vector_of_another_model_the_answer_is_exact_or_an_error() {
        let (store, index) = (Lossy::default(), index(2, 10));
        let query = Embedding::new(vec![1.0, 0.0]).unwrap();
        let among: PhotoSet = [PhotoId(1), PhotoId(3)].into_iter().collect();
        let found = index.with(&store, &Silent, |index| index.search_exact(&query, 5, Some(&among))).unwrap();
        assert_eq!(found.iter().map(|found| found.photo_id.0).collect::<Vec<_>>(), [1, 3]);
        let other = Embedding::new(vec![1.0, 0.0, 0.0]).unwrap();
        let error = index.with(&store, &Silent, |index| index.search(&other, 1, 0.5)).unwrap_err();
        assert_eq!(error.code(), "index_dimension");
    }
}
