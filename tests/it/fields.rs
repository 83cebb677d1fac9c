//! The tables of docs/upstream.md: every field of an offer and its details stands there, is read under the official name that it
//! says, and goes into the column of the sheet that it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tongkuan::offer::{Attribute, Offer, OfferDetail, OfferId, PriceStep, Sku, Supplier};
use tongkuan::sheet::{Form, Sheet};

/// Of an offer, but no upstream's: whose they are, and when they were told.
const NOT_TOLD: [&str; 4] = ["detail_url", "seen_at", "similarity", "supplier"];
/// Columns of the sheet about the picture, the row or what follows from others.
const NOT_OF_AN_OFFER: [&str; 14] = [
    "Key",
    "File",
    "Status",
    "Why",
    "Matched as",
    "Confidence",
    "Rank",
    "Same picture as",
    "Link",
    "Price as of",
    "Asked on",
    "Landed cost",
    "Sell for",
    "Margin",
];

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table under a heading, without its head: cells without the blanks around them.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = file("docs/upstream.md");
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(rows.len() > 10, "{heading}");
    rows
}

/// The words that stand as code.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The file without its tests.
fn source(path: &str) -> String {
    file(path).split("#[cfg(test)]").next().unwrap().to_owned()
}

/// Whether a file names the last part of an official name: `priceInfo.price`.
fn names(source: &str, official: &str) -> bool {
    source.contains(&format!("\"{}\"", official.rsplit('.').next().unwrap()))
}

/// With every field told: one that is new does not compile here, and has to be told of in the tables.
fn told() -> (Offer, OfferDetail) {
    let (text, price) = (|| Some("x".to_owned()), "1".parse().ok());
    let step = PriceStep { from_quantity: 1, price: "1".parse().unwrap() };
    let offer = Offer {
        offer_id: OfferId::new("1").unwrap(),
        title: "x".to_owned(),
        title_translated: text(),
        price,
        dropship_price: price,
        promotion_price: price,
        dropships: Some(true),
        min_order_quantity: Some(1),
        price_ladder: vec![step],
        stock: Some(1),
        weight_grams: Some(1),
        is_postage_free: Some(true),
        category_ids: vec![1],
        month_sold: Some(1),
        week_sold: Some(1),
        repurchase_percent: Some(1),
        trade_score: "1".parse().ok(),
        shipping_promise: text(),
        no_reason_return: Some(true),
        is_patented: Some(true),
        gives_invoice: Some(true),
        invoice_types: vec!["x".to_owned()],
        similarity: Some(1),
        image_url: text(),
        detail_url: text(),
        supplier: Supplier {
            company_name: text(),
            credit_level: text(),
            address: text(),
            years: Some(1),
            service_score: "1".parse().ok(),
            identities: vec!["x".to_owned()],
        },
        seen_at: None,
    };
    let mut detail = OfferDetail::new(offer.clone());
    detail.image_urls = vec!["x".to_owned()];
    detail.attributes = vec![Attribute { name: "x".to_owned(), value: "x".to_owned() }];
    detail.skus = vec![Sku {
        sku_id: text(),
        attributes: detail.attributes.clone(),
        price,
        dropship_price: price,
        stock: Some(1),
        weight_grams: Some(1),
        image_url: text(),
    }];
    (detail.price_ladder, detail.weight_grams, detail.ships_from) = (vec![step], Some(1), text());
    (detail.is_postage_free, detail.freight) = (Some(true), price);
    (offer, detail)
}

/// The names of an object's fields, with this before each.
fn keys(value: &Value, before: &str) -> BTreeSet<String> {
    value.as_object().unwrap().keys().map(|key| format!("{before}{key}")).collect()
}

#[test]
fn every_field_of_an_offer_stands_in_the_table_and_no_other() {
    let offer = serde_json::to_value(told().0).unwrap();
    let mut fields = keys(&offer, "");
    fields.retain(|field| !NOT_TOLD.contains(&field.as_str()));
    fields.append(&mut keys(&offer["supplier"], "supplier."));
    let rows = table("Answers");
    let of_answers = |cell: &&String| !cell.starts_with("the answer's");
    let in_table: BTreeSet<String> = rows
        .iter()
        .map(|row| &row[1])
        .filter(of_answers)
        .flat_map(|cell| code(cell))
        .map(str::to_owned)
        .collect();
    assert_eq!(in_table, fields);
}

