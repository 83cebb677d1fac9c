//! What speaks for and against two aligned pictures being the same.
//!
//! Structure is compared pixel by pixel on the thumbnail, colour block by block: the mean of 4 x 4 pixels forgives
//! noise and a small shift. A global change of brightness and colour is fitted and forgiven within bounds; what is
//! left over, and above all whether some colour of the stored picture is found nowhere in its place, tells a colour
//! variant from a re-encoded, toned or stamped picture. A stamp hides a place whatever its colour; another colour of
//! the goods replaces a colour wherever it was.

use super::affine::Affine;
use super::align::{Guess, Target, rim_colour};
use super::sketch::Probe;

/// Thumbnail pixels along a block's side.
const BLOCK_PX: usize = 4;
/// The window about a block in which structures are compared, in thumbnail pixels.
const WINDOW_PX: usize = 8;
/// A window whose brightness spreads less than this (standard deviation, grey values) is flat.
const FLAT: f32 = 5.0;
/// From this correlation on, a window shows the same structure.
const AGREES: f32 = 0.7;
/// Below this correlation, a window shows another structure.
const UNLIKE: f32 = 0.4;
/// Chroma from which on a colour has a hue.
const COLOURED: f32 = 8.0;
/// What a global correction may do: turn hues by this many radians either way ...
const MAX_TURN: f32 = 0.21;
/// ... and change saturation within these factors.
const SATURATIONS: (f32, f32) = (0.6, 1.6);
/// Blocks that differ by more than this (chroma, grey values) after the global change differ.
const DIFFERS_CHROMA: f32 = 7.0;
const DIFFERS_LUMA: f32 = 16.0;

macro_rules! evidence {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Measurements on one aligned pair of pictures. Lengths are in units of the longer side, colours in 8-bit
        /// steps, angles in degrees, shares in 0..=1.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Evidence {
            $($(#[$doc])* pub $name: f32,)+
        }

        impl Evidence {
            /// Names of the measurements, in the order of [`Evidence::values`].
            pub const NAMES: [&str; [$(stringify!($name)),+].len()] = [$(stringify!($name)),+];

            /// The measurements as the fitted function takes them.
            #[must_use]
            pub fn values(&self) -> [f32; Self::NAMES.len()] {
                [$(self.$name),+]
            }
        }
    };
}

evidence! {
    /// Of the two embeddings.
    cosine,
    /// Pairs of corners that agree with the alignment.
    inliers,
    /// The same, as a share of the query's corners inside the overlap.
    inlier_share,
    /// Share of the stored picture that the query shows.
    overlap_stored,
    /// Share of the query that the stored picture covers.
    overlap_query,
    /// Size of the stored picture in the query.
    scale,
    turn_degrees,
    /// 1 when mirrored.
    mirrored,
    /// Correlation of the brightness.
    likeness,
    /// The same without the worst 15 % of the pixels.
    likeness_trimmed,
    /// Correlation of the brightness's slopes.
    slopes,
    /// Windows with structure in either picture.
    textured,
    /// Share of them in which the structure agrees.
    textured_agreeing,
    /// Share of the stored picture's slopes inside the overlap.
    slopes_seen,
    /// Share of the stored picture's colour inside the overlap.
    chroma_seen,
    /// Mean chroma of the stored picture inside the overlap.
    chroma_stored,
    chroma_query,
    /// Median difference of brightness after the global change.
    luma_residual,
    /// The global change: brightness ...
    gain,
    offset,
    /// ... logarithm of the saturation's factor, turn of the hues, shift of the colour.
    saturation,
    hue_degrees,
    shift,
    /// Differences of chroma between blocks as they are: median and nine tenths.
    raw_chroma_50,
    raw_chroma_90,
    raw_luma_90,
    /// After the fitted global change.
    fitted_chroma_50,
    fitted_chroma_75,
    fitted_chroma_90,
    fitted_luma_75,
    fitted_luma_90,
    /// After a global change within bounds.
    bound_chroma_50,
    bound_chroma_75,
    bound_chroma_90,
    /// The same, only blocks whose structure agrees.
    sure_chroma_50,
    sure_chroma_80,
    sure_chroma_95,
    sure_luma_80,
    sure_luma_95,
    /// The same, only blocks that are not like the stored picture's rim.
    fore_chroma_50,
    fore_chroma_90,
    fore_luma_90,
    /// Hues and saturations of coloured blocks.
    hue_50,
    hue_80,
    saturation_10,
    saturation_50,
    saturation_90,
    /// The ground, which is what the stored picture's rim shows.
    ground_share,
    ground_luma,
    ground_chroma,
    /// Of the stored picture's colours: the smallest share of a colour that is found in its place, the mean share,
    /// and how far off the worst colour is.
    colour_worst_share,
    colour_mean_share,
    colour_worst_chroma,
    colour_worst_luma,
    /// The largest connected patch of differing blocks, as a share of all; and how much of all differs.
    patch,
    differing,
    /// Share of the blocks with agreeing structure that differ in colour, and how many of them lie in one patch.
    sure_differing,
    sure_patch,
    /// Blocks in the largest patch of another structure.
    unlike_patch,
}

