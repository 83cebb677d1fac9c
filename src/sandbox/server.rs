//! The HTTP side: starts, stops, and knows which address belongs to which dialect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use maud::{DOCTYPE, PreEscaped, html};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::faults::Faults;
use super::goods::{Catalogue, View};
use super::options::{Counters, SandboxOptions};
use super::shared::Shared;
use super::{aop, article, onebound, tmapi};
use crate::dialect;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum SandboxError {
    #[error("{0} is not a loopback address: the sandbox is for this machine only, use 127.0.0.1")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {addr}: {source}; choose another port, or 0 for a free one")]
    Listen { addr: SocketAddr, r#source: std::io::Error },
}

/// A running sandbox; stops when dropped.
pub struct Sandbox {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts to listen; the goods are drawn when they are first asked for.
    ///
    /// # Errors
    /// [`SandboxError`] for an address that is not loopback or cannot be listened on.
    pub fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let addr = options.addr;
        if !addr.ip().is_loopback() {
            return Err(SandboxError::NotLoopback(addr));
        }
        let listen = |source| SandboxError::Listen { addr, source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(listen)?;
        let listener = std::net::TcpListener::bind(addr).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let base_url = format!("http://{}", listener.local_addr().map_err(listen)?);
        // Base64 in a form is longer by a third, and its `+` and `/` by two letters each.
        let body_limit = 2 * options.max_upload_bytes + 64 * 1024;
        let shared = Arc::new(Shared::new(options, base_url));
        let router = Router::new()
            .route("/", get(gallery))
            .route("/sandbox/counters", get(counters))
            .route("/sandbox/faults", post(inject))
            .route("/img/{offer_id}/{view}", get(image))
            .route(dialect::article::TOKEN_PATH, get(article::token).post(article::token))
            .route(dialect::article::SEARCH_PATH, post(article::search))
            .route(dialect::article::DETAIL_PATH, get(article::product))
            .route(dialect::onebound::UPLOAD_PATH, post(onebound::upload))
            .route(dialect::onebound::SEARCH_PATH, get(onebound::search))
            .route(dialect::onebound::DETAIL_PATH, get(onebound::product))
            .route(dialect::tmapi::SEARCH_PATH, get(tmapi::search))
            .route(dialect::tmapi::CONVERT_PATH, post(tmapi::convert))
            .route(dialect::tmapi::DETAIL_PATH, get(tmapi::product))
            .route(aop::AUTHORIZE_PATH, get(aop::authorize))
            .route(dialect::aop::PATH, any(aop::call))
            .layer(DefaultBodyLimit::max(body_limit))
            .with_state(Arc::clone(&shared));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let serve = axum::serve(listener, router).into_future();
                tokio::select! {
                    _ = serve => {}
                    _ = stopped => {}
                }
            });
            // Drawing that is still under way is not waited for.
            runtime.shutdown_background();
        });
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// For example `http://127.0.0.1:40123`.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    /// What was asked so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.gate.counters()
    }

    /// The goods.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.shared.catalogue
    }

    /// Draws and describes all goods now instead of at the first search.
    pub fn warm_up(&self) {
        self.shared.matcher();
    }

    /// A new access token, as the console of the open platform gives one.
    #[must_use]
    pub fn issue_token(&self) -> String {
        self.shared.gate.issue_token(&self.shared.options)
    }

    /// From now on these faults, and no others.
    pub fn inject(&self, faults: Faults) {
        self.shared.fault_injector.replace(faults);
    }

    /// Makes every token given out so far invalid.
    pub fn expire_tokens(&self) {
        self.shared.gate.expire_tokens();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("base_url", &self.shared.base_url).finish_non_exhaustive()
    }
}

async fn counters(State(shared): State<Arc<Shared>>) -> axum::Json<Counters> {
    axum::Json(shared.gate.counters())
}

/// The HTTP door of [`Sandbox::inject`]; answers with the counters.
async fn inject(State(shared): State<Arc<Shared>>, body: axum::body::Bytes) -> Response {
    match serde_json::from_slice::<Faults>(&body) {
        Ok(faults) => {
            shared.fault_injector.replace(faults);
            axum::Json(shared.gate.counters()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn image(
    State(shared): State<Arc<Shared>>,
    Path((offer_id, file)): Path<(u64, String)>,
) -> Result<Response, StatusCode> {
    let view: View = file.strip_suffix(".jpg").and_then(|v| v.parse().ok()).ok_or(StatusCode::NOT_FOUND)?;
    shared.gate.count_image();
    let _slot = shared.slot().await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let drawing = {
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            shared.catalogue.find(offer_id).map(|good| shared.catalogue.jpeg(good, view))
        })
    };
    let bytes = drawing.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.ok_or(StatusCode::NOT_FOUND)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

const GALLERY_STYLE: &str = "\
body{font:14px/1.4 sans-serif;margin:24px;background:#f4f4f2;color:#222}\
.model{display:flex;gap:12px;flex-wrap:wrap;margin:0 0 20px}\
figure{margin:0;background:#fff;border-radius:8px;padding:8px;width:168px}\
img{width:168px;height:168px;object-fit:contain}b{color:#c33}small{color:#777}";

/// All goods to look at, colour variants side by side.
async fn gallery(State(shared): State<Arc<Shared>>) -> Html<String> {
    let counters = shared.gate.counters();
    let goods = shared.catalogue.goods();
    let page = html! {
        (DOCTYPE)
        html lang="zh" {
            head {
                meta charset="utf-8";
                title { "Tongkuan sandbox" }
                style { (PreEscaped(GALLERY_STYLE)) }
            }
            body {
                h1 { "Tongkuan sandbox" }
                p {
                    "A local stand-in for 1688: " (goods.len()) " goods. Searches answered " (counters.searches_ok)
                    ", refused " (counters.searches_refused) "; tokens " (counters.token_requests) "; pictures "
                    (counters.image_fetches) "."
                }
                @for model in goods.chunk_by(|one, next| one.model == next.model) {
                    div.model {
                        @for good in model {
                            figure {
                                img loading="lazy" src={ "/img/" (good.offer_id) "/main.jpg" };
                                figcaption {
                                    (good.title) br; b { "¥" (good.price) } " " small { (good.company_name) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    Html(page.into_string())
}
