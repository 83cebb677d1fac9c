//! Corners of a picture, each with 256 bits that tell how its surroundings look.
//!
//! Corners are maxima of the smaller eigenvalue's estimate (Harris), spread over the picture so that any crop keeps
//! some. Their direction is that of the intensity's centroid, and the bits compare the brightness at pairs of points
//! turned that way (ORB: Rublee et al., 2011). The pairs come as mirror images of each other, so that the bits of a
//! mirrored corner are a permutation of the bits: the mirrored picture needs no description of its own.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use super::hamming::{Bits, nearest};
use super::pyramid::LONG_SIDES_PX;
use super::raster::Plane;

/// How many corners are kept of each of the first sizes: 72 in all.
const QUOTAS: [usize; 5] = [25, 18, 13, 9, 7];
pub(super) const LEVELS: usize = QUOTAS.len();
/// The most corners of one picture.
pub(super) const MAX_KEYPOINTS: usize = 72;

/// Directions are told apart in steps of 1/32 of a turn.
pub(super) const ANGLES: u8 = 32;

/// Pairs are drawn within this distance of a corner, in pixels of its level.
const RADIUS_PX: f32 = 11.0;
/// The centroid is taken within this distance, in pixels of the corner's level.
const CENTROID_RADIUS_PX: isize = 9;
/// Half widths of the rows of that circle.
const HALF_WIDTHS_PX: [usize; 19] = [0, 4, 5, 6, 7, 8, 8, 8, 8, 9, 8, 8, 8, 8, 7, 6, 5, 4, 0];
/// What the description of a corner reaches: [`RADIUS_PX`] and rounding.
const MARGIN_PX: usize = 12;
/// Corners weaker than this (in squared grey values per pixel) are noise.
const MIN_RESPONSE: f32 = 2.0;
/// Nearer to the rim than this, in pixels of the level, there are no corners.
const RIM_PX: usize = 5;
/// Corners are spread over this many cells in each direction.
const CELLS: usize = 5;

/// Where a corner is, at what size it was found and which way it points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// In 1/256 of the picture's longer side.
    pub(super) x: u8,
    pub(super) y: u8,
    /// Which of [`LONG_SIDES_PX`], less than [`LEVELS`].
    pub(super) level: u8,
    /// In 1/32 of a turn, less than [`ANGLES`].
    pub(super) angle: u8,
}

impl Spot {
    /// Position in units of the picture's longer side.
    pub(super) fn at(self) -> (f32, f32) {
        ((f32::from(self.x) + 0.5) / 256.0, (f32::from(self.y) + 0.5) / 256.0)
    }

    /// In radians, 0..2 pi.
    pub(super) fn direction(self) -> f32 {
        f32::from(self.angle) / f32::from(ANGLES) * TAU
    }

    /// The size of what the corner shows, in units of the picture's longer side.
    pub(super) fn size(self) -> f32 {
        1.0 / LONG_SIDES_PX[usize::from(self.level)] as f32
    }
}

/// The corners of one picture: as many spots as bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keypoints {
    pub(super) spots: Vec<Spot>,
    pub(super) bits: Vec<Bits>,
}

/// For each direction, 256 pairs of points (x, y, x, y), in pixels; the odd ones mirror the even ones.
static PATTERN: LazyLock<Vec<[[i8; 4]; 256]>> = LazyLock::new(|| {
    let pairs = pairs();
    let turned = |angle: u8| {
        let (sin, cos) = (f32::from(angle) / f32::from(ANGLES) * TAU).sin_cos();
        let mut out = [[0i8; 4]; 256];
        for (to, [a, b, c, d]) in out.iter_mut().zip(&pairs) {
            *to = [cos * a - sin * b, sin * a + cos * b, cos * c - sin * d, sin * c + cos * d]
                .map(|v| v.round() as i8);
        }
        out
    };
    (0..ANGLES).map(turned).collect()
});

