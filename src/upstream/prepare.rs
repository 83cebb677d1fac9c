//! How must a picture look so that an upstream takes it? Small enough in pixels and in bytes, JPEG or PNG.

use fast_image_resize::{ResizeAlg, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::crop_imm;
use image::{ExtendedColorType, RgbImage};

use super::{Region, UploadLimits, UploadMediaType, UploadPicture};
use crate::resize::resize_rgb;

/// JPEG qualities tried in turn at each size before the picture is made smaller.
const QUALITIES: [u8; 4] = [88, 80, 70, 60];
/// How often the picture is made smaller: `0.8^12` is 7 % of the side, 0.5 % of the bytes.
const MAX_SHRINKS: u32 = 12;

/// A picture fit for upload, and what the caller may want to tell the user about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What is sent.
    pub picture: UploadPicture,
    /// What the user should know about it.
    pub warnings: Vec<UploadWarning>,
}

/// Not an error: the picture is sent, but the answer may be poor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum UploadWarning {
    #[error(
        "the picture is {width_px}x{height_px} px after preparation; the upstream advises at least \
         {advised_min_side_px} px on each side, so use a larger picture if the answer is poor"
    )]
    BelowAdvisedSide { width_px: u32, height_px: u32, advised_min_side_px: u32 },
}

/// Why a picture cannot be made fit.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum PrepareError {
    #[error("the picture has no pixels ({width_px}x{height_px}); give one of at least 1x1 px")]
    Empty { width_px: u32, height_px: u32 },
    #[error(
        "the picture cannot be brought below {max_bytes} bytes; raise the profile's upload limit or use a \
         simpler picture"
    )]
    TooLarge { max_bytes: usize },
    #[error("the region {region} lies outside the picture, which is {width_px}x{height_px} px")]
    RegionOutside { region: Region, width_px: u32, height_px: u32 },
    #[error("the picture cannot be resized or encoded: {0}; save it again as a baseline JPEG and retry")]
    Encode(String),
}

/// A picture is elongated from here on: its long side in short ones. Pictures of single goods are hardly ever that long (of 2,041
/// pictures of goods that the project has, one is); detail pages are 5 to 30.
pub const ELONGATED: u32 = 3;

/// Makes `picture` (decoded, upright, alpha already on white) fit for upload under `limits`: scaled so that its longer
/// side is at most `max_side_px`, and encoded as JPEG, at lower quality and then at a smaller size until it is at most
/// `max_bytes`. Nothing of the original file's metadata goes with it.
///
/// `region`, in pixels of `picture`, goes along with the whole picture where the upstream takes one, scaled as the
/// picture is; elsewhere, and where a part of an [elongated](ELONGATED) one would be scaled to less than the advised size, the picture is cut to it.
///
/// # Errors
/// [`PrepareError`] when there are no pixels, the region lies outside, or the picture cannot be made small enough.
pub fn prepare(
    picture: &RgbImage,
    region: Option<Region>,
    limits: &UploadLimits,
) -> Result<Prepared, PrepareError> {
    let (width_px, height_px) = picture.dimensions();
    if width_px == 0 || height_px == 0 {
        return Err(PrepareError::Empty { width_px, height_px });
    }
    if let Some(asked) = region {
        let outside = PrepareError::RegionOutside { region: asked, width_px, height_px };
        let region = asked.within(picture.dimensions()).ok_or(outside)?;
        if !limits.takes_region || is_better_cut(picture.dimensions(), region, limits) {
            let [left, top, right, bottom] = region.edges_px();
            let part = crop_imm(picture, left, top, right - left, bottom - top).to_image();
            return prepare(&part, None, limits);
        }
        let mut prepared = prepare(picture, None, limits)?;
        let sent = (prepared.picture.width_px, prepared.picture.height_px);
        prepared.picture.region = Some(region.scaled(picture.dimensions(), sent));
        return Ok(prepared);
    }
    let picture = encode_within(picture, limits)?;
    let mut warnings = Vec::new();
    if picture.width_px.min(picture.height_px) < limits.advised_min_side_px {
        warnings.push(UploadWarning::BelowAdvisedSide {
            width_px: picture.width_px,
            height_px: picture.height_px,
            advised_min_side_px: limits.advised_min_side_px,
        });
    }
    Ok(Prepared { picture, warnings })
}

/// Whether a part of an elongated picture would be sent too small beside all of it, and larger by itself.
fn is_better_cut(size: (u32, u32), region: Region, limits: &UploadLimits) -> bool {
    let [left, top, right, bottom] = region.edges_px();
    let (short, long) = ((right - left).min(bottom - top), size.0.max(size.1));
    let beside = u64::from(short) * u64::from(limits.max_side_px) / u64::from(long.max(1));
    let is_elongated = long / size.0.min(size.1).max(1) >= ELONGATED;
    is_elongated && long > limits.max_side_px && beside < u64::from(limits.advised_min_side_px)
}

fn encode_within(picture: &RgbImage, limits: &UploadLimits) -> Result<UploadPicture, PrepareError> {
    let mut longer = picture.width().max(picture.height()).min(limits.max_side_px.max(1));
    let mut bytes = Vec::new();
    for _ in 0..=MAX_SHRINKS {
        let (width_px, height_px) = scaled(picture.dimensions(), longer);
        let resized = if (width_px, height_px) == picture.dimensions() {
            None
        } else {
            Some(resize(picture, width_px, height_px)?)
        };
        let pixels: &[u8] = resized.as_deref().unwrap_or(picture.as_raw());
        for quality in QUALITIES {
            bytes.clear();
            JpegEncoder::new_with_quality(&mut bytes, quality)
                .encode(pixels, width_px, height_px, ExtendedColorType::Rgb8)
                .map_err(|error| PrepareError::Encode(error.to_string()))?;
            if bytes.len() <= limits.max_bytes {
                let media_type = UploadMediaType::Jpeg;
                return Ok(UploadPicture {
                    bytes,
                    media_type,
                    width_px,
                    height_px,
                    region: None,
                    source_url: None,
                });
            }
        }
        if longer == 1 {
            break;
        }
        longer = (longer * 4 / 5).max(1);
    }
    Err(PrepareError::TooLarge { max_bytes: limits.max_bytes })
}

/// The size with the longer side `longer`, the shape kept as well as whole pixels allow; no side becomes 0.
fn scaled((width_px, height_px): (u32, u32), longer: u32) -> (u32, u32) {
    let from = u64::from(width_px.max(height_px));
    let side = |px: u32| {
        let rounded = (u64::from(px) * u64::from(longer) + from / 2) / from;
        u32::try_from(rounded).unwrap_or(longer).max(1)
    };
    (side(width_px), side(height_px))
}

fn resize(picture: &RgbImage, width_px: u32, height_px: u32) -> Result<Vec<u8>, PrepareError> {
    let mut target = Vec::new();
    let to = (width_px, height_px);
    resize_rgb(
        &mut Resizer::new(),
        picture.as_raw(),
        picture.dimensions(),
        &mut target,
        to,
        ResizeAlg::default(),
    )
    .map_err(|error| PrepareError::Encode(error.to_string()))?;
    Ok(target)
}
