//! The stand-in for 1688, and the whole product against it, over real HTTP and with the real model.

use std::sync::Arc;
use std::time::Duration;

use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::engine::{CachePolicy, Engine, Outcome};
use tongkuan::offer::Offer;
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::sandbox::{Sandbox, SandboxError, SandboxOptions, View};
use tongkuan::upstream::aop::sign;
use tongkuan::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, SearchParams, Secret, TmapiConfig, TmapiUpstream, UploadMediaType, UploadPicture,
    Upstream, UpstreamErrorKind, WhyNot, prepare,
};

use crate::embedding::real_embedder;
use crate::fakes::{FakeEmbedder, http, png, query};
use crate::upstream::{conformance, conformance_for};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000)))
}

fn sandbox(clock: &Arc<ManualClock>) -> Sandbox {
    Sandbox::start(SandboxOptions { clock: clock.clone(), ..SandboxOptions::default() }).unwrap()
}

fn client(sandbox: &Sandbox, clock: &Arc<ManualClock>) -> ArticleUpstream {
    let mut config = ArticleConfig::new("sandbox", Secret::new("sandbox-secret"));
    sandbox.base_url().clone_into(&mut config.base_url);
    ArticleUpstream::new(config, clock.clone()).unwrap()
}

#[test]
fn the_article_client_conforms_against_the_sandbox() {
    let clock = clock();
    let options = SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    conformance(&client(&sandbox, &clock));
    assert!(sandbox.counters().searches_ok > 0);
}

fn aop_client(sandbox: &Sandbox, clock: &Arc<ManualClock>) -> AopUpstream {
    let mut config = AopConfig::new("sandbox", Secret::new("sandbox-secret"));
    config.access_token = Some(Secret::new(sandbox.issue_token()));
    sandbox.base_url().clone_into(&mut config.base_url);
    AopUpstream::new(config, clock.clone()).unwrap()
}

#[test]
fn the_aop_client_conforms_against_the_sandbox() {
    let clock = clock();
    let options = SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    conformance(&aop_client(&sandbox, &clock));
    assert!(sandbox.counters().searches_ok > 0);
}

fn good_url(sandbox: &Sandbox, number: usize) -> String {
    let good = &sandbox.catalogue().goods()[number];
    format!("{}/img/{}/main.jpg", sandbox.base_url(), good.offer_id)
}

/// A picture that is looked up by its address.
fn picture_at(upstream: &dyn Upstream, url: String) -> UploadPicture {
    let grey = image::RgbImage::from_pixel(320, 320, image::Rgb([90, 90, 90]));
    let prepared = prepare(&grey, None, &upstream.upload_limits()).unwrap();
    UploadPicture { source_url: Some(url), ..prepared.picture }
}

#[test]
fn the_clients_that_search_by_address_conform_against_the_sandbox() {
    let clock = clock();
    let options = SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    let mut config = AopConfig::new("sandbox", Secret::new("sandbox-secret"));
    config.access_token = Some(Secret::new(sandbox.issue_token()));
    sandbox.base_url().clone_into(&mut config.base_url);
    let mut token = TmapiConfig::new(Secret::new("sandbox-secret"));
    sandbox.base_url().clone_into(&mut token.base_url);
    let clients: [Box<dyn Upstream>; 2] = [
        Box::new(LinkplusUpstream::new(config, clock.clone()).unwrap()),
        Box::new(TmapiUpstream::new(token, clock.clone()).unwrap()),
    ];
    let wanted = sandbox.catalogue().goods()[7].offer_id.to_string();
    for client in clients {
        let picture = picture_at(client.as_ref(), good_url(&sandbox, 7));
        let page = client.search(&picture, &SearchParams::default()).unwrap();
        assert_eq!(page.offers[0].offer_id.as_str(), wanted, "the picture at the address is what counts");
        conformance_for(client.as_ref(), &picture);
        for elsewhere in ["https://example.com/a.jpg".to_owned(), good_url(&sandbox, 7).replace(&wanted, "1")]
        {
            let picture = picture_at(client.as_ref(), elsewhere);
            let error = client.search(&picture, &SearchParams::default()).unwrap_err();
            assert_eq!(error.kind, UpstreamErrorKind::Image, "{error}");
        }
    }
}

