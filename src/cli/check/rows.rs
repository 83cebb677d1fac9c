//! The rows of all sources of a check, one after the other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};

use super::super::output::complain;
use super::super::picture::{Pictures, tell_of_missing};
use super::super::store_goods::{Read, SkippedFiles};
use super::output::RowSet;
use crate::doors::CheckedLine;
use crate::engine::CheckItem;
use crate::input::{FileProblem, Input, Item, PictureSource, Row, TextEncoding};

/// What is printed of a row, and what asking about it needs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: String,
    /// Where it was named, with the folder or archive: `list.csv:3`, `shards/7.tar/000017.jpg`.
    pub(super) at: String,
    pub(super) key: Option<String>,
    pub(super) source: Option<PictureSource>,
    /// Its line, which a run that was killed had made.
    pub(super) kept: Option<String>,
}

/// Why these are not the sources of the run that is to be resumed.
#[derive(Debug, thiserror::Error)]
pub(super) enum OtherSources {
    #[error("row {row} is {found}, and was {told} in the run that is to be resumed: name the same sources")]
    OtherRow { row: u64, found: String, told: String },
    #[error(
        "there are {rows} rows, and the run that is to be resumed has told of row {last}: name the same sources"
    )]
    TooFewRows { rows: u64, last: u64 },
}

impl OtherSources {
    /// Unless the earlier run has told of the row by the id of `item`, which is its row now.
    pub(super) fn unless_told_as(row: u64, item: &Item, told: String) -> Option<Self> {
        let found = item.row.as_ref().map_or(item.id.as_ref().unwrap_or(&item.place), |read| &read.id);
        // Earlier versions called all pictures of a sample as it is, and those in Parquet by their row.
        let is_of_sample =
            |id: &str| id.strip_prefix(told.as_str()).is_some_and(|ending| ending.starts_with('.'));
        let is_in_archive = matches!(&item.row, Ok(Row { picture: PictureSource::Member(_), .. }));
        let is_same = *found == told || item.place == told || is_in_archive && is_of_sample(found);
        (!is_same).then(|| Self::OtherRow { row, found: found.clone(), told })
    }
}

/// A source that cannot be opened is one row.
pub(super) fn unopened(name: String, problem: FileProblem) -> Item {
    Item { place: name, id: None, key: None, row: Err(problem.into()) }
}

pub(super) struct Rows {
    inputs: VecDeque<(String, Result<Input, FileProblem>)>,
    pictures: Arc<Pictures>,
    next_row: u64,
    /// Rows that need nothing more.
    done: RowSet,
    kept: HashMap<u64, String>,
    /// The last row of the earlier run, by which another input is known.
    last: Option<(u64, Option<String>)>,
    skipped: Arc<Mutex<SkippedFiles>>,
    /// Why the rows end before their time.
    problem: Arc<Mutex<Option<OtherSources>>>,
    /// Whether pictures may have to be read once more.
    rereads: bool,
    /// The column that was named as the key.
    key: Option<String>,
}

type Task = (u64, Place, Result<CheckItem<Read>>);

impl Rows {
    pub(super) fn new(
        inputs: Vec<(String, Result<Input, FileProblem>)>,
        pictures: Arc<Pictures>,
        done: RowSet,
        kept: HashMap<u64, String>,
        last: Option<(u64, Option<String>)>,
        rereads: bool,
        key: Option<String>,
    ) -> Self {
        let (skipped, problem, inputs) = (Arc::default(), Arc::default(), inputs.into());
        Self { inputs, pictures, next_row: 0, done, kept, last, skipped, problem, rereads, key }
    }

    /// Why the rows ended before their time, if they did.
    pub(super) fn problem(&self) -> Arc<Mutex<Option<OtherSources>>> {
        Arc::clone(&self.problem)
    }

    /// Files that are no pictures; complete once the rows are.
    pub(super) fn skipped(&self) -> Arc<Mutex<SkippedFiles>> {
        Arc::clone(&self.skipped)
    }

    /// The next item, and its full place.
    fn next_item(&mut self) -> Option<(Item, String)> {
        loop {
            let (_, input) = self.inputs.front_mut()?;
            if let Ok(input) = input
                && let Some(item) = input.next()
            {
                let at = input.full_place(&item);
                return Some((item, at));
            }
            match self.inputs.pop_front()? {
                (name, Ok(input)) => self.report(&name, &input),
                (name, Err(problem)) => return Some((unopened(name.clone(), problem), name)),
            }
        }
    }

    fn report(&self, name: &str, input: &Input) {
        let report = input.report();
        if let Some(encoding) = report.encoding.filter(|encoding| *encoding != TextEncoding::Utf8) {
            complain(format_args!("{name}: read as {encoding}"));
        }
        tell_of_missing(name, input);
        if let (Some(key), Some(false)) = (&self.key, report.has_key_column) {
            complain(format_args!("{name}: no row has a column {key:?}, so that --key names nothing"));
        }
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.extend(report.skipped.iter().cloned());
    }

    fn task(&mut self, row: u64, Item { place, id, key, row: read }: Item, at: String) -> Task {
        let kept = self.kept.remove(&row);
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let key = key.or_else(|| id.clone());
                let place = Place { id: id.unwrap_or(place), at, key, source: None, kept };
                return (row, place, Err(error.into()));
            }
        };
        let key = key.or_else(|| read.is_id_given.then(|| read.id.clone()));
        let source = read.picture;
        let label = key.clone().unwrap_or_else(|| source.name());
        let is_kept = kept.is_some();
        let place = Place { id: read.id, at, key, source: self.rereads.then(|| source.clone()), kept };
        if is_kept {
            // It is not looked at again: the earlier run has stored what came of it.
            return (row, place, Err(anyhow!("the row was answered before")));
        }
        let pictures = Arc::clone(&self.pictures);
        let read: Read = Box::new(move || Ok(pictures.read(&source)?.bytes));
        (row, place, Ok(CheckItem { label, read }))
    }

    /// Whether the row has another id than the one that the earlier run had told of.
    fn is_another_input(&self, row: u64, item: &Item) -> Option<OtherSources> {
        let last = self.last.as_ref().filter(|(last, _)| *last == row).and_then(|(_, id)| id.clone());
        // What was stored with its line, and did not get into the file any more.
        let kept = || Some(CheckedLine::from_json(self.kept.get(&row)?)?.text("id")?.to_owned());
        let told = last.or_else(kept)?;
        OtherSources::unless_told_as(row, item, told)
    }

    /// Whether the rows have ended before the last one that the earlier run had told of.
    fn too_few(&self) -> Option<OtherSources> {
        let (last, _) = self.last.as_ref().filter(|(last, _)| self.next_row <= *last)?;
        Some(OtherSources::TooFewRows { rows: self.next_row, last: *last })
    }

    fn end_with(&self, problem: Option<OtherSources>) {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one stands, however often the end is asked for.
        *known = known.take().or(problem);
    }
}

impl Iterator for Rows {
    type Item = Task;

    fn next(&mut self) -> Option<Task> {
        loop {
            let Some((item, at)) = self.next_item() else {
                self.end_with(self.too_few());
                return None;
            };
            let row = self.next_row;
            self.next_row += 1;
            if let Some(problem) = self.is_another_input(row, &item) {
                self.end_with(Some(problem));
                return None;
            }
            if !self.done.contains(row) {
                return Some(self.task(row, item, at));
            }
        }
    }
}
