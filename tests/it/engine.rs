//! The whole line, on fakes: what it asks, what it stores, and what it leaves alone.

use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};
use tongkuan::calibration::OperatingPoint;
use tongkuan::catalog::CatalogError;
use tongkuan::clock::Clock;
use tongkuan::embed::Thresholds;
use tongkuan::engine::{CachePolicy, EngineError, Mode, Outcome, Source};
use tongkuan::index;
use tongkuan::photo_id::PhotoId;
use tongkuan::upstream::{GuardError, GuardPolicy, QuotaDay, SearchParams, UpstreamErrorKind, WhyNot};
use tongkuan::verdict::{Policy, Rule, Verdict};
use tongkuan::verify::Doubt;

use crate::fakes::{Bench, FakeEmbedder, encoded, offer, picture, png, query};

#[test]
fn a_miss_asks_once_and_the_same_file_is_then_a_hit_without_decoding_or_inference() {
    let bench = Bench::new();
    let engine = bench.engine();
    let first = engine.search(&query(&png(1))).unwrap();
    assert_eq!((first.verdict, first.source, first.upstream_calls), (Outcome::Miss, Source::Upstream, 1));
    let inferences = bench.inferences();
    let second = engine.search(&query(&png(1))).unwrap();
    assert_eq!((second.verdict, second.rule()), (Outcome::Hit, Some(Rule::SameBytes)));
    assert_eq!((second.source, second.upstream_calls), (Source::Local, 0));
    assert_eq!(second.offers, first.offers);
    assert_eq!(second.timings_ms.decode, None);
    assert_eq!((bench.calls(), bench.inferences()), (1, inferences));
}

#[test]
fn the_same_pixels_in_another_container_are_a_hit_without_inference() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let inferences = bench.inferences();
    let answer = engine.search(&query(&encoded(&picture(1), ImageFormat::Bmp))).unwrap();
    assert_eq!((answer.verdict, answer.rule()), (Outcome::Hit, Some(Rule::SamePixels)));
    assert_eq!((bench.calls(), bench.inferences()), (1, inferences));
}

#[test]
fn an_edited_copy_is_a_hit_that_never_calls_upstream() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let smaller = resize(&picture(1), 96, 72, FilterType::CatmullRom);
    let answer = engine.search(&query(&encoded(&smaller, ImageFormat::Jpeg))).unwrap();
    assert_eq!((answer.verdict, answer.rule()), (Outcome::Hit, Some(Rule::SamePicture)));
    assert_eq!(bench.calls(), 1);
}

#[test]
fn another_picture_is_a_miss() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let answer = engine.search(&query(&png(2))).unwrap();
    assert_eq!((answer.verdict, answer.upstream_calls), (Outcome::Miss, 1));
    assert_eq!(bench.calls(), 2);
}

#[test]
fn a_hit_by_looks_is_sure_and_a_recoloured_picture_is_a_review_that_says_why() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let smaller = resize(&picture(1), 96, 72, FilterType::CatmullRom);
    let hit = engine.search(&query(&encoded(&smaller, ImageFormat::Png))).unwrap();
    assert_eq!((hit.verdict, hit.why()), (Outcome::Hit, None));
    assert!(hit.confidence().unwrap() >= hit.threshold(), "{hit:?}");
    // Another colour in one of four quarters: near enough for the embedding's old threshold, but not the same.
    let mut recoloured = picture(1);
    for (_, _, pixel) in recoloured.enumerate_pixels_mut().filter(|(x, y, _)| *x < 80 && *y < 60) {
        let [r, g, b] = pixel.0;
        pixel.0 = [g, b, r];
    }
    let bytes = encoded(&recoloured, ImageFormat::Png);
    let doubted = engine.search(&query(&bytes).mode(Mode::LocalOnly)).unwrap();
    assert_ne!(doubted.verdict, Outcome::Hit, "{doubted:?}");
    assert!(doubted.confidence().is_none_or(|c| c < doubted.threshold()), "{doubted:?}");
    assert_eq!(doubted.why().is_some(), doubted.verdict == Outcome::Review, "{doubted:?}");
}

