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
//! | some of the pictures only | an exact scan over those |
//!
//! So the graph speeds up hits and costs misses nothing that matters: a miss goes on to spend a second and money
//! upstream, the scan takes milliseconds.
//!
//! Pictures that were removed are passed over by all of them; [`Index::compacted`] gives their room back.
//!
//! The catalogue is the truth and the index a cache of it. [`Index::save`] writes all of it into files, and
//! [`Index::load`] opens them: codes are mapped, vectors read as searches want them, and their sums are looked at
//! then. What the catalogue has beyond the snapshot the caller inserts and removes afterwards.

mod beam;
mod candidates;
mod checksum;
mod codes;
mod distance;
mod error;
mod files;
mod graph;
mod hashes;
mod links;
mod photo_set;
mod rows;
mod shared;
mod snapshot;
mod table;
mod tags;
mod vector_store;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use candidates::{Candidate, Candidates};
pub use error::{IndexError, LoadError, SaveError};
pub use hashes::{HashIndex, MAX_HASH_DISTANCE};
pub use photo_set::PhotoSet;
pub(crate) use shared::{CopyError, Listing, SavedSnapshot, SharedSnapshot, SharedSnapshots};
pub use snapshot::IndexFingerprint;

use crate::photo_id::PhotoId;
use crate::vector::Embedding;
use beam::Near;
use graph::Graph;
pub use graph::GraphAudit;
use rows::{BLOCK_ROWS, Damage};
use vector_store::{VectorStore, View};

/// So many pictures are indexed at a stretch.
const LINKS_PER_STRETCH: usize = 512;

/// Above so many results wanted the graph has no advantage left.
const GRAPH_MAX_K: usize = 512;

/// A picture takes about so many times as long where pictures here and there are looked at as where all are:
/// docs/benchmarks/index-peers.md, "Among some".
const FEW_OF: usize = 5;

/// How an [`Index`] works. Results are right with any of these; only speed differs.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Numbers per vector.
    pub dimension: NonZeroUsize,
    /// Up to so many pictures there is no graph, and every search among so few is exact.
    pub exact_max: usize,
    /// How many points a graph search keeps in view; more finds more and takes longer.
    pub ef_search: usize,
}

impl IndexOptions {
    /// Chosen by docs/benchmarks/hot-path.md: up to `exact_max` pictures a scan takes less than a fifth of a
    /// millisecond, so a graph would save nothing that is felt; `ef_search` found all of the ten nearest there.
    #[must_use]
    pub fn new(dimension: NonZeroUsize) -> Self {
        Self { dimension, exact_max: 16_384, ef_search: 64 }
    }
}

/// All stored pictures by what they look like. Searches run while others insert, remove, link or save, and wait for none
/// of them.
pub struct Index {
    options: IndexOptions,
    store: VectorStore,
    graph: Graph,
    /// Pictures in slots before this one are in the graph, or their equals are.
    indexed: AtomicUsize,
    /// Held while the graph is added to, or has to stand still.
    linking: Mutex<()>,
    damage: Damage,
    /// Pictures that the graph drops without a word.
    #[cfg(test)]
    graph_loses: fn(PhotoId) -> bool,
}

impl Index {
    /// An index without pictures, in memory only until it is saved.
    #[must_use]
    pub fn new(options: IndexOptions) -> Self {
        Self {
            options,
            store: VectorStore::new(options.dimension.get()),
            graph: Graph::new(),
            indexed: AtomicUsize::new(0),
            linking: Mutex::new(()),
            damage: Damage::default(),
            #[cfg(test)]
            graph_loses: |_| false,
        }
    }

    /// Adds one picture, which the next search finds; takes microseconds. [`Index::link_some`] or [`Index::catch_up`]
    /// makes searches fast again when many have come.
    ///
    /// # Errors
    /// [`IndexError`] for a vector of another dimension or a picture that is here, was here, or can be none.
    pub fn insert(&self, photo_id: PhotoId, embedding: &Embedding) -> Result<(), IndexError> {
        self.check_dimension(embedding)?;
        if photo_id.0 <= 0 {
            return Err(IndexError::NoPhoto(photo_id));
        }
        self.store.push(photo_id, embedding.as_slice())
    }

