//! Which pictures are stored, which are asked for, and what is the right answer? NDJSON, one picture a line.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::EvalError;
use crate::engine::EngineError;
use crate::offer::OfferIdError;
use crate::photo::PhotoError;

/// A manifest or a label file larger than this is refused, in bytes: a line takes about a hundred.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// What a picture is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is stored.
    Reference,
    /// It is searched for.
    Query,
}

/// In which way a query is like a stored item without being it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// A stored picture in which the goods were given another colour.
    Recolour,
    /// A photo of another colour or build of a stored item.
    Variant,
    /// A stored picture with other goods in its middle: the same poster or ground again.
    Swap,
}

impl fmt::Display for Negative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Recolour => "recolour",
            Self::Variant => "variant",
            Self::Swap => "swap",
        })
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Relative to the manifest, with `/` between folders.
    pub path: String,
    pub role: Role,
    /// What the picture shows. A query of no item, or of one that has no reference, must not be answered.
    pub item: Option<String>,
    /// What was done to the picture; results are told for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative: Option<Negative>,
    /// Names the picture that a query was made of: what happens to queries of one picture is not independent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_of: Option<String>,
}

/// A list of pictures whose right answers are known.
#[derive(Debug)]
pub struct Manifest {
    /// What the paths are relative to.
    pub(super) folder: PathBuf,
    pub(super) references: Vec<(usize, Line)>,
    pub(super) queries: Vec<(usize, Line)>,
    pub(super) bad: Vec<BadLine>,
}

/// A line that does not count, and why.
#[derive(Debug, thiserror::Error)]
#[error("line {line}{}: {problem}", path.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    pub path: Option<String>,
    pub problem: LineProblem,
}

/// Why a line does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    #[error("{0}; a line is like {{\"path\":\"a.jpg\",\"role\":\"query\",\"item\":\"A\",\"edit\":\"crop\"}}")]
    Json(serde_json::Error),
    #[error("a reference needs an item: say which goods the picture shows")]
    NoItem,
    #[error("a reference has no \"negative\": that is for queries which must not be answered")]
    NegativeReference,
    #[error("the query is said to be a {negative}, but its item {item:?} is stored: correct one of the two")]
    NegativeStored { negative: Negative, item: String },
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error("{0}")]
    Engine(Box<EngineError>),
    #[error(transparent)]
    Number(#[from] OfferIdError),
}

impl From<serde_json::Error> for LineProblem {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<EngineError> for LineProblem {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl BadLine {
    pub(super) fn new(line: usize, path: impl Into<Option<String>>, problem: impl Into<LineProblem>) -> Self {
        Self { line, path: path.into(), problem: problem.into() }
    }
}

impl Manifest {
    /// Reads the manifest at `path`. Bad lines are kept for the report.
    ///
    /// # Errors
    /// [`EvalError::Read`] or [`EvalError::TooLarge`] when the file itself cannot be read.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut manifest = Self { folder, references: Vec::new(), queries: Vec::new(), bad: Vec::new() };
        for (number, parsed) in ndjson::<Line>(path)? {
            match parsed.map_err(LineProblem::from).and_then(checked) {
                Ok(line) if line.role == Role::Reference => manifest.references.push((number, line)),
                Ok(line) => manifest.queries.push((number, line)),
                Err(problem) => manifest.bad.push(BadLine::new(number, None, problem)),
            }
        }
        Ok(manifest)
    }

    /// Lines, good and bad; empty ones do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.references.len() + self.queries.len() + self.bad.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn checked(line: Line) -> Result<Line, LineProblem> {
    match (line.role, &line.item, line.negative) {
        (Role::Reference, None, _) => Err(LineProblem::NoItem),
        (Role::Reference, _, Some(_)) => Err(LineProblem::NegativeReference),
        _ => Ok(line),
    }
}

/// A line that is not empty, by its number from 1.
type Parsed<T> = (usize, Result<T, serde_json::Error>);

/// The lines of the file at `path`.
pub(super) fn ndjson<T: DeserializeOwned>(path: &Path) -> Result<Vec<Parsed<T>>, EvalError> {
    let read = |source| EvalError::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(read)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(EvalError::TooLarge { path: path.to_path_buf(), limit_bytes: MAX_FILE_BYTES });
    }
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    Ok(lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| (i + 1, serde_json::from_slice(line)))
        .collect())
}
