//! What do we know? Photos, embeddings, answers, offers and spend in one SQLite file: the source of truth.
//!
//! Whatever a method here has returned is on disk (WAL, `synchronous = FULL`): killing the process loses nothing
//! acknowledged, and a half-made change is never seen. Any number of processes may use one file; writers wait
//! for one another.

mod answers;
mod asking;
mod breakers;
mod calibrations;
mod checks;
mod columns;
mod damage;
mod days;
mod details;
mod filter;
mod goods;
mod history;
mod images;
mod journal;
mod leftovers;
pub mod moving;
mod opening;
mod paid;
mod patience;
mod photos;
mod photos_with_answers;
mod queue;
mod recognised;
mod reembed;
mod refusals;
mod removals;
mod repair;
mod schema;
mod set_aside;
#[cfg(feature = "postgres")]
pub(crate) mod shared;
mod spend;
mod told;
mod unreadable;
mod words;

use std::fmt;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};
use serde::Serialize;

pub use answers::{AnswerKey, FoundOffer, NewAnswer, StoredAnswer};
pub use asking::{Asking, Holder, Subject, Turn};
pub use checks::CheckGroup;
pub use damage::{Damage, DamageNote, Entry};
pub use days::DayCounts;
pub use details::StoredDetail;
pub use filter::{GoodsFilter, PhotoFilter};
pub use goods::{GoodsPhoto, NewGood, StoredGood};
pub use history::PastAnswer;
pub use images::{ImageCounts, WaitingImage};
pub use paid::{Paid, PaidAnswer, PaidDetails, PaidRefusal, PaidWaiting};
pub use patience::Patience;
pub use photos::{EmbeddingChunk, NewPhoto, PhotoKind, Stored, StoredPhoto, StoredVector};
pub use queue::{NewWaiting, QueueCounts, WaitReason, Waiting};
pub use recognised::Recognised;
pub use reembed::{FetchedPhoto, Lacks, Refill};
pub use refusals::Refusal;
pub use removals::Extent;
pub use told::{Said, ToldPair, ToldRecord};
pub use unreadable::UnreadableAnswer;
pub use words::Words;

use crate::access;
use crate::photo_id::PhotoId;
use crate::presence::Presence;
use crate::vector::Fingerprint;
use columns::optional_text;
use damage::DamageLog;
use opening::{Access, FileState, Opened};
use set_aside::SetAside;

/// The profile under which the user's own goods are kept, beside those of the upstreams.
pub const OWN_PROFILE: &str = "own";

/// The catalogue's file in the home folder.
pub(crate) const FILE_NAME: &str = "catalog.sqlite";

/// How long a writer waits for another process before it gives up.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What to do about a full disk.
const FREE_ROOM: &str = "free some room there";

/// How long opening waits to store what an earlier run could not: there will be other occasions.
const OPENING_PATIENCE: Duration = Duration::from_millis(200);

/// Why the catalogue could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum CatalogError {
    #[error("cannot open the catalogue {}: {source}; {}", path.display(),
        source.remedy().unwrap_or("check that the folder exists and may be written to"))]
    Open { path: PathBuf, r#source: SqliteFault },
    #[error("cannot use the home folder {}: {source}; {}", path.display(),
        if source.kind() == std::io::ErrorKind::StorageFull { FREE_ROOM } else { "it has to be yours to write" })]
    Home { path: PathBuf, r#source: std::io::Error },
    #[error(
        "the catalogue has format {found}, this program knows up to {known}: it was written by a newer version; \
         update this program or use another home folder"
    )]
    TooNew { found: usize, known: usize },
    #[error(
        "this home was made with the model {stored}, this program runs {current}: their vectors cannot be \
         compared; use that model again, embed the pictures anew from the originals, or use another home folder"
    )]
    OtherModel { stored: String, current: String },
    #[error(
        "another process has given this home to another model meanwhile; start this program again \
         with that model"
    )]
    ModelChanged,
    #[error(
        "the catalogue is damaged at {place}: {problem}; embed the pictures anew from the originals, which gives the home to \
         this program's model, or use that model again"
    )]
    Damaged { place: String, problem: String },
    #[error(
        "the catalogue has format {found} and would have to become {known}, but {} cannot be written; open it once where \
         it can, or copy the home folder to such a place", path.display()
    )]
    TooOldToRead { path: PathBuf, found: usize, known: usize },
    #[error("the journal of paid answers {} cannot be written: {source}", path.display())]
    Journal { path: PathBuf, r#source: std::io::Error },
    #[error("photo {photo_id} was removed while it was being added to; add the good again")]
    PhotoGone { photo_id: PhotoId },
    #[error("the catalogue failed: {}", .0.with_remedy())]
    Sqlite(SqliteFault),
    #[error("cannot use the database {location}: {problem}")]
    DatabaseNotOpened { location: String, problem: String },
    #[error("the database server is not trusted: {problem}")]
    DatabaseNotTrusted { problem: String },
    #[error("the database failed: {problem}")]
    Database { problem: String, trouble: DatabaseTrouble },
    #[error("pgvector cannot search this home: {problem}")]
    PgvectorUnavailable { problem: String },
}

