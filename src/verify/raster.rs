//! One picture at several sizes.

use fast_image_resize::{FilterType, ResizeAlg, Resizer};
use image::RgbImage;

use crate::resize::{ResizeFailure, resize_rgb};

/// Longer sides of the sizes, in pixels, the largest first; neighbours differ by about the root of 2.
pub(super) const LONG_SIDES_PX: [usize; 8] = [192, 136, 96, 68, 48, 34, 24, 17];

/// From this longer side on, in pixels, a picture is thinned before it is averaged: four samples for each pixel of
/// the largest size are enough, and a large picture then costs no more than a middling one.
const THINNED_FROM_PX: usize = 5 * LONG_SIDES_PX[0];

/// The picture could not be brought to a small size.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a sketch of a {width_px}x{height_px} picture: {reason}")]
pub struct SketchError {
    width_px: u32,
    height_px: u32,
    reason: String,
}

/// Grey values, row by row, 0..=255.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

/// Luma (0..=255), blue and red chroma (about -128..=127), and a fourth lane that is always 0: four lanes are one
/// register.
#[derive(Clone, Debug)]
pub(super) struct Colours {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<[f32; 4]>,
}

/// 8-bit RGB.
#[derive(Clone, Debug)]
struct Rgb {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

/// The picture at every size of [`LONG_SIDES_PX`].
pub(super) struct Pyramid {
    /// For all but the smallest three sizes.
    pub(super) lumas: Vec<Plane>,
    /// For all sizes from the second on.
    pub(super) samples: Vec<Samples>,
    /// At the size of `thumbnail_level`.
    pub(super) thumbnail: Colours,
}

impl Pyramid {
    /// `thumbnail_level`: which of the sizes is the thumbnail's, not the first.
    pub(super) fn of(picture: &RgbImage, thumbnail_level: usize) -> Result<Self, SketchError> {
        let (width_px, height_px) = picture.dimensions();
        let refuse = |reason: &dyn ToString| SketchError { width_px, height_px, reason: reason.to_string() };
        if width_px == 0 || height_px == 0 {
            return Err(refuse(&"it has no pixels"));
        }
        let mut resizer = Resizer::new();
        let (width, height) = (width_px as usize, height_px as usize);
        let mut last = resized(&mut resizer, picture.as_raw(), width, height, LONG_SIDES_PX[0])
            .map_err(|error| refuse(&error))?;
        let (mut lumas, mut samples, mut thumbnail) = (vec![last.luma()], Vec::new(), None);
        for (level, long_px) in LONG_SIDES_PX.into_iter().enumerate().skip(1) {
            last = resized(&mut resizer, &last.samples, last.width, last.height, long_px)
                .map_err(|error| refuse(&error))?;
            if level < LONG_SIDES_PX.len() - 3 {
                lumas.push(last.luma());
            }
            if level == thumbnail_level {
                thumbnail = Some(last.colours());
            }
            samples.push(last.sampled());
        }
        let thumbnail = thumbnail.unwrap_or_else(|| last.colours());
        Ok(Self { lumas, samples, thumbnail })
    }
}

/// Averages (triangle filter) to the longer side `long_px`.
fn resized(
    resizer: &mut Resizer,
    samples: &[u8],
    width: usize,
    height: usize,
    long_px: usize,
) -> Result<Rgb, ResizeFailure> {
    let longer = width.max(height);
    let scale = |side: usize| ((side * long_px * 2 + longer) / (longer * 2)).max(1);
    let (to_width, to_height) = (scale(width), scale(height));
    let from = (u32::try_from(width)?, u32::try_from(height)?);
    let to = (u32::try_from(to_width)?, u32::try_from(to_height)?);
    let algorithm = if longer > THINNED_FROM_PX {
        ResizeAlg::SuperSampling(FilterType::Bilinear, 4)
    } else {
        ResizeAlg::Convolution(FilterType::Bilinear)
    };
    let mut target = Vec::new();
    resize_rgb(resizer, samples, from, &mut target, to, algorithm)?;
    Ok(Rgb { width: to_width, height: to_height, samples: target })
}

/// BT.601 luma and chroma, as in JPEG.
fn luma_chroma(pixel: &[u8]) -> [f32; 4] {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
    [luma, (b - luma) * 0.564, (r - luma) * 0.713, 0.0]
}

impl Rgb {
    fn luma(&self) -> Plane {
        let values = self.samples.chunks_exact(3).map(|pixel| luma_chroma(pixel)[0]).collect();
        Plane { width: self.width, height: self.height, values }
    }

    fn colours(&self) -> Colours {
        let pixels = self.samples.chunks_exact(3).map(luma_chroma).collect();
        Colours { width: self.width, height: self.height, pixels }
    }

    fn sampled(&self) -> Samples {
        Samples::of(&self.colours())
    }
}

impl Colours {
    pub(super) fn long_side(&self) -> f32 {
        self.width.max(self.height) as f32
    }
}

/// A picture that can be looked at between its pixels.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    pub(super) width: usize,
    pub(super) height: usize,
    /// With one more pixel on every side that repeats the rim, so that no look needs to mind it.
    rimmed: Vec<[f32; 4]>,
}

