//! Profile `tmapi`: the wrapper of that vendor, which looks pictures up by their address.
//!
//! A picture at Alibaba is one request, `1688/search/image`; any other is first given an address there by
//! `1688/tools/image/convert_url`. A file has no address, so a search for one is refused before anything is sent. The
//! token must travel in the query, so no address of a request is ever printed. Requests, answers and codes follow the
//! vendor's documentation; what is billed beyond answers is not documented, so the error's kind decides. `1688/item_detail`
//! tells of one offer. Not yet tried against the live service.

mod detail;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::wire::{Reply, Request, Wire, config_error};
use super::{
    Input, OfferFilter, SearchParams, Secret, Sort, Tape, UploadLimits, UploadPicture, Upstream,
    UpstreamError, UpstreamErrorKind, UpstreamPage, WeightUnit, lenient, no_such_offer, not_taken,
};
use crate::clock::Clock;
use crate::offer::{Offer, OfferDetail, OfferId, Supplier, is_host_of};

/// The profile's name in the configuration and the catalogue.
pub const PROFILE: &str = "tmapi";

const SEARCH_PATH: &str = "/1688/search/image";
/// There is no filter by category.
const TAKEN: [Input; 2] = [Input::Filter, Input::Sort];
const CONVERT_PATH: &str = "/1688/tools/image/convert_url";
const DETAIL_PATH: &str = "/1688/item_detail";
/// As documented.
const MAX_PAGE_SIZE: u32 = 20;
/// Whose pictures the search takes as they are.
const ALIBABA: [&str; 3] = ["alicdn.com", "aliimg.com", "alibaba.com"];

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct TmapiConfig {
    /// `http://` or `https://`, without user, query and fragment.
    pub base_url: String,
    /// Names and proves the account.
    pub token: Secret,
    /// For each request, from the first byte out to the last byte in. A search is at most two requests.
    pub timeout: Duration,
    /// Of the weights that it tells, which its documentation does not say.
    pub weight_unit: WeightUnit,
    /// Records what is said, or stands in for the network.
    pub tape: Option<Arc<Tape>>,
}

impl TmapiConfig {
    /// The vendor's gateway.
    pub const DEFAULT_BASE_URL: &'static str = "https://api.tmapi.io";
    /// As the vendor advises.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

    /// The provider's address and time-out.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self {
            base_url: Self::DEFAULT_BASE_URL.to_owned(),
            token,
            timeout: Self::DEFAULT_TIMEOUT,
            weight_unit: WeightUnit::default(),
            tape: None,
        }
    }
}

/// The client of this vendor.
pub struct TmapiUpstream {
    config: TmapiConfig,
    wire: Wire,
    /// Only to read a `Retry-After` that is a date.
    clock: Arc<dyn Clock>,
}

impl TmapiUpstream {
    /// Asks nothing yet. Build, use and drop it outside of async tasks: its HTTP client blocks.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Param`] with code `config` for an address, token or timeout that cannot work.
    pub fn new(config: TmapiConfig, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        if config.token.is_empty() {
            return Err(config_error(PROFILE, "the token is missing"));
        }
        let wire =
            Wire::new(PROFILE, &config.base_url, config.timeout, config.tape.clone(), &[&config.token])?;
        Ok(Self { config, wire, clock })
    }

    /// The reply, unless it is a refusal.
    fn send(&self, ask: Request<'_>) -> Result<Reply, UpstreamError> {
        let ask = ask.secret_query("apiToken", &self.config.token);
        let reply = self.wire.send(&ask, self.clock.now())?;
        let said = reply.value();
        let code = lenient::text(&said["code"]);
        if reply.is_success() {
            match code.as_deref() {
                Some("200") => return Ok(reply),
                Some(_) => {}
                None if said.is_object() => return Err(reply.unreadable("the answer holds no code")),
                None => return Err(reply.unreadable("the answer is not a JSON object")),
            }
        }
        let code = code.filter(|code| code != "200").unwrap_or_else(|| reply.status.to_string());
        let words = lenient::first_text(said, &["msg", "message"]);
        Err(reply.refusal(classify(reply.status, &code), &code, words))
    }

    /// The address under which the search takes the picture.
    fn address(&self, url: &str) -> Result<String, UpstreamError> {
        if is_at_alibaba(url) {
            return Ok(url.to_owned());
        }
        // Which search the new address is for; the vendor's example names the path.
        let ask = Request::post(CONVERT_PATH)
            .url_field("url", url)
            .field("search_api_endpoint", SEARCH_PATH)
            .json();
        let reply = self.send(ask).map_err(|error| match error.code.as_str() {
            // Here there is nothing to retrieve but the picture.
            "417" => UpstreamError::new(
                PROFILE,
                UpstreamErrorKind::Image,
                "417",
                "the picture cannot be fetched from its address",
            ),
            _ => error,
        })?;
        lenient::text(&reply.value()["data"]["image_url"])
            .ok_or_else(|| reply.unreadable("the converted picture has no image_url"))
    }
}

