//! Several upstreams and several parts of a picture, as one answer.

use std::sync::Arc;
use std::time::Duration;

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use tongkuan::catalog::PhotoFilter;
use tongkuan::engine::{Answer, Breadth, CachePolicy, Engine, Mode, Outcome, Source};
use tongkuan::upstream::{
    GuardPolicy, Region, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError,
    UpstreamErrorKind, UpstreamPage, WhyNot,
};

use crate::fakes::{Bench, FakeUpstream, encoded, offer, picture, png, query};

fn guard() -> GuardPolicy {
    GuardPolicy::default().min_interval(Duration::ZERO)
}

fn finding(profile: &'static str, ids: &[&str]) -> Arc<FakeUpstream> {
    let upstream = FakeUpstream::named(profile);
    *upstream.offers.lock().unwrap() = Some(ids.iter().map(|id| offer(id)).collect());
    upstream
}

fn engine_of(bench: &Bench, upstreams: &[Arc<dyn Upstream>]) -> Engine {
    let builder = upstreams.iter().fold(bench.builder(), |builder, upstream| {
        builder.upstream(upstream.clone(), guard(), CachePolicy::default())
    });
    builder.open().unwrap()
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.offers.iter().map(|offer| offer.offer_id.as_str()).collect()
}

const EVERYWHERE: fn() -> Breadth = || Breadth::default().all_upstreams(true);

#[test]
fn an_offer_of_two_upstreams_comes_once_and_the_second_time_costs_nothing() {
    let bench = Bench::new();
    let (one, two) = (finding("one", &["11", "12"]), finding("two", &["12", "13"]));
    let engine = engine_of(&bench, &[one.clone(), two.clone()]);
    let bytes = png(1);
    let merged = engine.search_widely(&query(&bytes), EVERYWHERE()).unwrap();
    assert_eq!(ids(&merged), ["11", "12", "13"]);
    assert_eq!((merged.verdict, merged.source, merged.upstream_calls), (Outcome::Miss, Source::Upstream, 2));
    let brought: Vec<(Option<&str>, usize)> =
        merged.parts.iter().map(|part| (part.upstream.as_deref(), part.new_offers)).collect();
    assert_eq!(brought, [(Some("one"), 2), (Some("two"), 1)]);

    let again = engine.search_widely(&query(&bytes), EVERYWHERE()).unwrap();
    assert_eq!((again.verdict, again.source, again.upstream_calls), (Outcome::Hit, Source::Local, 0));
    assert_eq!(ids(&again), ["11", "12", "13"]);
    assert_eq!((one.calls(), two.calls()), (1, 1));
    let json = serde_json::to_value(&again).unwrap();
    assert_eq!(json["parts"][1]["upstream"], "two");
    let plain = serde_json::to_value(engine.search(&query(&bytes)).unwrap()).unwrap();
    assert!(plain.get("parts").is_none(), "{plain}");
}

#[test]
fn a_copy_is_decoded_and_embedded_once_for_all_places() {
    let bench = Bench::new();
    let upstreams = ["one", "two", "three"].map(|profile| finding(profile, &["11"]));
    let all: Vec<Arc<dyn Upstream>> = upstreams.iter().map(|u| u.clone() as Arc<dyn Upstream>).collect();
    let engine = engine_of(&bench, &all);
    engine.search_widely(&query(&png(1)), EVERYWHERE()).unwrap();
    let copy = encoded(&resize(&picture(1), 120, 90, FilterType::CatmullRom), ImageFormat::Png);
    let before = bench.inferences();
    let known = engine.search_widely(&query(&copy), EVERYWHERE().pages(2)).unwrap();
    assert_eq!((known.verdict, known.parts.len()), (Outcome::Hit, 3));
    assert_eq!(bench.inferences() - before, 1);
    let alone = engine.search(&query(&copy)).unwrap();
    assert_eq!((alone.verdict, alone.upstream_calls), (Outcome::Hit, 0));
    assert_eq!(upstreams.map(|upstream| upstream.calls()), [1, 1, 1]);
}

#[test]
fn a_query_for_one_upstream_neither_asks_nor_answers_by_another() {
    let bench = Bench::new();
    let (one, two) = (finding("one", &["11"]), finding("two", &["13"]));
    let engine = engine_of(&bench, &[one.clone(), two.clone()]);
    let bytes = png(1);
    assert_eq!(ids(&engine.search(&query(&bytes)).unwrap()), ["11"]);
    let second = engine.search(&query(&bytes).upstream("two")).unwrap();
    assert_eq!((ids(&second), second.upstream_calls), (vec!["13"], 1));
    let known = engine.search(&query(&bytes).upstream("two").mode(Mode::LocalOnly)).unwrap();
    assert_eq!((known.verdict, ids(&known)), (Outcome::Hit, vec!["13"]));
    let nobody = engine.search(&query(&bytes).upstream("three")).unwrap();
    assert!(nobody.unanswered.is_some() && nobody.offers.is_empty(), "{nobody:?}");
    assert_eq!((one.calls(), two.calls()), (1, 1));
}

