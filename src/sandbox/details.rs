//! What the sandbox tells about one offer, whatever the dialect. A call about an offer takes a place in the quota as a search
//! does.

use super::goods::{Good, View};
use super::shared::Shared;
use super::shop;
use super::terms::Terms;
use crate::offer::{Attribute, OfferDetail, OfferId, Sku};

/// Everything about the good of this number, if there is one.
pub(super) fn find(shared: &Shared, offer_id: &OfferId) -> Option<OfferDetail> {
    let number = offer_id.as_str().parse().ok()?;
    shared.catalogue.find(number).map(|good| detail(shared, good))
}

fn detail(shared: &Shared, good: &Good) -> OfferDetail {
    let attribute = |name: &str, value: &str| Attribute { name: name.to_owned(), value: value.to_owned() };
    let variant = |good: &Good| {
        let terms = Terms::of(good, shared.market_day());
        Sku {
            sku_id: Some((good.offer_id * 10).to_string()),
            attributes: vec![attribute("颜色", good.colour)],
            price: Some(terms.price),
            dropship_price: terms.dropship_price,
            stock: Some(terms.stock),
            weight_grams: Some(terms.weight_grams),
            image_url: Some(shop::image_url(shared, good)),
        }
    };
    let terms = Terms::of(good, shared.market_day());
    let image = |view: &View| format!("{}/img/{}/{view}.jpg", shared.base_url, good.offer_id);
    let offer = shop::offer(shared, good, None);
    // The good itself first, then its other colours.
    let variants = std::iter::once(good).chain(shared.catalogue.colour_variants(good)).map(variant).collect();
    OfferDetail {
        image_urls: View::ALL.iter().map(image).collect(),
        attributes: vec![attribute("品类", good.kind), attribute("颜色", good.colour)],
        skus: variants,
        price_ladder: terms.price_ladder(good),
        weight_grams: Some(terms.weight_grams),
        ships_from: offer.supplier.address.clone(),
        is_postage_free: Some(terms.is_postage_free),
        freight: terms.freight,
        ..OfferDetail::new(offer)
    }
}
