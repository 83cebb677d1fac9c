//! Pictures with colour profiles: their pixels are those that lcms2 computes, and no profile does harm.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage};
use proptest::prelude::*;
use tongkuan::photo::{Photo, PhotoLimits};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/colour")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn decode(bytes: &[u8]) -> Photo {
    Photo::decode(bytes, &PhotoLimits::default()).unwrap()
}

fn furthest(a: &Photo, b: &Photo) -> u8 {
    assert_eq!((a.width_px(), a.height_px()), (b.width_px(), b.height_px()));
    a.rgb().iter().zip(b.rgb()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

fn mean_difference(a: &Photo, b: &Photo) -> f64 {
    let sum: u64 = a.rgb().iter().zip(b.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    #[expect(clippy::cast_precision_loss, reason = "some thousand samples")]
    let mean = sum as f64 / a.rgb().len() as f64;
    mean
}

/// The plain picture's pixels, with this profile.
fn png_with(icc: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = PngEncoder::new(Cursor::new(&mut out));
    encoder.set_icc_profile(icc.to_vec()).unwrap();
    let plain = decode(&read("plain.png")).into_image();
    encoder.write_image(plain.as_raw(), plain.width(), plain.height(), ExtendedColorType::Rgb8).unwrap();
    out
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, 95).encode_image(picture).unwrap();
    out
}

/// The JPEG with these segments APP2 behind its first two bytes.
fn with_segments(jpeg: &[u8], pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut out = jpeg[..2].to_vec();
    for piece in pieces {
        out.extend([0xff, 0xe2]);
        out.extend(u16::try_from(piece.len() + 14).unwrap().to_be_bytes());
        out.extend(b"ICC_PROFILE\0");
        out.extend(piece);
    }
    out.extend(&jpeg[2..]);
    out
}

/// A profile in `count` pieces, each with its number.
fn pieces(icc: &[u8], count: u8) -> Vec<Vec<u8>> {
    let size = icc.len().div_ceil(count.into());
    (1..=count).zip(icc.chunks(size)).map(|(number, piece)| [&[number, count], piece].concat()).collect()
}

#[test]
fn pictures_with_a_profile_look_as_lcms_says() {
    // Name, and how far a sample may be off. JPEG decoders differ by 1 to 3 before any colour is changed. Between the
    // points of a table, of which these have few, lcms computes by tetrahedra, `moxcms` by lines, and it clips before: at
    // the edge of what sRGB can show, a sample may be 17 off.
    let goldens = [
        ("adobe.png", 1),
        ("adobe_jpeg.jpg", 3),
        ("dots_jpeg.jpg", 3),
        ("grey.png", 1),
        ("grey_alpha.png", 1),
        ("linear16.png", 1),
        ("p3.png", 1),
        ("p3_cicp.png", 1),
        ("p3_palette.png", 1),
        ("p3_turned.jpg", 3),
        ("p3_webp.webp", 1),
        ("press_cmyk.jpg", 5),
        ("press_ycck.jpg", 7),
        ("prophoto.png", 1),
        ("prophoto_alpha.png", 1),
        ("tables.png", 17),
    ];
    let mut known = BTreeSet::new();
    for (name, tolerance) in goldens {
        let stem = name.split('.').next().unwrap();
        let (photo, expected) = (decode(&read(name)), decode(&read(&format!("{stem}.expected.png"))));
        known.insert(format!("{stem}.expected.png"));
        let off = furthest(&photo, &expected);
        let mean = mean_difference(&photo, &expected);
        println!("{name}: {off} at the most, {mean:.3} on average");
        assert!(off <= tolerance, "{name}: {off} of 255 off");
        assert!(mean < 0.9, "{name}: {mean} of 255 off on average");
    }
    let names = fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(known, names.filter(|name| name.ends_with(".expected.png")).collect());
}

#[test]
fn a_picture_in_srgb_keeps_every_sample_with_or_without_a_profile() {
    let plain = decode(&read("plain.png"));
    assert_eq!(decode(&png_with(&read("srgb.icc"))).pixel_digest(), plain.pixel_digest());
    let bare = jpeg(plain.as_image());
    let tagged = with_segments(&bare, &pieces(&read("srgb.icc"), 1));
    assert_eq!(decode(&tagged).pixel_digest(), decode(&bare).pixel_digest());
    // The curve as a table of 1024, as the oldest sRGB profiles have it, each step rounded down.
    let mut table = Vec::new();
    for step in 0..1024u32 {
        let value = f64::from(step) / 1023.0;
        let linear = if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "linear is 0 to 1")]
        let sample = (linear * 65535.0) as u16;
        table.extend(sample.to_be_bytes());
    }
    let curve = [b"curv\0\0\0\0".as_slice(), &1024u32.to_be_bytes(), &table].concat();
    let profile = with_curve(&read("srgb.icc"), &curve);
    assert_eq!(decode(&png_with(&profile)).pixel_digest(), plain.pixel_digest());
    assert_ne!(decode(&png_with(&with_curve(&read("p3.icc"), &curve))).pixel_digest(), plain.pixel_digest());
}

