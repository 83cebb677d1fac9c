//! The whole algorithm on one screen: [`Engine::search`].

mod add_all;
mod answer;
mod bound;
mod builder;
mod details;
mod explain;
mod forget;
mod freshness;
mod goods;
mod harvest;
mod judge;
mod live_index;
mod measured;
mod miss;
mod pages;
mod paying;
mod queue;
mod quota;
mod reembed;
mod refine;
mod repair;
mod similar;
mod told;
mod turn_wait;
mod unreadable;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use add_all::{BatchEnd, OwnGood};
pub use answer::{Answer, Inspection, Matched, Outcome, Source, Stage, Timings, Unanswered, Unstored};
pub use bound::CalibratedOn;
pub use builder::{EngineBuilder, RuntimeChoice};
pub use details::Details;
pub use explain::{Explanation, Geometry};
pub use forget::Forgotten;
pub use freshness::Freshness;
pub use goods::Added;
pub use harvest::{HarvestError, Harvested};
pub use live_index::IndexAudit;
pub use pages::MAX_PAGES;
pub use queue::{Drained, DrainedOne};
pub use quota::QuotaReport;
pub use reembed::{Originals, Reembedded, Refilled};
pub use refine::Refine;
pub use similar::Similar;
pub use told::{Pointed, Told};

use crate::calibration::TooFewPairs;
use crate::catalog::{
    AnswerKey, Catalog, CatalogError, DamageNote, NewPhoto, Stored, StoredAnswer, WaitReason,
};
use crate::clock::Clock;
use crate::embed::{EmbedError, Embedding};
use crate::index::{Index, IndexError, SaveError};
use crate::photo::{Digest, Photo, PhotoError, PhotoLimits};
use crate::photo_id::PhotoId;
use crate::tensor::{Preprocessor, Tensor, TensorError, TensorSpec};
use crate::upstream::guard::{Guard, GuardError};
use crate::upstream::{PrepareError, SearchParams, UpstreamError};
use crate::verdict::{Match, Policy, Rule, Verdict, similarity_percent};
use crate::verify::{Probe, SketchError};

use bound::Bound;
use freshness::Standing;
use live_index::LiveIndex;
use quota::SavedCalls;

/// How many stored pictures are looked at before the verdict.
const CANDIDATES: usize = 20;

/// Answers that have grown old wait behind pictures about which nothing is known (0 by default).
const REFRESH_PRIORITY: i32 = -1;

/// What a search may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Answer locally when the picture is known, else ask the upstream and store what it says.
    #[default]
    Default,
    /// Never spend anything.
    LocalOnly,
    /// Ask in any case, and store what comes back.
    Refresh,
    /// Ask in any case, and store nothing.
    Bypass,
}

/// One search.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The picture's file.
    pub bytes: &'a [u8],
    /// For people, usually the file's name; stored with the photo.
    pub label: &'a str,
    /// Where the picture was got from, if that is a public web address: some upstreams take nothing else.
    pub source_url: Option<&'a str>,
    pub params: SearchParams,
    pub mode: Mode,
    /// A stored answer as old as this is fetched anew; it is served only when that fails. The upstream's own limits
    /// ([`Freshness`]) hold beside it.
    pub max_age: Option<Duration>,
    /// Have the picture wait in the queue, under this priority (higher ones come first), when it cannot be asked
    /// about now.
    pub defer: Option<i32>,
    /// Which of the offers are wanted.
    pub refine: Refine,
}

impl<'a> Query<'a> {
    /// The plain question: what is like this picture?
    #[must_use]
    pub fn new(bytes: &'a [u8], label: &'a str) -> Self {
        Self {
            bytes,
            label,
            source_url: None,
            params: SearchParams::default(),
            mode: Mode::Default,
            max_age: None,
            defer: None,
            refine: Refine::default(),
        }
    }
}

