//! What do the upstreams' dialects say, from the server's side? How a search is read and its answer written in each of them: for
//! the sandbox, which plays an upstream, and for the service's gateway, which stands before one.
//!
//! Who is asked, and what is found, is the business of both; here are only words. What is not documented anywhere is marked
//! as ours.

pub(crate) mod aop;
pub(crate) mod article;
mod call;
pub(crate) mod linkplus;
pub(crate) mod onebound;
mod refusal;
pub(crate) mod tmapi;
mod wish;

pub(crate) use call::{Call, Fault, gateway_time};
pub(crate) use refusal::Refusal;
pub(crate) use wish::{Region, Wish, put_in_order};

use crate::offer::{Offer, OfferDetail, PriceStep};

/// The page of an offer as 1688 addresses it, where nobody said.
fn detail_url(offer: &Offer) -> String {
    offer.detail_url.clone().unwrap_or_else(|| offer.offer_id.page_url())
}

/// As a number, as the gateway has it, where it is one.
fn number(offer: &Offer) -> serde_json::Value {
    let id = offer.offer_id.as_str();
    id.parse::<u64>().map_or_else(|_| id.into(), Into::into)
}

/// The ladder of prices; of an offer that has none, its price from its smallest order on.
fn price_ranges(detail: &OfferDetail) -> Vec<serde_json::Value> {
    let range = |quantity, price| serde_json::json!({ "startQuantity": quantity, "price": price });
    if detail.price_ladder.is_empty() {
        return vec![range(detail.offer.min_order_quantity, detail.offer.price)];
    }
    let of_step = |step: &PriceStep| range(Some(step.from_quantity), Some(step.price));
    detail.price_ladder.iter().map(of_step).collect()
}

/// Grams in kilograms, as the gateway has them.
fn kg(grams: u32) -> f64 {
    f64::from(grams) / 1000.0
}

/// The first of several parameters of this name that says something.
fn param<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}
