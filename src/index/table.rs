//! Which slots may hold what has this hash? A table of slots alone, 5 to 7 bytes each; the caller compares what it
//! finds there.
//!
//! It is read while one writer adds to it: entries only ever go from free to taken, and a table that has become too
//! small is replaced by a greater one, made beside it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::links::NONE;

/// At most `TAKEN_OF_TEN` of ten entries are taken: then a search looks at 3 on average, at 13 when it is in vain.
const TAKEN_OF_TEN: usize = 8;

const LEAST_ENTRIES: usize = 16;

/// Slots by the hash of something that they hold.
pub(super) struct Table(RwLock<Arc<Entries>>);

type Entries = [AtomicU32];

fn free(count: usize) -> Arc<Entries> {
    (0..count).map(|_| AtomicU32::new(NONE)).collect()
}

/// Where the entries for a hash begin.
fn start(entries: &Entries, hash: u32) -> usize {
    ((u64::from(hash) * entries.len() as u64) >> 32) as usize
}

impl Table {
    /// An empty table with room for `slots`.
    pub(super) fn with_room(slots: usize) -> Self {
        Self(RwLock::new(free((slots * 10 / TAKEN_OF_TEN + 1).max(LEAST_ENTRIES))))
    }

    fn entries(&self) -> Arc<Entries> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first slot under `hash` that `is_it`.
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let entries = self.entries();
        let (before, from) = entries.split_at(start(&entries, hash));
        for entry in from.iter().chain(before) {
            // Acquire: a reader that meets a slot also sees what it holds.
            match entry.load(Ordering::Acquire) {
                NONE => return None,
                slot if is_it(slot) => return Some(slot),
                _ => {}
            }
        }
        None
    }

    /// Adds a slot, the `number`th (from 0 on). One at a time; `hash_of` tells the hash of those that are there.
    pub(super) fn add(&self, number: usize, slot: u32, hash_of: impl Fn(u32) -> u32) {
        let entries = self.entries();
        if (number + 1) * 10 <= entries.len() * TAKEN_OF_TEN {
            return put(&entries, slot, hash_of(slot));
        }
        let greater = free(entries.len() * 5 / 4 + LEAST_ENTRIES);
        let there = entries.iter().map(|entry| entry.load(Ordering::Relaxed)).filter(|&slot| slot != NONE);
        for slot in there.chain([slot]) {
            put(&greater, slot, hash_of(slot));
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = greater;
    }
}

fn put(entries: &Entries, slot: u32, hash: u32) {
    let (before, from) = entries.split_at(start(entries, hash));
    if let Some(entry) = from.iter().chain(before).find(|entry| entry.load(Ordering::Relaxed) == NONE) {
        entry.store(slot, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::index::checksum::mix;

    #[test]
    fn whatever_was_added_is_found_while_the_table_grows() {
        for spread in [true, false] {
            let hash =
                |slot: u32| if spread { (mix(u64::from(slot)) >> 32) as u32 } else { u32::MAX - slot % 3 };
            let table = Table::with_room(0);
            for slot in 0..1000 {
                assert_eq!(table.find(hash(slot), |it| it == slot), None);
                table.add(slot as usize, slot, hash);
                for earlier in [0, slot / 2, slot] {
                    assert_eq!(table.find(hash(earlier), |it| it == earlier), Some(earlier));
                }
            }
        }
    }
}
