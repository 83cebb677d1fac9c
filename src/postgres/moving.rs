//! The rows of a home in PostgreSQL, and a schema in which a moved home arrives.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use postgres::types::ToSql;

use super::address::PostgresAddress;
use super::connection::{Connection, lock_schema, try_move_lock};
use super::{PostgresStore, answers, not_opened};
use crate::catalog::CatalogError;
use crate::catalog::Words;
use crate::catalog::moving::{
    Arrival, Cell, Kind, LastNumber, MoveError, NUMBERED, Row, Rows, Source, Table,
};
use crate::catalog::shared::parse_offer;
use crate::store::PhotoStore as _;

/// What an arriving schema's comment begins with: who made it, so that no other one is taken for it.
const MARK: &str = "tongkuan move from ";

/// What the place begins with that a file comes from: the sum of its rows follows.
pub(crate) const A_FILE: &str = "a file with the rows ";

/// Behind the name of the schema in which a home arrives, and of one that was replaced, before a number.
const ARRIVING: &str = "_arriving";
const REPLACED: &str = "_replaced_";

/// How long who reads a snapshot may do something else, such as wait for a pipe: nobody waits for its locks, but vacuum spares
/// what it sees.
const SNAPSHOT_IDLE: Duration = Duration::from_hours(1);

/// A process that has ended may be seen for a moment longer.
const UNTIL_CLOSED: Duration = Duration::from_secs(5);

/// A column as it is read: in the one type that its kind has here.
fn read_column((name, kind): (&str, Kind)) -> String {
    match kind {
        Kind::Integer | Kind::Sum => format!("{name}::bigint"),
        Kind::Flag => format!("{name}::integer::bigint"),
        Kind::Decimal => format!("{name}::text"),
        Kind::Single | Kind::Text | Kind::Digest | Kind::Bytes => name.to_owned(),
    }
}

/// A column of the primary key, ordered by its bytes as elsewhere.
fn key_column((name, kind): (&str, Kind)) -> String {
    if kind == Kind::Text { format!("{name} COLLATE \"C\"") } else { name.to_owned() }
}

fn join<'a>(columns: &'a [(&'a str, Kind)], each: impl Fn((&'a str, Kind)) -> String) -> String {
    columns.iter().map(|column| each(*column)).collect::<Vec<_>>().join(", ")
}

fn cells(row: &postgres::Row, columns: &[(&str, Kind)]) -> Result<Row, postgres::Error> {
    let null_or = |cell: Option<Cell>| cell.unwrap_or(Cell::Null);
    let cell = |(place, (_, kind)): (usize, &(&str, Kind))| {
        Ok(null_or(match kind {
            Kind::Integer | Kind::Flag | Kind::Sum => {
                row.try_get::<_, Option<i64>>(place)?.map(Cell::Integer)
            }
            Kind::Single => row.try_get::<_, Option<f32>>(place)?.map(Cell::Single),
            Kind::Text | Kind::Decimal => row.try_get::<_, Option<String>>(place)?.map(Cell::Text),
            Kind::Digest | Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(place)?.map(Cell::Bytes),
        }))
    };
    columns.iter().enumerate().map(cell).collect()
}

/// The value of a key, which is never of single precision.
fn key_value(cell: &Cell) -> &(dyn ToSql + Sync) {
    match cell {
        Cell::Integer(number) => number,
        Cell::Text(text) => text,
        Cell::Bytes(bytes) => bytes,
        Cell::Single(number) => number,
        Cell::Null => &None::<i64>,
    }
}