/// Drawn from a normal distribution about the corner by a generator that is part of the sketch's format.
fn pairs() -> Vec<[f32; 4]> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let mut point = || {
        let (size, turn) = (uniform().max(1e-7), uniform());
        let far = (-2.0 * size.ln()).sqrt() * RADIUS_PX / 2.2;
        let (sin, cos) = (TAU * turn).sin_cos();
        (far * cos, far * sin)
    };
    let mut pairs = Vec::with_capacity(256);
    while pairs.len() < 256 {
        let ((a, b), (c, d)) = (point(), point());
        let apart = (a - c).hypot(b - d) >= RADIUS_PX / 4.0;
        if apart && a.hypot(b) <= RADIUS_PX && c.hypot(d) <= RADIUS_PX {
            pairs.push([a, b, c, d]);
            pairs.push([a, -b, c, -d]);
        }
    }
    pairs
}

impl Keypoints {
    /// Looks for corners in the first [`LEVELS`] planes.
    pub(super) fn of(lumas: &[Plane]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just said that it has the instructions that this copy of the loops needs beyond the
            // baseline.
            #[expect(unsafe_code)]
            return unsafe { Self::by_avx2(lumas) };
        }
        Self::anywhere(lumas)
    }

    /// The same numbers to the bit, more of them at once.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn by_avx2(lumas: &[Plane]) -> Self {
        Self::anywhere(lumas)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "each caller compiles it for its own instructions")]
    fn anywhere(lumas: &[Plane]) -> Self {
        let mut found = Self::default();
        for (level, plane) in lumas.iter().take(LEVELS).enumerate() {
            let smooth = plane.blurred();
            let corners = corners(&smooth, QUOTAS[level]);
            let padded = smooth.padded(MARGIN_PX);
            let unit = 256.0 / plane.width.max(plane.height) as f32;
            let place = |v: usize| ((v as f32 + 0.5) * unit) as u8;
            for (x, y) in corners {
                let (angle, bits) = described(&padded, x + MARGIN_PX, y + MARGIN_PX);
                found.spots.push(Spot { x: place(x), y: place(y), level: level as u8, angle });
                found.bits.push(bits);
            }
        }
        found
    }
}

/// Direction, in 1/32 of a turn, and bits of the corner at (`x`, `y`), at least [`MARGIN_PX`] from the rim.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a part of the loops above")]
fn described(plane: &Plane, x: usize, y: usize) -> (u8, Bits) {
    let (mut across, mut along) = (0.0f32, 0.0f32);
    for (dy, half) in (-CENTROID_RADIUS_PX..=CENTROID_RADIUS_PX).zip(HALF_WIDTHS_PX) {
        let row = y.wrapping_add_signed(dy);
        let row = &plane.values[row * plane.width + x - half..=row * plane.width + x + half];
        let (mut sum, mut first) = (0.0f32, 0.0f32);
        for (i, value) in row.iter().enumerate() {
            sum += value;
            first += value * i as f32;
        }
        across += first - sum * half as f32;
        along += sum * dy as f32;
    }
    let turns = along.atan2(across) / TAU * f32::from(ANGLES);
    let angle = (turns.round() as i32).rem_euclid(i32::from(ANGLES)) as u8;
    let middle = y * plane.width + x;
    let stride = plane.width as isize;
    let at =
        |dx: i8, dy: i8| plane.values[middle.wrapping_add_signed(isize::from(dy) * stride + isize::from(dx))];
    let mut bits = [0u64; 4];
    for (word, pairs) in bits.iter_mut().zip(PATTERN[usize::from(angle)].chunks_exact(64)) {
        for (bit, [a, b, c, d]) in pairs.iter().enumerate() {
            *word |= u64::from(at(*a, *b) < at(*c, *d)) << bit;
        }
    }
    (angle, bits)
}

