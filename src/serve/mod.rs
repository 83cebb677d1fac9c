//! The service: HTTP for programs and people, and the upstreams' own dialects for scripts that are there already.
//!
//! Handlers are thin: `auth` tells who asks, `pool` who works, `input` what was sent, `problem` what went wrong. What a search
//! is, the engine knows. Every answer has the JSON of the command line.

mod account;
#[cfg_attr(not(feature = "mcp"), allow(dead_code, reason = "agents alone have one"))]
mod allowance;
mod auth;
mod background;
mod background_report;
mod check;
mod compare;
mod connections;
mod error_list;
mod gateway;
mod gateway_app;
mod health;
mod idempotency;
mod input;
mod key_lines;
mod key_secrets;
mod keys;
#[cfg(feature = "mcp")]
mod mcp;
mod metrics;
mod offers;
mod openapi;
mod options;
mod pace;
mod page;
mod pictures;
mod pool;
mod probes;
mod problem;
mod request_error;
mod requests;
mod review_store;
mod reviews;
mod router;
mod running;
mod schema;
mod scrape;
mod search;
mod state;
mod store;
mod turn;
mod uploads;
mod verdicts;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use connections::Ended;
pub use gateway_app::GatewayApp;
pub use keys::{KeyId, NewKey, Rights, RightsError, StoredKey};
#[cfg(feature = "mcp")]
pub use mcp::{McpError, McpOptions, McpParts, McpServer};
pub use options::ServeOptions;
pub use request_error::RequestError;
pub use state::ServeParts;
pub use store::{ServeStore, ServeStoreError};

use background::Background;
use state::App;

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum ServeError {
    #[error(
        "{listen} can be reached by other machines, and there are no keys: make one first, or listen on 127.0.0.1"
    )]
    NeedsKeys { listen: SocketAddr },
    #[error("cannot listen on {listen}: {cause}; choose another port, or 0 for a free one")]
    Listen { listen: SocketAddr, cause: String },
    #[error(transparent)]
    Store(#[from] ServeStoreError),
}

/// A running service. Dropped, it ends as after [`Server::stop`].
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<u32>,
    app: Arc<App>,
    thread: Mutex<Option<JoinHandle<Ended>>>,
}

impl Server {
    /// Begins to listen, and to load what answers need; [`ready`](Self::is_ready) says when that is done.
    ///
    /// # Errors
    /// [`ServeError`] when it may not or cannot listen there.
    pub fn start(parts: ServeParts, options: ServeOptions) -> Result<Self, ServeError> {
        let listen = options.listen;
        if !listen.ip().is_loopback() && !parts.store.has_keys()? {
            return Err(ServeError::NeedsKeys { listen });
        }
        let failed = |error: io::Error| ServeError::Listen { listen, cause: error.to_string() };
        let token_secret = parts.store.token_secret(&key_secrets::random::<32>()?)?;
        let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.workers.clamp(1, 4))
            .max_blocking_threads(
                options.workers + 2 * options.max_asking + options.max_batches + 2 * options.max_streams + 64,
            )
            .enable_all()
            .build()
            .map_err(failed)?;
        let app = App::new(parts, ServeOptions { listen: address, ..options }, token_secret);
        let (stop, stopped) = watch::channel(0);
        let serving = Arc::clone(&app);
        let thread = std::thread::spawn(move || {
            let ended = run(&runtime, &serving, listener, stopped);
            if ended == Ended::Cut {
                // Else the thread would wait for jobs under way.
                runtime.shutdown_background();
            }
            ended
        });
        Ok(Self { address, stop, app, thread: Mutex::new(Some(thread)) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For example `http://127.0.0.1:8688`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether it has looked at a picture and can answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.app.health.is_ready()
    }

    /// Tells it to end: what was accepted is answered first. Told twice, it does not wait for that. May be called from any
    /// thread.
    pub fn stop(&self) {
        self.stop.send_modify(|times| *times += 1);
    }

    /// Waits until it has ended. Only the first of several that wait hears how.
    pub fn wait(&self) -> Ended {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map(JoinHandle::join).and_then(Result::ok).unwrap_or(Ended::Cut)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        self.wait();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

fn run(
    runtime: &tokio::runtime::Runtime,
    app: &Arc<App>,
    listener: std::net::TcpListener,
    stopped: watch::Receiver<u32>,
) -> Ended {
    let background = app.options.background.map(|every| Background::start(Arc::clone(app), every));
    let ended = runtime.block_on(async {
        let proving = Arc::clone(app);
        tokio::task::spawn_blocking(move || proving.health.prove(&proving.engine, proving.clock.now()));
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return Ended::Cut };
        connections::serve(Arc::clone(app), listener, router::router(app), stopped).await
    });
    app.drain();
    if let (Some(mut background), Ended::Drained) = (background, ended) {
        background.finish();
    }
    ended
}
