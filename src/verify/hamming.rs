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
const NOTHING: i64 = i64::MAX;

/// For each of both sides the nearest of the other; of equally near ones the first.
pub(super) fn nearest(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    #[cfg(target_arch = "x86_64")]
    {
        let has_wide = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vpopcntdq");
        // SAFETY, here and below: the processor has just said that it has the instructions that this copy of the loop needs
        // beyond the baseline.
        if has_wide {
            #[expect(unsafe_code)]
            return unsafe { by_avx512(query, stored) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code)]
            return unsafe { by_avx2(query, stored) };
        }
    }
    anywhere(query, stored)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vpopcntdq")]
fn by_avx512(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    anywhere(query, stored)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_avx2(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    anywhere(query, stored)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "each caller compiles it for its own instructions")]
fn anywhere(query: &[Bits], stored: &[Bits]) -> (Vec<Nearest>, Vec<Nearest>) {
    // A distance and, beneath it, whose it is: the least is the nearest, and of equally near ones the first.
    let found = |key: i64| match key {
        NOTHING => NONE,
        key => Nearest { distance: (key >> 32) as u32, place: (key & 0xFFFF_FFFF) as usize },
    };
    // Each word of all corners together, so that many corners are compared at once.
    let words: [Vec<u64>; 4] = std::array::from_fn(|word| stored.iter().map(|bits| bits[word]).collect());
    let [a, b, c, d] = words.each_ref().map(|words| &words[..stored.len()]);
    let mut of_stored = vec![NOTHING; stored.len()];
    let mut of_query = Vec::with_capacity(query.len());
    for (i, own) in query.iter().enumerate() {
        let mut best = NOTHING;
        let back = &mut of_stored[..stored.len()];
        for j in 0..stored.len() {
            let distance = (own[0] ^ a[j]).count_ones()
                + (own[1] ^ b[j]).count_ones()
                + (own[2] ^ c[j]).count_ones()
                + (own[3] ^ d[j]).count_ones();
            let distance = i64::from(distance) << 32;
            best = best.min(distance | j as i64);
            back[j] = back[j].min(distance | i as i64);
        }
        of_query.push(found(best));
    }
    (of_query, of_stored.into_iter().map(found).collect())
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
