//! What is known of a folder since it was last scanned: `scan.sqlite`, beside the catalogue of the scan's own home.

use std::collections::HashMap;
use std::fs::{OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::ScanError;
use super::stat::{Stat, bytes_of, path_of};
use super::tables::TABLES;
use crate::access::{self, LockedFile};
use crate::engine::PictureFacts;
use crate::photo::{Digest, Unseen};
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

const FILE_NAME: &str = "scan.sqlite";
const LOCK_NAME: &str = "scan.lock";

/// Raised when the meaning of a column changes; a file of another version is made anew, as it can be.
const VERSION: i64 = 3;

/// Why something is no picture, and its code.
pub(super) type Failed = (String, &'static str);

/// A file that was read: when, and its digest, bytes and pixels by the header.
pub(super) type ReadFile = (PathBuf, i64, Result<(Digest, u64, u64), Failed>);

/// A distinct file's content that was looked at.
pub(super) type SeenPicture = (Digest, Result<(PhotoId, PictureFacts, Option<Unseen>), Failed>);

/// A file that was listed: path and name, whether it is a link, what it is told by, whether it is as it was.
pub(super) type ListedFile = (PathBuf, String, bool, Stat, bool);

/// What a picture was taken for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    /// Of all that it rests on: while it stays, so does the decision.
    pub(super) evidence: Digest,
    /// The picture that stands for its group, by its pixels; the picture itself where that is it.
    pub(super) medoid: Digest,
    /// A word of [`super::Relation`].
    pub(super) relation: String,
    pub(super) confidence: Option<f32>,
    pub(super) score: Option<f32>,
    /// Another group's medoid that is worth a look.
    pub(super) near: Option<Near>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Near {
    pub(super) medoid: Digest,
    pub(super) why: String,
    pub(super) confidence: Option<f32>,
    pub(super) score: f32,
}

/// A distinct file's content.
#[derive(Clone, Debug)]
pub(super) struct KnownPicture {
    pub(super) byte_digest: Digest,
    pub(super) photo: Option<(PhotoId, PictureFacts)>,
    /// Why it is no picture after all.
    pub(super) is_bad: bool,
    /// Where the file is, below the folder.
    pub(super) path: PathBuf,
}

/// A file as it is reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ScannedFile {
    /// Below the folder, for people and JSON; `/` on every system.
    pub name: String,
    /// Below the folder, as the system has it.
    pub path: PathBuf,
    /// Whether it is a link to a file.
    pub is_link: bool,
    /// By which changes are noticed.
    pub stat: Stat,
    /// Of the file.
    pub byte_digest: Digest,
    /// Of the upright pixels.
    pub pixel_digest: Digest,
    /// Its photo in the home of the scan.
    pub photo_id: PhotoId,
    /// Upright.
    pub width_px: u32,
    /// Upright.
    pub height_px: u32,
    /// See [`crate::engine::PreparedPicture::sharpness`].
    pub sharpness: f32,
    /// What it holds that its pixels do not show.
    pub unseen: Option<Unseen>,
}

impl ScannedFile {
    /// When the file was changed last.
    #[must_use]
    pub fn modified(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.stat.mtime_ns / 1_000_000)
    }

    /// Width times height.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width_px) * u64::from(self.height_px)
    }
}

/// A file of a group, in the order of groups.
pub(super) struct MemberRow {
    pub(super) medoid: Digest,
    pub(super) file: ScannedFile,
    pub(super) relation: String,
    /// Another edited picture of the group that shows the whole of it.
    pub(super) whole: Option<Digest>,
    pub(super) confidence: Option<f32>,
    pub(super) score: Option<f32>,
}

/// The open file, with a lock that keeps a second scan of the folder out.
pub(super) struct State {
    connection: Connection,
    _lock: LockedFile,
    /// The number of this scan.
    pub(super) scan: i64,
}

