//! The vectors that the benches of the index store and ask for: the same in all of them.

use tongkuan::embed::Embedding;

pub(crate) const DIMENSION: usize = 256;
const SEED: u64 = 1688;

/// Repeatable noise in -1..1 (SplitMix64).
pub(crate) fn noise(seed: u64) -> impl Iterator<Item = f32> {
    (1u64..).map(move |i| {
        let mut z = (seed ^ SEED)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f32::from(u16::try_from((z >> 48) & 0xFFFF).expect("16 bits")) / 32768.0 - 1.0
    })
}

/// Numbers of the `i`th vector, before they are scaled to length one.
fn values(i: u64) -> impl Iterator<Item = f32> {
    noise(i / 20).zip(noise(i + 10_000_000)).take(DIMENSION).map(|(centre, own)| centre + 0.6 * own)
}

/// The `i`th vector. They come in clusters of 20, as colour variants and look-alikes do.
pub(crate) fn vector(i: u64) -> Embedding {
    Embedding::new(values(i).collect()).expect("a vector")
}

/// A near copy of the `i`th vector: a cosine of about 0.996.
pub(crate) fn near_copy(i: u64) -> Embedding {
    let values = values(i).zip(noise(i + 20_000_000)).map(|(v, n)| v + 0.1 * n);
    Embedding::new(values.collect()).expect("a vector")
}
