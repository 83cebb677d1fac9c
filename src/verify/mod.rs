//! Is a stored picture the same picture as this one, whatever was done to it?
//!
//! An embedding finds the right picture among the first 20, but cannot tell it from its colour variants. So each
//! stored picture leaves a [`Sketch`] of some 5 kB: a thumbnail and the corners of the picture. The picture in
//! question becomes a [`Probe`]; [`measure`] lays each candidate over it (re-encoded, resized, cropped, padded,
//! mirrored, turned, stamped, in a poster), refines that on the pixels and asks a small network, the pair judge, what it
//! sees: [`Evidence::confidence`] is how sure that is, and [`Evidence::doubt`] says what speaks against.
//!
//! Pure: no I/O, no clock, no async, and the same result on every machine of the same architecture. How well it does
//! is in docs/benchmarks/verifier.md.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "sizes are at most 192 pixels and values bytes: all casts between them are exact or wanted"
)]

mod affine;
mod agreement;
mod align;
mod confidence;
mod content;
mod detail;
mod evidence;
mod hamming;
mod hash;
mod judge;
mod keypoints;
mod measurements;
mod network;
mod pair;
mod placement;
mod pyramid;
mod raster;
mod refine;
mod samples;
mod sketch;
mod sums;

pub(crate) use confidence::{CONFIDENCE_RULES, SHAPES_AGREE_INLIERS};
pub use confidence::{Doubt, OTHER_VARIANT_PROBABILITY, REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE};
pub use evidence::Evidence;
pub use judge::weights_digest;
pub use measurements::Measurements;
pub use pair::{PAIR_SIDE_PX, Pair, Place};
pub use placement::Placement;
pub use pyramid::SketchError;
pub use sketch::{Probe, SKETCH_FORMAT, Sketch, SketchBytesError};

use affine::Affine;
use align::{BothBits, Guess, Target};
use detail::Sizes;
use judge::PairJudge;

/// Pairs of corners that must agree among the nearest candidates, and among the others. Two always agree.
const FEW_CORNERS: usize = 3;
const MANY_CORNERS: usize = 5;
/// Below this promise of all candidates, windows of the nearest ones are tried ...
const WINDOWS_BELOW_PROMISE: f32 = 1.0;
/// ... if the embeddings are not too far apart for a crop (cosine).
const WINDOWS_FROM_COSINE: f32 = 0.5;

/// How sure it is that a picture in which nothing has changed is the same: of 10,546 wrong pairs one was taken for such a one
/// (docs/benchmarks/pair-judge.md, "Agreement everywhere").
const UNCHANGED_CONFIDENCE: f32 = 0.999;
/// So much of the stored picture has to be in sight for it, and so large: its longer side in longer sides of the query. Less could
/// leave out, or blur, what has changed.
const UNCHANGED_FROM_OVERLAP: f32 = 0.6;
const UNCHANGED_FROM_SCALE: f32 = 0.6;

/// A stored picture near the one in question.
#[derive(Clone, Copy, Debug)]
pub struct SketchedCandidate<'a> {
    /// What the verifier keeps of the stored picture.
    pub sketch: &'a Sketch,
    /// Of the two embeddings, -1..=1.
    pub cosine: f32,
}

/// Measures the candidates, nearest first, in their order; `None` for one that cannot be laid over the picture, or
/// that lies behind better ones. Meant for up to 20 of them (docs/benchmarks/pair-judge.md has what it costs).
#[must_use]
pub fn measure(probe: &Probe, candidates: &[SketchedCandidate<'_>]) -> Vec<Option<Evidence>> {
    let ids: Vec<i64> = (0..).take(candidates.len()).collect();
    Measurements::default().measure(probe, candidates, &ids)
}

/// The candidate laid over the picture as the pair judge sees it, and what was measured on it; `None` for one that
/// cannot be laid over it.
#[must_use]
pub fn aligned(probe: &Probe, candidate: &SketchedCandidate<'_>) -> Option<(Pair, Evidence)> {
    let target = Target::of(candidate.sketch);
    let guesses = followed(probe, candidate, &target);
    looks(probe, candidate.sketch, &target, &guesses).next()
}

/// Where the candidate lies in the picture in question, by the guess by which they show the same goods the most surely, in
/// whatever colour; `None` for one that cannot be laid over it.
#[must_use]
pub fn placed(probe: &Probe, candidate: &SketchedCandidate<'_>) -> Option<(Placement, Evidence)> {
    let target = Target::of(candidate.sketch);
    let detail = Sizes::of(&candidate.sketch.detail());
    let luma = detail.luma();
    let guesses = followed(probe, candidate, &target);
    let placed = guesses.iter().map(|guess| {
        let guess = align::finished(probe, &target, &luma, *guess);
        let pair = Pair::of(probe, &target, &detail, &guess.map);
        (Placement::of(&target, &guess.map), evidence_of(probe, &target, &guess, &pair))
    });
    placed.reduce(|best, other| if other.1.other_goods < best.1.other_goods { other } else { best })
}

/// The best guesses of how a candidate lies that is looked at alone, refined.
fn followed(probe: &Probe, candidate: &SketchedCandidate<'_>, target: &Target) -> Vec<Guess> {
    let query = Query::of(probe);
    let mut guesses = query.guesses(query.maps(candidate.sketch, FEW_CORNERS), target, true);
    if promise(&guesses) < WINDOWS_BELOW_PROMISE && candidate.may_hold_the_picture() {
        guesses.extend(align::best_windows(probe, target));
    }
    align::refined(probe, target, &mut guesses)
}

impl SketchedCandidate<'_> {
    /// Whether its embedding is near enough for the picture to be cut out of it.
    fn may_hold_the_picture(&self) -> bool {
        self.cosine > WINDOWS_FROM_COSINE
    }
}

