//! `tongkuan add`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::search::label_of;
use super::settings::Settings;
use super::show::Terminal;
use super::store_goods::{Read, Task, store_goods};
use crate::engine::{OwnGood, Progress};
use crate::offer::{Offer, OfferId, Price};
use crate::photo::{PhotoLimits, read_bytes};

/// Endings of files that a folder is searched for; what they hold is decided by their content.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "jfif"];

/// A line of NDJSON longer than this is refused, in bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Own goods to index. Every good is stored before its line is printed, in the order of the input, so an interrupted run is
/// taken up again by running it again: what is stored already is not embedded twice.
#[derive(Args, Debug)]
pub(super) struct Add {
    /// A folder (each picture in it is a good, its path in the folder the id, its file name the title), or an NDJSON file
    /// with lines like
    /// {"path":"a.jpg","id":"A-1","title":"...","price":"59.00","category_ids":[1031]};
    /// all but path and id may be missing; paths are relative to that file. Several lines may show one good in several
    /// pictures; its last line tells title, price and all the rest
    source: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: PathBuf,
    #[serde(deserialize_with = "OfferId::from_json")]
    id: OfferId,
    title: Option<String>,
    price: Option<Price>,
    #[serde(default)]
    category_ids: Vec<u64>,
    detail_url: Option<String>,
}

impl Add {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let is_folder = self.source.is_dir();
        let tasks = if is_folder { folder(&self.source)? } else { ndjson(&self.source)? };
        let engine = settings.engine(true)?;
        let total = tasks.len();
        store_goods(settings, &engine, tasks, Some(total), is_folder)
    }
}

/// A good whose picture is in a file.
fn in_file(path: PathBuf, offer: Offer) -> OwnGood<Read> {
    let label = label_of(&path);
    OwnGood { offer, label, read: Box::new(move || Ok(read_bytes(&path, &PhotoLimits::default())?)) }
}

/// Every picture of a folder and its subfolders, by name.
fn folder(root: &Path) -> Result<Vec<Task>> {
    let task = |path: PathBuf| {
        let (id, is_path) = OfferId::of_path(path.strip_prefix(root).unwrap_or(&path));
        if !is_path {
            Terminal::new()
                .note(&format!("{}: the path is no id as it is; the good is {id}", path.display()));
        }
        let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (id.to_string(), Ok(in_file(path, Offer::new(id, title))))
    };
    Ok(pictures_in(root)?.into_iter().map(task).collect())
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
    match serde_json::from_str::<Line>(line) {
        Ok(line) => {
            let picture = file.parent().unwrap_or(Path::new("")).join(&line.path);
            (line.id.to_string(), Ok(in_file(picture, own_good(line))))
        }
        Err(error) => (place, Err(error).context("not a good: needs at least path and id")),
    }
}

fn own_good(line: Line) -> Offer {
    let Line { id, title, price, category_ids, detail_url, path: _ } = line;
    let title = title.unwrap_or_else(|| id.to_string());
    Offer { price, category_ids, detail_url, ..Offer::new(id, title) }
}
