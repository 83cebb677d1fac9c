//! `product.search.imageQuery`: what looks like an uploaded picture?

use serde_json::{Value, json};

use super::super::{Region, SearchParams, Secret, UpstreamError, UpstreamPage, lenient};
use super::gateway::{Gateway, open};
use crate::offer::{Offer, Supplier};

const CALL: &str = "param2/1/com.alibaba.fenxiao.crossborder/product.search.imageQuery";

pub(super) fn image_query(
    gateway: &Gateway,
    token: &Secret,
    image_id: &str,
    region: Option<Region>,
    params: &SearchParams,
) -> Result<UpstreamPage, UpstreamError> {
    let mut query = json!({
        "imageId": image_id,
        "beginPage": params.page,
        "pageSize": params.page_size,
        "country": gateway.country(),
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
    let reply = gateway.call(CALL, Some(token), |ask| ask.field("offerQueryParam", query))?;
    let result = &open(&reply)?["result"];
    let total = lenient::total(&result["totalRecords"]);
    let rows = match &result["data"] {
        Value::Array(rows) => rows.as_slice(),
        Value::Null if total == Some(0) => &[],
        _ => return Err(reply.unreadable("the answer holds no list of offers")),
    };
    lenient::page(rows, total, read_offer).map_err(|what| reply.unreadable(what))
}

fn read_offer(row: &Value) -> Option<Offer> {
    let offer_id = lenient::offer_id(&row["offerId"])?;
    // Rows hold no address of the offer; this is where 1688 shows it.
    let detail_url = Some(format!("https://detail.1688.com/offer/{offer_id}.html"));
    Some(Offer {
        title: lenient::first_text(row, &["subject", "subjectTrans"]).unwrap_or_default(),
        price: lenient::price(&row["priceInfo"]["price"]),
        min_order_quantity: lenient::count(&row["minOrderQuantity"]),
        category_ids: lenient::category_ids(
            ["topCategoryId", "secondCategoryId", "thirdCategoryId"].map(|key| &row[key]),
        ),
        month_sold: lenient::count(&row["monthSold"]),
        seen_at: None,
        similarity: None,
        image_url: lenient::web_url(&row["imageUrl"]),
        detail_url,
        supplier: Supplier {
            company_name: lenient::text(&row["companyName"]),
            credit_level: lenient::text(&row["sellerDataInfo"]["tradeMedalLevel"]),
        },
        offer_id,
    })
}
