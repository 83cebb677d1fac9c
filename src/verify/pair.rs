//! Two aligned pictures side by side, as the pair judge sees them.

use super::affine::Affine;
use super::align::Target;
use super::content::{as_shown, rim_colour, shows};
use super::detail::Sizes;
use super::samples::Line;
use super::sketch::Probe;

/// Rows and columns of a pair.
pub const PAIR_SIDE_PX: usize = 64;

/// The margin about what the pictures show, in units of the stored picture's longer side.
const MARGIN: f32 = 0.03;
/// The smallest window, in the same units: beyond it, there is nothing more to see.
const LEAST_WINDOW: f32 = 0.3;

/// What one picture shows in one place of a pair: the luma (0..=255) of its four quarters, row by row, then blue and red
/// chroma (-128..=127). Strokes are seen in brightness alone, so brightness is kept twice as fine each way.
pub type Place = [f32; 6];

/// The part of an aligned pair in which something shows, both pictures on one grid of [`PAIR_SIDE_PX`] rows and
/// columns, in the stored picture's frame.
#[derive(Clone, Debug)]
pub struct Pair {
    /// For each place, row by row; zeros where it is not seen.
    pub stored: Vec<Place>,
    /// The same of the picture in question.
    pub query: Vec<Place>,
    /// Whether all of the place lies in both pictures.
    pub seen: Vec<bool>,
    /// Thumbnail pixels of the overlap in which the stored picture shows something, the query does, and both do, as
    /// shares of the thumbnail.
    pub content: [f32; 3],
    /// How far the query's colour lies from the stored picture's where that shows nothing but its ground, as a multiple of what
    /// would show on it; 0 where there is no ground.
    pub ground_change: f32,
    /// Thumbnail pixels of the overlap.
    pub overlap_px: usize,
}

/// Left, top, right, bottom, in units of the stored picture's longer side.
type Window = [f32; 4];

/// What the thumbnails tell of the overlap.
struct Overlap {
    /// What of it shows something in either picture; all of it when nothing does.
    window: Window,
    /// [`Pair::content`].
    content: [f32; 3],
    /// [`Pair::ground_change`].
    ground_change: f32,
    /// [`Pair::overlap_px`].
    px: usize,
}

fn overlap(probe: &Probe, target: &Target, map: &Affine) -> Overlap {
    let thumbnail = &target.thumbnail;
    let long = thumbnail.long_side();
    let (rim, own_rim) = (rim_colour(thumbnail), rim_colour(&probe.thumbnail));
    let size = probe.size_for(map.step());
    let to_pixels = Affine::scaling(size.long_side()).after(map);
    let none = (usize::MAX, usize::MAX, 0, 0);
    let (mut all, mut shown) = (none, none);
    let (mut counts, mut overlap_px) = ([0.0f32; 3], 0);
    let (mut ground_px, mut ground_change) = (0.0f32, [0.0f32; 3]);
    for (y, row) in thumbnail.pixels.chunks_exact(thumbnail.width).enumerate() {
        for (x, stored) in row.iter().enumerate() {
            let (u, v) = to_pixels.at(x as f32 + 0.5, y as f32 + 0.5);
            let Some(found) = size.sample(u, v) else { continue };
            let (s, q) = (shows(*stored, rim), shows(found, own_rim));
            let grown =
                |b: (usize, usize, usize, usize)| (b.0.min(x), b.1.min(y), b.2.max(x + 1), b.3.max(y + 1));
            all = grown(all);
            overlap_px += 1;
            if !s {
                ground_px += 1.0;
                for (sum, (found, stored)) in ground_change.iter_mut().zip(found.iter().zip(stored)) {
                    *sum += found - stored;
                }
            }
            if s || q {
                shown = grown(shown);
            }
            for (count, yes) in counts.iter_mut().zip([s, q, s && q]) {
                *count += f32::from(u8::from(yes));
            }
        }
    }
    if shown.2 == 0 {
        shown = all;
    }
    if shown.2 == 0 {
        shown = (0, 0, thumbnail.width, thumbnail.height);
    }
    let area = (thumbnail.width * thumbnail.height) as f32;
    let bounds = [shown.0, shown.1, shown.2, shown.3].map(|v| v as f32 / long);
    let window = [bounds[0] - MARGIN, bounds[1] - MARGIN, bounds[2] + MARGIN, bounds[3] + MARGIN];
    Overlap {
        window,
        content: counts.map(|count| count / area),
        ground_change: as_shown(ground_change.map(|sum| sum / ground_px.max(1.0))),
        px: overlap_px,
    }
}

