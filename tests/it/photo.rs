//! Sound pictures: the pixels are those that Pillow reads, and nothing makes the decoder panic.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};
use proptest::prelude::*;
use tempfile::tempdir;
use tongkuan::photo::{Digest, Photo, PhotoError, PhotoFormat, PhotoLimits, read_bytes};

/// File name, mean of red, green and blue, pixels 4 from each corner (top left, top right, bottom left,
/// bottom right), and how far a sample may be off. Printed by tests/data/photo/make.py, which read the files
/// with Pillow.
type Golden = (&'static str, [f64; 3], [[u8; 3]; 4], u8);

const SCENE: [[u8; 3]; 4] = [[200, 30, 40], [20, 180, 60], [30, 50, 210], [215, 189, 128]];
const SCENE_MEAN: [f64; 3] = [106.9, 106.1, 109.5];
const JPEG_SCENE: [[u8; 3]; 4] = [[200, 30, 39], [20, 179, 60], [30, 50, 209], [215, 190, 126]];
const JPEG_MEAN: [f64; 3] = [106.9, 106.0, 108.9];
const GREY_MEAN: [f64; 3] = [106.6; 3];
const GREY: [[u8; 3]; 4] = [[82; 3], [118; 3], [62; 3], [190; 3]];
const JPEG: u8 = 3;

#[rustfmt::skip]
const GOLDENS: &[Golden] = &[
    ("alpha.png", [255.0, 137.5, 137.5], [[255, 235, 235], [255, 40, 40], [255, 235, 235], [255, 40, 40]], 1),
    ("alpha.webp", [180.5, 180.1, 181.8], [[227, 142, 147], [137, 217, 157], [142, 152, 232], [235, 222, 191]], 1),
    ("alpha_lossy.webp", [180.7, 180.6, 181.8], [[227, 142, 147], [137, 218, 157], [143, 152, 233], [235, 221, 190]], 2),
    ("animated.gif", [106.8, 106.2, 109.5], [[200, 30, 40], [20, 180, 60], [30, 50, 210], [210, 193, 128]], 0),
    ("animated.png", SCENE_MEAN, SCENE, 0),
    ("animated.webp", SCENE_MEAN, SCENE, 0),
    ("baseline.jpg", JPEG_MEAN, JPEG_SCENE, JPEG),
    ("baseline_444.jpg", JPEG_MEAN, [[200, 30, 39], [20, 179, 60], [30, 50, 209], [215, 189, 130]], JPEG),
    ("bilevel.bmp", [105.9; 3], [[0; 3], [0; 3], [0; 3], [255; 3]], 0),
    ("bilevel.png", [105.9; 3], [[0; 3], [0; 3], [0; 3], [255; 3]], 0),
    ("cmyk_adobe.jpg", [90.2, 89.4, 92.5], [[169, 25, 34], [17, 152, 51], [25, 42, 177], [181, 159, 108]], JPEG),
    ("exif1.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif2.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif3.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif4.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif5.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif6.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif6.png", SCENE_MEAN, SCENE, 0),
    ("exif6.webp", SCENE_MEAN, SCENE, 0),
    ("exif7.jpg", JPEG_MEAN, SCENE, JPEG),
    ("exif8.jpg", JPEG_MEAN, SCENE, JPEG),
    ("grey.jpg", GREY_MEAN, GREY, JPEG),
    ("grey.png", GREY_MEAN, GREY, 0),
    ("grey16.png", [124.4; 3], [[21; 3], [228; 3], [21; 3], [228; 3]], 1),
    // Pillow refuses the two files whose metadata unpacks to 32 MiB; their pixels were put in by make.py.
    ("iccp_bomb.png", SCENE_MEAN, SCENE, 0),
    ("interlaced.png", SCENE_MEAN, SCENE, 0),
    ("junk_between_headers.jpg", JPEG_MEAN, JPEG_SCENE, JPEG),
    ("lossless.webp", SCENE_MEAN, SCENE, 0),
    ("lossy.webp", [107.1, 106.6, 109.2], [[200, 30, 39], [20, 181, 60], [31, 50, 212], [216, 187, 126]], 2),
    ("palette.bmp", [107.1, 106.3, 109.5], [[200, 30, 40], [20, 180, 60], [30, 50, 210], [220, 203, 128]], 0),
    ("palette.png", [107.1, 106.3, 109.5], [[200, 30, 40], [20, 180, 60], [30, 50, 210], [220, 203, 128]], 0),
    ("palette_trns.png", [127.3, 170.0, 170.0], [[255; 3], [0, 128, 0], [255; 3], [0, 128, 0]], 1),
    ("progressive.jpg", JPEG_MEAN, JPEG_SCENE, JPEG),
    ("restarts.jpg", JPEG_MEAN, JPEG_SCENE, JPEG),
    ("rgb.bmp", SCENE_MEAN, SCENE, 0),
    ("rgb.png", SCENE_MEAN, SCENE, 0),
    ("rgb16.png", SCENE_MEAN, SCENE, 0),
    ("still.gif", [106.8, 106.2, 109.5], [[200, 30, 40], [20, 180, 60], [30, 50, 210], [210, 193, 128]], 0),
    ("trailing_garbage.jpg", JPEG_MEAN, JPEG_SCENE, JPEG),
    ("ycck_adobe.jpg", [90.5, 88.4, 92.9], [[169, 24, 34], [17, 151, 51], [26, 41, 178], [182, 158, 107]], JPEG),
    ("ztxt_bomb.png", SCENE_MEAN, SCENE, 0),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/photo")
}

fn bytes_of(name: &str) -> Vec<u8> {
    read_bytes(&folder().join(name), &PhotoLimits::default()).unwrap()
}

fn photo_of(name: &str) -> Photo {
    Photo::decode(&bytes_of(name), &PhotoLimits::default()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

#[test]
fn pixels_are_those_that_pillow_reads() {
    for &(name, mean, corners, tolerance) in GOLDENS {
        let photo = photo_of(name);
        let (w, h) = (photo.width_px(), photo.height_px());
        assert_eq!((w, h), (48, 32), "{name}");
        assert_eq!(photo.rgb().len(), 48 * 32 * 3, "{name}");
        for (channel, expected) in mean.iter().enumerate() {
            let sum: f64 = photo.rgb().iter().skip(channel).step_by(3).map(|&v| f64::from(v)).sum();
            let got = sum / f64::from(w * h);
            let slack = 0.1 + f64::from(tolerance) / 2.0;
            assert!(
                (got - expected).abs() <= slack,
                "{name}: mean of channel {channel} is {got}, not {expected}"
            );
        }
        for ((x, y), expected) in [(4, 4), (w - 5, 4), (4, h - 5), (w - 5, h - 5)].into_iter().zip(corners) {
            let got = photo.as_image().get_pixel(x, y).0;
            let off = got.iter().zip(expected).map(|(&a, b)| a.abs_diff(b)).max();
            assert!(off <= Some(tolerance), "{name}: pixel ({x}, {y}) is {got:?}, not {expected:?}");
        }
    }
}

#[test]
fn every_sound_picture_has_a_golden() {
    let mut names: Vec<String> =
        fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|e| e != "py"));
    names.sort();
    assert_eq!(names, GOLDENS.iter().map(|g| g.0).collect::<Vec<_>>());
}

#[test]
fn the_format_is_told_by_content() {
    let expected = [
        ("baseline.jpg", PhotoFormat::Jpeg),
        ("rgb.png", PhotoFormat::Png),
        ("lossy.webp", PhotoFormat::WebP),
        ("still.gif", PhotoFormat::Gif),
        ("rgb.bmp", PhotoFormat::Bmp),
    ];
    for (name, format) in expected {
        assert_eq!(photo_of(name).format(), format, "{name}");
    }
}

#[test]
fn one_picture_in_many_wrappings_has_one_pixel_digest() {
    let lossless = [
        "rgb.png",
        "interlaced.png",
        "rgb.bmp",
        "lossless.webp",
        "animated.webp",
        "animated.png",
        "exif6.png",
    ];
    let digests: Vec<Digest> = lossless.map(|name| photo_of(name).pixel_digest()).to_vec();
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
    let bytes: std::collections::HashSet<Digest> =
        lossless.iter().map(|n| photo_of(n).byte_digest()).collect();
    assert_eq!(bytes.len(), lossless.len());
}

#[test]
fn the_pixel_digest_is_as_documented() {
    let photo = photo_of("rgb.png");
    let mut plain = vec![48, 0, 0, 0, 32, 0, 0, 0];
    plain.extend_from_slice(photo.rgb());
    assert_eq!(photo.pixel_digest(), Digest::of(&plain));
    assert_eq!(photo.byte_digest(), Digest::of(&bytes_of("rgb.png")));
}

#[test]
fn limits_are_those_of_the_caller() {
    let bytes = bytes_of("rgb.png");
    let decode = |limits| Photo::decode(&bytes, &limits).map(|p| p.width_px()).map_err(|e| e.code());
    let limits = PhotoLimits::default();
    assert_eq!(decode(limits), Ok(48));
    assert_eq!(decode(PhotoLimits { max_bytes: bytes.len() as u64, ..limits }), Ok(48));
    assert_eq!(decode(PhotoLimits { max_bytes: bytes.len() as u64 - 1, ..limits }), Err("too_many_bytes"));
    assert_eq!(decode(PhotoLimits { max_side_px: 47, ..limits }), Err("too_many_pixels"));
    assert_eq!(decode(PhotoLimits { max_pixels: 48 * 32 - 1, ..limits }), Err("too_many_pixels"));
    assert_eq!(decode(PhotoLimits { max_memory_bytes: 4096, ..limits }), Err("too_much_memory"));
}

#[test]
fn every_format_asks_the_limits() {
    let tiny = PhotoLimits { max_pixels: 1000, ..PhotoLimits::default() };
    let poor = PhotoLimits { max_memory_bytes: 6 * 48 * 32 - 1, ..PhotoLimits::default() };
    for name in
        ["baseline.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "lossless.webp", "still.gif", "rgb.bmp"]
    {
        let bytes = bytes_of(name);
        assert_eq!(Photo::decode(&bytes, &tiny).unwrap_err().code(), "too_many_pixels", "{name}");
        assert_eq!(Photo::decode(&bytes, &poor).unwrap_err().code(), "too_much_memory", "{name}");
    }
}

#[test]
fn a_cut_picture_is_never_half_a_picture() {
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "grey.jpg",
        "restarts.jpg",
        "cmyk_adobe.jpg",
        "rgb.png",
        "lossy.webp",
        "lossless.webp",
        "alpha_lossy.webp",
        "animated.webp",
        "rgb.bmp",
        "palette.bmp",
        "still.gif",
    ] {
        let bytes = bytes_of(name);
        let whole = photo_of(name);
        for kept in 0..bytes.len() {
            if let Ok(photo) = Photo::decode(&bytes[..kept], &PhotoLimits::default()) {
                // Only what comes after the last pixel may go, such as GIF's trailer.
                assert_eq!(
                    photo.pixel_digest(),
                    whole.pixel_digest(),
                    "{name} cut to {kept} of {}",
                    bytes.len()
                );
                assert_ne!(photo.format(), PhotoFormat::Jpeg, "{name} cut to {kept}");
            }
        }
    }
}

#[test]
fn a_file_is_read_whole_or_refused_by_name() {
    let dir = tempdir().unwrap();
    let limits = PhotoLimits { max_bytes: 10, ..PhotoLimits::default() };
    let path = dir.path().join("ten.bin");
    fs::write(&path, [7; 10]).unwrap();
    assert_eq!(read_bytes(&path, &limits).unwrap(), [7; 10]);

    fs::write(&path, [7; 11]).unwrap();
    let large = read_bytes(&path, &limits).unwrap_err();
    assert!(matches!(large, PhotoError::FileTooLarge { bytes: 11, limit_bytes: 10, .. }), "{large}");
    assert!(large.to_string().contains("ten.bin"), "{large}");

    let missing = read_bytes(&dir.path().join("missing.jpg"), &limits).unwrap_err();
    assert_eq!(missing.code(), "io");
    assert!(missing.to_string().contains("missing.jpg"), "{missing}");

    let directory = read_bytes(dir.path(), &limits).unwrap_err();
    assert!(matches!(directory, PhotoError::NotAFile { found: "a directory", .. }), "{directory}");
}

#[cfg(unix)]
#[test]
fn pipes_sockets_and_devices_are_not_opened() {
    let dir = tempdir().unwrap();
    let limits = PhotoLimits::default();
    let zero = read_bytes(Path::new("/dev/zero"), &limits).unwrap_err();
    assert!(matches!(zero, PhotoError::NotAFile { found: "a device", .. }), "{zero}");

    // Opening a pipe without a writer would wait for ever.
    let pipe = dir.path().join("pipe");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
        let error = read_bytes(&pipe, &limits).unwrap_err();
        assert!(matches!(error, PhotoError::NotAFile { found: "a named pipe", .. }), "{error}");
    }
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = read_bytes(&socket, &limits).unwrap_err();
    assert!(matches!(error, PhotoError::NotAFile { found: "a socket", .. }), "{error}");
}

