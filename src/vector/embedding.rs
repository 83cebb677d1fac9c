//! What does a picture look like?

use super::similarity::similarity;

/// How far from one the length of a stored vector may be. Rounding to `f32` moves it by less than 1e-7.
const UNIT_TOLERANCE: f64 = 1e-6;

/// What a picture looks like to the model: a vector of `dimension` numbers, each finite, of length one within
/// 1e-6, without negative zeros (so equal vectors have equal bytes). `dimension` is at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Scales `values` to unit length. Values of unit length already keep their bits, so that a vector read back
    /// from the catalogue is the very vector that was stored.
    ///
    /// # Errors
    /// [`EmbeddingError`] when there is no direction in `values`: none at all, all zero, or one not finite.
    pub fn new(mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        if values.is_empty() {
            return Err(EmbeddingError::Empty);
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(EmbeddingError::NotFinite { at });
        }
        let length = length(&values);
        if length == 0.0 {
            return Err(EmbeddingError::Zero);
        }
        let already_unit = (length - 1.0).abs() <= UNIT_TOLERANCE;
        for value in &mut values {
            if !already_unit {
                #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is wanted")]
                let scaled = (f64::from(*value) / length) as f32;
                *value = scaled;
            }
            // -0.0 + 0.0 is 0.0; everything else stays as it is.
            *value += 0.0;
        }
        Ok(Self(values.into_boxed_slice()))
    }

    /// How many numbers there are.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// The numbers, shape `[dimension]`.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// How alike two pictures are, -1 to 1. Exactly 1 when, and only when, the vectors are the same bit for bit.
    /// Vectors of different dimension come from different models and are alike in nothing: -1.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        if self.dimension() == other.dimension() { similarity(&self.0, &other.0) } else { -1.0 }
    }

    /// For the catalogue: `4 * dimension` bytes, each number little-endian.
    #[must_use]
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Reads what [`Embedding::to_le_bytes`] wrote, bit for bit.
    ///
    /// # Errors
    /// As [`Embedding::new`], and [`EmbeddingError::NotStored`] for bytes that it cannot have written.
    pub fn from_le_bytes(bytes: &[u8]) -> Result<Self, EmbeddingError> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let values: Vec<f32> = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
        if !rest.is_empty() {
            return Err(EmbeddingError::NotStored);
        }
        let stored_length = length(&values);
        let embedding = Self::new(values)?;
        if (stored_length - 1.0).abs() > UNIT_TOLERANCE {
            return Err(EmbeddingError::NotStored);
        }
        Ok(embedding)
    }
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

/// Why numbers are no [`Embedding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum EmbeddingError {
    #[error("the model gave no numbers; check that the model file is one this version knows")]
    Empty,
    #[error("number {at} of the vector is not finite; check the model file and the picture's pixels")]
    NotFinite { at: usize },
    #[error("the vector is all zeros and points nowhere; check the model file")]
    Zero,
    #[error("the stored vector is damaged; embed the picture again")]
    NotStored,
}
