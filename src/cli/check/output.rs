//! Where the lines of a check go: standard output, or a file that a killed run goes on with.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::IgnoredAny;

use crate::doors::{COLUMNS, Told};
use crate::engine::Engine;
use crate::photo_id::PhotoId;

/// A line longer than this is none of ours, in bytes.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// A file of lines.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

/// Row numbers, as ranges without a gap between: from the first to behind the last.
#[derive(Clone, Debug, Default)]
pub(super) struct RowSet(BTreeMap<u64, u64>);

impl RowSet {
    pub(super) fn insert(&mut self, row: u64) {
        if self.contains(row) {
            return;
        }
        let mut range = (row, row + 1);
        if let Some(end) = self.0.remove(&range.1) {
            range.1 = end;
        }
        match self.0.range_mut(..row).next_back() {
            Some((_, end)) if *end == row => *end = range.1,
            _ => drop(self.0.insert(range.0, range.1)),
        }
    }

    pub(super) fn contains(&self, row: u64) -> bool {
        self.0.range(..=row).next_back().is_some_and(|(_, end)| row < *end)
    }

    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }
}

/// What a file holds of an earlier run.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    pub(super) rows: RowSet,
    /// Rows whose pictures are not compared with later ones.
    pub(super) settled: RowSet,
    /// The last row by its number, and its id.
    pub(super) last: Option<(u64, Option<String>)>,
    pub(super) errors: u64,
    /// The last photo that the run has stored.
    pub(super) last_added: Option<PhotoId>,
    /// Whether something new was not stored.
    pub(super) left_new: bool,
}

impl Earlier {
    /// Refuses to go on with a run that stored where this one does not, or the other way round, or that stored in another home:
    /// its lines would name photos that are others here, or none.
    pub(super) fn must_be_of(&self, engine: &Engine, adds: bool) -> Result<()> {
        let is_there = |photo_id| Ok::<_, anyhow::Error>(engine.catalog().photo(photo_id)?.is_some());
        match self.last_added {
            Some(_) if !adds => bail!("the run that is to be resumed was made with --add: use it again"),
            None if adds && self.left_new => {
                bail!(
                    "the run that is to be resumed was made without --add: leave it away, or name another file"
                )
            }
            Some(photo_id) if !is_there(photo_id)? => bail!(
                "the run that is to be resumed has stored photo {photo_id}, which this home has not: name the home that it was made \
                 with (--home), or another file"
            ),
            _ => Ok(()),
        }
    }
}

impl LineFile {
    /// Makes the file, or goes on with the one that is there: a last line that was not written to its end is cut off.
    ///
    /// # Errors
    /// When it is there already and is not to be resumed, when another run writes to it, and when it holds other lines.
    pub(super) fn open(path: &Path, resumes: bool) -> Result<(Self, Earlier)> {
        let shown = path.display();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot write {shown}: check the folder and its permissions"))?;
        if !file.metadata()?.is_file() {
            bail!(
                "{shown} is no file that a run can go on with: leave --out away, and the lines are printed"
            );
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run writes to {shown}: wait for it, or name another file")
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {shown}"));
            }
        }
        if !resumes && file.metadata()?.len() > 0 {
            if is_ours(&file).with_context(|| format!("cannot read {shown}"))? {
                bail!(
                    "{shown} is there already: --resume goes on with it; else name another file, or delete it"
                );
            }
            bail!("{shown} is there already, and this command has not written it: name another file");
        }
        let (earlier, end) = read(&file).with_context(|| format!("cannot go on with {shown}"))?;
        file.set_len(end)?;
        let mut writer = BufWriter::new(file);
        writer.seek(SeekFrom::Start(end))?;
        Ok((Self { path: path.to_path_buf(), writer }, earlier))
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.write_all(b"\n")
    }

    /// Has all lines on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_data()
    }

    /// By which the home knows the run.
    pub(super) fn full_path(&self) -> String {
        self.path.canonicalize().unwrap_or_else(|_| self.path.clone()).display().to_string()
    }
}