/// A file that says it is empty and is not: the read itself has to be bounded.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_lies_about_its_size_is_bounded_while_read() {
    let limits = PhotoLimits { max_bytes: 3, ..PhotoLimits::default() };
    let error = read_bytes(Path::new("/proc/self/status"), &limits).unwrap_err();
    assert!(matches!(error, PhotoError::FileTooLarge { bytes: 4, limit_bytes: 3, .. }), "{error}");
}

fn small_limits() -> PhotoLimits {
    PhotoLimits { max_pixels: 1 << 20, max_memory_bytes: 64 << 20, ..PhotoLimits::default() }
}

/// No panic, contained or not, and the invariant if there is a picture.
fn judge(bytes: &[u8]) -> Option<Photo> {
    match Photo::decode(bytes, &small_limits()) {
        Ok(photo) => {
            assert!(photo.width_px() >= 1 && photo.height_px() >= 1);
            assert_eq!(
                photo.rgb().len() as u64,
                u64::from(photo.width_px()) * u64::from(photo.height_px()) * 3
            );
            Some(photo)
        }
        Err(PhotoError::DecoderPanicked { format, detail }) => panic!("{format} decoder panicked: {detail}"),
        Err(_) => None,
    }
}

fn any_sound_picture() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    (0..GOLDENS.len()).prop_map(|i| (GOLDENS[i].0, bytes_of(GOLDENS[i].0)))
}

