//! Profile `onebound`: the wrapper of that vendor, with its own key, quota and prices.
//!
//! A search is two requests: `1688/upload_img` gives the picture an address or id, `1688/item_search_img` answers for
//! it. Everything comes with HTTP 200; `error_code` tells, and the vendor's table says what is billed. Key and secret
//! must travel in the query, so no address of a request is ever printed. The search and the codes follow the vendor's
//! documentation, the upload follows public clients. `1688/item_get` tells of one offer. Not yet tried against the live
//! service.

mod detail;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::wire::{Reply, Request, Wire, config_error};
use super::{
    Input, ProviderCount, SearchParams, Secret, Sort, Tape, UploadLimits, UploadPicture, Upstream,
    UpstreamError, UpstreamErrorKind, UpstreamPage, WeightUnit, lenient, no_such_offer, not_taken,
};
use crate::clock::Clock;
use crate::offer::{Offer, OfferDetail, OfferId, Supplier};

/// The profile's name in the configuration and the catalogue.
pub const PROFILE: &str = "onebound";

const UPLOAD_PATH: &str = "/1688/upload_img/";
const SEARCH_PATH: &str = "/1688/item_search_img/";
const DETAIL_PATH: &str = "/1688/item_get/";
const TAKEN: [Input; 2] = [Input::Category, Input::Sort];

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct OneboundConfig {
    /// `http://` or `https://`, without user, query and fragment.
    pub base_url: String,
    /// Names the account.
    pub key: Secret,
    /// Proves it.
    pub secret: Secret,
    /// For each request, from the first byte out to the last byte in. A search is two requests.
    pub timeout: Duration,
    /// Of the weights that it tells, which its documentation does not say.
    pub weight_unit: WeightUnit,
    /// Records what is said, or stands in for the network.
    pub tape: Option<Arc<Tape>>,
}

impl OneboundConfig {
    /// The vendor's gateway.
    pub const DEFAULT_BASE_URL: &'static str = "https://api-gw.onebound.cn";
    /// The vendor answers within seconds, but documents waits of up to a minute.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

    /// The provider's address and time-out.
    #[must_use]
    pub fn new(key: Secret, secret: Secret) -> Self {
        Self {
            base_url: Self::DEFAULT_BASE_URL.to_owned(),
            key,
            secret,
            timeout: Self::DEFAULT_TIMEOUT,
            weight_unit: WeightUnit::default(),
            tape: None,
        }
    }
}

/// The client of this vendor.
pub struct OneboundUpstream {
    config: OneboundConfig,
    wire: Wire,
    /// Only to read a `Retry-After` that is a date.
    clock: Arc<dyn Clock>,
}

impl OneboundUpstream {
    /// Asks nothing yet. Build, use and drop it outside of async tasks: its HTTP client blocks.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Param`] with code `config` for an address, key, secret or timeout that cannot work.
    pub fn new(config: OneboundConfig, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        if config.key.is_empty() || config.secret.is_empty() {
            return Err(config_error(PROFILE, "key or secret is missing"));
        }
        let wire = Wire::new(
            PROFILE,
            &config.base_url,
            config.timeout,
            config.tape.clone(),
            &[&config.key, &config.secret],
        )?;
        Ok(Self { config, wire, clock })
    }

    /// Key and secret belong to every request.
    fn signed<'a>(&self, ask: Request<'a>) -> Request<'a> {
        ask.secret_query("key", &self.config.key)
            .secret_query("secret", &self.config.secret)
            .query("result_type", "json")
    }

    fn upload(&self, picture: &UploadPicture) -> Result<String, UpstreamError> {
        let imgcode = STANDARD.encode(&picture.bytes);
        let ask = self.signed(Request::post(UPLOAD_PATH)).picture_field("imgcode", imgcode, picture);
        let reply = self.send(&ask)?.0;
        let body = reply.value();
        let places = [
            body,
            &body["items"],
            &body["items"]["item"],
            &body["item"],
            &body["data"],
            &body["data"]["item"],
        ];
        let id = places.iter().find_map(|place| lenient::first_text(place, &["imgid", "name"]));
        id.ok_or_else(|| {
            let message = format!("the upload of {} bytes gave no imgid", picture.bytes.len());
            UpstreamError {
                billed: Some(false),
                ..UpstreamError::new(PROFILE, UpstreamErrorKind::Image, "no_imgid", message)
            }
        })
    }

    /// The reply and whether anything was found, unless it is a refusal.
    fn send(&self, ask: &Request<'_>) -> Result<(Reply, bool), UpstreamError> {
        let reply = self.wire.send(ask, self.clock.now())?;
        let said = reply.value();
        let code = lenient::text(&said["error_code"]);
        if reply.is_success() {
            match code.as_deref() {
                Some("0000") => return Ok((reply, true)),
                Some("2000") => return Ok((reply, false)),
                Some(_) => {}
                None if said.is_object() => return Err(reply.unreadable("the answer holds no error_code")),
                None => return Err(reply.unreadable("the answer is not a JSON object")),
            }
        }
        let code = code.unwrap_or_else(|| reply.status.to_string());
        let words = lenient::first_text(said, &["reason", "error"]);
        let (kind, billed) = classify(reply.status, &code);
        Err(UpstreamError { billed, ..reply.refusal(kind, &code, words) })
    }
}

