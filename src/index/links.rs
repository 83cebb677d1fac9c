//! The graph's neighbour lists, in layers: flat arrays of slots that grow without moving.
//!
//! Every slot has a place in the lowest layer, about one in [`LINKS`] also in the next, one in `LINKS`^2 in the one
//! above that. Which ones is a function of the slot's number ([`layer_of`]), so it is stored nowhere and is the same
//! at every building. A row of neighbours ends at the first [`NONE`].
//!
//! Rows are read while they are written. Each entry is atomic, so a reader meets old and new neighbours mixed, now
//! and then one twice or not at all, but never a slot that was not a neighbour; searches bear that. Writers of one
//! row take turns (`Graph` has the locks).
//!
//! Each slot counts the rows of the lowest layer that lead to it. The last of them is never given up: a link is
//! counted after it is written and uncounted before it is removed, so the count is never above the truth.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::rows::BLOCK_ROWS;

/// Neighbours in a row of the upper layers.
pub(super) const LINKS: usize = 16;
/// Neighbours in a row of the lowest layer.
pub(super) const LOWEST_LINKS: usize = 2 * LINKS;
/// Ends a row. No slot has this number.
pub(super) const NONE: u32 = u32::MAX;

/// `LINKS`^7 is 2^28: with a layer more the topmost would have one slot of four thousand million.
const TOP_LAYER: u32 = 7;
/// Not in any upper layer.
const NO_ROW: u16 = u16::MAX;

/// The highest layer that a slot is in.
pub(super) fn layer_of(slot: u32) -> usize {
    // SplitMix64: every bit of the slot's number decides about every bit of the result.
    let mut z = u64::from(slot).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z.trailing_zeros() / LINKS.ilog2()).min(TOP_LAYER) as usize
}

/// The links of [`BLOCK_ROWS`] slots.
#[derive(Clone)]
struct Block {
    lowest: Arc<[AtomicU32]>,
    /// How many rows of the lowest layer lead to each slot.
    counts: Arc<[AtomicU32]>,
    upper: Arc<Upper>,
}

struct Upper {
    /// The row of a slot in layer 1, which the one in layer 2 follows, and so on.
    first_row: Box<[u16]>,
    links: Box<[AtomicU32]>,
}

fn atomics(count: usize, value: u32) -> impl Iterator<Item = AtomicU32> {
    (0..count).map(move |_| AtomicU32::new(value))
}

/// The next `count` numbers of `bytes`, which are little-endian.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<impl Iterator<Item = AtomicU32> + use<'a>> {
    let (numbers, rest) = bytes.split_at_checked(4 * count)?;
    *bytes = rest;
    Some(numbers.as_chunks::<4>().0.iter().map(|number| AtomicU32::new(u32::from_le_bytes(*number))))
}

impl Block {
    fn new(number: usize) -> Self {
        let (first_row, rows) = Self::upper_rows(number);
        Self {
            lowest: atomics(BLOCK_ROWS * LOWEST_LINKS, NONE).collect(),
            counts: atomics(BLOCK_ROWS, 0).collect(),
            upper: Arc::new(Upper { first_row, links: atomics(rows * LINKS, NONE).collect() }),
        }
    }

    /// For each slot its first row in the upper layers, and how many rows there are.
    fn upper_rows(number: usize) -> (Box<[u16]>, usize) {
        let mut rows = 0_usize;
        let first_row = (number * BLOCK_ROWS..(number + 1) * BLOCK_ROWS).map(|slot| {
            let layers = u32::try_from(slot).map_or(0, layer_of);
            let first = rows;
            rows += layers;
            if layers == 0 { NO_ROW } else { u16::try_from(first).unwrap_or(NO_ROW) }
        });
        (first_row.collect(), rows)
    }

    /// All numbers of the block, in the order in which they are written and read.
    fn numbers(&self) -> impl Iterator<Item = &AtomicU32> {
        self.lowest.iter().chain(self.counts.iter()).chain(&self.upper.links)
    }

    fn read(number: usize, bytes: &mut &[u8]) -> Option<Self> {
        let (first_row, rows) = Self::upper_rows(number);
        Some(Self {
            lowest: take(bytes, BLOCK_ROWS * LOWEST_LINKS)?.collect(),
            counts: take(bytes, BLOCK_ROWS)?.collect(),
            upper: Arc::new(Upper { first_row, links: take(bytes, rows * LINKS)?.collect() }),
        })
    }
}

/// The links of all slots there is room for.
pub(super) struct Links(RwLock<Arc<Vec<Block>>>);

impl Links {
    pub(super) fn new() -> Self {
        Self(RwLock::default())
    }

    /// Rows as they are and will be, with room for at least `slots` slots.
    pub(super) fn with_room(&self, slots: usize) -> Rows {
        let rows = self.rows();
        if rows.room() >= slots {
            return rows;
        }
        let mut blocks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        while blocks.len() * BLOCK_ROWS < slots {
            let block = Block::new(blocks.len());
            Arc::make_mut(&mut blocks).push(block);
        }
        Rows(Arc::clone(&blocks))
    }

