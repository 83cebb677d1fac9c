//! Which bits are most like which: the inner loop of finding corners again.

/// What is told of one corner.
pub(super) type Bits = [u64; 4];

/// The nearest of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nearest {
    /// Bits that differ, 0..=256; `u32::MAX` when there is none.
    pub(super) distance: u32,
    pub(super) place: usize,
}

const NONE: Nearest = Nearest { distance: u32::MAX, place: 0 };

/// For each of both sides the nearest of the other; of equally near ones the first.
pub(super) fn nearest(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has just said that it has the one instruction that this copy of the loop needs beyond
        // the baseline.
        #[expect(unsafe_code)]
        return unsafe { by_popcnt(query, stored) };
    }
    anywhere(query, stored)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn by_popcnt(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    anywhere(query, stored)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "each caller compiles it for its own instructions")]
fn anywhere(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    let mut of_stored = vec![NONE; stored.len()];
    let mut of_query = Vec::with_capacity(query.len());
    for (i, own) in query.iter().enumerate() {
        let mut best = NONE;
        for (j, (other, back)) in stored.iter().zip(of_stored.iter_mut()).enumerate() {
            let distance = (own[0] ^ other[0]).count_ones()
                + (own[1] ^ other[1]).count_ones()
                + (own[2] ^ other[2]).count_ones()
                + (own[3] ^ other[3]).count_ones();
            if distance < best.distance {
                best = Nearest { distance, place: j };
            }
            if distance < back.distance {
                *back = Nearest { distance, place: i };
            }
        }
        of_query.push(best);
    }
    (of_query, of_stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_on_both_sides_with_any_instructions() {
        let bits = |seed: u64| [1u64, 2, 3, 4].map(|i| (seed * 31 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let query: Vec<Bits> = (0..40).map(bits).collect();
        let mut stored: Vec<Bits> = (0..50).rev().map(bits).collect();
        stored[10][2] ^= 0b101;
        let (of_query, of_stored) = nearest(&query, &stored);
        assert_eq!((of_query.clone(), of_stored.clone()), anywhere(&query, &stored));
        assert_eq!(of_query[39], Nearest { distance: 2, place: 10 });
        assert_eq!(of_stored[10], Nearest { distance: 2, place: 39 });
        assert_eq!(of_query[3], Nearest { distance: 0, place: 46 });
    }

    #[test]
    fn where_there_is_none_nothing_is_near() {
        assert_eq!(nearest(&[[0; 4]], &[]), (vec![NONE], vec![]));
    }
}
