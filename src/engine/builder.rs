//! What can be chosen about an engine, and how it is put together.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::bound::Bound;
use super::home_index::{HomeIndex, IndexMode};
use super::live_index::LiveIndex;
use super::pgvector_index::PgvectorIndex;
use super::queue::AskedInVain;
use super::quota::SavedCalls;
use super::recent::Recent;
use super::recognised::Unwritten;
use super::{CachePolicy, ConfiguredUpstream, Engine, EngineError, Progress, Silent};
use crate::clock::{Clock, SystemClock};
use crate::embed::runtime::{self, Runtime, RuntimeError, RuntimeLocation, RuntimeOrigin};
use crate::embed::{EmbedError, Embedder, Model, OnnxEmbedder, Provider};
use crate::home::Home;
use crate::photo::PhotoLimits;
use crate::store::no_vector_search;
use crate::upstream::guard::{Guard, GuardPolicy};
use crate::upstream::{Upstream, WaitNotes};
use crate::vector::{Fingerprint, Thresholds};

/// Chooses the parts of an [`Engine`]. Without further choice it uses the built-in model on ONNX Runtime, the
/// default limits, and no upstream: it then answers what it knows and never asks.
pub struct EngineBuilder {
    home: Home,
    embedder: Source,
    provider: Provider,
    upstreams: Vec<(Arc<dyn Upstream>, GuardPolicy, CachePolicy)>,
    clock: Arc<dyn Clock>,
    limits: PhotoLimits,
    max_false_hit: Option<f64>,
    progress: Arc<dyn Progress>,
    exact_max: Option<usize>,
    index: IndexMode,
    index_snapshots: Option<PathBuf>,
}

/// Where the embedder comes from.
enum Source {
    BuiltIn(RuntimeChoice),
    Model(Arc<Model>, RuntimeChoice),
    Ready(Arc<dyn Embedder>),
}

/// Where ONNX Runtime may come from: [`RuntimeChoice::new`], and what its setters change of that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuntimeChoice {
    /// The shared library itself, by an absolute path: then no other place is looked in.
    pub library: Option<PathBuf>,
    /// The folder for a fetched ONNX Runtime; see [`runtime::locate`] for the other places.
    pub folder: PathBuf,
    /// Whether it may be fetched when there is none.
    pub may_fetch: bool,
    /// Threads that work on one picture, at least 1.
    pub intra_threads: usize,
}

impl RuntimeChoice {
    /// Any of the usual places and `folder`, never fetched, one thread a picture.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { library: None, folder: folder.into(), may_fetch: false, intra_threads: 1 }
    }

    /// The shared library itself; see the field. A process has one ONNX Runtime: once one is loaded it stays that one.
    #[must_use]
    pub fn library(self, library: impl Into<Option<PathBuf>>) -> Self {
        Self { library: library.into(), ..self }
    }

    /// Whether it may be fetched when there is none.
    #[must_use]
    pub fn may_fetch(self, may_fetch: bool) -> Self {
        Self { may_fetch, ..self }
    }

    /// Threads that work on one picture, at least 1.
    #[must_use]
    pub fn intra_threads(self, intra_threads: usize) -> Self {
        Self { intra_threads, ..self }
    }

    fn location(&self, progress: &dyn Progress) -> Result<RuntimeLocation, RuntimeError> {
        match &self.library {
            Some(path) => Ok(RuntimeLocation { path: path.clone(), origin: RuntimeOrigin::Caller }),
            None => runtime::ensure(&self.folder, self.may_fetch, &|text| progress.note(text)),
        }
    }
}

impl EngineBuilder {
    pub(super) fn new(home: Home) -> Self {
        let runtime = RuntimeChoice::new(home.folder().join("runtime"));
        Self {
            home,
            embedder: Source::BuiltIn(runtime),
            provider: Provider::default(),
            upstreams: Vec::new(),
            clock: Arc::new(SystemClock),
            limits: PhotoLimits::default(),
            max_false_hit: None,
            progress: Arc::new(Silent),
            exact_max: None,
            index: IndexMode::default(),
            index_snapshots: None,
        }
    }

    /// Where ONNX Runtime may come from. By default: any of the usual places and the home folder's `runtime`,
    /// never fetched, one thread a picture.
    #[must_use]
    pub fn runtime(mut self, choice: RuntimeChoice) -> Self {
        self.embedder = match self.embedder {
            Source::BuiltIn(_) => Source::BuiltIn(choice),
            Source::Model(model, _) => Source::Model(model, choice),
            ready @ Source::Ready(_) => ready,
        };
        self
    }

