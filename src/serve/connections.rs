//! How do connections come and go? A bounded number at once, none that only holds a place, and all answered before the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::state::App;

/// A pause after an error of `accept`, such as too many open files, which passes only with time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For so long connections are still taken that clients had opened before the end was asked for.
const LAST_CONNECTIONS: Duration = Duration::from_millis(100);

/// How the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All requests were answered.
    Drained,
    /// Some were still under way when the time was over, or when it was told to end a second time.
    Cut,
}

/// Serves until told to end, then answers what is there. `stop` counts how often it was told to.
pub(super) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    router: Router,
    mut stop: watch::Receiver<u32>,
) -> Ended {
    let places = Arc::new(Semaphore::new(app.options.max_connections.max(1)));
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            // Only with a place: those outside wait in the system's own line.
            place = Arc::clone(&places).acquire_owned() => {
                let Ok(place) = place else { break };
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => begin(&app, stream, &router, &graceful, place),
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be taken");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                    _ = stop.changed() => break,
                }
            }
            _ = stop.changed() => break,
        }
    }
    app.drain();
    tracing::info!("ending: requests under way are answered, new ones are not taken");
    // Connections that are open already, and were not taken yet.
    let last = tokio::time::Instant::now() + LAST_CONNECTIONS;
    while let Ok(Ok((stream, _))) = tokio::time::timeout_at(last, listener.accept()).await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
        begin(&app, stream, &router, &graceful, place);
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => Ended::Drained,
        () = tokio::time::sleep(app.options.drain_timeout) => {
            tracing::error!("ending with requests under way: the time for it is over");
            Ended::Cut
        }
        _ = stop.changed() => Ended::Cut,
    }
}

fn begin(
    app: &App,
    stream: tokio::net::TcpStream,
    router: &Router,
    graceful: &GracefulShutdown,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone());
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.options.read_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // A client that breaks off is no news.
        let _ = connection.await;
        drop(place);
    });
}
