//! Where does the stored picture lie in the one in question?
//!
//! Guesses come from pairs of like corners (random-sample consensus without the randomness: every pair of the best
//! pairs is tried), from laying the whole or the content of one picture on the other, and, where neither leads
//! anywhere, from trying all windows. The best guesses are refined on the pixels.

use super::affine::Affine;
use super::content::{rim_colour, shows};
use super::hamming::Bits;
use super::keypoints::{self, Pair, mirrored_direction};
use super::raster::{Colours, Plane};
use super::refine::{correlation, stepped};
use super::sketch::{Probe, Sketch, THUMBNAIL_PX};

/// How many of the most alike pairs of corners are tried two by two.
const TRIED_PAIRS: usize = 24;
/// Two pairs of corners may turn by 0.5 radians less or more than their corners do, inliers by 0.6: cosines of those.
const PAIR_TURN_COS: f32 = 0.8776;
const INLIER_TURN_COS: f32 = 0.8253;
/// Guesses kept of one set of pairs.
const KEPT_GUESSES: usize = 2;
/// Guesses of one candidate that are refined.
const REFINED_GUESSES: usize = 2;
/// Where so many pairs agree, two of them are not tried again.
const CERTAIN_INLIERS: usize = 12;
/// Guesses whose promises are so near to each other are equally good.
const NEAR_TIE: f32 = 0.04;

/// A stored picture, prepared for comparison. All maps lead from thumbnail pixels to units of the query's longer side.
pub(super) struct Target {
    pub(super) thumbnail: Colours,
    luma: Plane,
    half: Plane,
    quarter: Plane,
}

/// One way in which the stored picture may lie in the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guess {
    pub(super) map: Affine,
    /// Pairs of corners that agree with it.
    pub(super) inliers: usize,
    /// Correlation of the brightness, -1..=1.
    pub(super) likeness: f32,
}

impl Guess {
    /// Corners count beside brightness, up to 20 of them.
    pub(super) fn promise(&self) -> f32 {
        self.likeness + 0.03 * self.inliers.min(20) as f32
    }

    /// Whether it lies the right way up, and whether it is not mirrored.
    fn facing(&self) -> (bool, bool) {
        (self.map.0[4] >= 0.0, self.map.determinant() >= 0.0)
    }

    /// Whether both lie the same way up and neither or both are mirrored.
    fn faces_like(&self, other: &Self) -> bool {
        self.facing() == other.facing()
    }
}

/// Left, top, right, bottom, in units of the longer side.
type Box4 = [f32; 4];

impl Target {
    pub(super) fn of(sketch: &Sketch) -> Self {
        let thumbnail = sketch.thumbnail();
        let luma = sketch.luma();
        let half = luma.halved();
        let quarter = half.halved();
        Self { thumbnail, luma, half, quarter }
    }

    fn long_side(&self) -> f32 {
        self.thumbnail.long_side()
    }

    fn whole(&self) -> Box4 {
        let long = self.long_side();
        [0.0, 0.0, self.thumbnail.width as f32 / long, self.thumbnail.height as f32 / long]
    }

    /// Correlation of the brightness at a quarter of the thumbnail's size.
    pub(super) fn rated(&self, probe: &Probe, map: Affine, inliers: usize) -> Guess {
        Guess { map, inliers, likeness: correlation(probe, &self.quarter, 4.0, &map) }
    }
}

/// Mean difference of the colours, in 8-bit steps, where the guess lays the stored picture: roughly, by every fourth pixel
/// of the thumbnail each way.
pub(super) fn colours_apart(probe: &Probe, target: &Target, guess: &Guess) -> f32 {
    const EVERY: usize = 4;
    let thumbnail = &target.thumbnail;
    let size = probe.size_for(guess.map.step() * EVERY as f32);
    let to_pixels = Affine::scaling(size.long_side()).after(&guess.map);
    let (mut count, mut sum) = (0.0f32, 0.0f32);
    for y in (EVERY / 2..thumbnail.height).step_by(EVERY) {
        for x in (EVERY / 2..thumbnail.width).step_by(EVERY) {
            let (u, v) = to_pixels.at(x as f32 + 0.5, y as f32 + 0.5);
            if let Some(found) = size.sample(u, v) {
                let stored = thumbnail.pixels[y * thumbnail.width + x];
                count += 1.0;
                sum +=
                    (stored[0] - found[0]).abs() / 2.0 + (stored[1] - found[1]).hypot(stored[2] - found[2]);
            }
        }
    }
    sum / count.max(1.0)
}

