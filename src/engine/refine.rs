//! Which of the offers does the caller want to see? Chosen among those that are there, so it never costs a call.

use crate::offer::Offer;
use crate::store::Words;

/// What the offers of an answer must be like. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refine {
    /// All of them stand in the title.
    pub words: Option<Words>,
    /// Pieces. An offer that does not state its minimum order is kept: it may be one.
    pub max_min_order: Option<u32>,
}

impl Refine {
    /// Offers whose title holds all of `words`.
    #[must_use]
    pub fn words(self, words: impl Into<Option<Words>>) -> Self {
        Self { words: words.into(), ..self }
    }

    /// Offers of which as few pieces as this may be bought.
    #[must_use]
    pub fn max_min_order(self, pieces: impl Into<Option<u32>>) -> Self {
        Self { max_min_order: pieces.into(), ..self }
    }

    fn wants(&self, offer: &Offer) -> bool {
        let small =
            self.max_min_order.is_none_or(|max| offer.min_order_quantity.is_none_or(|min| min <= max));
        small && self.words.as_ref().is_none_or(|words| words.are_in(&offer.title))
    }

    /// Takes out what is not wanted, and returns how many that were.
    pub(super) fn apply(&self, offers: &mut Vec<Offer>) -> usize {
        let before = offers.len();
        offers.retain(|offer| self.wants(offer));
        before - offers.len()
    }
}
