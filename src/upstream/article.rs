//! Profile `article`: the dialect of the common blog articles about 1688 picture search.
//!
//! **Unconfirmed against the live gateway.** `auth/requestToken` and `alibaba.product.imageSearch` are known
//! only from articles and from code written after them; the documented calls of the open platform are in
//! [`aop`]. This profile is for gateways and test servers that speak as the articles do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::token::{Fetched, Token, TokenCell};
use super::wire::{Reply, Request, Wire, config_error};
use super::{
    Input, SearchParams, Secret, Tape, UploadLimits, UploadPicture, Upstream, UpstreamError,
    UpstreamErrorKind, UpstreamPage, aop, lenient, no_such_offer,
};
use crate::clock::Clock;
use crate::offer::{Offer, OfferDetail, OfferId, Supplier};

/// The profile's name in the configuration and the catalogue.
pub const PROFILE: &str = "article";

const TOKEN_PATH: &str = "/auth/requestToken";
const SEARCH_PATH: &str = "/openapi/param2/1/com.alibaba.product/alibaba.product.imageSearch";
const DETAIL_PATH: &str = "/openapi/param2/1/com.alibaba.product/alibaba.product.get";

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct ArticleConfig {
    /// `http://` or `https://`, without user, query and fragment.
    pub base_url: String,
    /// Public; names the app.
    pub app_key: String,
    /// Signs requests and gets tokens.
    pub app_secret: Secret,
    /// For each request, from the first byte out to the last byte in. A search is at most four requests.
    pub timeout: Duration,
    /// Records what is said, or stands in for the network.
    pub tape: Option<Arc<Tape>>,
}

impl ArticleConfig {
    /// The gateway that the articles name.
    pub const DEFAULT_BASE_URL: &'static str = "https://gw.open.1688.com";
    /// Of one request, if nothing else is configured.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// The provider's address and time-out.
    #[must_use]
    pub fn new(app_key: impl Into<String>, app_secret: Secret) -> Self {
        Self {
            base_url: Self::DEFAULT_BASE_URL.to_owned(),
            app_key: app_key.into(),
            app_secret,
            timeout: Self::DEFAULT_TIMEOUT,
            tape: None,
        }
    }
}

/// The client of this dialect; see the module's text for what it is worth.
pub struct ArticleUpstream {
    config: ArticleConfig,
    wire: Wire,
    clock: Arc<dyn Clock>,
    tokens: TokenCell,
}

impl ArticleUpstream {
    /// Asks nothing yet. Build, use and drop it outside of async tasks: its HTTP client blocks.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Param`] with code `config` for an address, key, secret or timeout that cannot
    /// work.
    pub fn new(config: ArticleConfig, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        if config.app_key.is_empty() || config.app_secret.is_empty() {
            return Err(config_error(PROFILE, "app_key or app_secret is missing"));
        }
        let wire =
            Wire::new(PROFILE, &config.base_url, config.timeout, config.tape.clone(), &[&config.app_secret])?;
        Ok(Self { config, wire, clock, tokens: TokenCell::default() })
    }

    fn fetch_token(&self) -> Result<Fetched, UpstreamError> {
        if self.wire.is_replay() {
            return Ok(Fetched { value: Secret::new("replayed"), life: None });
        }
        let ask = Request::get(TOKEN_PATH)
            .query("grant_type", "client_credentials")
            .query("client_id", &self.config.app_key)
            .secret_query("client_secret", &self.config.app_secret)
            .for_token();
        let reply = self.send(&ask)?;
        let body = reply.value();
        let value = lenient::text(&body["access_token"])
            .ok_or_else(|| reply.unreadable("the answer to the token request holds no access_token"))?;
        let life = lenient::count(&body["expires_in"]).map(Duration::from_secs);
        Ok(Fetched { value: Secret::new(value), life })
    }

    fn ask(
        &self,
        token: &Token,
        picture: &UploadPicture,
        params: &SearchParams,
    ) -> Result<UpstreamPage, UpstreamError> {
        let ask = Request::post(SEARCH_PATH)
            .bearer(&token.value)
            .file("image", picture)
            .field("pageNo", params.page)
            .field("pageSize", params.page_size)
            .field_if("categoryId", params.category_id)
            .field_if("priceStart", params.price_min)
            .field_if("priceEnd", params.price_max);
        let reply = self.send(&ask)?;
        read_page(reply.value()).map_err(|what| reply.unreadable(what))
    }

