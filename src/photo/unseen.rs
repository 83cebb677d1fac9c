//! What does a file hold that its decoded pixels do not show?

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{PhotoFormat, PhotoLimits, jpeg, pixels, sniff};

/// What a file holds beside the 8-bit pixels on a plain ground that [`Photo::decode`](super::Photo::decode) makes of it: files
/// with the same pixels may differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// More than one frame.
    Animation,
    /// More than 8 bits a sample.
    Depth,
    /// Pixels that are not opaque.
    Transparency,
    /// What a camera or an editor wrote beside the picture, such as when and where it was taken, and what is appended behind it, such as
    /// the film of a moving photo.
    Metadata,
}

/// So many bytes of metadata say more than which way up a picture is and what program saved it. Colour profiles are none.
const TELLING_METADATA_BYTES: usize = 512;

impl Unseen {
    const ALL: [Self; 4] = [Self::Animation, Self::Depth, Self::Transparency, Self::Metadata];

    /// Of the bytes of a picture that was decoded within the same limits; the first of them where there are several. Pixels
    /// are decoded only where the header says that there may be transparent ones.
    pub(crate) fn of(bytes: &[u8], limits: &PhotoLimits) -> Option<Self> {
        let format = sniff::format_of(bytes).ok()?;
        let (is_animation, is_deep, may_have_alpha) = match format {
            PhotoFormat::Jpeg => (false, false, false),
            PhotoFormat::Png => {
                // Bit depth and colour type of the first chunk; 4 and 6 have alpha.
                let (depth, colour) = (bytes.get(24).copied(), bytes.get(25).copied());
                let has_alpha = matches!(colour, Some(4 | 6)) || has_png_chunk(bytes, *b"tRNS");
                (has_png_chunk(bytes, *b"acTL"), depth == Some(16), has_alpha)
            }
            PhotoFormat::WebP => {
                let may_have_alpha = webp_chunks(bytes).any(|(kind, payload)| match &kind {
                    b"VP8X" => payload.first().is_some_and(|flags| flags & 0x10 != 0),
                    b"VP8L" => payload.get(4).is_some_and(|bits| bits & 0x10 != 0),
                    _ => false,
                });
                (webp_chunks(bytes).filter(|(kind, _)| kind == b"ANMF").count() > 1, false, may_have_alpha)
            }
            PhotoFormat::Gif => (gif_frames(bytes) > 1, false, true),
            PhotoFormat::Bmp => (false, false, bytes.get(28) == Some(&32)),
        };
        match () {
            () if is_animation => Some(Self::Animation),
            () if is_deep => Some(Self::Depth),
            () if may_have_alpha && pixels::is_transparent(format, bytes, limits) => Some(Self::Transparency),
            () if metadata_bytes(format, bytes) > TELLING_METADATA_BYTES => Some(Self::Metadata),
            () => None,
        }
    }

    /// As it is written in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Animation => "animation",
            Self::Depth => "depth",
            Self::Transparency => "transparency",
            Self::Metadata => "metadata",
        }
    }

    /// For people, in English and in Chinese.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Animation => ("an animation", "动画"),
            Self::Depth => ("more than 8 bits a sample", "每通道超过 8 位"),
            Self::Transparency => ("transparent", "含透明像素"),
            Self::Metadata => ("with data of a camera or editor", "含拍摄或编辑信息"),
        }
    }

    /// What [`Unseen::word`] wrote.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unseen| unseen.word() == word)
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Of EXIF, XMP, comments and whatever else stands beside the picture or behind it.
fn metadata_bytes(format: PhotoFormat, bytes: &[u8]) -> usize {
    match format {
        PhotoFormat::Jpeg => jpeg::metadata_bytes(bytes),
        PhotoFormat::Png => {
            let mut sum = 0;
            for (kind, size, rest) in png_chunks(bytes) {
                match &kind {
                    b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" => sum += size,
                    b"IEND" => return sum + rest.len(),
                    _ => {}
                }
            }
            sum
        }
        PhotoFormat::WebP => {
            let written = webp_chunks(bytes).filter(|(kind, _)| matches!(kind, b"EXIF" | b"XMP "));
            written.map(|(_, payload)| payload.len()).sum()
        }
        PhotoFormat::Gif | PhotoFormat::Bmp => 0,
    }
}

/// Whether a PNG has such a chunk before its pixels.
fn has_png_chunk(bytes: &[u8], wanted: [u8; 4]) -> bool {
    let mut kinds = png_chunks(bytes).map(|(kind, ..)| kind).take_while(|kind| kind != b"IDAT");
    kinds.any(|kind| kind == wanted)
}

/// The chunks of a PNG: what each is, how long it says it is, and what follows.
fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], usize, &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (size, kind) = (*rest.first_chunk()?, *rest.get(4..)?.first_chunk()?);
        let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
        rest = rest.get(size.saturating_add(12)..).unwrap_or_default();
        Some((kind, size, rest))
    })
}

