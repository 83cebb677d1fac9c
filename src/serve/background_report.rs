//! What the work in the background came to.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::timestamp::Timestamp;

/// What it came to since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct BackgroundCounts {
    /// Whether there is such work at all.
    pub(super) on: bool,
    pub(super) runs: u64,
    pub(super) last_run_at: Option<Timestamp>,
    /// Pictures that waited, or whose answers were old, and were answered.
    pub(super) answered: u64,
    /// Pictures that will never be answered.
    pub(super) dropped: u64,
    /// Pictures of offers that were stored.
    pub(super) harvested: u64,
    pub(super) failures: u64,
    /// What was in the way the last time: nothing left to spend, for example.
    pub(super) last_stop: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct BackgroundReport(Mutex<BackgroundCounts>);

impl BackgroundReport {
    pub(super) fn read(&self) -> BackgroundCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut BackgroundCounts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
