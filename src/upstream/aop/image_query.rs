//! `product.search.imageQuery`: what looks like an uploaded picture?

use serde_json::{Value, json};

use super::super::{Region, SearchParams, Secret, Sort, UpstreamError, UpstreamPage, lenient};
use super::fields;
use super::gateway::{Gateway, open};
use crate::offer::Offer;

const CALL: &str = "param2/1/com.alibaba.fenxiao.crossborder/product.search.imageQuery";

pub(super) fn image_query(
    gateway: &Gateway,
    token: &Secret,
    image_id: &str,
    region: Option<Region>,
    params: &SearchParams,
) -> Result<UpstreamPage, UpstreamError> {
    let language = params.language.as_ref().map_or(gateway.country(), |language| language.as_str());
    let mut query = json!({
        "imageId": image_id,
        "beginPage": params.page,
        "pageSize": params.page_size,
        "country": language,
    });
    if let Some(id) = params.category_id {
        query["categoryId"] = id.into();
    }
    if let Some(price) = params.price_min {
        query["priceStart"] = price.to_string().into();
    }
    if let Some(price) = params.price_max {
        query["priceEnd"] = price.to_string().into();
    }
    if let Some(region) = region {
        // The gateway's order: both x, then both y.
        let [left, top, right, bottom] = region.edges_px();
        query["region"] = format!("{left},{right},{top},{bottom}").into();
    }
    let texts = [
        ("keyword", &params.keyword),
        ("auxiliaryText", &params.auxiliary_text),
        ("itemTitle", &params.item_title),
        ("productCollectionId", &params.collection_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            query[name] = text.as_str().into();
        }
    }
    if params.translate_keyword {
        query["keywordTranslate"] = true.into();
    }
    if let Some(filters) = params.filter_list() {
        query["filter"] = filters.into();
    }
    if let Some((field, direction)) = params.sort.map(Sort::words) {
        // An object in a text, as documented.
        query["sort"] = json!({ field: direction }).to_string().into();
    }
    let reply = gateway.call(CALL, Some(token), |ask| ask.field("offerQueryParam", query))?;
    let result = &open(&reply)?["result"];
    let total = lenient::total(&result["totalRecords"]);
    let rows = match &result["data"] {
        Value::Array(rows) => rows.as_slice(),
        Value::Null if total == Some(0) => &[],
        _ => return Err(reply.unreadable("the answer holds no list of offers")),
    };
    let page = lenient::page(rows, total, read_offer).map_err(|what| reply.unreadable(what))?;
    let suggested_regions = read_regions(&result["picRegionInfo"]["yoloCropRegion"]);
    Ok(UpstreamPage { suggested_regions, ..page })
}

/// Boxes with `;` between, each in the gateway's order. One that cannot be read is left out.
fn read_regions(boxes: &Value) -> Vec<Region> {
    let region = |text: &str| {
        let edges: Vec<u32> = text.split(',').map(|edge| edge.trim().parse().ok()).collect::<Option<_>>()?;
        let [left, right, top, bottom] = edges.try_into().ok()?;
        Region::new(left, top, right, bottom)
    };
    let mut regions: Vec<Region> = Vec::new();
    for region in lenient::text(boxes).unwrap_or_default().split(';').filter_map(region) {
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    regions
}

fn read_offer(row: &Value) -> Option<Offer> {
    let offer_id = lenient::offer_id(&row["offerId"])?;
    let prices = &row["priceInfo"];
    let (gives_invoice, invoice_types) = fields::invoice(row);
    Some(Offer {
        title_translated: lenient::text(&row["subjectTrans"]),
        price: lenient::price(&prices["price"]),
        dropship_price: lenient::price(&prices["consignPrice"]),
        promotion_price: lenient::price(&prices["promotionPrice"]),
        dropships: lenient::flag(&row["isOnePsale"]),
        min_order_quantity: lenient::count(&row["minOrderQuantity"]),
        category_ids: fields::categories(row),
        month_sold: lenient::count(&row["monthSold"]),
        week_sold: lenient::count(&row["sales7d"]),
        repurchase_percent: lenient::share(&row["repurchaseRate"]),
        trade_score: lenient::score(&row["tradeScore"]),
        shipping_promise: lenient::text(&row["productSimpleShippingInfo"]["shippingTimeGuarantee"]),
        is_patented: lenient::flag(&row["isPatentProduct"]),
        gives_invoice,
        invoice_types,
        image_url: lenient::web_url(&row["imageUrl"]),
        // Rows hold no address of the offer; this is where 1688 shows it.
        detail_url: Some(offer_id.page_url()),
        supplier: fields::supplier(row),
        ..Offer::new(offer_id, lenient::first_text(row, &["subject", "subjectTrans"]).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_regions_are_read_in_the_gateways_order_and_each_once() {
        let regions = read_regions(&json!("266,799,48,581;0,10,0,20;266,799,48,581; 9,1,0,5;x"));
        let told: Vec<String> = regions.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["266,48,799,581", "0,0,10,20"]);
        assert!(read_regions(&json!(null)).is_empty());
    }

    #[test]
    fn an_invoice_is_told_of_or_not() {
        for (invoice, gives) in [
            (json!({ "supportOnlineInvoice": true }), Some(true)),
            (json!({ "supportOnlineInvoice": "false", "supportFastInvoice": "true" }), Some(true)),
            (json!({ "supportOnlineInvoice": false, "supportFastInvoice": false }), Some(false)),
            (json!({ "invoiceTypes": ["vat"] }), Some(true)),
            (json!(null), None),
        ] {
            let offer = read_offer(&json!({ "offerId": 1, "invoiceInfo": invoice })).expect("an id");
            assert_eq!(offer.gives_invoice, gives, "{invoice}");
        }
    }
}
