//! The accelerator: a navigable graph over the codes (HNSW, Malkov and Yashunin 2016). Promises nothing about what it
//! finds; the index asks it first and does not believe it when it says "nothing there".
//!
//! Searches take no lock but the one on a handle. Any number of threads may link: each first looks for its neighbours,
//! then writes its own rows in all layers, and only then becomes a neighbour of others, from the lowest layer up.
//! So a reader that meets a slot in any layer finds its rows filled. Rows of others are changed under a lock of their own,
//! never two at a time. A search's handle on codes may be older than links that it meets: slots that it lacks are
//! passed by.
//!
//! Every indexed slot but a lone first one has an in-link in the lowest layer, for ever, see [`Rows`].

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::beam::{Beam, Near, Seen};
use super::codes::{Codes, Row};
use super::distance::prefetch;
use super::links::{LINKS, LOWEST_LINKS, Links, NONE, Rows, layer_of};

/// How many slots are kept in view while neighbours are looked for.
pub(super) const EF_CONSTRUCTION: usize = 200;

/// A row is not made shorter than this for the sake of directions: among nearly equal vectors there are none, and
/// rows of one or two links would fall apart into rings.
const FEWEST: usize = LINKS / 2;

/// Locks for rows: slots that share one are far apart.
const LOCKS: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    beam: Beam,
    wanted: Beam,
    seen: Seen,
}

/// A graph over the slots that were indexed, whose vectors are distinct.
pub(super) struct Graph {
    links: Links,
    /// Where searches begin: a slot of the highest layer that has one. [`NONE`] while nothing is indexed.
    entry: AtomicU32,
    /// Held to change `entry`.
    entering: Mutex<()>,
    /// The row of slot `s` is written by the holder of number `s % LOCKS`.
    writing: Box<[Mutex<()>]>,
}

