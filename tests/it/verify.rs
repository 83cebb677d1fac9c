//! The verifier on drawn goods: edits of a picture are the picture, other colours and other goods are not.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use image::imageops::{
    FilterType, blur, brighten, contrast, crop_imm, flip_horizontal, huerotate, overlay, resize,
};
use image::{Rgb, RgbImage};
use proptest::prelude::*;
use tongkuan::calibration::OperatingPoint;
use tongkuan::index;
use tongkuan::photo_id::PhotoId;
use tongkuan::sandbox::{Catalogue, Good, View};
use tongkuan::vector::Thresholds;
use tongkuan::verdict::{Finding, Policy, Verdict};
use tongkuan::verify::{
    Doubt, Evidence, Measurements, Probe, REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE, SKETCH_FORMAT, Sketch,
    SketchBytesError, SketchedCandidate, measure,
};

use crate::fakes::{mix, picture};

static GOODS: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::new(1688));

/// One good of every kind.
fn some_goods() -> impl Iterator<Item = &'static Good> {
    let mut kinds = Vec::new();
    GOODS.goods().iter().filter(move |good| {
        let new = !kinds.contains(&good.kind);
        kinds.push(good.kind);
        new
    })
}

/// Each is drawn once: that takes longer than judging it.
fn main_picture(good: &Good) -> RgbImage {
    static DRAWN: Mutex<BTreeMap<u64, RgbImage>> = Mutex::new(BTreeMap::new());
    if let Some(drawn) = DRAWN.lock().unwrap().get(&good.offer_id) {
        return drawn.clone();
    }
    let drawn = GOODS.picture(good, View::Main);
    DRAWN.lock().unwrap().insert(good.offer_id, drawn.clone());
    drawn
}

fn evidence(query: &RgbImage, stored: &RgbImage) -> Option<Evidence> {
    let sketch = Sketch::of(stored).unwrap();
    // The embedding is not what is tested here: it is always this near.
    measure(&Probe::of(query).unwrap(), &[SketchedCandidate { sketch: &sketch, cosine: 0.85 }])[0]
}

fn confidence(query: &RgbImage, stored: &RgbImage) -> f32 {
    evidence(query, stored).map_or(0.0, |evidence| evidence.confidence())
}

/// The main pictures of the goods, one of every kind, that `edit` hides.
fn lost_by(edit: impl Fn(&RgbImage) -> RgbImage) -> Vec<String> {
    let pictures = some_goods().map(|good| (good, main_picture(good)));
    let sure = pictures.map(|(good, picture)| (good, confidence(&edit(&picture), &picture)));
    sure.filter(|(_, c)| *c < SAME_PICTURE_CONFIDENCE)
        .map(|(good, c)| format!("{}: {c}", good.title))
        .collect()
}

/// The part of a picture that has `side` of both sides, in percent, off the middle.
fn cut(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = (picture.width() * side / 100, picture.height() * side / 100);
    crop_imm(picture, (picture.width() - width) / 3, (picture.height() - height) / 2, width, height)
        .to_image()
}

#[test]
fn a_picture_verifies_itself() {
    for good in some_goods() {
        let picture = main_picture(good);
        let sure = confidence(&picture, &picture);
        assert!(sure > 0.97, "{}: {sure}", good.title);
    }
}

#[test]
fn a_mirrored_a_smaller_and_a_blurred_copy_are_the_same_picture() {
    assert_eq!(lost_by(flip_horizontal), Vec::<String>::new());
    assert_eq!(
        lost_by(|p| resize(p, p.width() / 2, p.height() / 2, FilterType::Triangle)),
        Vec::<String>::new()
    );
    assert_eq!(lost_by(|p| blur(p, 2.0)), Vec::<String>::new());
}

/// A record: rings that are the same in a mirror, and small marks along one radius that are not.
fn disc(seed: u64) -> RgbImage {
    let (w, h) = (386_i64, 396_i64);
    RgbImage::from_fn(386, 396, |x, y| {
        let (dx, dy) = (i64::from(x) - w / 2, i64::from(y) - h / 2);
        let radius = (dx * dx + dy * dy).isqrt();
        let grain = u8::try_from(mix(u64::from(y * 386 + x), seed) % 5).unwrap();
        let mark = (30..90).contains(&dx.abs())
            && (50..64).contains(&dy)
            && mix(u64::from(x / 4), seed).is_multiple_of(2);
        let grey = match radius {
            0..16 => 5,
            _ if mark && dx > 0 => 15,
            16..116 => 125,
            116..155 => 20,
            155..186 => 215,
            _ => 250,
        };
        Rgb([grey + grain; 3])
    })
}

