//! The whole algorithm on one screen: [`Engine::inspect`].

mod add_all;
mod among;
mod answer;
mod away;
mod batch;
mod bound;
mod builder;
mod cache_policy;
mod check;
mod compare;
mod corpus;
mod details;
mod elongated;
mod error;
mod explain;
mod forget;
mod goods;
mod harvest;
mod history;
mod home_index;
mod index_audit;
mod index_care;
mod judge;
mod live_index;
mod merge;
mod miss;
mod pages;
mod paying;
mod pgvector_index;
mod picture;
mod progress;
mod query;
mod queue;
mod quota;
mod recent;
mod recognised;
mod reembed;
mod refine;
mod repair;
mod search;
mod shared_snapshot;
mod similar;
mod timings;
mod told;
mod turn;
mod turn_wait;
mod unreadable;
mod vector_index;
mod verdicts;
mod view;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

pub use add_all::OwnGood;
pub use among::{JUDGED, PictureFacts, PreparedPicture};
pub use answer::{Answer, AnswerPart, Inspection, Matched, Outcome, Source, Unanswered, Unstored};
pub use batch::BatchEnd;
pub use bound::CalibratedOn;
pub use builder::{EngineBuilder, RuntimeChoice};
pub use cache_policy::CachePolicy;
pub use check::{
    CheckItem, CheckListener, CheckMatch, CheckOptions, CheckOutcome, CheckStage, CheckStats, Checked,
};
pub use compare::{Comparison, Laid};
pub use corpus::CorpusSample;
pub use details::Details;
pub use error::EngineError;
pub use explain::{Explanation, Geometry};
pub use forget::Forgotten;
pub use goods::Added;
pub use harvest::{HarvestError, Harvested};
pub use history::{AnswerChanges, AskedAgain, ChangedOffer, GoneOffer};
pub use home_index::{IndexMode, UnknownIndex};
pub use index_audit::IndexAudit;
pub use merge::Breadth;
pub use pages::MAX_PAGES;
pub use progress::{Progress, Silent};
pub use query::{Mode, Query, SecondLook};
pub use queue::{Drained, DrainedOne};
pub use quota::QuotaReport;
pub use reembed::{Originals, Reembedded, Refilled};
pub use refine::Refine;
pub use shared_snapshot::SharedIndex;
pub use similar::Similar;
pub use timings::{Stage, Timings};
pub use told::{PairFeedback, PhotoRef, Sameness};
pub use verdicts::{TakenVerdict, VerdictLine, VerdictSide};
pub use view::CatalogView;

use crate::clock::Clock;
use crate::home::Home;
use crate::photo::PhotoLimits;
use crate::pool::Pool;
use crate::store::Store;
use crate::tensor::Preprocessor;
use crate::upstream::UpstreamError;
use crate::upstream::guard::Guard;
use crate::verdict::Verdict;

use bound::Bound;
use home_index::HomeIndex;
use picture::Picture;
use queue::AskedInVain;
use quota::SavedCalls;
use recent::Recent;
use recognised::Unwritten;
use search::Search;

/// A home, open for use.
///
/// `Send + Sync`: one engine serves all threads, by reference or in an [`Arc`]. Its methods **block**: a search that the
/// home cannot answer waits for its turn at the upstream (at most `GuardPolicy::max_wait`), for the answer, and for another
/// search that asks about the same picture (at most ten minutes). [`Query::deadline`] and [`Query::cancel`] end such waits.
/// In an asynchronous program, call it on a thread for blocking work, such as `tokio::task::spawn_blocking`, never inside a
/// task: it would hold up the tasks beside it, and the HTTP client of the upstreams panics there.
pub struct Engine {
    home: Home,
    store: Arc<dyn Store>,
    index: HomeIndex,
    embedder: builder::LazyEmbedder,
    bound: Bound,
    /// In the order in which they are asked.
    upstreams: Vec<ConfiguredUpstream>,
    clock: Arc<dyn Clock>,
    limits: PhotoLimits,
    progress: Arc<dyn Progress>,
    /// Idle ones: for whole pictures, and for parts of them.
    preprocessors: [Pool<Preprocessor>; 2],
    /// Notified when a search of this process gives its turn back.
    turn_ended: (Mutex<()>, Condvar),
    saved: SavedCalls,
    recognised: Unwritten,
    in_vain: AskedInVain,
    /// For hits while the store is away.
    recent: Recent,
}

/// An upstream behind its guard, and how long its answers are good.
struct ConfiguredUpstream {
    guard: Guard,
    cache_policy: CachePolicy,
}

