//! `tongkuan eval`: how good are the answers on these pictures? Judges a real engine from outside: it is given the
//! references, asked the queries, and measured by what it says.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels and samples change hands in every line of the edits, all far below 2^23"
)]

mod calibrating;
mod edits;
mod make;
mod manifest;
mod measures;
mod recolour;
mod report;
mod summary;
mod tables;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use manifest::picture;

pub use calibrating::best_calibration;
pub use make::{LABELS, LabelProblem, Made, MakeOptions, UnreadablePicture, make};
pub use manifest::{BadLine, LineProblem, Manifest, ManifestLine, Negative, Role};
pub use measures::{
    AtCutoff, Cutoff, Judged, Measures, RecallAtPrecision, Step, micro_ap, percentile, sweep,
};
pub use recolour::Recolours;
#[cfg(feature = "cli")]
pub(crate) use report::{PAGE_STYLE, page_thumbnail};
pub use report::{html, write_html};
pub use summary::{StageTime, Summary};
pub use tables::{Table, number, percent};

use crate::engine::{Engine, EngineError, Inspection, Mode, Progress, Query, SecondLook, Timings};
use crate::input::FileProblem;
use crate::offer::{Offer, OfferId};
use crate::photo_id::PhotoId;

/// Why there is nothing to report.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum EvalError {
    #[error("cannot read {}: {source}; check that it exists and may be read", path.display())]
    Read { path: PathBuf, r#source: std::io::Error },
    #[error("cannot write {}: {source}; check that the folder exists and has room", path.display())]
    Write { path: PathBuf, r#source: std::io::Error },
    #[error("{}: {problem}", path.display())]
    Input { path: PathBuf, problem: FileProblem },
    #[error("{} has more than {limit} rows: split it", path.display())]
    TooManyRows { path: PathBuf, limit: usize },
    #[error("{bad} of {lines} lines cannot be used, the first of them is {first}")]
    MostlyBad { bad: usize, lines: usize, first: Box<BadLine> },
    #[error("{bad} of {pictures} pictures cannot be used, the first of them is {first}")]
    MostlyUnreadable { bad: usize, pictures: usize, first: String },
    #[error("the manifest names no {} picture: it needs references, which are stored, and queries", .0.word())]
    Nothing(Role),
    #[error("{} holds too few pictures (JPEG, PNG, WebP, GIF, BMP): 2 are needed, one to store", path.display())]
    TooFewPictures { path: PathBuf },
    #[error("{} is not empty: name a new folder", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{}, line {line}: {problem}", path.display())]
    Label { path: PathBuf, line: usize, problem: LabelProblem },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What the engine made of a manifest.
#[derive(Debug)]
pub struct Evaluation {
    /// What paths are relative to.
    pub folder: PathBuf,
    /// In the manifest's order, without the bad lines.
    pub queries: Vec<EvaluatedQuery>,
    /// Stored pictures and what they show.
    pub references: HashMap<PhotoId, Vec<Reference>>,
    /// Lines that did not count.
    pub bad_lines: Vec<BadLine>,
    /// From which confidence on the engine answers: see [`crate::engine::Answer::threshold`].
    pub threshold: f32,
    /// What that promises; see [`crate::engine::Answer::max_false_hit`].
    pub max_false_hit: Option<f64>,
    /// The model that looked, with its version and digest.
    pub model: String,
    /// For all references, over all cores.
    pub storing_secs: f64,
    /// For all queries, over all cores.
    pub searching_secs: f64,
}

/// A stored picture.
#[derive(Clone, Debug)]
pub struct Reference {
    /// As the manifest names it.
    pub path: String,
    /// What it shows.
    pub item: String,
}

/// A query and what came of it.
#[derive(Clone, Debug)]
pub struct EvaluatedQuery {
    /// The line that asks it.
    pub line: ManifestLine,
    /// Whether the answer is right, and how sure.
    pub judged: Judged,
    /// The stored picture that came first.
    pub best: Option<PhotoId>,
    /// How long the stages took.
    pub timings_ms: Timings,
}

/// Stores the references of `manifest` in `engine`, which should be empty, and asks it the queries, on all cores.
/// Never asks an upstream.
///
/// # Errors
/// [`EvalError`] when more than half of the lines cannot be used, when there are no references or no queries, or when
/// the engine's home fails.
pub fn evaluate(
    engine: &Engine,
    manifest: Manifest,
    second_look: SecondLook,
    progress: &dyn Progress,
) -> Result<Evaluation, EvalError> {
    let lines = manifest.len();
    let Manifest { folder, references, queries, bad: mut bad_lines, .. } = manifest;
    half_must_be_good(&mut bad_lines, lines)?;
    for (role, found) in [(Role::Reference, references.len()), (Role::Query, queries.len())] {
        if found == 0 {
            return Err(EvalError::Nothing(role));
        }
    }
    // Loading the model is no part of any stage.
    engine.warm_up()?;

    let start = Instant::now();
    let results =
        for_each(references, "storing", progress, |(number, line)| store(engine, &folder, number, line));
    let mut references: HashMap<PhotoId, Vec<Reference>> = HashMap::new();
    for (photo_id, reference) in keep_good(results, &mut bad_lines) {
        references.entry(photo_id).or_default().push(reference);
    }
    engine.settle_index()?;
    let storing_secs = start.elapsed().as_secs_f64();
    half_must_be_good(&mut bad_lines, lines)?;

    let start = Instant::now();
    let stored = Store::new(&references, second_look);
    let results =
        for_each(queries, "searching", progress, |(number, line)| stored.ask(engine, &folder, number, line));
    let searching_secs = start.elapsed().as_secs_f64();
    let answered = keep_good(results, &mut bad_lines);
    half_must_be_good(&mut bad_lines, lines)?;
    let Some(&(_, threshold, max_false_hit)) = answered.first() else {
        let bad = bad_lines.len();
        return Err(match bad_lines.into_iter().next() {
            Some(first) => EvalError::MostlyBad { bad, lines, first: Box::new(first) },
            None => EvalError::Nothing(Role::Query),
        });
    };
    let model = engine.catalog().stored_model().map_err(EngineError::from)?;
    Ok(Evaluation {
        queries: answered.into_iter().map(|(asked, ..)| asked).collect(),
        folder,
        references,
        bad_lines,
        threshold,
        max_false_hit,
        model: model.map(|m| m.to_string()).unwrap_or_default(),
        storing_secs,
        searching_secs,
    })
}

/// The number that ranks queries: how sure the engine is that the picture that came first is the right one.
fn confidence(inspection: &Inspection) -> f64 {
    inspection.best.map_or(-1.0, |best| f64::from(best.confidence.unwrap_or(best.score)))
}

/// Does `work` on all cores, in any order; results are in the order of `tasks`.
fn for_each<T: Send, R: Send>(
    tasks: Vec<T>,
    what: &str,
    progress: &dyn Progress,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let (total, done) = (tasks.len(), AtomicUsize::new(0));
    let counted = |task| {
        let result = work(task);
        progress.step(what, done.fetch_add(1, Ordering::Relaxed) + 1, total);
        result
    };
    tasks.into_par_iter().map(counted).collect()
}

fn keep_good<T>(results: Vec<Result<T, BadLine>>, bad_lines: &mut Vec<BadLine>) -> Vec<T> {
    results.into_iter().filter_map(|result| result.map_err(|bad| bad_lines.push(bad)).ok()).collect()
}

fn half_must_be_good(bad_lines: &mut Vec<BadLine>, lines: usize) -> Result<(), EvalError> {
    bad_lines.sort_by_key(|bad| bad.line);
    let bad = bad_lines.len();
    if bad * 2 > lines {
        let first = Box::new(bad_lines.swap_remove(0));
        return Err(EvalError::MostlyBad { bad, lines, first });
    }
    Ok(())
}

fn store(
    engine: &Engine,
    folder: &Path,
    number: usize,
    line: ManifestLine,
) -> Result<(PhotoId, Reference), BadLine> {
    let bad = |problem: LineProblem| BadLine::new(number, Some(line.path.clone()), problem);
    let bytes = picture(&line.path, folder).map_err(bad)?;
    let offer_id = OfferId::new(format!("line-{number}")).map_err(|e| bad(e.into()))?;
    let good = Offer::new(offer_id, line.item.clone().unwrap_or_default());
    let added = engine.add_own(&good, &bytes, &line.path).map_err(|e| bad(e.into()))?;
    Ok((added.photo_id, Reference { path: line.path, item: good.title }))
}

/// What was stored: the right answers follow from it.
struct Store<'a> {
    references: &'a HashMap<PhotoId, Vec<Reference>>,
    items: HashSet<&'a str>,
    second_look: SecondLook,
}

impl<'a> Store<'a> {
    fn new(references: &'a HashMap<PhotoId, Vec<Reference>>, second_look: SecondLook) -> Self {
        let items = references.values().flatten().map(|reference| reference.item.as_str()).collect();
        Self { references, items, second_look }
    }

    /// Asks one query. Returns with it the engine's threshold and the share of false hits behind that.
    fn ask(
        &self,
        engine: &Engine,
        folder: &Path,
        number: usize,
        line: ManifestLine,
    ) -> Result<(EvaluatedQuery, f32, Option<f64>), BadLine> {
        let bad = |problem: LineProblem| BadLine::new(number, Some(line.path.clone()), problem);
        let stored_item = line.item.as_deref().filter(|item| self.items.contains(item));
        if let (Some(negative), Some(item)) = (line.negative, stored_item) {
            return Err(bad(LineProblem::NegativeStored { negative, item: item.to_owned() }));
        }
        let bytes = picture(&line.path, folder).map_err(bad)?;
        let query = Query::new(&bytes, &line.path).mode(Mode::LocalOnly).second_look(self.second_look);
        let inspection = engine.inspect(&query).map_err(|e| bad(e.into()))?;
        let best = inspection.best.map(|best| best.photo_id);
        let shown = best.and_then(|photo_id| self.references.get(&photo_id));
        let right =
            stored_item.is_some_and(|item| shown.is_some_and(|all| all.iter().any(|r| r.item == item)));
        let judged = Judged {
            seen: stored_item.is_some(),
            right,
            confidence: confidence(&inspection),
            outcome: inspection.answer.verdict,
        };
        let Inspection { answer, .. } = inspection;
        let asked = EvaluatedQuery { judged, best, timings_ms: answer.timings_ms, line };
        Ok((asked, answer.threshold(), answer.max_false_hit()))
    }
}
