//! All vectors, one after the other: what exact answers are made of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::candidates::{Candidate, Candidates, Contenders};
use super::codes::{BLOCK_ROWS, Coded, Codes};
use crate::embed::similarity;
use crate::photo_id::PhotoId;

/// From here on a scan is worth more than one thread. On two cores 100,000 rows take 0.8 ms with both and 0.9 with
/// one; 34,000 take longer with both, and on a busy machine all do.
const PARALLEL_ROWS: usize = 128 * BLOCK_ROWS;

/// A slot has to leave the top bit of an `u32` free.
const MAX_SLOTS: u32 = 1 << 31;

#[derive(Clone, Default)]
struct Block {
    ids: Vec<PhotoId>,
    /// `ids.len() * dimension` numbers.
    rows: Vec<f32>,
}

/// Vectors in slots 0, 1, 2, …, which never change.
pub(super) struct Shelf {
    now: View,
    slot_of: HashMap<PhotoId, u32>,
    /// The hash of a vector (moved on by one where another vector sits) to the first slot that holds it.
    first_with: HashMap<u64, u32>,
    /// For each slot the next one with the same vector, round in a ring.
    next_twin: Vec<u32>,
    last_photo_id: Option<PhotoId>,
}

/// Where a picture came to stand.
pub(super) enum Shelved {
    Yes,
    AlreadyThere,
    Full,
}

