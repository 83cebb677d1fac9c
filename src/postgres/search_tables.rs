//! What pgvector searches in, made when it is first needed.
//!
//! | | |
//! |---|---|
//! | `search_vectors` | the vectors of `embeddings` in half precision, which a trigger keeps up in the same transaction, whichever version of the program writes and whether it searches by pgvector or not |
//! | `search_state` | one row: for which model, and how far what was stored before the trigger has been copied |
//! | `search_vectors_hnsw` | the graph |
//!
//! They are no part of the home's format: they can be dropped at any time, and are then made anew.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::address::PostgresAddress;
use super::connection::{Connection, Lock, Write, try_graph_lock};
use super::extension::Extension;
use super::{PostgresStore, count, fault};
use crate::catalog::CatalogError;
use crate::store::SearchTell;

/// Of these tables. Others are made anew.
pub(super) const VERSION: i64 = 1;

/// The graph's name.
pub(super) const GRAPH: &str = "search_vectors_hnsw";

/// Vectors that are copied under one commit lock: other writers wait a fraction of a second for them.
const BATCH: u32 = 256;

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(500);

/// Whether the row of `search_state` says that all vectors are there.
pub(super) fn ready() -> String {
    format!(
        "search_state.version = {VERSION} AND search_state.filled_to >= search_state.fill_end
         AND search_state.model IS NOT DISTINCT FROM (SELECT value FROM meta WHERE key = 'model')"
    )
}

/// Drops everything, within a transaction that holds the commit lock.
pub(super) fn drop_search(write: &mut Write<'_>, address: &PostgresAddress) -> Result<(), CatalogError> {
    let row = write.one(
        "SELECT to_regclass('search_vectors') IS NOT NULL, to_regclass('search_state') IS NOT NULL",
        &[],
    )?;
    let (has_vectors, has_state): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    // Dropping a trigger locks out readers, so it is done only where there is one.
    if has_vectors || has_state {
        if !write.try_graph_lock(address)? {
            return Err(fault::locked("another worker is making the index of pgvector: wait until it has"));
        }
        if has_state {
            // First what searches lock first.
            write.batch("LOCK TABLE search_state IN ACCESS EXCLUSIVE MODE")?;
        }
        write.batch(
            "DROP TRIGGER IF EXISTS search_vectors_follow ON embeddings;
             DROP FUNCTION IF EXISTS search_vectors_follow();
             DROP FUNCTION IF EXISTS search_numbers(bytea, integer);
             DROP TABLE IF EXISTS search_vectors, search_state",
        )?;
    }
    Ok(())
}

