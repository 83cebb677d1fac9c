//! The rows of a Parquet file: a column with the pictures themselves, or with their paths or addresses. Read a few at a
//! time, and of the columns only those that are needed.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::fields::{Fields, ID, PICTURE, Value, normal};
use super::good::{self, Base, id, written_name};
use super::names::bytes_text;
use super::source::PictureSource;
use super::{Columns, FileProblem, InputError, Item, Row};

/// Rows that are read at a time: pictures are some 100 kB.
const CHUNK: usize = 16;

/// The column of a struct that Hugging Face's data sets keep pictures in.
const INNER_BYTES: &str = "bytes";
/// And the one beside it, with a path where the bytes are not there.
const INNER_PATH: &str = "path";

pub(super) struct Rows {
    file: SerializedFileReader<File>,
    name: String,
    base: Base,
    wanted: Vec<Wanted>,
    /// The leaf with paths of pictures whose bytes are not there.
    path: Option<usize>,
    key: Option<String>,
    meant: good::Wanted,
    next_group: usize,
    group: Option<Group>,
    ready: VecDeque<Vec<Cell>>,
    /// Of the row that comes next, from 1.
    number: u64,
    total: usize,
    is_ended: bool,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("name", &self.name)
            .field("next_group", &self.next_group)
            .finish_non_exhaustive()
    }
}

/// A column that is read.
struct Wanted {
    leaf: usize,
    /// As fields know it; the picture's column comes first.
    name: String,
    meaning: Meaning,
}

/// What the bits of a column stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Text,
    Unsigned,
    /// What the physical type says.
    Plain,
    /// Decimals, dates and times: their whole numbers are not what a person sees.
    Other,
}

/// Columns of one row group.
struct Group {
    columns: Vec<ColumnReader>,
    left: usize,
}

enum Cell {
    Empty,
    Text(String),
    Number(String),
    Bytes(Vec<u8>),
}

/// In the format's own words.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn damaged(error: ParquetError) -> FileProblem {
    FileProblem::Parquet { problem: error.to_string() }
}

/// The struct that a picture's bytes are in, else the column itself.
fn outer(name: &str) -> &str {
    name.strip_suffix(INNER_BYTES).and_then(|name| name.strip_suffix('.')).unwrap_or(name)
}

/// The columns by their names, for people: `leaves`, which are read, and lists.
fn header_of(leaves: &[(usize, String)], schema: &SchemaDescriptor) -> String {
    let mut names: Vec<String> = leaves.iter().map(|(_, name)| name.clone()).collect();
    let lists = schema.columns().iter().filter(|column| column.max_rep_level() > 0);
    for list in lists.filter_map(|column| column.path().parts().first()) {
        let named = format!("{list} [a list: not read, as a row has one picture]");
        if !names.contains(&named) {
            names.push(named);
        }
    }
    names.join(", ")
}

fn meaning_of(column: &ColumnDescriptor) -> Meaning {
    if let Some(LogicalType::String | LogicalType::Json | LogicalType::Enum) = column.logical_type_ref() {
        return Meaning::Text;
    }
    match column.converted_type() {
        ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM => Meaning::Text,
        ConvertedType::UINT_32 | ConvertedType::UINT_64 => Meaning::Unsigned,
        ConvertedType::DECIMAL
        | ConvertedType::DATE
        | ConvertedType::TIME_MILLIS
        | ConvertedType::TIME_MICROS
        | ConvertedType::TIMESTAMP_MILLIS
        | ConvertedType::TIMESTAMP_MICROS
        | ConvertedType::INTERVAL => Meaning::Other,
        _ => Meaning::Plain,
    }
}

