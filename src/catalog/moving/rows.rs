//! The rows of a catalogue, and a folder in which a moved home arrives.

use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params_from_iter};

use super::MoveError;
use super::import::raise_sequence;
use super::place::Place;
use super::tables::{Cell, Kind, LastNumber, NUMBERED, Row, Rows, Source, Table};
use super::transfer::Arrival;
use crate::catalog::columns::crc32;
use crate::catalog::{Catalog, CatalogError, answers};

fn names(columns: &[(&str, Kind)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn cell(stored: ValueRef<'_>, kind: Kind, before: Option<&Cell>) -> Cell {
    match (stored, kind) {
        // Rows of older formats have no sum.
        (ValueRef::Null, Kind::Sum) => match before {
            Some(Cell::Bytes(bytes)) => Cell::Integer(i64::from(crc32(bytes))),
            _ => Cell::Null,
        },
        (ValueRef::Null, _) => Cell::Null,
        (ValueRef::Integer(number), _) => Cell::Integer(number),
        #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
        (ValueRef::Real(number), _) => Cell::Single(number as f32),
        // A text that is damaged goes as far as it can be read.
        (ValueRef::Text(bytes), _) => Cell::text(String::from_utf8_lossy(bytes).into_owned()),
        (ValueRef::Blob(bytes), _) => Cell::Bytes(bytes.to_vec()),
    }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => Value::Integer(*number),
        Cell::Single(number) => Value::Real(f64::from(*number)),
        Cell::Text(text) => Value::Text(text.clone()),
        Cell::Bytes(bytes) => Value::Blob(bytes.clone()),
    }
}

fn rows_after(
    connection: &Connection,
    table: &Table,
    after: Option<&[Cell]>,
    limit: u32,
) -> rusqlite::Result<Vec<Row>> {
    let (key, columns) = (names(table.key()), names(table.columns));
    let behind = after
        .map_or(String::new(), |after| format!(" WHERE ({key}) > ({})", vec!["?"; after.len()].join(", ")));
    let sql = format!("SELECT {columns} FROM {}{behind} ORDER BY {key} LIMIT {limit}", table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(after.unwrap_or_default().iter().map(value)))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut cells = Row::with_capacity(table.columns.len());
        for (column, (_, kind)) in table.columns.iter().enumerate() {
            let read = cell(row.get_ref(column)?, *kind, cells.last());
            cells.push(read);
        }
        rows.push(cells);
    }
    Ok(rows)
}

fn row_count(connection: &Connection, table: &Table) -> rusqlite::Result<u64> {
    connection.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get(0))
}

fn range(connection: &Connection, table: &Table, column: &str) -> rusqlite::Result<Option<(i64, i64)>> {
    // One at a time, each is the end of an index.
    let name = table.name;
    let sql = format!("SELECT (SELECT min({column}) FROM {name}), (SELECT max({column}) FROM {name})");
    let (lowest, highest): (Option<i64>, Option<i64>) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(lowest.zip(highest))
}

fn last_numbers(connection: &Connection) -> rusqlite::Result<Vec<LastNumber>> {
    let mut numbers = Vec::with_capacity(NUMBERED.len());
    for (table, column) in NUMBERED {
        let given: Option<i64> = connection
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
            .optional()?;
        let highest: Option<i64> =
            connection.query_row(&format!("SELECT max({column}) FROM {table}"), [], |row| row.get(0))?;
        numbers.push((table, given.max(highest).unwrap_or(0)));
    }
    Ok(numbers)
}

impl Rows for Catalog {
    fn rows_after(
        &self,
        table: &Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> Result<Vec<Row>, CatalogError> {
        self.read(|connection| rows_after(connection, table, after, limit))
    }

    fn row_count(&self, table: &Table) -> Result<u64, CatalogError> {
        self.read(|connection| row_count(connection, table))
    }

    fn range(&self, table: &Table, column: &str) -> Result<Option<(i64, i64)>, CatalogError> {
        self.read(|connection| range(connection, table, column))
    }

    fn last_numbers(&self) -> Result<Vec<LastNumber>, CatalogError> {
        self.read(last_numbers)
    }

    fn changes(&self) -> Result<u64, CatalogError> {
        self.generation()
    }
}

impl Source for Catalog {
    fn at_once(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), MoveError>) -> Result<(), MoveError> {
        let mut outcome = Ok(());
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            outcome = read(&Snapshot(&transaction));
            Ok(())
        })?;
        outcome
    }
}