/// One column of several rows.
fn column_values<'r>(rows: &'r [Row], place: usize, kind: Kind) -> Box<dyn ToSql + Sync + 'r> {
    let cells = rows.iter().map(move |row| row.get(place));
    match kind {
        Kind::Integer | Kind::Flag | Kind::Sum => {
            let number = |cell: Option<&Cell>| {
                if let Some(Cell::Integer(number)) = cell { Some(*number) } else { None }
            };
            Box::new(cells.map(number).collect::<Vec<_>>())
        }
        Kind::Single => {
            let number = |cell: Option<&Cell>| {
                if let Some(Cell::Single(number)) = cell { Some(*number) } else { None }
            };
            Box::new(cells.map(number).collect::<Vec<_>>())
        }
        Kind::Text | Kind::Decimal => {
            let text = |cell: Option<&'r Cell>| {
                if let Some(Cell::Text(text)) = cell { Some(text.as_str()) } else { None }
            };
            Box::new(cells.map(text).collect::<Vec<_>>())
        }
        Kind::Digest | Kind::Bytes => {
            let bytes = |cell: Option<&'r Cell>| {
                if let Some(Cell::Bytes(bytes)) = cell { Some(bytes.as_slice()) } else { None }
            };
            Box::new(cells.map(bytes).collect::<Vec<_>>())
        }
    }
}

/// The type of the array in which a column's values are sent, and the expression of one that is stored.
fn sent((name, kind): (&str, Kind)) -> (&'static str, String) {
    match kind {
        Kind::Integer | Kind::Sum => ("bigint[]", name.to_owned()),
        Kind::Flag => ("bigint[]", format!("{name} <> 0")),
        Kind::Single => ("real[]", name.to_owned()),
        Kind::Text => ("text[]", name.to_owned()),
        Kind::Decimal => ("text[]", format!("{name}::numeric")),
        Kind::Digest | Kind::Bytes => ("bytea[]", name.to_owned()),
    }
}

fn rows_after(
    c: &mut Connection,
    table: &Table,
    after: Option<&[Cell]>,
    limit: u32,
) -> Result<Vec<Row>, CatalogError> {
    let after = after.unwrap_or_default();
    let key = join(table.key(), key_column);
    let places: Vec<String> = (1..=after.len()).map(|place| format!("${place}")).collect();
    let behind =
        if after.is_empty() { String::new() } else { format!("WHERE ({key}) > ({})", places.join(", ")) };
    let sql = format!(
        "SELECT {} FROM {} {behind} ORDER BY {key} LIMIT {limit}",
        join(table.columns, read_column),
        table.name,
    );
    let values: Vec<&(dyn ToSql + Sync)> = after.iter().map(key_value).collect();
    let rows = c.query(&sql, &values)?;
    rows.iter().map(|row| Ok(cells(row, table.columns)?)).collect()
}

fn row_count(c: &mut Connection, table: &Table) -> Result<u64, CatalogError> {
    Ok(super::count(c.one(&format!("SELECT count(*) FROM {}", table.name), &[])?.try_get(0)?))
}

fn range(c: &mut Connection, table: &Table, column: &str) -> Result<Option<(i64, i64)>, CatalogError> {
    let sql = format!("SELECT min({column})::bigint, max({column})::bigint FROM {}", table.name);
    let row = c.one(&sql, &[])?;
    let (lowest, highest): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(lowest.zip(highest))
}

fn last_numbers(c: &mut Connection) -> Result<Vec<LastNumber>, CatalogError> {
    let mut numbers = Vec::with_capacity(NUMBERED.len());
    for (table, column) in NUMBERED {
        let row = c.one(
            &format!(
                "SELECT greatest(pg_sequence_last_value(pg_get_serial_sequence('{table}', '{column}')::regclass),
                                 (SELECT max({column}) FROM {table}), 0)"
            ),
            &[],
        )?;
        numbers.push((table, row.try_get(0)?));
    }
    Ok(numbers)
}

