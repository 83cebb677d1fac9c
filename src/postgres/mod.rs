//! What do we know, where several machines share it? The store in PostgreSQL: one truth for many workers.
//!
//! [`PostgresStore`] keeps every promise of [`store`](crate::store), and passes the same battery as the catalogue in SQLite
//! (`tests/it/store.rs`). How it does so:
//!
//! - One transaction an operation. What changes photos or answers holds the home's commit lock, an advisory lock, until it is
//!   committed: numbers are given under it, so they become visible in their order and the feed has no gap that is filled
//!   later.
//! - A call is booked under the lock of its upstream's row in `accounts`.
//! - Turns are leases by the server's clock, renewed while they are held, so those of a worker that is gone end by themselves.
//! - Reading waits for no lock. Connections that broke are replaced; a read is done again, a write only if it had not begun.
//!   After an attempt to connect that took long, others fail at once for a while.
//! - What was paid for and cannot be stored waits in a side journal in a folder of this machine.
//! - Where pgvector is asked to search, its vectors follow in the same transaction, whoever writes (`search_tables.rs`).
//!
//! A home whose address begins with `postgres://` is this store.
//!
//! Connections are encrypted as the address says (`tls.rs`), in libpq's words.

mod address;
mod answers;
mod checks;
mod connection;
mod extension;
mod fault;
mod feedback;
mod history;
mod images;
mod leases;
mod lineage;
mod moving;
mod paid;
mod photos;
mod queue;
mod schema;
mod search;
mod search_tables;
mod spend;
mod tls;
mod tls_fault;
mod upkeep;
mod view;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub use address::PostgresAddress;
pub(crate) use moving::{A_FILE, Arriving, PostgresArrival};

use crate::access;
use crate::catalog::shared::{DamageLog, SetAside, WaitListener};
use crate::catalog::{CatalogError, DamageNote, Patience};
use crate::vector::Fingerprint;
use connection::{Backoff, Connection, Reader, Readers, Write};
use extension::Extension;
use leases::Leases;

/// How long opening waits to store what an earlier run could not: there will be other occasions.
const OPENING_PATIENCE: Duration = Duration::from_millis(200);

/// A home in a schema of a PostgreSQL database. Shared by reference; every method may be called from any thread that does
/// not run asynchronous tasks.
pub struct PostgresStore {
    address: PostgresAddress,
    writer: Mutex<Option<Connection>>,
    readers: Readers,
    backoff: Backoff,
    is_read_only: bool,
    /// The fingerprint, as JSON, of the model that this process has claimed the home for.
    model: OnceLock<String>,
    leases: Leases,
    /// pgvector, once it was looked for and found.
    extension: OnceLock<Extension>,
    set_aside: SetAside,
    damage: DamageLog,
    waits: OnceLock<WaitListener>,
}

impl PostgresStore {
    /// Opens the home at `address`, making its schema when it is not there. `folder`, which is made when it is not there, is
    /// where this machine keeps what was paid for and cannot be stored.
    ///
    /// # Errors
    /// [`CatalogError`] when the server cannot be reached, the home is newer than this program, or the folder cannot be used.
    pub fn open(address: &PostgresAddress, folder: &Path) -> Result<Self, CatalogError> {
        access::make_home(folder)
            .map_err(|source| CatalogError::Home { path: folder.to_path_buf(), source })?;
        let mut writer = Connection::open(address).map_err(|error| not_opened(address, error.into()))?;
        let is_read_only = is_read_only(&mut writer).map_err(|error| not_opened(address, error))?;
        schema::migrate(&mut writer, address, !is_read_only).map_err(|error| not_opened(address, error))?;
        let store = Self {
            address: address.clone(),
            writer: Mutex::new(Some(writer)),
            readers: Readers::default(),
            backoff: Backoff::default(),
            is_read_only,
            model: OnceLock::new(),
            leases: Leases::new(address.clone()),
            extension: OnceLock::new(),
            set_aside: SetAside::new(&folder.join("database")),
            damage: DamageLog::default(),
            waits: OnceLock::new(),
        };
        if !is_read_only {
            let _patience = Patience::limited_to(OPENING_PATIENCE);
            // What cannot be stored now waits on, and is found where it waits.
            let _ = store.set_aside.drain(|all| store.store_paid(all));
        }
        Ok(store)
    }

