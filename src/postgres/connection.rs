//! Connections: one that writes, and a few that read.
//!
//! All writes of a process go through one connection, because those to one home follow each other anyway. Reading never
//! waits for writing.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use postgres::{Client, Row, Statement};

use super::PostgresStore;
use super::address::PostgresAddress;
use super::fault;
use crate::catalog::shared::NOTE_AFTER;
use crate::catalog::{BUSY_TIMEOUT, CatalogError, DatabaseTrouble, Patience};

/// Connections of one process that read at the same time; more readers wait.
const MAX_READERS: usize = 8;

/// No statement takes longer, waits for locks included.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(2);

/// A worker that hangs in the middle of a transaction loses it, and with it what others wait for.
const IDLE_IN_TRANSACTION: Duration = Duration::from_mins(1);

/// How long the server waits for a lock before an interrupt is looked for.
const SLICE: Duration = Duration::from_millis(100);

/// How often a thread that waits with a limit looks whether another thread of its process has done writing.
const POLL: Duration = Duration::from_millis(1);

/// An attempt to connect that failed after at least so long is not made again at once: meanwhile each search would wait as
/// long. One that is refused sooner costs nothing, and a server that is back is found by the next.
const SLOW: Duration = Duration::from_millis(500);

/// The pause is so many times as long as the attempt took, and no longer than [`MAX_PAUSE`].
const PAUSE_FACTOR: u32 = 2;
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection in the home's schema, with the statements that it has prepared.
pub(super) struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Connection {
    pub(super) fn open(address: &PostgresAddress) -> Result<Self, postgres::Error> {
        let mut client = address.config().connect(address.tls())?;
        // What a server may have been told to lose in a crash is not durable.
        client.batch_execute(&format!(
            "SET search_path TO \"{}\"; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {};
             SET lock_timeout = {}; SET client_min_messages = warning; SET bytea_output = hex;
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            address.schema(),
            STATEMENT_TIMEOUT.as_millis(),
            IDLE_IN_TRANSACTION.as_millis(),
            BUSY_TIMEOUT.as_millis(),
        ))?;
        Ok(Self { client, statements: HashMap::new() })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, postgres::Error> {
        let statement = self.statement(sql)?;
        self.client.query(&statement, values)
    }

    /// The first row, if there is one.
    pub(super) fn first(&mut self, sql: &str, values: Values<'_>) -> Result<Option<Row>, postgres::Error> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// For statements that always give a row.
    pub(super) fn one(&mut self, sql: &str, values: Values<'_>) -> Result<Row, postgres::Error> {
        let statement = self.statement(sql)?;
        self.client.query_one(&statement, values)
    }

    pub(super) fn exists(&mut self, sql: &str, values: Values<'_>) -> Result<bool, postgres::Error> {
        Ok(self.first(sql, values)?.is_some())
    }

    pub(super) fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, postgres::Error> {
        let statement = self.statement(sql)?;
        self.client.execute(&statement, values)
    }

    /// Statements without values.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), postgres::Error> {
        self.client.batch_execute(sql)
    }
}

/// Whether the server could not be reached lately.
#[derive(Default)]
pub(super) struct Backoff(Mutex<Option<Failed>>);

struct Failed {
    at: Instant,
    pause: Duration,
    problem: String,
}

impl Backoff {
    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails with what was wrong last while the pause after that lasts; else tries.
    pub(super) fn connect<T>(
        &self,
        attempt: impl FnOnce() -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let since = Instant::now();
        if let Some(failed) = &*self.failed()
            && let Some(left) = failed.pause.checked_sub(since.saturating_duration_since(failed.at))
        {
            let seconds = left.as_secs() + 1;
            let problem = format!("{} (tried again in {seconds} s at the earliest)", failed.problem);
            return Err(CatalogError::Database { problem, trouble: DatabaseTrouble::Away });
        }
        let result = attempt();
        let took = since.elapsed();
        *self.failed() = match &result {
            Err(CatalogError::Database { problem, trouble: DatabaseTrouble::Away }) if took >= SLOW => {
                let pause = (took * PAUSE_FACTOR).min(MAX_PAUSE);
                Some(Failed { at: Instant::now(), pause, problem: problem.clone() })
            }
            _ => None,
        };
        result
    }
}

/// Connections that read: at most [`MAX_READERS`], kept while they are idle.
#[derive(Default)]
pub(super) struct Readers {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Idle ones and those that are in use.
    open: usize,
}

impl Readers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has idle ones go that are as old as one that broke.
    fn close_idle(&self) {
        let idle = {
            let mut state = self.state();
            state.open -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        drop(idle);
        self.freed.notify_all();
    }

    fn take(
        &self,
        connect: impl FnOnce() -> Result<Connection, CatalogError>,
    ) -> Result<Lent<'_>, CatalogError> {
        let mut state = self.state();
        let since = Instant::now();
        loop {
            if let Some(connection) = state.idle.pop() {
                if connection.is_closed() {
                    state.open -= 1;
                    continue;
                }
                return Ok(Lent { readers: self, connection: Some(connection) });
            }
            if state.open < MAX_READERS {
                state.open += 1;
                drop(state);
                let mut lent = Lent { readers: self, connection: None };
                lent.connection = Some(connect()?);
                return Ok(lent);
            }
            let left = BUSY_TIMEOUT.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(fault::locked("all connections that read are in use"));
            }
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A connection in use; goes back when this is dropped, unless it broke.
struct Lent<'r> {
    readers: &'r Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.readers.state();
        match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => state.idle.push(connection),
            None => state.open -= 1,
        }
        drop(state);
        self.readers.freed.notify_one();
    }
}

