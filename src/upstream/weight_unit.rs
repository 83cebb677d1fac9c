//! In what does a vendor weigh? Neither of those that tell a weight says it.

use serde::Deserialize;

/// The unit of a weight that comes as a bare number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum WeightUnit {
    /// As the official gateway's details have it.
    #[default]
    #[serde(rename = "kg")]
    Kilograms,
    /// A thousandth of that.
    #[serde(rename = "g")]
    Grams,
}

impl WeightUnit {
    /// How many grams one is.
    pub(super) fn in_grams(self) -> f64 {
        match self {
            Self::Kilograms => 1000.0,
            Self::Grams => 1.0,
        }
    }
}