const MAGICS: [&[u8]; 6] = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0",
    b"RIFF\x40\0\0\0WEBPVP8L",
    b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        judge(&bytes);
    }

    #[test]
    fn arbitrary_bytes_after_a_signature_never_panic(
        magic in 0..MAGICS.len(), tail in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        judge(&[MAGICS[magic], &tail].concat());
    }

    #[test]
    fn flipped_bits_and_cuts_never_panic(
        (_, bytes) in any_sound_picture(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 0..8),
        kept in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = bytes;
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        judge(&bytes);
    }

    #[test]
    fn decoding_is_deterministic((name, bytes) in any_sound_picture()) {
        let once = judge(&bytes).map(|p| p.into_image().into_raw());
        let twice = judge(&bytes).map(|p| p.into_image().into_raw());
        prop_assert!(once == twice, "{}", name);
    }

    #[test]
    fn the_pixel_digest_ignores_the_container(
        width in 1..24_u32, height in 1..24_u32, seed in prop::collection::vec(any::<u8>(), 3 * 24 * 24)
    ) {
        let len = (width * height * 3) as usize;
        let image = RgbImage::from_raw(width, height, seed[..len].to_vec()).unwrap();
        let expected = judge(&encoded(&image, ImageFormat::Png)).unwrap();
        prop_assert_eq!(expected.as_image(), &image);
        for format in [ImageFormat::Bmp, ImageFormat::WebP] {
            let other = judge(&encoded(&image, format)).unwrap();
            prop_assert_eq!(other.pixel_digest(), expected.pixel_digest());
            prop_assert_ne!(other.byte_digest(), expected.byte_digest());
        }
    }
}
