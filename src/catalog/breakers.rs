//! Upstreams that fail, for all processes to know.

use rusqlite::{OptionalExtension, params};

use super::columns::{count, text};
use super::{Catalog, CatalogError};
use crate::ledger::Breaker;
use crate::timestamp::Timestamp;
use crate::upstream_error::{UpstreamError, UpstreamErrorKind};

impl Catalog {
    pub(super) fn stored_breaker(&self, profile: &'static str) -> Result<Option<Breaker>, CatalogError> {
        let row: Option<(i64, String, String, String)> = self.read(|c| {
            c.prepare_cached(
                "SELECT until_ms, kind, code, message FROM breakers WHERE profile = ?1 AND until_ms IS NOT NULL",
            )?
            .query_row([profile], |row| Ok((row.get(0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?)))
            .optional()
        })?;
        Ok(row.map(|(until_ms, kind, code, message)| {
            // A kind of a later version is some trouble that passes.
            let kind = serde_json::from_value(kind.into()).unwrap_or(UpstreamErrorKind::Transient);
            let error =
                UpstreamError { profile, kind, code, message, retry_after: None, billed: Some(false) };
            Breaker { until: Timestamp::from_unix_ms(until_ms), error }
        }))
    }

    pub(super) fn store_breaker(
        &self,
        profile: &str,
        until: Timestamp,
        error: &UpstreamError,
    ) -> Result<(), CatalogError> {
        let kind = serde_json::to_value(error.kind).ok();
        let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default();
        self.writer_in_time()?.execute(
            "INSERT INTO breakers (profile, failures, until_ms, kind, code, message) VALUES (?1, 0, ?2, ?3, ?4, ?5)
             ON CONFLICT (profile) DO UPDATE SET until_ms = excluded.until_ms, kind = excluded.kind,
                 code = excluded.code, message = excluded.message",
            params![profile, until.unix_ms(), kind, error.code, error.message],
        )?;
        Ok(())
    }

    pub(super) fn add_failure(&self, profile: &str) -> Result<u32, CatalogError> {
        Ok(self.writer_in_time()?.query_row(
            "INSERT INTO breakers (profile, failures) VALUES (?1, 1)
             ON CONFLICT (profile) DO UPDATE SET failures = failures + 1 RETURNING failures",
            [profile],
            |row| count(row, 0),
        )?)
    }

    /// Looks first, because most answers follow upon an answer, and a write costs an fsync.
    pub(super) fn remove_breaker(&self, profile: &str) -> Result<(), CatalogError> {
        let is_there =
            self.read(|c| c.prepare_cached("SELECT 1 FROM breakers WHERE profile = ?1")?.exists([profile]))?;
        if is_there {
            self.writer_in_time()?.execute("DELETE FROM breakers WHERE profile = ?1", [profile])?;
        }
        Ok(())
    }
}