fn onebound_client(sandbox: &Sandbox, clock: &Arc<ManualClock>) -> OneboundUpstream {
    let mut config = OneboundConfig::new(Secret::new("sandbox"), Secret::new("sandbox-secret"));
    sandbox.base_url().clone_into(&mut config.base_url);
    OneboundUpstream::new(config, clock.clone()).unwrap()
}

#[test]
fn the_onebound_client_conforms_against_the_sandbox() {
    let clock = clock();
    let options = SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    conformance(&onebound_client(&sandbox, &clock));
    assert!(sandbox.counters().searches_ok > 0);
}

#[test]
fn what_others_have_spent_at_the_provider_is_not_there_for_us() {
    let clock = clock();
    let options = SandboxOptions {
        clock: clock.clone(),
        min_interval_ms: 0,
        daily_quota: 5,
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).unwrap();
    let home = tempfile::tempdir().unwrap();
    let engine = Engine::builder(home.path())
        .embedder(Arc::new(FakeEmbedder::new()))
        .upstream(
            Arc::new(onebound_client(&sandbox, &clock)),
            GuardPolicy::default().min_interval(Duration::ZERO),
            CachePolicy::default(),
        )
        .clock(clock.clone())
        .open()
        .unwrap();
    // Another program with the same key.
    let other = onebound_client(&sandbox, &clock);
    let drawn = image::RgbImage::from_pixel(320, 320, image::Rgb([200, 30, 30]));
    let picture = prepare(&drawn, None, &other.upload_limits()).unwrap().picture;
    for _ in 0..2 {
        other.search(&picture, &SearchParams::default()).unwrap();
    }
    assert_eq!(engine.quota().unwrap()[0].budget, 500, "nobody has told yet");
    engine.search(&query(&png(1))).unwrap();
    let told = engine.quota().unwrap().remove(0);
    assert_eq!((told.used, told.budget, told.left), (3, 5, 2));
    for seed in [2, 3] {
        assert_eq!(engine.search(&query(&png(seed))).unwrap().upstream_calls, 1);
    }
    let spent = engine.search(&query(&png(4))).unwrap();
    assert_eq!(spent.unanswered.unwrap().reason, WhyNot::BudgetSpent);
    assert_eq!((sandbox.counters().searches_ok, sandbox.counters().searches_refused), (5, 0));
}