    /// Adds many pictures, as [`Index::insert`] does one: they are found at once, and linked later.
    ///
    /// # Errors
    /// As [`Index::insert`], for the first picture that cannot be added; those before it are in.
    pub fn insert_many<'a, I>(&self, pictures: I) -> Result<(), IndexError>
    where
        I: IntoIterator<Item = (PhotoId, &'a Embedding)>,
    {
        pictures.into_iter().try_for_each(|(photo_id, embedding)| self.insert(photo_id, embedding))
    }

    /// Takes pictures out, so that the next search finds none of them; those that are not here are passed over. `seen`
    /// is for the caller to remember how far in the catalogue's list of removals this was, see
    /// [`Index::removals_seen`]. Their room is given back by [`Index::compacted`].
    pub fn remove(&self, photo_ids: &[PhotoId], seen: i64) {
        self.store.remove(photo_ids, seen);
    }

    /// The greatest `seen` that [`Index::remove`] was told, in this process or before the index was saved; 0 at first.
    #[must_use]
    pub fn removals_seen(&self) -> i64 {
        self.store.removals_seen()
    }

    /// How many pictures were removed and still take room.
    #[must_use]
    pub fn removed(&self) -> usize {
        self.store.removed()
    }

    /// Links a stretch of what is not indexed yet, on this thread, unless another thread is linking.
    pub fn link_some(&self) {
        if let Ok(_linking) = self.linking.try_lock() {
            let (indexed, len) = (self.indexed.load(Ordering::Acquire), self.store.len());
            if len > self.options.exact_max {
                self.link(indexed..len.min(indexed + LINKS_PER_STRETCH), false);
            }
        }
    }

    /// Links what is not indexed yet, on all threads of the current rayon pool, and returns when done; does
    /// nothing up to `exact_max` pictures. Searches and inserts go on meanwhile. Not to be called from inside a
    /// rayon task: the wait for another `catch_up` could be for work of the waiting thread itself.
    pub fn catch_up(&self) {
        self.link_more(usize::MAX, &|_, _| {});
    }

    /// As [`Index::catch_up`], but no more than `most` pictures, and `tell`s after each stretch how many of how many
    /// are indexed.
    pub fn link_more(&self, most: usize, tell: &dyn Fn(usize, usize)) {
        let _linking = self.linking();
        let before = self.indexed.load(Ordering::Acquire);
        loop {
            let len = self.store.len();
            let indexed = self.indexed.load(Ordering::Acquire);
            let end = len.min(before.saturating_add(most));
            if len <= self.options.exact_max || indexed >= end {
                if indexed > before {
                    self.graph.repair_connectivity(self.store.view().codes());
                }
                return;
            }
            self.link(indexed..end.min(indexed + LINKS_PER_STRETCH), true);
            tell(self.indexed.load(Ordering::Acquire), len);
        }
    }

    /// How many pictures are not in the graph and are scanned at each search.
    #[must_use]
    pub fn unindexed(&self) -> usize {
        // In this order: the other way round a picture could be indexed in between.
        let indexed = self.indexed.load(Ordering::Acquire);
        self.store.len().saturating_sub(indexed)
    }

    /// Puts the next `slots` into the graph. The caller holds `linking`.
    fn link(&self, slots: Range<usize>, parallel: bool) {
        let end = slots.end;
        let view = self.store.view();
        let fresh = self.store.first_of_their_kind(slots);
        #[cfg(test)]
        let fresh: Vec<_> =
            fresh.into_iter().filter(|&(_, photo_id)| !(self.graph_loses)(photo_id)).collect();
        let slots: Vec<u32> = fresh.into_iter().map(|(slot, _)| slot).collect();
        self.graph.insert(view.codes(), &slots, parallel);
        self.indexed.store(end, Ordering::Release);
    }

    /// The best `k` pictures. Exact whenever the best found so far scores less than `sure_above` (the score from
    /// which the caller believes a hit), so `f32::INFINITY` asks for an exact answer. Otherwise the best is
    /// at least that good, and each of the others is a stored picture with its exact score, though now and
    /// then one that belongs among them is missing.
    ///
    /// # Errors
    /// [`IndexError::Dimension`]; [`IndexError::Damaged`] when a file of the snapshot turns out not to be as it was
    /// written: then this index is to be thrown away.
    pub fn search(&self, query: &Embedding, k: usize, sure_above: f32) -> Result<Candidates, IndexError> {
        self.check_dimension(query)?;
        // Before the graph is asked: what is indexed while it answers is then seen twice rather than not at all.
        let indexed = self.indexed.load(Ordering::Acquire);
        let view = self.store.view();
        let found = self.find(query.as_slice(), k, sure_above, indexed, &view);
        self.undamaged()?;
        Ok(found)
    }

    /// The best `k` pictures by looking at all of them.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_exact(&self, query: &Embedding, k: usize) -> Result<Candidates, IndexError> {
        self.search(query, k, f32::INFINITY)
    }