    /// Another model than the built-in one.
    #[must_use]
    pub fn model(mut self, model: Arc<Model>) -> Self {
        self.embedder = match self.embedder {
            Source::BuiltIn(choice) | Source::Model(_, choice) => Source::Model(model, choice),
            ready @ Source::Ready(_) => ready,
        };
        self
    }

    /// What the model runs on; by default the CPU. Any other provider needs an ONNX Runtime that has it, and is compared with
    /// the CPU when the home is opened, which loads the model: if its vectors are not comparable with the CPU's, a home is
    /// another model's with it. Pictures that wait at the same moment are run together. [`EngineBuilder::embedder`] makes no
    /// use of it.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Another embedder than ONNX Runtime.
    #[must_use]
    pub fn embedder(mut self, embedder: Arc<dyn Embedder>) -> Self {
        self.embedder = Source::Ready(embedder);
        self
    }

    /// Whom to ask on a miss, how much, and for how long the answers are good. Called several times, it names several
    /// in the order in which they are asked: the next one takes over when the one before has nothing left.
    #[must_use]
    pub fn upstream(
        mut self,
        upstream: Arc<dyn Upstream>,
        policy: GuardPolicy,
        cache_policy: CachePolicy,
    ) -> Self {
        self.upstreams.push((upstream, policy, cache_policy));
        self
    }