#[test]
fn both_dialects_sell_the_same_goods_and_only_the_article_states_a_likeness() {
    let clock = clock();
    let options = SandboxOptions { clock: clock.clone(), min_interval_ms: 0, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    let picture = sandbox.catalogue().picture(&sandbox.catalogue().goods()[7], View::Main);
    let page = |client: &dyn Upstream| {
        let prepared = prepare(&picture, None, &aop_client(&sandbox, &clock).upload_limits()).unwrap();
        client.search(&prepared.picture, &SearchParams::default()).unwrap().offers
    };
    let (article, aop) = (page(&client(&sandbox, &clock)), page(&aop_client(&sandbox, &clock)));
    assert!(article.iter().all(|o| o.similarity.is_some()) && aop.iter().all(|o| o.similarity.is_none()));
    let alike = |a: &Offer, b: &Offer| {
        a.offer_id == b.offer_id && a.title == b.title && a.price == b.price && a.image_url == b.image_url
    };
    assert!(article.iter().zip(&aop).all(|(a, b)| alike(a, b)), "{article:?} {aop:?}");
}

/// Posts a call of the gateway, signed or not, and returns the status and the error code.
fn call(sandbox: &Sandbox, path: &str, params: &[(&str, &str)], secret: Option<&str>) -> (u16, String) {
    let signature = secret.map(|secret| sign(path, params, &Secret::new(secret)));
    let mut form = params.to_vec();
    form.extend(signature.as_deref().map(|signature| ("_aop_signature", signature)));
    let answer = http().post(format!("{}/openapi/{path}", sandbox.base_url())).form(&form).send().unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().unwrap();
    (status, body["error_code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_gateway_checks_in_the_order_in_which_the_real_one_was_seen_to() {
    let clock = clock();
    let open = sandbox(&clock);
    let closed = SandboxOptions { clock: clock.clone(), deny_search: true, ..SandboxOptions::default() };
    let closed = Sandbox::start(closed).unwrap();
    let query = "param2/1/com.alibaba.fenxiao.crossborder/product.search.imageQuery";
    let path = format!("{query}/sandbox");
    let right = Some("sandbox-secret");
    // Each of these has everything wrong that comes later in the order, too.
    assert_eq!(call(&closed, query, &[], None), (400, "gw.AppKeyMissing".into()));
    assert_eq!(call(&closed, &path, &[], None), (400, "gw.SignatureMissing".into()));
    assert_eq!(call(&closed, &path, &[], Some("wrong")), (400, "gw.SignatureInvalid".into()));
    let unknown = "param2/1/com.alibaba.product/no.such.call/sandbox";
    assert_eq!(call(&closed, unknown, &[], right), (400, "gw.APIUnsupported".into()));
    assert_eq!(call(&closed, &path, &[], right), (401, "401".into()));
    assert_eq!(call(&closed, &path, &[("access_token", "old")], right), (400, "401".into()));
    let token = closed.issue_token();
    assert_eq!(call(&closed, &path, &[("access_token", &token)], right), (400, "gw.APIACLDecline".into()));
    let token = open.issue_token();
    assert_eq!(call(&open, &path, &[("access_token", &token)], right), (400, "gw.ParamMissing".into()));
    let asked = r#"{"imageId":"1","beginPage":1,"pageSize":20}"#;
    let params = [("access_token", token.as_str()), ("offerQueryParam", asked)];
    assert_eq!(call(&open, &path, &params, right), (400, "gw.ParamMissing".into()), "no country");
    assert_eq!(open.counters().searches_ok, 0);
}

#[test]
fn an_upload_that_is_too_large_or_no_picture_succeeds_with_the_image_id_zero() {
    let clock = clock();
    let sandbox = sandbox(&clock);
    let client = aop_client(&sandbox, &clock);
    for bytes in [vec![0xff; 300_001], b"no picture".to_vec()] {
        let picture = UploadPicture {
            bytes,
            media_type: UploadMediaType::Jpeg,
            width_px: 400,
            height_px: 400,
            region: None,
            source_url: None,
        };
        let error = client.search(&picture, &SearchParams::default()).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (UpstreamErrorKind::Image, "image_id_0"));
    }
    assert_eq!(sandbox.counters().searches_ok, 0);
}

#[test]
fn the_gateway_says_too_fast_and_nothing_left_in_its_own_words() {
    let clock = clock();
    let options = SandboxOptions {
        clock: clock.clone(),
        daily_quota: 1,
        token_ttl_secs: 100_000,
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).unwrap();
    let client = aop_client(&sandbox, &clock);
    let drawn = image::RgbImage::from_pixel(320, 320, image::Rgb([30, 90, 200]));
    let picture = prepare(&drawn, None, &client.upload_limits()).unwrap().picture;
    let ask = || client.search(&picture, &SearchParams::default());
    ask().unwrap();
    assert_eq!(ask().unwrap_err().code, "gw.NoUsageLeftError");
    clock.sleep(Duration::from_hours(24));
    ask().unwrap();
    sandbox.expire_tokens();
    assert_eq!(ask().unwrap_err().kind, UpstreamErrorKind::Auth);
}

#[test]
fn a_refresh_token_gets_an_access_token_and_a_wrong_one_gets_none() {
    let clock = clock();
    let sandbox = sandbox(&clock);
    let path = "http/1/system.oauth2/getToken/sandbox";
    let asked = |refresh: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", "sandbox"),
            ("client_secret", "sandbox-secret"),
            ("refresh_token", refresh),
        ];
        call(&sandbox, path, &form, None)
    };
    assert_eq!(asked("sandbox-refresh-token"), (200, String::new()));
    assert_eq!(asked("another"), (400, "invalid_grant".into()));
}

