//! The dialect of the common articles; `crate::upstream::article` is the client's side.

#![allow(clippy::unnecessary_box_returns, reason = "a refusal is a whole response; `?` passes it on boxed")]

use axum::body::Bytes;
use axum::extract::Multipart;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, Wish, detail_url, kg, number, price_ranges};
use crate::offer::{Attribute, Offer, OfferDetail, OfferId};

pub(crate) const TOKEN_PATH: &str = "/auth/requestToken";
pub(crate) const SEARCH_PATH: &str = "/openapi/param2/1/com.alibaba.product/alibaba.product.imageSearch";

pub(crate) const DETAIL_PATH: &str = "/openapi/param2/1/com.alibaba.product/alibaba.product.get";

/// For a token.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenRequest {
    grant_type: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<String>,
}

impl TokenRequest {
    pub(crate) fn is_for_client_credentials(&self) -> bool {
        self.grant_type.as_deref() == Some("client_credentials")
    }
}

pub(crate) fn token(token: &str, ttl_secs: u64) -> Response {
    axum::Json(json!({"access_token": token, "expires_in": ttl_secs, "token_type": "Bearer"})).into_response()
}

pub(crate) fn bad_client() -> Response {
    error(StatusCode::UNAUTHORIZED, "40001", "invalid client credentials", None)
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "))
}

/// What a search asks for.
pub(crate) struct Search {
    /// The picture's file.
    pub(crate) image: Bytes,
    pub(crate) wish: Wish,
}

impl Search {
    /// Reads the whole form.
    pub(crate) async fn read(
        mut multipart: Multipart,
        max_upload_bytes: usize,
    ) -> Result<Self, Box<Response>> {
        let mut image = None;
        let mut wish = Wish::page(1, 20);
        while let Some(field) = multipart.next_field().await.map_err(|e| bad_parameter(&e.to_string()))? {
            let name = field.name().unwrap_or_default().to_owned();
            let bytes = field.bytes().await.map_err(|_| too_big())?;
            let text = || String::from_utf8_lossy(&bytes).trim().to_owned();
            let wrong = || bad_parameter(&format!("{name} is not valid"));
            match name.as_str() {
                "image" if bytes.len() > max_upload_bytes => return Err(too_big()),
                "image" => image = Some(bytes),
                "categoryId" => wish.category_id = Some(text().parse().map_err(|_| wrong())?),
                "priceStart" => wish.price_min = Some(text().parse().map_err(|_| wrong())?),
                "priceEnd" => wish.price_max = Some(text().parse().map_err(|_| wrong())?),
                "pageNo" => wish.page = text().parse().ok().filter(|n| *n >= 1).ok_or_else(wrong)?,
                "pageSize" => {
                    wish.page_size =
                        text().parse().ok().filter(|n| (1..=50).contains(n)).ok_or_else(wrong)?;
                }
                _ => {}
            }
        }
        let image = image.ok_or_else(|| bad_parameter("image is missing"))?;
        Ok(Self { image, wish })
    }
}

pub(crate) fn page(wish: &Wish, total: u64, offers: &[Offer]) -> Value {
    json!({
        "success": true,
        "total": total,
        "pageNo": wish.page,
        "pageSize": wish.page_size,
        "products": offers.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(offer: &Offer) -> Value {
    json!({
        "productId": offer.offer_id,
        "title": offer.title,
        "price": offer.price,
        "minOrderQuantity": offer.min_order_quantity,
        "similarity": offer.similarity,
        "imageUrl": offer.image_url,
        "detailUrl": detail_url(offer),
        "supplierInfo": {
            "companyName": offer.supplier.company_name,
            "creditLevel": offer.supplier.credit_level,
        },
    })
}

/// What a call about an offer names it by: public code writes either.
#[derive(Debug, Deserialize)]
pub(crate) struct DetailRequest {
    #[serde(rename = "productId", alias = "offerId")]
    product_id: Option<String>,
}

impl DetailRequest {
    pub(crate) fn offer_id(&self) -> Result<OfferId, Box<Response>> {
        let id = self.product_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| bad_parameter("productId is missing"))?;
        OfferId::new(id).map_err(|error| bad_parameter(&error.to_string()))
    }
}

/// As of `alibaba.product.get`; `None` for an offer that is not known.
pub(crate) fn product(detail: Option<&OfferDetail>) -> Value {
    json!({ "success": true, "productInfo": detail.map(product_info) })
}

fn product_info(detail: &OfferDetail) -> Value {
    let OfferDetail { offer, image_urls, attributes, skus, .. } = detail;
    let variant = |sku: &crate::offer::Sku| {
        let property = |Attribute { name, value }: &Attribute| json!({ "attributeDisplayName": name, "attributeValue": value, "skuImageUrl": sku.image_url });
        json!({
            "skuId": sku.sku_id,
            "price": sku.price,
            "consignPrice": sku.dropship_price,
            "amountOnSale": sku.stock.map(|pieces| pieces.to_string()),
            "attributes": sku.attributes.iter().map(property).collect::<Vec<_>>(),
        })
    };
    let property = |Attribute { name, value }: &Attribute| json!({ "attributeName": name, "value": value });
    json!({
        "productID": number(offer),
        "categoryID": offer.category_ids.last(),
        "subject": offer.title,
        "image": { "images": image_urls },
        "attributes": attributes.iter().map(property).collect::<Vec<_>>(),
        "skuInfos": skus.iter().map(variant).collect::<Vec<_>>(),
        "saleInfo": {
            "minOrderQuantity": offer.min_order_quantity,
            "priceRanges": price_ranges(detail),
        },
        "shippingInfo": {
            "unitWeight": detail.weight_grams.map(kg),
            "sendGoodsAddressText": detail.ships_from,
            "freightTemplateID": detail.is_postage_free.filter(|is_free| *is_free).map(|_| 1),
        },
        "companyName": offer.supplier.company_name,
        "status": "published",
    })
}

pub(crate) fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::BadToken => error(StatusCode::UNAUTHORIZED, "40001", "token invalid or expired", None),
        Refusal::NoPermission => error(StatusCode::FORBIDDEN, "40003", "no permission for this API", None),
        Refusal::TooFast => {
            error(StatusCode::TOO_MANY_REQUESTS, "429", "more than one call in a second", None)
        }
        Refusal::TooFastIn200 => error(StatusCode::OK, "429", "more than one call in a second", None),
        Refusal::QuotaSpent => {
            error(StatusCode::TOO_MANY_REQUESTS, "429", "daily quota spent", Some("daily_quota"))
        }
        Refusal::BadPicture => *bad_picture(),
        Refusal::BadQuestion => *bad_parameter("the upstream cannot be asked with all of the parameters"),
        // Ours.
        Refusal::Failed => error(StatusCode::BAD_GATEWAY, "50000", "the search failed", None),
    }
}

pub(crate) fn bad_picture() -> Box<Response> {
    Box::new(error(StatusCode::BAD_REQUEST, "40011", "only JPG and PNG pictures", None))
}

fn too_big() -> Box<Response> {
    Box::new(error(StatusCode::PAYLOAD_TOO_LARGE, "40010", "the picture is larger than 5 MB", None))
}

pub(crate) fn bad_parameter(message: &str) -> Box<Response> {
    Box::new(error(StatusCode::BAD_REQUEST, "40012", message, None))
}

fn error(status: StatusCode, code: &str, message: &str, reason: Option<&str>) -> Response {
    let mut body = json!({"success": false, "error_code": code, "error_message": message});
    if let Some(reason) = reason {
        body["reason"] = json!(reason);
    }
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
