//! Which files are there, and have they changed?

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::ScanError;
use super::stat::{Stat, bytes_of};
use super::state::State;
use crate::input::{Folder, FolderPicture};
use crate::paths::folder_of;

/// A file that was changed less than so long before it was read may have been changed again within one tick of the file
/// system's clock: it is read anew.
const CLOCK_TICK_NS: i64 = 2_000_000_000;

/// Files that are noted in one transaction.
const NOTED_TOGETHER: usize = 4096;

/// What the folder holds beside pictures.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Pictures that are as they were at the last scan.
    pub(super) unchanged: u64,
    /// Files that are no pictures, by name.
    pub(super) skipped: Vec<(String, crate::input::Skipped)>,
    /// Files and folders that could not be looked at.
    pub(super) unreadable: Vec<(String, io::Error)>,
}

/// Looks at every file below `root`, and notes which are new or changed. Files that are as they were are not opened.
pub(super) fn list(root: &Path, state: &mut State) -> Result<Listed, ScanError> {
    let before = state.stats()?;
    let below = |picture: &FolderPicture| {
        picture.path.strip_prefix(root).map_or_else(|_| picture.path.clone(), Path::to_path_buf)
    };
    let is_known = |path: &Path, stat: &Stat| {
        before.get(&bytes_of(path)).is_some_and(|(known, read_at_ns)| {
            known == stat && stat.mtime_ns < read_at_ns.saturating_sub(CLOCK_TICK_NS)
        })
    };
    let known = |picture: &FolderPicture| {
        std::fs::metadata(&picture.path).is_ok_and(|found| is_known(&below(picture), &Stat::of(&found)))
    };
    let not_read = |reason| ScanError::Folder { path: root.to_path_buf(), reason };
    let Folder { pictures, skipped, unreadable: mut unreadable_files, linked_folders } =
        Folder::read_unless(root, &known).map_err(not_read)?;
    let mut linked = LinkedFolders { root, targets: linked_folders, known: HashMap::new() };
    let mut unchanged = 0;
    for some in pictures.chunks(NOTED_TOGETHER) {
        let looked: Vec<_> = some
            .par_iter()
            .map(|picture| {
                let is_link = std::fs::symlink_metadata(&picture.path)?.is_symlink();
                Ok((is_link, Stat::of(&std::fs::metadata(&picture.path)?)))
            })
            .collect::<Vec<io::Result<_>>>();
        let mut files = Vec::with_capacity(some.len());
        for (picture, looked) in some.iter().zip(looked) {
            match looked {
                Ok((is_link, stat)) => {
                    let path = below(picture);
                    let is_link = is_link || linked.has(folder_of(&picture.path));
                    let is_known = is_known(&path, &stat);
                    unchanged += u64::from(is_known);
                    files.push((path, picture.name.clone(), is_link, stat, is_known));
                }
                Err(error) => unreadable_files.push((picture.name.clone(), error)),
            }
        }
        state.note_files(&files)?;
    }
    state.drop_gone()?;
    Ok(Listed { unchanged, skipped, unreadable: unreadable_files })
}

/// Which folders have more than one way to them, because a link leads to them or to one above. Taking a file out of such a folder takes
/// it out of the other one as well, and a relative link that is put there may lead elsewhere.
struct LinkedFolders<'a> {
    root: &'a Path,
    /// Without links in their own paths.
    targets: HashSet<PathBuf>,
    known: HashMap<PathBuf, bool>,
}

impl LinkedFolders<'_> {
    fn has(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.known.get(folder) {
            return *known;
        }
        let is_linked = folder.canonicalize().is_ok_and(|own| {
            // `root` has no links in it.
            own != folder
                || own
                    .ancestors()
                    .take_while(|above| *above != self.root)
                    .any(|above| self.targets.contains(above))
        });
        self.known.insert(folder.to_path_buf(), is_linked);
        is_linked
    }
}
