//! All vectors, one after the other: what exact answers are made of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::candidates::{Candidate, Podium};
use crate::embed::similarity;
use crate::photo_id::PhotoId;

/// 1 MiB of vectors at 256 dimensions: enough to stream, small enough to share out over threads.
const BLOCK_ROWS: usize = 1024;

/// From here on a scan is worth more than one thread.
const PARALLEL_ROWS: usize = 8 * BLOCK_ROWS;

#[derive(Clone, Default)]
struct Block {
    ids: Vec<PhotoId>,
    /// `ids.len() * dimension` numbers.
    rows: Vec<f32>,
}

/// Vectors in slots 0, 1, 2, …, which never move or change.
pub(super) struct Shelf {
    dimension: usize,
    blocks: Vec<Arc<Block>>,
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
}

impl Shelf {
    pub(super) fn new(dimension: usize) -> Self {
        Self {
            dimension,
            blocks: Vec::new(),
            slot_of: HashMap::new(),
            first_with: HashMap::new(),
            next_twin: Vec::new(),
            last_photo_id: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.next_twin.len()
    }

    pub(super) fn last_photo_id(&self) -> Option<PhotoId> {
        self.last_photo_id
    }

    /// Puts `vector`, of our dimension, into the next slot.
    pub(super) fn push(&mut self, photo_id: PhotoId, vector: &[f32]) -> Shelved {
        debug_assert_eq!(vector.len(), self.dimension);
        let slot = u32::try_from(self.len()).expect("four thousand million vectors do not fit into memory");
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
        if self.blocks.last().is_none_or(|block| block.ids.len() == BLOCK_ROWS) {
            self.blocks.push(Arc::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            // A scan may hold the last block just now; then it keeps the old one and we go on with a copy.
            let block = Arc::make_mut(block);
            block.ids.push(photo_id);
            block.rows.extend_from_slice(vector);
        }
        self.last_photo_id = self.last_photo_id.max(Some(photo_id));
        Shelved::Yes
    }

    /// The first slot that holds `vector`, or the key under which it would be filed.
    fn find(&self, vector: &[f32]) -> Result<u32, u64> {
        let mut hasher = DefaultHasher::new();
        for value in vector {
            hasher.write_u32(value.to_bits());
        }
        let mut key = hasher.finish();
        while let Some(&slot) = self.first_with.get(&key) {
            if self.row(slot as usize) == vector {
                return Ok(slot);
            }
            key = key.wrapping_add(1);
        }
        Err(key)
    }

    fn row(&self, slot: usize) -> &[f32] {
        let start = slot % BLOCK_ROWS * self.dimension;
        &self.blocks[slot / BLOCK_ROWS].rows[start..start + self.dimension]
    }

    fn id(&self, slot: usize) -> PhotoId {
        self.blocks[slot / BLOCK_ROWS].ids[slot % BLOCK_ROWS]
    }

    /// The vector of a picture.
    pub(super) fn vector(&self, photo_id: PhotoId) -> Option<&[f32]> {
        self.slot_of.get(&photo_id).map(|&slot| self.row(slot as usize))
    }

    /// Pictures in the order of their slots.
    pub(super) fn ids(&self, slots: Range<usize>) -> impl Iterator<Item = PhotoId> {
        slots.map(|slot| self.id(slot))
    }

    /// Those of `slots` whose vector no earlier slot holds.
    pub(super) fn first_of_their_kind(&self, slots: Range<usize>) -> Vec<(PhotoId, Vec<f32>)> {
        slots
            .filter(|&slot| self.find(self.row(slot)).is_ok_and(|first| first as usize == slot))
            .map(|slot| (self.id(slot), self.row(slot).to_vec()))
            .collect()
    }

    /// Every picture whose vector is exactly `query`, with score 1.
    pub(super) fn twins_of(&self, query: &[f32], into: &mut Vec<Candidate>) {
        if let Ok(slot) = self.find(query) {
            self.add_ring(slot, 1.0, into);
        }
    }

    /// The picture and every other one with the same vector, scored against `query`.
    pub(super) fn rescore(&self, photo_id: PhotoId, query: &[f32], into: &mut Vec<Candidate>) {
        if let Some(&slot) = self.slot_of.get(&photo_id) {
            self.add_ring(slot, similarity(query, self.row(slot as usize)), into);
        }
    }

    fn add_ring(&self, start: u32, score: f32, into: &mut Vec<Candidate>) {
        let mut slot = start;
        loop {
            into.push(Candidate { photo_id: self.id(slot as usize), score });
            slot = self.next_twin[slot as usize];
            if slot == start {
                break;
            }
        }
    }

    /// What is there now, to be scanned without holding anybody up.
    pub(super) fn view(&self) -> View {
        View { dimension: self.dimension, len: self.len(), blocks: self.blocks.clone() }
    }
}

/// The shelf at one moment.
pub(super) struct View {
    dimension: usize,
    len: usize,
    blocks: Vec<Arc<Block>>,
}

impl View {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The best `k >= 1` of the slots from `first_slot` on, by looking at every one of them. No order.
    pub(super) fn scan(&self, query: &[f32], k: usize, first_slot: usize) -> Vec<Candidate> {
        let rows = self.len.saturating_sub(first_slot);
        let places = k.min(rows).max(1);
        let first_block = (first_slot / BLOCK_ROWS).min(self.blocks.len());
        let blocks = &self.blocks[first_block..];
        let scan_block = |(number, block): (usize, &Arc<Block>), podium: &mut Podium| {
            let skipped = if number == 0 { first_slot % BLOCK_ROWS } else { 0 };
            let rows = block.rows.chunks_exact(self.dimension);
            for (&photo_id, row) in block.ids.iter().zip(rows).skip(skipped) {
                podium.offer(Candidate { photo_id, score: similarity(query, row) });
            }
        };
        if rows < PARALLEL_ROWS {
            let mut podium = Podium::new(places);
            blocks.iter().enumerate().for_each(|block| scan_block(block, &mut podium));
            return podium.into_vec();
        }
        blocks
            .par_iter()
            .enumerate()
            .fold(
                || Podium::new(places),
                |mut podium, block| {
                    scan_block(block, &mut podium);
                    podium
                },
            )
            .flat_map_iter(Podium::into_vec)
            .collect()
    }
}
