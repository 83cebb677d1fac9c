//! The HTTP side: starts, stops, and knows which address belongs to which dialect.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use super::faults::{Fault, FaultInjector, Faults, Stage};
use super::gate::{Gate, Refusal};
use super::goods::{Catalogue, View};
use super::search::Matcher;
use super::uploads::Uploads;
use super::{aop, article, onebound, tmapi};
use crate::clock::{Clock, SystemClock, Timestamp};

/// Requests worked on at the same time; others wait.
const MAX_CONCURRENT: usize = 64;

/// How a sandbox behaves.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Loopback only; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Which goods there are.
    pub seed: u64,
    pub app_key: String,
    pub app_secret: String,
    /// Of the official gateway's dialect: gets access tokens, and never ends.
    pub refresh_token: String,
    /// Accepted searches per day of China standard time.
    pub daily_quota: u32,
    /// Between two accepted searches.
    pub min_interval_ms: u64,
    pub token_ttl_secs: u64,
    pub max_upload_bytes: usize,
    /// Answers every search with 40003, as for an app without the permission.
    pub deny_search: bool,
    pub faults: Faults,
    pub clock: Arc<dyn Clock>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1688,
            app_key: "sandbox".to_owned(),
            app_secret: "sandbox-secret".to_owned(),
            refresh_token: "sandbox-refresh-token".to_owned(),
            daily_quota: 500,
            min_interval_ms: 1000,
            token_ttl_secs: 36_000,
            max_upload_bytes: 5 * 1024 * 1024,
            deny_search: false,
            faults: Faults::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("addr", &self.addr)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub token_requests: u64,
    /// Searches that were answered; these count against the quota.
    pub searches_ok: u64,
    pub searches_refused: u64,
    /// Calls about one offer that were answered; these count against the quota, too.
    pub details_ok: u64,
    pub image_fetches: u64,
    pub faults_injected: u64,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
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

pub(super) struct Shared {
    pub(super) options: SandboxOptions,
    pub(super) base_url: String,
    pub(super) catalogue: Catalogue,
    pub(super) gate: Gate,
    pub(super) uploads: Uploads,
    fault_injector: FaultInjector,
    slots: Semaphore,
    matcher: OnceLock<Arc<Matcher>>,
}

impl Shared {
    pub(super) fn matcher(&self) -> &Matcher {
        self.matcher.get_or_init(|| Matcher::of(&self.catalogue))
    }

    /// Takes one search from the quota, unless pace, quota or an injected fault is against it. A fault that comes back
    /// befalls the answer; [`Fault::ImageIdZero`] comes back unbilled, to be put into the dialect's words.
    pub(super) fn admit(&self, stage: Stage) -> Result<Option<Fault>, Refusal> {
        let fault = self.fault_injector.draw(stage);
        let refusal = fault.and_then(Fault::refusal);
        if refusal.is_none() && fault != Some(Fault::ImageIdZero) {
            self.gate.admit(&self.options).inspect_err(|_| {
                if let Some(fault) = fault {
                    self.fault_injector.put_back(fault);
                }
            })?;
        }
        if fault.is_some() {
            self.gate.count_fault();
        }
        if fault == Some(Fault::TokenEnds) {
            self.gate.expire_tokens();
        }
        refusal.map_or(Ok(fault), Err)
    }

    /// Whether the upload at hand "succeeds" without an id.
    pub(super) fn loses_upload(&self) -> bool {
        let lost = self.fault_injector.draw(Stage::Upload).is_some();
        if lost {
            self.gate.count_fault();
        }
        lost
    }

    /// A turn to work; bounds how much happens at once.
    pub(super) async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }
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
        let shared = Arc::new(Shared {
            base_url,
            catalogue: Catalogue::new(options.seed),
            gate: Gate::default(),
            uploads: Uploads::default(),
            fault_injector: FaultInjector::new(options.faults.clone()),
            slots: Semaphore::new(MAX_CONCURRENT),
            matcher: OnceLock::new(),
            options,
        });
        let router = Router::new()
            .route("/", get(gallery))
            .route("/sandbox/counters", get(counters))
            .route("/sandbox/faults", post(inject))
            .route("/img/{offer_id}/{view}", get(image))
            .route("/auth/requestToken", get(article::token).post(article::token))
            .route(article::SEARCH_PATH, post(article::search))
            .route(article::DETAIL_PATH, get(article::product))
            .route(onebound::UPLOAD_PATH, post(onebound::upload))
            .route(onebound::SEARCH_PATH, get(onebound::search))
            .route(tmapi::SEARCH_PATH, get(tmapi::search))
            .route(tmapi::CONVERT_PATH, post(tmapi::convert))
            .route(aop::AUTHORIZE_PATH, get(aop::authorize))
            .route(aop::PATH, any(aop::call))
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

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.gate.counters()
    }

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

/// As the gateway writes it: `20261010164552223+0800`.
pub(super) fn gateway_time(now: Timestamp) -> String {
    let china = time::UtcOffset::from_hms(8, 0, 0).unwrap_or(time::UtcOffset::UTC);
    let nanos = i128::from(now.unix_ms()) * 1_000_000;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
        .to_offset(china);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:03}+0800",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        moment.millisecond()
    )
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

/// All goods to look at, colour variants side by side.
async fn gallery(State(shared): State<Arc<Shared>>) -> Html<String> {
    use std::fmt::Write;
    let counters = shared.gate.counters();
    let goods = shared.catalogue.goods();
    let mut page = format!(
        "<!doctype html><html lang=zh><meta charset=utf-8><title>Tongkuan sandbox</title><style>\
         body{{font:14px/1.4 sans-serif;margin:24px;background:#f4f4f2;color:#222}}\
         .m{{display:flex;gap:12px;flex-wrap:wrap;margin:0 0 20px}}\
         figure{{margin:0;background:#fff;border-radius:8px;padding:8px;width:168px}}\
         img{{width:168px;height:168px;object-fit:contain}}b{{color:#c33}}small{{color:#777}}</style>\
         <h1>Tongkuan sandbox</h1><p>A local stand-in for 1688: {} goods. Searches answered {}, refused {}; tokens \
         {}; pictures {}.</p>",
        goods.len(),
        counters.searches_ok,
        counters.searches_refused,
        counters.token_requests,
        counters.image_fetches
    );
    let mut model = None;
    for good in goods {
        if model != Some(good.model) {
            let close = if model.is_some() { "</div>" } else { "" };
            let _ = write!(page, "{close}<div class=m>");
            model = Some(good.model);
        }
        let _ = write!(
            page,
            "<figure><img loading=lazy src=\"/img/{id}/main.jpg\"><figcaption>{}<br><b>¥{}</b> \
             <small>{}</small></figcaption></figure>",
            good.title,
            good.price,
            good.company_name,
            id = good.offer_id
        );
    }
    page.push_str("</div>");
    Html(page)
}
