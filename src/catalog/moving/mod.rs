//! A whole home goes somewhere else, whichever store it is in: as one file (`Home::backup`, `Home::restore`), as lines of JSON
//! or Parquet files (`Home::export`, `Home::import`), or row by row into another home (`Home::move_to`). What arrives is
//! verified before it takes its place, and takes it in one step.
//!
//! What leaves a home is read through `Source`, which both stores meet. What comes out of a file becomes a catalogue in a folder
//! first, so there is one reader with its checks for both; for a home in a database its rows then go on as those of a move.

mod backup;
mod export;
mod import;
#[cfg(feature = "parquet")]
mod parquet;
mod place;
mod rows;
mod tables;
mod transfer;

use std::path::PathBuf;

#[cfg(feature = "postgres")]
pub(crate) use backup::backup_rows;
pub(crate) use backup::{backup, restore};
pub(crate) use export::export;
pub use export::{EXPORT_FORMAT, Exported};
pub(crate) use import::import;
#[cfg(feature = "parquet")]
pub use parquet::MANIFEST;
#[cfg(feature = "parquet")]
pub(crate) use parquet::{export_parquet, import_parquet};
#[cfg(feature = "postgres")]
pub(crate) use place::by_way_of;
pub(crate) use place::put_in_place;
pub(crate) use rows::FolderArrival;
#[cfg(feature = "postgres")]
pub(crate) use tables::{Cell, Kind, LastNumber, NUMBERED, Row, Rows, Table};
pub(crate) use tables::{Source, check_photo_numbers};
pub(crate) use transfer::Arrival;
#[cfg(feature = "postgres")]
pub(crate) use transfer::digest_of;
pub use transfer::{MoveOptions, MoveProgress, Moved, MovedTable};
pub(crate) use transfer::{count_rows, transfer};

use super::CatalogError;

/// Why a catalogue could not be moved. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
pub enum MoveError {
    #[error("{} is there already: choose another name, or say that it may be replaced", path.display())]
    Exists { path: PathBuf },
    #[error("{} is there already: name a folder that is not", path.display())]
    FolderExists { path: PathBuf },
    #[error("the home {} is in use by another process: end that first", path.display())]
    InUse { path: PathBuf },
    #[error("{} is no sound copy of a catalogue: {problem}", path.display())]
    NotSound { path: PathBuf, problem: String },
    #[error("{} is there already and is no backup, so it is not replaced: choose another name", path.display())]
    NoBackup { path: PathBuf },
    #[error(
        "{} of the home cannot be read, so nothing was written: {first}; run tongkuan doctor --repair first",
        if *count == 1 { "an entry".to_owned() } else { format!("{count} entries") }
    )]
    Damaged { count: usize, first: String },
    #[error("line {line} of what is imported: {problem}; nothing was imported")]
    Line { line: u64, problem: String },
    #[error("{}: {problem}; nothing was imported", path.display())]
    File { path: PathBuf, problem: String },
    #[error("what is imported ends before its last line: it was cut off; nothing was imported")]
    CutOff,
    #[error(
        "what is imported has format {found}, this program knows up to {known}: it was written by a newer version"
    )]
    TooNew { found: u64, known: u64 },
    #[error("{} cannot be read or written: {reason}", path.display())]
    Io { path: PathBuf, reason: std::io::Error },
    #[error("there is no home at {location}")]
    NoHome { location: String },
    #[error("both are the same home: {location}")]
    SameHome { location: String },
    #[error("{location} holds something already: a home moves to where none is")]
    TargetUsed { location: String },
    #[error(
        "at {location} waits what a move from {from} has left unfinished: finish that one, or throw it away with move --restart"
    )]
    Unfinished { location: String, from: String },
    #[error(
        "the table {table} has {there} rows at the source and {here} at the target, or other ones: the source was changed \
         meanwhile; stop what writes to it, and move again with --restart"
    )]
    Differs { table: &'static str, there: u64, here: u64 },
    #[error(
        "the source was changed while it was moved: stop what writes to it, and move again with --restart"
    )]
    Changed,
    #[error(
        "the table {table} names a photo by a number that none can have: {}; nothing was changed",
        import::no_photo_id(number)
    )]
    PhotoNumber { table: &'static str, number: i64 },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<rusqlite::Error> for MoveError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Catalog(error.into())
    }
}
