//! What sets the vectors of this home apart from all others', and from those that it had once.

use super::connection::{Lock, Write};
use super::{PostgresStore, meta};
use crate::catalog::{CatalogError, DatabaseTrouble};
use crate::store::Lineage;

/// A random name of the stored vectors, made when it is first asked for and taken away by whatever changes vectors otherwise
/// than the feed tells.
const VECTORS: &str = "vectors";

/// The cluster, the database and the table, which are others after a restore from a dump; and the timeline, which is another
/// after a restore to an earlier time and where a standby has taken over: numbers may be given there that were given before.
const PLACE: &str = "
    SELECT (SELECT system_identifier FROM pg_control_system())::text,
           (SELECT oid FROM pg_database WHERE datname = current_database())::bigint,
           to_regclass('embeddings')::oid::bigint,
           CASE WHEN pg_is_in_recovery()
                THEN upper(lpad(to_hex((SELECT timeline_id FROM pg_control_checkpoint())), 8, '0'))
                ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

impl PostgresStore {
    /// `None` where the server does not tell who it is, or the name is missing and cannot be written.
    pub(super) fn find_lineage(&self) -> Result<Option<Lineage>, CatalogError> {
        match self.lineage_or_error() {
            Err(CatalogError::Database {
                trouble: DatabaseTrouble::NoWrites | DatabaseTrouble::Other,
                ..
            }) => Ok(None),
            found => found,
        }
    }

    fn lineage_or_error(&self) -> Result<Option<Lineage>, CatalogError> {
        let mut name = self.read(|c| meta(c, VECTORS))?;
        if name.is_none() && !self.is_read_only {
            // Another process may name them at the same moment: the first one counts.
            let mut write = self.write(Lock::None)?;
            write.execute(
                "INSERT INTO meta (key, value)
                 VALUES ($1, md5(random()::text || clock_timestamp()::text || pg_backend_pid()::text))
                 ON CONFLICT (key) DO NOTHING",
                &[&VECTORS],
            )?;
            write.commit()?;
            name = self.read(|c| meta(c, VECTORS))?;
        }
        let Some(name) = name else { return Ok(None) };
        self.read(|c| {
            let row = c.one(PLACE, &[])?;
            let cluster: String = row.try_get(0)?;
            let (database, table): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
            let timeline: String = row.try_get(3)?;
            Ok(Some(Lineage {
                home: format!("{cluster}-{database}-{table}"),
                vectors: format!("{timeline}-{name}"),
            }))
        })
    }
}

/// Part of every transaction that changes vectors otherwise than by new photos and by removals.
pub(super) fn end_lineage(write: &mut Write<'_>) -> Result<(), CatalogError> {
    write.execute("DELETE FROM meta WHERE key = $1", &[&VECTORS])?;
    Ok(())
}
