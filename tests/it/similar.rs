//! The nearest stored pictures of those that are meant.

use std::time::Duration;

use tongkuan::catalog::{GoodsFilter, PhotoFilter, PhotoKind};
use tongkuan::clock::{Clock, Timestamp};
use tongkuan::engine::{Engine, Mode, Similar};
use tongkuan::offer::Offer;
use tongkuan::photo_id::PhotoId;
use tongkuan::upstream::SearchParams;

use crate::fakes::{Bench, offer, png, query};

/// Whether the good of this number is among those that are asked for.
type IsMeant = fn(u64) -> bool;

fn look(engine: &Engine, filter: &PhotoFilter) -> Vec<Similar> {
    engine.similar(&png(1), 1000, filter).unwrap()
}

fn goods(goods: GoodsFilter) -> PhotoFilter {
    PhotoFilter { goods, ..PhotoFilter::default() }
}

fn priced(min: &str, max: &str) -> GoodsFilter {
    let price = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    GoodsFilter { price_min: price(min), price_max: price(max), ..GoodsFilter::default() }
}

fn of_category(id: u64) -> GoodsFilter {
    GoodsFilter { category_id: Some(id), ..GoodsFilter::default() }
}

/// Good number `n` costs `n` tenths of a yuan, every eighth has no price; it is of category 100 + `n` % 10, below 7.
fn good(n: u64) -> Offer {
    let tenths = format!("{}.{}", n / 10, n % 10);
    Offer {
        price: (!n.is_multiple_of(8)).then(|| tenths.parse().unwrap()),
        category_ids: vec![7, 100 + n % 10],
        ..offer(&format!("good-{n}"))
    }
}

#[test]
fn a_filtered_look_is_a_look_at_all_without_what_is_not_meant() {
    let bench = Bench::new();
    let engine = bench.engine_with_graph();
    let start = bench.clock.now();
    for n in 1..=300 {
        bench.clock.sleep(Duration::from_secs(1));
        let bytes = png(u32::try_from(n).unwrap());
        engine.add_own(&good(n), &bytes, &n.to_string()).unwrap();
    }
    let after = |n: u64| start.plus(Duration::from_secs(n));
    let at = |filter: GoodsFilter, since: Option<Timestamp>, before: Option<Timestamp>| PhotoFilter {
        added_since: since,
        added_before: before,
        ..goods(filter)
    };
    let cheap_third = GoodsFilter { category_id: Some(103), ..priced("", "15") };
    let cases: [(PhotoFilter, IsMeant); 11] = [
        (PhotoFilter::default(), |_| true),
        (goods(of_category(7)), |_| true),
        (goods(of_category(103)), |n| n % 10 == 3),
        (goods(of_category(8)), |_| false),
        (goods(priced("2.5", "")), |n| n % 8 != 0 && n >= 25),
        (goods(priced("", "2.50")), |n| n % 8 != 0 && n <= 25),
        // One of three hundred; written otherwise than it is stored.
        (goods(priced("17.30", "17.3")), |n| n == 173),
        (goods(priced("3", "2")), |_| false),
        (goods(cheap_third), |n| n % 10 == 3 && n % 8 != 0 && n <= 150),
        (at(of_category(103), Some(after(100)), Some(after(200))), |n| {
            n % 10 == 3 && (100..200).contains(&n)
        }),
        (PhotoFilter { kind: Some(PhotoKind::Query), ..goods(of_category(7)) }, |_| false),
    ];
    let all = look(&engine, &PhotoFilter::default());
    assert_eq!((all.len(), all[0].score > all[1].score), (300, true));
    for (filter, is_meant) in cases {
        let meant: Vec<Similar> =
            all.iter().filter(|it| is_meant(it.label.parse().unwrap())).cloned().collect();
        assert_eq!(look(&engine, &filter), meant, "{filter:?}");
        let nearest = engine.similar(&png(1), 3, &filter).unwrap();
        assert_eq!(nearest, meant[..meant.len().min(3)], "{filter:?}");
    }
}

#[test]
fn a_picture_stands_for_what_was_found_with_it_and_the_price_told_last_counts() {
    let bench = Bench::new();
    let engine = bench.engine();
    let meant = |filter: GoodsFilter| -> Vec<PhotoId> {
        look(&engine, &goods(filter)).iter().map(|it| it.photo_id).collect()
    };
    // Two offers for 59 yuan.
    engine.search(&query(&png(1))).unwrap();
    engine.add_own(&good(1), &png(2), "own").unwrap();
    assert_eq!(meant(priced("59", "59")), [PhotoId(1)]);
    assert_eq!(meant(priced("0.1", "0.10")), [PhotoId(2)]);
    assert_eq!(meant(priced("0.11", "58.99")), []);
    engine.add_own(&Offer { price: "30".parse().ok(), ..good(1) }, &png(2), "own").unwrap();
    assert_eq!(
        (meant(priced("0.1", "0.10")), meant(priced("30", ""))),
        (vec![], vec![PhotoId(1), PhotoId(2)])
    );
    // Price and category are of one good, not of two.
    engine.add_own(&good(2), &png(2), "own").unwrap();
    assert_eq!(meant(GoodsFilter { category_id: Some(102), ..priced("30", "") }), []);
    assert_eq!(meant(GoodsFilter { category_id: Some(101), ..priced("30", "") }), [PhotoId(2)]);
    engine.forget(&[PhotoId(1), PhotoId(2)]).unwrap();
    assert_eq!(meant(of_category(7)), []);
    // A new good of an old one's name is of no category that it does not tell.
    engine.add_own(&Offer { category_ids: vec![], ..good(1) }, &png(3), "own").unwrap();
    assert_eq!((meant(of_category(7)), meant(priced("0", ""))), (vec![], vec![PhotoId(3)]));
}

#[test]
fn what_was_found_in_a_category_is_of_it_also_where_the_upstream_names_none() {
    let bench = Bench::new();
    let engine = bench.engine();
    let png = png(1);
    let params = SearchParams::default().category_id(1031);
    let asked = engine.search(&query(&png).params(params.clone())).unwrap();
    let again = engine.search(&query(&png).params(params).mode(Mode::LocalOnly)).unwrap();
    for answer in [&asked, &again] {
        assert!(answer.offers.iter().all(|offer| offer.category_ids == [1031]), "{answer:?}");
    }
    assert_eq!(look(&engine, &goods(of_category(1031))).len(), 1);
    assert_eq!(look(&engine, &goods(of_category(1032))).len(), 0);
}
