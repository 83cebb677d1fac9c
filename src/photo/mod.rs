//! What picture is this? Bytes go in; upright RGB pixels and two digests, or an error that says why not, come
//! out.
//!
//! Formats are told by content: JPEG, PNG, WebP, GIF and BMP, the first frame of an animation. Every bound in
//! [`PhotoLimits`] is checked against the header before pixels are allocated, and a decoder that panics is
//! contained. Embedded colour profiles are honoured: pixels are sRGB. A picture without one is taken for sRGB, and CMYK
//! without one is converted plainly.

mod colour;
mod digest;
#[cfg(any(feature = "cli", feature = "eval", feature = "sandbox", feature = "scan", feature = "serve"))]
mod encode;
mod error;
mod file;
mod jpeg;
mod limits;
mod pixels;
mod sniff;
#[cfg(feature = "scan")]
mod unseen;
mod webp;

use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use image::RgbImage;
use serde::{Deserialize, Serialize};

pub use self::digest::Digest;
#[cfg(any(feature = "cli", feature = "eval", feature = "sandbox", feature = "scan", feature = "serve"))]
pub(crate) use self::encode::encode_jpeg;
pub use self::error::PhotoError;
pub use self::file::read_bytes;
pub use self::limits::PhotoLimits;
#[cfg(feature = "scan")]
pub use self::unseen::Unseen;

/// The file format a picture came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhotoFormat {
    /// Baseline and progressive.
    Jpeg,
    /// The first frame of an animated one.
    Png,
    /// Lossy and lossless; the first frame of an animated one.
    WebP,
    /// The first frame.
    Gif,
    /// Windows bitmaps.
    Bmp,
}

impl PhotoFormat {
    /// How many of a file's first bytes [`PhotoFormat::sniff`] looks at, at the most.
    pub const SNIFF_BYTES: usize = sniff::TEXT_WINDOW;

    /// The format of a file that begins with `bytes`, told by its content alone. No more is said of the rest of it.
    ///
    /// # Errors
    /// [`PhotoError::Empty`], [`PhotoError::UnsupportedFormat`] or [`PhotoError::NotAPicture`].
    pub fn sniff(bytes: &[u8]) -> Result<Self, PhotoError> {
        sniff::format_of(bytes)
    }
}

/// `jpeg`, `png`, `webp`, `gif` or `bmp`: the same words as in JSON.
impl fmt::Display for PhotoFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
        })
    }
}

/// The version of what [`Photo::decode`] makes of a file: it grows when some pictures come out with other pixels.
///
/// 1: embedded colour profiles are passed over. 2: they are honoured. All other pictures are the same, bit for bit.
pub const DECODER_VERSION: u32 = 2;

/// A decoded picture: 8-bit sRGB, row by row from the top, turned upright, laid on white, at least 1 x 1
/// pixel.
#[derive(Clone)]
pub struct Photo {
    image: RgbImage,
    format: PhotoFormat,
    byte_digest: Digest,
    pixel_digest: Digest,
}

impl Photo {
    /// Decodes an encoded picture.
    ///
    /// # Errors
    /// See [`PhotoError`]. Truncated and damaged pictures are errors, never partial pixels, as far as the
    /// format lets one tell (JPEG has no checksum: a flipped bit that still decodes goes unnoticed, and so do
    /// pixels that stop short before an end-of-image marker).
    pub fn decode(bytes: &[u8], limits: &PhotoLimits) -> Result<Self, PhotoError> {
        Self::decode_hashed(bytes, Digest::of(bytes), limits)
    }

    /// [`Photo::decode`] of bytes whose digest is known already.
    pub(crate) fn decode_hashed(
        bytes: &[u8],
        byte_digest: Digest,
        limits: &PhotoLimits,
    ) -> Result<Self, PhotoError> {
        Self::decode_by(bytes, byte_digest, limits, pixels::decode)
    }

