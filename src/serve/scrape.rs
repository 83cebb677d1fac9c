//! `/metrics`, as OpenMetrics text.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;

use super::auth::Caller;
use super::pool::joined;
use super::problem::Failure;
use super::state::App;

/// Numbers for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text"), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    caller.may_read()?;
    for (name, pool) in [
        ("local", &app.local),
        ("asking", &app.asking),
        ("fetching", &app.fetching),
        ("batches", &app.batches),
    ] {
        for (what, number) in [("busy", pool.busy()), ("waiting", pool.waiting())] {
            let labels = [("pool", name.to_owned()), ("what", what.to_owned())];
            app.metrics.pools.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    let done = app.background.read();
    for (what, number) in [
        ("runs", done.runs),
        ("answered", done.answered),
        ("dropped", done.dropped),
        ("harvested", done.harvested),
        ("failures", done.failures),
    ] {
        app.metrics
            .background
            .get_or_create(&[("what", what.to_owned())])
            .set(i64::try_from(number).unwrap_or(i64::MAX));
    }
    // Beside the pools: how full they are has to be seen while they are.
    let reading = Arc::clone(&app);
    joined(tokio::task::spawn_blocking(move || reading.metrics.read(&reading.engine))).await??;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &app.metrics.registry);
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response())
}