/// What kind of trouble a database server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseTrouble {
    /// It cannot be reached, or the connection was lost.
    Away,
    /// Others kept a lock for too long.
    Locked,
    /// It takes no writes at present: full, a standby, or without the right.
    NoWrites,
    /// Anything else.
    Other,
}

/// What SQLite says is wrong.
#[derive(Debug)]
pub struct SqliteFault(rusqlite::Error);

impl SqliteFault {
    fn remedy(&self) -> Option<&'static str> {
        match () {
            () if opening::is_full(&self.0) => Some(FREE_ROOM),
            () if opening::is_damage(&self.0) => Some("it is damaged: restore a backup of it"),
            () => None,
        }
    }

    fn with_remedy(&self) -> String {
        self.remedy().map_or_else(|| self.to_string(), |remedy| format!("{self}; {remedy}"))
    }
}

impl fmt::Display for SqliteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if opening::is_full(&self.0) {
            return write!(f, "the disk that it is on is full ({})", self.0);
        }
        self.0.fmt(f)
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(SqliteFault(error))
    }
}

impl CatalogError {
    /// Whether the home folder cannot be written at present: locked, full, or read-only. What is stored can be read all
    /// the same.
    #[must_use]
    pub fn is_about_writing(&self) -> bool {
        match self {
            Self::Sqlite(SqliteFault(error)) => {
                opening::lies_in_the_medium(error)
                    || matches!(
                        error.sqlite_error_code(),
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                    )
            }
            Self::Home { .. } | Self::Journal { .. } => true,
            Self::Database { trouble, .. } => {
                matches!(trouble, DatabaseTrouble::Locked | DatabaseTrouble::NoWrites)
            }
            _ => false,
        }
    }

    /// Whether the database server cannot be reached, or the connection was lost.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Database { trouble: DatabaseTrouble::Away, .. })
    }

    /// Whether the database server failed, in whatever way: what it holds may be read or written again later.
    #[must_use]
    pub fn is_server_failure(&self) -> bool {
        matches!(self, Self::Database { .. })
    }
}

/// The catalogue of one home folder. Shared by reference; every method may be called from any thread.
pub struct Catalog {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Readers>,
    /// The fingerprint, as JSON, of the model that this process has claimed the home for.
    model: OnceLock<String>,
    presence: Presence,
    /// Turns that ended here, but whose entries could not be removed.
    ended_turns: Mutex<Vec<i64>>,
    set_aside: SetAside,
    damage: DamageLog,
    waits: OnceLock<patience::WaitListener>,
}

/// Connections to read with.
struct Readers {
    /// Readers never wait for the writer (WAL); there are as many as threads that ever read at the same time.
    idle: Vec<Connection>,
    access: Access,
    /// Of the file, when `access` was found out.
    state: FileState,
}

