//! May a picture hold other pictures, as collages and scenes do? One pass over the whole of it is enough to rule that out
//! for most pictures, which saves the second look at their parts: three times the work of the first.

use safetensors::SafeTensors;

use crate::vector::Embedding;

/// A logistic function of the embeddings of the whole and of the sixteen halves at the size of the first look, made by
/// models/composites.py; how much it rules out, and what that costs, is in docs/benchmarks/second-look.md.
#[derive(Clone, Debug)]
pub(super) struct CompositeDetector {
    /// For the whole and then each half, as many as an embedding has numbers.
    weights: Vec<f32>,
    /// The threshold is part of it: the sum decides by its sign.
    bias: f32,
}

impl CompositeDetector {
    /// From a safetensors file with `weights`, `[17, dimension]`, and `bias`, `[1]`; `None` for any other.
    pub(super) fn from_safetensors(bytes: &[u8], dimension: usize) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let numbers = |name: &str, shape: &[usize]| -> Option<Vec<f32>> {
            let tensor = file.tensor(name).ok()?;
            let fits = tensor.dtype() == safetensors::Dtype::F32 && tensor.shape() == shape;
            let (fours, _) = tensor.data().as_chunks::<4>();
            let numbers: Vec<f32> = fours.iter().map(|four| f32::from_le_bytes(*four)).collect();
            (fits && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
        };
        let weights = numbers("weights", &[17, dimension])?;
        let bias = numbers("bias", &[1])?[0];
        Some(Self { weights, bias })
    }

    /// `embeddings`: of the whole and then of the halves.
    pub(super) fn may_be_composite(&self, embeddings: &[Embedding]) -> bool {
        let values = embeddings.iter().flat_map(Embedding::as_slice);
        let score: f32 = values.zip(&self.weights).map(|(value, weight)| value * weight).sum();
        score + self.bias >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::Model;

    #[test]
    fn the_shipped_detector_is_read_and_others_are_refused() {
        let model = Model::built_in().unwrap();
        assert!(model.composites().is_some());
        assert!(CompositeDetector::from_safetensors(b"no file at all", 256).is_none());
    }
}
