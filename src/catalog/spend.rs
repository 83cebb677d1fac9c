//! The spend ledger: every paid call is booked here before it is made.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::columns::count;
use super::{Catalog, CatalogError, Patience};
use crate::ledger::{Booking, Breaker, CallOutcome, Ledger, LedgerError, ProviderCount, Reservation};
use crate::quota_day::QuotaDay;
use crate::timestamp::Timestamp;
use crate::upstream_error::UpstreamError;

impl Catalog {
    /// How many calls count against `day`: those billed, and those booked and not settled. A process
    /// that was killed in the middle of a call leaves it booked, because the provider may have counted it.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn calls_spent(&self, profile: &str, day: &QuotaDay) -> Result<u32, CatalogError> {
        self.read(|c| spent(c, profile, *day))
    }

    /// Calls of `day` that the provider has counted beyond ours, and how many it lets through, where it says so.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn provider_limits(&self, profile: &str, day: &QuotaDay) -> Result<(u32, Option<u32>), CatalogError> {
        let (foreign, max_a_day) = self.read(|c| provider_count(c, profile, *day))?;
        Ok((foreign, (max_a_day < u32::MAX).then_some(max_a_day)))
    }

    /// Adds to the count of answers that were given without a call.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn add_saved_calls(&self, day: &QuotaDay, calls: u64) -> Result<(), CatalogError> {
        self.writer_in_time()?.execute(
            "INSERT INTO saved_calls (day, calls) VALUES (?1, ?2)
             ON CONFLICT (day) DO UPDATE SET calls = calls + excluded.calls",
            params![day.to_string(), calls],
        )?;
        Ok(())
    }

    /// How many answers were given without a call: on `day`, and ever.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn saved_calls(&self, day: &QuotaDay) -> Result<(u64, u64), CatalogError> {
        self.read(|c| {
            c.query_row(
                "SELECT coalesce(sum(calls) FILTER (WHERE day = ?1), 0), coalesce(sum(calls), 0) FROM saved_calls",
                [day.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    /// When the calls that count against `day` started.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn call_starts(&self, profile: &str, day: &QuotaDay) -> Result<Vec<Timestamp>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT start_at_ms FROM spend WHERE profile = ?1 AND day = ?2 AND state <> 'refunded'
                 ORDER BY start_at_ms",
            )?
            .query_map(params![profile, day.to_string()], |row| Ok(Timestamp::from_unix_ms(row.get(0)?)))?
            .collect()
        })
    }

    fn book(&self, booking: &Booking) -> Result<Result<Reservation, u32>, rusqlite::Error> {
        let mut writer = self.writer_in_time()?;
        // Immediate: counting and booking must be one step for all threads and all processes.
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let latest_start = booking.now.plus(booking.max_ahead);
        redate(&transaction, booking, QuotaDay::of(latest_start))?;
        if let Some(used) = spent_budget(&transaction, booking)? {
            return Ok(Err(used));
        }
        // Refunded calls were made too, so they count for the pace.
        let last_start: Option<i64> = transaction
            .prepare_cached("SELECT max(start_at_ms) FROM spend WHERE profile = ?1 AND start_at_ms <= ?2")?
            .query_row(params![booking.profile, latest_start.unix_ms()], |row| row.get(0))?;
        let after_last = |start| Timestamp::from_unix_ms(start).plus(booking.min_interval);
        let paced = last_start.map_or(booking.now, after_last);
        let start_at = paced.max(booking.now);
        transaction
            .prepare_cached(
                "INSERT INTO spend (profile, day, start_at_ms, state) VALUES (?1, ?2, ?3, 'booked')",
            )?
            .execute(params![booking.profile, booking.day.to_string(), start_at.unix_ms()])?;
        let id = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(Ok(Reservation { id, start_at }))
    }
}

/// What is written down for days after `last_day` comes from before the clock was set back: the calls were made, and
/// count for the booking's day; what the provider said of such a day it said of another.
fn redate(connection: &Connection, booking: &Booking, last_day: QuotaDay) -> Result<(), rusqlite::Error> {
    let (profile, last_day) = (booking.profile, last_day.to_string());
    connection
        .prepare_cached("UPDATE spend SET day = ?3, start_at_ms = ?4 WHERE profile = ?1 AND day > ?2")?
        .execute(params![profile, last_day, booking.day.to_string(), booking.now.unix_ms()])?;
    connection
        .prepare_cached("DELETE FROM provider_counts WHERE profile = ?1 AND day > ?2")?
        .execute(params![profile, last_day])?;
    Ok(())
}

