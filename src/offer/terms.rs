//! What an offer costs, from how many pieces on, and how it sells: what changes over time.

use serde::Serialize;

use super::{Offer, Price};
use crate::timestamp::Timestamp;

/// What was told of an offer from one time to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferTerms {
    /// The upstream that told it.
    pub profile: String,
    /// When it was told first.
    pub since: Timestamp,
    /// When it was told last.
    pub until: Timestamp,
    /// Of one piece.
    pub price: Option<Price>,
    /// Of one piece while a promotion lasts.
    pub promotion_price: Option<Price>,
    /// Pieces.
    pub min_order_quantity: Option<u32>,
    /// Pieces or orders of the last 30 days, as the upstream counts them.
    pub month_sold: Option<u32>,
}

/// A value of before, and the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// `None` where it was not told.
    pub before: Option<T>,
    /// Never `None`: what is not told any more is no change.
    pub after: Option<T>,
}

/// What has changed in an offer's terms; in JSON, what has not is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TermChanges {
    /// Of one piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Change<Price>>,
    /// Of one piece while a promotion lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_price: Option<Change<Price>>,
    /// Pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_order_quantity: Option<Change<u32>>,
    /// Pieces or orders of the last 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_sold: Option<Change<u32>>,
}

impl OfferTerms {
    /// What an offer says, as told by `profile` at a time.
    #[must_use]
    pub fn of(offer: &Offer, profile: &str, told_at: Timestamp) -> Self {
        Self {
            profile: profile.to_owned(),
            since: told_at,
            until: told_at,
            price: offer.price,
            promotion_price: offer.promotion_price,
            min_order_quantity: offer.min_order_quantity,
            month_sold: offer.month_sold,
        }
    }

    /// What is different in `later`. What `later` does not tell counts as unchanged, because searches and details tell
    /// different things; `59.0` and `59.00` are one price.
    #[must_use]
    pub fn changes_to(&self, later: &Self) -> TermChanges {
        TermChanges {
            price: change(self.price, later.price),
            promotion_price: change(self.promotion_price, later.promotion_price),
            min_order_quantity: change(self.min_order_quantity, later.min_order_quantity),
            month_sold: change(self.month_sold, later.month_sold),
        }
    }
}

impl TermChanges {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn change<T: PartialEq>(before: Option<T>, after: Option<T>) -> Option<Change<T>> {
    (after.is_some() && before != after).then_some(Change { before, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(price: &str, month_sold: Option<u32>) -> OfferTerms {
        let offer = Offer {
            price: Some(price.parse().unwrap()),
            month_sold,
            ..Offer::new(super::super::OfferId::new("1").unwrap(), "")
        };
        OfferTerms::of(&offer, "aop", Timestamp::from_unix_ms(0))
    }

    #[test]
    fn what_is_not_told_any_more_is_no_change_and_neither_are_more_zeros() {
        let before = told("59.0", Some(7));
        assert!(before.changes_to(&told("59.00", None)).is_empty());
        let changes = before.changes_to(&told("58", Some(7)));
        assert_eq!(changes.price.unwrap().after, Some("58".parse().unwrap()));
        assert_eq!(serde_json::to_string(&changes).unwrap(), r#"{"price":{"before":"59.0","after":"58"}}"#);
    }

    #[test]
    fn what_is_told_for_the_first_time_is_a_change_from_nothing() {
        let changes = told("1", None).changes_to(&told("1", Some(3)));
        assert_eq!(changes.month_sold, Some(Change { before: None, after: Some(3) }));
    }
}
