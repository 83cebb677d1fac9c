//! `/v1/quota` and `/v1/stats`: what may still be spent, what was saved, how much there is, and what the service is at.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::auth::Caller;
use super::input::Params;
use super::problem::Failure;
use super::state::App;
use crate::doors;

/// More are not told day by day.
const MAX_DAYS: u32 = 3660;

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
    quota["key"] = caller.own_key(&app)?;
    Ok(axum::Json(quota))
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsQuery {
    /// Also what happened on each of the last so many days, as `by_day`.
    #[param(maximum = 3660)]
    days: u32,
}

/// How much is stored, and what the service is doing
#[utoipa::path(
    get, path = "/v1/stats", tag = "account", params(StatsQuery),
    responses((status = 200, body = super::schema::Stats), (status = "default", response = super::schema::ProblemResponse))
)]
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<StatsQuery>,
) -> Result<axum::Json<Value>, Failure> {
    caller.may_read()?;
    if query.days > MAX_DAYS {
        return Err(Failure::invalid(format!("days is from 0 to {MAX_DAYS}")));
    }
    let mut stats = app.on_engine(doors::stats).await??;
    stats["id"] = Value::Null;
    if query.days > 0 {
        let by_day = app.on_engine(|engine| engine.catalog().by_day()).await??;
        stats["by_day"] = json!(by_day[by_day.len().saturating_sub(query.days as usize)..]);
    }
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
