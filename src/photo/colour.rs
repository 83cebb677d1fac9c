//! What do a picture's numbers mean? An embedded colour profile (ICC, or CICP in a PNG) says; sRGB comes out.
//!
//! Curves and a matrix, which nearly all profiles of RGB and grey pictures are, are computed here, with
//! integers: the same pixels on every machine, as pixel digests need. Profiles that are tables (CMYK,
//! some scanners and printers) go through `moxcms`, whose last bit may depend on the processor.
//!
//! A profile never makes a picture unreadable. One that is damaged, absurd, too large or made for other samples than
//! the picture's is passed over, and so is one that is sRGB within [`SRGB_TOLERANCE`]: its picture keeps its samples
//! bit for bit. Tables are read for perception, as browsers do,
//! else for colorimetry.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, LazyLock};

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients,
    ParsingOptions, ProfileClass, RenderingIntent, TransferCharacteristics, Transform8BitExecutor,
    TransformOptions,
};

/// Profiles of printing presses take 0.5 to 3 MB; larger ones are passed over.
pub(super) const MAX_PROFILE_BYTES: usize = 8 << 20;

/// A profile that moves no sample further than this, of 255, is sRGB: its curve is written as a table in some, and its
/// numbers are rounded differently by each vendor.
const SRGB_TOLERANCE: u8 = 2;

/// All that is read of a profile. Each is read once, however often the profile names it, so that a profile costs no
/// more than a few times its size.
const TAGS: [&[u8; 4]; 11] =
    [b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"wtpt", b"chad", b"A2B0", b"A2B1"];
/// Profiles have about 20 tags; lcms reads at most as many as this.
const MAX_TAGS: usize = 100;
/// Header and count of tags, and one entry of the table of tags, in bytes.
const HEADER_BYTES: usize = 132;
const ENTRY_BYTES: usize = 12;

/// The largest number for linear light; from 0 on, five steps or more are one of an 8-bit sRGB sample.
const FULL_LIGHT: i32 = (1 << 14) - 1;

/// A factor of 1 in a matrix.
const ONE: f64 = (1u32 << FACTOR_BITS) as f64;
const FACTOR_BITS: u32 = 13;
/// Beyond it three products of light and factor might not fit; the largest of ProPhoto is 2.
const MAX_FACTOR: f64 = 5.0;

/// Linear light, up to [`FULL_LIGHT`], as an sRGB sample.
static SRGB_OF_LIGHT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let encode = |light: i32| {
        let linear = f64::from(light) / f64::from(FULL_LIGHT);
        let encoded =
            if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 to 255")]
        let sample = (encoded * 255.0).round() as u8;
        sample
    };
    (0..=FULL_LIGHT).map(encode).collect()
});

/// What the samples of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Samples {
    Grey,
    Rgb,
    /// Shares of ink, 255 for full.
    Cmyk,
}

impl Samples {
    pub(super) fn of(picture: &DynamicImage) -> Self {
        if picture.color().has_color() { Self::Rgb } else { Self::Grey }
    }
}

/// From the colours of a profile to sRGB, where that is a change.
pub(super) enum ToSrgb {
    Grey(Box<ColorProfile>),
    /// Curves, then a matrix from linear light to linear light, by rows.
    Rgb(Box<ColorProfile>, [[i32; 3]; 3]),
    RgbTables(Arc<Transform8BitExecutor>),
    CmykTables(Arc<Transform8BitExecutor>),
}

impl ToSrgb {
    /// What `icc` asks of a picture with such samples; `None` when the samples are to be taken as they are.
    pub(super) fn from_icc(icc: &[u8], samples: Samples) -> Option<Self> {
        // Unwind safety: nothing outlives a panic.
        let found = panic::catch_unwind(|| {
            let profile = parse(icc)?;
            let intents = [RenderingIntent::Perceptual, RenderingIntent::RelativeColorimetric];
            let ways: Vec<Self> =
                intents.into_iter().filter_map(|intent| Self::of(&profile, samples, intent)).collect();
            // sRGB itself comes with tables for perception, which are not sRGB, beside those for colorimetry.
            if ways.iter().any(Self::is_srgb) { None } else { ways.into_iter().find(Self::is_sound) }
        });
        found.ok().flatten()
    }

