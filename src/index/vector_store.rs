//! All vectors, one after the other: what exact answers are made of.
//!
//! One at a time adds or removes; searches never wait for that. A slot is published by raising `len` when all of it is
//! written, and only then known to tables and rings.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::IndexError;
use super::candidates::{Candidate, Candidates, Contenders};
use super::checksum::mix;
use super::codes::{Coded, Codes, QuantizedVectors};
use super::photo_set::PhotoSet;
use super::rows::{BLOCK_ROWS, Mapped, ReadAt, RowStore, RowView};
use super::table::Table;
use super::tags::{TagStore, Tags};
use crate::photo_id::PhotoId;
use crate::vector::similarity;

/// From here on a scan is worth more than one thread. On two cores 100,000 rows take 0.8 ms with both and 0.9 with
/// one; 34,000 take longer with both, and on a busy machine all do.
const PARALLEL_ROWS: usize = 128 * BLOCK_ROWS;

/// As [`PARALLEL_ROWS`], for slots here and there, which take longer: docs/benchmarks/index-peers.md, "Among some".
const PARALLEL_SLOTS: usize = 8 * SLOTS_AT_A_TIME;
const SLOTS_AT_A_TIME: usize = 1024;

/// So many slots are looked at for a picture before the table is asked.
const LOOK_BACK: usize = 32;

/// A slot has to leave the top bit of an `u32` free.
const MAX_SLOTS: u32 = 1 << 31;

/// Vectors in slots 0, 1, 2, …, which never change.
pub(super) struct VectorStore {
    codes: QuantizedVectors,
    /// The vectors as `f32`, little-endian.
    vectors: RowStore<ReadAt>,
    tags: TagStore,
    slot_of: Table,
    /// The first slot with each vector.
    first_with: Table,
    len: AtomicUsize,
    removed: AtomicUsize,
    /// The greatest number that was ever here; 0 for none.
    last_photo_id: AtomicI64,
    changing: Mutex<Changing>,
}

/// State that only writers need.
#[derive(Clone, Copy, Default)]
struct Changing {
    /// How many different vectors there are.
    distinct: usize,
    removals_seen: i64,
}

/// The files of a snapshot that rows are read from.
pub(super) struct RowFiles {
    pub(super) codes: Arc<Mapped>,
    pub(super) vectors: Arc<ReadAt>,
}

/// What a snapshot says of a store beside its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) slots: usize,
    pub(super) removed: usize,
    pub(super) last_photo_id: i64,
    pub(super) removals_seen: i64,
}

impl VectorStore {
    pub(super) fn new(dimension: usize) -> Self {
        Self {
            codes: QuantizedVectors::new(dimension),
            vectors: RowStore::new(4 * dimension),
            tags: TagStore::default(),
            slot_of: Table::with_room(0),
            first_with: Table::with_room(0),
            len: AtomicUsize::new(0),
            removed: AtomicUsize::new(0),
            last_photo_id: AtomicI64::new(0),
            changing: Mutex::default(),
        }
    }