/// What must hold of a graph at rest, and what may be a little off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphAudit {
    /// How many pictures are indexed.
    pub indexed: usize,
    /// How many of them have no in-link; none but a lone first one.
    pub without_way_in: usize,
    /// How many cannot be reached from where searches begin.
    pub unreachable: usize,
    /// How many links the lowest layer has.
    pub lowest_links: usize,
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    // It guards no value that a panic could have left half done: rows are whole after every store.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Graph {
    pub(super) fn new() -> Self {
        Self::with(Links::new(), NONE)
    }

    fn with(links: Links, entry: u32) -> Self {
        Self {
            links,
            entry: AtomicU32::new(entry),
            entering: Mutex::default(),
            writing: (0..LOCKS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Links `slots`, which are not indexed yet, on this thread or in `parallel` on all of the current rayon pool, while
    /// no other thread links. In `codes` are these slots and all that are indexed.
    pub(super) fn insert(&self, codes: &Codes, slots: &[u32], parallel: bool) {
        let Some(&last) = slots.iter().max() else { return };
        // One handle for all threads: each meets what the others link meanwhile, and has to have its rows.
        let rows = self.links.with_room(last as usize + 1);
        if parallel {
            slots.par_iter().for_each(|&slot| self.insert_one(codes, &rows, slot));
        } else {
            for &slot in slots {
                self.insert_one(codes, &rows, slot);
            }
        }
    }

    fn insert_one(&self, codes: &Codes, rows: &Rows, slot: u32) {
        let mut entry = self.entry.load(Ordering::Acquire);
        if entry == NONE {
            let _entering = lock(&self.entering);
            entry = self.entry.load(Ordering::Acquire);
            if entry == NONE {
                self.entry.store(slot, Ordering::Release);
                return;
            }
        }
        let plan = SCRATCH.with_borrow_mut(|scratch| {
            let walk = Walk { codes, rows, query: codes.row(slot) };
            let (layer, top) = (layer_of(slot), layer_of(entry));
            let mut start = entry;
            for layer in (layer + 1..=top).rev() {
                start = walk.greedy(layer, start);
            }
            let mut plan = Vec::with_capacity(layer + 1);
            for layer in (0..=layer.min(top)).rev() {
                walk.layer(layer, start, EF_CONSTRUCTION, scratch, |_| {});
                let found: Vec<Near> = scratch.beam.found().filter(|near| near.slot != slot).collect();
                start = found.first().map_or(start, |nearest| nearest.slot);
                // A full row, not half of one: built in less than twice the time, and far fewer are lost.
                plan.push((layer, select_neighbours(codes, &found, rows.row(layer, slot).len()), found));
            }
            plan
        });
        for (layer, chosen, _) in &plan {
            rows.write(*layer, slot, chosen);
        }
        for (layer, chosen, found) in plan.iter().rev() {
            if *layer == 0 {
                for &neighbour in chosen {
                    rows.gained(neighbour);
                }
            }
            for &neighbour in chosen {
                self.link_back(codes, rows, *layer, neighbour, slot);
            }
            if *layer == 0 && rows.led_to(slot) == 0 {
                // Pigeonhole: each node has at most one sole in-link and there are more places than nodes, so some row can
                // always make room.
                let nearest = found.iter().map(|near| near.slot);
                self.lead_to(rows, slot, &nearest.chain(self.slots(rows)));
            }
        }
        if layer_of(slot) > layer_of(entry) {
            let _entering = lock(&self.entering);
            if layer_of(slot) > layer_of(self.entry.load(Ordering::Acquire)) {
                self.entry.store(slot, Ordering::Release);
            }
        }
    }

    /// Makes `slot` a neighbour of `at`, if it belongs to the best that `at` can have.
    fn link_back(&self, codes: &Codes, rows: &Rows, layer: usize, at: u32, slot: u32) {
        let _writing = lock(&self.writing[at as usize % LOCKS]);
        let mut neighbours: Vec<u32> = rows.neighbours(layer, at).collect();
        if neighbours.contains(&slot) {
            return;
        }
        let room = rows.row(layer, at).len();
        neighbours.push(slot);
        if neighbours.len() <= room {
            rows.write(layer, at, &neighbours);
            if layer == 0 {
                rows.gained(slot);
            }
            return;
        }
        for &neighbour in &neighbours {
            codes.prefetch(neighbour);
        }
        let mut nearest = Vec::with_capacity(neighbours.len());
        codes.estimates(codes.row(at), &neighbours, |slot, estimate| nearest.push(Near { slot, estimate }));
        nearest.sort_unstable_by(|a, b| b.estimate.total_cmp(&a.estimate));
        let mut kept = select_neighbours(codes, &nearest, room);
        if layer == 0 {
            neighbours.retain(|neighbour| *neighbour != slot && !kept.contains(neighbour));
            for dropped in neighbours {
                if rows.try_release_in_link(dropped) {
                    continue;
                }
                if kept.len() == room && !make_room(rows, &mut kept, slot) {
                    // All are needed here. The new one, which is not counted yet, has to be led to from elsewhere.
                    kept.retain(|&neighbour| neighbour != slot);
                }
                kept.push(dropped);
            }
        }
        rows.write(layer, at, &kept);
        if layer == 0 && kept.contains(&slot) {
            rows.gained(slot);
        }
    }

    /// Has one of `others` lead to `slot`: the first that has a place, or else the first that can do without a
    /// neighbour.
    fn lead_to(&self, rows: &Rows, slot: u32, others: &(impl Iterator<Item = u32> + Clone)) {
        for give_up in [false, true] {
            for at in others.clone().filter(|&at| at != slot) {
                let _writing = lock(&self.writing[at as usize % LOCKS]);
                let mut neighbours: Vec<u32> = rows.neighbours(0, at).collect();
                if neighbours.len() < LOWEST_LINKS || give_up && make_room(rows, &mut neighbours, slot) {
                    neighbours.push(slot);
                    rows.write(0, at, &neighbours);
                    rows.gained(slot);
                    return;
                }
            }
        }
    }

    fn is_linked(&self, rows: &Rows, slot: u32) -> bool {
        rows.neighbours(0, slot).next().is_some() || self.entry.load(Ordering::Acquire) == slot
    }

    /// Up to `ef_search` slots that are near `query`, nearest first, most of the nearest among them.
    pub(super) fn search(&self, codes: &Codes, query: Row<'_>, ef_search: usize) -> Vec<Near> {
        self.walk(codes, query, ef_search, |_| {}, |scratch| scratch.beam.found().collect())
    }

    /// Up to `count` slots that are `wanted`, nearest first: of all that are met while `ef_search` are kept in view.
    pub(super) fn search_for(
        &self,
        codes: &Codes,
        query: Row<'_>,
        ef_search: usize,
        count: usize,
        wanted: impl Fn(u32) -> bool,
    ) -> Vec<Near> {
        let start = |scratch: &mut Scratch| {
            scratch.wanted.reset(count.max(1));
            std::mem::take(&mut scratch.wanted)
        };
        let mut kept = SCRATCH.with_borrow_mut(start);
        let meet = |near: Near| {
            if kept.may_take(near.estimate) && wanted(near.slot) {
                kept.offer(near.slot, near.estimate);
            }
        };
        self.walk(codes, query, ef_search, meet, |_| Vec::new());
        let found = kept.found().collect();
        SCRATCH.with_borrow_mut(|scratch| scratch.wanted = kept);
        found
    }

    /// Has `meet` look at each slot that is met in the lowest layer, and `end` at what is in view in the end.
    fn walk(
        &self,
        codes: &Codes,
        query: Row<'_>,
        ef_search: usize,
        meet: impl FnMut(Near),
        end: impl FnOnce(&Scratch) -> Vec<Near>,
    ) -> Vec<Near> {
        let entry = self.entry.load(Ordering::Acquire);
        let rows = self.links.rows();
        if entry == NONE || entry as usize >= codes.len().min(rows.room()) || ef_search == 0 {
            return Vec::new();
        }
        let walk = Walk { codes, rows: &rows, query };
        SCRATCH.with_borrow_mut(|scratch| {
            let mut start = entry;
            for layer in (1..=layer_of(entry)).rev() {
                start = walk.greedy(layer, start);
            }
            walk.layer(0, start, ef_search, scratch, meet);
            end(scratch)
        })
    }

    /// Has a way lead to every slot from where searches begin, with linking locked out. Slots that lead to each other only
    /// are rare, and come of many nearly equal vectors.
    ///
    /// No way that was found is lost again: a link makes room only if it is not the one by which its slot was reached.
    /// Those are one a slot, and there is room for more, so there is always a place.
    pub(super) fn repair_connectivity(&self, codes: &Codes) {
        let rows = self.links.rows();
        let mut ways = self.ways(&rows);
        for slot in self.slots(&rows) {
            if ways[slot as usize] != NONE {
                continue;
            }
            let near = self.search(codes, codes.row(slot), EF_CONSTRUCTION);
            let near = near.iter().map(|near| near.slot);
            let leads = near
                .chain(self.slots(&rows))
                .find(|&at| ways[at as usize] != NONE && self.lead_on(&rows, at, slot, &ways));
            if let Some(at) = leads {
                walk_on(&rows, at, slot, &mut ways);
            }
        }
    }

    /// Has `at` lead to `slot`, in a free place or that of a link by which no slot was reached.
    fn lead_on(&self, rows: &Rows, at: u32, slot: u32, ways: &[u32]) -> bool {
        let _writing = lock(&self.writing[at as usize % LOCKS]);
        let mut neighbours: Vec<u32> = rows.neighbours(0, at).collect();
        if neighbours.len() == LOWEST_LINKS {
            let spare = |&place: &usize| {
                ways[neighbours[place] as usize] != at && rows.try_release_in_link(neighbours[place])
            };
            let Some(place) = (0..neighbours.len()).rev().find(spare) else { return false };
            neighbours.remove(place);
        }
        neighbours.push(slot);
        rows.write(0, at, &neighbours);
        rows.gained(slot);
        true
    }

    /// Indexed slots in ascending order.
    fn slots(&self, rows: &Rows) -> impl Iterator<Item = u32> + Clone {
        (0..u32::try_from(rows.room()).unwrap_or(NONE)).filter(|&slot| self.is_linked(rows, slot))
    }

    /// For each slot the one from which it is reached in the lowest layer, itself for the one where searches begin;
    /// [`NONE`] where no way leads.
    fn ways(&self, rows: &Rows) -> Vec<u32> {
        let mut ways = vec![NONE; rows.room()];
        let entry = self.entry.load(Ordering::Acquire);
        if entry != NONE {
            walk_on(rows, entry, entry, &mut ways);
        }
        ways
    }

    /// Counts what must hold, with linking locked out.
    pub(super) fn audit(&self) -> GraphAudit {
        let rows = self.links.rows();
        let mut led_to = vec![false; rows.room()];
        let mut lowest_links = 0;
        for neighbour in self.slots(&rows).flat_map(|slot| rows.neighbours(0, slot)) {
            led_to[neighbour as usize] = true;
            lowest_links += 1;
        }
        let ways = self.ways(&rows);
        GraphAudit {
            indexed: self.slots(&rows).count(),
            without_way_in: self.slots(&rows).filter(|&slot| !led_to[slot as usize]).count(),
            unreachable: self.slots(&rows).filter(|&slot| ways[slot as usize] == NONE).count(),
            lowest_links,
        }
    }

    /// Writes the graph over slots before `slots`, which are all that are indexed, with linking locked out: where searches
    /// begin in four bytes, little-endian, then the rows.
    pub(super) fn write_to(&self, slots: usize, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.entry.load(Ordering::Acquire).to_le_bytes())?;
        self.links.with_room(slots).write_to(slots, out)
    }

    /// What [`Graph::write_to`] wrote, or nothing if it cannot have written that.
    pub(super) fn from_bytes(bytes: &[u8], slots: usize) -> Option<Self> {
        let (entry, mut rest) = bytes.split_first_chunk::<4>()?;
        let entry = u32::from_le_bytes(*entry);
        let links = Links::read(&mut rest, slots)?;
        let fits = rest.is_empty() && (entry == NONE || (entry as usize) < slots);
        fits.then(|| Self::with(links, entry))
    }
}

/// Notes that `slot` is reached from `from`, and from where all is reached that it leads to and that was not before.
fn walk_on(rows: &Rows, from: u32, slot: u32, ways: &mut [u32]) {
    ways[slot as usize] = from;
    let mut open = vec![slot];
    while let Some(slot) = open.pop() {
        for neighbour in rows.neighbours(0, slot) {
            if ways[neighbour as usize] == NONE {
                ways[neighbour as usize] = slot;
                open.push(neighbour);
            }
        }
    }
}

/// Frees a place among `kept`: of the last that others lead to as well. `spared` keeps its place.
fn make_room(rows: &Rows, kept: &mut Vec<u32>, spared: u32) -> bool {
    let place =
        (0..kept.len()).rev().find(|&place| kept[place] != spared && rows.try_release_in_link(kept[place]));
    place.map(|place| kept.remove(place)).is_some()
}

/// Up to `count` of `nearest`, which is nearest first: each nearer to the middle than to any chosen before it, so that
/// they lead into different directions. Where all lies in one direction, the nearest make up the [`FEWEST`].
fn select_neighbours(codes: &Codes, nearest: &[Near], count: usize) -> Vec<u32> {
    let mut chosen = Vec::with_capacity(count);
    let (mut open, mut left, mut slots) = (nearest.to_vec(), Vec::with_capacity(nearest.len()), Vec::new());
    // Of what is left, all nearer to the one just chosen than to the middle go: many products with one row.
    while let Some((first, others)) = open.split_first()
        && chosen.len() < count
    {
        chosen.push(first.slot);
        slots.clear();
        slots.extend(others.iter().map(|near| near.slot));
        let mut others = others.iter();
        codes.estimates(codes.row(first.slot), &slots, |_, estimate| {
            left.extend(others.next().filter(|near| estimate < near.estimate));
        });
        std::mem::swap(&mut open, &mut left);
        left.clear();
    }
    if chosen.len() < FEWEST.min(count) {
        let others: Vec<u32> =
            nearest.iter().map(|near| near.slot).filter(|slot| !chosen.contains(slot)).collect();
        chosen.extend(others.into_iter().take(FEWEST.min(count) - chosen.len()));
    }
    chosen
}

/// A search on its way.
struct Walk<'a> {
    codes: &'a Codes,
    rows: &'a Rows,
    query: Row<'a>,
}

