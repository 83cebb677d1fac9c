//! JPEG: told apart here, because a half picture must not pass for a whole one.
//!
//! The decoder paints whatever a JPEG lacks in flat grey and reports success, as browsers do. A half-grey
//! picture kept as "seen" would match every other half-grey picture, so this is stricter than a browser: the
//! markers must reach the end-of-image marker, the entropy-coded data must be long enough for the size that
//! the header claims, and it must decode without an error.
//!
//! A picture that lacks only its end-of-image marker is refused too: nothing in the file tells it from one
//! that lost its last rows (Pillow refuses it as well). What follows the end-of-image marker is ignored. One
//! cut stays unseen: data that stops short and was then closed with an end-of-image marker still decodes, as
//! zeros.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::colour::{MAX_PROFILE_BYTES, Samples, ToSrgb};
use super::{PhotoError, PhotoFormat, PhotoLimits};

const JPEG: PhotoFormat = PhotoFormat::Jpeg;

/// Each scan walks the whole picture, so scans times pixels bounds the time. Real pictures have at most about
/// 15.
const MAX_SCANS: usize = 64;

/// How the pieces of a profile begin, in segments APP2; the number of the piece and how many there are follow.
const PROFILE_SIGNATURE: &[u8] = b"ICC_PROFILE\0";

/// The picture in sRGB as far as it says what it is in, and how to turn it upright.
pub(super) fn decode(bytes: &[u8], limits: &PhotoLimits) -> Result<(DynamicImage, Orientation), PhotoError> {
    let frame = Frame::survey(bytes)?;
    let pixels = limits.admit(frame.width_px.into(), frame.height_px.into())?;
    let profile = frame.profile();
    let inks = frame.sampling.len() == 4;
    let from_inks = profile.as_deref().filter(|_| inks).and_then(|icc| ToSrgb::from_icc(icc, Samples::Cmyk));
    // Peaks: pixels beside coefficients while decoding, then two copies of the pixels while converting or
    // turning, of which the first may be inks.
    let (decoding, converting) = if from_inks.is_some() { (4, 7) } else { (3, 6) };
    limits.afford((decoding * pixels + frame.coefficient_bytes()).max(converting * pixels))?;
    if frame.coded_bytes * 8 < frame.least_bits() {
        return Err(PhotoError::truncated(JPEG, "its pixels stop short"));
    }

    let (width, height) = (usize::from(frame.width_px), usize::from(frame.height_px));
    let options = DecoderOptions::default()
        .set_max_width(width)
        .set_max_height(height)
        .jpeg_set_max_scans(MAX_SCANS)
        .set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| from_decoder(&e))?;
    if decoder.dimensions() != Some((width, height)) {
        return Err(PhotoError::corrupt(JPEG, "its headers contradict each other"));
    }
    let turn = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let coded = decoder.input_colorspace();
    let from_inks = from_inks.filter(|_| matches!(coded, Some(ColorSpace::CMYK | ColorSpace::YCCK)));
    let wanted = match coded {
        Some(inks) if from_inks.is_some() => inks,
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    // Junk between headers harms no pixel, so strictness begins with the entropy-coded data.
    decoder.set_options(options.jpeg_set_out_colorspace(wanted).set_strict_mode(true));
    let mut samples = decoder.decode().map_err(|e| from_decoder(&e))?;
    if let Some(from_inks) = from_inks {
        to_inks(&mut samples, wanted == ColorSpace::YCCK);
        samples = from_inks.convert_inks(&samples).unwrap_or_else(|| plainly(&samples));
    }

    let (width, height) = (u32::from(frame.width_px), u32::from(frame.height_px));
    let picture = if grey {
        GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
    };
    let mut picture = picture.ok_or_else(|| PhotoError::corrupt(JPEG, "it has too few pixels"))?;
    if let (Some(icc), false) = (profile, inks)
        && let Some(to_srgb) = ToSrgb::from_icc(&icc, Samples::of(&picture))
    {
        picture = to_srgb.apply(picture);
    }
    Ok((picture, turn.unwrap_or(Orientation::NoTransforms)))
}

/// Four samples a pixel, as they are stored, become shares of ink. Like all readers, this takes them for stored upside
/// down (255 is no ink), as Adobe writes them. The first three of YCCK are luma and chroma of the inks themselves.
fn to_inks(samples: &mut [u8], ycck: bool) {
    for pixel in samples.as_chunks_mut::<4>().0 {
        if ycck {
            let [y, cb, cr, _] = pixel.map(f32::from);
            let (cb, cr) = (cb - 128.0, cr - 128.0);
            let inks = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
            let inks = inks.map(|share| (share + 0.5) as u8);
            pixel[..3].copy_from_slice(&inks);
            pixel[3] = 255 - pixel[3];
        } else {
            *pixel = pixel.map(|share| 255 - share);
        }
    }
}