impl Engine {
    /// Prepares an engine on the home `home`, which may be the path of a folder; see [`Home`], and [`EngineBuilder`] for what can be chosen. Where no other thread
    /// runs yet, this sets `ORT_DISABLE_TELEMETRY` in the process's environment, see
    /// [`disable_telemetry`](crate::embed::runtime::disable_telemetry).
    pub fn builder(home: impl Into<Home>) -> EngineBuilder {
        crate::embed::disable_telemetry_if_alone();
        EngineBuilder::new(home.into())
    }

    /// Was this picture seen before, and what does 1688 sell like it?
    ///
    /// A known picture is answered from the home folder. For an unknown one the upstream is asked, once, and its
    /// answer is stored before it is returned; where that fails it is returned all the same, and [`Answer::unstored`] says
    /// so. When nothing can be asked, the answer is what is known here, and [`Answer::unanswered`] says why. While the home's
    /// database is away, a picture that this engine was asked about lately is still answered, see [`Answer::as_of`].
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read, the home folder cannot be read, or the upstream refuses in a way
    /// that does not pass by itself. Nothing is stored then.
    pub fn search(&self, query: &Query<'_>) -> Result<Answer, EngineError> {
        Ok(self.inspect(query)?.answer)
    }

    /// As [`Engine::search`], with the stored picture that came first even when it was not good enough: for
    /// evaluations of the engine.
    ///
    /// # Errors
    /// As [`Engine::search`].
    pub fn inspect(&self, query: &Query<'_>) -> Result<Inspection, EngineError> {
        self.inspect_picture(query, &Picture::new(self, query.bytes))
    }

    /// As [`Engine::inspect`], of the query's picture, of which something may have been made before: questions about one picture
    /// decode and embed it once.
    fn inspect_picture(&self, query: &Query<'_>, picture: &Picture<'_>) -> Result<Inspection, EngineError> {
        let query = &*picture.clamped(query)?;
        let mut search = match self.look_up(query, picture) {
            Ok(search) => search,
            Err(error) => return self.hit_while_away(query, picture, error),
        };
        if search.is_answered() {
            self.saved.count(query.mode, !self.upstreams.is_empty(), || self.flush_saved());
            search.keep_recent();
        } else {
            search.ask()?;
        }
        search.remember_recognised();
        search.refresh_later();
        Ok(search.finish())
    }

    /// What the home alone can answer.
    fn look_up<'s>(
        &'s self,
        query: &'s Query<'s>,
        picture: &'s Picture<'s>,
    ) -> Result<Search<'s>, EngineError> {
        let mut search = Search::recognise(self, query, picture)?;
        search.look_up()?;
        Ok(search)
    }

    /// The answer of [`Engine::search`] where it has to ask nobody for it; `None` where it would ask. For callers that keep
    /// searches which only compute apart from those that wait.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails.
    pub fn search_known(&self, query: &Query<'_>) -> Result<Option<Answer>, EngineError> {
        let picture = Picture::new(self, query.bytes);
        let query = &*picture.clamped(query)?;
        let mut search = match self.look_up(query, &picture) {
            Ok(search) => search,
            Err(error) => {
                return self.hit_while_away(query, &picture, error).map(|hit| Some(hit.answer));
            }
        };
        if !search.is_answered() {
            return Ok(None);
        }
        self.saved.count(query.mode, !self.upstreams.is_empty(), || self.flush_saved());
        search.keep_recent();
        search.remember_recognised();
        search.refresh_later();
        Ok(Some(search.finish().answer))
    }

    /// Whether anybody is configured who could be asked.
    #[must_use]
    pub fn has_upstreams(&self) -> bool {
        !self.upstreams.is_empty()
    }

    /// The stored picture that has these bytes, these pixels, or looks the same; never asks an upstream.
    ///
    /// # Errors
    /// [`EngineError`] when the picture cannot be read or the home folder fails.
    pub fn recognise(&self, bytes: &[u8]) -> Result<Verdict, EngineError> {
        let (query, picture) = (Query::new(bytes, ""), Picture::new(self, bytes));
        Ok(Search::recognise(self, &query, &picture)?.verdict())
    }

    /// Where what is known is kept.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The home's folder of this machine; see [`Home::folder`].
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// Asks every upstream for something that costs nothing, to see whether address and credentials work.
    #[must_use]
    pub fn check_upstreams(&self) -> Vec<(&'static str, Result<(), UpstreamError>)> {
        self.upstreams.iter().map(|upstream| (upstream.guard.profile(), upstream.guard.check())).collect()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("home", &self.home.to_string()).finish_non_exhaustive()
    }
}
