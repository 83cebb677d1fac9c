//! A small convolutional network, run on one core: what the pair judge is made of.
//!
//! ONNX Runtime would do as well and is there for the embedding; this keeps the verifier pure, so that it needs no
//! library at run time, and costs about the same (docs/benchmarks/pair-judge.md). Pictures lie row by row, all channels
//! of a place together, with a rim of zeros one place wide.

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
    bias: Vec<f32>,
    /// For each of the nine places, row by row, and each input: all outputs.
    weights: Vec<f32>,
}

/// Some outputs of some places that lie side by side: as many as there are registers for.
struct Block<'a> {
    /// The input, from the first of the nine places that the first place of the block is made of.
    values: &'a [f32],
    /// Numbers from one row of the input to the next, and from one place of the block to the next.
    across: usize,
    step: usize,
    inputs: usize,
    outputs: usize,
    /// From the first output of the block on.
    bias: &'a [f32],
    weights: &'a [f32],
}

/// Of `WIDE` times `LANES` outputs at `PLACES` places.
type Sums<const LANES: usize, const WIDE: usize, const PLACES: usize> = [[[f32; LANES]; WIDE]; PLACES];

/// By the first number of registers that the outputs fill again and again; `false` where they fill none. The processor must have been
/// asked for the instructions of `$sums` before.
#[cfg(target_arch = "x86_64")]
macro_rules! by_widest {
    ($layer:expr, $input:expr, $output:expr, $sums:ident of $lanes:literal, [$($wide:literal),+]) => {
        match $layer.outputs {
            $(
                outputs if outputs.is_multiple_of($lanes * $wide) => {
                    // SAFETY: the caller has asked the processor.
                    #[expect(unsafe_code)]
                    $layer.blocks($input, $output, |block, sums| unsafe { x86::$sums::<$wide>(block, sums) });
                    true
                }
            )+
            _ => false,
        }
    };
}

impl Convolution {
    /// `weights` is `[outputs, inputs, 3, 3]`, as ONNX has it; outputs are a multiple of 24 or 16. `None` where the lengths do
    /// not fit.
    pub(super) fn new(stride: usize, inputs: usize, weights: &[f32], bias: &[f32]) -> Option<Self> {
        let outputs = bias.len();
        let fits = weights.len() == outputs * inputs * 9
            && outputs > 0
            && (outputs.is_multiple_of(24) || outputs.is_multiple_of(16));
        if !fits {
            return None;
        }
        let mut turned = vec![0.0; weights.len()];
        for (output, of_output) in weights.chunks_exact(inputs * 9).enumerate() {
            for (input, of_input) in of_output.chunks_exact(9).enumerate() {
                for (tap, weight) in of_input.iter().enumerate() {
                    turned[(tap * inputs + input) * outputs + output] = *weight;
                }
            }
        }
        Some(Self { stride, inputs, outputs, bias: bias.to_vec(), weights: turned })
    }

    /// Sums are added up in the same order whatever the processor has, so that the result is the same wherever numbers are
    /// multiplied and added in one step.
    pub(super) fn apply(&self, input: &Map) -> Map {
        let mut output = Map::zeros(input.side / self.stride, self.outputs);
        #[cfg(target_arch = "x86_64")]
        if self.by_avx512(input, &mut output) || self.by_avx2(input, &mut output) {
            return output;
        }
        self.without_named_registers(input, &mut output);
        output
    }

    fn without_named_registers(&self, input: &Map, output: &mut Map) {
        if self.outputs.is_multiple_of(24) {
            self.blocks(input, output, anywhere::<3>);
        } else {
            self.blocks(input, output, anywhere::<2>);
        }
    }

    /// `false` where the processor has no such registers, or the outputs do not fill them.
    #[cfg(target_arch = "x86_64")]
    fn by_avx512(&self, input: &Map, output: &mut Map) -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
            && by_widest!(self, input, output, by_avx512 of 16, [6, 4, 3, 1])
    }

    /// The same.
    #[cfg(target_arch = "x86_64")]
    fn by_avx2(&self, input: &Map, output: &mut Map) -> bool {
        std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && by_widest!(self, input, output, by_avx2 of 8, [6, 4, 3, 2])
    }

    /// Has all sums made by `sum_up`, a block at a time.
    fn blocks<const LANES: usize, const WIDE: usize, const PLACES: usize>(
        &self,
        input: &Map,
        output: &mut Map,
        sum_up: impl Fn(&Block<'_>, &mut Sums<LANES, WIDE, PLACES>),
    ) {
        let across = (input.side + 2) * self.inputs;
        let step = self.stride * self.inputs;
        let side = output.side;
        assert!(side.is_multiple_of(PLACES) && input.channels == self.inputs);
        let mut sums = [[[0.0; LANES]; WIDE]; PLACES];
        for row in 0..side {
            for column in (0..side).step_by(PLACES) {
                for first in (0..self.outputs).step_by(WIDE * LANES) {
                    let block = Block {
                        values: &input.values[row * self.stride * across + column * step..],
                        across,
                        step,
                        inputs: self.inputs,
                        outputs: self.outputs,
                        bias: &self.bias[first..first + WIDE * LANES],
                        weights: &self.weights[first..],
                    };
                    sum_up(&block, &mut sums);
                    for (place, sums) in sums.iter().enumerate() {
                        let out = &mut output.at_mut(row, column + place)[first..first + WIDE * LANES];
                        for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
                            *out = sum.max(0.0);
                        }
                    }
                }
            }
        }
    }
}

