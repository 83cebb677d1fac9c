//! What a page about one offer tells beyond a row of a search.

use serde::{Deserialize, Serialize};

use super::{Offer, Price};

/// Everything about one offer. All but the offer's id may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OfferDetail {
    /// What a search tells of it, too.
    pub offer: Offer,
    /// The gallery, in the seller's order; the first is the main picture.
    pub image_urls: Vec<String>,
    /// Material, size, brand and the like.
    pub attributes: Vec<Attribute>,
    /// What can be ordered: one entry for each colour and size.
    pub skus: Vec<Sku>,
    /// What a piece costs by how many are ordered, the smallest order first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_ladder: Vec<PriceStep>,
    /// Of one packed piece, in grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<u32>,
    /// Where it is sent from, as the upstream writes it: a province and a town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ships_from: Option<String>,
    /// Whether the seller pays the freight within China.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_postage_free: Option<bool>,
}

impl OfferDetail {
    /// An offer of which no more is known than a search tells.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self {
            offer,
            image_urls: Vec::new(),
            attributes: Vec::new(),
            skus: Vec::new(),
            price_ladder: Vec::new(),
            weight_grams: None,
            ships_from: None,
            is_postage_free: None,
        }
    }

    /// What one of so many pieces costs: by the ladder, else the offer's price. Fewer than the ladder begins with cost what its
    /// first step does, as that is the least that can be ordered.
    #[must_use]
    pub fn unit_price(&self, quantity: u32) -> Option<Price> {
        let step = self.price_ladder.iter().rev().find(|step| step.from_quantity <= quantity);
        step.or(self.price_ladder.first()).map(|step| step.price).or(self.offer.price)
    }
}

/// From so many pieces on, each costs this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceStep {
    /// Pieces, at least 1.
    pub from_quantity: u32,
    /// Of one piece.
    pub price: Price,
}

/// A property as the seller names it. One name may occur several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Such as the material.
    pub name: String,
    /// Such as ceramics.
    pub value: String,
}

/// One variant of an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sku {
    /// At its upstream.
    pub sku_id: Option<String>,
    /// What tells it from the other variants.
    pub attributes: Vec<Attribute>,
    /// Of one piece.
    pub price: Option<Price>,
    /// Of one piece that is sent to the buyer's own customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropship_price: Option<Price>,
    /// Pieces on sale.
    pub stock: Option<u64>,
    /// Of one packed piece, in grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<u32>,
    /// A picture of this variant.
    pub image_url: Option<String>,
}

impl Sku {
    /// What tells it from the other variants, for people: `red XL`.
    #[must_use]
    pub fn name(&self) -> String {
        let values: Vec<&str> = self.attributes.iter().map(|attribute| attribute.value.as_str()).collect();
        values.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::OfferId;
    use super::*;

    fn step(from_quantity: u32, price: &str) -> PriceStep {
        PriceStep { from_quantity, price: price.parse().unwrap() }
    }

    #[test]
    fn a_piece_costs_what_the_step_of_its_order_says() {
        let mut detail = OfferDetail::new(Offer::new(OfferId::new("1").unwrap(), "cup"));
        let at = |detail: &OfferDetail, quantity| detail.unit_price(quantity).map(|price| price.to_string());
        assert_eq!(at(&detail, 5), None);
        detail.offer.price = "9.90".parse().ok();
        assert_eq!(at(&detail, 5).as_deref(), Some("9.90"));
        detail.price_ladder = vec![step(2, "9.50"), step(100, "8.00"), step(1000, "7.25")];
        for (quantity, price) in
            [(0, "9.50"), (1, "9.50"), (2, "9.50"), (99, "9.50"), (100, "8.00"), (5000, "7.25")]
        {
            assert_eq!(at(&detail, quantity).as_deref(), Some(price), "{quantity}");
        }
    }

    #[test]
    fn details_that_an_earlier_version_stored_are_read_and_written_as_they_were() {
        let mut written =
            serde_json::to_value(OfferDetail::new(Offer::new(OfferId::new("1").unwrap(), "cup"))).unwrap();
        written["skus"] = serde_json::json!([
            {"sku_id": "10", "attributes": [], "price": "1.50", "stock": 3, "image_url": null}
        ]);
        let keys: Vec<&String> = written.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["attributes", "image_urls", "offer", "skus"]);
        let read: OfferDetail = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
}
