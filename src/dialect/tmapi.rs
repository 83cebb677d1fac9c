//! The vendor TMAPI; `crate::upstream::tmapi` is the client's side. Every answer is `{"code","msg","data"}`; that the HTTP
//! status repeats the code is ours.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Refusal, Wish, detail_url, kg, number, param};
use crate::offer::{Attribute, Offer, OfferDetail, OfferId, PriceStep, Sku};
use crate::question::{OfferFilter, Sort};

pub(crate) const SEARCH_PATH: &str = "/1688/search/image";
pub(crate) const CONVERT_PATH: &str = "/1688/tools/image/convert_url";
pub(crate) const DETAIL_PATH: &str = "/1688/item_detail";

const MAX_PAGE_SIZE: usize = 20;
/// Where converted pictures lie.
const CONVERTED: &str = "/search/imgextra/";

pub(crate) type Params = Vec<(String, String)>;

/// A code of the vendor's table, its text, and the HTTP status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault(u16, &'static str, u16);

pub(crate) const NOT_RETRIEVED: Fault = Fault(417, "failed to retrieve", 417);
pub(crate) const WRONG: Fault = Fault(422, "parameter error", 422);
pub(crate) const UNEXPECTED: Fault = Fault(500, "unexpected error", 500);
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
            Refusal::BadPicture => NOT_RETRIEVED,
            Refusal::BadQuestion => WRONG,
            Refusal::Failed => UNEXPECTED,
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.2).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(json!({ "code": self.0, "msg": self.1, "data": null }))).into_response()
    }
}

pub(crate) fn token(query: &Params) -> Option<&str> {
    param(query, "apiToken")
}

fn success(data: &Value) -> Value {
    json!({ "code": 200, "msg": "success", "data": data })
}

/// The address that is to be converted.
pub(crate) fn to_convert(body: &[u8]) -> Result<String, Fault> {
    let body: Value = serde_json::from_slice(body).map_err(|_| WRONG)?;
    let url = body["url"].as_str().ok_or(WRONG)?.to_owned();
    body["search_api_endpoint"].as_str().ok_or(WRONG)?;
    Ok(url)
}

pub(crate) fn converted(id: u64) -> Value {
    success(&json!({ "image_url": format!("{CONVERTED}{id}.jpg") }))
}

/// What an address names.
pub(crate) enum Named {
    /// A converted picture, by its number.
    Converted(u64),
    /// A picture elsewhere.
    Elsewhere,
}

pub(crate) fn named(url: &str) -> Named {
    let id = url.strip_prefix(CONVERTED).and_then(|name| name.strip_suffix(".jpg")?.parse().ok());
    id.map_or(Named::Elsewhere, Named::Converted)
}

/// The address, and what is asked beside it.
pub(crate) fn asked(query: &Params) -> Result<(String, Wish), Fault> {
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
        None | Some("default") => None,
        Some("sales") => Some(Sort::MonthSoldDesc),
        Some("price_up") => Some(Sort::PriceAsc),
        Some("price_down") => Some(Sort::PriceDesc),
        Some(_) => return Err(WRONG),
    };
    match param(query, "support_dropshipping") {
        None | Some("false") => {}
        Some("true") => wish.filters.extend([OfferFilter::DROPSHIP]),
        Some(_) => return Err(WRONG),
    }
    Ok((url, wish))
}

pub(crate) fn page(wish: &Wish, total: u64, offers: &[Offer]) -> Value {
    success(&json!({
        "page": wish.page,
        "page_size": wish.page_size,
        "total_count": total,
        "sort": "default",
        "filters": [],
        "items": offers.iter().map(row).collect::<Vec<_>>(),
    }))
}

fn row(offer: &Offer) -> Value {
    json!({
        "item_id": number(offer),
        "product_url": detail_url(offer),
        "title": offer.title,
        "title_origin": offer.title,
        "img": offer.image_url,
        "category_path": offer.category_ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "price": offer.price,
        "price_info": {
            "drop_ship_price": offer.dropship_price, "wholesale_price": offer.price, "origin_price": offer.price,
        },
        "quantity_begin": offer.min_order_quantity,
        "quantity_prices": quantity_prices(&offer.price_ladder),
        "delivery_info": {
            "area_from": offer.supplier.address.as_slice(),
            // Ours, as is the unit of the details: no page names one.
            "weight": offer.weight_grams.map(kg),
            "free_postage": offer.is_postage_free,
        },
        "type": "normal",
        "item_repurchase_rate": offer.repurchase_percent.map(|percent| format!("{percent}%")),
        "shop_info": {
            "member_id": null,
            "company_name": offer.supplier.company_name,
            "is_factory": false,
            "location": offer.supplier.address.as_slice(),
            "tp_year": offer.supplier.years,
        },
    })
}