/// The profile with another curve for all three colours.
fn with_curve(icc: &[u8], curve: &[u8]) -> Vec<u8> {
    let (mut out, at) = (icc.to_vec(), u32::try_from(icc.len()).unwrap());
    out.extend(curve);
    for entry in 0..usize::from(icc[131]) {
        let entry = 132 + entry * 12;
        if icc[entry + 1..entry + 4] == *b"TRC" {
            out[entry + 4..entry + 8].copy_from_slice(&at.to_be_bytes());
            out[entry + 8..entry + 12].copy_from_slice(&u32::try_from(curve.len()).unwrap().to_be_bytes());
        }
    }
    let size = u32::try_from(out.len()).unwrap();
    out[..4].copy_from_slice(&size.to_be_bytes());
    out
}

#[test]
fn a_profile_in_several_segments_is_put_together_by_number_or_passed_over() {
    let plain = jpeg(decode(&read("plain.png")).as_image());
    let whole = decode(&with_segments(&plain, &pieces(&read("p3.icc"), 1)));
    assert_ne!(whole.pixel_digest(), decode(&plain).pixel_digest());
    let mut parts = pieces(&read("p3.icc"), 5);
    parts.swap(0, 3);
    parts.swap(1, 4);
    assert_eq!(decode(&with_segments(&plain, &parts)).pixel_digest(), whole.pixel_digest());

    let untouched = decode(&plain).pixel_digest();
    let passed_over = |pieces: &[Vec<u8>]| {
        assert_eq!(decode(&with_segments(&plain, pieces)).pixel_digest(), untouched, "{pieces:?}");
    };
    passed_over(&parts[..4]);
    passed_over(&[parts.clone(), vec![parts[2].clone()]].concat());
    passed_over(&[parts[..4].to_vec(), vec![parts[0].clone()]].concat());
    passed_over(&[vec![]]);
    passed_over(&[vec![1]]);
    passed_over(&[vec![1, 0]]);
    passed_over(&[vec![0, 1]]);
    // The largest that fits: 255 segments of noise.
    passed_over(
        &(1..=255)
            .map(|number| [&[number, 255], vec![number; 65_000].as_slice()].concat())
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_profile_that_cannot_be_used_changes_nothing() {
    let plain = decode(&read("plain.png")).pixel_digest();
    let (p3, press) = (read("p3.icc"), read("press.icc"));
    let mut bad = vec![
        ("grey, for colours", read("grey.icc")),
        ("inks, for colours", press.clone()),
        ("empty", Vec::new()),
        ("text", b"sRGB IEC61966-2.1".to_vec()),
        ("header only", p3[..128].to_vec()),
        ("zeros", vec![0; 4096]),
    ];
    let edited = |at: usize, with: &[u8]| {
        let mut icc = p3.clone();
        icc[at..at + with.len()].copy_from_slice(with);
        icc
    };
    bad.push(("no signature", edited(36, b"nope")));
    bad.push(("a link between devices", edited(12, b"link")));
    bad.push(("abstract", edited(12, b"abst")));
    bad.push(("connected by RGB", edited(20, b"RGB ")));
    bad.push(("of ten colours", edited(16, b"ACLR")));
    bad.push(("four billion tags", edited(128, &u32::MAX.to_be_bytes())));
    bad.push(("no tags", edited(128, &0u32.to_be_bytes())));
    // All light is gone, there is no light, or light is dark: all pictures would be one colour.
    let table = |values: &[u16]| {
        let count = u32::try_from(values.len()).unwrap();
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
        with_curve(&p3, &[b"curv\0\0\0\0".as_slice(), &count.to_be_bytes(), &values].concat())
    };
    bad.push(("black", table(&[0; 16])));
    bad.push(("white", table(&[u16::MAX; 16])));
    bad.push(("upside down", table(&[u16::MAX, 0])));
    bad.push(("black and white", table(&[0, 0, 0, u16::MAX, u16::MAX, u16::MAX])));
    bad.push(("a curve too long", table(&vec![9; (1 << 16) + 1])));
    bad.push(("gamma of 0", table(&[0])));
    let mut colourless = p3.clone();
    for entry in 0..usize::from(p3[131]) {
        let entry = 132 + entry * 12;
        if p3[entry + 1..entry + 4] == *b"XYZ" {
            let at = u32::from_be_bytes(p3[entry + 4..entry + 8].try_into().unwrap()) as usize;
            colourless[at + 8..at + 20].fill(0);
        }
    }
    bad.push(("colourless", colourless));
    for cut in [131, 140, 200, 260, 300, p3.len() - 30] {
        bad.push(("cut", p3[..cut].to_vec()));
    }
    for (what, icc) in bad {
        let photo = decode(&png_with(&icc));
        assert_eq!(photo.pixel_digest(), plain, "{what}");
    }
    // Inks keep the plain conversion that they had.
    let cmyk = read("press_cmyk.jpg");
    let mut without = cmyk.clone();
    let at = cmyk.windows(4).position(|four| four == b"acsp").unwrap();
    without[at] = b'x';
    let mut for_colours = cmyk.clone();
    let at = cmyk.windows(4).position(|four| four == b"CMYK").unwrap();
    for_colours[at..at + 4].copy_from_slice(b"RGB ");
    assert_eq!(decode(&without).pixel_digest(), decode(&for_colours).pixel_digest());
    assert_ne!(decode(&without).pixel_digest(), decode(&cmyk).pixel_digest());
}

#[test]
fn a_broken_tag_that_is_not_needed_costs_no_colour() {
    let p3 = read("p3.icc");
    let expected = decode(&png_with(&p3)).pixel_digest();
    let mut broken = p3.clone();
    // The first tag is the description: it lies outside the file now.
    assert_eq!(&p3[132..136], b"desc");
    broken[136..140].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    assert_eq!(decode(&png_with(&broken)).pixel_digest(), expected);
}

/// A table of a profile may be named a hundred times over, and be as large as the file: it is read once.
#[test]
fn an_absurd_profile_is_bounded_in_time() {
    let p3 = read("p3.icc");
    let mut icc = p3[..132].to_vec();
    icc[128..132].copy_from_slice(&100u32.to_be_bytes());
    let at = u32::try_from(132 + 12 * 100).unwrap();
    let table = 7 << 20;
    for number in 0..100u32 {
        let name = [b"A2B0", b"A2B1", b"rTRC", b"B2A0", b"B2A1"][number as usize % 5];
        icc.extend(name);
        icc.extend(at.to_be_bytes());
        icc.extend(u32::to_be_bytes(table));
    }
    let mut lut = b"mft2\0\0\0\0\x03\x03\x60\0".to_vec();
    lut.extend([0; 36]);
    lut.extend([16, 0, 16, 0]);
    lut.resize(table as usize, 0x55);
    icc.extend(lut);
    let start = std::time::Instant::now();
    let photo = decode(&png_with(&icc));
    let took = start.elapsed();
    println!("{took:?}");
    assert_eq!(photo.width_px(), 48);
    assert!(took.as_secs() < 20, "{took:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_to_a_profile_costs_the_picture(
        which in 0..8usize, hits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12), cut in any::<u16>()
    ) {
        let name = ["p3", "adobe", "prophoto", "linear", "tables", "press", "grey", "dots"][which];
        let mut icc = read(&format!("{name}.icc"));
        for (at, byte) in hits {
            // The header and the table of tags are hit as often as all the rest.
            let at = if at % 2 == 0 { at / 2 % 300 } else { at / 2 % icc.len() };
            icc[at] = byte;
        }
        if cut < 2000 {
            icc.truncate(icc.len() * usize::from(cut) / 2000);
        }
        let photo = decode(&png_with(&icc));
        prop_assert_eq!((photo.width_px(), photo.height_px()), (48, 32));
        let inks = with_segments(&read("press_cmyk.jpg"), &pieces(&icc, 3));
        prop_assert_eq!(decode(&inks).width_px(), 48);
    }
}

#[test]
fn the_same_file_gives_the_same_pixels_every_time() {
    for name in ["p3.png", "press_cmyk.jpg", "tables.png", "linear16.png"] {
        let bytes = read(name);
        let digests: BTreeSet<_> = (0..3).map(|_| decode(&bytes).pixel_digest()).collect();
        assert_eq!(digests.len(), 1, "{name}");
    }
}

/// What the uploads are made from.
#[test]
fn a_photo_is_srgb_whatever_its_file_was() {
    let photo = decode(&read("p3.png"));
    let again = DynamicImage::ImageRgb8(photo.as_image().clone());
    let mut out = Cursor::new(Vec::new());
    again.write_to(&mut out, image::ImageFormat::Png).unwrap();
    assert_eq!(decode(out.get_ref()).pixel_digest(), photo.pixel_digest());
}
