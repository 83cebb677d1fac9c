//! On which terms are the goods sold? What the official search tells of an offer beside its picture, title and price, and
//! which of its filters an offer meets. All of it follows from the good's number and, where the market has days, from the day.

use rust_decimal::Decimal;

use super::goods::Good;
use crate::dice::{Dice, mix};
use crate::offer::{Price, PriceStep, Score};
use crate::question::OfferFilter;

/// When it is promised to be sent; the soonest first.
const SHIPPING: [&str; 3] = ["shipInToday", "shipIn24Hours", "shipIn48Hours"];
const INVOICES: [&str; 2] = ["普通发票", "增值税专用发票"];

/// The terms of one good.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) title_translated: String,
    /// The good's, up to a tenth more or less from day to day.
    pub(super) price: Price,
    /// Dearer than the goods by the lot; only of goods that are sold so.
    pub(super) dropship_price: Option<Price>,
    pub(super) promotion_price: Option<Price>,
    pub(super) month_sold: u32,
    pub(super) week_sold: u32,
    pub(super) repurchase_percent: u8,
    pub(super) trade_score: Score,
    pub(super) shipping_promise: &'static str,
    pub(super) is_patented: bool,
    pub(super) invoice_types: Vec<String>,
    pub(super) years: u32,
    pub(super) service_score: Score,
    pub(super) identities: Vec<String>,
    /// Of one packed piece.
    pub(super) weight_grams: u32,
    /// Whether the seller pays the freight.
    pub(super) is_postage_free: bool,
    /// What it costs where the buyer pays.
    pub(super) freight: Option<Price>,
    /// Of this colour.
    pub(super) stock: u64,
    /// Whether it may be sent back without a reason.
    pub(super) no_reason_return: bool,
}

impl Terms {
    pub(super) fn of(good: &Good, market_day: Option<u64>) -> Self {
        let mut dice = Dice::of(&[good.offer_id, 5]);
        let mut today = market_day.map(|day| Dice::of(&[good.offer_id, 7, day]));
        let mut percent = || today.as_mut().map_or(100, |today| 90 + today.below(21));
        let price = times(good.price, percent());
        // Those of the seller are alike for all colours of a model.
        let mut seller = Dice::of(&[u64::from(good.model), 6]);
        let month_sold = (dice.below(3000) * percent() / 100) as u32;
        let years = 1 + seller.below(18) as u32;
        let identity = seller.pick(&["super_factory", "powerful_merchants", "tp_member"]);
        let is_promoted = dice.below(4) == 0;
        let is_postage_free = good.model.is_multiple_of(3);
        Self {
            title_translated: format!("{} {}", colour_in_english(good.colour), kind_in_english(good.kind)),
            price,
            dropship_price: (dice.below(2) == 0).then(|| times(price, 115)),
            promotion_price: is_promoted.then(|| times(price, 90)),
            month_sold,
            week_sold: month_sold / 4,
            repurchase_percent: 5 + dice.below(60) as u8,
            trade_score: tenths(35 + dice.below(16)),
            shipping_promise: dice.pick(&SHIPPING),
            is_patented: dice.below(10) == 0,
            invoice_types: INVOICES[..seller.below(3)].iter().map(|&kind| kind.to_owned()).collect(),
            years,
            service_score: tenths(30 + seller.below(21)),
            identities: vec![identity.to_owned()],
            weight_grams: 40 + 10 * seller.below(200) as u32,
            is_postage_free,
            freight: (!is_postage_free).then(|| yuan(300 + 50 * i64::from(good.model % 10))),
            stock: 999,
            no_reason_return: is_met_by_chance(OfferFilter::NO_REASON_RETURN.word(), good),
        }
    }

    /// Ten and a hundred times the smallest order cost less a piece.
    pub(super) fn price_ladder(&self, good: &Good) -> Vec<PriceStep> {
        let step = |times_as_many: u32, percent| PriceStep {
            from_quantity: good.min_order_quantity.max(1) * times_as_many,
            price: times(self.price, percent),
        };
        vec![PriceStep { price: self.price, ..step(1, 100) }, step(10, 94), step(100, 87)]
    }

    /// What is sent sooner meets the filter for what is sent later, too. Half of all goods meet a filter that stands for
    /// nothing that is known of goods here.
    pub(super) fn meet(&self, filter: OfferFilter, good: &Good) -> bool {
        let word = filter.word();
        if let Some(wanted) = SHIPPING.iter().position(|promise| *promise == word) {
            return SHIPPING[..=wanted].contains(&self.shipping_promise);
        }
        match word {
            "isOnePsale" => self.dropship_price.is_some(),
            "certifiedFactory" => self.identities.iter().any(|identity| identity == "super_factory"),
            _ => is_met_by_chance(word, good),
        }
    }
}

fn is_met_by_chance(word: &str, good: &Good) -> bool {
    word.bytes().fold(mix(good.offer_id), |sum, byte| mix(sum ^ u64::from(byte))) % 2 == 0
}

fn yuan(fen: i64) -> Price {
    Price::from_yuan(Decimal::new(fen, 2)).expect("not negative")
}

/// In whole fen.
fn times(price: Price, percent: usize) -> Price {
    let percent = i64::try_from(percent).unwrap_or(100);
    let yuan = (price.yuan() * Decimal::new(percent, 2)).round_dp(2);
    Price::from_yuan(yuan).unwrap_or(price)
}

fn tenths(tenths: usize) -> Score {
    Decimal::new(i64::try_from(tenths).unwrap_or(50), 1).try_into().expect("at most 5")
}

fn kind_in_english(kind: &str) -> &'static str {
    match kind {
        "马克杯" => "mug",
        "保温杯" => "vacuum bottle",
        "水壶" => "kettle",
        "T恤" => "T-shirt",
        "帽子" => "cap",
        "运动鞋" => "sneakers",
        "手提包" => "handbag",
        "双肩包" => "backpack",
        "台灯" => "desk lamp",
        "椅子" => "chair",
        "玩具车" => "toy car",
        "手表" => "watch",
        "耳机" => "earphones",
        "手机壳" => "phone case",
        _ => "goods",
    }
}

fn colour_in_english(colour: &str) -> &'static str {
    match colour {
        "白色" => "white",
        "黑色" => "black",
        "红色" => "red",
        "蓝色" => "blue",
        "天蓝色" => "sky blue",
        "粉色" => "pink",
        "绿色" => "green",
        "墨绿色" => "dark green",
        "黄色" => "yellow",
        "橙色" => "orange",
        "紫色" => "purple",
        "灰色" => "grey",
        "棕色" => "brown",
        "米色" => "beige",
        _ => "coloured",
    }
}

#[cfg(test)]
mod tests {
    use super::super::goods::Catalogue;
    use super::*;

    #[test]
    fn every_good_has_terms_in_both_languages_and_every_filter_parts_the_goods() {
        let catalogue = Catalogue::new(7);
        let goods = catalogue.goods();
        for good in goods {
            let title = Terms::of(good, None).title_translated;
            assert!(!title.contains("coloured") && !title.contains("goods"), "{} {}", good.kind, good.colour);
        }
        for word in OfferFilter::WORDS {
            let filter = word.parse().unwrap();
            let met = goods.iter().filter(|good| Terms::of(good, None).meet(filter, good)).count();
            // All goods are sent within two days.
            let is_parting =
                if word == "shipIn48Hours" { met == goods.len() } else { 0 < met && met < goods.len() };
            assert!(is_parting, "{word}: {met}");
        }
    }
}
