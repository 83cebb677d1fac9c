//! Everything about one offer: asked once, then known.

use std::sync::Arc;
use std::time::Duration;

use tongkuan::catalog::{GoodsFilter, PhotoFilter};
use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine, EngineError, Mode, Source};
use tongkuan::offer::{Offer, OfferDetail, OfferId, Sku};
use tongkuan::photo_id::PhotoId;
use tongkuan::sandbox::{Good, Sandbox, SandboxOptions};
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardError, GuardPolicy, LinkplusUpstream,
    OneboundConfig, OneboundUpstream, SearchParams, Secret, TmapiConfig, TmapiUpstream, UploadLimits,
    UploadPicture, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage, WhyNot,
};

use crate::cli::Shell;
use crate::fakes::{Bench, FakeEmbedder, Telling, png, query};

struct Scene {
    clock: Arc<ManualClock>,
    sandbox: Sandbox,
    home: tempfile::TempDir,
}

impl Scene {
    fn new(options: SandboxOptions) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000)));
        let options = SandboxOptions { clock: clock.clone(), ..options };
        Self { clock, sandbox: Sandbox::start(options).unwrap(), home: tempfile::tempdir().unwrap() }
    }

    fn aop(&self) -> Arc<dyn Upstream> {
        let config = AopConfig {
            base_url: self.sandbox.base_url().to_owned(),
            refresh_token: Some(Secret::new("sandbox-refresh-token")),
            ..AopConfig::new("sandbox", Secret::new("sandbox-secret"))
        };
        Arc::new(AopUpstream::new(config, self.clock.clone()).unwrap())
    }

    fn article(&self) -> Arc<dyn Upstream> {
        let config = ArticleConfig {
            base_url: self.sandbox.base_url().to_owned(),
            ..ArticleConfig::new("sandbox", Secret::new("sandbox-secret"))
        };
        Arc::new(ArticleUpstream::new(config, self.clock.clone()).unwrap())
    }

    fn linkplus(&self) -> Arc<dyn Upstream> {
        let config = AopConfig {
            base_url: self.sandbox.base_url().to_owned(),
            refresh_token: Some(Secret::new("sandbox-refresh-token")),
            ..AopConfig::new("sandbox", Secret::new("sandbox-secret"))
        };
        Arc::new(LinkplusUpstream::new(config, self.clock.clone()).unwrap())
    }

    fn onebound(&self) -> Arc<dyn Upstream> {
        let config = OneboundConfig {
            base_url: self.sandbox.base_url().to_owned(),
            ..OneboundConfig::new(Secret::new("sandbox"), Secret::new("sandbox-secret"))
        };
        Arc::new(OneboundUpstream::new(config, self.clock.clone()).unwrap())
    }

    fn tmapi(&self) -> Arc<dyn Upstream> {
        let config = TmapiConfig {
            base_url: self.sandbox.base_url().to_owned(),
            ..TmapiConfig::new(Secret::new("sandbox-secret"))
        };
        Arc::new(TmapiUpstream::new(config, self.clock.clone()).unwrap())
    }

    fn engine(&self, upstream: Arc<dyn Upstream>) -> Engine {
        self.engine_of([upstream])
    }

    fn engine_of(&self, upstreams: impl IntoIterator<Item = Arc<dyn Upstream>>) -> Engine {
        let builder = Engine::builder(self.home.path()).embedder(Arc::new(FakeEmbedder::new()));
        upstreams
            .into_iter()
            .fold(builder, |builder, upstream| {
                builder.upstream(upstream, GuardPolicy::default(), CachePolicy::default())
            })
            .clock(self.clock.clone())
            .open()
            .unwrap()
    }

    fn offer_id(&self, number: usize) -> OfferId {
        OfferId::new(self.sandbox.catalogue().goods()[number].offer_id.to_string()).unwrap()
    }
}