    /// The reply, unless it is a refusal.
    fn send(&self, ask: &Request<'_>) -> Result<Reply, UpstreamError> {
        let reply = self.wire.send(ask, self.clock.now())?;
        let said = reply.value();
        let code = lenient::first_text(said, &["error_code", "errorCode"]).filter(|code| code != "0");
        if reply.is_success() && code.is_none() && lenient::flag(&said["success"]) != Some(false) {
            let what = "the answer is not a JSON object";
            return if said.is_object() { Ok(reply) } else { Err(reply.unreadable(what)) };
        }
        let reason = lenient::text(&said["reason"]).unwrap_or_default();
        let code = code.unwrap_or_else(|| reply.status.to_string());
        let words = match reply.status {
            300..=399 => {
                Some(format!("{} answers with a redirect, which is not followed", self.config.base_url))
            }
            _ => lenient::first_text(said, &["error_message", "errorMessage", "message"]),
        };
        Err(reply.refusal(classify(reply.status, &code, &reason), &code, words))
    }
}

impl Upstream for ArticleUpstream {
    fn profile(&self) -> &'static str {
        PROFILE
    }

    /// 5 MB and 300 px as in the articles; the longest side is ours, because nothing is gained by more.
    fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            max_bytes: 5_000_000,
            advised_min_side_px: 300,
            max_side_px: 1280,
            takes_region: false,
        }
    }

    fn make_ready(&self) -> Result<(), UpstreamError> {
        self.tokens.hold_one(self.clock.as_ref(), |_| self.fetch_token())
    }

    /// One search request; a second one after a fresh token when the first was refused for its token, because
    /// that was not a search.
    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        super::CheckParams::check(params, PROFILE, &[Input::Category])?;
        let fetch = |_: Option<&Secret>| self.fetch_token();
        self.tokens.with(self.clock.as_ref(), fetch, |token| self.ask(token, picture, params))
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        let fetch = |_: Option<&Secret>| self.fetch_token();
        self.tokens.with(self.clock.as_ref(), fetch, |token| {
            let ask = Request::get(DETAIL_PATH)
                .bearer(&token.value)
                .query("productId", offer_id)
                .query("webSite", "1688");
            let reply = self.send(&ask)?;
            let product = &reply.value()["productInfo"];
            if product.is_object() {
                Ok(read_detail(product, offer_id))
            } else {
                Err(no_such_offer(PROFILE, offer_id))
            }
        })
    }

    /// Fetches a fresh token and keeps it.
    fn check(&self) -> Result<(), UpstreamError> {
        self.tokens.renew(self.clock.as_ref(), |_| self.fetch_token())
    }
}

impl fmt::Debug for ArticleUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArticleUpstream").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What kind of trouble an answer reports. `code` decides where it is known (an error may come with HTTP
/// 200), else the status. `reason` tells "too fast" from "nothing left today" under 429.
#[must_use]
pub fn classify(http_status: u16, code: &str, reason: &str) -> UpstreamErrorKind {
    use UpstreamErrorKind::{Acl, Auth, Image, Param, Quota, Rate, Transient, Unsupported};
    let too_many = if reason == "daily_quota" { Quota } else { Rate };
    match code {
        "40001" => return Auth,
        "40003" => return Acl,
        "40010" | "40011" => return Image,
        "40012" => return Param,
        "429" => return too_many,
        // The address belongs to the official gateway, which answers in its own words.
        gateway if gateway.starts_with("gw.") => return aop::classify(http_status, gateway, reason),
        _ => {}
    }
    match http_status {
        300..=399 | 404 | 405 | 410 | 501 => Unsupported,
        401 => Auth,
        403 => Acl,
        413 | 415 => Image,
        429 => too_many,
        400 | 406 | 411 | 414 | 422 => Param,
        // An undocumented code, or the server's own trouble: the search may have been made.
        _ => Transient,
    }
}