/// The value at `share` of the way from the least to the greatest; 0 for none.
fn quantile(values: &mut [f32], share: f32) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let place = ((values.len() - 1) as f32 * share).round() as usize;
    *values.select_nth_unstable_by(place, f32::total_cmp).1
}

fn quantiles<const N: usize>(values: impl Iterator<Item = f32>, shares: [f32; N]) -> [f32; N] {
    let mut values: Vec<f32> = values.collect();
    shares.map(|share| quantile(&mut values, share))
}

/// The query as it lies over the thumbnail: a colour for each pixel of the overlap.
struct Overlap<'t> {
    width: usize,
    height: usize,
    stored: &'t [[f32; 4]],
    found: Vec<Option<[f32; 4]>>,
    count: usize,
}

/// Means over one block.
struct Block {
    column: usize,
    row: usize,
    stored: [f32; 3],
    found: [f32; 3],
    /// Standard deviation of the stored brightness in the window about it.
    texture: f32,
    /// Correlation in that window.
    agreement: f32,
}

impl Block {
    fn stored_chroma(&self) -> f32 {
        self.stored[1].hypot(self.stored[2])
    }

    /// There is structure, and it agrees.
    fn is_sure(&self) -> bool {
        self.texture >= FLAT && self.agreement >= AGREES
    }

    /// There is structure in one of the pictures, and it does not agree.
    fn is_unlike(&self) -> bool {
        self.texture >= FLAT && self.agreement < UNLIKE
    }
}

/// `stored = f(found)`: one gain and offset of the brightness, one turn, scale and shift of the chroma.
#[derive(Clone, Copy)]
struct Change {
    gain: f32,
    offset: f32,
    /// Chroma as a complex number times `re + i im`, plus the shift.
    re: f32,
    im: f32,
    shift: (f32, f32),
}

impl Change {
    fn luma_off(&self, block: &Block) -> f32 {
        self.gain * block.found[0] + self.offset - block.stored[0]
    }

    fn chroma_apart(&self, block: &Block) -> (f32, f32) {
        let [_, x, y] = block.found;
        (
            self.re * x - self.im * y + self.shift.0 - block.stored[1],
            self.im * x + self.re * y + self.shift.1 - block.stored[2],
        )
    }

    fn chroma_off(&self, block: &Block) -> f32 {
        let (x, y) = self.chroma_apart(block);
        x.hypot(y)
    }

    /// Fits the blocks, those that differ weighing little.
    fn fitted(blocks: &[Block]) -> Self {
        let mut change = Self { gain: 1.0, offset: 0.0, re: 1.0, im: 0.0, shift: (0.0, 0.0) };
        let (mut luma_spread, mut chroma_spread) = (f32::INFINITY, f32::INFINITY);
        for _ in 0..4 {
            let (mut n, mut x, mut y, mut xx, mut xy) = (1e-3f32, 0.0, 0.0, 0.0, 0.0);
            let (mut m, mut q, mut s) = (1e-3f32, (0.0f32, 0.0f32), (0.0f32, 0.0f32));
            let (mut qq, mut re, mut im) = (0.0f32, 0.0f32, 0.0f32);
            for block in blocks {
                // Where the structure is not there, something may lie over the picture.
                let trust = if block.texture < FLAT { 0.5 } else { 0.1 + 0.9 * block.agreement.max(0.0) };
                let weight = trust / (1.0 + (change.luma_off(block) / luma_spread).powi(2));
                let ([found, b, r], [stored, sb, sr]) = (block.found, block.stored);
                n += weight;
                x += weight * found;
                y += weight * stored;
                xx += weight * found * found;
                xy += weight * found * stored;
                let weight = trust / (1.0 + (change.chroma_off(block) / chroma_spread).powi(2));
                m += weight;
                q = (q.0 + weight * b, q.1 + weight * r);
                s = (s.0 + weight * sb, s.1 + weight * sr);
                qq += weight * (b * b + r * r);
                re += weight * (b * sb + r * sr);
                im += weight * (b * sr - r * sb);
            }
            // Pulled a little towards no change, so that one flat colour fixes nothing.
            let (luma_pull, chroma_pull) = (4.0 * n, 6.0 * m);
            let variance = xx - x * x / n + luma_pull;
            change.gain = ((xy - x * y / n + luma_pull) / variance).clamp(0.3, 3.0);
            change.offset = (y - change.gain * x) / n;
            let variance = qq - (q.0 * q.0 + q.1 * q.1) / m + chroma_pull;
            change.re = (re - (q.0 * s.0 + q.1 * s.1) / m + chroma_pull) / variance;
            change.im = (im - (q.0 * s.1 - q.1 * s.0) / m) / variance;
            change.shift = (
                (s.0 - change.re * q.0 + change.im * q.1) / m,
                (s.1 - change.im * q.0 - change.re * q.1) / m,
            );
            let [middle] = quantiles(blocks.iter().map(|b| change.luma_off(b).abs()), [0.5]);
            luma_spread = (2.0 * middle).max(3.0);
            let [middle] = quantiles(blocks.iter().map(|b| change.chroma_off(b)), [0.5]);
            chroma_spread = (2.0 * middle).max(2.0);
        }
        change
    }