#[test]
fn a_photo_from_before_there_were_sketches_is_judged_by_its_embedding() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let file = rusqlite::Connection::open(engine.folder().join("catalog.sqlite")).unwrap();
    assert_eq!(file.execute("DELETE FROM sketches", []).unwrap(), 1);
    let smaller = encoded(&resize(&picture(1), 96, 72, FilterType::CatmullRom), ImageFormat::Png);
    let answer = engine.search(&query(&smaller)).unwrap();
    assert_eq!((answer.verdict, answer.confidence()), (Outcome::Hit, None));
    assert!(answer.score().unwrap() >= answer.threshold(), "{answer:?}");
}

#[test]
fn a_damaged_sketch_is_worth_a_note_and_no_crash() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let file = rusqlite::Connection::open(engine.folder().join("catalog.sqlite")).unwrap();
    assert_eq!(file.execute("UPDATE sketches SET sketch = x'0103'", []).unwrap(), 1);
    let smaller = encoded(&resize(&picture(1), 96, 72, FilterType::CatmullRom), ImageFormat::Png);
    assert_eq!(engine.search(&query(&smaller)).unwrap().verdict, Outcome::Hit);
}

/// Four pictures in one, two by two.
fn collage(seeds: [u32; 4]) -> Vec<u8> {
    let mut whole = RgbImage::new(320, 240);
    for (seed, (x, y)) in seeds.into_iter().zip([(0, 0), (160, 0), (0, 120), (160, 120)]) {
        image::imageops::replace(&mut whole, &picture(seed), x, y);
    }
    encoded(&whole, ImageFormat::Png)
}

#[test]
fn a_stored_picture_in_a_collage_is_a_hit_on_the_second_look() {
    let bench = Bench::new();
    let engine = bench.engine();
    // More than the first look brings, so that the one in the collage is not among them by chance.
    for seed in 1..60 {
        engine.search(&query(&png(seed))).unwrap();
    }
    let (calls, looks) = (bench.calls(), bench.second_looks());
    let answer = engine.search(&query(&collage([81, 82, 5, 83]))).unwrap();
    assert_eq!(answer.verdict, Outcome::Hit, "{answer:?}");
    assert_eq!(answer.rule(), Some(Rule::SamePicture));
    assert_eq!(answer.matched.unwrap().photo_id, PhotoId(5));
    assert_eq!((bench.calls(), bench.second_looks()), (calls, looks + 1));
}

#[test]
fn a_collage_of_pictures_that_are_not_stored_is_a_miss_after_one_second_look() {
    let bench = Bench::new();
    let engine = bench.engine();
    for seed in 1..8 {
        engine.search(&query(&png(seed))).unwrap();
    }
    let looks = bench.second_looks();
    let answer = engine.search(&query(&collage([21, 22, 24, 23]))).unwrap();
    assert_eq!((answer.verdict, answer.upstream_calls), (Outcome::Miss, 1), "{answer:?}");
    // Whoever is about to ask looks at the catalogue again, but not at the picture.
    assert_eq!(bench.second_looks(), looks + 1);
}

#[test]
fn a_part_that_is_merely_alike_is_no_review_but_a_miss_tells_of_it() {
    let thresholds = Thresholds { same_picture: 0.95, review: 0.7, max_false_hit: None };
    let policy = Policy::new(thresholds, OperatingPoint::UNCALIBRATED);
    let near = |photo_id, score| [index::Candidate { photo_id: PhotoId(photo_id), score }.into()];
    let whole = policy.judge(&near(1, 0.5), &|_, _| None);
    let told_of = |score| match policy.judge_parts(whole, &near(2, score), &|_, _| None) {
        Verdict::Miss { nearest } => nearest.unwrap().photo_id,
        other => panic!("{other:?}"),
    };
    assert_eq!((told_of(0.8), told_of(0.97), told_of(0.4)), (PhotoId(2), PhotoId(2), PhotoId(1)));
}

