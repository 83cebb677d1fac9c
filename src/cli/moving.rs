//! `tongkuan backup`, `restore`, `export`, `import`, `move`: a home goes somewhere else.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::output::{check_stdout, complain, refuse_precious, refuse_special, stdout};
use super::settings::Settings;
use crate::catalog::moving::{MoveError, MoveOptions, Moved};
use crate::catalog::{Counts, FILE_NAME};
use crate::clock::{Clock as _, SystemClock};
use crate::engine::Progress as _;
use crate::home::Home;
use crate::printable::field;
use crate::temporary::NewFile;

use super::show::Terminal;

/// Write all of this home into one file, while others use it. Searches answer from the copy as they do here; tokens of
/// upstreams are not in it.
#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The new file
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        settings.require_home()?;
        let own = settings.home.as_folder().and_then(|home| home.join(FILE_NAME).canonicalize().ok());
        if own.is_some() && own == self.file.canonicalize().ok() {
            bail!("{} is this home's own catalogue: name another file", self.file.display());
        }
        let terminal = Terminal::new();
        refuse_special(&self.file)?;
        let counts = settings.home.backup(&self.file, self.force, &mut steps_on(&terminal))?;
        tell_counts(settings, &counts, None, &format!("written to {}, and verified", self.file.display()))
    }
}

/// Put a backup in the place of this home's catalogue. It is verified before anything changes.
#[derive(Args, Debug)]
pub(super) struct Restore {
    /// What `tongkuan backup` wrote
    file: PathBuf,
    /// Replace the catalogue that is there; it is kept beside the new one
    #[arg(long)]
    force: bool,
}

impl Restore {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let terminal = Terminal::new();
        let (counts, replaced) = settings.home.restore(&self.file, self.force, &mut steps_on(&terminal))?;
        let text = format!("verified, and restored to {}", settings.home);
        tell_counts(settings, &counts, replaced.as_deref(), &text)
    }
}

/// Progress of a home that moves, on a terminal.
fn steps_on(terminal: &Terminal) -> impl FnMut(&str, u64, u64) {
    let number = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
    move |what, done, of| terminal.step(what, number(done), number(of))
}

