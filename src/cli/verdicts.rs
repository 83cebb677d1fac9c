//! `tongkuan verdicts export` and `import`: what people said of pairs, as lines of JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::FAILED;
use super::output::{complain, stdout};
use super::settings::Settings;
use crate::engine::{Engine, TakenVerdict, VerdictLine};
use crate::scan::Scan;

/// Lines that are remembered in one transaction.
const TOGETHER: usize = 256;
/// The longest line, in bytes: two labels and digests.
const MAX_LINE_BYTES: u64 = 1 << 20;
const FORMAT: u64 = 1;

/// What people said of pairs of pictures (`same`, `not-same`, the page of `scan --html`), as NDJSON: pictures are known by
/// their digests, so it may go from one home to another.
#[derive(Args, Debug)]
pub(super) struct Verdicts {
    #[command(subcommand)]
    what: What,
    /// Of the pictures of a folder, as `tongkuan scan` knows them, instead of those of this home
    #[arg(long, value_name = "DIR", global = true)]
    scan: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print them, a line a pair
    Export,
    /// Remember them; what was said here later stays
    Import {
        /// The file, or - for standard input
        file: PathBuf,
    },
}

impl Verdicts {
    pub(super) fn is_export(&self) -> bool {
        matches!(self.what, What::Export)
    }

    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = match &self.scan {
            None => settings.existing_engine(false)?,
            Some(folder) => {
                let home = Scan::home_of(&settings.home.folder().join("scans"), folder)?;
                anyhow::ensure!(
                    crate::home::Home::from(&home).is_there()?,
                    "{} was not scanned yet: `tongkuan scan` does it",
                    folder.display()
                );
                settings.builder_on(&home, false)?.without_graph().open()?
            }
        };
        match &self.what {
            What::Export => export(&engine),
            What::Import { file } => import(settings, &engine, file),
        }
    }
}

fn export(engine: &Engine) -> Result<ExitCode> {
    let mut out = stdout();
    writeln!(out, "{}", json!({"tongkuan_verdicts": FORMAT}))?;
    let mut failed: Option<anyhow::Error> = None;
    engine.each_verdict(&mut |line| {
        let written = serde_json::to_string(&line).map_err(anyhow::Error::from);
        failed = written.and_then(|line| Ok(writeln!(out, "{line}")?)).err();
        failed.is_none()
    })?;
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

#[derive(Default)]
struct Tally {
    /// What the lines are read from, as it is named.
    source: String,
    noted: u64,
    older: u64,
    failed: u64,
}

fn import(settings: &Settings, engine: &Engine, file: &Path) -> Result<ExitCode> {
    let is_stdin = file == Path::new("-");
    let source = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let unreadable = format!("{source} cannot be read");
    let mut from: Box<dyn BufRead> = if is_stdin {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).with_context(|| unreadable.clone())?))
    };
    let mut tally = Tally { source, ..Tally::default() };
    let (mut some, mut number) = (Vec::new(), 0_u64);
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut from, MAX_LINE_BYTES).read_until(b'\n', &mut line);
        let read = read.with_context(|| unreadable.clone())?;
        if read == 0 {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(&line) {
            Ok(Some(verdict)) => some.push((number, verdict)),
            Ok(None) => {}
            Err(problem) => {
                // What follows a line without an end is none.
                let is_cut = line.last() != Some(&b'\n') && line.len() as u64 >= MAX_LINE_BYTES;
                tell(settings, &mut tally, number, "failed", Some(&problem))?;
                if is_cut {
                    break;
                }
            }
        }
        if some.len() >= TOGETHER {
            take(settings, engine, &mut some, &mut tally)?;
        }
    }
    take(settings, engine, &mut some, &mut tally)?;
    let Tally { source, noted, older, failed } = tally;
    complain(format_args!("{source}: {noted} remembered, {older} known already, {failed} failed"));
    Ok(ExitCode::from(if failed > 0 { FAILED } else { 0 }))
}

/// A verdict; `None` for the first line, which says what the file is.
fn parse(line: &[u8]) -> Result<Option<VerdictLine>, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("it is no JSON ({error})"))?;
    if let Some(format) = value.get("tongkuan_verdicts") {
        return if format.as_u64().is_some_and(|format| format <= FORMAT) {
            Ok(None)
        } else {
            Err(format!("the file has format {format}, this program knows up to {FORMAT}: update it"))
        };
    }
    serde_json::from_value(value).map(Some).map_err(|error| format!("it is no verdict ({error})"))
}

fn take(
    settings: &Settings,
    engine: &Engine,
    some: &mut Vec<(u64, VerdictLine)>,
    tally: &mut Tally,
) -> Result<()> {
    let (numbers, lines): (Vec<u64>, Vec<VerdictLine>) = std::mem::take(some).into_iter().unzip();
    let taken = engine.take_verdicts(&lines)?;
    for ((number, line), taken) in numbers.into_iter().zip(lines).zip(taken) {
        let (word, problem) = match taken {
            TakenVerdict::Noted { .. } => ("noted", None),
            TakenVerdict::Older { .. } => ("known", None),
            TakenVerdict::OnePhoto { photo_id } => {
                ("failed", Some(format!("both are photo {photo_id} here, by their bytes or pixels")))
            }
            TakenVerdict::Unknown { side } => {
                let side = if side == 0 { line.one } else { line.other };
                let name = side.label.or(side.byte_digest).unwrap_or_else(|| "one of the two".to_owned());
                ("failed", Some(format!("{name} is not stored here")))
            }
        };
        tell(settings, tally, number, word, problem.as_deref())?;
    }
    Ok(())
}

fn tell(
    settings: &Settings,
    tally: &mut Tally,
    number: u64,
    word: &str,
    problem: Option<&str>,
) -> Result<()> {
    match word {
        "noted" => tally.noted += 1,
        "known" => tally.older += 1,
        _ => tally.failed += 1,
    }
    if let Some(problem) = problem {
        complain(format_args!("{}, line {number}: {problem}", tally.source));
    }
    if settings.json {
        writeln!(stdout(), "{}", json!({"id": number, "verdict": word, "error": problem}))?;
    }
    Ok(())
}
