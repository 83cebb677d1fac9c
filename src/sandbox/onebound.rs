//! The vendor OneBound from the server's side; `crate::upstream::onebound` is the client's. Every answer comes with
//! HTTP 200 and states the quota in `api_info`.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::details;
use super::faults::{self, Fault as Injected, Stage};
use super::shared::Shared;
use super::shop;
use crate::dialect::Refusal;
use crate::dialect::onebound::{
    self as dialect, BAD_DATA, Fault, INTERNAL, MAINTENANCE, NO_ACCOUNT, NOT_FETCHED, Params,
};
use crate::photo::{Photo, PhotoFormat, PhotoLimits};

fn check(shared: &Shared, query: &Params) -> Result<(), Fault> {
    let options = &shared.options;
    let (key, secret) = dialect::credentials(query);
    if key != Some(&options.app_key) {
        return Err(NO_ACCOUNT);
    }
    if secret != Some(&options.app_secret) {
        return Err(Refusal::BadToken.into());
    }
    if options.deny_search { Err(Refusal::NoPermission.into()) } else { Ok(()) }
}

async fn reply(shared: &Shared, result: Result<Value, Fault>, injected: Option<Injected>) -> Response {
    let (used, max) = shared.gate.quota(&shared.options);
    let body = dialect::reply(result, Some((used, max)), "gw-sandbox");
    faults::deliver(injected, body).await
}

pub(super) async fn upload(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Params>,
    Form(form): Form<Params>,
) -> Response {
    let Some(_slot) = shared.slot().await else {
        return reply(&shared, Err(MAINTENANCE), None).await;
    };
    let result = check(&shared, &query).and_then(|()| {
        let imgcode = dialect::uploaded(&form)?;
        let bytes = STANDARD.decode(imgcode).map_err(|_| BAD_DATA)?;
        let photo = Photo::decode(&bytes, &PhotoLimits::default()).map_err(|_| BAD_DATA)?;
        if photo.format() == PhotoFormat::WebP {
            return Err(BAD_DATA);
        }
        if shared.loses_upload() {
            return Ok(dialect::upload(None));
        }
        let id = shared.uploads.put(photo.as_image().clone());
        Ok(dialect::upload(Some(&format!("{}/uploaded/{id}.jpg", shared.base_url))))
    });
    reply(&shared, result, None).await
}

pub(super) async fn search(State(shared): State<Arc<Shared>>, Query(query): Query<Params>) -> Response {
    let Some(_slot) = shared.slot().await else {
        return reply(&shared, Err(MAINTENANCE), None).await;
    };
    match ask(&shared, &query).await {
        Ok((body, injected)) => reply(&shared, Ok(body), injected).await,
        Err(fault) => {
            shared.gate.count_refused();
            reply(&shared, Err(fault), None).await
        }
    }
}

async fn ask(shared: &Arc<Shared>, query: &Params) -> Result<(Value, Option<Injected>), Fault> {
    check(shared, query)?;
    let (imgid, wish) = dialect::asked(query)?;
    let id = dialect::upload_id(&imgid);
    let picture = id.and_then(|id| shared.uploads.get(id)).ok_or(NOT_FETCHED)?;
    let injected = shared.admit(Stage::Search)?;
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let found = shop::find(&shared, &picture, &wish);
        dialect::page(&wish, found.total, &found.offers)
    });
    Ok((work.await.map_err(|_| INTERNAL)?, injected))
}

pub(super) async fn product(State(shared): State<Arc<Shared>>, Query(query): Query<Params>) -> Response {
    let told = check(&shared, &query).and_then(|()| dialect::item_asked(&query)).and_then(|offer_id| {
        shared.gate.admit_detail(&shared.options)?;
        Ok(dialect::item(details::find(&shared, &offer_id).as_ref()))
    });
    reply(&shared, told, None).await
}
