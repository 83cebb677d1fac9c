//! What is a picture's vector? Values without I/O: the model that makes them is in `embed`.

mod embedding;
mod hash;
mod similarity;
mod space;

pub use embedding::{Embedding, EmbeddingError};
pub use hash::PerceptualHash;
pub(crate) use similarity::similarity;
pub use space::{Fingerprint, Thresholds};
