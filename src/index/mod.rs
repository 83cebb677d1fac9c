//! Which stored pictures are near?
//!
//! **Every stored picture finds itself**, whatever the graph loses, because the graph is never believed when it
//! says "nothing there":
//!
//! | what is asked | who answers |
//! |---|---|
//! | up to [`IndexOptions::exact_max`] pictures | an exact scan over all vectors |
//! | a stored vector, bit for bit | a hash table, at any size |
//! | above, something sure is near | the graph, every candidate scored again with the stored vector |
//! | above, nothing sure is near | the exact scan, before a miss is declared |
//! | pictures not yet in the graph | an exact scan over those |
//!
//! So the graph speeds up hits and costs misses nothing that matters: a miss goes on to spend a second and money
//! upstream, the scan takes milliseconds.
//!
//! The catalogue is the truth and the index a cache of it. [`Index::save`] keeps only the graph, which is what
//! takes long to make; vectors come from the catalogue, and [`Index::load`] compares the two.

mod beam;
mod candidates;
mod codes;
mod distance;
mod error;
mod graph;
mod links;
mod shelf;
mod snapshot;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rayon::prelude::*;

pub use candidates::{Candidate, Candidates};
pub use error::{IndexError, LoadError, SaveError};
pub use snapshot::IndexFingerprint;

use crate::embed::Embedding;
use crate::photo_id::PhotoId;
use graph::Graph;
pub use graph::GraphAudit;
use shelf::{Shelf, Shelved, View};

/// So many pictures are linked by one [`Index::insert`], itself included, until the graph has caught up.
const LINKS_PER_INSERT: usize = 4;

/// So many pictures are linked by [`Index::catch_up`] at a stretch.
const LINKS_PER_STRETCH: usize = 512;

/// Above so many results wanted the graph has no advantage left.
const GRAPH_MAX_K: usize = 512;

/// How an [`Index`] works. Results are right with any of these; only speed differs.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Numbers per vector.
    pub dimension: NonZeroUsize,
    /// Up to so many pictures there is no graph and every search is exact.
    pub exact_max: usize,
    /// How many points a graph search keeps in view; more finds more and takes longer.
    pub breadth: usize,
    /// For tests: pictures that the graph drops without a word.
    #[doc(hidden)]
    pub graph_loses: fn(PhotoId) -> bool,
}

impl IndexOptions {
    /// `exact_max` is where the graph begins to pay, chosen by docs/benchmarks/hot-path.md: at 10,000 pictures
    /// graph and scan take the same time, at 100,000 the scan 2.6 times as long, and a picture takes 3 ms to link.
    /// `breadth` found every near copy there.
    #[must_use]
    pub fn new(dimension: NonZeroUsize) -> Self {
        Self { dimension, exact_max: 32_768, breadth: 64, graph_loses: |_| false }
    }
}

/// All stored pictures by what they look like. Searches run while others insert, link or save.
pub struct Index {
    options: IndexOptions,
    shelf: RwLock<Shelf>,
    graph: Graph,
    /// Pictures in slots before this one are in the graph, or their equals are.
    linked: AtomicUsize,
    /// Held by whoever adds to the graph, or needs it to stand still.
    linking: Mutex<()>,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new(options: IndexOptions) -> Self {
        Self::with(options, Shelf::new(options.dimension.get()), Graph::new(), 0)
    }

    fn with(options: IndexOptions, shelf: Shelf, graph: Graph, linked: usize) -> Self {
        Self {
            options,
            shelf: RwLock::new(shelf),
            graph,
            linked: AtomicUsize::new(linked),
            linking: Mutex::new(()),
        }
    }

    /// Adds one picture, which the next search finds. Takes microseconds up to `exact_max` pictures, then some
    /// milliseconds, because it also links up to four pictures that the graph lags behind.
    ///
    /// # Errors
    /// [`IndexError`] for a vector of another dimension or a picture that is here or can be none.
    pub fn insert(&self, photo_id: PhotoId, embedding: &Embedding) -> Result<(), IndexError> {
        let len = {
            let mut shelf = self.shelf_mut();
            self.push(&mut shelf, photo_id, embedding)?;
            shelf.len()
        };
        // Whoever is linking already will get to this one; until then the scan of the unlinked finds it.
        if len > self.options.exact_max
            && let Ok(_linking) = self.linking.try_lock()
        {
            let linked = self.linked.load(Ordering::Acquire);
            self.link(linked..len.min(linked + LINKS_PER_INSERT), false);
        }
        Ok(())
    }

