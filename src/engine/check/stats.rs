//! What keeps the threads busy?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::{Stage, Timings};

/// A part of the work on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckStage {
    /// Reading files, or fetching.
    Read,
    /// Decoding, both digests included.
    Decode,
    /// Resizing for the model.
    Tensor,
    /// Running the model, both looks.
    Embed,
    /// Finding the nearest stored pictures.
    Index,
    /// Comparing with stored pictures.
    Verify,
    /// Reading the catalogue.
    Catalog,
    /// Settling groups, and waiting for the disk.
    Commit,
}

impl CheckStage {
    /// In the order of the work.
    pub const ALL: [Self; 8] = [
        Self::Read,
        Self::Decode,
        Self::Tensor,
        Self::Embed,
        Self::Index,
        Self::Verify,
        Self::Catalog,
        Self::Commit,
    ];

    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Tensor => "tensor",
            Self::Embed => "embed",
            Self::Index => "index",
            Self::Verify => "verify",
            Self::Catalog => "catalog",
            Self::Commit => "commit",
        }
    }

    fn of(stage: Stage) -> Self {
        match stage {
            Stage::Decode => Self::Decode,
            Stage::Tensor => Self::Tensor,
            Stage::Embed => Self::Embed,
            Stage::Index => Self::Index,
            Stage::Verdict => Self::Verify,
            Stage::Catalog | Stage::Upstream => Self::Catalog,
        }
    }
}

/// How long all threads together were at each stage. May be read while a batch is worked on.
#[derive(Debug, Default)]
pub struct CheckStats {
    nanoseconds: [AtomicU64; CheckStage::ALL.len()],
    /// Groups that were settled once more because another process had stored something.
    resettled: AtomicU64,
    /// Pictures that were judged more than once.
    rejudged: AtomicU64,
}

impl CheckStats {
    /// Time that all threads together have spent on a stage.
    #[must_use]
    pub fn busy(&self, stage: CheckStage) -> Duration {
        Duration::from_nanos(self.nanoseconds[stage as usize].load(Ordering::Relaxed))
    }

    /// Groups that had to be settled once more because another process had stored something meanwhile.
    #[must_use]
    pub fn resettled(&self) -> u64 {
        self.resettled.load(Ordering::Relaxed)
    }

    /// Judgements beside the first one of each picture, because pictures that were stored since then are near it.
    #[must_use]
    pub fn rejudged(&self) -> u64 {
        self.rejudged.load(Ordering::Relaxed)
    }

    pub(super) fn measure<T>(&self, stage: CheckStage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(stage, start.elapsed());
        result
    }

    pub(super) fn measure_stage<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.measure(CheckStage::of(stage), work)
    }

    pub(super) fn add_timings(&self, timings: &Timings) {
        let stages = [
            (CheckStage::Decode, timings.decode),
            (CheckStage::Tensor, timings.tensor),
            (CheckStage::Embed, timings.embed),
            (CheckStage::Index, timings.index),
            (CheckStage::Verify, timings.verdict),
            (CheckStage::Catalog, timings.catalog),
        ];
        for (stage, ms) in stages {
            self.add(stage, Duration::from_secs_f64(ms.unwrap_or(0.0) / 1e3));
        }
    }

    pub(super) fn note_resettled(&self) {
        self.resettled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_rejudged(&self, pictures: usize) {
        self.rejudged.fetch_add(pictures as u64, Ordering::Relaxed);
    }

    pub(super) fn add(&self, stage: CheckStage, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }
}