/// A catalogue in a transaction that reads.
struct Snapshot<'c>(&'c Connection);

impl Rows for Snapshot<'_> {
    fn rows_after(
        &self,
        table: &Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> Result<Vec<Row>, CatalogError> {
        Ok(rows_after(self.0, table, after, limit)?)
    }

    fn row_count(&self, table: &Table) -> Result<u64, CatalogError> {
        Ok(row_count(self.0, table)?)
    }

    fn range(&self, table: &Table, column: &str) -> Result<Option<(i64, i64)>, CatalogError> {
        Ok(range(self.0, table, column)?)
    }

    fn last_numbers(&self) -> Result<Vec<LastNumber>, CatalogError> {
        Ok(last_numbers(self.0)?)
    }

    fn changes(&self) -> Result<u64, CatalogError> {
        Ok(0)
    }
}

/// A catalogue that arrives in a folder beside its place, which stays where the move is killed.
pub(crate) struct FolderArrival {
    catalog: Catalog,
    place: Place,
}

impl FolderArrival {
    /// Begins in `home`, or goes on with what came from the same place before.
    pub(crate) fn begin(home: &Path, from: &str, restart: bool) -> Result<Self, MoveError> {
        Self::at(Place::for_move(home, from, restart)?)
    }

    /// Begins in `home`, where nothing is, and leaves nothing there where it ends early.
    #[cfg(feature = "postgres")]
    pub(super) fn once(home: &Path) -> Result<Self, MoveError> {
        Self::at(Place::in_home(home, false)?)
    }

    fn at(place: Place) -> Result<Self, MoveError> {
        let catalog = Catalog::open(place.folder())?;
        // A new catalogue has single values of its own.
        catalog.writer().execute("DELETE FROM meta", [])?;
        Ok(Self { catalog, place })
    }
}

impl Arrival for FolderArrival {
    fn rows(&self) -> &dyn Rows {
        &self.catalog
    }

    fn put(&self, table: &Table, rows: &[Row]) -> Result<(), CatalogError> {
        let places = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, names(table.columns));
        let mut writer = self.catalog.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut put = transaction.prepare_cached(&sql)?;
            for row in rows {
                put.execute(params_from_iter(row.iter().map(value)))?;
                if let ("offers", [Cell::Text(profile), _, Cell::Text(body), ..]) =
                    (table.name, row.as_slice())
                {
                    answers::index_stored(&transaction, profile, body)?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn last_key(&self, table: &Table) -> Result<Option<Row>, CatalogError> {
        let key = names(table.key());
        let backwards: Vec<String> = table.key().iter().map(|(name, _)| format!("{name} DESC")).collect();
        let sql = format!("SELECT {key} FROM {} ORDER BY {} LIMIT 1", table.name, backwards.join(", "));
        self.catalog.read(|connection| {
            connection
                .query_row(&sql, [], |row| {
                    let cells = table.key().iter().enumerate();
                    cells.map(|(column, (_, kind))| Ok(cell(row.get_ref(column)?, *kind, None))).collect()
                })
                .optional()
        })
    }

    fn raise_numbers(&self, numbers: &[LastNumber]) -> Result<(), CatalogError> {
        let mut writer = self.catalog.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (table, last) in numbers {
            raise_sequence(&transaction, table, *last)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn take_place(self: Box<Self>) -> Result<Option<PathBuf>, MoveError> {
        let Self { catalog, place } = *self;
        if let Some(problem) = catalog.problems()?.into_iter().next() {
            return Err(MoveError::NotSound { path: place.folder().to_path_buf(), problem });
        }
        let busy: i64 =
            catalog.writer().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        debug_assert_eq!(busy, 0);
        drop(catalog);
        place.take()
    }
}
