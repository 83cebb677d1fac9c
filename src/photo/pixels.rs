//! From an encoded picture to upright RGB on white.

use std::io::Cursor;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, Rgb, RgbImage, Rgba, RgbaImage};

use super::colour::{Samples, ToSrgb};
use super::{PhotoError, PhotoFormat, PhotoLimits, jpeg, webp};

/// Decodes the first frame of `bytes`, which are of the given format.
pub(super) fn decode(
    format: PhotoFormat,
    bytes: &[u8],
    limits: &PhotoLimits,
) -> Result<RgbImage, PhotoError> {
    let failed = |e: ImageError| PhotoError::from_image(format, limits.max_memory_bytes, &e);
    let source = Cursor::new(bytes);
    let (picture, turn) = match format {
        PhotoFormat::Jpeg => jpeg::decode(bytes, limits)?,
        PhotoFormat::Png => {
            if let Some((width_px, height_px)) = png_size(bytes) {
                limits.admit(width_px, height_px)?;
            }
            // The decoder counts metadata, which it unpacks while it reads the headers, but not pixels.
            let mut bounds = limits.for_image_crate();
            bounds.max_alloc = Some(limits.max_metadata_bytes());
            let decoder = PngDecoder::with_limits(source, bounds).map_err(failed)?;
            read(decoder, format, 0, limits, png_cicp(bytes))?
        }
        PhotoFormat::WebP => {
            let extra = webp::survey(bytes, limits)?;
            let mut decoder = WebPDecoder::new(source).map_err(failed)?;
            if decoder.has_animation() {
                decoder.set_background_color(Rgba([255; 4])).map_err(failed)?;
            }
            read(decoder, format, extra, limits, None)?
        }
        // A frame smaller than the canvas is decoded beside it.
        PhotoFormat::Gif => read(GifDecoder::new(source).map_err(failed)?, format, 4, limits, None)?,
        PhotoFormat::Bmp => read(BmpDecoder::new(source).map_err(failed)?, format, 0, limits, None)?,
    };
    let mut upright = DynamicImage::ImageRgb8(on_white(picture));
    upright.apply_orientation(turn);
    Ok(upright.into_rgb8())
}

/// Width and height from a PNG's first chunk, so that a picture too large is called that, whatever the
/// decoder says.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let side = |at: usize| bytes.get(at..)?.first_chunk().map(|&four| u32::from_be_bytes(four));
    (bytes.get(12..16) == Some(b"IHDR")).then_some((side(16)?, side(20)?))
}

/// The four numbers of a PNG's `cICP` chunk, which outranks an ICC profile. `gAMA` and `cHRM` are not asked: most files
/// that have them are sRGB, whatever they say, and most readers pass over them.
fn png_cicp(bytes: &[u8]) -> Option<[u8; 4]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let size = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        match rest.get(4..8)? {
            b"cICP" if size == 4 => return rest.get(8..)?.first_chunk().copied(),
            b"IDAT" => return None,
            _ => rest = rest.get(size.checked_add(12)?..)?,
        }
    }
}

/// Reads all pixels, once the header's size has passed the limits, and brings them to sRGB. `extra_bytes`: what the
/// decoder itself holds for each pixel, besides what it returns.
fn read(
    mut decoder: impl ImageDecoder,
    format: PhotoFormat,
    extra_bytes: u64,
    limits: &PhotoLimits,
    cicp: Option<[u8; 4]>,
) -> Result<(DynamicImage, Orientation), PhotoError> {
    let failed = |e: ImageError| PhotoError::from_image(format, limits.max_memory_bytes, &e);
    let (width_px, height_px) = decoder.dimensions();
    if width_px == 0 || height_px == 0 {
        return Err(PhotoError::corrupt(format, "its width or height is 0"));
    }
    let pixels = limits.admit(width_px, height_px)?;
    let color = decoder.color_type();
    // 16-bit samples become 8-bit ones (4 bytes a pixel with alpha) before they become RGB.
    let narrowed = if color.bytes_per_pixel() > 4 { 4 } else { 0 };
    let converting = u64::from(color.bytes_per_pixel()) + narrowed + 3;
    let decoding = u64::from(color.bytes_per_pixel()) + extra_bytes;
    // Metadata that makes no sense costs the colours or the turn, not the picture.
    let profile = decoder.icc_profile().ok().flatten().filter(|icc| !icc.is_empty());
    let coloured = profile.is_some() || cicp.is_some();
    let recolouring = u64::from(color.bytes_per_pixel()) + if coloured { 4 } else { 0 };
    limits.afford(pixels * converting.max(decoding).max(recolouring).max(6))?;

    decoder.set_limits(limits.for_image_crate()).map_err(failed)?;
    let turn = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let samples = Samples::of(&picture);
    let to_srgb = match cicp {
        Some(numbers) if samples == Samples::Rgb => ToSrgb::from_cicp(numbers),
        _ => profile.and_then(|icc| ToSrgb::from_icc(&icc, samples)),
    };
    let picture = match to_srgb {
        Some(to_srgb) => to_srgb.apply(picture),
        None => picture,
    };
    Ok((picture, turn))
}

/// Drops alpha by laying the picture on white, the background of the trade. White is what shows through in
/// most shops' own pages; black would turn cut-out goods into silhouettes.
fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba: RgbaImage = picture.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (Rgb(out), Rgba([red, green, blue, alpha])) in rgb.pixels_mut().zip(rgba.pixels()) {
        *out = [red, green, blue].map(|&sample| blend_on_white(sample, *alpha));
    }
    rgb
}

/// `sample` at opacity `alpha`, over 255; rounded to nearest.
fn blend_on_white(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    let blended = (sample * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(blended).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_blends_between_the_sample_and_white() {
        for sample in 0..=255 {
            assert_eq!(blend_on_white(sample, 255), sample);
            assert_eq!(blend_on_white(sample, 0), 255);
            assert_eq!(blend_on_white(255, sample), 255);
        }
        assert_eq!(blend_on_white(0, 128), 127);
    }
}