    /// The nearest change that a global correction may make; what is hardly coloured fixes the shift.
    fn bounded(self, blocks: &[Block]) -> Self {
        let size = self.re.hypot(self.im).clamp(SATURATIONS.0, SATURATIONS.1);
        let (sin, cos) = self.im.atan2(self.re).clamp(-MAX_TURN, MAX_TURN).sin_cos();
        let mut bounded = Self { re: size * cos, im: size * sin, shift: (0.0, 0.0), ..self };
        let mut greyest: Vec<&Block> = blocks.iter().collect();
        greyest.sort_by(|a, b| a.stored_chroma().total_cmp(&b.stored_chroma()));
        greyest.truncate((blocks.len() / 4).max(6));
        let [x] = quantiles(greyest.iter().map(|b| -bounded.chroma_apart(b).0), [0.5]);
        let [y] = quantiles(greyest.iter().map(|b| -bounded.chroma_apart(b).1), [0.5]);
        bounded.shift = (x, y);
        bounded
    }
}

impl Overlap<'_> {
    /// Correlation, and both standard deviations, of the brightness of some pixels.
    fn correlation(&self, pixels: impl Iterator<Item = usize>) -> (f32, f32, f32) {
        let (mut n, mut a, mut b, mut aa, mut bb, mut ab) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
        for i in pixels {
            if let Some(found) = self.found[i] {
                let (s, f) = (self.stored[i][0], found[0]);
                n += 1.0;
                a += s;
                b += f;
                aa += s * s;
                bb += f * f;
                ab += s * f;
            }
        }
        if n < 1.0 {
            return (0.0, 0.0, 0.0);
        }
        let (sa, sb) = ((aa - a * a / n).max(0.0) / n, (bb - b * b / n).max(0.0) / n);
        ((ab / n - a * b / (n * n)) / ((sa + 4.0) * (sb + 4.0)).sqrt(), sa.sqrt(), sb.sqrt())
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let margin = (WINDOW_PX - BLOCK_PX) / 2;
        for row in 0..self.height.div_ceil(BLOCK_PX) {
            for column in 0..self.width.div_ceil(BLOCK_PX) {
                let (left, top) = (column * BLOCK_PX, row * BLOCK_PX);
                let inside = |from: usize, to: usize, end: usize| from..to.min(end);
                let (mut count, mut stored, mut found) = (0.0f32, [0.0f32; 3], [0.0f32; 3]);
                for y in inside(top, top + BLOCK_PX, self.height) {
                    for x in inside(left, left + BLOCK_PX, self.width) {
                        let i = y * self.width + x;
                        if let Some(colour) = self.found[i] {
                            count += 1.0;
                            for lane in 0..3 {
                                stored[lane] += self.stored[i][lane];
                                found[lane] += colour[lane];
                            }
                        }
                    }
                }
                if count < (BLOCK_PX * BLOCK_PX / 2) as f32 {
                    continue;
                }
                let rows = inside(top.saturating_sub(margin), top + BLOCK_PX + margin, self.height);
                let columns = inside(left.saturating_sub(margin), left + BLOCK_PX + margin, self.width);
                let window = rows.flat_map(|y| columns.clone().map(move |x| y * self.width + x));
                let (agreement, texture, found_texture) = self.correlation(window);
                blocks.push(Block {
                    column,
                    row,
                    stored: stored.map(|v| v / count),
                    found: found.map(|v| v / count),
                    texture: texture.max(found_texture),
                    agreement,
                });
            }
        }
        blocks
    }

    fn slopes(&self, evidence: &mut Evidence) {
        let (mut ss, mut ff, mut sf) = (1.0f32, 1.0f32, 0.0f32);
        let (mut all, mut seen) = (50.0f32, 0.0f32);
        let w = self.width;
        for y in 1..self.height.saturating_sub(1) {
            for x in 1..w.saturating_sub(1) {
                let i = y * w + x;
                let sx = self.stored[i + 1][0] - self.stored[i - 1][0];
                let sy = self.stored[i + w][0] - self.stored[i - w][0];
                let steep = (sx.abs() + sy.abs() - 6.0).clamp(0.0, 60.0);
                all += steep;
                if let (Some(a), Some(b), Some(c), Some(d)) =
                    (self.found[i - 1], self.found[i + 1], self.found[i - w], self.found[i + w])
                {
                    let (fx, fy) = (b[0] - a[0], d[0] - c[0]);
                    seen += steep;
                    ss += sx * sx + sy * sy;
                    ff += fx * fx + fy * fy;
                    sf += sx * fx + sy * fy;
                }
            }
        }
        evidence.slopes = sf / (ss * ff).sqrt();
        evidence.slopes_seen = seen / all;
    }
}