#[test]
fn a_hit_on_the_whole_picture_takes_no_second_look() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    assert_eq!(bench.second_looks(), 0, "nothing is stored that a part could be like");
    let smaller = encoded(&resize(&picture(1), 96, 72, FilterType::CatmullRom), ImageFormat::Png);
    assert_eq!(engine.search(&query(&smaller)).unwrap().verdict, Outcome::Hit);
    assert_eq!(bench.second_looks(), 0);
}

#[test]
fn other_parameters_are_another_question_about_the_same_picture() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    engine.search(&query(&bytes)).unwrap();
    let second_page = query(&bytes).params(SearchParams::default().page(2));
    assert_eq!(engine.search(&second_page).unwrap().upstream_calls, 1);
    assert_eq!(engine.search(&second_page).unwrap().verdict, Outcome::Hit);
    assert_eq!((bench.calls(), engine.catalog().photo_count().unwrap()), (2, 1));
}

#[test]
fn local_only_never_spends() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let answer = engine.search(&query(&bytes).mode(Mode::LocalOnly)).unwrap();
    assert_eq!((answer.verdict, answer.source), (Outcome::Miss, Source::None));
    assert_eq!((bench.calls(), engine.catalog().photo_count().unwrap()), (0, 0));
}

#[test]
fn refresh_asks_although_the_answer_is_known_and_replaces_it() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let old = engine.search(&query(&bytes)).unwrap();
    let new = engine.search(&query(&bytes).mode(Mode::Refresh)).unwrap();
    assert_eq!(new.upstream_calls, 1);
    assert_ne!(new.offers, old.offers);
    assert_eq!(engine.search(&query(&bytes)).unwrap().offers, new.offers);
}

#[test]
fn bypass_asks_and_stores_nothing() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    let answer = engine.search(&query(&bytes).mode(Mode::Bypass)).unwrap();
    assert_eq!((answer.upstream_calls, engine.catalog().photo_count().unwrap()), (1, 0));
}

#[test]
fn a_failed_call_is_an_error_and_stores_nothing() {
    let bench = Bench::new();
    let engine = bench.engine();
    bench.upstream.fail_with(UpstreamErrorKind::Acl);
    let error = engine.search(&query(&png(1))).unwrap_err();
    assert!(matches!(error, EngineError::Upstream(GuardError::Upstream { .. })), "{error}");
    assert_eq!(engine.catalog().photo_count().unwrap(), 0);
}

#[test]
fn a_spent_budget_refuses_a_miss_but_not_a_hit() {
    let bench = Bench::new();
    let policy = GuardPolicy::default().daily_budget(1);
    let engine =
        bench.builder().upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap();
    engine.search(&query(&png(1))).unwrap();
    let refused = engine.search(&query(&png(2))).unwrap();
    let unanswered = refused.unanswered.unwrap();
    assert_eq!((refused.verdict, unanswered.reason), (Outcome::Miss, WhyNot::BudgetSpent));
    assert_eq!(unanswered.retry_at, Some(QuotaDay::of(bench.clock.now()).resets_at()));
    assert_eq!(engine.search(&query(&png(1))).unwrap().verdict, Outcome::Hit);
    assert_eq!(bench.calls(), 1);
}

#[test]
fn ten_equal_misses_at_once_make_one_call() {
    let bench = Bench::new();
    let engine = bench.engine();
    let bytes = png(1);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert!(!engine.search(&query(&bytes)).unwrap().offers.is_empty()));
        }
    });
    assert_eq!((bench.calls(), engine.catalog().photo_count().unwrap()), (1, 1));
}

#[test]
fn without_an_upstream_a_miss_says_so_and_is_no_error() {
    let bench = Bench::new();
    let engine = bench.builder().open().unwrap();
    let answer = engine.search(&query(&png(1))).unwrap();
    assert_eq!((answer.verdict, answer.warnings.len()), (Outcome::Miss, 1));
}

