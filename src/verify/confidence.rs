//! How sure is it? A fitted function of the evidence, and words for what stands against it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::evidence::Evidence;
use super::weights::TREES;

/// From this confidence on, a picture is taken for the same where no calibration says otherwise. Of the fitting queries
/// whose original is not stored, half of them look-alikes, 1 % reach 0.8397, each half judged by trees fitted on the other
/// (`models/verifier.py report`, docs/benchmarks/verifier-fit.md).
pub const SAME_PICTURE_CONFIDENCE: f32 = 0.84;

/// From this confidence on, a picture stands out.
pub const REVIEW_CONFIDENCE: f32 = 0.3;

/// A tree of depth 4: fifteen questions (measurement, threshold), the children of `i` at `2 i + 1` (not above the
/// threshold) and `2 i + 2`, and sixteen answers.
pub(super) type Tree = ([(u8, f32); 15], [f32; 16]);

/// Names the fitted weights, in hexadecimal: confidences of other weights are other numbers.
#[must_use]
pub fn weights_digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| {
        let bytes = Sha256::digest(include_bytes!("weights.rs"));
        bytes.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    });
    &DIGEST
}

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
        let sum: f32 = TREES.iter().map(|tree| answer(tree, &values)).sum();
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

fn answer(tree: &Tree, values: &[f32; Evidence::NAMES.len()]) -> f32 {
    let (questions, answers) = tree;
    let mut at = 0;
    while let Some((measurement, threshold)) = questions.get(at) {
        at = 2 * at + 1 + usize::from(values[usize::from(*measurement)] > *threshold);
    }
    answers[at - questions.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tree_asks_for_a_measurement_that_exists() {
        for (questions, answers) in &TREES {
            assert!(questions.iter().all(|(m, _)| usize::from(*m) < Evidence::NAMES.len()));
            assert!(answers.iter().all(|a| a.is_finite()));
        }
    }

    #[test]
    fn a_tree_is_read_from_the_root_to_a_leaf() {
        // In the order of levels: 8, then 4 and 12, then 2, 6, 10 and 14, then the odd numbers.
        let thresholds = [8u8, 4, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15];
        let leaves: [u8; 16] = std::array::from_fn(|leaf| leaf as u8);
        let tree: Tree = (thresholds.map(|t| (0, f32::from(t))), leaves.map(f32::from));
        let mut values = [0.0; Evidence::NAMES.len()];
        for leaf in leaves {
            values[0] = f32::from(leaf) + 0.5;
            assert!((answer(&tree, &values) - f32::from(leaf)).abs() < 1e-6);
        }
    }

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
