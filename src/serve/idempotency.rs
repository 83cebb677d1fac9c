//! How is a request that is sent twice done once? By its `Idempotency-Key`: the first answer is kept and given again. What a
//! killed process had begun is taken up so that nothing is paid for or stored twice.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt as _;

use super::auth::Caller;
use super::problem::Failure;
use super::request_error::RequestError;
use super::state::App;
use super::store::{Remembered, SavedResponse};
use crate::clock::Timestamp;
use crate::photo::Digest;

const HEADER: &str = "idempotency-key";
const MAX_KEY_BYTES: usize = 200;
/// RFC 2046, 5.1.1; a longer boundary separates nothing.
const MAX_BOUNDARY_BYTES: usize = 70;
/// Larger answers are not kept: a request for one is done again.
const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Marks a response that says why there is no new answer, and for which nothing was spent: the same request may fare better in a
/// minute, so it is done again then.
#[derive(Clone, Copy, Debug)]
pub(super) struct NothingSpent;

/// What a request is known by.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    key: Option<String>,
    /// Method, path and query.
    head: String,
    digest: Option<Digest>,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Result<Self, Failure> {
        let key = match request.headers().get(HEADER).map(HeaderValue::to_str) {
            None => None,
            Some(Ok(key)) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Some(key.to_owned()),
            Some(_) => {
                return Err(Failure::invalid(format!(
                    "an Idempotency-Key has 1 to {MAX_KEY_BYTES} visible characters"
                )));
            }
        };
        Ok(Self { key, head: format!("{} {}", request.method(), request.uri()), digest: None })
    }

    pub(super) fn with_body(mut self, headers: &HeaderMap, body: &[u8]) -> Self {
        if self.key.is_some() {
            let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
            // A form has another boundary each time, so its digest is of what lies between.
            let boundary =
                std::str::from_utf8(kind).ok().and_then(|kind| kind.split_once("boundary=")).map(|(_, b)| b);
            let body = match boundary {
                Some(boundary) => without(body, boundary.trim_matches('"').as_bytes()),
                None => body.to_vec(),
            };
            self.digest = Some(Digest::of(&[self.head.as_bytes(), b"\n", &body].concat()));
        }
        self
    }

    /// The key, for work that keeps its own books by it.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

fn without(body: &[u8], part: &[u8]) -> Vec<u8> {
    if part.is_empty() || part.len() > MAX_BOUNDARY_BYTES {
        return body.to_vec();
    }
    let (mut from, mut out) = (0, Vec::with_capacity(body.len()));
    for at in memchr::memmem::find_iter(body, part) {
        out.extend_from_slice(&body[from..at]);
        from = at + part.len();
    }
    out.extend_from_slice(&body[from..]);
    out
}

/// Does `work` unless its answer is there; `work` hears since when it is under way, where a killed process had begun it.
pub(super) async fn once(
    app: &Arc<App>,
    caller: &Caller,
    asked: Asked,
    work: impl AsyncFnOnce(Option<Timestamp>) -> Result<Response, Failure>,
) -> Result<Response, Failure> {
    let (Some(key), Some(digest)) = (&asked.key, asked.digest) else { return work(None).await };
    let scope = caller.scope();
    let _here = app.running.enter(&scope, key).ok_or(RequestError::IdempotencyRunning)?;
    let began = match app.store.begin_request(&scope, key, digest, app.clock.now())? {
        Remembered::New => None,
        Remembered::Begun { began_at } => Some(began_at),
        Remembered::Running => return Err(RequestError::IdempotencyRunning.into()),
        Remembered::Finished(response) => return Ok(replayed(response)),
        Remembered::Other => return Err(RequestError::IdempotencyReused.into()),
    };
    let _at_work = AtWork { app, scope: &scope, key };
    let response = match work(began).await {
        Ok(response) => response,
        Err(failure) => {
            // What was refused before anything was done may come again; what failed on the way is taken up. Of what an earlier
            // process had begun it is not known what it has done.
            if began.is_none() && failure.status().is_client_error() {
                app.store.forget_request(&scope, key)?;
            }
            return Err(failure);
        }
    };
    if response.extensions().get::<NothingSpent>().is_some() {
        // Of what an earlier process had begun it is not known what it has done: that stays to be taken up.
        if began.is_none()
            && let Err(error) = app.store.forget_request(&scope, key)
        {
            tracing::warn!(%error, "a request with an Idempotency-Key that came to nothing could not be forgotten");
        }
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if bytes.len() <= MAX_KEPT_BYTES {
        let headers = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let saved =
            SavedResponse { status: parts.status.as_u16(), headers: headers.collect(), body: bytes.to_vec() };
        // The answer is given whether it can be kept or not: it may have been paid for.
        if let Err(error) = app.store.finish_request(&scope, key, &saved, app.clock.now()) {
            tracing::warn!(%error, "an answer could not be kept for its Idempotency-Key");
        }
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// A request that this process is at; when dropped, others may take up what was not finished.
struct AtWork<'a> {
    app: &'a App,
    scope: &'a str,
    key: &'a str,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.app.store.leave_request(self.scope, self.key) {
            tracing::warn!(%error, "other processes take a request with an Idempotency-Key for one under way");
        }
    }
}

fn replayed(saved: SavedResponse) -> Response {
    let mut response = Response::new(Body::from(saved.body));
    *response.status_mut() = StatusCode::from_u16(saved.status).unwrap_or(StatusCode::OK);
    for (name, value) in &saved.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_is_the_same_request_whatever_boundary_its_client_chose() {
        let asked = |boundary: &str, text: &str| {
            let request = Request::post("/v1/search?page=2").header(HEADER, "k").body(Body::empty()).unwrap();
            let mut headers = HeaderMap::new();
            let kind = format!("multipart/form-data; boundary={boundary}");
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            let body = format!("--{boundary}\r\n\r\n{text}\r\n--{boundary}--\r\n");
            Asked::of(&request).unwrap().with_body(&headers, body.as_bytes()).digest.unwrap()
        };
        assert_eq!(asked("abc", "picture"), asked("xyz123", "picture"));
        assert_ne!(asked("abc", "picture"), asked("abc", "other"));
    }
}
