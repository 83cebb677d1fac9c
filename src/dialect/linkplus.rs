//! The gateway's search for a picture at an address; `crate::upstream::linkplus` is the client's side. Flat parameters,
//! prices in fen, `success` as a truth value, and a picture that cannot be fetched is an error in HTTP 200 without a result.

use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};

use super::{Call, Fault, Wish, detail_url, number};
use crate::offer::{Offer, Price};

pub(crate) const NAMESPACE: &str = "com.alibaba.linkplus";
pub(crate) const NAME: &str = "alibaba.cross.similar.offer.search";

/// More is taken and not given, as was measured.
const MAX_PAGE_SIZE: usize = 20;

/// The address, and what is asked beside it.
pub(crate) fn asked(call: &Call) -> Result<(String, Wish), Fault> {
    let text = |name: &str| call.param(name).map(str::trim).filter(|text| !text.is_empty());
    let invalid = |name: &str| Fault::new("gw.ParamInvalid", format!("{name} is not valid"));
    let number = |name: &str| {
        text(name).map(|text| text.parse().ok().filter(|n| *n >= 1).ok_or_else(|| invalid(name))).transpose()
    };
    let url = text("picUrl").ok_or_else(|| Fault::missing("picUrl"))?.to_owned();
    let page: usize = number("page")?.ok_or_else(|| Fault::missing("page"))?;
    let page_size: usize = number("pageSize")?.unwrap_or(MAX_PAGE_SIZE);
    let mut wish = Wish::page(page, page_size.min(MAX_PAGE_SIZE));
    let price = |name: &str| text(name).map(|text| text.parse().map_err(|_| invalid(name))).transpose();
    wish.price_min = price("priceMin")?;
    wish.price_max = price("priceMax")?;
    wish.category_id =
        text("categoryID").map(|id| id.parse().map_err(|_| invalid("categoryID"))).transpose()?;
    wish.keyword = text("keywords").map(str::to_owned);
    Ok((url, wish))
}

pub(crate) fn not_fetched(url: &str) -> Value {
    json!({ "code": "SYSTEM_ERROR", "success": false, "message": format!("handle image error with url {url}") })
}

pub(crate) fn page(total: u64, rows: &[Value]) -> Value {
    json!({ "success": true, "result": { "total": total, "result": rows } })
}

/// The eleven fields that were measured, and no company. What an offer does not tell is null.
pub(crate) fn row(offer: &Offer) -> Value {
    json!({
        "offerId": number(offer),
        "subject": offer.title,
        "imageUrl": offer.image_url,
        "oldPrice": offer.price.and_then(fen),
        "quantityBegin": offer.min_order_quantity,
        "unit": null,
        "supplyAmount": offer.stock,
        "province": null,
        // Which part of an address is the town is not known.
        "city": offer.supplier.address,
        "categoryId": offer.category_ids.last(),
        "detailUrl": detail_url(offer),
    })
}

fn fen(price: Price) -> Option<i64> {
    (price.yuan() * rust_decimal::Decimal::ONE_HUNDRED).trunc().to_i64()
}
