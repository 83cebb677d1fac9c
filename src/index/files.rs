//! How files of an index come onto the disk.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::access;

pub(super) fn create(path: &Path) -> io::Result<File> {
    access::open(File::options().read(true).write(true).create_new(true), path)
}

/// Makes new names in `dir` last. Only Unix can open a directory for that; elsewhere the rename itself must do.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