#[test]
fn both_dialects_tell_the_same_of_an_offer() {
    let scene = Scene::new(SandboxOptions { min_interval_ms: 0, ..SandboxOptions::default() });
    let good = &scene.sandbox.catalogue().goods()[7];
    let [aop, article] =
        [scene.aop(), scene.article()].map(|upstream| upstream.details(&scene.offer_id(7)).unwrap());
    assert_eq!(aop.offer.offer_id, scene.offer_id(7));
    assert_eq!((&aop.offer.title, aop.offer.price), (&good.title, Some(good.price)));
    assert_eq!(aop.offer.min_order_quantity, Some(good.min_order_quantity));
    assert_eq!(aop.offer.supplier.company_name.as_ref(), Some(&good.company_name));
    assert_eq!((aop.image_urls.len(), aop.attributes[1].value.as_str()), (5, good.colour));
    let colours = 1 + scene.sandbox.catalogue().colour_variants(good).count();
    assert_eq!(aop.skus.len(), colours);
    assert_eq!(aop.skus[0].stock, Some(999));
    assert!(
        aop.skus.iter().all(|sku| sku.price.is_some() && sku.sku_id.is_some() && sku.image_url.is_some())
    );
    let steps: Vec<u32> = aop.price_ladder.iter().map(|step| step.from_quantity).collect();
    assert_eq!(steps, [1, 10, 100].map(|times| good.min_order_quantity * times));
    assert!(aop.price_ladder.is_sorted_by(|a, b| a.price > b.price), "more cost less a piece");
    assert_eq!(aop.unit_price(good.min_order_quantity), Some(good.price));
    assert!(aop.weight_grams.is_some() && aop.ships_from.is_some() && aop.is_postage_free.is_some());
    assert_eq!(
        (&article.price_ladder, article.weight_grams, &article.ships_from),
        (&aop.price_ladder, aop.weight_grams, &aop.ships_from)
    );
    assert_eq!(article.is_postage_free.unwrap_or(false), aop.is_postage_free.unwrap());
    // The article's dialect does not weigh single variants.
    assert!(aop.skus.iter().all(|sku| sku.weight_grams == aop.weight_grams));
    let weightless = |sku: &Sku| Sku { weight_grams: None, ..sku.clone() };
    assert_eq!(article.skus, aop.skus.iter().map(weightless).collect::<Vec<_>>());
    for detail in [&article, &aop] {
        assert_eq!(detail.offer.category_ids, [good.category_id]);
    }
    assert_eq!((article.image_urls, article.attributes), (aop.image_urls, aop.attributes));
    assert_eq!((article.offer.title, article.offer.price), (aop.offer.title, aop.offer.price));
    assert_eq!(scene.sandbox.counters().details_ok, 2);
}

