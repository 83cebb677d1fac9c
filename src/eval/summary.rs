//! All numbers of an evaluation as one value: the object that `tongkuan eval --json` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::measures::{Cutoff, Judged, Measures, percentile, to_f64};
use super::{EvaluatedQuery, Evaluation};

/// The shares of false hits for which cut-offs are always told.
const FALSE_HITS: [f64; 2] = [0.01, 0.001];

/// Queries that must not be answered and have no label.
const UNSEEN: &str = "unseen";

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The model that looked, with its version and digest.
    pub model: String,
    /// The engine's own threshold between hit and review: a confidence, 0..=1, or a cosine where stored pictures have no
    /// sketch.
    pub threshold: f32,
    /// The share of false hits that the engine promises.
    pub max_false_hit: Option<f64>,
    /// Stored pictures.
    pub references: usize,
    /// Searched pictures.
    pub queries: usize,
    /// Lines that did not count, and why.
    pub bad_lines: Vec<String>,
    /// Over all queries.
    #[serde(flatten)]
    pub all: Measures,
    /// Over the queries of one edit.
    pub by_edit: BTreeMap<String, Measures>,
    /// By what makes a query one that must not be answered.
    pub by_negative: BTreeMap<String, Measures>,
    /// Over all cores, reading the files included.
    pub stored_per_second: f64,
    /// Over all cores.
    pub searched_per_second: f64,
    /// In the order of the stages.
    pub stages: Vec<StageTime>,
}

/// Milliseconds that a stage of a search took, over the queries that needed it; the last one is the whole search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// The stage's name.
    pub stage: &'static str,
    /// How many needed it.
    pub queries: usize,
    /// `None` where no query needed it.
    pub median_ms: Option<f64>,
    /// The 95th percentile; `None` where no query needed it.
    pub p95_ms: Option<f64>,
}

impl Summary {
    /// Measures everything. `max_false_hit`: another share of false hits, 0 to 1, to choose a cut-off for.
    #[must_use]
    pub fn of(evaluation: &Evaluation, max_false_hit: Option<f64>) -> Self {
        let queries = &evaluation.queries;
        let judged: Vec<Judged> = queries.iter().map(|asked| asked.judged).collect();
        let mut shares = FALSE_HITS.to_vec();
        shares.extend(max_false_hit.filter(|share| !FALSE_HITS.contains(share)));
        let cutoffs: Vec<Cutoff> = shares.iter().map(|&share| Cutoff::choose(&judged, share)).collect();
        let stored: usize = evaluation.references.values().map(Vec::len).sum();
        Self {
            model: evaluation.model.clone(),
            threshold: evaluation.threshold,
            max_false_hit: evaluation.max_false_hit,
            references: stored,
            queries: queries.len(),
            bad_lines: evaluation.bad_lines.iter().map(ToString::to_string).collect(),
            all: Measures::of(&judged, &cutoffs),
            by_edit: grouped(queries, &cutoffs, |asked| asked.line.edit.clone()),
            by_negative: grouped(queries, &cutoffs, |asked| {
                let kind = asked.line.negative.map_or(UNSEEN.to_owned(), |negative| negative.to_string());
                (!asked.judged.seen).then_some(kind)
            }),
            stored_per_second: to_f64(stored) / evaluation.storing_secs.max(f64::EPSILON),
            searched_per_second: to_f64(queries.len()) / evaluation.searching_secs.max(f64::EPSILON),
            stages: stages(queries),
        }
    }
}

fn grouped(
    queries: &[EvaluatedQuery],
    cutoffs: &[Cutoff],
    name: impl Fn(&EvaluatedQuery) -> Option<String>,
) -> BTreeMap<String, Measures> {
    let mut groups: BTreeMap<String, Vec<Judged>> = BTreeMap::new();
    for asked in queries {
        if let Some(name) = name(asked) {
            groups.entry(name).or_default().push(asked.judged);
        }
    }
    groups.into_iter().map(|(name, judged)| (name, Measures::of(&judged, cutoffs))).collect()
}

fn stages(queries: &[EvaluatedQuery]) -> Vec<StageTime> {
    let mut times: Vec<(&'static str, Vec<f64>)> = Vec::new();
    for asked in queries {
        let whole = ("total", Some(asked.timings_ms.total));
        for (i, (stage, ms)) in asked.timings_ms.stages().into_iter().chain([whole]).enumerate() {
            if i == times.len() {
                times.push((stage, Vec::new()));
            }
            times[i].1.extend(ms);
        }
    }
    let needed = times.into_iter().filter(|(_, ms)| !ms.is_empty());
    needed
        .map(|(stage, mut ms)| StageTime {
            stage,
            queries: ms.len(),
            median_ms: percentile(&mut ms, 0.5),
            p95_ms: percentile(&mut ms, 0.95),
        })
        .collect()
}
