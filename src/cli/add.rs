//! `tongkuan add`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::FAILED;
use super::output::{BatchOutput, complain};
use super::search::label_of;
use super::settings::Settings;
use super::show::Terminal;
use crate::engine::{Added, Engine, Progress};
use crate::offer::{Offer, OfferId, Price};
use crate::photo::{PhotoLimits, read_bytes};

/// Endings of files that a folder is searched for; what they hold is decided by their content.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "jfif"];

/// A line of NDJSON longer than this is refused, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Own goods to index. Every good is stored before its line is printed, so an interrupted run is taken up again by
/// running it again: what is stored already is not embedded twice.
#[derive(Args, Debug)]
pub(super) struct Add {
    /// A folder (each picture in it is a good, its file name the id and title), or an NDJSON file with lines like
    /// {"path":"a.jpg","id":"A-1","title":"...","price":"59.00","category_ids":[1031]};
    /// all but path and id may be missing; paths are relative to that file
    source: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: PathBuf,
    id: String,
    title: Option<String>,
    price: Option<Price>,
    #[serde(default)]
    category_ids: Vec<u64>,
    detail_url: Option<String>,
}

/// A good and where its picture is, or why it cannot be one.
type Task = (String, Result<(PathBuf, Offer)>);

impl Add {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let tasks = if self.source.is_dir() { folder(&self.source)? } else { ndjson(&self.source)? };
        let engine = settings.engine(true)?;
        let terminal = Terminal::new();
        let done = AtomicUsize::new(0);
        let total = tasks.len();
        let out = BatchOutput::default();
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)];
        let [new, known, failed] = &counts;
        tasks.into_par_iter().for_each(|(id, task)| {
            let result = task.and_then(|(path, good)| add_one(&engine, &path, &good));
            let text = match &result {
                Ok(added) => {
                    (if added.is_new { new } else { known }).fetch_add(1, Ordering::Relaxed);
                    json!({"id": id, "photo_id": added.photo_id, "is_new": added.is_new})
                }
                Err(error) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    complain(format_args!("{id}: {error:#}"));
                    json!({"id": id, "error": format!("{error:#}")})
                }
            };
            if settings.json {
                out.line(text);
            }
            terminal.step("adding", done.fetch_add(1, Ordering::Relaxed) + 1, total);
        });
        engine.settle_index()?;
        let [new, known, failed] = counts.map(AtomicUsize::into_inner);
        complain(format_args!("{new} added, {known} already there, {failed} failed"));
        out.finish()?;
        Ok(if failed > 0 { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

fn add_one(engine: &Engine, path: &Path, good: &Offer) -> Result<Added> {
    let bytes = read_bytes(path, &PhotoLimits::default())?;
    Ok(engine.add_own(good, &bytes, &label_of(path))?)
}

/// Every picture of a folder and its subfolders, by name.
fn folder(root: &Path) -> Result<Vec<Task>> {
    let paths = pictures_in(root)?;
    let task = |path: PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let id = OfferId::new(id_from_name(&stem)).map_err(Into::into);
        (path.display().to_string(), id.map(|id| (path, Offer::new(id, stem))))
    };
    Ok(paths.into_iter().map(task).collect())
}

/// All files with a picture's ending below `root`, sorted.
pub(super) fn pictures_in(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut found) = (vec![root.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            // Links are not followed: a loop of them would never end.
            let kind = entry.file_type()?;
            let path = entry.path();
            let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A file name as an id: what an id may not hold becomes `_`.
fn id_from_name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    name.chars().take(64).map(allowed).collect()
}

fn ndjson(path: &Path) -> Result<Vec<Task>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut tasks = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if !line.trim().is_empty() {
            let place = format!("{}:{}", path.display(), number + 1);
            tasks.push(parse(path, place, &line));
        }
    }
    Ok(tasks)
}

fn parse(file: &Path, place: String, line: &str) -> Task {
    if line.len() > MAX_LINE_BYTES {
        return (place, Err(anyhow::anyhow!("the line is longer than {MAX_LINE_BYTES} bytes")));
    }
    let parsed = serde_json::from_str::<Line>(line).context("not a good: needs at least path and id");
    match parsed {
        Ok(line) => {
            let picture = file.parent().unwrap_or(Path::new("")).join(&line.path);
            (line.id.clone(), own_good(line).map(|good| (picture, good)))
        }
        Err(error) => (place, Err(error)),
    }
}

fn own_good(line: Line) -> Result<Offer> {
    let Line { id, title, price, category_ids, detail_url, path: _ } = line;
    let title = title.unwrap_or_else(|| id.clone());
    Ok(Offer { price, category_ids, detail_url, ..Offer::new(OfferId::new(id)?, title) })
}
