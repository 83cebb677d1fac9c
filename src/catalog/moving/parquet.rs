//! A home as Parquet files, for pandas, DuckDB and their like, and back.
//!
//! A folder with one file a table, and `export.json` beside them, which is written last: formats, numbers that were given, and of
//! each file its rows and SHA-256. Columns are those of the lines of [`super::export`]: digests in hexadecimal; vectors, though,
//! are lists of numbers of single precision, and sketches and files bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use rusqlite::Transaction;
use rusqlite::types::Value as Stored;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::MoveError;
use super::export::{EXPORT_FORMAT, Exported, exported_tables, hex_of, is_exported, sequences};
use super::import::{check_formats, check_last_number, hex, insert, make_catalog, raise_sequence};
use super::tables::{Cell, Kind, Row, Source, Table, each_page};
use crate::catalog::schema;
use crate::paths::folder_of;
use crate::temporary::{BESIDE, TemporaryFolder};
use crate::timestamp::Timestamp;

/// The file that says what the others hold.
pub const MANIFEST: &str = "export.json";

/// A row group ends at so many rows, or at so many bytes of them.
const GROUP_ROWS: usize = 4096;
const GROUP_BYTES: usize = 32 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    tongkuan_export: u64,
    catalog_format: u64,
    exported_at: String,
    sequences: BTreeMap<String, i64>,
    files: BTreeMap<String, FileSum>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileSum {
    rows: u64,
    sha256: String,
}

fn file_of(table: &Table) -> String {
    format!("{}.parquet", table.name)
}

/// A vector is a list of numbers here.
fn is_vector(column: &str) -> bool {
    column == "vector"
}

/// Writes all of a home, as it is at one moment, into a new folder, while other processes use it. `progress` hears of the
/// table that begins.
///
/// # Errors
/// [`MoveError`] when the folder is there already, the home cannot be read, or the files cannot be written: then there is no
/// folder.
pub(crate) fn export_parquet(
    source: &dyn Source,
    folder: &Path,
    now: Timestamp,
    progress: &mut dyn FnMut(&str),
) -> Result<Exported, MoveError> {
    if folder.exists() {
        return Err(MoveError::FolderExists { path: folder.to_path_buf() });
    }
    let unwritten = |reason: io::Error| MoveError::Io { path: folder.to_path_buf(), reason };
    let place = TemporaryFolder::new_in(folder_of(folder), BESIDE).map_err(unwritten)?;
    // Without the file by which the other one is locked.
    let arriving = place.path().join("export");
    fs::create_dir(&arriving).map_err(unwritten)?;
    let mut exported = Exported::default();
    let mut manifest = Manifest {
        tongkuan_export: EXPORT_FORMAT,
        catalog_format: schema::newest(),
        exported_at: now.to_string(),
        sequences: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    source.at_once(&mut |rows| {
        manifest.sequences = sequences(rows)?;
        for table in exported_tables() {
            progress(table.name);
            let path = arriving.join(file_of(table));
            let mut file = TableFile::create(&path, table).map_err(unwritten)?;
            let before = exported.rows;
            each_page(rows, table, None, &mut |page| {
                let fits = |row: &Row| is_exported(table, row) && is_of_whole_numbers(table, row);
                for row in page.into_iter().filter(fits) {
                    file.put(row).map_err(unwritten)?;
                    exported.count(table.name);
                }
                Ok(())
            })?;
            let sha256 = file.close().and_then(|()| sum_of(&path)).map_err(unwritten)?;
            manifest.files.insert(file_of(table), FileSum { rows: exported.rows - before, sha256 });
        }
        Ok(())
    })?;
    let write_last = || {
        let mut file = File::create(arriving.join(MANIFEST))?;
        serde_json::to_writer_pretty(&mut file, &manifest)?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write_last().map_err(unwritten)?;
    fs::rename(&arriving, folder).map_err(unwritten)?;
    Ok(exported)
}

/// A vector whose bytes are no whole numbers is damaged; `reembed` makes it anew.
fn is_of_whole_numbers(table: &Table, cells: &[Cell]) -> bool {
    table.columns.iter().zip(cells).all(|((name, _), cell)| match cell {
        Cell::Bytes(bytes) if is_vector(name) => bytes.len() % 4 == 0,
        _ => true,
    })
}

fn sum_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(hex_of(&hash.finalize()));
        }
        hash.update(&piece[..read]);
    }
}