    /// Adds many pictures without linking them: about a microsecond each, and searches are right at once.
    /// [`Index::catch_up`] then makes them fast.
    ///
    /// # Errors
    /// [`IndexError`] for the first picture that cannot be added; those before it are in.
    pub fn insert_many<'a, I>(&self, pictures: I) -> Result<(), IndexError>
    where
        I: IntoIterator<Item = (PhotoId, &'a Embedding)>,
    {
        for (photo_id, embedding) in pictures {
            self.push(&mut self.shelf_mut(), photo_id, embedding)?;
        }
        Ok(())
    }

    fn push(&self, shelf: &mut Shelf, photo_id: PhotoId, embedding: &Embedding) -> Result<(), IndexError> {
        self.check_dimension(embedding)?;
        if photo_id.0 <= 0 {
            return Err(IndexError::NoPhoto(photo_id));
        }
        match shelf.push(photo_id, embedding.as_slice()) {
            Shelved::Yes => Ok(()),
            Shelved::AlreadyThere => Err(IndexError::Duplicate(photo_id)),
            Shelved::Full => Err(IndexError::Full),
        }
    }

    /// Links what is not linked yet, on all threads of the current rayon pool, and returns when done; does
    /// nothing up to `exact_max` pictures. Searches and inserts go on meanwhile. Not to be called from inside a
    /// rayon task: the wait for another `catch_up` could be for work of the waiting thread itself.
    pub fn catch_up(&self) {
        let _linking = self.linking();
        let before = self.linked.load(Ordering::Acquire);
        loop {
            let len = self.len();
            let linked = self.linked.load(Ordering::Acquire);
            if len <= self.options.exact_max || linked == len {
                if linked > before {
                    self.graph.mend(self.shelf().view().codes());
                }
                return;
            }
            self.link(linked..len.min(linked + LINKS_PER_STRETCH), true);
        }
    }

    /// How many pictures are not in the graph and are scanned at each search.
    #[must_use]
    pub fn unlinked(&self) -> usize {
        // In this order: the other way round a picture could be linked in between.
        let linked = self.linked.load(Ordering::Acquire);
        self.len().saturating_sub(linked)
    }

    /// Puts the next `slots` into the graph. The caller holds `linking`.
    fn link(&self, slots: Range<usize>, parallel: bool) {
        let end = slots.end;
        let (mut fresh, view) = {
            let shelf = self.shelf();
            (shelf.first_of_their_kind(slots), shelf.view())
        };
        fresh.retain(|&(_, photo_id)| !(self.options.graph_loses)(photo_id));
        let insert = |(slot, _): &(u32, PhotoId)| self.graph.insert(view.codes(), *slot);
        if parallel {
            fresh.par_iter().for_each(insert)
        } else {
            fresh.iter().for_each(insert)
        }
        self.linked.store(end, Ordering::Release);
    }

    /// The best `k` pictures. Exact whenever the best found so far scores less than `sure_above` (the score from
    /// which the caller believes a hit), so `f32::INFINITY` asks for an exact answer. Otherwise the best is
    /// at least that good, and each of the others is a stored picture with its exact score, though now and
    /// then one that belongs among them is missing.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, IndexError> {
        self.check_dimension(query)?;
        // Before the graph is asked: what is linked while it answers is then seen twice rather than not at all.
        let linked = self.linked.load(Ordering::Acquire);
        let view = self.shelf().view();
        let wanted = k.min(view.len());
        if view.len() > self.options.exact_max && linked > 0 && wanted <= GRAPH_MAX_K {
            let found = self.search_by_graph(query, wanted, linked, &view);
            if found.len() == wanted && found.best().is_some_and(|best| best.score >= sure_above) {
                return Ok(found);
            }
        }
        Ok(view.scan(query.as_slice(), wanted))
    }

