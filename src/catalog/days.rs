//! Counts by day: photos, calls and saved calls.

use serde::Serialize;

use super::{Catalog, CatalogError};

/// The longest span, in days, that is told day by day; of a longer one the end is.
pub(crate) const MOST_DAYS: u32 = 3660;

/// One day of China standard time, by which calls are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DayCounts {
    /// `2026-11-24`.
    pub day: String,
    /// Photos that were stored on it and still are.
    pub photos: u64,
    /// Calls that count against it, over all upstreams.
    pub calls: u64,
    /// Answers that were given without a call: hits, in a home that has an upstream.
    pub saved: u64,
}

impl Catalog {
    /// Every day from the first on which something was stored or asked to the last, without a gap.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn by_day(&self) -> Result<Vec<DayCounts>, CatalogError> {
        self.read(|c| {
            c.prepare(
                "WITH RECURSIVE
                   stored (day, n) AS (SELECT date(added_at_ms / 1000, 'unixepoch', '+8 hours'), count(*) FROM photos GROUP BY 1),
                   called (day, n) AS (SELECT day, count(*) FROM spend WHERE state <> 'refunded' GROUP BY 1),
                   all_days (day) AS (SELECT day FROM stored UNION SELECT day FROM called UNION SELECT day FROM saved_calls),
                   ends (first, last) AS (SELECT max(min(day), date(max(day), '-' || ?1 || ' days')), max(day) FROM all_days
                                          WHERE date(day) IS NOT NULL),
                   days (day) AS (SELECT first FROM ends WHERE first IS NOT NULL
                                  UNION ALL SELECT date(day, '+1 day') FROM days, ends WHERE day < last)
                 SELECT days.day, coalesce(stored.n, 0), coalesce(called.n, 0), coalesce(saved_calls.calls, 0)
                 FROM days LEFT JOIN stored USING (day) LEFT JOIN called USING (day) LEFT JOIN saved_calls USING (day)
                 ORDER BY 1",
            )?
            .query_map([MOST_DAYS], |row| {
                Ok(DayCounts { day: row.get(0)?, photos: row.get(1)?, calls: row.get(2)?, saved: row.get(3)? })
            })?
            .collect()
        })
    }
}
