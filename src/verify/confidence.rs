//! How sure is it? A fitted function of the evidence, and words for what stands against it.

use serde::Serialize;

use super::evidence::Evidence;
use super::trees::{Trees, answer};

/// From this confidence on, a picture is taken for the same where no calibration says otherwise. Of the fitting queries
/// whose original is not stored, half of them look-alikes, 1 % reach 0.8397, each half judged by trees fitted on the other
/// (`models/verifier.py report`, docs/benchmarks/verifier-fit.md).
pub const SAME_PICTURE_CONFIDENCE: f32 = 0.84;

/// From this confidence on, a picture stands out.
pub const REVIEW_CONFIDENCE: f32 = 0.3;

/// Why a picture that stands out was not taken for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Doubt {
    /// Too little of the stored picture is in sight, or too little shows in what is.
    TooLittleOverlap,
    /// The shapes agree; some colour does not.
    ColoursDiffer,
    /// The shapes do not agree.
    ShapesDiffer,
    /// Several stored pictures that differ among themselves agree equally well.
    SeveralEqual,
    /// A person has said that it is not the same as another stored picture, which this one resembles as well.
    ToldApart,
    /// The stored picture has no sketch, so that only the embeddings speak, and not clearly enough.
    NoSketch,
    /// Nothing stands out, but all of it together falls short.
    Uncertain,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLittleOverlap => "too_little_overlap",
            Self::ColoursDiffer => "colours_differ",
            Self::ShapesDiffer => "shapes_differ",
            Self::SeveralEqual => "several_equal",
            Self::ToldApart => "told_apart",
            Self::NoSketch => "no_sketch",
            Self::Uncertain => "uncertain",
        })
    }
}

impl Evidence {
    /// How sure it is that the pictures are the same, 0..=1: boosted trees, fitted by `models/verifier.py` so that
    /// each measurement can only speak for what it means (more corners that agree never lower the confidence).
    #[must_use]
    pub fn confidence(&self) -> f32 {
        let values = self.values();
        let sum: f32 = Trees::shipped().all.iter().map(|tree| answer(tree, &values)).sum();
        1.0 / (1.0 + (-sum).exp())
    }

    /// What stands against the pictures being the same, most telling first.
    #[must_use]
    pub fn doubt(&self) -> Doubt {
        if self.slopes_seen < 0.3 || self.textured < 6.0 {
            Doubt::TooLittleOverlap
        } else if self.likeness_trimmed < 0.85 || self.slopes < 0.6 {
            Doubt::ShapesDiffer
        } else if self.colour_worst_share < 0.5 || self.bound_chroma_90 > 6.0 || self.raw_chroma_90 > 10.0 {
            Doubt::ColoursDiffer
        } else {
            Doubt::Uncertain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_corners_that_agree_never_lower_the_confidence() {
        let mut evidence =
            Evidence { cosine: 0.8, likeness: 0.9, likeness_trimmed: 0.95, ..Evidence::default() };
        let mut last = evidence.confidence();
        for inliers in 1u8..72 {
            evidence.inliers = f32::from(inliers);
            let now = evidence.confidence();
            assert!(now >= last, "{inliers} corners: {now} after {last}");
            last = now;
        }
    }
}
