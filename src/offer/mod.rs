//! What does 1688 sell? The noun that every upstream profile, the catalogue and the doors share.

mod detail;
mod id;
mod image_url;
mod terms;

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

use detail::price_at;
pub use detail::{Attribute, OfferDetail, PriceStep, Sku};
pub use id::{OfferId, OfferIdError};
pub use image_url::canonical_image_url;
#[cfg(feature = "upstream")]
pub(crate) use image_url::is_host_of;
pub use terms::{Change, OfferTerms, TermChanges};

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
    /// Where it is, as the upstream writes it: an address or a town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// For how many years it has been a paying member of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub years: Option<u32>,
    /// What the platform gives it over all, 0 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_score: Option<Score>,
    /// What it is to the platform, in its words: `super_factory`, `powerful_merchants`, `tp_member`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
}

/// A mark that a platform gives, 0 to 5: a decimal, written to JSON as a string (`"4.8"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Decimal", into = "Decimal")]
pub struct Score(Decimal);

/// Why a text or number is not a [`Score`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a score: use a decimal number from 0 to 5")]
pub struct ScoreError(String);

impl FromStr for Score {
    type Err = ScoreError;
    fn from_str(text: &str) -> Result<Self, ScoreError> {
        let bad = || ScoreError(text.chars().take(80).collect());
        Decimal::from_str(text.trim()).map_err(|_| bad())?.try_into().map_err(|_| bad())
    }
}

impl TryFrom<Decimal> for Score {
    type Error = ScoreError;
    fn try_from(score: Decimal) -> Result<Self, ScoreError> {
        let is_one = Decimal::ZERO <= score && score <= Decimal::from(5);
        if is_one { Ok(Self(score)) } else { Err(ScoreError(score.to_string())) }
    }
}

impl From<Score> for Decimal {
    fn from(score: Score) -> Self {
        score.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One thing for sale, whatever upstream it came from. Only the id and the title are certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// At its upstream, or the user's own.
    pub offer_id: OfferId,
    /// As the seller writes it.
    pub title: String,
    /// The title in the language that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_translated: Option<String>,
    /// Of one piece.
    pub price: Option<Price>,
    /// Of one piece that is sent to the buyer's own customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropship_price: Option<Price>,
    /// Of one piece while a promotion lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_price: Option<Price>,
    /// Whether single pieces are sent to the buyer's own customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropships: Option<bool>,
    /// Pieces.
    pub min_order_quantity: Option<u32>,
    /// What a piece costs by how many are ordered, the smallest order first, where a search tells that. Details of the offer
    /// have a ladder of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_ladder: Vec<PriceStep>,
    /// Pieces on sale, of all variants together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<u64>,
    /// Of one packed piece, in grams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<u32>,
    /// Whether the seller pays the freight within China.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_postage_free: Option<bool>,
    /// The upstream's numbers of the offer's category and of those above it, the topmost first; as many as are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub category_ids: Vec<u64>,
    /// Pieces or orders of the last 30 days, as the upstream counts them.
    #[serde(default)]
    pub month_sold: Option<u32>,
    /// As `month_sold`, of the last 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week_sold: Option<u32>,
    /// Buyers who come again, in per cent, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repurchase_percent: Option<u8>,
    /// What the platform gives the trade in it, 0 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade_score: Option<Score>,
    /// When it is promised to be sent, in the platform's word: `shipIn24Hours`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_promise: Option<String>,
    /// Whether it may be sent back within seven days without a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_reason_return: Option<bool>,
    /// Whether the platform marks it as protected by a patent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_patented: Option<bool>,
    /// Whether an invoice may be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_invoice: Option<bool>,
    /// Which ones, in the platform's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invoice_types: Vec<String>,
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
            title_translated: None,
            price: None,
            dropship_price: None,
            promotion_price: None,
            dropships: None,
            min_order_quantity: None,
            price_ladder: Vec::new(),
            stock: None,
            weight_grams: None,
            is_postage_free: None,
            category_ids: Vec::new(),
            month_sold: None,
            week_sold: None,
            repurchase_percent: None,
            trade_score: None,
            shipping_promise: None,
            no_reason_return: None,
            is_patented: None,
            gives_invoice: None,
            invoice_types: Vec::new(),
            similarity: None,
            image_url: None,
            detail_url: None,
            supplier: Supplier::default(),
            seen_at: None,
        }
    }

    /// What one of so many pieces costs: by the ladder, else the price.
    #[must_use]
    pub fn unit_price(&self, quantity: u32) -> Option<Price> {
        price_at(&self.price_ladder, quantity).or(self.price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_lies_between_0_and_5_and_keeps_its_digits() {
        for good in ["5.0", "0", "4.85"] {
            assert_eq!(good.parse::<Score>().map(|score| score.to_string()).as_deref(), Ok(good));
        }
        for bad in ["5.1", "-1", "", "good"] {
            assert!(bad.parse::<Score>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_offer_that_an_earlier_version_stored_is_read_and_written_as_it_was() {
        let older = r#"{"offer_id":"864704291266","title":"杯","price":"12.50","min_order_quantity":2,"category_ids":[7],"month_sold":3,"similarity":null,"image_url":null,"detail_url":null,"supplier":{"company_name":"Workshop","credit_level":"5A"}}"#;
        let offer: Offer = serde_json::from_str(older).unwrap();
        assert_eq!((offer.month_sold, offer.trade_score, offer.dropships), (Some(3), None, None));
        assert_eq!(serde_json::to_string(&offer).unwrap(), older, "what was not told is not written");
    }
}
