//! The whole of the official search: against the sandbox, in every dialect that has it, and through the engine, which keeps each
//! question apart from the others.

use std::sync::Arc;
use std::time::Duration;

use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};
use tongkuan::catalog::Catalog;
use tongkuan::clock::{Clock as _, ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine, Mode, Outcome, Source};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::sandbox::{Sandbox, SandboxOptions, View};
use tongkuan::store::{AnswerKey, NewAnswer};
use tongkuan::upstream::{
    AopConfig, AopUpstream, GuardPolicy, LinkplusUpstream, OneboundConfig, OneboundUpstream, Region,
    SearchParams, Secret, Sort, TmapiConfig, TmapiUpstream, UploadLimits, UploadPicture, Upstream,
    UpstreamError, UpstreamPage, prepare,
};

use crate::fakes::{Bench, FakeEmbedder, encoded, offer, picture, png, query};

struct Shop {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
}

impl Shop {
    fn open() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000)));
        let options =
            SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
        Self { sandbox: Sandbox::start(options).unwrap(), clock }
    }

    fn gateway(&self) -> AopConfig {
        AopConfig {
            base_url: self.sandbox.base_url().to_owned(),
            access_token: Some(Secret::new(self.sandbox.issue_token())),
            ..AopConfig::new("sandbox", Secret::new("sandbox-secret"))
        }
    }

    fn aop(&self) -> AopUpstream {
        AopUpstream::new(self.gateway(), self.clock.clone()).unwrap()
    }

    fn linkplus(&self) -> LinkplusUpstream {
        LinkplusUpstream::new(self.gateway(), self.clock.clone()).unwrap()
    }

    fn onebound(&self) -> OneboundUpstream {
        let config = OneboundConfig {
            base_url: self.sandbox.base_url().to_owned(),
            ..OneboundConfig::new(Secret::new("sandbox"), Secret::new("sandbox-secret"))
        };
        OneboundUpstream::new(config, self.clock.clone()).unwrap()
    }

    fn tmapi(&self) -> TmapiUpstream {
        let config = TmapiConfig {
            base_url: self.sandbox.base_url().to_owned(),
            ..TmapiConfig::new(Secret::new("sandbox-secret"))
        };
        TmapiUpstream::new(config, self.clock.clone()).unwrap()
    }

    /// The main picture of the good of this number, and its address.
    fn picture(&self, client: &dyn Upstream, number: usize) -> UploadPicture {
        let good = &self.sandbox.catalogue().goods()[number];
        let drawn = self.sandbox.catalogue().picture(good, View::Main);
        let prepared = prepare(&drawn, None, &client.upload_limits()).unwrap().picture;
        let url = format!("{}/img/{}/main.jpg", self.sandbox.base_url(), good.offer_id);
        UploadPicture { source_url: Some(url), ..prepared }
    }

    fn search(&self, client: &dyn Upstream, params: &SearchParams) -> UpstreamPage {
        client.search(&self.picture(client, 7), params).unwrap()
    }
}

/// Whether each is followed by none that is before it in this order.
fn is_in_order<T: PartialOrd>(offers: &[Offer], value: impl Fn(&Offer) -> T) -> bool {
    offers.len() > 2 && offers.is_sorted_by_key(value)
}

