//! How long did each stage take?

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde::Serialize;

/// A stage of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From bytes to pixels.
    Decode,
    /// From pixels to the model's input.
    Tensor,
    /// The model, and loading it the first time.
    Embed,
    /// Looking for near pictures, and bringing the index up to date.
    Index,
    /// Comparing sketches, and the rule.
    Verdict,
    /// Reads and writes of the store.
    Catalog,
    /// Asking, and waiting for a turn.
    Upstream,
}

/// Milliseconds that each stage took; `null` for a stage that was not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timings {
    /// See [`Stage::Decode`].
    pub decode: Option<f64>,
    /// See [`Stage::Tensor`].
    pub tensor: Option<f64>,
    /// See [`Stage::Embed`].
    pub embed: Option<f64>,
    /// See [`Stage::Index`].
    pub index: Option<f64>,
    /// See [`Stage::Verdict`].
    pub verdict: Option<f64>,
    /// See [`Stage::Catalog`].
    pub catalog: Option<f64>,
    /// Waiting for the pace, for the upstream, and for retries.
    pub upstream: Option<f64>,
    /// The whole search.
    pub total: f64,
}

impl Timings {
    /// Every stage's name, as in JSON, and its time, in the order of the line.
    #[must_use]
    pub fn stages(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("decode", self.decode),
            ("tensor", self.tensor),
            ("embed", self.embed),
            ("index", self.index),
            ("verdict", self.verdict),
            ("catalog", self.catalog),
            ("upstream", self.upstream),
        ]
    }

    /// Counts time for a stage.
    fn add(&mut self, stage: Stage, took: Duration) {
        let spent = match stage {
            Stage::Decode => &mut self.decode,
            Stage::Tensor => &mut self.tensor,
            Stage::Embed => &mut self.embed,
            Stage::Index => &mut self.index,
            Stage::Verdict => &mut self.verdict,
            Stage::Catalog => &mut self.catalog,
            Stage::Upstream => &mut self.upstream,
        };
        *spent = Some(spent.unwrap_or(0.0) + milliseconds(took));
        // An upstream takes what it takes.
        if took >= SLOW_STAGE && stage != Stage::Upstream {
            tracing::warn!(?stage, ms = took.as_millis(), "a stage of a search was slow");
        }
    }
}

/// From so long on a part of a search is worth a line in the log.
const SLOW_STAGE: Duration = Duration::from_secs(1);

fn milliseconds(duration: Duration) -> f64 {
    // Whole microseconds: more digits would be noise.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The timings of one search while it runs.
pub(super) struct Stopwatch {
    start: Cell<Instant>,
    so_far: Cell<Timings>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { start: Cell::new(Instant::now()), so_far: Cell::default() }
    }

    /// Runs `work` as (a part of) a stage.
    pub(super) fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let mut timings = self.so_far.get();
        timings.add(stage, start.elapsed());
        self.so_far.set(timings);
        result
    }

    /// All stages until now, and the time since the start.
    pub(super) fn read(&self) -> Timings {
        Timings { total: milliseconds(self.start.get().elapsed()), ..self.so_far.get() }
    }

    /// As [`Stopwatch::read`], and begins anew: for the next search about the same picture.
    pub(super) fn take(&self) -> Timings {
        let read = self.read();
        self.start.set(Instant::now());
        self.so_far.take();
        read
    }
}