/// Tables, trigger and their functions. Vectors that are not finite or of another length are left out: they are damaged. The
/// functions name no schema of the home, which may be renamed, and run as whoever made them, so that all who may add a photo
/// may add its vector.
fn tables(extension: &Extension, dimension: usize) -> String {
    let schema = &extension.schema;
    format!(
        "CREATE TABLE search_state (
             version   bigint NOT NULL,
             model     text,
             dimension bigint NOT NULL,
             filled_to bigint NOT NULL,
             fill_end  bigint NOT NULL
         );
         CREATE TABLE search_vectors (
             photo_id bigint PRIMARY KEY REFERENCES embeddings ON DELETE CASCADE,
             vector   {schema}.halfvec({dimension}) NOT NULL
         );
         ALTER TABLE search_vectors ALTER COLUMN vector SET STORAGE PLAIN;
         CREATE OR REPLACE FUNCTION search_numbers(bytes bytea, wanted integer) RETURNS real[]
         LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $function$
             SELECT CASE WHEN count(*) = wanted THEN array_agg(number::real ORDER BY i) END
             FROM (SELECT i, CASE exponent WHEN 0 THEN 0::float8
                             ELSE sign * (1 + fraction / 8388608.0::float8) * power(2::float8, exponent - 127) END AS number
                   FROM (SELECT i, 1 - 2 * (b3 >> 7) AS sign, ((b3 & 127) << 1) | (b2 >> 7) AS exponent,
                                ((b2 & 127) << 16) | (b1 << 8) | b0 AS fraction
                         FROM (SELECT i, get_byte(bytes, i) AS b0, get_byte(bytes, i + 1) AS b1,
                                      get_byte(bytes, i + 2) AS b2, get_byte(bytes, i + 3) AS b3
                               FROM generate_series(0, length(bytes) - 4, 4) AS i) AS words) AS parts) AS numbers
             WHERE number BETWEEN -1.001 AND 1.001 AND length(bytes) = 4 * wanted
         $function$;
         CREATE OR REPLACE FUNCTION search_vectors_follow() RETURNS trigger
         LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
         BEGIN
             EXECUTE format(
                 'INSERT INTO %1$I.search_vectors (photo_id, vector)
                  SELECT $1, numbers FROM %1$I.search_numbers($2, $3) AS numbers WHERE numbers IS NOT NULL
                  ON CONFLICT (photo_id) DO UPDATE SET vector = excluded.vector', TG_TABLE_SCHEMA)
             USING NEW.photo_id, NEW.vector, TG_ARGV[0]::integer;
             RETURN NULL;
         END
         $function$;
         CREATE OR REPLACE TRIGGER search_vectors_follow AFTER INSERT OR UPDATE OF vector ON embeddings
         FOR EACH ROW EXECUTE FUNCTION search_vectors_follow('{dimension}');
         INSERT INTO search_state (version, model, dimension, filled_to, fill_end)
         SELECT {VERSION}, (SELECT value FROM meta WHERE key = 'model'), {dimension}, 0,
                coalesce((SELECT max(photo_id) FROM embeddings), 0)"
    )
}

/// Whether there are tables for the home's model. Those of a later version are refused.
fn are_there(write: &mut Write<'_>, dimension: usize) -> Result<bool, CatalogError> {
    // Without its column where the extension was dropped.
    let row = write.one(
        "SELECT to_regclass('search_state') IS NOT NULL AND EXISTS (
             SELECT 1 FROM pg_attribute
             WHERE attrelid = to_regclass('search_vectors') AND attname = 'vector' AND NOT attisdropped)",
        &[],
    )?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    let state = write.first(
        "SELECT version, dimension = $1 AND model IS NOT DISTINCT FROM (SELECT value FROM meta WHERE key = 'model')
         FROM search_state",
        &[&i64::try_from(dimension).unwrap_or(i64::MAX)],
    )?;
    let Some(state) = state else { return Ok(false) };
    let found: i64 = state.try_get(0)?;
    if found > VERSION {
        return Err(too_new(found));
    }
    Ok(found == VERSION && state.try_get(1)?)
}

/// Copies the next vectors, and notes how far it has come.
fn fill() -> String {
    format!(
        "WITH batch AS MATERIALIZED (
             SELECT photo_id, vector FROM embeddings
             WHERE photo_id > (SELECT filled_to FROM search_state) AND photo_id <= (SELECT fill_end FROM search_state)
             ORDER BY photo_id LIMIT {BATCH}
         ), copied AS (
             INSERT INTO search_vectors (photo_id, vector)
             SELECT photo_id, numbers FROM batch, search_numbers(batch.vector, (SELECT dimension FROM search_state)::integer) AS numbers
             WHERE numbers IS NOT NULL
             ON CONFLICT (photo_id) DO NOTHING
         )
         UPDATE search_state SET filled_to = coalesce((SELECT max(photo_id) FROM batch), fill_end)
         WHERE filled_to < fill_end RETURNING filled_to, fill_end"
    )
}

/// What the tables of a later version are refused with.
fn too_new(found: i64) -> CatalogError {
    fault::unexpected(format!(
        "the vectors for pgvector are of version {found}, this program knows {VERSION}: update this program"
    ))
}

