//! What is wrong with a configuration.

use std::path::PathBuf;

use super::profile::Profile;
use crate::catalog::CatalogError;
use crate::embed::ModelError;
use crate::engine::EngineError;
use crate::fetch::FetchError;
use crate::home::Home;
use crate::upstream::{GuardError, TapeError, UpstreamError};

/// Why settings cannot be resolved, or nothing be opened by them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither the caller, the environment, the file nor the system names a place for the home.
    #[error("this system names no data folder: name a home (TONGKUAN_HOME)")]
    NoHomeFolder,
    /// Both were asked for.
    #[error("recording and replaying exclude each other: a replayed answer is recorded already")]
    RecordAndReplay,
    /// A variable of the environment cannot be what it says.
    #[error("{name} is {value:?}: {problem}")]
    Variable { name: &'static str, value: String, problem: String },
    /// The configuration file is there, or was named, and cannot be read.
    #[error("cannot read the configuration file {} ({cause})", path.display())]
    FileNotRead { path: PathBuf, cause: String },
    /// It is no TOML, or has a field or value that is none.
    #[error("{} is not a valid configuration: {problem}", path.display())]
    FileInvalid { path: PathBuf, problem: String },
    /// A share of searches is outside of 0 to 1.
    #[error("max_false_hit is {share}: use a share above 0, at most 1; 0.01 is one in a hundred")]
    Share { share: f64 },
    /// The file has sections for several upstreams and no order among them.
    #[error(
        "several upstreams are configured: say in which order they are asked, as in upstreams = [\"aop\", \"article\"]"
    )]
    UpstreamOrder,
    /// It would be asked, and paid, once for each time.
    #[error(
        "the upstream {profile} is named twice: name each upstream once, in the order in which they are asked"
    )]
    UpstreamTwice { profile: Profile },
    /// An upstream is named, and its credentials are nowhere.
    #[error("the upstream {profile} is named but its credentials are not: set {variables}")]
    NoCredentials { profile: Profile, variables: String },
    /// Something is asked of an upstream that is not among those configured.
    #[error("the upstream {profile} is not configured")]
    NotConfigured { profile: Profile },
    /// A file that should hold a secret cannot be read.
    #[error("cannot read the secret in {} ({cause}): let this user read it", path.display())]
    SecretNotRead { path: PathBuf, cause: String },
    /// `what` begins the sentence.
    #[error("{what} needs the network, which is forbidden (TONGKUAN_OFFLINE)")]
    Offline { what: String },
    /// Nothing is stored at the home.
    #[error(
        "there is no home at {home}: no catalogue is in it; correct TONGKUAN_HOME or the configuration file"
    )]
    NoHome { home: Home },
    /// Whether something is stored there cannot be seen.
    #[error("the home {} may not be read ({cause}): have its owner let you in, or choose another", home.display())]
    HomeNotReadable { home: PathBuf, cause: String },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Tape(#[from] TapeError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<CatalogError> for ConfigError {
    /// As the engine tells it that is opened.
    fn from(error: CatalogError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<UpstreamError> for ConfigError {
    /// As the engine tells it that asks.
    fn from(error: UpstreamError) -> Self {
        Self::Engine(GuardError::Upstream { error, calls: 0 }.into())
    }
}