/// What is needed of the picture in question for every candidate.
struct Query<'p> {
    probe: &'p Probe,
    content: [f32; 4],
    bits: BothBits<'p>,
}

impl<'p> Query<'p> {
    fn of(probe: &'p Probe) -> Self {
        Self { probe, content: align::content(&probe.thumbnail), bits: BothBits::of(probe) }
    }

    /// Maps that so many pairs of corners agree on, with how many do.
    fn maps(&self, sketch: &Sketch, corners: usize) -> Vec<(Affine, usize)> {
        align::maps_by_corners(self.probe, &self.bits, sketch, corners)
    }

    /// Guesses of how the candidate lies: those maps, and, for one that is `near`, the ways without corners.
    fn guesses(&self, maps: Vec<(Affine, usize)>, target: &Target, near: bool) -> Vec<Guess> {
        let rated = maps.into_iter().map(|(map, inliers)| target.rated(self.probe, map, inliers));
        let mut guesses: Vec<Guess> = rated.collect();
        if near {
            guesses.extend(align::direct_guesses(self.probe, self.content, target));
        }
        guesses
    }
}

/// That of the best guess.
fn promise(guesses: &[Guess]) -> f32 {
    guesses.iter().map(Guess::promise).fold(-1.0, f32::max)
}

/// What the pair judge sees by each guess, and what it says.
fn looks(
    probe: &Probe,
    sketch: &Sketch,
    target: &Target,
    guesses: &[Guess],
) -> impl Iterator<Item = (Pair, Evidence)> {
    let detail = Sizes::of(&sketch.detail());
    let luma = detail.luma();
    guesses.iter().map(move |guess| {
        let guess = align::finished(probe, target, &luma, *guess);
        let pair = Pair::of(probe, target, &detail, &guess.map);
        let evidence = evidence_of(probe, target, &guess, &pair);
        (pair, evidence)
    })
}

/// What is found of a guess and the pair that it lays over each other.
fn evidence_of(probe: &Probe, target: &Target, guess: &Guess, pair: &Pair) -> Evidence {
    let map = &guess.map;
    let (width, height) = (target.thumbnail.width, target.thumbnail.height);
    let (across, along) = probe.extent();
    let mirror = if map.determinant() < 0.0 { -1.0 } else { 1.0 };
    let [content_stored, content_query, content_both] = pair.content;
    let mut evidence = Evidence {
        inliers: guess.inliers as f32,
        inlier_share: guess.inliers as f32 / corners_inside(probe, map, width, height).max(5) as f32,
        overlap_stored: pair.overlap_px as f32 / (width * height) as f32,
        overlap_query: pair.overlap_px as f32 * map.determinant().abs() / (across * along),
        scale: map.step() * target.thumbnail.long_side(),
        turn_degrees: map.0[3].atan2(map.0[0] * mirror).to_degrees().abs(),
        mirrored: if mirror < 0.0 { 1.0 } else { 0.0 },
        likeness: guess.likeness,
        content_stored,
        content_query,
        content_both,
        ground_change: pair.ground_change,
        ..Evidence::default()
    };
    let judged = PairJudge::shipped().judge(pair, &evidence);
    evidence.colour_agreement = judged.colour_agreement;
    let probabilities = if is_without_a_change(&evidence, judged.probabilities[0], pair) {
        // Shares among the others stay.
        let rest = (1.0 - UNCHANGED_CONFIDENCE) / (1.0 - judged.probabilities[0]);
        let [_, colour, print, goods] = judged.probabilities.map(|probability| probability * rest);
        [UNCHANGED_CONFIDENCE, colour, print, goods]
    } else {
        judged.probabilities
    };
    [evidence.same, evidence.other_colour, evidence.other_print, evidence.other_goods] = probabilities;
    evidence
}

/// Whether the judge takes it for the same picture rather than for anything else, and nothing that could be seen at this size has
/// changed.
fn is_without_a_change(lie: &Evidence, same: f32, pair: &Pair) -> bool {
    (0.5..UNCHANGED_CONFIDENCE).contains(&same)
        && lie.overlap_stored >= UNCHANGED_FROM_OVERLAP
        && lie.scale >= UNCHANGED_FROM_SCALE
        && pair.agrees_everywhere()
}

/// The query's corners that lie inside the stored picture.
fn corners_inside(probe: &Probe, map: &Affine, width: usize, height: usize) -> usize {
    let Some(back) = map.inverse() else { return 0 };
    let inside = |x: f32, y: f32| (0.0..width as f32).contains(&x) && (0.0..height as f32).contains(&y);
    let spots = probe.keypoints.spots.iter().map(|spot| spot.at());
    let back = spots.map(|at| back.at(at.0, at.1));
    back.filter(|(x, y)| inside(*x, *y)).count()
}
