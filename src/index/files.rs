//! How files of an index come onto the disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::checksum::checksum;
use crate::access;

/// Makes a file that only its owner may read; an error where there is one.
pub(super) fn create(path: &Path) -> io::Result<File> {
    access::open(File::options().read(true).write(true).create_new(true), path)
}

/// Makes new names in `dir` last. Only Unix can open a directory for that; elsewhere the rename itself must do.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Makes a file of `magic`, `format` (4 bytes), the sum of `body` (8) and `body`, all little-endian, and flushes it to the disk.
pub(super) fn create_summed(path: &Path, magic: &[u8], format: u32, body: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    for part in [magic, &format.to_le_bytes(), &checksum(body, 0).to_le_bytes(), body] {
        file.write_all(part)?;
    }
    file.sync_all()
}
