//! Temporary folders for commands that need a home of their own.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::temporary::TemporaryFolder;

/// A folder among the system's temporary ones that goes when this is dropped. Those of killed processes go when the next one
/// is made.
#[derive(Debug)]
pub(super) struct Scratch(TemporaryFolder);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let folder = TemporaryFolder::new_in(&std::env::temp_dir(), "tongkuan-scratch-");
        folder.map(Self).context("cannot make a temporary folder; check TMPDIR")
    }

    /// A place in the folder; nothing is made there.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