#[test]
fn every_dialect_tells_of_an_offer_what_its_answer_has_a_place_for() {
    let scene = Scene::new(SandboxOptions { min_interval_ms: 0, ..SandboxOptions::default() });
    let goods = scene.sandbox.catalogue().goods();
    let pays = |good: &&Good| {
        let id = OfferId::new(good.offer_id.to_string()).unwrap();
        scene.aop().details(&id).unwrap().is_postage_free.unwrap()
    };
    // One whose seller pays the freight, and one whose buyer does.
    for good in [goods.iter().find(pays).unwrap(), goods.iter().find(|good| !pays(good)).unwrap()] {
        let id = OfferId::new(good.offer_id.to_string()).unwrap();
        let aop = scene.aop().details(&id).unwrap();
        assert_eq!(scene.linkplus().details(&id).unwrap(), aop, "by the same call");
        for vendor in [scene.onebound(), scene.tmapi()] {
            let (told, profile) = (vendor.details(&id).unwrap(), vendor.profile());
            let of = |detail: &OfferDetail| {
                let Offer { title, price, min_order_quantity, category_ids, image_url, .. } =
                    detail.offer.clone();
                (title, price, min_order_quantity, category_ids, image_url)
            };
            assert_eq!(of(&told), of(&aop), "{profile}");
            assert_eq!(told.offer.supplier.company_name, aop.offer.supplier.company_name, "{profile}");
            assert_eq!(
                (&told.price_ladder, told.weight_grams),
                (&aop.price_ladder, aop.weight_grams),
                "{profile}"
            );
            assert_eq!((&told.ships_from, told.stock()), (&aop.ships_from, aop.stock()), "{profile}");
            assert_eq!((&told.image_urls, &told.attributes), (&aop.image_urls, &aop.attributes), "{profile}");
            assert_eq!(told.freight.is_some(), aop.is_postage_free == Some(false), "{profile}");
            // Neither weighs single variants, and one tells no dropship price of them.
            let plain = |sku: &Sku| Sku { weight_grams: None, dropship_price: None, ..sku.clone() };
            let variants = |detail: &OfferDetail| detail.skus.iter().map(plain).collect::<Vec<_>>();
            assert_eq!(variants(&told), variants(&aop), "{profile}");
        }
        let returns = scene.tmapi().details(&id).unwrap().offer.no_reason_return;
        assert_eq!(
            returns,
            aop.offer.no_reason_return.filter(|may| *may),
            "what is not among the services is not told"
        );
    }
}

#[test]
fn where_one_lacks_the_permission_for_details_the_next_is_asked() {
    let scene = Scene::new(SandboxOptions { min_interval_ms: 0, ..SandboxOptions::default() });
    let engine = scene.engine_of([Arc::new(SearchOnly(scene.tmapi())) as Arc<dyn Upstream>, scene.aop()]);
    let told = engine.details(&scene.offer_id(3), Mode::Default).unwrap();
    assert_eq!((told.profile.as_deref(), told.upstream_calls), (Some("aop"), 1));
    assert!(told.warnings.iter().any(|text| text.contains("aop is asked instead")), "{:?}", told.warnings);
    let used: Vec<u32> = engine.quota().unwrap().iter().map(|report| report.used).collect();
    assert_eq!(used, [0, 1], "the refusal was given back");
}

#[test]
fn details_that_are_known_cost_no_call_until_they_are_too_old() {
    let scene = Scene::new(SandboxOptions { token_ttl_secs: 10_000_000, ..SandboxOptions::default() });
    let engine = scene.engine(scene.aop());
    let id = scene.offer_id(3);
    let first = engine.details(&id, Mode::Default).unwrap();
    assert_eq!((first.source, first.upstream_calls), (Source::Upstream, 1));
    assert_eq!(engine.quota().unwrap()[0].used, 1, "it is booked as a search is");
    drop(engine);
    let engine = scene.engine(scene.aop());
    for mode in [Mode::Default, Mode::LocalOnly] {
        let known = engine.details(&id, mode).unwrap();
        assert_eq!((known.source, known.upstream_calls, known.stale), (Source::Local, 0, false));
        assert_eq!((known.detail, known.fetched_at), (first.detail.clone(), first.fetched_at));
    }
    assert_eq!(scene.sandbox.counters().details_ok, 1);
    scene.clock.sleep(CachePolicy::default().hard_ttl);
    let offline = engine.details(&id, Mode::LocalOnly).unwrap();
    assert!(offline.stale && offline.detail.is_some());
    assert_eq!(engine.details(&id, Mode::Default).unwrap().upstream_calls, 1);
    assert_eq!(engine.details(&id, Mode::Refresh).unwrap().upstream_calls, 1);
    assert_eq!(scene.sandbox.counters().details_ok, 3);
}