impl Evidence {
    /// Measures a guess. `cosine` is that of the two embeddings.
    pub(super) fn of(probe: &Probe, target: &Target, guess: &Guess, cosine: f32) -> Self {
        let map = &guess.map;
        let thumbnail = &target.thumbnail;
        let (width, height) = (thumbnail.width, thumbnail.height);
        let size = probe.size_for(map.step());
        let to_pixels = Affine::scaling(size.long_side()).after(map);
        let mut found = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = to_pixels.at(x as f32 + 0.5, y as f32 + 0.5);
                found.push(size.sample(u, v));
            }
        }
        let count = found.iter().flatten().count();
        let (across, along) = probe.extent();
        let mirror = if map.determinant() < 0.0 { -1.0 } else { 1.0 };
        let mut evidence = Self {
            cosine,
            inliers: guess.inliers as f32,
            inlier_share: guess.inliers as f32 / corners_inside(probe, map, width, height).max(5) as f32,
            overlap_stored: count as f32 / (width * height) as f32,
            overlap_query: count as f32 * map.determinant().abs() / (across * along),
            scale: map.step() * thumbnail.long_side(),
            turn_degrees: map.0[3].atan2(map.0[0] * mirror).to_degrees().abs(),
            mirrored: if mirror < 0.0 { 1.0 } else { 0.0 },
            likeness: guess.likeness,
            ..Self::default()
        };
        let overlap = Overlap { width, height, stored: &thumbnail.pixels, found, count };
        let blocks = overlap.blocks();
        if blocks.len() < 4 {
            return evidence;
        }
        let change = Change::fitted(&blocks);
        evidence.take_structure(&overlap, &blocks, &change);
        evidence.take_colours(target, &blocks, &change);
        evidence
    }

    fn take_structure(&mut self, overlap: &Overlap<'_>, blocks: &[Block], change: &Change) {
        overlap.slopes(self);
        let off = |i: usize| {
            overlap.found[i]
                .map(|found| (change.gain * found[0] + change.offset - overlap.stored[i][0]).abs())
        };
        let all = 0..overlap.found.len();
        let [middle, most] = quantiles(all.clone().filter_map(off), [0.5, 0.85]);
        self.luma_residual = middle;
        self.likeness_trimmed = overlap.correlation(all.filter(|i| off(*i).is_some_and(|v| v <= most))).0;
        let textured: Vec<&Block> = blocks.iter().filter(|b| b.texture >= FLAT).collect();
        self.textured = textured.len() as f32;
        let agreeing = textured.iter().filter(|b| b.agreement >= AGREES).count();
        self.textured_agreeing = agreeing as f32 / (textured.len() as f32 + 1.0);
        let colour = |pixel: &[f32; 4]| (pixel[1].hypot(pixel[2]) - COLOURED).max(0.0);
        let whole: f32 = overlap.stored.iter().map(colour).sum();
        let pairs = overlap.stored.iter().zip(&overlap.found);
        let seen: f32 = pairs.filter(|(_, found)| found.is_some()).map(|(stored, _)| colour(stored)).sum();
        self.chroma_seen = seen / (whole + 30.0);
        self.chroma_stored = seen / overlap.count as f32;
        self.chroma_query = overlap.found.iter().flatten().map(colour).sum::<f32>() / overlap.count as f32;
    }

    fn take_colours(&mut self, target: &Target, blocks: &[Block], change: &Change) {
        self.gain = change.gain;
        self.offset = change.offset;
        self.saturation = change.re.hypot(change.im).max(0.05).ln();
        self.hue_degrees = change.im.atan2(change.re).to_degrees().abs();
        let raw = Change { gain: 1.0, offset: 0.0, re: 1.0, im: 0.0, shift: (0.0, 0.0) };
        let bound = change.bounded(blocks);
        self.shift = bound.shift.0.hypot(bound.shift.1);
        [self.raw_chroma_50, self.raw_chroma_90] =
            quantiles(blocks.iter().map(|b| raw.chroma_off(b)), [0.5, 0.9]);
        [self.raw_luma_90] = quantiles(blocks.iter().map(|b| raw.luma_off(b).abs()), [0.9]);
        [self.fitted_chroma_50, self.fitted_chroma_75, self.fitted_chroma_90] =
            quantiles(blocks.iter().map(|b| change.chroma_off(b)), [0.5, 0.75, 0.9]);
        [self.fitted_luma_75, self.fitted_luma_90] =
            quantiles(blocks.iter().map(|b| change.luma_off(b).abs()), [0.75, 0.9]);
        [self.bound_chroma_50, self.bound_chroma_75, self.bound_chroma_90] =
            quantiles(blocks.iter().map(|b| bound.chroma_off(b)), [0.5, 0.75, 0.9]);
        let sure = || blocks.iter().filter(|b| b.is_sure());
        [self.sure_chroma_50, self.sure_chroma_80, self.sure_chroma_95] =
            quantiles(sure().map(|b| bound.chroma_off(b)), [0.5, 0.8, 0.95]);
        [self.sure_luma_80, self.sure_luma_95] =
            quantiles(sure().map(|b| bound.luma_off(b).abs()), [0.8, 0.95]);
        self.take_hues(blocks, &bound);
        self.take_ground(target, blocks, &bound);
        self.take_palette(blocks, &bound);
        self.take_patches(blocks, &bound);
    }

    /// Hues and saturations, the cast taken off.
    fn take_hues(&mut self, blocks: &[Block], bound: &Change) {
        let (mut hues, mut saturations) = (Vec::new(), Vec::new());
        for block in blocks {
            let (sb, sr) = (block.stored[1], block.stored[2]);
            let (fb, fr) = (block.found[1] + bound.shift.0, block.found[2] + bound.shift.1);
            let (stored, found) = (sb.hypot(sr), fb.hypot(fr));
            if stored.max(found) > COLOURED {
                saturations.push(((found + 3.0) / (stored + 3.0)).ln());
            }
            if stored.min(found) > 6.0 {
                hues.push((sb * fr - sr * fb).atan2(sb * fb + sr * fr).to_degrees());
            }
        }
        self.hue_50 = quantile(&mut hues, 0.5).abs();
        [self.hue_80] = quantiles(hues.into_iter().map(f32::abs), [0.8]);
        [self.saturation_10, self.saturation_50, self.saturation_90] =
            quantiles(saturations.into_iter(), [0.1, 0.5, 0.9]);
    }

    fn take_ground(&mut self, target: &Target, blocks: &[Block], bound: &Change) {
        let rim = rim_colour(&target.thumbnail);
        let is_ground = |b: &Block| {
            (b.stored[0] - rim[0]).abs() < 14.0 && (b.stored[1] - rim[1]).hypot(b.stored[2] - rim[2]) < 8.0
        };
        let ground = || blocks.iter().filter(|b| is_ground(b));
        self.ground_share = ground().count() as f32 / blocks.len() as f32;
        [self.ground_luma] = quantiles(ground().map(|b| b.found[0] - b.stored[0]), [0.5]);
        [self.ground_chroma] =
            quantiles(ground().map(|b| (b.found[1] - b.stored[1]).hypot(b.found[2] - b.stored[2])), [0.5]);
        let fore = || blocks.iter().filter(|b| !is_ground(b));
        [self.fore_chroma_50, self.fore_chroma_90] =
            quantiles(fore().map(|b| bound.chroma_off(b)), [0.5, 0.9]);
        [self.fore_luma_90] = quantiles(fore().map(|b| bound.luma_off(b).abs()), [0.9]);
    }

    /// Is every colour of the stored picture found in its place somewhere?
    fn take_palette(&mut self, blocks: &[Block], bound: &Change) {
        const HUES: usize = 8;
        let mut palette: [Vec<&Block>; HUES + 3] = Default::default();
        for block in blocks {
            let colour = if block.stored_chroma() < COLOURED {
                HUES + ((block.stored[0] / 86.0) as usize).min(2)
            } else {
                let turn = block.stored[2].atan2(block.stored[1]) / std::f32::consts::TAU + 0.5;
                ((turn * HUES as f32) as usize).min(HUES - 1)
            };
            palette[colour].push(block);
        }
        (self.colour_worst_share, self.colour_mean_share) = (1.0, 0.0);
        for colour in palette.iter().filter(|colour| colour.len() * 30 >= blocks.len()) {
            let same =
                |b: &&&Block| bound.chroma_off(b) < DIFFERS_CHROMA && bound.luma_off(b).abs() < DIFFERS_LUMA;
            let share = colour.iter().filter(same).count() as f32 / colour.len() as f32;
            self.colour_worst_share = self.colour_worst_share.min(share);
            self.colour_mean_share += share * colour.len() as f32 / blocks.len() as f32;
            let [chroma] = quantiles(colour.iter().map(|b| bound.chroma_off(b)), [0.4]);
            self.colour_worst_chroma = self.colour_worst_chroma.max(chroma);
            let [luma] = quantiles(colour.iter().map(|b| bound.luma_off(b).abs()), [0.4]);
            self.colour_worst_luma = self.colour_worst_luma.max(luma);
        }
    }

    fn take_patches(&mut self, blocks: &[Block], bound: &Change) {
        let all = blocks.len() as f32;
        let differs = |b: &Block| bound.chroma_off(b) > DIFFERS_CHROMA;
        self.differing = blocks.iter().filter(|b| differs(b)).count() as f32 / all;
        self.patch = largest_patch(blocks, differs, |_| true) as f32 / all;
        let sure = blocks.iter().filter(|b| b.is_sure());
        let sure_differing = blocks.iter().filter(|b| b.is_sure() && differs(b)).count();
        self.sure_differing = sure_differing as f32 / (sure.count() + 3) as f32;
        // Flat in both pictures is the same structure, too, if it borders on a sure place.
        self.sure_patch = largest_patch(blocks, |b| differs(b) && !b.is_unlike(), Block::is_sure) as f32;
        self.unlike_patch = largest_patch(blocks, Block::is_unlike, |_| true) as f32;
    }
}

