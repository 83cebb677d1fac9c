//! How big a picture may be, asked before any pixel is allocated.

use super::PhotoError;

const MIB: u64 = 1024 * 1024;

/// What one picture may cost. All bounds are inclusive and are checked against the header, before its pixels
/// are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhotoLimits {
    /// Size of the encoded file, in bytes. Default 32 MiB.
    pub max_bytes: u64,
    /// Width, and height, in pixels. Default 16 384.
    pub max_side_px: u32,
    /// Width times height, in pixels. Default 50 million.
    pub max_pixels: u64,
    /// What the pixels may take at the decoder's peak, in bytes, besides the encoded file. Compressed
    /// metadata may unpack to an eighth of it on top. Default 512 MiB.
    pub max_memory_bytes: u64,
}

impl Default for PhotoLimits {
    fn default() -> Self {
        Self { max_bytes: 32 * MIB, max_side_px: 16_384, max_pixels: 50_000_000, max_memory_bytes: 512 * MIB }
    }
}

impl PhotoLimits {
    /// Lets a picture of this size through, and returns its number of pixels.
    pub(super) fn admit(&self, width_px: u32, height_px: u32) -> Result<u64, PhotoError> {
        let pixels = u64::from(width_px) * u64::from(height_px);
        if width_px > self.max_side_px || height_px > self.max_side_px || pixels > self.max_pixels {
            let Self { max_side_px, max_pixels, .. } = *self;
            return Err(PhotoError::TooManyPixels { width_px, height_px, max_side_px, max_pixels });
        }
        Ok(pixels)
    }

    /// Lets a decode through that holds `peak_bytes` at its peak.
    pub(super) fn afford(&self, peak_bytes: u64) -> Result<(), PhotoError> {
        if peak_bytes > self.max_memory_bytes {
            let detail = format!("about {} MiB", peak_bytes.div_ceil(MIB));
            return Err(PhotoError::TooMuchMemory { detail, limit_bytes: self.max_memory_bytes });
        }
        Ok(())
    }

    /// What a PNG's compressed metadata may unpack to, in bytes.
    pub(super) fn max_metadata_bytes(&self) -> u64 {
        self.max_memory_bytes / 8
    }

    /// The same bounds in the terms of the `image` crate.
    pub(super) fn for_image_crate(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_image_width = Some(self.max_side_px);
        limits.max_image_height = Some(self.max_side_px);
        limits.max_alloc = Some(self.max_memory_bytes);
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_at_the_limit_passes_and_one_pixel_more_does_not() {
        let limits = PhotoLimits { max_side_px: 100, max_pixels: 5_000, ..PhotoLimits::default() };
        assert_eq!(limits.admit(100, 50).unwrap(), 5_000);
        assert!(matches!(limits.admit(100, 51), Err(PhotoError::TooManyPixels { .. })));
        assert!(matches!(limits.admit(101, 1), Err(PhotoError::TooManyPixels { .. })));
        assert!(matches!(limits.admit(u32::MAX, u32::MAX), Err(PhotoError::TooManyPixels { .. })));
    }

    #[test]
    fn memory_is_refused_in_mebibytes() {
        let limits = PhotoLimits { max_memory_bytes: MIB, ..PhotoLimits::default() };
        assert!(limits.afford(MIB).is_ok());
        let refusal = limits.afford(MIB + 1).unwrap_err().to_string();
        assert!(refusal.contains("about 2 MiB"), "{refusal}");
    }
}
