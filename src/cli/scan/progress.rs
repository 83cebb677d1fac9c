//! How far is a scan? A bar on a terminal, a JSON object now and then elsewhere, as `check` writes them.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::catalog::DamageNote;
use crate::cli::output::stderr;
use crate::cli::show::Terminal;
use crate::engine::Progress;

/// How often the JSON object is written.
const JSON_EVERY: Duration = Duration::from_secs(10);
/// Before that long a rate says nothing.
const RATE_FROM: Duration = Duration::from_secs(1);

pub(super) struct ScanProgress {
    terminal: Terminal,
    stage: Mutex<Stage>,
}

/// What is being done, and since when.
struct Stage {
    name: String,
    since: Instant,
    /// When the last JSON object was written.
    told: Instant,
    bar: Option<ProgressBar>,
}

impl ScanProgress {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let stage = Stage { name: String::new(), since: now, told: now, bar: None };
        Self { terminal: Terminal::new(), stage: Mutex::new(stage) }
    }
}

impl Progress for ScanProgress {
    fn note(&self, text: &str) {
        self.terminal.note(text);
    }

    fn damage(&self, damage: DamageNote<'_>) {
        self.terminal.damage(damage);
    }

    fn step(&self, what: &str, done: usize, of: usize) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.name != what {
            // A stage is heard of when its first part is done: it began when the one before it ended.
            what.clone_into(&mut stage.name);
            if let Some(bar) = stage.bar.take() {
                bar.finish_and_clear();
            }
        }
        let per_sec = rate(done, stage.since.elapsed());
        if std::io::stderr().is_terminal() {
            let bar = stage.bar.get_or_insert_with(bar);
            let rate = per_sec.map_or(String::new(), |rate| format!("{rate:.0}/s"));
            bar.set_message(format!("{rate} {what}"));
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        } else if stage.told.elapsed() >= JSON_EVERY {
            stage.told = Instant::now();
            // Where standard error cannot be written to there is nothing else to tell it to.
            let _ = writeln!(stderr(), "{}", line(what, done, of, per_sec));
        }
        if done >= of {
            stage.since = Instant::now();
            if let Some(bar) = stage.bar.take() {
                bar.finish_and_clear();
            }
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} {wide_bar} {eta} {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Files a second; `None` where too little time has passed.
fn rate(done: usize, elapsed: Duration) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a count of files")]
    let done = done as f64;
    (elapsed >= RATE_FROM).then(|| done / elapsed.as_secs_f64())
}

fn line(what: &str, done: usize, of: usize, per_sec: Option<f64>) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a count of files")]
    let left = of.saturating_sub(done) as f64;
    let eta_secs = per_sec.filter(|rate| *rate > 0.0).map(|rate| (left / rate).round());
    let rounded = per_sec.map(|rate| (rate * 1000.0).round() / 1000.0);
    json!({"progress": {"stage": what, "files": done, "of": of, "files_per_sec": rounded, "eta_secs": eta_secs}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_of_a_second_at_least() {
        assert_eq!(rate(256, Duration::from_micros(70)), None);
        assert_eq!(rate(256, Duration::from_secs(4)), Some(64.0));
        let told = line("reading", 256, 1024, rate(256, Duration::from_secs(4)));
        assert_eq!(
            (&told["progress"]["files_per_sec"], &told["progress"]["eta_secs"]),
            (&json!(64.0), &json!(12.0))
        );
        assert_eq!(line("reading", 1, 2, None)["progress"]["eta_secs"], Value::Null);
    }
}
