//! A small convolutional network, run on one core: what the pair judge is made of.
//!
//! ONNX Runtime would do as well and is there for the embedding; this keeps the verifier pure, so that it needs no
//! library at run time, and costs about the same (docs/benchmarks/pair-judge.md). Pictures lie row by row, all channels
//! of a place together, with a rim of zeros one place wide.

/// Numbers that are handled together: one AVX2 register.
const LANES: usize = 8;
type Lane = [f32; LANES];
/// Places of a row that are worked on at once.
const PLACES: usize = 4;

/// A picture of `side` x `side` places with `channels` numbers each, and a rim of zeros.
#[derive(Clone, Debug)]
pub(super) struct Map {
    side: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Map {
    pub(super) fn zeros(side: usize, channels: usize) -> Self {
        Self { side, channels, values: vec![0.0; (side + 2) * (side + 2) * channels] }
    }

    /// The numbers of one place.
    pub(super) fn at_mut(&mut self, row: usize, column: usize) -> &mut [f32] {
        let start = ((row + 1) * (self.side + 2) + column + 1) * self.channels;
        &mut self.values[start..start + self.channels]
    }

    fn row(&self, row: usize) -> impl Iterator<Item = &[f32]> {
        let start = ((row + 1) * (self.side + 2) + 1) * self.channels;
        self.values[start..start + self.side * self.channels].chunks_exact(self.channels)
    }

    /// Mean and maximum of each channel.
    pub(super) fn pooled(&self) -> Vec<f32> {
        let (mut mean, mut most) = (vec![0.0f32; self.channels], vec![f32::MIN; self.channels]);
        for place in (0..self.side).flat_map(|row| self.row(row)) {
            for ((sum, most), value) in mean.iter_mut().zip(&mut most).zip(place) {
                *sum += value;
                *most = most.max(*value);
            }
        }
        let places = (self.side * self.side) as f32;
        for sum in &mut mean {
            *sum /= places;
        }
        mean.extend(most);
        mean
    }
}

/// A 3 x 3 convolution followed by a ReLU.
#[derive(Debug)]
pub(super) struct Convolution {
    stride: usize,
    inputs: usize,
    outputs: usize,
    bias: Vec<Lane>,
    /// For each of the nine places, row by row, and each input: all outputs.
    weights: Vec<Lane>,
}

impl Convolution {
    /// `weights` is `[outputs, inputs, 3, 3]`, as ONNX has it; outputs are a multiple of 8, and of 24 or 16. `None` where
    /// the lengths do not fit.
    pub(super) fn new(stride: usize, inputs: usize, weights: &[f32], bias: &[f32]) -> Option<Self> {
        let outputs = bias.len();
        let fits = weights.len() == outputs * inputs * 9
            && outputs > 0
            && (outputs.is_multiple_of(3 * LANES) || outputs.is_multiple_of(2 * LANES));
        if !fits {
            return None;
        }
        let mut turned = vec![[0.0; LANES]; 9 * inputs * outputs / LANES];
        for (output, of_output) in weights.chunks_exact(inputs * 9).enumerate() {
            for (input, of_input) in of_output.chunks_exact(9).enumerate() {
                for (tap, weight) in of_input.iter().enumerate() {
                    turned[(tap * inputs + input) * (outputs / LANES) + output / LANES][output % LANES] =
                        *weight;
                }
            }
        }
        let bias = bias.as_chunks().0.to_vec();
        Some(Self { stride, inputs, outputs, bias, weights: turned })
    }

    pub(super) fn apply(&self, input: &Map) -> Map {
        let mut output = Map::zeros(input.side / self.stride, self.outputs);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has just said that it has the instructions that this copy of the loop needs.
            #[expect(unsafe_code)]
            unsafe {
                self.by_avx2(input, &mut output);
            }
            return output;
        }
        self.anywhere::<{ cfg!(target_arch = "aarch64") }>(input, &mut output);
        output
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn by_avx2(&self, input: &Map, output: &mut Map) {
        self.anywhere::<true>(input, output);
    }

    /// `FUSED`: the processor multiplies and adds in one instruction.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each caller compiles it for its own instructions")]
    fn anywhere<const FUSED: bool>(&self, input: &Map, output: &mut Map) {
        if self.outputs.is_multiple_of(3 * LANES) {
            self.blocks::<FUSED, 3>(input, output);
        } else {
            self.blocks::<FUSED, 2>(input, output);
        }
    }