impl Walk<'_> {
    /// Slots that both handles have.
    fn limit(&self) -> usize {
        self.codes.len().min(self.rows.room())
    }

    /// From `start` to a neighbour that is nearer, until none is.
    fn greedy(&self, layer: usize, start: u32) -> u32 {
        let limit = self.limit();
        let mut best = Near { slot: start, estimate: self.codes.estimate(self.query, self.codes.row(start)) };
        let mut near = Vec::with_capacity(LINKS);
        loop {
            let from = best.slot;
            near.clear();
            near.extend(self.rows.neighbours(layer, from).filter(|&slot| (slot as usize) < limit));
            for &slot in &near {
                self.codes.prefetch(slot);
            }
            self.codes.estimates(self.query, &near, |slot, estimate| {
                if estimate > best.estimate {
                    best = Near { slot, estimate };
                }
            });
            if best.slot == from {
                return from;
            }
        }
    }

    /// Fills the beam with the nearest of a layer, looking from `start` on.
    fn layer(
        &self,
        layer: usize,
        start: u32,
        ef_search: usize,
        scratch: &mut Scratch,
        mut meet: impl FnMut(Near),
    ) {
        let Scratch { beam, seen, .. } = scratch;
        let mut fresh = Vec::with_capacity(LOWEST_LINKS);
        let limit = self.limit();
        beam.reset(ef_search);
        seen.reset(limit);
        seen.first_time(start);
        let mut meet = |beam: &mut Beam, slot, estimate| {
            beam.offer(slot, estimate);
            meet(Near { slot, estimate });
        };
        meet(beam, start, self.codes.estimate(self.query, self.codes.row(start)));
        while let Some(slot) = beam.next() {
            fresh.clear();
            for neighbour in self.rows.neighbours(layer, slot) {
                if (neighbour as usize) < limit && seen.first_time(neighbour) {
                    fresh.push((neighbour, self.codes.prefetch(neighbour)));
                }
            }
            // Most of the time nothing nearer turns up, and this is whose row is read next.
            if let Some(next) = beam.likely_next() {
                prefetch(self.rows.row(layer, next));
            }
            let rows = fresh.iter().copied();
            self.codes.estimates_of(self.query, rows, |slot, estimate| meet(beam, slot, estimate));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codes::QuantizedVectors;
    use super::super::rows::BLOCK_ROWS;
    use super::{Codes, Graph, GraphAudit};

    /// Codes of `slots` points of a circle.
    fn circle(slots: u16) -> Codes {
        let codes = QuantizedVectors::new(2);
        for slot in 0..slots {
            let turn = f32::from(slot) / f32::from(slots) * std::f32::consts::TAU;
            codes.push(&[turn.cos(), turn.sin()]).unwrap();
        }
        codes.view(usize::from(slots))
    }

    /// A graph over all of a circle.
    fn graph_over(codes: &Codes) -> Graph {
        let graph = Graph::new();
        graph.insert(codes, &(0..u32::try_from(codes.len()).unwrap()).collect::<Vec<_>>(), false);
        graph
    }

    fn bytes_of(graph: &Graph, slots: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        graph.write_to(usize::from(slots), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn threads_that_link_meet_slots_that_others_link_meanwhile_in_new_blocks() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap();
        let blocks = 32;
        let codes = circle(u16::try_from(blocks * BLOCK_ROWS).unwrap());
        for _ in 0..64 {
            let graph = Graph::new();
            // Each stretch needs new blocks, and each thread starts in another one.
            let slots: Vec<u32> = (0..u32::try_from(codes.len()).unwrap()).step_by(BLOCK_ROWS / 8).collect();
            for stretch in slots.chunks(64) {
                pool.install(|| graph.insert(&codes, stretch, true));
            }
            let GraphAudit { indexed, without_way_in, .. } = graph.audit();
            assert_eq!((indexed, without_way_in), (slots.len(), 0));
        }
    }

    proptest! {
        #[test]
        fn a_graph_read_back_is_the_one_that_was_written(slots in 0u16..200) {
            let graph = graph_over(&circle(slots));
            let bytes = bytes_of(&graph, slots);
            let again = Graph::from_bytes(&bytes, usize::from(slots)).unwrap();
            prop_assert_eq!(bytes_of(&again, slots), bytes);
            prop_assert_eq!(again.audit(), graph.audit());
        }

        #[test]
        fn bytes_that_no_graph_wrote_are_refused_or_lead_nowhere_that_is_not(
            slots in 1u16..100, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let codes = circle(slots);
            let graph = graph_over(&codes);
            let mut bytes = bytes_of(&graph, slots);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            if let Some(graph) = Graph::from_bytes(&bytes, usize::from(slots)) {
                let found = graph.search(&codes, codes.row(0), 10);
                prop_assert!(found.iter().all(|near| near.slot < u32::from(slots)));
                graph.audit();
            }
        }
    }
}
