//! All rows of one home go into another one, whichever stores they are in.
//!
//! Rows go in the order of their keys, a page in a transaction, so what has arrived is always the beginning of each table,
//! and a move that was killed goes on behind it. What arrives is no home before all of it is there and its sums are those of
//! the source; then it becomes one in a step.

use std::path::PathBuf;

use serde::Serialize;

use super::MoveError;
use super::export::hex_of;
use super::tables::{LastNumber, Row, Rows, TABLES, Table, each_page, sum_up};
use crate::catalog::CatalogError;

/// How a home is moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct MoveOptions {
    /// What an unfinished move has left at the target is thrown away.
    pub restart: bool,
    /// Rows are counted, and nothing is moved.
    pub dry_run: bool,
}

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Of all tables.
    pub rows: u64,
    /// Rows that an earlier move, which did not end, had brought.
    pub rows_before: u64,
    /// Each table, in the order in which they went.
    pub tables: Vec<MovedTable>,
}

/// One table that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedTable {
    /// Its name, the same in all stores.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The SHA-256 of all its rows, which was the same on both sides; `None` where they were counted only.
    pub sha256: Option<String>,
}

/// Where a home arrives, before it is one.
pub(crate) trait Arrival {
    /// What has arrived.
    fn rows(&self) -> &dyn Rows;
    /// Puts rows behind those that are there, in one transaction.
    fn put(&self, table: &Table, rows: &[Row]) -> Result<(), CatalogError>;
    /// The key of the last row that is there.
    fn last_key(&self, table: &Table) -> Result<Option<Row>, CatalogError>;
    /// Sees to it that numbers that were given once are not given again.
    fn raise_numbers(&self, numbers: &[LastNumber]) -> Result<(), CatalogError>;
    /// Makes it the home. Tells where a home that was there is kept, if it was to be replaced.
    fn take_place(self: Box<Self>) -> Result<Option<PathBuf>, MoveError>;
}

/// Hears of work: its name, and how much of how much is done.
pub type MoveProgress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// How many rows each table has.
pub(crate) fn count_rows(source: &dyn Rows) -> Result<Moved, CatalogError> {
    let mut tables = Vec::with_capacity(TABLES.len());
    for table in &TABLES {
        tables.push(MovedTable { table: table.name, rows: source.row_count(table)?, sha256: None });
    }
    Ok(Moved { rows: tables.iter().map(|table| table.rows).sum(), rows_before: 0, tables })
}

/// The SHA-256 of all rows, in hexadecimal digits: homes that have the same one hold the same.
#[cfg(feature = "postgres")]
pub(crate) fn digest_of(rows: &dyn Rows) -> Result<String, MoveError> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for table in &TABLES {
        hash.update(sum_up(rows, table, &mut |_| {})?.1);
    }
    Ok(hex_of(&hash.finalize()))
}

/// Brings to `target` what it lacks of `source`, verifies all of it, and makes it the home. Also tells where one that was
/// replaced is kept.
pub(crate) fn transfer(
    source: &dyn Rows,
    target: Box<dyn Arrival>,
    progress: MoveProgress<'_>,
) -> Result<(Moved, Option<PathBuf>), MoveError> {
    let changes = source.changes()?;
    let all = count_rows(source)?.rows;
    let rows_before = count_rows(target.rows())?.rows;
    let mut done = rows_before;
    for table in &TABLES {
        each_page(source, table, target.last_key(table)?, &mut |page| {
            target.put(table, &page)?;
            done += page.len() as u64;
            progress("moving", done, all.max(done));
            Ok(())
        })?;
    }
    target.raise_numbers(&source.last_numbers()?)?;
    let (mut tables, mut seen) = (Vec::with_capacity(TABLES.len()), 0);
    for table in &TABLES {
        let mut counted = |rows| {
            seen += rows;
            progress("verifying", seen, (2 * all).max(seen));
        };
        let there = sum_up(source, table, &mut counted)?;
        let here = sum_up(target.rows(), table, &mut counted)?;
        if there != here {
            return Err(MoveError::Differs { table: table.name, there: there.0, here: here.0 });
        }
        tables.push(MovedTable { table: table.name, rows: here.0, sha256: Some(hex_of(&here.1)) });
    }
    if source.changes()? != changes {
        return Err(MoveError::Changed);
    }
    progress("verifying", 1, 1);
    let replaced = target.take_place()?;
    Ok((Moved { rows: tables.iter().map(|table| table.rows).sum(), rows_before, tables }, replaced))
}
