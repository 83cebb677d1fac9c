//! What is the edge of a shape? Everything is in design units: 0 to 1000 both ways, y down.

use tiny_skia::{Path, PathBuilder, Rect};

/// A path in the making, or made; building it never fails, and an empty one draws nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline(PathBuilder);

impl Outline {
    pub(crate) fn at(x: f32, y: f32) -> Self {
        let mut path = PathBuilder::new();
        path.move_to(x, y);
        Self(path)
    }

    pub(crate) fn to(mut self, x: f32, y: f32) -> Self {
        self.0.line_to(x, y);
        self
    }

    pub(crate) fn bend(mut self, cx: f32, cy: f32, x: f32, y: f32) -> Self {
        self.0.quad_to(cx, cy, x, y);
        self
    }

    pub(crate) fn curve(mut self, first: (f32, f32), second: (f32, f32), end: (f32, f32)) -> Self {
        self.0.cubic_to(first.0, first.1, second.0, second.1, end.0, end.1);
        self
    }

    pub(crate) fn close(mut self) -> Self {
        self.0.close();
        self
    }

    /// Both outlines as one; overlapping parts of opposite direction cut holes.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        if let Some(path) = other.path() {
            self.0.push_path(&path);
        }
        self
    }

    pub(crate) fn oval(cx: f32, cy: f32, rx: f32, ry: f32) -> Self {
        let mut path = PathBuilder::new();
        if let Some(rect) = Rect::from_xywh(cx - rx, cy - ry, rx * 2.0, ry * 2.0) {
            path.push_oval(rect);
        }
        Self(path)
    }

    pub(crate) fn rect(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self::polygon(&[(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    }

    pub(crate) fn round_rect(x: f32, y: f32, w: f32, h: f32, r: f32) -> Self {
        let r = r.min(w / 2.0).min(h / 2.0);
        // 0.552 makes a cubic follow a quarter circle.
        let k = r * (1.0 - 0.552);
        let (right, bottom) = (x + w, y + h);
        Self::at(x + r, y)
            .to(right - r, y)
            .curve((right - k, y), (right, y + k), (right, y + r))
            .to(right, bottom - r)
            .curve((right, bottom - k), (right - k, bottom), (right - r, bottom))
            .to(x + r, bottom)
            .curve((x + k, bottom), (x, bottom - k), (x, bottom - r))
            .to(x, y + r)
            .curve((x, y + k), (x + k, y), (x + r, y))
            .close()
    }

    pub(crate) fn polygon(points: &[(f32, f32)]) -> Self {
        let mut path = PathBuilder::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        path.close();
        Self(path)
    }

    /// A closed curve through all points (Catmull-Rom).
    pub(crate) fn smooth(points: &[(f32, f32)]) -> Self {
        let n = points.len();
        if n < 3 {
            return Self::polygon(points);
        }
        let mut outline = Self::at(points[0].0, points[0].1);
        for i in 0..n {
            outline =
                outline.through(points[(i + n - 1) % n], points[i], points[(i + 1) % n], points[(i + 2) % n]);
        }
        outline.close()
    }

    /// An open curve through all points (Catmull-Rom).
    pub(crate) fn sweep(points: &[(f32, f32)]) -> Self {
        let last = points.len().saturating_sub(1);
        let Some(&(x, y)) = points.first() else { return Self::default() };
        let mut outline = Self::at(x, y);
        for i in 0..last {
            outline = outline.through(
                points[i.saturating_sub(1)],
                points[i],
                points[i + 1],
                points[(i + 2).min(last)],
            );
        }
        outline
    }

    /// A closed smooth shape that is its own mirror image about `x = cx`; `right` runs from top to bottom.
    pub(crate) fn mirrored(cx: f32, right: &[(f32, f32)]) -> Self {
        let left = right.iter().rev().map(|&(x, y)| (2.0 * cx - x, y));
        let points: Vec<_> = right.iter().copied().chain(left).collect();
        Self::smooth(&points)
    }

    pub(crate) fn star(cx: f32, cy: f32, radius: f32, inner: f32, spikes: u8) -> Self {
        let step = std::f32::consts::PI / f32::from(spikes);
        let points: Vec<_> = (0..spikes * 2)
            .map(|i| {
                let r = if i % 2 == 0 { radius } else { inner };
                let angle = step * f32::from(i) - std::f32::consts::FRAC_PI_2;
                (cx + r * angle.cos(), cy + r * angle.sin())
            })
            .collect();
        Self::polygon(&points)
    }

    pub(crate) fn path(&self) -> Option<Path> {
        self.0.clone().finish()
    }

    fn through(self, before: (f32, f32), from: (f32, f32), to: (f32, f32), after: (f32, f32)) -> Self {
        let first = (from.0 + (to.0 - before.0) / 6.0, from.1 + (to.1 - before.1) / 6.0);
        let second = (to.0 - (after.0 - from.0) / 6.0, to.1 - (after.1 - from.1) / 6.0);
        self.curve(first, second, to)
    }
}
