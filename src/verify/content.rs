//! What shows in a picture beside its ground, which is what its rim has.

use super::raster::Colours;

/// Differences to the rim's colour from which on a pixel shows something: brightness and chroma, in 8-bit steps.
const SHOWS_LUMA: f32 = 14.0;
const SHOWS_CHROMA: f32 = 9.0;

/// Share of a picture in which both pictures must show something, so that they can be compared: less than 3 of
/// 48 x 48 pixels is dust (docs/benchmarks/pair-judge.md).
pub(super) const LEAST_CONTENT: f32 = 3.0 / (48.0 * 48.0);

/// Up to this share, what shows is a few words or small goods, and the ground is most of what is compared: where it has changed by
/// what would show on it, nothing tells a copy from the same words on another ground (docs/benchmarks/verifier.md).
pub(super) const SLIGHT_CONTENT: f32 = 0.045;

/// A difference of brightness and the two chromas, in 8-bit steps, as a multiple of what shows.
pub(super) fn as_shown(difference: [f32; 3]) -> f32 {
    let [luma, blue, red] = difference.map(f32::abs);
    (luma / SHOWS_LUMA).max(blue / SHOWS_CHROMA).max(red / SHOWS_CHROMA)
}

/// Whether a pixel shows something beside a rim of this colour.
pub(super) fn shows(pixel: [f32; 4], rim: [f32; 3]) -> bool {
    (pixel[0] - rim[0]).abs() > SHOWS_LUMA
        || (pixel[1] - rim[1]).abs() > SHOWS_CHROMA
        || (pixel[2] - rim[2]).abs() > SHOWS_CHROMA
}

/// The median of each channel along the rim.
pub(super) fn rim_colour(picture: &Colours) -> [f32; 3] {
    let (width, height) = (picture.width, picture.height);
    let rows = (0..width).flat_map(|x| [x, (height - 1) * width + x]);
    let rim: Vec<usize> = rows.chain((0..height).flat_map(|y| [y * width, y * width + width - 1])).collect();
    [0, 1, 2].map(|channel| {
        let mut values: Vec<f32> = rim.iter().map(|i| picture.pixels[*i][channel]).collect();
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    })
}