impl State {
    /// Opens the state in `home`, which is made where it is not there, for a scan of `folder`.
    pub(super) fn open(home: &Path, folder: &Path) -> Result<Self, ScanError> {
        let unusable = |source| ScanError::Home { path: home.to_path_buf(), reason: source };
        access::make_home(home).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = access::open(&mut options, &home.join(LOCK_NAME)).map_err(unusable)?;
        let lock = LockedFile::take(lock).map_err(|error| match error {
            TryLockError::WouldBlock => ScanError::Busy { path: home.to_path_buf() },
            TryLockError::Error(error) => unusable(error),
        })?;
        let path = home.join(FILE_NAME);
        drop(access::open(&mut options, &path).map_err(unusable)?);
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            for table in ["meta", "files", "pictures", "decisions"] {
                connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
            }
            connection.execute_batch(TABLES)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        let named: Option<String> = connection
            .query_row("SELECT value FROM meta WHERE key = 'folder'", [], |row| row.get(0))
            .optional()?;
        let folder = folder.to_string_lossy().into_owned();
        match named {
            Some(other) if other != folder => {
                return Err(ScanError::OtherFolder { home: home.to_path_buf(), folder: other });
            }
            Some(_) => {}
            None => {
                connection.execute("INSERT INTO meta (key, value) VALUES ('folder', ?1)", [folder])?;
            }
        }
        let scan = connection.query_row(
            "INSERT INTO meta (key, value) VALUES ('scan', '1') ON CONFLICT (key) DO UPDATE
             SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) RETURNING CAST(value AS INTEGER)",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { connection, _lock: lock, scan })
    }

