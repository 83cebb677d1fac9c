//! May a picture hold other pictures, as collages and scenes do? One pass over the whole of it is enough to rule that out
//! for most pictures, which saves the second look at their parts: three times the work of the first.

use safetensors::SafeTensors;

use crate::vector::Embedding;

/// The whole and its sixteen halves.
const WINDOWS: usize = 17;

/// A logistic function of the embeddings of the whole and of the sixteen halves at the size of the first look, and of the
/// cosines of all pairs of them, made by models/composites.py; how much it rules out, and what that costs, is in docs/benchmarks/second-look.md.
#[derive(Clone, Debug)]
pub(super) struct CompositeDetector {
    /// For the whole and then each half, as many as an embedding has numbers.
    weights: Vec<f32>,
    /// For each pair of them: the first with all behind it, then the second. Empty in files that know no pairs.
    pairs: Vec<f32>,
    /// The threshold is part of it: the sum decides by its sign.
    bias: f32,
}

impl CompositeDetector {
    /// From a safetensors file with `weights`, `[17, dimension]`, `bias`, `[1]`, and perhaps `pairs`, `[136]`; `None` for any other.
    pub(super) fn from_safetensors(bytes: &[u8], dimension: usize) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let numbers = |name: &str, shape: &[usize]| -> Option<Vec<f32>> {
            let tensor = file.tensor(name).ok()?;
            let fits = tensor.dtype() == safetensors::Dtype::F32 && tensor.shape() == shape;
            let (fours, _) = tensor.data().as_chunks::<4>();
            let numbers: Vec<f32> = fours.iter().map(|four| f32::from_le_bytes(*four)).collect();
            (fits && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
        };
        let weights = numbers("weights", &[WINDOWS, dimension])?;
        let has_pairs = file.tensor("pairs").is_ok();
        let pairs = if has_pairs { numbers("pairs", &[WINDOWS * (WINDOWS - 1) / 2])? } else { Vec::new() };
        let bias = numbers("bias", &[1])?[0];
        Some(Self { weights, pairs, bias })
    }

    /// `embeddings`: of the whole and then of the halves.
    pub(super) fn may_be_composite(&self, embeddings: &[Embedding]) -> bool {
        let values = embeddings.iter().flat_map(Embedding::as_slice);
        let score: f32 = values.zip(&self.weights).map(|(value, weight)| value * weight).sum();
        let pairs = (0..embeddings.len()).flat_map(|a| (a + 1..embeddings.len()).map(move |b| (a, b)));
        let weighed = pairs.zip(&self.pairs);
        let by_pairs: f32 =
            weighed.map(|((a, b), weight)| embeddings[a].cosine(&embeddings[b]) * weight).sum();
        score + by_pairs + self.bias >= 0.0
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

    fn written(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(.., values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            let f32s = safetensors::Dtype::F32;
            (*name, safetensors::tensor::TensorView::new(f32s, shape.to_vec(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn pairs_that_are_unlike_make_a_composite_where_the_file_weighs_them_so_and_are_nothing_without() {
        let (weights, bias): ((&str, &[usize], _), (&str, &[usize], _)) =
            (("weights", &[17, 2], vec![0.0; 34]), ("bias", &[1], vec![100.0]));
        let pairs: (&str, &[usize], _) = ("pairs", &[136], vec![-1.0; 136]);
        let like = vec![Embedding::new(vec![1.0, 0.0]).unwrap(); 17];
        let mut unlike = like.clone();
        unlike[16] = Embedding::new(vec![-1.0, 0.0]).unwrap();
        unlike[3] = Embedding::new(vec![-1.0, 0.0]).unwrap();
        let read = |tensors: &[_]| CompositeDetector::from_safetensors(&written(tensors), 2);
        let with_pairs = read(&[weights.clone(), bias.clone(), pairs]).unwrap();
        assert!(!with_pairs.may_be_composite(&like) && with_pairs.may_be_composite(&unlike));
        let without = read(&[weights.clone(), bias.clone()]).unwrap();
        assert!(without.may_be_composite(&like));
        assert!(read(&[weights, bias, ("pairs", &[135], vec![0.0; 135])]).is_none());
    }
}