#[test]
fn one_that_fails_leaves_the_others_and_is_told() {
    let bench = Bench::new();
    let (one, two) = (finding("one", &["11"]), finding("two", &["13"]));
    one.fail_with(UpstreamErrorKind::Acl);
    let engine = engine_of(&bench, &[one.clone(), two]);
    let merged = engine.search_widely(&query(&png(1)), EVERYWHERE()).unwrap();
    assert_eq!(ids(&merged), ["13"]);
    assert!(merged.parts[0].error.is_some() && merged.parts[1].error.is_none(), "{:?}", merged.parts);
    assert!(merged.warnings.iter().any(|warning| warning.starts_with("one: ")), "{:?}", merged.warnings);
    let other = Bench::new();
    let alone = engine_of(&other, &[one]);
    assert!(alone.search_widely(&query(&png(1)), EVERYWHERE()).is_err(), "nobody has answered");
}

#[test]
fn no_more_calls_are_made_than_it_may_cost() {
    let bench = Bench::new();
    let upstreams = ["one", "two", "three"].map(|profile| finding(profile, &[]));
    for (upstream, id) in upstreams.iter().zip(["11", "12", "13"]) {
        *upstream.offers.lock().unwrap() = Some(vec![offer(id)]);
    }
    let all: Vec<Arc<dyn Upstream>> = upstreams.iter().map(|u| u.clone() as Arc<dyn Upstream>).collect();
    let engine = engine_of(&bench, &all);
    let bytes = png(1);
    let merged = engine.search_widely(&query(&bytes), EVERYWHERE().max_calls(2)).unwrap();
    assert_eq!((ids(&merged), merged.upstream_calls), (vec!["11", "12"], 2));
    assert!(merged.parts[2].unanswered.is_some());
    // What is known costs nothing, so that the rest is asked for the next time.
    let rest = engine.search_widely(&query(&bytes), EVERYWHERE().max_calls(2)).unwrap();
    assert_eq!((ids(&rest), rest.upstream_calls), (vec!["11", "12", "13"], 1));
    assert_eq!(upstreams.map(|upstream| upstream.calls()), [1, 1, 1]);
}

#[test]
fn a_call_that_failed_is_not_repeated_beyond_what_it_may_cost() {
    for (max_calls, expected) in [(Some(1), 1), (Some(2), 2), (None, 3)] {
        let bench = Bench::new();
        let upstream = finding("one", &["11"]);
        upstream.fail_with(UpstreamErrorKind::Transient);
        let all: [Arc<dyn Upstream>; 1] = [upstream.clone()];
        let engine = engine_of(&bench, &all);
        let breadth = Breadth::default().max_calls(max_calls);
        let answer = engine.search_widely(&query(&png(1)), breadth).unwrap();
        assert_eq!((answer.upstream_calls, upstream.calls()), (expected, expected), "{max_calls:?}");
        assert_eq!(answer.unanswered.unwrap().reason, WhyNot::UpstreamFailed);
    }
}

#[test]
fn calls_that_were_repeated_at_one_place_are_missing_at_the_next() {
    let bench = Bench::new();
    let (one, two) = (finding("one", &["11"]), finding("two", &["12"]));
    one.fail_with(UpstreamErrorKind::Transient);
    let engine = engine_of(&bench, &[one.clone(), two.clone()]);
    let answer = engine.search_widely(&query(&png(1)), EVERYWHERE().max_calls(2)).unwrap();
    assert_eq!((one.calls(), two.calls(), answer.upstream_calls), (2, 0, 2));
}

/// Sees goods in both halves of a picture, and finds others in each.
struct Halves;

