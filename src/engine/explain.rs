//! Why did the engine answer as it did? The candidate that decided, and all it was weighed by.

use serde::Serialize;

use super::{CalibratedOn, Seen};
use crate::photo_id::PhotoId;
use crate::verdict::{Match, Rule, Verdict};
use crate::verify::{Doubt, Evidence};

/// What a verdict rests on. Everything is of the candidate that came first, even where it was not good enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The candidate; `null` when nothing is stored.
    pub photo_id: Option<PhotoId>,
    /// The rule that decided for it; `null` for a miss.
    pub rule: Option<Rule>,
    /// Where the answer is another picture's because somebody said they are the same: the one that was recognised.
    pub recognised: Option<PhotoId>,
    /// Cosine of the embeddings, -1..=1: the score before normalisation.
    pub score: Option<f32>,
    /// What verifier and evidence make of it, 0..=1: the score after normalisation. `null` without a sketch.
    pub confidence: Option<f32>,
    pub geometry: Option<Geometry>,
    /// The share of the stored picture's colours, 0..=1, that is found in its place.
    pub colour_agreement: Option<f32>,
    /// The line that the candidate had to reach: of its confidence or, without a sketch, of its score.
    pub threshold: f32,
    /// What that line promises; see [`super::Answer::max_false_hit`].
    pub max_false_hit: Option<f64>,
    pub calibrated_on: CalibratedOn,
    /// What speaks against it, unless it is a hit.
    pub doubt: Option<Doubt>,
}

/// How the stored picture lies in the one in question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Geometry {
    /// Its long side, in long sides of the picture in question.
    pub scale: f32,
    /// Either way, 0..=180.
    pub turn_degrees: f32,
    pub mirrored: bool,
    /// The share of the stored picture that is in sight, 0..=1.
    pub overlap_stored: f32,
    /// The share of the picture in question that it covers, 0..=1.
    pub overlap_query: f32,
    /// Pairs of keypoints that agree.
    pub keypoints: u32,
}

impl From<&Evidence> for Geometry {
    fn from(evidence: &Evidence) -> Self {
        // A count of at most some dozens that was measured as a float like all else.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let keypoints = evidence.inliers as u32;
        Self {
            scale: evidence.scale,
            turn_degrees: evidence.turn_degrees,
            mirrored: evidence.mirrored > 0.5,
            overlap_stored: evidence.overlap_stored,
            overlap_query: evidence.overlap_query,
            keypoints,
        }
    }
}

impl Explanation {
    pub(super) fn of(seen: &Seen, calibrated_on: CalibratedOn) -> Self {
        let best: Option<Match> = seen.best();
        let evidence = best.as_ref().and_then(|best| best.evidence);
        let (threshold, max_false_hit) = seen.policy.line_for(best.as_ref());
        let decided = !matches!(seen.verdict, Verdict::Miss { .. });
        Self {
            photo_id: best.map(|best| best.photo_id),
            rule: best.filter(|_| decided).map(|best| best.rule),
            recognised: None,
            score: best.map(|best| best.score),
            confidence: best.and_then(|best| best.confidence),
            geometry: evidence.as_ref().map(Geometry::from),
            colour_agreement: evidence.map(|evidence| evidence.colour_mean_share),
            threshold,
            max_false_hit,
            calibrated_on,
            doubt: best.and_then(|best| best.doubt),
        }
    }
}