/// How much there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All photos, of every kind.
    pub photos: u64,
    /// Photos that show own goods.
    pub own_photos: u64,
    /// The user's own; one may have several photos.
    pub own_goods: u64,
    /// Answers of upstreams and of own goods.
    pub answers: u64,
    /// Distinct offers.
    pub offers: u64,
    /// Of the catalogue's file, without its journal.
    pub file_bytes: u64,
}

/// What the catalogue at `path` holds, read through its `connection`.
fn counts_of(connection: &Connection, path: &Path) -> rusqlite::Result<Counts> {
    connection.query_row(
        "SELECT (SELECT count(*) FROM photos), (SELECT count(*) FROM photos WHERE kind = 'own'),
                (SELECT count(*) FROM offers WHERE profile = ?1),
                (SELECT count(*) FROM answers), (SELECT count(*) FROM offers)",
        [OWN_PROFILE],
        |row| {
            Ok(Counts {
                photos: row.get(0)?,
                own_photos: row.get(1)?,
                own_goods: row.get(2)?,
                answers: row.get(3)?,
                offers: row.get(4)?,
                file_bytes: std::fs::metadata(path).map_or(0, |found| found.len()),
            })
        },
    )
}

impl Catalog {
    /// Opens the catalogue of `home`, making folder and file when they are not there.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be opened, is not a catalogue, or is newer than this program.
    pub fn open(home: &Path) -> Result<Self, CatalogError> {
        access::make_home(home).map_err(|source| CatalogError::Home { path: home.to_path_buf(), source })?;
        let path = home.join(FILE_NAME);
        if !path.exists() {
            // SQLite gives its journals the permissions of this file.
            access::open(OpenOptions::new().create(true).truncate(false).write(true), &path)
                .map_err(|source| CatalogError::Home { path: path.clone(), source })?;
        }
        let open = |error| {
            let source = SqliteFault(error);
            CatalogError::Open { path: path.clone(), source }
        };
        let state = FileState::of(&path);
        let Opened { connection: mut writer, access, full } = opening::open(&path).map_err(open)?;
        let migrated = match access {
            Access::ReadWrite => schema::migrate(&mut writer),
            Access::ReadOnly | Access::Immutable => schema::must_be_newest(&writer, &path),
        };
        let is_full = full.is_some();
        migrated.map_err(|e| match (e, full) {
            (CatalogError::Sqlite(SqliteFault(error)), _) => open(error),
            // It would be converted, or made at all, if the disk had room.
            (CatalogError::TooOldToRead { .. }, Some(full)) => open(full),
            (other, _) => other,
        })?;
        // Else what can only read says of each write that it cannot.
        if is_full && let Ok(later) = opening::connect_later(&path) {
            writer = later;
        }
        if access == Access::ReadWrite {
            leftovers::remove(home, &mut writer);
        }
        let catalog = Self {
            set_aside: SetAside::new(&path),
            path,
            writer: Mutex::new(writer),
            readers: Mutex::new(Readers { idle: Vec::new(), access, state }),
            model: OnceLock::new(),
            presence: Presence::default(),
            ended_turns: Mutex::default(),
            damage: DamageLog::default(),
            waits: OnceLock::new(),
        };
        if access == Access::ReadWrite {
            let _patience = Patience::limited_to(OPENING_PATIENCE);
            // What cannot be stored now waits on, and is found where it waits.
            let _ = catalog.store_what_waits();
        }
        Ok(catalog)
    }