/// The chunks of a WebP file, as far as they are whole.
fn webp_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let kind = *rest.first_chunk()?;
        let size = usize::try_from(u32::from_le_bytes(*rest.get(4..)?.first_chunk()?)).ok()?;
        let payload = rest.get(8..)?.get(..size)?;
        rest = rest.get(8 + size + (size & 1)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The frames of a GIF, as far as its blocks are whole.
fn gif_frames(bytes: &[u8]) -> usize {
    // The bytes of a table of colours, by the packed field before it.
    let table = |packed: u8| if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) };
    let count = || {
        let mut frames = 0;
        let mut rest = bytes.get(13 + table(*bytes.get(10)?)..)?;
        loop {
            let data = match *rest.first()? {
                0x2c => {
                    frames += 1;
                    // The image's place and size, its table, and the size of its first codes.
                    10 + table(*rest.get(9)?) + 1
                }
                0x21 => 2,
                _ => return Some(frames),
            };
            if frames > 1 {
                return Some(frames);
            }
            rest = rest.get(data..)?;
            while let Some(size) = rest.first().copied().filter(|size| *size > 0) {
                rest = rest.get(1 + usize::from(size)..)?;
            }
            rest = rest.get(1..)?;
        }
    };
    count().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::gif::GifEncoder;
    use image::{DynamicImage, Frame, ImageBuffer, ImageFormat, Luma, Rgba, RgbaImage};

    use super::*;

    fn unseen(bytes: &[u8]) -> Option<Unseen> {
        Unseen::of(bytes, &PhotoLimits::default())
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), format).expect("encoded");
        bytes
    }

    fn gif(frames: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let pictures = (0..frames).map(|tint| RgbaImage::from_pixel(20, 20, Rgba([tint * 40, 90, 9, 255])));
        GifEncoder::new(&mut bytes).encode_frames(pictures.map(Frame::new)).expect("encoded");
        bytes
    }

    #[test]
    fn only_a_gif_of_several_frames_is_an_animation() {
        assert_eq!(unseen(&gif(1)), None);
        assert_eq!(unseen(&gif(2)), Some(Unseen::Animation));
        assert_eq!(unseen(&gif(5)), Some(Unseen::Animation));
    }

    #[test]
    fn alpha_counts_where_a_pixel_is_not_opaque() {
        let opaque = RgbaImage::from_pixel(20, 20, Rgba([1, 2, 3, 255]));
        let mut cut_out = opaque.clone();
        cut_out.put_pixel(3, 3, Rgba([1, 2, 3, 254]));
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let of = |picture: &RgbaImage| unseen(&encoded(&picture.clone().into(), format));
            assert_eq!(of(&opaque), None, "{format:?}");
            assert_eq!(of(&cut_out), Some(Unseen::Transparency), "{format:?}");
        }
    }

    #[test]
    fn a_png_of_16_bits_holds_more_and_one_of_8_does_not() {
        let deep = DynamicImage::ImageLuma16(ImageBuffer::from_pixel(9, 9, Luma([513])));
        assert_eq!(unseen(&encoded(&deep, ImageFormat::Png)), Some(Unseen::Depth));
        assert_eq!(unseen(&encoded(&deep.to_luma8().into(), ImageFormat::Png)), None);
    }

    #[test]
    fn an_animated_png_is_known_by_the_chunk_before_its_pixels() {
        let mut bytes = encoded(&DynamicImage::new_rgb8(4, 4), ImageFormat::Png);
        assert_eq!(unseen(&bytes), None);
        // After the first chunk: length, kind, two numbers, and a checksum that is not looked at.
        let chunk = [&8u32.to_be_bytes()[..], b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0], &[0; 4]].concat();
        bytes.splice(33..33, chunk);
        assert_eq!(unseen(&bytes), Some(Unseen::Animation));
    }

    #[test]
    fn what_a_camera_wrote_counts_and_what_every_encoder_writes_does_not() {
        let picture = DynamicImage::new_rgb8(40, 30);
        let jpeg = encoded(&picture, ImageFormat::Jpeg);
        assert_eq!(unseen(&jpeg), None);
        let segment = |kind: u8, size: u16| {
            let payload = vec![b'E'; usize::from(size) - 2];
            [&jpeg[..2], &[0xFF, kind], &size.to_be_bytes(), &payload, &jpeg[2..]].concat()
        };
        // EXIF, a comment, a colour profile, and an EXIF that says which way up the picture is.
        let found = [(0xE1, 900), (0xFE, 900), (0xE2, 3000), (0xE1, 60)]
            .map(|(kind, size)| unseen(&segment(kind, size)));
        assert_eq!(found, [Some(Unseen::Metadata), Some(Unseen::Metadata), None, None]);
        assert_eq!(unseen(&[&jpeg[..], &[7; 2000]].concat()), Some(Unseen::Metadata), "a film behind it");
        let png = encoded(&picture, ImageFormat::Png);
        assert_eq!(unseen(&png), None);
        assert_eq!(unseen(&[&png[..], &[7; 2000]].concat()), Some(Unseen::Metadata));
    }

    #[test]
    fn damaged_files_are_read_as_far_as_they_go() {
        let jpeg = encoded(&DynamicImage::new_rgb8(9, 9), ImageFormat::Jpeg);
        for bytes in [gif(3), encoded(&DynamicImage::new_rgba8(4, 4), ImageFormat::WebP), jpeg] {
            for end in 0..bytes.len() {
                unseen(&bytes[..end]);
            }
        }
    }
}
