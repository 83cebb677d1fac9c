//! Bad pictures: each ends in the one error that the table names, within bounded time and memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tongkuan::photo::{Photo, PhotoLimits};

/// Files of tests/data/bad/ by the error they give under the default limits.
#[rustfmt::skip]
const EXPECTED: &[(&str, &[&str])] = &[
    ("corrupt", &[
        "animation_without_frames.webp", "checksum_wrong.png", "claims_48_megapixels.png",
        "code_size_of_200.gif", "comment_in_scan.jpg", "cut_but_relabelled.webp",
        "cut_lossless_but_relabelled.webp", "depth_of_7.bmp", "depth_three.png",
        "extended_without_pixels.webp", "foreign_marker_in_scan.jpg", "hundred_scans.jpg",
        "lossless_overwritten.webp", "lowest_height.bmp", "negative_width.bmp", "no_huffman.jpg",
        "no_quantisation.jpg", "no_scan.jpg", "not_a_key_frame.webp", "not_zlib.png",
        "palette_missing.png", "palette_of_4_billion.bmp", "pixels_missing.png",
        "pixels_overwritten.gif", "rows_missing.png", "sampling_zero.jpg", "scan_before_frame.jpg",
        "scan_overwritten.jpg", "second_scan_after_all.jpg", "segment_without_length.jpg",
        "two_frames.jpg", "zero_canvas.gif", "zero_components.jpg", "zero_height.jpg",
        "zero_width.png",
    ]),
    ("empty", &[
        "empty.jpg",
    ]),
    ("not_a_picture", &[
        "archive.zip.png", "bm_text.bmp", "chinese_text.jpg", "data_url.txt", "document.pdf.jpg",
        "error.json.png", "error_page.jpg", "jpeg.gz", "noise.jpg", "one_byte.jpg", "text.jpg",
        "video.mp4.jpg", "zeros.jpg",
    ]),
    ("too_many_pixels", &[
        "bomb_50000_square.png", "canvas_16777216_square.webp", "canvas_65535_square.gif",
        "claims_2_to_31.png", "claims_60000_square.bmp", "claims_65500_square.jpg",
        "hidden_16383_square.webp", "hidden_in_frame.webp",
    ]),
    ("too_much_memory", &[
        "deep_too_much_memory.png", "frame_65535_square.gif", "progressive_too_much_memory.jpg",
    ]),
    ("truncated", &[
        "chunk_of_2_gib.png", "claims_7000_square.bmp", "claims_7000_square.jpg",
        "cut_animated.webp", "cut_before_pixels.jpg", "cut_in_half.jpg", "cut_in_header.bmp",
        "cut_in_header.jpg", "cut_in_header.png", "cut_in_pixels.bmp", "cut_in_pixels.gif",
        "cut_in_pixels.png", "cut_last_byte.jpg", "cut_lossless.webp", "cut_lossy.webp",
        "cut_with_thumbnail.jpg", "end_marker_missing.jpg", "end_missing.png", "half_signature.png",
        "header_only.bmp", "header_only.gif", "header_only.webp", "metadata_of_4_gib.webp",
        "no_chunk.webp", "no_frame.gif", "pixels_missing.gif", "pixels_past_the_end.bmp",
        "progressive_claims_7000_square.jpg", "progressive_cut.jpg", "run_length_cut.bmp",
        "signature_only.png", "start_only.jpg", "tail_zero_filled.jpg",
    ]),
    ("unsupported_feature", &[
        "arithmetic.jpg", "holds_jpeg.bmp", "lossless.jpg", "twelve_bit.jpg", "zero_width.bmp",
    ]),
    ("unsupported_format", &[
        "drawing.svg", "photo.avif", "photo.heic", "photo.ico", "photo.jp2", "photo.jxl",
        "photo.psd", "photo.tif",
    ]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad")
}

fn bad_files() -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let pictures = paths.filter(|path| path.extension().is_some_and(|extension| extension != "py"));
    pictures
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn each_bad_file_gives_its_error() {
    let mut expected = BTreeMap::new();
    for &(code, names) in EXPECTED {
        for &name in names {
            assert_eq!(expected.insert(name.to_owned(), code), None, "{name} is in the table twice");
        }
    }
    let mut got = BTreeMap::new();
    for (name, bytes) in bad_files() {
        let started = Instant::now();
        let code = match Photo::decode(&bytes, &PhotoLimits::default()) {
            Ok(photo) => panic!("{name} became {photo:?}"),
            Err(error) => error.code(),
        };
        // Generous: the slowest takes milliseconds, and test machines are busy.
        assert!(started.elapsed() < Duration::from_secs(20), "{name} took {:?}", started.elapsed());
        got.insert(name, code);
    }
    assert_eq!(got, expected);
}

/// Runs the test above again in a process that cannot have much more address space than the limits allow: a
/// decoder that believes a header and allocates gigabytes aborts there.
#[cfg(target_os = "linux")]
#[test]
fn bad_files_stay_within_the_memory_limit() {
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "photo_bad::each_bad_file_gives_its_error", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn every_refusal_says_what_to_do() {
    let remedies = ["fetch or save it again", "save it", "scale it down", "convert it", "give a JPEG"];
    for (name, bytes) in bad_files() {
        let text = Photo::decode(&bytes, &PhotoLimits::default()).unwrap_err().to_string();
        assert!(remedies.iter().any(|remedy| text.contains(remedy)), "{name}: {text}");
        assert!(text.len() < 250, "{name}: {text}");
    }
}

/// Data that stops short but was closed with an end-of-image marker decodes as zeros from there on, and
/// nothing short of a second entropy decoder would tell. Should this test fail, the decoder has learned to:
/// move the case to the table.
#[test]
fn a_cut_jpeg_that_was_closed_again_is_a_known_gap() {
    let whole = fs::read(folder().join("../photo/baseline_444.jpg")).unwrap();
    let mut cut = whole[..whole.len() - 80].to_vec();
    cut.extend_from_slice(b"\xff\xd9");
    assert!(Photo::decode(&cut, &PhotoLimits::default()).is_ok());
}
