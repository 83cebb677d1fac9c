//! How does Chinese text come onto a poster? Glyph outlines become paths, so text takes any view and ink.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, OutlineCurve};

use super::brush::Brush;
use super::ink::Tint;
use super::outline::Outline;

/// A subset of Noto Sans SC Bold; `fonts/README.md` says how it was made.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("fonts/noto-sans-sc-bold-subset.ttf")).expect("a checked-in font")
});

/// The width of `text` at `size`, in the unit of `size`.
pub(crate) fn width(text: &str, size: f32) -> f32 {
    let scale = size / units_per_em();
    text.chars().map(|c| FONT.h_advance_unscaled(FONT.glyph_id(c)) * scale).sum()
}

/// Writes `text` with its baseline starting at (`x`, `y`), `size` design units to the em.
pub(crate) fn write(brush: &mut Brush, text: &str, (x, y): (f32, f32), size: f32, tint: Tint) {
    let scale = size / units_per_em();
    let mut pen = x;
    for c in text.chars() {
        let Glyph { id, .. } = FONT.glyph_id(c).with_scale(size);
        if let Some(outline) = FONT.outline(id) {
            brush.fill(&glyph_path(&outline.curves, pen, y, scale), tint);
        }
        pen += FONT.h_advance_unscaled(id) * scale;
    }
}

/// As [`write`], around `x`.
pub(crate) fn write_centred(brush: &mut Brush, text: &str, (x, y): (f32, f32), size: f32, tint: Tint) {
    write(brush, text, (x - width(text, size) / 2.0, y), size, tint);
}

fn units_per_em() -> f32 {
    FONT.units_per_em().unwrap_or(1000.0)
}

/// Contours are joined by position: the font tells curves, not where one contour ends.
fn glyph_path(curves: &[OutlineCurve], x: f32, y: f32, scale: f32) -> Outline {
    let place = |p: ab_glyph::Point| (x + p.x * scale, y - p.y * scale);
    let mut whole = Outline::default();
    let mut contour: Option<(Outline, ab_glyph::Point)> = None;
    for curve in curves {
        let (OutlineCurve::Line(start, end)
        | OutlineCurve::Quad(start, _, end)
        | OutlineCurve::Cubic(start, _, _, end)) = *curve;
        let open = match contour.take() {
            Some((open, pen)) if pen == start => open,
            finished => {
                if let Some((open, _)) = finished {
                    whole = whole.and(&open.close());
                }
                let (sx, sy) = place(start);
                Outline::at(sx, sy)
            }
        };
        let (ex, ey) = place(end);
        let open = match *curve {
            OutlineCurve::Line(..) => open.to(ex, ey),
            OutlineCurve::Quad(_, control, _) => {
                let (cx, cy) = place(control);
                open.bend(cx, cy, ex, ey)
            }
            OutlineCurve::Cubic(_, first, second, _) => open.curve(place(first), place(second), (ex, ey)),
        };
        contour = Some((open, end));
    }
    match contour {
        Some((open, _)) => whole.and(&open.close()),
        None => whole,
    }
}
