//! The vendor OneBound from the server's side; `crate::upstream::onebound` is the client's. Every answer comes with
//! HTTP 200 and states the quota in `api_info`.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::faults::{self, Fault as Injected, Stage};
use super::goods::Good;
use super::refusal::Refusal;
use super::shared::Shared;
use super::shop::{self, Wish};
use crate::photo::{Photo, PhotoFormat, PhotoLimits};

pub(super) const UPLOAD_PATH: &str = "/1688/upload_img/";
pub(super) const SEARCH_PATH: &str = "/1688/item_search_img/";

type Params = Vec<(String, String)>;

/// A code of the vendor's table and its text.
struct Fault(&'static str, &'static str);

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadToken => Self("4005", "Invalid authentication credentials"),
            Refusal::NoPermission => Self("4012", "Please add api first"),
            Refusal::TooFast | Refusal::TooFastIn200 => Self("4008", "API rate limit exceeded"),
            Refusal::QuotaSpent => Self("4013", "Number of calls exceeded"),
        }
    }
}

fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn check(shared: &Shared, query: &Params) -> Result<(), Fault> {
    let options = &shared.options;
    if param(query, "key") != Some(&options.app_key) {
        return Err(Fault("4004", "Account not found"));
    }
    if param(query, "secret") != Some(&options.app_secret) {
        return Err(Refusal::BadToken.into());
    }
    if options.deny_search { Err(Refusal::NoPermission.into()) } else { Ok(()) }
}

async fn reply(shared: &Shared, result: Result<Value, Fault>, injected: Option<Injected>) -> Response {
    let (used, max) = shared.gate.quota(&shared.options);
    let mut body = match result {
        Ok(body) => body,
        Err(Fault(code, text)) => json!({ "error": text, "reason": text, "error_code": code }),
    };
    body["api_info"] = json!(format!("today:{used} max:{max} all[{used}={used}+0+0];expires:2030-12-31"));
    body["api_type"] = json!("1688");
    body["request_id"] = json!("gw-sandbox");
    faults::deliver(injected, body).await
}

pub(super) async fn upload(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Params>,
    Form(form): Form<Params>,
) -> Response {
    let Some(_slot) = shared.slot().await else {
        return reply(&shared, Err(Fault("4009", "API maintenance")), None).await;
    };
    let result = check(&shared, &query).and_then(|()| {
        let imgcode = param(&form, "imgcode").ok_or(Fault("4003", "Param error"))?;
        let bytes = STANDARD.decode(imgcode).map_err(|_| Fault("4003", "data error"))?;
        let photo = Photo::decode(&bytes, &PhotoLimits::default()).map_err(|_| Fault("4003", "data error"))?;
        if photo.format() == PhotoFormat::WebP {
            return Err(Fault("4003", "data error"));
        }
        if shared.loses_upload() {
            return Ok(json!({ "items": { "item": {} }, "error_code": "0000" }));
        }
        let id = shared.uploads.put(photo.as_image().clone());
        Ok(json!({ "items": { "item": { "name": format!("{}/uploaded/{id}.jpg", shared.base_url) } }, "error_code": "0000" }))
    });
    reply(&shared, result, None).await
}

pub(super) async fn search(State(shared): State<Arc<Shared>>, Query(query): Query<Params>) -> Response {
    let Some(_slot) = shared.slot().await else {
        return reply(&shared, Err(Fault("4009", "API maintenance")), None).await;
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
    let imgid = param(query, "imgid").ok_or(Fault("4014", "Missing url param"))?;
    let id = imgid.rsplit('/').next().and_then(|name| name.strip_suffix(".jpg")?.parse().ok());
    let wrong = |_| Fault("4003", "Param error");
    let number = |name, default| param(query, name).map_or(Ok(default), |text| text.parse().map_err(wrong));
    let (page, page_size) = (number("page", 1)?, number("page_size", 20)?);
    if page == 0 || !(1..=50).contains(&page_size) {
        return Err(Fault("4003", "Param error"));
    }
    let mut wish = Wish::page(page, page_size);
    let price = |name| {
        param(query, name).map(|text| text.parse().map_err(|_| Fault("4003", "Param error"))).transpose()
    };
    wish.price_min = price("start_price")?;
    wish.price_max = price("end_price")?;
    wish.category_id = param(query, "cat").map(|text| text.parse().map_err(wrong)).transpose()?;
    // The vendor says the same of an address that it cannot fetch, and bills neither.
    let picture = id.and_then(|id| shared.uploads.get(id)).ok_or(Fault("4002", "Target server error"))?;
    let injected = shared.admit(Stage::Search)?;
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let found = shop::find(&shared, &picture, &wish);
        let items: Vec<Value> = found.goods.iter().map(|(good, _)| row(&shared, good)).collect();
        let code = if items.is_empty() { "2000" } else { "0000" };
        json!({
            "items": {
                "real_total_results": found.total,
                "total_results": found.total,
                "pagecount": found.total.div_ceil(wish.page_size),
                "error": "",
                "item": items,
            },
            "error": "",
            "error_code": code,
            "cache": 0,
        })
    });
    Ok((work.await.map_err(|_| Fault("4000", "Server internal error"))?, injected))
}

fn row(shared: &Shared, good: &Good) -> Value {
    json!({
        "title": good.title,
        "pic_url": shop::image_url(shared, good),
        "price": good.price,
        "promotion_price": good.price,
        "sales": 0,
        // As a string, unlike the official gateway's number.
        "num_iid": good.offer_id.to_string(),
        "seller_nick": good.company_name,
        "detail_url": shop::detail_url(good),
    })
}