#[test]
fn the_sandbox_honours_filter_sort_and_keywords_of_the_official_search() {
    let shop = Shop::open();
    let client = shop.aop();
    let search = |params: SearchParams| shop.search(&client, &params);
    let plain = search(SearchParams::default());

    let filtered =
        search(SearchParams::default().filters(["shipIn24Hours", "isOnePsale"].map(|w| w.parse().unwrap())));
    assert!(filtered.total < plain.total && filtered.offers.len() > 2, "{:?}", filtered.total);
    for offer in &filtered.offers {
        let promise = offer.shipping_promise.as_deref().unwrap();
        assert!(["shipInToday", "shipIn24Hours"].contains(&promise), "{promise}");
        assert_eq!((offer.dropships, offer.dropship_price > offer.price), (Some(true), true));
    }

    let sorted = search(SearchParams::default().sort(Sort::PriceAsc));
    assert_eq!(sorted.total, plain.total, "an order leaves nothing out");
    assert!(is_in_order(&sorted.offers, |offer| offer.price));
    let sorted = search(SearchParams::default().sort(Sort::MonthSoldDesc));
    assert!(is_in_order(&sorted.offers, |offer| std::cmp::Reverse(offer.month_sold)));
    let sorted = search(SearchParams::default().sort(Sort::RepurchaseRateAsc));
    assert!(is_in_order(&sorted.offers, |offer| offer.repurchase_percent));

    let chinese = search(SearchParams::default().keyword("杯".parse().ok()));
    assert!(chinese.total < plain.total && chinese.offers.len() > 2);
    assert!(chinese.offers.iter().all(|offer| offer.title.contains('杯')));
    let english = SearchParams::default().keyword("Handbag".parse().ok());
    assert_eq!(search(english.clone()).total, Some(0), "titles are in Chinese");
    let translated = search(english.translate_keyword(true));
    let titles = |page: &UpstreamPage| -> Vec<String> {
        page.offers.iter().filter_map(|offer| offer.title_translated.clone()).collect()
    };
    assert!(
        !translated.offers.is_empty() && titles(&translated).iter().all(|title| title.contains("handbag"))
    );
    for meant in [
        SearchParams::default().auxiliary_text("watch".parse().ok()),
        SearchParams::default().item_title("watch".parse().ok()),
    ] {
        let meant = search(meant);
        assert_eq!(meant.total, plain.total, "a text that says what is meant leaves nothing out");
        assert!(titles(&meant)[0].contains("watch"), "{:?}", titles(&meant));
    }
    let category = shop.sandbox.catalogue().goods()[7].category_id;
    let collection = search(SearchParams::default().collection_id(category.to_string().parse().ok()));
    assert!(!collection.offers.is_empty());
    assert!(collection.offers.iter().all(|offer| offer.category_ids == [category]));
    assert_eq!(search(SearchParams::default().collection_id("1".parse().ok())).total, Some(0));
}

#[test]
fn the_sandbox_tells_the_terms_of_offers_in_each_dialect_that_has_them() {
    let shop = Shop::open();
    let all = shop.search(&shop.aop(), &SearchParams::default()).offers;
    let told = |has: fn(&Offer) -> bool| all.iter().all(has);
    assert!(told(|o| o.title_translated.is_some()
        && o.trade_score.is_some()
        && o.shipping_promise.is_some()));
    assert!(told(|o| o.repurchase_percent.is_some() && o.month_sold.is_some() && o.week_sold.is_some()));
    assert!(told(|o| o.is_patented.is_some() && o.gives_invoice.is_some() && o.dropships.is_some()));
    let seller = |o: &Offer| o.supplier.years.is_some() && o.supplier.service_score.is_some();
    assert!(
        told(|o| !o.supplier.identities.is_empty() && o.supplier.address.is_some()) && all.iter().all(seller)
    );
    assert!(all.iter().any(|o| o.promotion_price < o.price && o.promotion_price.is_some()));

    let (linkplus, onebound, tmapi) = (shop.linkplus(), shop.onebound(), shop.tmapi());
    let clients: [&dyn Upstream; 3] = [&linkplus, &onebound, &tmapi];
    for client in clients {
        let offers = shop.search(client, &SearchParams::default()).offers;
        let both = |offer: &Offer| all.iter().find(|official| official.offer_id == offer.offer_id).cloned();
        let pairs: Vec<(Offer, Offer)> =
            offers.iter().filter_map(|offer| Some((offer.clone(), both(offer)?))).collect();
        assert!(pairs.len() > 2, "{}", client.profile());
        for (offer, official) in pairs {
            assert_eq!(offer.supplier.address, official.supplier.address, "{}", client.profile());
            if client.profile() != "linkplus" {
                assert_eq!(offer.repurchase_percent, official.repurchase_percent, "{}", client.profile());
            }
        }
    }
    let dropship = shop.search(&tmapi, &SearchParams::default().filters(["isOnePsale".parse().unwrap()]));
    assert!(dropship.offers.len() > 2 && dropship.offers.iter().all(|offer| offer.dropship_price.is_some()));
    let cheapest = shop.search(&tmapi, &SearchParams::default().sort(Sort::PriceAsc));
    assert!(is_in_order(&cheapest.offers, |offer| offer.price));
    let most_sold = shop.search(&onebound, &SearchParams::default().sort(Sort::MonthSoldDesc));
    assert!(is_in_order(&most_sold.offers, |offer| std::cmp::Reverse(offer.month_sold)));
    let cups = shop.search(&linkplus, &SearchParams::default().keyword("杯".parse().ok()));
    assert!(cups.offers.len() > 2 && cups.offers.iter().all(|offer| offer.title.contains('杯')));
}

