//! What stands in which column.

use super::{Assumptions, Language, SheetOffer, SheetRow, words_of};
use crate::offer::{Price, PriceStep, Score, Sku};
use crate::timestamp::Timestamp;

/// What a cell holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Empty,
    Text(String),
    Link(String),
    Number(f64),
    /// In yuan.
    Price(f64),
    /// Of a whole, 0 to 1.
    Share(f64),
    /// A small JPEG.
    Picture(&'a [u8]),
    /// Left to the user.
    Blank,
    /// Follows from the price and the assumptions.
    LandedCost,
    /// Follows from landed cost and what the user sells it for.
    Margin,
}

/// A column: its name for programs, its heads for people, and how wide it is in characters.
pub(super) struct Column {
    pub(super) name: &'static str,
    english: &'static str,
    chinese: &'static str,
    pub(super) width: u16,
    pub(super) is_picture: bool,
}

impl Column {
    pub(super) fn head(&self, language: Language) -> &'static str {
        language.of(self.english, self.chinese)
    }
}

const fn column(name: &'static str, english: &'static str, chinese: &'static str, width: u16) -> Column {
    Column { name, english, chinese, width, is_picture: false }
}

const fn picture(name: &'static str, english: &'static str, chinese: &'static str) -> Column {
    Column { name, english, chinese, width: 14, is_picture: true }
}

/// In their order.
pub(super) const COLUMNS: [Column; 45] = [
    column("key", "Key", "编号", 14),
    picture("picture", "Picture", "图片"),
    column("file", "File", "文件", 22),
    column("status", "Status", "状态", 12),
    column("why", "Why", "说明", 20),
    picture("matched_picture", "Matched", "匹配图片"),
    column("matched", "Matched as", "匹配名称", 18),
    column("confidence", "Confidence", "置信度", 11),
    column("rank", "Rank", "排名", 6),
    picture("offer_picture", "Offer picture", "商品图片"),
    column("title", "Title", "标题", 40),
    column("title_translated", "Translated title", "译文标题", 30),
    column("price", "Price (CNY)", "价格（元）", 11),
    column("unit_price", "Price at quantity (CNY)", "按量单价（元）", 13),
    column("price_ladder", "Price ladder", "阶梯价", 24),
    column("dropship_price", "Dropship price (CNY)", "代发价（元）", 13),
    column("promotion_price", "Promotion price (CNY)", "促销价（元）", 13),
    column("min_order", "Min. order", "起订量", 10),
    column("month_sold", "Sold, 30 days", "30天销量", 12),
    column("week_sold", "Sold, 7 days", "7天销量", 11),
    column("repurchase_rate", "Repurchase rate", "复购率", 12),
    column("trade_score", "Trade score", "交易评分", 10),
    column("ships", "Ships", "发货承诺", 14),
    column("returns", "Returns", "退货", 14),
    column("patented", "Patented", "专利", 9),
    column("invoice", "Invoice", "发票", 9),
    column("variants", "Variants", "规格数", 9),
    column("variant_prices", "Variants and prices", "规格与价格", 30),
    column("stock", "Stock", "库存", 10),
    column("weight_kg", "Weight (kg)", "重量（公斤）", 10),
    column("ships_from", "Ships from", "发货地", 16),
    column("freight", "Freight", "运费", 14),
    column("same_picture_as", "Same picture as", "同图商品", 16),
    column("shop", "Shop", "店铺", 26),
    column("level", "Level", "等级", 8),
    column("address", "Address", "地址", 18),
    column("years", "Years", "年限", 7),
    column("service_score", "Service score", "服务评分", 10),
    column("offer_id", "Offer", "商品编号", 16),
    column("link", "Link", "链接", 30),
    column("price_told_on", "Price as of", "价格日期", 12),
    column("asked_on", "Asked on", "查询日期", 12),
    column("landed_cost", "Landed cost", "到岸成本", 12),
    column("sell_price", "Sell for", "售价", 10),
    column("margin", "Margin", "毛利率", 9),
];

pub(super) fn place_of(name: &str) -> u16 {
    let place = COLUMNS.iter().position(|column| column.name == name);
    place.and_then(|place| u16::try_from(place).ok()).unwrap_or_default()
}

/// The cells of a row, in the order of [`COLUMNS`].
pub(super) fn cells<'a>(row: &SheetRow<'a>, language: Language) -> Vec<Cell<'a>> {
    COLUMNS.iter().map(|column| cell(row, column.name, language)).collect()
}