#[test]
fn a_good_finds_itself_first_and_its_pictures_are_served() {
    let clock = clock();
    let sandbox = sandbox(&clock);
    let good = sandbox.catalogue().goods()[7].clone();
    let photo = Photo::decode(&sandbox.catalogue().jpeg(&good, View::Main), &PhotoLimits::default()).unwrap();
    let client = client(&sandbox, &clock);
    let picture = prepare(photo.as_image(), None, &client.upload_limits()).unwrap().picture;
    let page = client.search(&picture, &SearchParams::default()).unwrap();
    assert_eq!(page.offers[0].offer_id.as_str(), good.offer_id.to_string());
    let image = http().get(page.offers[0].image_url.as_deref().unwrap()).send().unwrap();
    assert_eq!(image.bytes().unwrap(), sandbox.catalogue().jpeg(&good, View::Main));
}

#[test]
fn too_fast_is_refused_and_a_second_later_is_not() {
    let clock = clock();
    let sandbox = sandbox(&clock);
    let client = client(&sandbox, &clock);
    let drawn = image::RgbImage::from_pixel(320, 320, image::Rgb([200, 30, 30]));
    let picture = prepare(&drawn, None, &client.upload_limits()).unwrap().picture;
    let ask = || client.search(&picture, &SearchParams::default());
    ask().unwrap();
    assert_eq!(ask().unwrap_err().kind, UpstreamErrorKind::Rate);
    clock.sleep(Duration::from_secs(1));
    ask().unwrap();
    sandbox.expire_tokens();
    clock.sleep(Duration::from_secs(1));
    ask().unwrap();
    assert_eq!(sandbox.counters().token_requests, 2);
}

#[test]
fn the_quota_ends_the_day_and_the_next_day_begins_anew() {
    let clock = clock();
    let options = SandboxOptions { clock: clock.clone(), daily_quota: 1, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).unwrap();
    let client = client(&sandbox, &clock);
    let drawn = image::RgbImage::from_pixel(320, 320, image::Rgb([30, 30, 200]));
    let picture = prepare(&drawn, None, &client.upload_limits()).unwrap().picture;
    client.search(&picture, &SearchParams::default()).unwrap();
    clock.sleep(Duration::from_secs(2));
    let refused = client.search(&picture, &SearchParams::default()).unwrap_err();
    assert_eq!(refused.kind, UpstreamErrorKind::Quota);
    clock.sleep(Duration::from_hours(24));
    client.search(&picture, &SearchParams::default()).unwrap();
}

#[test]
fn an_address_that_is_not_loopback_is_refused() {
    let addr = "192.0.2.1:0".parse().unwrap();
    let error = Sandbox::start(SandboxOptions { addr, ..SandboxOptions::default() }).unwrap_err();
    assert!(matches!(error, SandboxError::NotLoopback(_)), "{error}");
}

#[test]
fn the_main_job_on_real_parts() {
    let clock = clock();
    let sandbox = sandbox(&clock);
    let home = tempfile::tempdir().unwrap();
    let engine = Engine::builder(home.path())
        .embedder(Arc::new(real_embedder()))
        .upstream(Arc::new(client(&sandbox, &clock)), GuardPolicy::default(), CachePolicy::default())
        .clock(clock.clone())
        .open()
        .unwrap();
    let catalogue = sandbox.catalogue();
    let good = &catalogue.goods()[0];
    let bytes = catalogue.jpeg(good, View::Main);
    let miss = engine.search(&query(&bytes)).unwrap();
    assert_eq!((miss.verdict, miss.upstream_calls), (Outcome::Miss, 1));
    assert!(!miss.offers.is_empty());

    let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
    let smaller = image::imageops::resize(
        &picture,
        picture.width() * 7 / 10,
        picture.height() * 7 / 10,
        image::imageops::FilterType::CatmullRom,
    );
    let edited = crate::fakes::encoded(&smaller, image::ImageFormat::Jpeg);
    let hit = engine.search(&query(&edited)).unwrap();
    assert_eq!((hit.verdict, hit.upstream_calls), (Outcome::Hit, 0), "score {:?}", hit.score());
    assert_eq!(hit.offers, miss.offers);

    let other = catalogue.goods().iter().find(|g| g.category_id != good.category_id).unwrap();
    let unlike = engine.search(&query(&catalogue.jpeg(other, View::Main))).unwrap();
    assert_ne!(unlike.verdict, Outcome::Hit, "score {:?}", unlike.score());
    assert_eq!(sandbox.counters().searches_ok, 2);
}
