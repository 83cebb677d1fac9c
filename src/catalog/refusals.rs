//! Pictures that an upstream does not take: a negative answer, remembered so that it is not paid for again.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::columns::text;
use super::{Catalog, CatalogError};
use crate::photo::Digest;
use crate::timestamp::Timestamp;

/// What an upstream said against a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Who refused it.
    pub profile: String,
    /// The upstream's own code.
    pub code: String,
    /// What the upstream said.
    pub message: String,
    /// When it was refused.
    pub refused_at: Timestamp,
}

impl Catalog {
    /// Remembers that an upstream does not take these bytes.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn remember_refusal(&self, byte_digest: Digest, refusal: &Refusal) -> Result<(), CatalogError> {
        let writer = self.writer_in_time()?;
        put_refusal(&writer, byte_digest, refusal)?;
        Ok(())
    }

    /// What `profile` said against these bytes, if that was after `since` and not after `until`.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn refusal(
        &self,
        byte_digest: Digest,
        profile: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Refusal>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT profile, code, message, refused_at_ms FROM refusals
                 WHERE byte_digest = ?1 AND profile = ?2 AND refused_at_ms > ?3 AND refused_at_ms <= ?4",
            )?
            .query_row(params![byte_digest.as_bytes(), profile, since.unix_ms(), until.unix_ms()], |row| {
                Ok(Refusal {
                    profile: text(row, 0)?,
                    code: text(row, 1)?,
                    message: text(row, 2)?,
                    refused_at: Timestamp::from_unix_ms(row.get(3)?),
                })
            })
            .optional()
        })
    }
}

pub(super) fn put_refusal(
    connection: &Connection,
    byte_digest: Digest,
    refusal: &Refusal,
) -> Result<(), rusqlite::Error> {
    connection.execute(
        "INSERT INTO refusals (byte_digest, profile, code, message, refused_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (byte_digest, profile) DO UPDATE
         SET code = excluded.code, message = excluded.message, refused_at_ms = excluded.refused_at_ms
         WHERE excluded.refused_at_ms >= refusals.refused_at_ms",
        params![
            byte_digest.as_bytes(),
            refusal.profile,
            refusal.code,
            refusal.message,
            refusal.refused_at.unix_ms()
        ],
    )?;
    Ok(())
}
