//! The lines of a check as a Parquet file: whole, or not there.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::doors::{CheckedLine, Columns, Kind};
use crate::temporary::NewFile;
use crate::upstream::WhyNot;

/// Rows of a row group: some megabytes in memory.
const GROUP_ROWS: usize = 8192;

/// In the file's metadata: how the run ended, which the columns need not tell.
const ENDED: &str = "tongkuan_check";

/// How a run ended, besides that all rows were told of.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Rows that are errors.
    pub(super) errors: u64,
    /// Rows that were not asked about, or in vain.
    pub(super) waiting: u64,
}

/// The rows of a file of [`write()`], with their ids where it has them.
pub(super) struct Lines {
    rows: RowIter<'static>,
    total: u64,
    next_row: u64,
    /// As the file says; `None` in one that was written before files did.
    ended: Option<Ended>,
    /// As the columns tell.
    counted: Ended,
}

impl Lines {
    pub(super) fn open(file: &Path) -> Result<Self> {
        let read = || {
            let reader = SerializedFileReader::new(File::open(file)?)?;
            let metadata = reader.metadata().file_metadata();
            let total = u64::try_from(metadata.num_rows())?;
            let values = metadata.key_value_metadata();
            let ended = values.and_then(|all| all.iter().find(|entry| entry.key == ENDED)?.value.clone());
            let ended = ended.map(|json| serde_json::from_str(&json)).transpose()?;
            let fields = metadata.schema().get_fields().iter();
            let fields = fields.filter(|field| {
                field.is_primitive() && ["row", "id", "outcome", "unanswered"].contains(&field.name())
            });
            let read =
                Type::group_type_builder(metadata.schema().name()).with_fields(fields.cloned().collect());
            let read = read.build()?;
            let rows = RowIter::from_file_into(Box::new(reader)).project(Some(read))?;
            Ok(Self { rows, total, next_row: 0, ended, counted: Ended::default() })
        };
        read().map_err(|error: anyhow::Error| error.context(format!("{} cannot be read", file.display())))
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn ended(mut self) -> Result<Ended> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        self.by_ref().try_for_each(|line| line.map(drop))?;
        Ok(self.counted)
    }
}

impl Iterator for Lines {
    type Item = Result<(u64, Option<String>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let cells = match self.rows.next()? {
            Ok(cells) => cells,
            Err(error) => return Some(Err(error.into())),
        };
        let (mut row, mut id) = (self.next_row, None);
        self.next_row += 1;
        for (name, cell) in cells.get_column_iter() {
            match (name.as_str(), cell) {
                ("row", Field::Long(number)) => row = u64::try_from(*number).unwrap_or(row),
                ("id", Field::Str(text)) => id = Some(text.clone()),
                ("outcome", Field::Str(text)) => self.counted.errors += u64::from(text == "error"),
                ("unanswered", Field::Str(text)) => {
                    let is_of_the_picture = WhyNot::OF_THE_PICTURE.iter().any(|why| json!(why) == *text);
                    self.counted.waiting += u64::from(!is_of_the_picture);
                }
                _ => {}
            }
        }
        Some(Ok((row, id)))
    }
}

/// Writes the lines of the file `lines` to `target`, under another name until all of it is on disk.
pub(super) fn write(lines: &Path, target: &Path, columns: &Columns, ended: Ended) -> Result<()> {
    let unwritten = || format!("cannot write {}", target.display());
    let mut new = NewFile::new(target).with_context(unwritten)?;
    let schema = Arc::new(schema(columns)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(new.file(), schema, Arc::new(properties))?;
    let mut group = Vec::with_capacity(GROUP_ROWS);
    for line in BufReader::new(File::open(lines)?).lines() {
        let line = line?;
        group.push(CheckedLine::from_json(&line).context("a line of this run cannot be read back")?);
        if group.len() == GROUP_ROWS {
            write_group(&mut writer, columns, &group).with_context(unwritten)?;
            group.clear();
        }
    }
    if !group.is_empty() {
        write_group(&mut writer, columns, &group).with_context(unwritten)?;
    }
    writer.append_key_value_metadata(KeyValue::new(ENDED.to_owned(), serde_json::to_string(&ended)?));
    writer.close().with_context(unwritten)?;
    new.finish().with_context(unwritten)
}

fn schema(columns: &Columns) -> Result<Type> {
    let field = |(name, kind): (&'static str, Kind)| {
        let (physical, logical) = match kind {
            Kind::Whole => (Physical::INT64, None),
            Kind::Real => (Physical::DOUBLE, None),
            Kind::Truth => (Physical::BOOLEAN, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::List => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        };
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        Ok(Arc::new(field.with_logical_type(logical).build()?))
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Type::group_type_builder("check").with_fields(fields).build()?)
}

fn write_group(
    writer: &mut SerializedFileWriter<&mut File>,
    columns: &Columns,
    lines: &[CheckedLine],
) -> Result<()> {
    let mut group = writer.next_row_group()?;
    for (name, kind) in columns.iter() {
        let Some(mut column) = group.next_column()? else { break };
        let cells = || lines.iter().map(|line| line.get(name));
        let levels: Vec<i16> = cells().map(|value| i16::from(!value.is_null())).collect();
        let there = cells().filter(|value| !value.is_null());
        match kind {
            Kind::Whole => {
                let values: Vec<i64> = there.map(|value| value.as_i64().unwrap_or_default()).collect();
                column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Real => {
                let values: Vec<f64> = there.map(|value| value.as_f64().unwrap_or_default()).collect();
                column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Truth => {
                let values: Vec<bool> = there.map(|value| value.as_bool().unwrap_or_default()).collect();
                column.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
            }
            Kind::Text | Kind::List => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let values: Vec<ByteArray> =
                    there.map(|value| ByteArray::from(text(value).as_str())).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    Ok(())
}
