//! What a page about one offer tells beyond a row of a search.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Offer, Price, canonical_image_url};

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
    /// What freight within China costs, where the page names a sum. To where, and for how many pieces, no upstream tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freight: Option<Price>,
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
            freight: None,
        }
    }

    /// What one of so many pieces costs: by the ladder, else the offer's price. Fewer than the ladder begins with cost what its
    /// first step does, as that is the least that can be ordered.
    #[must_use]
    pub fn unit_price(&self, quantity: u32) -> Option<Price> {
        price_at(&self.price_ladder, quantity).or_else(|| self.offer.unit_price(quantity))
    }

    /// Pieces on sale: those of the variants together, else what is told of the whole.
    #[must_use]
    pub fn stock(&self) -> Option<u64> {
        let of_variants = self.skus.iter().filter_map(|sku| sku.stock);
        of_variants.reduce(u64::saturating_add).or(self.offer.stock)
    }

    /// The canonical addresses of the variants' pictures, each once, in the order of the variants.
    #[must_use]
    pub fn variant_images(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        let addresses = self.skus.iter().filter_map(|sku| canonical_image_url(sku.image_url.as_deref()?));
        addresses.filter(|address| seen.insert(address.clone())).collect()
    }

    /// What the picture at a canonical address shows, for people: what the variants that have it share, such as a colour.
    #[must_use]
    pub fn variant_shown_at(&self, address: &str) -> Option<String> {
        let shows =
            |sku: &&Sku| sku.image_url.as_deref().and_then(canonical_image_url).as_deref() == Some(address);
        let mut shown = self.skus.iter().filter(shows);
        let mut shared: Vec<&Attribute> = shown.next()?.attributes.iter().collect();
        for sku in shown {
            shared.retain(|attribute| sku.attributes.contains(attribute));
        }
        let values: Vec<&str> = shared.iter().map(|attribute| attribute.value.as_str()).collect();
        Some(values.join(" ")).filter(|name| !name.is_empty())
    }
}

/// The price of the step that so many pieces reach; `None` without steps.
pub(super) fn price_at(ladder: &[PriceStep], quantity: u32) -> Option<Price> {
    let step = ladder.iter().rev().find(|step| step.from_quantity <= quantity);
    step.or(ladder.first()).map(|step| step.price)
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
        // A search's ladder will do where details tell none.
        detail.offer.price_ladder = std::mem::take(&mut detail.price_ladder);
        assert_eq!(at(&detail, 150).as_deref(), Some("8.00"));
    }

    #[test]
    fn a_picture_of_several_sizes_shows_their_colour() {
        let mut detail = OfferDetail::new(Offer::new(OfferId::new("1").unwrap(), "cup"));
        let sku = |colour: &str, size: &str, picture: Option<&str>| Sku {
            attributes: [("颜色", colour), ("尺码", size)]
                .map(|(name, value)| Attribute { name: name.to_owned(), value: value.to_owned() })
                .into(),
            image_url: picture.map(|name| format!("https://cbu01.alicdn.com/img/ibank/{name}.jpg")),
            ..Sku::default()
        };
        detail.skus = vec![
            sku("红色", "M", Some("red")),
            sku("红色", "L", Some("red")),
            sku("蓝色", "M", Some("blue")),
            sku("白色", "M", None),
        ];
        let images = detail.variant_images();
        let shown: Vec<Option<String>> = images.iter().map(|image| detail.variant_shown_at(image)).collect();
        assert_eq!(shown, [Some("红色".to_owned()), Some("蓝色 M".to_owned())]);
        assert_eq!(detail.variant_shown_at("https://cbu01.alicdn.com/img/ibank/other.jpg"), None);
    }

    #[test]
    fn the_stock_is_that_of_all_variants_or_what_is_told_of_the_whole() {
        let mut detail = OfferDetail::new(Offer::new(OfferId::new("1").unwrap(), "cup"));
        assert_eq!(detail.stock(), None);
        detail.offer.stock = Some(7);
        detail.skus = vec![Sku::default(), Sku::default()];
        assert_eq!(detail.stock(), Some(7), "no variant tells of any");
        detail.skus[0].stock = Some(u64::MAX);
        detail.skus[1].stock = Some(3);
        assert_eq!(detail.stock(), Some(u64::MAX));
        detail.skus[0].stock = Some(0);
        assert_eq!(detail.stock(), Some(3));
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