    /// [`Photo::decode`] with the decoder as an argument, so that a test can give one that panics.
    fn decode_by<D>(
        bytes: &[u8],
        byte_digest: Digest,
        limits: &PhotoLimits,
        decode: D,
    ) -> Result<Self, PhotoError>
    where
        D: FnOnce(PhotoFormat, &[u8], &PhotoLimits) -> Result<RgbImage, PhotoError>,
    {
        let size = bytes.len() as u64;
        if size > limits.max_bytes {
            return Err(PhotoError::TooManyBytes { bytes: size, limit_bytes: limits.max_bytes });
        }
        let format = sniff::format_of(bytes)?;
        // Unwind safety: all that the decoder changes lives inside the closure and is dropped with it.
        let decoded = panic::catch_unwind(AssertUnwindSafe(|| decode(format, bytes, limits)));
        let image = decoded.unwrap_or_else(|payload| {
            Err(PhotoError::DecoderPanicked { format, detail: panic_text(payload.as_ref()) })
        })?;
        let (width, height) = (image.width().to_le_bytes(), image.height().to_le_bytes());
        let pixel_digest = Digest::of_parts(&[&width, &height, image.as_raw()]);
        Ok(Self { image, format, byte_digest, pixel_digest })
    }

    /// Width after turning, in pixels; at least 1.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.image.width()
    }

    /// Height after turning, in pixels; at least 1.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.image.height()
    }

    /// The samples, 3 a pixel: width x height x 3 bytes, row by row from the top, without padding.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        self.image.as_raw()
    }

    /// The pixels: upright sRGB.
    #[must_use]
    pub fn as_image(&self) -> &RgbImage {
        &self.image
    }

    /// The pixels without a copy.
    #[must_use]
    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// The file's format.
    #[must_use]
    pub fn format(&self) -> PhotoFormat {
        self.format
    }

    /// SHA-256 of the encoded file.
    #[must_use]
    pub fn byte_digest(&self) -> Digest {
        self.byte_digest
    }

    /// SHA-256 of width and height, each as 4 little-endian bytes, and then [`rgb`](Self::rgb): the same for
    /// all lossless ways to write the same pixels.
    #[must_use]
    pub fn pixel_digest(&self) -> Digest {
        self.pixel_digest
    }
}

/// Size and digests; pixels would fill the log.
impl fmt::Debug for Photo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Photo")
            .field("width_px", &self.width_px())
            .field("height_px", &self.height_px())
            .field("format", &self.format)
            .field("byte_digest", &self.byte_digest)
            .field("pixel_digest", &self.pixel_digest)
            .finish_non_exhaustive()
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_becomes_an_error() {
        let limits = PhotoLimits::default();
        let panics = |_, _: &[u8], _: &PhotoLimits| panic!("index {} out of bounds", 7);
        let error = Photo::decode_by(b"GIF89a", Digest::of(b"GIF89a"), &limits, panics).unwrap_err();
        assert_eq!(error.code(), "decoder_panicked");
        assert!(error.to_string().contains("gif"), "{error}");
        assert!(error.to_string().contains("index 7 out of bounds"), "{error}");
    }

    #[test]
    fn size_and_content_are_judged_before_the_decoder_runs() {
        let limits = PhotoLimits { max_bytes: 6, ..PhotoLimits::default() };
        let never = |_, _: &[u8], _: &PhotoLimits| unreachable!("the decoder was asked");
        let refused =
            |bytes: &[u8]| Photo::decode_by(bytes, Digest::of(bytes), &limits, never).unwrap_err().code();
        assert_eq!(refused(b"GIF89a."), "too_many_bytes");
        assert_eq!(refused(b"hello"), "not_a_picture");
        assert_eq!(refused(b""), "empty");
    }

    #[test]
    fn a_format_reads_the_same_in_text_and_json() {
        for format in
            [PhotoFormat::Jpeg, PhotoFormat::Png, PhotoFormat::WebP, PhotoFormat::Gif, PhotoFormat::Bmp]
        {
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
        }
    }
}
