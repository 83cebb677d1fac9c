//! What does the service keep beside the catalogue? Keys (their digests), what each has spent, the answers of requests
//! with an `Idempotency-Key`, and open reviews: `serve.sqlite` in the home folder.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::keys::{KeyId, NewKey, Rights, StoredKey};
use crate::access;
use crate::photo::Digest;
use crate::presence::{Presence, lives};
use crate::quota_day::QuotaDay;
use crate::timestamp::Timestamp;

const FILE_NAME: &str = "serve.sqlite";
/// Raised when the meaning of a column changes; a newer file is refused.
const VERSION: i64 = 1;
const BUSY: Duration = Duration::from_secs(5);
/// For so long a request with an `Idempotency-Key` is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_hours(24);

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

CREATE TABLE keys (
    key_id        TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    secret_digest BLOB NOT NULL,
    may_read      INTEGER NOT NULL,
    may_write     INTEGER NOT NULL,
    may_spend     INTEGER NOT NULL,
    daily_budget  INTEGER,
    per_second    REAL,
    created_ms    INTEGER NOT NULL,
    revoked_ms    INTEGER
) STRICT;

-- Calls that a key has caused, by the day of China standard time.
CREATE TABLE key_calls (
    key_id TEXT NOT NULL,
    day    TEXT NOT NULL,
    calls  INTEGER NOT NULL,
    PRIMARY KEY (key_id, day)
) STRICT, WITHOUT ROWID;

-- Requests with an Idempotency-Key. One without `finished_ms` is under way, or its process was killed.
CREATE TABLE requests (
    scope           TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    digest          BLOB NOT NULL,
    began_ms        INTEGER NOT NULL,
    finished_ms     INTEGER,
    status          INTEGER,
    headers         TEXT,
    body            BLOB,
    PRIMARY KEY (scope, idempotency_key)
) STRICT;
CREATE INDEX requests_by_age ON requests (began_ms);
";

/// See `review_store`. Made where it is not there yet: a file of an earlier version gets it when it is opened.
const REVIEWS: &str = "
CREATE TABLE IF NOT EXISTS reviews (
    review_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    byte_digest BLOB NOT NULL,
    photo_id    INTEGER NOT NULL,
    label       TEXT NOT NULL,
    picture     BLOB NOT NULL,
    facts       TEXT NOT NULL,
    found_ms    INTEGER NOT NULL,
    closed_ms   INTEGER,
    UNIQUE (byte_digest, photo_id)
) STRICT;
CREATE INDEX IF NOT EXISTS reviews_by_closing ON reviews (closed_ms);
";

/// Which process works on a request (see [`Presence`]). Added where it is not there yet: in a file of an earlier version, whose
/// requests name none.
const PROCESS_COLUMN: &str = "ALTER TABLE requests ADD COLUMN process TEXT";

/// Why the service's own file cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum ServeStoreError {
    #[error("{} cannot be opened: {cause}", path.display())]
    Open { path: PathBuf, cause: String },
    #[error("{} was written by a newer version: update this program", path.display())]
    TooNew { path: PathBuf },
    #[error("the service's own file cannot be read or written: {0}")]
    Sqlite(String),
    #[error("there is a key of the name {name:?} already")]
    NameTaken { name: String },
    #[error("there is no key with the name or id {name:?}")]
    NoSuchKey { name: String },
    #[error("line {line} is no key: {problem}")]
    KeyLine { line: u64, problem: String },
}

impl From<rusqlite::Error> for ServeStoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.to_string())
    }
}

/// Digest, beginning, process, and, once there is an answer, its status, headers and body.
type RequestRow = (Vec<u8>, i64, Option<String>, Option<u16>, Option<String>, Option<Vec<u8>>);

/// What is remembered of a request with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remembered {
    /// It is the first.
    New,
    /// It came before and was not finished, by this process or one that was killed. It is this process's from now on.
    Begun { began_at: Timestamp },
    /// Another process is at it.
    Running,
    /// Its answer.
    Finished(SavedResponse),
    /// The key came with another request.
    Other,
}

/// An answer that is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedResponse {
    pub(super) status: u16,
    /// `name: value` lines.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Of the columns from `key_id` to `revoked_ms` in the table's order, without the digest, then today's calls.
