//! In which space do vectors live, and what do cosines mean there?

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names the space a vector lives in: vectors of different fingerprints must never be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Name and version, for people.
    pub model: String,
    /// Numbers a vector.
    pub dimension: usize,
    /// Hex SHA-256 over the ONNX file's digest, the input specification and the version of preprocessing.
    pub digest: String,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({} dimensions, {})",
            self.model,
            self.dimension,
            &self.digest[..12.min(self.digest.len())]
        )
    }
}

/// The cosines, in -1..=1, at which this model's scores mean something; measured, see the model's card.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// From here on two pictures are taken for the same picture.
    pub same_picture: f32,
    /// From here up to `same_picture` a candidate stands out, but not enough.
    pub review: f32,
    /// The share of unseen pictures, 0..=1, that `same_picture` was measured to let through (upper 95 % bound).
    #[serde(default)]
    pub max_false_hit: Option<f64>,
}
