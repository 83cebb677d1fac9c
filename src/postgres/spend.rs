//! The account of paid calls, breakers included. A booking holds its upstream's row in `accounts`.

use postgres::Row;

use super::connection::{Lock, Write};
use super::{PostgresStore, count, plain};
use crate::catalog::{Asking, CatalogError, Holder, Patience, Subject};
use crate::ledger::{Booking, Breaker, CallOutcome, Ledger, LedgerError, ProviderCount, Reservation};
use crate::quota_day::QuotaDay;
use crate::store::SpendStore;
use crate::timestamp::Timestamp;
use crate::upstream_error::{UpstreamError, UpstreamErrorKind};

const SPENT: &str = "SELECT count(*) FROM spend WHERE profile = $1 AND day = $2 AND state <> 'refunded'";

const PROVIDER_COUNT: &str =
    "SELECT foreign_calls, max_a_day FROM provider_counts WHERE profile = $1 AND day = $2";

impl Ledger for PostgresStore {
    fn reserve(&self, booking: &Booking) -> Result<Reservation, LedgerError> {
        self.book(booking).map_err(storage)?.map_err(|used| LedgerError::BudgetSpent { used })
    }

    fn refuse_if_spent(&self, booking: &Booking) -> Result<(), LedgerError> {
        let (profile, day) = (booking.profile, booking.day.to_string());
        let look = self.read(|c| {
            let told = c.first(PROVIDER_COUNT, &[&profile, &day])?;
            spent_budget(booking, told, &c.one(SPENT, &[&profile, &day])?)
        });
        look.map_err(storage)?.map_or(Ok(()), |used| Err(LedgerError::BudgetSpent { used }))
    }

    fn settle(&self, reservation: i64, outcome: CallOutcome) -> Result<(), LedgerError> {
        let state = match outcome {
            CallOutcome::Billed => "billed",
            CallOutcome::Refunded => "refunded",
        };
        // What follows a call waits no longer than people wait for its answer.
        Patience::call_ended();
        let settle = || {
            let mut write = self.write(Lock::None)?;
            write.execute("UPDATE spend SET state = $2 WHERE spend_id = $1", &[&reservation, &state])?;
            write.commit()
        };
        settle().map_err(storage)
    }

    fn reconcile(&self, profile: &str, day: QuotaDay, count: ProviderCount) -> Result<(), LedgerError> {
        let reconcile = || {
            let mut write = self.write(Lock::Account(profile))?;
            let day = day.to_string();
            // Calls under way are ours but perhaps not counted yet, so the difference is never too large by them.
            let ours = number(&write.one(SPENT, &[&profile, &day])?, 0)?;
            let foreign = i64::from(count.used_today.saturating_sub(ours));
            write.execute(
                "INSERT INTO provider_counts (profile, day, foreign_calls, max_a_day) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (profile, day) DO UPDATE
                 SET foreign_calls = greatest(provider_counts.foreign_calls, excluded.foreign_calls),
                     max_a_day = excluded.max_a_day",
                &[&profile, &day, &foreign, &i64::from(count.max_a_day)],
            )?;
            write.commit()
        };
        reconcile().map_err(storage)
    }

    fn breaker(&self, profile: &'static str) -> Result<Option<Breaker>, LedgerError> {
        let read = self.read(|c| {
            let row = c.first(
                "SELECT until_ms, coalesce(kind, ''), coalesce(code, ''), coalesce(message, '') FROM breakers
                 WHERE profile = $1 AND until_ms IS NOT NULL",
                &[&profile],
            )?;
            let Some(row) = row else { return Ok(None) };
            let kind: String = row.try_get(1)?;
            // A kind of a later version is some trouble that passes.
            let kind = serde_json::from_value(kind.into()).unwrap_or(UpstreamErrorKind::Transient);
            let (code, message) = (row.try_get(2)?, row.try_get(3)?);
            let error =
                UpstreamError { profile, kind, code, message, retry_after: None, billed: Some(false) };
            Ok(Some(Breaker { until: Timestamp::from_unix_ms(row.try_get(0)?), error }))
        });
        read.map_err(storage)
    }

    fn trip(&self, profile: &str, until: Timestamp, error: &UpstreamError) -> Result<(), LedgerError> {
        let kind = serde_json::to_value(error.kind).ok();
        let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
        let trip = || {
            let mut write = self.write(Lock::None)?;
            write.execute(
                "INSERT INTO breakers (profile, failures, until_ms, kind, code, message) VALUES ($1, 0, $2, $3, $4, $5)
                 ON CONFLICT (profile) DO UPDATE SET until_ms = excluded.until_ms, kind = excluded.kind,
                     code = excluded.code, message = excluded.message",
                &[&profile, &until.unix_ms(), &kind, &plain(&error.code), &plain(&error.message)],
            )?;
            write.commit()
        };
        trip().map_err(storage)
    }

    fn note_failure(&self, profile: &str) -> Result<u32, LedgerError> {
        let note = || {
            let mut write = self.write(Lock::None)?;
            let row = write.one(
                "INSERT INTO breakers (profile, failures) VALUES ($1, 1)
                 ON CONFLICT (profile) DO UPDATE SET failures = breakers.failures + 1 RETURNING failures",
                &[&profile],
            )?;
            let failures = number(&row, 0)?;
            write.commit()?;
            Ok(failures)
        };
        note().map_err(|error: CatalogError| storage(error))
    }

