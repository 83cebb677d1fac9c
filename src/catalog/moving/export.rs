//! A home as lines of JSON, whichever store it is in.
//!
//! The first line is `{"tongkuan_export":1,"catalog_format":7,...}`, the last one `{"table":"end","lines":N,"sha256":"..."}`:
//! of all bytes before it. Each line between is a row: its `table`, then its columns. Digests are in hexadecimal,
//! vectors, sketches and files in base64 as docs/formats.md has them, with their CRC-32 beside them.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::MoveError;
use super::tables::{Cell, Kind, Rows, Source, TABLES, Table, each_page};
use crate::catalog::{CatalogError, schema};
use crate::timestamp::Timestamp;

/// Raised when a line means something else.
pub const EXPORT_FORMAT: u64 = 1;

/// How a column stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Numbers and texts as they are.
    Plain,
    /// A number that was single before SQLite widened it: reading JSON is exact to that.
    Single,
    Hex,
    Base64,
}

impl Form {
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Single => Self::Single,
            Kind::Digest => Self::Hex,
            Kind::Bytes => Self::Base64,
            Kind::Integer | Kind::Flag | Kind::Text | Kind::Decimal | Kind::Sum => Self::Plain,
        }
    }
}

/// The tables of an export. Left out is what can be made anew (words of titles), what is under way (turns, vectors of a next
/// model), and what is of this machine (breakers).
pub(super) fn exported_tables() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.is_exported)
}

/// Single values that travel: those of what is under way do not.
pub(super) const META_KEYS: [&str; 4] = ["model", "calibration", "calibrations", "generation"];

/// Whether a row of a table that travels does so.
pub(super) fn is_exported(table: &Table, row: &[Cell]) -> bool {
    table.name != "meta" || matches!(row.first(), Some(Cell::Text(key)) if META_KEYS.contains(&key.as_str()))
}

/// What was exported, or imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Rows, without the first line and the last one.
    pub rows: u64,
    /// Photos with their vectors, sketches and digests.
    pub photos: u64,
    /// Answers to questions about photos.
    pub answers: u64,
    /// Offers that answers name.
    pub offers: u64,
    /// Pairs with a person's verdict.
    pub told: u64,
}

impl Exported {
    pub(super) fn count(&mut self, kind: &str) {
        self.rows += 1;
        match kind {
            "photos" => self.photos += 1,
            "answers" => self.answers += 1,
            "offers" => self.offers += 1,
            "told" => self.told += 1,
            _ => {}
        }
    }
}

/// Writes, and sums up what was written.
struct Summed<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Summed<W> {
    fn line(&mut self, value: &Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.hash.update(line.as_bytes());
        self.to.write_all(line.as_bytes())
    }
}

/// Writes all of a home, as it is at one moment, while other processes use it. No more is held than a page of rows. The words
/// of `progress` are those of the table that begins.
///
/// # Errors
/// [`MoveError`] when the home cannot be read or `to` not written.
pub(crate) fn export(
    source: &dyn Source,
    to: impl Write,
    now: Timestamp,
    progress: &mut dyn FnMut(&str),
) -> Result<Exported, MoveError> {
    let written = |reason| MoveError::Io { path: "what is exported".into(), reason };
    let mut out = Summed { to, hash: Sha256::new() };
    let mut exported = Exported::default();
    source.at_once(&mut |rows| {
        let header = json!({
            "tongkuan_export": EXPORT_FORMAT,
            "catalog_format": schema::newest(),
            "exported_at": now,
            "sequences": sequences(rows)?,
        });
        out.line(&header).map_err(written)?;
        for table in exported_tables() {
            progress(table.name);
            each_page(rows, table, None, &mut |page| {
                for row in page.iter().filter(|row| is_exported(table, row)) {
                    out.line(&line_of(table, row)).map_err(written)?;
                    exported.count(table.name);
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    let sum = out.hash.clone().finalize();
    let sum = hex_of(&sum);
    out.line(&json!({"table": "end", "lines": exported.rows, "sha256": sum})).map_err(written)?;
    out.to.flush().map_err(written)?;
    Ok(exported)
}

/// The last numbers that tables have given, where they have given any.
pub(super) fn sequences(rows: &dyn Rows) -> Result<BTreeMap<String, i64>, CatalogError> {
    let given = rows.last_numbers()?.into_iter().filter(|(_, last)| *last > 0);
    Ok(given.map(|(table, last)| (table.to_owned(), last)).collect())
}

fn line_of(table: &Table, row: &[Cell]) -> Value {
    let mut line = Map::new();
    line.insert("table".to_owned(), json!(table.name));
    for ((name, kind), cell) in table.columns.iter().zip(row) {
        line.insert((*name).to_owned(), value(cell, Form::of(*kind)));
    }
    Value::Object(line)
}

fn value(cell: &Cell, form: Form) -> Value {
    match (cell, form) {
        (Cell::Null, _) => Value::Null,
        (Cell::Integer(number), _) => json!(number),
        (Cell::Single(number), _) => json!(number),
        (Cell::Bytes(bytes), Form::Hex) => json!(hex_of(bytes)),
        (Cell::Bytes(bytes), _) => json!(STANDARD.encode(bytes)),
        (Cell::Text(text), _) => json!(text),
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to memory does not fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}
