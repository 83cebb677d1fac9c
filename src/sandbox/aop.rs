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
use super::gateway::{Answer, Call, Fault, gateway_time};
use super::goods::Good;
use super::linkplus;
use super::shared::Shared;
use super::shop::{self, Order, Region, Wish};
use crate::photo::{Photo, PhotoLimits};

pub(super) const PATH: &str = "/openapi/{*call}";
pub(super) const AUTHORIZE_PATH: &str = "/oauth/authorize";

/// Above this an upload "succeeds" with the image id 0.
const MAX_IMAGE_BYTES: usize = 300_000;
const MAX_PAGE_SIZE: usize = 50;
const CROSSBORDER: &str = "com.alibaba.fenxiao.crossborder";

pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let answer = match Call::read(path, query, request).await {
        Ok(call) => answer(&shared, &call).await,
        Err(fault) => Err(fault),
    };
    match answer {
        Ok((body, injected)) => faults::deliver(injected, body).await,
        Err(fault) => fault.into_response(),
    }
}

async fn answer(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Fault> {
    let options = &shared.options;
    let parts: Vec<&str> = call.path.split('/').collect();
    let [protocol, "1", namespace, name, app_key] = parts[..] else {
        return Err(Fault::new("gw.AppKeyMissing", "AppKey is missing in the address"));
    };
    if app_key != options.app_key {
        // Ours: which code an unknown key gets is not known.
        return Err(Fault::new("gw.AppKeyMissing", format!("AppKey {app_key} is not known")));
    }
    match (protocol, namespace, name) {
        // Over the credentials themselves: a post without a signature.
        ("http" | "param2", "system.oauth2", "getToken") => return Ok((token(shared, call)?, None)),
        // Needs neither token nor permission; a signature only has to be right if there is one.
        ("param2", "system", "currentTime") => {
            if call.param("_aop_signature").is_some() {
                call.check_signature(&options.app_secret)?;
            }
            return Ok((json!(gateway_time(options.clock.now())), None));
        }
        _ => call.check_signature(&options.app_secret)?,
    }
    let api = match (protocol, namespace, name) {
        ("param2", CROSSBORDER, "product.image.upload") => Api::Upload,
        ("param2", CROSSBORDER, "product.search.imageQuery") => Api::ImageQuery,
        ("param2", CROSSBORDER, "product.search.queryProductDetail") => Api::ProductDetail,
        ("param2", linkplus::NAMESPACE, linkplus::NAME) => Api::SimilarOffers,
        _ => return Err(Fault::new("gw.APIUnsupported", format!("{namespace}:{name} is not supported"))),
    };
    let refuse = |fault| {
        if matches!(api, Api::ImageQuery | Api::SimilarOffers) {
            shared.gate.count_refused();
        }
        fault
    };
    let allowed = match call.param("access_token") {
        // As recorded: without a token the status is 401, with a bad one it varies.
        None => Err(Fault {
            status: StatusCode::UNAUTHORIZED,
            ..Fault::new("401", "Request need user authenticated")
        }),
        token => shared.gate.check(options, token).map_err(Fault::from),
    };
    allowed.map_err(refuse)?;
    let Some(_slot) = shared.slot().await else { return Err(Fault::new("gw.Unavailable", "closing")) };
    match api {
        Api::Upload => Ok((upload(shared, call).await?, None)),
        Api::ImageQuery => image_query(shared, call).await.map_err(refuse),
        Api::ProductDetail => Ok((product_detail(shared, call)?, None)),
        Api::SimilarOffers => linkplus::similar_offers(shared, call).await.map_err(refuse),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    Upload,
    ImageQuery,
    ProductDetail,
    SimilarOffers,
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
    // As recorded: the life is a string. Only the code brings a refresh token.
    let mut body = json!({
        "access_token": shared.gate.issue_token(options),
        "expires_in": options.token_ttl_secs.to_string(),
        "aliId": "2200000001688",
        "memberId": "b2b-22000000016881",
        "resource_owner": "sandbox",
    });
    if by_code {
        body["refresh_token"] = json!(options.refresh_token);
        body["refresh_token_timeout"] = json!("20991231235959000+0800");
    }
    Ok(body)
}

/// The value of a parameter that is a JSON object in a string.
fn object(call: &Call, name: &str) -> Result<Value, Fault> {
    let text = call.param(name).ok_or_else(|| Fault::missing(name))?;
    let value: Option<Value> = serde_json::from_str(text).ok().filter(Value::is_object);
    value.ok_or_else(|| Fault::new("gw.ParamInvalid", format!("{name} is not a JSON object")))
}

/// The inner envelope; every field a string, as documented.
fn success(result: &Value) -> Value {
    json!({ "result": { "success": "true", "code": "200", "message": "success", "result": result } })
}

/// A business error inside HTTP 200. Which codes there are is not known; these are ours.
fn failure(code: &str, message: &str) -> Value {
    json!({ "result": { "success": "false", "code": code, "message": message } })
}

async fn upload(shared: &Arc<Shared>, call: &Call) -> Result<Value, Fault> {
    let param = object(call, "uploadImageParam")?;
    let base64 = param["imageBase64"].as_str().ok_or_else(|| Fault::missing("imageBase64"))?.to_owned();
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
    let param = object(call, "offerDetailParam")?;
    let id = param["offerId"].as_u64().or_else(|| param["offerId"].as_str()?.parse().ok());
    let id = id.ok_or_else(|| Fault::missing("offerId"))?;
    param["country"].as_str().ok_or_else(|| Fault::missing("country"))?;
    shared.gate.admit_detail(&shared.options)?;
    // Ours: what the gateway says of an offer that it does not know is not known.
    let product = shared.catalogue.find(id).map(|good| details::gateway_product(shared, good));
    Ok(success(&json!(product)))
}

async fn image_query(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Fault> {
    let param = object(call, "offerQueryParam")?;
    let text = |name: &str| match &param[name] {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let required = |name: &str| text(name).ok_or_else(|| Fault::missing(name));
    let invalid = |name: &str| Fault::new("gw.ParamInvalid", format!("{name} is not valid"));
    let image_id = required("imageId")?.parse().map_err(|_| invalid("imageId"))?;
    let page = required("beginPage")?.parse().ok().filter(|n| *n >= 1).ok_or_else(|| invalid("beginPage"))?;
    let size: usize =
        required("pageSize")?.parse().ok().filter(|n| *n >= 1).ok_or_else(|| invalid("pageSize"))?;
    required("country")?;
    let mut wish = Wish::page(page, size.min(MAX_PAGE_SIZE));
    let price = |name: &str| text(name).map(|text| text.parse().map_err(|_| invalid(name))).transpose();
    wish.price_min = price("priceStart")?;
    wish.price_max = price("priceEnd")?;
    wish.category_id =
        text("categoryId").map(|id| id.parse().map_err(|_| invalid("categoryId"))).transpose()?;
    wish.keyword = text("keyword");
    wish.order = order(text("sort").as_deref()).ok_or_else(|| invalid("sort"))?;
    let region =
        text("region").map(|text| Region::parse(&text).ok_or_else(|| invalid("region"))).transpose()?;
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
    let rows: Vec<Value> = found.goods.iter().map(|(good, _)| row(shared, good)).collect();
    success(&json!({
        "totalRecords": found.total,
        "totalPage": found.total.div_ceil(wish.page_size),
        "pageSize": wish.page_size,
        "currentPage": wish.page,
        "data": rows,
    }))
}

/// `{"price":"asc"}`; the other documented keys leave the order as it is.
fn order(sort: Option<&str>) -> Option<Order> {
    let Some(sort) = sort else { return Some(Order::Likeness) };
    let sort: Value = serde_json::from_str(sort).ok().filter(Value::is_object)?;
    Some(match sort["price"].as_str() {
        Some("asc") => Order::PriceUp,
        Some("desc") => Order::PriceDown,
        _ => Order::Likeness,
    })
}

/// A row has no similarity, as in the real answer.
fn row(shared: &Shared, good: &Good) -> Value {
    json!({
        "offerId": good.offer_id,
        "imageUrl": shop::image_url(shared, good),
        "subject": good.title,
        "subjectTrans": format!("{} {}", good.kind, good.colour),
        "priceInfo": { "price": good.price, "consignPrice": good.price, "promotionPrice": null },
        "minOrderQuantity": good.min_order_quantity,
        "companyName": good.company_name,
        "topCategoryId": good.category_id,
        "isJxhy": false,
        "repurchaseRate": "13%",
        "monthSold": 0,
        "traceInfo": format!("object_id@{}^object_type@offer", good.offer_id),
        "sellerIdentities": ["tp_member"],
        "sellerDataInfo": { "tradeMedalLevel": good.credit_level.trim_end_matches('A') },
    })
}