impl Upstream for Halves {
    fn profile(&self) -> &'static str {
        "halves"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: true }
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        let (width, height) = (picture.width_px, picture.height_px);
        let halves = [Region::new(0, 0, width / 2, height), Region::new(width / 2, 0, width, height)];
        let Some(region) = params.region else {
            let page = UpstreamPage { offers: vec![offer("10")], ..UpstreamPage::default() };
            return Ok(UpstreamPage { suggested_regions: halves.into_iter().flatten().collect(), ..page });
        };
        let [left, ..] = region.edges_px();
        let offers = vec![offer("10"), offer(if left == 0 { "21" } else { "22" })];
        Ok(UpstreamPage { offers, ..UpstreamPage::default() })
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[test]
fn parts_in_which_an_upstream_sees_goods_are_asked_about_and_stored_as_questions_of_their_own() {
    let bench = Bench::new();
    let engine = engine_of(&bench, &[Arc::new(Halves)]);
    let bytes = png(1);
    let wide = Breadth::default().suggested_regions(true);
    let merged = engine.search_widely(&query(&bytes), wide).unwrap();
    assert_eq!((ids(&merged), merged.upstream_calls), (vec!["10", "21", "22"], 3));
    let regions: Vec<bool> = merged.parts.iter().map(|part| part.region.is_some()).collect();
    assert_eq!(regions, [false, true, true]);
    let known = engine.search_widely(&query(&bytes).mode(Mode::LocalOnly), wide).unwrap();
    assert_eq!((known.verdict, ids(&known)), (Outcome::Hit, vec!["10", "21", "22"]));
    let region = merged.parts[1].region;
    let part = engine.search(&query(&bytes).params(SearchParams::default().region(region))).unwrap();
    assert_eq!((part.verdict, ids(&part)), (Outcome::Hit, vec!["10", "21"]));
}

/// Advises 300 pixels, takes 1000, and notes what it is sent.
#[derive(Default)]
struct Advising(std::sync::Mutex<Vec<(u32, u32, bool)>>);

impl Upstream for Advising {
    fn profile(&self) -> &'static str {
        "advising"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 300, max_side_px: 1000, takes_region: true }
    }

    fn search(&self, picture: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        let mut sent = self.0.lock().unwrap();
        sent.push((picture.width_px, picture.height_px, picture.region.is_some()));
        Ok(UpstreamPage { offers: vec![offer(&sent.len().to_string())], ..UpstreamPage::default() })
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[test]
fn a_tall_picture_is_asked_about_by_its_parts_and_as_a_whole_where_that_is_said_alone() {
    let bench = Bench::new();
    let upstream = Arc::new(Advising::default());
    let all: Vec<Arc<dyn Upstream>> = vec![upstream.clone()];
    let engine = engine_of(&bench, &all);
    let bytes = encoded(&resize(&picture(1), 400, 1600, FilterType::CatmullRom), ImageFormat::Png);
    let whole = engine.search(&query(&bytes)).unwrap();
    assert_eq!((whole.verdict, whole.upstream_calls), (Outcome::Miss, 0));
    assert_eq!(whole.unanswered.unwrap().reason, WhyNot::TooElongated);
    let parts: Vec<String> = whole.suggested_regions.iter().map(ToString::to_string).collect();
    assert_eq!(parts, ["0,0,400,400", "0,400,400,800", "0,800,400,1200", "0,1200,400,1600"]);
    assert!(upstream.0.lock().unwrap().is_empty(), "nothing was sent");
    let wide = Breadth::default().suggested_regions(true);
    let merged = engine.search_widely(&query(&bytes), wide).unwrap();
    assert_eq!((ids(&merged), merged.upstream_calls), (vec!["1", "2", "3", "4"], 4));
    assert!(merged.unanswered.is_none(), "{:?}", merged.unanswered);
    // Beside the whole picture a part would have been sent 250 pixels wide.
    assert_eq!(*upstream.0.lock().unwrap(), [(400, 400, false); 4]);
    assert_eq!(engine.search_widely(&query(&bytes), wide).unwrap().upstream_calls, 0);
    let forced = engine.search(&query(&bytes).force(true)).unwrap();
    assert_eq!((forced.upstream_calls, upstream.0.lock().unwrap().last()), (1, Some(&(250, 1000, false))));
    assert_eq!(engine.search(&query(&bytes)).unwrap().verdict, Outcome::Hit);
    let other = encoded(&resize(&picture(2), 400, 1600, FilterType::CatmullRom), ImageFormat::Png);
    assert_eq!(engine.search(&query(&other).whole(true)).unwrap().upstream_calls, 1);
    assert_eq!(upstream.0.lock().unwrap().last(), Some(&(250, 1000, false)));
}

#[test]
fn copies_of_one_picture_are_one_group_by_its_first_and_nothing_is_stored() {
    let bench = Bench::new();
    let engine = engine_of(&bench, &[]);
    let smaller = |seed| resize(&picture(seed), 120, 90, FilterType::CatmullRom);
    let files = [
        png(1),
        png(2),
        encoded(&smaller(1), ImageFormat::Png),
        png(3),
        encoded(&smaller(2), ImageFormat::Jpeg),
    ];
    let prepared: Vec<_> = files.iter().map(|bytes| engine.prepare_picture(bytes).unwrap()).collect();
    assert_eq!(engine.same_among(&prepared).unwrap(), [0, 1, 0, 3, 1]);
    assert!(engine.same_among(&[]).unwrap().is_empty());
    assert_eq!(engine.catalog().photos(&PhotoFilter::default()).unwrap(), []);
}
