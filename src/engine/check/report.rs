//! What is said of a checked picture.

use serde::Serialize;

use super::super::{Engine, EngineError};
use super::provisional::is_provisional;
use crate::offer::OfferId;
use crate::photo_id::PhotoId;
use crate::store::PhotoKind;
use crate::verdict::{Contest, Match, Policy, Rule, Verdict};
use crate::verify::{Doubt, REVIEW_CONFIDENCE};

/// Whether a picture was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It is the matched picture.
    Seen,
    /// The matched picture stands out, but not enough: `why` says what speaks against it.
    Review,
    /// It is none of those that are known.
    New,
}

/// What became of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Seen, like a stored picture, or new.
    pub outcome: CheckOutcome,
    /// The photo that stands for it in the home from now on: the matched one, or its own where it was added.
    pub photo_id: Option<PhotoId>,
    /// Whether it was stored as a photo of its own.
    pub added: bool,
    /// The picture that it is, or that stands out.
    pub matched: Option<CheckMatch>,
    /// How the matched picture was recognised; `None` for a new picture.
    pub rule: Option<Rule>,
    /// Cosine of the matched, else of the nearest picture, -1..=1; `None` when there is none, and for a picture that was
    /// recognised without an embedding.
    pub score: Option<f32>,
    /// How sure it is that the matched, else the nearest picture is the same, 0..=1; `None` where that has no sketch.
    pub confidence: Option<f32>,
    /// What speaks against the matched picture of a review.
    pub why: Option<Doubt>,
    /// With [`Doubt::SeveralEqual`], the first other stored photos that agree as well.
    pub rivals: Vec<PhotoId>,
    /// From which confidence on (score, where the matched picture has no sketch) a picture is seen; `None` where bytes or
    /// pixels were equal, which need no threshold.
    pub threshold: Option<f32>,
    /// With 95 % certainty at most this share of new pictures, 0..=1, passes the threshold.
    pub max_false_hit: Option<f64>,
    /// How many pictures it was compared with; `None` where bytes or pixels were equal.
    pub compared_with: Option<u64>,
    /// Of a matched picture that another threshold could make a hit or a review: what decides then, besides the confidence.
    pub contest: Option<Contest>,
}

/// A picture that another one is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckMatch {
    /// `None` for a picture of the same run that is not stored.
    pub photo_id: Option<PhotoId>,
    /// The row of a picture of the same run that is not stored.
    pub row: Option<u64>,
    /// The user's key or file name of that picture.
    pub label: String,
    /// What it was stored as; `None` for one that is not stored.
    pub kind: Option<PhotoKind>,
    /// The user's own good that it shows.
    pub good: Option<OfferId>,
}

impl Engine {
    /// What is known of a stored photo; of one that has just gone, its number.
    pub(super) fn check_match(&self, photo_id: PhotoId) -> Result<CheckMatch, EngineError> {
        let (mut label, mut kind, mut good) = (String::new(), None, None);
        if let Some(photo) = self.store.photo(photo_id)? {
            (label, kind) = (photo.label, Some(photo.kind));
        }
        if kind == Some(PhotoKind::Own) {
            let own = self.store.answers(photo_id)?.into_iter().find(crate::store::StoredAnswer::is_own);
            good = own.and_then(|answer| answer.offers.into_iter().next()).map(|offer| offer.offer_id);
        }
        Ok(CheckMatch { photo_id: Some(photo_id), row: None, label, kind, good })
    }
}

impl Checked {
    /// `judged_by`: the policy and how many pictures there were; `None` where no threshold was needed.
    pub(super) fn of(verdict: Verdict, judged_by: Option<(Policy, u64)>) -> Self {
        let (outcome, best, is_match) = match verdict {
            Verdict::Hit(matched) => (CheckOutcome::Seen, Some(matched), true),
            Verdict::Review(matched) => (CheckOutcome::Review, Some(matched), true),
            Verdict::Miss { nearest } => (CheckOutcome::New, nearest, false),
        };
        let matched = best.filter(|_| is_match);
        let reached = judged_by.map(|(policy, _)| policy.threshold_for(matched.as_ref()));
        let rivals = matched.iter().flat_map(|m| m.rivals).flatten().filter(|id| !is_provisional(*id));
        Self {
            outcome,
            photo_id: None,
            added: false,
            matched: None,
            rule: matched.map(|m| m.rule),
            score: best.map(|m| m.score),
            confidence: best.and_then(|m| m.confidence),
            why: matched.and_then(|m| m.doubt),
            rivals: rivals.collect(),
            threshold: reached.map(|(threshold, _)| threshold),
            max_false_hit: reached.and_then(|(_, max_false_hit)| max_false_hit),
            compared_with: judged_by.map(|(_, pictures)| pictures),
            contest: matched
                .filter(|m| judged_by.is_some() && m.confidence.is_some_and(|sure| sure >= REVIEW_CONFIDENCE))
                .map(|m| m.contest),
        }
    }
}

/// The photo that a verdict names.
pub(super) fn named(verdict: &Verdict) -> Option<PhotoId> {
    match verdict {
        Verdict::Hit(matched) | Verdict::Review(matched) => Some(matched.photo_id),
        Verdict::Miss { .. } => None,
    }
}

/// A verdict with other numbers for the photos that it names.
pub(super) fn renumbered(verdict: Verdict, number: impl Fn(PhotoId) -> PhotoId) -> Verdict {
    let of = |matched: Match| Match {
        photo_id: number(matched.photo_id),
        rivals: matched.rivals.map(|rival| rival.map(&number)),
        ..matched
    };
    match verdict {
        Verdict::Hit(matched) => Verdict::Hit(of(matched)),
        Verdict::Review(matched) => Verdict::Review(of(matched)),
        Verdict::Miss { nearest } => Verdict::Miss { nearest: nearest.map(of) },
    }
}
