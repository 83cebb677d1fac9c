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
mod align;
mod confidence;
mod content;
mod detail;
mod evidence;
mod hamming;
mod hash;
mod judge;
mod keypoints;
mod network;
mod pair;
mod placement;
mod raster;
mod sketch;

pub use confidence::{Doubt, OTHER_VARIANT_PROBABILITY, REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE};
pub use evidence::Evidence;
pub use judge::weights_digest;
pub use pair::{PAIR_SIDE_PX, Pair, Place};
pub use placement::Placement;
pub use raster::SketchError;
pub use sketch::{Probe, SKETCH_FORMAT, Sketch, SketchBytesError};

use affine::Affine;
use align::{BothBits, Guess, Target};
use detail::Sizes;
use judge::PairJudge;

/// Candidates whose alignment is refined.
const REFINED: usize = 4;
/// Below this promise the second best and the ones behind it are not refined.
const REFINED_FROM_PROMISE: f32 = 0.7;
/// Candidates that are measured in any case ...
const MEASURED: usize = 2;
/// ... and the promise from which on the other refined ones are, too: colour variants look alike in brightness.
const MEASURED_FROM_PROMISE: f32 = 1.2;
/// From this probability of being the same on, a candidate's other guesses are not looked at: no line lies higher
/// (docs/benchmarks/bound.md).
const SURE: f32 = 0.998;
/// What a step of 255 by which the colours differ takes from a candidate's promise, and how many steps count.
const COLOURS_APART_WEIGHT: f32 = 0.01;
const MOST_APART: f32 = 40.0;
/// The nearest candidates are also tried without corners, and by few corners.
const TRIED_BY_FEW_CORNERS: usize = 6;
/// Pairs of corners that must agree among the nearest candidates, and among the others. Two always agree.
const FEW_CORNERS: usize = 3;
const MANY_CORNERS: usize = 5;
/// Below this promise of all candidates, windows of the nearest ones are tried ...
const WINDOWS_BELOW_PROMISE: f32 = 1.0;
/// ... if the embeddings are not too far apart for a crop (cosine).
const WINDOWS_FROM_COSINE: f32 = 0.5;

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
    let query = Query::of(probe);
    let mut all: Vec<Laid> = Vec::new();
    for (place, SketchedCandidate { sketch, .. }) in candidates.iter().enumerate() {
        all.extend(query.laid_over(place, sketch, place < TRIED_BY_FEW_CORNERS));
    }
    if all.iter().all(|laid| laid.promise() < WINDOWS_BELOW_PROMISE)
        && let Some(first) = all.first_mut()
    {
        first.try_windows(probe, candidates[first.place].cosine);
    }
    // Of goods in twenty colours, all are as promising: those whose colours are nearest come first.
    sort_by_rank(&mut all, probe);
    let mut refined: Vec<Laid> = Vec::new();
    for (rank, mut laid) in all.into_iter().enumerate() {
        // The nearest by its embedding is looked at in any case.
        if laid.place == 0 || rank == 0 || (rank < REFINED && laid.promise() >= REFINED_FROM_PROMISE) {
            laid.guesses = align::refined(probe, &laid.target, &mut laid.guesses);
            refined.extend((!laid.guesses.is_empty()).then_some(laid));
        }
    }
    sort_by_rank(&mut refined, probe);
    let mut found = vec![None; candidates.len()];
    for (rank, laid) in refined.into_iter().enumerate() {
        if laid.place == 0 || rank < MEASURED || laid.promise() >= MEASURED_FROM_PROMISE {
            let mut best: Option<Evidence> = None;
            // Of guesses that are equally good, the one by which the pictures are the same the most surely.
            for (_, evidence) in laid.looks(probe, candidates[laid.place].sketch) {
                if best.is_none_or(|best| evidence.same > best.same) {
                    best = Some(evidence);
                }
                if evidence.same >= SURE {
                    break;
                }
            }
            found[laid.place] = best;
        }
    }
    found
}

