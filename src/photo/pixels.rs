//! From an encoded picture to upright RGB on a plain ground.

use std::io::Cursor;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageError, Rgb, RgbImage, Rgba, RgbaImage};

use super::colour::{Samples, ToSrgb};
use super::{PhotoError, PhotoFormat, PhotoLimits, jpeg, webp};

/// Frames of an animation that are looked at for one in which something shows: it may begin with a fade.
const MAX_FRAMES: usize = 30;
/// A sample that differs by more than this from the picture's first one shows something.
const SHOWS: u8 = 14;
/// Something shows from so many pixels of so many on, as the verifier counts.
const LEAST_SHOWN: (usize, usize) = (3, 48 * 48);
/// The ground of what is white itself, such as a logo.
const DARK_GROUND: u8 = 64;

/// Decodes `bytes`, which are of the given format: of an animation, the first frame in which something shows.
pub(super) fn decode(
    format: PhotoFormat,
    bytes: &[u8],
    limits: &PhotoLimits,
) -> Result<RgbImage, PhotoError> {
    let (picture, turn) = opened(format, bytes, limits)?;
    let mut flat = on_ground(picture);
    if matches!(format, PhotoFormat::Gif | PhotoFormat::WebP) && is_blank(&flat) {
        flat = first_frame_that_shows(format, bytes).unwrap_or(flat);
    }
    let mut upright = DynamicImage::ImageRgb8(flat);
    upright.apply_orientation(turn);
    Ok(upright.into_rgb8())
}

/// The pixels as the file has them, and how they are to be turned.
fn opened(
    format: PhotoFormat,
    bytes: &[u8],
    limits: &PhotoLimits,
) -> Result<(DynamicImage, Orientation), PhotoError> {
    let failed = |e: ImageError| PhotoError::from_image(format, limits.max_memory_bytes, &e);
    let source = Cursor::new(bytes);
    match format {
        PhotoFormat::Jpeg => jpeg::decode(bytes, limits),
        PhotoFormat::Png => {
            if let Some((width_px, height_px)) = png_size(bytes) {
                limits.admit(width_px, height_px)?;
            }
            // The decoder counts metadata, which it unpacks while it reads the headers, but not pixels.
            let mut bounds = limits.for_image_crate();
            bounds.max_alloc = Some(limits.max_metadata_bytes());
            let decoder = PngDecoder::with_limits(source, bounds).map_err(failed)?;
            read(decoder, format, 0, limits, png_cicp(bytes))
        }
        PhotoFormat::WebP => {
            let extra = webp::survey(bytes, limits)?;
            let mut decoder = WebPDecoder::new(source).map_err(failed)?;
            if decoder.has_animation() {
                decoder.set_background_color(Rgba([255; 4])).map_err(failed)?;
            }
            read(decoder, format, extra, limits, None)
        }
        // A frame smaller than the canvas is decoded beside it.
        PhotoFormat::Gif => read(GifDecoder::new(source).map_err(failed)?, format, 4, limits, None),
        PhotoFormat::Bmp => read(BmpDecoder::new(source).map_err(failed)?, format, 0, limits, None),
    }
}

