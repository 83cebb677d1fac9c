//! How far is it? A line on a terminal, a JSON object now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::super::output::stderr;
use crate::engine::{CheckStage, CheckStats};

/// How often the JSON object is written, and how often the line changes.
const JSON_EVERY: Duration = Duration::from_secs(10);
const LINE_EVERY: Duration = Duration::from_millis(250);

/// Rows by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) seen: u64,
    pub(super) review: u64,
    pub(super) new: u64,
    pub(super) errors: u64,
    /// Of those: not asked about, or in vain.
    pub(super) waiting: u64,
    /// Told of by an earlier run.
    pub(super) earlier: u64,
}

impl Counts {
    /// Of this run.
    pub(super) fn rows(&self) -> u64 {
        self.seen + self.review + self.new + self.errors
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seen, review, new, errors, waiting, earlier } = self;
        write!(f, "{seen} seen, {review} to review, {new} new, {errors} failed")?;
        if *waiting > 0 {
            write!(f, ", {waiting} wait for `tongkuan drain`")?;
        }
        if *earlier > 0 { write!(f, ", {earlier} told of before") } else { Ok(()) }
    }
}

pub(super) struct Meter<'s> {
    stats: &'s CheckStats,
    start: Instant,
    last: Instant,
    /// Rows in all, where that is known.
    total: Option<u64>,
    bar: Option<ProgressBar>,
}

impl<'s> Meter<'s> {
    pub(super) fn new(stats: &'s CheckStats, total: Option<u64>, is_quiet: bool) -> Self {
        let bar = (!is_quiet && std::io::stderr().is_terminal()).then(|| {
            let template =
                if total.is_some() { "{pos}/{len} {wide_bar} {eta} {msg}" } else { "{pos} {spinner} {msg}" };
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let style = ProgressStyle::with_template(template);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let now = Instant::now();
        Self { stats, start: now, last: now, total, bar }
    }

    pub(super) fn tick(&mut self, counts: &Counts) {
        let every = if self.bar.is_some() { LINE_EVERY } else { JSON_EVERY };
        if self.last.elapsed() < every {
            return;
        }
        self.last = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_position(counts.earlier + counts.rows());
            bar.set_message(format!("{:.1}/s, {counts}; busy: {}", self.rate(counts), self.busy_text()));
        } else {
            // Where standard error cannot be written to there is nothing else to tell it to.
            let _ = writeln!(stderr(), "{}", self.json(counts));
        }
    }

    pub(super) fn finish(&self, counts: &Counts) {
        tracing::info!(rows = counts.rows(), busy = %self.json(counts)["progress"]["busy"], "checked");
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Rows a second.
    fn rate(&self, counts: &Counts) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let rows = counts.rows() as f64;
        rows / self.start.elapsed().as_secs_f64().max(1e-6)
    }

    /// The share of all threads' time that each stage took, 0..=1.
    fn busy(&self) -> Vec<(&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "a count of threads")]
        let threads = rayon::current_num_threads() as f64;
        let all = self.start.elapsed().as_secs_f64().max(1e-6) * threads;
        CheckStage::ALL.map(|stage| (stage.name(), self.stats.busy(stage).as_secs_f64() / all)).into()
    }

    fn busy_text(&self) -> String {
        let shares = self.busy().into_iter().filter(|(_, share)| *share >= 0.01);
        shares.map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect::<Vec<_>>().join(", ")
    }

    fn json(&self, counts: &Counts) -> Value {
        let rate = self.rate(counts);
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let eta_secs = self.total.map(|total| {
            (total.saturating_sub(counts.earlier + counts.rows()) as f64 / rate.max(1e-6)).round()
        });
        let rounded = |share: f64| (share * 1000.0).round() / 1000.0;
        let busy: Map<String, Value> =
            self.busy().into_iter().map(|(name, share)| (name.to_owned(), rounded(share).into())).collect();
        json!({"progress": {
            "rows": counts.rows(), "earlier": counts.earlier, "of": self.total, "rows_per_sec": rounded(rate),
            "eta_secs": eta_secs, "seen": counts.seen, "review": counts.review, "new": counts.new,
            "errors": counts.errors, "busy": busy,
        }})
    }
}