impl Upstream for OneboundUpstream {
    fn profile(&self) -> &'static str {
        PROFILE
    }

    /// The bytes are ours (no limit is documented); pictures are sent as JPEG, because WebP is refused.
    fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            max_bytes: 1_000_000,
            advised_min_side_px: 300,
            max_side_px: 1000,
            takes_region: false,
        }
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        super::CheckParams::check(params, PROFILE, &TAKEN)?;
        let order = params.sort.map(order).transpose()?;
        let image_id = self.upload(picture)?;
        let ask = self
            .signed(Request::get(SEARCH_PATH))
            .query("imgid", image_id)
            .query("lang", "cn")
            // The picture has just been uploaded: an answer that the vendor kept is none to it.
            .query("cache", "no")
            .query("page", params.page)
            .query("page_size", params.page_size)
            .query_if("cat", params.category_id)
            .query_if("start_price", params.price_min)
            .query_if("end_price", params.price_max)
            .query_if("sort", order);
        let (reply, has_items) = self.send(&ask)?;
        let body = reply.value();
        let provider_count = lenient::text(&body["api_info"]).and_then(|info| ProviderCount::parse(&info));
        let page = if has_items {
            read_page(body).map_err(|what| reply.unreadable(what))?
        } else {
            UpstreamPage { total: Some(0), ..UpstreamPage::default() }
        };
        Ok(UpstreamPage { provider_count, ..page })
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        let ask = self
            .signed(Request::get(DETAIL_PATH))
            .query("num_iid", offer_id)
            .query("lang", "cn")
            // Whoever asks wants to know what is so today.
            .query("cache", "no");
        let (reply, is_known) = self.send(&ask)?;
        let item = &reply.value()["item"];
        if is_known && item.is_object() {
            Ok(detail::read_detail(item, offer_id, self.config.weight_unit))
        } else {
            Err(no_such_offer(PROFILE, offer_id))
        }
    }

    /// The vendor offers nothing that is free, so only the address is proved: an answer to a request that asks for
    /// nothing must be in the vendor's own words.
    fn check(&self) -> Result<(), UpstreamError> {
        let ask = self.signed(Request::get(SEARCH_PATH));
        match self.send(&ask) {
            // No picture was named: a refusal of just that says that key and secret were taken.
            Err(error) if error.kind == UpstreamErrorKind::Param => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl fmt::Debug for OneboundUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneboundUpstream").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What kind of trouble an answer reports, and whether it is billed where the vendor's table says so: nothing is but
/// `0000` and `2000`.
#[must_use]
pub fn classify(http_status: u16, code: &str) -> (UpstreamErrorKind, Option<bool>) {
    use UpstreamErrorKind::{Acl, Auth, Param, Quota, Rate, Transient, Unsupported};
    let kind = match code {
        "4000" | "4001" | "4002" | "4009" | "4017" | "5000" => Transient,
        "4003" | "4014" | "4015" => Param,
        "4004" | "4005" => Auth,
        "4006" | "4007" | "4012" => Acl,
        "4008" => Rate,
        "4010" => Unsupported,
        "4013" | "4016" => Quota,
        _ => {
            return match http_status {
                300..=399 | 404 | 405 | 410 | 501 => (Unsupported, Some(false)),
                401 => (Auth, Some(false)),
                403 => (Acl, Some(false)),
                429 => (Rate, Some(false)),
                _ => (Transient, None),
            };
        }
    };
    (kind, Some(false))
}

/// The vendor's words for orders; they are documented for its search by keyword, which shares the parameter.
fn order(sort: Sort) -> Result<&'static str, UpstreamError> {
    match sort {
        Sort::PriceAsc => Ok("bid"),
        Sort::PriceDesc => Ok("_bid"),
        Sort::MonthSoldDesc => Ok("_sale"),
        other => Err(not_taken(PROFILE, format_args!("the order {other}"))),
    }
}

fn read_page(body: &Value) -> Result<UpstreamPage, &'static str> {
    let items = &body["items"];
    let total =
        lenient::total(&items["real_total_results"]).or_else(|| lenient::total(&items["total_results"]));
    let Value::Array(rows) = &items["item"] else {
        return Err("the answer holds no list of items");
    };
    lenient::page(rows, total, read_offer)
}

fn read_offer(row: &Value) -> Option<Offer> {
    let offer_id = lenient::offer_id(&row["num_iid"])?;
    Some(Offer {
        price: lenient::price(&row["price"]),
        promotion_price: lenient::price(&row["promotion_price"]),
        dropships: lenient::flag(&row["one_psale"]),
        month_sold: lenient::count(&row["sales"]),
        // Both spellings were seen.
        repurchase_percent: ["turnHead", "turn_head"].iter().find_map(|key| lenient::share(&row[*key])),
        image_url: lenient::web_url(&row["pic_url"]),
        detail_url: lenient::web_url(&row["detail_url"]).or_else(|| Some(offer_id.page_url())),
        supplier: Supplier {
            company_name: lenient::text(&row["seller_nick"]),
            address: lenient::text(&row["area"]),
            ..Supplier::default()
        },
        ..Offer::new(offer_id, lenient::text(&row["title"]).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_kind_and_only_answers_are_billed() {
        use UpstreamErrorKind::{Acl, Auth, Param, Quota, Rate, Transient, Unsupported};
        let table = [
            ("4000", Transient),
            ("4001", Transient),
            ("4002", Transient),
            ("4003", Param),
            ("4004", Auth),
            ("4005", Auth),
            ("4006", Acl),
            ("4007", Acl),
            ("4008", Rate),
            ("4009", Transient),
            ("4010", Unsupported),
            ("4012", Acl),
            ("4013", Quota),
            ("4014", Param),
            ("4015", Param),
            ("4016", Quota),
            ("4017", Transient),
            ("5000", Transient),
        ];
        for (code, kind) in table {
            assert_eq!(classify(200, code), (kind, Some(false)), "{code}");
        }
        assert_eq!(classify(502, "502"), (Transient, None), "whether that was billed is not known");
        assert_eq!(classify(200, "9999"), (Transient, None));
    }
}