/// Inks without a profile that can be used: each takes its share of the light.
fn plainly(inks: &[u8]) -> Vec<u8> {
    let light = |ink: u8, black: u8| {
        let left = u32::from(255 - ink) * u32::from(255 - black);
        u8::try_from((left + 127) / 255).unwrap_or(u8::MAX)
    };
    inks.as_chunks::<4>().0.iter().flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| light(ink, k))).collect()
}

/// Of application segments but those that decoders look at (JFIF, colour profiles, Adobe), comments, and what follows the end.
#[cfg(feature = "scan")]
pub(super) fn metadata_bytes(bytes: &[u8]) -> usize {
    const LENGTH_BYTES: usize = 2;
    let (mut markers, mut sum) = (Markers { bytes, at: 2 }, 0);
    loop {
        match markers.next_segment() {
            Ok(Some((0xda, _))) => {
                markers.skip_entropy_coded();
            }
            Ok(Some((0xe1 | 0xe3..=0xed | 0xef | 0xfe, payload))) => sum += LENGTH_BYTES + payload.len(),
            Ok(Some(_)) => {}
            Ok(None) => return sum + bytes.len() - markers.at,
            Err(_) => return sum,
        }
    }
}

fn from_decoder(error: &DecodeErrors) -> PhotoError {
    let detail = error.to_string();
    match error {
        DecodeErrors::ExhaustedData => PhotoError::truncated(JPEG, "its pixels stop short"),
        DecodeErrors::Unsupported(_) => PhotoError::UnsupportedFeature { format: JPEG, detail },
        _ => PhotoError::corrupt(JPEG, detail),
    }
}