    /// Whether the home folder could not be opened to be written: then it is read as it stands.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.readers().access != Access::ReadWrite
    }

    /// Whether storing failed the last time: the next attempt is then not worth a long wait.
    #[must_use]
    pub fn storing_fails(&self) -> bool {
        self.set_aside.storing_fails()
    }

    /// Remembers how an attempt to store went, see [`Catalog::storing_fails`].
    pub fn note_storing(&self, fails: bool) {
        self.set_aside.note_storing(fails);
    }

    /// Whether a catalogue is in `home`; nothing is opened or made.
    ///
    /// # Errors
    /// Where it may not even be looked for.
    pub fn is_in(home: &Path) -> std::io::Result<bool> {
        match std::fs::metadata(home.join(FILE_NAME)) {
            Ok(found) => Ok(found.is_file()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Where it is, for people.
    #[must_use]
    pub fn location(&self) -> String {
        self.path.display().to_string()
    }

    /// The catalogue's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Claims this home for the model, or refuses when it belongs to another.
    ///
    /// # Errors
    /// [`CatalogError::OtherModel`] when stored vectors were made by another model.
    pub fn claim_model(&self, fingerprint: &Fingerprint) -> Result<(), CatalogError> {
        let mine = serde_json::to_string(fingerprint).unwrap_or_default();
        let mut stored = self.read(|c| meta(c, "model"))?;
        if stored.is_none() && self.is_read_only() {
            // An empty home that cannot be written is not claimed for a model.
            return Ok(());
        }
        if stored.is_none() {
            // Another process may claim at the same moment: the first one counts.
            self.writer().execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('model', ?1)", [&mine])?;
            stored = self.read(|c| meta(c, "model"))?;
        }
        let text = stored.unwrap_or_else(|| mine.clone());
        let flaw = flaw_of_model(&text, fingerprint, || self.vectors_have(fingerprint.dimension))?;
        if let Some(problem) = flaw {
            self.rewrite_model(&mine, problem)?;
        }
        let _ = self.model.set(mine);
        Ok(())
    }

    fn rewrite_model(&self, mine: &str, problem: impl fmt::Display) -> Result<(), CatalogError> {
        self.damage.note(Entry::Model, problem);
        if self.is_read_only() {
            return Ok(());
        }
        self.writer().execute("UPDATE meta SET value = ?1 WHERE key = 'model'", [mine])?;
        Ok(())
    }

    /// Whether the stored vectors, if any, are of so many numbers: the first and the last one are looked at.
    fn vectors_have(&self, dimension: usize) -> Result<bool, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT NOT EXISTS (SELECT 1 FROM embeddings
                   WHERE photo_id IN ((SELECT min(photo_id) FROM embeddings), (SELECT max(photo_id) FROM embeddings))
                   AND length(vector) <> ?1)",
            )?
            .query_row([4 * dimension], |row| row.get(0))
        })
    }

    /// Numbers per vector, by the model that the home belongs to, where that is known.
    fn dimension(&self) -> Option<usize> {
        let model = self.model.get().cloned().or_else(|| self.read(|c| meta(c, "model")).ok().flatten());
        serde_json::from_str::<Fingerprint>(&model?).ok().map(|model| model.dimension)
    }

    /// The model that made the stored vectors, if any was ever used.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] when the entry cannot be read.
    pub fn stored_model(&self) -> Result<Option<Fingerprint>, CatalogError> {
        let text = self.read(|c| meta(c, "model"))?;
        text.map(|text| {
            serde_json::from_str(&text)
                .map_err(|e| CatalogError::Damaged { place: "meta.model".to_owned(), problem: e.to_string() })
        })
        .transpose()
    }

    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn counts(&self) -> Result<Counts, CatalogError> {
        self.read(|c| counts_of(c, &self.path))
    }

    /// Grows with every photo and answer that any process stores: while it stays, another look finds nothing new.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn generation(&self) -> Result<u64, CatalogError> {
        // One that cannot be read is another than all that can be.
        Ok(self.read(|c| meta(c, "generation"))?.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Has SQLite check the whole file. Empty when it is sound.
    ///
    /// # Errors
    /// [`CatalogError`] when the check itself fails.
    pub fn problems(&self) -> Result<Vec<String>, CatalogError> {
        let lines: Vec<String> = self
            .read(|c| c.prepare("PRAGMA integrity_check(20)")?.query_map([], |row| row.get(0))?.collect())?;
        let unattached: Vec<String> = self.read(|c| {
            let rows =
                "SELECT \"table\", count(*), parent FROM pragma_foreign_key_check GROUP BY \"table\", parent";
            c.prepare(rows)?
                .query_map([], |row| {
                    let (table, count, parent): (String, u64, String) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    Ok(format!("{count} rows of {table} belong to none of {parent}"))
                })?
                .collect()
        })?;
        Ok(lines.into_iter().filter(|line| line != "ok").chain(unattached).collect())
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic while writing rolled its transaction back: the connection is as good as before.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, CatalogError> {
        let (idle, access) = {
            let mut readers = self.readers();
            if readers.access == Access::Immutable {
                self.reopen_if_changed(&mut readers)?;
            }
            (readers.idle.pop(), readers.access)
        };
        let connection = idle.map_or_else(|| opening::connect(&self.path, access), Ok)?;
        let result = query(&connection);
        let mut readers = self.readers();
        if access == Access::Immutable && readers.state != FileState::of(&self.path) {
            // Read without locks, and others wrote meanwhile: what was read may be half old, half new.
            return Err(CatalogError::Damaged {
                place: self.path.display().to_string(),
                problem: "it was written to while it was read without locks; try again".to_owned(),
            });
        }
        readers.idle.push(connection);
        Ok(result?)
    }

    /// Where a file that was taken as immutable has changed, what is known of it is let go.
    fn reopen_if_changed(&self, readers: &mut Readers) -> Result<(), CatalogError> {
        let state = FileState::of(&self.path);
        if readers.state != state {
            let Opened { connection, access, .. } = opening::open(&self.path)?;
            *readers = Readers { idle: vec![connection], access, state };
        }
        Ok(())
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is wrong with a home's stored model, so that it has to be written anew; `None` where it is `fingerprint`, as it is.
/// `vectors_fit`: whether the stored vectors, if any, have as many numbers.
///
/// # Errors
/// [`CatalogError::OtherModel`]; [`CatalogError::Damaged`] where it cannot be read and the vectors do not fit.
pub(crate) fn flaw_of_model(
    stored: &str,
    fingerprint: &Fingerprint,
    vectors_fit: impl FnOnce() -> Result<bool, CatalogError>,
) -> Result<Option<String>, CatalogError> {
    let mine = serde_json::to_string(fingerprint).unwrap_or_default();
    match serde_json::from_str::<Fingerprint>(stored) {
        Ok(stored) if stored == *fingerprint => Ok(None),
        // A bit of it has changed: another model would differ in more than one character.
        _ if nearly_equal(stored, &mine) => Ok(Some("a character of it is another".to_owned())),
        Ok(stored) => {
            Err(CatalogError::OtherModel { stored: stored.to_string(), current: fingerprint.to_string() })
        }
        Err(error) if vectors_fit()? => Ok(Some(error.to_string())),
        Err(error) => {
            let problem = format!("{error}, and the vectors are not those of {fingerprint}");
            Err(CatalogError::Damaged { place: "meta.model".to_owned(), problem })
        }
    }
}

/// Whether a text is another one of which a byte has changed, which reading may have widened to three.
fn nearly_equal(text: &str, other: &str) -> bool {
    let (text, other) = (text.as_bytes(), other.as_bytes());
    let front = text.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (text, other) = (&text[front..], &other[front..]);
    let back = text.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    other.len() - back == 1 && (1..=3).contains(&(text.len() - back))
}

/// An entry of the table of single values.
fn meta(connection: &Connection, key: &str) -> Result<Option<String>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| optional_text(row, 0))
        .optional()
        .map(Option::flatten)
}

/// Part of every transaction that changes photos or answers.
fn bump_generation(transaction: &rusqlite::Transaction<'_>) -> Result<(), rusqlite::Error> {
    // Whatever is stored there: an entry that is damaged or missing is mended by the next change.
    transaction
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('generation', '1') ON CONFLICT (key) DO UPDATE
             SET value = CAST((CAST(value AS INTEGER) & 0x3fffffffffffffff) + 1 AS TEXT)",
        )?
        .execute([])?;
    Ok(())
}

impl rusqlite::types::FromSql for PhotoId {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        value.as_i64().map(PhotoId)
    }
}

impl rusqlite::types::ToSql for PhotoId {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}
