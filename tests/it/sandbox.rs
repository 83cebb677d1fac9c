//! The stand-in for 1688, and the whole product against it, over real HTTP and with the real model.

use std::sync::Arc;
use std::time::Duration;

use tongkuan::clock::{Clock, ManualClock, Timestamp};
use tongkuan::engine::{Engine, Outcome};
use tongkuan::photo::{Photo, PhotoLimits};
use tongkuan::sandbox::{Sandbox, SandboxError, SandboxOptions, View};
use tongkuan::upstream::{
    ArticleConfig, ArticleUpstream, GuardPolicy, SearchParams, Secret, Upstream, UpstreamErrorKind, prepare,
};

use crate::embedding::real_embedder;
use crate::fakes::query;
use crate::upstream::conformance;

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
    let image = reqwest::blocking::get(page.offers[0].image_url.as_deref().unwrap()).unwrap();
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
        .upstream(Arc::new(client(&sandbox, &clock)), GuardPolicy::default())
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
    assert_eq!((hit.verdict, hit.upstream_calls), (Outcome::Hit, 0), "score {:?}", hit.score);
    assert_eq!(hit.offers, miss.offers);

    let other = catalogue.goods().iter().find(|g| g.category_id != good.category_id).unwrap();
    let unlike = engine.search(&query(&catalogue.jpeg(other, View::Main))).unwrap();
    assert_ne!(unlike.verdict, Outcome::Hit, "score {:?}", unlike.score);
    assert_eq!(sandbox.counters().searches_ok, 2);
}
