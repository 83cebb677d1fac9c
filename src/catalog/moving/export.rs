//! A catalogue as lines of JSON.
//!
//! The first line is `{"tongkuan_export":1,"catalog_format":7,...}`, the last one `{"table":"end","lines":N,"sha256":"..."}`:
//! of all bytes before it. Each line between is a row: its `table`, then its columns. Digests are in hexadecimal,
//! vectors, sketches and files in base64 as docs/formats.md has them, with their CRC-32 beside them.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::MoveError;
use super::tables::{Kind, TABLES, Table};
use crate::catalog::{Catalog, schema};
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

/// All rows of a table that travel, in an order that is the same in every export.
pub(super) fn selection_of(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let only = if table.name == "meta" {
        format!(" WHERE key IN ('{}')", META_KEYS.join("', '"))
    } else {
        String::new()
    };
    format!("SELECT {} FROM {}{only} ORDER BY 1, 2", names.join(", "), table.name)
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

/// Writes all of a catalogue, as it is at one moment, while other processes use it. Nothing is held but a row. The words of
/// `progress` are those of the table that begins.
///
/// # Errors
/// [`MoveError`] when the catalogue cannot be read or `to` not written.
pub fn export(
    catalog: &Catalog,
    to: impl Write,
    now: Timestamp,
    progress: &mut dyn FnMut(&str),
) -> Result<Exported, MoveError> {
    if !catalog.is_read_only() {
        catalog.store_what_waits()?;
    }
    let written = |reason| MoveError::Io { path: "what is exported".into(), reason };
    let mut out = Summed { to, hash: Sha256::new() };
    let mut exported = Exported::default();
    let mut failed = None;
    catalog.read(|connection| {
        // One snapshot for all tables.
        let transaction = connection.unchecked_transaction()?;
        let sequences: Map<String, Value> = transaction
            .prepare("SELECT name, seq FROM sqlite_sequence")?
            .query_map([], |row| Ok((row.get(0)?, json!(row.get::<_, i64>(1)?))))?
            .collect::<Result<_, _>>()?;
        let header = json!({
            "tongkuan_export": EXPORT_FORMAT,
            "catalog_format": schema::newest(),
            "exported_at": now,
            "sequences": sequences,
        });
        failed = out.line(&header).err();
        for table in exported_tables() {
            if failed.is_some() {
                return Ok(());
            }
            progress(table.name);
            let mut statement = transaction.prepare(&selection_of(table))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let mut line = Map::new();
                line.insert("table".to_owned(), json!(table.name));
                for (column, (name, kind)) in table.columns.iter().enumerate() {
                    line.insert((*name).to_owned(), value(row.get_ref(column)?, Form::of(*kind)));
                }
                failed = out.line(&Value::Object(line)).err();
                if failed.is_some() {
                    return Ok(());
                }
                exported.count(table.name);
            }
        }
        Ok(())
    })?;
    if let Some(reason) = failed {
        return Err(written(reason));
    }
    let sum = out.hash.clone().finalize();
    let sum = hex_of(&sum);
    out.line(&json!({"table": "end", "lines": exported.rows, "sha256": sum})).map_err(written)?;
    out.to.flush().map_err(written)?;
    Ok(exported)
}

fn value(stored: ValueRef<'_>, form: Form) -> Value {
    match (stored, form) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(number), _) => json!(number),
        (ValueRef::Real(number), _) => json!(number),
        (ValueRef::Blob(bytes), Form::Hex) => {
            json!(hex_of(bytes))
        }
        (ValueRef::Blob(bytes), _) => json!(STANDARD.encode(bytes)),
        // A text that is damaged is exported as far as it can be read, as it is shown.
        (ValueRef::Text(bytes), _) => json!(String::from_utf8_lossy(bytes)),
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
