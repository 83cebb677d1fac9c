//! Is one of the candidates the same picture? Pure: no I/O, no clock, no async.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calibration::OperatingPoint;
use crate::index::Candidate;
use crate::photo_id::PhotoId;
use crate::vector::Thresholds;
use crate::verify::{Doubt, Evidence, OTHER_VARIANT_PROBABILITY, REVIEW_CONFIDENCE, Sketch};

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
    /// A person has said that the picture, recognised by one of the other rules, is the same as this one.
    Remembered,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameBytes => "same_bytes",
            Self::SamePixels => "same_pixels",
            Self::SamePicture => "same_picture",
            Self::Remembered => "remembered",
        })
    }
}

/// A stored picture and how it was recognised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The stored photo.
    pub photo_id: PhotoId,
    /// How it was recognised.
    pub rule: Rule,
    /// Cosine of the two embeddings, -1..=1; 1 for equal bytes or pixels.
    pub score: f32,
    /// How sure the verifier is, 0..=1; 1 for equal bytes or pixels, `None` for a stored picture without a sketch.
    pub confidence: Option<f32>,
    /// What speaks against it, unless it is a hit.
    pub doubt: Option<Doubt>,
    /// What was measured where the two lie over each other; `None` for equal bytes or pixels, and where nothing was
    /// measured.
    pub evidence: Option<Evidence>,
    /// With [`Doubt::SeveralEqual`], the first other stored pictures that agree as well.
    pub rivals: [Option<PhotoId>; MAX_RIVALS],
}

/// So many rivals are named.
pub const MAX_RIVALS: usize = 4;

impl Match {
    /// Equal bytes or pixels leave no doubt.
    #[must_use]
    pub fn equal(photo_id: PhotoId, rule: Rule) -> Self {
        let (doubt, evidence, rivals) = Default::default();
        Self { photo_id, rule, score: 1.0, confidence: Some(1.0), doubt, evidence, rivals }
    }
}

/// One of the nearest stored pictures, and what was found of it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What the index found.
    pub candidate: Candidate,
    /// `None` for a picture that was stored before there were sketches.
    pub sketch: Option<Sketch>,
    /// `None` without a sketch, and for a candidate that others lie before.
    pub evidence: Option<Evidence>,
}

impl From<Candidate> for Finding {
    /// Known by its score alone.
    fn from(candidate: Candidate) -> Self {
        Self { candidate, sketch: None, evidence: None }
    }
}

/// What the stored pictures say about a new one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is this one.
    Hit(Match),
    /// This one stands out, but not enough to answer with it.
    Review(Match),
    /// It is none of them.
    Miss {
        /// The one that comes first all the same; `None` when nothing is stored.
        nearest: Option<Match>,
    },
}

/// What a person has said of two stored pictures: that they are the same (`true`), that they are not, or nothing.
pub type Said<'s> = &'s dyn Fn(PhotoId, PhotoId) -> Option<bool>;

/// Where the lines between hit, review and miss are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    thresholds: Thresholds,
    line: OperatingPoint,
}

impl Policy {
    /// `thresholds` come from the model's manifest (see its card for how they were measured), `line` from a calibration.
    #[must_use]
    pub fn new(thresholds: Thresholds, line: OperatingPoint) -> Self {
        Self { thresholds, line }
    }

    /// The cosine from which on a candidate without a sketch is a hit.
    #[must_use]
    pub fn hit_threshold(&self) -> f32 {
        self.thresholds.same_picture
    }

    /// From which confidence on a candidate with a sketch is a hit, and what that promises.
    #[must_use]
    pub fn line(&self) -> OperatingPoint {
        self.line
    }

    /// The line that decides about `matched`: on its confidence or, for a stored picture without a sketch, on its
    /// score; and the share of unseen pictures, 0..=1, that it is known to let through at most.
    #[must_use]
    pub fn line_for(&self, matched: Option<&Match>) -> (f32, Option<f64>) {
        match matched {
            Some(Match { confidence: None, .. }) => {
                (self.thresholds.same_picture, self.thresholds.max_false_hit)
            }
            _ => (self.line.confidence, self.line.max_false_hit),
        }
    }

