//! Many pictures on all cores: lines of JSON come out as an iterator, while the engine works on threads of its own.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyIterator;
use tongkuan::doors::CheckedLine;
use tongkuan::engine::{
    Added, CheckItem, CheckListener, CheckOptions, CheckStats, Checked, Engine, OwnGood, SecondLook,
};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::{Cancel, EngineError};

use crate::error::Failure;
use crate::picture::{Given, Pictures, Read, reading};

/// Lines that wait to be taken: who takes them slowly slows the work.
const LINES_AHEAD: usize = 1024;

/// How often Ctrl-C is looked for.
const SIGNAL_POLL: Duration = Duration::from_millis(100);

type Line = Result<String, Failure>;

/// A batch under way. Iterating gives a line for each row, in the order of the rows unless it was asked for otherwise. Once
/// it is dropped or closed, nothing more is begun.
#[pyclass(frozen, module = "tongkuan._native")]
pub(crate) struct Batch {
    lines: Mutex<Receiver<Line>>,
    cancel: Cancel,
}

#[pymethods]
impl Batch {
    fn __iter__(batch: PyRef<'_, Self>) -> PyRef<'_, Self> {
        batch
    }

    fn __next__(&self, py: Python<'_>) -> Result<Option<String>, Failure> {
        loop {
            let received = py.detach(|| {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.recv_timeout(SIGNAL_POLL)
            });
            match received {
                Ok(line) => return line.map(Some),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(interrupt) = py.check_signals() {
                        self.cancel.cancel();
                        return Err(interrupt.into());
                    }
                }
            }
        }
    }

    /// Begins nothing more. What was told of is stored.
    fn close(&self) {
        self.cancel.cancel();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Runs `work` on a thread of its own, which hears when nobody takes its lines any more.
fn start(work: impl FnOnce(SyncSender<Line>, Cancel) + Send + 'static) -> Batch {
    let (lines, told) = mpsc::sync_channel(LINES_AHEAD);
    let cancel = Cancel::new();
    let token = cancel.clone();
    std::thread::spawn(move || work(lines, token));
    Batch { lines: Mutex::new(told), cancel }
}

/// Rows of a Python iterable, read on a thread of the engine's. An exception ends them and is kept.
struct Rows<T> {
    iterator: Py<PyIterator>,
    failure: Arc<Mutex<Option<Failure>>>,
    row: u64,
    item: fn(&Bound<'_, PyAny>) -> PyResult<T>,
}

impl<T> Iterator for Rows<T> {
    type Item = (u64, T);

    fn next(&mut self) -> Option<Self::Item> {
        let next = Python::attach(|py| {
            let mut iterator = self.iterator.bind(py).clone();
            iterator.next().map(|item| item.and_then(|item| (self.item)(&item)))
        });
        match next? {
            Ok(item) => {
                self.row += 1;
                Some((self.row - 1, item))
            }
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.into());
                None
            }
        }
    }
}

/// A row's name, the user's own key, and the path or address of the picture, unless it was given as bytes.
struct Place {
    id: String,
    key: Option<String>,
    source: Option<String>,
}

struct Checks {
    lines: SyncSender<Line>,
    cancel: Cancel,
}

fn line_of(place: &Place, row: u64, outcome: Result<&Checked, &Failure>) -> String {
    let line = CheckedLine::new(row, &place.id, place.key.as_deref());
    let mut line = line.found_at(place.source.as_deref());
    match outcome {
        Ok(checked) => line.take_checked(checked),
        Err(failure) => line.take_error(&failure.to_string(), Some(failure.code())),
    }
    line.to_line()
}

impl CheckListener<Place, Failure> for Checks {
    fn line(&self, row: u64, place: &Place, outcome: Result<&Checked, &Failure>) -> Option<String> {
        Some(line_of(place, row, outcome))
    }

