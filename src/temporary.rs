//! Where does something stay until it is whole? In a file or a folder beside its place, which is locked while its process lives.
//! What killed processes have left there, of the same prefix and locked no more, goes when the next one is made.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::access::LockedFile;
use crate::paths::folder_of;

/// Of what is made beside a file or a folder that the user has named. No other name begins so, that of the trash least of all.
pub(crate) const BESIDE: &str = ".tongkuan-new-";
/// In a folder, what is locked.
const LOCK: &str = "lock";

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    // Before the folder: where a file that is open cannot be removed, it is closed first. None where nothing can be locked:
    // then nothing is taken for left over, either.
    _lock: Option<LockedFile>,
    folder: TempDir,
}

impl TemporaryFolder {
    pub(crate) fn new_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        remove_leftovers(parent, prefix);
        loop {
            let folder = Builder::new().prefix(prefix).tempdir_in(parent)?;
            let path = folder.path().join(LOCK);
            let lock = match LockedFile::take(File::create(&path)?) {
                Ok(lock) => Some(lock),
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(_)) => None,
            };
            // Before it was locked, another process may have taken it for that of a dead one and removed it.
            if path.try_exists()? {
                return Ok(Self { _lock: lock, folder });
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// What is written to `path`, in one step: there is the whole new file, or what was there before. What is no file (a device,
/// a pipe) is written as it is, and a link goes on leading to its file.
#[derive(Debug)]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "without commands little is written"))]
pub(crate) struct NewFile {
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "as `NewFile`"))]
enum Place {
    Beside(NamedTempFile),
    Itself(File),
}

#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "as `NewFile`"))]
impl NewFile {
    /// All of it at once, as [`NewFile::new`] makes it.
    pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut new = Self::new(path)?;
        new.file().write_all(bytes)?;
        new.finish()
    }

    /// With the permissions of the file that it replaces, else with those that this process gives to files.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Self::with(path, false)
    }

    /// For its owner's eyes alone.
    pub(crate) fn private(path: &Path) -> io::Result<Self> {
        Self::with(path, true)
    }

    fn with(path: &Path, is_private: bool) -> io::Result<Self> {
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let place = Place::Itself(File::options().write(true).open(path)?);
            return Ok(Self { path: path.to_path_buf(), place });
        }
        if there.is_some() {
            // One that may not be written is not replaced, either.
            File::options().write(true).open(path)?;
        }
        let path =
            if there.is_some() && path.is_symlink() { path.canonicalize()? } else { path.to_path_buf() };
        remove_leftovers(folder_of(&path), BESIDE);
        let file = loop {
            let file = create(&path, is_private)?;
            match file.as_file().try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            // As of a folder.
            if file.path().try_exists()? {
                break file;
            }
        };
        if let (Some(there), false) = (there, is_private) {
            // A file of another user that may be replaced has other permissions then.
            let _ = file.as_file().set_permissions(there.permissions());
        }
        Ok(Self { path, place: Place::Beside(file) })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        match &mut self.place {
            Place::Beside(file) => file.as_file_mut(),
            Place::Itself(file) => file,
        }
    }

    /// Has it take its place, once it is on disk.
    pub(crate) fn finish(self) -> io::Result<()> {
        let Place::Beside(file) = self.place else { return Ok(()) };
        file.as_file().sync_all()?;
        let file = file.persist(&self.path).map_err(|error| error.error)?;
        // By name, see `LockedFile`.
        let _ = file.unlock();
        Ok(())
    }
}

#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "as `NewFile`"))]
fn create(path: &Path, is_private: bool) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(BESIDE);
    #[cfg(unix)]
    if !is_private {
        // Less what the process takes from all files.
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    }
    let _ = is_private;
    builder.tempfile_in(folder_of(path))
}

/// What cannot be looked at, locked or removed (it is another user's, or open) stays.
fn remove_leftovers(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let lock = match () {
            () if kind.is_dir() => path.join(LOCK),
            () if kind.is_file() => path.clone(),
            () => continue,
        };
        let Ok(Ok(_held)) = File::open(lock).map(LockedFile::take) else { continue };
        let _ = if kind.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_dead_process_has_left_is_removed_by_the_next_one_and_what_a_live_one_needs_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join(format!("{BESIDE}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), b"").unwrap();
        fs::write(dead.join("catalog.sqlite"), b"left").unwrap();
        fs::write(parent.path().join(format!("{BESIDE}half")), b"left").unwrap();
        // Of the user, of another program, and the trash of scans.
        let others = ["of-another-program", ".tongkuan-trash"];
        for name in others {
            fs::create_dir(parent.path().join(name)).unwrap();
            fs::write(parent.path().join(name).join(LOCK), b"").unwrap();
        }
        let live = TemporaryFolder::new_in(parent.path(), BESIDE).unwrap();
        assert_eq!(names(parent.path()).len(), 1 + others.len());
        let mut file = NewFile::new(&parent.path().join("a.csv")).unwrap();
        file.file().write_all(b"a").unwrap();
        let next = TemporaryFolder::new_in(parent.path(), BESIDE).unwrap();
        assert!(live.path().join(LOCK).exists() && next.path().join(LOCK).exists());
        file.finish().unwrap();
        drop((live, next));
        assert_eq!(names(parent.path()), [".tongkuan-trash", "a.csv", "of-another-program"]);
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, b"old").unwrap();
        let mut file = NewFile::new(&path).unwrap();
        file.file().write_all(b"ne").unwrap();
        drop(file);
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (b"old".to_vec(), vec!["a.csv".to_owned()])
        );
        let mut file = NewFile::new(&path).unwrap();
        file.file().write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(folder.path())),
            (b"new".to_vec(), vec!["a.csv".to_owned()])
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_keeps_the_permissions_and_the_links_of_the_old_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.csv"), folder.path().join("link.csv"));
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = NewFile::new(&link).unwrap();
        file.file().write_all(b"new").unwrap();
        file.finish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o640);
        let secret = folder.path().join("b.ndjson");
        NewFile::private(&secret).unwrap().finish().unwrap();
        assert_eq!(mode(&secret), 0o600);
    }
}
