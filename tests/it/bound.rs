//! The threshold between hit and review: what it promises, and whether goods that it was not set on keep the promise.

use std::sync::Arc;

use image::imageops::{FilterType, resize};
use tongkuan::calibration::{CALIBRATION_FORMAT, Calibration, OperatingPoint, Sample};
use tongkuan::catalog::Catalog;
use tongkuan::embed::Embedder;
use tongkuan::engine::{CalibratedOn, Engine, EngineError, SecondLook, Silent};
use tongkuan::eval::{MakeOptions, Manifest, Recolours, evaluate, make};
use tongkuan::sandbox::{Catalogue, View};
use tongkuan::verify::{REVIEW_CONFIDENCE, weights_digest};

use crate::fakes::{Bench, FakeEmbedder, offer, png, query};

/// A calibration of the fake model: none of `unseen` searches stands out, `sure` of as many look-alikes do, at 0.9.
pub(crate) fn calibration(unseen: usize, sure: usize) -> Calibration {
    let sample = |sure| Sample {
        queries: unseen,
        pictures: unseen,
        confidences: vec![0.9; sure],
        made_of: (0..sure).collect(),
    };
    let verifier = weights_digest().to_owned();
    Calibration {
        format: CALIBRATION_FORMAT,
        model: "fake".to_owned(),
        verifier,
        max_false_hit: 0.5,
        stored: 4,
        unseen: sample(0),
        look_alikes: sample(sure),
    }
}

pub(crate) fn keep(bench: &Bench, calibration: &Calibration) {
    Catalog::open(bench.engine().folder()).unwrap().keep_calibration(Some(calibration)).unwrap();
}

#[test]
fn a_model_without_a_calibration_promises_nothing_and_refuses_a_bound() {
    let bench = Bench::new();
    let engine = bench.engine();
    assert_eq!(
        (engine.operating_point().unwrap(), engine.calibrated_on()),
        (OperatingPoint::UNCALIBRATED, CalibratedOn::Nothing)
    );
    let refused = bench.builder().max_false_hit(0.01).open().unwrap_err();
    assert!(matches!(refused, EngineError::Uncalibrated { .. }), "{refused}");
    assert!(refused.to_string().contains("calibrate on"), "{refused}");
}

#[test]
fn the_homes_own_calibration_sets_the_threshold_and_the_answer_says_so() {
    let bench = Bench::new();
    keep(&bench, &calibration(5000, 200));
    let engine = bench.builder().max_false_hit(0.01).open().unwrap();
    let point = engine.operating_point().unwrap();
    assert!(point.confidence > 0.9 && engine.calibrated_on() == CalibratedOn::Own, "{point:?}");
    engine.add_own(&offer("A-1"), &png(1), "a.png").unwrap();
    let answer = engine.search(&query(&png(2))).unwrap();
    assert!((answer.threshold() - point.confidence).abs() < f32::EPSILON, "{answer:?}");
    assert_eq!(answer.max_false_hit(), Some(0.01));
    // Who allows more has a lower one; who names nothing has what it was made for.
    assert_eq!(bench.engine().search(&query(&png(2))).unwrap().max_false_hit(), Some(0.5));
    let lax = bench.builder().max_false_hit(0.2).open().unwrap().operating_point().unwrap();
    assert!(lax.confidence < 0.9, "{lax:?}");
}

#[test]
fn an_open_engine_sets_its_threshold_by_the_newest_calibration_and_the_newest_words() {
    let bench = Bench::new();
    keep(&bench, &calibration(5000, 0));
    let engine = bench.builder().max_false_hit(0.01).open().unwrap();
    let confidence = |seed| {
        engine.search(&query(&png(seed))).unwrap();
        engine.operating_point().unwrap().confidence
    };
    assert!(confidence(1) < 0.9);
    // From another process, say.
    keep(&bench, &calibration(5000, 200));
    assert!(confidence(2) > 0.9);
    keep(&bench, &Calibration { stored: 64, ..calibration(2000, 10) });
    assert!(confidence(3) < 0.9);
    let other = bench.engine();
    let ids: Vec<_> = (10..40)
        .map(|seed| other.add_own(&offer(&format!("A-{seed}")), &png(seed), "a.png").unwrap().photo_id)
        .collect();
    let now = tongkuan::clock::Timestamp::from_unix_ms(0);
    let catalog = Catalog::open(other.folder()).unwrap();
    for &id in &ids[1..] {
        catalog.tell((ids[0], id), false, Some(0.95), now).unwrap();
    }
    assert!(confidence(4) > 0.9);
    for &id in &ids[1..] {
        assert!(catalog.forget_told((ids[0], id)).unwrap());
    }
    assert!(confidence(5) < 0.9);
}