    /// A store from its files, or nothing if no store can have written these tags.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn read(
        dimension: usize,
        extent: Extent,
        tags: &[u8],
        files: Option<&RowFiles>,
    ) -> io::Result<Option<Self>> {
        let store = Self::new(dimension);
        let Some(tags) = TagStore::read(tags, extent.slots) else { return Ok(None) };
        let store = Self {
            tags,
            slot_of: Table::with_room(extent.slots),
            first_with: Table::with_room(extent.slots),
            len: AtomicUsize::new(extent.slots),
            removed: AtomicUsize::new(extent.removed),
            last_photo_id: AtomicI64::new(extent.last_photo_id),
            ..store
        };
        if let Some(files) = files {
            store.codes.read(&files.codes)?;
            store.vectors.read(&files.vectors)?;
        }
        let tags = store.tags.view();
        let (mut in_ring, mut distinct) = (vec![false; extent.slots], 0);
        for slot in slots_of(0..extent.slots) {
            store.slot_of.add(slot as usize, slot, |slot| hash_of_id(tags.photo_id(slot)));
            if in_ring[slot as usize] {
                continue;
            }
            store.first_with.add(distinct, slot, |slot| tags.hash(slot));
            distinct += 1;
            let mut twin = slot;
            loop {
                in_ring[twin as usize] = true;
                twin = tags.next_twin(twin);
                if twin == slot {
                    break;
                }
                if in_ring[twin as usize] {
                    return Ok(None);
                }
            }
        }
        *store.changing() = Changing { distinct, removals_seen: extent.removals_seen };
        Ok(Some(store))
    }

    /// How many slots are taken, those of removed pictures included.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// In how many slots the picture was removed.
    pub(super) fn removed(&self) -> usize {
        self.removed.load(Ordering::Acquire)
    }

    pub(super) fn last_photo_id(&self) -> Option<PhotoId> {
        Some(PhotoId(self.last_photo_id.load(Ordering::Acquire))).filter(|id| id.0 > 0)
    }

    pub(super) fn removals_seen(&self) -> i64 {
        self.changing().removals_seen
    }

    /// For a store that takes another's place.
    pub(super) fn go_on_from(&self, extent: Extent) {
        self.last_photo_id.fetch_max(extent.last_photo_id, Ordering::AcqRel);
        self.changing().removals_seen = extent.removals_seen;
    }

    /// Puts `vector`, of our dimension, into the next slot.
    pub(super) fn push(&self, photo_id: PhotoId, vector: &[f32]) -> Result<(), IndexError> {
        let mut changing = self.changing();
        let len = self.len.load(Ordering::Relaxed);
        let slot = u32::try_from(len).ok().filter(|slot| *slot < MAX_SLOTS).ok_or(IndexError::Full)?;
        let tags = self.tags.with_room_for(slot);
        let key = hash_of_id(photo_id);
        if self.slot_of.find(key, |slot| tags.photo_id(slot) == photo_id).is_some() {
            return Err(IndexError::Duplicate(photo_id));
        }
        let hash = hash(vector);
        let first = self.find(&self.view(), vector, hash);
        // Room for both first: their rows stand beside each other.
        let pushed = self.codes.make_room().and_then(|()| {
            self.vectors.push(|row| write_vector(vector, row))?;
            self.codes.push(vector)
        });
        pushed.map_err(|_| IndexError::NoMemory)?;
        tags.write(slot, photo_id, hash);
        self.len.store(len + 1, Ordering::Release);
        if let Some(first) = first {
            tags.set_next_twin(slot, tags.next_twin(first));
            tags.set_next_twin(first, slot);
        } else {
            self.first_with.add(changing.distinct, slot, |slot| tags.hash(slot));
            changing.distinct += 1;
        }
        self.slot_of.add(len, slot, |slot| hash_of_id(tags.photo_id(slot)));
        self.last_photo_id.fetch_max(photo_id.0, Ordering::AcqRel);
        Ok(())
    }

    /// Takes pictures out; those that are not here are none's loss. `seen` is for the caller to remember.
    pub(super) fn remove(&self, photo_ids: &[PhotoId], seen: i64) {
        let mut changing = self.changing();
        let view = self.view();
        for slot in photo_ids.iter().filter_map(|&photo_id| self.slot(&view, photo_id)) {
            if view.tags.remove(slot) {
                self.removed.fetch_add(1, Ordering::AcqRel);
            }
        }
        changing.removals_seen = changing.removals_seen.max(seen);
    }

    /// Where a picture stands, or stood before it was removed.
    pub(super) fn slot(&self, view: &View, photo_id: PhotoId) -> Option<u32> {
        let is_it = |slot: u32| (slot as usize) < view.len && view.tags.photo_id(slot) == photo_id;
        self.slot_of.find(hash_of_id(photo_id), is_it)
    }

    /// Where the pictures of `among` stand that are there.
    ///
    /// Mostly pictures stand in the order of their numbers, and few are missing in between. So a picture stands as far
    /// from the one before it as their numbers are apart, or a little before: that is looked at before the table is.
    pub(super) fn slots(&self, view: &View, among: &PhotoSet) -> Vec<u32> {
        let mut slots = Vec::with_capacity(among.len().min(view.len));
        // Slot less number, of the picture before.
        let mut shift = 0;
        for photo_id in among.iter() {
            let near = Self::up_to(view, photo_id.0.saturating_add(shift), photo_id);
            if let Some(slot) = near.or_else(|| self.slot(view, photo_id)) {
                shift = i64::from(slot) - photo_id.0;
                slots.push(slot);
            }
        }
        slots
    }

    /// The slot of a picture if it is `slot` or a little before, as long as greater numbers are between.
    fn up_to(view: &View, slot: i64, photo_id: PhotoId) -> Option<u32> {
        let last = u32::try_from(slot).ok().filter(|last| (*last as usize) < view.len)?;
        let mut before = (0..=last).rev().take(LOOK_BACK).map(|slot| (slot, view.tags.photo_id(slot)));
        let (slot, found) = before.find(|(_, it)| *it <= photo_id)?;
        (found == photo_id).then_some(slot)
    }

    /// The first slot that holds `vector`, whose hash is `hash`.
    fn find(&self, view: &View, vector: &[f32], hash: u32) -> Option<u32> {
        let is_it = |slot: u32| {
            (slot as usize) < view.len && view.tags.hash(slot) == hash && view.holds(slot, vector)
        };
        self.first_with.find(hash, is_it)
    }

    /// Those of `slots` whose vector no earlier slot holds.
    pub(super) fn first_of_their_kind(&self, slots: Range<usize>) -> Vec<(u32, PhotoId)> {
        let tags = self.tags.view();
        slots_of(slots)
            .filter(|&slot| self.first_with.find(tags.hash(slot), |it| it == slot).is_some())
            .map(|slot| (slot, tags.photo_id(slot)))
            .collect()
    }

    /// Every picture whose vector is exactly `query`, with score 1.
    pub(super) fn twins_of(&self, view: &View, query: &[f32], into: &mut Vec<Candidate>) {
        if let Some(slot) = self.find(view, query, hash(query)) {
            self.push_duplicates(slot, 1.0, into);
        }
    }

    /// Every picture with the vector of `slot`, with that `score`.
    pub(super) fn push_duplicates(&self, slot: u32, score: f32, into: &mut Vec<Candidate>) {
        self.ring(slot, |tags, twin| {
            if !tags.is_removed(twin) {
                into.push(Candidate { photo_id: tags.photo_id(twin), score });
            }
            true
        });
    }

    /// Whether a picture that is there has the vector of `slot`.
    pub(super) fn has_live_duplicate(&self, slot: u32) -> bool {
        let mut found = false;
        self.ring(slot, |tags, twin| {
            found = !tags.is_removed(twin);
            !found
        });
        found
    }

    /// Goes round the ring of `slot` while `each` says to go on.
    fn ring(&self, slot: u32, mut each: impl FnMut(&Tags, u32) -> bool) {
        let mut tags = self.tags.view();
        let mut twin = slot;
        while each(&tags, twin) {
            twin = tags.next_twin(twin);
            if twin == slot {
                return;
            }
            // One that has just come may lie in a block that was not there before.
            if !tags.has_room_for(twin) {
                tags = self.tags.view();
            }
        }
    }

    /// What is there now, to be searched without blocking writers.
    pub(super) fn view(&self) -> View {
        let len = self.len();
        View {
            len,
            removed: self.removed(),
            codes: self.codes.view(len),
            vectors: self.vectors.view(),
            tags: self.tags.view(),
        }
    }

    /// What is there now, and its tags as [`VectorStore::read`] wants them, with adding and removing locked out.
    pub(super) fn standstill(&self, tags: &mut impl Write) -> io::Result<(View, Extent)> {
        let changing = self.changing();
        let view = self.view();
        let extent = Extent {
            slots: view.len,
            removed: view.removed,
            last_photo_id: self.last_photo_id.load(Ordering::Acquire),
            removals_seen: changing.removals_seen,
        };
        view.tags.write_to(slots_of(0..view.len), tags)?;
        Ok((view, extent))
    }

    /// Has whole blocks of codes and vectors read from these files, which hold what we do.
    pub(super) fn adopt(&self, files: &RowFiles) {
        self.codes.adopt(&files.codes);
        self.vectors.adopt(&files.vectors);
    }

    // Nothing panics while it is held that leaves a row without the other.
    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tags {
    #[inline]
    fn is_wanted(&self, slot: u32, among: Option<&PhotoSet>) -> bool {
        !self.is_removed(slot) && among.is_none_or(|among| among.contains(self.photo_id(slot)))
    }
}