impl Rows for PostgresStore {
    fn rows_after(
        &self,
        table: &Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> Result<Vec<Row>, CatalogError> {
        self.read(|c| rows_after(c, table, after, limit))
    }

    fn row_count(&self, table: &Table) -> Result<u64, CatalogError> {
        self.read(|c| row_count(c, table))
    }

    fn range(&self, table: &Table, column: &str) -> Result<Option<(i64, i64)>, CatalogError> {
        self.read(|c| range(c, table, column))
    }

    fn last_numbers(&self) -> Result<Vec<LastNumber>, CatalogError> {
        self.read(|c| last_numbers(c))
    }

    fn changes(&self) -> Result<u64, CatalogError> {
        self.generation()
    }
}

impl Source for PostgresStore {
    /// On a connection of its own: what was read already cannot be read again after one that broke.
    fn at_once(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), MoveError>) -> Result<(), MoveError> {
        let mut connection = self.connect()?;
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = {}",
            SNAPSHOT_IDLE.as_millis()
        );
        connection.batch(&begin).map_err(CatalogError::from)?;
        read(&Snapshot(RefCell::new(connection)))
    }
}

/// A home in a transaction that reads, and ends with its connection.
struct Snapshot(RefCell<Connection>);

impl Rows for Snapshot {
    fn rows_after(
        &self,
        table: &Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> Result<Vec<Row>, CatalogError> {
        rows_after(&mut self.0.borrow_mut(), table, after, limit)
    }

    fn row_count(&self, table: &Table) -> Result<u64, CatalogError> {
        row_count(&mut self.0.borrow_mut(), table)
    }

    fn range(&self, table: &Table, column: &str) -> Result<Option<(i64, i64)>, CatalogError> {
        range(&mut self.0.borrow_mut(), table, column)
    }

    fn last_numbers(&self) -> Result<Vec<LastNumber>, CatalogError> {
        last_numbers(&mut self.0.borrow_mut())
    }

    fn changes(&self) -> Result<u64, CatalogError> {
        Ok(0)
    }
}

/// What arrives, and what gives way to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving<'a> {
    /// Where it comes from. The same means the same rows, so one that was killed goes on.
    pub(crate) from: &'a str,
    /// What an unfinished move has left gives way. What a file has left always gives way to another file.
    pub(crate) restart: bool,
    /// A home that is there gives way, and is kept under another name.
    pub(crate) force: bool,
}

/// A home that arrives in a schema beside its place, which stays where the move is killed.
pub(crate) struct PostgresArrival {
    store: PostgresStore,
    arriving: PostgresAddress,
    target: PostgresAddress,
    force: bool,
    /// Holds the lock of this move.
    connection: Connection,
    /// The side journal of the store, which has nothing to keep.
    _journal: tempfile::TempDir,
}

impl PostgresArrival {
    /// Begins beside `target`, or goes on with what came from the same place before.
    pub(crate) fn begin(target: &PostgresAddress, arrives: Arriving<'_>) -> Result<Self, MoveError> {
        let Arriving { from, restart, force } = arrives;
        let location = target.to_string();
        let fails = |error: CatalogError| MoveError::from(not_opened(target, error));
        let mut connection = Connection::open(target).map_err(|error| fails(error.into()))?;
        let arriving = target.with_schema(name_beside(target.schema(), ARRIVING));
        if !try_move_lock(&mut connection, target).map_err(|error| fails(error.into()))? {
            return Err(MoveError::InUse { path: location.into() });
        }
        // Before all rows were sent for nothing; looked at again when the place is taken.
        must_give_way(&mut connection, target, force)?;
        let mark = format!("{MARK}{from}");
        let found = mark_of(&mut connection, &arriving).map_err(|error| fails(error.into()))?;
        let schema = arriving.schema();
        let is_there = match found {
            None => false,
            Some(found) if found == mark && !restart => true,
            // One that no move has made is not thrown away.
            Some(found) => match found.strip_prefix(MARK) {
                None => return Err(MoveError::TargetUsed { location: arriving.to_string() }),
                Some(earlier) if restart || [earlier, from].iter().all(|from| from.starts_with(A_FILE)) => {
                    let dropped = connection.batch(&format!("DROP SCHEMA \"{schema}\" CASCADE"));
                    dropped.map_err(|error| fails(error.into()))?;
                    false
                }
                Some(earlier) => return Err(MoveError::Unfinished { location, from: earlier.to_owned() }),
            },
        };
        if !is_there {
            let mark = mark.replace('\'', "''");
            let made = connection.batch(&format!(
                "BEGIN; CREATE SCHEMA \"{schema}\"; COMMENT ON SCHEMA \"{schema}\" IS '{mark}'; COMMIT"
            ));
            made.map_err(|error| fails(error.into()))?;
        }
        let io = |reason| MoveError::Io { path: std::env::temp_dir(), reason };
        let journal = tempfile::tempdir().map_err(io)?;
        let store = PostgresStore::open(&arriving, journal.path())?;
        // A new home has single values of its own.
        let mut write = store.write(super::connection::Lock::Commit)?;
        write.execute("DELETE FROM meta", &[])?;
        write.commit()?;
        Ok(Self { store, arriving, target: target.clone(), force, connection, _journal: journal })
    }
}