    /// As [`ToSrgb::from_icc`], for the numbers in a PNG's `cICP` chunk: primaries, transfer, matrix, full range. The
    /// two transfers of high dynamic range are passed over: they need more than a change of colours.
    pub(super) fn from_cicp([primaries, transfer, matrix, full_range]: [u8; 4]) -> Option<Self> {
        if matrix != 0 || full_range != 1 || matches!(transfer, 16 | 18) {
            return None;
        }
        let found = panic::catch_unwind(|| {
            let profile = ColorProfile::new_from_cicp(CicpProfile {
                color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
                transfer_characteristics: TransferCharacteristics::try_from(transfer).ok()?,
                matrix_coefficients: MatrixCoefficients::Identity,
                full_range: true,
            });
            Self::of(&profile, Samples::Rgb, RenderingIntent::Perceptual)
        });
        found.ok().flatten().filter(|found| !found.is_srgb() && found.is_sound())
    }

    fn of(profile: &ColorProfile, samples: Samples, rendering_intent: RenderingIntent) -> Option<Self> {
        let options = TransformOptions { rendering_intent, ..TransformOptions::default() };
        let tables = |layout| {
            profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()
        };
        let has_tables = profile.lut_a_to_b_perceptual.is_some() || profile.lut_a_to_b_colorimetric.is_some();
        match (samples, profile.color_space) {
            (Samples::Grey, DataColorSpace::Gray) if profile.gray_trc.is_some() => {
                Some(Self::Grey(Box::new(profile.clone())))
            }
            (Samples::Cmyk, DataColorSpace::Cmyk) => tables(Layout::Rgba).map(Self::CmykTables),
            (Samples::Rgb, DataColorSpace::Rgb) if has_tables => tables(Layout::Rgb).map(Self::RgbTables),
            (Samples::Rgb, DataColorSpace::Rgb)
                if profile.is_matrix_shaper() && profile.pcs == DataColorSpace::Xyz =>
            {
                let matrix = profile.transform_matrix(&ColorProfile::new_srgb()).v;
                let fits = matrix.iter().flatten().all(|factor| factor.abs() <= MAX_FACTOR);
                #[expect(clippy::cast_possible_truncation, reason = "it is within 16 bits where it is used")]
                let matrix = matrix.map(|row| row.map(|factor| (factor * ONE).round() as i32));
                fits.then(|| Self::Rgb(Box::new(profile.clone()), matrix))
            }
            _ => None,
        }
    }

    /// Whether the samples may stay what they are.
    fn is_srgb(&self) -> bool {
        let probe: Vec<u8> = match self {
            Self::CmykTables(_) => return false,
            Self::Grey(_) => (0..=255).collect(),
            Self::Rgb(..) | Self::RgbTables(_) => {
                let greys = (0..=255u8).flat_map(|v| [v; 3]);
                let sides = || (0..=255u8).step_by(51);
                greys
                    .chain(
                        sides().flat_map(|r| sides().flat_map(move |g| sides().flat_map(move |b| [r, g, b]))),
                    )
                    .collect()
            }
        };
        let same = |a: &[u8]| a.iter().zip(&probe).all(|(a, b)| a.abs_diff(*b) <= SRGB_TOLERANCE);
        self.convert8(&probe, None).is_some_and(|converted| same(&converted))
    }

    /// Whether dark stays dark and light stays light, with steps between: a profile that makes all pictures one colour
    /// would make them all one picture.
    fn is_sound(&self) -> bool {
        let shades = (0..=255u8).step_by(15);
        let probe: Vec<u8> = match self {
            Self::Grey(_) => shades.collect(),
            Self::Rgb(..) | Self::RgbTables(_) => shades.flat_map(|v| [v; 3]).collect(),
            Self::CmykTables(_) => shades.flat_map(|v| [0, 0, 0, 255 - v]).collect(),
        };
        let Some(converted) = self.convert8(&probe, None) else { return false };
        let channels = if matches!(self, Self::Grey(_)) { 1 } else { 3 };
        (0..channels).all(|channel| {
            let axis: Vec<u8> = converted.iter().skip(channel).step_by(channels).copied().collect();
            let mut different = axis.clone();
            different.dedup();
            axis.is_sorted() && different.len() > 8 && axis[0] < 112 && axis[axis.len() - 1] > 176
        })
    }