impl Shelf {
    pub(super) fn new(dimension: usize) -> Self {
        Self {
            now: View { dimension, blocks: Arc::default(), codes: Codes::new(dimension) },
            slot_of: HashMap::new(),
            first_with: HashMap::new(),
            next_twin: Vec::new(),
            last_photo_id: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.now.len()
    }

    pub(super) fn last_photo_id(&self) -> Option<PhotoId> {
        self.last_photo_id
    }

    /// Puts `vector`, of our dimension, into the next slot.
    pub(super) fn push(&mut self, photo_id: PhotoId, vector: &[f32]) -> Shelved {
        let slot = match u32::try_from(self.len()) {
            Ok(slot) if slot < MAX_SLOTS => slot,
            _ => return Shelved::Full,
        };
        match self.slot_of.entry(photo_id) {
            Entry::Occupied(_) => return Shelved::AlreadyThere,
            Entry::Vacant(vacant) => vacant.insert(slot),
        };
        match self.find(vector) {
            Ok(twin) => {
                self.next_twin.push(self.next_twin[twin as usize]);
                self.next_twin[twin as usize] = slot;
            }
            Err(free_key) => {
                self.first_with.insert(free_key, slot);
                self.next_twin.push(slot);
            }
        }
        self.now.push(photo_id, vector);
        self.last_photo_id = self.last_photo_id.max(Some(photo_id));
        Shelved::Yes
    }

    /// The first slot that holds `vector`, or the key under which it would be filed.
    fn find(&self, vector: &[f32]) -> Result<u32, u64> {
        let mut key = hash(vector);
        while let Some(&slot) = self.first_with.get(&key) {
            if self.now.vector(slot) == vector {
                return Ok(slot);
            }
            key = key.wrapping_add(1);
        }
        Err(key)
    }

    /// Pictures in the order of their slots.
    pub(super) fn ids(&self, slots: Range<usize>) -> impl Iterator<Item = PhotoId> {
        slots_of(slots).map(|slot| self.now.id(slot))
    }

    /// A number that differs, but for one case in 2^64, when any vector in `slots` does.
    pub(super) fn sum(&self, slots: Range<usize>) -> u64 {
        slots_of(slots).fold(0, |sum, slot| mix(sum ^ hash(self.now.vector(slot))))
    }

    /// Those of `slots` whose vector no earlier slot holds.
    pub(super) fn first_of_their_kind(&self, slots: Range<usize>) -> Vec<(u32, PhotoId)> {
        slots_of(slots)
            .filter(|&slot| self.find(self.now.vector(slot)) == Ok(slot))
            .map(|slot| (slot, self.now.id(slot)))
            .collect()
    }

    /// Every picture whose vector is exactly `query`, with score 1.
    pub(super) fn twins_of(&self, query: &[f32], into: &mut Vec<Candidate>) {
        if let Ok(slot) = self.find(query) {
            self.add_ring(slot, 1.0, into);
        }
    }

    /// Every picture with the vector of `slot`, with that `score`.
    pub(super) fn add_ring(&self, slot: u32, score: f32, into: &mut Vec<Candidate>) {
        let mut twin = slot;
        loop {
            into.push(Candidate { photo_id: self.now.id(twin), score });
            twin = self.next_twin[twin as usize];
            if twin == slot {
                break;
            }
        }
    }

    /// What is there now, to be searched without holding anybody up.
    pub(super) fn view(&self) -> View {
        self.now.clone()
    }
}

fn slots_of(slots: Range<usize>) -> Range<u32> {
    // Every slot fits: `push` has seen to that.
    let end = |slot| u32::try_from(slot).unwrap_or(MAX_SLOTS);
    end(slots.start)..end(slots.end)
}

/// The same on every machine, because snapshots hold it.
fn hash(vector: &[f32]) -> u64 {
    let (pairs, rest) = vector.as_chunks::<2>();
    let sum = pairs.iter().fold(vector.len() as u64, |sum, [a, b]| {
        mix(sum ^ (u64::from(a.to_bits()) << 32 | u64::from(b.to_bits())))
    });
    rest.iter().fold(sum, |sum, value| mix(sum ^ u64::from(value.to_bits())))
}

/// A number for a number, one for one, in which every bit depends on most.
fn mix(number: u64) -> u64 {
    let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

/// The shelf at one moment. A clone costs nothing.
#[derive(Clone)]
pub(super) struct View {
    dimension: usize,
    blocks: Arc<Vec<Arc<Block>>>,
    codes: Codes,
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    fn push(&mut self, photo_id: PhotoId, vector: &[f32]) {
        debug_assert_eq!(vector.len(), self.dimension);
        let blocks = Arc::make_mut(&mut self.blocks);
        if blocks.last().is_none_or(|block| block.ids.len() == BLOCK_ROWS) {
            blocks.push(Arc::default());
        }
        if let Some(block) = blocks.last_mut() {
            // A search may hold the last block just now; then it keeps the old one and we go on with a copy.
            let block = Arc::make_mut(block);
            block.ids.push(photo_id);
            block.rows.extend_from_slice(vector);
        }
        self.codes.push(vector);
    }

    fn vector(&self, slot: u32) -> &[f32] {
        let start = slot as usize % BLOCK_ROWS * self.dimension;
        &self.blocks[slot as usize / BLOCK_ROWS].rows[start..start + self.dimension]
    }

    fn id(&self, slot: u32) -> PhotoId {
        self.blocks[slot as usize / BLOCK_ROWS].ids[slot as usize % BLOCK_ROWS]
    }

    /// The score of the vector in a slot.
    pub(super) fn score(&self, query: &[f32], slot: u32) -> f32 {
        similarity(query, self.vector(slot))
    }

    /// The best `k` by looking at every one: what a scan over the vectors gives, see `codes`.
    pub(super) fn scan(&self, query: &[f32], k: usize) -> Candidates {
        let places = k.min(self.len()).max(1);
        let contenders = self.contenders(&self.codes.coded(query), places, 0);
        let scored = contenders
            .into_slots()
            .map(|slot| Candidate { photo_id: self.id(slot), score: self.score(query, slot) });
        Candidates::best_of(scored.collect(), k)
    }

    /// Those of the slots from `first_slot` on that may be among the best `places >= 1`.
    pub(super) fn contenders(&self, query: &Coded, places: usize, first_slot: usize) -> Contenders {
        let blocks = first_slot / BLOCK_ROWS..self.blocks.len();
        let scan_block = |contenders: &mut Contenders, block: usize| {
            let skipped = first_slot.saturating_sub(block * BLOCK_ROWS);
            self.codes.scan_block(query.row(), block, skipped, |slot, estimate, reach| {
                contenders.offer(slot, estimate, reach);
            });
        };
        let mut all = Contenders::new(places);
        if self.len().saturating_sub(first_slot) < PARALLEL_ROWS {
            blocks.for_each(|block| scan_block(&mut all, block));
            return all;
        }
        let parts = blocks.into_par_iter().fold(
            || Contenders::new(places),
            |mut contenders, block| {
                scan_block(&mut contenders, block);
                contenders
            },
        );
        parts.reduce(|| Contenders::new(places), Contenders::and)
    }
}
