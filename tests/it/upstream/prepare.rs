//! A picture is made fit for upload.

use image::{Rgb, RgbImage};
use tongkuan::upstream::{PrepareError, Region, UploadLimits, UploadWarning, prepare};

const LIMITS: UploadLimits =
    UploadLimits { max_bytes: 300_000, advised_min_side_px: 300, max_side_px: 1000, takes_region: false };

/// Noise, which JPEG compresses badly; the same on every run.
fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 1_u32;
    RgbImage::from_fn(width, height, |_, _| {
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        Rgb([byte(), byte(), byte()])
    })
}

fn plain(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([200, 30, 30]))
}

#[test]
fn a_region_follows_the_resize_where_the_upstream_takes_one_and_is_cut_out_elsewhere() {
    let mut picture = plain(2000, 1000);
    for (_, _, pixel) in picture.enumerate_pixels_mut().filter(|(x, y, _)| (400..800).contains(x) && *y < 500)
    {
        *pixel = Rgb([20, 40, 220]);
    }
    let region: Region = "400,0,800,500".parse().unwrap();
    let cut = prepare(&picture, Some(region), &LIMITS).unwrap().picture;
    assert_eq!((cut.width_px, cut.height_px, cut.region), (400, 500, None));
    let Rgb(pixel) = *image::load_from_memory(&cut.bytes).unwrap().to_rgb8().get_pixel(200, 250);
    assert!(pixel[2] > 200 && pixel[0] < 40, "{pixel:?}");
    let whole =
        prepare(&picture, Some(region), &UploadLimits { takes_region: true, ..LIMITS }).unwrap().picture;
    assert_eq!((whole.width_px, whole.height_px), (1000, 500));
    assert_eq!(whole.region, Some("200,0,400,250".parse().unwrap()));
    let outside = prepare(&picture, Some("2000,0,2100,10".parse().unwrap()), &LIMITS);
    assert!(matches!(outside, Err(PrepareError::RegionOutside { .. })));
}

#[test]
fn a_large_picture_is_scaled_to_the_longest_side_and_keeps_its_shape_and_colour() {
    let prepared = prepare(&plain(2000, 1500), None, &LIMITS).unwrap().picture;
    assert_eq!((prepared.width_px, prepared.height_px), (1000, 750));
    let decoded = image::load_from_memory(&prepared.bytes).unwrap().to_rgb8();
    assert_eq!(decoded.dimensions(), (1000, 750));
    let Rgb(pixel) = *decoded.get_pixel(500, 300);
    assert!(pixel.iter().zip([200, 30, 30]).all(|(a, b)| a.abs_diff(b) < 4), "{pixel:?}");
}

#[test]
fn noise_is_made_smaller_until_it_fits() {
    let prepared = prepare(&noise(900, 1000), None, &LIMITS).unwrap().picture;
    assert!(prepared.bytes.len() <= LIMITS.max_bytes, "{}", prepared.bytes.len());
    assert!(image::load_from_memory(&prepared.bytes).is_ok());
}

#[test]
fn a_small_picture_is_sent_with_a_warning_and_not_enlarged() {
    let prepared = prepare(&plain(500, 120), None, &LIMITS).unwrap();
    let warning = UploadWarning::BelowAdvisedSide { width_px: 500, height_px: 120, advised_min_side_px: 300 };
    assert_eq!(prepared.warnings, [warning]);
    assert_eq!((prepared.picture.width_px, prepared.picture.height_px), (500, 120));
}

#[test]
fn a_hair_thin_picture_keeps_at_least_one_pixel() {
    let prepared = prepare(&plain(9000, 1), None, &LIMITS).unwrap().picture;
    assert_eq!((prepared.width_px, prepared.height_px), (1000, 1));
}

#[test]
fn limits_that_no_picture_can_meet_are_an_error() {
    let limits = UploadLimits { max_bytes: 10, ..LIMITS };
    let error = prepare(&plain(40, 40), None, &limits).unwrap_err();
    assert!(matches!(error, PrepareError::TooLarge { max_bytes: 10 }), "{error}");
    assert!(matches!(prepare(&RgbImage::new(0, 3), None, &LIMITS), Err(PrepareError::Empty { .. })));
}
