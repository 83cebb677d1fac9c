//! `1688/item_get`: what does the vendor say about one offer?
//!
//! Request and fields are the vendor's own page. Ours: that a weight without a unit is in that of the configuration, and that
//! freight of 0 says nothing. Only in public code: `onepiece_price`.

use serde_json::Value;

use super::super::{WeightUnit, lenient};
use crate::offer::{Attribute, Offer, OfferDetail, OfferId, PriceStep, Sku, Supplier};

pub(super) fn read_detail(item: &Value, asked: &OfferId, unit: WeightUnit) -> OfferDetail {
    let mut image_urls: Vec<String> =
        list(&item["item_imgs"]).filter_map(|entry| lenient::web_url(&entry["url"])).collect();
    let main = lenient::web_url(&item["pic_url"]);
    if image_urls.is_empty() {
        image_urls.extend(main.clone());
    }
    let skus: Vec<Sku> = list(&item["skus"]["sku"])
        .filter(|entry| entry.is_object())
        .map(|entry| sku(entry, &item["props_img"]))
        .collect();
    let ladder = ladder(&item["priceRange"]);
    let offer_id = lenient::offer_id(&item["num_iid"]).unwrap_or_else(|| asked.clone());
    let seller = &item["seller_info"];
    let mut category_ids = lenient::category_ids(["rootCatId", "cid"].map(|key| &item[key]));
    category_ids.dedup();
    let offer = Offer {
        price: lenient::price(&item["price"])
            .or_else(|| ladder.first().map(|step| step.price))
            .or_else(|| skus.iter().filter_map(|sku| sku.price).min()),
        dropship_price: skus.iter().filter_map(|sku| sku.dropship_price).min(),
        min_order_quantity: lenient::count(&item["min_num"])
            .filter(|pieces| *pieces > 0)
            .or_else(|| ladder.first().map(|step| step.from_quantity)),
        stock: lenient::count(&item["num"]),
        category_ids,
        image_url: main.or_else(|| image_urls.first().cloned()),
        detail_url: lenient::web_url(&item["detail_url"]).or_else(|| Some(offer_id.page_url())),
        supplier: Supplier {
            company_name: lenient::first_text(seller, &["shop_name", "title"])
                .or_else(|| lenient::text(&item["nick"])),
            ..Supplier::default()
        },
        ..Offer::new(offer_id, lenient::text(&item["title"]).unwrap_or_default())
    };
    OfferDetail {
        image_urls,
        attributes: list(&item["props"]).filter_map(property).collect(),
        skus,
        price_ladder: ladder,
        weight_grams: lenient::grams(&item["item_weight"], unit),
        ships_from: lenient::text(&item["location"]),
        freight: ["post_fee", "express_fee"].iter().find_map(|key| lenient::sum(&item[*key])),
        ..OfferDetail::new(offer)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn property(entry: &Value) -> Option<Attribute> {
    Some(Attribute { name: lenient::text(&entry["name"])?, value: lenient::text(&entry["value"])? })
}

/// `[[2, 9.5], [100, 8]]`: from so many pieces on, each costs this. Where there is one step alone, its two numbers stand in the
/// list as they are.
fn ladder(ranges: &Value) -> Vec<PriceStep> {
    let Value::Array(entries) = ranges else { return Vec::new() };
    if let [quantity, price] = entries.as_slice()
        && !quantity.is_array()
    {
        return lenient::ladder([(quantity, price)]);
    }
    lenient::ladder(entries.iter().map(|entry| (&entry[0], &entry[1])))
}

/// `pictures`: by the numbers of a property and its value, `0:3`.
fn sku(entry: &Value, pictures: &Value) -> Sku {
    let numbers = lenient::text(&entry["properties"]).unwrap_or_default();
    let named = lenient::text(&entry["properties_name"]).unwrap_or_default();
    Sku {
        sku_id: lenient::text(&entry["sku_id"]),
        attributes: named.split(';').filter_map(named_value).collect(),
        price: lenient::price(&entry["price"]),
        dropship_price: lenient::sum(&entry["onepiece_price"]),
        stock: lenient::count(&entry["quantity"]),
        image_url: numbers.split(';').find_map(|number| lenient::web_url(&pictures[number.trim()])),
        ..Sku::default()
    }
}

/// `0:3:颜色:黑色`: the numbers of a property and its value, and their names.
fn named_value(text: &str) -> Option<Attribute> {
    let mut parts = text.splitn(4, ':').skip(2);
    let (name, value) = (parts.next()?.trim(), parts.next()?.trim());
    Some(Attribute { name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(item: &Value) -> OfferDetail {
        read_detail(item, &OfferId::new("610947572360").unwrap(), WeightUnit::Grams)
    }

    #[test]
    fn a_ladder_comes_as_pairs_or_as_the_only_pair() {
        let steps = |ranges: Value| -> Vec<(u32, String)> {
            let detail = read(&json!({ "priceRange": ranges }));
            detail.price_ladder.iter().map(|step| (step.from_quantity, step.price.to_string())).collect()
        };
        let step = |quantity, price: &str| (quantity, price.to_owned());
        assert_eq!(steps(json!([["3", "35"], [50, 30.5], [1000, "ask"]])), [step(3, "35"), step(50, "30.5")]);
        assert_eq!(steps(json!([2, 47.7])), [step(2, "47.7")]);
        assert_eq!(steps(json!([])), []);
        assert_eq!(steps(json!("")), []);
    }

    #[test]
    fn a_variant_is_named_by_its_properties_and_has_the_picture_of_one() {
        let sku = json!({
            "sku_id": 4_531_173_224_811_u64, "properties": "0:3;1:3", "properties_name": "0:3:颜色:黑色;1:3:尺码:L:大", "price": 26,
            "onepiece_price": "28", "quantity": "866",
        });
        let detail = read(&json!({
            "skus": { "sku": [sku, { "properties_name": "颜色" }, 7] }, "props_img": { "1:3": "//img.example/l.jpg" },
            "item_weight": "350", "num": "1763",
        }));
        assert_eq!(detail.skus.len(), 2);
        let first = &detail.skus[0];
        assert_eq!((first.sku_id.as_deref(), first.name().as_str()), (Some("4531173224811"), "黑色 L:大"));
        assert_eq!((first.stock, first.image_url.as_deref()), (Some(866), Some("https://img.example/l.jpg")));
        assert_eq!(detail.skus[1].attributes, []);
        let prices = (detail.offer.price, detail.offer.dropship_price);
        assert_eq!(prices, ("26".parse().ok(), "28".parse().ok()));
        assert_eq!((detail.weight_grams, detail.offer.stock), (Some(350), Some(1763)));
        assert_eq!(read(&json!({ "item_weight": "", "post_fee": "0.00" })).freight, None);
    }
}
