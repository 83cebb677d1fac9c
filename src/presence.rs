//! Is the process that began something still alive? Each that others may wait for holds a locked file in the home folder.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::access;

/// Where the files are.
pub(crate) const FOLDER: &str = "processes";

/// The sign that this process is alive: a locked file, which the system unlocks however the process ends.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<Option<Sign>>);

#[derive(Debug)]
struct Sign {
    name: String,
    path: PathBuf,
    _locked: File,
}

impl Drop for Sign {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Presence {
    /// The name of this process's file, which is made when it is first needed.
    pub(crate) fn name(&self, home: &Path) -> std::io::Result<String> {
        let mut sign = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sign) = &*sign {
            return Ok(sign.name.clone());
        }
        let folder = home.join(FOLDER);
        access::make_folder(&folder)?;
        let (locked, path) = loop {
            let (file, path) = tempfile::Builder::new().prefix("p").tempfile_in(&folder)?.keep()?;
            // Others lock it to see whether this process lives, also those of another user.
            #[cfg(unix)]
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
            file.lock()?;
            // Before it was locked, another process may have taken it for that of a dead one and removed it.
            if path.try_exists()? {
                break (file, path);
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        *sign = Some(Sign { name: name.clone(), path, _locked: locked });
        Ok(name)
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|sign| sign.name == name)
    }
}

/// Whether the process that made this file still lives. The file of one that does not is removed. Only a file that is gone
/// or can be locked says that it does not: one that may not be read is another user's.
pub(crate) fn lives(home: &Path, name: &str) -> bool {
    let path = home.join(FOLDER).join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    let ended = file.try_lock().is_ok();
    if ended {
        let _ = fs::remove_file(&path);
    }
    !ended
}
