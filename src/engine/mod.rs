//! The whole algorithm on one screen: [`Engine::search`].

mod answer;
mod builder;
mod goods;
mod live_index;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

pub use answer::{Answer, Matched, Outcome, Source, Stage, Timings};
pub use builder::{EngineBuilder, RuntimeChoice};
pub use goods::Added;

use crate::catalog::{AnswerKey, Catalog, CatalogError, NewAnswer, NewPhoto, Stored};
use crate::clock::{Clock, Timestamp};
use crate::embed::{EmbedError, Embedding};
use crate::index::{IndexError, SaveError};
use crate::photo::{Digest, Photo, PhotoError, PhotoLimits};
use crate::photo_id::PhotoId;
use crate::tensor::{Preprocessor, TensorError};
use crate::upstream::guard::{Asked, Guard, GuardError};
use crate::upstream::{PrepareError, QuotaDay, SearchParams, UpstreamError, prepare};
use crate::verdict::{Match, Policy, Rule, Verdict, similarity_percent};

use live_index::LiveIndex;

/// How many stored pictures are looked at before the verdict.
const CANDIDATES: usize = 20;

const NO_UPSTREAM: &str =
    "no upstream is configured, so nothing was asked; `tongkuan --help` tells how to name one";

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
    pub params: SearchParams,
    pub mode: Mode,
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
    Save(#[from] SaveError),
    #[error(
        "photo {photo_id} does not find itself in the index; delete the folder `index` in the home folder"
    )]
    Lost { photo_id: PhotoId },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Upstream(#[from] GuardError),
}

/// Hears about long work.
pub trait Progress: Send + Sync {
    /// Something worth a line.
    fn note(&self, text: &str);
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
    policy: Policy,
    guard: Option<Guard>,
    clock: Arc<dyn Clock>,
    limits: PhotoLimits,
    progress: Arc<dyn Progress>,
    preprocessors: Mutex<Vec<Preprocessor>>,
    misses: Mutex<()>,
}

