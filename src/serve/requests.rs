//! What every request gets: an id, a line in the log, a place in the metrics, safe headers, and an answer even where a handler
//! panics.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument as _;

use super::pool::joined;
use super::request_error::RequestError;
use super::state::App;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID_BYTES: usize = 64;

/// For all answers that do not bring their own. Documents have no scripts, and their style is in themselves.
const SAFE: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The client's own id where it is one that may stand in a log, else a new one.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |id: &str| {
        (1..=MAX_ID_BYTES).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = headers.get(&REQUEST_ID).filter(|id| id.to_str().is_ok_and(is_plain));
    given
        .cloned()
        .unwrap_or_else(|| HeaderValue::try_from(new_id()).unwrap_or_else(|_| HeaderValue::from_static("0")))
}

/// 16 hexadecimal digits.
pub(super) fn new_id() -> String {
    format!("{:016x}", u64::from_be_bytes(super::key_secrets::random::<8>().unwrap_or_default()))
}

pub(super) async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), %method, route);
    let began = Instant::now();
    // On a task of its own, a panic ends the request alone. It ends with this one: a client that goes away ends its work.
    let work = AbortOnDrop(tokio::spawn(next.run(request).instrument(span.clone())));
    let mut response = work.join().await.unwrap_or_else(RequestError::into_response);
    let took = began.elapsed();
    let status = response.status().as_u16();
    app.metrics.count_request(&route, status, took);
    span.in_scope(|| tracing::info!(status, ms = took.as_secs_f64() * 1e3, "answered"));
    let headers = response.headers_mut();
    headers.insert(&REQUEST_ID, id);
    for (name, value) in SAFE {
        // The page has a policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if app.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

struct AbortOnDrop(tokio::task::JoinHandle<Response>);

impl AbortOnDrop {
    async fn join(mut self) -> Result<Response, RequestError> {
        joined(&mut self.0).await
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_line_of_the_log_is_replaced() {
        let given = |text: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(&REQUEST_ID, HeaderValue::from_bytes(text).unwrap());
            id_of(&headers)
        };
        assert_eq!(given(b"job-7.a_B"), "job-7.a_B");
        for bad in [&b""[..], b"a b", b"a\"}", b"\xff"] {
            assert_eq!(given(bad).len(), 16);
        }
    }
}