fn stored_key(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        key_id: KeyId(row.get(0)?),
        name: row.get(1)?,
        rights: Rights { read: row.get(2)?, write: row.get(3)?, spend: row.get(4)? },
        daily_budget: row.get(5)?,
        per_second: row.get(6)?,
        created_at: Timestamp::from_unix_ms(row.get(7)?),
        revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_unix_ms),
        calls_today: row.get(9)?,
    })
}

fn calls_of(connection: &Connection, key_id: &KeyId, day: QuotaDay) -> rusqlite::Result<u32> {
    let mut statement =
        connection.prepare_cached("SELECT calls FROM key_calls WHERE key_id = ?1 AND day = ?2")?;
    Ok(statement.query_row(params![key_id.0, day.to_string()], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// The service's own file. Threads take turns; each turn is short.
#[derive(Debug)]
pub struct ServeStore {
    /// For looking up keys, which must not wait for a commit.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
    /// `None` where the file is in memory alone, and so this process's alone.
    home: Option<PathBuf>,
    presence: Presence,
}

impl ServeStore {
    /// Opens the file of a home folder, which must be there.
    ///
    /// # Errors
    /// [`ServeStoreError`] when it cannot be opened, or is of a newer version.
    pub fn open(home: &Path) -> Result<Self, ServeStoreError> {
        let path = home.join(FILE_NAME);
        let failed = |cause: String| ServeStoreError::Open { path: path.clone(), cause };
        // Made with the home's permissions, which SQLite's own files then take over.
        access::open(OpenOptions::new().create(true).truncate(false).write(true), &path)
            .map_err(|error| failed(error.to_string()))?;
        let connect = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let mut writer = connect().map_err(|error| failed(error.to_string()))?;
        Self::prepare(&mut writer, &path)?;
        let reader = connect().map_err(|error| failed(error.to_string()))?;
        let home = Some(home.to_owned());
        Ok(Self {
            reader: Mutex::new(reader),
            writer: Mutex::new(writer),
            home,
            presence: Presence::default(),
        })
    }

    /// Of a process with one user, who needs no key: it stays empty, and leaves no file.
    #[cfg(feature = "mcp")]
    pub(super) fn without_keys() -> Result<Self, ServeStoreError> {
        let empty = || {
            let mut connection = Connection::open_in_memory()?;
            Self::prepare(&mut connection, Path::new(FILE_NAME))?;
            Ok::<_, ServeStoreError>(Mutex::new(connection))
        };
        Ok(Self { reader: empty()?, writer: empty()?, home: None, presence: Presence::default() })
    }

    fn prepare(writer: &mut Connection, path: &Path) -> Result<(), ServeStoreError> {
        let setup = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match setup.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
            0 => {
                setup.execute_batch(TABLES)?;
                setup.pragma_update(None, "user_version", VERSION)?;
            }
            VERSION => {}
            _ => return Err(ServeStoreError::TooNew { path: path.to_owned() }),
        }
        setup.execute_batch(REVIEWS)?;
        let has_process =
            "SELECT EXISTS (SELECT 1 FROM pragma_table_info('requests') WHERE name = 'process')";
        if !setup.query_row(has_process, [], |row| row.get::<_, bool>(0))? {
            setup.execute_batch(PROCESS_COLUMN)?;
        }
        Ok(setup.commit()?)
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A secret of this home that never leaves it, made when it is first asked for: 32 bytes.
    pub(super) fn token_secret(&self, fresh: &[u8; 32]) -> Result<Vec<u8>, ServeStoreError> {
        let writer = self.writer();
        writer.execute(
            "INSERT INTO meta (name, value) VALUES ('token_secret', ?1) ON CONFLICT DO NOTHING",
            [fresh.as_slice()],
        )?;
        Ok(writer.query_row("SELECT value FROM meta WHERE name = 'token_secret'", [], |row| row.get(0))?)
    }

    /// Whether there is, or ever was, a key: from then on nobody is let in without one.
    ///
    /// # Errors
    /// [`ServeStoreError`]; so for all that follow.
    pub fn has_keys(&self) -> Result<bool, ServeStoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached("SELECT EXISTS (SELECT 1 FROM keys)")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    pub(super) fn add_key(
        &self,
        key_id: &KeyId,
        secret_digest: Digest,
        new: &NewKey,
        created_at: Timestamp,
    ) -> Result<(), ServeStoreError> {
        let Rights { read, write, spend } = new.rights;
        let added = self.writer().execute(
            "INSERT INTO keys (key_id, name, secret_digest, may_read, may_write, may_spend, daily_budget, per_second, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
            params![
                key_id.0,
                new.name,
                secret_digest.as_bytes().as_slice(),
                read,
                write,
                spend,
                new.daily_budget,
                new.per_second,
                created_at.unix_ms(),
            ],
        )?;
        if added == 0 { Err(ServeStoreError::NameTaken { name: new.name.clone() }) } else { Ok(()) }
    }

    /// All keys, the oldest first, with what each has spent on `day`.
    pub(super) fn keys(&self, day: QuotaDay) -> Result<Vec<StoredKey>, ServeStoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT key_id, name, may_read, may_write, may_spend, daily_budget, per_second, created_ms, revoked_ms,
                    coalesce((SELECT calls FROM key_calls c WHERE c.key_id = keys.key_id AND day = ?1), 0)
             FROM keys ORDER BY created_ms, key_id",
        )?;
        let keys = statement.query_map([day.to_string()], stored_key)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// As [`ServeStore::keys`], with the digests of their secrets.
    pub(super) fn keys_with_digests(
        &self,
        day: QuotaDay,
    ) -> Result<Vec<(StoredKey, [u8; 32])>, ServeStoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT key_id, name, may_read, may_write, may_spend, daily_budget, per_second, created_ms, revoked_ms,
                    coalesce((SELECT calls FROM key_calls c WHERE c.key_id = keys.key_id AND day = ?1), 0), secret_digest
             FROM keys ORDER BY created_ms, key_id",
        )?;
        let keys = statement
            .query_map([day.to_string()], |row| Ok((stored_key(row)?, row.get::<_, [u8; 32]>(10)?)))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Adds keys as they were elsewhere, with the day of their calls; those that are there stay as they are. How many are new.
    pub(super) fn insert_keys(
        &self,
        rows: &[(StoredKey, [u8; 32], String)],
    ) -> Result<usize, ServeStoreError> {
        let mut writer = self.writer();
        let adding = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut added = 0;
        for (key, digest, day) in rows {
            let Rights { read, write, spend } = key.rights;
            let is_new = adding.execute(
                "INSERT INTO keys (key_id, name, secret_digest, may_read, may_write, may_spend, daily_budget, per_second,
                                   created_ms, revoked_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
                params![
                    key.key_id.0,
                    key.name,
                    digest.as_slice(),
                    read,
                    write,
                    spend,
                    key.daily_budget,
                    key.per_second,
                    key.created_at.unix_ms(),
                    key.revoked_at.map(Timestamp::unix_ms),
                ],
            )?;
            if is_new == 1 {
                added += 1;
                adding.execute(
                    "INSERT OR REPLACE INTO key_calls (key_id, day, calls) VALUES (?1, ?2, ?3)",
                    params![key.key_id.0, day, key.calls_today],
                )?;
                continue;
            }
            let there: Option<[u8; 32]> = adding
                .query_row("SELECT secret_digest FROM keys WHERE key_id = ?1", [&key.key_id.0], |row| {
                    row.get(0)
                })
                .optional()?;
            if there != Some(*digest) {
                return Err(ServeStoreError::NameTaken { name: key.name.clone() });
            }
        }
        adding.commit()?;
        Ok(added)
    }

    /// A key that was not revoked, with the digest of its secret; what it has spent is not looked up.
    pub(super) fn key(&self, key_id: &str) -> Result<Option<(StoredKey, [u8; 32])>, ServeStoreError> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT key_id, name, may_read, may_write, may_spend, daily_budget, per_second, created_ms, revoked_ms, 0,
                    secret_digest
             FROM keys WHERE key_id = ?1 AND revoked_ms IS NULL",
        )?;
        let found = statement.query_row([key_id], |row| Ok((stored_key(row)?, row.get::<_, [u8; 32]>(10)?)));
        Ok(found.optional()?)
    }

    /// Ends a key, by its name or id.
    pub(super) fn revoke(&self, name: &str, now: Timestamp) -> Result<(), ServeStoreError> {
        let revoked = self.writer().execute(
            "UPDATE keys SET revoked_ms = coalesce(revoked_ms, ?2) WHERE name = ?1 OR key_id = ?1",
            params![name, now.unix_ms()],
        )?;
        if revoked == 0 { Err(ServeStoreError::NoSuchKey { name: name.to_owned() }) } else { Ok(()) }
    }

    /// Books up to `calls` on a key before they are made, as far as its budget of the day has room: how many it booked.
    pub(super) fn book(
        &self,
        key_id: &KeyId,
        day: QuotaDay,
        calls: u32,
        budget: u32,
    ) -> Result<u32, ServeStoreError> {
        let mut writer = self.writer();
        let booking = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let spent = calls_of(&booking, key_id, day)?;
        let day = day.to_string();
        let booked = calls.min(budget.saturating_sub(spent));
        if booked > 0 {
            booking.execute(
                "INSERT INTO key_calls (key_id, day, calls) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key_id, day) DO UPDATE SET calls = calls + excluded.calls",
                params![key_id.0, day, booked],
            )?;
        }
        booking.commit()?;
        Ok(booked)
    }

    /// Calls that a key has caused on `day`.
    pub(super) fn key_calls(&self, key_id: &KeyId, day: QuotaDay) -> Result<u32, ServeStoreError> {
        Ok(calls_of(&self.reader(), key_id, day)?)
    }

    /// Sets right what was booked, once it is known what was called.
    pub(super) fn settle(
        &self,
        key_id: &KeyId,
        day: QuotaDay,
        booked: u32,
        called: u32,
    ) -> Result<(), ServeStoreError> {
        if booked != called {
            self.writer().execute(
                "UPDATE key_calls SET calls = max(0, calls + ?3) WHERE key_id = ?1 AND day = ?2",
                params![key_id.0, day.to_string(), i64::from(called) - i64::from(booked)],
            )?;
        }
        Ok(())
    }

    /// What this process is called in `requests`; `None` where no other one can see them.
    fn process(&self) -> Result<Option<String>, ServeStoreError> {
        let Some(home) = &self.home else { return Ok(None) };
        let name = self.presence.name(home);
        name.map(Some).map_err(|error| ServeStoreError::Open { path: home.clone(), cause: error.to_string() })
    }

    /// Whether another process that is still there works on what `process` has begun.
    fn is_at_work(&self, process: Option<&str>) -> bool {
        match (&self.home, process) {
            (Some(home), Some(process)) => !self.presence.is(process) && lives(home, process),
            _ => false,
        }
    }

    /// Remembers that a request begins, unless it is remembered already.
    pub(super) fn begin_request(
        &self,
        scope: &str,
        idempotency_key: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Remembered, ServeStoreError> {
        let own = self.process()?;
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM requests WHERE began_ms < ?1", [now.minus(REMEMBERED).unix_ms()])?;
        let known: Option<RequestRow> = transaction
            .query_row(
                "SELECT digest, began_ms, process, status, headers, body FROM requests
                 WHERE scope = ?1 AND idempotency_key = ?2",
                params![scope, idempotency_key],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)),
            )
            .optional()?;
        let remembered = match known {
            None => {
                transaction.execute(
                    "INSERT INTO requests (scope, idempotency_key, digest, began_ms, process) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![scope, idempotency_key, digest.as_bytes().as_slice(), now.unix_ms(), own],
                )?;
                Remembered::New
            }
            Some((known, ..)) if known != digest.as_bytes() => Remembered::Other,
            Some((_, _, _, Some(status), headers, body)) => {
                let headers = headers.as_deref().and_then(|text| serde_json::from_str(text).ok());
                let (headers, body) = (headers.unwrap_or_default(), body.unwrap_or_default());
                Remembered::Finished(SavedResponse { status, headers, body })
            }
            Some((_, _, process, ..)) if self.is_at_work(process.as_deref()) => Remembered::Running,
            Some((_, began_ms, ..)) => {
                transaction.execute(
                    "UPDATE requests SET process = ?3 WHERE scope = ?1 AND idempotency_key = ?2",
                    params![scope, idempotency_key, own],
                )?;
                Remembered::Begun { began_at: Timestamp::from_unix_ms(began_ms) }
            }
        };
        transaction.commit()?;
        Ok(remembered)
    }

    /// Keeps the answer of a request that began.
    pub(super) fn finish_request(
        &self,
        scope: &str,
        idempotency_key: &str,
        response: &SavedResponse,
        now: Timestamp,
    ) -> Result<(), ServeStoreError> {
        let headers = serde_json::to_string(&response.headers).unwrap_or_default();
        self.writer().execute(
            "UPDATE requests SET finished_ms = ?3, status = ?4, headers = ?5, body = ?6
             WHERE scope = ?1 AND idempotency_key = ?2",
            params![scope, idempotency_key, now.unix_ms(), response.status, headers, response.body],
        )?;
        Ok(())
    }

    /// This process is not at the request any more: whoever is asked next takes it up, unless it was finished.
    pub(super) fn leave_request(&self, scope: &str, idempotency_key: &str) -> Result<(), ServeStoreError> {
        self.writer().execute(
            "UPDATE requests SET process = NULL WHERE scope = ?1 AND idempotency_key = ?2 AND finished_ms IS NULL",
            params![scope, idempotency_key],
        )?;
        Ok(())
    }

    /// Forgets a request that came to nothing, so that it may be made anew.
    pub(super) fn forget_request(&self, scope: &str, idempotency_key: &str) -> Result<(), ServeStoreError> {
        self.writer().execute(
            "DELETE FROM requests WHERE scope = ?1 AND idempotency_key = ?2",
            params![scope, idempotency_key],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

    #[test]
    fn a_budget_is_never_overdrawn_however_many_ask_at_once() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        let (key, day) = (KeyId("k".to_owned()), QuotaDay::of(NOW));
        let booked: u32 = std::thread::scope(|scope| {
            let book = || (0..5).map(|_| store.book(&key, day, 2, 15).unwrap()).sum::<u32>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(book)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(booked, 15);
        store.settle(&key, day, 15, 4).unwrap();
        assert_eq!(store.book(&key, day, 20, 15).unwrap(), 11);
    }

    #[test]
    fn a_request_is_remembered_for_a_day_under_its_own_content() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let begin = |digest, now| store.begin_request("s", "k", digest, now).unwrap();
        assert_eq!(begin(one, NOW), Remembered::New);
        assert_eq!(begin(one, NOW), Remembered::Begun { began_at: NOW });
        assert_eq!(begin(other, NOW), Remembered::Other);
        let response = SavedResponse {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: b"{}".to_vec(),
        };
        store.finish_request("s", "k", &response, NOW).unwrap();
        drop(store);
        let store = ServeStore::open(home.path()).unwrap();
        let begin = |digest, now| store.begin_request("s", "k", digest, now).unwrap();
        assert_eq!(begin(one, NOW), Remembered::Finished(response));
        assert_eq!(begin(other, NOW.plus(REMEMBERED + Duration::from_secs(1))), Remembered::New);
    }

    #[test]
    fn what_another_process_is_at_is_left_to_it_until_it_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let [one, other] = [0, 1].map(|_| ServeStore::open(home.path()).unwrap());
        let begin = |store: &ServeStore| store.begin_request("s", "k", Digest::of(b"one"), NOW).unwrap();
        assert_eq!(begin(&one), Remembered::New);
        assert_eq!(begin(&other), Remembered::Running);
        // It may fail without ending.
        one.leave_request("s", "k").unwrap();
        assert_eq!(begin(&other), Remembered::Begun { began_at: NOW });
        assert_eq!(begin(&one), Remembered::Running);
        other.leave_request("s", "k").unwrap();
        assert_eq!(begin(&one), Remembered::Begun { began_at: NOW });
        drop(one);
        assert_eq!(begin(&other), Remembered::Begun { began_at: NOW });
        let third = ServeStore::open(home.path()).unwrap();
        assert_eq!(begin(&third), Remembered::Running, "the one that took it up is at it");
    }

    #[test]
    fn what_a_version_that_named_no_process_had_begun_is_taken_up() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        assert_eq!(store.begin_request("s", "k", Digest::of(b"one"), NOW).unwrap(), Remembered::New);
        store.writer().execute_batch("ALTER TABLE requests DROP COLUMN process").unwrap();
        drop(store);
        let store = ServeStore::open(home.path()).unwrap();
        let again = store.begin_request("s", "k", Digest::of(b"one"), NOW).unwrap();
        assert_eq!(again, Remembered::Begun { began_at: NOW });
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        store.writer().pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(store);
        assert!(matches!(ServeStore::open(home.path()), Err(ServeStoreError::TooNew { .. })));
    }
}