/// A table on its way into a file.
struct TableFile<'t> {
    table: &'t Table,
    writer: SerializedFileWriter<File>,
    group: Vec<Row>,
    group_bytes: usize,
}

impl<'t> TableFile<'t> {
    fn create(path: &Path, table: &'t Table) -> io::Result<Self> {
        let schema = parse_message_type(&schema_of(table)).map_err(as_io)?;
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let writer =
            SerializedFileWriter::new(File::create_new(path)?, Arc::new(schema), Arc::new(properties));
        Ok(Self { table, writer: writer.map_err(as_io)?, group: Vec::new(), group_bytes: 0 })
    }

    fn put(&mut self, row: Row) -> io::Result<()> {
        self.group_bytes += row.iter().map(bytes_of).sum::<usize>();
        self.group.push(row);
        if self.group.len() >= GROUP_ROWS || self.group_bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        let mut group = self.writer.next_row_group().map_err(as_io)?;
        for (place, (name, kind)) in self.table.columns.iter().enumerate() {
            let Some(mut column) = group.next_column().map_err(as_io)? else { break };
            let cells = rows.iter().map(|row| &row[place]);
            write_column(&mut column, cells, name, *kind).map_err(as_io)?;
            column.close().map_err(as_io)?;
        }
        group.close().map_err(as_io)?;
        Ok(())
    }

    fn close(mut self) -> io::Result<()> {
        if !self.group.is_empty() {
            self.write_group()?;
        }
        let file = self.writer.into_inner().map_err(as_io)?;
        file.sync_all()
    }
}

fn as_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other.to_string()),
        },
        other => io::Error::other(other),
    }
}

fn bytes_of(cell: &Cell) -> usize {
    match cell {
        Cell::Bytes(bytes) => bytes.len(),
        Cell::Text(text) => text.len(),
        Cell::Null | Cell::Integer(_) | Cell::Single(_) => 8,
    }
}

