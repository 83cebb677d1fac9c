//! Is one of the candidates the same picture? Pure: no I/O, no clock, no async.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::embed::Thresholds;
use crate::index::Candidates;
use crate::photo_id::PhotoId;

/// Why a stored picture was taken for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The file is the same, byte for byte.
    SameBytes,
    /// The decoded pixels are the same, whatever the container.
    SamePixels,
    /// The embeddings are near enough.
    SamePicture,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameBytes => "same_bytes",
            Self::SamePixels => "same_pixels",
            Self::SamePicture => "same_picture",
        })
    }
}

/// A stored picture and how it was recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    pub photo_id: PhotoId,
    pub rule: Rule,
    /// Cosine of the two embeddings, -1..=1; 1 for equal bytes or pixels.
    pub score: f32,
}

/// What the stored pictures say about a new one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is this one.
    Hit(Match),
    /// This one stands out, but not enough to answer with it.
    Review(Match),
    /// It is none of them. Carries the best score there was.
    Miss { best_score: Option<f32> },
}

/// Where the lines between hit, review and miss are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    thresholds: Thresholds,
}

impl Policy {
    /// `thresholds` come from the model's manifest; see its card for how they were measured.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds }
    }

    /// The cosine from which on a candidate is a hit.
    #[must_use]
    pub fn hit_threshold(&self) -> f32 {
        self.thresholds.same_picture
    }

    /// The share of unseen pictures that the threshold was measured to let through, 0..=1; `None` when the model's
    /// manifest states none.
    #[must_use]
    pub fn max_false_hit(&self) -> Option<f64> {
        self.thresholds.max_false_hit
    }

    /// Judges the nearest stored pictures, best first.
    #[must_use]
    pub fn judge(&self, candidates: &Candidates) -> Verdict {
        let Some(best) = candidates.best() else {
            return Verdict::Miss { best_score: None };
        };
        let matched = Match { photo_id: best.photo_id, rule: Rule::SamePicture, score: best.score };
        if best.score >= self.thresholds.same_picture {
            Verdict::Hit(matched)
        } else if best.score >= self.thresholds.review {
            Verdict::Review(matched)
        } else {
            Verdict::Miss { best_score: Some(best.score) }
        }
    }
}

/// A cosine as the integer that people read: 0 (nothing alike, or worse) to 100 (the same).
#[must_use]
pub fn similarity_percent(score: f32) -> u8 {
    let percent = (score.clamp(0.0, 1.0) * 100.0).round();
    // In 0..=100 by the clamp.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let percent = percent as u8;
    percent
}
