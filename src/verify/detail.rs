//! The part of a sketch that shows what two aligned pictures differ in: a small coloured copy of the picture.
//!
//! Stored as one grey JPEG picture that holds three planes: the brightness above, the two chroma planes, half as large
//! each way, side by side beneath. One grey picture needs one set of tables, which are the same for all and are not
//! stored: a detail of a product picture takes about 2.5 kB (docs/benchmarks/pair-judge.md).

use std::sync::LazyLock;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::pyramid::LONG_SIDES_PX;
use super::raster::{Colours, Plane, averaged};
use super::samples::{Samples, for_step};

/// The longer side of a detail, in pixels; also which of the pyramid's sizes it is.
pub(super) const DETAIL_LEVEL: usize = 1;
/// JPEG qualities, best first; the first that keeps a detail within [`MAX_DETAIL_BYTES`] is taken.
const QUALITIES: [u8; 3] = [75, 45, 15];
/// A detail that no quality brings down to this is stored all the same: at the last quality, noise takes 4 kB.
const MAX_DETAIL_BYTES: usize = 3_500;
/// JPEG codes blocks of 8 x 8; chroma has half the size, so planes are padded to 16.
const BLOCK_PX: usize = 16;

/// An encoded detail: which of [`QUALITIES`], and the JPEG scan without the tables before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) quality: u8,
    pub(super) scan: Vec<u8>,
}

fn padded(side: usize) -> usize {
    side.div_ceil(BLOCK_PX) * BLOCK_PX
}

/// All that stands before the scan of a grey JPEG picture of this quality; its size is that of the smallest one.
fn tables(quality: u8) -> &'static [u8] {
    static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        QUALITIES
            .iter()
            .map(|quality| {
                let whole = grey_jpeg(&[128; 64], 8, 8, *quality);
                let end = scan_start(&whole);
                whole[..end].to_vec()
            })
            .collect()
    });
    QUALITIES.iter().position(|q| *q == quality).map_or(&[], |place| ALL[place].as_slice())
}

fn grey_jpeg(values: &[u8], width: usize, height: usize, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    // Writing to memory cannot fail, and the sizes fit.
    let _ = encoder.write_image(values, width as u32, height as u32, ExtendedColorType::L8);
    bytes
}

/// Where the entropy-coded scan begins: behind the header of the first SOS segment.
fn scan_start(jpeg: &[u8]) -> usize {
    let mut at = 2;
    while at + 4 <= jpeg.len() {
        let length = usize::from(jpeg[at + 2]) << 8 | usize::from(jpeg[at + 3]);
        let marker = jpeg[at + 1];
        at += 2 + length;
        if marker == 0xDA {
            return at;
        }
    }
    jpeg.len()
}

impl Detail {
    pub(super) fn of(picture: &Colours) -> Self {
        let (width, height) = (padded(picture.width), padded(picture.height));
        let at = |x: usize, y: usize| {
            &picture.pixels[y.min(picture.height - 1) * picture.width + x.min(picture.width - 1)]
        };
        let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
        let mut planes = Vec::with_capacity(width * height * 3 / 2);
        for y in 0..height {
            planes.extend((0..width).map(|x| byte(at(x, y)[0])));
        }
        for y in (0..height).step_by(2) {
            for lane in [1, 2] {
                planes.extend((0..width).step_by(2).map(|x| {
                    let four =
                        at(x, y)[lane] + at(x + 1, y)[lane] + at(x, y + 1)[lane] + at(x + 1, y + 1)[lane];
                    byte(four / 4.0 + 128.0)
                }));
            }
        }
        let mut last = None;
        for quality in QUALITIES {
            let whole = grey_jpeg(&planes, width, height * 3 / 2, quality);
            let scan = whole[scan_start(&whole)..].to_vec();
            let fits = scan.len() <= MAX_DETAIL_BYTES;
            last = Some(Self { quality, scan });
            if fits {
                break;
            }
        }
        last.unwrap_or(Self { quality: QUALITIES[0], scan: Vec::new() })
    }

    pub(super) fn is_possible(&self, width: usize, height: usize) -> bool {
        width > 0
            && height > 0
            && width.max(height) == LONG_SIDES_PX[DETAIL_LEVEL]
            && QUALITIES.contains(&self.quality)
    }

    /// The picture of `width` x `height` pixels; `None` where the scan is damaged.
    pub(super) fn decoded(&self, width: usize, height: usize) -> Option<Colours> {
        let (wide, high) = (padded(width), padded(height));
        let mut jpeg = tables(self.quality).to_vec();
        // The size in the frame header: marker, length, precision, height, width.
        let frame = jpeg.windows(2).position(|two| two == [0xFF, 0xC0])?;
        let [h, w] = [(high * 3 / 2) as u16, wide as u16].map(u16::to_be_bytes);
        jpeg[frame + 5..frame + 9].copy_from_slice(&[h[0], h[1], w[0], w[1]]);
        jpeg.extend_from_slice(&self.scan);
        // Without being told, the decoder makes three channels of one.
        let grey = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
        let planes = JpegDecoder::new_with_options(ZCursor::new(&jpeg), grey).decode().ok()?;
        if planes.len() != wide * high * 3 / 2 {
            return None;
        }
        let (luma, chroma) = planes.split_at(wide * high);
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = &chroma[y / 2 * wide..][..wide];
            pixels.extend((0..width).map(|x| {
                let of = |place: usize| f32::from(row[place]) - 128.0;
                [f32::from(luma[y * wide + x]), of(x / 2), of(wide / 2 + x / 2), 0.0]
            }));
        }
        Some(Colours { width, height, pixels })
    }
}

/// A decoded detail at several sizes, the largest first.
pub(super) struct Sizes([Samples; 2]);

impl Sizes {
    pub(super) fn of(detail: &Colours) -> Self {
        let half = averaged(detail);
        Self([Samples::of(detail), Samples::of(&half)])
    }

    /// Brightness at the smaller of the sizes.
    pub(super) fn luma(&self) -> Plane {
        self.0[1].colours().luma()
    }

    /// The size at which one pixel is nearest to `step` of the longer side.
    pub(super) fn for_step(&self, step: f32) -> &Samples {
        for_step(&self.0, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_decodes_to_the_picture_that_it_was_made_of() {
        for (width, height) in [(136, 102), (99, 136), (136, 1)] {
            let pixel = |place: usize| {
                let (x, y) = ((place % width) as f32, (place / width) as f32);
                [60.0 + x, y / 4.0 - 20.0, 10.0, 0.0]
            };
            let pixels: Vec<[f32; 4]> = (0..width * height).map(pixel).collect();
            let detail = Detail::of(&Colours { width, height, pixels: pixels.clone() });
            let decoded = detail.decoded(width, height).expect("it is whole");
            assert_eq!((decoded.width, decoded.height), (width, height));
            let apart =
                pixels.iter().zip(&decoded.pixels).map(|(a, b)| (a[0] - b[0]).abs() + (a[1] - b[1]).abs());
            let mean = apart.sum::<f32>() / pixels.len() as f32;
            assert!(mean < 4.0, "{width} x {height}: {mean}");
        }
    }
}
