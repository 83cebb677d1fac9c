//! The account of calls: what is booked before a call, and settled after it; and until when an upstream is left alone.

use std::time::Duration;

use serde::Serialize;

use crate::quota_day::QuotaDay;
use crate::timestamp::Timestamp;
use crate::upstream_error::UpstreamError;

/// A provider's own count of calls, those of other programs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderCount {
    /// Calls that it has counted on its day.
    pub used_today: u32,
    /// What it lets through a day.
    pub max_a_day: u32,
}

impl ProviderCount {
    /// As OneBound writes it: `today:128 max:10100 all[...];expires:...`.
    #[must_use]
    pub fn parse(api_info: &str) -> Option<Self> {
        let number = |name: &str| {
            let digits = api_info.split_once(name)?.1;
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        };
        Some(Self { used_today: number("today:")?, max_a_day: number("max:")? })
    }
}

/// One call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// The upstream's profile.
    pub profile: &'static str,
    /// The quota day on which the call counts.
    pub day: QuotaDay,
    /// Calls that `day` may hold.
    pub budget: u32,
    /// The time of the booking.
    pub now: Timestamp,
    /// Between the starts of two calls of `profile`.
    pub min_interval: Duration,
    /// How far ahead of `now` a start can have been booked. What lies further ahead was booked before the clock was set
    /// back, and causes no delay.
    pub max_ahead: Duration,
}

/// A booked call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Names the booking when it is settled.
    pub id: i64,
    /// The call may start at this moment and not before; never before the booking's `now`.
    pub start_at: Timestamp,
}

/// How a booked call ended for the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The upstream counts the call, or may do so.
    Billed,
    /// The upstream does not count it: the budget gets it back.
    Refunded,
}

/// Why a ledger books nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum LedgerError {
    /// `used` calls are booked for the day, which is the whole budget.
    #[error("the day's budget is spent: {used} calls are booked")]
    BudgetSpent { used: u32 },
    /// The storage fails; `message` says how and what to do.
    #[error("the ledger of upstream calls cannot be read or written: {message}")]
    Storage { message: String },
}

/// An upstream's trouble that all processes have to know, so that each does not learn it by a call of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// The upstream is not asked before.
    pub until: Timestamp,
    /// What the upstream said.
    pub error: UpstreamError,
}

/// The account of calls, shared by every process on one data directory.
pub trait Ledger: Send + Sync {
    /// Books one call before it is made, atomically over all processes. The moment to start is the booking's
    /// `now` or `min_interval` after the start of the profile's last booking, whichever is later; a refunded
    /// booking still counts for the pace, because its request was sent, but not for the budget. Calls that are booked
    /// for a day that `max_ahead` does not reach were made before the clock was set back, and count for `day`.
    ///
    /// # Errors
    /// [`LedgerError::BudgetSpent`] when `budget` calls of `day` are booked and not refunded;
    /// [`LedgerError::Storage`] when the account cannot be read or written.
    fn reserve(&self, booking: &Booking) -> Result<Reservation, LedgerError>;

    /// Looks ahead, books nothing: refuses what [`reserve`](Self::reserve) would refuse because the budget is spent, as far as that
    /// can be told without writing. An account that cannot tell refuses nothing.
    ///
    /// # Errors
    /// As for [`reserve`](Self::reserve).
    fn refuse_if_spent(&self, _booking: &Booking) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Ends a booking. One that is never settled counts as billed.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    fn settle(&self, reservation: i64, outcome: CallOutcome) -> Result<(), LedgerError>;

    /// Takes the provider's own count into account, settled calls of ours included: what it has counted beyond ours
    /// was spent by other programs and is not there for us, and its limit holds beside the budget.
    ///
    /// # Errors
    /// [`LedgerError::Storage`].
    fn reconcile(&self, profile: &str, day: QuotaDay, count: ProviderCount) -> Result<(), LedgerError>;

    /// What [`trip`](Self::trip) was told last, if the upstream has not recovered since.
    ///
    /// # Errors
    /// [`LedgerError::Storage`]; so for all of these.
    fn breaker(&self, profile: &'static str) -> Result<Option<Breaker>, LedgerError>;

    /// Opens the breaker: no process asks before `until`, because of `error`.
    fn trip(&self, profile: &str, until: Timestamp, error: &UpstreamError) -> Result<(), LedgerError>;

    /// Counts a search that failed with all its attempts; returns how many those are in a row.
    fn note_failure(&self, profile: &str) -> Result<u32, LedgerError>;

    /// The upstream has answered: forgets breaker and failures.
    fn recovered(&self, profile: &str) -> Result<(), LedgerError>;
}