impl PostgresStore {
    /// Makes the tables, unless they are there for this model; with `anew`, in any case. In one transaction: others wait for the
    /// new ones, and never find none.
    pub(super) fn make_search_tables(
        &self,
        extension: &Extension,
        dimension: usize,
        anew: bool,
    ) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        self.must_be_mine(&mut write)?;
        if !anew && are_there(&mut write, dimension)? {
            return Ok(());
        }
        drop_search(&mut write, &self.address)?;
        write.batch(&tables(extension, dimension))?;
        write.commit()
    }

    /// Copies what was stored before the trigger was there. Several workers may do so at once, and any of them may end at any
    /// time: each begins where the last batch of any has ended.
    pub(super) fn fill_search_vectors(&self, tell: SearchTell<'_>) -> Result<(), CatalogError> {
        let sql = fill();
        let mut has_copied = false;
        loop {
            let mut write = self.write(Lock::Commit)?;
            let Some(row) = write.first(&sql, &[])? else { break };
            let (done, of): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            write.commit()?;
            has_copied = true;
            tell("copying vectors for pgvector", count(done), count(of));
        }
        if has_copied {
            // Else the server would plan for an empty table.
            let mut write = self.write(Lock::None)?;
            write.batch("ANALYZE search_vectors")?;
            write.commit()?;
        }
        Ok(())
    }

    /// Makes the graph, from `graph_from` vectors on, unless it is there or another worker is making it. Searches and writes go
    /// on meanwhile.
    pub(super) fn make_graph(
        &self,
        extension: &Extension,
        graph_from: u64,
        tell: SearchTell<'_>,
    ) -> Result<(), CatalogError> {
        let vectors =
            self.read(|c| Ok(count(c.one("SELECT count(*) FROM search_vectors", &[])?.try_get(0)?)))?;
        if vectors < graph_from || self.graph_is_valid()? == Some(true) {
            return Ok(());
        }
        let mut builder = Connection::open(&self.address)?;
        // It takes as long as it takes. The lock is held until the server has ended the work, also where this process is killed.
        builder.batch("SET statement_timeout = 0; SET lock_timeout = 0")?;
        if !try_graph_lock(&mut builder, &self.address)? {
            return Ok(());
        }
        match self.graph_is_valid()? {
            Some(true) => return Ok(()),
            // What a builder left that failed.
            Some(false) => builder.batch(&format!("DROP INDEX CONCURRENTLY IF EXISTS {GRAPH}"))?,
            None => {}
        }
        let sql = format!(
            "CREATE INDEX CONCURRENTLY {GRAPH} ON search_vectors USING hnsw (vector {}.halfvec_ip_ops)
             WITH (m = 16, ef_construction = 64)",
            extension.schema
        );
        std::thread::scope(|scope| {
            let (built, wait) = channel();
            scope.spawn(move || {
                // The one who waits is there until this has come.
                let _ = built.send(builder.batch(&sql));
            });
            loop {
                match wait.recv_timeout(POLL) {
                    Ok(built) => return Ok(built?),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Ok(Some((done, of))) = self.graph_progress() {
                            tell("linking in pgvector", done, of);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(fault::unexpected("the thread that builds the index is gone".to_owned()));
                    }
                }
            }
        })
    }

    /// `None` where there is none.
    fn graph_is_valid(&self) -> Result<Option<bool>, CatalogError> {
        let sql = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{GRAPH}')");
        self.read(|c| Ok(c.first(&sql, &[])?.map(|row| row.try_get(0)).transpose()?))
    }

    /// How many vectors are linked of how many, while the server tells.
    fn graph_progress(&self) -> Result<Option<(u64, u64)>, CatalogError> {
        self.read(|c| {
            let row = c.first(
                "SELECT greatest(tuples_done, 0), greatest(tuples_total, (SELECT reltuples::bigint FROM pg_class
                                                                         WHERE oid = to_regclass('search_vectors')))
                 FROM pg_stat_progress_create_index WHERE relid = to_regclass('search_vectors') AND tuples_done IS NOT NULL",
                &[],
            )?;
            Ok(row.map(|row| Ok::<_, postgres::Error>((count(row.try_get(0)?), count(row.try_get(1)?)))).transpose()?)
        })
    }
}
