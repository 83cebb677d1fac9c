//! What people say of two pictures: it is kept, and it outranks the scores.

use image::ImageFormat;
use image::imageops::{FilterType, crop_imm, resize};
use tongkuan::calibration::OperatingPoint;
use tongkuan::catalog::Catalog;
use tongkuan::embed::Thresholds;
use tongkuan::engine::{Engine, EngineError, Mode, Outcome, PhotoRef, Sameness};
use tongkuan::index;
use tongkuan::photo_id::PhotoId;
use tongkuan::verdict::{Finding, Policy, Rule, Verdict};
use tongkuan::verify::{Doubt, Evidence, Probe, REVIEW_CONFIDENCE, Sketch, SketchedCandidate, measure};

use crate::fakes::{Bench, encoded, offer, picture, png, query};

fn file(bytes: &[u8]) -> PhotoRef<'_> {
    PhotoRef::File { bytes, label: "told.png" }
}

/// The picture of a seed, smaller: a copy by looks only.
pub(crate) fn copy(seed: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), 96, 72, FilterType::CatmullRom), ImageFormat::Png)
}

/// The picture of a seed with a small mark in a corner, which tells a person that it is another size, and which the engine
/// forgives.
fn look_alike(seed: u32) -> Vec<u8> {
    let mut other = picture(seed);
    for (_, _, pixel) in
        other.enumerate_pixels_mut().filter(|(x, y, _)| (2..6).contains(x) && (2..5).contains(y))
    {
        pixel.0 = [250; 3];
    }
    encoded(&other, ImageFormat::Png)
}

fn own(engine: &Engine, id: &str, bytes: &[u8]) -> PhotoId {
    engine.add_own(&offer(id), bytes, id).unwrap().photo_id
}

fn local(engine: &Engine, bytes: &[u8]) -> tongkuan::engine::Answer {
    engine.search(&query(bytes).mode(Mode::LocalOnly)).unwrap()
}

#[test]
fn a_picture_said_to_be_the_same_is_answered_with_the_others_answer_and_asks_nobody() {
    let bench = Bench::new();
    let engine = bench.engine();
    let known = own(&engine, "A-1", &png(1));
    assert_eq!(local(&engine, &png(2)).verdict, Outcome::Miss);
    let told = engine.tell(file(&png(2)), PhotoRef::Photo(known), Sameness::Same).unwrap();
    assert_eq!((told.photos[1], told.stored.len()), (known, 1));
    let answer = engine.search(&query(&png(2))).unwrap();
    assert_eq!((answer.verdict, answer.rule()), (Outcome::Hit, Some(Rule::Remembered)));
    assert_eq!((answer.offers[0].offer_id.as_str(), answer.matched.unwrap().photo_id), ("A-1", known));
    assert_eq!(answer.explain.recognised(), Some(told.photos[0]));
    // So is a copy of it.
    let answer = engine.search(&query(&copy(2))).unwrap();
    assert_eq!((answer.verdict, answer.rule()), (Outcome::Hit, Some(Rule::Remembered)));
    assert_eq!(bench.calls(), 0);
}

#[test]
fn an_answer_of_its_own_comes_before_a_remembered_one() {
    let bench = Bench::new();
    let engine = bench.engine();
    let (one, other) = (own(&engine, "A-1", &png(1)), own(&engine, "B-1", &png(2)));
    engine.tell(PhotoRef::Photo(one), PhotoRef::Photo(other), Sameness::Same).unwrap();
    let answer = local(&engine, &png(2));
    assert_eq!((answer.rule(), answer.offers[0].offer_id.as_str()), (Some(Rule::SameBytes), "B-1"));
}

#[test]
fn sameness_goes_from_picture_to_picture_but_not_to_one_that_was_told_apart() {
    let bench = Bench::new();
    let engine = bench.engine();
    let known = own(&engine, "A-1", &png(1));
    let middle = engine.tell(file(&png(2)), PhotoRef::Photo(known), Sameness::Same).unwrap().photos[0];
    let far = engine.tell(file(&png(3)), PhotoRef::Photo(middle), Sameness::Same).unwrap().photos[0];
    assert_eq!(local(&engine, &png(3)).rule(), Some(Rule::Remembered));
    engine.tell(PhotoRef::Photo(far), PhotoRef::Photo(known), Sameness::Different).unwrap();
    assert_eq!(local(&engine, &png(3)).verdict, Outcome::Miss);
    assert_eq!(local(&engine, &png(2)).rule(), Some(Rule::Remembered));
}

#[test]
fn a_picture_told_apart_from_another_is_never_answered_with_it_again() {
    let bench = Bench::new();
    let engine = bench.engine();
    let known = own(&engine, "A-1", &png(1));
    let other = look_alike(1);
    let mistaken = local(&engine, &other);
    assert_eq!((mistaken.verdict, mistaken.matched.unwrap().photo_id), (Outcome::Hit, known), "as drawn");
    engine.tell(file(&other), PhotoRef::Photo(known), Sameness::Different).unwrap();
    let answer = local(&engine, &other);
    assert_eq!((answer.verdict, answer.offers.len()), (Outcome::Miss, 0), "{answer:?}");
    // A copy of it lies nearer to it than to the other.
    let copy = encoded(
        &resize(&image::load_from_memory(&other).unwrap().to_rgb8(), 120, 90, FilterType::CatmullRom),
        ImageFormat::Png,
    );
    let answer = local(&engine, &copy);
    assert!(answer.offers.is_empty() || answer.verdict != Outcome::Hit, "{answer:?}");
    assert_ne!((answer.verdict, answer.matched.map(|m| m.photo_id)), (Outcome::Hit, Some(known)));
    // And the picture it was taken for is still what it was.
    assert_eq!(local(&engine, &png(1)).verdict, Outcome::Hit);
    // The upstream is asked once, and from then on the answer is there.
    assert_eq!(engine.search(&query(&other)).unwrap().upstream_calls, 1);
    assert_eq!(engine.search(&query(&other)).unwrap().rule(), Some(Rule::SameBytes));
}

