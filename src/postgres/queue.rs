//! Pictures that wait until the upstream may be asked again.

use postgres::Row;

use super::PostgresStore;
use super::connection::{Lock, Reader};
use super::{fault, plain};
use crate::catalog::shared::{RawWaiting, first_readable};
use crate::catalog::{CatalogError, NewWaiting, Waiting};
use crate::store::QueueStore;

impl QueueStore for PostgresStore {
    fn queue(&self, waiting: &NewWaiting<'_>) -> Result<bool, CatalogError> {
        let params =
            serde_json::to_string(waiting.params).map_err(|error| fault::unexpected(error.to_string()))?;
        let mut write = self.write(Lock::None)?;
        // A row that was there has been locked by the transaction that updates it.
        let row = write.one(
            "INSERT INTO queue (reason, priority, label, byte_digest, bytes, params_key, params, queued_at_ms, source_url)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (byte_digest, params_key)
             DO UPDATE SET priority = greatest(queue.priority, excluded.priority)
             RETURNING xmax = 0",
            &[
                &waiting.reason.as_str(),
                &waiting.priority,
                &plain(waiting.label),
                &waiting.byte_digest.as_bytes().as_slice(),
                &waiting.bytes,
                &waiting.params.key(),
                &params,
                &waiting.queued_at.unix_ms(),
                &waiting.source_url.map(plain),
            ],
        )?;
        let is_new = row.try_get(0)?;
        write.commit()?;
        Ok(is_new)
    }

    fn next_waiting(&self, after: Option<(i32, i64)>) -> Result<Option<Waiting>, CatalogError> {
        self.read(|c| first_readable(after, &self.damage, |place| raw_after(c, place)))
    }

    fn unqueue(&self, queue_id: i64) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::None)?;
        write.execute("DELETE FROM queue WHERE queue_id = $1", &[&queue_id])?;
        write.commit()
    }

    fn note_trouble(&self, queue_id: i64, trouble: &str) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::None)?;
        write.execute(
            "UPDATE queue SET attempts = attempts + 1, trouble = $2 WHERE queue_id = $1",
            &[&queue_id, &plain(trouble)],
        )?;
        write.commit()
    }
}

/// The row after `place` (a priority and a number), or the first one.
pub(super) fn raw_after(
    c: &mut Reader<'_>,
    place: Option<(i64, i64)>,
) -> Result<Option<RawWaiting>, CatalogError> {
    let (priority, queue_id) = place.unwrap_or((i64::MAX, i64::MIN));
    let row = c.first(
        "SELECT queue_id, priority::bigint, reason, label, bytes, params, queued_at_ms, attempts, trouble, source_url,
                byte_digest
         FROM queue WHERE priority < $1::bigint OR (priority = $1 AND queue_id > $2)
         ORDER BY priority DESC, queue_id LIMIT 1",
        &[&priority, &queue_id],
    )?;
    row.map(|row| raw_waiting(&row)).transpose()
}

fn raw_waiting(row: &Row) -> Result<RawWaiting, CatalogError> {
    Ok(RawWaiting {
        queue_id: row.try_get(0)?,
        priority: row.try_get(1)?,
        reason: row.try_get(2)?,
        label: row.try_get(3)?,
        bytes: row.try_get(4)?,
        params: row.try_get::<_, String>(5)?.into_bytes(),
        queued_at_ms: row.try_get(6)?,
        attempts: u32::try_from(row.try_get::<_, i64>(7)?).unwrap_or(u32::MAX),
        trouble: row.try_get(8)?,
        source_url: row.try_get(9)?,
        byte_digest: row.try_get(10)?,
    })
}