fn cell<'a>(row: &SheetRow<'a>, name: &str, language: Language) -> Cell<'a> {
    let (picture, offer) = (row.picture, row.offer());
    let is_first = row.rank == 0;
    let matched = picture.matched.as_ref();
    let jpeg = |bytes: Option<&'a Vec<u8>>| bytes.map_or(Cell::Empty, |bytes| Cell::Picture(bytes));
    let text =
        |text: Option<&str>| text.filter(|t| !t.is_empty()).map_or(Cell::Empty, |t| Cell::Text(t.to_owned()));
    let number = |number: Option<u32>| number.map_or(Cell::Empty, |n| Cell::Number(f64::from(n)));
    let price = |price: Option<Price>| price.and_then(in_yuan).map_or(Cell::Empty, Cell::Price);
    let score = |score: Option<Score>| {
        score.and_then(|score| score.to_string().parse().ok()).map_or(Cell::Empty, Cell::Number)
    };
    let yes_or_no = |flag: Option<bool>| {
        let word = |flag| if flag { language.of("yes", "是") } else { language.of("no", "否") };
        flag.map_or(Cell::Empty, |flag| Cell::Text(word(flag).to_owned()))
    };
    let day = |at: Option<Timestamp>| at.map_or(Cell::Empty, |at| Cell::Text(day_of(at)));
    let told = offer.map(|offer| &offer.offer);
    match name {
        "key" => text(picture.key.as_deref()),
        // Once for all rows of a picture, so that the sheet stays small.
        "picture" if is_first => jpeg(picture.thumbnail.as_ref()),
        "matched_picture" if is_first => jpeg(matched.and_then(|m| m.thumbnail.as_ref())),
        "file" => text(Some(&picture.id)),
        "status" => Cell::Text(picture.status.text(language).to_owned()),
        "why" => {
            let doubt = matched.and_then(|m| m.why).map(|why| why.to_string());
            text(picture.why.as_deref().or(doubt.as_deref()).map(|why| words_of(why, language)))
        }
        "matched" => text(matched.map(|m| m.label.as_str())),
        "confidence" => {
            matched.and_then(|m| m.confidence).map_or(Cell::Empty, |sure| Cell::Share(f64::from(sure)))
        }
        "rank" => offer.map_or(Cell::Empty, |_| number(u32::try_from(row.rank + 1).ok())),
        "offer_picture" => jpeg(offer.and_then(|offer| offer.thumbnail.as_ref())),
        "title" => text(told.map(|offer| offer.title.as_str())),
        "title_translated" => text(told.and_then(|offer| offer.title_translated.as_deref())),
        "price" => price(told.and_then(|offer| offer.price)),
        "unit_price" => yuan(row).map_or(Cell::Empty, Cell::Price),
        "price_ladder" => {
            let steps = offer.map(|offer| joined(offer.price_ladder(), step));
            text(steps.as_deref())
        }
        "dropship_price" => price(told.and_then(|offer| offer.dropship_price)),
        "promotion_price" => price(told.and_then(|offer| offer.promotion_price)),
        "min_order" => number(told.and_then(|offer| offer.min_order_quantity)),
        "month_sold" => number(told.and_then(|offer| offer.month_sold)),
        "week_sold" => number(told.and_then(|offer| offer.week_sold)),
        "repurchase_rate" => told
            .and_then(|offer| offer.repurchase_percent)
            .map_or(Cell::Empty, |percent| Cell::Share(f64::from(percent) / 100.0)),
        "trade_score" => score(told.and_then(|offer| offer.trade_score)),
        "ships" => {
            let promise = told.and_then(|offer| offer.shipping_promise.as_deref());
            text(promise.map(|promise| shipping(promise, language)))
        }
        "returns" => {
            let word = |may| {
                if may { language.of("7 days, no reason", "7天无理由") } else { language.of("no", "否") }
            };
            text(told.and_then(|offer| offer.no_reason_return).map(word))
        }
        "patented" => yes_or_no(told.and_then(|offer| offer.is_patented)),
        "invoice" => yes_or_no(told.and_then(|offer| offer.gives_invoice)),
        "variants" => number(row.details().and_then(|details| u32::try_from(details.variants.len()).ok())),
        "variant_prices" => {
            let variants = row.details().map(|details| joined(&details.variants, variant));
            text(variants.as_deref())
        }
        #[expect(clippy::cast_precision_loss, reason = "a spreadsheet has no other numbers")]
        "stock" => {
            offer.and_then(SheetOffer::stock).map_or(Cell::Empty, |pieces| Cell::Number(pieces as f64))
        }
        "weight_kg" => {
            row.weight_grams().map_or(Cell::Empty, |grams| Cell::Number(f64::from(grams) / 1000.0))
        }
        "ships_from" => text(row.details().and_then(|details| details.ships_from.as_deref())),
        "freight" => {
            let is_free = offer.and_then(SheetOffer::is_postage_free) == Some(true);
            let sum = row.details().and_then(|details| details.freight).map(|sum| format!("¥{sum}"));
            let free = is_free.then(|| language.of("paid by seller", "卖家包邮"));
            text(free.or(sum.as_deref()))
        }
        "same_picture_as" => offer
            .and_then(|offer| offer.same_picture_as.as_ref())
            .map_or(Cell::Empty, |id| Cell::Text(id.to_string())),
        "shop" => text(told.and_then(|offer| offer.supplier.company_name.as_deref())),
        "level" => text(told.and_then(|offer| offer.supplier.credit_level.as_deref())),
        "address" => text(told.and_then(|offer| offer.supplier.address.as_deref())),
        "years" => number(told.and_then(|offer| offer.supplier.years)),
        "service_score" => score(told.and_then(|offer| offer.supplier.service_score)),
        "offer_id" => told.map_or(Cell::Empty, |offer| Cell::Text(offer.offer_id.to_string())),
        "link" => row.link().map_or(Cell::Empty, Cell::Link),
        "price_told_on" => day(told.and_then(|offer| offer.seen_at).or(told.and(picture.asked_at))),
        "asked_on" => day(picture.asked_at),
        "landed_cost" if yuan(row).is_some() => Cell::LandedCost,
        "sell_price" if yuan(row).is_some() => Cell::Blank,
        "margin" if yuan(row).is_some() => Cell::Margin,
        _ => Cell::Empty,
    }
}

