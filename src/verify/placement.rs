//! How one picture lies in another, so that it can be drawn.

use super::affine::Affine;
use super::align::Target;

/// An affine map between two pictures; lengths are in units of each one's longer side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement(Affine);

impl Placement {
    /// `map` leads from the stored thumbnail's pixels to units of the query's longer side.
    pub(super) fn of(target: &Target, map: &Affine) -> Self {
        Self(map.after(&Affine::scaling(target.thumbnail.long_side())))
    }

    /// Where a point of the stored picture lies in the picture in question, maybe outside: both from the upper left corner, in
    /// units of the longer side.
    #[must_use]
    pub fn at(&self, x: f32, y: f32) -> (f32, f32) {
        self.0.at(x, y)
    }

    /// The way back; `None` where the map squeezes the picture into a line.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        self.0.inverse().map(Self)
    }
}