/// For processors without a loop of their own: rustc makes of it what they have.
fn anywhere<const WIDE: usize>(block: &Block<'_>, sums: &mut Sums<8, WIDE, 4>) {
    // Its own, so that they may stay in registers.
    let mut own = [[[0.0f32; 8]; WIDE]; 4];
    for sum in &mut own {
        sum.as_flattened_mut().copy_from_slice(block.bias);
    }
    for tap in 0..9 {
        let first = tap / 3 * block.across + tap % 3 * block.inputs;
        let places: [&[f32]; 4] =
            std::array::from_fn(|place| &block.values[first + place * block.step..][..block.inputs]);
        for input in 0..block.inputs {
            let weights = &block.weights[(tap * block.inputs + input) * block.outputs..][..8 * WIDE];
            let weights = weights.as_chunks::<8>().0;
            for (sums, place) in own.iter_mut().zip(places) {
                let value = place[input];
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    for (sum, weight) in sum.iter_mut().zip(weights) {
                        *sum = if cfg!(target_arch = "aarch64") {
                            value.mul_add(*weight, *sum)
                        } else {
                            value * weight + *sum
                        };
                    }
                }
            }
        }
    }
    *sums = own;
}

/// The same with registers named: left to rustc, the sums are kept in memory by some of its settings, which takes eighteen
/// times as long (docs/benchmarks/pair-judge.md).
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code)]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::{Block, Sums};

    macro_rules! sums {
        ($name:ident, $features:literal, $register:ty, $lanes:literal, [$($place:ident $number:literal),+], $places:literal,
         $load:ident, $store:ident, $all:ident, $multiply_add:ident) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name<const WIDE: usize>(block: &Block<'_>, sums: &mut Sums<$lanes, WIDE, $places>) {
                let Block { values, across, step, inputs, outputs, bias, weights } = *block;
                assert!(
                    bias.len() == $lanes * WIDE
                        && weights.len() >= (9 * inputs - 1) * outputs + $lanes * WIDE
                        && values.len() >= 2 * across + ($places - 1) * step + 3 * inputs
                );
                // SAFETY, here and below: all that is read lies within these lengths.
                let load = |numbers: &[f32], at: usize| unsafe { $load(numbers.as_ptr().add(at)) };
                let bias: [$register; WIDE] = std::array::from_fn(|lane| load(bias, $lanes * lane));
                $(let mut $place = bias;)+
                for tap in 0..9 {
                    let first = tap / 3 * across + tap % 3 * inputs;
                    for input in 0..inputs {
                        let at = first + input;
                        let all = [$($all(unsafe { *values.get_unchecked(at + $number * step) })),+];
                        let at = (tap * inputs + input) * outputs;
                        for lane in 0..WIDE {
                            let weights = load(weights, at + $lanes * lane);
                            $($place[lane] = $multiply_add(all[$number], weights, $place[lane]);)+
                        }
                    }
                }
                $(
                    for (out, sum) in sums[$number].iter_mut().zip($place) {
                        // SAFETY: as many numbers as a register has.
                        unsafe { $store(out.as_mut_ptr(), sum) };
                    }
                )+
            }
        };
    }

    sums!(
        by_avx512, "avx512f", __m512, 16, [a 0, b 1, c 2, d 3], 4,
        _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps
    );
    sums!(
        by_avx2, "avx2,fma", __m256, 8, [a 0, b 1], 2,
        _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps
    );
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
    fn a_convolution_is_what_its_definition_says_at_every_place_by_any_registers() {
        for (stride, inputs, outputs) in
            [(1, 3, 16), (2, 4, 16), (1, 3, 24), (2, 10, 24), (2, 5, 48), (1, 7, 64), (2, 6, 96), (1, 4, 96)]
        {
            let (weights, bias) = (numbers(outputs * inputs * 9, 1), numbers(outputs, 2));
            let mut input = Map::zeros(8, inputs);
            for (row, column) in (0..64).map(|i| (i / 8, i % 8)) {
                let values = numbers(inputs, (row * 8 + column) as u32);
                input.at_mut(row, column).copy_from_slice(&values);
            }
            let layer = Convolution::new(stride, inputs, &weights, &bias).expect("the lengths fit");
            let side = 8 / stride;
            let mut plain = Map::zeros(side, outputs);
            layer.without_named_registers(&input, &mut plain);
            let mut ways = vec![plain, layer.apply(&input)];
            #[cfg(target_arch = "x86_64")]
            {
                let (mut narrow, mut wide) = (Map::zeros(side, outputs), Map::zeros(side, outputs));
                let has_narrow = layer.by_avx2(&input, &mut narrow);
                let has_wide = layer.by_avx512(&input, &mut wide);
                assert!(!has_wide || outputs.is_multiple_of(16));
                if has_narrow && has_wide {
                    assert_eq!(narrow.values, wide.values, "{stride} {outputs}");
                }
                ways.extend(has_narrow.then_some(narrow).into_iter().chain(has_wide.then_some(wide)));
            }
            for (way, output) in ways.iter_mut().enumerate() {
                for (row, column) in (0..side * side).map(|i| (i / side, i % side)) {
                    for (channel, found) in output.at_mut(row, column).iter().enumerate() {
                        let right = plainly(&weights, &bias, &input, stride, row, column, channel);
                        assert!(
                            (found - right).abs() < 1e-4,
                            "{way} {stride} {row} {column} {channel}: {found} {right}"
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
