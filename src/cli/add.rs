//! `tongkuan add`

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::output::complain;
use super::picture::{Pictures, tell_of_missing};
use super::settings::Settings;
use super::store_goods::{Place, Read, SkippedFiles, Task, store_goods};
use crate::engine::OwnGood;
use crate::input::{Input, Item, PictureSource, Row, TextEncoding};
use crate::offer::{Offer, OfferId};

/// Own goods to index. Every good is stored before its line is printed, in the order of the input, so an interrupted run is
/// taken up again by running it again: what is stored already is not embedded twice.
#[derive(Args, Debug)]
pub(super) struct Add {
    /// Folders, pictures or their addresses, zip or tar archives of pictures, or lists of goods; - is standard input.
    ///
    /// In a folder or archive each picture is a good, its path there the id and its name the title. A list is NDJSON with
    /// lines like {"path":"a.jpg","id":"A-1","title":"...","price":"59.00","category_ids":[1031]}, a JSON array of such
    /// objects, a CSV or TSV with such a header (图片, 编号, 标题 and 价格 are understood, too), or one path or address a
    /// line, or ending with NUL. All but the picture may be missing; paths are relative to the list. Several rows may show
    /// one good in several pictures; its last row tells title, price and all the rest. UTF-8, UTF-16, GBK and Big5 are recognised
    #[arg(required = true, value_name = "SOURCE", value_parser = super::any_path())]
    sources: Vec<PathBuf>,
}

impl Add {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let open = |source: &PathBuf| (source.display().to_string(), Input::open(source));
        let inputs: VecDeque<_> = self.sources.iter().map(open).collect();
        // A mistake in the only name is told before a model is loaded.
        if let ([(name, Err(problem))], _) = inputs.as_slices() {
            bail!("{name}: {problem}");
        }
        let total = inputs.iter().map(|(_, input)| input.as_ref().map_or(1, Input::len_hint)).sum();
        // Of rows that come one by one it is not known how many there are.
        let total = Some(total).filter(|total| *total > 0);
        let engine = settings.engine(true)?;
        let skipped = Arc::<Mutex<SkippedFiles>>::default();
        let goods = Goods {
            pictures: Arc::new(Pictures::new(settings)?),
            by_id: (self.sources.len() > 1).then(HashMap::new),
            skipped: Arc::clone(&skipped),
            inputs,
        };
        store_goods(settings, &engine, goods, total, &skipped)
    }
}

/// The goods of all sources, one after the other.
struct Goods {
    inputs: VecDeque<(String, Result<Input, crate::input::FileProblem>)>,
    pictures: Arc<Pictures>,
    /// With several sources: which ids were made of names, since folders may hold files of the same names.
    by_id: Option<HashMap<String, PathBuf>>,
    skipped: Arc<Mutex<SkippedFiles>>,
}

impl Iterator for Goods {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        loop {
            let (_, input) = self.inputs.front_mut()?;
            if let Ok(input) = input
                && let Some(item) = input.next()
            {
                return Some(self.task(item));
            }
            match self.inputs.pop_front()? {
                (name, Ok(input)) => self.report(&name, &input),
                (name, Err(problem)) => return Some((unnamed(name), Err(problem.into()))),
            }
        }
    }
}

impl Goods {
    fn task(&mut self, item: Item) -> Task {
        let Item { place, row, .. } = item;
        match row.map_err(Into::into).and_then(|row| self.check_name(&row).map(|()| row)) {
            Ok(row) => {
                let is_named_by_file = !row.is_id_given;
                match self.good(row) {
                    Ok(good) => {
                        let id = good.offer.offer_id.to_string();
                        (Place { id, at: place, is_named_by_file }, Ok(good))
                    }
                    Err(error) => (unnamed(place), Err(error)),
                }
            }
            Err(error) => (unnamed(place), Err(error)),
        }
    }

    fn check_name(&mut self, row: &Row) -> Result<()> {
        if let (Some(by_id), false, PictureSource::File(path)) =
            (&mut self.by_id, row.is_id_given, &row.picture)
        {
            let first = by_id.entry(row.id.clone()).or_insert_with(|| path.clone());
            if first != path && !is_one_file(first, path) {
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

    fn good(&self, row: Row) -> Result<OwnGood<Read>> {
        let Row { picture, id, is_id_given, title, price, category_ids, detail_url, key: _ } = row;
        let id = match OfferId::new(&id) {
            // A file's name that is too long, or holds control characters, is not its owner's fault.
            Err(_) if !is_id_given => {
                let (digested, _) = OfferId::of_path(id.as_ref());
                complain(format_args!("{id}: the path is no id as it is; the good is {digested}"));
                digested
            }
            id => id.context("the good needs another id")?,
        };
        let offer = Offer { price, category_ids, detail_url, ..Offer::new(id, title) };
        let (label, pictures) = (picture.name(), Arc::clone(&self.pictures));
        Ok(OwnGood { offer, label, read: Box::new(move || Ok(pictures.read(&picture)?.bytes)) })
    }

    /// What there is to say of a source as a whole.
    fn report(&self, name: &str, input: &Input) {
        let report = input.report();
        if let Some(encoding) = report.encoding.filter(|encoding| *encoding != TextEncoding::Utf8) {
            complain(format_args!("{name}: read as {encoding}"));
        }
        if !report.ignored_fields.is_empty() {
            let fields: Vec<&str> = report.ignored_fields.iter().map(String::as_str).collect();
            complain(format_args!("{name}: ignored fields: {}", fields.join(", ")));
        }
        tell_of_missing(name, input);
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.extend(report.skipped.iter().cloned());
    }
}

/// Whether two paths lead to one file, as `./p/1.jpg` and `p/1.jpg` do.
fn is_one_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

fn unnamed(id: String) -> Place {
    Place { at: id.clone(), id, is_named_by_file: false }
}