/// The box of what differs from the rim's usual colour; the whole picture when nothing does.
pub(super) fn content(picture: &Colours) -> Box4 {
    let (width, height) = (picture.width, picture.height);
    let long = picture.long_side();
    let rim = rim_colour(picture);
    let (mut left, mut top, mut right, mut bottom) = (width, height, 0, 0);
    for (y, row) in picture.pixels.chunks_exact(width).enumerate() {
        for (x, pixel) in row.iter().enumerate() {
            if shows(*pixel, rim) {
                (left, top) = (left.min(x), top.min(y));
                (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
            }
        }
    }
    if left >= right {
        (left, top, right, bottom) = (0, 0, width, height);
    }
    [left as f32 / long, top as f32 / long, right as f32 / long, bottom as f32 / long]
}

/// A pair of corners as a small similarity of its own.
#[derive(Clone, Copy)]
struct Link {
    from: (f32, f32),
    to: (f32, f32),
    /// Cosine and sine of its turn.
    turn: (f32, f32),
    size: f32,
}

impl Link {
    /// Whether a similarity of this much along and across (`size * cos`, `size * sin`) turns as this one does: by no
    /// more than the angle with the cosine `least` to either side.
    fn turns_like(&self, along: f32, across: f32, size: f32, least: f32) -> bool {
        along * self.turn.0 + across * self.turn.1 > least * size
    }

    /// Within a factor of 1.8 either way.
    fn is_sized_like(&self, size: f32) -> bool {
        size < 1.8 * self.size && self.size < 1.8 * size
    }
}

/// The query's bits as they are and mirrored.
pub(super) struct BothBits<'p>(&'p [Bits], Vec<Bits>);

impl<'p> BothBits<'p> {
    pub(super) fn of(probe: &'p Probe) -> Self {
        let bits = &probe.keypoints.bits;
        Self(bits, bits.iter().map(|bits| keypoints::mirrored(*bits)).collect())
    }
}

/// Maps that at least `min_inliers` pairs of corners agree on, with how many do; plain and mirrored.
pub(super) fn maps_by_corners(
    probe: &Probe,
    bits: &BothBits<'_>,
    sketch: &Sketch,
    min_inliers: usize,
) -> Vec<(Affine, usize)> {
    let (width, _) = probe.extent();
    let unit = Affine::scaling(1.0 / THUMBNAIL_PX as f32);
    let mut maps = Vec::new();
    for (mirrored, bits) in [(false, bits.0), (true, &bits.1)] {
        let pairs = keypoints::pairs_of(bits, &sketch.keypoints.bits);
        let links: Vec<Link> = pairs.iter().map(|pair| link(probe, sketch, *pair, mirrored, width)).collect();
        for (map, inliers) in consensus(&links, min_inliers) {
            let map = if mirrored { Affine::mirror(width).after(&map) } else { map };
            maps.push((map.after(&unit), inliers));
        }
    }
    maps
}

fn link(probe: &Probe, sketch: &Sketch, pair: Pair, mirrored: bool, width: f32) -> Link {
    let (to, from) = (probe.keypoints.spots[pair.query], sketch.keypoints.spots[pair.stored]);
    let (mut at, mut direction) = (to.at(), to.direction());
    if mirrored {
        at.0 = width - at.0;
        direction = mirrored_direction(direction);
    }
    let (sin, cos) = (direction - from.direction()).sin_cos();
    Link { from: from.at(), to: at, turn: (cos, sin), size: to.size() / from.size() }
}

/// Links that the similarity `map` explains, with their places.
fn explained(links: &[Link], map: Affine, tolerance: f32) -> impl Iterator<Item = (usize, &Link)> {
    let (along, across, size) = (map.0[0], map.0[3], map.step());
    links.iter().enumerate().filter(move |(_, link)| {
        let (x, y) = map.at(link.from.0, link.from.1);
        (x - link.to.0).abs() < tolerance
            && (y - link.to.1).abs() < tolerance
            && link.turns_like(along, across, size, INLIER_TURN_COS)
    })
}