/// Whether a file begins as this command writes them.
fn is_ours(file: &File) -> io::Result<bool> {
    let mut line = Vec::new();
    io::Read::take(BufReader::new(file), MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    Ok(if line.ends_with(b"\n") {
        serde_json::from_slice::<Told>(&line).is_ok()
    } else {
        is_torn_line(&line)
    })
}

/// Whether these bytes, if there are any, are the beginning of a line of ours, whichever columns it has.
fn is_torn_line(bytes: &[u8]) -> bool {
    if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        // All of it, but for its end.
        return serde_json::from_slice::<Told>(bytes).is_ok();
    }
    COLUMNS.iter().any(|(name, _)| {
        let start = format!("{{\"{name}\":");
        bytes.starts_with(start.as_bytes()) || start.as_bytes().starts_with(bytes)
    })
}

/// The lines of an earlier run, and where the last whole one ends.
fn read(file: &File) -> Result<(Earlier, u64)> {
    let (mut earlier, mut end) = (Earlier::default(), 0);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            if read as u64 == MAX_LINE_BYTES {
                bail!("a line is longer than {MAX_LINE_BYTES} bytes: it is no file of this command");
            }
            // Nothing else tells whose file it is, and what is cut off is lost.
            if end == 0 && !is_torn_line(&line) {
                bail!("it holds no line as this command writes them: name the file it wrote");
            }
            return Ok((earlier, end));
        }
        end += read as u64;
        let number = earlier.rows.len() + 1;
        let told: Told = serde_json::from_slice(&line).with_context(|| {
            format!(
                "line {number} has no row and outcome as this command writes them: name the file it wrote"
            )
        })?;
        if matches!(told.outcome.as_str(), "seen" | "error") {
            earlier.settled.insert(told.row);
        }
        earlier.errors += u64::from(told.outcome == "error");
        match told.added {
            Some(true) => earlier.last_added = told.photo_id.or(earlier.last_added),
            Some(false) => earlier.left_new |= matches!(told.outcome.as_str(), "new" | "review"),
            None => {}
        }
        earlier.rows.insert(told.row);
        if earlier.last.as_ref().is_none_or(|(last, _)| *last < told.row) {
            earlier.last = Some((told.row, told.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_any_order_become_ranges() {
        let mut rows = RowSet::default();
        for row in [5, 3, 4, 0, 9, 1, 4] {
            rows.insert(row);
        }
        assert_eq!(rows.0.iter().map(|(a, b)| (*a, *b)).collect::<Vec<_>>(), [(0, 2), (3, 6), (9, 10)]);
        assert_eq!(rows.len(), 6);
        assert!((0..12).filter(|row| rows.contains(*row)).eq([0, 1, 3, 4, 5, 9]));
    }

    #[test]
    fn the_beginning_of_a_line_is_known_and_another_file_is_not() {
        for ours in [
            "",
            "{",
            "{\"ro",
            "{\"row\":0,\"id\":\"a",
            "{\"added\":true,\"compa",
            "{\"row\":0,\"id\":\"a\",\"outcome\":\"new\"}",
        ] {
            assert!(is_torn_line(ours.as_bytes()), "{ours}");
        }
        for other in ["{\"my\":\"config\"}", "{\"id\":\"a\"}", "text", "[", "\0\0", "{\"rows\":"] {
            assert!(!is_torn_line(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_the_others_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let whole =
            "{\"row\":0,\"id\":\"a\",\"outcome\":\"new\"}\n{\"row\":1,\"id\":\"b\",\"outcome\":\"seen\"}\n";
        std::fs::write(&path, format!("{whole}{{\"row\":2,\"outc")).unwrap();
        assert!(LineFile::open(&path, false).is_err(), "it is not written over");
        let (mut file, earlier) = LineFile::open(&path, true).unwrap();
        assert_eq!((earlier.rows.len(), earlier.settled.len()), (2, 1));
        assert_eq!(earlier.last, Some((1, Some("b".to_owned()))));
        assert!(LineFile::open(&path, true).is_err(), "another run has it");
        file.write("{}").unwrap();
        file.sync().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{whole}{{}}\n"));
    }
}