impl Upstream for TmapiUpstream {
    fn profile(&self) -> &'static str {
        PROFILE
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits::OF_NO_UPLOAD
    }

    fn max_page_size(&self) -> u32 {
        MAX_PAGE_SIZE
    }

    /// One request, and one before it for a picture that is not at Alibaba.
    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        super::CheckParams::check(params, PROFILE, &TAKEN)?;
        let order = params.sort.map(order).transpose()?;
        if let Some(other) = params.filters.iter().find(|filter| **filter != OfferFilter::DROPSHIP) {
            return Err(not_taken(PROFILE, format_args!("the filter {other}")));
        }
        let address = self.address(picture.address(PROFILE, params)?)?;
        let ask = Request::get(SEARCH_PATH)
            .url_query("img_url", &address)
            .query("page", params.page)
            .query("page_size", params.page_size.min(MAX_PAGE_SIZE))
            .query_if("price_start", params.price_min)
            .query_if("price_end", params.price_max)
            .query_if("sort", order)
            // Ours: that both mean the same.
            .query_if("support_dropshipping", (!params.filters.is_empty()).then_some(true));
        let reply = self.send(ask)?;
        let data = &reply.value()["data"];
        let read = |item: &Value| read_offer(item, self.config.weight_unit);
        let page = match &data["items"] {
            Value::Array(rows) => lenient::page(rows, lenient::total(&data["total_count"]), read),
            _ => Err("the answer holds no list of items"),
        };
        page.map_err(|what| reply.unreadable(what))
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        let reply = self.send(Request::get(DETAIL_PATH).query("item_id", offer_id))?;
        let product = &reply.value()["data"];
        if product.is_object() {
            Ok(detail::read_detail(product, offer_id, self.config.weight_unit))
        } else {
            Err(no_such_offer(PROFILE, offer_id))
        }
    }

    /// The vendor documents nothing that is free, so a search without a picture is sent: a refusal of just that says
    /// that the token was taken.
    fn check(&self) -> Result<(), UpstreamError> {
        match self.send(Request::get(SEARCH_PATH)) {
            Err(error) if error.kind == UpstreamErrorKind::Param => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl fmt::Debug for TmapiUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TmapiUpstream").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What kind of trouble an answer reports. `code` decides where the vendor's table has it, else the status.
#[must_use]
pub fn classify(http_status: u16, code: &str) -> UpstreamErrorKind {
    use UpstreamErrorKind::{Acl, Auth, Param, Quota, Rate, Transient, Unsupported};
    match code {
        // "Failed to retrieve": whether the picture or the answer, it does not say.
        "417" | "499" | "500" => return Transient,
        "422" => return Param,
        "439" => return Quota,
        // "Concurrency limit exceeded", whatever 503 means elsewhere.
        "503" => return Rate,
        _ => {}
    }
    match http_status {
        300..=399 | 404 | 405 | 410 | 501 => Unsupported,
        401 => Auth,
        403 => Acl,
        429 => Rate,
        _ => Transient,
    }
}

/// The vendor's words for orders.
fn order(sort: Sort) -> Result<&'static str, UpstreamError> {
    match sort {
        Sort::PriceAsc => Ok("price_up"),
        Sort::PriceDesc => Ok("price_down"),
        Sort::MonthSoldDesc => Ok("sales"),
        other => Err(not_taken(PROFILE, format_args!("the order {other}"))),
    }
}

fn is_at_alibaba(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    is_host_of(host, &ALIBABA)
}

fn read_offer(item: &Value, unit: WeightUnit) -> Option<Offer> {
    let offer_id = lenient::offer_id(&item["item_id"])?;
    let (shop, delivery) = (&item["shop_info"], &item["delivery_info"]);
    Some(Offer {
        price: lenient::price(&item["price"]),
        dropship_price: lenient::price(&item["price_info"]["drop_ship_price"]),
        min_order_quantity: lenient::count(&item["quantity_begin"]),
        price_ladder: lenient::price_ladder(&item["quantity_prices"], "begin_num"),
        weight_grams: lenient::grams(&delivery["weight"], unit),
        is_postage_free: lenient::flag(&delivery["free_postage"]),
        category_ids: lenient::category_ids(item["category_path"].as_array().into_iter().flatten()),
        repurchase_percent: lenient::share(&item["item_repurchase_rate"]),
        image_url: lenient::web_url(&item["img"]),
        detail_url: lenient::web_url(&item["product_url"]),
        supplier: Supplier {
            company_name: lenient::text(&shop["company_name"]),
            address: lenient::joined(&lenient::texts(&shop["location"])),
            years: lenient::count(&shop["tp_year"]),
            ..Supplier::default()
        },
        ..Offer::new(offer_id, lenient::first_text(item, &["title", "title_origin"]).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_kind() {
        use UpstreamErrorKind::{Acl, Auth, Param, Quota, Rate, Transient, Unsupported};
        let table = [
            (200, "417", Transient),
            (200, "422", Param),
            (200, "439", Quota),
            (200, "499", Transient),
            (200, "500", Transient),
            (200, "503", Rate),
            (417, "417", Transient),
            (503, "503", Rate),
            (302, "302", Unsupported),
            (401, "401", Auth),
            (403, "403", Acl),
            (404, "404", Unsupported),
            (429, "429", Rate),
            (502, "502", Transient),
            (200, "999", Transient),
        ];
        for (status, code, kind) in table {
            assert_eq!(classify(status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn only_pictures_at_alibaba_are_taken_as_they_are() {
        for (url, at_alibaba) in [
            ("https://cbu01.alicdn.com/img/ibank/O1CN01a_!!1-0-cib.jpg", true),
            ("https://img.china.alibaba.com/img/a.jpg", true),
            ("https://alicdn.com.example/a.jpg", false),
            ("https://notalicdn.com/a.jpg", false),
            ("https://example.com/alicdn.com/a.jpg", false),
            ("alicdn.com", false),
        ] {
            assert_eq!(is_at_alibaba(url), at_alibaba, "{url}");
        }
    }
}
