//! What never goes: files that hold more than is compared, originals beside copies that were edited or blown up, and files of
//! other rights.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use image::codecs::gif::{GifDecoder, GifEncoder};
use image::imageops::{FilterType, crop_imm, overlay, resize};
use image::{DynamicImage, Frame, ImageBuffer, ImageFormat, Rgb, RgbImage, RgbaImage};
use tongkuan::scan::{self, Applied, Group, Mode, PageOptions, Relation, ScanError, Undone};

use crate::cli::Shell;
use crate::fakes::{encoded, picture, png};
use crate::scan::{Folder, apply, groups, jpeg, shape, with_copies};
use crate::scan_worth::photo;

fn only_group(folder: &Folder) -> Group {
    let mut groups = groups(&mut folder.scan());
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups.remove(0)
}

/// Which files would go for which.
fn plan(folder: &Folder, up_to: Relation) -> Vec<(String, String)> {
    let actions = scan::plan(&only_group(folder), up_to);
    let name = |path: &std::path::Path| path.display().to_string();
    let mut named: Vec<_> = actions.iter().map(|action| (name(&action.path), name(&action.kept))).collect();
    named.sort();
    named
}

fn pair(path: &str, kept: &str) -> (String, String) {
    (path.to_owned(), kept.to_owned())
}

fn gif(seeds: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frames = seeds.iter().map(|seed| Frame::new(DynamicImage::ImageRgb8(picture(*seed)).into_rgba8()));
    GifEncoder::new(&mut bytes).encode_frames(frames).unwrap();
    bytes
}

#[test]
fn an_animation_goes_for_no_other_one_and_for_no_still_picture() {
    let folder = Folder::new();
    folder.write_at("one.gif", &gif(&[1, 2]), 1000);
    folder.write_at("other.gif", &gif(&[1, 3]), 2000);
    folder.write_at("copy.gif", &gif(&[1, 3]), 500);
    let first =
        DynamicImage::from_decoder(GifDecoder::new(std::io::Cursor::new(gif(&[1]))).unwrap()).unwrap();
    // Older, and losslessly the same first frame.
    let still = encoded(&first.into_rgb8(), ImageFormat::Png);
    folder.write_at("still.png", &still, 9000);
    for up_to in [Relation::SamePixels, Relation::Told] {
        let found = plan(&folder, up_to);
        assert_eq!(found, [pair("copy.gif", "other.gif"), pair("still.png", "other.gif")], "{up_to}");
    }
    let group = only_group(&folder);
    let stay: Vec<&str> =
        group.members.iter().filter(|member| member.stays).map(|m| m.file.name.as_str()).collect();
    assert_eq!((stay.len(), group.kept().unwrap().file.name.as_str()), (2, "other.gif"), "{group:?}");
}

#[test]
fn a_picture_of_16_bits_is_kept_and_not_its_copy_of_8() {
    let folder = Folder::new();
    let eight = picture(1);
    let deep: ImageBuffer<Rgb<u16>, Vec<u16>> =
        ImageBuffer::from_fn(eight.width(), eight.height(), |x, y| {
            Rgb(eight.get_pixel(x, y).0.map(|sample| u16::from(sample) * 257))
        });
    let mut bytes = Vec::new();
    DynamicImage::ImageRgb16(deep).write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    folder.write_at("deep.png", &bytes, 10);
    folder.write_at("eight.png", &png(1), 9000);
    assert_eq!(plan(&folder, Relation::SamePixels), [pair("eight.png", "deep.png")]);
}

#[test]
fn a_cut_out_picture_is_kept_and_not_its_copy_on_white() {
    let folder = Folder::new();
    let cut_out = |hidden: u8| {
        let mut rgba: RgbaImage = DynamicImage::ImageRgb8(picture(1)).into_rgba8();
        for (_, _, pixel) in rgba.enumerate_pixels_mut().filter(|(x, _, _)| *x < 40) {
            pixel.0 = [hidden, 0, 0, 0];
        }
        let mut bytes = Vec::new();
        rgba.write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    };
    let mut flat = picture(1);
    for (_, _, pixel) in flat.enumerate_pixels_mut().filter(|(x, _, _)| *x < 40) {
        pixel.0 = [255; 3];
    }
    folder.write_at("flat.png", &encoded(&flat, ImageFormat::Png), 9000);
    folder.write_at("flat.jpg", &jpeg(&flat, 90), 9000);
    folder.write_at("cut-out.png", &cut_out(0), 10);
    folder.write_at("other.png", &cut_out(200), 5);
    assert_eq!(plan(&folder, Relation::SamePixels), [pair("flat.png", "cut-out.png")]);
    let found = plan(&folder, Relation::Told);
    assert_eq!(found, [pair("flat.jpg", "cut-out.png"), pair("flat.png", "cut-out.png")]);
}

