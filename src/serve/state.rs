//! What all handlers work on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use super::background_report::BackgroundReport;
use super::gateway_app::GatewayApp;
use super::health::Health;
use super::metrics::Metrics;
use super::options::ServeOptions;
use super::pace::Paces;
use super::pool::{BodyMemory, Pool};
use super::request_error::RequestError;
use super::running::Running;
use super::store::ServeStore;
use super::uploads::Uploads;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::fetch::Fetch;

/// An hour: nobody waits for longer.
const MAX_DEADLINE_MS: u64 = 3_600_000;

/// What the service is made of.
pub struct ServeParts {
    /// Answers everything.
    pub engine: Arc<Engine>,
    /// Fetches pictures by their addresses; `None` where the network is forbidden.
    pub fetcher: Option<Arc<dyn Fetch + Send>>,
    /// Keys, and requests that were made before.
    pub store: Arc<ServeStore>,
    /// Whose signatures the gateway takes.
    pub apps: Vec<GatewayApp>,
    /// By which quota days pass.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ServeParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeParts").field("engine", &self.engine).finish_non_exhaustive()
    }
}

pub(super) struct App {
    pub(super) engine: Arc<Engine>,
    pub(super) fetcher: Option<Arc<dyn Fetch + Send>>,
    pub(super) store: Arc<ServeStore>,
    pub(super) apps: Vec<GatewayApp>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: ServeOptions,
    /// Whether anybody can be asked at all.
    pub(super) has_upstreams: bool,
    /// For work that fills a core.
    pub(super) local: Arc<Pool>,
    /// For waits for upstreams.
    pub(super) asking: Arc<Pool>,
    /// For pictures that are fetched.
    pub(super) fetching: Arc<Pool>,
    /// For checks of many pictures.
    pub(super) batches: Arc<Pool>,
    /// For streams of pictures that are open.
    pub(super) streams: Arc<Semaphore>,
    pub(super) bodies: Arc<BodyMemory>,
    pub(super) running: Running,
    pub(super) paces: Paces,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    pub(super) background: BackgroundReport,
    pub(super) uploads: Uploads,
    pub(super) token_secret: Vec<u8>,
    draining: watch::Sender<bool>,
}

impl App {
    pub(super) fn new(parts: ServeParts, options: ServeOptions, token_secret: Vec<u8>) -> Arc<Self> {
        let ServeParts { engine, fetcher, store, apps, clock } = parts;
        let has_upstreams = engine.has_upstreams();
        Arc::new(Self {
            has_upstreams,
            local: Pool::new(options.workers.max(1), options.max_waiting),
            asking: Pool::new(options.max_asking.max(1), options.max_asking),
            fetching: Pool::new(options.max_asking.clamp(1, 16), options.max_asking),
            batches: Pool::new(options.max_batches.max(1), options.max_batches),
            streams: Arc::new(Semaphore::new(options.max_streams.max(1))),
            bodies: BodyMemory::new(options.max_bytes_in_flight.max(options.max_body_bytes)),
            running: Running::default(),
            paces: Paces::default(),
            metrics: Metrics::new(),
            health: Health::default(),
            background: BackgroundReport::default(),
            uploads: Uploads::default(),
            token_secret,
            draining: watch::Sender::new(false),
            engine,
            fetcher,
            store,
            apps,
            clock,
            options,
        })
    }

    /// No new work is begun from now on, beside that of requests that are there.
    pub(super) fn drain(&self) {
        self.draining.send_replace(true);
    }

    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits until [`App::drain`].
    pub(super) async fn until_draining(&self) {
        // An error would be the sender's end, which is here.
        let _ = self.draining.subscribe().wait_for(|is_draining| *is_draining).await;
    }

    /// When a request of now has to be answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    /// As [`App::deadline`], where its client gives it `asked_ms`.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] outside of 1 to an hour.
    pub(super) fn deadline_of(&self, asked_ms: Option<u64>) -> Result<Instant, RequestError> {
        let asked = match asked_ms {
            Some(ms) if (1..=MAX_DEADLINE_MS).contains(&ms) => Duration::from_millis(ms),
            Some(_) => {
                return Err(RequestError::Invalid(format!("deadline_ms is from 1 to {MAX_DEADLINE_MS}")));
            }
            None => self.options.deadline,
        };
        Ok(Instant::now() + asked.min(self.options.deadline))
    }

    /// Runs `job` on the engine where a core is free for it.
    pub(super) async fn on_engine<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let engine = Arc::clone(&self.engine);
        self.local.run(self.deadline(), move |_| job(&engine)).await
    }
}