/// What a transaction that writes locks before it looks at anything.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lock<'a> {
    /// Nothing: one row is written, whatever others do.
    None,
    /// All that changes photos or answers: the feed is numbered under it, so numbers become visible in their order.
    Commit,
    /// Who may ask about what.
    Turns,
    /// The account of one upstream, by its row.
    Account(&'a str),
}

/// The second half of an advisory lock's key; the first names the home.
const SCHEMA_LOCK: i32 = 0;
const COMMIT_LOCK: i32 = 1;
const TURNS_LOCK: i32 = 2;
const MOVE_LOCK: i32 = 3;
const GRAPH_LOCK: i32 = 4;

/// The first half of the keys of a home's advisory locks. Homes whose names have the same sum wait for each other, no more.
fn home_key(address: &PostgresAddress) -> i32 {
    crc32fast::hash(format!("tongkuan {}", address.schema()).as_bytes()).cast_signed()
}

/// A transaction that writes. It is rolled back unless [`commit`](Self::commit) is called.
pub(super) struct Write<'s> {
    slot: MutexGuard<'s, Option<Connection>>,
    since: Instant,
    is_open: bool,
}

impl Write<'_> {
    pub(super) fn commit(mut self) -> Result<(), CatalogError> {
        self.is_open = false;
        // Where this fails the connection's state is not known.
        let committed = self.connection()?.batch("COMMIT");
        if committed.is_err() {
            *self.slot = None;
        }
        Ok(committed?)
    }

    fn connection(&mut self) -> Result<&mut Connection, CatalogError> {
        self.slot.as_mut().ok_or_else(|| fault::unexpected("the connection is gone".to_owned()))
    }

    pub(super) fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, CatalogError> {
        Ok(self.connection()?.query(sql, values)?)
    }

    pub(super) fn first(&mut self, sql: &str, values: Values<'_>) -> Result<Option<Row>, CatalogError> {
        Ok(self.connection()?.first(sql, values)?)
    }

    pub(super) fn one(&mut self, sql: &str, values: Values<'_>) -> Result<Row, CatalogError> {
        Ok(self.connection()?.one(sql, values)?)
    }

    pub(super) fn exists(&mut self, sql: &str, values: Values<'_>) -> Result<bool, CatalogError> {
        Ok(self.connection()?.exists(sql, values)?)
    }

    pub(super) fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, CatalogError> {
        Ok(self.connection()?.execute(sql, values)?)
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), CatalogError> {
        Ok(self.connection()?.batch(sql)?)
    }

    /// Whether nobody makes the graph of pgvector, and nobody will until this ends.
    pub(super) fn try_graph_lock(&mut self, address: &PostgresAddress) -> Result<bool, CatalogError> {
        let take = "SELECT pg_try_advisory_xact_lock($1, $2)";
        Ok(self.one(take, &[&home_key(address), &GRAPH_LOCK])?.try_get(0)?)
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if self.is_open {
            let undone = self.slot.as_mut().is_some_and(|connection| connection.batch("ROLLBACK").is_ok());
            if !undone {
                // The server undoes it when the connection ends.
                *self.slot = None;
            }
        }
        Patience::spend(self.since.elapsed());
    }
}

