//! Which pictures are stored, which are asked for, and what is the right answer? NDJSON, one picture a line, or a JSON
//! array or a table of the same.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::EvalError;
use crate::engine::EngineError;
use crate::input::{InputError, PictureSource, ReadProblem, Records, SourceProblem, TABLE_PICTURE_NAMES};
use crate::offer::OfferIdError;
use crate::photo::{PhotoError, PhotoLimits};

/// A manifest or a label file of more rows is refused: all of them are held.
const MAX_ROWS: usize = 4_000_000;

/// The fields of a [`ManifestLine`] and the columns that mean them.
const FIELDS: &[(&str, &[&str])] = &[
    ("path", TABLE_PICTURE_NAMES),
    ("role", &["role"]),
    ("item", &["item"]),
    ("edit", &["edit"]),
    ("negative", &["negative"]),
    ("made_of", &["madeof"]),
];

/// What a picture is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is stored.
    Reference,
    /// It is searched for.
    Query,
}

impl Role {
    /// As in a manifest.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Query => "query",
        }
    }
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
    /// A stored picture with another print on the goods.
    Print,
    /// The layout of a stored picture with other words: a size chart, a certificate.
    Words,
    /// Other goods, small, in the same place of the same plain ground.
    Small,
    /// The same poster about other goods.
    Poster,
}

impl fmt::Display for Negative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Recolour => "recolour",
            Self::Variant => "variant",
            Self::Swap => "swap",
            Self::Print => "print",
            Self::Words => "words",
            Self::Small => "small",
            Self::Poster => "poster",
        })
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLine {
    /// Relative to the manifest, with `/` between folders.
    pub path: String,
    /// What is done with it.
    pub role: Role,
    /// What the picture shows. A query of no item, or of one that has no reference, must not be answered.
    pub item: Option<String>,
    /// What was done to the picture; results are told for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<String>,
    /// Why a query must not be answered, where that is labelled.
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
    pub(super) references: Vec<(usize, ManifestLine)>,
    pub(super) queries: Vec<(usize, ManifestLine)>,
    pub(super) bad: Vec<BadLine>,
    /// Fields that mean nothing here, as they were written.
    pub ignored_fields: BTreeSet<String>,
}

/// A line that does not count, and why.
#[derive(Debug, thiserror::Error)]
#[error("line {line}{}: {problem}", path.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// The picture that the line names, if it names one.
    pub path: Option<String>,
    /// What is wrong with it.
    pub problem: LineProblem,
}

/// Why a line does not count.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum LineProblem {
    #[error("{0}; a line is like {{\"path\":\"a.jpg\",\"role\":\"query\",\"item\":\"A\",\"edit\":\"crop\"}}")]
    Json(serde_json::Error),
    #[error(transparent)]
    Row(#[from] InputError),
    #[error(transparent)]
    Source(#[from] SourceProblem),
    #[error("a reference needs an item: say which goods the picture shows")]
    NoItem,
    #[error("a reference has no \"negative\": that is for queries which must not be answered")]
    NegativeReference,
    #[error("the query is said to be a {negative}, but its item {item:?} is stored: correct one of the two")]
    NegativeStored { negative: Negative, item: String },
    #[error(transparent)]
    Photo(#[from] PhotoError),
    #[error(transparent)]
    Read(#[from] ReadProblem),
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
    /// Reads the manifest at `path`; `-` is standard input. Bad lines are kept for the report.
    ///
    /// # Errors
    /// [`EvalError::Input`] or [`EvalError::TooManyRows`] when the file itself cannot be read.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let folder = if path == Path::new("-") { None } else { path.parent() };
        let mut manifest = Self {
            folder: folder.unwrap_or(Path::new("")).to_path_buf(),
            references: Vec::new(),
            queries: Vec::new(),
            bad: Vec::new(),
            ignored_fields: BTreeSet::new(),
        };
        for (number, parsed) in rows::<ManifestLine>(path, FIELDS, &mut manifest.ignored_fields)? {
            match parsed.and_then(checked) {
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

    /// Whether it has no line at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn checked(line: ManifestLine) -> Result<ManifestLine, LineProblem> {
    match (line.role, &line.item, line.negative) {
        (Role::Reference, None, _) => Err(LineProblem::NoItem),
        (Role::Reference, _, Some(_)) => Err(LineProblem::NegativeReference),
        _ => Ok(line),
    }
}

/// The bytes of the picture that `written` names, relative to `folder`.
pub(super) fn picture(written: &str, folder: &Path) -> Result<Vec<u8>, LineProblem> {
    Ok(PictureSource::parse(written, folder)?.read(&PhotoLimits::default())?)
}

/// A row by its line, from 1.
type Parsed<T> = (usize, Result<T, LineProblem>);

/// The rows of the file at `path`, by the fields of `known`.
pub(super) fn rows<T: DeserializeOwned>(
    path: &Path,
    known: &[(&str, &'static [&'static str])],
    ignored: &mut BTreeSet<String>,
) -> Result<Vec<Parsed<T>>, EvalError> {
    let unreadable = |problem| EvalError::Input { path: path.to_path_buf(), problem };
    let columns: Vec<&str> = known.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut records = Records::open(path, &columns).map_err(unreadable)?;
    let mut rows = Vec::new();
    while let Some((line, row)) = records.next_json(known, ignored) {
        if rows.len() == MAX_ROWS {
            return Err(EvalError::TooManyRows { path: path.to_path_buf(), limit: MAX_ROWS });
        }
        let parsed = match row {
            // Nothing follows: what was read is not what was meant.
            Err(InputError::File(problem)) => return Err(unreadable(problem)),
            Err(error) => Err(error.into()),
            Ok(json) => serde_json::from_value(json).map_err(Into::into),
        };
        rows.push((usize::try_from(line).unwrap_or(usize::MAX), parsed));
    }
    Ok(rows)
}
