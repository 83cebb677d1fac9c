//! What the sandbox tells about one offer, in the gateway's words and in the articles'. A call about an offer takes a
//! place in the quota as a search does.

use serde_json::{Value, json};

use super::goods::{Good, View};
use super::shared::Shared;
use super::shop;

/// As of `product.search.queryProductDetail`.
pub(super) fn gateway_product(shared: &Shared, good: &Good) -> Value {
    let variant = |good: &Good| {
        json!({
            "skuId": good.offer_id * 10,
            "specId": format!("{:x}", good.offer_id),
            "price": good.price,
            "consignPrice": good.price,
            "amountOnSale": 999,
            "skuAttributes": [{
                "attributeId": 3216, "attributeName": "颜色", "attributeNameTrans": "colour",
                "value": good.colour, "valueTrans": good.colour,
                "skuImageUrl": shop::image_url(shared, good),
            }],
        })
    };
    json!({
        "offerId": good.offer_id,
        "categoryId": good.category_id,
        "subject": good.title,
        "subjectTrans": format!("{} {}", good.kind, good.colour),
        "productImage": { "images": images(shared, good) },
        "productAttribute": [
            { "attributeId": 1, "attributeName": "品类", "value": good.kind },
            { "attributeId": 3216, "attributeName": "颜色", "value": good.colour },
        ],
        "productSkuInfos": variants(shared, good, variant),
        "productSaleInfo": {
            "priceRangeList": [{ "startQuantity": good.min_order_quantity, "price": good.price }],
        },
        "minOrderQuantity": good.min_order_quantity,
        "companyName": good.company_name,
        "sellerDataInfo": { "tradeMedalLevel": good.credit_level.trim_end_matches('A') },
        "status": "published",
    })
}

/// As of `alibaba.product.get`.
pub(super) fn article_product(shared: &Shared, good: &Good) -> Value {
    let variant = |good: &Good| {
        json!({
            "skuId": good.offer_id * 10,
            "price": good.price,
            "amountOnSale": "999",
            "attributes": [{
                "attributeID": 3216, "attributeDisplayName": "颜色", "attributeValue": good.colour,
                "skuImageUrl": shop::image_url(shared, good),
            }],
        })
    };
    json!({
        "productID": good.offer_id,
        "categoryID": good.category_id,
        "subject": good.title,
        "image": { "images": images(shared, good) },
        "attributes": [
            { "attributeID": 1, "attributeName": "品类", "value": good.kind },
            { "attributeID": 3216, "attributeName": "颜色", "value": good.colour },
        ],
        "skuInfos": variants(shared, good, variant),
        "saleInfo": {
            "minOrderQuantity": good.min_order_quantity,
            "priceRanges": [{ "startQuantity": good.min_order_quantity, "price": good.price }],
        },
        "companyName": good.company_name,
        "status": "published",
    })
}

fn images(shared: &Shared, good: &Good) -> Vec<String> {
    View::ALL.iter().map(|view| format!("{}/img/{}/{view}.jpg", shared.base_url, good.offer_id)).collect()
}

/// The good itself first, then its other colours.
fn variants(shared: &Shared, good: &Good, variant: impl Fn(&Good) -> Value) -> Vec<Value> {
    std::iter::once(good).chain(shared.catalogue.colour_variants(good)).map(variant).collect()
}
