//! `/livez` and `/readyz`: does the process work, and can it answer?

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::state::App;

/// The process answers
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It does")))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The service can answer: the model and the index are loaded, and the last trial picture could be looked at
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "It can"), (status = 503, description = "Not yet, not any more, or it is ending"))
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    let last = app.health.last();
    let (proved_at, code) = last.map_or((None, None), |(at, code)| (Some(at), code));
    let ready = app.health.is_ready() && !app.is_draining();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = json!({"ready": ready, "draining": app.is_draining(), "looked_at": proved_at, "code": code});
    (status, axum::Json(told)).into_response()
}
