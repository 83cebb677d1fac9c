//! Pictures that wait until the upstream may be asked again. They survive whatever ends the process.

use std::str::FromStr;

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use super::{Catalog, CatalogError};
use crate::clock::Timestamp;
use crate::photo::Digest;
use crate::upstream::SearchParams;

/// Why a picture waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Nothing is known about it, and nothing might be asked.
    Deferred,
    /// What is known about it has grown old.
    Stale,
}

impl WaitReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "deferred",
            Self::Stale => "stale",
        }
    }
}

impl FromStr for WaitReason {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Deferred, Self::Stale].into_iter().find(|reason| reason.as_str() == text).ok_or(())
    }
}

/// A picture that is to wait.
#[derive(Clone, Copy, Debug)]
pub struct NewWaiting<'a> {
    pub reason: WaitReason,
    /// Higher ones come first.
    pub priority: i32,
    pub label: &'a str,
    pub byte_digest: Digest,
    pub bytes: &'a [u8],
    /// Where the picture was got from.
    pub source_url: Option<&'a str>,
    pub params: &'a SearchParams,
    pub queued_at: Timestamp,
}

/// A picture that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub queue_id: i64,
    pub reason: WaitReason,
    pub priority: i32,
    pub label: String,
    #[serde(skip)]
    pub bytes: Vec<u8>,
    pub source_url: Option<String>,
    pub params: SearchParams,
    pub queued_at: Timestamp,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// What went wrong the last time.
    pub trouble: Option<String>,
}

/// How many pictures wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    pub deferred: u64,
    pub stale: u64,
    /// Of all of them, those that were tried in vain.
    pub in_trouble: u64,
}

const COLUMNS: &str =
    "queue_id, reason, priority, label, bytes, params, queued_at_ms, attempts, trouble, source_url";

impl Catalog {
    /// Has a picture wait. The same bytes with the same parameters wait once, under the higher of both priorities.
    /// Returns whether they were not waiting yet.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn queue(&self, waiting: &NewWaiting<'_>) -> Result<bool, CatalogError> {
        let params = serde_json::to_string(waiting.params)
            .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        let writer = self.writer_in_time()?;
        let mut insert = writer.prepare_cached(
            "INSERT INTO queue (reason, priority, label, byte_digest, bytes, params_key, params, queued_at_ms,
                                source_url)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (byte_digest, params_key) DO NOTHING",
        )?;
        let inserted = insert.execute(params![
            waiting.reason.as_str(),
            waiting.priority,
            waiting.label,
            waiting.byte_digest.as_bytes(),
            waiting.bytes,
            waiting.params.key(),
            params,
            waiting.queued_at.unix_ms(),
            waiting.source_url,
        ])?;
        if inserted == 0 {
            writer.execute(
                "UPDATE queue SET priority = max(priority, ?3) WHERE byte_digest = ?1 AND params_key = ?2",
                params![waiting.byte_digest.as_bytes(), waiting.params.key(), waiting.priority],
            )?;
        }
        Ok(inserted > 0)
    }

    /// The next picture after `after` (a priority and a number) in the order in which they are worked off: the
    /// higher priority first, then the one that has waited longest.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read, or an entry.
    pub fn next_waiting(&self, after: Option<(i32, i64)>) -> Result<Option<Waiting>, CatalogError> {
        let (priority, queue_id) = after.unwrap_or((i32::MAX, -1));
        self.read(|c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM queue
                 WHERE priority < ?1 OR (priority = ?1 AND queue_id > ?2)
                 ORDER BY priority DESC, queue_id LIMIT 1"
            ))?
            .query_row(params![priority, queue_id], waiting_row)
            .optional()
        })
    }

    /// Takes a picture out of the queue.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn unqueue(&self, queue_id: i64) -> Result<(), CatalogError> {
        self.writer_in_time()?.execute("DELETE FROM queue WHERE queue_id = ?1", [queue_id])?;
        Ok(())
    }

    /// Notes that a picture was tried in vain. It goes on waiting.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn note_trouble(&self, queue_id: i64, trouble: &str) -> Result<(), CatalogError> {
        self.writer_in_time()?.execute(
            "UPDATE queue SET attempts = attempts + 1, trouble = ?2 WHERE queue_id = ?1",
            params![queue_id, trouble],
        )?;
        Ok(())
    }

    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn queue_counts(&self) -> Result<QueueCounts, CatalogError> {
        self.read(|c| {
            c.query_row(
                "SELECT count(*) FILTER (WHERE reason = 'deferred'), count(*) FILTER (WHERE reason = 'stale'),
                        count(*) FILTER (WHERE attempts > 0) FROM queue",
                [],
                |row| Ok(QueueCounts { deferred: row.get(0)?, stale: row.get(1)?, in_trouble: row.get(2)? }),
            )
        })
    }
}

fn waiting_row(row: &Row<'_>) -> Result<Waiting, rusqlite::Error> {
    let reason: String = row.get(1)?;
    let params: String = row.get(5)?;
    let unreadable =
        |column| rusqlite::Error::InvalidColumnType(column, "queue".to_owned(), rusqlite::types::Type::Text);
    Ok(Waiting {
        queue_id: row.get(0)?,
        reason: reason.parse().map_err(|()| unreadable(1))?,
        priority: row.get(2)?,
        label: row.get(3)?,
        bytes: row.get(4)?,
        params: serde_json::from_str(&params).map_err(|_| unreadable(5))?,
        queued_at: Timestamp::from_unix_ms(row.get(6)?),
        attempts: row.get(7)?,
        trouble: row.get(8)?,
        source_url: row.get(9)?,
    })
}
