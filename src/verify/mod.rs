//! Is a stored picture the same picture as this one, whatever was done to it?
//!
//! An embedding finds the right picture among the first 20, but cannot tell it from its colour variants. So each
//! stored picture leaves a [`Sketch`] of some 5 kB: a thumbnail and the corners of the picture. The picture in
//! question becomes a [`Probe`]; [`measure`] lays each candidate over it (re-encoded, resized, cropped, padded,
//! mirrored, turned, stamped, in a poster), refines that on the pixels and gives [`Evidence`] of structure and colour;
//! [`Evidence::confidence`] sums it up in one number, and [`Evidence::doubt`] says what speaks against.
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
mod evidence;
mod hamming;
mod keypoints;
mod raster;
mod sketch;
mod trees;

pub use confidence::{Doubt, REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE};
pub use evidence::Evidence;
pub use raster::SketchError;
pub use sketch::{Probe, SKETCH_FORMAT, Sketch, SketchBytesError};
pub use trees::weights_digest;

use align::{BothBits, Guess, Target};

/// Candidates whose alignment is refined.
const REFINED: usize = 4;
/// Below this promise the second best and the ones behind it are not refined.
const REFINED_FROM_PROMISE: f32 = 0.7;
/// Candidates that are measured in any case ...
const MEASURED: usize = 2;
/// ... and the promise from which on the other refined ones are, too: colour variants look alike in brightness.
const MEASURED_FROM_PROMISE: f32 = 1.2;
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
/// that lies behind better ones. Meant for up to 20 of them: 0.4 ms for one, some 2.7 ms for 20 look-alikes, on one core
/// (docs/benchmarks/verifier-fit.md).
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
    looked.sort_by(|a, b| promise(&b.2).total_cmp(&promise(&a.2)));
    let mut refined: Vec<(usize, Target, Guess)> = Vec::new();
    for (rank, (place, target, mut guesses)) in looked.into_iter().take(REFINED).enumerate() {
        if rank > 0 && promise(&guesses) < REFINED_FROM_PROMISE {
            break;
        }
        if let Some(guess) = align::refined(probe, &target, &mut guesses) {
            refined.push((place, target, guess));
        }
    }
    refined.sort_by(|a, b| b.2.promise().total_cmp(&a.2.promise()));
    let mut found = vec![None; candidates.len()];
    for (rank, (place, target, guess)) in refined.into_iter().enumerate() {
        if rank < MEASURED || guess.promise() >= MEASURED_FROM_PROMISE {
            let guess = align::finished(probe, &target, guess);
            found[place] = Some(Evidence::of(probe, &target, &guess, candidates[place].cosine));
        }
    }
    found
}
