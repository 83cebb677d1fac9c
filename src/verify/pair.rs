//! Two aligned pictures side by side, as the pair judge sees them.

use super::affine::Affine;
use super::align::Target;
use super::content::{rim_colour, shows};
use super::detail::Sizes;
use super::sketch::Probe;

/// Rows and columns of a pair.
pub const PAIR_SIDE_PX: usize = 64;

/// The margin about what the pictures show, in units of the stored picture's longer side.
const MARGIN: f32 = 0.03;
/// The smallest window, in the same units: beyond it, there is nothing more to see.
const LEAST_WINDOW: f32 = 0.3;

/// The part of an aligned pair in which something shows, both pictures on one grid of [`PAIR_SIDE_PX`] rows and
/// columns, in the stored picture's frame.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Luma (0..=255) and two chroma values (-128..=127) for each place, row by row.
    pub stored: Vec<[f32; 3]>,
    /// The same of the picture in question.
    pub query: Vec<[f32; 3]>,
    /// Whether the place lies in both pictures.
    pub seen: Vec<bool>,
    /// Thumbnail pixels of the overlap in which the stored picture shows something, the query does, and both do, as
    /// shares of the thumbnail.
    pub content: [f32; 3],
    /// Thumbnail pixels of the overlap.
    pub overlap_px: usize,
}

/// Left, top, right, bottom, in units of the stored picture's longer side.
type Window = [f32; 4];

/// What of the overlap shows something in either picture; all of the overlap when nothing does. With
/// [`Pair::content`] and [`Pair::overlap_px`].
fn window(probe: &Probe, target: &Target, map: &Affine) -> (Window, [f32; 3], usize) {
    let thumbnail = &target.thumbnail;
    let long = thumbnail.long_side();
    let (rim, own_rim) = (rim_colour(thumbnail), rim_colour(&probe.thumbnail));
    let size = probe.size_for(map.step());
    let to_pixels = Affine::scaling(size.long_side()).after(map);
    let none = (usize::MAX, usize::MAX, 0, 0);
    let (mut all, mut shown) = (none, none);
    let (mut counts, mut overlap_px) = ([0.0f32; 3], 0);
    for (y, row) in thumbnail.pixels.chunks_exact(thumbnail.width).enumerate() {
        for (x, stored) in row.iter().enumerate() {
            let (u, v) = to_pixels.at(x as f32 + 0.5, y as f32 + 0.5);
            let Some(found) = size.sample(u, v) else { continue };
            let (s, q) = (shows(*stored, rim), shows(found, own_rim));
            let grown =
                |b: (usize, usize, usize, usize)| (b.0.min(x), b.1.min(y), b.2.max(x + 1), b.3.max(y + 1));
            all = grown(all);
            overlap_px += 1;
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
    (window, counts.map(|count| count / area), overlap_px)
}

impl Pair {
    /// `map` leads from the stored thumbnail's pixels to units of the query's longer side.
    pub(super) fn of(probe: &Probe, target: &Target, detail: &Sizes, map: &Affine) -> Self {
        let (window, content, overlap_px) = window(probe, target, map);
        let extent = detail.extent();
        let long = (window[2] - window[0]).max(window[3] - window[1]).max(LEAST_WINDOW);
        let step = long / PAIR_SIDE_PX as f32;
        let (left, top) = ((window[0] + window[2] - long) / 2.0, (window[1] + window[3] - long) / 2.0);
        let stored_size = detail.for_step(step);
        // A picture is not looked at more finely than the other can show.
        let finest = step.max(1.0 / stored_size.long_side());
        let from_unit = map.after(&Affine::scaling(target.thumbnail.long_side()));
        let query_size = probe.size_for(from_unit.step() * finest);
        let to_query = Affine::scaling(query_size.long_side()).after(&from_unit);
        let places = PAIR_SIDE_PX * PAIR_SIDE_PX;
        let (mut stored, mut query) = (vec![[0.0; 3]; places], vec![[0.0; 3]; places]);
        let mut seen = vec![false; places];
        for place in 0..places {
            let x = left + ((place % PAIR_SIDE_PX) as f32 + 0.5) * step;
            let y = top + ((place / PAIR_SIDE_PX) as f32 + 0.5) * step;
            if !(x >= 0.0 && y >= 0.0 && x < extent.0 && y < extent.1) {
                continue;
            }
            let Some(s) = stored_size.sample(x * stored_size.long_side(), y * stored_size.long_side()) else {
                continue;
            };
            stored[place] = [s[0], s[1], s[2]];
            let (u, v) = to_query.at(x, y);
            if let Some(q) = query_size.sample(u, v) {
                query[place] = [q[0], q[1], q[2]];
                seen[place] = true;
            }
        }
        Self { stored, query, seen, content, overlap_px }
    }
}