fn schema_of(table: &Table) -> String {
    let column = |(name, kind): &(&str, Kind)| match kind {
        Kind::Bytes if is_vector(name) => {
            format!("OPTIONAL GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED FLOAT element; }} }}")
        }
        Kind::Integer | Kind::Flag | Kind::Sum => format!("OPTIONAL INT64 {name};"),
        Kind::Single => format!("OPTIONAL FLOAT {name};"),
        Kind::Text | Kind::Decimal | Kind::Digest => format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"),
        Kind::Bytes => format!("OPTIONAL BYTE_ARRAY {name};"),
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    format!("message {} {{ {} }}", table.name, columns.join(" "))
}

/// Whether a value is there, as Parquet has it.
fn level(cell: &Cell) -> i16 {
    i16::from(!matches!(cell, Cell::Null))
}

fn write_column<'c>(
    column: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'c Cell> + Clone,
    name: &str,
    kind: Kind,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = cells.clone().map(level).collect();
    match kind {
        Kind::Bytes if is_vector(name) => return write_vectors(column, cells),
        Kind::Integer | Kind::Flag | Kind::Sum => {
            let number = |cell: &Cell| if let Cell::Integer(number) = cell { Some(*number) } else { None };
            let values: Vec<i64> = cells.filter_map(number).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Single => {
            let number = |cell: &Cell| if let Cell::Single(number) = cell { Some(*number) } else { None };
            let values: Vec<f32> = cells.filter_map(number).collect();
            column.typed::<FloatType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Text | Kind::Decimal | Kind::Digest | Kind::Bytes => {
            let value = |cell: &Cell| match cell {
                Cell::Bytes(bytes) if kind == Kind::Digest => Some(ByteArray::from(hex_of(bytes).as_str())),
                Cell::Bytes(bytes) => Some(ByteArray::from(bytes.clone())),
                Cell::Text(text) => Some(ByteArray::from(text.as_str())),
                Cell::Null | Cell::Integer(_) | Cell::Single(_) => None,
            };
            let values: Vec<ByteArray> = cells.filter_map(value).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    Ok(())
}

fn write_vectors<'c>(
    column: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'c Cell>,
) -> Result<(), ParquetError> {
    let (mut values, mut levels, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let (numbers, missing) = match cell {
            Cell::Bytes(bytes) => (bytes.as_chunks::<4>().0, 1),
            _ => (&[][..], 0),
        };
        if numbers.is_empty() {
            levels.push(missing);
            repeated.push(0);
        }
        for (place, four) in numbers.iter().enumerate() {
            values.push(f32::from_le_bytes(*four));
            levels.push(2);
            repeated.push(i16::from(place > 0));
        }
    }
    column.typed::<FloatType>().write_batch(&values, Some(&levels), Some(&repeated))?;
    Ok(())
}

/// Makes a catalogue in `home` of what [`export_parquet`] wrote, as [`super::import`] does of lines. Files of tables that the
/// manifest does not name are not looked at.
///
/// # Errors
/// As of [`super::import`]; [`MoveError::File`] for what is wrong with a file.
pub(crate) fn import_parquet(
    folder: &Path,
    home: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported, MoveError> {
    let path = folder.join(MANIFEST);
    let text = fs::read(&path).map_err(|reason| MoveError::Io { path: path.clone(), reason })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| MoveError::File { path: path.clone(), problem: error.to_string() })?;
    check_formats(manifest.tongkuan_export, manifest.catalog_format)?;
    for (table, last) in &manifest.sequences {
        check_last_number(table, *last).map_err(|problem| MoveError::File { path: path.clone(), problem })?;
    }
    make_catalog(home, |transaction| {
        let mut imported = Exported::default();
        for (name, sum) in &manifest.files {
            let path = folder.join(name);
            let bad = |problem: String| MoveError::File { path: path.clone(), problem };
            let Some(table) = exported_tables().find(|table| file_of(table) == *name) else {
                return Err(bad("there is no such table".to_owned()));
            };
            let read = |reason| MoveError::Io { path: path.clone(), reason };
            if sum_of(&path).map_err(read)? != sum.sha256 {
                return Err(bad("its sum is another: it was changed".to_owned()));
            }
            let file = File::open(&path).map_err(read)?;
            let before = imported.rows;
            read_table(file, table, transaction, &mut imported, progress).map_err(bad)?;
            if imported.rows - before != sum.rows {
                return Err(bad(format!("it has {} rows, not {}", imported.rows - before, sum.rows)));
            }
        }
        for (table, last) in &manifest.sequences {
            raise_sequence(transaction, table, *last)?;
        }
        Ok(imported)
    })
}

fn read_table(
    file: File,
    table: &Table,
    transaction: &Transaction<'_>,
    imported: &mut Exported,
    progress: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let text = |error: ParquetError| error.to_string();
    let reader = SerializedFileReader::new(file).map_err(text)?;
    for row in reader.get_row_iter(None).map_err(text)? {
        let row = row.map_err(text)?;
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, field) in row.get_column_iter() {
            let Some((name, kind)) = table.columns.iter().find(|(column, _)| column == name) else {
                return Err(format!("there is no column {name:?}"));
            };
            names.push(*name);
            values.push(stored(field, *kind).ok_or_else(|| format!("the column {name:?} cannot be read"))?);
        }
        insert(transaction, table.name, &names, values)?;
        imported.count(table.name);
        if imported.rows.is_multiple_of(1024) {
            progress(imported.rows);
        }
    }
    Ok(())
}

fn stored(field: &Field, kind: Kind) -> Option<Stored> {
    Some(match (field, kind) {
        (Field::Null, _) => Stored::Null,
        (Field::Long(number), Kind::Integer | Kind::Flag | Kind::Sum) => Stored::Integer(*number),
        (Field::Float(number), Kind::Single) => Stored::Real(f64::from(*number)),
        (Field::Str(text), Kind::Text | Kind::Decimal) => Stored::Text(text.clone()),
        (Field::Str(text), Kind::Digest) => Stored::Blob(hex(text)?),
        (Field::Bytes(bytes), Kind::Bytes) => Stored::Blob(bytes.data().to_vec()),
        (Field::ListInternal(list), Kind::Bytes) => {
            let number = |field: &Field| if let Field::Float(number) = field { Some(*number) } else { None };
            let numbers: Option<Vec<f32>> = list.elements().iter().map(number).collect();
            Stored::Blob(numbers?.into_iter().flat_map(f32::to_le_bytes).collect())
        }
        _ => return None,
    })
}
