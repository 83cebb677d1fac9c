//! What a search gives back: one value that feeds the JSON output, the table and the tests.

use serde::{Serialize, Serializer};

use super::{Explanation, Timings};
use crate::clock::Timestamp;
use crate::offer::Offer;
use crate::photo_id::PhotoId;
use crate::question::Region;
use crate::store::{PhotoKind, StoredPhoto};
use crate::upstream::guard::WhyNot;
use crate::verdict::{Match, Rule, similarity_percent};
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
    /// The home folder.
    Local,
    /// An upstream, asked just now.
    Upstream,
    /// There are none: nothing is stored, and nothing was asked.
    None,
}

/// The stored picture that a new one was recognised as, or that stands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Matched {
    /// The stored photo.
    pub photo_id: PhotoId,
    /// How it came here.
    pub kind: PhotoKind,
    /// For people, usually the file's name.
    pub label: String,
}

impl From<StoredPhoto> for Matched {
    fn from(photo: StoredPhoto) -> Self {
        Self { photo_id: photo.photo_id, kind: photo.kind, label: photo.label }
    }
}

/// What one place has brought to a merged answer.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AnswerPart {
    /// The upstream that was to answer; `None`: the first one that could.
    pub upstream: Option<String>,
    /// The part of the picture that was asked about; `None`: all of it.
    pub region: Option<Region>,
    /// Where its offers came from.
    pub source: Source,
    /// When they were fetched.
    pub fetched_at: Option<Timestamp>,
    /// Offers that no place before it had.
    pub new_offers: usize,
    /// Search requests that counted against the quota.
    pub upstream_calls: u32,
    /// Why it did not answer.
    pub unanswered: Option<Unanswered>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The answer to one search. Serialises to the object that `tongkuan search --json` prints.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Whether the picture was seen before.
    pub verdict: Outcome,
    /// Where the offers came from.
    pub source: Source,
    /// When the offers were fetched from the upstream or, for own goods, stored.
    pub fetched_at: Option<Timestamp>,
    /// The offers are older than their upstream's soft limit; see [`super::CachePolicy`].
    pub stale: bool,
    /// Set where the home's database is away, and this worker has answered from what it has kept: what was stored, removed or
    /// told since then is not in the answer.
    pub as_of: Option<Timestamp>,
    /// The stored picture whose answer this is, or that stands out.
    pub matched: Option<Matched>,
    /// In the upstream's order.
    pub offers: Vec<Offer>,
    /// Over all pages, where the upstream says so.
    pub total_offers: Option<u64>,
    /// Offers that are there but not shown, because the query did not want them.
    pub filtered_out: usize,
    /// Parts of the picture, in its own pixels, in which the upstream sees goods: each may be asked about by a search of
    /// its own, which costs a call. None for a picture that was recognised as another file: its pixels are others.
    pub suggested_regions: Vec<Region>,
    /// What each upstream and each region brought, where several were asked ([`Engine::search_widely`]); else empty.
    ///
    /// [`Engine::search_widely`]: super::Engine::search_widely
    pub parts: Vec<AnswerPart>,
    /// How long the stages took.
    pub timings_ms: Timings,
    /// Search requests that counted against the quota.
    pub upstream_calls: u32,
    /// Why the upstream did not answer, when it should have. What is there beside it is the best that is known here:
    /// nothing, or the offers of the stored picture that stands out.
    pub unanswered: Option<Unanswered>,
    /// Why an answer that was paid for is not in the catalogue, if it is not.
    pub unstored: Option<Unstored>,
    /// What the verdict rests on.
    pub explain: Explanation,
    /// What the user should know all the same.
    pub warnings: Vec<String>,
    /// It comes from the side journal, where answers are found by a picture's bytes.
    pub(super) from_journal: bool,
}