/// What is known about a picture after the local half of the line.
struct Seen {
    byte_digest: Digest,
    verdict: Verdict,
    /// Not there for a picture whose bytes were known: it was never decoded.
    photo: Option<Photo>,
    /// Not there for a picture whose bytes or pixels were known: it was never embedded.
    embedding: Option<Embedding>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Engine {
    /// Prepares an engine on the home folder `home`; see [`EngineBuilder`] for what can be chosen.
    pub fn builder(home: impl Into<PathBuf>) -> EngineBuilder {
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

    /// Searches for every stored picture by its own embedding, and returns how many there are.
    ///
    /// # Errors
    /// [`EngineError::Lost`] for the first one that does not find itself (or an equal one).
    pub fn audit(&self) -> Result<usize, EngineError> {
        self.index.audit(&self.catalog, self.progress.as_ref())
    }

    /// The stored picture that has these bytes, these pixels, or looks the same; never asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails.
    pub fn recognise(&self, bytes: &[u8]) -> Result<Verdict, EngineError> {
        Ok(self.look(bytes, &mut Timings::default())?.verdict)
    }

    /// Asks the upstream for something that costs nothing, to see whether address and credentials work. `None`
    /// when no upstream is configured.
    #[must_use]
    pub fn check_upstream(&self) -> Option<Result<(), UpstreamError>> {
        self.guard.as_ref().map(Guard::check)
    }

    /// The budget of today: calls spent, and how many there may be. `None` when no upstream is configured.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn budget(&self) -> Result<Option<(u32, u32)>, EngineError> {
        let Some(guard) = &self.guard else { return Ok(None) };
        let today = QuotaDay::of(self.clock.now());
        let spent = self.catalog.calls_spent(guard.profile(), &today)?;
        Ok(Some((spent, guard.policy().daily_budget)))
    }

    /// Was this picture seen before, and what does 1688 sell like it?
    ///
    /// A known picture is answered from the home folder. For an unknown one the upstream is asked, once, and its
    /// answer is stored before it is returned.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read, the home folder fails, or the upstream had to be asked and
    /// did not answer. Nothing is stored then.
    pub fn search(&self, query: &Query<'_>) -> Result<Answer, EngineError> {
        let start = Instant::now();
        let mut timings = Timings::default();
        let mut seen = self.look(query.bytes, &mut timings)?;
        let mut answer = self.local_answer(&seen, query, &mut timings)?;
        if answer.verdict != Outcome::Hit
            && let Some(guard) = self.guard_for(query.mode, &mut answer)
        {
            // One miss at a time: calls are paced a second apart anyway, and whoever waited may find that the
            // one before has just stored this very picture, or an edited copy of it.
            let _turn = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
            if query.mode == Mode::Default {
                self.look_again(&mut seen, &mut timings)?;
                answer = self.local_answer(&seen, query, &mut timings)?;
            }
            if answer.verdict != Outcome::Hit {
                let asked = self.ask(guard, &mut seen, query, &mut answer, &mut timings)?;
                let fetched_at = self.clock.now();
                if query.mode != Mode::Bypass {
                    self.keep(guard, &mut seen, query, &asked, fetched_at, &mut timings)?;
                }
                answer.take_asked(asked, fetched_at);
            }
        }
        timings.finish(start);
        answer.timings_ms = timings;
        Ok(answer)
    }

    /// The local half of the line: from bytes to a verdict.
    fn look(&self, bytes: &[u8], timings: &mut Timings) -> Result<Seen, EngineError> {
        let mut seen = self.look_for_equal(bytes, timings)?;
        if let (Verdict::Miss { .. }, Some(photo)) = (seen.verdict, &seen.photo) {
            let embedding = self.embed(photo, timings)?;
            seen.verdict = self.judge(&embedding, timings)?;
            seen.embedding = Some(embedding);
        }
        Ok(seen)
    }

    /// Looks for the same bytes, then for the same pixels: known bytes are not decoded, and neither is embedded.
    fn look_for_equal(&self, bytes: &[u8], timings: &mut Timings) -> Result<Seen, EngineError> {
        let (byte_digest, known) = timings.measure(Stage::Catalog, || {
            let digest = Digest::of(bytes);
            self.catalog.photo_by_bytes(digest).map(|known| (digest, known))
        })?;
        let equal = |photo_id, rule| Verdict::Hit(Match { photo_id, rule, score: 1.0 });
        if let Some(photo_id) = known {
            let verdict = equal(photo_id, Rule::SameBytes);
            return Ok(Seen { byte_digest, verdict, photo: None, embedding: None });
        }
        let photo = timings.measure(Stage::Decode, || Photo::decode(bytes, &self.limits))?;
        let known = timings.measure(Stage::Catalog, || self.catalog.photo_by_pixels(photo.pixel_digest()))?;
        let verdict =
            known.map_or(Verdict::Miss { best_score: None }, |photo_id| equal(photo_id, Rule::SamePixels));
        Ok(Seen { byte_digest, verdict, photo: Some(photo), embedding: None })
    }

    /// Looks at the catalogue and the index once more, without decoding or embedding again.
    fn look_again(&self, seen: &mut Seen, timings: &mut Timings) -> Result<(), EngineError> {
        let digest = seen.byte_digest;
        if let Some(photo_id) = timings.measure(Stage::Catalog, || self.catalog.photo_by_bytes(digest))? {
            seen.verdict = Verdict::Hit(Match { photo_id, rule: Rule::SameBytes, score: 1.0 });
        } else if let Some(embedding) = &seen.embedding {
            seen.verdict = self.judge(embedding, timings)?;
        }
        Ok(())
    }

    fn judge(&self, embedding: &Embedding, timings: &mut Timings) -> Result<Verdict, EngineError> {
        let candidates = timings.measure(Stage::Index, || {
            let index = self.index.current(&self.catalog, self.progress.as_ref())?;
            Ok::<_, EngineError>(index.search(embedding, CANDIDATES, self.policy.hit_threshold())?)
        })?;
        Ok(timings.measure(Stage::Verdict, || self.policy.judge(&candidates)))
    }

    fn embed(&self, photo: &Photo, timings: &mut Timings) -> Result<Embedding, EngineError> {
        let embedder = timings.measure(Stage::Embed, || self.embedder.get(self.progress.as_ref()))?;
        let idle = self.preprocessors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut preprocessor = idle.unwrap_or_else(|| Preprocessor::new(embedder.input().clone()));
        let tensor = timings.measure(Stage::Tensor, || preprocessor.tensor(photo));
        self.preprocessors.lock().unwrap_or_else(PoisonError::into_inner).push(preprocessor);
        let tensor = tensor?;
        Ok(timings.measure(Stage::Embed, || embedder.embed(&tensor))?)
    }

    /// What the home folder alone can answer.
    fn local_answer(
        &self,
        seen: &Seen,
        query: &Query<'_>,
        timings: &mut Timings,
    ) -> Result<Answer, EngineError> {
        let mut answer = self.blank_answer(seen, timings)?;
        let Verdict::Hit(matched) = seen.verdict else { return Ok(answer) };
        // Recognised, but a hit only if this very question was answered before.
        answer.verdict = Outcome::Miss;
        if matches!(query.mode, Mode::Refresh | Mode::Bypass) {
            return Ok(answer);
        }
        let params = query.params.key();
        let key = AnswerKey { profile: self.guard.as_ref().map(Guard::profile), params: &params };
        let stored = timings.measure(Stage::Catalog, || self.catalog.answer(matched.photo_id, &key))?;
        if let Some(stored) = stored {
            answer.take_stored(stored);
        }
        Ok(answer)
    }

    fn blank_answer(&self, seen: &Seen, timings: &mut Timings) -> Result<Answer, EngineError> {
        let (outcome, matched, score) = match seen.verdict {
            Verdict::Hit(m) => (Outcome::Hit, Some(m), Some(m.score)),
            Verdict::Review(m) => (Outcome::Review, Some(m), Some(m.score)),
            Verdict::Miss { best_score } => (Outcome::Miss, None, best_score),
        };
        let photo = match matched {
            Some(m) => timings.measure(Stage::Catalog, || self.catalog.photo(m.photo_id))?,
            None => None,
        };
        Ok(Answer {
            verdict: outcome,
            rule: matched.map(|m| m.rule),
            similarity: score.map(similarity_percent),
            score,
            threshold: self.policy.hit_threshold(),
            max_false_hit: self.policy.max_false_hit(),
            source: Source::None,
            fetched_at: None,
            stale: false,
            matched: photo.map(|p| Matched { photo_id: p.photo_id, kind: p.kind, label: p.label }),
            offers: Vec::new(),
            total_offers: None,
            timings_ms: Timings::default(),
            upstream_calls: 0,
            warnings: Vec::new(),
        })
    }

    fn guard_for(&self, mode: Mode, answer: &mut Answer) -> Option<&Guard> {
        if mode == Mode::LocalOnly {
            return None;
        }
        if self.guard.is_none() {
            answer.warnings.push(NO_UPSTREAM.to_owned());
        }
        self.guard.as_ref()
    }

    /// The one place where money is spent.
    fn ask(
        &self,
        guard: &Guard,
        seen: &mut Seen,
        query: &Query<'_>,
        answer: &mut Answer,
        timings: &mut Timings,
    ) -> Result<Asked, EngineError> {
        let photo = self.decoded(&mut seen.photo, query.bytes, timings)?;
        timings.measure(Stage::Upstream, || {
            let prepared = prepare(photo.as_image(), None, &guard.upload_limits())?;
            answer.warnings.extend(prepared.warnings.iter().map(ToString::to_string));
            Ok(guard.search(&prepared.picture, &query.params)?)
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

    /// Stores what the upstream said: in the catalogue, from where the index follows.
    fn keep(
        &self,
        guard: &Guard,
        seen: &mut Seen,
        query: &Query<'_>,
        asked: &Asked,
        fetched_at: Timestamp,
        timings: &mut Timings,
    ) -> Result<(), EngineError> {
        let params = query.params.key();
        let answer = NewAnswer::Upstream {
            profile: guard.profile(),
            params: &params,
            fetched_at,
            total: asked.page.total,
            offers: &asked.page.offers,
        };
        if let Verdict::Hit(matched) = seen.verdict {
            return Ok(
                timings.measure(Stage::Catalog, || self.catalog.store_answer(matched.photo_id, &answer))?
            );
        }
        self.store(seen, query.bytes, query.label, &answer, timings)?;
        Ok(())
    }

    /// Stores a new photo with its first answer.
    fn store(
        &self,
        seen: &mut Seen,
        bytes: &[u8],
        label: &str,
        answer: &NewAnswer<'_>,
        timings: &mut Timings,
    ) -> Result<Stored, EngineError> {
        let photo = self.decoded(&mut seen.photo, bytes, timings)?;
        let embedding = match seen.embedding.take() {
            Some(embedding) => embedding,
            None => self.embed(photo, timings)?,
        };
        let photo = NewPhoto {
            label,
            byte_digest: seen.byte_digest,
            pixel_digest: photo.pixel_digest(),
            width_px: photo.width_px(),
            height_px: photo.height_px(),
            format: photo.format(),
            embedding: &embedding,
            added_at: self.clock.now(),
        };
        Ok(timings.measure(Stage::Catalog, || self.catalog.store(&photo, answer))?)
    }
}
