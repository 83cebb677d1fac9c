//! The official gateway's dialects, `aop` and `linkplus`: signatures as there, made with the app's own secret. The token of a
//! script is the platform's, which only the platform can judge; the signature says who asks.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Query, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::auth::Caller;
use super::super::input::{Given, PictureFile, discard, share_for};
use super::super::key_secrets::is_same_secret;
use super::super::state::App;
use super::super::uploads::Upload;
use super::{details as details_in, search as search_in, token as tokens};
use crate::dialect::aop::{self as dialect, Api, ImageQuery};
use crate::dialect::{Call, Fault, Refusal, gateway_time, linkplus};
use crate::photo::PhotoFormat;

pub(in super::super) async fn call(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    if let Err(fault) = called(&app, &path) {
        discard(&app, request.into_body()).await;
        return fault.into_response();
    }
    let Ok(share) = app.local.admit().and_then(|()| share_for(&app, request.body())) else {
        return Fault::from(Refusal::TooFast).into_response();
    };
    let reading = tokio::time::timeout(
        app.options.read_timeout,
        Call::read(path, query, request, app.options.max_body_bytes),
    );
    let call = reading
        .await
        .unwrap_or_else(|_| Err(Fault::new("gw.ParamInvalid", "the body did not arrive in time")));
    let answered = match call {
        Ok(call) => answer(&app, &call).await,
        Err(fault) => Err(fault),
    };
    drop(share);
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// What a path calls, and for which app.
struct Called<'a> {
    api: Result<Api, Fault>,
    first: &'a super::GatewayApp,
    /// One app may be configured for several dialects, with secrets of their own.
    known: Vec<&'a super::GatewayApp>,
}

/// # Errors
/// [`Fault`] where the path names no app that is known.
fn called<'a>(app: &'a App, path: &str) -> Result<Called<'a>, Fault> {
    let (app_key, api) = dialect::called(path)?;
    let is_it = |known: &&super::GatewayApp| known.is_of_platform() && known.app_key == app_key;
    let known: Vec<_> = app.apps.iter().filter(is_it).collect();
    let first = known.first().copied().ok_or_else(|| dialect::unknown_key(app_key))?;
    Ok(Called { api, first, known })
}

async fn answer(app: &Arc<App>, call: &Call) -> Result<Response, Fault> {
    let Called { api, first, known } = called(app, &call.path)?;
    match api {
        Ok(Api::Token) => return token(app, call, &known).map(json_of),
        Ok(Api::Time) => {
            if call.param("_aop_signature").is_some() {
                call.check_signature(first.app_secret.expose())?;
            }
            return Ok(json_of(json!(gateway_time(app.clock.now()))));
        }
        _ => call.check_signature(first.app_secret.expose())?,
    }
    let api = api?;
    if call.param("access_token").is_none_or(str::is_empty) {
        return Err(dialect::no_token());
    }
    match api {
        Api::Upload => upload(app, call).map(json_of),
        Api::ImageQuery => image_query(app, call).await,
        Api::SimilarOffers => similar_offers(app, call).await,
        Api::ProductDetail => product_detail(app, call).await,
        // Answered above.
        Api::Token | Api::Time => Err(Fault::new("gw.SystemError", "not a search")),
    }
}

fn json_of(value: Value) -> Response {
    axum::Json(value).into_response()
}

/// A token for whoever names the app's secret. The code or refresh token is the platform's, and says nothing here.
fn token(app: &App, call: &Call, known: &[&super::GatewayApp]) -> Result<Value, Fault> {
    if call.method != Method::POST {
        return Err(Fault::new("gw.MethodNotAllowed", "getToken must be posted"));
    }
    let secret = call.param("client_secret").unwrap_or_default();
    let is_app =
        known.iter().fold(false, |found, app| is_same_secret(secret, app.app_secret.expose()) | found);
    if !is_app || call.param("client_id") != known.first().map(|app| app.app_key.as_str()) {
        return Err(Fault::new("invalid_client", "client_id or client_secret is wrong"));
    }
    let (name, by_code) = match call.param("grant_type") {
        Some("authorization_code") => ("code", true),
        Some("refresh_token") => ("refresh_token", false),
        _ => return Err(Fault::new("invalid_grant", "grant_type is wrong")),
    };
    if call.param(name).is_none_or(str::is_empty) {
        return Err(Fault::new("invalid_grant", format!("{name} is wrong or has ended")));
    }
    let access = tokens::issue(app, &Caller::owner());
    let refresh = by_code.then(|| tokens::issue(app, &Caller::owner()));
    Ok(dialect::token(&access, tokens::TTL.as_secs(), refresh.as_deref()))
}

fn upload(app: &App, call: &Call) -> Result<Value, Fault> {
    let base64 = dialect::uploaded(call)?;
    // The gateway's way to say "too large" or "no picture": it succeeds, and the id is 0.
    let bytes = STANDARD.decode(base64).ok().filter(|bytes| bytes.len() <= dialect::MAX_IMAGE_BYTES);
    let bytes = bytes.filter(|bytes| PhotoFormat::sniff(bytes).is_ok());
    let id = bytes
        .map_or(0, |bytes| app.uploads.put(Upload { bytes: bytes.into(), source_url: None }, Instant::now()));
    Ok(dialect::success(&json!(id.to_string())))
}

async fn image_query(app: &Arc<App>, call: &Call) -> Result<Response, Fault> {
    let ImageQuery { image_id, wish, region } = dialect::image_query(call)?;
    let Some(upload) = app.uploads.get(image_id) else {
        return Ok(json_of(dialect::failure("IMAGE_ID_INVALID", "imageId is not known")));
    };
    let picture = PictureFile::new(upload.bytes, "aop".to_owned(), upload.source_url, None);
    let found = search_in(app, "aop", &Caller::owner(), &picture, &wish, region).await?;
    let rows: Vec<Value> = found.offers.iter().map(dialect::row).collect();
    let page = dialect::page(&wish, found.total, &rows, region, &found.regions);
    Ok(found.around(json_of(page)))
}

async fn product_detail(app: &Arc<App>, call: &Call) -> Result<Response, Fault> {
    let offer_id = dialect::product_asked(call)?;
    let found = details_in(app, "aop", &Caller::owner(), &offer_id).await?;
    // Ours: what the gateway says of an offer that it does not know is not known.
    let product = found.detail.as_ref().map(dialect::product);
    Ok(found.around(json_of(dialect::success(&json!(product)))))
}

async fn similar_offers(app: &Arc<App>, call: &Call) -> Result<Response, Fault> {
    let (url, wish) = linkplus::asked(call)?;
    let opened = match Given::of_address(&url, None) {
        Ok(given) => given.open(app, app.deadline(), None).await,
        Err(failure) => Err(failure),
    };
    let picture = match opened {
        Ok(picture) => picture,
        Err(failure) => {
            tracing::info!(code = failure.code(), "a picture of linkplus was not fetched");
            return Ok(json_of(linkplus::not_fetched(&url)));
        }
    };
    let found = match search_in(app, "linkplus", &Caller::owner(), &picture, &wish, None).await {
        Err(Refusal::BadPicture) => return Ok(json_of(linkplus::not_fetched(&url))),
        found => found?,
    };
    let rows: Vec<Value> = found.offers.iter().map(linkplus::row).collect();
    let page = linkplus::page(found.total, &rows);
    Ok(found.around(json_of(page)))
}
