//! What a trained network says of an aligned pair: the same picture, another colour, another print or words, or other
//! goods.
//!
//! 208,000 weights (models/pair-judge/), made by models/judge/train.py; how well it does is in
//! docs/benchmarks/pair-judge.md.

use std::fmt::Write as _;
use std::sync::LazyLock;

use safetensors::SafeTensors;
use sha2::{Digest as _, Sha256};

use super::evidence::Evidence;
use super::network::{Convolution, Dense, Map, relu};
use super::pair::{PAIR_SIDE_PX, Pair, Place};
use super::sums::sums;

const WEIGHTS: &[u8] = include_bytes!("../../models/pair-judge/model.safetensors");

/// Steps of brightness and of chroma that are one unit for the network.
const LUMA_UNIT: f32 = 64.0;
const CHROMA_UNIT: f32 = 32.0;
/// Rounds of weighing down what a global change does not explain.
const ROUNDS: usize = 3;
/// Channels of the first layer: both pictures, what is unexplained, what is seen.
const CHANNELS: usize = 3 * LANES + 1;
/// Numbers of a [`Place`]: four of luma, then two of chroma.
const LANES: usize = 6;
const LUMA_LANES: usize = 4;

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
    let mut map = Map::zeros(PAIR_SIDE_PX, CHANNELS);
    let places: Vec<usize> = (0..pair.seen.len()).filter(|place| pair.seen[*place]).collect();
    let of_each = || -> [Vec<f32>; 3] { std::array::from_fn(|_| Vec::with_capacity(places.len())) };
    let (mut stored, mut query) = (of_each(), of_each());
    for place in &places {
        let cell = map.at_mut(place / PAIR_SIDE_PX, place % PAIR_SIDE_PX);
        for (picture, all, lanes) in
            [(&pair.stored, &mut stored, 0..LANES), (&pair.query, &mut query, LANES..2 * LANES)]
        {
            let units = units(&picture[*place]);
            cell[lanes].copy_from_slice(&units);
            for (all, value) in all.iter_mut().zip(channels(&units)) {
                all.push(value);
            }
        }
        cell[3 * LANES] = 1.0;
    }
    let changes: [Change; 3] =
        std::array::from_fn(|channel| Change::between(&stored[channel], &query[channel]));
    let mut agreeing = 0usize;
    for place in &places {
        let cell = map.at_mut(place / PAIR_SIDE_PX, place % PAIR_SIDE_PX);
        let left: Place = std::array::from_fn(|lane| {
            let change = &changes[lane.saturating_sub(LUMA_LANES - 1)];
            change.left(cell[lane], cell[LANES + lane])
        });
        cell[2 * LANES..3 * LANES].copy_from_slice(&left);
        let [luma, blue, red] = channels(&left);
        let agrees = (luma * LUMA_UNIT).abs() < SAME_LUMA
            && (blue * blue + red * red) * (CHROMA_UNIT * CHROMA_UNIT) < SAME_CHROMA * SAME_CHROMA;
        agreeing += usize::from(agrees);
    }
    (map, agreeing as f32 / places.len().max(1) as f32)
}

fn units(place: &Place) -> Place {
    std::array::from_fn(|lane| {
        if lane < LUMA_LANES { (place[lane] - 128.0) / LUMA_UNIT } else { place[lane] / CHROMA_UNIT }
    })
}

/// The mean luma of a place, and its chroma.
fn channels(place: &Place) -> [f32; 3] {
    [place[..LUMA_LANES].iter().sum::<f32>() / LUMA_LANES as f32, place[LUMA_LANES], place[LUMA_LANES + 1]]
}

/// One gain about two means that takes the query's channel to the stored picture's.
struct Change {
    stored: f32,
    query: f32,
    gain: f32,
}

impl Change {
    /// Fitted with Cauchy weights on the places in sight; `explained` of train.py.
    fn between(stored: &[f32], query: &[f32]) -> Self {
        let mut weights = vec![1.0f32; stored.len()];
        let mut change = Self { stored: 0.0, query: 0.0, gain: 1.0 };
        for round in 0..ROUNDS {
            let [n, q, s] = sums([&weights, query, stored], |[w, q, s]| [w, w * q, w * s]);
            let n = 1.0 + n;
            (change.query, change.stored) = (q / n, s / n);
            let [both, square] = sums([&weights, query, stored], |[w, q, s]| {
                let (q, s) = (q - change.query, s - change.stored);
                [w * q * s, w * q * q]
            });
            // Pulled towards no change, so that a flat colour fixes nothing.
            change.gain = ((both / n + 0.01) / (square / n + 0.01)).clamp(0.5, 2.0);
            if round + 1 == ROUNDS {
                break;
            }
            let [left] = sums([stored, query], |[s, q]| [change.left(s, q).abs()]);
            let spread = left / (stored.len() as f32 + 1.0) + 0.05;
            for (weight, (s, q)) in weights.iter_mut().zip(stored.iter().zip(query)) {
                let off = change.left(*s, *q) / spread;
                *weight = 1.0 / (1.0 + off * off);
            }
        }
        change
    }

    /// What the change does not explain.
    fn left(&self, stored: f32, query: f32) -> f32 {
        stored - self.stored - self.gain * (query - self.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_weights_are_read() {
        assert_eq!(weights_digest().len(), 64);
        let places = PAIR_SIDE_PX * PAIR_SIDE_PX;
        let pair = Pair {
            stored: vec![[90.0, 90.0, 90.0, 90.0, 3.0, -4.0]; places],
            query: vec![[95.0, 95.0, 95.0, 95.0, 3.0, -4.0]; places],
            seen: vec![true; places],
            content: [0.5; 3],
            ground_change: 0.0,
            overlap_px: 0,
        };
        let judged = PairJudge::shipped().judge(&pair, &Evidence::default());
        assert!((judged.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{judged:?}");
        assert!(judged.colour_agreement > 0.99, "{judged:?}");
    }
}