    /// The picture in sRGB, with 8-bit samples; alpha stays what it is. The picture as it is when that fails.
    pub(super) fn apply(&self, picture: DynamicImage) -> DynamicImage {
        let (width, height) = (picture.width(), picture.height());
        let alpha = picture.color().has_alpha();
        let converted = panic::catch_unwind(AssertUnwindSafe(|| {
            let samples = match &picture {
                DynamicImage::ImageLuma8(p) => self.convert8(p.as_raw(), None),
                DynamicImage::ImageRgb8(p) => self.convert8(p.as_raw(), None),
                DynamicImage::ImageLumaA8(p) => self.convert8(p.as_raw(), Some(1)),
                DynamicImage::ImageRgba8(p) => self.convert8(p.as_raw(), Some(3)),
                DynamicImage::ImageLuma16(p) => self.convert16(p.as_raw(), None),
                DynamicImage::ImageRgb16(p) => self.convert16(p.as_raw(), None),
                DynamicImage::ImageLumaA16(p) => self.convert16(p.as_raw(), Some(1)),
                DynamicImage::ImageRgba16(p) => self.convert16(p.as_raw(), Some(3)),
                _ => None,
            }?;
            match (picture.color().has_color(), alpha) {
                (false, false) => GrayImage::from_raw(width, height, samples).map(Into::into),
                (false, true) => GrayAlphaImage::from_raw(width, height, samples).map(Into::into),
                (true, false) => RgbImage::from_raw(width, height, samples).map(Into::into),
                (true, true) => RgbaImage::from_raw(width, height, samples).map(Into::into),
            }
        }));
        converted.ok().flatten().unwrap_or(picture)
    }

    /// Pixels of cyan, magenta, yellow and black (255 is full ink) as RGB.
    pub(super) fn convert_inks(&self, inks: &[u8]) -> Option<Vec<u8>> {
        panic::catch_unwind(AssertUnwindSafe(|| self.convert8(inks, None))).ok().flatten()
    }

    /// `alpha_at`: which sample of each pixel is its alpha, the last one.
    fn convert8(&self, samples: &[u8], alpha_at: Option<usize>) -> Option<Vec<u8>> {
        let keep = |alpha| alpha;
        match self {
            Self::Grey(profile) => {
                let curve = profile.build_gray_linearize_table::<u8, 256, 8>().ok()?;
                Some(grey(&light(curve.as_slice()), samples, alpha_at, keep))
            }
            Self::Rgb(profile, matrix) => {
                let curves = [
                    profile.build_r_linearize_table::<u8, 256, 8>(false).ok()?,
                    profile.build_g_linearize_table::<u8, 256, 8>(false).ok()?,
                    profile.build_b_linearize_table::<u8, 256, 8>(false).ok()?,
                ];
                Some(rgb(
                    curves.each_ref().map(|curve| light(curve.as_slice())),
                    matrix,
                    samples,
                    alpha_at,
                    keep,
                ))
            }
            Self::RgbTables(tables) => by_tables(tables.as_ref(), samples, 3, alpha_at),
            Self::CmykTables(tables) => by_tables(tables.as_ref(), samples, 4, None),
        }
    }

    /// As [`ToSrgb::convert8`]: dark steps of a linear or wide space would be lost if they were rounded before.
    fn convert16(&self, samples: &[u16], alpha_at: Option<usize>) -> Option<Vec<u8>> {
        match self {
            Self::Grey(profile) => {
                let curve = profile.build_gray_linearize_table::<u16, 65536, 16>().ok()?;
                Some(grey(&light(curve.as_slice()), samples, alpha_at, narrowed))
            }
            Self::Rgb(profile, matrix) => {
                let curves = [
                    profile.build_r_linearize_table::<u16, 65536, 16>(false).ok()?,
                    profile.build_g_linearize_table::<u16, 65536, 16>(false).ok()?,
                    profile.build_b_linearize_table::<u16, 65536, 16>(false).ok()?,
                ];
                Some(rgb(
                    curves.each_ref().map(|curve| light(curve.as_slice())),
                    matrix,
                    samples,
                    alpha_at,
                    narrowed,
                ))
            }
            Self::RgbTables(_) | Self::CmykTables(_) => {
                let narrow: Vec<u8> = samples.iter().copied().map(narrowed).collect();
                self.convert8(&narrow, alpha_at)
            }
        }
    }
}

/// A 16-bit sample as the nearest 8-bit one.
fn narrowed(sample: u16) -> u8 {
    u8::try_from((u32::from(sample) + 128) / 257).unwrap_or(u8::MAX)
}

/// A curve from 0 to 1 in steps of light.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "casts saturate; 14 bits fit"
)]
fn light(curve: &[f32]) -> Vec<i32> {
    curve.iter().map(|&linear| ((linear * FULL_LIGHT as f32).round() as i32).clamp(0, FULL_LIGHT)).collect()
}

/// Light as an sRGB sample; what is outside of what sRGB can show is clipped.
#[expect(clippy::cast_sign_loss, reason = "it is not negative")]
fn encoded(srgb_of_light: &[u8], light: i32) -> u8 {
    srgb_of_light[light.clamp(0, FULL_LIGHT) as usize]
}