/// The platform's words for people; others as they are.
fn shipping(promise: &str, language: Language) -> &str {
    match promise {
        "shipInToday" => language.of("today", "当日发货"),
        "shipIn24Hours" => language.of("in 24 hours", "24小时发货"),
        "shipIn48Hours" => language.of("in 48 hours", "48小时发货"),
        other => other,
    }
}

/// What one of the wanted pieces costs.
pub(super) fn yuan(row: &SheetRow<'_>) -> Option<f64> {
    row.offer()?.unit_price.and_then(in_yuan)
}

/// What a piece of a row costs at the user's door.
pub(super) fn landed_cost(row: &SheetRow<'_>, assumed: Assumptions) -> Option<f64> {
    yuan(row).map(|price| assumed.landed_cost(price, row.weight_grams()))
}

/// `2+: 9.50`.
fn step(step: &PriceStep) -> String {
    format!("{}+: {}", step.from_quantity, step.price)
}

/// `red XL 9.50`.
fn variant(sku: &Sku) -> String {
    sku.price.map_or_else(|| sku.name(), |price| format!("{} {price}", sku.name()))
}

/// As many as a cell is read for; the workbook has a sheet of all variants.
const MAX_IN_A_CELL: usize = 20;

fn joined<T>(list: &[T], text: fn(&T) -> String) -> String {
    let mut texts: Vec<String> = list.iter().take(MAX_IN_A_CELL).map(text).collect();
    if list.len() > MAX_IN_A_CELL {
        texts.push(format!("… ({})", list.len()));
    }
    texts.join("; ")
}

/// A decimal of a few digits is exact enough in a spreadsheet.
pub(super) fn in_yuan(price: Price) -> Option<f64> {
    price.to_string().parse().ok()
}

