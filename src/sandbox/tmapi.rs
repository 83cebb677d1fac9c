//! The vendor TMAPI from the server's side; `crate::upstream::tmapi` is the client's. Every answer is
//! `{"code","msg","data"}`; that the HTTP status repeats the code is ours.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::details;
use super::faults::{self, Fault as Injected, Stage};
use super::shared::Shared;
use super::shop;
use crate::dialect::Refusal;
use crate::dialect::tmapi::{self as dialect, Fault, NOT_RETRIEVED, Named, Params, UNEXPECTED};

fn check(shared: &Shared, query: &Params) -> Result<(), Fault> {
    let options = &shared.options;
    if dialect::token(query) != Some(&options.app_secret) {
        return Err(Refusal::BadToken.into());
    }
    if options.deny_search { Err(Refusal::NoPermission.into()) } else { Ok(()) }
}

/// A picture gets an address at which the search finds it.
pub(super) async fn convert(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Params>,
    body: axum::body::Bytes,
) -> Response {
    let Some(_slot) = shared.slot().await else { return UNEXPECTED.into_response() };
    match convert_url(&shared, &query, &body).await {
        Ok(body) => axum::Json(body).into_response(),
        Err(fault) => fault.into_response(),
    }
}

async fn convert_url(shared: &Arc<Shared>, query: &Params, body: &[u8]) -> Result<Value, Fault> {
    check(shared, query)?;
    let url = dialect::to_convert(body)?;
    if shared.loses_upload() {
        return Err(NOT_RETRIEVED);
    }
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let picture = shop::own_picture(&shared, &url)?;
        Some(shared.uploads.put(picture))
    });
    let id = work.await.map_err(|_| UNEXPECTED)?.ok_or(NOT_RETRIEVED)?;
    Ok(dialect::converted(id))
}

pub(super) async fn search(State(shared): State<Arc<Shared>>, Query(query): Query<Params>) -> Response {
    let Some(_slot) = shared.slot().await else { return UNEXPECTED.into_response() };
    match ask(&shared, &query).await {
        Ok((body, injected)) => faults::deliver(injected, body).await,
        Err(fault) => {
            shared.gate.count_refused();
            fault.into_response()
        }
    }
}

async fn ask(shared: &Arc<Shared>, query: &Params) -> Result<(Value, Option<Injected>), Fault> {
    check(shared, query)?;
    let (url, wish) = dialect::asked(query)?;
    let looking = {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || match dialect::named(&url) {
            Named::Converted(id) => shared.uploads.get(id),
            Named::Elsewhere => shop::own_picture(&shared, &url).map(Arc::new),
        })
    };
    // Only pictures at Alibaba, that is: the sandbox's own.
    let picture = looking.await.map_err(|_| UNEXPECTED)?.ok_or(NOT_RETRIEVED)?;
    let injected = shared.admit(Stage::Search)?;
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let found = shop::find(&shared, &picture, &wish);
        dialect::page(&wish, found.total, &found.offers)
    });
    Ok((work.await.map_err(|_| UNEXPECTED)?, injected))
}

pub(super) async fn product(State(shared): State<Arc<Shared>>, Query(query): Query<Params>) -> Response {
    let told = || {
        check(&shared, &query)?;
        let offer_id = dialect::item_asked(&query)?;
        shared.gate.admit_detail(&shared.options)?;
        Ok(dialect::item(details::find(&shared, &offer_id).as_ref()))
    };
    told().map_or_else(|fault: Fault| fault.into_response(), |body| axum::Json(body).into_response())
}
