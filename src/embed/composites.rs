//! May a picture hold other pictures, as collages and scenes do? One pass over the whole of it is enough to rule that out
//! for most pictures, which saves the second look at their parts: three times the work of the first.

use safetensors::SafeTensors;

use crate::vector::Embedding;

/// Halves of a picture that are looked at beside the whole, see `windows.rs`.
const HALVES: usize = 16;
/// Pairs of the whole and the halves.
const PAIRS: usize = (HALVES + 1) * HALVES / 2;

/// A small network over the embeddings of the whole and of the sixteen halves at the size of the first look, and their cosines
/// with each other; made by models/composites.py. How much it rules out, and what that costs, is in
/// docs/benchmarks/second-look.md.
#[derive(Clone, Debug)]
pub(super) struct CompositeDetector {
    whole: Layer,
    /// The same for each half.
    part: Layer,
    hidden: Layer,
    /// The threshold is part of it: the sum decides by its sign.
    out: Layer,
}

/// Fully connected.
#[derive(Clone, Debug)]
struct Layer {
    /// Row by row, one for each output.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    /// `NAME.weight`, `[outputs, inputs]`, and `NAME.bias`, `[outputs]`.
    fn read(file: &SafeTensors<'_>, name: &str, inputs: usize) -> Option<Self> {
        let numbers = |name: &str| -> Option<(Vec<f32>, Vec<usize>)> {
            let tensor = file.tensor(name).ok()?;
            let (fours, _) = tensor.data().as_chunks::<4>();
            let numbers: Vec<f32> = fours.iter().map(|four| f32::from_le_bytes(*four)).collect();
            let fits =
                tensor.dtype() == safetensors::Dtype::F32 && numbers.iter().all(|number| number.is_finite());
            fits.then(|| (numbers, tensor.shape().to_vec()))
        };
        let (weights, shape) = numbers(&format!("{name}.weight"))?;
        let (bias, outputs) = numbers(&format!("{name}.bias"))?;
        (outputs == [bias.len()] && shape == [bias.len(), inputs] && !bias.is_empty())
            .then_some(Self { weights, bias })
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    fn apply<'a>(&'a self, input: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let rows = self.weights.chunks_exact(input.len());
        rows.zip(&self.bias).map(move |(row, bias)| {
            bias + row.iter().zip(input).map(|(weight, value)| weight * value).sum::<f32>()
        })
    }
}

impl CompositeDetector {
    /// From a safetensors file with the layers `whole`, `part`, `hidden` and `out`; `None` for any other.
    pub(super) fn from_safetensors(bytes: &[u8], dimension: usize) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let whole = Layer::read(&file, "whole", dimension)?;
        let part = Layer::read(&file, "part", dimension)?;
        let hidden = Layer::read(&file, "hidden", whole.outputs() + HALVES * part.outputs() + PAIRS)?;
        let out = Layer::read(&file, "out", hidden.outputs())?;
        (out.outputs() == 1).then_some(Self { whole, part, hidden, out })
    }

    /// `embeddings`: of the whole and then of the halves.
    pub(super) fn may_be_composite(&self, embeddings: &[Embedding]) -> bool {
        let Some((whole, halves)) = embeddings.split_first() else { return true };
        let relu = |value: f32| value.max(0.0);
        let mut seen: Vec<f32> = self.whole.apply(whole.as_slice()).map(relu).collect();
        for half in halves {
            seen.extend(self.part.apply(half.as_slice()).map(relu));
        }
        for (place, one) in embeddings.iter().enumerate() {
            seen.extend(embeddings[place + 1..].iter().map(|other| one.cosine(other)));
        }
        let hidden: Vec<f32> = self.hidden.apply(&seen).map(relu).collect();
        self.out.apply(&hidden).sum::<f32>() >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView, serialize};

    use super::*;
    use crate::embed::Model;

    #[test]
    fn the_shipped_detector_is_read_and_others_are_refused() {
        let model = Model::built_in().unwrap();
        assert!(model.composites().is_some());
        assert!(CompositeDetector::from_safetensors(b"no file at all", 256).is_none());
    }

    /// With two numbers a vector: the sum of the cosines of all pairs, less `at_least`.
    fn sum_of_cosines(at_least: f32, hidden_inputs: usize) -> Vec<u8> {
        let bytes =
            |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let mut of_cosines = vec![0.0; hidden_inputs];
        of_cosines[1 + HALVES..].fill(1.0);
        let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = vec![
            ("whole.weight", vec![1, 2], bytes(&[0.0; 2])),
            ("whole.bias", vec![1], bytes(&[0.0])),
            ("part.weight", vec![1, 2], bytes(&[0.0; 2])),
            ("part.bias", vec![1], bytes(&[0.0])),
            ("hidden.weight", vec![1, hidden_inputs], bytes(&of_cosines)),
            ("hidden.bias", vec![1], bytes(&[0.0])),
            ("out.weight", vec![1, 1], bytes(&[1.0])),
            ("out.bias", vec![1], bytes(&[-at_least])),
        ];
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
        serialize(views, None).unwrap()
    }

    #[test]
    fn every_pair_counts_once_and_the_sign_of_the_sum_decides() {
        let embeddings: Vec<Embedding> =
            (0..=HALVES).map(|_| Embedding::new(vec![0.6, 0.8]).unwrap()).collect();
        let detector = |at_least| {
            CompositeDetector::from_safetensors(&sum_of_cosines(at_least, 1 + HALVES + PAIRS), 2).unwrap()
        };
        assert!(detector(135.9).may_be_composite(&embeddings));
        assert!(!detector(136.1).may_be_composite(&embeddings));
    }

    #[test]
    fn layers_that_do_not_fit_each_other_are_refused() {
        let file = sum_of_cosines(1.0, HALVES + PAIRS);
        assert!(CompositeDetector::from_safetensors(&file, 2).is_none());
        let file = sum_of_cosines(1.0, 1 + HALVES + PAIRS);
        assert!(CompositeDetector::from_safetensors(&file, 3).is_none());
        assert!(CompositeDetector::from_safetensors(&file, 2).is_some());
    }
}
