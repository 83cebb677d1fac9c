//! Where do two pictures differ that lie over each other? Marks to lay over one of them.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _, RgbImage, Rgba, RgbaImage};

use crate::verify::Placement;

/// Differences from which on a place is marked, in 8-bit steps of brightness and of chroma.
const LUMA_STEPS: f32 = 26.0;
const CHROMA_STEPS: f32 = 14.0;
/// So many steps above that, a mark is as strong as it gets.
const FULL_STEPS: f32 = 40.0;

/// Nothing is marked where a larger share of what both show would be: it is as likely then that they do not lie over each
/// other as they should.
const MOST_MARKED: f32 = 0.7;

const MARK: [u8; 3] = [229, 0, 70];
const OUT_OF_SIGHT: [u8; 3] = [90, 110, 150];

/// Marks over a picture.
struct Marks {
    /// As large as the picture; clear where both agree.
    overlay: RgbaImage,
    /// The share of what both show, 0..=1, that differs.
    share: f32,
}

/// Marks over both of two pictures.
pub(crate) struct PairMarks {
    /// A PNG with transparency for each, as large as the picture; clear where both agree.
    pub(crate) overlays: [Vec<u8>; 2],
    /// The share of what both show, 0..=1, that differs.
    pub(crate) share: f32,
}

/// What differs in `one` and in `other`, which `way` leads to; `None` where nearly all would be marked.
pub(crate) fn pair_marks(one: &RgbImage, other: &RgbImage, way: &Placement) -> Option<PairMarks> {
    let back = way.inverse()?;
    let there = marks(one, other, way);
    if there.share > MOST_MARKED {
        return None;
    }
    let overlays = [png(&there.overlay)?, png(&marks(other, one, &back).overlay)?];
    Some(PairMarks { overlays, share: there.share })
}

fn png(overlay: &RgbaImage) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (width, height) = overlay.dimensions();
    PngEncoder::new(&mut bytes).write_image(overlay, width, height, ExtendedColorType::Rgba8).ok()?;
    Some(bytes)
}

/// Luma (0..=255), blue and red chroma, by ITU-R BT.601.
fn colour(pixel: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = pixel;
    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
    [luma, 0.564 * (b - luma), 0.713 * (r - luma)]
}

/// The colour at a place in pixels; `None` outside.
fn sample(picture: &RgbImage, x: f32, y: f32) -> Option<[f32; 3]> {
    let (width, height) = (size(picture.width()), size(picture.height()));
    if !(x >= 0.0 && y >= 0.0 && x < width && y < height) {
        return None;
    }
    let (x, y) = ((x - 0.5).clamp(0.0, width - 1.0), (y - 0.5).clamp(0.0, height - 1.0));
    let at = |x: f32, y: f32| {
        // In the picture by the clamps.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (x, y) = ((x as u32).min(picture.width() - 1), (y as u32).min(picture.height() - 1));
        picture.get_pixel(x, y).0.map(f32::from)
    };
    let (right, down) = (x.fract(), y.fract());
    let (here, next, below, beyond) = (at(x, y), at(x + 1.0, y), at(x, y + 1.0), at(x + 1.0, y + 1.0));
    Some([0, 1, 2].map(|lane: usize| {
        let top = here[lane] * (1.0 - right) + next[lane] * right;
        let bottom = below[lane] * (1.0 - right) + beyond[lane] * right;
        top * (1.0 - down) + bottom * down
    }))
}

#[expect(clippy::cast_precision_loss, reason = "sides of thumbnails")]
fn size(px: u32) -> f32 {
    px as f32
}

/// What of `one` is different in `other`, which `way` leads to. Places that are in sight in `one` alone are hatched. A
/// difference in brightness that is the same everywhere is none, and neither is one that a shift by a pixel explains.
fn marks(one: &RgbImage, other: &RgbImage, way: &Placement) -> Marks {
    let (long, other_long) = (size(one.width().max(one.height())), size(other.width().max(other.height())));
    let look = |x: f32, y: f32| {
        let (u, v) = way.at((x + 0.5) / long, (y + 0.5) / long);
        sample(other, u * other_long, v * other_long).map(colour)
    };
    let own = |x: u32, y: u32| colour(one.get_pixel(x, y).0.map(f32::from));
    let mut shifts: Vec<f32> = one
        .enumerate_pixels()
        .filter_map(|(x, y, _)| Some(look(size(x), size(y))?[0] - own(x, y)[0]))
        .collect();
    let middle = shifts.len() / 2;
    let shift =
        if shifts.is_empty() { 0.0 } else { *shifts.select_nth_unstable_by(middle, f32::total_cmp).1 };
    let (mut seen, mut marked) = (0u32, 0u32);
    let mut overlay = RgbaImage::new(one.width(), one.height());
    for (x, y, pixel) in overlay.enumerate_pixels_mut() {
        if look(size(x), size(y)).is_none() {
            let [r, g, b] = OUT_OF_SIGHT;
            *pixel = Rgba([r, g, b, if (x + y) % 8 < 3 { 130 } else { 50 }]);
            continue;
        }
        let mine = own(x, y);
        let mut least = f32::INFINITY;
        for (right, down) in [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)] {
            if let Some(found) = look(size(x) + right, size(y) + down) {
                let luma = (found[0] - shift - mine[0]).abs() - LUMA_STEPS;
                let chroma = (found[1] - mine[1]).hypot(found[2] - mine[2]) - CHROMA_STEPS;
                least = least.min(luma.max(chroma));
            }
        }
        seen += 1;
        if least > 0.0 {
            marked += 1;
            let [r, g, b] = MARK;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "70 to 190")]
            let alpha = (70.0 + 120.0 * (least / FULL_STEPS).min(1.0)) as u8;
            *pixel = Rgba([r, g, b, alpha]);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "pixels of a thumbnail")]
    let share = marked as f32 / seen.max(1) as f32;
    Marks { overlay, share }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Probe, SketchedCandidate, placed};

    /// Blocks of colours without a pattern, and a patch of another colour where `patch` says so.
    fn picture(patch: bool) -> RgbImage {
        RgbImage::from_fn(160, 120, |x, y| {
            if patch && (40..60).contains(&x) && (45..60).contains(&y) {
                return image::Rgb([250, 20, 20]);
            }
            let n = (y / 15 * 8 + x / 20).wrapping_mul(0x9E37_79B9) >> 8;
            let [r, g, b, _] = n.to_le_bytes();
            image::Rgb([r / 2, 127 + g / 2, b])
        })
    }

    #[test]
    fn a_patch_is_marked_where_it_is_and_the_rest_is_not() {
        let (one, other) = (picture(false), picture(true));
        let sketch = Probe::of(&one).unwrap().sketch();
        let (way, _) =
            placed(&Probe::of(&other).unwrap(), &SketchedCandidate { sketch: &sketch, cosine: 0.9 }).unwrap();
        let found = marks(&one, &other, &way);
        let is_marked = |x, y| found.overlay.get_pixel(x, y).0[..3] == MARK;
        assert!(is_marked(50, 52), "within the patch");
        assert!(!is_marked(10, 10) && !is_marked(120, 100), "elsewhere");
        assert!((0.005..0.04).contains(&found.share), "20 x 15 of 160 x 120 are 1.6 %: {}", found.share);
        let back = marks(&other, &one, &way.inverse().unwrap());
        assert!(back.overlay.get_pixel(50, 52).0[..3] == MARK);
    }
}
