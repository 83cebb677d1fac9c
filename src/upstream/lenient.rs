//! How are the fields of a foreign answer read? The same field comes as a string from one gateway and as a
//! number or truth value from the next; what cannot be read is missing, never a failure.

use std::str::FromStr;

use serde_json::Value;

use super::{UpstreamPage, WeightUnit};
use crate::offer::{Attribute, Offer, OfferId, Price, PriceStep, Score, Sku};

/// A string without its outer blanks, or a number as it is written; `None` when nothing is left.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The first of `keys` that `object` holds as text.
pub(super) fn first_text(object: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| text(&object[*key]))
}

/// `true`, `"true"`, `1` and their opposites.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        other => match text(other)?.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
    }
}

/// A whole number that fits `T`, as a number or a string.
pub(super) fn count<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    let whole = value.as_u64().or_else(|| text(value)?.parse().ok())?;
    T::try_from(whole).ok()
}

/// How many offers there are; one that no catalogue could hold is none.
pub(super) fn total(value: &Value) -> Option<u64> {
    count::<i64>(value).and_then(|total| u64::try_from(total).ok())
}

/// Yuan as a string (`"59.00"`, `"¥59"`) or a number. A number is read in the shortest form that means it, so
/// a price of up to 15 digits keeps its value.
pub(super) fn price(value: &Value) -> Option<Price> {
    let written = text(value)?;
    Price::from_str(written.trim_start_matches(['¥', '￥'])).ok()
}

/// The numbers of categories in `values`; 0 is none.
pub(super) fn category_ids<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    values.into_iter().filter_map(total).filter(|&id| id != 0).collect()
}

/// An id as upstreams have them; a number with a fraction is none.
pub(super) fn offer_id(value: &Value) -> Option<OfferId> {
    if value.is_f64() { None } else { OfferId::of_upstream(text(value)?).ok() }
}

/// A similarity as 0 to 100: a number written with a point and at most 1 is a fraction of one, any other a
/// percentage. `None` outside that range.
pub(super) fn percent(value: &Value) -> Option<u8> {
    let written = text(value)?;
    let number: f64 = written.trim_end_matches('%').trim_end().parse().ok()?;
    let scaled = if number <= 1.0 && written.contains('.') { number * 100.0 } else { number };
    if !(0.0..=100.0).contains(&scaled) {
        return None;
    }
    // In 0 to 100 by the line above.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(scaled.round() as u8)
}

/// A share as it is shown: `13%`, `13.4 %` or a bare number of per cent. Unlike a similarity it is never a fraction of one.
/// Rounded to whole per cent; `None` outside 0 to 100.
pub(super) fn share(value: &Value) -> Option<u8> {
    let number: f64 = text(value)?.trim_end_matches('%').trim_end().parse().ok()?;
    // In 0 to 100 by the filter.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(number).filter(|number| (0.0..=100.0).contains(number)).map(|number| number.round() as u8)
}

/// A mark of 0 to 5.
pub(super) fn score(value: &Value) -> Option<Score> {
    text(value)?.parse().ok()
}

/// The texts in a list.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(text).collect()
}

/// Texts with a blank between; `None` when there is none.
pub(super) fn joined(texts: &[String]) -> Option<String> {
    Some(texts.join(" ")).filter(|text| !text.is_empty())
}

/// A web address: `//host/path` gets `https:`, anything but http and https is dropped, because these
/// addresses end up as links on pages.
pub(super) fn web_url(value: &Value) -> Option<String> {
    let url = text(value)?;
    if url.starts_with("//") {
        Some(format!("https:{url}"))
    } else {
        (url.starts_with("https://") || url.starts_with("http://")).then_some(url)
    }
}

/// The web addresses in a list. Paths without a host are the platform's pictures.
pub(super) fn web_urls(list: &Value) -> Vec<String> {
    let url = |entry: &Value| match text(entry)? {
        path if path.starts_with("img/") => Some(format!("https://cbu01.alicdn.com/{path}")),
        _ => web_url(entry),
    };
    list.as_array().into_iter().flatten().filter_map(url).collect()
}

/// The properties in a list of `attributeName` and `value` (or `attributeValue`).
pub(super) fn attributes(list: &Value) -> Vec<Attribute> {
    let attribute = |entry: &Value| {
        let name = first_text(entry, &["attributeName", "attributeDisplayName"])?;
        Some(Attribute { name, value: first_text(entry, &["value", "attributeValue"])? })
    };
    list.as_array().into_iter().flatten().filter_map(attribute).collect()
}

/// What a piece costs by how many are ordered: a list of quantities, under the name `from`, and of `price`s.
pub(super) fn price_ladder(list: &Value, from: &str) -> Vec<PriceStep> {
    let entries = list.as_array().into_iter().flatten();
    ladder(entries.map(|entry| (&entry[from], &entry["price"])))
}

/// Quantities with their prices, as a ladder in the order of the quantities. Steps without a price or without a quantity are
/// left out.
pub(super) fn ladder<'a>(steps: impl IntoIterator<Item = (&'a Value, &'a Value)>) -> Vec<PriceStep> {
    let step = |(quantity, told): (&Value, &Value)| {
        let from_quantity = count(quantity).filter(|quantity| *quantity > 0)?;
        Some(PriceStep { from_quantity, price: price(told)? })
    };
    let mut steps: Vec<PriceStep> = steps.into_iter().filter_map(step).collect();
    steps.sort_by_key(|step| step.from_quantity);
    steps.dedup_by_key(|step| step.from_quantity);
    steps
}

