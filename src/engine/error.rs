//! Why a use of the engine failed.

use std::path::PathBuf;

use crate::calibration::TooFewPairs;
use crate::cancel::Interrupted;
use crate::embed::EmbedError;
use crate::index::{IndexError, SaveError};
use crate::photo::PhotoError;
use crate::photo_id::PhotoId;
use crate::store::CatalogError;
use crate::tensor::TensorError;
use crate::upstream::guard::GuardError;
use crate::upstream::{PrepareError, UpstreamErrorKind};
use crate::verify::SketchError;

/// Why a search, or another use of the engine, failed. A miss is not an error.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum EngineError {
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Sketch(#[from] SketchError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    TooFewPairs(#[from] TooFewPairs),
    #[error(
        "there is no calibration for the model {model}, so no false-hit bound can be promised: calibrate on \
         pictures of yours, or ask for no bound"
    )]
    Uncalibrated { model: String },
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Upstream(#[from] GuardError),
    /// Before anything was known about the picture, or asked about it.
    #[error("the search has no answer: {0}")]
    Interrupted(Interrupted),
    #[error("there is no photo {photo_id}")]
    NoSuchPhoto { photo_id: PhotoId },
    #[error("it is not photo {photo_id} any more: its address shows another picture by now")]
    OtherPicture { photo_id: PhotoId },
    #[error("both are photo {photo_id}, by their bytes or pixels: there is nothing to tell apart")]
    OnePhoto { photo_id: PhotoId },
    #[error("no upstream is configured")]
    NoUpstream,
    #[error("a temporary file in {} cannot be written or read ({source}): free the disk, or name another folder for \
        temporary files", folder.display())]
    Scratch { folder: PathBuf, r#source: std::io::Error },
}

impl From<Interrupted> for EngineError {
    fn from(reason: Interrupted) -> Self {
        Self::Interrupted(reason)
    }
}

impl EngineError {
    /// Whether the caller wanted no answer any more, or gave it no time.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interruption().is_some()
    }

    /// Why the caller has ended it, if that is the error.
    #[must_use]
    pub fn interruption(&self) -> Option<Interrupted> {
        match self {
            Self::Interrupted(reason) | Self::Upstream(GuardError::Interrupted { reason, .. }) => {
                Some(*reason)
            }
            _ => None,
        }
    }

    /// Calls that were made in vain, and perhaps billed.
    #[must_use]
    pub fn calls(&self) -> u32 {
        if let Self::Upstream(error) = self { error.calls() } else { 0 }
    }

    /// Whether the same picture will fail in the same way whenever it is tried.
    #[must_use]
    pub fn is_input_error(&self) -> bool {
        match self {
            Self::Photo(_) | Self::Tensor(_) | Self::Prepare(_) | Self::OtherPicture { .. } => true,
            Self::Upstream(GuardError::Upstream { error, .. }) => {
                matches!(error.kind, UpstreamErrorKind::Image | UpstreamErrorKind::Param)
            }
            _ => false,
        }
    }
}