/// The best first. Each rank is taken once.
fn sort_by_rank(all: &mut Vec<Laid>, probe: &Probe) {
    let mut ranked: Vec<(f32, Laid)> = all.drain(..).map(|laid| (laid.rank(probe), laid)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.extend(ranked.into_iter().map(|(_, laid)| laid));
}

/// The candidate laid over the picture as the pair judge sees it, and what was measured on it; `None` for one that
/// cannot be laid over it.
#[must_use]
pub fn aligned(probe: &Probe, candidate: &SketchedCandidate<'_>) -> Option<(Pair, Evidence)> {
    let mut laid = Query::of(probe).laid_over(0, candidate.sketch, true)?;
    if laid.promise() < WINDOWS_BELOW_PROMISE {
        laid.try_windows(probe, candidate.cosine);
    }
    laid.guesses = align::refined(probe, &laid.target, &mut laid.guesses);
    laid.looks(probe, candidate.sketch).next()
}

/// Where the candidate lies in the picture in question, by the guess by which they show the same goods the most surely, in
/// whatever colour; `None` for one that cannot be laid over it.
#[must_use]
pub fn placed(probe: &Probe, candidate: &SketchedCandidate<'_>) -> Option<(Placement, Evidence)> {
    let mut laid = Query::of(probe).laid_over(0, candidate.sketch, true)?;
    if laid.promise() < WINDOWS_BELOW_PROMISE {
        laid.try_windows(probe, candidate.cosine);
    }
    laid.guesses = align::refined(probe, &laid.target, &mut laid.guesses);
    let detail = Sizes::of(&candidate.sketch.detail());
    let luma = detail.luma();
    let placed = laid.guesses.iter().map(|guess| {
        let guess = align::finished(probe, &laid.target, &luma, *guess);
        let pair = Pair::of(probe, &laid.target, &detail, &guess.map);
        (Placement::of(&laid.target, &guess.map), evidence_of(probe, &laid.target, &guess, &pair))
    });
    placed.reduce(|best, other| if other.1.other_goods < best.1.other_goods { other } else { best })
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

    /// Guesses of how the candidate in this place lies; those that are not `near` are tried by many corners alone, and
    /// `None` when those agree on nothing.
    fn laid_over(&self, place: usize, sketch: &Sketch, near: bool) -> Option<Laid> {
        let corners = if near { FEW_CORNERS } else { MANY_CORNERS };
        let maps = align::maps_by_corners(self.probe, &self.bits, sketch, corners);
        if !near && maps.is_empty() {
            return None;
        }
        let target = Target::of(sketch);
        let mut guesses: Vec<Guess> =
            maps.into_iter().map(|(map, inliers)| target.rated(self.probe, map, inliers)).collect();
        if near {
            guesses.extend(align::direct_guesses(self.probe, self.content, &target));
        }
        Some(Laid { place, target, guesses })
    }
}

/// A candidate, and guesses of how it lies in the picture in question.
struct Laid {
    /// Among the candidates.
    place: usize,
    target: Target,
    guesses: Vec<Guess>,
}

impl Laid {
    fn promise(&self) -> f32 {
        self.guesses.iter().map(Guess::promise).fold(-1.0, f32::max)
    }

    /// The promise, less for colours that differ.
    fn rank(&self, probe: &Probe) -> f32 {
        let best = self.guesses.iter().max_by(|a, b| a.promise().total_cmp(&b.promise()));
        let apart = best.map_or(0.0, |guess| align::colours_apart(probe, &self.target, guess));
        self.promise() - COLOURS_APART_WEIGHT * apart.min(MOST_APART)
    }

    fn try_windows(&mut self, probe: &Probe, cosine: f32) {
        if cosine > WINDOWS_FROM_COSINE {
            self.guesses.extend(align::best_windows(probe, &self.target));
        }
    }

    /// What the pair judge sees by each guess, and what it says.
    fn looks(&self, probe: &Probe, sketch: &Sketch) -> impl Iterator<Item = (Pair, Evidence)> {
        let detail = Sizes::of(&sketch.detail());
        let luma = detail.luma();
        self.guesses.iter().map(move |guess| {
            let guess = align::finished(probe, &self.target, &luma, *guess);
            let pair = Pair::of(probe, &self.target, &detail, &guess.map);
            let evidence = evidence_of(probe, &self.target, &guess, &pair);
            (pair, evidence)
        })
    }
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
        ..Evidence::default()
    };
    let judged = PairJudge::shipped().judge(pair, &evidence);
    evidence.colour_agreement = judged.colour_agreement;
    [evidence.same, evidence.other_colour, evidence.other_print, evidence.other_goods] = judged.probabilities;
    evidence
}

/// The query's corners that lie inside the stored picture.
fn corners_inside(probe: &Probe, map: &Affine, width: usize, height: usize) -> usize {
    let Some(back) = map.inverse() else { return 0 };
    let inside = |x: f32, y: f32| (0.0..width as f32).contains(&x) && (0.0..height as f32).contains(&y);
    let spots = probe.keypoints.spots.iter().map(|spot| spot.at());
    let back = spots.map(|at| back.at(at.0, at.1));
    back.filter(|(x, y)| inside(*x, *y)).count()
}
