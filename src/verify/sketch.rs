//! What is kept of a picture so that it can be verified later, and how it is written.

use image::RgbImage;

use super::content::{LEAST_CONTENT, rim_colour, shows};
use super::detail::{DETAIL_LEVEL, Detail};
use super::hamming::Bits;
use super::keypoints::{ANGLES, Keypoints, LEVELS, MAX_KEYPOINTS, Spot};
use super::pyramid::{LONG_SIDES_PX, Pyramid, SketchError};
use super::raster::{Colours, Plane};
use super::samples::{Samples, for_step};

/// Which of the sizes is the thumbnail.
const THUMBNAIL_LEVEL: usize = 4;
/// The thumbnail's longer side, in pixels.
pub(super) const THUMBNAIL_PX: usize = LONG_SIDES_PX[THUMBNAIL_LEVEL];

/// The first byte of a written sketch. Raise it when the bytes mean something else: sizes, filters, the pattern of the
/// bits.
pub const SKETCH_FORMAT: u8 = 2;

/// The format without a detail, which is still read: there the thumbnail stands in for the detail.
const WITHOUT_DETAIL: u8 = 1;

/// A picture as the verifier remembers it: a thumbnail of at most 48 x 48 pixels with half as many chroma samples each
/// way, and at most 72 corners. Beside them a detail of at most
/// 136 x 136 pixels, in JPEG. Takes at most 6.0 kB and what the detail takes, some 2 kB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    width: u8,
    height: u8,
    /// One byte a pixel.
    luma: Vec<u8>,
    /// Blue and red chroma plus 128, for each 2 x 2 pixels.
    chroma: Vec<[u8; 2]>,
    pub(super) keypoints: Keypoints,
    /// Width, height and pixels of the detail; `None` in sketches of format 1.
    detail: Option<(u8, u8, Detail)>,
}

/// Why bytes are no sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum SketchBytesError {
    #[error("the sketch has format {0}, not {SKETCH_FORMAT}: store the picture again")]
    Format(u8),
    #[error("the sketch is damaged ({0}): store the picture again")]
    Damaged(&'static str),
}

/// A picture in question, ready to be compared with sketches.
pub struct Probe {
    /// From large to small, at several sizes.
    sizes: Vec<Samples>,
    /// As large as those of sketches.
    pub(super) thumbnail: Colours,
    pub(super) keypoints: Keypoints,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("keypoints", &self.keypoints.spots.len()).finish_non_exhaustive()
    }
}

impl Probe {
    /// # Errors
    /// [`SketchError`] for a picture without pixels.
    pub fn of(picture: &RgbImage) -> Result<Self, SketchError> {
        let Pyramid { lumas, samples, thumbnail } = Pyramid::of(picture, THUMBNAIL_LEVEL)?;
        Ok(Self { keypoints: Keypoints::of(&lumas), sizes: samples, thumbnail })
    }

    /// What to keep of the picture.
    #[must_use]
    pub fn sketch(&self) -> Sketch {
        Sketch::new(&self.thumbnail, self.keypoints.clone(), &self.sizes[DETAIL_LEVEL - 1].colours())
    }

    /// Width and height of the thumbnail, and its brightness, as a sketch keeps it.
    pub(super) fn thumbnail_luma(&self) -> ([u8; 2], Vec<u8>) {
        let luma = self.thumbnail.pixels.iter().map(|pixel| byte(pixel[0])).collect();
        ([self.thumbnail.width as u8, self.thumbnail.height as u8], luma)
    }

    /// Whether next to nothing shows in it: one colour, a bare ground, a soft gradient.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let rim = rim_colour(&self.thumbnail);
        let shown = self.thumbnail.pixels.iter().filter(|pixel| shows(**pixel, rim)).count();
        (shown as f32) < LEAST_CONTENT * self.thumbnail.pixels.len() as f32
    }

    /// Width and height in units of the longer side.
    pub(super) fn extent(&self) -> (f32, f32) {
        let largest = &self.sizes[0];
        (largest.width as f32 / largest.long_side(), largest.height as f32 / largest.long_side())
    }

    /// The size at which one pixel is nearest to `step` of the longer side.
    pub(super) fn size_for(&self, step: f32) -> &Samples {
        for_step(&self.sizes, step)
    }
}

fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Two thumbnails are compared by the means of such cells, which compression changes little ...
const RE_ENCODING_CELL_PX: usize = 4;
/// ... by at most so much, in 8-bit steps of brightness or chroma, but for one cell of so many ...
const RE_ENCODING_CELL_STEPS: f32 = 12.0;
const RE_ENCODING_ONE_CELL_OF: usize = 400;
/// ... and by so much on average.
const RE_ENCODING_MEAN_STEPS: f32 = 3.0;