#[test]
fn a_calibration_of_other_weights_or_another_model_is_not_used() {
    let bench = Bench::new();
    for other in [
        Calibration { verifier: "other".to_owned(), ..calibration(5000, 0) },
        Calibration { model: "other".to_owned(), ..calibration(5000, 0) },
    ] {
        keep(&bench, &other);
        assert_eq!(bench.engine().calibrated_on(), CalibratedOn::Nothing);
    }
}

#[test]
fn a_bound_that_the_pairs_cannot_support_is_refused_with_how_many_would() {
    let bench = Bench::new();
    keep(&bench, &calibration(200, 0));
    let refused = bench.builder().max_false_hit(0.001).open().unwrap_err();
    let EngineError::TooFewPairs(too_few) = &refused else { panic!("{refused}") };
    assert!(too_few.needed > 400 && refused.to_string().contains(&too_few.needed.to_string()), "{refused}");
}

#[test]
fn with_more_pictures_than_the_calibration_can_vouch_for_the_answer_says_what_it_promises() {
    let bench = Bench::new();
    // At 4 stored pictures 0.93 % is possible; each doubling makes it 1.7 times that.
    keep(&bench, &calibration(320, 0));
    let engine = bench.builder().max_false_hit(0.01).open().unwrap();
    for seed in 0..5 {
        engine.add_own(&offer(&format!("A-{seed}")), &png(seed), "a.png").unwrap();
    }
    let answer = engine.search(&query(&png(9))).unwrap();
    let promised = answer.max_false_hit().unwrap();
    assert!(promised > 0.01 && promised < 0.02, "{promised}");
}

#[test]
fn people_who_tell_pictures_apart_raise_the_threshold() {
    let bench = Bench::new();
    keep(&bench, &calibration(2000, 10));
    let threshold = |bench: &Bench| {
        bench.builder().max_false_hit(0.01).open().unwrap().operating_point().unwrap().confidence
    };
    let before = threshold(&bench);
    let engine = bench.engine();
    let now = tongkuan::clock::Timestamp::from_unix_ms(0);
    let ids: Vec<_> = (0..30)
        .map(|seed| engine.add_own(&offer(&format!("A-{seed}")), &png(seed), "a.png").unwrap().photo_id)
        .collect();
    let catalog = Catalog::open(engine.folder()).unwrap();
    for &id in &ids[1..] {
        catalog.tell((ids[0], id), false, Some(0.95), now).unwrap();
    }
    assert!(before < 0.9 && threshold(&bench) > 0.9, "{before} then {}", threshold(&bench));
}

/// Two searches in ten: what some dozens of goods can support.
const BOUND: f64 = 0.2;

#[test]
#[ignore = "soak: .ci/release runs it"]
fn goods_that_the_calibration_did_not_see_keep_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, set) = (folder.path().join("goods"), folder.path().join("set"));
    std::fs::create_dir_all(&pictures).unwrap();
    let goods = Catalogue::new(1688);
    let files: Vec<_> = (0..48)
        .map(|i| {
            let path = pictures.join(format!("{i:02}.png"));
            let drawn = goods.picture(&goods.goods()[i * 9 % goods.goods().len()], View::Main);
            resize(&drawn, 240, 240, FilterType::Triangle).save(&path).unwrap();
            path
        })
        .collect();
    let options = MakeOptions { seed: 5, limit: None, recolours: Recolours::All };
    let made = make(&pictures, &files, &set, options, &Silent).unwrap();
    let embedder = Arc::new(FakeEmbedder::new());
    let model = embedder.fingerprint();
    let engine = Engine::builder(folder.path().join("home")).embedder(embedder).open().unwrap();
    let evaluation =
        evaluate(&engine, Manifest::read(&made.manifest).unwrap(), SecondLook::Always, &Silent).unwrap();
    let (mut thresholds, mut rates) = (Vec::new(), Vec::new());
    for split in 0..20 {
        let calibration = evaluation.calibration(&model, BOUND, |asked| asked.is_in_first_half(split));
        // A half that cannot promise it says so; then there is no threshold that could break the promise.
        let Ok(point) = calibration.operating_point(BOUND, 24) else { continue };
        let other = evaluation.calibration(&model, BOUND, |asked| !asked.is_in_first_half(split));
        thresholds.push(point.confidence);
        rates.push(other.realised(point.confidence));
    }
    assert!(thresholds.len() >= 15, "only {} of 20 halves support the bound", thresholds.len());
    // Some lie above the floor.
    assert!(thresholds.iter().any(|threshold| *threshold > REVIEW_CONFIDENCE), "{thresholds:?}");
    assert!(rates.iter().map(|rate| rate - BOUND).sum::<f64>() < 0.0, "on average: {rates:?}");
    // What 95 % certainty means.
    let over = rates.iter().filter(|rate| **rate > BOUND).count();
    assert!(over <= 1, "{over} of 20 splits lie above the bound: {rates:?}");
}
