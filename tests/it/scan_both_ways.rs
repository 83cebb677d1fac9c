//! Originals beside copies of them with a rim, which have more pixels and so stand for the group.

use image::imageops::{FilterType, overlay, resize};
use image::{ImageFormat, Rgb, RgbImage};
use tongkuan::engine::{Engine, PreparedPicture};
use tongkuan::index::Candidate;
use tongkuan::photo_id::PhotoId;
use tongkuan::store::Said;
use tongkuan::verdict::Verdict;

use crate::fakes::{Bench, encoded, picture};
use crate::scan::{Folder, shape};

fn original(seed: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), 320, 240, FilterType::Triangle), ImageFormat::Png)
}

/// The same in the middle of white that is twice as wide and high.
fn with_rim(seed: u32) -> Vec<u8> {
    let mut out = RgbImage::from_pixel(640, 480, Rgb([255; 3]));
    overlay(&mut out, &image::load_from_memory(&original(seed)).unwrap().into_rgb8(), 160, 120);
    encoded(&out, ImageFormat::Png)
}

fn stored(engine: &Engine, bytes: &[u8]) -> (PreparedPicture, PhotoId) {
    let picture = engine.prepare_picture(bytes).unwrap();
    let photo_id = engine.store_prepared(&[(&picture, "x")]).unwrap()[0].photo_id;
    (picture, photo_id)
}

#[test]
fn an_original_joins_its_copy_with_a_rim_that_is_not_sure_of_it_by_one_way_alone() {
    let bench = Bench::new();
    let engine = bench.builder().without_graph().open().unwrap();
    let policy = engine.policy_for(1).unwrap();
    let mut by_both_ways = 0;
    for seed in 0..8 {
        let ((rim, of_rim), (own, of_own)) =
            (stored(&engine, &with_rim(seed)), stored(&engine, &original(seed)));
        let candidate = [Candidate { photo_id: of_rim, score: 0.9 }];
        let Verdict::Review(review) =
            engine.judge_among(&own.probe, &candidate, &policy, &Said::default()).unwrap()
        else {
            continue;
        };
        let both = engine.confidence_both_ways(of_own, &rim.probe, &review).unwrap().unwrap();
        let one = review.confidence.unwrap();
        assert!(both > one, "{seed}: {both} after {one}");
        if both < policy.operating_point().confidence || one < 0.4 {
            continue;
        }
        by_both_ways += 1;
        let folder = Folder::new();
        folder.write("rim.png", &with_rim(seed));
        folder.write("own.png", &original(seed));
        let mut scan = folder.scan();
        assert_eq!(shape(&mut scan).len(), 1, "{seed}");
        let files = crate::scan::groups(&mut scan);
        let confidence = files[0].members.iter().find_map(|member| member.confidence).unwrap();
        assert!((confidence - both).abs() < 0.01, "{seed}: {confidence} is not {both}");
    }
    assert!(by_both_ways >= 2, "{by_both_ways}");
}

#[test]
fn other_pictures_in_the_same_rim_stay_apart() {
    let folder = Folder::new();
    for seed in 0..6 {
        folder.write(&format!("{seed}-rim.png"), &with_rim(seed));
        folder.write(&format!("{seed}.png"), &original(seed + 100));
    }
    assert_eq!(shape(&mut folder.scan()), Vec::<Vec<String>>::new());
}
