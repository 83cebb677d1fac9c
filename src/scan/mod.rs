//! Which pictures of this folder are the same? Groups of them, by one picture that stands for each, and what may go.
//!
//! **The rule.** Every distinct picture is judged once, in an order that depends on nothing but content: the most pixels
//! (by the file's header) first, then the most bytes, then by SHA-256. It is compared with the pictures that stand for a
//! group so far (medoids), as a search compares it with stored ones, by the same threshold; where it stands out and is not sure
//! enough, that picture's file is laid over it as well, and the odds of both are averaged. It joins the one it is the same
//! picture as; else it stands for a group of its own. So a group holds what the judge took for its medoid, and no chain
//! of neighbours; and neither the order of the files nor the number of threads changes anything. A person's word comes
//! before: a picture joins none that it, or one of its group, was told apart from, and joins one that it was told to be
//! the same as. A picture in which next to nothing shows is grouped by its bytes and pixels alone.
//!
//! What is known is kept in a home of the scan's own: a catalogue as any other with the pictures' vectors and sketches,
//! and a list of files beside it. A decision stays as long as what it rests on: a second scan opens changed files only, and
//! where nothing has changed at all it compares nothing.

mod apply;
mod files;
mod groups;
mod judging;
mod members;
mod page;
mod reading;
mod stat;
mod state;
mod tables;
mod worth;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use apply::{Action, Applied, Manifest, Mode, TRASH_NAME, Undone, apply, plan, undo};
pub use groups::LookAlike;
pub use members::{Group, Member};
pub use page::{PageOptions, write_page};
pub use stat::Stat;

pub use state::ScannedFile;

use crate::cancel::Interrupt;
use crate::embed::EmbedError;
use crate::engine::{Engine, EngineError, Progress};
use crate::input::Skipped;
use crate::photo::{Digest, PhotoLimits};
use crate::photo_id::PhotoId;
use state::{FilesOfPhotos, State};

/// Why a scan stopped, or could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
pub enum ScanError {
    #[error("cannot read the folder {}: {reason}; check that it is there and may be read", path.display())]
    Folder { path: PathBuf, reason: io::Error },
    #[error("cannot use the folder {} for what is known of scans: {reason}; it has to be yours to write", path.display())]
    Home { path: PathBuf, reason: io::Error },
    #[error("another scan is using {}: wait for it to end, or stop it", path.display())]
    Busy { path: PathBuf },
    #[error("{} holds what is known of the folder {folder}: choose another place for this one", home.display())]
    OtherFolder { home: PathBuf, folder: String },
    #[error(
        "scan.sqlite, which holds what is known of earlier scans, cannot be read or written: {reason}; {}",
        state_advice(reason)
    )]
    State { reason: String },
    #[error("{} cannot be written: {reason}", path.display())]
    Write { path: PathBuf, reason: io::Error },
    #[error("{} is not a list of moved files: {reason}", path.display())]
    Manifest { path: PathBuf, reason: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What to do about a state that cannot be used. The folder that it lies in also holds lists by which scans are undone.
fn state_advice(reason: &str) -> &'static str {
    if reason.contains("disk is full") {
        "free some room on its disk, or name another place with --scan-home"
    } else {
        "that file alone may be deleted, and is made anew"
    }
}

impl From<rusqlite::Error> for ScanError {
    fn from(error: rusqlite::Error) -> Self {
        Self::State { reason: error.to_string() }
    }
}

impl From<EmbedError> for ScanError {
    fn from(error: EmbedError) -> Self {
        Self::Engine(error.into())
    }
}

/// How a file is the same as the picture that stands for its group, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It is that picture.
    Medoid,
    /// The same file under another name.
    SameFile,
    /// Other files with the same bytes.
    SameBytes,
    /// Another file that decodes to the same pixels.
    SamePixels,
    /// The whole of it, compressed anew, in another format or size.
    ReEncoded,
    /// Cut, framed, turned, stamped, or otherwise changed.
    Edited,
    /// A person said so.
    Told,
}

impl Relation {
    const ALL: [Self; 7] = [
        Self::Medoid,
        Self::SameFile,
        Self::SameBytes,
        Self::SamePixels,
        Self::ReEncoded,
        Self::Edited,
        Self::Told,
    ];

    /// As it is written in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Medoid => "medoid",
            Self::SameFile => "same_file",
            Self::SameBytes => "same_bytes",
            Self::SamePixels => "same_pixels",
            Self::ReEncoded => "re_encoded",
            Self::Edited => "edited",
            Self::Told => "told",
        }
    }

    /// For people, in English and in Chinese.
    pub(crate) const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Medoid => ("stands for the group", "组代表"),
            Self::SameFile => ("the same file by another name", "同一文件"),
            Self::SameBytes => ("same bytes", "字节相同"),
            Self::SamePixels => ("same pixels", "像素相同"),
            Self::ReEncoded => ("re-encoded", "重新压缩"),
            Self::Edited => ("edited", "经过编辑"),
            Self::Told => ("told to be the same", "人工认定相同"),
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|relation| relation.word() == word)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a scan has done, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScanSummary {
    /// Pictures by name; links count.
    pub files: u64,
    /// Of those, unchanged since the last scan: they were not opened.
    pub unchanged: u64,
    /// Files that were read to be told by their bytes.
    pub read: u64,
    /// Pictures that were embedded.
    pub embedded: u64,
    /// Pictures that were laid over others.
    pub judged: u64,
    /// Groups of more than one file.
    pub groups: u64,
    /// Files in those groups that could go, see [`Member::could_go`].
    pub extra_files: u64,
    /// What those hold, in bytes.
    pub extra_bytes: u64,
    /// Pairs of groups that are worth a look.
    pub look_alikes: u64,
    /// Files that could not be read or decoded.
    pub failed: u64,
}

