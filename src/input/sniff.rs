//! What does a source hold, by its first bytes and by its name?

use std::path::Path;

use super::magic::is_tar;
use super::names::{PICTURE_ENDINGS, ending_of};
use super::text;
use super::{FileProblem, PictureSource, SourceProblem};
use crate::photo::{PhotoError, PhotoFormat};

/// What kind of source begins with these bytes.
pub(super) enum Kind {
    Picture,
    Zip,
    Tar,
    Gzip,
    Parquet,
    /// Or nothing at all.
    Text,
}

pub(super) fn kind_of(head: &[u8]) -> Result<Kind, FileProblem> {
    let unpack = |found| Err(FileProblem::Found { found, remedy: "unpack it and name the folder" });
    match head {
        [] => return Ok(Kind::Text),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => return Ok(Kind::Zip),
        [0x1F, 0x8B, ..] => return Ok(Kind::Gzip),
        [b'P', b'A', b'R', b'1', 0x15, ..] => return Ok(Kind::Parquet),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => return Err(FileProblem::Spreadsheet),
        [0xFD, b'7', b'z', b'X', b'Z', ..] => return unpack("an xz archive"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => return unpack("a zstd archive"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => return unpack("a bzip2 archive"),
        [b'R', b'a', b'r', b'!', ..] => return unpack("a RAR archive"),
        [b'7', b'z', 0xBC, 0xAF, ..] => return unpack("a 7z archive"),
        _ if is_tar(head) => return Ok(Kind::Tar),
        _ => {}
    }
    match PhotoFormat::sniff(head) {
        Ok(_) | Err(PhotoError::UnsupportedFormat { .. }) => Ok(Kind::Picture),
        Err(PhotoError::NotAPicture { found: found @ ("an HTML page" | "an XML document") }) => {
            Err(FileProblem::Found { found, remedy: "save its table as CSV and name that file" })
        }
        _ if text::start_of(head).is_some() => Ok(Kind::Text),
        Err(PhotoError::NotAPicture { found }) => Err(FileProblem::Found { found, remedy: NAME_A_LIST }),
        Err(_) => Err(FileProblem::Found { found: "data of an unknown kind", remedy: NAME_A_LIST }),
    }
}

pub(super) const NAME_A_LIST: &str =
    "name a folder, pictures, or a list of goods: NDJSON, JSON, CSV, TSV, or one path a line";

/// Whether most of these lines are neither addresses, nor files that are there, nor called as pictures are.
pub(super) fn is_prose(lines: &[String], folder: &Path) -> bool {
    let names_picture = |line: &&String| match PictureSource::parse(line, folder) {
        Ok(PictureSource::File(path)) => {
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            ending.is_some_and(|ending| PICTURE_ENDINGS.contains(&ending.trim_end_matches(['"', '\'', ' '])))
                || path.exists()
        }
        // What is wrong with an address is said of its line.
        Ok(_) | Err(SourceProblem::Address | SourceProblem::Credentials | SourceProblem::Scheme { .. }) => {
            true
        }
        Err(_) => false,
    };
    lines.iter().filter(names_picture).count() * 2 < lines.len()
}

/// Whether the file of an archive is a list of goods by its name.
pub(super) fn is_list(name: &str) -> bool {
    matches!(ending_of(name).as_str(), "ndjson" | "jsonl" | "json" | "csv" | "tsv")
}
