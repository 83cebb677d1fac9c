//! The dialect of the common articles, from the server's side; `crate::upstream::article` is the client's.

#![allow(clippy::unnecessary_box_returns, reason = "a refusal is a whole response; `?` passes it on boxed")]

use std::sync::Arc;

use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::details;
use super::faults::{self, Fault, Stage};
use super::goods::Good;
use super::refusal::Refusal;
use super::shared::Shared;
use super::shop::{self, Wish};
use crate::photo::{Photo, PhotoFormat, PhotoLimits};

pub(super) const SEARCH_PATH: &str = "/openapi/param2/1/com.alibaba.product/alibaba.product.imageSearch";

pub(super) const DETAIL_PATH: &str = "/openapi/param2/1/com.alibaba.product/alibaba.product.get";

#[derive(Debug, Deserialize)]
pub(super) struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

pub(super) async fn token(State(shared): State<Arc<Shared>>, Query(asked): Query<TokenRequest>) -> Response {
    shared.gate.count_token_request();
    let options = &shared.options;
    let known = asked.grant_type.as_deref() == Some("client_credentials")
        && asked.client_id.as_deref() == Some(&options.app_key)
        && asked.client_secret.as_deref() == Some(&options.app_secret);
    if !known {
        return error(StatusCode::UNAUTHORIZED, "40001", "invalid client credentials", None);
    }
    let token = shared.gate.issue_token(options);
    let body = json!({"access_token": token, "expires_in": options.token_ttl_secs, "token_type": "Bearer"});
    axum::Json(body).into_response()
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

/// What a call about an offer names it by: public code writes either.
#[derive(Debug, Deserialize)]
pub(super) struct DetailRequest {
    #[serde(rename = "productId", alias = "offerId")]
    product_id: Option<u64>,
}

pub(super) async fn product(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(asked): Query<DetailRequest>,
) -> Response {
    let answer = || {
        shared.gate.check(&shared.options, bearer(&headers)).map_err(|r| Box::new(refused(r)))?;
        let product_id = asked.product_id.ok_or_else(|| bad_parameter("productId is missing"))?;
        shared.gate.admit_detail(&shared.options).map_err(|r| Box::new(refused(r)))?;
        let product = shared.catalogue.find(product_id).map(|good| details::article_product(&shared, good));
        Ok(axum::Json(json!({ "success": true, "productInfo": product })).into_response())
    };
    answer().unwrap_or_else(|refusal: Box<Response>| *refusal)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "))
}

async fn answer(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<(Value, Option<Fault>), Box<Response>> {
    let _slot = shared.slot().await;
    // Read before anything is refused: a client that is still sending would see its connection break instead.
    let form = match multipart {
        Ok(multipart) => Form::read(multipart, shared.options.max_upload_bytes).await,
        Err(rejection) => Err(bad_parameter(&rejection.to_string())),
    };
    shared.gate.check(&shared.options, bearer(headers)).map_err(|r| Box::new(refused(r)))?;
    let form = form?;
    let fault = shared.admit(Stage::OnlySearch).map_err(|r| Box::new(refused(r)))?;
    if fault == Some(Fault::ImageIdZero) {
        return Err(bad_picture());
    }
    let work = {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || page(&shared, &form))
    };
    let body = work.await.map_err(|e| bad_parameter(&e.to_string()))?;
    Ok((body, fault))
}

/// What a search asks for.
struct Form {
    picture: Photo,
    wish: Wish,
}

impl Form {
    async fn read(mut multipart: Multipart, max_upload_bytes: usize) -> Result<Self, Box<Response>> {
        let mut picture = None;
        let mut wish = Wish::page(1, 20);
        while let Some(field) = multipart.next_field().await.map_err(|e| bad_parameter(&e.to_string()))? {
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = field.bytes().await.map_err(|_| too_big())?;
            let text = || String::from_utf8_lossy(&bytes).trim().to_owned();
            let wrong = || bad_parameter(&format!("{name} is not valid"));
            match name.as_str() {
                "image" if bytes.len() > max_upload_bytes => return Err(too_big()),
                "image" => picture = Some(decode(&bytes)?),
                "categoryId" => wish.category_id = Some(text().parse().map_err(|_| wrong())?),
                "priceStart" => wish.price_min = Some(text().parse().map_err(|_| wrong())?),
                "priceEnd" => wish.price_max = Some(text().parse().map_err(|_| wrong())?),
                "pageNo" => wish.page = text().parse().ok().filter(|n| *n >= 1).ok_or_else(wrong)?,
                "pageSize" => {
                    wish.page_size =
                        text().parse().ok().filter(|n| (1..=50).contains(n)).ok_or_else(wrong)?;
                }
                _ => {}
            }
        }
        let picture = picture.ok_or_else(|| bad_parameter("image is missing"))?;
        Ok(Self { picture, wish })
    }
}

fn decode(bytes: &[u8]) -> Result<Photo, Box<Response>> {
    let photo = Photo::decode(bytes, &PhotoLimits::default()).map_err(|_| bad_picture())?;
    if matches!(photo.format(), PhotoFormat::Jpeg | PhotoFormat::Png) {
        Ok(photo)
    } else {
        Err(bad_picture())
    }
}

fn page(shared: &Shared, form: &Form) -> Value {
    let wish = &form.wish;
    let found = shop::find(shared, form.picture.as_image(), wish);
    let products: Vec<Value> =
        found.goods.iter().map(|(good, similarity)| row(shared, good, *similarity)).collect();
    json!({
        "success": true,
        "total": found.total,
        "pageNo": wish.page,
        "pageSize": wish.page_size,
        "products": products,
    })
}

fn row(shared: &Shared, good: &Good, similarity: u8) -> Value {
    json!({
        "productId": good.offer_id.to_string(),
        "title": good.title,
        "price": good.price,
        "minOrderQuantity": good.min_order_quantity,
        "similarity": similarity,
        "imageUrl": shop::image_url(shared, good),
        "detailUrl": shop::detail_url(good),
        "supplierInfo": {"companyName": good.company_name, "creditLevel": good.credit_level},
    })
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::BadToken => error(StatusCode::UNAUTHORIZED, "40001", "token invalid or expired", None),
        Refusal::NoPermission => error(StatusCode::FORBIDDEN, "40003", "no permission for this API", None),
        Refusal::TooFast => {
            error(StatusCode::TOO_MANY_REQUESTS, "429", "more than one call in a second", None)
        }
        Refusal::TooFastIn200 => error(StatusCode::OK, "429", "more than one call in a second", None),
        Refusal::QuotaSpent => {
            error(StatusCode::TOO_MANY_REQUESTS, "429", "daily quota spent", Some("daily_quota"))
        }
    }
}

fn bad_picture() -> Box<Response> {
    Box::new(error(StatusCode::BAD_REQUEST, "40011", "only JPG and PNG pictures", None))
}

fn too_big() -> Box<Response> {
    Box::new(error(StatusCode::PAYLOAD_TOO_LARGE, "40010", "the picture is larger than 5 MB", None))
}

fn bad_parameter(message: &str) -> Box<Response> {
    Box::new(error(StatusCode::BAD_REQUEST, "40012", message, None))
}

fn error(status: StatusCode, code: &str, message: &str, reason: Option<&str>) -> Response {
    let mut body = json!({"success": false, "error_code": code, "error_message": message});
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