impl Rows {
    pub(super) fn open(
        file: File,
        name: &str,
        folder: &Path,
        columns: &Columns,
    ) -> Result<Self, FileProblem> {
        let file = SerializedFileReader::new(file).map_err(damaged)?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        // Lists have no one value a row.
        let leaves: Vec<(usize, String)> = schema
            .columns()
            .iter()
            .enumerate()
            .filter(|(_, column)| column.max_rep_level() == 0)
            .map(|(leaf, column)| (leaf, column.path().string()))
            .collect();
        for column in [&columns.picture, &columns.key].into_iter().flatten() {
            if leaves.iter().filter(|(_, name)| normal(name) == normal(column)).count() > 1 {
                return Err(FileProblem::ColumnTwice { column: column.clone() });
            }
        }
        let header = || header_of(&leaves, &schema);
        // `image` stands for `image.bytes`, too.
        let find = |wanted: &str| {
            let wanted = normal(wanted);
            let inner = |name: &str| Some(normal(outer(name))).filter(|_| outer(name) != name);
            let same = leaves.iter().find(|(_, name)| normal(name) == wanted);
            same.or_else(|| leaves.iter().find(|(_, name)| inner(name).as_ref() == Some(&wanted)))
        };
        let picture = if let Some(column) = &columns.picture {
            find(column)
                .ok_or_else(|| FileProblem::NoSuchColumn { column: column.clone(), header: header() })?
        } else {
            let found = PICTURE.iter().chain(&[INNER_BYTES]).find_map(|name| find(name));
            found.ok_or_else(|| FileProblem::NoPictureColumn { header: header() })?
        };
        let wanted = |(leaf, name): &(usize, String)| Wanted {
            leaf: *leaf,
            name: name.clone(),
            meaning: meaning_of(&schema.column(*leaf)),
        };
        let mut all = vec![wanted(picture)];
        let path = picture.1.strip_suffix(INNER_BYTES).map(|outer| format!("{outer}{INNER_PATH}"));
        let path = path.and_then(|path| leaves.iter().find(|(_, name)| *name == path));
        if let Some(column) = &columns.key {
            let key = find(column);
            let missing = || FileProblem::NoSuchColumn { column: column.clone(), header: header() };
            let key = wanted(key.ok_or_else(missing)?);
            if key.meaning == Meaning::Other {
                let problem =
                    format!("the column {} holds decimals, dates or times: write the keys as text", key.name);
                return Err(FileProblem::Parquet { problem });
            }
            all.push(key);
        }
        let id = ID.iter().find_map(|name| find(name)).map(wanted);
        all.extend(id.filter(|id| id.meaning != Meaning::Other));
        let key = columns.key.as_ref().and_then(|_| all.get(1)).map(|column| column.name.clone());
        all.extend(path.map(wanted));
        let path = path.map(|(leaf, _)| *leaf);
        let total = usize::try_from(file.metadata().file_metadata().num_rows()).unwrap_or(0);
        Ok(Self {
            file,
            name: name.to_owned(),
            base: Base::Folder(folder.to_path_buf()),
            wanted: all,
            path,
            key,
            meant: columns.wanted,
            next_group: 0,
            group: None,
            ready: VecDeque::new(),
            number: 1,
            total,
            is_ended: false,
        })
    }

    pub(super) fn len_hint(&self) -> usize {
        self.total.saturating_sub(usize::try_from(self.number - 1).unwrap_or(usize::MAX))
    }

    pub(super) fn next(&mut self) -> Option<Item> {
        if self.is_ended {
            return None;
        }
        let place = format!("{}:{}", self.name, self.number);
        let cells = match self.cells() {
            Ok(cells) => cells?,
            Err(problem) => {
                self.is_ended = true;
                return Some(Item::without_key(place, Err(problem.into())));
            }
        };
        self.number += 1;
        let (mut key, mut id) = (None, None);
        let row = self.row(cells, &place, &mut key, &mut id);
        Some(Item { place, id, key, row })
    }

    fn row(
        &self,
        cells: Vec<Cell>,
        place: &str,
        key: &mut Option<String>,
        given: &mut Option<String>,
    ) -> Result<Row, InputError> {
        let (mut fields, mut bytes, mut path) = (Fields::default(), None, None);
        for (column, cell) in self.wanted.iter().zip(cells) {
            let is_picture = column.leaf == self.wanted[0].leaf;
            let value = match cell {
                Cell::Bytes(picture) if is_picture => {
                    bytes = Some(picture);
                    continue;
                }
                Cell::Bytes(bytes) => Value::Text(bytes_text(&bytes)),
                Cell::Text(text) => Value::Text(text),
                Cell::Number(number) => Value::Number(number),
                Cell::Empty => Value::Empty,
            };
            if Some(column.leaf) == self.path {
                path = Some((&column.name, value.clone()));
            }
            if is_picture {
                fields.insert_picture(outer(&column.name), value);
            } else {
                fields.insert(&column.name, value);
            }
        }
        *key = self.key.as_ref().and_then(|key| fields.column(key));
        let row = match bytes {
            None => {
                if let Some((name, path)) = path.filter(|(_, path)| *path != Value::Empty) {
                    fields.insert_picture(name, path);
                }
                Row::of_fields(&mut fields, &self.base, self.meant, given)?
            }
            Some(bytes) => {
                *given = id(&mut fields)?;
                let is_id_given = given.is_some();
                // A good needs an id that no other file has, which a path within a data set is not.
                let path = match path {
                    Some((_, Value::Text(path))) if self.meant == good::Wanted::PictureAlone => {
                        Some(written_name(&path)).filter(|path| !path.is_empty())
                    }
                    _ => None,
                };
                let name = given.clone().or(path).unwrap_or_else(|| place.to_owned());
                let plain = Row::of_picture(PictureSource::Bytes(bytes), name);
                Row { is_id_given, ..plain }
            }
        };
        Ok(Row { key: key.clone(), ..row })
    }