    /// The best `k` of the pictures of `among` by looking at all of those: nothing is lost, however few are wanted.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_among(
        &self,
        query: &Embedding,
        k: usize,
        among: &PhotoSet,
    ) -> Result<Candidates, IndexError> {
        self.check_dimension(query)?;
        let view = self.store.view();
        let found = if FEW_OF * among.len() <= view.len() {
            view.scan_slots(query.as_slice(), k, &self.store.slots(&view, among))
        } else {
            view.scan(query.as_slice(), k, Some(among))
        };
        self.undamaged()?;
        Ok(found)
    }

    fn find(&self, query: &[f32], k: usize, sure_above: f32, indexed: usize, view: &View) -> Candidates {
        let wanted = k.min(view.pictures());
        // The graph cannot answer exactly.
        let may_graph = sure_above < f32::INFINITY && indexed > 0 && wanted <= GRAPH_MAX_K;
        if may_graph && view.pictures() > self.options.exact_max {
            let found = self.find_by_graph(query, wanted, indexed, view);
            if found.len() == wanted && found.best().is_some_and(|best| best.score >= sure_above) {
                return found;
            }
        }
        view.scan(query, wanted, None)
    }

    fn find_by_graph(&self, query: &[f32], k: usize, indexed: usize, view: &View) -> Candidates {
        let codes = view.codes();
        let coded = codes.coded(query);
        let mut contenders = view.contenders(&coded, k.max(1), indexed, None);
        let ef_search = self.options.ef_search.max(k);
        let near = if view.pictures() == view.len() {
            self.graph.search(codes, coded.row(), ef_search)
        } else {
            let stands = |slot| self.store.has_live_duplicate(slot);
            let broader = broader(ef_search, view);
            self.graph.search_for(codes, coded.row(), broader, ef_search, stands)
        };
        for near in near {
            // What has been indexed since is in the scan already.
            if (near.slot as usize) < indexed {
                contenders.offer(
                    near.slot,
                    near.estimate,
                    codes.error_bound(coded.row(), codes.row(near.slot)),
                );
            }
        }
        let mut found = Vec::new();
        self.store.twins_of(view, query, &mut found);
        for (slot, score) in contenders.scored(view.scorer(query)) {
            self.store.push_duplicates(slot, score, &mut found);
        }
        Candidates::best_of(found, k)
    }

    /// What the graph alone would answer, for measuring and auditing it.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search_graph_alone(&self, query: &Embedding, k: usize) -> Result<Candidates, IndexError> {
        self.check_dimension(query)?;
        let view = self.store.view();
        let coded = view.codes().coded(query.as_slice());
        let ef_search = self.options.ef_search.max(k);
        let stands = |slot| self.store.has_live_duplicate(slot);
        let near =
            self.graph.search_for(view.codes(), coded.row(), broader(ef_search, &view), ef_search, stands);
        let mut found = Vec::new();
        let mut score = view.scorer(query.as_slice());
        for Near { slot, .. } in near.into_iter().filter(|near| (near.slot as usize) < view.len()) {
            self.store.push_duplicates(slot, score(slot), &mut found);
        }
        self.undamaged()?;
        Ok(Candidates::best_of(found, k))
    }

    /// Counts what must hold of the graph, with linking locked out.
    #[must_use]
    pub fn audit_graph(&self) -> GraphAudit {
        let _linking = self.linking();
        self.graph.audit()
    }

    /// How many pictures there are, without those that were removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.view().pictures()
    }

    /// Whether there is no picture.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The greatest picture number that was ever inserted. Pictures may have come in another order, so smaller ones can
    /// be missing.
    #[must_use]
    pub fn last_photo_id(&self) -> Option<PhotoId> {
        self.store.last_photo_id()
    }

    /// About `count` pictures from all over, the last one among them, with their vectors: to be compared with the
    /// catalogue's. Pictures that were removed are not shown.
    ///
    /// # Errors
    /// [`IndexError::Damaged`].
    pub fn samples(&self, count: usize) -> Result<Vec<(PhotoId, Embedding)>, IndexError> {
        let view = self.store.view();
        let step = (view.len() / count.max(1)).max(1);
        let pictures = view.there().rev().step_by(step).map(|slot| view.picture(slot));
        let read = |(photo_id, vector)| Embedding::new(vector).map(|embedding| (photo_id, embedding));
        let samples = pictures.map(read).collect::<Result<_, _>>().map_err(|_| IndexError::Damaged)?;
        self.undamaged()?;
        Ok(samples)
    }

    /// The same pictures without the room of those that were removed, indexed anew; this one goes on answering meanwhile.
    /// What it is told meanwhile the new one has to be told as well: it goes on from the same [`Index::last_photo_id`]
    /// and [`Index::removals_seen`] as this one had at the beginning.
    ///
    /// # Errors
    /// [`IndexError::Damaged`], [`IndexError::NoMemory`].
    pub fn compacted(&self, tell: &dyn Fn(usize, usize)) -> Result<Self, IndexError> {
        let (view, extent) = self.store.standstill(&mut std::io::sink()).map_err(|_| IndexError::NoMemory)?;
        let fresh = Self::new(self.options);
        let mut pushed = Ok(());
        view.each(|photo_id, vector| {
            if pushed.is_ok() {
                pushed = fresh.store.push(photo_id, vector);
            }
        });
        pushed?;
        self.undamaged()?;
        fresh.store.go_on_from(extent);
        fresh.link_more(usize::MAX, tell);
        Ok(fresh)
    }

    /// Writes what [`Index::load`] can read, into the directory `dir`, which is made if need be. A crash leaves
    /// the previous snapshot as it was. Searches and inserts go on meanwhile; a second save, of this process or another,
    /// waits. From then on codes and vectors are read from the files, and their memory goes back to the system.
    ///
    /// # Errors
    /// [`SaveError`]; the previous snapshot is still there.
    pub fn save(&self, dir: &Path, fingerprint: &IndexFingerprint) -> Result<(), SaveError> {
        let _linking = self.linking();
        let contents = snapshot::Contents {
            options: &self.options,
            fingerprint,
            store: &self.store,
            graph: &self.graph,
            indexed: self.indexed.load(Ordering::Acquire),
            damage: &self.damage,
        };
        if let Some(files) = snapshot::write(dir, &contents)? {
            self.store.adopt(&files);
        }
        Ok(())
    }

    /// The index that was saved in `dir`, with the pictures that it had then. Takes time and memory for about 160 bytes
    /// a picture; the rest is read as it is needed.
    ///
    /// # Errors
    /// [`LoadError`] when there is no snapshot, or one that is damaged, or one of another model, other parameters or
    /// another format. Damage of codes and vectors shows later, as [`IndexError::Damaged`].
    pub fn load(
        options: IndexOptions,
        dir: &Path,
        fingerprint: &IndexFingerprint,
    ) -> Result<Self, LoadError> {
        let damage = Damage::default();
        let read = snapshot::read(dir, &options, fingerprint, &damage)?;
        Ok(Self::of(options, read, damage))
    }

    /// The index of a snapshot that another machine has left in a shared folder: copied into `dir`, where it takes the place of
    /// what was saved there once all its sums are right, and `is_right` has nothing against it.
    pub(crate) fn take_over<E: From<CopyError> + From<SaveError>>(
        options: IndexOptions,
        dir: &Path,
        fingerprint: &IndexFingerprint,
        shared: &SharedSnapshot,
        is_right: impl FnOnce(&Self) -> Result<(), E>,
    ) -> Result<Self, E> {
        snapshot::install(dir, |partial| {
            shared.copy(partial)?;
            let damage = Damage::default();
            let read =
                snapshot::read_one(partial, &options, fingerprint, &damage).map_err(CopyError::from)?;
            let index = Self::of(options, read, damage);
            let damaged = |_| LoadError::Damaged { path: shared.path().to_owned() };
            index.look_at_all().map_err(damaged).map_err(CopyError::from)?;
            is_right(&index)?;
            Ok(index)
        })
    }

    fn of(options: IndexOptions, read: snapshot::Read, damage: Damage) -> Self {
        Self {
            options,
            store: read.store,
            graph: read.graph,
            indexed: AtomicUsize::new(read.indexed),
            linking: Mutex::new(()),
            damage,
            #[cfg(test)]
            graph_loses: |_| false,
        }
    }

    /// Reads all codes and vectors, so that their sums are looked at.
    fn look_at_all(&self) -> Result<(), IndexError> {
        let (view, mut buffer) = (self.store.view(), Vec::new());
        for block in 0..view.len().div_ceil(BLOCK_ROWS) {
            let rows = 0..(view.len() - block * BLOCK_ROWS).min(BLOCK_ROWS);
            view.codes().rows().read_rows(block, rows.clone(), &mut buffer);
            view.vectors().read_rows(block, rows, &mut buffer);
        }
        self.undamaged()
    }

    /// Removes what was saved in `dir`.
    ///
    /// # Errors
    /// [`SaveError`] when that cannot be done.
    pub fn discard(dir: &Path) -> Result<(), SaveError> {
        snapshot::discard(dir)
    }

    /// Whether what was read of the snapshot's files until now was as it was written: to be asked after reading.
    fn undamaged(&self) -> Result<(), IndexError> {
        if self.damage.load(Ordering::Acquire) { Err(IndexError::Damaged) } else { Ok(()) }
    }

    fn check_dimension(&self, embedding: &Embedding) -> Result<(), IndexError> {
        let (expected, got) = (self.options.dimension.get(), embedding.dimension());
        if expected == got { Ok(()) } else { Err(IndexError::Dimension { expected, got }) }
    }

    fn linking(&self) -> MutexGuard<'_, ()> {
        // A panic while it is held leaves the graph whole: links are written one by one.
        self.linking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many to keep in view so that about `ef_search` of them were not removed; twice as many where most were, because what