#[test]
fn symmetric_goods_lie_as_their_marks_say_and_not_mirrored() {
    for seed in 0..8 {
        let picture = disc(seed);
        let small = resize(&picture, 300, 308, FilterType::Triangle);
        for copy in [&picture, &small] {
            let evidence = evidence(copy, &picture).unwrap();
            assert!(evidence.mirrored == 0.0 && evidence.same > 0.8, "{seed}: {evidence:?}");
        }
        // And mirrored where they are.
        let mirrored = evidence(&flip_horizontal(&picture), &picture).unwrap();
        assert!(mirrored.mirrored > 0.0 && mirrored.same > 0.8, "{seed}: {mirrored:?}");
    }
}

#[test]
fn a_crop_is_the_same_picture() {
    assert_eq!(lost_by(|p| cut(p, 85)), Vec::<String>::new());
    assert_eq!(lost_by(|p| cut(p, 65)), Vec::<String>::new());
}

#[test]
fn a_wide_margin_and_a_banner_are_forgiven_as_a_rule() {
    let padded = |p: &RgbImage| {
        let mut canvas = RgbImage::from_pixel(p.width() * 3 / 2, p.height() * 5 / 4, Rgb([255; 3]));
        overlay(&mut canvas, p, i64::from(p.width() / 4), 20);
        canvas
    };
    // Little is left of thin goods in a wide margin: now and then it is too much.
    let all = some_goods().count();
    let lost = lost_by(padded);
    assert!(lost.len() <= all / 6, "{lost:?}");
    let stamped = |p: &RgbImage| {
        let mut stamped = p.clone();
        overlay(&mut stamped, &RgbImage::from_pixel(p.width(), p.height() / 8, Rgb([200, 30, 40])), 0, 0);
        stamped
    };
    // A banner over plain ground might as well be other goods: that is the edit of which most are lost, of drawn goods
    // nearly half, of photos a third (docs/benchmarks/verifier.md).
    let lost = lost_by(stamped);
    assert!(lost.len() <= all / 2, "{lost:?}");
}

#[test]
fn a_slight_change_of_light_and_hue_is_forgiven_and_a_strong_turn_of_the_hue_is_not() {
    assert_eq!(lost_by(|p| brighten(&contrast(p, -8.0), -10)), Vec::<String>::new());
    assert_eq!(lost_by(|p| huerotate(p, 5)), Vec::<String>::new());
    let turned = lost_by(|p| huerotate(p, 90)).len();
    // What is black, white or grey has no hue to turn.
    let coloured = some_goods().filter(|good| !["黑色", "白色", "灰色"].contains(&good.colour)).count();
    assert!(turned >= coloured, "{turned} of {coloured}");
}