#[test]
fn a_category_that_details_told_is_known_of_the_offer_from_then_on() {
    let scene = Scene::new(SandboxOptions { min_interval_ms: 0, ..SandboxOptions::default() });
    let engine = scene.engine(scene.article());
    let answer = engine.search(&query(&png(1))).unwrap();
    let number: u64 = answer.offers[0].offer_id.as_str().parse().unwrap();
    let category_id = Some(scene.sandbox.catalogue().find(number).unwrap().category_id);
    let goods = GoodsFilter { category_id, ..GoodsFilter::default() };
    let photos = || engine.catalog().photos(&PhotoFilter { goods, ..PhotoFilter::default() }).unwrap();
    assert_eq!(photos(), []);
    engine.details(&answer.offers[0].offer_id, Mode::Default).unwrap();
    assert_eq!(photos(), [PhotoId(1)]);
}

#[test]
fn old_details_are_better_than_none_when_the_upstream_has_nothing_left() {
    let scene = Scene::new(SandboxOptions { daily_quota: 1, ..SandboxOptions::default() });
    let engine = scene.engine(scene.article());
    let id = scene.offer_id(3);
    let first = engine.details(&id, Mode::Default).unwrap();
    let old = engine.details(&id, Mode::Refresh).unwrap();
    assert_eq!((old.detail, old.source), (first.detail, Source::Local));
    assert_eq!(old.unanswered.unwrap().reason, WhyNot::QuotaSpent);
    let unknown = engine.details(&scene.offer_id(4), Mode::Default).unwrap();
    assert_eq!((unknown.detail, unknown.unanswered.unwrap().reason), (None, WhyNot::QuotaSpent));
}

#[test]
fn ten_threads_that_ask_about_one_offer_make_one_call() {
    let scene = Scene::new(SandboxOptions { min_interval_ms: 0, ..SandboxOptions::default() });
    let engine = scene.engine(scene.article());
    let id = scene.offer_id(9);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert!(engine.details(&id, Mode::Default).unwrap().detail.is_some()));
        }
    });
    assert_eq!(scene.sandbox.counters().details_ok, 1);
}

#[test]
fn processes_on_one_home_that_ask_about_one_offer_make_one_call() {
    let bench = Bench::new();
    let slow = Arc::new(Telling::default());
    let engines: [Engine; 4] = std::array::from_fn(|_| {
        let policy = GuardPolicy::default().min_interval(Duration::ZERO);
        bench.builder().upstream(slow.clone(), policy, CachePolicy::default()).open().unwrap()
    });
    let [cup, mug]: [OfferId; 2] = ["7001", "7002"].map(|id| id.parse().unwrap());
    let asked = || slow.asked();
    let hanging = slow.hanging.lock().unwrap();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |(engine, id): (_, &'_ OfferId)| {
            let (engine, id): (&Engine, _) = (engine, id.clone());
            scope.spawn(move || engine.details(&id, Mode::Default).unwrap())
        };
        let mut threads = vec![ask((&engines[0], &cup))];
        while asked().is_empty() {
            std::thread::yield_now();
        }
        threads.extend(engines.iter().map(|engine| ask((engine, &cup))));
        // Another offer is in nobody's way, also within the process that is asking.
        threads.push(ask((&engines[0], &mug)));
        while !asked().contains(&mug) {
            std::thread::yield_now();
        }
        drop(hanging);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.detail.is_some()));
    assert_eq!(answers.iter().map(|answer| answer.upstream_calls).sum::<u32>(), 2);
    assert_eq!(asked(), [cup, mug]);
}

