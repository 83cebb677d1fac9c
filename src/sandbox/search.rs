//! Which goods look like an uploaded picture? The sandbox's own matcher, unrelated to the product's embedding: a
//! small colour grid of what stands in front of the background.

use std::sync::{Arc, Mutex, PoisonError};

use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage};
use rayon::prelude::*;

use super::goods::{Catalogue, View};
use crate::question::Region;

/// Cells a side of the grid.
const GRID: u32 = 16;
/// Pixels this far from the background in any channel belong to the goods.
const BACKGROUND_TOLERANCE: u8 = 24;
/// The longer side at which goods are drawn for comparison, in pixels.
const DRAWN_SIDE_PX: u32 = 96;

/// Every picture of every good as a colour grid.
#[derive(Debug)]
pub(super) struct Matcher {
    seen: Vec<(usize, Vec<u8>)>,
}

impl Matcher {
    /// The matcher for the goods of `catalogue`, which is made once for each seed: every sandbox of this process that sells
    /// the same goods sees with it.
    pub(super) fn of(catalogue: &Catalogue) -> Arc<Self> {
        static MATCHERS: Mutex<Vec<(u64, Arc<Matcher>)>> = Mutex::new(Vec::new());
        // Held while drawing, so that the same matcher is drawn once.
        let mut matchers = MATCHERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, matcher)) = matchers.iter().find(|(seed, _)| *seed == catalogue.seed()) {
            return Arc::clone(matcher);
        }
        let matcher = Arc::new(Self::new(catalogue));
        matchers.push((catalogue.seed(), Arc::clone(&matcher)));
        matcher
    }

    /// Draws and describes all pictures of `catalogue`, on all cores.
    fn new(catalogue: &Catalogue) -> Self {
        let goods = catalogue.goods();
        let seen = (0..goods.len() * View::ALL.len())
            .into_par_iter()
            .map(|i| {
                let (good, view) = (i / View::ALL.len(), View::ALL[i % View::ALL.len()]);
                (good, describe(&catalogue.thumbnail(&goods[good], view, DRAWN_SIDE_PX)))
            })
            .collect();
        Self { seen }
    }

    /// Goods by falling likeness, each once with its best picture, as (position in the catalogue, 0 to 100).
    pub(super) fn rank(&self, picture: &RgbImage) -> Vec<(usize, u8)> {
        let wanted = describe(picture);
        let mut best = std::collections::HashMap::new();
        for (good, grid) in &self.seen {
            let likeness = likeness(&wanted, grid);
            let kept = best.entry(*good).or_insert(likeness);
            *kept = likeness.max(*kept);
        }
        let mut ranked: Vec<(usize, f32)> = best.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked.into_iter().map(|(good, likeness)| (good, (likeness * 100.0).round() as u8)).collect()
    }
}

/// Where goods are seen in a picture: all that stands out from its background and, where there is more than one thing side
/// by side, each of them. In pixels of the picture.
pub(super) fn suggested(picture: &RgbImage) -> Vec<Region> {
    let small = resize(picture, DRAWN_SIDE_PX, DRAWN_SIDE_PX, FilterType::Triangle);
    let side = (DRAWN_SIDE_PX, DRAWN_SIDE_PX);
    let whole = |left, top, right, bottom| {
        Some(Region::new(left, top, right, bottom)?.scaled(side, picture.dimensions()))
    };
    let (left, top, width, height) = foreground(&small);
    let front = whole(left, top, left + width, top + height);
    // Twice as wide as high in a square is two things at least.
    let halves = (picture.width() * width >= 2 * picture.height() * height)
        .then(|| {
            let middle = left + width / 2;
            [whole(left, top, middle, top + height), whole(middle, top, left + width, top + height)]
        })
        .into_iter()
        .flatten();
    std::iter::once(front).chain(halves).flatten().collect()
}

fn describe(picture: &RgbImage) -> Vec<u8> {
    let small = resize(picture, DRAWN_SIDE_PX, DRAWN_SIDE_PX, FilterType::Triangle);
    let (x, y, width, height) = foreground(&small);
    let front = crop_imm(&small, x, y, width, height).to_image();
    resize(&front, GRID, GRID, FilterType::Triangle).into_raw()
}

/// The box (left, top, width, height) around all that differs from the corner; the whole picture if nothing does.
fn foreground(picture: &RgbImage) -> (u32, u32, u32, u32) {
    let Rgb(corner) = *picture.get_pixel(1, 1);
    let differs = |p: &Rgb<u8>| p.0.iter().zip(corner).any(|(a, b)| a.abs_diff(b) > BACKGROUND_TOLERANCE);
    let front = picture.enumerate_pixels().filter(|(_, _, p)| differs(p));
    let around = front.fold(None, |around: Option<(u32, u32, u32, u32)>, (x, y, _)| {
        let (left, top, right, bottom) = around.unwrap_or((x, y, x, y));
        Some((left.min(x), top.min(y), right.max(x), bottom.max(y)))
    });
    around.map_or((0, 0, picture.width(), picture.height()), |(left, top, right, bottom)| {
        (left, top, right - left + 1, bottom - top + 1)
    })
}

/// 1 for equal grids; 0 when they are a third of the range apart on average.
fn likeness(a: &[u8], b: &[u8]) -> f32 {
    let apart: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    (1.0 - apart as f32 / a.len() as f32 / 85.0).max(0.0)
}
