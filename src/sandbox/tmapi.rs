//! The vendor TMAPI from the server's side; `crate::upstream::tmapi` is the client's. Every answer is
//! `{"code","msg","data"}`; that the HTTP status repeats the code is ours.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::faults::{self, Fault as Injected, Stage};
use super::goods::Good;
use super::refusal::Refusal;
use super::shared::Shared;
use super::shop::{self, Order, Wish};

pub(super) const SEARCH_PATH: &str = "/1688/search/image";
pub(super) const CONVERT_PATH: &str = "/1688/tools/image/convert_url";

const MAX_PAGE_SIZE: usize = 20;
/// Where converted pictures lie.
const CONVERTED: &str = "/search/imgextra/";

type Params = Vec<(String, String)>;

/// A code of the vendor's table, its text, and the HTTP status.
struct Fault(u16, &'static str, u16);

const NOT_RETRIEVED: Fault = Fault(417, "failed to retrieve", 417);
const WRONG: Fault = Fault(422, "parameter error", 422);
const UNEXPECTED: Fault = Fault(500, "unexpected error", 500);
const TOO_MANY: Fault = Fault(503, "concurrency limit exceeded", 503);

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // Ours: which code a wrong token gets is not documented, nor is one for a missing permission.
            Refusal::BadToken => Self(401, "invalid apiToken", 401),
            Refusal::NoPermission => Self(403, "no permission", 403),
            Refusal::TooFast => TOO_MANY,
            Refusal::TooFastIn200 => Self(503, TOO_MANY.1, 200),
            Refusal::QuotaSpent => Self(439, "subscription expired or insufficient balance", 439),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.2).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(json!({ "code": self.0, "msg": self.1, "data": null }))).into_response()
    }
}

fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn check(shared: &Shared, query: &Params) -> Result<(), Fault> {
    let options = &shared.options;
    if param(query, "apiToken") != Some(&options.app_secret) {
        return Err(Refusal::BadToken.into());
    }
    if options.deny_search { Err(Refusal::NoPermission.into()) } else { Ok(()) }
}

fn success(data: &Value) -> Value {
    json!({ "code": 200, "msg": "success", "data": data })
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
    let body: Value = serde_json::from_slice(body).map_err(|_| WRONG)?;
    let url = body["url"].as_str().ok_or(WRONG)?.to_owned();
    body["search_api_endpoint"].as_str().ok_or(WRONG)?;
    if shared.loses_upload() {
        return Err(NOT_RETRIEVED);
    }
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let picture = shop::own_picture(&shared, &url)?;
        Some(format!("{CONVERTED}{}.jpg", shared.uploads.put(picture)))
    });
    let address = work.await.map_err(|_| UNEXPECTED)?.ok_or(NOT_RETRIEVED)?;
    Ok(success(&json!({ "image_url": address })))
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
    let url = param(query, "img_url").ok_or(WRONG)?.to_owned();
    let number = |name, default: usize| {
        let text = param(query, name);
        text.map_or(Ok(default), |text| text.parse().ok().filter(|n| *n >= 1).ok_or(WRONG))
    };
    let (page, page_size) = (number("page", 1)?, number("page_size", MAX_PAGE_SIZE)?);
    if page_size > MAX_PAGE_SIZE {
        return Err(WRONG);
    }
    let mut wish = Wish::page(page, page_size);
    let price = |name| param(query, name).map(|text| text.parse().map_err(|_| WRONG)).transpose();
    wish.price_min = price("price_start")?;
    wish.price_max = price("price_end")?;
    wish.order = match param(query, "sort") {
        None | Some("default" | "sales") => Order::Likeness,
        Some("price_up") => Order::PriceUp,
        Some("price_down") => Order::PriceDown,
        Some(_) => return Err(WRONG),
    };
    let looking = {
        let shared = Arc::clone(shared);
        tokio::task::spawn_blocking(move || {
            let converted = url.strip_prefix(CONVERTED).and_then(|name| name.strip_suffix(".jpg"));
            match converted {
                Some(id) => id.parse().ok().and_then(|id| shared.uploads.get(id)),
                None => shop::own_picture(&shared, &url).map(Arc::new),
            }
        })
    };
    // Only pictures at Alibaba, that is: the sandbox's own.
    let picture = looking.await.map_err(|_| UNEXPECTED)?.ok_or(NOT_RETRIEVED)?;
    let injected = shared.admit(Stage::Search)?;
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let found = shop::find(&shared, &picture, &wish);
        let items: Vec<Value> = found.goods.iter().map(|(good, _)| row(&shared, good)).collect();
        success(&json!({
            "page": wish.page,
            "page_size": wish.page_size,
            "total_count": found.total,
            "sort": "default",
            "filters": [],
            "items": items,
        }))
    });
    Ok((work.await.map_err(|_| UNEXPECTED)?, injected))
}

fn row(shared: &Shared, good: &Good) -> Value {
    json!({
        "item_id": good.offer_id,
        "product_url": shop::detail_url(good),
        "title": good.title,
        "title_origin": good.title,
        "img": shop::image_url(shared, good),
        "category_path": [good.category_id.to_string()],
        "price": good.price,
        "price_info": { "wholesale_price": good.price, "origin_price": good.price },
        "quantity_begin": good.min_order_quantity,
        "type": "normal",
        "item_repurchase_rate": "13",
        "shop_info": { "member_id": "b2b-sandbox", "company_name": good.company_name, "is_factory": false },
    })
}
