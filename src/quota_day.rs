//! On which day does a call count?

use std::fmt;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use crate::timestamp::Timestamp;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// China standard time is 8 h ahead of UTC, without summer time.
const CHINA_OFFSET_MS: i64 = 8 * 3600 * 1000;

/// A day of China standard time (UTC+8), by which the platform counts calls. Written as `2026-11-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaDay(i64);

impl QuotaDay {
    /// The day that `moment` falls on.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        Self(moment.unix_ms().saturating_add(CHINA_OFFSET_MS).div_euclid(DAY_MS))
    }

    /// When the next day begins and the count starts anew.
    #[must_use]
    pub fn resets_at(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0.saturating_add(1)).saturating_mul(DAY_MS) - CHINA_OFFSET_MS)
    }
}

impl fmt::Display for QuotaDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.0.saturating_mul(DAY_MS / 1000)) {
            Ok(day) => write!(f, "{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day()),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl Serialize for QuotaDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