/// Behind the name of a schema. Names that PostgreSQL would cut are cut before.
fn name_beside(schema: &str, behind: &str) -> String {
    let kept = schema.len().min(super::address::MAX_NAME - behind.len());
    format!("{}{behind}", &schema[..kept])
}

/// Refuses where something is that does not give way. Tells whether a home is there that does.
fn must_give_way(
    connection: &mut Connection,
    target: &PostgresAddress,
    force: bool,
) -> Result<bool, MoveError> {
    let fails = |error: postgres::Error| MoveError::from(CatalogError::from(error));
    let row = connection.one(
        "SELECT to_regclass($1) IS NOT NULL,
                EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $2))",
        &[&format!("{}.format", target.schema()), &target.schema()],
    );
    let row = row.map_err(fails)?;
    let (is_home, has_tables): (bool, bool) =
        (row.try_get(0).map_err(fails)?, row.try_get(1).map_err(fails)?);
    if has_tables && !(is_home && force) {
        return Err(MoveError::TargetUsed { location: target.to_string() });
    }
    let since = Instant::now();
    while is_home && is_in_use(connection).map_err(fails)? {
        if since.elapsed() >= UNTIL_CLOSED {
            return Err(MoveError::InUse { path: target.to_string().into() });
        }
        std::thread::sleep(UNTIL_CLOSED / 100);
    }
    Ok(is_home)
}

/// Whether others have the home open that this connection is to: their connections have the same name.
fn is_in_use(connection: &mut Connection) -> Result<bool, postgres::Error> {
    connection.exists(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = current_setting('application_name')
         AND datname = current_database() AND pid <> pg_backend_pid() LIMIT 1",
        &[],
    )
}

/// The comment of a schema, empty where it has none; `None` where there is no such schema.
fn mark_of(
    connection: &mut Connection,
    address: &PostgresAddress,
) -> Result<Option<String>, postgres::Error> {
    let row = connection.first(
        "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = $1",
        &[&address.schema()],
    )?;
    row.map(|row| row.try_get(0)).transpose()
}

impl Arrival for PostgresArrival {
    fn rows(&self) -> &dyn Rows {
        &self.store
    }

