//! The examples for users do what they say.

#[path = "../../examples/own_embedder.rs"]
mod own_embedder;
#[path = "../../examples/own_upstream.rs"]
mod own_upstream;
#[path = "../../examples/search_folder.rs"]
mod search_folder;

use std::sync::Arc;

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use tongkuan::engine::Outcome;

use crate::fakes::{FakeEmbedder, encoded, picture, png};

/// A smaller copy in another format.
fn copy(seed: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), 120, 90, FilterType::CatmullRom), ImageFormat::Jpeg)
}

#[test]
fn a_copy_of_a_picture_in_a_folder_is_found_and_what_is_no_picture_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("goods");
    std::fs::create_dir(&folder).unwrap();
    for seed in 1..4 {
        std::fs::write(folder.join(format!("{seed}.png")), png(seed)).unwrap();
    }
    std::fs::write(folder.join("readme.txt"), "no picture").unwrap();
    let asked = place.path().join("asked.jpg");
    std::fs::write(&asked, copy(2)).unwrap();
    let embedder = Some(Arc::new(FakeEmbedder::new()) as _);
    let answer = search_folder::search_folder(&place.path().join("home"), &folder, &asked, embedder).unwrap();
    assert_eq!((answer.verdict, answer.offers[0].title.as_str()), (Outcome::Hit, "2.png"));
}

#[test]
fn an_embedder_of_one_s_own_recognises_copies_and_nothing_else() {
    for (asked, is_recognised) in [(copy(1), true), (png(2), false)] {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(own_embedder::is_recognised(home.path(), &png(1), &asked).unwrap(), is_recognised);
    }
}

#[test]
fn an_upstream_of_one_s_own_is_asked_once() {
    let home = tempfile::tempdir().unwrap();
    let embedder = Some(Arc::new(FakeEmbedder::new()) as _);
    let [first, second] = own_upstream::search_twice(home.path(), &png(1), embedder).unwrap();
    assert_eq!((first.verdict, first.upstream_calls, first.offers.len()), (Outcome::Miss, 1, 1));
    assert_eq!((second.verdict, second.upstream_calls, second.offers), (Outcome::Hit, 0, first.offers));
}