/// Each step up to the one after it; all numbers are texts.
fn quantity_prices(ladder: &[PriceStep]) -> Vec<Value> {
    let ends = ladder.iter().skip(1).map(|next| (next.from_quantity - 1).to_string());
    let ends = ends.chain(std::iter::once(String::new()));
    let step = |(step, end): (&PriceStep, String)| json!({ "begin_num": step.from_quantity.to_string(), "end_num": end, "price": step.price });
    ladder.iter().zip(ends).map(step).collect()
}

/// The offer that details are asked of.
pub(crate) fn item_asked(query: &Params) -> Result<OfferId, Fault> {
    let id = param(query, "item_id").ok_or(WRONG)?;
    OfferId::of_upstream(id.trim()).map_err(|_| WRONG)
}

/// As of `item_detail`; `None` for an offer that is not known. Ours: what the vendor says of such a one.
pub(crate) fn item(detail: Option<&OfferDetail>) -> Value {
    success(&detail.map_or(Value::Null, product))
}

fn product(detail: &OfferDetail) -> Value {
    let OfferDetail { offer, skus, .. } = detail;
    let properties = Properties::of(skus);
    let property = |Attribute { name, value }: &Attribute| json!({ name: value });
    let steps: Vec<Value> = detail
        .price_ladder
        .iter()
        .map(|step| json!({ "beginAmount": step.from_quantity.to_string(), "price": step.price }))
        .collect();
    let services: Vec<&str> =
        offer.no_reason_return.filter(|is| *is).map(|_| "7天无理由退货").into_iter().collect();
    json!({
        "item_id": number(offer),
        "product_url": detail_url(offer),
        "title": offer.title,
        "category_id": offer.category_ids.last(),
        "root_category_id": offer.category_ids.first(),
        "currency": "CNY",
        "main_imgs": detail.image_urls,
        "product_props": detail.attributes.iter().map(property).collect::<Vec<_>>(),
        "price_info": { "price": offer.price },
        "tiered_price_info": { "begin_num": offer.min_order_quantity, "prices": steps },
        "support_drop_shipping": offer.dropships,
        "shop_info": { "shop_name": offer.supplier.company_name },
        "delivery_info": {
            "location": detail.ships_from,
            "delivery_fee": detail.freight,
            "unit_weight": detail.weight_grams.map(kg),
        },
        "service_tags": services,
        "sku_props": properties.all(),
        "skus": skus.iter().map(|sku| properties.variant(sku)).collect::<Vec<_>>(),
        "stock": detail.stock(),
    })
}

/// Values of a property, each with its picture.
type Values<'a> = Vec<(&'a str, Option<&'a str>)>;

/// What tells the variants apart: names in their order, and the values of each. Their places are their numbers.
struct Properties<'a>(Vec<(&'a str, Values<'a>)>);

impl<'a> Properties<'a> {
    fn of(skus: &'a [Sku]) -> Self {
        let mut all: Vec<(&str, Values<'_>)> = Vec::new();
        for sku in skus {
            for (place, Attribute { name, value }) in sku.attributes.iter().enumerate() {
                let at = all.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    all.push((name, Vec::new()));
                    all.len() - 1
                });
                if all[at].1.iter().all(|(known, _)| known != value) {
                    // A variant's picture shows its first property, as colours are.
                    let picture = sku.image_url.as_deref().filter(|_| place == 0);
                    all[at].1.push((value, picture));
                }
            }
        }
        Self(all)
    }

    fn all(&self) -> Vec<Value> {
        let value = |(number, (name, picture)): (usize, &(&str, Option<&str>))| json!({ "name": name, "vid": number.to_string(), "imageUrl": picture });
        let property = |(number, (name, values)): (usize, &(&str, Values<'_>))| {
            let values: Vec<Value> = values.iter().enumerate().map(value).collect();
            json!({ "prop_name": name, "pid": number.to_string(), "values": values })
        };
        self.0.iter().enumerate().map(property).collect()
    }

    fn variant(&self, sku: &Sku) -> Value {
        let numbers = sku.attributes.iter().filter_map(|Attribute { name, value }| {
            let at = self.0.iter().position(|(known, _)| known == name)?;
            let of = self.0[at].1.iter().position(|(known, _)| known == value)?;
            Some(format!("{at}:{of}"))
        });
        let names = sku.attributes.iter().map(|Attribute { name, value }| format!("{name}:{value}"));
        json!({
            "skuid": sku.sku_id,
            "sale_price": sku.price,
            "stock": sku.stock,
            "props_ids": numbers.collect::<Vec<_>>().join(";"),
            "props_names": names.collect::<Vec<_>>().join(";"),
        })
    }
}