#[test]
fn every_field_of_details_stands_in_their_table_and_no_other() {
    let (offer, detail) = told();
    let detail = serde_json::to_value(detail).unwrap();
    let of_offer = keys(&serde_json::to_value(offer).unwrap(), "offer.");
    let (of_detail, of_sku) = (keys(&detail, ""), keys(&detail["skus"][0], ""));
    let rows = table("Details");
    let in_table: BTreeSet<&str> = rows.iter().flat_map(|row| code(&row[0])).collect();
    for field in &in_table {
        let field = field.trim_start_matches("skus[].");
        let is_known = [&of_offer, &of_detail, &of_sku].into_iter().any(|fields| fields.contains(field));
        assert!(is_known, "{field}");
    }
    for field in of_detail.iter().filter(|field| *field != "offer") {
        assert!(in_table.contains(field.as_str()), "{field}");
    }
    for field in &of_sku {
        let in_skus = format!("skus[].{field}");
        assert!(in_table.contains(field.as_str()) || in_table.contains(in_skus.as_str()), "{field}");
    }
}

#[test]
fn each_field_is_read_under_the_official_names_that_the_table_gives() {
    let aop = ["image_query", "fields", "detail"].map(|name| source(&format!("src/upstream/aop/{name}.rs")));
    let in_aop = |name: &str| aop.iter().any(|source| names(source, name));
    let dialects = ["linkplus", "onebound", "tmapi", "article"]
        .map(|dialect| (dialect, source(&format!("src/upstream/{dialect}.rs"))));
    for row in table("Answers") {
        for name in code(&row[0]) {
            assert_eq!(in_aop(name), row[1] != "not read", "{name}");
        }
        let mut speaks = None;
        for (place, part) in row[3].split('`').enumerate() {
            if place % 2 == 0 {
                let named = dialects.iter().filter_map(|(name, source)| Some((part.rfind(name)?, source)));
                speaks = named.max_by_key(|(at, _)| *at).map(|(_, source)| source).or(speaks);
            } else {
                assert!(names(speaks.unwrap(), part), "{part} of {}", row[1]);
            }
        }
    }
    let details = [
        aop.join("\n"),
        source("src/upstream/article.rs") + &source("src/upstream/lenient.rs"),
        source("src/upstream/onebound/detail.rs"),
        source("src/upstream/tmapi/detail.rs"),
    ];
    let lenient = source("src/upstream/lenient.rs");
    for row in table("Details") {
        for (cell, source) in row[2..].iter().zip(&details) {
            for name in code(cell) {
                assert!(names(source, name) || names(&lenient, name), "{name} of {}", row[0]);
            }
        }
    }
}

/// The heads of the table of text, without the currency or unit: all but those of pictures.
fn heads() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads.csv");
    Sheet::default().write(&path, Form::Table).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let mut heads = BTreeSet::new();
    // In quotes are those with commas.
    for (place, part) in text.trim_start_matches('\u{feff}').trim_end().split('"').enumerate() {
        let separator = if place % 2 == 0 { ',' } else { '"' };
        let plain = part.split(separator).filter(|head| !head.is_empty());
        heads.extend(plain.map(|head| head.split(" (").next().unwrap().to_owned()));
    }
    heads
}

#[test]
fn each_field_goes_into_the_columns_of_the_sheet_that_the_tables_name() {
    let heads = heads();
    let mut longest_first: Vec<&str> = heads.iter().map(String::as_str).chain(["Offer picture"]).collect();
    longest_first.sort_by_key(|head| std::cmp::Reverse(head.len()));
    let mut open: BTreeSet<&str> = heads.iter().map(String::as_str).collect();
    open.retain(|head| !NOT_OF_AN_OFFER.contains(head));
    for (rows, place) in [(table("Answers"), 2), (table("Details"), 1)] {
        for cell in rows.iter().map(|row| &row[place]) {
            let mut rest = cell.clone();
            for head in longest_first.iter().filter(|head| cell.contains(*head)) {
                rest = rest.replace(head, "");
                open.remove(head);
            }
            let is_no_head = |words: &str| words == "-" || !words.starts_with(|c: char| c.is_uppercase());
            assert!(rest.split([',', ';']).map(str::trim).all(is_no_head), "{cell}: {rest}");
        }
    }
    assert!(open.is_empty(), "no table names {open:?}");
}