fn slots_of(slots: Range<usize>) -> Range<u32> {
    // Every slot fits: `push` has seen to that.
    let end = |slot| u32::try_from(slot).unwrap_or(MAX_SLOTS);
    end(slots.start)..end(slots.end)
}

/// The upper half of a sum.
fn upper(sum: u64) -> u32 {
    (sum >> 32) as u32
}

fn hash_of_id(photo_id: PhotoId) -> u32 {
    upper(mix(mix(photo_id.0.cast_unsigned())))
}

/// The same on every machine, because snapshots hold it.
fn hash(vector: &[f32]) -> u32 {
    let (pairs, rest) = vector.as_chunks::<2>();
    let sum = pairs.iter().fold(vector.len() as u64, |sum, [a, b]| {
        mix(sum ^ (u64::from(a.to_bits()) << 32 | u64::from(b.to_bits())))
    });
    upper(mix(rest.iter().fold(sum, |sum, value| mix(sum ^ u64::from(value.to_bits())))))
}

fn write_vector(vector: &[f32], row: &mut [u8]) {
    for (place, value) in row.as_chunks_mut::<4>().0.iter_mut().zip(vector) {
        *place = value.to_le_bytes();
    }
}

fn values(row: &[u8]) -> impl Iterator<Item = f32> {
    row.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value))
}