/// The day in universal time: `2026-11-27`.
fn day_of(at: Timestamp) -> String {
    let text = at.to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sheet;
    use super::*;
    use crate::offer::{Attribute, OfferDetail};

    #[test]
    fn the_terms_of_an_offer_stand_in_their_columns_in_both_languages() {
        let mut sheet = sheet();
        let offer = &mut sheet.pictures[0].offers[0].offer;
        offer.dropship_price = "13.8".parse().ok();
        offer.repurchase_percent = Some(13);
        offer.trade_score = "4.8".parse().ok();
        offer.shipping_promise = Some("shipIn24Hours".to_owned());
        offer.is_patented = Some(false);
        offer.supplier.years = Some(9);
        let row = sheet.rows().next().unwrap();
        for (language, ships, no) in
            [(Language::English, "in 24 hours", "no"), (Language::Chinese, "24小时发货", "否")]
        {
            let cells = cells(&row, language);
            let of = |name| &cells[usize::from(place_of(name))];
            assert_eq!(of("dropship_price"), &Cell::Price(13.8));
            assert_eq!(of("repurchase_rate"), &Cell::Share(0.13));
            assert_eq!((of("trade_score"), of("years")), (&Cell::Number(4.8), &Cell::Number(9.0)));
            assert_eq!(of("ships"), &Cell::Text(ships.to_owned()));
            assert_eq!((of("patented"), of("invoice")), (&Cell::Text(no.to_owned()), &Cell::Empty));
        }
    }

    #[test]
    fn a_row_has_the_ladder_the_variants_and_the_price_of_the_wanted_quantity() {
        let mut sheet = sheet();
        let mut detail = OfferDetail::new(sheet.pictures[0].offers[0].offer.clone());
        let of = |from_quantity, price: &str| PriceStep { from_quantity, price: price.parse().unwrap() };
        detail.price_ladder = vec![of(2, "12.50"), of(100, "11.00")];
        (detail.weight_grams, detail.is_postage_free) = (Some(350), Some(true));
        let colour = |value: &str| vec![Attribute { name: "颜色".to_owned(), value: value.to_owned() }];
        let sku = |value, price: Option<&str>| Sku {
            attributes: colour(value),
            price: price.map(|price| price.parse().unwrap()),
            ..Sku::default()
        };
        detail.skus = vec![sku("红色", Some("12.50")), sku("蓝色", None)];
        sheet.pictures[0].offers[0].take_detail(Some(detail), Some(150));
        let row = sheet.rows().next().unwrap();
        let cells = cells(&row, Language::English);
        let of = |name| &cells[usize::from(place_of(name))];
        assert_eq!((of("price"), of("unit_price")), (&Cell::Price(12.5), &Cell::Price(11.0)));
        assert_eq!(of("price_ladder"), &Cell::Text("2+: 12.50; 100+: 11.00".to_owned()));
        assert_eq!(of("variant_prices"), &Cell::Text("红色 12.50; 蓝色".to_owned()));
        assert_eq!((of("variants"), of("weight_kg")), (&Cell::Number(2.0), &Cell::Number(0.35)));
        assert_eq!(of("freight"), &Cell::Text("paid by seller".to_owned()));
        let assumed = Assumptions { freight_per_kg: 10.0, ..Assumptions::default() };
        assert_eq!(landed_cost(&row, assumed), Some(14.5));
    }

    #[test]
    fn what_a_search_tells_stands_in_the_columns_of_details_until_there_are_some() {
        let mut offer = sheet().pictures[0].offers[0].offer.clone();
        let of = |from_quantity, price: &str| PriceStep { from_quantity, price: price.parse().unwrap() };
        (offer.price_ladder, offer.stock) = (vec![of(1, "12.50"), of(10, "11.00")], Some(40));
        (offer.weight_grams, offer.is_postage_free) = (Some(200), Some(false));
        offer.no_reason_return = Some(true);
        let row_of = |detail: Option<OfferDetail>| {
            let mut sheet = sheet();
            sheet.pictures[0].offers[0] = SheetOffer::new(offer.clone(), detail, Some(12));
            let row = sheet.rows().next().unwrap();
            let names = ["unit_price", "price_ladder", "stock", "weight_kg", "freight", "returns"];
            let cells = names.map(|name| cell(&row, name, Language::English));
            cells.map(|cell| match cell {
                Cell::Text(text) => text,
                Cell::Number(number) | Cell::Price(number) => number.to_string(),
                _ => String::new(),
            })
        };
        assert_eq!(row_of(None), ["11", "1+: 12.50; 10+: 11.00", "40", "0.2", "", "7 days, no reason"]);
        let mut detail = OfferDetail::new(offer.clone());
        (detail.price_ladder, detail.freight) = (vec![of(5, "9.00")], "6.50".parse().ok());
        detail.skus = vec![Sku { stock: Some(7), ..Sku::default() }; 2];
        assert_eq!(row_of(Some(detail)), ["9", "5+: 9.00", "14", "0.2", "¥6.50", "7 days, no reason"]);
    }

    #[test]
    fn every_column_has_a_name_and_heads_of_its_own() {
        for of in [|c: &Column| c.name, |c: &Column| c.english, |c: &Column| c.chinese] {
            let all: std::collections::BTreeSet<&str> = COLUMNS.iter().map(of).collect();
            assert_eq!(all.len(), COLUMNS.len());
        }
    }
}