    /// Judges the nearest stored pictures, best first. What a person has `said` outranks the scores: pictures that are
    /// the same are no rivals, and one that was told apart from another is not answered with where that other is nearer.
    #[must_use]
    pub fn judge(&self, findings: &[Finding], said: Said<'_>) -> Verdict {
        let opinions: Vec<(f32, Match)> = findings.iter().map(|finding| self.opinion(finding)).collect();
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
        let line = self.line.confidence;
        if sure >= line {
            let others = || opinions.iter().enumerate().map(|(place, (sure, m))| (place, *sure, m));
            let told_apart = |(_, other_sure, other): (usize, f32, &Match)| {
                other_sure >= REVIEW_CONFIDENCE
                    && other.score >= matched.score
                    && said(matched.photo_id, other.photo_id) == Some(false)
            };
            let rival = |(place, other_sure, other): (usize, f32, &Match)| {
                other_sure >= line
                    && said(matched.photo_id, other.photo_id) != Some(true)
                    && are_rivals(&findings[surest], &findings[place])
            };
            if others().any(told_apart) {
                return Verdict::Review(Match { doubt: Some(Doubt::ToldApart), ..matched });
            }
            let mut rivals = others().filter(|other| rival(*other)).map(|(_, _, other)| other.photo_id);
            let rivals = std::array::from_fn(|_| rivals.next());
            if rivals[0].is_some() {
                return Verdict::Review(Match { doubt: Some(Doubt::SeveralEqual), rivals, ..matched });
            }
            Verdict::Hit(Match { doubt: None, ..matched })
        } else if sure >= REVIEW_CONFIDENCE {
            Verdict::Review(matched)
        } else if let Some(variant) = likeliest_variant(&opinions) {
            // No answer, but worth showing: the same goods in another colour or with another print.
            Verdict::Review(variant)
        } else if nearest.score >= self.thresholds.review {
            Verdict::Review(nearest)
        } else {
            Verdict::Miss { nearest: Some(if sure > 0.0 { matched } else { nearest }) }
        }
    }

    /// Judges the stored pictures nearest to parts of a picture that as a whole was judged `whole`. That a part looks
    /// alike is no reason for a review: parts of different pictures often do. What can be laid over it is.
    #[must_use]
    pub fn judge_parts(&self, whole: Verdict, findings: &[Finding], said: Said<'_>) -> Verdict {
        let by_parts = self.judge(findings, said);
        let sure = |verdict: &Verdict| match verdict {
            Verdict::Hit(matched) | Verdict::Review(matched) => matched.confidence,
            Verdict::Miss { .. } => None,
        };
        match sure(&by_parts) {
            Some(confidence) if confidence >= REVIEW_CONFIDENCE && Some(confidence) > sure(&whole) => {
                by_parts
            }
            _ => match (whole, findings.first()) {
                (Verdict::Miss { nearest }, Some(best))
                    if nearest.is_none_or(|n| n.score < best.candidate.score) =>
                {
                    Verdict::Miss { nearest: Some(self.opinion(best).1) }
                }
                _ => whole,
            },
        }
    }

    /// How sure it is that the candidate is the picture, and what would be said of it.
    fn opinion(&self, finding: &Finding) -> (f32, Match) {
        let candidate = &finding.candidate;
        let confidence = finding.sketch.as_ref().map(|_| finding.evidence.map_or(0.0, |e| e.confidence()));
        let doubt = match finding {
            Finding { sketch: None, .. } => Doubt::NoSketch,
            Finding { evidence: None, .. } => Doubt::ShapesDiffer,
            Finding { evidence: Some(evidence), .. } => evidence.doubt(),
        };
        // Nearness alone is enough or it is not; whatever is sure by its sketch goes before it.
        let promised = self.thresholds.max_false_hit.zip(self.line.max_false_hit);
        let near = candidate.score >= self.thresholds.same_picture
            && promised.is_none_or(|(by_nearness, asked)| by_nearness <= asked);
        let sure = confidence.unwrap_or(if near { self.line.confidence } else { 0.0 });
        let matched = Match {
            photo_id: candidate.photo_id,
            rule: Rule::SamePicture,
            score: candidate.score,
            confidence,
            doubt: Some(doubt),
            evidence: finding.evidence,
            rivals: [None; MAX_RIVALS],
        };
        (sure, matched)
    }
}

/// The candidate that most likely shows the same goods in another variant, if one does.
fn likeliest_variant(opinions: &[(f32, Match)]) -> Option<Match> {
    let probability = |matched: &Match| matched.evidence.map_or(0.0, |evidence| evidence.other_variant());
    let variants = opinions.iter().map(|(_, matched)| matched);
    let variants = variants.filter(|matched| probability(matched) >= OTHER_VARIANT_PROBABILITY);
    variants.max_by(|a, b| probability(a).total_cmp(&probability(b))).copied()
}

/// Whether two stored pictures lie over the query in the same way and yet differ: then what the query shows is what
/// both have in common, and says nothing about which of them it is.
fn are_rivals(one: &Finding, other: &Finding) -> bool {
    let (Some(a), Some(b)) = (one.evidence, other.evidence) else { return false };
    let same_place = (a.scale - b.scale).abs() < 0.05
        && (a.overlap_stored - b.overlap_stored).abs() < 0.05
        && (a.overlap_query - b.overlap_query).abs() < 0.05;
    same_place && one.sketch.as_ref().zip(other.sketch.as_ref()).is_some_and(|(a, b)| a.differs_from(b))
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