/// The store at one moment. A clone costs nothing.
#[derive(Clone)]
pub(super) struct View {
    len: usize,
    removed: usize,
    codes: Codes,
    vectors: RowView<ReadAt>,
    tags: Tags,
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many pictures there are, without those that were removed.
    pub(super) fn pictures(&self) -> usize {
        self.len - self.removed
    }

    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    pub(super) fn vectors(&self) -> &RowView<ReadAt> {
        &self.vectors
    }

    fn holds(&self, slot: u32, vector: &[f32]) -> bool {
        let mut buffer = Vec::new();
        let row = self.vectors.read(slot, &mut buffer).as_chunks::<4>().0;
        row.iter().zip(vector).all(|(stored, value)| *stored == value.to_le_bytes())
    }

    /// The vector in a slot, into `vector`; `buffer` is for its bytes.
    fn read_vector(&self, slot: u32, buffer: &mut Vec<u8>, vector: &mut Vec<f32>) {
        vector.clear();
        vector.extend(values(self.vectors.read(slot, buffer)));
    }

    /// All pictures that are there, with their vectors.
    pub(super) fn each(&self, mut each: impl FnMut(PhotoId, &[f32])) {
        let (mut buffer, mut vector) = (Vec::new(), Vec::new());
        for slot in self.there() {
            self.read_vector(slot, &mut buffer, &mut vector);
            each(self.tags.photo_id(slot), &vector);
        }
    }

    /// Slots of pictures that were not removed.
    pub(super) fn there(&self) -> impl DoubleEndedIterator<Item = u32> {
        slots_of(0..self.len).filter(|&slot| !self.tags.is_removed(slot))
    }

    /// Whose slot it is, and the vector in it.
    pub(super) fn picture(&self, slot: u32) -> (PhotoId, Vec<f32>) {
        (self.tags.photo_id(slot), values(self.vectors.read(slot, &mut Vec::new())).collect())
    }

    /// Scores the vectors in slots.
    pub(super) fn scorer(&self, query: &[f32]) -> impl FnMut(u32) -> f32 {
        let (mut buffer, mut vector) = (Vec::new(), Vec::with_capacity(query.len()));
        move |slot| {
            self.read_vector(slot, &mut buffer, &mut vector);
            similarity(query, &vector)
        }
    }

    /// The best `k` of `among` by looking at every one: what a scan over the vectors gives, see `codes`.
    pub(super) fn scan(&self, query: &[f32], k: usize, among: Option<&PhotoSet>) -> Candidates {
        let places = k.min(self.len).max(1);
        let contenders = self.contenders(&self.codes.coded(query), places, 0, among);
        self.best_of(query, k, contenders)
    }

