//! Small pictures for pages and sheets.

use image::RgbImage;
use image::imageops::thumbnail;

use crate::photo::{Photo, PhotoLimits, encode_jpeg};

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
    if longer <= SIDE_PX {
        return encode_jpeg(picture, QUALITY).ok();
    }
    encode_jpeg(&thumbnail(picture, scaled(width)?.max(1), scaled(height)?.max(1)), QUALITY).ok()
}
