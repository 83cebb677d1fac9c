//! The inner loop: one dot product, used by every score, so that a pair of vectors has one score everywhere.

/// The largest `f32` below one: the most that two different vectors may score.
const BELOW_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// Above this a score is worth the question whether the vectors are the same. A unit vector's product with
/// itself differs from one by far less.
const MAYBE_SAME: f32 = 0.999;

/// The cosine of two unit vectors of one dimension, -1 to 1; exactly 1 only for equal vectors. Without that
/// rule rounding decides between a picture and its near-duplicate.
#[must_use]
pub(crate) fn similarity(a: &[f32], b: &[f32]) -> f32 {
    let product = dot(a, b);
    if product > MAYBE_SAME && a == b { 1.0 } else { product.clamp(-1.0, BELOW_ONE) }
}

/// The sum of products over the shorter of the two lengths.
// Sixteen independent sums: floats may not be reordered, so a single sum could not be vectorised.
#[must_use]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