    fn put(&self, table: &Table, rows: &[Row]) -> Result<(), CatalogError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let (mut types, mut stored): (Vec<_>, Vec<_>) =
            table.columns.iter().map(|column| sent(*column)).unzip();
        let mut values: Vec<Box<dyn ToSql + Sync + '_>> = (table.columns.iter().enumerate())
            .map(|(place, (_, kind))| column_values(rows, place, *kind))
            .collect();
        if table.name == "offers" {
            let (prices, titles) = rows.iter().map(looked_for).unzip::<_, _, Vec<_>, Vec<_>>();
            names.extend(["price_yuan", "title"]);
            types.extend(["text[]", "text[]"]);
            stored.extend(["price_yuan::numeric".to_owned(), "title::tsvector".to_owned()]);
            values.extend([Box::new(prices) as Box<dyn ToSql + Sync>, Box::new(titles)]);
        }
        let arrays: Vec<String> =
            types.iter().zip(1..).map(|(array, place)| format!("${place}::{array}")).collect();
        let names = names.join(", ");
        let sql = format!(
            "INSERT INTO {} ({names}) SELECT {} FROM unnest({}) AS new ({names})",
            table.name,
            stored.join(", "),
            arrays.join(", "),
        );
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(AsRef::as_ref).collect();
        let mut write = self.store.write(super::connection::Lock::Commit)?;
        write.execute(&sql, &values)?;
        write.commit()
    }

    fn last_key(&self, table: &Table) -> Result<Option<Row>, CatalogError> {
        let backwards = join(table.key(), |column| format!("{} DESC", key_column(column)));
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {backwards} LIMIT 1",
            join(table.key(), read_column),
            table.name,
        );
        self.store.read(|c| {
            let row = c.first(&sql, &[])?;
            Ok(row.map(|row| cells(&row, table.key())).transpose()?)
        })
    }

    fn raise_numbers(&self, numbers: &[LastNumber]) -> Result<(), CatalogError> {
        let mut write = self.store.write(super::connection::Lock::Commit)?;
        for (table, last) in numbers.iter().filter(|(_, last)| *last > 0) {
            let Some((_, column)) = NUMBERED.iter().find(|(name, _)| name == table) else { continue };
            let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), $1)");
            write.execute(&sql, &[last])?;
        }
        write.commit()
    }

    fn take_place(self: Box<Self>) -> Result<Option<PathBuf>, MoveError> {
        let Self { store, arriving, target, force, mut connection, _journal } = *self;
        drop(store);
        connection.batch("BEGIN").map_err(CatalogError::from)?;
        let taken = rename(&mut connection, &arriving, &target, force);
        let ended = connection.batch(if taken.is_ok() { "COMMIT" } else { "ROLLBACK" });
        let replaced = taken?;
        ended.map_err(CatalogError::from)?;
        Ok(replaced.map(|schema| target.with_schema(schema).to_string().into()))
    }
}

/// An empty schema that waits for the home goes; a home that gives way gets another name, which is returned.
fn rename(
    connection: &mut Connection,
    arriving: &PostgresAddress,
    target: &PostgresAddress,
    force: bool,
) -> Result<Option<String>, MoveError> {
    lock_schema(connection, target).map_err(CatalogError::from)?;
    let (from, to) = (arriving.schema(), target.schema());
    let kept = if must_give_way(connection, target, force)? {
        Some(free_name(connection, to).map_err(CatalogError::from)?)
    } else {
        None
    };
    let goes = match &kept {
        Some(kept) => format!("ALTER SCHEMA \"{to}\" RENAME TO \"{kept}\""),
        None => format!("DROP SCHEMA IF EXISTS \"{to}\""),
    };
    let comes = format!("COMMENT ON SCHEMA \"{from}\" IS NULL; ALTER SCHEMA \"{from}\" RENAME TO \"{to}\"");
    connection.batch(&format!("{goes}; {comes}")).map_err(CatalogError::from)?;
    Ok(kept)
}

/// The name of a schema for a home that was replaced.
fn free_name(connection: &mut Connection, schema: &str) -> Result<String, postgres::Error> {
    let mut number = 1_u32;
    loop {
        let name = name_beside(schema, &format!("{REPLACED}{number}"));
        if !connection.exists("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&name])? {
            return Ok(name);
        }
        number += 1;
    }
}

/// What stands beside an offer to be looked for: its price, and the words of its title. Neither for one that cannot be read.
fn looked_for(row: &Row) -> (Option<String>, String) {
    let body = row.get(2);
    let offer = match body {
        Some(Cell::Text(body)) => parse_offer(body.as_bytes()).ok(),
        _ => None,
    };
    match offer {
        Some(offer) => (answers::price(&offer), Words::tsvector(&offer.title)),
        None => (None, String::new()),
    }
}