fn read_page(body: &Value) -> Result<UpstreamPage, &'static str> {
    let total = lenient::total(&body["total"]);
    let products = match &body["products"] {
        Value::Array(products) => products.as_slice(),
        // "Nothing found" must be said; silence may be a broken answer, and would be stored as if it were
        // one.
        Value::Null if total == Some(0) => &[],
        _ => return Err("the answer holds no list of products"),
    };
    lenient::page(products, total, read_offer)
}

fn read_offer(product: &Value) -> Option<Offer> {
    let supplier = &product["supplierInfo"];
    Some(Offer {
        price: lenient::price(&product["price"]),
        min_order_quantity: lenient::count(&product["minOrderQuantity"]),
        similarity: lenient::percent(&product["similarity"]),
        image_url: lenient::web_url(&product["imageUrl"]),
        detail_url: lenient::web_url(&product["detailUrl"]),
        supplier: Supplier {
            company_name: lenient::text(&supplier["companyName"]),
            credit_level: lenient::text(&supplier["creditLevel"]),
            ..Supplier::default()
        },
        ..Offer::new(
            lenient::offer_id(&product["productId"])?,
            lenient::text(&product["title"]).unwrap_or_default(),
        )
    })
}

fn read_detail(product: &Value, asked: &OfferId) -> OfferDetail {
    let image_urls = lenient::web_urls(&product["image"]["images"]);
    let skus = lenient::skus(&product["skuInfos"], "attributes");
    let sale = &product["saleInfo"];
    let offer_id = lenient::offer_id(&product["productID"]).unwrap_or_else(|| asked.clone());
    let offer = Offer {
        price: lenient::price(&sale["priceRanges"][0]["price"])
            .or_else(|| skus.iter().filter_map(|sku| sku.price).min()),
        min_order_quantity: lenient::count(&sale["minOrderQuantity"]),
        category_ids: lenient::category_ids([&product["categoryID"]]),
        image_url: image_urls.first().cloned(),
        detail_url: Some(offer_id.page_url()),
        supplier: Supplier { company_name: lenient::text(&product["companyName"]), ..Supplier::default() },
        ..Offer::new(offer_id, lenient::text(&product["subject"]).unwrap_or_default())
    };
    let shipping = &product["shippingInfo"];
    OfferDetail {
        image_urls,
        attributes: lenient::attributes(&product["attributes"]),
        skus,
        price_ladder: lenient::price_ladder(&sale["priceRanges"], "startQuantity"),
        weight_grams: lenient::grams_of_kg(&shipping["unitWeight"]),
        ships_from: lenient::text(&shipping["sendGoodsAddressText"]),
        // Template 1: the seller bears the freight. 0 says it in words, all others are tables.
        is_postage_free: lenient::text(&shipping["freightTemplateID"]).map(|template| template == "1"),
        ..OfferDetail::new(offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_kind() {
        use UpstreamErrorKind::{Acl, Auth, Image, Param, Quota, Rate, Transient, Unsupported};
        let table = [
            (400, "40001", "", Auth),
            (200, "40001", "", Auth),
            (401, "401", "", Auth),
            (403, "40003", "", Acl),
            (200, "40003", "", Acl),
            (403, "403", "", Acl),
            (429, "429", "", Rate),
            (200, "429", "", Rate),
            (429, "", "", Rate),
            (429, "429", "daily_quota", Quota),
            (200, "429", "daily_quota", Quota),
            (429, "busy", "daily_quota", Quota),
            (400, "40010", "", Image),
            (400, "40011", "", Image),
            (413, "", "", Image),
            (415, "", "", Image),
            (400, "40012", "", Param),
            (400, "40099", "", Param),
            (302, "302", "", Unsupported),
            (404, "404", "", Unsupported),
            (405, "405", "", Unsupported),
            (501, "501", "", Unsupported),
            (400, "gw.APIUnsupported", "", Unsupported),
            (400, "gw.QosAppFrequencyLimit", "", Rate),
            (408, "", "", Transient),
            (500, "50000", "", Transient),
            (503, "", "", Transient),
            (504, "", "", Transient),
            (200, "99999", "", Transient),
        ];
        for (status, code, reason, kind) in table {
            assert_eq!(classify(status, code, reason), kind, "{status} {code} {reason}");
        }
    }
}
