//! The gateway's search for a picture at an address, from the server's side; `crate::upstream::linkplus` is the
//! client's. Flat parameters, prices in fen, `success` as a truth value, and a picture that cannot be fetched is an
//! error in HTTP 200 without a result.

use std::sync::Arc;

use serde_json::{Value, json};

use super::faults::{Fault as Injected, Stage};
use super::shared::{Answer, Shared};
use super::shop;
use crate::dialect::linkplus as dialect;
use crate::dialect::{Call, Fault};
use crate::offer::Offer;

pub(super) async fn similar_offers(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Fault> {
    let (url, wish) = dialect::asked(call)?;
    let failed = |_| Fault::new("gw.SystemError", "the search failed");
    let drawing = {
        let (shared, url) = (Arc::clone(shared), url.clone());
        tokio::task::spawn_blocking(move || shop::own_picture(&shared, &url))
    };
    let not_fetched = || {
        shared.gate.count_refused();
        Ok((dialect::not_fetched(&url), None))
    };
    let Some(picture) = drawing.await.map_err(failed)? else { return not_fetched() };
    let injected = shared.admit(Stage::OnlySearch)?;
    if injected == Some(Injected::ImageIdZero) {
        return not_fetched();
    }
    let shared = Arc::clone(shared);
    let work = tokio::task::spawn_blocking(move || {
        let found = shop::find(&shared, &picture, &wish);
        let rows: Vec<Value> = found.offers.iter().map(row).collect();
        dialect::page(found.total, &rows)
    });
    Ok((work.await.map_err(failed)?, injected))
}

/// With what an offer does not tell.
fn row(offer: &Offer) -> Value {
    let mut row = dialect::row(offer);
    row["unit"] = json!("件");
    row
}
