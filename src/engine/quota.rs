//! What is left to spend, and what was saved.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::paying::NOTE_PATIENCE;
use super::{Engine, EngineError, Mode};
use crate::cancel::Interrupt;
use crate::clock::Timestamp;
use crate::quota_day::QuotaDay;
use crate::store::Patience;

const HOUR_MS: u128 = 3_600_000;
const DAY_MS: u128 = 24 * HOUR_MS;

/// Saved calls are written down this many at a time, because a hit must not wait for the disk. A process that is
/// killed forgets fewer than this.
pub(super) const FLUSH_EVERY: u64 = 64;

/// The account of one upstream for the platform's present day.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QuotaReport {
    /// The upstream's profile.
    pub profile: &'static str,
    /// Of China standard time, by which the platform counts.
    pub day: QuotaDay,
    /// Ours, and those of others that the provider has told of.
    pub used: u32,
    /// The user's, or the provider's own limit where it has told a lower one.
    pub budget: u32,
    /// Calls that may still be made today.
    pub left: u32,
    /// When the count begins anew.
    pub resets_at: Timestamp,
    /// How many calls the day will have seen if they go on as they have since it began; `None` without a call, and in its
    /// first hour.
    pub forecast: Option<u64>,
    /// Until then the breaker is open, because the upstream failed too often or has said that nothing is left.
    pub open_until: Option<Timestamp>,
    /// Why.
    pub open_because: Option<String>,
}

/// Answers given without a call since they were last written down.
#[derive(Debug, Default)]
pub(super) struct SavedCalls(AtomicU64);

impl SavedCalls {
    /// Counts an answer that would have cost a call.
    pub(super) fn count(&self, mode: Mode, has_upstream: bool, flush: impl FnOnce()) {
        if mode == Mode::Default && has_upstream && self.0.fetch_add(1, Ordering::Relaxed) + 1 >= FLUSH_EVERY
        {
            flush();
        }
    }
}

impl Engine {
    /// The account of every upstream, in the order in which they are asked.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn quota(&self) -> Result<Vec<QuotaReport>, EngineError> {
        let now = self.clock.now();
        let day = QuotaDay::of(now);
        let report = |upstream: &super::ConfiguredUpstream| {
            let profile = upstream.guard.profile();
            let (foreign, max_a_day) = self.store.provider_limits(profile, &day)?;
            let budget = upstream.guard.policy().daily_budget.min(max_a_day.unwrap_or(u32::MAX));
            let starts = self.store.call_starts(profile, &day)?;
            let used = u32::try_from(starts.len()).unwrap_or(u32::MAX).saturating_add(foreign);
            let left = budget.saturating_sub(used);
            let resets_at = day.resets_at();
            let open_breaker = upstream.guard.breaker()?.filter(|breaker| now < breaker.until);
            Ok(QuotaReport {
                profile,
                day,
                used,
                budget,
                left,
                resets_at,
                forecast: forecast(used, now, resets_at),
                open_until: open_breaker.as_ref().map(|breaker| breaker.until),
                open_because: open_breaker.map(|breaker| breaker.error.to_string()),
            })
        };
        self.upstreams.iter().map(report).collect()
    }

    /// How many answers were given without a call that would have cost one: today, and ever.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder fails.
    pub fn saved_calls(&self) -> Result<(u64, u64), EngineError> {
        self.flush_saved();
        Ok(self.store.saved_calls(&QuotaDay::of(self.clock.now()))?)
    }

    pub(super) fn flush_saved(&self) {
        let _patience = Patience::limited_to(NOTE_PATIENCE);
        let calls = self.saved.0.swap(0, Ordering::Relaxed);
        // A statistic: if it cannot be written now, it can later.
        if calls > 0 && self.store.add_saved_calls(&QuotaDay::of(self.clock.now()), calls).is_err() {
            self.saved.0.fetch_add(calls, Ordering::Relaxed);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.store.storing_fails() {
            // The last occasion for what could not even be set aside.
            let _patience = self.patience(&Interrupt::never());
            let _ = self.store.store_what_waits();
            return;
        }
        self.flush_saved();
        self.flush_recognised();
    }
}

/// The calls so far, and as many more as the rest of the day has room for at the mean rate since the day began; not before an hour of
/// it has passed. Measured from the first call instead, ten busy minutes foretold thousands of calls.
fn forecast(used: u32, now: Timestamp, resets_at: Timestamp) -> Option<u64> {
    let rest_ms = now.until(resets_at).as_millis();
    let spent_ms = DAY_MS.checked_sub(rest_ms).filter(|spent_ms| *spent_ms >= HOUR_MS)?;
    u64::try_from(u128::from(used) * DAY_MS / spent_ms).ok().filter(|_| used > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_goes_on_at_the_rate_since_the_day_began() {
        let hour = |hours: i64| Timestamp::from_unix_ms(hours * 3_600_000);
        let forecast = |used, now| forecast(used, hour(now), hour(24));
        assert_eq!(forecast(112, 10), Some(268));
        assert_eq!(forecast(112, 24), Some(112));
        assert_eq!(forecast(3, 0), None);
        assert_eq!(forecast(0, 10), None);
    }
}