/// Why a search, or another use of the engine, failed. A miss is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Sketch(#[from] SketchError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    TooFewPairs(#[from] TooFewPairs),
    #[error(
        "there is no calibration for the model {model}, so no false-hit bound can be promised: calibrate on \
         pictures of yours, or ask for no bound"
    )]
    Uncalibrated { model: String },
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Upstream(#[from] GuardError),
    #[error("there is no photo {photo_id}")]
    NoSuchPhoto { photo_id: PhotoId },
    #[error("it is not photo {photo_id} any more: its address shows another picture by now")]
    OtherPicture { photo_id: PhotoId },
    #[error("both are photo {photo_id}, by their bytes or pixels: there is nothing to tell apart")]
    OnePhoto { photo_id: PhotoId },
    #[error("no upstream is configured")]
    NoUpstream,
}

/// Hears about long work.
pub trait Progress: Send + Sync {
    /// Something worth a line.
    fn note(&self, text: &str);
    /// Something stored cannot be read, and is done without.
    fn damage(&self, damage: DamageNote<'_>) {
        self.note(&damage.to_string());
    }
    /// `done` of `of` steps of the work `what`.
    fn step(&self, what: &str, done: usize, of: usize);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn note(&self, _: &str) {}
    fn step(&self, _: &str, _: usize, _: usize) {}
}

/// A home folder, open for use. Shared by reference between threads.
pub struct Engine {
    home: PathBuf,
    catalog: Arc<Catalog>,
    index: LiveIndex,
    embedder: builder::LazyEmbedder,
    bound: Bound,
    /// In the order in which they are asked.
    desks: Vec<Desk>,
    clock: Arc<dyn Clock>,
    limits: PhotoLimits,
    progress: Arc<dyn Progress>,
    /// For whole pictures, and for a second look at parts of them.
    preprocessors: [Mutex<Vec<Preprocessor>>; 2],
    /// Told whenever somebody of this process has stopped asking.
    turn_ended: (Mutex<()>, Condvar),
    saved: SavedCalls,
    /// Held by the one who asks about an offer.
    asking_details: Mutex<()>,
}

/// Where to ask, and for how long its answers are good.
struct Desk {
    guard: Guard,
    freshness: Freshness,
}

/// What is known about a picture after the local half of the line.
struct Seen {
    byte_digest: Digest,
    verdict: Verdict,
    /// What the verdict was drawn by.
    policy: Policy,
    /// Not there for a picture whose bytes were known: it was never decoded.
    photo: Option<Photo>,
    /// Not there for a picture whose bytes or pixels were known: it was never embedded.
    embedding: Option<Embedding>,
    /// There once parts of the picture were looked at.
    parts: Option<Vec<Embedding>>,
    /// There once the picture was compared with stored ones.
    probe: Option<Probe>,
}

impl Seen {
    /// The stored picture that comes first, whether or not it will do.
    fn best(&self) -> Option<Match> {
        match self.verdict {
            Verdict::Hit(matched) | Verdict::Review(matched) => Some(matched),
            Verdict::Miss { nearest } => nearest,
        }
    }
}

/// The local answer, and whether it will do.
struct Known {
    answer: Answer,
    /// Of the stored answer to this very question; `None` when there is none, or when it must not be used.
    standing: Option<Standing>,
}