    /// By which quota days, pace and ages pass; by default the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// What pictures may be; by default [`PhotoLimits::default`].
    #[must_use]
    pub fn limits(mut self, limits: PhotoLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The share, 0..=1, of the searches for pictures that are not stored that may be answered falsely: the threshold
    /// between hit and review follows from it. By default what the calibration was made for, one in a hundred if it is the
    /// shipped one; a model without a calibration then promises nothing.
    #[must_use]
    pub fn max_false_hit(mut self, share: f64) -> Self {
        self.max_false_hit = Some(share);
        self
    }

    /// Hears of long work and waits; by default nothing does.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// Makes no graph, however many pictures there are: every look goes through all vectors. For who searches among some
    /// of the pictures only, which no graph can do.
    #[must_use]
    pub fn without_graph(mut self) -> Self {
        self.exact_max = Some(usize::MAX);
        self
    }

    /// Up to so many stored pictures every search looks at all of them, and the index has no graph; see
    /// [`IndexOptions::exact_max`](crate::index::IndexOptions::exact_max), whose default was measured. Answers are the same
    /// with any number.
    #[must_use]
    pub fn exact_max(mut self, pictures: usize) -> Self {
        self.exact_max = Some(pictures);
        self
    }

    /// Which index answers what is near; by default one of this process. [`IndexMode::Pgvector`] is for homes in PostgreSQL
    /// alone; what it promises, docs/scale.md says. It leaves `exact_max` its meaning, with a default of the same size.
    #[must_use]
    pub fn index(mut self, mode: IndexMode) -> Self {
        self.index = mode;
        self
    }

    /// A folder that all workers of a home in a database can read and write, for snapshots of the index: who has none of its own
    /// takes a copy from there instead of reading all vectors, and who has saved a far newer one leaves it there. What is wrong
    /// with it is told to `progress`, and never an error. Homes in a folder, and [`IndexMode::Pgvector`], make no use of it.
    #[must_use]
    pub fn index_snapshots(mut self, folder: impl Into<PathBuf>) -> Self {
        self.index_snapshots = Some(folder.into());
        self
    }

    /// Opens the home, making it when it is not there. ONNX Runtime and the index are loaded when they are
    /// first needed: a picture whose bytes are known needs neither. Only a [`provider`](EngineBuilder::provider) other than the
    /// CPU is loaded now, because what its vectors are is known from them alone.
    ///
    /// # Errors
    /// [`EngineError`] when the home cannot be used, or belongs to another model, and when the false-hit bound
    /// cannot be kept; [`CatalogError::PgvectorUnavailable`](crate::store::CatalogError::PgvectorUnavailable) where
    /// pgvector is to answer, and the home is in a folder or its database lacks the extension.
    pub fn open(self) -> Result<Engine, EngineError> {
        self.assemble(true)
    }

    /// An engine that does not `claim` the home for its model may read it, but must compare and store no vectors.
    pub(super) fn assemble(self, claim: bool) -> Result<Engine, EngineError> {
        let embedder = LazyEmbedder::new(self.embedder, self.provider, self.progress.as_ref())?;
        let progress = Arc::clone(&self.progress);
        let waiting = Arc::clone(&self.progress);
        if self.index == IndexMode::Pgvector && self.home.as_folder().is_some() {
            // Before a home is made there.
            return Err(no_vector_search().into());
        }
        let store = self.home.open(move |damage| progress.damage(damage), move |text| waiting.note(text))?;
        if claim {
            store.claim_model(&embedder.fingerprint)?;
        }
        let bound =
            Bound::open(store.as_ref(), &embedder.fingerprint, embedder.thresholds, self.max_false_hit)?;
        let notes: WaitNotes = {
            let progress = Arc::clone(&self.progress);
            Arc::new(move |text| progress.note(text))
        };
        let configured = |(upstream, policy, cache_policy)| ConfiguredUpstream {
            guard: Guard::new(upstream, Arc::clone(&store) as _, Arc::clone(&self.clock), policy)
                .with_wait_notes(Arc::clone(&notes)),
            cache_policy,
        };
        let upstreams = self.upstreams.into_iter().map(configured).collect();
        let folder = self.home.folder().join("index");
        let index = match self.index {
            IndexMode::Local => {
                let shared = self.index_snapshots;
                HomeIndex::Local(LiveIndex::new(folder, shared, &embedder.fingerprint, self.exact_max))
            }
            IndexMode::Pgvector => {
                store.check_vector_search()?;
                let dimension = embedder.fingerprint.dimension;
                HomeIndex::Pgvector(PgvectorIndex::new(folder, dimension, self.exact_max))
            }
        };
        Ok(Engine {
            index,
            bound,
            home: self.home,
            store,
            embedder,
            upstreams,
            clock: self.clock,
            limits: self.limits,
            progress: self.progress,
            preprocessors: Default::default(),
            turn_ended: (Mutex::default(), Condvar::new()),
            saved: SavedCalls::default(),
            recognised: Unwritten::default(),
            in_vain: AskedInVain::default(),
            recent: Recent::default(),
        })
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("home", &self.home.to_string()).finish_non_exhaustive()
    }
}

/// An embedder that is made when it is first needed, if what it will be is known before.
pub(super) struct LazyEmbedder {
    pub(super) fingerprint: Fingerprint,
    pub(super) thresholds: Thresholds,
    state: Mutex<State>,
}

enum State {
    Recipe(Arc<Model>, RuntimeChoice, Provider),
    Ready(Arc<dyn Embedder>),
}

impl LazyEmbedder {
    fn new(source: Source, provider: Provider, progress: &dyn Progress) -> Result<Self, EmbedError> {
        let (model, choice) = match source {
            Source::Ready(embedder) => {
                return Ok(Self {
                    fingerprint: embedder.fingerprint(),
                    thresholds: embedder.thresholds(),
                    state: Mutex::new(State::Ready(embedder)),
                });
            }
            Source::BuiltIn(choice) => (Arc::new(Model::built_in()?), choice),
            Source::Model(model, choice) => (model, choice),
        };
        let lazy = Self {
            fingerprint: model.fingerprint(),
            thresholds: model.manifest().thresholds,
            state: Mutex::new(State::Recipe(model, choice, provider)),
        };
        if provider == Provider::Cpu {
            return Ok(lazy);
        }
        let fingerprint = lazy.get(progress)?.fingerprint();
        Ok(Self { fingerprint, ..lazy })
    }

    pub(super) fn get(&self, progress: &dyn Progress) -> Result<Arc<dyn Embedder>, EmbedError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (model, choice, provider) = match &*state {
            State::Ready(embedder) => return Ok(Arc::clone(embedder)),
            State::Recipe(model, choice, provider) => (Arc::clone(model), choice, *provider),
        };
        let runtime = Runtime::load(&choice.location(progress)?)?;
        let embedder: Arc<dyn Embedder> =
            Arc::new(OnnxEmbedder::with_provider(model, runtime, choice.intra_threads, provider)?);
        *state = State::Ready(Arc::clone(&embedder));
        Ok(embedder)
    }
}