    /// Looks first, because most answers follow upon an answer, and a write costs more.
    fn recovered(&self, profile: &str) -> Result<(), LedgerError> {
        let recover = || {
            if self.read(|c| Ok(c.exists("SELECT 1 FROM breakers WHERE profile = $1", &[&profile])?))? {
                let mut write = self.write(Lock::None)?;
                write.execute("DELETE FROM breakers WHERE profile = $1", &[&profile])?;
                write.commit()?;
            }
            Ok(())
        };
        recover().map_err(|error: CatalogError| storage(error))
    }
}

impl SpendStore for PostgresStore {
    fn calls_spent(&self, profile: &str, day: &QuotaDay) -> Result<u32, CatalogError> {
        self.read(|c| number(&c.one(SPENT, &[&profile, &day.to_string()])?, 0))
    }

    fn call_starts(&self, profile: &str, day: &QuotaDay) -> Result<Vec<Timestamp>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT start_at_ms FROM spend WHERE profile = $1 AND day = $2 AND state <> 'refunded'
                 ORDER BY start_at_ms",
                &[&profile, &day.to_string()],
            )?
            .iter()
            .map(|row| Ok(Timestamp::from_unix_ms(row.try_get(0)?)))
            .collect()
        })
    }

    fn provider_limits(&self, profile: &str, day: &QuotaDay) -> Result<(u32, Option<u32>), CatalogError> {
        self.read(|c| {
            let (foreign, max_a_day) = limits(c.first(PROVIDER_COUNT, &[&profile, &day.to_string()])?)?;
            Ok((foreign, (max_a_day < u32::MAX).then_some(max_a_day)))
        })
    }

    fn saved_calls(&self, day: &QuotaDay) -> Result<(u64, u64), CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT coalesce(sum(calls) FILTER (WHERE day = $1), 0)::bigint, coalesce(sum(calls), 0)::bigint
                 FROM saved_calls",
                &[&day.to_string()],
            )?;
            Ok((count(row.try_get(0)?), count(row.try_get(1)?)))
        })
    }

    fn add_saved_calls(&self, day: &QuotaDay, calls: u64) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::None)?;
        write.execute(
            "INSERT INTO saved_calls (day, calls) VALUES ($1, $2)
             ON CONFLICT (day) DO UPDATE SET calls = saved_calls.calls + excluded.calls",
            &[&day.to_string(), &i64::try_from(calls).unwrap_or(i64::MAX)],
        )?;
        write.commit()
    }

    fn take_turn_from(
        &self,
        given_up: Option<Holder>,
        subject: Subject<'_>,
        params: &str,
        same_from: f32,
    ) -> Result<Result<Asking<'_>, Holder>, CatalogError> {
        self.take_lease(given_up, subject, params, same_from)
    }
}

impl PostgresStore {
    /// Books a call, or says how many are booked where the budget is spent.
    fn book(&self, booking: &Booking) -> Result<Result<Reservation, u32>, CatalogError> {
        let mut write = self.write(Lock::Account(booking.profile))?;
        let latest_start = booking.now.plus(booking.max_ahead);
        redate(&mut write, booking, QuotaDay::of(latest_start))?;
        let (profile, day) = (booking.profile, booking.day.to_string());
        let told = write.first(PROVIDER_COUNT, &[&profile, &day])?;
        if let Some(used) = spent_budget(booking, told, &write.one(SPENT, &[&profile, &day])?)? {
            return Ok(Err(used));
        }
        // Refunded calls were made too, so they count for the pace.
        let row = write.one(
            "SELECT max(start_at_ms) FROM spend WHERE profile = $1 AND start_at_ms <= $2",
            &[&profile, &latest_start.unix_ms()],
        )?;
        let last_start: Option<i64> = row.try_get(0)?;
        let after_last = |start| Timestamp::from_unix_ms(start).plus(booking.min_interval);
        let start_at = last_start.map_or(booking.now, after_last).max(booking.now);
        let row = write.one(
            "INSERT INTO spend (profile, day, start_at_ms, state) VALUES ($1, $2, $3, 'booked')
             RETURNING spend_id",
            &[&profile, &day, &start_at.unix_ms()],
        )?;
        let id = row.try_get(0)?;
        write.commit()?;
        Ok(Ok(Reservation { id, start_at }))
    }
}

/// What is written down for days after `last_day` comes from before the clock was set back: the calls were made, and
/// count for the booking's day; what the provider said of such a day it said of another.
fn redate(write: &mut Write<'_>, booking: &Booking, last_day: QuotaDay) -> Result<(), CatalogError> {
    let (profile, last_day) = (booking.profile, last_day.to_string());
    write.execute(
        "UPDATE spend SET day = $3, start_at_ms = $4 WHERE profile = $1 AND day > $2",
        &[&profile, &last_day, &booking.day.to_string(), &booking.now.unix_ms()],
    )?;
    write.execute("DELETE FROM provider_counts WHERE profile = $1 AND day > $2", &[&profile, &last_day])?;
    Ok(())
}

/// How many calls are booked, if that is the whole budget; of what the provider has told and of what was spent.
fn spent_budget(booking: &Booking, told: Option<Row>, spent: &Row) -> Result<Option<u32>, CatalogError> {
    let (foreign, max_a_day) = limits(told)?;
    let used = number(spent, 0)?.saturating_add(foreign);
    Ok((used >= booking.budget.min(max_a_day)).then_some(used))
}

/// Calls of others, and the provider's own limit, as far as it has told.
fn limits(told: Option<Row>) -> Result<(u32, u32), CatalogError> {
    let Some(told) = told else { return Ok((0, u32::MAX)) };
    Ok((number(&told, 0)?, number(&told, 1)?))
}

/// A column that counts something: what is out of range is the nearest that is in it.
fn number(row: &Row, column: usize) -> Result<u32, CatalogError> {
    let number: i64 = row.try_get(column)?;
    Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

fn storage(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Storage { message: error.to_string() }
}
