//! Which stored picture is meant?

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stored picture's number: its row in the catalogue, greater than zero, rising with time, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhotoId(pub i64);

impl PhotoId {
    /// From here on stand pictures that a check remembers for one run and does not store: above all that are stored, so that
    /// they are the younger ones.
    pub(crate) const FIRST_PROVISIONAL: i64 = i64::MAX / 2;
    /// The highest number that is taken from a file: those that are given after it stay below the provisional ones.
    pub(crate) const LAST_FROM_FILE: i64 = Self::FIRST_PROVISIONAL / 2;

    /// Whether a stored photo that comes from elsewhere may have this number.
    pub(crate) fn is_storable(number: i64) -> bool {
        (1..=Self::LAST_FROM_FILE).contains(&number)
    }
}

impl fmt::Display for PhotoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