impl Known {
    fn will_do(&self, mode: Mode) -> bool {
        match self.standing {
            None => false,
            Some(Standing::Expired) => mode == Mode::LocalOnly,
            Some(Standing::Fresh | Standing::Stale) => true,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Engine {
    /// Prepares an engine on the home folder `home`; see [`EngineBuilder`] for what can be chosen. Where no other thread
    /// runs yet, this sets `ORT_DISABLE_TELEMETRY` in the process's environment, see
    /// [`disable_telemetry`](crate::embed::runtime::disable_telemetry).
    pub fn builder(home: impl Into<PathBuf>) -> EngineBuilder {
        crate::embed::disable_telemetry_if_alone();
        EngineBuilder::new(home.into())
    }

    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What is stored.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Brings the index into its fastest shape and saves it, when that is worth the time. Answers are right without
    /// it; call it after storing many pictures.
    ///
    /// # Errors
    /// [`EngineError`] when the index cannot be read or saved.
    pub fn settle_index(&self) -> Result<(), EngineError> {
        self.index.settle(&self.catalog, self.progress.as_ref())
    }

    /// Loads the model and the index now instead of at the first search.
    ///
    /// # Errors
    /// [`EngineError`] when either cannot be loaded.
    pub fn warm_up(&self) -> Result<(), EngineError> {
        self.embedder.get(self.progress.as_ref())?;
        self.index.current(&self.catalog, self.progress.as_ref())?;
        Ok(())
    }

    /// How many pictures the index holds, once it has all that the catalogue has.
    ///
    /// # Errors
    /// [`EngineError`] when the index cannot be made.
    pub fn index_len(&self) -> Result<usize, EngineError> {
        Ok(self.index.current(&self.catalog, self.progress.as_ref())?.len())
    }

    fn on_the_index<T>(&self, job: impl Fn(&Index) -> Result<T, EngineError>) -> Result<T, EngineError> {
        self.index.on_a_whole_one(&self.catalog, self.progress.as_ref(), |index| job(index))
    }

    /// Makes the index anew from the catalogue, which [`Engine::audit`] may show to be needed.
    ///
    /// # Errors
    /// [`EngineError`] when the catalogue cannot be read or the index cannot be saved.
    pub fn remake_index(&self) -> Result<(), EngineError> {
        self.index.remake(&self.catalog, self.progress.as_ref())
    }

    /// Searches for every stored picture by its own embedding, and counts those that do not find themselves (or an
    /// equal one).
    ///
    /// # Errors
    /// [`EngineError`] when the catalogue or the index cannot be read.
    pub fn audit(&self) -> Result<IndexAudit, EngineError> {
        self.index.audit(&self.catalog, self.progress.as_ref())
    }

    /// The stored picture that has these bytes, these pixels, or looks the same; never asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails.
    pub fn recognise(&self, bytes: &[u8]) -> Result<Verdict, EngineError> {
        Ok(self.look(bytes, &mut Timings::default())?.verdict)
    }

    /// Asks every upstream for something that costs nothing, to see whether address and credentials work.
    #[must_use]
    pub fn check_upstreams(&self) -> Vec<(&'static str, Result<(), UpstreamError>)> {
        self.desks.iter().map(|desk| (desk.guard.profile(), desk.guard.check())).collect()
    }

    /// Was this picture seen before, and what does 1688 sell like it?
    ///
    /// A known picture is answered from the home folder. For an unknown one the upstream is asked, once, and its
    /// answer is stored before it is returned; where that fails it is returned all the same, and [`Answer::unstored`] says
    /// so. When nothing can be asked, the answer is what is known here, and [`Answer::unanswered`] says why.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read, the home folder cannot be read, or the upstream refuses in a way
    /// that does not pass by itself. Nothing is stored then.
    pub fn search(&self, query: &Query<'_>) -> Result<Answer, EngineError> {
        Ok(self.inspect(query)?.answer)
    }

    /// As [`Engine::search`], with the stored picture that came first even when it was not good enough: for those who
    /// judge the engine.
    ///
    /// # Errors
    /// As [`Engine::search`].
    pub fn inspect(&self, query: &Query<'_>) -> Result<Inspection, EngineError> {
        let start = Instant::now();
        let mut timings = Timings::default();
        let generation = timings.measure(Stage::Catalog, || self.catalog.generation())?;
        let mut seen = self.look(query.bytes, &mut timings)?;
        let mut known = self.known(&seen, query, &mut timings)?;
        if known.will_do(query.mode) {
            self.saved.count(query.mode, !self.desks.is_empty(), || self.flush_saved());
        } else {
            self.miss(generation, &mut seen, query, &mut known, &mut timings)?;
        }
        if known.standing == Some(Standing::Stale) && query.mode == Mode::Default {
            self.have_wait(WaitReason::Stale, REFRESH_PRIORITY, &seen, query, &mut timings);
        }
        known.answer.filtered_out = query.refine.apply(&mut known.answer.offers);
        timings.finish(start);
        known.answer.timings_ms = timings;
        Ok(Inspection { best: seen.best(), answer: known.answer })
    }

    /// The local half of the line: from bytes to a verdict.
    fn look(&self, bytes: &[u8], timings: &mut Timings) -> Result<Seen, EngineError> {
        let mut seen = self.look_for_equal(bytes, timings)?;
        if let (Verdict::Miss { .. }, Some(photo)) = (seen.verdict, &seen.photo) {
            seen.embedding = Some(self.embed(photo, timings)?);
            self.judge(&mut seen, timings)?;
        }
        Ok(seen)
    }

    /// Looks for the same bytes, then for the same pixels: known bytes are not decoded, and neither is embedded.
    fn look_for_equal(&self, bytes: &[u8], timings: &mut Timings) -> Result<Seen, EngineError> {
        let (byte_digest, known) = timings.measure(Stage::Catalog, || {
            let digest = Digest::of(bytes);
            self.catalog.photo_by_bytes(digest).map(|known| (digest, known))
        })?;
        let equal = |photo_id, rule| Verdict::Hit(Match::equal(photo_id, rule));
        if let Some(photo_id) = known {
            let verdict = equal(photo_id, Rule::SameBytes);
            let policy = self.bound.newest();
            return Ok(Seen {
                byte_digest,
                verdict,
                policy,
                photo: None,
                embedding: None,
                parts: None,
                probe: None,
            });
        }
        let photo = timings.measure(Stage::Decode, || Photo::decode(bytes, &self.limits))?;
        let known = timings.measure(Stage::Catalog, || self.catalog.photo_by_pixels(photo.pixel_digest()))?;
        let verdict =
            known.map_or(Verdict::Miss { nearest: None }, |photo_id| equal(photo_id, Rule::SamePixels));
        let policy = self.bound.newest();
        Ok(Seen {
            byte_digest,
            verdict,
            policy,
            photo: Some(photo),
            embedding: None,
            parts: None,
            probe: None,
        })
    }

    /// Looks at the catalogue and the index once more, without decoding or embedding again.
    fn look_again(&self, seen: &mut Seen, timings: &mut Timings) -> Result<(), EngineError> {
        let digest = seen.byte_digest;
        if let Some(photo_id) = timings.measure(Stage::Catalog, || self.catalog.photo_by_bytes(digest))? {
            seen.verdict = Verdict::Hit(Match::equal(photo_id, Rule::SameBytes));
        } else {
            self.judge(seen, timings)?;
        }
        Ok(())
    }

    fn embed(&self, photo: &Photo, timings: &mut Timings) -> Result<Embedding, EngineError> {
        let embedder = timings.measure(Stage::Embed, || self.embedder.get(self.progress.as_ref()))?;
        let tensor = Self::tensor(&self.preprocessors[0], embedder.input(), photo, timings)?;
        Ok(timings.measure(Stage::Embed, || embedder.embed(&tensor))?)
    }

    fn embed_parts(&self, photo: &Photo, timings: &mut Timings) -> Result<Vec<Embedding>, EngineError> {
        let embedder = timings.measure(Stage::Embed, || self.embedder.get(self.progress.as_ref()))?;
        let Some(input) = embedder.parts_input() else { return Ok(Vec::new()) };
        let tensor = Self::tensor(&self.preprocessors[1], &input, photo, timings)?;
        Ok(timings.measure(Stage::Embed, || embedder.embed_parts(&tensor))?)
    }

    fn tensor(
        idle: &Mutex<Vec<Preprocessor>>,
        spec: &TensorSpec,
        photo: &Photo,
        timings: &mut Timings,
    ) -> Result<Tensor, EngineError> {
        let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut preprocessor = taken.unwrap_or_else(|| Preprocessor::new(spec.clone()));
        let tensor = timings.measure(Stage::Tensor, || preprocessor.tensor(photo));
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(preprocessor);
        Ok(tensor?)
    }

    /// What the home folder alone can answer.
    fn known(&self, seen: &Seen, query: &Query<'_>, timings: &mut Timings) -> Result<Known, EngineError> {
        let mut answer = self.blank_answer(seen, timings)?;
        let Verdict::Hit(matched) = seen.verdict else { return Ok(Known { answer, standing: None }) };
        // Recognised, but a hit only if this very question was answered before.
        answer.verdict = Outcome::Miss;
        if matches!(query.mode, Mode::Refresh | Mode::Bypass) {
            return Ok(Known { answer, standing: None });
        }
        let mut known = Known { answer, standing: None };
        let stored = match self.stored_answer(matched.photo_id, query, timings)? {
            Some(own) => own,
            None => match self.remembered(matched.photo_id, query, timings)? {
                Some((photo_id, stored)) => {
                    self.name_remembered(&mut known, photo_id)?;
                    stored
                }
                None => return Ok(known),
            },
        };
        let standing = self.freshness_of(&stored.profile).judge(&stored, self.clock.now(), query.max_age);
        known.standing = Some(standing);
        known.answer.verdict = Outcome::Hit;
        known.answer.stale = standing != Standing::Fresh;
        known.answer.take_stored(stored);
        Ok(known)
    }

    fn stored_answer(
        &self,
        photo_id: PhotoId,
        query: &Query<'_>,
        timings: &mut Timings,
    ) -> Result<Option<StoredAnswer>, EngineError> {
        let params = query.params.key();
        let profiles: Vec<&str> = self.desks.iter().map(|desk| desk.guard.profile()).collect();
        let key = AnswerKey { profiles: &profiles, params: &params };
        Ok(timings.measure(Stage::Catalog, || self.catalog.answer(photo_id, &key))?)
    }

    fn freshness_of(&self, profile: &str) -> Freshness {
        let desk = self.desks.iter().find(|desk| desk.guard.profile() == profile);
        desk.map(|desk| desk.freshness).unwrap_or_default()
    }

    fn blank_answer(&self, seen: &Seen, timings: &mut Timings) -> Result<Answer, EngineError> {
        let (outcome, matched, score) = match seen.verdict {
            Verdict::Hit(m) => (Outcome::Hit, Some(m), Some(m.score)),
            Verdict::Review(m) => (Outcome::Review, Some(m), Some(m.score)),
            Verdict::Miss { nearest } => (Outcome::Miss, None, nearest.map(|m| m.score)),
        };
        let photo = match matched {
            Some(m) => timings.measure(Stage::Catalog, || self.catalog.photo(m.photo_id))?,
            None => None,
        };
        let (threshold, max_false_hit) = seen.policy.line_for(matched.as_ref());
        Ok(Answer {
            verdict: outcome,
            rule: matched.map(|m| m.rule),
            similarity: score.map(similarity_percent),
            score,
            confidence: matched.and_then(|m| m.confidence),
            why: matched.and_then(|m| m.doubt),
            threshold,
            max_false_hit,
            source: Source::None,
            fetched_at: None,
            stale: false,
            matched: photo.map(Matched::from),
            offers: Vec::new(),
            total_offers: None,
            filtered_out: 0,
            timings_ms: Timings::default(),
            upstream_calls: 0,
            unanswered: None,
            unstored: None,
            explain: Explanation::of(seen, self.bound.calibrated_on()),
            warnings: Vec::new(),
        })
    }

    fn decoded<'s>(
        &self,
        photo: &'s mut Option<Photo>,
        bytes: &[u8],
        timings: &mut Timings,
    ) -> Result<&'s Photo, EngineError> {
        let decoded = match photo.take() {
            Some(decoded) => decoded,
            None => timings.measure(Stage::Decode, || Photo::decode(bytes, &self.limits))?,
        };
        Ok(photo.insert(decoded))
    }

    /// Has a new photo stored, which is decoded and embedded if it is not yet.
    fn with_new_photo(
        &self,
        seen: &mut Seen,
        bytes: &[u8],
        label: &str,
        timings: &mut Timings,
        store: impl FnOnce(&NewPhoto<'_>) -> Result<Stored, CatalogError>,
    ) -> Result<Stored, EngineError> {
        let measured = self.measure(seen, bytes, timings)?;
        let photo = measured.as_new(label, self.clock.now());
        Ok(timings.measure(Stage::Catalog, || store(&photo))?)
    }
}