/// The similarities that most links agree on, with how many do.
fn consensus(links: &[Link], min_inliers: usize) -> Vec<(Affine, usize)> {
    let mut found: Vec<(Affine, usize)> = Vec::new();
    // What maps that many links agree with explain, a bit for each link: two of them would only give that map again.
    let mut known: Vec<u128> = Vec::new();
    let tried = &links[..links.len().min(TRIED_PAIRS)];
    for (i, one) in tried.iter().enumerate() {
        for (j, two) in tried.iter().enumerate().skip(i + 1) {
            let both = 1 << i | 1 << j;
            if known.iter().any(|explained| explained & both == both) {
                continue;
            }
            let (sx, sy) = (two.from.0 - one.from.0, two.from.1 - one.from.1);
            let (qx, qy) = (two.to.0 - one.to.0, two.to.1 - one.to.1);
            let apart = sx * sx + sy * sy;
            if apart < 0.003 || qx * qx + qy * qy < 0.003 {
                continue;
            }
            let (a, b) = ((sx * qx + sy * qy) / apart, (sx * qy - sy * qx) / apart);
            let size = (a * a + b * b).sqrt();
            let agrees = |link: &Link| link.is_sized_like(size) && link.turns_like(a, b, size, PAIR_TURN_COS);
            if !(0.25..4.0).contains(&size) || !agrees(one) || !agrees(two) {
                continue;
            }
            let map = Affine::similarity(a, b, one.from, one.to);
            let explained =
                explained(links, map, 0.02 * size.max(1.0)).fold(0u128, |bits, (k, _)| bits | 1 << k);
            let inliers = explained.count_ones() as usize;
            if inliers >= min_inliers {
                found.push((map, inliers));
            }
            if inliers >= CERTAIN_INLIERS {
                known.push(explained);
            }
        }
    }
    found.sort_by_key(|(_, inliers)| std::cmp::Reverse(*inliers));
    let mut kept: Vec<(Affine, usize)> = Vec::new();
    for (map, inliers) in found {
        if kept.len() == KEPT_GUESSES {
            break;
        }
        let far = |other: &Affine| {
            [0.2, 0.8].iter().any(|at| {
                let (p, q) = (map.at(*at, *at), other.at(*at, *at));
                (p.0 - q.0).hypot(p.1 - q.1) > 0.05
            })
        };
        if kept.iter().all(|(other, _)| far(other)) {
            kept.push(fitted(links, map).map_or((map, inliers), |(map, n)| (map, n.max(inliers))));
        }
    }
    kept
}

/// Least squares over the links that `map` explains.
fn fitted(links: &[Link], map: Affine) -> Option<(Affine, usize)> {
    let inliers: Vec<&Link> =
        explained(links, map, 0.025 * map.step().max(1.0)).map(|(_, link)| link).collect();
    let mean = |of: fn(&Link) -> (f32, f32)| {
        let sum = inliers.iter().map(|link| of(link)).fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        (sum.0 / inliers.len() as f32, sum.1 / inliers.len() as f32)
    };
    let (from, to) = (mean(|link| link.from), mean(|link| link.to));
    let (mut along, mut across, mut apart) = (0.0, 0.0, 0.0);
    for link in &inliers {
        let (sx, sy) = (link.from.0 - from.0, link.from.1 - from.1);
        let (qx, qy) = (link.to.0 - to.0, link.to.1 - to.1);
        along += sx * qx + sy * qy;
        across += sx * qy - sy * qx;
        apart += sx * sx + sy * sy;
    }
    (apart > 1e-4).then(|| (Affine::similarity(along / apart, across / apart, from, to), inliers.len()))
}

/// Guesses without corners: whole on whole, content on content, and the whole turned on a canvas grown for it.
pub(super) fn direct_guesses(probe: &Probe, content: Box4, target: &Target) -> Vec<Guess> {
    let (width, height) = probe.extent();
    let (all, whole) = ([0.0, 0.0, width, height], target.whole());
    let own_content = self::content(&target.thumbnail);
    let mut maps = Vec::new();
    for sign in [1.0, -1.0] {
        for (query, stored) in [(all, whole), (content, own_content), (content, whole)] {
            maps.extend(box_on_box(query, stored, sign));
        }
        for degrees in [-21.0f32, -12.0, 12.0, 21.0] {
            maps.extend(turned(width, height, whole, degrees, sign));
        }
    }
    let unit = Affine::scaling(1.0 / target.long_side());
    maps.into_iter().map(|map| target.rated(probe, map.after(&unit), 0)).collect()
}

