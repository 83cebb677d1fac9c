//! The gateway's search for a picture at an address, from the server's side; `crate::upstream::linkplus` is the
//! client's. Flat parameters, prices in fen, `success` as a truth value, and a picture that cannot be fetched is an
//! error in HTTP 200 without a result.

use std::sync::Arc;

use serde_json::{Value, json};

use super::faults::{Fault as Injected, Stage};
use super::gateway::{Answer, Call, Fault};
use super::goods::Good;
use super::shared::Shared;
use super::shop::{self, Wish};

pub(super) const NAMESPACE: &str = "com.alibaba.linkplus";
pub(super) const NAME: &str = "alibaba.cross.similar.offer.search";

/// More is taken and not given, as was measured.
const MAX_PAGE_SIZE: usize = 20;

pub(super) async fn similar_offers(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Fault> {
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
    let failed = |_| Fault::new("gw.SystemError", "the search failed");
    let drawing = {
        let (shared, url) = (Arc::clone(shared), url.clone());
        tokio::task::spawn_blocking(move || shop::own_picture(&shared, &url))
    };
    let not_fetched = || {
        shared.gate.count_refused();
        let message = format!("handle image error with url {url}");
        Ok((json!({ "code": "SYSTEM_ERROR", "success": false, "message": message }), None))
    };
    let Some(picture) = drawing.await.map_err(failed)? else { return not_fetched() };
    let injected = shared.admit(Stage::OnlySearch)?;
    if injected == Some(Injected::ImageIdZero) {
        return not_fetched();
    }
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let found = shop::find(&shared, &picture, &wish);
        let rows: Vec<Value> = found.goods.iter().map(|(good, _)| row(&shared, good)).collect();
        json!({ "success": true, "result": { "total": found.total, "result": rows } })
    });
    Ok((work.await.map_err(failed)?, injected))
}

/// The eleven fields that were measured, and no company.
fn row(shared: &Shared, good: &Good) -> Value {
    json!({
        "offerId": good.offer_id,
        "subject": good.title,
        "imageUrl": shop::image_url(shared, good),
        "oldPrice": fen(good),
        "quantityBegin": good.min_order_quantity,
        "unit": "件",
        "supplyAmount": 9999,
        "province": "浙江",
        "city": "义乌市",
        "categoryId": good.category_id,
        "detailUrl": shop::detail_url(good),
    })
}

fn fen(good: &Good) -> Option<i64> {
    let fen = good.price.yuan() * rust_decimal::Decimal::ONE_HUNDRED;
    fen.trunc().try_into().ok()
}
