//! What is light and what is dark in a picture, in 64 bits: enough to propose stored pictures, too little to judge.
//!
//! The signs of the lowest frequencies of the thumbnail's brightness, as in pHash (Zauner, 2010): compressing, resizing and
//! toning a picture anew changes few of them, cropping, turning and framing it many.

use std::f32::consts::PI;
use std::sync::LazyLock;

use super::sketch::{Probe, Sketch, THUMBNAIL_PX};
use crate::vector::PerceptualHash;

/// Frequencies in each direction, from the first on: the mean brightness is left out.
const FREQUENCIES: usize = 8;

/// `[n - 1][u][x]`: the cosine of frequency `u + 1` at pixel `x` of `n`.
static COSINES: LazyLock<Vec<[Vec<f32>; FREQUENCIES]>> = LazyLock::new(|| {
    let of = |n: usize| {
        std::array::from_fn(|u| {
            let step = PI * (u + 1) as f32 / n as f32;
            (0..n).map(|x| (step * (x as f32 + 0.5)).cos()).collect()
        })
    };
    (1..=THUMBNAIL_PX).map(of).collect()
});

/// The hash of `luma`, row by row, `shape[0]` pixels a row; and that of the mirrored picture.
fn hashes_of(shape: [u8; 2], luma: &[u8]) -> [PerceptualHash; 2] {
    let [width, height] = shape.map(usize::from);
    let (across, along) = (&COSINES[width - 1], &COSINES[height - 1]);
    let mut waves = [[0.0f32; FREQUENCIES]; FREQUENCIES];
    for (y, row) in luma.chunks_exact(width).enumerate() {
        let of_row: [f32; FREQUENCIES] = std::array::from_fn(|u| {
            row.iter().zip(&across[u]).map(|(value, cosine)| f32::from(*value) * cosine).sum()
        });
        for (line, cosines) in waves.iter_mut().zip(along) {
            for (wave, of_row) in line.iter_mut().zip(of_row) {
                *wave += of_row * cosines[y];
            }
        }
    }
    let plain = PerceptualHash { bits: above_median(&waves), shape };
    // Mirroring turns the sign of every second frequency across.
    for line in &mut waves {
        line.iter_mut().step_by(2).for_each(|wave| *wave = -*wave);
    }
    [plain, PerceptualHash { bits: above_median(&waves), shape }]
}

/// A bit for each that lies above the middle one.
fn above_median(waves: &[[f32; FREQUENCIES]; FREQUENCIES]) -> u64 {
    let mut sorted = [0.0; FREQUENCIES * FREQUENCIES];
    sorted.copy_from_slice(waves.as_flattened());
    let middle = sorted.len() / 2 - 1;
    let median = *sorted.select_nth_unstable_by(middle, f32::total_cmp).1;
    waves.as_flattened().iter().enumerate().fold(0, |bits, (i, wave)| bits | u64::from(*wave > median) << i)
}

impl Probe {
    /// Its hash, and that of its mirror image.
    #[must_use]
    pub fn hashes(&self) -> [PerceptualHash; 2] {
        let (shape, luma) = self.thumbnail_luma();
        hashes_of(shape, &luma)
    }
}

impl Sketch {
    /// Its hash: that of the picture that it was made of.
    #[must_use]
    pub fn hash(&self) -> PerceptualHash {
        let (shape, luma) = self.luma_bytes();
        hashes_of(shape, luma)[0]
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::{self, FilterType};
    use image::{Rgb, RgbImage};

    use super::*;

    fn drawn(seed: u32) -> RgbImage {
        RgbImage::from_fn(300, 200, |x, y| {
            let wave = |k: u32| ((x * (k + seed % 5) + y * (7 - k)) as f32 / 60.0 + seed as f32).sin();
            Rgb([0, 1, 2].map(|k| (128.0 + 60.0 * wave(k) + 60.0 * wave(k + 2)).clamp(0.0, 255.0) as u8))
        })
    }

    fn hashes(picture: &RgbImage) -> [PerceptualHash; 2] {
        Probe::of(picture).unwrap().hashes()
    }

    #[test]
    fn a_resized_or_toned_copy_has_nearly_the_same_bits_and_another_picture_has_not() {
        for seed in 0..10 {
            let picture = drawn(seed);
            let [own, _] = hashes(&picture);
            let smaller = imageops::resize(&picture, 180, 120, FilterType::Triangle);
            let toned = RgbImage::from_fn(300, 200, |x, y| Rgb(picture[(x, y)].0.map(|v| v / 5 * 4 + 20)));
            for copy in [smaller, toned] {
                assert!(own.distance(&hashes(&copy)[0]).unwrap() <= 4, "seed {seed}");
            }
            assert!(own.distance(&hashes(&drawn(seed + 11))[0]).unwrap() > 8, "seed {seed}");
        }
    }

    #[test]
    fn the_second_hash_is_that_of_the_mirror_image() {
        for seed in 0..10 {
            let picture = drawn(seed);
            let mirrored = hashes(&imageops::flip_horizontal(&picture));
            assert!(hashes(&picture)[1].distance(&mirrored[0]).unwrap() <= 2);
            assert!(hashes(&picture)[0].distance(&mirrored[0]).unwrap() > 8);
        }
    }

    #[test]
    fn pictures_of_other_shapes_are_not_near() {
        let picture = drawn(1);
        let cropped = imageops::crop_imm(&picture, 0, 0, 200, 200).to_image();
        assert_eq!(hashes(&picture)[0].distance(&hashes(&cropped)[0]), None);
    }

    #[test]
    fn a_sketch_has_the_hash_of_its_picture_also_after_it_was_written() {
        for picture in [drawn(3), RgbImage::new(900, 1), RgbImage::new(1, 1)] {
            let sketch = Sketch::of(&picture).unwrap();
            let read = Sketch::from_bytes(&sketch.to_bytes()).unwrap();
            assert_eq!([sketch.hash(), read.hash()], [hashes(&picture)[0]; 2]);
        }
    }
}
