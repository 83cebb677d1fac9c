//! Do two aligned pictures agree everywhere as closely as compression and another size leave them?
//!
//! The pair judge weighs what it sees, and is not sure of a picture on which a change could hide. Where no part of the pair
//! differs, in brightness or in colour, nothing has changed that a sketch can show: docs/benchmarks/pair-judge.md, "Agreement
//! everywhere", has how seldom that is so of other pictures.

use super::pair::{PAIR_SIDE_PX, Pair, Place};

/// Means of so many places each way are compared: of brightness, and of colour, which JPEG keeps more coarsely.
const LUMA_CELL: usize = 2;
const CHROMA_CELL: usize = 6;
/// What compression leaves of the difference of two such means, in 8-bit steps.
const LUMA_STEPS: f32 = 12.0;
const CHROMA_STEPS: f32 = 3.0;

impl Pair {
    /// Whether no cell of what both pictures show differs by more than compression makes up. Places at the rim of what is
    /// seen do not count, where half of a pixel may lie beyond it.
    pub(super) fn agrees_everywhere(&self) -> bool {
        let inner = inner(&self.seen);
        let apart = |of: fn(&Place) -> f32| -> Vec<f32> {
            let places = self.stored.iter().zip(&self.query).zip(&inner);
            places.map(|((s, q), inner)| if *inner { of(q) - of(s) } else { 0.0 }).collect()
        };
        let differ = |of: fn(&Place) -> f32, cell: usize, steps: f32| {
            let most = steps * (cell * cell) as f32;
            cell_sums(&apart(of), cell).any(|sum| sum.abs() > most)
        };
        inner.contains(&true)
            && !differ(|place| (place[0] + place[1] + place[2] + place[3]) / 4.0, LUMA_CELL, LUMA_STEPS)
            && !differ(|place| place[4], CHROMA_CELL, CHROMA_STEPS)
            && !differ(|place| place[5], CHROMA_CELL, CHROMA_STEPS)
    }
}

/// Places that are seen with all that surround them.
fn inner(seen: &[bool]) -> Vec<bool> {
    let side = PAIR_SIDE_PX;
    let around = |at: usize| at.saturating_sub(1)..=(at + 1).min(side - 1);
    let is_inner =
        |place: usize| around(place / side).all(|y| around(place % side).all(|x| seen[y * side + x]));
    (0..seen.len()).map(is_inner).collect()
}

/// Sums over all squares of `cell` x `cell` places.
fn cell_sums(values: &[f32], cell: usize) -> impl Iterator<Item = f32> {
    let side = PAIR_SIDE_PX;
    let across: Vec<f32> = values
        .chunks_exact(side)
        .flat_map(|row| row.windows(cell).map(|run| run.iter().sum::<f32>()))
        .collect();
    let wide = side + 1 - cell;
    (0..wide * wide).map(move |at| (0..cell).map(|row| across[at + row * wide]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(change: impl Fn(usize, usize, &mut Place)) -> Pair {
        let stored: Vec<Place> = (0..PAIR_SIDE_PX * PAIR_SIDE_PX)
            .map(|place| [(place * 37 % 200) as f32, 90.0, 120.0, (place % 64) as f32, 12.0, -7.0])
            .collect();
        let mut query = stored.clone();
        for (place, found) in query.iter_mut().enumerate() {
            change(place % PAIR_SIDE_PX, place / PAIR_SIDE_PX, found);
        }
        let (seen, content) = (vec![true; stored.len()], [0.5; 3]);
        Pair { stored, query, seen, content, ground_change: 0.0, overlap_px: 0 }
    }

    #[test]
    fn noise_of_compression_agrees_and_a_small_part_of_another_colour_does_not() {
        let noise = pair(|x, y, place| {
            for v in place.iter_mut() {
                *v += if (x + y) % 2 == 0 { 9.0 } else { -9.0 };
            }
        });
        assert!(noise.agrees_everywhere());
        let coloured = pair(|x, y, place| {
            if (20..26).contains(&x) && (30..36).contains(&y) {
                place[4] += 4.0;
            }
        });
        assert!(!coloured.agrees_everywhere());
        let word = pair(|x, y, place| {
            if (20..22).contains(&x) && (30..32).contains(&y) {
                for v in &mut place[..4] {
                    *v += 14.0;
                }
            }
        });
        assert!(!word.agrees_everywhere());
        let brighter = pair(|_, _, place| {
            for v in &mut place[..4] {
                *v += 14.0;
            }
        });
        assert!(!brighter.agrees_everywhere());
    }

    #[test]
    fn what_is_not_seen_neither_agrees_nor_differs() {
        let mut half = pair(|x, _, place| place[0] += if x > 31 { 200.0 } else { 0.0 });
        for (place, seen) in half.seen.iter_mut().enumerate() {
            *seen = place % PAIR_SIDE_PX < 31;
        }
        assert!(half.agrees_everywhere());
        half.seen.fill(false);
        assert!(!half.agrees_everywhere());
    }
}
