//! Temporary folders for commands that need a home of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "tongkuan-scratch-";
const LOCK: &str = "lock";

/// A folder among the system's temporary ones that goes when this is dropped. Those of killed processes, which hold no
/// lock any more, go when the next one is made.
#[derive(Debug)]
pub(super) struct Scratch {
    // Before the folder: where a file that is open cannot be removed, it is closed first.
    _locked: File,
    folder: TempDir,
}

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        Self::in_folder(&std::env::temp_dir()).context("cannot make a temporary folder; check TMPDIR")
    }

    fn in_folder(temporary: &Path) -> std::io::Result<Self> {
        remove_leftovers(temporary);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(temporary)?;
            let lock = folder.path().join(LOCK);
            let locked = File::create(&lock)?;
            locked.lock()?;
            // Before it was locked, another process may have taken it for that of a dead one and removed it.
            if lock.try_exists()? {
                return Ok(Self { _locked: locked, folder });
            }
        }
    }

    /// A place in the folder; nothing is made there.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What cannot be looked at or removed (it is another user's, or open) stays.
fn remove_leftovers(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_dead_process_is_removed_by_the_next_one_and_that_of_a_live_one_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let dead = temporary.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), b"").unwrap();
        fs::write(dead.join("catalog.sqlite"), b"left").unwrap();
        let foreign = temporary.path().join("of-another-program");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join(LOCK), b"").unwrap();
        let live = Scratch::in_folder(temporary.path()).unwrap();
        assert!(!dead.exists() && foreign.exists());
        let next = Scratch::in_folder(temporary.path()).unwrap();
        assert!(live.join(LOCK).exists() && next.join(LOCK).exists());
        drop((live, next));
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "the foreign one");
    }
}
