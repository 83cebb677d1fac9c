//! `/v1/quota` and `/v1/stats`: what may still be spent, what was saved, how much there is, and what the service is at.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde_json::{Value, json};

use super::auth::Caller;
use super::problem::Failure;
use super::state::App;
use crate::doors;

/// What may still be spent today, and what was saved
#[utoipa::path(
    get, path = "/v1/quota", tag = "account",
    responses((status = 200, body = super::schema::Quota), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn quota(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let mut quota = app.on_engine(doors::quota).await??;
    quota["id"] = Value::Null;
    Ok(axum::Json(quota))
}

/// How much is stored, and what the service is doing
#[utoipa::path(
    get, path = "/v1/stats", tag = "account",
    responses((status = 200, body = super::schema::Stats), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    let mut stats = app.on_engine(doors::stats).await??;
    stats["id"] = Value::Null;
    let pool = |pool: &super::pool::Pool| json!({"busy": pool.busy(), "waiting": pool.waiting()});
    stats["service"] = json!({
        "draining": app.is_draining(),
        "local": pool(&app.local),
        "asking": pool(&app.asking),
        "fetching": pool(&app.fetching),
        "batches": pool(&app.batches),
        "background": app.background.read(),
    });
    Ok(axum::Json(stats))
}