impl Pair {
    /// `map` leads from the stored thumbnail's pixels to units of the query's longer side.
    pub(super) fn of(probe: &Probe, target: &Target, detail: &Sizes, map: &Affine) -> Self {
        let Overlap { window, content, ground_change, px: overlap_px } = overlap(probe, target, map);
        let long = (window[2] - window[0]).max(window[3] - window[1]).max(LEAST_WINDOW);
        let step = long / (2 * PAIR_SIDE_PX) as f32;
        let (left, top) = ((window[0] + window[2] - long) / 2.0, (window[1] + window[3] - long) / 2.0);
        let stored_size = detail.for_step(step);
        // A picture is not looked at more finely than the other can show.
        let finest = step.max(1.0 / stored_size.long_side());
        let from_unit = map.after(&Affine::scaling(target.thumbnail.long_side()));
        let query_size = probe.size_for(from_unit.step() * finest);
        let to_query = Affine::scaling(query_size.long_side()).after(&from_unit);
        let to_stored = stored_size.long_side();
        let places = PAIR_SIDE_PX * PAIR_SIDE_PX;
        let (mut stored, mut query) = (vec![[0.0; 6]; places], vec![[0.0; 6]; places]);
        let mut seen = vec![false; places];
        let mut rows = [[[0.0; 4]; 2 * PAIR_SIDE_PX]; 4];
        let [stored_upper, stored_lower, query_upper, query_lower] = &mut rows;
        for row in 0..PAIR_SIDE_PX {
            // Which places of two rows, half as far apart, lie in both pictures, and what is there.
            let mut within = 0..2 * PAIR_SIDE_PX;
            let two = [
                (2 * row, &mut *stored_upper, &mut *query_upper),
                (2 * row + 1, &mut *stored_lower, &mut *query_lower),
            ];
            for (y, stored_row, query_row) in two {
                let (x, y) = (left + 0.5 * step, top + (y as f32 + 0.5) * step);
                let in_stored = Line { start: (x * to_stored, y * to_stored), step: (step * to_stored, 0.0) };
                let in_query =
                    Line { start: to_query.at(x, y), step: (to_query.0[0] * step, to_query.0[3] * step) };
                let seen = [
                    stored_size.colours_along(&in_stored, stored_row),
                    query_size.colours_along(&in_query, query_row),
                ];
                for seen in seen {
                    within = within.start.max(seen.start)..within.end.min(seen.end);
                }
            }
            for column in within.start.div_ceil(2)..within.end / 2 {
                let place = row * PAIR_SIDE_PX + column;
                stored[place] = as_place(&stored_upper[2 * column..], &stored_lower[2 * column..]);
                query[place] = as_place(&query_upper[2 * column..], &query_lower[2 * column..]);
                seen[place] = true;
            }
        }
        Self { stored, query, seen, content, ground_change, overlap_px }
    }
}

/// Of two places above and two beneath them.
fn as_place(upper: &[[f32; 4]], lower: &[[f32; 4]]) -> Place {
    let [a, b, c, d] = [upper[0], upper[1], lower[0], lower[1]];
    let mean = |lane: usize| (a[lane] + b[lane] + c[lane] + d[lane]) / 4.0;
    [a[0], b[0], c[0], d[0], mean(1), mean(2)]
}