/// A file that could not be read or decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// As it was found, relative to the folder.
    pub name: String,
    /// What is wrong with it.
    pub error: String,
    /// The stable word for that, see docs/errors.md.
    pub code: String,
}

impl Trouble {
    /// The codes of what the scan itself says of a file; all others are of its picture.
    pub const CODES: &[&str] = &["changed"];

    /// It is not what it was when it was first read.
    fn changed(path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            error: "it was changed or removed during the scan: the next one sees what it is".to_owned(),
            code: Self::CODES[0].to_owned(),
        }
    }
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanEnd {
    /// All pictures were looked at.
    Done,
    /// It was stopped; what was done is kept, and the next scan goes on from there.
    Stopped,
}

/// Whether a scan also says which pictures are the same, or only takes all of them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every picture is stored in the scan's home.
    Stored,
    /// And compared with the others.
    Grouped,
}

/// A folder and what is known of it.
pub struct Scan {
    folder: PathBuf,
    engine: Engine,
    state: State,
    files: FilesOfPhotos,
    limits: PhotoLimits,
    listed: files::Listed,
    /// Files that were not what they had been when they were to be looked at.
    changed: Vec<Trouble>,
    /// Whether one could not be compared for that.
    was_changed: bool,
    summary: ScanSummary,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Scan {
    /// The folder, in the home below `homes` that is the folder's own: named by what its path is without links.
    ///
    /// # Errors
    /// [`ScanError::Folder`] when the folder is not there.
    pub fn home_of(homes: &Path, folder: &Path) -> Result<PathBuf, ScanError> {
        let real = real(folder)?;
        let name = Digest::of(real.as_os_str().as_encoded_bytes()).to_string();
        Ok(homes.join(&name[..16]))
    }

    /// Opens what is known of `folder`. `engine` is one on the scan's home, best [without a
    /// graph](crate::engine::EngineBuilder::without_graph).
    ///
    /// # Errors
    /// [`ScanError`] when the folder is not there, another scan is using the home, or the home is another folder's.
    pub fn open(folder: &Path, engine: Engine) -> Result<Self, ScanError> {
        let folder = real(folder)?;
        let state = State::open(engine.folder(), &folder)?;
        let files = FilesOfPhotos::open(engine.folder())?;
        let (limits, listed, changed, was_changed, summary) = Default::default();
        Ok(Self { folder, engine, state, files, limits, listed, changed, was_changed, summary })
    }

    /// Looks at the folder: lists it, reads what is new or changed, and judges what has to be judged anew.
    ///
    /// # Errors
    /// [`ScanError`] when the folder, the home or the model fails. Files that fail are [`Scan::troubles`].
    pub fn run(
        &mut self,
        depth: Depth,
        interrupt: &Interrupt,
        progress: &dyn Progress,
    ) -> Result<ScanEnd, ScanError> {
        self.listed = files::list(&self.folder, &mut self.state)?;
        (self.was_changed, self.summary) = (false, ScanSummary::default());
        self.changed.clear();
        self.summary.unchanged = self.listed.unchanged;
        if self.read_new(interrupt, progress)? == ScanEnd::Stopped
            || self.judge_all(depth, interrupt, progress)? == ScanEnd::Stopped
        {
            return Ok(ScanEnd::Stopped);
        }
        self.summary.files = self.state.file_counts()?.0;
        self.summary.failed = self.troubles()?.len() as u64;
        if depth == Depth::Grouped {
            self.each_group(&mut |_| Ok(()))?;
        }
        Ok(ScanEnd::Done)
    }

    /// The folder, without links in its path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The engine that holds what is known of the folder.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Of the last [`Scan::run`].
    #[must_use]
    pub fn summary(&self) -> &ScanSummary {
        &self.summary
    }

    /// Files that are no pictures, by name.
    #[must_use]
    pub fn skipped(&self) -> &[(String, Skipped)] {
        &self.listed.skipped
    }

    /// Files that could not be read or decoded, by name.
    ///
    /// # Errors
    /// [`ScanError::State`].
    pub fn troubles(&self) -> Result<Vec<Trouble>, ScanError> {
        let unreadable = self.listed.unreadable.iter().map(|(name, error)| Trouble {
            name: name.clone(),
            error: error.to_string(),
            code: "io".to_owned(),
        });
        let state = self.state.troubles()?;
        let known = state.into_iter().map(|(name, error, code)| Trouble { name, error, code });
        let mut all: Vec<Trouble> = unreadable.chain(known).chain(self.changed.iter().cloned()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The first file of a photo of the scan's home.
    ///
    /// # Errors
    /// [`ScanError::State`].
    pub fn file_of(&self, photo_id: PhotoId) -> Result<Option<ScannedFile>, ScanError> {
        self.state.file_of_photo(photo_id)
    }
}

fn real(folder: &Path) -> Result<PathBuf, ScanError> {
    let unreadable = |reason| ScanError::Folder { path: folder.to_path_buf(), reason };
    let real = std::fs::canonicalize(folder).map_err(unreadable)?;
    if !real.is_dir() {
        return Err(unreadable(io::ErrorKind::NotADirectory.into()));
    }
    Ok(real)
}
