//! How well does the stored picture lie over the one in question, and how would it lie better? By the brightness of all pixels.

use std::ops::Range;

use super::affine::Affine;
use super::raster::Plane;
use super::samples::{Line, Samples};
use super::sketch::Probe;
use super::sums::sums;

/// A guess must cover at least this share of the stored picture.
const MIN_OVERLAP: f32 = 0.12;
/// Variance that noise makes up, in squared grey values: two flat pictures are not alike because their noise is.
const NOISE_VARIANCE: f32 = 4.0;

/// A size of the query, and the map that leads there from the pixels of a stored plane.
struct Looked<'p> {
    size: &'p Samples,
    map: Affine,
}

impl<'p> Looked<'p> {
    /// `map` leads from thumbnail pixels, of which one of the plane has `ratio`.
    fn by(probe: &'p Probe, ratio: f32, map: &Affine) -> Self {
        let map = map.after(&Affine::scaling(ratio));
        let size = probe.size_for(map.step());
        Self { size, map: Affine::scaling(size.long_side()).after(&map) }
    }

    /// What the query shows where row `y` of the plane lies, from column `first` on. Which of them lie in the query: for those
    /// there is `luma`.
    fn row(&self, first: usize, y: usize, luma: &mut [f32]) -> Range<usize> {
        let start = self.map.at(first as f32 + 0.5, y as f32 + 0.5);
        self.size.luma_along(&Line { start, step: (self.map.0[0], self.map.0[3]) }, luma)
    }
}

/// Correlation of `plane`, one pixel of which is `ratio` thumbnail pixels, with what `map` finds in the query.
pub(super) fn correlation(probe: &Probe, plane: &Plane, ratio: f32, map: &Affine) -> f32 {
    let looked = Looked::by(probe, ratio, map);
    let mut luma = vec![0.0; plane.width];
    let (mut count, mut all) = (0.0f32, [0.0f32; 5]);
    for (y, stored) in plane.values.chunks_exact(plane.width).enumerate() {
        let seen = looked.row(0, y, &mut luma);
        count += seen.len() as f32;
        let found = sums([&stored[seen.clone()], &luma[seen]], |[a, b]| [a, b, a * a, b * b, a * b]);
        add(&mut all, &found);
    }
    let [a, b, aa, bb, ab] = all;
    if count < MIN_OVERLAP * plane.values.len() as f32 {
        return -1.0;
    }
    let spread = |square: f32, sum: f32| square - sum * sum / count + count * NOISE_VARIANCE;
    (ab - a * b / count) / (spread(aa, a) * spread(bb, b)).sqrt()
}

/// The pixels of a stored plane that lie in the query, row by row, and what is found there.
struct Overlaid {
    /// Columns from the middle, in units of the plane's longer side.
    x: Vec<f32>,
    stored: Vec<f32>,
    query: Vec<f32>,
    /// Of the stored plane.
    slope_x: Vec<f32>,
    slope_y: Vec<f32>,
    /// Where each row stands above, and how far from the middle it is, in the same units.
    rows: Vec<(Range<usize>, f32)>,
}

impl Overlaid {
    /// All but the plane's rim, where there are no slopes.
    fn of(plane: &Plane, looked: &Looked<'_>, unit: f32) -> Self {
        let (width, height) = (plane.width, plane.height);
        let (cx, cy) = (width as f32 / 2.0, height as f32 / 2.0);
        let of_all = || Vec::with_capacity(plane.values.len());
        let (x, stored, query) = (of_all(), of_all(), of_all());
        let mut own =
            Self { x, stored, query, slope_x: of_all(), slope_y: of_all(), rows: Vec::with_capacity(height) };
        let mut luma = vec![0.0; width.saturating_sub(2)];
        for y in 1..height.saturating_sub(1) {
            let seen = looked.row(1, y, &mut luma);
            let first = own.query.len();
            let at =
                |dx: usize, y: usize| &plane.values[y * width + seen.start + dx..y * width + seen.end + dx];
            own.x.extend(seen.clone().map(|column| ((column as i32 as f32 + 1.5) - cx) * unit));
            own.stored.extend_from_slice(at(1, y));
            own.query.extend_from_slice(&luma[seen.clone()]);
            own.slope_x.extend(at(2, y).iter().zip(at(0, y)).map(|(right, left)| (right - left) * 0.5));
            own.slope_y
                .extend(at(1, y + 1).iter().zip(at(1, y - 1)).map(|(below, above)| (below - above) * 0.5));
            own.rows.push((first..own.query.len(), (y as f32 + 0.5 - cy) * unit));
        }
        own
    }
}

/// One inverse-compositional step (Baker and Matthews, 2004) of an affine map, under a gain and an offset of the
/// brightness, with Cauchy weights against text and covers. Also says whether the step was too small to matter.
pub(super) fn stepped(probe: &Probe, plane: &Plane, ratio: f32, map: Affine) -> Option<(Affine, bool)> {
    let (cx, cy) = (plane.width as f32 / 2.0, plane.height as f32 / 2.0);
    let unit = 1.0 / plane.width.max(plane.height) as f32;
    let pixels = Overlaid::of(plane, &Looked::by(probe, ratio, &map), unit);
    if pixels.query.len() < 24 {
        return None;
    }
    let mut normal = normal_equations(&pixels);
    for (i, line) in normal.iter_mut().enumerate() {
        // Flat pictures must not make the step explode.
        line[i] = line[i] * 1.001 + 0.05 * pixels.query.len() as f32;
    }
    let d = solved(normal)?;
    if d.iter().any(|v| !v.is_finite() || v.abs() > 20.0) || d[2].abs() > 6.0 || d[5].abs() > 6.0 {
        return None;
    }
    let delta = Affine([
        1.0 + d[0] * unit,
        d[1] * unit,
        (d[2] - (d[0] * cx + d[1] * cy) * unit) * ratio,
        d[3] * unit,
        1.0 + d[4] * unit,
        (d[5] - (d[3] * cx + d[4] * cy) * unit) * ratio,
    ]);
    let small = d.iter().all(|v| v.abs() < 0.03);
    Some((map.after(&delta.inverse()?), small))
}

