//! The official gateway from the server's side: signatures, tokens, the upload of a picture and the search by it (and
//! by its address, in `linkplus`); `crate::upstream::aop` is the client's.
//!
//! Refusals come in the order in which the gateway was seen to check: the key in the address, the signature, the
//! token, the permission, the parameters. What is not documented anywhere is marked as ours.

use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use serde_json::{Value, json};

use super::details;
use super::faults::{self, Stage};
use super::linkplus;
use super::search;
use super::shared::{Answer, Shared};
use super::shop;
use crate::dialect::aop::{self as dialect, Api, ImageQuery, MAX_IMAGE_BYTES, failure, success};
use crate::dialect::{Call, Fault, Region, Wish, gateway_time};
use crate::photo::{Photo, PhotoLimits};

pub(super) const AUTHORIZE_PATH: &str = "/oauth/authorize";

pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let answer = match Call::read(path, query, request, body_limit(&shared)).await {
        Ok(call) => answer(&shared, &call).await,
        Err(fault) => Err(fault),
    };
    match answer {
        Ok((body, injected)) => faults::deliver(injected, body).await,
        Err(fault) => fault.into_response(),
    }
}

/// Base64 in a form is longer by a third, and its `+` and `/` by two letters each.
fn body_limit(shared: &Shared) -> u64 {
    2 * shared.options.max_upload_bytes as u64 + 64 * 1024
}

async fn answer(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Fault> {
    let options = &shared.options;
    let (app_key, api) = dialect::called(&call.path)?;
    if app_key != options.app_key {
        return Err(dialect::unknown_key(app_key));
    }
    match api {
        Ok(Api::Token) => return Ok((token(shared, call)?, None)),
        Ok(Api::Time) => {
            if call.param("_aop_signature").is_some() {
                call.check_signature(&options.app_secret)?;
            }
            return Ok((json!(gateway_time(options.clock.now())), None));
        }
        _ => call.check_signature(&options.app_secret)?,
    }
    let api = api?;
    let refuse = |fault| {
        if matches!(api, Api::ImageQuery | Api::SimilarOffers) {
            shared.gate.count_refused();
        }
        fault
    };
    let allowed = match call.param("access_token") {
        None => Err(dialect::no_token()),
        token => shared.gate.check(options, token).map_err(Fault::from),
    };
    allowed.map_err(refuse)?;
    let Some(_slot) = shared.slot().await else { return Err(Fault::new("gw.Unavailable", "closing")) };
    match api {
        Api::Upload => Ok((upload(shared, call).await?, None)),
        Api::ImageQuery => image_query(shared, call).await.map_err(refuse),
        Api::ProductDetail => Ok((product_detail(shared, call)?, None)),
        Api::SimilarOffers => linkplus::similar_offers(shared, call).await.map_err(refuse),
        // Answered above.
        Api::Token | Api::Time => Err(Fault::new("gw.SystemError", "not a search")),
    }
}

/// The page on which a person agrees; here it agrees by itself and leads back with a code at once.
pub(super) async fn authorize(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Response {
    let param = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (Some(app_key), Some(redirect_uri)) = (param("client_id"), param("redirect_uri")) else {
        return (StatusCode::BAD_REQUEST, "缺少必要参数").into_response();
    };
    let Ok(mut back) = reqwest::Url::parse(redirect_uri) else {
        return (StatusCode::BAD_REQUEST, "非法请求").into_response();
    };
    if app_key != shared.options.app_key {
        return (StatusCode::BAD_REQUEST, "非法请求").into_response();
    }
    let code = shared.gate.issue_code(&shared.options, redirect_uri);
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", param("state").unwrap_or_default());
    Redirect::to(back.as_str()).into_response()
}

fn token(shared: &Shared, call: &Call) -> Result<Value, Fault> {
    shared.gate.count_token_request();
    let options = &shared.options;
    if call.method != Method::POST {
        return Err(Fault::new("gw.MethodNotAllowed", "getToken must be posted"));
    }
    let known = call.param("client_id") == Some(&options.app_key)
        && call.param("client_secret") == Some(&options.app_secret);
    if !known {
        return Err(Fault::new("invalid_client", "client_id or client_secret is wrong"));
    }
    let invalid = |what: &str| Err(Fault::new("invalid_grant", format!("{what} is wrong or has ended")));
    let by_code = match call.param("grant_type") {
        Some("authorization_code") => {
            let (code, uri) = (call.param("code"), call.param("redirect_uri"));
            if !code.zip(uri).is_some_and(|(code, uri)| shared.gate.take_code(options, code, uri)) {
                return invalid("code");
            }
            true
        }
        Some("refresh_token") if call.param("refresh_token") == Some(&options.refresh_token) => false,
        _ => return invalid("refresh_token"),
    };
    let token = shared.gate.issue_token(options);
    let refresh_token = by_code.then_some(options.refresh_token.as_str());
    let mut body = dialect::token(&token, options.token_ttl_secs, refresh_token);
    // Whose token it is.
    body["aliId"] = json!("2200000001688");
    body["memberId"] = json!("b2b-22000000016881");
    body["resource_owner"] = json!("sandbox");
    Ok(body)
}

async fn upload(shared: &Arc<Shared>, call: &Call) -> Result<Value, Fault> {
    let base64 = dialect::uploaded(call)?;
    let shared = Arc::clone(shared);
    let decoding = tokio::task::spawn_blocking(move || {
        let bytes = STANDARD.decode(base64).ok().filter(|bytes| bytes.len() <= MAX_IMAGE_BYTES)?;
        let photo = Photo::decode(&bytes, &PhotoLimits::default()).ok()?;
        if shared.loses_upload() {
            return None;
        }
        Some(shared.uploads.put(photo.as_image().clone()))
    });
    // The gateway's way to say "too large" or "no picture": it succeeds, and the id is 0.
    let id = decoding.await.ok().flatten().unwrap_or(0);
    Ok(success(&json!(id.to_string())))
}

fn product_detail(shared: &Shared, call: &Call) -> Result<Value, Fault> {
    let offer_id = dialect::product_asked(call)?;
    shared.gate.admit_detail(&shared.options)?;
    // Ours: what the gateway says of an offer that it does not know is not known.
    let product = details::find(shared, &offer_id).as_ref().map(dialect::product);
    Ok(success(&json!(product)))
}

async fn image_query(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Fault> {
    let ImageQuery { image_id, wish, region } = dialect::image_query(call)?;
    let injected = shared.admit(Stage::Search)?;
    let Some(uploaded) = shared.uploads.get(image_id) else {
        return Ok((failure("IMAGE_ID_INVALID", "imageId is not known"), injected));
    };
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || query(&shared, &uploaded, region, &wish));
    Ok((work.await.map_err(|_| Fault::new("gw.SystemError", "the search failed"))?, injected))
}

fn query(shared: &Shared, uploaded: &RgbImage, region: Option<Region>, wish: &Wish) -> Value {
    let picture = match region {
        None => Some(uploaded.clone()),
        Some(region) => region.of(uploaded),
    };
    let Some(picture) = picture else {
        return failure("REGION_INVALID", "region lies outside the picture");
    };
    let found = shop::find(shared, &picture, wish);
    let rows: Vec<Value> = found.offers.iter().map(dialect::row).collect();
    dialect::page(wish, found.total, &rows, region, &search::suggested(uploaded))
}
