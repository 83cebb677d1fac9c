//! Which index answers: one that this process has of its own, or the database.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::index_audit::{IndexAudit, audit};
use super::live_index::LiveIndex;
use super::pgvector_index::PgvectorIndex;
use super::shared_snapshot::SharedIndex;
use super::vector_index::VectorIndex;
use super::{EngineError, Progress};
use crate::store::{Extent, Store};

/// Which index answers what is near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexMode {
    /// An index of this process, in its memory and in the home's folder: the fastest, as long as the memory holds it.
    #[default]
    Local,
    /// PostgreSQL with its extension pgvector, for homes in a database: a process then holds no vectors.
    Pgvector,
}

impl IndexMode {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Local, Self::Pgvector];

    /// As it is named in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pgvector => "pgvector",
        }
    }
}

impl fmt::Display for IndexMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IndexMode {
    type Err = UnknownIndex;

    fn from_str(text: &str) -> Result<Self, UnknownIndex> {
        let known = Self::ALL.into_iter().find(|mode| mode.name() == text.trim());
        known.ok_or(UnknownIndex)
    }
}

/// A name that no index has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use local or pgvector")]
pub struct UnknownIndex;

/// The index of an engine.
pub(super) enum HomeIndex {
    Local(LiveIndex),
    Pgvector(PgvectorIndex),
}

impl HomeIndex {
    pub(super) fn mode(&self) -> IndexMode {
        match self {
            Self::Local(_) => IndexMode::Local,
            Self::Pgvector(_) => IndexMode::Pgvector,
        }
    }

    /// Where what can be made anew from the catalogue is saved.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Local(index) => index.folder(),
            Self::Pgvector(index) => index.folder(),
        }
    }

    /// Does something with the index, which then has all that the catalogue has.
    pub(super) fn with<T>(
        &self,
        store: &dyn Store,
        progress: &dyn Progress,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match self {
            Self::Local(index) => index.with(store, progress, job),
            Self::Pgvector(index) => index.with(store, progress, job),
        }
    }

    /// Does something with the index as this process has it, however far the catalogue has gone on; `None` where it has none.
    pub(super) fn as_it_is<T>(
        &self,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Option<Result<T, EngineError>> {
        match self {
            Self::Local(index) => index.as_it_is(job),
            Self::Pgvector(_) => None,
        }
    }

    /// How far in the catalogue's feed it has come.
    pub(super) fn extent(&self, store: &dyn Store, progress: &dyn Progress) -> Result<Extent, EngineError> {
        match self {
            Self::Local(index) => index.extent(store, progress),
            Self::Pgvector(index) => Ok(index.current(store, progress)?.extent),
        }
    }

    /// What is there of it for other workers; `None` where none share it.
    pub(super) fn shared(&self, store: &dyn Store) -> Result<Option<SharedIndex>, EngineError> {
        match self {
            Self::Local(index) => index.shared(store),
            Self::Pgvector(_) => Ok(None),
        }
    }

    pub(super) fn settle(&self, store: &dyn Store, progress: &dyn Progress) -> Result<(), EngineError> {
        match self {
            Self::Local(index) => index.settle(store, progress),
            Self::Pgvector(index) => index.settle(store, progress),
        }
    }

    pub(super) fn audit(
        &self,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<IndexAudit, EngineError> {
        self.with(store, progress, |index| audit(index, store, progress))
    }

    pub(super) fn remake(&self, store: &dyn Store, progress: &dyn Progress) -> Result<(), EngineError> {
        match self {
            Self::Local(index) => index.remake(store, progress),
            Self::Pgvector(index) => index.remake(store, progress),
        }
    }

    /// Has the next use make anew what is not the catalogue's. Vectors in the database follow it by themselves.
    pub(super) fn reset(&self, progress: &dyn Progress) {
        match self {
            Self::Local(index) => index.reset(progress),
            Self::Pgvector(index) => index.reset(),
        }
    }

    /// Removes what is saved on disk.
    pub(super) fn discard(&self, progress: &dyn Progress) {
        match self {
            Self::Local(index) => index.discard(progress),
            Self::Pgvector(index) => index.reset(),
        }
    }
}
