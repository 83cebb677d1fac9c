//! Sums over many numbers, eight at a time.

/// Numbers that are added up side by side: left to one sum, each addition waits for the one before.
const LANES: usize = 8;

/// The sums of what `terms` makes of the numbers at each place. All of `numbers` are equally long.
///
/// They are added up in the same order whatever the processor has, so that the result is the same.
#[inline]
pub(super) fn sums<const OF: usize, const TERMS: usize>(
    numbers: [&[f32]; OF],
    terms: impl Fn([f32; OF]) -> [f32; TERMS],
) -> [f32; TERMS] {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just said that it has the instructions that this copy of the loop needs beyond the baseline.
        #[expect(unsafe_code)]
        return unsafe { by_avx2(numbers, terms) };
    }
    anywhere(numbers, terms)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_avx2<const OF: usize, const TERMS: usize>(
    numbers: [&[f32]; OF],
    terms: impl Fn([f32; OF]) -> [f32; TERMS],
) -> [f32; TERMS] {
    anywhere(numbers, terms)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "each caller compiles it for its own instructions")]
fn anywhere<const OF: usize, const TERMS: usize>(
    numbers: [&[f32]; OF],
    terms: impl Fn([f32; OF]) -> [f32; TERMS],
) -> [f32; TERMS] {
    let all = numbers.map(|numbers| numbers.as_chunks::<LANES>());
    let mut sums = [[0.0f32; LANES]; TERMS];
    for place in 0..all[0].0.len() {
        let numbers = all.map(|(eights, _)| &eights[place]);
        let mut found = [[0.0f32; LANES]; TERMS];
        for lane in 0..LANES {
            let terms = terms(numbers.map(|numbers| numbers[lane]));
            for (found, term) in found.iter_mut().zip(terms) {
                found[lane] = term;
            }
        }
        for (sum, found) in sums.as_flattened_mut().iter_mut().zip(found.as_flattened()) {
            *sum += found;
        }
    }
    for place in 0..all[0].1.len() {
        let terms = terms(all.map(|(_, rest)| rest[place]));
        for (sum, term) in sums.iter_mut().zip(terms) {
            sum[place] += term;
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_are_added_up_the_same_way_with_any_instructions() {
        for length in [0, 1, 7, 8, 9, 61] {
            let one: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin()).collect();
            let other: Vec<f32> = (0..length).map(|i| (i as f32 * 1.3).cos()).collect();
            let terms = |[a, b]: [f32; 2]| [a, a * b, 1.0 / (1.0 + b * b)];
            let found = sums([&one, &other], terms);
            assert_eq!(found.map(f32::to_bits), anywhere([&one, &other], terms).map(f32::to_bits));
            let plainly = one.iter().zip(&other).map(|(a, b)| terms([*a, *b]));
            let plainly = plainly.fold([0.0; 3], |sums, terms| [0, 1, 2].map(|i| sums[i] + terms[i]));
            for (found, plainly) in found.into_iter().zip(plainly) {
                assert!((found - plainly).abs() < 1e-4, "{length}: {found} {plainly}");
            }
        }
    }
}