    /// `WIDE` times [`LANES`] outputs of [`PLACES`] places at a time, so that all sums stay in registers.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each caller compiles it for its own instructions")]
    fn blocks<const FUSED: bool, const WIDE: usize>(&self, input: &Map, output: &mut Map) {
        let (lanes, across) = (self.outputs / LANES, input.side + 2);
        let side = output.side;
        for row in 0..side {
            for column in (0..side).step_by(PLACES) {
                for first in (0..lanes).step_by(WIDE) {
                    let mut sums = [[[0.0f32; LANES]; WIDE]; PLACES];
                    for sum in &mut sums {
                        sum.copy_from_slice(&self.bias[first..first + WIDE]);
                    }
                    for tap in 0..9 {
                        let start = (row * self.stride + tap / 3) * across + column * self.stride + tap % 3;
                        let step = self.stride * self.inputs;
                        let start = start * self.inputs;
                        let places: [&[f32]; PLACES] =
                            std::array::from_fn(|place| &input.values[start + place * step..][..self.inputs]);
                        let weights = &self.weights[tap * self.inputs * lanes..][..self.inputs * lanes];
                        for (channel, all) in weights.chunks_exact(lanes).enumerate() {
                            let weights = &all[first..first + WIDE];
                            for (sums, place) in sums.iter_mut().zip(places) {
                                let value = place[channel];
                                for (sum, weights) in sums.iter_mut().zip(weights) {
                                    for (sum, weight) in sum.iter_mut().zip(weights) {
                                        *sum = if FUSED {
                                            value.mul_add(*weight, *sum)
                                        } else {
                                            value * weight + *sum
                                        };
                                    }
                                }
                            }
                        }
                    }
                    for (place, sums) in sums.iter().enumerate() {
                        let out = &mut output.at_mut(row, column + place)[first * LANES..][..WIDE * LANES];
                        for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
                            *out = sum.max(0.0);
                        }
                    }
                }
            }
        }
    }
}

/// A fully connected layer.
#[derive(Debug)]
pub(super) struct Dense {
    bias: Vec<f32>,
    /// `[outputs, inputs]`
    weights: Vec<f32>,
}

impl Dense {
    /// `None` where the lengths do not fit.
    pub(super) fn new(inputs: usize, weights: &[f32], bias: &[f32]) -> Option<Self> {
        let fits = inputs > 0 && weights.len() == inputs * bias.len();
        fits.then(|| Self { bias: bias.to_vec(), weights: weights.to_vec() })
    }

    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.weights.chunks_exact(input.len());
        rows.zip(&self.bias)
            .map(|(row, bias)| bias + row.iter().zip(input).map(|(w, x)| w * x).sum::<f32>())
            .collect()
    }
}

pub(super) fn relu(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn plainly(
        weights: &[f32],
        bias: &[f32],
        input: &Map,
        stride: usize,
        row: usize,
        column: usize,
        output: usize,
    ) -> f32 {
        let mut sum = bias[output];
        for tap in 0..9 {
            for channel in 0..input.channels {
                let place = (row * stride + tap / 3) * (input.side + 2) + column * stride + tap % 3;
                sum += weights[(output * input.channels + channel) * 9 + tap]
                    * input.values[place * input.channels + channel];
            }
        }
        sum.max(0.0)
    }

    #[test]
    fn a_convolution_is_what_its_definition_says_at_every_place() {
        for (stride, inputs, outputs) in [(1, 3, 16), (2, 10, 24), (2, 5, 48), (1, 7, 64)] {
            let (weights, bias) = (numbers(outputs * inputs * 9, 1), numbers(outputs, 2));
            let mut input = Map::zeros(8, inputs);
            for (row, column) in (0..64).map(|i| (i / 8, i % 8)) {
                let values = numbers(inputs, (row * 8 + column) as u32);
                input.at_mut(row, column).copy_from_slice(&values);
            }
            let layer = Convolution::new(stride, inputs, &weights, &bias).expect("the lengths fit");
            let mut output = layer.apply(&input);
            for row in 0..8 / stride {
                for column in 0..8 / stride {
                    for channel in 0..outputs {
                        let right = plainly(&weights, &bias, &input, stride, row, column, channel);
                        let found = output.at_mut(row, column)[channel];
                        assert!(
                            (found - right).abs() < 1e-4,
                            "{stride} {row} {column} {channel}: {found} {right}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert!(Convolution::new(1, 3, &numbers(27 * 16, 1), &numbers(16, 2)).is_some());
        assert!(Convolution::new(1, 3, &numbers(27 * 16 - 1, 1), &numbers(16, 2)).is_none());
        assert!(Convolution::new(1, 3, &numbers(27 * 5, 1), &numbers(5, 2)).is_none());
        assert!(Dense::new(4, &numbers(11, 1), &numbers(3, 1)).is_none());
    }
}