    fn told(&mut self, row: u64, place: Place, outcome: Result<Checked, Failure>) {
        if self.lines.send(Ok(line_of(&place, row, outcome.as_ref()))).is_err() {
            self.cancel.cancel();
        }
    }
}

/// What became of the whole, behind the last line.
fn end(lines: &SyncSender<Line>, failure: &Mutex<Option<Failure>>, done: Result<(), EngineError>) {
    let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    let failure = failure.or_else(|| done.err().map(Failure::from));
    if let Some(failure) = failure {
        // Nobody may be listening any more.
        let _ = lines.send(Err(failure));
    }
}

pub(crate) fn check(
    engine: &Arc<Engine>,
    pictures: &Arc<Pictures>,
    rows: Bound<'_, PyIterator>,
    options: CheckOptions,
) -> Batch {
    let (engine, pictures, iterator) = (Arc::clone(engine), Arc::clone(pictures), rows.unbind());
    start(move |lines, cancel| {
        let failure = Arc::default();
        let rows = Rows {
            iterator,
            failure: Arc::clone(&failure),
            row: 0,
            item: |item| item.extract::<(String, Option<String>, Given)>(),
        };
        let rows = rows.map(move |(row, (id, key, given))| {
            let label = key.clone().unwrap_or_else(|| id.clone());
            let source = match &given {
                Given::Named(name) => Some(name.clone()),
                Given::Bytes(_) => None,
            };
            let read: Read = reading(&pictures, given, &label);
            (row, Place { id, key, source }, Ok(CheckItem { label, read }))
        });
        let mut checks = Checks { lines: lines.clone(), cancel: cancel.clone() };
        let stats = CheckStats::default();
        let done = engine.check_all(rows, options, &stats, &cancel.into(), &mut checks);
        let done = done.and_then(|_| if options.add { engine.settle_index() } else { Ok(()) });
        end(&lines, &failure, done);
    })
}

pub(crate) fn check_options(add: bool, thorough: bool, unordered: bool) -> CheckOptions {
    let second_look = if thorough { SecondLook::Always } else { SecondLook::WhenLikely };
    CheckOptions { add, second_look, unordered, ..CheckOptions::default() }
}

/// A good of the user's own, as Python hands it over.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct GivenGood {
    picture: Given,
    label: String,
    id: String,
    title: String,
    price: Option<String>,
    category_ids: Vec<u64>,
    detail_url: Option<String>,
}

impl GivenGood {
    fn offer(&self) -> Result<Offer, Failure> {
        let mut offer = Offer::new(OfferId::new(&self.id)?, self.title.clone());
        offer.price = self.price.as_deref().map(str::parse).transpose()?;
        offer.category_ids.clone_from(&self.category_ids);
        offer.detail_url.clone_from(&self.detail_url);
        Ok(offer)
    }
}

pub(crate) fn add(engine: &Arc<Engine>, pictures: &Arc<Pictures>, goods: Bound<'_, PyIterator>) -> Batch {
    let (engine, pictures, iterator) = (Arc::clone(engine), Arc::clone(pictures), goods.unbind());
    start(move |lines, cancel| {
        let failure = Arc::default();
        let rows = Rows {
            iterator,
            failure: Arc::clone(&failure),
            row: 0,
            item: |item| item.extract::<GivenGood>(),
        };
        let goods = rows.map(move |(_, given)| {
            let good = given.offer().map(|offer| OwnGood {
                offer,
                label: given.label.clone(),
                read: reading(&pictures, given.picture, &given.label),
            });
            (given.id, good)
        });
        let token = cancel.clone();
        let done = engine.add_all(goods, &cancel.into(), &mut |id: String, added: Result<Added, Failure>| {
            let line = match added {
                Ok(added) => serde_json::json!({
                    "id": id, "photo_id": added.photo_id, "is_new": added.is_new, "photos": added.photos,
                }),
                Err(failure) => serde_json::json!({
                    "id": id, "at": id, "error": failure.to_string(), "code": failure.code(),
                }),
            };
            if lines.send(Ok(line.to_string())).is_err() {
                token.cancel();
            }
        });
        end(&lines, &failure, done.and_then(|_| engine.settle_index()));
    })
}