    /// Whether there is a home at `address`; nothing is made.
    ///
    /// # Errors
    /// [`CatalogError::DatabaseNotOpened`] when the server cannot be asked.
    pub fn is_at(address: &PostgresAddress) -> Result<bool, CatalogError> {
        let table = format!("{}.format", address.schema());
        let found = Connection::open(address)
            .and_then(|mut connection| connection.one("SELECT to_regclass($1) IS NOT NULL", &[&table]))
            .and_then(|row| row.try_get(0));
        found.map_err(|error: postgres::Error| not_opened(address, error.into()))
    }

    /// Has `listener` told of each entry that turns out to be damaged, once. Only the first call counts.
    pub fn on_damage(&self, listener: impl Fn(DamageNote<'_>) + Send + Sync + 'static) {
        self.damage.listen(listener);
    }

    /// Has `listener` told when a write waits long for others. Only the first call counts.
    pub fn on_wait(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.waits.set(std::sync::Arc::new(listener));
    }

    /// Whether the home still belongs to the model that it was claimed for.
    fn is_mine(&self) -> Result<bool, CatalogError> {
        let Some(mine) = self.model.get() else { return Ok(true) };
        Ok(self.read(|c| meta(c, "model"))?.as_ref() == Some(mine))
    }

    /// Part of every transaction that stores a vector: the home must still belong to the model that made it.
    fn must_be_mine(&self, write: &mut Write<'_>) -> Result<(), CatalogError> {
        let Some(mine) = self.model.get() else { return Ok(()) };
        if meta_in(write, "model")?.as_ref() == Some(mine) { Ok(()) } else { Err(CatalogError::ModelChanged) }
    }

    /// Numbers per vector, by the model that the home belongs to, where that is known.
    fn dimension(&self) -> Option<usize> {
        let model = self.model.get().cloned().or_else(|| self.read(|c| meta(c, "model")).ok().flatten());
        serde_json::from_str::<Fingerprint>(&model?).ok().map(|model| model.dimension)
    }
}

impl Drop for PostgresStore {
    /// The client panics where it is closed within an asynchronous task, which may be the last to let go of an engine.
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let connections = (writer, std::mem::take(&mut self.readers));
        let closing = std::thread::Builder::new().name("tongkuan-closing".to_owned());
        if let Ok(thread) = closing.spawn(move || drop(connections)) {
            // It cannot panic, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The error of one who wants to open a home there.
fn not_opened(address: &PostgresAddress, error: CatalogError) -> CatalogError {
    match error {
        CatalogError::Database { problem, .. } => {
            CatalogError::DatabaseNotOpened { location: address.to_string(), problem }
        }
        other => other,
    }
}

/// A standby, or a database that was set to be read alone. Refuses one whose texts cannot hold every character.
fn is_read_only(connection: &mut Connection) -> Result<bool, CatalogError> {
    let row = connection.one(
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
                current_setting('server_encoding')",
        &[],
    )?;
    let encoding: String = row.try_get(1)?;
    if encoding != "UTF8" {
        return Err(fault::unexpected(format!(
            "its encoding is {encoding}, in which Chinese texts cannot be kept: make it with ENCODING 'UTF8'"
        )));
    }
    Ok(row.try_get(0)?)
}

/// In `meta`: how often the calibration, or what people have said, has changed.
const CALIBRATIONS: &str = "calibrations";

const READ_META: &str = "SELECT value FROM meta WHERE key = $1";

/// An entry of the table of single values.
fn meta(c: &mut Reader<'_>, key: &str) -> Result<Option<String>, CatalogError> {
    Ok(c.first(READ_META, &[&key])?.map(|row| row.try_get(0)).transpose()?)
}

/// As [`meta`], in a transaction.
fn meta_in(write: &mut Write<'_>, key: &str) -> Result<Option<String>, CatalogError> {
    Ok(write.first(READ_META, &[&key])?.map(|row| row.try_get(0)).transpose()?)
}

fn set_meta(write: &mut Write<'_>, key: &str, value: &str) -> Result<(), CatalogError> {
    write.execute(
        "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        &[&key, &value],
    )?;
    Ok(())
}

/// Part of every transaction that changes photos or answers.
fn bump_generation(write: &mut Write<'_>) -> Result<(), CatalogError> {
    bump(write, "generation")
}

/// Counts a change. What is stored there and is no number is mended.
fn bump(write: &mut Write<'_>, key: &str) -> Result<(), CatalogError> {
    write.execute(
        "INSERT INTO meta (key, value) VALUES ($1, '1') ON CONFLICT (key) DO UPDATE
         SET value = CASE WHEN meta.value ~ '^[0-9]{1,18}$' THEN (meta.value::bigint + 1)::text ELSE '1' END",
        &[&key],
    )?;
    Ok(())
}

/// A text without what PostgreSQL cannot keep.
fn plain(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}

/// A count as the server gives it.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
