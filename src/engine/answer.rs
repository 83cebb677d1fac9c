//! What a search gives back: one value that feeds the JSON output, the table and the tests.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Explanation;
use crate::catalog::{PhotoKind, StoredAnswer, StoredPhoto};
use crate::clock::Timestamp;
use crate::offer::Offer;
use crate::photo_id::PhotoId;
use crate::upstream::guard::{Asked, WhyNot};
use crate::verdict::{Match, Rule};
use crate::verify::Doubt;

/// Whether the picture was seen before; see [`crate::verdict::Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered locally, with what is stored.
    Hit,
    /// A stored picture stands out, but not enough to answer with it.
    Review,
    /// No stored picture, or none that was asked about in this way, answers it.
    Miss,
}

/// Where the offers came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Local,
    Upstream,
    /// There are none: nothing is stored, and nothing was asked.
    None,
}

/// The stored picture that a new one was recognised as, or that stands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matched {
    pub photo_id: PhotoId,
    pub kind: PhotoKind,
    pub label: String,
}

impl From<StoredPhoto> for Matched {
    fn from(photo: StoredPhoto) -> Self {
        Self { photo_id: photo.photo_id, kind: photo.kind, label: photo.label }
    }
}

/// The answer to one search. Serialises to the object that `tongkuan search --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    pub verdict: Outcome,
    /// How the matched picture was recognised.
    pub rule: Option<Rule>,
    /// `score` as an integer, 0 to 100.
    pub similarity: Option<u8>,
    /// Cosine of the matched, else the nearest stored picture; -1 to 1.
    pub score: Option<f32>,
    /// How sure it is that the matched picture is the same, 0 to 1; `null` when it was stored before there were
    /// sketches, and when nothing matched.
    pub confidence: Option<f32>,
    /// What speaks against the matched picture of a review.
    pub why: Option<Doubt>,
    /// The confidence from which on a picture is a hit; where the matched picture has no sketch, the score.
    pub threshold: f32,
    /// With 95 % certainty at most this share of the searches for pictures that are not stored passes the threshold:
    /// what was asked for or, where the calibration cannot promise that with so many pictures stored, what it can.
    /// `null` when nothing is known about the model.
    pub max_false_hit: Option<f64>,
    pub source: Source,
    /// When the offers were fetched from the upstream or, for own goods, stored.
    pub fetched_at: Option<Timestamp>,
    /// The offers are older than their upstream's soft limit; see [`super::Freshness`].
    pub stale: bool,
    pub matched: Option<Matched>,
    pub offers: Vec<Offer>,
    /// Over all pages, where the upstream says so.
    pub total_offers: Option<u64>,
    /// Offers that are there but not shown, because the query did not want them.
    pub filtered_out: usize,
    pub timings_ms: Timings,
    /// Search requests that counted against the quota.
    pub upstream_calls: u32,
    /// Why the upstream did not answer, when it should have. What is there beside it is the best that is known here:
    /// nothing, or the offers of the stored picture that stands out.
    pub unanswered: Option<Unanswered>,
    /// Why an answer that was paid for is not in the catalogue, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unstored: Option<Unstored>,
    /// What the verdict rests on.
    pub explain: Explanation,
    /// What the user should know all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An answer, and what it was weighed by.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub answer: Answer,
    /// The stored picture that came first: the matched one, or on a miss the nearest. `None` when nothing is stored.
    pub best: Option<Match>,
}

/// Why nothing was asked, or asked in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unanswered {
    pub reason: WhyNot,
    pub message: String,
    /// When it is worth asking again, where that is known.
    pub retry_at: Option<Timestamp>,
    /// Whether the picture waits in the queue.
    pub queued: bool,
}

/// What kept something that was paid for out of the catalogue. While that lasts, nothing more is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unstored {
    pub message: String,
    /// Whether it waits in the side journal of the home folder, from where it is answered, and stored as soon as that can be
    /// done. Else it lives as long as this process.
    pub set_aside: bool,
}

impl Unstored {
    /// For the user, with what it cost.
    pub(super) fn warning(&self, calls: u32) -> String {
        let paid = if calls == 1 { "1 call paid".to_owned() } else { format!("{calls} calls paid") };
        let then = if self.set_aside {
            "it waits in the side journal, from where it is stored as soon as that can be done"
        } else {
            "nor could it be set aside: it is lost when this process ends"
        };
        format!("the answer could not be stored ({}); {paid}; {then}", self.message)
    }
}

impl Answer {
    pub(super) fn take_asked(&mut self, asked: Asked, fetched_at: Timestamp) {
        if self.verdict == Outcome::Hit {
            // Recognised, but what was known about it had expired.
            self.verdict = Outcome::Miss;
        }
        self.stale = false;
        self.source = Source::Upstream;
        self.fetched_at = Some(fetched_at);
        self.total_offers = asked.page.total;
        self.offers = asked.page.offers;
        for offer in &mut self.offers {
            offer.seen_at = Some(fetched_at);
        }
        self.upstream_calls = asked.calls;
    }

    pub(super) fn take_stored(&mut self, stored: StoredAnswer) {
        self.source = Source::Local;
        self.fetched_at = Some(stored.fetched_at);
        self.total_offers = stored.total;
        self.offers = stored.offers;
    }
}

/// A stage of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Decode,
    Tensor,
    Embed,
    Index,
    Verdict,
    Catalog,
    Upstream,
}

/// Milliseconds that each stage took; `null` for a stage that was not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    pub decode: Option<f64>,
    pub tensor: Option<f64>,
    pub embed: Option<f64>,
    pub index: Option<f64>,
    pub verdict: Option<f64>,
    pub catalog: Option<f64>,
    /// Waiting for the pace, for the upstream, and for retries.
    pub upstream: Option<f64>,
    pub total: f64,
}

impl Timings {
    /// Runs `work` as (a part of) a stage.
    pub(super) fn measure<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(stage, start.elapsed());
        result
    }

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
    pub(super) fn add(&mut self, stage: Stage, took: Duration) {
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

    pub(super) fn finish(&mut self, start: Instant) {
        self.total = milliseconds(start.elapsed());
    }
}

/// From so long on a part of a search is worth a line in the log.
const SLOW_STAGE: Duration = Duration::from_secs(1);

fn milliseconds(duration: Duration) -> f64 {
    // Whole microseconds: more digits would be noise.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
