//! What a trained network says of an aligned pair: the same picture, another colour, another print or words, or other
//! goods.
//!
//! 196,000 weights (models/pair-judge/), made by models/judge/train.py; how well it does is in
//! docs/benchmarks/pair-judge.md.

use std::fmt::Write as _;
use std::sync::LazyLock;

use safetensors::SafeTensors;
use sha2::{Digest as _, Sha256};

use super::evidence::Evidence;
use super::network::{Convolution, Dense, Map, relu};
use super::pair::{PAIR_SIDE_PX, Pair};

const WEIGHTS: &[u8] = include_bytes!("../../models/pair-judge/model.safetensors");

/// Steps of brightness and of chroma that are one unit for the network.
const LUMA_UNIT: f32 = 64.0;
const CHROMA_UNIT: f32 = 32.0;
/// Rounds of weighing down what a global change does not explain.
const ROUNDS: usize = 3;
/// Channels of the first layer: both pictures, what is unexplained, what is seen.
const CHANNELS: usize = 10;

/// What the judge says of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// That it is the same picture, another colour, another print or other words, other goods: together 1.
    pub(super) probabilities: [f32; 4],
    /// [`Evidence::colour_agreement`].
    pub(super) colour_agreement: f32,
}

/// Up to these differences after the global change, in 8-bit steps, a place has the same brightness and chroma.
const SAME_LUMA: f32 = 16.0;
const SAME_CHROMA: f32 = 7.0;

#[derive(Debug)]
pub(super) struct PairJudge {
    body: Vec<Convolution>,
    hidden: Dense,
    head: Dense,
    /// SHA-256 of names and numbers, in hexadecimal.
    digest: String,
}

/// SHA-256 of the weights that [`Evidence::confidence`] comes from, in hexadecimal: a calibration made with others says
/// nothing.
#[must_use]
pub fn weights_digest() -> &'static str {
    &PairJudge::shipped().digest
}

/// Strides of the convolutions, as in train.py.
const STRIDES: [usize; 5] = [2, 2, 1, 2, 1];

impl PairJudge {
    /// The one that travels with the program.
    pub(super) fn shipped() -> &'static Self {
        static READ: LazyLock<PairJudge> = LazyLock::new(|| {
            // Part of the program: `the_shipped_weights_are_read` fails before one with a broken file is released.
            PairJudge::from_safetensors(WEIGHTS)
                .unwrap_or_else(|| panic!("models/pair-judge/model.safetensors holds no pair judge"))
        });
        &READ
    }

    fn from_safetensors(bytes: &[u8]) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let numbers = |name: &str| -> Option<Vec<f32>> {
            let tensor = file.tensor(name).ok()?;
            let (fours, rest) = tensor.data().as_chunks::<4>();
            let is_f32 = tensor.dtype() == safetensors::Dtype::F32 && rest.is_empty();
            is_f32.then(|| fours.iter().map(|four| f32::from_le_bytes(*four)).collect())
        };
        let (mut body, mut inputs) = (Vec::new(), CHANNELS);
        for (layer, stride) in STRIDES.into_iter().enumerate() {
            let (weights, bias) =
                (numbers(&format!("conv{layer}.weight"))?, numbers(&format!("conv{layer}.bias"))?);
            body.push(Convolution::new(stride, inputs, &weights, &bias)?);
            inputs = bias.len();
        }
        let hidden_bias = numbers("hidden.bias")?;
        let hidden = Dense::new(2 * inputs + 9, &numbers("hidden.weight")?, &hidden_bias)?;
        let head = Dense::new(hidden_bias.len(), &numbers("head.weight")?, &numbers("head.bias")?)?;
        let mut tensors = file.tensors();
        tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut digest = Sha256::new();
        for (name, tensor) in &tensors {
            digest.update(name.as_bytes());
            digest.update(tensor.data());
        }
        let digest = digest.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Some(Self { body, hidden, head, digest })
    }

    /// `lie`: how the pictures lie over each other; the judge's own fields are not looked at.
    pub(super) fn judge(&self, pair: &Pair, lie: &Evidence) -> Judged {
        let (mut map, colour_agreement) = as_input(pair);
        for layer in &self.body {
            map = layer.apply(&map);
        }
        let mut seen = map.pooled();
        // The spreads that train.py divides by; clipped as there.
        let scalars = [
            lie.inliers / 20.0,
            lie.inlier_share,
            lie.overlap_stored,
            lie.overlap_query,
            lie.scale / 2.0,
            lie.likeness,
        ];
        seen.extend(pair.content.iter().chain(&scalars).map(|value| value.clamp(-1.0, 3.0)));
        let mut hidden = self.hidden.apply(&seen);
        relu(&mut hidden);
        let logits = self.head.apply(&hidden);
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        let odds: [f32; 4] = std::array::from_fn(|kind| (logits[kind] - most).exp());
        let sum: f32 = odds.iter().sum();
        Judged { probabilities: odds.map(|odd| odd / sum), colour_agreement }
    }
}

