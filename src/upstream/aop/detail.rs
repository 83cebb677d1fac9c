//! `product.search.queryProductDetail`: what does 1688 say about one offer?
//!
//! Request and answer are documented, but which fields of the answer come is not: each of them may be missing.

use serde_json::{Value, json};

use super::super::{Secret, UpstreamError, lenient, no_such_offer};
use super::fields;
use super::gateway::{Gateway, open};
use crate::offer::{Offer, OfferDetail, OfferId};

const CALL: &str = "param2/1/com.alibaba.fenxiao.crossborder/product.search.queryProductDetail";

pub(in super::super) fn offer_detail(
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
    let mut skus = lenient::skus(&product["productSkuInfos"], "skuAttributes");
    let (sale, shipping) = (&product["productSaleInfo"], &product["productShippingInfo"]);
    for sku in &mut skus {
        sku.weight_grams = sku.sku_id.as_deref().and_then(|sku_id| sku_weight(shipping, sku_id));
    }
    let ranges = &sale["priceRangeList"];
    let ladder = lenient::price_ladder(ranges, "startQuantity");
    let offer_id = lenient::offer_id(&product["offerId"]).unwrap_or_else(|| asked.clone());
    let mut category_ids = fields::categories(product);
    if category_ids.is_empty() {
        category_ids = lenient::category_ids([&product["categoryId"]]);
    }
    let (gives_invoice, invoice_types) = fields::invoice(product);
    let dropship = &sale["fenxiaoSaleInfo"];
    let offer = Offer {
        title_translated: lenient::text(&product["subjectTrans"]),
        price: ladder
            .first()
            .map(|step| step.price)
            .or_else(|| lenient::price(&ranges[0]["price"]))
            .or_else(|| skus.iter().filter_map(|sku| sku.price).min()),
        dropship_price: lenient::price(&dropship["onePiecePrice"])
            .or_else(|| lenient::price(&sale["consignPrice"])),
        promotion_price: lenient::price(&ranges[0]["promotionPrice"]),
        dropships: service(&product["tagInfoList"], "isOnePsale"),
        no_reason_return: service(&product["tagInfoList"], "noReason7DReturn"),
        min_order_quantity: lenient::count(&product["minOrderQuantity"])
            .or_else(|| ladder.first().map(|step| step.from_quantity)),
        category_ids,
        trade_score: lenient::score(&product["tradeScore"]),
        shipping_promise: lenient::text(&shipping["shippingTimeGuarantee"]),
        gives_invoice,
        invoice_types,
        image_url: image_urls.first().cloned(),
        detail_url: Some(offer_id.page_url()),
        supplier: fields::supplier(product),
        ..Offer::new(offer_id, lenient::first_text(product, &["subject", "subjectTrans"]).unwrap_or_default())
    };
    OfferDetail {
        image_urls,
        attributes: lenient::attributes(&product["productAttribute"]),
        skus,
        price_ladder: ladder,
        // What the platform has weighed, before what the seller says.
        weight_grams: lenient::grams_of_kg(&shipping["officialWeight"])
            .or_else(|| lenient::grams_of_kg(&shipping["weight"])),
        ships_from: lenient::text(&shipping["sendGoodsAddressText"]),
        is_postage_free: lenient::flag(&dropship["onePieceFreePostage"]),
        ..OfferDetail::new(offer)
    }
}

/// One of a list of services, each there or not.
fn service(services: &Value, key: &str) -> Option<bool> {
    let mut services = services.as_array().into_iter().flatten();
    let service = services.find(|service| lenient::text(&service["key"]).as_deref() == Some(key))?;
    lenient::flag(&service["value"])
}

/// `skuShippingDetails` weighs in kilograms, `skuShippingInfoList`, which it has replaced, in grams (both documented).
fn sku_weight(shipping: &Value, sku_id: &str) -> Option<u32> {
    let of = |list: &'static str| {
        let rows = shipping[list].as_array().into_iter().flatten();
        rows.filter(|row| lenient::text(&row["skuId"]).as_deref() == Some(sku_id))
    };
    let in_kg = of("skuShippingDetails").find_map(|row| {
        lenient::grams_of_kg(&row["officialWeight"]).or_else(|| lenient::grams_of_kg(&row["weight"]))
    });
    in_kg.or_else(|| {
        of("skuShippingInfoList").find_map(|row| lenient::count(&row["weight"])).filter(|g: &u32| *g > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(product: &Value) -> OfferDetail {
        read_detail(product, &OfferId::new("864704291266").unwrap())
    }

    #[test]
    fn weights_come_in_kilograms_and_in_grams() {
        let shipping = json!({
            "weight": 0.8, "officialWeight": 0.75,
            "skuShippingInfoList": [{ "skuId": 1, "weight": 40 }, { "skuId": 2, "weight": 55 }],
            "skuShippingDetails": [{ "skuId": "1", "weight": 0.042 }],
        });
        let skus = json!([{ "skuId": 1 }, { "skuId": 2 }, { "skuId": 3 }]);
        let detail = read(&json!({ "productSkuInfos": skus, "productShippingInfo": shipping }));
        let weights: Vec<Option<u32>> = detail.skus.iter().map(|sku| sku.weight_grams).collect();
        assert_eq!(weights, [Some(42), Some(55), None]);
        assert_eq!(detail.weight_grams, Some(750), "what was weighed, before what is said");
        for none in [json!(0), json!(-1), json!("NaN"), json!("1e300"), json!(null)] {
            assert_eq!(read(&json!({ "productShippingInfo": { "weight": none } })).weight_grams, None);
        }
    }

    #[test]
    fn a_ladder_is_put_in_order_and_steps_that_cannot_be_read_are_left_out() {
        let ranges = json!([
            { "startQuantity": 100, "price": "8" }, { "startQuantity": "2", "price": 9.5 },
            { "startQuantity": 0, "price": "1" }, { "startQuantity": 500 }, 7,
        ]);
        let detail = read(&json!({ "productSaleInfo": { "priceRangeList": ranges } }));
        let steps: Vec<(u32, String)> =
            detail.price_ladder.iter().map(|step| (step.from_quantity, step.price.to_string())).collect();
        assert_eq!(steps, [(2, "9.5".to_owned()), (100, "8".to_owned())]);
    }

    #[test]
    fn single_pieces_are_sold_where_the_list_of_services_says_so() {
        let of = |services: Value| read(&json!({ "tagInfoList": services })).offer.dropships;
        assert_eq!(
            of(json!([{ "key": "select", "value": true }, { "key": "isOnePsale", "value": "true" }])),
            Some(true)
        );
        assert_eq!(of(json!([{ "key": "isOnePsale", "value": false }])), Some(false));
        assert_eq!(of(json!(null)), None);
        let returns =
            json!([{ "key": "isOnePsale", "value": true }, { "key": "noReason7DReturn", "value": false }]);
        assert_eq!(read(&json!({ "tagInfoList": returns })).offer.no_reason_return, Some(false));
    }
}
