//! The official gateway: the upload of a picture and the search by it; `crate::upstream::aop` is the client's side.

use serde_json::{Value, json};

use super::{Call, Fault, Region, Wish, kg, linkplus, number, price_ranges};
use crate::offer::{Attribute, Offer, OfferDetail, OfferId, Sku, Supplier};
use crate::question::{self, OfferFilter, Phrase, Sort};

pub(crate) const PATH: &str = "/openapi/{*call}";
/// Above this an upload "succeeds" with the image id 0.
pub(crate) const MAX_IMAGE_BYTES: usize = 300_000;

const MAX_PAGE_SIZE: usize = 50;
const CROSSBORDER: &str = "com.alibaba.fenxiao.crossborder";

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// Over the credentials themselves: a post without a signature.
    Token,
    /// Needs neither token nor permission; a signature only has to be right if there is one.
    Time,
    Upload,
    ImageQuery,
    ProductDetail,
    SimilarOffers,
}

/// What a path calls, and the key of the app that does.
///
/// # Errors
/// A [`Fault`] as soon as that is known: the key is missing, or there is no such API. Who checks the key in between gets it
/// first, as the gateway does.
pub(crate) fn called(path: &str) -> Result<(&str, Result<Api, Fault>), Fault> {
    let parts: Vec<&str> = path.split('/').collect();
    let [protocol, "1", namespace, name, app_key] = parts[..] else {
        return Err(Fault::new("gw.AppKeyMissing", "AppKey is missing in the address"));
    };
    let api = match (protocol, namespace, name) {
        ("http" | "param2", "system.oauth2", "getToken") => Ok(Api::Token),
        ("param2", "system", "currentTime") => Ok(Api::Time),
        ("param2", CROSSBORDER, "product.image.upload") => Ok(Api::Upload),
        ("param2", CROSSBORDER, "product.search.imageQuery") => Ok(Api::ImageQuery),
        ("param2", CROSSBORDER, "product.search.queryProductDetail") => Ok(Api::ProductDetail),
        ("param2", linkplus::NAMESPACE, linkplus::NAME) => Ok(Api::SimilarOffers),
        _ => Err(Fault::new("gw.APIUnsupported", format!("{namespace}:{name} is not supported"))),
    };
    Ok((app_key, api))
}

/// An AppKey that is not known. Ours: which code it gets is not known.
pub(crate) fn unknown_key(app_key: &str) -> Fault {
    Fault::new("gw.AppKeyMissing", format!("AppKey {app_key} is not known"))
}

/// As recorded: without a token the status is 401, with a bad one it varies.
pub(crate) fn no_token() -> Fault {
    Fault {
        status: axum::http::StatusCode::UNAUTHORIZED,
        ..Fault::new("401", "Request need user authenticated")
    }
}

/// A token, as recorded: its life is a string. Only a code brings a refresh token.
pub(crate) fn token(token: &str, ttl_secs: u64, refresh_token: Option<&str>) -> Value {
    let mut body = json!({
        "access_token": token,
        "expires_in": ttl_secs.to_string(),
    });
    if let Some(refresh_token) = refresh_token {
        body["refresh_token"] = json!(refresh_token);
        body["refresh_token_timeout"] = json!("20991231235959000+0800");
    }
    body
}

/// The value of a parameter that is a JSON object in a string.
pub(crate) fn object(call: &Call, name: &str) -> Result<Value, Fault> {
    let text = call.param(name).ok_or_else(|| Fault::missing(name))?;
    let value: Option<Value> = serde_json::from_str(text).ok().filter(Value::is_object);
    value.ok_or_else(|| Fault::new("gw.ParamInvalid", format!("{name} is not a JSON object")))
}

/// The inner envelope; every field a string, as documented.
pub(crate) fn success(result: &Value) -> Value {
    json!({ "result": { "success": "true", "code": "200", "message": "success", "result": result } })
}

/// A business error inside HTTP 200. Which codes there are is not known; these are ours.
pub(crate) fn failure(code: &str, message: &str) -> Value {
    json!({ "result": { "success": "false", "code": code, "message": message } })
}

/// The picture of an upload, in base64.
pub(crate) fn uploaded(call: &Call) -> Result<String, Fault> {
    let param = object(call, "uploadImageParam")?;
    Ok(param["imageBase64"].as_str().ok_or_else(|| Fault::missing("imageBase64"))?.to_owned())
}

/// A search for an uploaded picture.
pub(crate) struct ImageQuery {
    pub(crate) image_id: u64,
    pub(crate) wish: Wish,
    pub(crate) region: Option<Region>,
}

