//! Columns as they stand in the file, whatever became of them: a type or sum that is wrong never fails a whole read.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::vector::Embedding;

/// What a blob's sum is stored as.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A blob as it was stored. Those from before there were sums have none.
pub(crate) fn checked(bytes: &[u8], stored_crc: Option<i64>) -> Result<&[u8], String> {
    match stored_crc {
        Some(stored) if stored != i64::from(crc32(bytes)) => Err("its sum is another".to_owned()),
        _ => Ok(bytes),
    }
}

/// A stored vector, of `dimension` numbers where that is known.
pub(crate) fn read_vector(
    bytes: &[u8],
    stored_crc: Option<i64>,
    dimension: Option<usize>,
) -> Result<Embedding, String> {
    let embedding = Embedding::from_le_bytes(checked(bytes, stored_crc)?).map_err(|e| e.to_string())?;
    match dimension {
        Some(wanted) if wanted != embedding.dimension() => {
            Err(format!("it has {} numbers instead of {wanted}", embedding.dimension()))
        }
        _ => Ok(embedding),
    }
}

/// A column of text, whatever became of its bytes.
pub(super) fn text(row: &Row<'_>, column: usize) -> Result<String, rusqlite::Error> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

pub(super) fn optional_text(row: &Row<'_>, column: usize) -> Result<Option<String>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    })
}

/// A column of bytes; none at all for a number.
pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    })
}

/// A column of whole numbers; `None` for anything else.
pub(super) fn integer(row: &Row<'_>, column: usize) -> Result<Option<i64>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}

/// A column that counts something: what is out of range is the nearest that is in it.
pub(super) fn count(row: &Row<'_>, column: usize) -> Result<u32, rusqlite::Error> {
    let number = integer(row, column)?.unwrap_or(0).max(0);
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}