/// Counts pairs that are taken for the same, of all.
fn mistaken(others: impl Fn(&'static Good) -> Vec<&'static Good>, view: View) -> (usize, usize) {
    let (mut taken, mut all) = (0, 0);
    for good in GOODS.goods().iter().step_by(9) {
        let probe = Probe::of(&GOODS.picture(good, view)).unwrap();
        for other in others(good).into_iter().take(2) {
            let sketch = Sketch::of(&GOODS.picture(other, view)).unwrap();
            let found = measure(&probe, &[SketchedCandidate { sketch: &sketch, cosine: 0.85 }])[0];
            taken += usize::from(found.is_some_and(|e| e.confidence() >= SAME_PICTURE_CONFIDENCE));
            all += 1;
        }
    }
    (taken, all)
}

#[test]
fn another_colour_is_another_picture_alone_and_on_the_same_poster() {
    for view in [View::Main, View::Poster] {
        let (taken, all) = mistaken(|good| GOODS.colour_variants(good).collect(), view);
        assert!(all > 30 && taken * 20 <= all, "{view}: {taken} of {all}");
    }
}

#[test]
fn other_goods_on_white_are_other_pictures() {
    let goods: Vec<&Good> = some_goods().collect();
    let probe = Probe::of(&main_picture(goods[0])).unwrap();
    let sketches: Vec<Sketch> = goods[1..].iter().map(|g| Sketch::of(&main_picture(g)).unwrap()).collect();
    let near: Vec<SketchedCandidate<'_>> =
        sketches.iter().map(|sketch| SketchedCandidate { sketch, cosine: 0.7 }).collect();
    for (good, found) in goods[1..].iter().zip(measure(&probe, &near)) {
        assert!(found.is_none_or(|e| e.confidence() < REVIEW_CONFIDENCE), "{}: {found:?}", good.title);
    }
}

#[test]
fn the_right_one_is_found_among_twenty() {
    let goods: Vec<&Good> = GOODS.goods().iter().step_by(15).take(20).collect();
    let sketches: Vec<Sketch> = goods.iter().map(|g| Sketch::of(&main_picture(g)).unwrap()).collect();
    let near: Vec<SketchedCandidate<'_>> =
        sketches.iter().map(|sketch| SketchedCandidate { sketch, cosine: 0.8 }).collect();
    let probe = Probe::of(&cut(&main_picture(goods[11]), 80)).unwrap();
    let sure: Vec<f32> = measure(&probe, &near).iter().map(|e| e.map_or(0.0, |e| e.confidence())).collect();
    assert!(sure[11] >= SAME_PICTURE_CONFIDENCE, "{sure:?}");
    // Embeddings as near as these are set to be make a review of one or the other, no more.
    assert!(sure.iter().enumerate().all(|(i, c)| i == 11 || *c < SAME_PICTURE_CONFIDENCE), "{sure:?}");
    let reviews = sure.iter().enumerate().filter(|(i, c)| *i != 11 && **c >= REVIEW_CONFIDENCE).count();
    assert!(reviews <= 1, "{sure:?}");
}

#[test]
fn candidates_are_measured_among_others_as_they_are_alone() {
    let goods: Vec<&Good> = some_goods().take(9).collect();
    let sketches: Vec<Sketch> = goods.iter().map(|good| Sketch::of(&main_picture(good)).unwrap()).collect();
    for query in [main_picture(goods[0]), cut(&main_picture(goods[4]), 75)] {
        let probe = Probe::of(&query).unwrap();
        let mut known = Measurements::default();
        // As pictures are stored, others come between; as they are removed, and for parts, some fall out or change places.
        for ids in [vec![0, 2, 4, 6, 8], (0..9).collect(), vec![4], (0..9).rev().collect(), vec![8, 2, 7]] {
            let of = |id: &i64| SketchedCandidate {
                sketch: &sketches[usize::try_from(*id).unwrap()],
                cosine: if *id == 5 { 0.3 } else { 0.8 },
            };
            let candidates: Vec<SketchedCandidate<'_>> = ids.iter().map(of).collect();
            assert_eq!(known.measure(&probe, &candidates, &ids), measure(&probe, &candidates), "{ids:?}");
        }
    }
}

#[test]
fn another_colour_is_doubted_for_its_colour() {
    let picture = main_picture(GOODS.goods().iter().find(|good| good.colour == "红色").unwrap());
    let found = evidence(&huerotate(&picture, 120), &picture).unwrap();
    assert_eq!(found.doubt(), Doubt::OtherVariant, "{found:?}");
}

/// What is said of these stored pictures when all of them agree as well.
fn judged(stored: &[RgbImage], evidence: Evidence) -> Verdict {
    let finding = |(number, picture): (i64, &RgbImage)| Finding {
        candidate: index::Candidate { photo_id: PhotoId(number), score: 0.8 },
        sketch: Some(Sketch::of(picture).unwrap()),
        evidence: Some(evidence),
    };
    let findings: Vec<Finding> = (1..).zip(stored).map(finding).collect();
    let thresholds = Thresholds { same_picture: 0.99, review: 0.9, max_false_hit: None };
    Policy::new(thresholds, OperatingPoint::UNCALIBRATED).judge(&findings, &|_, _| None)
}

#[test]
fn stored_pictures_that_differ_and_agree_equally_well_name_each_other() {
    let (one, other) = (picture(1), picture(2));
    let mut sure = Evidence::default();
    (sure.same, sure.content_both) = (0.999, 0.5);
    let Verdict::Review(doubted) = judged(&[one.clone(), other.clone(), other], sure) else {
        panic!("a hit")
    };
    assert_eq!((doubted.photo_id, doubted.doubt), (PhotoId(1), Some(Doubt::SeveralEqual)));
    assert_eq!(doubted.rivals, [Some(PhotoId(2)), Some(PhotoId(3)), None, None]);
    assert!(matches!(judged(&[one.clone(), one], sure), Verdict::Hit(_)), "equal ones are no rivals");
}

#[test]
fn another_variant_is_no_hit_and_is_shown_all_the_same() {
    let mut variant = Evidence::default();
    (variant.same, variant.other_colour, variant.content_both, variant.likeness) = (0.02, 0.9, 0.5, 0.8);
    let Verdict::Review(shown) = judged(&[picture(1)], variant) else { panic!("not shown") };
    assert_eq!((shown.photo_id, shown.doubt), (PhotoId(1), Some(Doubt::OtherVariant)));
    variant.content_both = 0.0;
    assert!(matches!(judged(&[picture(1)], variant), Verdict::Miss { .. }), "nothing shows in it");
}

#[test]
fn a_sketch_is_small_and_survives_being_written() {
    for good in some_goods() {
        let sketch = Sketch::of(&main_picture(good)).unwrap();
        let bytes = sketch.to_bytes();
        assert!(bytes.len() <= 10_000, "{} bytes", bytes.len());
        assert_eq!(Sketch::from_bytes(&bytes), Ok(sketch));
    }
}

#[test]
fn a_sketch_of_another_format_or_length_is_refused_with_the_remedy() {
    let bytes = Sketch::of(&RgbImage::from_pixel(90, 60, Rgb([9, 90, 200]))).unwrap().to_bytes();
    let mut newer = bytes.clone();
    newer[0] = SKETCH_FORMAT + 1;
    assert_eq!(Sketch::from_bytes(&newer), Err(SketchBytesError::Format(SKETCH_FORMAT + 1)));
    for length in 0..bytes.len() {
        let error = Sketch::from_bytes(&bytes[..length]).unwrap_err();
        assert!(error.to_string().contains("store the picture again"), "{error}");
    }
}

#[test]
fn a_picture_without_pixels_is_an_error() {
    assert!(Probe::of(&RgbImage::new(0, 5)).unwrap_err().to_string().contains("0x5"));
}

/// Small pictures of any shape, from plain to noise.
fn any_picture() -> impl Strategy<Value = RgbImage> {
    (1u32..400, 1u32..400, any::<u32>(), 0u8..=255).prop_map(|(width, height, seed, noise)| {
        RgbImage::from_fn(width, height, |x, y| {
            let hash = (x / 3 + 31 * (y / 5) + seed).wrapping_mul(2_654_435_761).rotate_left(11);
            let [r, g, b, _] = hash.to_le_bytes();
            Rgb([r & noise, g & noise, b & noise])
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_shape_of_picture_panics_and_every_sketch_survives_being_written(
        query in any_picture(),
        stored in any_picture(),
    ) {
        let sketch = Sketch::of(&stored).unwrap();
        prop_assert_eq!(&Sketch::from_bytes(&sketch.to_bytes()).unwrap(), &sketch);
        for found in measure(&Probe::of(&query).unwrap(), &[SketchedCandidate { sketch: &sketch, cosine: 0.9 }]) {
            let sure = found.map_or(0.0, |e| e.confidence());
            prop_assert!((0.0..=1.0).contains(&sure), "{:?}", found);
        }
    }

    #[test]
    fn foreign_bytes_are_an_error_or_a_sketch_that_can_be_compared(
        mut bytes in prop::collection::vec(any::<u8>(), 0..5000),
        corners in 0u8..80,
        width in 1u8..50,
    ) {
        // With a fitting head now and then, so that the body is reached.
        if bytes.len() > 4 {
            bytes[..4].copy_from_slice(&[SKETCH_FORMAT, width, 48, corners]);
            let (w, corners) = (usize::from(width), usize::from(corners));
            bytes.resize(4 + w * 48 + 2 * w.div_ceil(2) * 24 + corners * 35, 77);
        }
        if let Ok(sketch) = Sketch::from_bytes(&bytes) {
            prop_assert_eq!(sketch.to_bytes(), bytes);
            let probe = Probe::of(&cut(&picture(3), 60)).unwrap();
            let found = measure(&probe, &[SketchedCandidate { sketch: &sketch, cosine: 0.9 }]);
            prop_assert!(found[0].is_none_or(|e| (0.0..=1.0).contains(&e.confidence())));
        }
    }
}
