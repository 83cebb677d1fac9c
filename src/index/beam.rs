//! What a search through the graph keeps in view, and what it has seen. One of each for a thread, used again.

/// A slot and the estimate of its cosine to the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Near {
    pub(super) slot: u32,
    pub(super) estimate: f32,
}

/// The top bit of a slot in the beam: its neighbours have been looked at. Slots are below 2^31.
const EXPANDED: u32 = 1 << 31;

/// The nearest `ef_search` slots seen so far, nearest first.
#[derive(Default)]
pub(super) struct Beam {
    ef_search: usize,
    places: Vec<Near>,
    /// Places before this one have been expanded.
    cursor: usize,
}

impl Beam {
    /// Empties the beam and gives it `ef_search >= 1` places.
    pub(super) fn reset(&mut self, ef_search: usize) {
        self.ef_search = ef_search;
        self.places.clear();
        self.cursor = 0;
    }

    /// Whether a slot that is so near would be kept.
    #[inline]
    pub(super) fn may_take(&self, estimate: f32) -> bool {
        self.places.len() < self.ef_search || self.places.last().is_none_or(|worst| estimate > worst.estimate)
    }

    #[inline]
    pub(super) fn offer(&mut self, slot: u32, estimate: f32) {
        if !self.may_take(estimate) {
            return;
        }
        if self.places.len() == self.ef_search {
            self.places.pop();
        }
        let place = self.places.partition_point(|near| near.estimate >= estimate);
        self.places.insert(place, Near { slot, estimate });
        self.cursor = self.cursor.min(place);
    }

    /// The nearest slot that has not been handed out yet.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u32> {
        while let Some(near) = self.places.get_mut(self.cursor) {
            self.cursor += 1;
            if near.slot & EXPANDED == 0 {
                let slot = near.slot;
                near.slot |= EXPANDED;
                return Some(slot);
            }
        }
        None
    }

    /// The slot that [`Beam::next`] would hand out now, most of the time.
    #[inline]
    pub(super) fn likely_next(&self) -> Option<u32> {
        self.places.get(self.cursor).map(|near| near.slot & !EXPANDED)
    }

    /// What is in view, nearest first.
    pub(super) fn found(&self) -> impl Iterator<Item = Near> {
        self.places.iter().map(|near| Near { slot: near.slot & !EXPANDED, ..*near })
    }
}

/// Which slots a search has seen: those marked with the number of that search.
#[derive(Default)]
pub(super) struct Seen {
    marks: Vec<u8>,
    search: u8,
}

impl Seen {
    /// Begins a search among `slots` slots.
    pub(super) fn reset(&mut self, slots: usize) {
        if self.search == u8::MAX {
            self.marks.fill(0);
            self.search = 0;
        }
        self.search += 1;
        if self.marks.len() < slots {
            self.marks.resize(slots, 0);
        }
    }

    /// Whether `slot` is seen for the first time in this search.
    #[inline]
    pub(super) fn first_time(&mut self, slot: u32) -> bool {
        let mark = &mut self.marks[slot as usize];
        let first = *mark != self.search;
        *mark = self.search;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::{Beam, Seen};

    #[test]
    fn the_beam_keeps_the_nearest_and_hands_each_out_once() {
        let mut beam = Beam::default();
        beam.reset(3);
        for (slot, estimate) in [(1, 0.1), (2, 0.5), (3, 0.3)] {
            beam.offer(slot, estimate);
        }
        assert_eq!(beam.next(), Some(2));
        beam.offer(4, 0.4);
        beam.offer(5, 0.9);
        beam.offer(6, 0.2);
        assert_eq!([beam.next(), beam.next(), beam.next()], [Some(5), Some(4), None]);
        assert!(beam.found().map(|near| near.slot).eq([5, 2, 4]));
    }

    #[test]
    fn after_two_hundred_and_fifty_five_searches_nothing_old_counts_as_seen() {
        let mut seen = Seen::default();
        for search in 0..600 {
            seen.reset(4);
            assert!(seen.first_time(3), "search {search}");
            assert!(!seen.first_time(3), "search {search}");
        }
    }
}