fn spent(connection: &Connection, profile: &str, day: QuotaDay) -> Result<u32, rusqlite::Error> {
    connection
        .prepare_cached("SELECT count(*) FROM spend WHERE profile = ?1 AND day = ?2 AND state <> 'refunded'")?
        .query_row(params![profile, day.to_string()], |row| row.get(0))
}

/// How many calls are booked, if that is the whole budget.
fn spent_budget(connection: &Connection, booking: &Booking) -> Result<Option<u32>, rusqlite::Error> {
    let (foreign, max_a_day) = provider_count(connection, booking.profile, booking.day)?;
    let used = spent(connection, booking.profile, booking.day)?.saturating_add(foreign);
    Ok((used >= booking.budget.min(max_a_day)).then_some(used))
}

/// Calls of others, and the provider's own limit, as far as it has told.
fn provider_count(
    connection: &Connection,
    profile: &str,
    day: QuotaDay,
) -> Result<(u32, u32), rusqlite::Error> {
    let told = connection
        .prepare_cached(
            "SELECT foreign_calls, max_a_day FROM provider_counts WHERE profile = ?1 AND day = ?2",
        )?
        .query_row(params![profile, day.to_string()], |row| Ok((count(row, 0)?, count(row, 1)?)))
        .optional()?;
    Ok(told.unwrap_or((0, u32::MAX)))
}

impl Ledger for Catalog {
    fn reserve(&self, booking: &Booking) -> Result<Reservation, LedgerError> {
        match self.book(booking) {
            Ok(Ok(reservation)) => Ok(reservation),
            Ok(Err(used)) => Err(LedgerError::BudgetSpent { used }),
            Err(e) => Err(storage(e)),
        }
    }

    fn refuse_if_spent(&self, booking: &Booking) -> Result<(), LedgerError> {
        let spent = self.read(|c| spent_budget(c, booking)).map_err(storage)?;
        spent.map_or(Ok(()), |used| Err(LedgerError::BudgetSpent { used }))
    }

    fn reconcile(&self, profile: &str, day: QuotaDay, count: ProviderCount) -> Result<(), LedgerError> {
        let write = || {
            let mut writer = self.writer_in_time()?;
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Calls under way are ours but perhaps not counted yet, so the difference is never too large by them.
            let foreign = count.used_today.saturating_sub(spent(&transaction, profile, day)?);
            transaction.execute(
                "INSERT INTO provider_counts (profile, day, foreign_calls, max_a_day) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (profile, day) DO UPDATE
                 SET foreign_calls = max(foreign_calls, excluded.foreign_calls), max_a_day = excluded.max_a_day",
                params![profile, day.to_string(), foreign, count.max_a_day],
            )?;
            transaction.commit()
        };
        write().map_err(|e: rusqlite::Error| storage(e))
    }

    fn breaker(&self, profile: &'static str) -> Result<Option<Breaker>, LedgerError> {
        self.stored_breaker(profile).map_err(storage)
    }

    fn trip(&self, profile: &str, until: Timestamp, error: &UpstreamError) -> Result<(), LedgerError> {
        self.store_breaker(profile, until, error).map_err(storage)
    }

    fn note_failure(&self, profile: &str) -> Result<u32, LedgerError> {
        self.add_failure(profile).map_err(storage)
    }

    fn recovered(&self, profile: &str) -> Result<(), LedgerError> {
        self.remove_breaker(profile).map_err(storage)
    }

    fn settle(&self, reservation: i64, outcome: CallOutcome) -> Result<(), LedgerError> {
        let state = match outcome {
            CallOutcome::Billed => "billed",
            CallOutcome::Refunded => "refunded",
        };
        // What follows a call waits no longer than people wait for its answer.
        Patience::call_ended();
        self.writer_in_time()
            .map_err(storage)?
            .execute("UPDATE spend SET state = ?2 WHERE spend_id = ?1", params![reservation, state])
            .map_err(storage)?;
        Ok(())
    }
}

fn storage(error: impl std::fmt::Display) -> LedgerError {
    LedgerError::Storage { message: error.to_string() }
}