#[test]
fn an_own_good_is_found_by_its_picture_under_any_parameters() {
    let bench = Bench::new();
    let engine = bench.engine();
    let added = engine.add_own(&offer("A-1"), &png(1), "a.png").unwrap();
    assert!(added.is_new);
    assert!(!engine.add_own(&offer("A-1"), &png(1), "a.png").unwrap().is_new);
    let bytes = png(1);
    let page = query(&bytes).params(SearchParams::default().page(3));
    let answer = engine.search(&page).unwrap();
    assert_eq!((answer.verdict, answer.offers.len()), (Outcome::Hit, 1));
    assert_eq!(answer.offers[0].offer_id.as_str(), "A-1");
    assert_eq!(bench.calls(), 0);
}

#[test]
fn what_was_stored_is_found_after_a_restart() {
    let bench = Bench::new();
    bench.engine().search(&query(&png(1))).unwrap();
    let smaller = encoded(&resize(&picture(1), 96, 72, FilterType::CatmullRom), ImageFormat::Jpeg);
    let answer = bench.engine().search(&query(&smaller)).unwrap();
    assert_eq!((answer.verdict, bench.calls()), (Outcome::Hit, 1));
}

#[test]
fn two_engines_on_one_home_see_what_the_other_stores() {
    let bench = Bench::new();
    let (one, other) = (bench.engine(), bench.engine());
    assert_eq!(other.search(&query(&png(9))).unwrap().verdict, Outcome::Miss);
    one.search(&query(&png(1))).unwrap();
    let smaller = encoded(&resize(&picture(1), 96, 72, FilterType::CatmullRom), ImageFormat::Jpeg);
    assert_eq!(other.search(&query(&smaller)).unwrap().verdict, Outcome::Hit);
    assert_eq!((bench.calls(), other.audit().unwrap().photos), (2, 2));
}

#[test]
fn a_home_of_another_model_is_refused_with_the_remedy() {
    let bench = Bench::new();
    drop(bench.engine());
    let mut other = FakeEmbedder::new();
    other.fingerprint.digest = "another".to_owned();
    let error = bench.builder().embedder(std::sync::Arc::new(other)).open().unwrap_err();
    assert!(matches!(error, EngineError::Catalog(CatalogError::OtherModel { .. })), "{error}");
    assert!(error.to_string().contains("use another home folder"), "{error}");
}

#[test]
fn a_text_file_is_a_typed_error() {
    let bench = Bench::new();
    let error = bench.engine().search(&query(b"hello")).unwrap_err();
    assert!(matches!(error, EngineError::Photo(_)), "{error}");
    assert_eq!(bench.calls(), 0);
}

#[test]
fn an_expired_answer_is_served_where_there_is_no_upstream_to_ask() {
    let bench = Bench::new();
    bench.engine().search(&query(&png(1))).unwrap();
    bench.clock.sleep(CachePolicy::default().hard_ttl);
    let answer = bench.builder().open().unwrap().search(&query(&png(1))).unwrap();
    assert_eq!((answer.verdict, answer.source, answer.stale), (Outcome::Hit, Source::Local, true));
    assert_eq!(answer.unanswered.unwrap().reason, WhyNot::NoUpstream);
}

#[test]
fn a_blank_is_asked_about_only_by_force_and_its_answer_is_for_that_file_alone() {
    let bench = Bench::new();
    let engine = bench.engine();
    let blank = image::RgbImage::from_pixel(90, 70, image::Rgb([250; 3]));
    let [png, bmp] = [image::ImageFormat::Png, image::ImageFormat::Bmp].map(|format| encoded(&blank, format));
    let unasked = engine.search(&query(&png)).unwrap();
    assert_eq!(unasked.unanswered.map(|why| why.reason), Some(WhyNot::NothingToCompare));
    let forced = engine.search(&query(&png).force(true)).unwrap();
    assert_eq!((forced.upstream_calls, bench.calls()), (1, 1));
    assert_eq!(engine.search(&query(&png)).unwrap().rule(), Some(Rule::SameBytes));
    let other_file = engine.search(&query(&bmp)).unwrap();
    assert_eq!((other_file.verdict, other_file.why()), (Outcome::Review, Some(Doubt::NothingToCompare)));
    assert_eq!(bench.calls(), 1);
}