impl Answer {
    /// How the matched picture was recognised.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        if self.from_journal { Some(Rule::SameBytes) } else { self.explain.rule() }
    }

    /// Cosine of the matched, else the nearest stored picture; -1 to 1.
    #[must_use]
    pub fn score(&self) -> Option<f32> {
        if self.from_journal { Some(1.0) } else { self.explain.score() }
    }

    /// [`Answer::score`] as an integer, 0 to 100.
    #[must_use]
    pub fn similarity(&self) -> Option<u8> {
        self.score().map(similarity_percent)
    }

    /// How sure it is that the matched picture is the same, 0 to 1; `None` when it was stored before there were
    /// sketches, and when nothing matched.
    #[must_use]
    pub fn confidence(&self) -> Option<f32> {
        if self.from_journal { Some(1.0) } else { self.explain.matched().and_then(|m| m.confidence) }
    }

    /// What speaks against the matched picture of a review.
    #[must_use]
    pub fn why(&self) -> Option<Doubt> {
        if self.from_journal { None } else { self.explain.matched().and_then(|m| m.doubt) }
    }

    /// With [`Doubt::SeveralEqual`], the first other stored photos that agree as well as the matched one.
    #[must_use]
    pub fn rivals(&self) -> Vec<PhotoId> {
        let matched = self.explain.matched().filter(|_| !self.from_journal);
        matched.map_or_else(Vec::new, |m| m.rivals.into_iter().flatten().collect())
    }

    /// The confidence from which on a picture is a hit; where the matched picture has no sketch, the score.
    #[must_use]
    pub fn threshold(&self) -> f32 {
        self.explain.threshold_for_the_match().0
    }

    /// With 95 % certainty at most this share of the searches for pictures that are not stored passes the threshold:
    /// what was asked for or, where the calibration cannot promise that with so many pictures stored, what it can.
    /// `None` when nothing is known about the model.
    #[must_use]
    pub fn max_false_hit(&self) -> Option<f64> {
        self.explain.threshold_for_the_match().1
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The fields of the JSON object, in their order.
        #[derive(Serialize)]
        struct Json<'a> {
            verdict: Outcome,
            rule: Option<Rule>,
            similarity: Option<u8>,
            score: Option<f32>,
            confidence: Option<f32>,
            why: Option<Doubt>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            rivals: Vec<PhotoId>,
            threshold: f32,
            max_false_hit: Option<f64>,
            source: Source,
            fetched_at: Option<Timestamp>,
            stale: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            as_of: Option<Timestamp>,
            matched: Option<&'a Matched>,
            offers: &'a [Offer],
            total_offers: Option<u64>,
            filtered_out: usize,
            #[serde(skip_serializing_if = "<[Region]>::is_empty")]
            suggested_regions: &'a [Region],
            #[serde(skip_serializing_if = "<[AnswerPart]>::is_empty")]
            parts: &'a [AnswerPart],
            timings_ms: Timings,
            upstream_calls: u32,
            unanswered: Option<&'a Unanswered>,
            #[serde(skip_serializing_if = "Option::is_none")]
            unstored: Option<&'a Unstored>,
            explain: &'a Explanation,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            warnings: &'a [String],
        }
        let json = Json {
            verdict: self.verdict,
            rule: self.rule(),
            similarity: self.similarity(),
            score: self.score(),
            confidence: self.confidence(),
            why: self.why(),
            rivals: self.rivals(),
            threshold: self.threshold(),
            max_false_hit: self.max_false_hit(),
            source: self.source,
            fetched_at: self.fetched_at,
            stale: self.stale,
            as_of: self.as_of,
            matched: self.matched.as_ref(),
            offers: &self.offers,
            total_offers: self.total_offers,
            filtered_out: self.filtered_out,
            suggested_regions: &self.suggested_regions,
            parts: &self.parts,
            timings_ms: self.timings_ms,
            upstream_calls: self.upstream_calls,
            unanswered: self.unanswered.as_ref(),
            unstored: self.unstored.as_ref(),
            explain: &self.explain,
            warnings: &self.warnings,
        };
        json.serialize(serializer)
    }
}

/// An answer, and what it was weighed by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// As [`Engine::search`](super::Engine::search) gives it.
    pub answer: Answer,
    /// The stored picture that came first: the matched one, or on a miss the nearest. `None` when nothing is stored.
    pub best: Option<Match>,
}

/// Why nothing was asked, or asked in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unanswered {
    /// For programs.
    pub reason: WhyNot,
    /// For people.
    pub message: String,
    /// When it is worth asking again, where that is known.
    pub retry_at: Option<Timestamp>,
    /// Whether the picture waits in the queue.
    pub queued: bool,
    /// Whether it was to wait there and could not be written down: then nothing asks about it later.
    #[serde(skip)]
    pub queue_failed: bool,
}

/// What kept something that was paid for out of the catalogue. While that lasts, nothing more is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unstored {
    /// For people.
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
