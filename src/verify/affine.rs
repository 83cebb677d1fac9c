//! Affine maps of the plane.

/// `x' = a x + b y + c`, `y' = d x + e y + f`, held as `[a, b, c, d, e, f]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine(pub(super) [f32; 6]);

impl Affine {
    /// A turn and a change of size, `a = size * cos`, `b = size * sin`, that takes `from` to `to`.
    pub(super) fn similarity(a: f32, b: f32, from: (f32, f32), to: (f32, f32)) -> Self {
        Self([a, -b, to.0 - a * from.0 + b * from.1, b, a, to.1 - b * from.0 - a * from.1])
    }

    pub(super) fn scaling(factor: f32) -> Self {
        Self([factor, 0.0, 0.0, 0.0, factor, 0.0])
    }

    /// Left becomes right in a picture of this width.
    pub(super) fn mirror(width: f32) -> Self {
        Self([-1.0, 0.0, width, 0.0, 1.0, 0.0])
    }

    pub(super) fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let [a, b, c, d, e, f] = self.0;
        (a * x + b * y + c, d * x + e * y + f)
    }

    /// How much areas grow; negative for a mirrored map.
    pub(super) fn determinant(&self) -> f32 {
        self.0[0] * self.0[4] - self.0[1] * self.0[3]
    }

    /// How much lengths grow, on average.
    pub(super) fn step(&self) -> f32 {
        self.determinant().abs().sqrt()
    }

    /// The map that applies `first` and then `self`.
    pub(super) fn after(&self, first: &Self) -> Self {
        let (m, n) = (&self.0, &first.0);
        Self([
            m[0] * n[0] + m[1] * n[3],
            m[0] * n[1] + m[1] * n[4],
            m[0] * n[2] + m[1] * n[5] + m[2],
            m[3] * n[0] + m[4] * n[3],
            m[3] * n[1] + m[4] * n[4],
            m[3] * n[2] + m[4] * n[5] + m[5],
        ])
    }

    /// `None` when the map squeezes the plane into a line.
    pub(super) fn inverse(&self) -> Option<Self> {
        let [a, b, c, d, e, f] = self.0;
        let determinant = self.determinant();
        if !determinant.is_finite() || determinant.abs() < 1e-9 {
            return None;
        }
        let [a, b, d, e] = [e, -b, -d, a].map(|v| v / determinant);
        Some(Self([a, b, -(a * c + b * f), d, e, -(d * c + e * f)]))
    }

    /// Whether `other` is as plain a map: no size, stretch or shear that no edit of a picture makes.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        let stretch = self.0[0].hypot(self.0[3]) / self.0[1].hypot(self.0[4]);
        let size = self.step() / other.step();
        (0.6..1.6).contains(&size) && (0.75..1.33).contains(&stretch)
    }
}
