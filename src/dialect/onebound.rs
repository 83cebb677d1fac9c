//! The vendor OneBound; `crate::upstream::onebound` is the client's side. Every answer comes with HTTP 200 and states the
//! quota in `api_info`.

use serde_json::{Value, json};

use super::{Refusal, Wish, detail_url, kg, param};
use crate::offer::{Attribute, Offer, OfferDetail, OfferId, Sku};
use crate::question::Sort;

pub(crate) const UPLOAD_PATH: &str = "/1688/upload_img/";
pub(crate) const SEARCH_PATH: &str = "/1688/item_search_img/";
pub(crate) const DETAIL_PATH: &str = "/1688/item_get/";

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

/// The answer with what every answer has; `account` is what was used and the most that may be, where that is told.
pub(crate) fn reply(result: Result<Value, Fault>, account: Option<(u32, u32)>, request_id: &str) -> Value {
    let mut body = match result {
        Ok(body) => body,
        Err(Fault(code, text)) => json!({ "error": text, "reason": text, "error_code": code }),
    };
    if let Some((used, max)) = account {
        body["api_info"] = json!(format!("today:{used} max:{max} all[{used}={used}+0+0];expires:2030-12-31"));
    }
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

/// The offer that details are asked of.
pub(crate) fn item_asked(query: &Params) -> Result<OfferId, Fault> {
    let id = param(query, "num_iid").ok_or(WRONG)?;
    OfferId::of_upstream(id.trim()).map_err(|_| WRONG)
}

/// As of `item_get`. Ours: that an offer that is not known is a search without a result.
pub(crate) fn item(detail: Option<&OfferDetail>) -> Value {
    detail.map_or_else(
        || json!({ "item": {}, "error": "", "error_code": "2000" }),
        |detail| json!({ "item": product(detail), "error": "", "error_code": "0000" }),
    )
}

fn product(detail: &OfferDetail) -> Value {
    let OfferDetail { offer, skus, .. } = detail;
    let values = values_of(skus);
    let image = |url: &String| json!({ "url": url });
    let property = |Attribute { name, value }: &Attribute| json!({ "name": name, "value": value });
    let step = |step: &crate::offer::PriceStep| json!([step.from_quantity, step.price]);
    // A variant's picture shows its first property, as colours are.
    let pictures: serde_json::Map<String, Value> = skus
        .iter()
        .filter_map(|sku| Some((number_of(&values, sku.attributes.first()?), json!(sku.image_url.as_ref()?))))
        .collect();
    json!({
        "num_iid": offer.offer_id,
        "title": offer.title,
        "price": offer.price,
        "num": detail.stock().map(|pieces| pieces.to_string()),
        "min_num": offer.min_order_quantity.map(|pieces| pieces.to_string()),
        "detail_url": detail_url(offer),
        "pic_url": offer.image_url,
        "rootCatId": offer.category_ids.first().map(ToString::to_string),
        "cid": offer.category_ids.last().map(ToString::to_string),
        "item_imgs": detail.image_urls.iter().map(image).collect::<Vec<_>>(),
        // Ours: in kilograms.
        "item_weight": detail.weight_grams.map(|grams| kg(grams).to_string()),
        "location": detail.ships_from,
        "post_fee": detail.freight,
        "props": detail.attributes.iter().map(property).collect::<Vec<_>>(),
        "priceRange": detail.price_ladder.iter().map(step).collect::<Vec<_>>(),
        "skus": { "sku": skus.iter().map(|sku| variant(&values, sku)).collect::<Vec<_>>() },
        "props_img": pictures,
        "seller_info": { "shop_name": offer.supplier.company_name },
    })
}

/// Names of properties in their order, and the values of each: their places are their numbers.
type Values<'a> = Vec<(&'a str, Vec<&'a str>)>;

fn values_of(skus: &[Sku]) -> Values<'_> {
    let mut all: Values<'_> = Vec::new();
    for Attribute { name, value } in skus.iter().flat_map(|sku| &sku.attributes) {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) if values.contains(&value.as_str()) => {}
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    all
}

/// `0:3`.
fn number_of(values: &Values<'_>, Attribute { name, value }: &Attribute) -> String {
    let at = values.iter().position(|(known, _)| known == name).unwrap_or_default();
    let of = values.get(at).and_then(|(_, values)| values.iter().position(|known| known == value));
    format!("{at}:{}", of.unwrap_or_default())
}

fn variant(values: &Values<'_>, sku: &Sku) -> Value {
    let numbers: Vec<String> = sku.attributes.iter().map(|attribute| number_of(values, attribute)).collect();
    let named =
        |(number, Attribute { name, value }): (&String, &Attribute)| format!("{number}:{name}:{value}");
    let names: Vec<String> = numbers.iter().zip(&sku.attributes).map(named).collect();
    json!({
        "price": sku.price,
        "onepiece_price": sku.dropship_price,
        "properties": numbers.join(";"),
        "properties_name": names.join(";"),
        "quantity": sku.stock,
        "sku_id": sku.sku_id,
    })
}