#[test]
fn the_report_says_what_a_file_holds_that_is_not_compared() {
    let shell = Shell::alone();
    shell.write("pictures/moving.gif", &gif(&[1, 2]));
    shell.write("pictures/other.gif", &gif(&[1, 3]));
    let ran = shell.run(&["scan", "pictures", "--apply", "trash", "--yes"]);
    assert!(ran.out.contains("moving.gif") && ran.out.matches(", an animation)").count() == 2, "{ran:?}");
    assert!(ran.err.contains("1 files are left alone because they hold more"), "{ran:?}");
    assert!(shell.path("pictures/moving.gif").exists() && shell.path("pictures/other.gif").exists());
    let ran = shell.run(&["scan", "pictures", "--json"]);
    let lines = ran.lines();
    assert_eq!(lines[0]["members"][0]["unseen"], "animation", "{ran:?}");
    assert_eq!(lines[0]["members"][0]["could_go"], false, "{ran:?}");
}

#[test]
fn a_blown_up_copy_goes_and_the_original_stays() {
    let (width, height) = photo().dimensions();
    let third = resize(&photo(), width / 3, height / 3, FilterType::Lanczos3);
    let blown = resize(&third, width + 40, height + 30, FilterType::CatmullRom);
    for quality in [40, 90] {
        let folder = Folder::new();
        folder.write_at("original.jpg", &jpeg(&photo(), 92), 10);
        folder.write_at("blown-up.jpg", &jpeg(&blown, quality), 1000);
        assert_eq!(plan(&folder, Relation::ReEncoded), [pair("blown-up.jpg", "original.jpg")], "{quality}");
    }
}

#[test]
fn of_a_picture_and_the_same_scaled_up_neither_goes() {
    let (width, height) = photo().dimensions();
    let twice = resize(&photo(), width * 2, height * 2, FilterType::CatmullRom);
    let folder = Folder::new();
    folder.write("original.jpg", &jpeg(&photo(), 92));
    folder.write("twice.jpg", &jpeg(&twice, 85));
    assert_eq!(plan(&folder, Relation::Told), []);
}

fn framed() -> RgbImage {
    let mut framed = RgbImage::from_pixel(photo().width() + 60, photo().height() + 60, Rgb([20, 60, 160]));
    overlay(&mut framed, &photo(), 30, 30);
    framed
}

#[test]
fn an_edited_copy_goes_only_where_most_pictures_show_what_it_was_made_of() {
    let folder = Folder::new();
    folder.write("original.jpg", &jpeg(&photo(), 92));
    folder.write("framed.jpg", &jpeg(&framed(), 92));
    assert_eq!(plan(&folder, Relation::Told), []);
    folder.write("framed-copy.jpg", &jpeg(&framed(), 60));
    assert_eq!(plan(&folder, Relation::Told), [pair("framed-copy.jpg", "framed.jpg")]);
    fs::remove_file(folder.path("framed-copy.jpg")).unwrap();
    folder.write("copy.jpg", &jpeg(&photo(), 60));
    assert_eq!(plan(&folder, Relation::Told), [pair("copy.jpg", "original.jpg")]);
    assert_eq!(only_group(&folder).kept().unwrap().file.name, "original.jpg");
    // A frame makes a picture larger, as being uncut does.
    folder.write("copy2.jpg", &jpeg(&photo(), 40));
    let copies = ["copy.jpg", "copy2.jpg"].map(|name| pair(name, "original.jpg"));
    assert_eq!(plan(&folder, Relation::Told), copies);
    let cut = crop_imm(&photo(), 20, 16, 440, 330).to_image();
    folder.write("cut.jpg", &jpeg(&cut, 92));
    let all = [copies.to_vec(), vec![pair("cut.jpg", "original.jpg")]].concat();
    assert_eq!(plan(&folder, Relation::Told), all);
    // What was found of the group stays known.
    assert_eq!(plan(&folder, Relation::Told), all);
    assert_eq!(plan(&folder, Relation::ReEncoded), copies);
}

fn mode(folder: &Folder, name: &str) -> u32 {
    fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o777
}

