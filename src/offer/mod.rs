//! What does 1688 sell? The noun that every upstream profile, the catalogue and the doors share.

mod id;
mod image_url;

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

pub use id::{OfferId, OfferIdError};
pub use image_url::canonical_image_url;
#[cfg(feature = "upstream")]
pub(crate) use image_url::is_host_of;

/// A price in CNY (yuan): a decimal, never a float, and never negative. Written to JSON as a string (`"59.00"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Decimal", into = "Decimal")]
pub struct Price(Decimal);

/// Why a text or number is not a [`Price`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a price: use a non-negative decimal number of yuan such as 59.00")]
pub struct PriceError(String);

impl Price {
    /// # Errors
    /// [`PriceError`] when `yuan` is negative.
    pub fn from_yuan(yuan: Decimal) -> Result<Self, PriceError> {
        if yuan.is_sign_negative() && !yuan.is_zero() {
            return Err(PriceError(yuan.to_string()));
        }
        Ok(Self(yuan))
    }

    /// In yuan.
    #[must_use]
    pub fn yuan(self) -> Decimal {
        self.0
    }
}

impl FromStr for Price {
    type Err = PriceError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || PriceError(text.chars().take(80).collect());
        let yuan = Decimal::from_str(text.trim()).map_err(|_| bad())?;
        Self::from_yuan(yuan).map_err(|_| bad())
    }
}

impl TryFrom<Decimal> for Price {
    type Error = PriceError;
    fn try_from(yuan: Decimal) -> Result<Self, Self::Error> {
        Self::from_yuan(yuan)
    }
}

impl From<Price> for Decimal {
    fn from(price: Price) -> Self {
        price.0
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who sells an offer. Every field may be missing: each upstream tells something else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supplier {
    /// Its name.
    pub company_name: Option<String>,
    /// As the platform writes it, for example `5A`.
    pub credit_level: Option<String>,
}

/// One thing for sale, whatever upstream it came from. Only the id and the title are certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// At its upstream, or the user's own.
    pub offer_id: OfferId,
    /// As the seller writes it.
    pub title: String,
    /// Of one piece.
    pub price: Option<Price>,
    /// Pieces.
    pub min_order_quantity: Option<u32>,
    /// The upstream's numbers of the offer's category and of those above it, the topmost first; as many as are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub category_ids: Vec<u64>,
    /// Pieces or orders of the last 30 days, as the upstream counts them.
    #[serde(default)]
    pub month_sold: Option<u32>,
    /// 0 to 100, only where the upstream states one; the official 1688 search never does.
    pub similarity: Option<u8>,
    /// Its first picture.
    pub image_url: Option<String>,
    /// Its page.
    pub detail_url: Option<String>,
    /// Who sells it.
    #[serde(default)]
    pub supplier: Supplier,
    /// When price, sales and all the rest were last told; another answer that names the offer renews them. `None` until
    /// it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
}

impl Offer {
    /// An offer of which nothing else is known.
    #[must_use]
    pub fn new(offer_id: OfferId, title: impl Into<String>) -> Self {
        Self {
            offer_id,
            title: title.into(),
            price: None,
            min_order_quantity: None,
            category_ids: Vec::new(),
            month_sold: None,
            similarity: None,
            image_url: None,
            detail_url: None,
            supplier: Supplier::default(),
            seen_at: None,
        }
    }
}

/// What a page about one offer tells beyond a row of a search. Everything but the offer's id may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferDetail {
    /// What a search tells of it, too.
    pub offer: Offer,
    /// The gallery, in the seller's order; the first is the main picture.
    pub image_urls: Vec<String>,
    /// Material, size, brand and the like.
    pub attributes: Vec<Attribute>,
    /// What can be ordered: one entry for each colour and size.
    pub skus: Vec<Sku>,
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
    /// Pieces on sale.
    pub stock: Option<u64>,
    /// A picture of this variant.
    pub image_url: Option<String>,
}