/// A sum that is to be paid; nothing is none.
pub(super) fn sum(value: &Value) -> Option<Price> {
    price(value).filter(|price| !price.yuan().is_zero())
}

/// Kilograms, as grams.
pub(super) fn grams_of_kg(value: &Value) -> Option<u32> {
    grams(value, WeightUnit::Kilograms)
}

/// A weight, as grams; `None` for what weighs nothing or more than a million tonnes.
pub(super) fn grams(value: &Value, unit: WeightUnit) -> Option<u32> {
    let weight: f64 = text(value)?.parse().ok()?;
    let grams = (weight * unit.in_grams()).round();
    // In range by the filter.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(grams).filter(|grams| (1.0..=f64::from(u32::MAX)).contains(grams)).map(|grams| grams as u32)
}

/// The variants in a list; `properties` names the list that tells them apart.
pub(super) fn skus(list: &Value, properties: &str) -> Vec<Sku> {
    let sku = |entry: &Value| Sku {
        sku_id: text(&entry["skuId"]),
        attributes: attributes(&entry[properties]),
        price: ["price", "consignPrice"].iter().find_map(|key| price(&entry[*key])),
        // The second is what the gateway has named it before.
        dropship_price: price(&entry["fenxiaoPriceInfo"]["onePiecePrice"])
            .or_else(|| price(&entry["consignPrice"])),
        weight_grams: None,
        stock: count(&entry["amountOnSale"]),
        image_url: entry[properties]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|property| web_urls(&Value::Array(vec![property["skuImageUrl"].clone()])).pop()),
    };
    list.as_array().into_iter().flatten().filter(|entry| entry.is_object()).map(sku).collect()
}

/// A page of the rows that can be read. Rows of which none can be read are an error, and this is what is wrong with
/// them: stored as an empty answer they would hide it.
pub(super) fn page(
    rows: &[Value],
    total: Option<u64>,
    read_offer: impl Fn(&Value) -> Option<Offer>,
) -> Result<UpstreamPage, &'static str> {
    let offers: Vec<Offer> = rows.iter().filter_map(read_offer).collect();
    if offers.is_empty() && !rows.is_empty() {
        return Err("no row of the answer has a usable offer id");
    }
    let skipped = u32::try_from(rows.len() - offers.len()).unwrap_or(u32::MAX);
    Ok(UpstreamPage { offers, total, skipped, ..UpstreamPage::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flag_is_read_from_a_string_a_number_and_a_truth_value() {
        for yes in [json!(true), json!("true"), json!("True"), json!(1)] {
            assert_eq!(flag(&yes), Some(true), "{yes}");
        }
        for no in [json!(false), json!("false"), json!(0)] {
            assert_eq!(flag(&no), Some(false), "{no}");
        }
        assert_eq!(flag(&json!(null)), None);
    }

    #[test]
    fn categories_are_those_that_can_be_read_in_their_order() {
        let told = [json!("1031"), json!(7), json!(null), json!(0), json!(-3), json!("shoes"), json!(" 12 ")];
        assert_eq!(category_ids(&told), [1031, 7, 12]);
    }

    #[test]
    fn a_price_keeps_its_digits() {
        for (value, digits) in
            [(json!("59.00"), "59.00"), (json!(59.9), "59.9"), (json!("¥7"), "7"), (json!(7), "7")]
        {
            assert_eq!(price(&value).map(|p| p.to_string()).as_deref(), Some(digits), "{value}");
        }
        for none in [json!("ask"), json!(""), json!(-1), json!({}), json!(null)] {
            assert_eq!(price(&none), None, "{none}");
        }
    }

    #[test]
    fn an_id_of_nineteen_digits_is_exact_as_a_number_too() {
        let id = offer_id(&json!(1_048_608_196_202_797_156_u64)).map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some("1048608196202797156"));
        assert_eq!(offer_id(&json!(1.5)), None);
        assert_eq!(offer_id(&json!("a b")), None);
    }

    #[test]
    fn a_similarity_is_a_fraction_only_when_it_is_written_as_one() {
        let read = [
            (json!(92), Some(92)),
            (json!(0.92), Some(92)),
            (json!("0.925"), Some(93)),
            (json!("92%"), Some(92)),
            (json!(1), Some(1)),
            (json!(1.0), Some(100)),
            (json!(101), None),
            (json!(-1), None),
            (json!("high"), None),
        ];
        for (value, expected) in read {
            assert_eq!(percent(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_share_is_in_per_cent_however_small() {
        for (value, percent) in [
            (json!("13%"), Some(13)),
            (json!("0.5%"), Some(1)),
            (json!("13.4 %"), Some(13)),
            (json!(0), Some(0)),
            (json!("120%"), None),
            (json!("many"), None),
            (json!(null), None),
        ] {
            assert_eq!(share(&value), percent, "{value}");
        }
    }

    #[test]
    fn a_weight_is_in_the_unit_that_it_was_told_in() {
        let read = [
            (json!("0.35"), WeightUnit::Kilograms, Some(350)),
            (json!(350), WeightUnit::Grams, Some(350)),
            (json!("350.4"), WeightUnit::Grams, Some(350)),
            (json!(0), WeightUnit::Grams, None),
            (json!("heavy"), WeightUnit::Kilograms, None),
            (json!(1e9), WeightUnit::Kilograms, None),
        ];
        for (value, unit, expected) in read {
            assert_eq!(grams(&value, unit), expected, "{value} {unit:?}");
        }
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert_eq!(web_url(&json!("//a.example/b")).as_deref(), Some("https://a.example/b"));
        assert_eq!(web_url(&json!("javascript:alert(1)")), None);
    }
}
