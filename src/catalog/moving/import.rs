//! Lines of JSON as a catalogue.

use std::fmt::Display;
use std::io::{self, BufRead, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::Value as Stored;
use rusqlite::{Transaction, TransactionBehavior, params_from_iter};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::MoveError;
use super::export::{EXPORT_FORMAT, Exported, Form, META_KEYS, exported_tables, hex_of};
use super::tables::{Kind, PHOTO_COLUMNS};
use crate::catalog::columns::crc32;
use crate::catalog::{Catalog, answers, schema};
use crate::photo_id::PhotoId;

/// The longest line, in bytes: a waiting picture of 32 MiB in base64, and what stands around it.
const MAX_LINE_BYTES: u64 = 48 << 20;

/// Makes a catalogue in `folder` of what [`super::export`] wrote. It is whole when all was read, its sum was right and SQLite
/// finds it sound. `progress` hears of rows.
///
/// # Errors
/// [`MoveError`] for what is wrong with the lines, each with its number.
pub(crate) fn import(
    from: impl BufRead,
    folder: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported, MoveError> {
    make_catalog(folder, |transaction| read_all(from, transaction, progress))
}

/// A new catalogue of what `read` puts into it.
pub(super) fn make_catalog(
    folder: &Path,
    read: impl FnOnce(&Transaction<'_>) -> Result<Exported, MoveError>,
) -> Result<Exported, MoveError> {
    let catalog = Catalog::open(folder)?;
    let imported = {
        let mut writer = catalog.writer();
        // Rows come in an order that no reference minds; what belongs to nothing is found at the end, all at once.
        writer.pragma_update(None, "foreign_keys", false)?;
        // The catalogue takes its place only when all of it is on disk.
        writer.pragma_update(None, "synchronous", "OFF")?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let imported = read(&transaction)?;
        answers::index_all_offers(&transaction)?;
        transaction.commit()?;
        let busy: i64 = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        debug_assert_eq!(busy, 0);
        imported
    };
    let problems = catalog.problems()?;
    if let Some(problem) = problems.first() {
        return Err(MoveError::NotSound { path: "what is imported".into(), problem: problem.clone() });
    }
    Ok(imported)
}

fn read_all(
    mut from: impl BufRead,
    transaction: &Transaction<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported, MoveError> {
    let mut hash = Sha256::new();
    let (mut number, mut line) = (0_u64, Vec::new());
    let (mut imported, mut sequences) = (Exported::default(), None);
    loop {
        line.clear();
        let read = io::Read::take(&mut from, MAX_LINE_BYTES).read_until(b'\n', &mut line);
        let read = read.map_err(|reason| MoveError::Io { path: "what is imported".into(), reason })?;
        if read == 0 {
            return Err(MoveError::CutOff);
        }
        number += 1;
        let bad = |problem: String| MoveError::Line { line: number, problem };
        if line.last() != Some(&b'\n') && line.len() as u64 >= MAX_LINE_BYTES {
            return Err(bad(format!("it is longer than {MAX_LINE_BYTES} bytes")));
        }
        let value: Map<String, Value> = match serde_json::from_slice(&line) {
            Ok(value) => value,
            Err(error) if error.is_eof() => return Err(MoveError::CutOff),
            Err(error) => return Err(bad(error.to_string())),
        };
        let Some(known) = sequences.as_ref() else {
            let given = header(&value).map_err(|error| error.unwrap_or_else(|| bad(NO_EXPORT.to_owned())))?;
            for (table, last) in &given {
                check_last_number(table, last.as_i64().unwrap_or(0)).map_err(bad)?;
            }
            sequences = Some(given);
            hash.update(&line);
            continue;
        };
        let kind = value.get("table").and_then(Value::as_str).unwrap_or_default();
        if kind == "end" {
            let sum = hex_of(&hash.finalize());
            if value.get("sha256").and_then(Value::as_str) != Some(&sum)
                || value.get("lines").and_then(Value::as_u64) != Some(imported.rows)
            {
                return Err(bad("its sum is another: something before it was changed or lost".to_owned()));
            }
            let mut after = Vec::new();
            io::Read::take(&mut from, MAX_AFTER_END_BYTES)
                .read_to_end(&mut after)
                .map_err(|reason| MoveError::Io { path: "what is imported".into(), reason })?;
            if !after.iter().all(u8::is_ascii_whitespace) {
                return Err(MoveError::Line { line: number + 1, problem: AFTER_END.to_owned() });
            }
            for (table, last) in known {
                raise_sequence(transaction, table, last.as_i64().unwrap_or(0))?;
            }
            return Ok(imported);
        }
        hash.update(&line);
        let Some(table) = exported_tables().find(|table| table.name == kind) else {
            return Err(bad(format!("there is no table {kind:?}")));
        };
        put(transaction, table.name, table.columns, &value).map_err(bad)?;
        imported.count(table.name);
        if imported.rows % 1024 == 0 {
            progress(imported.rows);
        }
    }
}

const AFTER_END: &str =
    "something follows the end of the export; two exports in one file are not put together";
/// Read behind the end, in bytes.
const MAX_AFTER_END_BYTES: u64 = 4096;
const NO_EXPORT: &str = "it does not begin as an export does";

/// The last numbers that were given, by tables. `None` as the error for what is no header.
fn header(value: &Map<String, Value>) -> Result<Map<String, Value>, Option<MoveError>> {
    let format = value.get("tongkuan_export").and_then(Value::as_u64).ok_or(None)?;
    let catalog = value.get("catalog_format").and_then(Value::as_u64).ok_or(None)?;
    check_formats(format, catalog)?;
    Ok(value.get("sequences").and_then(Value::as_object).cloned().unwrap_or_default())
}

pub(super) fn check_formats(export: u64, catalog: u64) -> Result<(), MoveError> {
    let newest = schema::newest();
    let too_new =
        [(export, EXPORT_FORMAT), (catalog, newest)].into_iter().find(|(found, known)| found > known);
    too_new.map_or(Ok(()), |(found, known)| Err(MoveError::TooNew { found, known }))
}

/// Numbers of photos must end far below those that are for one run alone.
pub(super) fn check_last_number(table: &str, last: i64) -> Result<(), String> {
    if table == "photos" && last > PhotoId::LAST_FROM_FILE { Err(no_photo_id(last)) } else { Ok(()) }
}

pub(super) fn no_photo_id(found: impl Display) -> String {
    format!("{found} is no number of a photo, which are 1 to {}", PhotoId::LAST_FROM_FILE)
}

/// Numbers that were given once are not given again, although their rows are gone.
pub(super) fn raise_sequence(
    transaction: &Transaction<'_>,
    table: &str,
    last: i64,
) -> Result<(), rusqlite::Error> {
    // Others number by what is there.
    if !["photos", "removals", "queue", "asking", "check_runs"].contains(&table) {
        return Ok(());
    }
    let changed = transaction
        .execute("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", (table, last))?;
    if changed == 0 {
        transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, last))?;
    }
    Ok(())
}

/// Inserts a row with those of its columns that are there; the others have their defaults.
fn put(
    transaction: &Transaction<'_>,
    table: &str,
    columns: &[(&str, Kind)],
    row: &Map<String, Value>,
) -> Result<(), String> {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (name, value) in row {
        if name == "table" {
            continue;
        }
        let Some((name, kind)) = columns.iter().find(|(column, _)| column == name) else {
            return Err(format!("rows of {table:?} have no field {name:?}"));
        };
        names.push(*name);
        values.push(
            stored(value, Form::of(*kind)).ok_or_else(|| format!("the field {name:?} cannot be read"))?,
        );
    }
    insert(transaction, table, &names, values)
}

/// Inserts a row, after a look at what may be imported and at its sum.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    table: &str,
    names: &[&str],
    values: Vec<Stored>,
) -> Result<(), String> {
    let value_of = |name: &str| Some(&values[names.iter().position(|known| *known == name)?]);
    if table == "meta"
        && !matches!(value_of("key"), Some(Stored::Text(key)) if META_KEYS.contains(&key.as_str()))
    {
        return Err("such a single value is not imported".to_owned());
    }
    for photo_id in PHOTO_COLUMNS.into_iter().filter_map(value_of) {
        match photo_id {
            Stored::Null => {}
            Stored::Integer(number) if PhotoId::is_storable(*number) => {}
            Stored::Integer(number) => return Err(no_photo_id(number)),
            // SQLite would make a whole number of it.
            Stored::Real(number) => return Err(no_photo_id(number)),
            Stored::Text(_) | Stored::Blob(_) => return Err(no_photo_id("a text")),
        }
    }
    let bytes = ["vector", "sketch"].into_iter().find_map(value_of);
    if let (Some(Stored::Blob(bytes)), Some(Stored::Integer(sum))) = (bytes, value_of("crc32"))
        && i64::from(crc32(bytes)) != *sum
    {
        return Err("its sum is another: it was changed".to_owned());
    }
    let places = vec!["?"; names.len()].join(", ");
    // A new catalogue has single values of its own.
    let sql = format!("INSERT OR REPLACE INTO {table} ({}) VALUES ({places})", names.join(", "));
    let put = transaction.prepare_cached(&sql).and_then(|mut put| put.execute(params_from_iter(values)));
    put.map(|_| ()).map_err(|error| error.to_string())
}

fn stored(value: &Value, form: Form) -> Option<Stored> {
    Some(match (value, form) {
        (Value::Null, _) => Stored::Null,
        (Value::Number(number), Form::Plain) => match number.as_i64() {
            Some(number) => Stored::Integer(number),
            None => Stored::Real(number.as_f64()?),
        },
        #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
        (Value::Number(number), Form::Single) => Stored::Real(f64::from(number.as_f64()? as f32)),
        (Value::String(text), Form::Plain) => Stored::Text(text.clone()),
        (Value::String(text), Form::Base64) => Stored::Blob(STANDARD.decode(text).ok()?),
        (Value::String(text), Form::Hex) => Stored::Blob(hex(text)?),
        _ => return None,
    })
}

/// Of lower- or upper-case digits.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|two| two[0] << 4 | two[1]).collect())
}
