//! What a search asks for beside the picture, whatever the dialect.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use image::RgbImage;
use image::imageops::crop_imm;
use rust_decimal::Decimal;

use crate::offer::{Offer, Price};
use crate::question::{self, OfferFilter, Phrase, Sort};

/// What a search asks for beside the picture.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) category_id: Option<u64>,
    pub(crate) price_min: Option<Price>,
    pub(crate) price_max: Option<Price>,
    /// Words that must all stand in the title.
    pub(crate) keyword: Option<String>,
    /// Whether they are in another language than the title.
    pub(crate) translate_keyword: bool,
    pub(crate) auxiliary_text: Option<Phrase>,
    pub(crate) item_title: Option<Phrase>,
    pub(crate) collection_id: Option<Phrase>,
    pub(crate) filters: BTreeSet<OfferFilter>,
    /// By likeness without one.
    pub(crate) order: Option<Sort>,
    /// 1-based.
    pub(crate) page: usize,
    pub(crate) page_size: usize,
}

/// Puts offers, or what holds one, in an order. Those that do not tell what they are ordered by come last: they may be
/// anything.
pub(crate) fn put_in_order<T>(items: &mut [T], order: Option<Sort>, offer: impl Fn(&T) -> &Offer) {
    let Some(sort) = order else { return };
    let value = |item: &T| {
        let offer = offer(item);
        match sort {
            Sort::PriceAsc | Sort::PriceDesc => offer.price.map(Price::yuan),
            Sort::MonthSoldAsc | Sort::MonthSoldDesc => offer.month_sold.map(Decimal::from),
            Sort::RepurchaseRateAsc | Sort::RepurchaseRateDesc => offer.repurchase_percent.map(Decimal::from),
        }
    };
    match sort {
        Sort::PriceAsc | Sort::MonthSoldAsc | Sort::RepurchaseRateAsc => {
            items.sort_by_key(|item| (value(item).is_none(), value(item)));
        }
        Sort::PriceDesc | Sort::MonthSoldDesc | Sort::RepurchaseRateDesc => {
            items.sort_by_key(|item| Reverse(value(item)));
        }
    }
}

impl Wish {
    pub(crate) fn page(page: usize, page_size: usize) -> Self {
        Self {
            category_id: None,
            price_min: None,
            price_max: None,
            keyword: None,
            translate_keyword: false,
            auxiliary_text: None,
            item_title: None,
            collection_id: None,
            filters: BTreeSet::new(),
            order: None,
            page,
            page_size,
        }
    }
}

/// A part of a picture, as the gateway writes it: `x1,x2,y1,y2` in pixels, both x first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Region {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
        let [left, right, top, bottom] = numbers.try_into().ok()?;
        (left < right && top < bottom).then_some(Self { left, right, top, bottom })
    }

    /// That part of the picture; nothing when it lies outside.
    #[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "the gateway passes it on"))]
    pub(crate) fn of(self, picture: &RgbImage) -> Option<RgbImage> {
        let (right, bottom) = (self.right.min(picture.width()), self.bottom.min(picture.height()));
        let (width, height) = (right.checked_sub(self.left)?, bottom.checked_sub(self.top)?);
        (width > 0 && height > 0).then(|| crop_imm(picture, self.left, self.top, width, height).to_image())
    }

    /// As questions have it.
    pub(crate) fn as_asked(self) -> Option<question::Region> {
        question::Region::new(self.left, self.top, self.right, self.bottom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::OfferId;

    #[test]
    fn what_does_not_tell_by_what_it_is_ordered_comes_last() {
        let offer = |id: &str, sold, percent| Offer {
            month_sold: sold,
            repurchase_percent: percent,
            ..Offer::new(OfferId::new(id).unwrap(), "")
        };
        let told = [offer("1", None, Some(5)), offer("2", Some(9), None), offer("3", Some(10), Some(40))];
        for (order, expected) in [
            (None, ["1", "2", "3"]),
            (Some(Sort::MonthSoldAsc), ["2", "3", "1"]),
            (Some(Sort::MonthSoldDesc), ["3", "2", "1"]),
            (Some(Sort::RepurchaseRateDesc), ["3", "1", "2"]),
            (Some(Sort::PriceAsc), ["1", "2", "3"]),
        ] {
            let mut offers = told.clone();
            put_in_order(&mut offers, order, |offer| offer);
            let ids: Vec<&str> = offers.iter().map(|offer| offer.offer_id.as_str()).collect();
            assert_eq!(ids, expected, "{order:?}");
        }
    }
}