    /// The best `k` of those of `slots` that are there, as [`View::scan`].
    pub(super) fn scan_slots(&self, query: &[f32], k: usize, slots: &[u32]) -> Candidates {
        let (places, coded) = (k.min(slots.len()).max(1), self.codes.coded(query));
        let chunks: Vec<&[u32]> = slots.chunks(SLOTS_AT_A_TIME).collect();
        let scan_chunk = |contenders: &mut Contenders, chunk: usize| {
            self.codes.scan_slots(coded.row(), chunks[chunk], |slot, estimate, error_bound| {
                if contenders.may_take(estimate, error_bound) && !self.tags.is_removed(slot) {
                    contenders.offer(slot, estimate, error_bound);
                }
            });
        };
        let parallel = slots.len() >= PARALLEL_SLOTS;
        self.best_of(query, k, gathered(places, 0..chunks.len(), parallel, scan_chunk))
    }

    /// The best `k` of the contenders.
    fn best_of(&self, query: &[f32], k: usize, contenders: Contenders) -> Candidates {
        let scored = contenders.scored(self.scorer(query)).into_iter();
        let scored = scored.map(|(slot, score)| Candidate { photo_id: self.tags.photo_id(slot), score });
        Candidates::best_of(scored.collect(), k)
    }

    /// Those of the slots from `first_slot` on, of pictures of `among`, that may be among the best `places >= 1`.
    pub(super) fn contenders(
        &self,
        query: &Coded,
        places: usize,
        first_slot: usize,
        among: Option<&PhotoSet>,
    ) -> Contenders {
        let blocks = first_slot / BLOCK_ROWS..self.len.div_ceil(BLOCK_ROWS);
        let all_wanted = self.removed == 0 && among.is_none();
        let scan_block = |contenders: &mut Contenders, block: usize| {
            let skipped = first_slot.saturating_sub(block * BLOCK_ROWS);
            self.codes.scan_block(query.row(), block, skipped, |slot, estimate, error_bound| {
                // Most are too far away, and then it does not matter whose they are.
                if all_wanted
                    || contenders.may_take(estimate, error_bound) && self.tags.is_wanted(slot, among)
                {
                    contenders.offer(slot, estimate, error_bound);
                }
            });
        };
        let parallel = self.len.saturating_sub(first_slot) >= PARALLEL_ROWS;
        gathered(places, blocks, parallel, scan_block)
    }
}

/// What `scan` finds in the parts, on this thread or on those of the current rayon pool.
fn gathered(
    places: usize,
    parts: Range<usize>,
    parallel: bool,
    scan: impl Fn(&mut Contenders, usize) + Sync,
) -> Contenders {
    let none = || Contenders::new(places);
    let with = |mut contenders: Contenders, part: usize| {
        scan(&mut contenders, part);
        contenders
    };
    if parallel {
        parts.into_par_iter().fold(none, with).reduce(none, Contenders::and)
    } else {
        parts.fold(none(), with)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::VectorStore;
    use crate::index::PhotoSet;
    use crate::photo_id::PhotoId;

    proptest! {
        #[test]
        fn pictures_are_where_the_table_says_in_whatever_order_they_came(
            ids in proptest::collection::btree_set(prop_oneof![8 => 1i64..600, 1 => 1i64..=i64::MAX], 1..300),
            swaps in proptest::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..150),
            others in proptest::collection::vec(prop_oneof![-5i64..700, any::<i64>()], 0..50),
            one_in in 1usize..20,
        ) {
            let mut order: Vec<i64> = ids.into_iter().collect();
            for (a, b) in swaps {
                let (a, b) = (a.index(order.len()), b.index(order.len()));
                order.swap(a, b);
            }
            let store = VectorStore::new(2);
            for (&id, value) in order.iter().zip(0u16..) {
                store.push(PhotoId(id), &[f32::from(value), 1.0]).unwrap();
            }
            let view = store.view();
            // A picture that came after the view is not in it.
            let later = PhotoId((1..=i64::MAX).find(|id| !order.contains(id)).unwrap());
            store.push(later, &[0.0, 1.0]).unwrap();

            let among: PhotoSet =
                order.iter().copied().step_by(one_in).chain(others).map(PhotoId).chain([later]).collect();
            let slots = store.slots(&view, &among);
            let expected: BTreeSet<u32> =
                (0u32..).zip(&order).filter(|(_, id)| among.contains(PhotoId(**id))).map(|(slot, _)| slot).collect();
            prop_assert_eq!(slots.len(), expected.len());
            prop_assert_eq!(slots.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
