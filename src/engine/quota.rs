//! What is left to spend, and what was saved.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::paying::NOTE_PATIENCE;
use super::{Engine, EngineError, Mode};
use crate::cancel::Interrupt;
use crate::clock::Timestamp;
use crate::quota_day::QuotaDay;
use crate::store::Patience;

/// Saved calls are written down this many at a time, because a hit must not wait for the disk. A process that is
/// killed forgets fewer than this.
const FLUSH_EVERY: u64 = 64;

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
    /// How many calls the day will have seen if they go on as they have since the first of today's; `None` before
    /// the second.
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
                forecast: forecast(&starts, now, resets_at),
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
    }
}

/// The calls so far, and as many more as the rest of the day has room for at the mean pause since the first.
fn forecast(starts: &[Timestamp], now: Timestamp, resets_at: Timestamp) -> Option<u64> {
    let first = starts.first().filter(|_| starts.len() > 1)?;
    let (spent_ms, rest_ms) = (first.until(now).as_millis().max(1), now.until(resets_at).as_millis());
    let used = starts.len() as u128;
    u64::try_from(used + used * rest_ms / spent_ms).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_goes_on_at_the_pace_since_the_first_call() {
        let at = Timestamp::from_unix_ms;
        let starts = [at(1000), at(1500), at(2000)];
        // 3 calls in 2 s, and 10 s to go.
        assert_eq!(forecast(&starts, at(3000), at(13_000)), Some(18));
        assert_eq!(forecast(&starts[..1], at(3000), at(13_000)), None);
    }
}