/// Whether a picture that was decoded within these limits has pixels that are not opaque.
#[cfg(feature = "scan")]
pub(super) fn is_transparent(format: PhotoFormat, bytes: &[u8], limits: &PhotoLimits) -> bool {
    opened(format, bytes, limits).is_ok_and(|(picture, _)| {
        picture.color().has_alpha()
            && picture.into_rgba8().pixels().any(|Rgba([.., alpha])| *alpha != u8::MAX)
    })
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

/// Whether next to nothing differs from the first pixel.
fn is_blank(picture: &RgbImage) -> bool {
    let first = picture.get_pixel(0, 0).0;
    let differs = |Rgb(samples): &Rgb<u8>| samples.iter().zip(first).any(|(a, b)| a.abs_diff(b) > SHOWS);
    let enough = (picture.pixels().len() * LEAST_SHOWN.0).div_ceil(LEAST_SHOWN.1);
    // Most pictures show enough in their first rows.
    picture.pixels().filter(|pixel| differs(pixel)).take(enough).count() < enough
}

/// Of an animation whose first frame is blank; `None` for a still, and where all that is looked at is blank. Its size has
/// passed the limits with the first frame.
fn first_frame_that_shows(format: PhotoFormat, bytes: &[u8]) -> Option<RgbImage> {
    let source = Cursor::new(bytes);
    let frames = if format == PhotoFormat::Gif {
        GifDecoder::new(source).ok()?.into_frames()
    } else {
        let mut decoder = WebPDecoder::new(source).ok().filter(WebPDecoder::has_animation)?;
        decoder.set_background_color(Rgba([255; 4])).ok()?;
        decoder.into_frames()
    };
    let frames = frames.take(MAX_FRAMES).map_while(Result::ok);
    let mut flat = frames.map(|frame| on_ground(DynamicImage::ImageRgba8(frame.into_buffer())));
    flat.find(|picture| !is_blank(picture))
}

/// Drops alpha by laying the picture on white, the background of the trade. White is what shows through in
/// most shops' own pages; black would turn cut-out goods into silhouettes. Only what is white itself gets a dark ground,
/// on which it shows.
fn on_ground(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let white = laid_on(&rgba, u8::MAX);
    if !is_blank(&white) {
        return white;
    }
    let dark = laid_on(&rgba, DARK_GROUND);
    if is_blank(&dark) { white } else { dark }
}

fn laid_on(rgba: &RgbaImage, ground: u8) -> RgbImage {
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (Rgb(out), Rgba([red, green, blue, alpha])) in rgb.pixels_mut().zip(rgba.pixels()) {
        *out = [red, green, blue].map(|&sample| blend(sample, ground, *alpha));
    }
    rgb
}

/// `sample` at opacity `alpha`, over `ground`; rounded to nearest.
fn blend(sample: u8, ground: u8, alpha: u8) -> u8 {
    let (sample, ground, alpha) = (u32::from(sample), u32::from(ground), u32::from(alpha));
    let blended = (sample * alpha + ground * (255 - alpha) + 127) / 255;
    u8::try_from(blended).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_blends_between_the_sample_and_the_ground() {
        for sample in 0..=255 {
            assert_eq!(blend(sample, 255, 255), sample);
            assert_eq!(blend(sample, 64, 0), 64);
            assert_eq!(blend(255, 255, sample), 255);
        }
        assert_eq!(blend(0, 255, 128), 127);
    }

    fn logo(tint: u8) -> DynamicImage {
        let mut rgba = RgbaImage::from_pixel(40, 40, Rgba([255, 255, 255, 0]));
        for place in 12..28 {
            (10..30).for_each(|x| rgba.put_pixel(x, place, Rgba([tint, tint, tint, 255])));
        }
        DynamicImage::ImageRgba8(rgba)
    }

    #[test]
    fn what_is_white_on_nothing_gets_a_ground_on_which_it_shows() {
        let white = on_ground(logo(255));
        assert_eq!((white.get_pixel(0, 0).0, white.get_pixel(20, 20).0), ([DARK_GROUND; 3], [255; 3]));
        let black = on_ground(logo(0));
        assert_eq!((black.get_pixel(0, 0).0, black.get_pixel(20, 20).0), ([255; 3], [0; 3]));
    }

    #[test]
    fn of_an_animation_that_fades_in_the_first_frame_that_shows_counts() {
        let blank = RgbaImage::from_pixel(40, 40, Rgba([255; 4]));
        let frames = [blank, logo(90).into_rgba8(), logo(10).into_rgba8()].map(image::Frame::new);
        let mut bytes = Vec::new();
        image::codecs::gif::GifEncoder::new(&mut bytes).encode_frames(frames).expect("encoded");
        let picture = decode(PhotoFormat::Gif, &bytes, &PhotoLimits::default()).expect("decoded");
        assert!(picture.get_pixel(20, 20).0[0].abs_diff(90) < 8, "{:?}", picture.get_pixel(20, 20));
    }
}
