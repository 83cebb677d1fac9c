//! What is known of each slot beside its vector: whose it is, who shares it, whether it was taken out.
//!
//! Slots with the same vector form a ring. The first of them stands for all in the graph and in the table of vectors,
//! whether or not it was taken out itself.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::rows::BLOCK_ROWS;
use crate::photo_id::PhotoId;

/// Of a block of slots. Written before the slot is published; only rings and removals change later.
struct Block {
    photo_ids: Box<[AtomicI64]>,
    hashes: Box<[AtomicU32]>,
    next_twins: Box<[AtomicU32]>,
    /// A bit a slot.
    removed: Box<[AtomicU64]>,
}

impl Block {
    fn new() -> Self {
        Self {
            photo_ids: (0..BLOCK_ROWS).map(|_| AtomicI64::new(0)).collect(),
            hashes: (0..BLOCK_ROWS).map(|_| AtomicU32::new(0)).collect(),
            next_twins: (0..BLOCK_ROWS).map(|_| AtomicU32::new(0)).collect(),
            removed: (0..BLOCK_ROWS / 64).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

/// The tags of all slots there is room for.
#[derive(Default)]
pub(super) struct TagStore(RwLock<Arc<Vec<Arc<Block>>>>);

impl TagStore {
    /// Tags as they are and will be, of the slots that there is room for.
    pub(super) fn view(&self) -> Tags {
        Tags(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The same, with room for `slot` at least.
    pub(super) fn with_room_for(&self, slot: u32) -> Tags {
        let tags = self.view();
        if (slot as usize) < tags.0.len() * BLOCK_ROWS {
            return tags;
        }
        let mut blocks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut blocks).push(Arc::new(Block::new()));
        Tags(Arc::clone(&blocks))
    }

    /// Reads what [`Tags::write_to`] wrote for `slots` slots, or nothing if it cannot have written that.
    pub(super) fn read(bytes: &[u8], slots: usize) -> Option<Self> {
        let (photo_ids, bytes) = bytes.split_at_checked(8 * slots)?;
        let (hashes, bytes) = bytes.split_at_checked(4 * slots)?;
        let (next_twins, removed) = bytes.split_at_checked(4 * slots)?;
        let last = slots.div_ceil(BLOCK_ROWS).checked_mul(BLOCK_ROWS);
        let store = Self::default();
        let tags = match u32::try_from(last?).ok()?.checked_sub(1) {
            Some(last) => {
                let blocks = (0..=last as usize / BLOCK_ROWS).map(|_| Arc::new(Block::new()));
                *store.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(blocks.collect());
                store.view()
            }
            None => return removed.is_empty().then_some(store),
        };
        let numbers = photo_ids.as_chunks::<8>().0.iter().map(|n| i64::from_le_bytes(*n));
        let hashes = hashes.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n));
        let next_twins = next_twins.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n));
        for (slot, ((photo_id, hash), next)) in (0..).zip(numbers.zip(hashes).zip(next_twins)) {
            if photo_id <= 0 || next as usize >= slots {
                return None;
            }
            tags.write(slot, PhotoId(photo_id), hash);
            tags.set_next_twin(slot, next);
        }
        if removed.len() != 8 * slots.div_ceil(64) {
            return None;
        }
        for (word, bits) in removed.as_chunks::<8>().0.iter().enumerate() {
            let block = &tags.0[word * 64 / BLOCK_ROWS];
            block.removed[word % (BLOCK_ROWS / 64)].store(u64::from_le_bytes(*bits), Ordering::Relaxed);
        }
        Some(store)
    }
}

/// A handle on tags. A clone costs nothing.
#[derive(Clone)]
pub(super) struct Tags(Arc<Vec<Arc<Block>>>);

impl Tags {
    fn at(&self, slot: u32) -> (&Block, usize) {
        (&self.0[slot as usize / BLOCK_ROWS], slot as usize % BLOCK_ROWS)
    }

    pub(super) fn has_room_for(&self, slot: u32) -> bool {
        (slot as usize) < self.0.len() * BLOCK_ROWS
    }

    /// Fills in a slot that is not published yet, in a ring of its own.
    pub(super) fn write(&self, slot: u32, photo_id: PhotoId, hash: u32) {
        let (block, at) = self.at(slot);
        block.photo_ids[at].store(photo_id.0, Ordering::Relaxed);
        block.hashes[at].store(hash, Ordering::Relaxed);
        block.next_twins[at].store(slot, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn photo_id(&self, slot: u32) -> PhotoId {
        let (block, at) = self.at(slot);
        PhotoId(block.photo_ids[at].load(Ordering::Relaxed))
    }

    /// The hash of the slot's vector.
    pub(super) fn hash(&self, slot: u32) -> u32 {
        let (block, at) = self.at(slot);
        block.hashes[at].load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn next_twin(&self, slot: u32) -> u32 {
        let (block, at) = self.at(slot);
        // Acquire: a reader that sees a twin also sees its tags.
        block.next_twins[at].load(Ordering::Acquire)
    }

    pub(super) fn set_next_twin(&self, slot: u32, next: u32) {
        let (block, at) = self.at(slot);
        block.next_twins[at].store(next, Ordering::Release);
    }

    #[inline]
    pub(super) fn is_removed(&self, slot: u32) -> bool {
        let (block, at) = self.at(slot);
        block.removed[at / 64].load(Ordering::Acquire) >> (at % 64) & 1 == 1
    }

    /// Marks a slot as removed; says whether it was not before.
    pub(super) fn remove(&self, slot: u32) -> bool {
        let (block, at) = self.at(slot);
        let bit = 1 << (at % 64);
        block.removed[at / 64].fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// How many bytes [`Tags::write_to`] writes for `slots` slots.
    pub(super) fn bytes_of(slots: usize) -> usize {
        (8 + 4 + 4) * slots + 8 * slots.div_ceil(64)
    }

    /// Writes the tags of `slots`, which start at 0, with pushing and removing locked out.
    pub(super) fn write_to(&self, slots: Range<u32>, out: &mut impl Write) -> io::Result<()> {
        for slot in slots.clone() {
            out.write_all(&self.photo_id(slot).0.to_le_bytes())?;
        }
        for slot in slots.clone() {
            out.write_all(&self.hash(slot).to_le_bytes())?;
        }
        for slot in slots.clone() {
            out.write_all(&self.next_twin(slot).to_le_bytes())?;
        }
        for slot in slots.step_by(64) {
            let (block, at) = self.at(slot);
            out.write_all(&block.removed[at / 64].load(Ordering::Acquire).to_le_bytes())?;
        }
        Ok(())
    }
}