/// is left lies farther apart there.
fn broader(ef_search: usize, view: &View) -> usize {
    let left = view.pictures().max(1);
    ef_search * view.len() / left * if 2 * left < view.len() { 2 } else { 1 }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("options", &self.options)
            .field("len", &self.len())
            .field("unindexed", &self.unindexed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Repeatable noise in -1..1 (SplitMix64).
    fn noise(seed: u64) -> impl Iterator<Item = f32> {
        (1u64..).map(move |i| {
            let mut z =
                seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            f32::from(u16::try_from((z >> 48) & 0xFFFF).unwrap()) / 32768.0 - 1.0
        })
    }

    /// An index whose graph loses pictures, and what is in it: tight clusters with a duplicate now and then.
    fn lossy(count: u64, graph_loses: fn(PhotoId) -> bool) -> (Index, Vec<Embedding>) {
        let vector = |i: u64| {
            let own = if i % 50 == 7 { i - 1 } else { i };
            let values = noise(i / 40).zip(noise(own + 1_000_000)).take(32);
            Embedding::new(values.map(|(centre, own)| centre + 0.15 * own).collect()).unwrap()
        };
        let vectors: Vec<Embedding> = (0..count).map(vector).collect();
        let options = IndexOptions { exact_max: 100, ..IndexOptions::new(NonZeroUsize::new(32).unwrap()) };
        let mut index = Index::new(options);
        index.graph_loses = graph_loses;
        index.insert_many((1..).map(PhotoId).zip(&vectors)).unwrap();
        index.catch_up();
        (index, vectors)
    }

    #[test]
    fn whatever_the_graph_loses_is_found_all_the_same() {
        for graph_loses in [(|id| id.0 % 3 == 0) as fn(PhotoId) -> bool, |_| true] {
            let (index, vectors) = lossy(3000, graph_loses);
            for vector in &vectors {
                let found = index.search(vector, 1, 0.9).unwrap();
                assert!(found.best().is_some_and(|best| best.score >= 1.0 - 1e-6));
            }
        }
    }

    #[test]
    fn a_miss_is_never_declared_on_the_graphs_word() {
        let (index, vectors) = lossy(2000, |_| true);
        // Near a stored picture, but equal to none: only the scan can find it.
        let near = vectors[500].as_slice().iter().zip(noise(5)).map(|(v, n)| v + 0.01 * n).collect();
        let near = Embedding::new(near).unwrap();
        let found = index.search(&near, 5, 0.9).unwrap();
        assert_eq!(found.as_slice(), index.search_exact(&near, 5).unwrap().as_slice());
    }
}
