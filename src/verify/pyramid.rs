//! One picture at several sizes.

use fast_image_resize::{FilterType, ResizeAlg, Resizer};
use image::RgbImage;

use super::raster::{Colours, Plane};
use super::samples::Samples;
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
            let colours = last.colours();
            if level < LONG_SIDES_PX.len() - 3 {
                lumas.push(colours.luma());
            }
            samples.push(Samples::of(&colours));
            if level == thumbnail_level {
                thumbnail = Some(colours);
            }
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
}
