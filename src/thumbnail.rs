//! Small pictures for pages and sheets.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::thumbnail;
use image::{ImageEncoder as _, RgbImage};

use crate::photo::{Photo, PhotoLimits};

/// Of the longer side.
const SIDE_PX: u32 = 160;
const QUALITY: u8 = 80;

/// A small JPEG of a picture's file; `None` for what cannot be decoded.
pub(crate) fn of_file(bytes: &[u8]) -> Option<Vec<u8>> {
    jpeg(Photo::decode(bytes, &PhotoLimits::default()).ok()?.as_image())
}

/// A small JPEG of a picture.
pub(crate) fn jpeg(picture: &RgbImage) -> Option<Vec<u8>> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    let scaled =
        |side: u32| u32::try_from(u64::from(side) * u64::from(SIDE_PX) / u64::from(longer.max(1))).ok();
    let mut out = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut out, QUALITY);
    if longer <= SIDE_PX {
        encoder.write_image(picture, width, height, image::ExtendedColorType::Rgb8).ok()?;
    } else {
        let small = thumbnail(picture, scaled(width)?.max(1), scaled(height)?.max(1));
        encoder.write_image(&small, small.width(), small.height(), image::ExtendedColorType::Rgb8).ok()?;
    }
    Some(out)
}