/// Both pictures, what a global change of each channel leaves unexplained, and what is seen of both; with the share of
/// the places in sight that agree in colour.
fn as_input(pair: &Pair) -> (Map, f32) {
    let unit = |lane: usize, value: f32| {
        if lane == 0 { (value - 128.0) / LUMA_UNIT } else { value / CHROMA_UNIT }
    };
    let mut map = Map::zeros(PAIR_SIDE_PX, CHANNELS);
    let places = || pair.seen.iter().enumerate().filter(|(_, seen)| **seen).map(|(place, _)| place);
    for lane in 0..3 {
        let of = |places: &[[f32; 3]]| -> Vec<f32> {
            places.iter().map(|colour| unit(lane, colour[lane])).collect()
        };
        let (stored, query) = (of(&pair.stored), of(&pair.query));
        let left = unexplained(&stored, &query, &pair.seen);
        for place in places() {
            let channels = map.at_mut(place / PAIR_SIDE_PX, place % PAIR_SIDE_PX);
            (channels[lane], channels[3 + lane], channels[6 + lane]) =
                (stored[place], query[place], left[place]);
        }
    }
    let (mut count, mut agreeing) = (0.0f32, 0.0f32);
    for place in places() {
        let channels = map.at_mut(place / PAIR_SIDE_PX, place % PAIR_SIDE_PX);
        channels[9] = 1.0;
        let apart = [channels[6] * LUMA_UNIT, channels[7] * CHROMA_UNIT, channels[8] * CHROMA_UNIT];
        count += 1.0;
        let agrees = apart[0].abs() < SAME_LUMA && apart[1].hypot(apart[2]) < SAME_CHROMA;
        agreeing += f32::from(u8::from(agrees));
    }
    (map, agreeing / count.max(1.0))
}

/// What one gain and one offset, fitted with Cauchy weights, leave of the difference; `explained` of train.py.
fn unexplained(stored: &[f32], query: &[f32], seen: &[bool]) -> Vec<f32> {
    let mut weight: Vec<f32> = seen.iter().map(|seen| f32::from(u8::from(*seen))).collect();
    let count: f32 = weight.iter().sum::<f32>() + 1.0;
    let mut left = vec![0.0f32; stored.len()];
    for _ in 0..ROUNDS {
        let (mut n, mut q, mut s) = (1.0f32, 0.0f32, 0.0f32);
        for ((weight, query), stored) in weight.iter().zip(query).zip(stored) {
            n += weight;
            q += weight * query;
            s += weight * stored;
        }
        let (q, s) = (q / n, s / n);
        let (mut both, mut square) = (0.0f32, 0.0f32);
        for ((weight, query), stored) in weight.iter().zip(query).zip(stored) {
            both += weight * (query - q) * (stored - s);
            square += weight * (query - q) * (query - q);
        }
        let gain = ((both / n + 0.01) / (square / n + 0.01)).clamp(0.5, 2.0);
        let mut off = 0.0f32;
        for (place, seen) in seen.iter().enumerate() {
            left[place] = if *seen { stored[place] - s - gain * (query[place] - q) } else { 0.0 };
            off += left[place].abs();
        }
        let spread = off / count + 0.05;
        for ((weight, left), seen) in weight.iter_mut().zip(&left).zip(seen) {
            *weight = if *seen { 1.0 / (1.0 + (left / spread) * (left / spread)) } else { 0.0 };
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_weights_are_read() {
        assert_eq!(weights_digest().len(), 64);
        let places = PAIR_SIDE_PX * PAIR_SIDE_PX;
        let pair = Pair {
            stored: vec![[90.0, 3.0, -4.0]; places],
            query: vec![[95.0, 3.0, -4.0]; places],
            seen: vec![true; places],
            content: [0.5; 3],
            overlap_px: 0,
        };
        let judged = PairJudge::shipped().judge(&pair, &Evidence::default());
        assert!((judged.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{judged:?}");
        assert!(judged.colour_agreement > 0.99, "{judged:?}");
    }
}