    /// The wanted cells of the next row.
    fn cells(&mut self) -> Result<Option<Vec<Cell>>, FileProblem> {
        loop {
            if let Some(cells) = self.ready.pop_front() {
                return Ok(Some(cells));
            }
            match &mut self.group {
                Some(group) if group.left > 0 => {
                    let rows = group.left.min(CHUNK);
                    let mut columns = Vec::with_capacity(self.wanted.len());
                    for (reader, wanted) in group.columns.iter_mut().zip(&self.wanted) {
                        let cells = read(reader, rows, wanted.meaning)?;
                        if cells.len() != rows {
                            let problem = format!("the column {} is shorter than the others", wanted.name);
                            return Err(FileProblem::Parquet { problem });
                        }
                        columns.push(cells.into_iter());
                    }
                    group.left -= rows;
                    for _ in 0..rows {
                        self.ready.push_back(columns.iter_mut().filter_map(Iterator::next).collect());
                    }
                }
                _ if self.next_group == self.file.num_row_groups() => return Ok(None),
                _ => {
                    let group = self.file.get_row_group(self.next_group).map_err(damaged)?;
                    let left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
                    let reader = |wanted: &Wanted| group.get_column_reader(wanted.leaf);
                    let columns =
                        self.wanted.iter().map(reader).collect::<Result<_, _>>().map_err(damaged)?;
                    self.group = Some(Group { columns, left });
                    self.next_group += 1;
                }
            }
        }
    }
}

/// The next `rows` cells of a column.
fn read(reader: &mut ColumnReader, rows: usize, meaning: Meaning) -> Result<Vec<Cell>, FileProblem> {
    let number = |text: String| Cell::Number(text);
    match reader {
        ColumnReader::ByteArrayColumnReader(reader) => typed(reader, rows, |value: ByteArray| {
            if meaning == Meaning::Text {
                Cell::Text(String::from_utf8_lossy(value.data()).into_owned())
            } else {
                Cell::Bytes(value.data().to_vec())
            }
        }),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            typed(reader, rows, |value| Cell::Bytes(value.data().to_vec()))
        }
        ColumnReader::Int64ColumnReader(reader) if meaning == Meaning::Unsigned => {
            typed(reader, rows, |value| number(value.cast_unsigned().to_string()))
        }
        ColumnReader::Int32ColumnReader(reader) if meaning == Meaning::Unsigned => {
            typed(reader, rows, |value| number(value.cast_unsigned().to_string()))
        }
        ColumnReader::Int64ColumnReader(reader) => typed(reader, rows, |value| number(value.to_string())),
        ColumnReader::Int32ColumnReader(reader) => typed(reader, rows, |value| number(value.to_string())),
        ColumnReader::DoubleColumnReader(reader) => typed(reader, rows, |value| number(value.to_string())),
        ColumnReader::FloatColumnReader(reader) => typed(reader, rows, |value| number(value.to_string())),
        ColumnReader::BoolColumnReader(reader) => typed(reader, rows, |value| number(value.to_string())),
        ColumnReader::Int96ColumnReader(_) => Err(FileProblem::Parquet {
            problem: "a column of times is named as one with pictures or keys".to_owned(),
        }),
    }
}

fn typed<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    cell: impl Fn(T::T) -> Cell,
) -> Result<Vec<Cell>, FileProblem> {
    let (mut cells, mut values, mut levels) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
    while cells.len() < rows {
        values.clear();
        levels.clear();
        let (read, present, _) =
            reader.read_records(rows - cells.len(), Some(&mut levels), None, &mut values).map_err(damaged)?;
        if read == 0 {
            break;
        }
        let mut values = values.drain(..);
        if present == read {
            cells.extend(values.map(&cell));
            continue;
        }
        // The greatest level is that of a value that is there.
        let full = levels.iter().copied().max().filter(|_| present > 0);
        cells.extend(levels.iter().take(read).map(|level| {
            if Some(*level) == full { values.next().map_or(Cell::Empty, &cell) } else { Cell::Empty }
        }));
    }
    Ok(cells)
}