    /// The best `k` pictures by looking at all of them.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn search_exact(&self, query: &Embedding, k: usize) -> Result<Candidates, IndexError> {
        self.search(query, k, f32::INFINITY)
    }

    fn search_by_graph(&self, query: &Embedding, k: usize, linked: usize, view: &View) -> Candidates {
        let (query, codes) = (query.as_slice(), view.codes());
        let coded = codes.coded(query);
        let mut contenders = view.contenders(&coded, k.max(1), linked);
        for near in self.graph.search(codes, coded.row(), self.options.breadth.max(k)) {
            // What has been linked since is in the scan already.
            if (near.slot as usize) < linked {
                contenders.offer(near.slot, near.estimate, codes.reach(coded.row(), codes.row(near.slot)));
            }
        }
        let scored: Vec<(u32, f32)> =
            contenders.into_slots().map(|slot| (slot, view.score(query, slot))).collect();
        let mut found = Vec::with_capacity(scored.len());
        let shelf = self.shelf();
        shelf.twins_of(query, &mut found);
        for (slot, score) in scored {
            shelf.add_ring(slot, score, &mut found);
        }
        drop(shelf);
        Candidates::best_of(found, k)
    }

    /// What the graph alone would answer, for measuring it.
    #[doc(hidden)]
    #[must_use]
    pub fn search_graph_alone(&self, query: &Embedding, k: usize) -> Candidates {
        let view = self.shelf().view();
        let coded = view.codes().coded(query.as_slice());
        let mut found = Vec::new();
        for near in self.graph.search(view.codes(), coded.row(), self.options.breadth.max(k)) {
            self.shelf().add_ring(near.slot, view.score(query.as_slice(), near.slot), &mut found);
        }
        Candidates::best_of(found, k)
    }

    /// Counts what must hold of the graph, while nobody links: inserts wait.
    #[must_use]
    pub fn audit_graph(&self) -> GraphAudit {
        let _linking = self.linking();
        self.graph.audit()
    }

    /// How many pictures there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shelf().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The greatest picture number. Pictures may have come in another order, so smaller ones can be missing.
    #[must_use]
    pub fn last_photo_id(&self) -> Option<PhotoId> {
        self.shelf().last_photo_id()
    }

    /// Writes what [`Index::load`] can read, into the directory `dir`, which is made if need be. A crash leaves
    /// the previous snapshot. Searches and inserts go on meanwhile; a second save, of this process or another,
    /// waits.
    ///
    /// # Errors
    /// [`SaveError`]; the previous snapshot is still there.
    pub fn save(&self, dir: &Path, fingerprint: &IndexFingerprint) -> Result<(), SaveError> {
        let _linking = self.linking();
        let linked = self.linked.load(Ordering::Acquire);
        let (ids, vectors) = {
            let shelf = self.shelf();
            (shelf.ids(0..linked).collect(), shelf.sum(0..linked))
        };
        let contents = snapshot::Contents::of(&self.options, fingerprint, ids, vectors);
        snapshot::write(dir, &contents, &self.graph.to_bytes(linked))
    }

    /// The index of all pictures in `catalogue`, in any order, with the graph that was saved in `dir`. Pictures
    /// that were not saved are inserted but not linked, see [`Index::catch_up`]; none is forgotten, whatever its
    /// number. Without a usable snapshot make a new index from the catalogue: it answers at once, too.
    ///
    /// # Errors
    /// [`LoadError`] when there is no snapshot, or one that is damaged, or one of other pictures, another model,
    /// other parameters or another machine; and when `catalogue` itself does not fit.
    pub fn load(
        options: IndexOptions,
        dir: &Path,
        fingerprint: &IndexFingerprint,
        catalogue: &[(PhotoId, Embedding)],
    ) -> Result<Self, LoadError> {
        let (contents, graph) = snapshot::read(dir, &options, fingerprint)?;
        let mut unsaved: HashMap<PhotoId, &Embedding> = catalogue.iter().map(|(id, e)| (*id, e)).collect();
        // In the order of the slots that the graph knows them by; then the rest, in the catalogue's order.
        let saved: Vec<_> = contents.ids().filter_map(|id| Some((id, unsaved.remove(&id)?))).collect();
        let linked = saved.len();
        if linked < contents.len() {
            return Err(LoadError::CatalogueBehind { missing: contents.len() - linked });
        }
        let index = Self::with(options, Shelf::new(options.dimension.get()), graph, linked);
        let rest = catalogue.iter().filter(|(id, _)| unsaved.contains_key(id)).map(|(id, e)| (*id, e));
        index.insert_many(saved.into_iter().chain(rest))?;
        if index.shelf().sum(0..linked) != contents.vectors() {
            return Err(LoadError::OtherVectors);
        }
        Ok(index)
    }

    fn check_dimension(&self, embedding: &Embedding) -> Result<(), IndexError> {
        let (expected, got) = (self.options.dimension.get(), embedding.dimension());
        if expected == got { Ok(()) } else { Err(IndexError::Dimension { expected, got }) }
    }

    // A panic while a lock is held leaves what it guards whole (vectors are only ever added), so go on with it.

    fn shelf(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shelf_mut(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn linking(&self) -> MutexGuard<'_, ()> {
        self.linking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("options", &self.options)
            .field("len", &self.len())
            .field("unlinked", &self.unlinked())
            .finish_non_exhaustive()
    }
}