/// The size, in blocks that count, of the connected patch of `chosen` blocks that has most of them.
fn largest_patch(
    blocks: &[Block],
    chosen: impl Fn(&Block) -> bool,
    counts: impl Fn(&Block) -> bool,
) -> usize {
    let columns = blocks.iter().map(|b| b.column).max().unwrap_or(0) + 1;
    let rows = blocks.iter().map(|b| b.row).max().unwrap_or(0) + 1;
    let mut open: Vec<Option<bool>> = vec![None; columns * rows];
    for block in blocks.iter().filter(|b| chosen(b)) {
        open[block.row * columns + block.column] = Some(counts(block));
    }
    let (mut largest, mut next) = (0, Vec::new());
    for start in 0..open.len() {
        let mut size = 0;
        next.push(start);
        while let Some(at) = next.pop() {
            let Some(counted) = open[at].take() else { continue };
            size += usize::from(counted);
            let (x, y) = (at % columns, at / columns);
            next.extend((x > 0).then(|| at - 1));
            next.extend((x + 1 < columns).then_some(at + 1));
            next.extend((y > 0).then(|| at - columns));
            next.extend((y + 1 < rows).then_some(at + columns));
        }
        largest = largest.max(size);
    }
    largest
}

/// The query's corners that lie inside the stored picture.
fn corners_inside(probe: &Probe, map: &Affine, width: usize, height: usize) -> usize {
    let Some(back) = map.inverse() else { return 0 };
    let inside = |x: f32, y: f32| (0.0..width as f32).contains(&x) && (0.0..height as f32).contains(&y);
    probe
        .keypoints
        .spots
        .iter()
        .map(|spot| spot.at())
        .filter(|at| {
            let (x, y) = back.at(at.0, at.1);
            inside(x, y)
        })
        .count()
}
