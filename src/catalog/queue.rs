//! Pictures that wait until the upstream may be asked again. They survive whatever ends the process.

use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::columns::{blob, count, integer, optional_text, text};
use super::damage::{DamageLog, Entry};
use super::{Catalog, CatalogError};
use crate::photo::Digest;
use crate::question::SearchParams;
use crate::timestamp::Timestamp;

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
    pub(crate) fn as_str(self) -> &'static str {
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
    /// Why it waits.
    pub reason: WaitReason,
    /// Higher ones come first.
    pub priority: i32,
    /// For people, usually the file's name.
    pub label: &'a str,
    /// Of `bytes`.
    pub byte_digest: Digest,
    /// The picture's file.
    pub bytes: &'a [u8],
    /// Where the picture was got from.
    pub source_url: Option<&'a str>,
    /// What is to be asked.
    pub params: &'a SearchParams,
    /// When it began to wait.
    pub queued_at: Timestamp,
}

/// A picture that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Its number in the queue; they only rise.
    pub queue_id: i64,
    /// Why it waits.
    pub reason: WaitReason,
    /// Higher ones come first.
    pub priority: i32,
    /// For people, usually the file's name.
    pub label: String,
    /// The picture's file.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Where the picture was got from, if that is a web address.
    pub source_url: Option<String>,
    /// What is to be asked.
    pub params: SearchParams,
    /// When it began to wait.
    pub queued_at: Timestamp,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// What went wrong the last time.
    pub trouble: Option<String>,
}

/// How many pictures wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// Pictures about which nothing could be asked.
    pub deferred: u64,
    /// Pictures whose answer is old.
    pub stale: u64,
    /// Of all of them, those that were tried in vain.
    pub in_trouble: u64,
}

const COLUMNS: &str = "queue_id, priority, reason, label, bytes, params, queued_at_ms, attempts, trouble, source_url, byte_digest";

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
    /// higher priority first, then the one that has waited longest. An entry that cannot be read is passed over.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn next_waiting(&self, after: Option<(i32, i64)>) -> Result<Option<Waiting>, CatalogError> {
        self.read(|c| first_readable(after, &self.damage, |place| raw_after(c, place)))
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

/// A row of the queue, unverified.
pub(crate) struct RawWaiting {
    pub(crate) queue_id: i64,
    pub(crate) priority: i64,
    pub(crate) reason: String,
    pub(crate) label: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) byte_digest: Vec<u8>,
    pub(crate) params: Vec<u8>,
    pub(crate) queued_at_ms: i64,
    pub(crate) attempts: u32,
    pub(crate) trouble: Option<String>,
    pub(crate) source_url: Option<String>,
}

impl RawWaiting {
    /// Where it stands in the order.
    pub(crate) fn place(&self) -> (i64, i64) {
        (self.priority, self.queue_id)
    }

    /// The entry, or what is wrong with it. A picture of which a bit has changed would be asked about, and paid for, in
    /// the place of the one that was meant.
    pub(crate) fn into_waiting(self) -> Result<Waiting, String> {
        if Digest::of(&self.bytes).as_bytes()[..] != self.byte_digest {
            return Err("the picture's bytes are not those that were stored".to_owned());
        }
        Ok(Waiting {
            queue_id: self.queue_id,
            reason: self.reason.parse().map_err(|()| format!("{:?} is no reason to wait", self.reason))?,
            priority: i32::try_from(self.priority).map_err(|e| format!("its priority: {e}"))?,
            label: self.label,
            params: serde_json::from_slice(&self.params).map_err(|e| format!("its parameters: {e}"))?,
            bytes: self.bytes,
            queued_at: Timestamp::from_unix_ms(self.queued_at_ms),
            attempts: self.attempts,
            trouble: self.trouble,
            source_url: self.source_url,
        })
    }
}

/// The row after `place` (a priority and a number), or the first one.
/// The first picture after a place in the queue that can be read; those before it are noted. `raw_after` is the next one as it
/// is stored.
pub(crate) fn first_readable<E>(
    after: Option<(i32, i64)>,
    damage: &DamageLog,
    mut raw_after: impl FnMut(Option<(i64, i64)>) -> Result<Option<RawWaiting>, E>,
) -> Result<Option<Waiting>, E> {
    let mut place = after.map(|(priority, queue_id)| (i64::from(priority), queue_id));
    while let Some(raw) = raw_after(place)? {
        place = Some(raw.place());
        let queue_id = raw.queue_id;
        match raw.into_waiting() {
            Ok(waiting) => return Ok(Some(waiting)),
            Err(problem) => damage.note(Entry::Waiting { queue_id }, problem),
        }
    }
    Ok(None)
}

pub(super) fn raw_after(
    connection: &Connection,
    place: Option<(i64, i64)>,
) -> Result<Option<RawWaiting>, rusqlite::Error> {
    let (priority, queue_id) = place.unwrap_or((i64::MAX, i64::MIN));
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM queue
             WHERE priority < ?1 OR (priority = ?1 AND queue_id > ?2)
             ORDER BY priority DESC, queue_id LIMIT 1"
        ))?
        .query_row(params![priority, queue_id], |row| {
            Ok(RawWaiting {
                queue_id: row.get(0)?,
                priority: row.get(1)?,
                reason: text(row, 2)?,
                label: text(row, 3)?,
                bytes: blob(row, 4)?.to_vec(),
                params: blob(row, 5)?.to_vec(),
                queued_at_ms: integer(row, 6)?.unwrap_or(0),
                attempts: count(row, 7)?,
                trouble: optional_text(row, 8)?,
                source_url: optional_text(row, 9)?,
                byte_digest: blob(row, 10)?.to_vec(),
            })
        })
        .optional()
}
