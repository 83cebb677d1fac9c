//! Is one of the candidates the same picture? Pure: no I/O, no clock, no async.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calibration::OperatingPoint;
use crate::index::Candidate;
use crate::photo_id::PhotoId;
use crate::vector::Thresholds;
use crate::verify::{
    Doubt, Evidence, OTHER_VARIANT_PROBABILITY, REVIEW_CONFIDENCE, SHAPES_AGREE_INLIERS, Sketch,
};

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
    /// What else is needed to judge by another threshold.
    pub contest: Contest,
}

/// What decides about a picture that stands out, besides its confidence and the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contest {
    /// What speaks against it below the threshold.
    pub doubt: Option<Doubt>,
    /// How sure it is of the surest other one that differs and lies over the picture in the same way, 0..=1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival_confidence: Option<f32>,
    /// A person has told it apart from one that is at least as near and stands out, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told_apart: bool,
    /// It was found by a part of the picture. Else parts were looked at only where the whole was no hit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_parts: bool,
    /// Then, how sure it was of the surest one by the whole picture, where that stood out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_confidence: Option<f32>,
}

/// What another threshold makes of a picture that stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejudged {
    /// It would be a hit.
    Hit,
    /// It would stand out, with what speaks against it.
    Review(Option<Doubt>),
    /// It rests on what was not looked at: parts of the picture, or the whole of it.
    Unknown,
}

impl Contest {
    /// What a policy with this `threshold` says of a picture with this `confidence`, of at least [`REVIEW_CONFIDENCE`], which
    /// was a hit by another threshold or was not; `was_told_apart` if that was because of a person's word.
    #[must_use]
    pub fn rejudged(&self, threshold: f32, confidence: f32, was_hit: bool, was_told_apart: bool) -> Rejudged {
        let rejudged = match () {
            () if confidence < threshold => Rejudged::Review(self.doubt),
            () if self.told_apart => Rejudged::Review(Some(Doubt::ToldApart)),
            () if self.rival_confidence.is_some_and(|rival| rival >= threshold) => {
                Rejudged::Review(Some(Doubt::SeveralEqual))
            }
            () => Rejudged::Hit,
        };
        // By the whole picture it would be another one's, or a person's word would have come before its parts.
        let whole_decides = self.by_parts && self.whole_confidence.is_some_and(|whole| whole >= threshold);
        // A hit by the whole, and a person's word, leave the parts unseen.
        let parts_unseen = !self.by_parts && (was_hit || was_told_apart);
        let needs_parts = !matches!(rejudged, Rejudged::Hit | Rejudged::Review(Some(Doubt::ToldApart)));
        if whole_decides || parts_unseen && needs_parts { Rejudged::Unknown } else { rejudged }
    }
}

/// So many rivals are named.
pub const MAX_RIVALS: usize = 4;

impl Match {
    /// Equal bytes or pixels leave no doubt.
    #[must_use]
    pub fn equal(photo_id: PhotoId, rule: Rule) -> Self {
        let (doubt, evidence, rivals, contest) = Default::default();
        Self { photo_id, rule, score: 1.0, confidence: Some(1.0), doubt, evidence, rivals, contest }
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

/// The thresholds between hit, review and miss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    thresholds: Thresholds,
    operating_point: OperatingPoint,
}

impl Policy {
    /// `thresholds` come from the model's manifest (see its card for how they were measured), `operating_point` from a calibration.
    #[must_use]
    pub fn new(thresholds: Thresholds, operating_point: OperatingPoint) -> Self {
        Self { thresholds, operating_point }
    }

    /// The cosine from which on a candidate without a sketch is a hit.
    #[must_use]
    pub fn hit_threshold(&self) -> f32 {
        self.thresholds.same_picture
    }

    /// From which confidence on a candidate with a sketch is a hit, and what that promises.
    #[must_use]
    pub fn operating_point(&self) -> OperatingPoint {
        self.operating_point
    }

