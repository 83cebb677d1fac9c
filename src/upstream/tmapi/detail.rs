//! `1688/item_detail`: what does the vendor say about one offer?
//!
//! Request and answer are the vendor's example; which fields always come it does not say, so each may be missing. Ours: that
//! a weight without a unit is in that of the configuration, that a fee of 0 says nothing, and that names and numbers of a
//! variant's properties are parted by `;`.

use std::collections::HashMap;

use serde_json::Value;

use super::super::{WeightUnit, lenient};
use crate::offer::{Attribute, Offer, OfferDetail, OfferId, Sku, Supplier};

/// The vendor's words for what may be sent back without a reason.
const NO_REASON_RETURN: &str = "7天无理由退货";

pub(super) fn read_detail(product: &Value, asked: &OfferId, unit: WeightUnit) -> OfferDetail {
    let image_urls = lenient::web_urls(&product["main_imgs"]);
    let skus = skus(product);
    let (prices, tiers) = (&product["price_info"], &product["tiered_price_info"]);
    let delivery = &product["delivery_info"];
    let ladder = lenient::price_ladder(&tiers["prices"], "beginAmount");
    let offer_id = lenient::offer_id(&product["item_id"]).unwrap_or_else(|| asked.clone());
    let services = lenient::texts(&product["service_tags"]);
    let mut category_ids =
        lenient::category_ids(["root_category_id", "category_id"].map(|key| &product[key]));
    category_ids.dedup();
    let offer = Offer {
        price: ladder
            .first()
            .map(|step| step.price)
            .or_else(|| ["price", "price_min"].iter().find_map(|key| lenient::price(&prices[*key])))
            .or_else(|| skus.iter().filter_map(|sku| sku.price).min()),
        dropships: lenient::flag(&product["support_drop_shipping"]),
        min_order_quantity: lenient::count(&tiers["begin_num"])
            .filter(|pieces| *pieces > 0)
            .or_else(|| ladder.first().map(|step| step.from_quantity)),
        stock: lenient::count(&product["stock"]),
        category_ids,
        // What is not among the services may be there all the same.
        no_reason_return: services.iter().any(|service| service == NO_REASON_RETURN).then_some(true),
        image_url: image_urls.first().cloned(),
        detail_url: lenient::web_url(&product["product_url"]).or_else(|| Some(offer_id.page_url())),
        supplier: Supplier {
            company_name: lenient::text(&product["shop_info"]["shop_name"]),
            ..Supplier::default()
        },
        ..Offer::new(offer_id, lenient::text(&product["title"]).unwrap_or_default())
    };
    OfferDetail {
        image_urls,
        attributes: product["product_props"].as_array().into_iter().flatten().flat_map(properties).collect(),
        skus,
        price_ladder: ladder,
        weight_grams: lenient::grams(&delivery["unit_weight"], unit),
        ships_from: lenient::text(&delivery["location"]),
        freight: lenient::sum(&delivery["delivery_fee"]),
        ..OfferDetail::new(offer)
    }
}

/// Each is an object whose only key is the property's name.
fn properties(entry: &Value) -> Vec<Attribute> {
    let named = entry.as_object().into_iter().flatten();
    named
        .filter_map(|(name, value)| Some(Attribute { name: name.clone(), value: lenient::text(value)? }))
        .collect()
}

fn skus(product: &Value) -> Vec<Sku> {
    let pictures = pictures(&product["sku_props"]);
    let sku = |entry: &Value| {
        let numbers = lenient::text(&entry["props_ids"]).unwrap_or_default();
        Sku {
            sku_id: lenient::text(&entry["skuid"]),
            attributes: named_values(&lenient::text(&entry["props_names"]).unwrap_or_default()),
            price: lenient::price(&entry["sale_price"]),
            stock: lenient::count(&entry["stock"]),
            image_url: numbers.split(';').find_map(|number| pictures.get(number.trim())).cloned(),
            ..Sku::default()
        }
    };
    product["skus"].as_array().into_iter().flatten().filter(|entry| entry.is_object()).map(sku).collect()
}

/// `颜色:红色;尺码:XL`.
fn named_values(text: &str) -> Vec<Attribute> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once(':'));
    let trimmed = |(name, value): (&str, &str)| Attribute {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
    };
    pairs.map(trimmed).collect()
}

/// The picture of each value of a property that has one, by both their numbers: `0:3`.
fn pictures(properties: &Value) -> HashMap<String, String> {
    let mut pictures = HashMap::new();
    for property in properties.as_array().into_iter().flatten() {
        let Some(number) = lenient::text(&property["pid"]) else { continue };
        for value in property["values"].as_array().into_iter().flatten() {
            let (of, url) = (lenient::text(&value["vid"]), lenient::web_url(&value["imageUrl"]));
            pictures.extend(of.zip(url).map(|(of, url)| (format!("{number}:{of}"), url)));
        }
    }
    pictures
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(product: &Value) -> OfferDetail {
        read_detail(product, &OfferId::new("859086919394").unwrap(), WeightUnit::default())
    }

    #[test]
    fn a_variant_has_the_picture_of_its_first_property_that_has_one() {
        let colours = json!([
            { "vid": "0", "name": "红色", "imageUrl": "https://img.example/red.jpg" },
            { "vid": 1, "name": "蓝色" },
        ]);
        let props = json!([
            { "pid": "1", "prop_name": "尺码", "values": [{ "vid": "7", "name": "XL" }] },
            { "pid": "0", "prop_name": "颜色", "values": colours },
        ]);
        let skus = json!([
            { "skuid": 11, "props_ids": "1:7;0:0", "props_names": "尺码:XL;颜色:红色:深", "sale_price": "8.5", "stock": 0 },
            { "skuid": "12", "props_ids": "1:7;0:1", "props_names": "尺码:XL; 颜色: 蓝色", "stock": "many" },
            "no variant",
        ]);
        let detail = read(&json!({ "sku_props": props, "skus": skus }));
        let [red, blue] = detail.skus.try_into().unwrap();
        assert_eq!(
            (red.sku_id.as_deref(), red.stock, red.name().as_str()),
            (Some("11"), Some(0), "XL 红色:深")
        );
        assert_eq!(red.image_url.as_deref(), Some("https://img.example/red.jpg"));
        assert_eq!((blue.image_url.as_deref(), blue.stock, blue.name().as_str()), (None, None, "XL 蓝色"));
        assert_eq!(detail.offer.price, "8.5".parse().ok(), "the cheapest variant's, where no price is told");
    }

    #[test]
    fn a_ladder_without_steps_leaves_price_and_least_order() {
        let tiers = json!({ "begin_num": 3, "prices": [] });
        let detail = read(&json!({ "tiered_price_info": tiers, "price_info": { "price": "248.00" } }));
        assert_eq!((detail.offer.price, detail.offer.min_order_quantity), ("248.00".parse().ok(), Some(3)));
        let nothing = read(&json!({}));
        assert_eq!(nothing.offer.offer_id.as_str(), "859086919394", "it was asked for");
        assert_eq!(
            (nothing.offer.no_reason_return, nothing.freight, nothing.weight_grams),
            (None, None, None)
        );
    }
}
