//! What is light and what is dark in a picture, in 64 bits.

/// The perceptual hash of a picture: one that is compressed, resized or toned anew has nearly the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerceptualHash {
    /// A bit for each frequency, row by row.
    pub bits: u64,
    /// Width and height of the thumbnail that it was made of, in pixels; the longer side is 48.
    pub shape: [u8; 2],
}

/// Thumbnails of one picture in two sizes differ by so many pixels in width or height at the most.
const SHAPE_TOLERANCE_PX: u8 = 1;

impl PerceptualHash {
    /// How many bits differ, 0..=64; `None` for pictures of different shapes.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Option<u32> {
        let like = |side: usize| self.shape[side].abs_diff(other.shape[side]) <= SHAPE_TOLERANCE_PX;
        (like(0) && like(1)).then(|| (self.bits ^ other.bits).count_ones())
    }
}
