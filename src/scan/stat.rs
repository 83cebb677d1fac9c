//! What is noted of a file.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What a file is told by without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Device and number there (inode); 0 where the system has none.
    pub dev: i64,
    /// The second of the two.
    pub ino: i64,
    /// In bytes.
    pub size: i64,
    /// When its content was changed, in Unix nanoseconds.
    pub mtime_ns: i64,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (dev, ino) = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev().cast_signed(), metadata.ino().cast_signed())
        };
        #[cfg(not(unix))]
        let (dev, ino) = (0, 0);
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let mtime_ns = since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        Self { dev, ino, size: i64::try_from(metadata.len()).unwrap_or(i64::MAX), mtime_ns }
    }

    /// Whether both are one file under two names.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.ino != 0 && (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// A path as the system writes it.
pub(super) fn bytes_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// What [`bytes_of`] wrote.
pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}