/// Half as large, by the mean of 2 x 2 pixels; an odd last column or row counts double.
pub(super) fn averaged(picture: &Colours) -> Colours {
    let (width, height) = (picture.width.div_ceil(2), picture.height.div_ceil(2));
    let at = |x: usize, y: usize| {
        &picture.pixels[y.min(picture.height - 1) * picture.width + x.min(picture.width - 1)]
    };
    let mut pixels = Vec::with_capacity(width * height);
    for y in (0..picture.height).step_by(2) {
        for x in (0..picture.width).step_by(2) {
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            pixels.push([0, 1, 2, 3].map(|lane| four.iter().map(|pixel| pixel[lane]).sum::<f32>() / 4.0));
        }
    }
    Colours { width, height, pixels }
}

impl Samples {
    pub(super) fn of(picture: &Colours) -> Self {
        let (width, height) = (picture.width, picture.height);
        let mut rimmed = Vec::with_capacity((width + 2) * (height + 2));
        let row_into = |rimmed: &mut Vec<[f32; 4]>, y: usize| {
            let row = &picture.pixels[y * width..(y + 1) * width];
            rimmed.push(row[0]);
            rimmed.extend_from_slice(row);
            rimmed.push(row[width - 1]);
        };
        row_into(&mut rimmed, 0);
        (0..height).for_each(|y| row_into(&mut rimmed, y));
        row_into(&mut rimmed, height - 1);
        Self { width, height, rimmed }
    }

    /// Without the rim.
    pub(super) fn colours(&self) -> Colours {
        let rows = self.rimmed.chunks_exact(self.width + 2).skip(1).take(self.height);
        let pixels = rows.flat_map(|row| row[1..=self.width].iter().copied()).collect();
        Colours { width: self.width, height: self.height, pixels }
    }

    pub(super) fn long_side(&self) -> f32 {
        self.width.max(self.height) as f32
    }

    /// The colour at (`x`, `y`) in pixels (the middle of the first pixel is at 0.5, 0.5), by bilinear interpolation;
    /// `None` outside the picture.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of the verifier: 20 % faster")]
    pub(super) fn sample(&self, x: f32, y: f32) -> Option<[f32; 4]> {
        if !(x >= 0.0 && y >= 0.0 && x < self.width as f32 && y < self.height as f32) {
            return None;
        }
        let (x, y) = (x + 0.5, y + 0.5);
        // By way of i32, which the processor has an instruction for.
        let (left, top) = (x as i32, y as i32);
        let (across, along) = (x - left as f32, y - top as f32);
        let stride = self.width + 2;
        let at = top as usize * stride + left as usize;
        let (upper, lower) = (&self.rimmed[at..at + 2], &self.rimmed[at + stride..at + stride + 2]);
        let mut mixed = [0.0; 4];
        for lane in 0..4 {
            let above = upper[0][lane] + (upper[1][lane] - upper[0][lane]) * across;
            let beneath = lower[0][lane] + (lower[1][lane] - lower[0][lane]) * across;
            mixed[lane] = above + (beneath - above) * along;
        }
        Some(mixed)
    }
}

impl Plane {
    /// Averages 2 x 2 pixels; an odd last column or row counts double.
    pub(super) fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let (upper, lower) = (2 * y * self.width, (2 * y + 1).min(self.height - 1) * self.width);
            for x in 0..width {
                let (left, right) = (2 * x, (2 * x + 1).min(self.width - 1));
                let sum = self.values[upper + left]
                    + self.values[upper + right]
                    + self.values[lower + left]
                    + self.values[lower + right];
                values.push(sum * 0.25);
            }
        }
        Self { width, height, values }
    }

    /// With `margin` pixels more on every side, which repeat the rim.
    pub(super) fn padded(&self, margin: usize) -> Self {
        let (width, height) = (self.width + 2 * margin, self.height + 2 * margin);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let y = y.saturating_sub(margin).min(self.height - 1);
            let row = &self.values[y * self.width..(y + 1) * self.width];
            values.extend(std::iter::repeat_n(row[0], margin));
            values.extend_from_slice(row);
            values.extend(std::iter::repeat_n(row[self.width - 1], margin));
        }
        Self { width, height, values }
    }

    /// Smooths by the weights 1 4 6 4 1 in both directions; the rim is repeated outwards.
    pub(super) fn blurred(&self) -> Self {
        let (width, height) = (self.width, self.height);
        let mix = |a: f32, b: f32, c: f32, d: f32, e: f32| (a + e + 4.0 * (b + d) + 6.0 * c) * (1.0 / 16.0);
        let mut across = vec![0.0; width * height];
        let mut padded = vec![0.0; width + 4];
        for (row, out) in self.values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
            padded[2..width + 2].copy_from_slice(row);
            padded[..2].fill(row[0]);
            padded[width + 2..].fill(row[width - 1]);
            // Slices of one length, so that the loop needs no checks and is vectorised.
            let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|from| &padded[from..from + width]);
            for x in 0..width {
                out[x] = mix(a[x], b[x], c[x], d[x], e[x]);
            }
        }
        let mut values = vec![0.0; width * height];
        let row = |y: usize| &across[y * width..(y + 1) * width];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            let (a, b, c) = (row(y.saturating_sub(2)), row(y.saturating_sub(1)), row(y));
            let (d, e) = (row((y + 1).min(height - 1)), row((y + 2).min(height - 1)));
            let out = &mut out[..width];
            for x in 0..width {
                out[x] = mix(a[x], b[x], c[x], d[x], e[x]);
            }
        }
        Self { width, height, values }
    }
}