/// `None` when the boxes have different shapes. `sign` is -1 to mirror.
fn box_on_box(query: Box4, stored: Box4, sign: f32) -> Option<Affine> {
    let across = (query[2] - query[0]) / (stored[2] - stored[0]);
    let along = (query[3] - query[1]) / (stored[3] - stored[1]);
    if !(0.75..1.33).contains(&(across / along)) {
        return None;
    }
    let middle = |b: Box4| ((b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0);
    let ((qx, qy), (sx, sy)) = (middle(query), middle(stored));
    let across = across * sign;
    Some(Affine([across, 0.0, qx - across * sx, 0.0, along, qy - along * sy]))
}

/// The stored picture, turned so that its corners touch the query's sides; `None` when they cannot.
fn turned(width: f32, height: f32, stored: Box4, degrees: f32, sign: f32) -> Option<Affine> {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (w, h) = (stored[2], stored[3]);
    let (across, along) = (width / (w * cos + h * sin.abs()), height / (w * sin.abs() + h * cos));
    if !(0.9..1.1).contains(&(across / along)) {
        return None;
    }
    let size = (across + along) / 2.0;
    let (a, b, d, e) = (size * cos * sign, -size * sin, size * sin * sign, size * cos);
    let (c, f) = (width / 2.0 - (a * w + b * h) / 2.0, height / 2.0 - (d * w + e * h) / 2.0);
    Some(Affine([a, b, c, d, e, f]))
}

/// The best of all windows of the stored picture that the query may have been cut from.
pub(super) fn best_windows(probe: &Probe, target: &Target) -> Vec<Guess> {
    const STEP: f32 = 0.06;
    let [_, _, whole_w, whole_h] = target.whole();
    let (width, height) = probe.extent();
    let unit = Affine::scaling(1.0 / target.long_side());
    let places = |room: f32| {
        let steps = (room / STEP).ceil().max(0.0) as usize;
        (0..=steps).map(move |i| if steps == 0 { room / 2.0 } else { room * i as f32 / steps as f32 })
    };
    let mut guesses = Vec::new();
    for zoom in [0.92, 0.83, 0.74, 0.65, 0.58] {
        let size = zoom * (whole_w / width).min(whole_h / height);
        let grown = 1.0 / size;
        for top in places(whole_h - height * size) {
            for left in places(whole_w - width * size) {
                let map = Affine([grown, 0.0, -left * grown, 0.0, grown, -top * grown]);
                for map in [map, Affine::mirror(width).after(&map)] {
                    guesses.push(target.rated(probe, map.after(&unit), 0));
                }
            }
        }
    }
    guesses.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    guesses.truncate(2);
    guesses
}

/// The best of `guesses` after a first refinement, and one that is nearly as good and mirrored or turned against it: of
/// symmetric goods, only their print tells which way they lie. Their corners agree with their mirror image as well; so, where the best
/// is mirrored or upside down, the plain way need only be as good by its pixels.
pub(super) fn refined(probe: &Probe, target: &Target, guesses: &mut [Guess]) -> Vec<Guess> {
    guesses.sort_by(|a, b| b.promise().total_cmp(&a.promise()));
    let mut finer: Vec<Guess> = Vec::new();
    for guess in guesses.iter().take(REFINED_GUESSES) {
        finer.push(improved(probe, &target.half, 2.0, *guess, 5));
        // Many corners and a good likeness: the others are the same guess, or wrong.
        if finer.last().is_some_and(|finer| finer.inliers >= 8 && finer.likeness > 0.85) {
            break;
        }
    }
    finer.sort_by(|a, b| b.promise().total_cmp(&a.promise()));
    let Some(best) = finer.first().copied() else { return finer };
    finer.retain(|guess| guess.promise() >= best.promise() - NEAR_TIE);
    let other = finer.iter().copied().find(|guess| !guess.faces_like(&best));
    let other = other.or_else(|| plain_way(probe, target, guesses, &best));
    [best].into_iter().chain(other).collect()
}

/// The plain way to lay the picture, refined, where `best` is none and its pixels agree nearly as well.
fn plain_way(probe: &Probe, target: &Target, guesses: &[Guess], best: &Guess) -> Option<Guess> {
    const PLAIN: (bool, bool) = (true, true);
    if best.facing() == PLAIN {
        return None;
    }
    let likeness = |guess: &&Guess| guess.likeness;
    let by_likeness = |a: &&Guess, b: &&Guess| likeness(a).total_cmp(&likeness(b));
    let likest = guesses.iter().filter(|guess| guess.faces_like(best)).max_by(by_likeness)?;
    let plain = guesses.iter().filter(|guess| guess.facing() == PLAIN).max_by(by_likeness)?;
    if plain.likeness < likest.likeness - NEAR_TIE {
        return None;
    }
    let plain = improved(probe, &target.half, 2.0, *plain, 5);
    (plain.likeness >= best.likeness - NEAR_TIE).then_some(plain)
}

/// The guess after refinement at the thumbnail's full size, then on `detail`: the stored picture's brightness, finer.
pub(super) fn finished(probe: &Probe, target: &Target, detail: &Plane, guess: Guess) -> Guess {
    let guess = improved(probe, &target.luma, 1.0, guess, 2);
    let ratio = target.long_side() / detail.width.max(detail.height) as f32;
    let finer = improved(probe, detail, ratio, guess, 2);
    Guess { map: finer.map, ..guess }
}

/// Better by some rounds of Gauss-Newton, or as it was.
fn improved(probe: &Probe, plane: &Plane, ratio: f32, guess: Guess, rounds: usize) -> Guess {
    let before = correlation(probe, plane, ratio, &guess.map);
    let mut map = guess.map;
    for _ in 0..rounds {
        let Some((next, small)) = stepped(probe, plane, ratio, map) else { break };
        map = next;
        if small {
            break;
        }
    }
    if map.is_near(&guess.map) {
        let after = correlation(probe, plane, ratio, &map);
        if after > before {
            return Guess { map, likeness: after, ..guess };
        }
    }
    Guess { likeness: before, ..guess }
}
