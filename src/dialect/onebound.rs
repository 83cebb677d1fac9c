//! The vendor OneBound; `crate::upstream::onebound` is the client's side. Every answer comes with HTTP 200 and states the
//! quota in `api_info`.

use serde_json::{Value, json};

use super::{Refusal, Wish, detail_url, param};
use crate::offer::Offer;
use crate::question::Sort;

pub(crate) const UPLOAD_PATH: &str = "/1688/upload_img/";
pub(crate) const SEARCH_PATH: &str = "/1688/item_search_img/";

pub(crate) type Params = Vec<(String, String)>;

/// A code of the vendor's table and its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault(pub(crate) &'static str, pub(crate) &'static str);

pub(crate) const NO_ACCOUNT: Fault = Fault("4004", "Account not found");
pub(crate) const MAINTENANCE: Fault = Fault("4009", "API maintenance");
pub(crate) const BAD_DATA: Fault = Fault("4003", "data error");
/// The vendor says the same of an address that it cannot fetch, and bills neither.
pub(crate) const NOT_FETCHED: Fault = Fault("4002", "Target server error");
pub(crate) const INTERNAL: Fault = Fault("4000", "Server internal error");
const WRONG: Fault = Fault("4003", "Param error");

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadToken => Self("4005", "Invalid authentication credentials"),
            Refusal::NoPermission => Self("4012", "Please add api first"),
            Refusal::TooFast | Refusal::TooFastIn200 => Self("4008", "API rate limit exceeded"),
            Refusal::QuotaSpent => Self("4013", "Number of calls exceeded"),
            Refusal::BadPicture => BAD_DATA,
            Refusal::BadQuestion => WRONG,
            Refusal::Failed => NOT_FETCHED,
        }
    }
}

/// Key and secret, as far as they are there.
pub(crate) fn credentials(query: &Params) -> (Option<&str>, Option<&str>) {
    (param(query, "key"), param(query, "secret"))
}

/// The answer with what every answer has.
pub(crate) fn reply(result: Result<Value, Fault>, used: u32, max: u32, request_id: &str) -> Value {
    let mut body = match result {
        Ok(body) => body,
        Err(Fault(code, text)) => json!({ "error": text, "reason": text, "error_code": code }),
    };
    body["api_info"] = json!(format!("today:{used} max:{max} all[{used}={used}+0+0];expires:2030-12-31"));
    body["api_type"] = json!("1688");
    body["request_id"] = json!(request_id);
    body
}

/// The picture of an upload, in base64.
pub(crate) fn uploaded(form: &Params) -> Result<&str, Fault> {
    param(form, "imgcode").ok_or(WRONG)
}

pub(crate) fn upload(address: Option<&str>) -> Value {
    let item = address.map_or_else(|| json!({}), |address| json!({ "name": address }));
    json!({ "items": { "item": item }, "error_code": "0000" })
}

/// The address or upload, and what is asked beside it.
pub(crate) fn asked(query: &Params) -> Result<(String, Wish), Fault> {
    let imgid = param(query, "imgid").ok_or(Fault("4014", "Missing url param"))?.to_owned();
    let wrong = |_| WRONG;
    let number = |name, default| param(query, name).map_or(Ok(default), |text| text.parse().map_err(wrong));
    let (page, page_size) = (number("page", 1)?, number("page_size", 20)?);
    if page == 0 || !(1..=50).contains(&page_size) {
        return Err(WRONG);
    }
    let mut wish = Wish::page(page, page_size);
    let price = |name| param(query, name).map(|text| text.parse().map_err(|_| WRONG)).transpose();
    wish.price_min = price("start_price")?;
    wish.price_max = price("end_price")?;
    wish.category_id = param(query, "cat").map(|text| text.parse().map_err(wrong)).transpose()?;
    // As documented for the vendor's search by keyword.
    wish.order = match param(query, "sort") {
        None => None,
        Some("bid") => Some(Sort::PriceAsc),
        Some("_bid") => Some(Sort::PriceDesc),
        Some("_sale") => Some(Sort::MonthSoldDesc),
        Some(_) => return Err(WRONG),
    };
    Ok((imgid, wish))
}

/// The number of an upload in the address that it got.
pub(crate) fn upload_id(imgid: &str) -> Option<u64> {
    imgid.rsplit('/').next().and_then(|name| name.strip_suffix(".jpg")?.parse().ok())
}

pub(crate) fn page(wish: &Wish, total: u64, offers: &[Offer]) -> Value {
    let items: Vec<Value> = offers.iter().map(row).collect();
    let code = if items.is_empty() { "2000" } else { "0000" };
    json!({
        "items": {
            "real_total_results": total,
            "total_results": total,
            "pagecount": total.div_ceil(wish.page_size as u64),
            "error": "",
            "item": items,
        },
        "error": "",
        "error_code": code,
        "cache": 0,
    })
}

fn row(offer: &Offer) -> Value {
    json!({
        "title": offer.title,
        "pic_url": offer.image_url,
        "price": offer.price,
        "promotion_price": offer.promotion_price,
        "sales": offer.month_sold.unwrap_or(0),
        "turn_head": offer.repurchase_percent.map(|percent| format!("{percent}%")),
        "area": offer.supplier.address,
        "one_psale": offer.dropships,
        // As a string, unlike the official gateway's number.
        "num_iid": offer.offer_id,
        "seller_nick": offer.supplier.company_name,
        "detail_url": detail_url(offer),
    })
}