#[test]
fn parts_that_the_upstream_suggests_are_kept_with_the_answer_and_can_be_searched_for() {
    let shop = Shop::open();
    let home = tempfile::tempdir().unwrap();
    let engine = Engine::builder(home.path())
        .embedder(Arc::new(FakeEmbedder::new()))
        .upstream(
            Arc::new(shop.aop()),
            GuardPolicy::default().min_interval(Duration::ZERO),
            CachePolicy::default(),
        )
        .clock(shop.clock.clone())
        .open()
        .unwrap();
    // Two goods side by side, larger than what is sent.
    let catalogue = shop.sandbox.catalogue();
    let mut both = RgbImage::from_pixel(2400, 800, image::Rgb([255, 255, 255]));
    for (number, left) in [(0, 200), (100, 1400)] {
        let good = resize(
            &catalogue.picture(&catalogue.goods()[number], View::Main),
            800,
            800,
            FilterType::Triangle,
        );
        image::imageops::replace(&mut both, &good, left, 0);
    }
    let bytes = encoded(&both, ImageFormat::Png);
    let asked = engine.search(&query(&bytes)).unwrap();
    assert_eq!((asked.source, asked.suggested_regions.len()), (Source::Upstream, 3));
    for region in &asked.suggested_regions {
        let [.., right, bottom] = region.edges_px();
        assert!(region.within((2400, 800)) == Some(*region) && right > 1000 && bottom > 300, "{region}");
    }
    let known = engine.search(&query(&bytes)).unwrap();
    assert_eq!((known.verdict, &known.suggested_regions), (Outcome::Hit, &asked.suggested_regions));
    let json = serde_json::to_value(&known).unwrap();
    assert_eq!(json["suggested_regions"][0], asked.suggested_regions[0].to_string());
    let part = SearchParams::default().region(asked.suggested_regions[1]);
    let second = engine.search(&query(&bytes).params(part)).unwrap();
    assert_eq!((second.upstream_calls, second.offers.is_empty()), (1, false));
}

/// Suggests the left half of every picture.
struct Suggesting;

