//! Why a picture could not be had, and what to do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use image::ImageError;

use super::PhotoFormat;

/// Why bytes did not become a [`Photo`](super::Photo), or a file did not become bytes.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum PhotoError {
    #[error("the picture is empty (0 bytes): fetch or save it again")]
    Empty,

    #[error("the picture has {bytes} bytes, more than the {limit_bytes} allowed: save it smaller")]
    TooManyBytes { bytes: u64, limit_bytes: u64 },

    #[error("this is {found}, not a picture: give a JPEG, PNG, WebP, GIF or BMP file")]
    NotAPicture { found: &'static str },

    #[error("pictures in {found} are not supported: convert it to JPEG or PNG first")]
    UnsupportedFormat { found: &'static str },

    #[error("this kind of {format} is not supported ({detail}): save it again as an ordinary JPEG or PNG")]
    UnsupportedFeature { format: PhotoFormat, detail: String },

    #[error(
        "the picture is {width_px} x {height_px} pixels, more than {max_side_px} a side or {max_pixels} in all: \
         scale it down"
    )]
    TooManyPixels { width_px: u32, height_px: u32, max_side_px: u32, max_pixels: u64 },

    #[error(
        "decoding the picture takes too much memory ({detail}; {limit_bytes} bytes are allowed): \
         scale it down"
    )]
    TooMuchMemory { detail: String, limit_bytes: u64 },

    #[error("the {format} ends too early ({detail}): fetch or save it again")]
    Truncated { format: PhotoFormat, detail: String },

    #[error("the {format} is damaged ({detail}): fetch or save it again")]
    Corrupt { format: PhotoFormat, detail: String },

    #[error(
        "the {format} decoder failed on this picture ({detail}): save it again as PNG, and report the picture"
    )]
    DecoderPanicked { format: PhotoFormat, detail: String },

    #[error("{} has {bytes} bytes, more than the {limit_bytes} allowed: save it smaller",
        path.display())]
    FileTooLarge { path: PathBuf, bytes: u64, limit_bytes: u64 },

    #[error("{} is {found}, not a file: give the path of a picture file", path.display())]
    NotAFile { path: PathBuf, found: &'static str },

    #[error("cannot read {}: {source}: check that the file exists and may be read", path.display())]
    Io { path: PathBuf, r#source: io::Error },
}

impl PhotoError {
    pub(super) fn truncated(format: PhotoFormat, detail: impl Into<String>) -> Self {
        Self::Truncated { format, detail: detail.into() }
    }

    pub(super) fn corrupt(format: PhotoFormat, detail: impl Into<String>) -> Self {
        Self::Corrupt { format, detail: detail.into() }
    }

    /// What an error of the `image` crate means.
    pub(super) fn from_image(format: PhotoFormat, limit_bytes: u64, error: &ImageError) -> Self {
        let detail = error.to_string();
        match error {
            _ if ends_early(error) => Self::Truncated { format, detail },
            ImageError::Limits(_) => Self::TooMuchMemory { detail, limit_bytes },
            ImageError::Unsupported(_) => Self::UnsupportedFeature { format, detail },
            _ => Self::Corrupt { format, detail },
        }
    }
}

/// Whether the decoder ran out of bytes. It reads from memory, so any I/O error is an early end; each decoder
/// hides it in types of its own, and the GIF decoder has a variant that shows only in its text.
fn ends_early(error: &ImageError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if current.is::<io::Error>() || matches!(current.downcast_ref(), Some(ImageError::IoError(_))) {
            return true;
        }
        cause = current.source();
    }
    error.to_string().ends_with("Unexpected End of File")
}