#[test]
fn what_was_said_last_counts_and_what_is_forgotten_does_not() {
    let bench = Bench::new();
    let engine = bench.engine();
    let known = own(&engine, "A-1", &png(1));
    engine.tell(file(&png(2)), PhotoRef::Photo(known), Sameness::Same).unwrap();
    engine.tell(PhotoRef::Photo(known), file(&png(2)), Sameness::Different).unwrap();
    assert_eq!(local(&engine, &png(2)).verdict, Outcome::Miss);
    engine.tell(file(&png(2)), PhotoRef::Photo(known), Sameness::Same).unwrap();
    assert_eq!(local(&engine, &png(2)).verdict, Outcome::Hit);
    assert!(engine.forget_told(file(&png(2)), PhotoRef::Photo(known)).unwrap());
    assert_eq!(local(&engine, &png(2)).verdict, Outcome::Miss);
    assert!(!engine.forget_told(file(&png(2)), PhotoRef::Photo(known)).unwrap());
    assert!(!engine.forget_told(file(&png(9)), PhotoRef::Photo(known)).unwrap(), "never stored");
}

#[test]
fn what_was_said_outlives_the_process() {
    let bench = Bench::new();
    let known = own(&bench.engine(), "A-1", &png(1));
    bench.engine().tell(file(&png(2)), PhotoRef::Photo(known), Sameness::Same).unwrap();
    assert_eq!(local(&bench.engine(), &png(2)).rule(), Some(Rule::Remembered));
}

#[test]
fn one_picture_cannot_be_told_apart_from_itself_nor_from_one_that_is_not_there() {
    let bench = Bench::new();
    let engine = bench.engine();
    let known = own(&engine, "A-1", &png(1));
    let error = engine.tell(file(&png(1)), PhotoRef::Photo(known), Sameness::Different).unwrap_err();
    assert!(matches!(error, EngineError::OnePhoto { photo_id } if photo_id == known), "{error}");
    let error =
        engine.tell(PhotoRef::Photo(PhotoId(99)), PhotoRef::Photo(known), Sameness::Same).unwrap_err();
    assert!(matches!(error, EngineError::NoSuchPhoto { photo_id: PhotoId(99) }), "{error}");
}

#[test]
fn pictures_told_apart_are_one_more_look_alike_in_the_calibration() {
    let bench = Bench::new();
    let engine = bench.engine();
    let known = own(&engine, "A-1", &png(1));
    let told = engine.tell(file(&look_alike(1)), PhotoRef::Photo(known), Sameness::Different).unwrap();
    let confidence = told.confidence.unwrap();
    assert!((0.0..=1.0).contains(&confidence));
    let catalog = Catalog::open(engine.folder()).unwrap();
    assert_eq!(catalog.told_apart_confidences().unwrap(), [confidence]);
    engine.tell(PhotoRef::Photo(told.photos[0]), PhotoRef::Photo(known), Sameness::Same).unwrap();
    assert!(catalog.told_apart_confidences().unwrap().is_empty());
}

/// This part (percent of both sides) of the picture of seed 1, and how it lies in the whole.
fn evidence(part: u32) -> (Sketch, Evidence) {
    let whole = picture(1);
    let (width, height) = (whole.width() * part / 100, whole.height() * part / 100);
    let sketch = Sketch::of(&crop_imm(&whole, 0, 0, width, height).to_image()).unwrap();
    let candidate = SketchedCandidate { sketch: &sketch, cosine: 0.9 };
    let evidence = measure(&Probe::of(&whole).unwrap(), &[candidate])[0].unwrap();
    (sketch, evidence)
}

#[test]
fn where_the_nearer_of_two_that_were_told_apart_is_less_sure_nothing_is_answered() {
    let thresholds = Thresholds { same_picture: 0.99, review: 0.9, max_false_hit: None };
    let policy = Policy::new(thresholds, OperatingPoint::UNCALIBRATED);
    let (near, sure) = (PhotoId(1), PhotoId(2));
    let (whole, of_whole) = evidence(100);
    let less_sure = |e: &Evidence| (REVIEW_CONFIDENCE..of_whole.confidence()).contains(&e.confidence());
    let (part, of_part) = (30..100).rev().map(evidence).find(|(_, e)| less_sure(e)).unwrap();
    let finding = |photo_id, score, sketch, evidence| Finding {
        candidate: index::Candidate { photo_id, score },
        sketch: Some(sketch),
        evidence: Some(evidence),
    };
    let findings = [finding(near, 0.958, part, of_part), finding(sure, 0.928, whole, of_whole)];
    let judged = |said| policy.judge(&findings, &|_, _| said);
    for said in [None, Some(true)] {
        assert!(matches!(judged(said), Verdict::Hit(m) if m.photo_id == sure), "{said:?}");
    }
    let doubted = judged(Some(false));
    assert!(matches!(doubted, Verdict::Review(m) if m.doubt == Some(Doubt::ToldApart)), "{doubted:?}");
}
