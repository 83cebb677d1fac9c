//! Profile `linkplus`: the official gateway's older search, for a picture that lies at a public address.
//!
//! One signed form post, `alibaba.cross.similar.offer.search`, over the same app, tokens and envelope as
//! [`aop`](super::aop). The gateway fetches the picture itself, so the address must be one that Alibaba can reach, and
//! a file alone cannot be searched for. Pages hold at most 20 offers; prices come in fen. Of one offer the gateway tells by
//! the same call as there. Not yet tried against the live gateway.

use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::Value;

use super::aop::{AopConfig, Gateway, offer_detail, open};
use super::{
    Input, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage, lenient,
};
use crate::clock::Clock;
use crate::offer::{Offer, OfferDetail, OfferId, Price, Supplier};

/// The profile's name in the configuration and the catalogue.
pub const PROFILE: &str = "linkplus";

const CALL: &str = "param2/1/com.alibaba.linkplus/alibaba.cross.similar.offer.search";
/// Measured by others: more is taken and not given.
const MAX_PAGE_SIZE: u32 = 20;
/// `keywords` stands in public code alone. There is a `sortFields`, but no source tells its words.
const TAKEN: [Input; 2] = [Input::Category, Input::Keyword];

/// The client of this search.
pub struct LinkplusUpstream {
    gateway: Gateway,
}

impl LinkplusUpstream {
    /// Asks nothing yet. Build, use and drop it outside of async tasks: its HTTP client blocks.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Param`] with code `config` for an address, key, secret or
    /// timeout that cannot work.
    pub fn new(config: AopConfig, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        Ok(Self { gateway: Gateway::new(PROFILE, config, clock)? })
    }
}

impl Upstream for LinkplusUpstream {
    fn profile(&self) -> &'static str {
        PROFILE
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits::OF_NO_UPLOAD
    }

    fn max_page_size(&self) -> u32 {
        MAX_PAGE_SIZE
    }

    fn make_ready(&self) -> Result<(), UpstreamError> {
        self.gateway.hold_token()
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        super::CheckParams::check(params, PROFILE, &TAKEN)?;
        let url = picture.address(PROFILE, params)?;
        let reply = self.gateway.with_token(|token| {
            let reply = self.gateway.call(CALL, Some(token), |ask| {
                ask.url_field("picUrl", url)
                    .field("page", params.page)
                    .field("pageSize", params.page_size.min(MAX_PAGE_SIZE))
                    .field_if("categoryID", params.category_id)
                    .field_if("priceMin", params.price_min)
                    .field_if("priceMax", params.price_max)
                    .field_if("keywords", params.keyword.as_ref())
            })?;
            open(&reply)?;
            Ok(reply)
        });
        let reply = reply.map_err(|error| match error.kind {
            // The gateway's words quote the address, and its query may be a signature.
            UpstreamErrorKind::Image => {
                let message = "the gateway cannot fetch or read the picture at its address";
                UpstreamError::new(PROFILE, UpstreamErrorKind::Image, error.code, message)
            }
            _ => error,
        })?;
        let result = &reply.value()["result"];
        let page = match &result["result"] {
            Value::Array(rows) => lenient::page(rows, lenient::total(&result["total"]), read_offer),
            _ => Err("the answer holds no list of offers"),
        };
        page.map_err(|what| reply.unreadable(what))
    }

    fn gives_details(&self) -> bool {
        true
    }

    /// The app needs the permission for that call beside the one for this search.
    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        self.gateway.with_token(|token| offer_detail(&self.gateway, token, offer_id))
    }

    /// Proves the address, the key and the secret, but not the access token.
    fn check(&self) -> Result<(), UpstreamError> {
        self.gateway.check()
    }
}

impl fmt::Debug for LinkplusUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkplusUpstream").field("gateway", &self.gateway).finish()
    }
}

fn read_offer(row: &Value) -> Option<Offer> {
    let offer_id = lenient::offer_id(&row["offerId"])?;
    let fen: Option<i64> = lenient::count(&row["oldPrice"]);
    let towns: Vec<String> =
        ["province", "city"].iter().filter_map(|key| lenient::text(&row[*key])).collect();
    Some(Offer {
        price: fen.and_then(|fen| Price::from_yuan(Decimal::new(fen, 2)).ok()),
        min_order_quantity: lenient::count(&row["quantityBegin"]),
        // Measured as a field; that it counts pieces on sale is ours.
        stock: lenient::count(&row["supplyAmount"]),
        category_ids: lenient::category_ids([&row["categoryId"]]),
        image_url: lenient::web_url(&row["imageUrl"]),
        detail_url: lenient::web_url(&row["detailUrl"]).or_else(|| Some(offer_id.page_url())),
        supplier: Supplier { address: lenient::joined(&towns), ..Supplier::default() },
        ..Offer::new(offer_id, lenient::text(&row["subject"]).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_price_in_fen_becomes_yuan_without_losing_a_digit() {
        for (fen, yuan) in [(json!(5900), "59.00"), (json!("7"), "0.07"), (json!(0), "0.00")] {
            let offer = read_offer(&json!({ "offerId": 1, "oldPrice": fen })).expect("an id");
            assert_eq!(offer.price.map(|price| price.to_string()).as_deref(), Some(yuan));
        }
        let without = read_offer(&json!({ "offerId": 1, "oldPrice": 59.5 })).expect("an id");
        assert_eq!(without.price, None, "half a fen is none");
    }
}
