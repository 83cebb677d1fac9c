//! What does it look like? Turns a tensor into an embedding.
//!
//! [`Embedder`] is the seam: [`OnnxEmbedder`] is the real one, tests bring their own.

mod batches;
mod composites;
mod library;
mod model;
mod onnx;
mod pins;
mod provider;
mod reference;
pub mod runtime;
mod windows;

use std::path::PathBuf;

pub(crate) use library::disable_telemetry_if_alone;
pub use model::{CompositesSpec, MANIFEST_FORMAT, Manifest, Model, ModelError, OutputSpec, WindowSpec};
pub use onnx::OnnxEmbedder;
pub use provider::{COMPARABLE_COSINE, Provider, UnknownProvider};

pub use crate::vector::{Embedding, EmbeddingError, Fingerprint, Thresholds};

use crate::tensor::{Tensor, TensorSpec};
use runtime::RuntimeError;

/// Turns tensors into embeddings. Equal tensors give equal embeddings, but for what a run with other pictures beside changes
/// in the last digits on a [`Provider`] other than the CPU; called from any thread.
pub trait Embedder: Send + Sync {
    /// Names the space that the embeddings live in.
    fn fingerprint(&self) -> Fingerprint;

    /// What a tensor for this embedder looks like.
    fn input(&self) -> &TensorSpec;

    /// What the cosines of its embeddings mean.
    fn thresholds(&self) -> Thresholds;

    /// The embedding of one whole picture, whose tensor is as [`Embedder::input`] says.
    ///
    /// # Errors
    /// [`EmbedError`] when the runtime or the model fails.
    fn embed(&self, tensor: &Tensor) -> Result<Embedding, EmbedError>;

    /// As [`Embedder::embed`], with what the same pass tells of the picture beside its embedding.
    ///
    /// # Errors
    /// [`EmbedError`] when the runtime or the model fails.
    fn look(&self, tensor: &Tensor) -> Result<FirstLook, EmbedError> {
        Ok(FirstLook { embedding: self.embed(tensor)?, may_be_composite: true })
    }

    /// What a tensor for [`Embedder::embed_parts`] looks like; `None` when this embedder only knows whole pictures.
    fn parts_input(&self) -> Option<TensorSpec> {
        None
    }

    /// Embeddings of sixteen parts of the picture, each half as wide and half as high, evenly spread: of what stands in
    /// a collage or on a scene, for example. They live in the same space as those of whole pictures. `tensor` is as
    /// [`Embedder::parts_input`] says; none come back where that is `None`.
    ///
    /// # Errors
    /// [`EmbedError`] when the runtime or the model fails.
    fn embed_parts(&self, tensor: &Tensor) -> Result<Vec<Embedding>, EmbedError> {
        let _ = tensor;
        Ok(Vec::new())
    }
}

/// What one pass over a whole picture tells.
#[derive(Clone, Debug)]
pub struct FirstLook {
    /// Of the whole picture.
    pub embedding: Embedding,
    /// Whether the picture may hold other pictures, as collages and scenes do, which only [`Embedder::embed_parts`] would
    /// find. True where the embedder cannot tell.
    pub may_be_composite: bool,
}

/// Why there is no embedding.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum EmbedError {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("ONNX Runtime cannot load the model: {0}; check the ONNX file")]
    Load(String),
    #[error("the model has no {what} named {name:?} (it has: {found}); correct its manifest")]
    Graph { what: &'static str, name: String, found: String },
    #[error("ONNX Runtime failed on a picture: {0}")]
    Run(String),
    #[error("the model gave {found} numbers, its manifest promises {expected}; correct the manifest")]
    Dimension { expected: usize, found: usize },
    #[error(
        "a tensor of {width_px}x{height_px} does not fall into the model's cells of {cell_px}; correct the manifest"
    )]
    Cells { width_px: usize, height_px: usize, cell_px: u32 },
    #[error("the model's output is no embedding: {0}")]
    Embedding(EmbeddingError),
    #[error(
        "the ONNX Runtime at {} ({version}) cannot run the model on {provider}: {reason}; set ORT_DYLIB_PATH to a runtime that has \
         this provider, and see that what it needs is on this machine",
        path.display()
    )]
    ProviderUnavailable { provider: Provider, path: PathBuf, version: String, reason: String },
}

impl From<EmbeddingError> for EmbedError {
    fn from(error: EmbeddingError) -> Self {
        Self::Embedding(error)
    }
}
