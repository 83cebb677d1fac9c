//! What is asked beside a picture? Values without I/O.

mod region;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub use region::{Region, RegionError};

use crate::offer::Price;

/// What to ask for beside the picture: the first page of any offers, and what setters change of that. Part of the identity
/// of a stored answer.
///
/// ```
/// use tongkuan::upstream::SearchParams;
///
/// let second_page = SearchParams::default().category_id(1031).page(2);
/// # let _ = second_page;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchParams {
    /// Offers of this category alone.
    pub category_id: Option<u64>,
    /// Offers from this price on.
    pub price_min: Option<Price>,
    /// Offers up to this price.
    pub price_max: Option<Price>,
    /// The part of the picture that is meant, in pixels of the upright picture.
    #[serde(default)]
    pub region: Option<Region>,
    /// From 1 on.
    pub page: u32,
    /// Offers on a page, 1 to 50.
    pub page_size: u32,
}

impl Default for SearchParams {
    fn default() -> Self {
        Self { category_id: None, price_min: None, price_max: None, region: None, page: 1, page_size: 20 }
    }
}

impl SearchParams {
    /// Asks for offers of this category alone.
    #[must_use]
    pub fn category_id(self, category_id: impl Into<Option<u64>>) -> Self {
        Self { category_id: category_id.into(), ..self }
    }

    /// Asks for offers from this price on.
    #[must_use]
    pub fn price_min(self, price_min: impl Into<Option<Price>>) -> Self {
        Self { price_min: price_min.into(), ..self }
    }

    /// Asks for offers up to this price.
    #[must_use]
    pub fn price_max(self, price_max: impl Into<Option<Price>>) -> Self {
        Self { price_max: price_max.into(), ..self }
    }

    /// Asks about this part of the picture.
    #[must_use]
    pub fn region(self, region: impl Into<Option<Region>>) -> Self {
        Self { region: region.into(), ..self }
    }

    /// Asks for this page, from 1 on.
    #[must_use]
    pub fn page(self, page: u32) -> Self {
        Self { page, ..self }
    }

    /// Asks for so many offers on a page, 1 to 50.
    #[must_use]
    pub fn page_size(self, page_size: u32) -> Self {
        Self { page_size, ..self }
    }

    /// The canonical text of these parameters: equal exactly when the parameters ask for the same thing
    /// (`price_min` 5, 5.0 and 5.00 are one). Stored with every answer.
    #[must_use]
    pub fn key(&self) -> String {
        let price = |p: Option<Price>| p.map_or_else(String::new, |p| p.yuan().normalize().to_string());
        let mut key = format!(
            "category={};price={}..{};page={};size={}",
            self.category_id.map_or_else(String::new, |id| id.to_string()),
            price(self.price_min),
            price(self.price_max),
            self.page,
            self.page_size
        );
        if let Some(region) = self.region {
            // Writing to a string cannot fail.
            let _ = write!(key, ";region={region}");
        }
        key
    }

    /// Whether `text` is the [`key`](Self::key) of any parameters.
    #[must_use]
    pub fn is_key(text: &str) -> bool {
        let number = |text: &str| text.parse::<u64>().is_ok();
        let price = |text: &str| text.is_empty() || text.parse::<Price>().is_ok();
        let mut fields = text.split(';').map(|field| field.split_once('='));
        let mut next = |wanted: &str, is_one: &dyn Fn(&str) -> bool| matches!(fields.next(), Some(Some((name, value))) if name == wanted && is_one(value));
        let is_range = |text: &str| text.split_once("..").is_some_and(|(min, max)| price(min) && price(max));
        next("category", &|text| text.is_empty() || number(text))
            && next("price", &is_range)
            && next("page", &number)
            && next("size", &number)
            && match fields.next() {
                None => true,
                Some(Some(("region", region))) => region.parse::<Region>().is_ok() && fields.next().is_none(),
                Some(_) => false,
            }
    }
}