fn grey<S: Copy + Into<usize>>(
    curve: &[i32],
    samples: &[S],
    alpha_at: Option<usize>,
    alpha: impl Fn(S) -> u8,
) -> Vec<u8> {
    let table: Vec<u8> = curve.iter().map(|&light| encoded(&SRGB_OF_LIGHT, light)).collect();
    let mut out = Vec::with_capacity(samples.len());
    for pixel in samples.chunks_exact(alpha_at.map_or(1, |at| at + 1)) {
        out.push(table[pixel[0].into()]);
        out.extend(alpha_at.map(|at| alpha(pixel[at])));
    }
    out
}

fn rgb<S: Copy + Into<usize>>(
    [red, green, blue]: [Vec<i32>; 3],
    matrix: &[[i32; 3]; 3],
    samples: &[S],
    alpha_at: Option<usize>,
    alpha: impl Fn(S) -> u8,
) -> Vec<u8> {
    let srgb_of_light: &[u8] = &SRGB_OF_LIGHT;
    let channels = alpha_at.map_or(3, |at| at + 1);
    let mut out = vec![0; samples.len()];
    for (pixel, out) in samples.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        let (r, g, b) = (red[pixel[0].into()], green[pixel[1].into()], blue[pixel[2].into()]);
        for (out, [of_r, of_g, of_b]) in out.iter_mut().zip(matrix) {
            let light = (of_r * r + of_g * g + of_b * b + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS;
            *out = encoded(srgb_of_light, light);
        }
        if let Some(at) = alpha_at {
            out[at] = alpha(pixel[at]);
        }
    }
    out
}

/// `inks`: samples a pixel without alpha. In pieces, so that what lies beside the picture stays small.
fn by_tables(
    tables: &Transform8BitExecutor,
    samples: &[u8],
    inks: usize,
    alpha_at: Option<usize>,
) -> Option<Vec<u8>> {
    const PIXELS: usize = 1 << 14;
    let channels = alpha_at.map_or(inks, |at| at + 1);
    let mut out = Vec::with_capacity(samples.len() / channels * (channels.min(4) - inks + 3));
    let (mut colours, mut converted) = (Vec::new(), Vec::new());
    for piece in samples.chunks(PIXELS * channels) {
        colours.clear();
        colours.extend(piece.chunks_exact(channels).flat_map(|pixel| &pixel[..inks]));
        converted.clear();
        converted.resize(colours.len() / inks * 3, 0);
        tables.transform(&colours, &mut converted).ok()?;
        for (pixel, colour) in piece.chunks_exact(channels).zip(converted.chunks_exact(3)) {
            out.extend_from_slice(colour);
            out.extend(alpha_at.map(|at| pixel[at]));
        }
    }
    Some(out)
}

/// The profile, of which only [`TAGS`] are read: what it says of itself in words may be as broken as it likes.
fn parse(icc: &[u8]) -> Option<ColorProfile> {
    if icc.len() > MAX_PROFILE_BYTES || icc.get(36..40)? != b"acsp" {
        return None;
    }
    let options = ParsingOptions {
        max_profile_size: MAX_PROFILE_BYTES + 1,
        max_allowed_trc_size: 1 << 16,
        ..ParsingOptions::default()
    };
    let profile = ColorProfile::new_from_slice_with_options(&with_known_tags(icc)?, options).ok()?;
    let usable = matches!(
        profile.profile_class,
        ProfileClass::InputDevice
            | ProfileClass::DisplayDevice
            | ProfileClass::OutputDevice
            | ProfileClass::ColorSpace
    ) && matches!(profile.pcs, DataColorSpace::Xyz | DataColorSpace::Lab);
    usable.then_some(profile)
}

/// The profile with a table of only the tags that are read, each once. Their places stay what they were.
fn with_known_tags(icc: &[u8]) -> Option<Vec<u8>> {
    let count = u32_at(icc, HEADER_BYTES - 4)?;
    if count > MAX_TAGS {
        return None;
    }
    let table = icc.get(HEADER_BYTES..HEADER_BYTES + count * ENTRY_BYTES)?;
    let mut kept: Vec<&[u8]> = Vec::new();
    for entry in table.chunks_exact(ENTRY_BYTES) {
        let (name, known) = (&entry[..4], |kept: &&[u8]| kept[..4] == entry[..4]);
        let end = u32_at(entry, 4)?.checked_add(u32_at(entry, 8)?)?;
        if TAGS.iter().any(|tag| tag.as_slice() == name) && end <= icc.len() && !kept.iter().any(known) {
            kept.push(entry);
        }
    }
    let mut lean = icc.to_vec();
    lean[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&u32::try_from(kept.len()).ok()?.to_be_bytes());
    let kept = kept.concat();
    lean[HEADER_BYTES..HEADER_BYTES + kept.len()].copy_from_slice(&kept);
    Some(lean)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*four)).ok()
}
