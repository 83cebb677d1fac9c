//! Who may read and write what lies in a home folder? Its owner alone; others only where the home folder itself lets them
//! write, as its owner then has arranged.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A file that nobody else may lock for as long as this lives. The lock is let go of by name and not only by closing: a child
/// process that another thread is starting has a copy of each open file, and with it the lock, until its program runs. For locks
/// that refuse at once; whoever waits for one a while needs no more than closing.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    /// # Errors
    /// Where another one, of this process too, has locked the file, and where it cannot be locked.
    pub(crate) fn take(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl std::ops::Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Makes a home folder, with those above it that are not there. One that is there keeps its permissions.
pub(crate) fn make_home(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Makes a folder in a home folder, or in a folder of it; one that is there stays as it is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
        let shared = shared_with(path);
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) if shared == 0 => Ok(()),
            // Who shares a folder has a mask that would take away what is shared.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700 | shared)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_home(path),
            Err(error) => Err(error),
        }
    }
    #[cfg(not(unix))]
    fs::create_dir_all(path)
}

/// Opens a file of a home folder with `options`, which may say that it is to be made.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let permissions = of_file(path);
        let is_new = permissions.mode() != 0o600 && !path.try_exists()?;
        let file = options.mode(0o600).open(path)?;
        if is_new {
            file.set_permissions(permissions)?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

/// Gives a file that something else has made the permissions that [`open`] would have given it.
pub(crate) fn keep_to_owner(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, of_file(path))?;
    let _ = path;
    Ok(())
}

/// Of a file at `path`: its owner's, and those that its folder shares.
#[cfg(unix)]
fn of_file(path: &Path) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o600 | shared_with(path) & 0o666)
}

/// Permissions of the group and of all others for something at `path`: those of its folder, for whom the folder may be
/// written to.
#[cfg(unix)]
fn shared_with(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(crate::paths::folder_of(path)).map_or(0, |folder| folder.permissions().mode());
    let of = |may_write: u32, all: u32| if mode & may_write == 0 { 0 } else { mode & all };
    of(0o020, 0o070) | of(0o002, 0o007)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_although_there_is_a_copy_of_the_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = LockedFile::take(File::create(&path).unwrap()).unwrap();
        let copy = held.try_clone().unwrap();
        let again = || LockedFile::take(File::open(&path).unwrap());
        assert!(matches!(again(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(again().is_ok());
        drop(copy);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_its_owners_unless_the_home_lets_others_write() {
        for (home_mode, folder_mode, file_mode) in [
            (0o700, 0o700, 0o600),
            (0o755, 0o700, 0o600),
            (0o750, 0o700, 0o600),
            (0o770, 0o770, 0o660),
            (0o777, 0o777, 0o666),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("above/home");
            make_home(&home).unwrap();
            assert_eq!((mode(&home), mode(home.parent().unwrap())), (0o700, 0o700));
            fs::set_permissions(&home, fs::Permissions::from_mode(home_mode)).unwrap();
            make_home(&home).unwrap();
            assert_eq!(mode(&home), home_mode, "one that is there stays as it is");
            let (inner, file) = (home.join("index"), home.join("index/lock"));
            make_folder(&inner).unwrap();
            make_folder(&inner).unwrap();
            for _ in 0..2 {
                open(OpenOptions::new().create(true).truncate(false).write(true), &file).unwrap();
            }
            assert_eq!((mode(&inner), mode(&file)), (folder_mode, file_mode), "in {home_mode:o}");
        }
    }
}