    /// Reads what [`Rows::write_to`] wrote for `slots` slots; nothing if it cannot have written that.
    pub(super) fn read(bytes: &mut &[u8], slots: usize) -> Option<Self> {
        let blocks = (0..slots.div_ceil(BLOCK_ROWS)).map(|number| Block::read(number, bytes));
        let links = Self(RwLock::new(Arc::new(blocks.collect::<Option<_>>()?)));
        let rows = links.rows();
        let there = |slot: u32, layer| (slot as usize) < slots && (layer == 0 || layer_of(slot) >= layer);
        let fits = |slot: u32, layer| {
            rows.neighbours(layer, slot).all(|near| there(slot, layer) && there(near, layer))
        };
        let all = u32::try_from(rows.room()).ok()?;
        (0..all).all(|slot| (0..=layer_of(slot)).all(|layer| fits(slot, layer))).then_some(links)
    }

    /// Rows as they are and will be.
    pub(super) fn rows(&self) -> Rows {
        Rows(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A handle on all rows there were when it was taken.
pub(super) struct Rows(Arc<Vec<Block>>);

impl Rows {
    /// Slots before this one have rows.
    pub(super) fn room(&self) -> usize {
        self.0.len() * BLOCK_ROWS
    }

    /// Writes the rows of the first `slots` slots, with linking locked out: for each block the lowest layer, the counts, the
    /// upper layers, each number in four bytes, little-endian. There is room for so many slots.
    pub(super) fn write_to(&self, slots: usize, out: &mut impl Write) -> io::Result<()> {
        for block in &self.0[..slots.div_ceil(BLOCK_ROWS)] {
            for number in block.numbers() {
                out.write_all(&number.load(Ordering::Acquire).to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// The row of a slot in a layer that it is in: `LOWEST_LINKS` entries in the lowest, `LINKS` in others.
    #[inline]
    pub(super) fn row(&self, layer: usize, slot: u32) -> &[AtomicU32] {
        let (block, slot) = (&self.0[slot as usize / BLOCK_ROWS], slot as usize % BLOCK_ROWS);
        if layer == 0 {
            return &block.lowest[slot * LOWEST_LINKS..(slot + 1) * LOWEST_LINKS];
        }
        let start = (usize::from(block.upper.first_row[slot]) + layer - 1) * LINKS;
        block.upper.links.get(start..start + LINKS).unwrap_or_default()
    }

    /// The neighbours that a slot has in a layer.
    #[inline]
    pub(super) fn neighbours(&self, layer: usize, slot: u32) -> impl Iterator<Item = u32> {
        // Acquire: a reader that sees a link also sees the rows of the slot that it leads to.
        let entries = self.row(layer, slot).iter().map(|entry| entry.load(Ordering::Acquire));
        entries.take_while(|&neighbour| neighbour != NONE)
    }

    /// Replaces a row, which no other thread writes meanwhile. `neighbours` fit into it.
    pub(super) fn write(&self, layer: usize, slot: u32, neighbours: &[u32]) {
        for (number, entry) in self.row(layer, slot).iter().enumerate() {
            entry.store(neighbours.get(number).copied().unwrap_or(NONE), Ordering::Release);
        }
    }

    fn count(&self, slot: u32) -> &AtomicU32 {
        &self.0[slot as usize / BLOCK_ROWS].counts[slot as usize % BLOCK_ROWS]
    }

    /// How many rows of the lowest layer lead to `slot`.
    pub(super) fn led_to(&self, slot: u32) -> u32 {
        self.count(slot).load(Ordering::Acquire)
    }

    /// A link of the lowest layer that leads to `slot` has been written.
    pub(super) fn gained(&self, slot: u32) {
        self.count(slot).fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a link of the lowest layer that leads to `slot` may be removed now: it is not the last.
    #[must_use]
    pub(super) fn try_release_in_link(&self, slot: u32) -> bool {
        let less = |count: u32| if count > 1 { Some(count - 1) } else { None };
        self.count(slot).fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_ROWS, LINKS, Links, layer_of};

    #[test]
    fn one_slot_in_sixteen_is_in_the_next_layer() {
        let slots = 1 << 16;
        for layer in 1..=3 {
            let there = (0..slots).filter(|&slot| layer_of(slot) >= layer).count();
            let expected = (slots as usize) / LINKS.pow(u32::try_from(layer).unwrap());
            assert!(there.abs_diff(expected) <= expected / 2, "layer {layer}: {there}, expected {expected}");
        }
    }

    #[test]
    fn every_slot_has_a_row_of_its_own_in_each_of_its_layers() {
        let links = Links::new();
        let rows = links.with_room(2 * BLOCK_ROWS + 1);
        assert_eq!(rows.room(), 3 * BLOCK_ROWS);
        for slot in 0..u32::try_from(rows.room()).unwrap() {
            for layer in 0..=layer_of(slot) {
                assert_eq!(rows.neighbours(layer, slot).count(), 0);
                rows.write(layer, slot, &[slot, u32::try_from(layer).unwrap()]);
            }
        }
        for slot in 0..u32::try_from(rows.room()).unwrap() {
            for layer in 0..=layer_of(slot) {
                let expected = [slot, u32::try_from(layer).unwrap()];
                assert!(rows.neighbours(layer, slot).eq(expected), "slot {slot}, layer {layer}");
            }
        }
    }

    #[test]
    fn the_last_link_that_leads_to_a_slot_may_not_go() {
        let rows = Links::new().with_room(1);
        assert!(!rows.try_release_in_link(0));
        rows.gained(0);
        rows.gained(0);
        assert!(rows.try_release_in_link(0));
        assert!(!rows.try_release_in_link(0));
        assert_eq!(rows.led_to(0), 1);
    }
}
