//! The bytes of new and changed files: digests, and sizes by their headers.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use image::ImageReader;
use rayon::prelude::*;

use super::{Scan, ScanEnd, ScanError};
use crate::cancel::Interrupt;
use crate::engine::Progress;
use crate::photo::{Digest, PhotoLimits, read_bytes};

/// Files that are read, and noted, together: of 4 MB each they take 1 GB, one after the other on each thread.
const READ_TOGETHER: u32 = 256;

impl Scan {
    /// Reads every file that is new or was changed.
    pub(super) fn read_new(
        &mut self,
        interrupt: &Interrupt,
        progress: &dyn Progress,
    ) -> Result<ScanEnd, ScanError> {
        let (_, unread) = self.state.file_counts()?;
        let unread = usize::try_from(unread).unwrap_or(usize::MAX);
        let mut done = 0;
        loop {
            if interrupt.check().is_err() {
                return Ok(ScanEnd::Stopped);
            }
            let paths = self.state.unread(READ_TOGETHER)?;
            if paths.is_empty() {
                return Ok(ScanEnd::Done);
            }
            let read: Vec<_> = paths
                .into_par_iter()
                .map(|path| {
                    let read_at_ns = now_ns();
                    let read = read(&self.folder.join(&path), &self.limits);
                    (path, read_at_ns, read)
                })
                .collect();
            self.state.note_read(&read)?;
            self.summary.read += read.len() as u64;
            done += read.len();
            progress.step("reading", done, unread.max(done));
        }
    }
}

/// Digest, bytes and pixels by the header (0 where it has none that can be read).
fn read(path: &Path, limits: &PhotoLimits) -> Result<(Digest, u64, u64), (String, &'static str)> {
    let bytes = read_bytes(path, limits).map_err(|error| (error.to_string(), error.code()))?;
    let size = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().ok();
    let size = size.and_then(|reader| reader.into_dimensions().ok());
    let header_px = size.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    Ok((Digest::of(&bytes), bytes.len() as u64, header_px))
}

/// The bytes of the file, if they still are what they were.
pub(super) fn read_again(
    folder: &Path,
    path: &PathBuf,
    digest: Digest,
    limits: &PhotoLimits,
) -> Option<Vec<u8>> {
    read_bytes(&folder.join(path), limits).ok().filter(|bytes| Digest::of(bytes) == digest)
}

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