fn set_mode(folder: &Folder, name: &str, mode: u32) {
    fs::set_permissions(folder.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_is_not_linked_to_one_of_other_rights_and_gets_its_own_back() {
    for linking in [Mode::Hardlink, Mode::Symlink] {
        let folder = with_copies();
        for (name, bits) in [("a.png", 0o640), ("c.png", 0o600), ("sub/b.png", 0o640)] {
            set_mode(&folder, name, bits);
        }
        let (manifest, outcomes) = apply(&folder, linking, Relation::SameBytes);
        assert!(
            matches!(&outcomes["c.png"], Applied::Skipped(why) if why.contains("permissions")),
            "{linking:?}: {outcomes:?}"
        );
        assert_eq!((&outcomes["sub/b.png"], mode(&folder, "c.png")), (&Applied::Done, 0o600), "{linking:?}");
        // What was forbidden since is not allowed again by a hard link's undoing, which shares it.
        set_mode(&folder, "a.png", 0o600);
        let mut undone = Vec::new();
        scan::undo(&manifest, &mut |_, outcome| undone.push(outcome)).unwrap();
        assert_eq!(undone.iter().filter(|outcome| **outcome == Undone::Done).count(), 1, "{linking:?}");
        let now = if linking == Mode::Hardlink { 0o600 } else { 0o640 };
        assert_eq!((mode(&folder, "c.png"), mode(&folder, "sub/b.png")), (0o600, now), "{linking:?}");
    }
}

#[test]
fn undoing_names_the_folder_that_is_not_where_it_was() {
    let folder = with_copies();
    let (manifest, _) = apply(&folder, Mode::Trash, Relation::SameBytes);
    let (root, moved) = (folder.root.path().to_path_buf(), folder.bench.home.path().join("moved"));
    fs::rename(&root, &moved).unwrap();
    let refused = scan::undo(&manifest, &mut |_, _| panic!("nothing can be undone")).unwrap_err();
    assert!(matches!(refused, ScanError::Folder { .. }), "{refused}");
    assert!(refused.to_string().contains(root.to_str().unwrap()), "{refused}");
    fs::rename(&moved, &root).unwrap();
    fs::remove_dir_all(folder.path(scan::TRASH_NAME)).unwrap();
    scan::undo(&manifest, &mut |_, outcome| {
        assert!(
            matches!(&outcome, Undone::Skipped(why) if why.contains(root.to_str().unwrap())),
            "{outcome:?}"
        );
    })
    .unwrap();
}

#[test]
fn equal_files_take_no_room_of_pictures_on_the_page() {
    let folder = Folder::new();
    for seed in 0..12 {
        folder.write(&format!("{seed:02}.png"), &png(seed));
        folder.write(&format!("{seed:02}-copy.png"), &png(seed));
    }
    folder.write("90.png", &png(90));
    folder.write("90.jpg", &jpeg(&picture(90), 85));
    let mut scan = folder.scan();
    let group_count = shape(&mut scan).len();
    let page = folder.bench.home.path().join("page.html");
    scan::write_page(&mut scan, &page, PageOptions { pictures: 12 }).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("data-one-name=\"90.png\"") || html.contains("data-other-name=\"90.png\""));
    assert_eq!(html.matches("<h2>").count(), group_count.min(13), "all groups are there");
    // Pictures before what has none.
    let last_pair = html.rfind("<article").unwrap();
    assert!(html[last_pair..].matches("<h2>").count() >= group_count.min(13) - 2);
}

#[test]
fn a_table_runs_no_formula_and_is_not_replaced_by_the_page() {
    let shell = Shell::alone();
    shell.write("pictures/=cmd|calc.png", &png(1));
    shell.write("pictures/b.png", &png(1));
    let ran = shell.run(&["scan", "pictures", "--csv", "o.csv"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let table = fs::read_to_string(shell.path("o.csv")).unwrap();
    assert!(table.contains(",'=cmd|calc.png,"), "{table}");
    for html in ["o.csv", "./o.csv", "pictures/../o.csv"] {
        let ran = shell.run(&["scan", "pictures", "--csv", "o.csv", "--html", html]);
        assert!(ran.status == 2 && ran.err.contains("name two files"), "{html}: {ran:?}");
    }
    let ran = shell.run(&["scan", "pictures", "--csv", "new.x", "--html", "./new.x"]);
    assert!(ran.status == 2 && !shell.path("new.x").exists(), "{ran:?}");
}