/// A connection that reads, in the course of [`PostgresStore::read`].
pub(super) struct Reader<'c>(&'c mut Connection);

impl Deref for Reader<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.0
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0
    }
}

impl PostgresStore {
    /// Has `query` read. Where the connection turns out to be broken, as all are after the server was started anew, it
    /// reads once more with a new one.
    pub(super) fn read<T>(
        &self,
        query: impl Fn(&mut Reader<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut tries = 0..MAX_READERS;
        loop {
            let mut lent = self.readers.take(|| self.connect())?;
            let Some(connection) = lent.connection.as_mut() else {
                return Err(fault::unexpected("a connection is missing".to_owned()));
            };
            match query(&mut Reader(connection)) {
                Err(error) if error.is_away() && tries.next().is_some() => {
                    lent.connection = None;
                    self.readers.close_idle();
                }
                result => return result,
            }
        }
    }

    /// As [`read`](Self::read), for several statements that are to see one and the same state.
    pub(super) fn read_at_once<T>(
        &self,
        query: impl Fn(&mut Reader<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.read_in("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", query)
    }

    /// As [`read`](Self::read), in a transaction that `begin` begins, with settings of its own.
    pub(super) fn read_in<T>(
        &self,
        begin: &str,
        query: impl Fn(&mut Reader<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.read(|c| {
            c.batch(begin)?;
            let result = query(c);
            // It has changed nothing, so ending it is all that is needed.
            let ended = c.batch("ROLLBACK");
            let value = result?;
            ended?;
            Ok(value)
        })
    }

    /// Begins a transaction that holds `lock`, within this thread's [`Patience`].
    pub(super) fn write(&self, lock: Lock<'_>) -> Result<Write<'_>, CatalogError> {
        let since = Instant::now();
        let begun = self.begin(lock, since);
        if begun.is_err() {
            Patience::spend(since.elapsed());
        }
        begun
    }

    fn begin(&self, lock: Lock<'_>, since: Instant) -> Result<Write<'_>, CatalogError> {
        let limit = Patience::left().unwrap_or(BUSY_TIMEOUT);
        let mut slot = self.writer_within(limit, since)?;
        let mut listener = self.waits.get();
        loop {
            let left = limit.saturating_sub(since.elapsed());
            let slice = if Patience::can_be_interrupted() { left.min(SLICE) } else { left.min(NOTE_AFTER) };
            let begun = self.begin_once(&mut slot, lock, slice);
            let is_locked =
                matches!(begun, Err(CatalogError::Database { trouble: DatabaseTrouble::Locked, .. }));
            if !is_locked || since.elapsed() >= limit || Patience::is_interrupted() {
                begun?;
                return Ok(Write { slot, since, is_open: true });
            }
            if since.elapsed() >= NOTE_AFTER
                && let Some(listener) = listener.take()
            {
                listener(&format!(
                    "another process is writing to this home: waiting for it, {} s at the most",
                    limit.as_secs()
                ));
            }
        }
    }

    fn writer_within(
        &self,
        limit: Duration,
        since: Instant,
    ) -> Result<MutexGuard<'_, Option<Connection>>, CatalogError> {
        if Patience::left().is_none() {
            return Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner));
        }
        loop {
            match self.writer.try_lock() {
                Ok(slot) => return Ok(slot),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if since.elapsed() < limit && !Patience::is_interrupted() => {
                    std::thread::sleep(POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(fault::locked("another thread of this process is writing"));
                }
            }
        }
    }

    /// Begins a transaction and waits for its lock no longer than `wait`.
    fn begin_once(
        &self,
        slot: &mut Option<Connection>,
        lock: Lock<'_>,
        wait: Duration,
    ) -> Result<(), CatalogError> {
        // 0 would be no limit.
        let begin = format!("BEGIN; SET LOCAL lock_timeout = {}", wait.as_millis().max(1));
        let mut begun = match slot {
            Some(connection) if !connection.is_closed() => {
                connection.batch(&begin).map_err(CatalogError::from)
            }
            _ => self.connect_and(slot, &begin),
        };
        if begun.as_ref().is_err_and(CatalogError::is_away) {
            // Nothing was done yet, so it may be done on a new connection.
            begun = self.connect_and(slot, &begin);
        }
        let Some(connection) = slot.as_mut() else { return begun };
        let locked = begun.and_then(|()| Ok(take_lock(connection, lock, home_key(&self.address))?));
        if locked.is_err() && connection.batch("ROLLBACK").is_err() {
            *slot = None;
        }
        locked
    }

    fn connect_and(&self, slot: &mut Option<Connection>, sql: &str) -> Result<(), CatalogError> {
        *slot = None;
        Ok(slot.insert(self.connect()?).batch(sql)?)
    }

    pub(super) fn connect(&self) -> Result<Connection, CatalogError> {
        self.backoff.connect(|| Ok(Connection::open(&self.address)?))
    }
}

fn take_lock(connection: &mut Connection, lock: Lock<'_>, home: i32) -> Result<(), postgres::Error> {
    let advisory = |connection: &mut Connection, kind: i32| {
        connection.query("SELECT pg_advisory_xact_lock($1, $2)", &[&home, &kind]).map(drop)
    };
    match lock {
        Lock::None => Ok(()),
        Lock::Commit => advisory(connection, COMMIT_LOCK),
        Lock::Turns => advisory(connection, TURNS_LOCK),
        Lock::Account(profile) => {
            let make = "INSERT INTO accounts (profile) VALUES ($1) ON CONFLICT (profile) DO NOTHING";
            connection.execute(make, &[&profile])?;
            let take = "SELECT profile FROM accounts WHERE profile = $1 FOR UPDATE";
            connection.query(take, &[&profile]).map(drop)
        }
    }
}

/// Holds others off who would bring the home to a newer format, until the transaction ends.
pub(super) fn lock_schema(
    connection: &mut Connection,
    address: &PostgresAddress,
) -> Result<(), postgres::Error> {
    connection.query("SELECT pg_advisory_xact_lock($1, $2)", &[&home_key(address), &SCHEMA_LOCK]).map(drop)
}

/// Whether this connection alone may bring a home to this place, for as long as it lasts.
pub(super) fn try_move_lock(
    connection: &mut Connection,
    address: &PostgresAddress,
) -> Result<bool, postgres::Error> {
    try_lock(connection, address, MOVE_LOCK)
}

/// Whether this connection alone may make the graph of pgvector, for as long as it lasts.
pub(super) fn try_graph_lock(
    connection: &mut Connection,
    address: &PostgresAddress,
) -> Result<bool, postgres::Error> {
    try_lock(connection, address, GRAPH_LOCK)
}

fn try_lock(
    connection: &mut Connection,
    address: &PostgresAddress,
    kind: i32,
) -> Result<bool, postgres::Error> {
    let row = connection.one("SELECT pg_try_advisory_lock($1, $2)", &[&home_key(address), &kind])?;
    row.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> CatalogError {
        CatalogError::Database { problem: "it is away".to_owned(), trouble: DatabaseTrouble::Away }
    }

    #[test]
    fn after_an_attempt_that_took_long_others_fail_at_once_until_the_pause_is_over() {
        let backoff = Backoff::default();
        let ago = |secs| Instant::now().checked_sub(Duration::from_secs(secs)).unwrap();
        let failed =
            |at| Some(Failed { at, pause: Duration::from_secs(2), problem: "it is away".to_owned() });
        *backoff.failed() = failed(ago(1));
        let error = backoff.connect(|| -> Result<(), _> { panic!("nothing is tried") }).unwrap_err();
        assert!(error.is_away() && error.to_string().contains("it is away (tried again"), "{error}");
        *backoff.failed() = failed(ago(3));
        assert_eq!(backoff.connect(|| Ok(7)).unwrap(), 7);
        assert!(backoff.failed().is_none(), "it is back");
    }

    #[test]
    fn an_attempt_that_is_refused_at_once_is_made_again_at_once() {
        let backoff = Backoff::default();
        assert!(backoff.connect(|| Err::<(), _>(away())).is_err());
        assert!(backoff.connect(|| Ok(())).is_ok());
    }
}
