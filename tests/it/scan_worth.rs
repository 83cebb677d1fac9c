//! Which copy is worth keeping, and what is not offered to be taken away.

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};

use crate::fakes::mix;
use crate::scan::{Folder, groups, jpeg};

/// Soft shapes with fine grain, as photos have: hard tiles would lose nothing by compression.
pub(crate) fn photo() -> RgbImage {
    let coarse = RgbImage::from_fn(12, 9, |x, y| {
        let [r, g, b, ..] = mix(u64::from(y * 12 + x), 5).to_le_bytes();
        Rgb([r, g, b])
    });
    let mut out = resize(&coarse, 480, 360, FilterType::CatmullRom);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let [grain, ..] = mix(u64::from(y * 480 + x), 7).to_le_bytes();
        pixel.0 = pixel.0.map(|value| value.saturating_add(grain / 16));
    }
    out
}

fn kept(folder: &Folder) -> String {
    let groups = groups(&mut folder.scan());
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups[0].members.iter().find(|member| member.keep).unwrap().file.name.clone()
}

#[test]
fn a_copy_that_was_compressed_harder_is_not_kept_for_its_blocks() {
    for quality in [10, 20, 30, 50] {
        let folder = Folder::new();
        folder.write_at("original.jpg", &jpeg(&photo(), 92), 1000);
        folder.write_at("copy.jpg", &jpeg(&photo(), quality), 100);
        assert_eq!(kept(&folder), "original.jpg", "quality {quality}");
    }
    // Nor for its age.
    let folder = Folder::new();
    folder.write_at("original.jpg", &jpeg(&photo(), 92), 100);
    folder.write_at("older.jpg", &jpeg(&photo(), 20), 1000);
    assert_eq!(kept(&folder), "original.jpg");
}

#[test]
fn a_blurred_copy_is_not_kept_for_its_bytes_or_its_age() {
    let blurred = resize(&resize(&photo(), 160, 120, FilterType::Triangle), 480, 360, FilterType::CatmullRom);
    let folder = Folder::new();
    folder.write_at("original.jpg", &jpeg(&photo(), 90), 100);
    folder.write_at("blurred.jpg", &jpeg(&blurred, 100), 1000);
    assert_eq!(kept(&folder), "original.jpg");
}

#[test]
fn of_copies_that_are_as_good_the_oldest_is_kept() {
    let folder = Folder::new();
    folder.write_at("a-new.jpg", &jpeg(&photo(), 90), 100);
    folder.write_at("b-old.jpg", &jpeg(&photo(), 88), 1000);
    assert_eq!(kept(&folder), "b-old.jpg");
}

#[test]
fn folders_that_overlap_are_not_compared() {
    let shell = crate::cli::Shell::alone().with_home();
    shell.write("pa/new/a.png", &crate::fakes::png(1));
    for (folder, against) in [("pa/new", "pa"), ("pa", "pa/new"), ("pa", "./pa/../pa")] {
        let ran = shell.run(&["scan", folder, "--against", against]);
        assert!(ran.status == 2 && ran.err.contains("overlap"), "{folder} {against}: {ran:?}");
    }
}