/// Of the six numbers of an affine step, in the order of [`Affine`], with the right side last.
fn normal_equations(pixels: &Overlaid) -> [[f32; 7]; 6] {
    let (gain, offset, spread) = brightness(&pixels.query, &pixels.stored);
    // For two slopes each: sums of their product times two of x, y and 1.
    let mut products = [[[0.0f32; 3]; 3]; 3];
    // For each slope: sums of its product with what is left, times x, y and 1.
    let mut right = [[0.0f32; 3]; 2];
    for (row, y) in &pixels.rows {
        let [query, stored, slope_x, slope_y, x] =
            [&pixels.query, &pixels.stored, &pixels.slope_x, &pixels.slope_y, &pixels.x]
                .map(|all| &all[row.clone()]);
        // y is one for all of the row, so what takes y waits until its end.
        let found = sums([query, stored, slope_x, slope_y, x], |[query, stored, slope_x, slope_y, x]| {
            let left = gain * query + offset - stored;
            let off = left / spread;
            let weight = 1.0 / (1.0 + off * off);
            let (wx, wy) = (weight * slope_x, weight * slope_y);
            let [xx, xy, yy] = [wx * slope_x, wx * slope_y, wy * slope_y];
            let [xx_x, xy_x, yy_x] = [xx, xy, yy].map(|product| product * x);
            let [left_x, left_y] = [wx * left, wy * left];
            [
                xx,
                xx_x,
                xx_x * x,
                xy,
                xy_x,
                xy_x * x,
                yy,
                yy_x,
                yy_x * x,
                left_x,
                left_x * x,
                left_y,
                left_y * x,
            ]
        });
        let (of_two, of_left) = found.split_at(9);
        for (sums, found) in products.iter_mut().zip(of_two.as_chunks::<3>().0) {
            let [plain, x, xx] = *found;
            let more = [[xx, x * y, x], [x * y, plain * y * y, plain * y], [x, plain * y, plain]];
            add(sums.as_flattened_mut(), more.as_flattened());
        }
        for (sums, found) in right.iter_mut().zip(of_left.as_chunks::<2>().0) {
            let [plain, x] = *found;
            add(sums, &[x, plain * y, plain]);
        }
    }
    let [xx, xy, yy] = products;
    let line = |left: [f32; 3], right: [f32; 3], last: f32| {
        [left[0], left[1], left[2], right[0], right[1], right[2], last]
    };
    std::array::from_fn(|i| match i {
        0..3 => line(xx[i], xy[i], right[0][i]),
        _ => line(xy[i - 3], yy[i - 3], right[1][i - 3]),
    })
}

fn add(sums: &mut [f32], more: &[f32]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Gain, offset and spread (in grey values) that take what was found to what is stored; robust.
fn brightness(query: &[f32], stored: &[f32]) -> (f32, f32, f32) {
    let (mut gain, mut offset, mut spread) = (1.0f32, 0.0f32, f32::INFINITY);
    // Their bits: those of positive numbers have the same order, and are compared faster.
    let mut residuals: Vec<u32> = Vec::with_capacity(query.len());
    for _ in 0..2 {
        let [n, x, y, xx, xy] = sums([query, stored], |[query, stored]| {
            let off = (gain * query + offset - stored) / spread;
            let weight = 1.0 / (1.0 + off * off);
            let (x, y) = (weight * query, weight * stored);
            [weight, x, y, x * query, x * stored]
        });
        let variance = xx - x * x / n;
        gain = if variance > n { ((xy - x * y / n) / variance).clamp(0.3, 3.0) } else { 1.0 };
        offset = (y - gain * x) / n;
        residuals.clear();
        let pairs = query.iter().zip(stored);
        residuals.extend(pairs.map(|(query, stored)| (gain * query + offset - stored).abs().to_bits()));
        let middle = residuals.len() / 2;
        let middle = f32::from_bits(*residuals.select_nth_unstable(middle).1);
        spread = (2.0 * middle).max(4.0);
    }
    (gain, offset, spread)
}

/// Gauss-Jordan with pivots.
fn solved(normal: [[f32; 7]; 6]) -> Option<[f32; 6]> {
    let mut m = normal.map(|row| row.map(f64::from));
    for i in 0..6 {
        let pivot = (i..6).max_by(|a, b| m[*a][i].abs().total_cmp(&m[*b][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < 1e-9 {
            return None;
        }
        let top = m[i];
        for (r, row) in m.iter_mut().enumerate() {
            if r != i {
                let factor = row[i] / top[i];
                for (cell, above) in row.iter_mut().zip(top) {
                    *cell -= factor * above;
                }
            }
        }
    }
    let mut out = [0.0; 6];
    for (i, value) in out.iter_mut().enumerate() {
        *value = (m[i][6] / m[i][i]) as f32;
    }
    Some(out)
}
