//! The dialect of the common articles, from the server's side; `crate::upstream::article` is the client's.

#![allow(clippy::unnecessary_box_returns, reason = "a refusal is a whole response; `?` passes it on boxed")]

use std::sync::Arc;

use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::details;
use super::faults::{self, Fault, Stage};
use super::shared::Shared;
use super::shop;
use crate::dialect::Wish;
use crate::dialect::article::{
    self as dialect, DetailRequest, Search, TokenRequest, bad_parameter, bad_picture, bearer, refused,
};
use crate::photo::{Photo, PhotoFormat, PhotoLimits};

pub(super) async fn token(State(shared): State<Arc<Shared>>, Query(asked): Query<TokenRequest>) -> Response {
    shared.gate.count_token_request();
    let options = &shared.options;
    let known = asked.is_for_client_credentials()
        && asked.client_id.as_deref() == Some(&options.app_key)
        && asked.client_secret.as_deref() == Some(&options.app_secret);
    if !known {
        return dialect::bad_client();
    }
    dialect::token(&shared.gate.issue_token(options), options.token_ttl_secs)
}

pub(super) async fn search(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    multipart: Result<Multipart, MultipartRejection>,
) -> Response {
    match answer(&shared, &headers, multipart).await {
        Ok((body, fault)) => faults::deliver(fault, body).await,
        Err(refusal) => {
            shared.gate.count_refused();
            *refusal
        }
    }
}

pub(super) async fn product(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(asked): Query<DetailRequest>,
) -> Response {
    let answer = || {
        shared.gate.check(&shared.options, bearer(&headers)).map_err(|r| Box::new(refused(r)))?;
        let offer_id = asked.offer_id()?;
        shared.gate.admit_detail(&shared.options).map_err(|r| Box::new(refused(r)))?;
        let detail = details::find(&shared, &offer_id);
        Ok(axum::Json(dialect::product(detail.as_ref())).into_response())
    };
    answer().unwrap_or_else(|refusal: Box<Response>| *refusal)
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<(Value, Option<Fault>), Box<Response>> {
    let _slot = shared.slot().await;
    // Read before anything is refused: a client that is still sending would see its connection break instead.
    let form = match multipart {
        Ok(multipart) => Search::read(multipart, shared.options.max_upload_bytes).await,
        Err(rejection) => Err(bad_parameter(&rejection.to_string())),
    };
    shared.gate.check(&shared.options, bearer(headers)).map_err(|r| Box::new(refused(r)))?;
    let Search { image, wish } = form?;
    let picture = decode(&image)?;
    let fault = shared.admit(Stage::OnlySearch).map_err(|r| Box::new(refused(r)))?;
    if fault == Some(Fault::ImageIdZero) {
        return Err(bad_picture());
    }
    let work = {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || page(&shared, &picture, &wish))
    };
    let body = work.await.map_err(|e| bad_parameter(&e.to_string()))?;
    Ok((body, fault))
}

fn decode(bytes: &[u8]) -> Result<Photo, Box<Response>> {
    let photo = Photo::decode(bytes, &PhotoLimits::default()).map_err(|_| bad_picture())?;
    if matches!(photo.format(), PhotoFormat::Jpeg | PhotoFormat::Png) {
        Ok(photo)
    } else {
        Err(bad_picture())
    }
}

fn page(shared: &Shared, picture: &Photo, wish: &Wish) -> Value {
    let found = shop::find(shared, picture.as_image(), wish);
    dialect::page(wish, found.total, &found.offers)
}