    /// The threshold that decides about `matched`: on its confidence or, for a stored picture without a sketch, on its
    /// score; and the share of unseen pictures, 0..=1, that it is known to let through at most.
    #[must_use]
    pub fn threshold_for(&self, matched: Option<&Match>) -> (f32, Option<f64>) {
        match matched {
            Some(Match { confidence: None, .. }) => {
                (self.thresholds.same_picture, self.thresholds.max_false_hit)
            }
            _ => (self.operating_point.confidence, self.operating_point.max_false_hit),
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
        let (sure, mut matched) = opinions[surest];
        let threshold = self.operating_point.confidence;
        if sure >= REVIEW_CONFIDENCE {
            let others = || opinions.iter().enumerate().filter(|(_, (sure, _))| *sure >= REVIEW_CONFIDENCE);
            let told_apart = others().any(|(_, (_, other))| {
                other.score >= matched.score && said(matched.photo_id, other.photo_id) == Some(false)
            });
            let rivals: Vec<(f32, PhotoId)> = others()
                .filter(|(place, (_, other))| {
                    said(matched.photo_id, other.photo_id) != Some(true)
                        && are_rivals(&findings[surest], &findings[*place])
                })
                .map(|(_, (sure, other))| (*sure, other.photo_id))
                .collect();
            let rival_confidence = rivals.iter().map(|(sure, _)| *sure).reduce(f32::max);
            matched.contest =
                Contest { doubt: matched.doubt, rival_confidence, told_apart, ..Contest::default() };
            if sure < threshold {
                return Verdict::Review(matched);
            }
            if told_apart {
                return Verdict::Review(Match { doubt: Some(Doubt::ToldApart), ..matched });
            }
            let mut rivals =
                rivals.iter().filter(|(sure, _)| *sure >= threshold).map(|(_, photo_id)| *photo_id);
            let rivals = std::array::from_fn(|_| rivals.next());
            if rivals[0].is_some() {
                return Verdict::Review(Match { doubt: Some(Doubt::SeveralEqual), rivals, ..matched });
            }
            Verdict::Hit(Match { doubt: None, ..matched })
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
                let of_whole = sure(&whole).filter(|confidence| *confidence >= REVIEW_CONFIDENCE);
                let found = |mut matched: Match| {
                    (matched.contest.by_parts, matched.contest.whole_confidence) = (true, of_whole);
                    matched
                };
                match by_parts {
                    Verdict::Hit(matched) => Verdict::Hit(found(matched)),
                    Verdict::Review(matched) => Verdict::Review(found(matched)),
                    miss @ Verdict::Miss { .. } => miss,
                }
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
        let promised = self.thresholds.max_false_hit.zip(self.operating_point.max_false_hit);
        let near = candidate.score >= self.thresholds.same_picture
            && promised.is_none_or(|(by_nearness, asked)| by_nearness <= asked);
        let sure = confidence.unwrap_or(if near { self.operating_point.confidence } else { 0.0 });
        let matched = Match {
            photo_id: candidate.photo_id,
            rule: Rule::SamePicture,
            score: candidate.score,
            confidence,
            doubt: Some(doubt),
            evidence: finding.evidence,
            rivals: [None; MAX_RIVALS],
            contest: Contest::default(),
        };
        (sure, matched)
    }
}

/// Other colours of the same goods have embeddings at least so near (cosine), corners that agree, or fill the frame alike: of 530 pictures of real families
/// the farthest has 0.27 (docs/benchmarks/verifier.md, "Which variant is shown").
const VARIANT_FROM_COSINE: f32 = 0.25;

/// Of the candidates that most likely show the same goods in another variant, the one to show: that it is the very picture counts
/// twice, since of goods in many colours nearly each is another variant (docs/benchmarks/verifier.md, "Which variant is shown").
fn likeliest_variant(opinions: &[(f32, Match)]) -> Option<Match> {
    let variant = |matched: &Match| matched.evidence.map_or(0.0, |evidence| evidence.other_variant());
    let is_near = |matched: &Match| {
        matched.score >= VARIANT_FROM_COSINE
            || matched.evidence.is_some_and(|evidence| {
                evidence.inliers >= SHAPES_AGREE_INLIERS || evidence.is_whole_on_whole()
            })
    };
    let variants = opinions
        .iter()
        .filter(|(_, matched)| variant(matched) >= OTHER_VARIANT_PROBABILITY && is_near(matched));
    let worth = |(sure, matched): &(f32, Match)| 2.0 * sure + variant(matched);
    variants.max_by(|a, b| worth(a).total_cmp(&worth(b))).map(|(_, matched)| *matched)
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;

    /// Of pictures that differ.
    static SKETCHES: LazyLock<Vec<Sketch>> = LazyLock::new(|| {
        let picture = |seed: u32| {
            RgbImage::from_fn(64, 64, |x, y| {
                let at = (x / 8 + 8 * (y / 8) + 64 * seed).wrapping_mul(0x9E37_79B9);
                let [_, r, g, b] = at.to_le_bytes();
                Rgb([r, g, b])
            })
        };
        (0..4).filter_map(|seed| Sketch::of(&picture(seed)).ok()).collect()
    });

    #[test]
    fn of_variants_the_one_is_shown_that_may_be_the_very_picture() {
        let finding = |id: i64, score: f32, same: f32, other_colour: f32| Finding {
            candidate: Candidate { photo_id: PhotoId(id), score },
            sketch: Some(SKETCHES[0].clone()),
            evidence: Some(Evidence {
                same,
                other_colour,
                other_goods: 1.0 - same - other_colour,
                content_both: 0.3,
                likeness: 0.9,
                ..Evidence::default()
            }),
        };
        let thresholds = Thresholds { same_picture: 0.99, review: 0.95, max_false_hit: None };
        let policy = Policy::new(thresholds, OperatingPoint::UNCALIBRATED);
        let findings = [
            finding(1, 0.8, 0.001, 0.999),
            finding(2, 0.7, 0.23, 0.77),
            finding(3, 0.6, 0.01, 0.98),
            finding(4, 0.5, 0.28, 0.1),
            finding(5, 0.04, 0.29, 0.7),
        ];
        let Verdict::Review(shown) = policy.judge(&findings, &|_, _| None) else { panic!("no review") };
        assert_eq!((shown.photo_id, shown.doubt), (PhotoId(2), Some(Doubt::OtherVariant)));
    }

    proptest! {
        #[test]
        fn another_threshold_says_of_what_was_measured_what_judging_with_it_says(
            sure in proptest::collection::vec(0.0..1.0_f32, 1..=4),
            (before, after) in (0.3..1.0_f32, 0.3..1.0_f32),
            told in proptest::collection::vec(proptest::option::weighted(0.3, any::<bool>()), 16),
        ) {
            let findings: Vec<Finding> = (0_u8..)
                .zip(&sure)
                .map(|(place, same)| Finding {
                    candidate: Candidate {
                        photo_id: PhotoId(i64::from(place)),
                        score: 0.8 - f32::from(place) / 100.0,
                    },
                    sketch: Some(SKETCHES[usize::from(place)].clone()),
                    evidence: Some(Evidence { same: *same, content_both: 0.3, ..Evidence::default() }),
                })
                .collect();
            let said = |a: PhotoId, b: PhotoId| {
                usize::try_from(a.0.min(b.0) * 4 + a.0.max(b.0)).ok().and_then(|place| told[place])
            };
            let judged = |confidence: f32| {
                let thresholds = Thresholds { same_picture: 0.99, review: 0.95, max_false_hit: None };
                let point = OperatingPoint { confidence, ..OperatingPoint::UNCALIBRATED };
                Policy::new(thresholds, point).judge(&findings, &said)
            };
            let (first, second) = (judged(before), judged(after));
            let (Verdict::Hit(matched) | Verdict::Review(matched)) = first else {
                prop_assert_eq!(first, second, "what stands out does so by any threshold");
                return Ok(());
            };
            let Some(confidence) = matched.confidence.filter(|sure| *sure >= REVIEW_CONFIDENCE) else {
                return Ok(());
            };
            let was_hit = matches!(first, Verdict::Hit(_));
            let was_told_apart = matched.doubt == Some(Doubt::ToldApart);
            match (matched.contest.rejudged(after, confidence, was_hit, was_told_apart), second) {
                (Rejudged::Hit, Verdict::Hit(same)) => prop_assert_eq!(same.photo_id, matched.photo_id),
                (Rejudged::Review(doubt), Verdict::Review(same)) => {
                    prop_assert_eq!((same.photo_id, same.doubt), (matched.photo_id, doubt));
                }
                // Only where parts would be looked at, which were not.
                (Rejudged::Unknown, Verdict::Review(_)) => prop_assert!(was_hit || was_told_apart),
                (rejudged, second) => prop_assert!(false, "{rejudged:?} of {second:?}"),
            }
        }
    }
}