impl Upstream for Suggesting {
    fn profile(&self) -> &'static str {
        "suggesting"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 80, takes_region: true }
    }

    fn search(&self, picture: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        let half = Region::new(0, 0, picture.width_px / 2, picture.height_px);
        let page = UpstreamPage { offers: vec![offer("11")], ..UpstreamPage::default() };
        Ok(UpstreamPage { suggested_regions: half.into_iter().collect(), ..page })
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[test]
fn a_suggestion_is_made_for_the_very_pixels_that_were_asked_about() {
    let bench = Bench::new();
    let engine = bench
        .builder()
        .upstream(
            Arc::new(Suggesting),
            GuardPolicy::default().min_interval(Duration::ZERO),
            CachePolicy::default(),
        )
        .open()
        .unwrap();
    let half: Vec<Region> = Region::new(0, 0, 80, 120).into_iter().collect();
    let bytes = png(1);
    assert_eq!(engine.search(&query(&bytes)).unwrap().suggested_regions, half, "in pixels of what was given");
    assert_eq!(engine.search(&query(&bytes)).unwrap().suggested_regions, half);
    // The same pixels in another file, and the same picture in other pixels.
    let again = encoded(&picture(1), ImageFormat::Bmp);
    assert_eq!(engine.search(&query(&again)).unwrap().suggested_regions, half);
    let smaller = encoded(&resize(&picture(1), 96, 72, FilterType::CatmullRom), ImageFormat::Png);
    let hit = engine.search(&query(&smaller)).unwrap();
    assert_eq!((hit.verdict, hit.upstream_calls, hit.suggested_regions.len()), (Outcome::Hit, 0, 0));
    // Asked about on its own, its suggestion is its own, and none of the stored photo.
    let fresh = engine.search(&query(&smaller).mode(Mode::Refresh)).unwrap();
    assert_eq!(fresh.suggested_regions, Region::new(0, 0, 48, 72).into_iter().collect::<Vec<_>>());
    assert!(engine.search(&query(&bytes)).unwrap().suggested_regions.is_empty());
}

#[test]
fn an_answer_that_an_earlier_version_stored_is_that_of_the_question_it_answered_and_of_no_other() {
    let bench = Bench::new();
    let bytes = png(1);
    let stored = bench.engine().search(&query(&bytes)).unwrap();
    let photo_id = bench.engine().search(&query(&bytes)).unwrap().matched.unwrap().photo_id;
    // As an earlier version has written key and offer, a second page at that.
    let key = "category=7;price=5.5..60;page=2;size=20";
    let body = r#"{"offer_id":"99","title":"old","price":"7.00","min_order_quantity":1,"month_sold":null,"similarity":null,"image_url":null,"detail_url":null,"supplier":{"company_name":null,"credit_level":null}}"#;
    let catalog = Catalog::open(bench.home.path()).unwrap();
    let older = Offer::new(OfferId::new("99").unwrap(), "old");
    let answer = NewAnswer::Upstream {
        profile: "fake",
        params: key,
        fetched_at: bench.clock.now(),
        total: None,
        regions: &[],
        offers: &[older],
    };
    assert!(catalog.store_answer(photo_id, &answer).unwrap());
    drop(catalog);
    let raw = rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap();
    assert_eq!(raw.execute("UPDATE offers SET body = ?1 WHERE offer_id = '99'", [body]).unwrap(), 1);
    drop(raw);

    let engine = bench.engine();
    let question = SearchParams::default()
        .category_id(7)
        .price_min("5.50".parse::<tongkuan::offer::Price>().ok())
        .price_max("60".parse::<tongkuan::offer::Price>().ok())
        .page(2);
    let known = engine.search(&query(&bytes).params(question.clone())).unwrap();
    assert_eq!(
        (known.verdict, known.upstream_calls, known.offers[0].title.as_str()),
        (Outcome::Hit, 0, "old")
    );
    assert_eq!(known.offers[0].price, "7.00".parse().ok());
    let others = [
        question.clone().sort(Sort::PriceAsc),
        question.clone().filters(["new7".parse().unwrap()]),
        question.clone().keyword("杯".parse().ok()),
        question.clone().auxiliary_text("杯".parse().ok()),
        question.clone().item_title("杯".parse().ok()),
        question.clone().collection_id("1".parse().ok()),
        question.language("en".parse().ok()),
    ];
    for other in &others {
        let local = engine.search(&query(&bytes).params(other.clone()).mode(Mode::LocalOnly)).unwrap();
        assert_eq!((local.verdict, local.offers.len()), (Outcome::Miss, 0), "{}", other.key());
        let asked = engine.search(&query(&bytes).params(other.clone())).unwrap();
        assert_eq!(asked.upstream_calls, 1, "{}", other.key());
        let kept = engine
            .catalog()
            .answer(photo_id, &AnswerKey { profiles: &[], params: &other.key(), without_own: false });
        assert_eq!(kept.unwrap().unwrap().offers, asked.offers);
    }
    assert_eq!(
        engine.search(&query(&bytes)).unwrap().offers,
        stored.offers,
        "the plain question has its own"
    );
    drop(engine);
    let catalog = Catalog::open(bench.home.path()).unwrap();
    assert!(catalog.damaged_entries(&|_| None).unwrap().is_empty(), "every key is known as one");
}
