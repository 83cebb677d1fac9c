//! What can go wrong with the index, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::photo_id::PhotoId;

/// Why a vector was not taken or looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum IndexError {
    #[error(
        "the vector has {got} numbers where the index has {expected}; use the model the index was made with"
    )]
    Dimension { expected: usize, got: usize },
    #[error("picture {0} is in the index already; insert each picture once")]
    Duplicate(PhotoId),
    #[error("{0} is no picture's number; numbers from the catalogue are greater than zero")]
    NoPhoto(PhotoId),
    #[error("an index holds two thousand million pictures, and this one has them; use a second home folder")]
    Full,
    #[error("the system has no memory left for the index; end other programs, or store fewer pictures here")]
    NoMemory,
    #[error("the saved index was damaged while it was in use; it is made anew from the catalogue")]
    Damaged,
}

/// Why the index was not saved. The previous snapshot, if any, is intact.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum SaveError {
    #[error("cannot write {}: {source}; check free space and permissions", path.display())]
    Io { path: PathBuf, r#source: io::Error },
    #[error("the saved index was damaged while it was in use; it is made anew from the catalogue")]
    Damaged,
}

/// Why a saved index is not used. Always remedied by making the index anew from the catalogue and saving that.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum LoadError {
    #[error("there is no saved index yet; it is made from the catalogue")]
    Missing,
    #[error("cannot read {}: {source}; check permissions, or delete it to have it made anew", path.display())]
    Io { path: PathBuf, r#source: io::Error },
    #[error("{} is damaged; it is made anew from the catalogue", path.display())]
    Damaged { path: PathBuf },
    #[error(
        "the saved index has format {found}, this version reads {known}; it is made anew from the catalogue"
    )]
    OtherFormat { found: u32, known: u32 },
    #[error(
        "the saved index differs in {what}: {found} there, {wanted} here; it is made anew from the catalogue"
    )]
    Differs { what: &'static str, found: String, wanted: String },
    #[error("the system has no memory left for the index; end other programs, or store fewer pictures here")]
    NoMemory,
}