impl Sketch {
    /// # Errors
    /// [`SketchError`] for a picture without pixels.
    pub fn of(picture: &RgbImage) -> Result<Self, SketchError> {
        Ok(Probe::of(picture)?.sketch())
    }

    fn new(thumbnail: &Colours, keypoints: Keypoints, detail: &Colours) -> Self {
        let (width, height) = (thumbnail.width, thumbnail.height);
        let luma = thumbnail.pixels.iter().map(|pixel| byte(pixel[0])).collect();
        let mut chroma = Vec::with_capacity(width.div_ceil(2) * height.div_ceil(2));
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let (mut sum, mut count) = ([0.0; 2], 0.0);
                for y in y..(y + 2).min(height) {
                    for x in x..(x + 2).min(width) {
                        let pixel = thumbnail.pixels[y * width + x];
                        sum = [sum[0] + pixel[1], sum[1] + pixel[2]];
                        count += 1.0;
                    }
                }
                chroma.push(sum.map(|v| byte(v / count + 128.0)));
            }
        }
        let detail = Some((detail.width as u8, detail.height as u8, Detail::of(detail)));
        Self { width: width as u8, height: height as u8, luma, chroma, keypoints, detail }
    }

    /// As finely as the sketch shows the picture: its longer side is 136 pixels long, or, where there is no detail that can be
    /// decoded, [`THUMBNAIL_PX`].
    pub(super) fn detail(&self) -> Colours {
        let decoded =
            self.detail.as_ref().and_then(|(w, h, detail)| detail.decoded((*w).into(), (*h).into()));
        decoded.unwrap_or_else(|| self.thumbnail())
    }

    /// Whether some part of the thumbnails, laid on each other as they are, has another colour: more than 3 % of
    /// the places by more than 16 of 255 steps of chroma or 64 of brightness. Pictures of different shapes do not
    /// count as different: they can only be different crops.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        if (self.width, self.height) != (other.width, other.height) {
            return false;
        }
        let cells = self.chroma.iter().zip(&other.chroma);
        let coloured = cells.filter(|(a, b)| a[0].abs_diff(b[0]).max(a[1].abs_diff(b[1])) > 16).count();
        let lit = self.luma.iter().zip(&other.luma).filter(|(a, b)| a.abs_diff(**b) > 64).count();
        coloured * 100 > 3 * self.chroma.len() || lit * 100 > 3 * self.luma.len()
    }

    /// Whether both show the whole of one picture at about the same quality: compressed anew, or in another size. Laid on
    /// each other as they are, no part differs by more than that makes up (docs/benchmarks/scan.md).
    #[must_use]
    pub fn is_re_encoding_of(&self, other: &Self) -> bool {
        let (one, other) = (self.thumbnail(), other.thumbnail());
        if one.width.abs_diff(other.width) > 1 || one.height.abs_diff(other.height) > 1 {
            return false;
        }
        let (width, height) = (one.width.min(other.width), one.height.min(other.height));
        let (mut differing, mut sum, mut cells) = (0usize, 0.0f32, 0usize);
        for top in (0..height).step_by(RE_ENCODING_CELL_PX) {
            for left in (0..width).step_by(RE_ENCODING_CELL_PX) {
                let mut means = [[0.0f32; 3]; 2];
                let (bottom, right) =
                    ((top + RE_ENCODING_CELL_PX).min(height), (left + RE_ENCODING_CELL_PX).min(width));
                for (mean, picture) in means.iter_mut().zip([&one, &other]) {
                    for y in top..bottom {
                        for x in left..right {
                            let pixel = picture.pixels[y * picture.width + x];
                            (0..3).for_each(|lane| mean[lane] += pixel[lane]);
                        }
                    }
                }
                let area = ((bottom - top) * (right - left)) as f32;
                let apart = |lane: usize| (means[0][lane] - means[1][lane]).abs() / area;
                let worst = apart(0).max(apart(1)).max(apart(2));
                cells += 1;
                sum += worst;
                differing += usize::from(worst > RE_ENCODING_CELL_STEPS);
            }
        }
        sum / cells as f32 <= RE_ENCODING_MEAN_STEPS && differing * RE_ENCODING_ONE_CELL_OF <= cells
    }

    /// The picture as finely as the sketch shows it: its longer side is some 136 pixels.
    #[must_use]
    pub fn picture(&self) -> RgbImage {
        let detail = self.detail();
        let mut picture = RgbImage::new(detail.width as u32, detail.height as u32);
        for (pixel, [luma, blue, red, _]) in picture.pixels_mut().zip(&detail.pixels) {
            // ITU-R BT.601, full range.
            let green = luma - 0.344_136 * blue - 0.714_136 * red;
            pixel.0 = [byte(luma + 1.402 * red), byte(green), byte(luma + 1.772 * blue)];
        }
        picture
    }

    /// The thumbnail, its longer side [`THUMBNAIL_PX`] long.
    pub(super) fn thumbnail(&self) -> Colours {
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let half = width.div_ceil(2);
        let mut pixels = Vec::with_capacity(width * height);
        for (y, row) in self.luma.chunks_exact(width).enumerate() {
            let chroma = &self.chroma[y / 2 * half..][..half];
            pixels.extend(row.iter().enumerate().map(|(x, luma)| {
                let [blue, red] = chroma[x / 2].map(|v| f32::from(v) - 128.0);
                [f32::from(*luma), blue, red, 0.0]
            }));
        }
        Colours { width, height, pixels }
    }

    /// Width and height of the thumbnail, and its brightness.
    pub(super) fn luma_bytes(&self) -> ([u8; 2], &[u8]) {
        ([self.width, self.height], &self.luma)
    }

    pub(super) fn luma(&self) -> Plane {
        Plane {
            width: usize::from(self.width),
            height: usize::from(self.height),
            values: self.luma.iter().map(|v| f32::from(*v)).collect(),
        }
    }

    /// Format, width, height, number of corners (one byte each); luma; chroma; then for each corner x, y, level and
    /// angle (one byte: level * 32 + angle) and its 256 bits, little-endian; then the
    /// detail's width, height and quality (one byte each), the length of its JPEG scan (two bytes), and that scan.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let spots = &self.keypoints.spots;
        let mut bytes = vec![SKETCH_FORMAT, self.width, self.height, spots.len() as u8];
        bytes.extend_from_slice(&self.luma);
        bytes.extend(self.chroma.iter().flatten());
        for (spot, bits) in spots.iter().zip(&self.keypoints.bits) {
            bytes.extend([spot.x, spot.y, spot.level * ANGLES + spot.angle]);
            bytes.extend(bits.iter().flat_map(|word| word.to_le_bytes()));
        }
        if let Some((width, height, detail)) = &self.detail {
            bytes.extend([*width, *height, detail.quality]);
            bytes.extend((detail.scan.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&detail.scan);
        }
        bytes
    }

    /// # Errors
    /// [`SketchBytesError`] for anything that [`Sketch::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchBytesError> {
        use SketchBytesError::{Damaged, Format};
        const CORNER_BYTES: usize = 3 + 32;
        let (&[format, width, height, corners], rest) =
            bytes.split_first_chunk().ok_or(Damaged("it is too short"))?;
        if format != SKETCH_FORMAT && format != WITHOUT_DETAIL {
            return Err(Format(format));
        }
        let (w, h, corners) = (usize::from(width), usize::from(height), usize::from(corners));
        if w == 0 || h == 0 || w.max(h) != THUMBNAIL_PX {
            return Err(Damaged("its size is impossible"));
        }
        let (pixels, cells) = (w * h, w.div_ceil(2) * h.div_ceil(2));
        let fixed = pixels + 2 * cells + corners * CORNER_BYTES;
        if corners > MAX_KEYPOINTS || rest.len() < fixed || (format == WITHOUT_DETAIL && rest.len() != fixed)
        {
            return Err(Damaged("its length does not fit its size"));
        }
        let (rest, detail) = rest.split_at(fixed);
        let (luma, rest) = rest.split_at(pixels);
        let (chroma, rest) = rest.split_at(2 * cells);
        let mut keypoints = Keypoints::default();
        for corner in rest.chunks_exact(CORNER_BYTES) {
            let (level, angle) = (corner[2] / ANGLES, corner[2] % ANGLES);
            if usize::from(level) >= LEVELS {
                return Err(Damaged("a corner has an impossible level"));
            }
            keypoints.spots.push(Spot { x: corner[0], y: corner[1], level, angle });
            let mut bits: Bits = [0; 4];
            for (word, eight) in bits.iter_mut().zip(corner[3..].as_chunks().0) {
                *word = u64::from_le_bytes(*eight);
            }
            keypoints.bits.push(bits);
        }
        let chroma = chroma.as_chunks().0.to_vec();
        let detail = match (format, detail) {
            (WITHOUT_DETAIL, _) => None,
            (_, &[width, height, quality, short, long, ref scan @ ..])
                if usize::from(u16::from_le_bytes([short, long])) == scan.len() =>
            {
                let detail = Detail { quality, scan: scan.to_vec() };
                if !detail.is_possible(width.into(), height.into()) {
                    return Err(Damaged("its detail has an impossible size"));
                }
                Some((width, height, detail))
            }
            _ => return Err(Damaged("it has no detail")),
        };
        Ok(Self { width, height, luma: luma.to_vec(), chroma, keypoints, detail })
    }
}