#[test]
fn an_offer_that_nobody_knows_is_an_error_and_stored_nowhere() {
    let scene = Scene::new(SandboxOptions::default());
    let unknown = OfferId::new("12").unwrap();
    for upstream in [scene.aop(), scene.article(), scene.linkplus(), scene.onebound(), scene.tmapi()] {
        let engine = scene.engine(upstream);
        scene.clock.sleep(Duration::from_secs(2));
        let error = engine.details(&unknown, Mode::Default).unwrap_err();
        assert!(
            matches!(&error, EngineError::Upstream(GuardError::Upstream { error, calls: 1 })
                if error.code == "no_such_offer"),
            "{error}"
        );
        assert!(engine.catalog().details(&unknown, &[]).unwrap().is_none());
        // For a while, it is not paid for again, unless that is wished for.
        let calls = |mode| match engine.details(&unknown, mode).unwrap_err() {
            EngineError::Upstream(GuardError::Upstream { error, calls }) if error.code == "no_such_offer" => {
                calls
            }
            error => panic!("{error}"),
        };
        assert_eq!(calls(Mode::Default), 0);
        scene.clock.sleep(Duration::from_secs(2));
        assert_eq!(calls(Mode::Refresh), 1);
    }
}

/// May search, and may not ask about offers.
struct SearchOnly(Arc<dyn Upstream>);

impl Upstream for SearchOnly {
    fn profile(&self) -> &'static str {
        "search-only"
    }

    fn upload_limits(&self) -> UploadLimits {
        self.0.upload_limits()
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        self.0.search(picture, params)
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, _: &OfferId) -> Result<OfferDetail, UpstreamError> {
        Err(UpstreamError::new("search-only", UpstreamErrorKind::Acl, "gw.APIACLDecline", "not allowed"))
    }

    fn check(&self) -> Result<(), UpstreamError> {
        self.0.check()
    }
}

#[test]
fn a_missing_permission_for_details_does_not_stop_the_searches() {
    let bench = Bench::new();
    let upstream = Arc::new(SearchOnly(bench.upstream.clone()));
    let engine =
        bench.builder().upstream(upstream, GuardPolicy::default(), CachePolicy::default()).open().unwrap();
    let error = engine.details(&OfferId::new("1").unwrap(), Mode::Default).unwrap_err();
    assert!(error.to_string().contains("gw.APIACLDecline"), "{error}");
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1);
    assert_eq!(engine.quota().unwrap()[0].used, 1, "the refusal was given back");
}

#[test]
fn an_upstream_without_such_a_call_is_not_asked() {
    let bench = Bench::new();
    let id = OfferId::new("1").unwrap();
    assert!(!bench.upstream.gives_details());
    assert_eq!(bench.upstream.details(&id).unwrap_err().kind, UpstreamErrorKind::Unsupported);
    let engine = bench.engine();
    let none = engine.details(&id, Mode::Default).unwrap();
    assert_eq!((none.detail, none.unanswered.unwrap().reason), (None, WhyNot::NoUpstream));
    assert_eq!(engine.search(&query(&png(1))).unwrap().upstream_calls, 1);
}

#[test]
fn the_command_prints_details_and_offline_only_those_that_are_known() {
    let shell = Shell::with_sandbox().with_home();
    let id = shell.sandbox().catalogue().goods()[3].offer_id.to_string();
    let offline = shell.run(&["--offline", "details", &id]);
    assert!(offline.status == 1 && offline.out.contains("nothing is known"), "{offline:?}");
    let first = shell.run(&["--json", "details", &id]);
    assert_eq!((first.status, &first.json()["upstream_calls"]), (0, &1.into()), "{first:?}");
    let read = shell.run(&["--offline", "details", &id]);
    assert!(read.status == 0 && read.out.contains("颜色") && read.out.contains("999 pieces"), "{read:?}");
    let again = shell.run(&["--json", "details", &id]).json();
    assert_eq!((&again["source"], &again["detail"]), (&"local".into(), &first.json()["detail"]));
    assert_eq!(shell.run(&["--json", "details", "--refresh", &id]).json()["upstream_calls"], 1);
    assert_eq!(shell.sandbox().counters().details_ok, 2);
    let own = shell.run(&["--json", "details", "no number of an offer"]);
    assert_eq!((own.status, &own.json()["upstream_calls"]), (1, &0.into()), "{own:?}");
    assert_eq!(shell.run(&["details", "no\nid"]).status, 2);
}
