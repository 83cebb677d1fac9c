//! Why did the engine answer as it did? The candidate that decided, and all it was weighed by.

use serde::{Serialize, Serializer};

use super::CalibratedOn;
use crate::calibration::Bounds;
use crate::photo_id::PhotoId;
use crate::verdict::{Match, Policy, Rule, Verdict};
use crate::verify::{Doubt, Evidence};

/// What a verdict rests on. Everything is of the candidate that came first, even where it was not good enough.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    pub(super) verdict: Verdict,
    /// The thresholds when the verdict was reached.
    pub(super) policy: Policy,
    pub(super) calibrated_on: CalibratedOn,
    /// The photo whose answer was given, where that is another than the recognised one.
    pub(super) remembered: Option<PhotoId>,
}

/// How the stored picture lies in the one in question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Geometry {
    /// Its long side, in long sides of the picture in question.
    pub scale: f32,
    /// Either way, 0..=180.
    pub turn_degrees: f32,
    /// Left and right are exchanged.
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
    /// The candidate that came first; `None` when nothing is stored.
    #[must_use]
    pub fn best(&self) -> Option<Match> {
        match self.verdict {
            Verdict::Hit(matched) | Verdict::Review(matched) => Some(matched),
            Verdict::Miss { nearest } => nearest,
        }
    }

    /// The candidate, unless it was not good enough even for a review.
    pub(super) fn matched(&self) -> Option<Match> {
        self.best().filter(|_| !matches!(self.verdict, Verdict::Miss { .. }))
    }

    pub(super) fn threshold_for_the_match(&self) -> (f32, Option<f64>) {
        self.policy.threshold_for(self.matched().as_ref())
    }

    /// The candidate or, where a person has said that another one is the same, the one whose answer was given.
    #[must_use]
    pub fn photo_id(&self) -> Option<PhotoId> {
        self.remembered.or_else(|| self.best().map(|best| best.photo_id))
    }

    /// The rule that decided for it; `None` for a miss.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        let rule = self.matched().map(|matched| matched.rule);
        if self.remembered.is_some() { Some(Rule::Remembered) } else { rule }
    }

    /// Where the answer is another picture's because a person said they are the same: the one that was recognised.
    #[must_use]
    pub fn recognised(&self) -> Option<PhotoId> {
        self.remembered.and(self.best()).map(|best| best.photo_id)
    }

    /// Cosine of the embeddings, -1..=1: the score before normalisation.
    #[must_use]
    pub fn score(&self) -> Option<f32> {
        self.best().map(|best| best.score)
    }

    /// What verifier and evidence make of it, 0..=1: the score after normalisation. `None` without a sketch.
    #[must_use]
    pub fn confidence(&self) -> Option<f32> {
        self.best().and_then(|best| best.confidence)
    }

    /// How it lies in the picture in question, if the verifier could lay it over.
    #[must_use]
    pub fn geometry(&self) -> Option<Geometry> {
        self.best().and_then(|best| best.evidence).as_ref().map(Geometry::from)
    }

    /// The share of the places in sight, 0..=1, that have the stored picture's colour.
    #[must_use]
    pub fn colour_agreement(&self) -> Option<f32> {
        self.best().and_then(|best| best.evidence).map(|evidence| evidence.colour_agreement)
    }

    /// The threshold that the candidate had to reach: of its confidence or, without a sketch, of its score.
    #[must_use]
    pub fn threshold(&self) -> f32 {
        self.policy.threshold_for(self.best().as_ref()).0
    }

    /// What that threshold promises; see [`super::Answer::max_false_hit`].
    #[must_use]
    pub fn max_false_hit(&self) -> Option<f64> {
        self.policy.threshold_for(self.best().as_ref()).1
    }

    /// The promise by kinds of searches; `None` where nothing is calibrated, and for a stored picture without a sketch.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        let point = self.policy.operating_point();
        point.bounds.filter(|_| self.max_false_hit() == point.max_false_hit)
    }

    /// Whose calibration the threshold follows from.
    #[must_use]
    pub fn calibrated_on(&self) -> CalibratedOn {
        self.calibrated_on
    }

    /// What speaks against it, unless it is a hit.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.best().and_then(|best| best.doubt)
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The fields of the JSON object, in their order.
        #[derive(Serialize)]
        struct Json {
            photo_id: Option<PhotoId>,
            rule: Option<Rule>,
            recognised: Option<PhotoId>,
            score: Option<f32>,
            confidence: Option<f32>,
            geometry: Option<Geometry>,
            colour_agreement: Option<f32>,
            threshold: f32,
            max_false_hit: Option<f64>,
            bounds: Option<Bounds>,
            calibrated_on: CalibratedOn,
            doubt: Option<Doubt>,
        }
        let json = Json {
            photo_id: self.photo_id(),
            rule: self.rule(),
            recognised: self.recognised(),
            score: self.score(),
            confidence: self.confidence(),
            geometry: self.geometry(),
            colour_agreement: self.colour_agreement(),
            threshold: self.threshold(),
            max_false_hit: self.max_false_hit(),
            bounds: self.bounds(),
            calibrated_on: self.calibrated_on(),
            doubt: self.doubt(),
        };
        json.serialize(serializer)
    }
}
