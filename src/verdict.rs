//! Is one of the candidates the same picture? Pure: no I/O, no clock, no async.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::embed::Thresholds;
use crate::index::{Candidate, Candidates};
use crate::photo_id::PhotoId;
use crate::verify::{Doubt, Evidence, REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE, Sketch};

/// Why a stored picture was taken for the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The file is the same, byte for byte.
    SameBytes,
    /// The decoded pixels are the same, whatever the container.
    SamePixels,
    /// The pictures, laid over each other, agree; or, for a stored picture without a sketch, the embeddings are near
    /// enough.
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
    /// How sure the verifier is, 0..=1; 1 for equal bytes or pixels, `None` for a stored picture without a sketch.
    pub confidence: Option<f32>,
    /// What speaks against it, unless it is a hit.
    pub doubt: Option<Doubt>,
}

impl Match {
    /// Equal bytes or pixels leave no doubt.
    #[must_use]
    pub fn equal(photo_id: PhotoId, rule: Rule) -> Self {
        Self { photo_id, rule, score: 1.0, confidence: Some(1.0), doubt: None }
    }
}

/// What is known of one candidate beside its score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finding<'s> {
    /// `None` for a picture that was stored before there were sketches.
    pub sketch: Option<&'s Sketch>,
    /// `None` without a sketch, and for a candidate that others lie before.
    pub evidence: Option<Evidence>,
}

/// What the stored pictures say about a new one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is this one.
    Hit(Match),
    /// This one stands out, but not enough to answer with it.
    Review(Match),
    /// It is none of them. Carries the one that comes first all the same; `None` when nothing is stored.
    Miss { nearest: Option<Match> },
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

    /// The cosine from which on a candidate without a sketch is a hit.
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

    /// The line that decides about `matched`: on its confidence or, for a stored picture without a sketch, on its
    /// score.
    #[must_use]
    pub fn line_for(&self, matched: Option<&Match>) -> f32 {
        match matched {
            Some(Match { confidence: None, .. }) => self.thresholds.same_picture,
            _ => SAME_PICTURE_CONFIDENCE,
        }
    }

    /// Judges the nearest stored pictures, best first, each with what was found of it (in the same order; what is
    /// missing at the end has no sketch).
    #[must_use]
    pub fn judge(&self, candidates: &Candidates, findings: &[Finding<'_>]) -> Verdict {
        let finding = |place: usize| findings.get(place).copied().unwrap_or_default();
        let opinions: Vec<(f32, Match)> = candidates
            .iter()
            .enumerate()
            .map(|(place, candidate)| self.opinion(candidate, &finding(place)))
            .collect();
        let Some((_, nearest)) = opinions.first().copied() else {
            return Verdict::Miss { nearest: None };
        };
        let mut surest = 0;
        for (place, (sure, _)) in opinions.iter().enumerate() {
            if *sure > opinions[surest].0 {
                surest = place;
            }
        }
        let (sure, matched) = opinions[surest];
        if sure >= SAME_PICTURE_CONFIDENCE {
            let rival = |place: usize| {
                opinions[place].0 >= SAME_PICTURE_CONFIDENCE && are_rivals(&finding(surest), &finding(place))
            };
            if (0..opinions.len()).any(rival) {
                return Verdict::Review(Match { doubt: Some(Doubt::SeveralEqual), ..matched });
            }
            Verdict::Hit(Match { doubt: None, ..matched })
        } else if sure >= REVIEW_CONFIDENCE {
            Verdict::Review(matched)
        } else if nearest.score >= self.thresholds.review {
            Verdict::Review(nearest)
        } else {
            Verdict::Miss { nearest: Some(if sure > 0.0 { matched } else { nearest }) }
        }
    }

    /// Judges the stored pictures nearest to parts of a picture that as a whole was judged `whole`. That a part looks
    /// alike is no reason for a review: parts of different pictures often do. What can be laid over it is.
    #[must_use]
    pub fn judge_parts(&self, whole: Verdict, candidates: &Candidates, findings: &[Finding<'_>]) -> Verdict {
        let by_parts = self.judge(candidates, findings);
        let sure = |verdict: &Verdict| match verdict {
            Verdict::Hit(matched) | Verdict::Review(matched) => matched.confidence,
            Verdict::Miss { .. } => None,
        };
        match sure(&by_parts) {
            Some(confidence) if confidence >= REVIEW_CONFIDENCE && Some(confidence) > sure(&whole) => {
                by_parts
            }
            _ => whole,
        }
    }

    /// How sure it is that the candidate is the picture, and what would be said of it.
    fn opinion(&self, candidate: &Candidate, finding: &Finding<'_>) -> (f32, Match) {
        let confidence = finding.sketch.map(|_| finding.evidence.map_or(0.0, |e| e.confidence()));
        let doubt = match finding {
            Finding { sketch: None, .. } => Doubt::NoSketch,
            Finding { evidence: None, .. } => Doubt::ShapesDiffer,
            Finding { evidence: Some(evidence), .. } => evidence.doubt(),
        };
        // Nearness alone is enough or it is not; whatever is sure by its sketch goes before it.
        let near = candidate.score >= self.thresholds.same_picture;
        let sure = confidence.unwrap_or(if near { SAME_PICTURE_CONFIDENCE } else { 0.0 });
        let matched = Match {
            photo_id: candidate.photo_id,
            rule: Rule::SamePicture,
            score: candidate.score,
            confidence,
            doubt: Some(doubt),
        };
        (sure, matched)
    }
}

/// Whether two stored pictures lie over the query in the same way and yet differ: then what the query shows is what
/// both have in common, and says nothing about which of them it is.
fn are_rivals(one: &Finding<'_>, other: &Finding<'_>) -> bool {
    let (Some(a), Some(b)) = (one.evidence, other.evidence) else { return false };
    let same_place = (a.scale - b.scale).abs() < 0.05
        && (a.overlap_stored - b.overlap_stored).abs() < 0.05
        && (a.overlap_query - b.overlap_query).abs() < 0.05;
    same_place && one.sketch.zip(other.sketch).is_some_and(|(a, b)| a.differs_from(b))
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
