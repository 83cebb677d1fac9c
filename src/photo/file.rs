//! Reads a picture file whole, without ever reading more than is allowed.

use std::fs::{self, File, FileType};
use std::io::Read as _;
use std::path::Path;

use super::{PhotoError, PhotoLimits};

/// The bytes of the regular file at `path`; links are followed.
///
/// The size is checked before the file is opened, and the read itself stops one byte past the limit, so a
/// file that grows meanwhile (or lies about its size, as those in `/proc` do) costs no more than the limit.
///
/// # Errors
/// [`PhotoError::NotAFile`] for a directory, named pipe, socket or device, which are not opened at all;
/// [`PhotoError::FileTooLarge`]; [`PhotoError::Io`]. Each names the path.
pub fn read_bytes(path: &Path, limits: &PhotoLimits) -> Result<Vec<u8>, PhotoError> {
    let io = |source| PhotoError::Io { path: path.to_owned(), source };
    let too_large =
        |bytes| PhotoError::FileTooLarge { path: path.to_owned(), bytes, limit_bytes: limits.max_bytes };

    let metadata = fs::metadata(path).map_err(io)?;
    // What a shell hands over may be a pipe; another one might never be written to.
    let is_handed_over =
        ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| path.starts_with(place));
    if !metadata.is_file() && (metadata.is_dir() || !is_handed_over) {
        return Err(PhotoError::NotAFile { path: path.to_owned(), found: name_of(metadata.file_type()) });
    }
    if metadata.len() > limits.max_bytes {
        return Err(too_large(metadata.len()));
    }
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    let read = bytes.len() as u64;
    if read > limits.max_bytes { Err(too_large(read)) } else { Ok(bytes) }
}

#[cfg(unix)]
fn name_of(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something special",
    }
}

#[cfg(not(unix))]
fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory" } else { "something special" }
}