/// What the markers say, read without decoding.
#[derive(Debug)]
struct Frame<'a> {
    width_px: u16,
    height_px: u16,
    /// Horizontal and vertical sampling factor of each component.
    sampling: Vec<(u8, u8)>,
    progressive: bool,
    /// Whether pixels come out only after several scans, so that all coefficients are held at once.
    buffered: bool,
    /// Length of the entropy-coded data of all scans.
    coded_bytes: u64,
    /// The pieces of a colour profile, each with its number and how many there are, as they come.
    profile_pieces: Vec<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// Walks the markers from start-of-image to end-of-image.
    fn survey(bytes: &'a [u8]) -> Result<Self, PhotoError> {
        let mut markers = Markers { bytes, at: 2 };
        let mut frame: Option<Self> = None;
        let mut profile_pieces = Vec::new();
        let (mut scans, mut coded_bytes) = (0, 0);
        while let Some((marker, payload)) = markers.next_segment()? {
            match marker {
                // Start of frame; C4, C8 and CC share the range but mean tables and extensions.
                0xc0..=0xc2 => {
                    if frame.is_some() {
                        return Err(PhotoError::corrupt(JPEG, "it holds two frames"));
                    }
                    frame = Some(Self::from_header(payload, marker == 0xc2)?);
                }
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    let detail = format!("coding process {}", marker - 0xc0);
                    return Err(PhotoError::UnsupportedFeature { format: JPEG, detail });
                }
                // Start of scan.
                0xda => {
                    let Some(frame) = &mut frame else {
                        return Err(PhotoError::corrupt(JPEG, "its pixels come before its size"));
                    };
                    if scans == 0 && payload.first().is_none_or(|&n| usize::from(n) < frame.sampling.len()) {
                        frame.buffered = true;
                    }
                    scans += 1;
                    if scans > MAX_SCANS || (scans > 1 && !frame.buffered) {
                        return Err(PhotoError::corrupt(JPEG, "it has too many scans"));
                    }
                    coded_bytes += markers.skip_entropy_coded();
                }
                0xe2 if scans == 0 => profile_pieces.extend(payload.strip_prefix(PROFILE_SIGNATURE)),
                // A damaged byte looks like a marker: the decoder would drop what lies between it and the
                // end.
                _ if scans > 0 && !frame.as_ref().is_some_and(|f| f.buffered) => {
                    return Err(PhotoError::corrupt(JPEG, "a marker interrupts its pixels"));
                }
                _ => {}
            }
        }
        let frame = frame.filter(|_| scans > 0).map(|frame| Self { coded_bytes, profile_pieces, ..frame });
        frame.ok_or_else(|| PhotoError::corrupt(JPEG, "it ends before its pixels begin"))
    }

    /// Reads a start-of-frame segment: precision, height, width, then three bytes a component.
    fn from_header(payload: &[u8], progressive: bool) -> Result<Self, PhotoError> {
        let &[precision, h1, h0, w1, w0, count, ref components @ ..] = payload else {
            return Err(PhotoError::corrupt(JPEG, "its frame header is too short"));
        };
        if precision != 8 {
            let detail = format!("{precision} bits a sample");
            return Err(PhotoError::UnsupportedFeature { format: JPEG, detail });
        }
        let frame = Self {
            width_px: u16::from_be_bytes([w1, w0]),
            height_px: u16::from_be_bytes([h1, h0]),
            sampling: components.chunks_exact(3).map(|c| (c[1] >> 4, c[1] & 15)).collect(),
            progressive,
            buffered: progressive,
            coded_bytes: 0,
            profile_pieces: Vec::new(),
        };
        let factors_fit = frame.sampling.iter().all(|&(h, v)| (1..=4).contains(&h) && (1..=4).contains(&v));
        if frame.width_px == 0 || frame.height_px == 0 {
            return Err(PhotoError::corrupt(JPEG, "its width or height is 0"));
        }
        if !(1..=4).contains(&count) || frame.sampling.len() != usize::from(count) || !factors_fit {
            return Err(PhotoError::corrupt(JPEG, "its frame header is not valid"));
        }
        Ok(frame)
    }

    /// The whole profile; `None` when a piece is missing or is there twice.
    fn profile(&self) -> Option<Vec<u8>> {
        let &[_, count, ..] = *self.profile_pieces.first()? else { return None };
        let bytes: usize = self.profile_pieces.iter().map(|piece| piece.len()).sum();
        if self.profile_pieces.len() != usize::from(count) || bytes > MAX_PROFILE_BYTES {
            return None;
        }
        let piece = |number| {
            let of_this_number = |piece: &&&[u8]| piece.starts_with(&[number, count]);
            self.profile_pieces.iter().find(of_this_number).map(|piece| &piece[2..])
        };
        Some((1..=count).map(piece).collect::<Option<Vec<_>>>()?.concat())
    }

    /// Largest horizontal and vertical sampling factor.
    fn most_sampled(&self) -> (u64, u64) {
        let most = |pick: fn(&(u8, u8)) -> u8| self.sampling.iter().map(pick).max().map_or(1, u64::from);
        (most(|s| s.0), most(|s| s.1))
    }

    /// What the coefficients of all scans take: 2 bytes each, in whole coding units.
    fn coefficient_bytes(&self) -> u64 {
        if !self.buffered {
            return 0;
        }
        let (h_most, v_most) = self.most_sampled();
        let units =
            u64::from(self.width_px).div_ceil(8 * h_most) * u64::from(self.height_px).div_ceil(8 * v_most);
        let blocks: u64 = self.sampling.iter().map(|&(h, v)| u64::from(h) * u64::from(v)).sum();
        units * blocks * 64 * 2
    }

    /// A bound from below on the entropy-coded data: a block's first coefficient takes at least one bit, and
    /// so does its end, which only a progressive scan shares between blocks.
    fn least_bits(&self) -> u64 {
        let (h_most, v_most) = self.most_sampled();
        let blocks = |&(h, v): &(u8, u8)| {
            (u64::from(self.width_px) * u64::from(h)).div_ceil(8 * h_most)
                * (u64::from(self.height_px) * u64::from(v)).div_ceil(8 * v_most)
        };
        self.sampling.iter().map(blocks).sum::<u64>() * if self.progressive { 1 } else { 2 }
    }
}

/// A cursor over marker segments.
struct Markers<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Markers<'a> {
    /// The next marker and what its segment holds; `None` at end-of-image. Junk before a marker is passed
    /// over.
    fn next_segment(&mut self) -> Result<Option<(u8, &'a [u8])>, PhotoError> {
        let short = || PhotoError::truncated(JPEG, "its end-of-image marker is missing");
        loop {
            let &marker = self.bytes.get(self.at + 1).ok_or_else(short)?;
            if self.bytes[self.at] != 0xff || matches!(marker, 0 | 0xff) {
                self.at += 1;
                continue;
            }
            self.at += 2;
            match marker {
                0xd9 => return Ok(None),
                // Restart, start-of-image and TEM stand alone.
                0x01 | 0xd0..=0xd8 => {}
                _ => {
                    let rest = &self.bytes[self.at..];
                    let &[high, low, ..] = rest else { return Err(short()) };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < 2 {
                        return Err(PhotoError::corrupt(JPEG, "a segment has no length"));
                    }
                    let payload = rest.get(2..length).ok_or_else(short)?;
                    self.at += length;
                    return Ok(Some((marker, payload)));
                }
            }
        }
    }

    /// Passes over entropy-coded data, up to the next marker that is neither a stuffed byte nor a restart;
    /// returns how many bytes that was.
    fn skip_entropy_coded(&mut self) -> u64 {
        let from = self.at;
        while let Some(&[first, second]) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            if first == 0xff && !matches!(second, 0 | 0xd0..=0xd7 | 0xff) {
                break;
            }
            self.at += 1;
        }
        (self.at - from) as u64
    }
}
