//! `product.search.queryProductDetail`: what does 1688 say about one offer?
//!
//! The request is documented; the answer's fields follow public clients, so each of them may be missing.

use serde_json::{Value, json};

use super::super::{Secret, UpstreamError, lenient, no_such_offer};
use super::gateway::{Gateway, open};
use crate::offer::{Offer, OfferDetail, OfferId, Supplier};

const CALL: &str = "param2/1/com.alibaba.fenxiao.crossborder/product.search.queryProductDetail";

pub(super) fn detail(
    gateway: &Gateway,
    token: &Secret,
    offer_id: &OfferId,
) -> Result<OfferDetail, UpstreamError> {
    // A number in the documentation; an id of own goods is none, and the gateway says so.
    let id = offer_id.as_str().parse::<u64>().map_or_else(|_| json!(offer_id), |id| json!(id));
    let param = json!({ "offerId": id, "country": gateway.country() });
    let reply = gateway.call(CALL, Some(token), |ask| ask.field("offerDetailParam", param))?;
    let product = &open(&reply)?["result"];
    if product.is_object() {
        Ok(read_detail(product, offer_id))
    } else {
        Err(no_such_offer(gateway.profile(), offer_id))
    }
}

fn read_detail(product: &Value, asked: &OfferId) -> OfferDetail {
    let image_urls = lenient::web_urls(&product["productImage"]["images"]);
    let skus = lenient::skus(&product["productSkuInfos"], "skuAttributes");
    let ranges = &product["productSaleInfo"]["priceRangeList"];
    let offer_id = lenient::offer_id(&product["offerId"]).unwrap_or_else(|| asked.clone());
    let offer = Offer {
        title_translated: lenient::text(&product["subjectTrans"]),
        price: lenient::price(&ranges[0]["price"]).or_else(|| skus.iter().filter_map(|sku| sku.price).min()),
        min_order_quantity: lenient::count(&product["minOrderQuantity"])
            .or_else(|| lenient::count(&ranges[0]["startQuantity"])),
        category_ids: lenient::category_ids([&product["categoryId"]]),
        image_url: image_urls.first().cloned(),
        detail_url: Some(format!("https://detail.1688.com/offer/{offer_id}.html")),
        supplier: Supplier {
            company_name: lenient::text(&product["companyName"]),
            credit_level: lenient::text(&product["sellerDataInfo"]["tradeMedalLevel"]),
            ..Supplier::default()
        },
        ..Offer::new(offer_id, lenient::first_text(product, &["subject", "subjectTrans"]).unwrap_or_default())
    };
    OfferDetail { offer, image_urls, attributes: lenient::attributes(&product["productAttribute"]), skus }
}