    /// What was known of every file, and when it was read.
    pub(super) fn stats(&self) -> Result<HashMap<Vec<u8>, (Stat, i64)>, ScanError> {
        let mut statement = self.connection.prepare(
            "SELECT path, dev, ino, size, mtime_ns, read_at_ns FROM files
             WHERE byte_digest IS NOT NULL OR code IS NOT 'io'",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, (stat(row, 1)?, row.get(5)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes the files of this scan: `true` beside those that are as they were.
    pub(super) fn note_files(&mut self, files: &[ListedFile]) -> Result<(), ScanError> {
        let scan = self.scan;
        let transaction = self.connection.transaction()?;
        {
            let mut same =
                transaction.prepare_cached("UPDATE files SET scan = ?2, is_link = ?3 WHERE path = ?1")?;
            let mut changed = transaction.prepare_cached(
                "INSERT OR REPLACE INTO files (path, name, is_link, dev, ino, size, mtime_ns, scan)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for (path, name, is_link, stat, is_known) in files {
                let path = bytes_of(path);
                if *is_known {
                    same.execute(params![path, scan, is_link])?;
                } else {
                    let Stat { dev, ino, size, mtime_ns } = stat;
                    changed.execute(params![path, name, is_link, dev, ino, size, mtime_ns, scan])?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Lets go of the files that this scan has not met.
    pub(super) fn drop_gone(&self) -> Result<(), ScanError> {
        self.connection.execute("DELETE FROM files WHERE scan <> ?1", [self.scan])?;
        Ok(())
    }

    /// How many files there are, and how many of them are to be read.
    pub(super) fn file_counts(&self) -> Result<(u64, u64), ScanError> {
        Ok(self.connection.query_row(
            "SELECT count(*), count(*) FILTER (WHERE byte_digest IS NULL AND code IS NULL) FROM files",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    }

    /// The first files that are to be read.
    pub(super) fn unread(&self, limit: u32) -> Result<Vec<PathBuf>, ScanError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT path FROM files WHERE byte_digest IS NULL AND code IS NULL ORDER BY path LIMIT ?1",
        )?;
        let paths = statement.query_map([limit], |row| row.get::<_, Vec<u8>>(0))?;
        paths.map(|path| Ok(path_of(&path?))).collect()
    }

    /// Notes what was read: digest, size in bytes and pixels by the header, or the trouble and its code.
    pub(super) fn note_read(&mut self, read: &[ReadFile]) -> Result<(), ScanError> {
        let transaction = self.connection.transaction()?;
        for (path, read_at_ns, outcome) in read {
            let (digest, trouble, code) = match outcome {
                Ok((digest, size, header_px)) => {
                    transaction
                        .prepare_cached(
                            "INSERT OR IGNORE INTO pictures (byte_digest, size, header_px) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![digest.as_bytes(), size, header_px])?;
                    (Some(digest.as_bytes().to_vec()), None, None)
                }
                Err((trouble, code)) => (None, Some(trouble), Some(*code)),
            };
            transaction
                .prepare_cached(
                    "UPDATE files SET byte_digest = ?2, trouble = ?3, code = ?4, read_at_ns = ?5 WHERE path = ?1",
                )?
                .execute(params![bytes_of(path), digest, trouble, code, read_at_ns])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Has the files of this content read again: they are not what they were.
    pub(super) fn unread_again(&self, digest: Digest) -> Result<(), ScanError> {
        self.connection
            .prepare_cached("UPDATE files SET byte_digest = NULL, mtime_ns = -1 WHERE byte_digest = ?1")?
            .execute([digest.as_bytes()])?;
        Ok(())
    }

    /// The content of every file, in the order in which it is judged: the most pixels first, then the most bytes, then by
    /// digest. It depends on nothing but the content.
    pub(super) fn in_order(&self) -> Result<Vec<Digest>, ScanError> {
        let mut statement = self.connection.prepare(
            "SELECT byte_digest FROM pictures p
             WHERE EXISTS (SELECT 1 FROM files f WHERE f.byte_digest = p.byte_digest)
             ORDER BY header_px DESC, size DESC, byte_digest",
        )?;
        let digests = statement.query_map([], |row| digest(row, 0))?;
        Ok(digests.collect::<Result<_, _>>()?)
    }

    pub(super) fn picture(&self, byte_digest: Digest) -> Result<Option<KnownPicture>, ScanError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT photo_id, pixel_digest, width_px, height_px, sharpness, is_blank, code IS NOT NULL,
                    (SELECT path FROM files f WHERE f.byte_digest = p.byte_digest ORDER BY is_link, path LIMIT 1)
             FROM pictures p WHERE byte_digest = ?1",
        )?;
        let read = |row: &Row<'_>| {
            let photo_id: Option<PhotoId> = row.get(0)?;
            let photo = match photo_id {
                None => None,
                Some(photo_id) => Some((
                    photo_id,
                    PictureFacts {
                        pixel_digest: digest(row, 1)?,
                        width_px: row.get(2)?,
                        height_px: row.get(3)?,
                        sharpness: row.get(4)?,
                        is_blank: row.get(5)?,
                    },
                )),
            };
            let path = row.get::<_, Option<Vec<u8>>>(7)?;
            Ok(path.map(|path| (photo, row.get(6), path_of(&path))))
        };
        let found = statement.query_row([byte_digest.as_bytes()], read).optional()?.flatten();
        found
            .map(|(photo, is_bad, path)| Ok(KnownPicture { byte_digest, photo, is_bad: is_bad?, path }))
            .transpose()
    }

    /// Notes what pictures are: their photo and facts, or the trouble and its code.
    pub(super) fn note_pictures(&mut self, pictures: &[SeenPicture]) -> Result<(), ScanError> {
        let transaction = self.connection.transaction()?;
        for (byte_digest, outcome) in pictures {
            match outcome {
                Ok((photo_id, facts, unseen)) => transaction
                    .prepare_cached(
                        "UPDATE pictures SET photo_id = ?2, pixel_digest = ?3, width_px = ?4, height_px = ?5,
                                sharpness = ?6, is_blank = ?7, unseen = ?8, trouble = NULL, code = NULL
                         WHERE byte_digest = ?1",
                    )?
                    .execute(params![
                        byte_digest.as_bytes(),
                        photo_id,
                        facts.pixel_digest.as_bytes(),
                        facts.width_px,
                        facts.height_px,
                        facts.sharpness,
                        facts.is_blank,
                        unseen.map(Unseen::word)
                    ])?,
                Err((trouble, code)) => transaction
                    .prepare_cached("UPDATE pictures SET trouble = ?2, code = ?3 WHERE byte_digest = ?1")?
                    .execute(params![byte_digest.as_bytes(), trouble, code])?,
            };
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn decision(&self, pixel_digest: Digest) -> Result<Option<Decision>, ScanError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT evidence, medoid, relation, confidence, score, near, near_why, near_confidence, near_score
             FROM decisions WHERE pixel_digest = ?1",
        )?;
        let read = |row: &Row<'_>| {
            let near = match row.get::<_, Option<String>>(6)? {
                None => None,
                Some(why) => {
                    Some(Near { medoid: digest(row, 5)?, why, confidence: row.get(7)?, score: row.get(8)? })
                }
            };
            Ok(Decision {
                evidence: digest(row, 0)?,
                medoid: digest(row, 1)?,
                relation: row.get(2)?,
                confidence: row.get(3)?,
                score: row.get(4)?,
                near,
            })
        };
        Ok(statement.query_row([pixel_digest.as_bytes()], read).optional()?)
    }

    /// Notes decisions, each with the picture and its place in the order.
    pub(super) fn note_decisions(&mut self, decisions: &[(Digest, u64, Decision)]) -> Result<(), ScanError> {
        let scan = self.scan;
        let transaction = self.connection.transaction()?;
        for (pixel_digest, place, decision) in decisions {
            let near = decision.near.as_ref();
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO decisions
                     (pixel_digest, evidence, medoid, relation, confidence, score, near, near_why, near_confidence,
                      near_score, place, scan)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                )?
                .execute(params![
                    pixel_digest.as_bytes(),
                    decision.evidence.as_bytes(),
                    decision.medoid.as_bytes(),
                    decision.relation,
                    decision.confidence,
                    decision.score,
                    near.map(|near| near.medoid.as_bytes().to_vec()),
                    near.map(|near| near.why.as_str()),
                    near.and_then(|near| near.confidence),
                    near.map(|near| near.score),
                    place,
                    scan
                ])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The edited pictures, by medoids and in order: medoid, picture, and its photo.
    pub(super) fn edited(&self) -> Result<Vec<(Digest, Digest, PhotoId)>, ScanError> {
        let mut statement = self.connection.prepare(
            "SELECT d.medoid, d.pixel_digest, min(p.photo_id) FROM decisions d
             JOIN decisions m ON m.pixel_digest = d.medoid
             JOIN pictures p ON p.pixel_digest = d.pixel_digest
             WHERE d.scan = ?1 AND d.relation = ?2 GROUP BY d.pixel_digest ORDER BY m.place, d.place",
        )?;
        let edited = super::Relation::Edited.word();
        let rows = statement.query_map(params![self.scan, edited], |row| {
            Ok((digest(row, 0)?, digest(row, 1)?, row.get(2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes pictures, each with another one that shows the whole of it.
    pub(super) fn note_wholes(&mut self, wholes: &[(Digest, Digest)]) -> Result<(), ScanError> {
        let transaction = self.connection.transaction()?;
        for (picture, whole) in wholes {
            transaction
                .prepare_cached("UPDATE decisions SET whole = ?2 WHERE pixel_digest = ?1")?
                .execute([picture.as_bytes(), whole.as_bytes()])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Takes over the decisions of the last scan that came to its end, if they rested on the same, `whole`, and as many
    /// photos are stored; says whether it has.
    pub(super) fn take_over(&mut self, whole: Digest, photos: u64) -> Result<bool, ScanError> {
        let settled: Option<String> = self
            .connection
            .query_row("SELECT value FROM meta WHERE key = 'settled'", [], |row| row.get(0))
            .optional()?;
        let Some((scan, what)) = settled.as_deref().and_then(|settled| settled.split_once(' ')) else {
            return Ok(false);
        };
        if what != settled_by(whole, photos) {
            return Ok(false);
        }
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "UPDATE decisions SET scan = ?2 WHERE scan = CAST(?1 AS INTEGER)",
            params![scan, self.scan],
        )?;
        transaction
            .execute("UPDATE meta SET value = ?1 WHERE key = 'settled'", [format!("{} {what}", self.scan)])?;
        transaction.commit()?;
        Ok(true)
    }

    /// Notes that all pictures are decided about, by what, and how many photos are stored.
    pub(super) fn settle(&self, whole: Digest, photos: u64) -> Result<(), ScanError> {
        let value = format!("{} {}", self.scan, settled_by(whole, photos));
        self.connection
            .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('settled', ?1)", [value])?;
        Ok(())
    }

    /// Decisions are about to change.
    pub(super) fn unsettle(&self) -> Result<(), ScanError> {
        self.connection.execute("DELETE FROM meta WHERE key = 'settled'", [])?;
        Ok(())
    }

    /// All files by groups, those of the picture that was judged first before the others.
    pub(super) fn each_member(
        &self,
        mut each: impl FnMut(MemberRow) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let mut statement = self.connection.prepare(
            "SELECT f.path, f.name, f.is_link, f.dev, f.ino, f.size, f.mtime_ns, f.byte_digest,
                    p.pixel_digest, p.photo_id, p.width_px, p.height_px, p.sharpness, p.unseen,
                    d.medoid, d.relation, d.whole, d.confidence, d.score
             FROM decisions d
             JOIN decisions m ON m.pixel_digest = d.medoid
             JOIN pictures p ON p.pixel_digest = d.pixel_digest
             JOIN files f ON f.byte_digest = p.byte_digest
             WHERE d.scan = ?1
             ORDER BY m.place, d.place, p.size DESC, p.byte_digest, f.is_link, f.path",
        )?;
        let mut rows = statement.query([self.scan])?;
        while let Some(row) = rows.next()? {
            each(MemberRow {
                file: file(row)?,
                medoid: digest(row, 14)?,
                relation: row.get(15)?,
                whole: row.get::<_, Option<[u8; 32]>>(16)?.map(Digest::from_bytes),
                confidence: row.get(17)?,
                score: row.get(18)?,
            })?;
        }
        Ok(())
    }

    /// The pairs of groups that are worth a look, by their medoids.
    pub(super) fn each_near(
        &self,
        mut each: impl FnMut(Digest, Near) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let mut statement = self.connection.prepare(
            "SELECT pixel_digest, near, near_why, near_confidence, near_score FROM decisions
             WHERE scan = ?1 AND near IS NOT NULL ORDER BY near_confidence DESC, place",
        )?;
        let mut rows = statement.query([self.scan])?;
        while let Some(row) = rows.next()? {
            let near = Near {
                medoid: digest(row, 1)?,
                why: row.get(2)?,
                confidence: row.get(3)?,
                score: row.get(4)?,
            };
            each(digest(row, 0)?, near)?;
        }
        Ok(())
    }

    /// The first file, by content, that shows these pixels.
    pub(super) fn file_of_pixels(&self, pixel_digest: Digest) -> Result<Option<ScannedFile>, ScanError> {
        self.file_where("p.pixel_digest = ?1", params![pixel_digest.as_bytes()])
    }

    /// As [`State::file_of_pixels`], of a photo of the scan's home.
    pub(super) fn file_of_photo(&self, photo_id: PhotoId) -> Result<Option<ScannedFile>, ScanError> {
        self.file_where("p.photo_id = ?1", params![photo_id])
    }

    fn file_where(&self, what: &str, of: impl rusqlite::Params) -> Result<Option<ScannedFile>, ScanError> {
        file_where(&self.connection, what, of)
    }

    /// Files that could not be read, and pictures that could not be decoded: name, trouble, code.
    pub(super) fn troubles(&self) -> Result<Vec<(String, String, String)>, ScanError> {
        let mut statement = self.connection.prepare(
            "SELECT f.name, coalesce(f.trouble, p.trouble), coalesce(f.code, p.code)
             FROM files f LEFT JOIN pictures p ON p.byte_digest = f.byte_digest
             WHERE f.code IS NOT NULL OR p.code IS NOT NULL ORDER BY f.name",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// The same file, open for reading what threads ask for beside a scan's own writing.
pub(super) struct FilesOfPhotos(Mutex<Connection>);

impl FilesOfPhotos {
    /// [`State::open`] comes before.
    pub(super) fn open(home: &Path) -> Result<Self, ScanError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self(Mutex::new(Connection::open_with_flags(home.join(FILE_NAME), flags)?)))
    }

    /// As [`State::file_of_photo`].
    pub(super) fn of_photo(&self, photo_id: PhotoId) -> Result<Option<ScannedFile>, ScanError> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file_where(&connection, "p.photo_id = ?1", params![photo_id])
    }
}

/// The first file, by content, of the pictures that `what` chooses.
fn file_where(
    connection: &Connection,
    what: &str,
    of: impl rusqlite::Params,
) -> Result<Option<ScannedFile>, ScanError> {
    let sql = format!(
        "SELECT f.path, f.name, f.is_link, f.dev, f.ino, f.size, f.mtime_ns, f.byte_digest,
                p.pixel_digest, p.photo_id, p.width_px, p.height_px, p.sharpness, p.unseen
         FROM pictures p JOIN files f ON f.byte_digest = p.byte_digest WHERE {what}
         ORDER BY p.size DESC, p.byte_digest, f.is_link, f.path LIMIT 1"
    );
    Ok(connection.prepare_cached(&sql)?.query_row(of, file).optional()?)
}

fn settled_by(whole: Digest, photos: u64) -> String {
    format!("{whole} {photos}")
}

fn stat(row: &Row<'_>, from: usize) -> Result<Stat, rusqlite::Error> {
    Ok(Stat {
        dev: row.get(from)?,
        ino: row.get(from + 1)?,
        size: row.get(from + 2)?,
        mtime_ns: row.get(from + 3)?,
    })
}

fn file(row: &Row<'_>) -> Result<ScannedFile, rusqlite::Error> {
    Ok(ScannedFile {
        path: path_of(&row.get::<_, Vec<u8>>(0)?),
        name: row.get(1)?,
        is_link: row.get(2)?,
        stat: stat(row, 3)?,
        byte_digest: digest(row, 7)?,
        pixel_digest: digest(row, 8)?,
        photo_id: row.get(9)?,
        width_px: row.get(10)?,
        height_px: row.get(11)?,
        sharpness: row.get(12)?,
        unseen: row.get::<_, Option<String>>(13)?.as_deref().and_then(Unseen::of_word),
    })
}

fn digest(row: &Row<'_>, column: usize) -> Result<Digest, rusqlite::Error> {
    Ok(Digest::from_bytes(row.get::<_, [u8; 32]>(column)?))
}
