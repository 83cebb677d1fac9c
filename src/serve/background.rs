//! What is looked after beside requests: pictures that wait, answers that have grown old, pictures of offers, the index. A
//! little at a time, and told of in `/v1/stats`.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::state::App;
use crate::engine::EngineError;

/// Pictures that are asked about in one round: with a pause of a second between calls a round is short enough to be waited
/// for at the end.
const ASKED_A_ROUND: u64 = 8;
/// Pictures of offers that are fetched in one round.
const HARVESTED_A_ROUND: u64 = 32;

/// The thread that does it; ends, after the round it is at, when told to or dropped.
#[derive(Debug)]
pub(super) struct Background {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start(app: Arc<App>, every: Duration) -> Self {
        app.background.note(|counts| counts.on = true);
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if app.is_draining() {
                    break;
                }
                round(&app);
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Lets the round under way come to its end: what it asks is paid for.
    pub(super) fn finish(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.finish();
    }
}

fn round(app: &App) {
    let result = work(app);
    let now = app.clock.now();
    app.background.note(|counts| {
        counts.runs += 1;
        counts.last_run_at = Some(now);
        if let Err(error) = &result {
            counts.failures += 1;
            counts.last_stop = Some(error.to_string());
        }
    });
    if let Err(error) = result {
        tracing::warn!(%error, code = error.code(), "the work in the background failed; it is tried again");
    }
}

fn work(app: &App) -> Result<(), EngineError> {
    let engine = &app.engine;
    app.health.prove(engine, app.clock.now());
    let catalog = engine.catalog();
    if app.has_upstreams && app.fetcher.is_some() && !catalog.is_read_only() && !catalog.storing_fails() {
        let waiting = catalog.queue_counts()?;
        if waiting.deferred + waiting.stale > 0 {
            let mut calls = 0;
            let drained = engine.drain(Some(ASKED_A_ROUND), &mut |one| {
                calls += one.result.as_ref().map_or(0, |answer| answer.upstream_calls);
            })?;
            app.metrics.count_calls(calls);
            app.background.note(|counts| {
                counts.answered += drained.answered;
                counts.dropped += drained.dropped;
                counts.last_stop = drained.stopped.map(|stopped| stopped.message);
            });
        }
    }
    if let Some(fetcher) = app.fetcher.as_ref().filter(|_| app.options.harvest) {
        let harvested = engine.harvest(fetcher.as_ref(), Some(HARVESTED_A_ROUND), &mut |_, _| {})?;
        app.background.note(|counts| counts.harvested += harvested.stored);
    }
    engine.settle_index()
}
