//! `--resume` where the Parquet file is there already: is it that of these sources, and how did its run end?

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::super::output::complain;
use super::super::settings::Settings;
use super::super::{FAILED, found};
use super::output::LineFile;
use super::parquet::{Ended, Lines};
use super::rows::{OtherSources, unopened};
use crate::input::{Columns, Input, is_stdin};

/// Tells as the run did that wrote `out`. What a run has left that was killed at its very end is taken away: its lines, `partial`, and
/// with `add` what the home keeps of it.
pub(super) fn tell(
    settings: &Settings,
    (out, partial): (&Path, &Path),
    (sources, columns): (&[PathBuf], &Columns),
    add: bool,
) -> Result<ExitCode> {
    let mut lines = Lines::open(out)?;
    if !sources.iter().any(|source| is_stdin(source)) {
        compare(out, &mut lines, sources, columns)?;
    }
    let rows = lines.total();
    let ended = lines.ended()?;
    if partial.exists() {
        forget_run(settings, partial, rows, add)?;
    }
    let Ended { errors, waiting } = ended;
    let waiting = if waiting > 0 { format!(", {waiting} wait for `tongkuan drain`") } else { String::new() };
    complain(format_args!("{} is complete: {rows} rows, {errors} failed{waiting}", out.display()));
    Ok(ended.status())
}

/// Whether the sources have the rows of the file, in their order.
fn compare(out: &Path, lines: &mut Lines, sources: &[PathBuf], columns: &Columns) -> Result<()> {
    // Lines of --unordered that were read before their turn: some, as they are told of soon.
    let mut ahead: HashMap<u64, Option<String>> = HashMap::new();
    let mut row = 0;
    for source in sources {
        let items: Box<dyn Iterator<Item = _>> = match Input::open_with(source, columns) {
            Ok(input) => Box::new(input),
            Err(problem) => Box::new(std::iter::once(unopened(source.display().to_string(), problem))),
        };
        for item in items {
            while !ahead.contains_key(&row)
                && let Some(line) = lines.next()
            {
                let (row, id) = line?;
                ahead.insert(row, id);
            }
            if let Some(told) = ahead.remove(&row).flatten()
                && let Some(problem) = OtherSources::unless_told_as(row, &item, told)
            {
                return Err(problem.into());
            }
            row += 1;
        }
    }
    if row != lines.total() {
        bail!(
            "{} is complete with {} rows, and there are {row} by now: name another file, or the sources that it was made of",
            out.display(),
            lines.total()
        );
    }
    Ok(())
}

fn forget_run(settings: &Settings, partial: &Path, rows: u64, add: bool) -> Result<()> {
    let (file, earlier) = LineFile::open(partial, true)?;
    // Another run's that has not come to its end.
    if earlier.rows.len() != rows {
        return Ok(());
    }
    if add {
        let engine = settings.existing_engine(false)?;
        engine.end_check_run(engine.check_run(&file.full_path(), true)?)?;
    }
    Ok(std::fs::remove_file(partial)?)
}

impl Ended {
    /// The exit status of a run that ends so.
    pub(super) fn status(self) -> ExitCode {
        match self {
            Self { errors: 1.., .. } => ExitCode::from(FAILED),
            Self { waiting, .. } => found(waiting == 0),
        }
    }
}
