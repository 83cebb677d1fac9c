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
mod detail;
mod evidence;
mod hamming;
mod judge;
mod keypoints;
mod network;
mod pair;
mod raster;
mod sketch;

pub use confidence::{Doubt, OTHER_VARIANT_PROBABILITY, REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE};
pub use evidence::Evidence;
pub use judge::weights_digest;
pub use pair::{PAIR_SIDE_PX, Pair};
pub use raster::SketchError;
pub use sketch::{Probe, SKETCH_FORMAT, Sketch, SketchBytesError};

use align::{BothBits, Guess, Target};

/// Candidates whose alignment is refined.
const REFINED: usize = 4;
/// Below this promise the second best and the ones behind it are not refined.
const REFINED_FROM_PROMISE: f32 = 0.7;
/// Candidates that are measured in any case ...
const MEASURED: usize = 2;
/// ... and the promise from which on the other refined ones are, too: colour variants look alike in brightness.
const MEASURED_FROM_PROMISE: f32 = 1.2;
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
pub struct Candidate<'a> {
    pub sketch: &'a Sketch,
    /// Of the two embeddings, -1..=1.
    pub cosine: f32,
}

/// Measures the candidates, nearest first, in their order; `None` for one that cannot be laid over the picture, or
/// that lies behind better ones. Meant for up to 20 of them (docs/benchmarks/pair-judge.md has what it costs).
#[must_use]
pub fn measure(probe: &Probe, candidates: &[Candidate<'_>]) -> Vec<Option<Evidence>> {
    let content = align::content(&probe.thumbnail);
    let bits = BothBits::of(probe);
    let mut looked: Vec<(usize, Target, Vec<Guess>)> = Vec::new();
    for (place, Candidate { sketch, .. }) in candidates.iter().enumerate() {
        let near = place < TRIED_BY_FEW_CORNERS;
        let maps =
            align::maps_by_corners(probe, &bits, sketch, if near { FEW_CORNERS } else { MANY_CORNERS });
        if !near && maps.is_empty() {
            continue;
        }
        let target = Target::of(sketch);
        let mut guesses: Vec<Guess> =
            maps.into_iter().map(|(map, inliers)| target.rated(probe, map, inliers)).collect();
        if near {
            guesses.extend(align::direct_guesses(probe, content, &target));
        }
        looked.push((place, target, guesses));
    }
    let promise = |guesses: &[Guess]| guesses.iter().map(Guess::promise).fold(-1.0, f32::max);
    if looked.iter().all(|(_, _, guesses)| promise(guesses) < WINDOWS_BELOW_PROMISE) {
        for (place, target, guesses) in looked.iter_mut().take(1) {
            if candidates[*place].cosine > WINDOWS_FROM_COSINE {
                guesses.extend(align::best_windows(probe, target));
            }
        }
    }
    // Of goods in twenty colours, all are as promising: those whose colours are nearest come first.
    let mut ranked: Vec<(f32, usize, Target, Vec<Guess>)> = looked
        .into_iter()
        .map(|(place, target, guesses)| {
            let best = guesses.iter().max_by(|a, b| a.promise().total_cmp(&b.promise()));
            let apart = best.map_or(0.0, |guess| align::colours_apart(probe, &target, guess));
            (promise(&guesses) - COLOURS_APART_WEIGHT * apart.min(MOST_APART), place, target, guesses)
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut refined: Vec<(f32, usize, Target, Vec<Guess>)> = Vec::new();
    for (rank, (_, place, target, mut guesses)) in ranked.into_iter().enumerate() {
        // The nearest by its embedding is looked at in any case.
        let refine = place == 0 || rank == 0 || (rank < REFINED && promise(&guesses) >= REFINED_FROM_PROMISE);
        if !refine {
            continue;
        }
        let guesses = align::refined(probe, &target, &mut guesses);
        if let Some(best) = guesses.first() {
            let apart = align::colours_apart(probe, &target, best).min(MOST_APART);
            refined.push((best.promise() - COLOURS_APART_WEIGHT * apart, place, target, guesses));
        }
    }
    refined.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut found = vec![None; candidates.len()];
    for (rank, (_, place, target, guesses)) in refined.into_iter().enumerate() {
        if place == 0 || rank < MEASURED || promise(&guesses) >= MEASURED_FROM_PROMISE {
            found[place] = surest(probe, candidates[place].sketch, &target, &guesses);
        }
    }
    found
}

/// Of guesses that are equally good, the one by which the pictures are the same the most surely.
fn surest(probe: &Probe, sketch: &Sketch, target: &Target, guesses: &[Guess]) -> Option<Evidence> {
    let look = |guess: &Guess| Evidence::of(probe, sketch, target, &align::finished(probe, target, *guess));
    guesses.iter().map(look).reduce(|best, other| if other.same > best.same { other } else { best })
}

/// The candidate laid over the picture as the pair judge sees it, and what was measured on it; `None` for one that
/// cannot be laid over it.
#[must_use]
pub fn aligned(probe: &Probe, candidate: &Candidate<'_>) -> Option<(Pair, Evidence)> {
    let content = align::content(&probe.thumbnail);
    let bits = BothBits::of(probe);
    let maps = align::maps_by_corners(probe, &bits, candidate.sketch, FEW_CORNERS);
    let target = Target::of(candidate.sketch);
    let mut guesses: Vec<Guess> =
        maps.into_iter().map(|(map, inliers)| target.rated(probe, map, inliers)).collect();
    guesses.extend(align::direct_guesses(probe, content, &target));
    let promise = guesses.iter().map(Guess::promise).fold(-1.0, f32::max);
    if promise < WINDOWS_BELOW_PROMISE && candidate.cosine > WINDOWS_FROM_COSINE {
        guesses.extend(align::best_windows(probe, &target));
    }
    let guess = *align::refined(probe, &target, &mut guesses).first()?;
    let guess = align::finished(probe, &target, guess);
    let detail = candidate.sketch.detail();
    let pair = Pair::of(probe, &target, &detail::Sizes::of(&detail), pair::extent(&detail), &guess.map);
    let evidence = Evidence::of_pair(probe, &target, &guess, &pair);
    Some((pair, evidence))
}