/// The strongest corners of `plane`, at most `quota`, no cell much fuller than its share.
#[inline(always)]
#[expect(clippy::inline_always, clippy::needless_bitwise_bool, reason = "a part of the loops above")]
fn corners(plane: &Plane, quota: usize) -> Vec<(usize, usize)> {
    let (width, height) = (plane.width, plane.height);
    if width < 4 * RIM_PX || height < 4 * RIM_PX {
        return Vec::new();
    }
    let response = harris(plane);
    let mut found = Vec::new();
    let mut is_peak = vec![false; width - 2 * RIM_PX];
    for y in RIM_PX..height - RIM_PX {
        let around = |y: usize, from: usize| &response[y * width + from..][..width - 2 * RIM_PX];
        let (left, right) = (RIM_PX - 1, RIM_PX + 1);
        let [own, before, after] = [RIM_PX, left, right].map(|from| around(y, from));
        let above = [left, RIM_PX, right].map(|from| around(y - 1, from));
        let below = [left, RIM_PX, right].map(|from| around(y + 1, from));
        // All comparisons of all places, without a jump: so that many are made at once.
        for (x, is_peak) in is_peak.iter_mut().enumerate() {
            let own = own[x];
            let beats_before =
                (own > above[0][x]) & (own > above[1][x]) & (own > above[2][x]) & (own > before[x]);
            let reaches_after =
                (own >= below[0][x]) & (own >= below[1][x]) & (own >= below[2][x]) & (own >= after[x]);
            *is_peak = (own >= MIN_RESPONSE) & beats_before & reaches_after;
        }
        let peaks = is_peak.iter().enumerate().filter(|(_, is_peak)| **is_peak);
        found.extend(peaks.map(|(x, _)| (own[x], x + RIM_PX, y)));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    // In rounds, each of which lets one more into every cell.
    let mut rounds: Vec<(usize, usize)> = Vec::with_capacity(found.len());
    let mut fill = [0usize; CELLS * CELLS];
    for (place, (_, x, y)) in found.iter().enumerate() {
        let cell = (y * CELLS / height) * CELLS + x * CELLS / width;
        fill[cell] += 1;
        rounds.push((fill[cell], place));
    }
    rounds.sort_unstable();
    rounds.into_iter().take(quota).map(|(_, place)| (found[place].1, found[place].2)).collect()
}

/// Determinant over trace of the smoothed structure tensor.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a part of the loops above")]
fn harris(plane: &Plane) -> Vec<f32> {
    let (width, height) = (plane.width, plane.height);
    let blank = || Plane { width, height, values: vec![0.0; width * height] };
    let (mut xx, mut yy, mut xy) = (blank(), blank(), blank());
    let row = |y: usize| &plane.values[y * width..(y + 1) * width];
    let inner = width - 2;
    for y in 1..height - 1 {
        // Slices of one length, so that the loop needs no checks and is vectorised.
        let (left, right) = (&row(y)[..inner], &row(y)[2..]);
        let (above, below) = (&row(y - 1)[1..=inner], &row(y + 1)[1..=inner]);
        let range = y * width + 1..y * width + 1 + inner;
        let xx = &mut xx.values[range.clone()];
        let yy = &mut yy.values[range.clone()];
        let xy = &mut xy.values[range];
        for x in 0..inner {
            let (dx, dy) = (right[x] - left[x], below[x] - above[x]);
            xx[x] = dx * dx;
            yy[x] = dy * dy;
            xy[x] = dx * dy;
        }
    }
    let (xx, yy, xy) = (xx.blurred(), yy.blurred(), xy.blurred());
    let tensors = xx.values.iter().zip(&yy.values).zip(&xy.values);
    tensors.map(|((xx, yy), xy)| (xx * yy - xy * xy) / (xx + yy + 1.0)).collect()
}

/// The bits of the mirrored corner: neighbours change places.
pub(super) fn mirrored(bits: Bits) -> Bits {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    bits.map(|word| ((word & EVEN) << 1) | ((word >> 1) & EVEN))
}

/// The direction of the mirrored corner, in radians.
pub(super) fn mirrored_direction(direction: f32) -> f32 {
    PI - direction
}

/// A corner of the query and the stored corner that looks most like it, each the other's best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) query: usize,
    pub(super) stored: usize,
    /// Bits that differ, 0..=256.
    distance: u32,
}

/// More different bits than this are chance. (Independent bits would differ in 128 +- 8 of 256 places.)
const MAX_DISTANCE: u32 = 80;

/// Pairs of like corners, the most alike first.
pub(super) fn pairs_of(query: &[Bits], stored: &[Bits]) -> Vec<Pair> {
    let (of_query, of_stored) = nearest(query, stored);
    let pairs = of_query.into_iter().enumerate().map(|(query, nearest)| Pair {
        query,
        stored: nearest.place,
        distance: nearest.distance,
    });
    let mut pairs: Vec<Pair> = pairs
        .filter(|pair| pair.distance <= MAX_DISTANCE && of_stored[pair.stored].place == pair.query)
        .collect();
    pairs.sort_by_key(|pair| pair.distance);
    pairs
}
