//! What went wrong, as exceptions with the stable codes of `docs/errors.md`.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyTypeInfo, create_exception};
use tongkuan::EngineError;
use tongkuan::catalog::CatalogError;
use tongkuan::config::ConfigError;
use tongkuan::fetch::FetchError;
use tongkuan::input::{ReadProblem, SourceProblem};
use tongkuan::offer::{OfferIdError, PriceError};
use tongkuan::question::{RegionError, WordError};

create_exception!(
    tongkuan,
    TongkuanError,
    PyException,
    "Whatever went wrong. `code` is a stable word for programs; the text says what to do."
);
create_exception!(
    tongkuan,
    PictureError,
    TongkuanError,
    "This picture cannot be read, fetched or decoded; others can."
);
create_exception!(
    tongkuan,
    ArgumentError,
    TongkuanError,
    "An argument is out of its range, or does not go with another one."
);
create_exception!(
    tongkuan,
    ConfigurationError,
    TongkuanError,
    "Home, model, runtime, credentials or configuration file cannot be used."
);
create_exception!(
    tongkuan,
    Interrupted,
    TongkuanError,
    "The deadline passed, or it was cancelled, before there was an answer."
);

/// A failure on its way to Python.
#[derive(Debug)]
pub(crate) enum Failure {
    Picture {
        code: &'static str,
        text: String,
    },
    Argument {
        code: &'static str,
        text: String,
    },
    Configuration {
        code: &'static str,
        text: String,
    },
    Interrupted {
        code: &'static str,
        text: String,
    },
    Other {
        code: &'static str,
        text: String,
    },
    /// Of Python itself: an iterator that failed, Ctrl-C.
    Python(PyErr),
}

impl Failure {
    pub(crate) fn argument(code: &'static str, text: impl Into<String>) -> Self {
        Self::Argument { code, text: text.into() }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Picture { code, .. }
            | Self::Argument { code, .. }
            | Self::Configuration { code, .. }
            | Self::Interrupted { code, .. }
            | Self::Other { code, .. } => code,
            Self::Python(_) => "python",
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Picture { text, .. }
            | Self::Argument { text, .. }
            | Self::Configuration { text, .. }
            | Self::Interrupted { text, .. }
            | Self::Other { text, .. } => f.write_str(text),
            Self::Python(error) => error.fmt(f),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let (code, text) = (error.code(), error.to_string());
        if error.is_interrupted() {
            Self::Interrupted { code, text }
        } else if error.is_input_error() {
            Self::Picture { code, text }
        } else if matches!(error, EngineError::Embed(_)) {
            Self::Configuration { code, text }
        } else {
            Self::Other { code, text }
        }
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Other { code: error.code(), text: error.to_string() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration { code: error.code(), text: error.to_string() }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Picture { code: error.code(), text: error.to_string() }
    }
}

impl From<ReadProblem> for Failure {
    fn from(error: ReadProblem) -> Self {
        Self::Picture { code: error.code(), text: error.to_string() }
    }
}

impl From<SourceProblem> for Failure {
    fn from(error: SourceProblem) -> Self {
        Self::Picture { code: error.code(), text: error.to_string() }
    }
}

impl From<OfferIdError> for Failure {
    fn from(error: OfferIdError) -> Self {
        Self::argument(error.code(), error.to_string())
    }
}

impl From<PriceError> for Failure {
    fn from(error: PriceError) -> Self {
        Self::argument(error.code(), error.to_string())
    }
}

impl From<RegionError> for Failure {
    fn from(error: RegionError) -> Self {
        Self::argument(error.code(), error.to_string())
    }
}

impl From<WordError> for Failure {
    fn from(error: WordError) -> Self {
        Self::argument(error.code(), error.to_string())
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let code = failure.code();
        let (kind, text): (fn(String) -> PyErr, String) = match failure {
            Failure::Python(error) => return error,
            Failure::Picture { text, .. } => (raised::<PictureError>, text),
            Failure::Argument { text, .. } => (raised::<ArgumentError>, text),
            Failure::Configuration { text, .. } => (raised::<ConfigurationError>, text),
            Failure::Interrupted { text, .. } => (raised::<Interrupted>, text),
            Failure::Other { text, .. } => (raised::<TongkuanError>, text),
        };
        let error = kind(text);
        Python::attach(|py| {
            // An exception of one's own takes any attribute.
            let _ = error.value(py).setattr("code", code);
        });
        error
    }
}

fn raised<T: PyTypeInfo>(text: String) -> PyErr {
    PyErr::new::<T, _>(text)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("TongkuanError", py.get_type::<TongkuanError>())?;
    module.add("PictureError", py.get_type::<PictureError>())?;
    module.add("ArgumentError", py.get_type::<ArgumentError>())?;
    module.add("ConfigurationError", py.get_type::<ConfigurationError>())?;
    module.add("Interrupted", py.get_type::<Interrupted>())
}