pub(crate) fn image_query(call: &Call) -> Result<ImageQuery, Fault> {
    let param = object(call, "offerQueryParam")?;
    let text = |name: &str| match &param[name] {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let required = |name: &str| text(name).ok_or_else(|| Fault::missing(name));
    let invalid = |name: &str| Fault::new("gw.ParamInvalid", format!("{name} is not valid"));
    let image_id = required("imageId")?.parse().map_err(|_| invalid("imageId"))?;
    let page = required("beginPage")?.parse().ok().filter(|n| *n >= 1).ok_or_else(|| invalid("beginPage"))?;
    let size: usize =
        required("pageSize")?.parse().ok().filter(|n| *n >= 1).ok_or_else(|| invalid("pageSize"))?;
    required("country")?;
    let mut wish = Wish::page(page, size.min(MAX_PAGE_SIZE));
    let price = |name: &str| text(name).map(|text| text.parse().map_err(|_| invalid(name))).transpose();
    wish.price_min = price("priceStart")?;
    wish.price_max = price("priceEnd")?;
    wish.category_id =
        text("categoryId").map(|id| id.parse().map_err(|_| invalid("categoryId"))).transpose()?;
    wish.keyword = text("keyword");
    wish.translate_keyword = match &param["keywordTranslate"] {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::String(flag) if ["true", "false"].contains(&flag.as_str()) => flag == "true",
        _ => return Err(invalid("keywordTranslate")),
    };
    let phrase =
        |name: &str| text(name).map(|text| text.parse::<Phrase>().map_err(|_| invalid(name))).transpose();
    wish.auxiliary_text = phrase("auxiliaryText")?;
    wish.item_title = phrase("itemTitle")?;
    wish.collection_id = phrase("productCollectionId")?;
    // Ours: what the gateway says to a filter that it does not know is not known.
    let filters = text("filter").unwrap_or_default();
    wish.filters = filters
        .split(',')
        .filter(|word| !word.trim().is_empty())
        .map(|word| word.parse::<OfferFilter>().map_err(|_| invalid("filter")))
        .collect::<Result<_, _>>()?;
    wish.order = order(text("sort").as_deref()).map_err(|()| invalid("sort"))?;
    let region =
        text("region").map(|text| Region::parse(&text).ok_or_else(|| invalid("region"))).transpose()?;
    Ok(ImageQuery { image_id, wish, region })
}

/// `{"price":"asc"}`, and the other documented fields and directions. An empty object is no order.
fn order(sort: Option<&str>) -> Result<Option<Sort>, ()> {
    let Some(sort) = sort else { return Ok(None) };
    let sort: serde_json::Map<String, Value> = serde_json::from_str(sort).map_err(|_| ())?;
    let Some((field, direction)) = sort.iter().next() else { return Ok(None) };
    let known = Sort::ALL
        .into_iter()
        .find(|sort| sort.words() == (field.as_str(), direction.as_str().unwrap_or_default()));
    known.map(Some).ok_or(())
}

/// `regions`: in which the server sees goods; `searched`: the part that was searched.
pub(crate) fn page(
    wish: &Wish,
    total: u64,
    rows: &[Value],
    searched: Option<Region>,
    regions: &[question::Region],
) -> Value {
    let native = |region: question::Region| {
        let [left, top, right, bottom] = region.edges_px();
        format!("{left},{right},{top},{bottom}")
    };
    let searched = searched.and_then(Region::as_asked).or_else(|| regions.first().copied()).map(native);
    let boxes: Vec<String> = regions.iter().copied().map(native).collect();
    success(&json!({
        "picRegionInfo": { "currentRegion": searched, "yoloCropRegion": boxes.join(";") },
        "totalRecords": total,
        "totalPage": total.div_ceil(wish.page_size as u64),
        "pageSize": wish.page_size,
        "currentPage": wish.page,
        "data": rows,
    }))
}

/// A row has no similarity, as in the real answer.
pub(crate) fn row(offer: &Offer) -> Value {
    json!({
        "offerId": number(offer),
        "imageUrl": offer.image_url,
        "subject": offer.title,
        "subjectTrans": offer.title_translated.as_ref().unwrap_or(&offer.title),
        "priceInfo": {
            "price": offer.price,
            "consignPrice": offer.dropship_price,
            "promotionPrice": offer.promotion_price,
        },
        "minOrderQuantity": offer.min_order_quantity,
        "companyName": offer.supplier.company_name,
        "companyAddress": offer.supplier.address,
        "topCategoryId": offer.category_ids.first(),
        "isJxhy": false,
        "isOnePsale": offer.dropships,
        "repurchaseRate": offer.repurchase_percent.map(|percent| format!("{percent}%")),
        "monthSold": offer.month_sold,
        // A text, unlike the number beside it.
        "sales7d": offer.week_sold.map(|pieces| pieces.to_string()),
        "tradeScore": offer.trade_score.map(|score| score.to_string()),
        "isPatentProduct": offer.is_patented,
        "productSimpleShippingInfo": { "shippingTimeGuarantee": offer.shipping_promise },
        "invoiceInfo": invoice(offer),
        "traceInfo": format!("object_id@{}^object_type@offer", offer.offer_id),
        "sellerIdentities": offer.supplier.identities,
        "sellerDataInfo": seller(&offer.supplier),
    })
}

fn seller(supplier: &Supplier) -> Value {
    json!({
        "tpYear": supplier.years,
        "compositeServiceScore": supplier.service_score.map(|score| score.to_string()),
        "tradeMedalLevel": supplier.credit_level.as_deref().map(|level| level.trim_end_matches('A')),
    })
}

fn invoice(offer: &Offer) -> Option<Value> {
    let gives = offer.gives_invoice?;
    Some(json!({ "supportOnlineInvoice": gives, "invoiceTypes": offer.invoice_types }))
}

/// Those of which it is told whether they are there.
fn services(offer: &Offer) -> Vec<Value> {
    let told = [("isOnePsale", offer.dropships), ("noReason7DReturn", offer.no_reason_return)];
    told.into_iter().filter_map(|(key, value)| Some(json!({ "key": key, "value": value? }))).collect()
}

/// The offer that details are asked of.
pub(crate) fn product_asked(call: &Call) -> Result<OfferId, Fault> {
    let param = object(call, "offerDetailParam")?;
    let id = match &param["offerId"] {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err(Fault::missing("offerId")),
    };
    param["country"].as_str().ok_or_else(|| Fault::missing("country"))?;
    OfferId::new(id).map_err(|error| Fault::new("gw.ParamInvalid", error.to_string()))
}

fn sku_weight(sku: &Sku) -> Option<Value> {
    Some(json!({ "skuId": sku.sku_id, "weight": kg(sku.weight_grams?) }))
}

/// As of `product.search.queryProductDetail`; what nobody told is null.
pub(crate) fn product(detail: &OfferDetail) -> Value {
    let OfferDetail { offer, image_urls, attributes, skus, .. } = detail;
    let variant = |sku: &Sku| {
        let property = |Attribute { name, value }: &Attribute| {
            json!({
                "attributeName": name, "attributeNameTrans": name, "value": value, "valueTrans": value,
                "skuImageUrl": sku.image_url,
            })
        };
        json!({
            "skuId": sku.sku_id,
            "price": sku.price,
            "consignPrice": sku.dropship_price,
            "fenxiaoPriceInfo": { "onePiecePrice": sku.dropship_price },
            "amountOnSale": sku.stock,
            "skuAttributes": sku.attributes.iter().map(property).collect::<Vec<_>>(),
        })
    };
    let property = |Attribute { name, value }: &Attribute| json!({ "attributeName": name, "value": value });
    json!({
        "offerId": number(offer),
        "categoryId": offer.category_ids.last(),
        "topCategoryId": offer.category_ids.first(),
        "subject": offer.title,
        "subjectTrans": offer.title_translated.as_ref().unwrap_or(&offer.title),
        "productImage": { "images": image_urls },
        "productAttribute": attributes.iter().map(property).collect::<Vec<_>>(),
        "productSkuInfos": skus.iter().map(variant).collect::<Vec<_>>(),
        "productSaleInfo": {
            "priceRangeList": price_ranges(detail),
            "fenxiaoSaleInfo": {
                "onePiecePrice": offer.dropship_price,
                "onePieceFreePostage": detail.is_postage_free,
            },
        },
        "productShippingInfo": {
            "sendGoodsAddressText": detail.ships_from,
            "shippingTimeGuarantee": offer.shipping_promise,
            "weight": detail.weight_grams.map(kg),
            "skuShippingDetails": skus.iter().filter_map(sku_weight).collect::<Vec<_>>(),
        },
        "minOrderQuantity": offer.min_order_quantity,
        "tagInfoList": services(offer),
        "tradeScore": offer.trade_score.map(|score| score.to_string()),
        "companyName": offer.supplier.company_name,
        "companyAddress": offer.supplier.address,
        "sellerIdentities": offer.supplier.identities,
        "sellerDataInfo": seller(&offer.supplier),
        "invoiceInfo": invoice(offer),
        "status": "published",
    })
}
