//! `tongkuan scan DIR --against OTHER`: which pictures of a folder are there already?

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::progress::ScanProgress;
use super::{ScanCommand, report_troubles, run_scan, words_of};
use crate::cancel::Interrupt;
use crate::cli::interrupt::INTERRUPTED;
use crate::cli::output::{complain, complain_about, stdout};
use crate::cli::settings::Settings;
use crate::cli::{FAILED, advice, picture};
use crate::engine::{Engine, EngineError, Progress as _};
use crate::input::FolderPicture;
use crate::photo::{PhotoLimits, read_bytes};
use crate::photo_id::PhotoId;
use crate::printable::field;
use crate::scan::{Depth, Scan, ScanEnd};
use crate::verdict::{Match, Verdict};

/// Pictures that are looked up together; their lines come in order.
const TOGETHER: usize = 64;

/// Where the pictures are that the folder is compared with.
enum There {
    Home(Box<Engine>),
    Folder(Box<Scan>),
}

impl There {
    fn engine(&self) -> &Engine {
        match self {
            Self::Home(engine) => engine,
            Self::Folder(scan) => scan.engine(),
        }
    }

    /// A photo as people know it.
    fn name(&self, photo_id: PhotoId) -> Result<Option<String>> {
        Ok(match self {
            Self::Home(engine) => engine.catalog().photo(photo_id)?.map(|photo| photo.label),
            Self::Folder(scan) => scan.file_of(photo_id)?.map(|file| file.name),
        })
    }
}

pub(super) fn run(
    command: &ScanCommand,
    settings: &Settings,
    folder: &Path,
    against: &Path,
    interrupt: &Interrupt,
) -> Result<ExitCode> {
    let mut failed = false;
    let there = if against == Path::new("home") {
        There::Home(Box::new(settings.existing_engine(true)?))
    } else {
        refuse_overlap(folder, against)?;
        let mut other = command.open(settings, against)?;
        if run_scan(&mut other, Depth::Stored, interrupt)? == ScanEnd::Stopped {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        failed |= report_troubles(settings, &other)?;
        There::Folder(Box::new(other))
    };
    there.engine().warm_up()?;
    let found = picture::folder(folder)?;
    failed |= !found.unreadable.is_empty();
    let (terminal, mut counts) = (ScanProgress::new(), [0_u64; 4]);
    let mut done = 0;
    let engine = there.engine();
    for some in found.pictures.chunks(TOGETHER) {
        if interrupt.check().is_err() {
            complain(format_args!("interrupted after {done} of {} pictures", found.pictures.len()));
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let verdicts: Vec<Result<Verdict, EngineError>> = some
            .par_iter()
            .map(|picture| {
                let bytes = read_bytes(&picture.path, &PhotoLimits::default())?;
                engine.recognise(&bytes)
            })
            .collect();
        for (picture, verdict) in some.iter().zip(verdicts) {
            let place = tell(settings, &there, picture, verdict)?;
            counts[place] += 1;
        }
        done += some.len();
        terminal.step("comparing", done, found.pictures.len());
    }
    let [seen, review, new, bad] = counts;
    if settings.json {
        let line =
            json!({"id": null, "kind": "summary", "seen": seen, "review": review, "new": new, "failed": bad});
        writeln!(stdout(), "{line}")?;
    }
    complain(format_args!("{seen} are there already, {review} may be, {new} are new, {bad} failed"));
    Ok(ExitCode::from(if failed || bad > 0 { FAILED } else { 0 }))
}

/// A folder that is compared with one that it lies in, or that lies in it, would find its own files.
fn refuse_overlap(folder: &Path, against: &Path) -> Result<()> {
    // What cannot be resolved is told of where it is opened.
    let (Ok(one), Ok(other)) = (folder.canonicalize(), against.canonicalize()) else { return Ok(()) };
    if one.starts_with(&other) || other.starts_with(&one) {
        bail!(
            "{} and {} overlap, so that files would be found to be there by themselves: name two folders apart, or scan the \
             outer one without --against",
            folder.display(),
            against.display()
        );
    }
    Ok(())
}

/// Prints what is said of a picture; returns which of the counts it belongs to.
fn tell(
    settings: &Settings,
    there: &There,
    picture: &FolderPicture,
    verdict: Result<Verdict, EngineError>,
) -> Result<usize> {
    let (place, word, matched) = match verdict {
        Ok(Verdict::Hit(matched)) => (0, "seen", Some(matched)),
        Ok(Verdict::Review(matched)) => (1, "review", Some(matched)),
        Ok(Verdict::Miss { .. }) => (2, "new", None),
        Err(error) if error.is_input_error() => {
            complain_about(&picture.name, advice::explained(&error));
            if settings.json {
                writeln!(stdout(), "{}", advice::json_of(&picture.name, &error))?;
            }
            return Ok(3);
        }
        Err(error) => return Err(error.into()),
    };
    let name = matched.map_or(Ok(None), |matched| there.name(matched.photo_id))?;
    if settings.json {
        let mut line = json!({"id": &picture.name, "verdict": word});
        if let Some(Match { photo_id, rule, score, confidence, doubt, .. }) = matched {
            line["matched"] = json!({"photo_id": photo_id, "name": name});
            line["rule"] = if place == 0 { json!(rule) } else { Value::Null };
            line["score"] = json!(score);
            line["confidence"] = json!(confidence);
            line["why"] = json!(doubt);
        }
        writeln!(stdout(), "{line}")?;
        return Ok(place);
    }
    let mut out = stdout();
    write!(out, "{word:<6} {}", field(&picture.name))?;
    if let (Some(matched), Some(name)) = (matched, name) {
        let how = matched.doubt.map_or(matched.rule.to_string(), |doubt| doubt.to_string());
        write!(out, "  {} ({})", field(name), words_of(&how))?;
    }
    writeln!(out)?;
    Ok(place)
}