fn tell_counts(
    settings: &Settings,
    counts: &Counts,
    replaced: Option<&Path>,
    text: &str,
) -> Result<ExitCode> {
    if settings.json {
        writeln!(stdout(), "{}", json!({"id": null, "counts": counts, "replaced": replaced}))?;
    } else {
        let Counts { photos, answers, offers, file_bytes, .. } = counts;
        writeln!(
            stdout(),
            "{photos} photos, {answers} answers, {offers} offers, {} KB: {}",
            file_bytes / 1000,
            field(text)
        )?;
        tell_replaced(replaced)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_replaced(replaced: Option<&Path>) -> io::Result<()> {
    match replaced {
        Some(path) => writeln!(stdout(), "the catalogue that was there is {}", field(path.display())),
        None => Ok(()),
    }
}

/// Write all of this home as lines of JSON or, with --parquet, as Parquet files: photos, vectors, sketches, answers, offers,
/// what people said, calibration, and for the record what was spent. The formats are described in docs/formats.md.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The new file, or - for standard output; with --parquet the new folder
    file: PathBuf,
    /// A folder of Parquet files, one a table, for pandas, DuckDB and their like
    #[arg(long)]
    parquet: bool,
    /// Replace a file that is there
    #[arg(long, conflicts_with = "parquet")]
    force: bool,
}

impl Export {
    pub(super) fn is_to_stdout(&self) -> bool {
        self.file == Path::new("-")
    }

    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        settings.require_home()?;
        let home = &settings.home;
        let mut progress = |_: &str| {};
        let now = SystemClock.now();
        let exported = if self.parquet {
            let terminal = Terminal::new();
            let mut table_begins = |table: &str| terminal.step(table, 0, 1);
            let exported = home.export_parquet(&self.file, now, &mut table_begins)?;
            terminal.step("written", 1, 1);
            exported
        } else if self.is_to_stdout() {
            check_stdout()?;
            // Not through the guard for terminals: JSON is plain, and may be long.
            home.export(BufWriter::new(io::stdout().lock()), now, &mut progress)?
        } else {
            let unwritable = || format!("{} cannot be written", self.file.display());
            if self.file.exists() && !self.force {
                return Err(MoveError::Exists { path: self.file.clone() }.into());
            }
            refuse_special(&self.file)?;
            refuse_precious(&self.file)?;
            let mut new = NewFile::private(&self.file).with_context(unwritable)?;
            let exported = home.export(BufWriter::new(new.file()), now, &mut progress);
            let exported = exported.map_err(|error| match error {
                MoveError::Io { reason, .. } => MoveError::Io { path: self.file.clone(), reason },
                other => other,
            })?;
            new.finish().with_context(unwritable)?;
            exported
        };
        complain(format_args!(
            "{} rows: {} photos, {} answers, {} offers, {} pairs that somebody has judged",
            exported.rows, exported.photos, exported.answers, exported.offers, exported.told
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// Make this home of what `tongkuan export` wrote. It is all there or nothing is: the home is not touched before the last
/// line was read and the sum was right.
#[derive(Args, Debug)]
pub(super) struct Import {
    /// The file, the folder of Parquet files, or - for standard input
    file: PathBuf,
    /// Replace the catalogue that is there; it is kept beside the new one
    #[arg(long)]
    force: bool,
}

impl Import {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let home = &settings.home;
        let terminal = Terminal::new();
        let mut progress = steps_on(&terminal);
        let is_stdin = self.file == Path::new("-");
        let imported = if is_stdin {
            home.import(io::stdin().lock(), self.force, &mut progress)
        } else if self.file.is_dir() {
            home.import_parquet(&self.file, self.force, &mut progress)
        } else {
            let file =
                File::open(&self.file).with_context(|| format!("{} cannot be read", self.file.display()))?;
            home.import(BufReader::new(file), self.force, &mut progress)
        };
        let name = if is_stdin { Path::new("standard input") } else { &self.file };
        let (imported, replaced) = imported.with_context(|| format!("cannot import {}", name.display()))?;
        terminal.step("importing", 1, 1);
        if settings.json {
            writeln!(stdout(), "{}", json!({"id": null, "imported": imported, "replaced": replaced}))?;
        } else {
            writeln!(
                stdout(),
                "{} rows: {} photos, {} answers, {} offers, {} pairs that somebody has judged",
                imported.rows,
                imported.photos,
                imported.answers,
                imported.offers,
                imported.told
            )?;
            tell_replaced(replaced.as_deref())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Move all that a home knows to where no home is yet: a folder into a database that several machines share, back, or into
/// another folder. Others may search the home meanwhile; end what writes to it. A move that was killed goes on where it was;
/// at the end every table is compared, row by row. The home that was moved stays as it is.
#[derive(Args, Debug)]
pub(super) struct Move {
    /// The home that moves (default: this one)
    #[arg(long, value_name = "DIR|ADDRESS")]
    from: Option<PathBuf>,
    /// Where it moves to: a folder, or postgres://USER@HOST/DATABASE?schema=NAME
    #[arg(long, value_name = "DIR|ADDRESS")]
    to: PathBuf,
    /// Count what would move, and move nothing
    #[arg(long)]
    dry_run: bool,
    /// Throw away what an unfinished move has left at the target, and begin anew
    #[arg(long)]
    restart: bool,
}

/// What belongs to one machine and lies in the folder of a home, and what to do about it.
const LEFT_BEHIND: [(&str, &str); 4] = [
    ("index", "it is made anew"),
    ("tokens", "log in again, or copy the folder"),
    ("serve.sqlite", "keys of the service: tongkuan keys export, import"),
    ("scans", "folders are scanned again"),
];

impl Move {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let from = self.from.clone().map_or_else(|| Ok(settings.home.clone()), Home::parse)?;
        let to = Home::parse(self.to.clone())?;
        let terminal = Terminal::new();
        let options = MoveOptions { restart: self.restart, dry_run: self.dry_run };
        let moved = from.move_to(&to, options, &mut steps_on(&terminal))?;
        let left: Vec<_> =
            LEFT_BEHIND.into_iter().filter(|(name, _)| from.folder().join(name).exists()).collect();
        if settings.json {
            let left: Vec<_> =
                left.iter().map(|(name, remedy)| json!({"name": name, "remedy": remedy})).collect();
            let line = json!({
                "id": null, "from": from, "to": to, "dry_run": self.dry_run, "moved": moved, "left_behind": left,
            });
            writeln!(stdout(), "{line}")?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows_of = |name: &str| {
            let table = moved.tables.iter().find(|table| table.table == name);
            table.map_or(0, |table| table.rows)
        };
        let Moved { rows, rows_before, .. } = moved;
        let (photos, answers, offers) = (rows_of("photos"), rows_of("answers"), rows_of("offers"));
        let counts = format!("{rows} rows: {photos} photos, {answers} answers, {offers} offers");
        if self.dry_run {
            writeln!(stdout(), "{counts} would move to {}", field(&to))?;
        } else {
            writeln!(stdout(), "{counts}; all tables are the same in {}", field(&to))?;
            if rows_before > 0 {
                writeln!(stdout(), "{rows_before} rows were there from a move that had not ended")?;
            }
        }
        for (name, remedy) in left {
            writeln!(stdout(), "not moved: {} ({remedy})", field(from.folder().join(name).display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
