//! Why a source, a row of it or a picture cannot be used.

use std::io;

use super::{MAX_ROW_BYTES, MAX_TEXT_BYTES, PriceProblem};
use crate::photo::PhotoError;

/// Why a text names no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum SourceProblem {
    #[error(
        "the name of the picture is empty: give a file, or an address that begins with http:// or https://"
    )]
    Empty,
    #[error(
        "pictures are not fetched by {scheme}: — give a file, or an address that begins with http:// or https://"
    )]
    Scheme { scheme: String },
    #[error("this is no address of a file on this machine: write file:///folder/a.jpg, or the path alone")]
    FileAddress,
    #[error("this is no valid address: check how the host is written")]
    Address,
    #[error("the address carries a user name or password: leave it out")]
    Credentials,
    #[error("this data: address holds no picture: it should be like data:image/png;base64,...")]
    Data,
    #[error("the name holds a zero byte, which no file's name can")]
    Nul,
    #[error("there is no such file in the archive: paths are relative to the list")]
    NotInArchive,
}

/// Why a row or a field of it cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum RowProblem {
    #[error(
        "{problem}: a row is one JSON object, with names and texts in quotes, such as {{\"path\":\"a.jpg\"}}"
    )]
    Json { problem: String },
    #[error("the row holds bytes that are no characters: save the file as UTF-8")]
    Damaged,
    #[error(
        "{name}, in which the key stands, is no JSON object that can be read ({problem}): write it again"
    )]
    SampleJson { name: String, problem: String },
    #[error("field {field:?}: {found} is not {wanted}")]
    Field { field: String, found: String, wanted: &'static str },
    #[error("field {field:?}: {problem}")]
    Price { field: String, problem: PriceProblem },
    #[error("no field names a picture (there are: {there}): call it \"path\", \"image\", \"url\" or 图片")]
    NoPicture { there: String },
    #[error("no field is called {column:?} (there are: {there}): name one of those")]
    NoColumn { column: String, there: String },
    #[error("field {field:?} is empty: give the path or address of a picture")]
    EmptyPicture { field: String },
    #[error(
        "field {field:?}: {found:?} was rounded by a spreadsheet: format the column as text there, and save it again"
    )]
    Rounded { field: String, found: String },
    #[error("{source_text:?}: {problem}")]
    Picture { source_text: String, problem: SourceProblem },
    #[error(
        "the row has {found} fields where the header has {wanted}: put fields that hold a separator into quotes"
    )]
    Columns { found: usize, wanted: usize },
    #[error(
        "a quote opens here that takes in the rows after it, and they are lost: close it, or write \"\" for a quote in a text"
    )]
    OpenQuote,
    #[error("the row is longer than {limit_bytes} bytes: shorten it, or close the quote that is open")]
    TooLong { limit_bytes: usize },
}

/// Why bytes could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum ReadProblem {
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error("{name} cannot be read from the archive ({error}): unpack it and name the folder")]
    Member { name: String, error: io::Error },
    #[error("{name} has more than the {limit_bytes} bytes allowed for a picture: save it smaller")]
    TooLarge { name: String, limit_bytes: u64 },
    /// Of [`PictureSource::Address`](super::PictureSource::Address).
    #[error("{address} is an address, which is not fetched here: save the picture first, and name the file")]
    NotLocal { address: String },
}

/// Why a source cannot be read, or cannot be read on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum FileProblem {
    #[error("cannot be read ({0}): check that it exists and may be read")]
    Read(io::Error),
    #[error("is longer than {limit_bytes} bytes: split it")]
    TooLarge { limit_bytes: u64 },
    #[error(
        "a row is longer than {limit_bytes} bytes: close the quote or bracket that is open, or shorten the row"
    )]
    RowTooLong { limit_bytes: usize },
    #[error("this value or array does not end: the file seems to be cut off; save or fetch it again")]
    Unclosed,
    #[error("something follows the array's end: put all rows into one array, or each into a line of its own")]
    AfterArray,
    #[error("brackets lie more than {limit} deep: a row is one object with plain fields")]
    TooDeep { limit: usize },
    #[error("the header has more than {limit} columns")]
    TooManyColumns { limit: usize },
    #[error("the column {column:?} stands twice in the header: rename or delete one of the two")]
    ColumnTwice { column: String },
    #[error("no column names a picture (there are: {header}): call it \"path\", \"image\", \"url\" or 图片")]
    NoPictureColumn { header: String },
    #[error("has no column {column:?} (there are: {header}): name one of those")]
    NoSuchColumn { column: String, header: String },
    #[error(
        "is a damaged Parquet file, or of an unknown kind ({problem}): write it again, with snappy, zstd or gzip, or as NDJSON"
    )]
    Parquet { problem: String },
    #[error("cannot be read as a table ({problem})")]
    Table { problem: String },
    #[error(
        "is a damaged archive, or of an unknown kind ({problem}): fetch it again, or unpack it and name the folder"
    )]
    Archive { problem: String },
    #[error(
        "ends before the end mark of a tar: it seems to be cut off, and what may have followed is missing; fetch or write it again"
    )]
    ArchiveCut,
    #[error("holds more than {limit} files: unpack it and name the folder")]
    TooManyMembers { limit: usize },
    #[error("holds files that are encrypted: unpack it with its password and name the folder")]
    Encrypted,
    #[error("unpacks to more than {limit_bytes} bytes: unpack it and name the folder")]
    UnpacksTooLarge { limit_bytes: u64 },
    #[error("holds several lists ({names}): unpack it and name one of them, or the folder")]
    SeveralLists { names: String },
    #[error(
        "is an Excel workbook or another spreadsheet: save the sheet as \"CSV UTF-8\" and name that file"
    )]
    Spreadsheet,
    #[error(
        "holds archives or Parquet files ({count}) and no picture: in a folder they are not opened; name them themselves, such as {example}"
    )]
    ArchivesInFolder { count: usize, example: String },
    #[error("is {found}: {remedy}")]
    Found { found: &'static str, remedy: &'static str },
    #[error(transparent)]
    Source(#[from] SourceProblem),
    #[error(transparent)]
    Photo(#[from] PhotoError),
}

impl From<io::Error> for FileProblem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Self::TooLarge { limit_bytes: MAX_TEXT_BYTES },
            io::ErrorKind::InvalidData => Self::RowTooLong { limit_bytes: MAX_ROW_BYTES },
            _ => Self::Read(error),
        }
    }
}

/// Why one item of a source is no good.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum InputError {
    #[error(transparent)]
    Row(#[from] RowProblem),
    /// Nothing follows it.
    #[error(transparent)]
    File(#[from] FileProblem),
    #[error(transparent)]
    Read(#[from] ReadProblem),
}
