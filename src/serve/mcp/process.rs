//! The tool for agents over a pair of streams: of one program, which has started this one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rmcp::service::ServerInitializeError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::super::allowance::Allowance;
use super::super::auth::Caller;
use super::super::options::ServeOptions;
use super::super::state::{App, ServeParts};
use super::super::store::{ServeStore, ServeStoreError};
use super::agent::{Agent, Connection};
use super::lines::Lines;
use super::roots::Roots;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::fetch::Fetch;

/// For calls under way, once the other end has gone: one that is paid for is stored.
const MAX_REST: Duration = Duration::from_mins(1);

/// What the tool works with.
pub struct McpParts {
    /// Answers everything.
    pub engine: Arc<Engine>,
    /// Fetches pictures by their addresses; `None` where the network is forbidden.
    pub fetcher: Option<Arc<dyn Fetch + Send>>,
    /// By which quota days pass.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for McpParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpParts").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// What the user allows. By default nothing but to look at what is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct McpOptions {
    /// Folders below which pictures may be named by their paths.
    pub roots: Vec<PathBuf>,
    /// Calls that may be caused, as long as the connection lasts; beside the upstreams' own budgets.
    pub allow_spend: u32,
    /// Whether pictures may be stored.
    pub allow_add: bool,
}

/// Why there is no tool, or why it ended.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum McpError {
    #[error("the folder {path} cannot be opened to agents: {cause}")]
    Root { path: PathBuf, cause: String },
    #[error("the other end does not speak the Model Context Protocol: {cause}")]
    Protocol { cause: String },
    #[error("the runtime for it could not be made: {cause}")]
    Runtime { cause: String },
    #[error(transparent)]
    Store(#[from] ServeStoreError),
}

/// The tool for agents, for one connection.
pub struct McpServer {
    app: Arc<App>,
    caller: Caller,
    roots: Arc<Roots>,
}

impl McpServer {
    /// # Errors
    /// [`McpError::Root`] for a folder that is not there.
    pub fn new(parts: McpParts, options: &McpOptions) -> Result<Self, McpError> {
        let roots = Roots::new(&options.roots)
            .map_err(|(path, error)| McpError::Root { path, cause: error.to_string() })?;
        let McpParts { engine, fetcher, clock } = parts;
        // Who asks is known: no keys.
        let store = Arc::new(ServeStore::without_keys()?);
        let parts = ServeParts { engine, fetcher, store, apps: Vec::new(), clock };
        let defaults = ServeOptions::default();
        // base64 is longer than the picture.
        let max_body_bytes = defaults.max_body_bytes / 3 * 4;
        let app = App::new(parts, ServeOptions { max_body_bytes, ..defaults }, Vec::new());
        let caller = Caller::with_allowance(options.allow_add, Allowance::new(options.allow_spend));
        Ok(Self { app, caller, roots: Arc::new(roots) })
    }

    /// Speaks over the standard streams of this process until the other end closes them, or until `stop` says more than 0.
    ///
    /// # Errors
    /// [`McpError`] when the other end does not speak the protocol.
    pub fn run(self, stop: watch::Receiver<u32>) -> Result<(), McpError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| McpError::Runtime { cause: error.to_string() })?;
        let app = Arc::clone(&self.app);
        runtime.spawn_blocking(move || app.health.prove(&app.engine, app.clock.now()));
        let ended = runtime.block_on(async {
            let (read, write) = rmcp::transport::io::stdio_pipes();
            self.serve(read, write, stop).await
        });
        // Standard input that is no pipe is read on a thread that would be waited for.
        runtime.shutdown_background();
        ended
    }

    /// As [`McpServer::run`], over any streams: a message a line.
    ///
    /// # Errors
    /// As [`McpServer::run`].
    pub async fn serve(
        self,
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
        mut stop: watch::Receiver<u32>,
    ) -> Result<(), McpError> {
        let Self { app, caller, roots } = self;
        let agent = Agent::new(Arc::clone(&app), Connection::Parent { caller, roots });
        let max_line = usize::try_from(app.options.max_body_bytes).unwrap_or(usize::MAX);
        let transport = Lines::new(read, write, max_line);
        let stopped = async move {
            if stop.wait_for(|times| *times > 0).await.is_err() {
                // Nobody can say stop any more.
                std::future::pending::<()>().await;
            }
        };
        let serving = async {
            match rmcp::serve_server(agent, transport).await {
                Ok(running) => {
                    let _ = running.waiting().await;
                    Ok(())
                }
                Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
                Err(error) => Err(McpError::Protocol { cause: error.to_string() }),
            }
        };
        let ended = tokio::select! {
            ended = serving => ended,
            () = stopped => Ok(()),
        };
        app.drain();
        let rest = async { tokio::join!(app.asking.come_to_rest(), app.local.come_to_rest()) };
        if tokio::time::timeout(MAX_REST, rest).await.is_err() {
            tracing::warn!("ended with calls under way: one that was made is booked, and its answer is lost");
        }
        ended
    }
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer").field("roots", &self.roots).finish_non_exhaustive()
    }
}
