//! `tongkuan add`

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::FAILED;
use super::picture::Pictures;
use super::settings::Settings;
use super::show::Terminal;
use crate::engine::{Added, Engine, Progress};
use crate::input::{Input, Item, PictureSource, Row, TextEncoding, skipped_text};
use crate::offer::{Offer, OfferId};

/// Rows that are read before they are stored.
const ROWS_AT_ONCE: usize = 64;

/// Own goods to index. Every good is stored before its line is printed, so an interrupted run is taken up again by
/// running it again: what is stored already is not embedded twice.
#[derive(Args, Debug)]
pub(super) struct Add {
    /// Folders, pictures or their addresses, zip or tar archives of pictures, or lists of goods; - is standard input.
    ///
    /// In a folder or archive each picture is a good, its path there the id and its name the title. A list is NDJSON with
    /// lines like {"path":"a.jpg","id":"A-1","title":"...","price":"59.00","category_ids":[1031]}, a JSON array of such
    /// objects, a CSV or TSV with such a header (图片, 编号, 标题 and 价格 are understood, too), or one path or address a
    /// line, or ending with NUL. All but the picture may be missing; paths are relative to the list. UTF-8, UTF-16 and GBK
    /// are recognised
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
}

/// A good and where its picture is, or why it cannot be one.
type Task = (String, Result<(PictureSource, Offer)>);

#[derive(Debug, Default)]
struct Counts {
    new: AtomicUsize,
    known: AtomicUsize,
    failed: AtomicUsize,
}

impl Add {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let mut inputs = Vec::new();
        let mut unreadable = Vec::new();
        for source in &self.sources {
            let name = source.display().to_string();
            match Input::open(source) {
                Ok(input) => inputs.push((name, input)),
                Err(problem) => unreadable.push((name, problem)),
            }
        }
        // A mistake in the only name is told before a model is loaded.
        if let ([], [(name, problem)]) = (&inputs[..], &unreadable[..]) {
            bail!("{name}: {problem}");
        }
        let engine = settings.engine(true)?;
        let store = Store { engine: &engine, pictures: Pictures::new(settings)?, json: settings.json };
        let (terminal, counts) = (Terminal::new(), Counts::default());
        for (name, problem) in unreadable {
            store.tell(&name, &Err(anyhow::Error::new(problem)), &counts);
        }
        let (mut done, mut skipped) = (0, Vec::new());
        let mut named = Named { is_wanted: self.sources.len() > 1, by_id: HashMap::new() };
        for (name, mut input) in inputs {
            loop {
                let items: Vec<Item> = input.by_ref().take(ROWS_AT_ONCE).collect();
                if items.is_empty() {
                    break;
                }
                let total = done + items.len() + input.len_hint();
                let tasks: Vec<Task> = items.into_iter().map(|item| named.task(item)).collect();
                let at = AtomicUsize::new(done);
                done += tasks.len();
                tasks.into_par_iter().for_each(|(id, task)| {
                    let added = task.and_then(|(picture, good)| store.add(&picture, &good));
                    store.tell(&id, &added, &counts);
                    terminal.step("adding", at.fetch_add(1, Ordering::Relaxed) + 1, total);
                });
            }
            tell_report(&name, &input);
            skipped.extend(input.report().skipped.iter().cloned());
        }
        if settings.json {
            for (name, kind) in &skipped {
                let _ = writeln!(
                    std::io::stdout().lock(),
                    "{}",
                    json!({"id": name, "skipped": kind.to_string()})
                );
            }
        }
        engine.settle_index()?;
        let Counts { new, known, failed } = counts;
        let [new, known, failed] = [new, known, failed].map(AtomicUsize::into_inner);
        let skipped = skipped_text(&skipped).map_or(String::new(), |text| format!(", {text}"));
        eprintln!("tongkuan: {new} added, {known} already there, {failed} failed{skipped}");
        Ok(if failed > 0 { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

/// What there is to say of a source as a whole.
fn tell_report(name: &str, input: &Input) {
    let report = input.report();
    if let Some(encoding @ (TextEncoding::Gb18030 | TextEncoding::Utf16Le | TextEncoding::Utf16Be)) =
        report.encoding
    {
        eprintln!("tongkuan: {name}: read as {encoding}");
    }
    if !report.ignored_fields.is_empty() {
        let fields: Vec<&str> = report.ignored_fields.iter().map(String::as_str).collect();
        eprintln!("tongkuan: {name}: ignored fields: {}", fields.join(", "));
    }
}

/// Which ids were made of names in this run: folders may hold files of the same names.
struct Named {
    is_wanted: bool,
    by_id: HashMap<String, PathBuf>,
}

impl Named {
    fn task(&mut self, item: Item) -> Task {
        match item.row {
            Ok(row) => {
                let id = row.id.clone();
                match self.checked(&row).and_then(|()| good(row)) {
                    Ok(task) => (id, Ok(task)),
                    Err(error) => (item.place, Err(error)),
                }
            }
            Err(error) => (item.place, Err(error.into())),
        }
    }

    fn checked(&mut self, row: &Row) -> Result<()> {
        if let (true, false, PictureSource::File(path)) = (self.is_wanted, row.is_id_given, &row.picture) {
            let first = self.by_id.entry(row.id.clone()).or_insert_with(|| path.clone());
            if first != path {
                bail!(
                    "{} has the id {:?} already, and {} would get the same: name a folder above both, or a list with ids",
                    first.display(),
                    row.id,
                    path.display()
                );
            }
        }
        Ok(())
    }
}

fn good(row: Row) -> Result<(PictureSource, Offer)> {
    let Row { picture, id, title, price, category_ids, detail_url, .. } = row;
    let id = OfferId::new(id).context("the good needs another id")?;
    Ok((picture, Offer { price, category_ids, detail_url, ..Offer::new(id, title) }))
}

struct Store<'a> {
    engine: &'a Engine,
    pictures: Pictures,
    json: bool,
}

impl Store<'_> {
    fn add(&self, picture: &PictureSource, good: &Offer) -> Result<Added> {
        let picture = self.pictures.read(picture)?;
        Ok(self.engine.add_own(good, &picture.bytes, &picture.label)?)
    }

    fn tell(&self, id: &str, added: &Result<Added>, counts: &Counts) {
        let text = match added {
            Ok(added) => {
                (if added.is_new { &counts.new } else { &counts.known }).fetch_add(1, Ordering::Relaxed);
                json!({"id": id, "photo_id": added.photo_id, "is_new": added.is_new})
            }
            Err(error) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("tongkuan: {id}: {error:#}");
                json!({"id": id, "error": format!("{error:#}")})
            }
        };
        if self.json {
            // Standard output is gone: the work is worth finishing all the same.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }
}
