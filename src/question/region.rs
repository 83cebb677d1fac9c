//! Which part of a picture is meant?

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of a picture, in pixels of that picture, upright: the left and top edges belong to it, the right and bottom
/// ones do not. Never empty. Written `left,top,right,bottom`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
}

/// Why a text is not a [`Region`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a part of a picture: use LEFT,TOP,RIGHT,BOTTOM in pixels, as in 40,30,360,290")]
pub struct RegionError(String);

impl Region {
    /// `None` when it would be empty.
    #[must_use]
    pub fn new(left: u32, top: u32, right: u32, bottom: u32) -> Option<Self> {
        let filled = left < right && top < bottom;
        filled.then_some(Self { left, top, right, bottom })
    }

    /// Left, top, right and bottom.
    #[must_use]
    pub fn edges_px(self) -> [u32; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    /// What of it lies inside a picture of this size; `None` when nothing does.
    #[must_use]
    pub fn within(self, (width_px, height_px): (u32, u32)) -> Option<Self> {
        Self::new(self.left, self.top, self.right.min(width_px), self.bottom.min(height_px))
    }

    /// The same part after the picture was scaled from one size to another, rounded outwards to whole pixels.
    #[must_use]
    pub fn scaled(self, from: (u32, u32), to: (u32, u32)) -> Self {
        let down =
            |edge: u32, from: u32, to: u32| narrow(u64::from(edge) * u64::from(to) / u64::from(from.max(1)));
        let up = |edge: u32, from: u32, to: u32| {
            narrow((u64::from(edge) * u64::from(to)).div_ceil(u64::from(from.max(1))))
        };
        Self {
            left: down(self.left, from.0, to.0),
            top: down(self.top, from.1, to.1),
            right: up(self.right, from.0, to.0),
            bottom: up(self.bottom, from.1, to.1),
        }
    }
}

fn narrow(edge: u64) -> u32 {
    u32::try_from(edge).unwrap_or(u32::MAX)
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.left, self.top, self.right, self.bottom)
    }
}

impl FromStr for Region {
    type Err = RegionError;
    fn from_str(text: &str) -> Result<Self, RegionError> {
        let edges: Option<Vec<u32>> = text.split(',').map(|edge| edge.trim().parse().ok()).collect();
        let region = match edges.as_deref() {
            Some(&[left, top, right, bottom]) => Self::new(left, top, right, bottom),
            _ => None,
        };
        region.ok_or_else(|| RegionError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;
    fn try_from(text: String) -> Result<Self, RegionError> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_region_is_read_as_it_is_written_and_never_empty() {
        let region: Region = "40, 30,360,290".parse().expect("four edges");
        assert_eq!(region.to_string().parse(), Ok(region));
        for bad in ["", "1,2,3", "1,2,3,4,5", "5,0,5,9", "9,0,5,9", "0,0,-1,4", "a,b,c,d"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_scaled_region_stays_filled_and_inside(
            (width, height) in (1_u32..4000, 1_u32..4000), longer in 1_u32..2000,
            (a, b, c, d) in (0_u32..4000, 0_u32..4000, 1_u32..4000, 1_u32..4000),
        ) {
            let region = Region::new(a % width, b % height, a % width + c, b % height + d);
            let region = region.and_then(|region| region.within((width, height))).expect("begins inside");
            let from = width.max(height);
            let to = ((width * longer / from).max(1), (height * longer / from).max(1));
            let [left, top, right, bottom] = region.scaled((width, height), to).edges_px();
            prop_assert!(left < right && top < bottom && right <= to.0 && bottom <= to.1);
        }
    }
}
