//! A home as one file, which is a catalogue itself.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

#[cfg(feature = "postgres")]
use super::{FolderArrival, MoveProgress, Source, transfer};
use super::{MoveError, check_photo_numbers};
use crate::access;
use crate::catalog::{Catalog, Counts, FILE_NAME, counts_of};
use crate::paths::folder_of;
use crate::temporary::{BESIDE, TemporaryFolder};

/// Writes all of a catalogue, as it is at one moment, into the new file `to`, while other processes use it. The file is a
/// catalogue itself, and whole when it has its name. Tokens of upstreams are not in it: they are secrets, and can be had
/// anew. Returns what is in it.
///
/// # Errors
/// [`MoveError::Exists`] when `to` is there, unless it may be replaced; [`MoveError::NotSound`] when the copy is not
/// sound, as when the catalogue is damaged.
pub(crate) fn backup(catalog: &Catalog, to: &Path, force: bool) -> Result<Counts, MoveError> {
    let before = (catalog.generation()?, catalog.counts()?);
    write_file(to, force, |copy| {
        let name = copy.to_str().ok_or_else(|| MoveError::Io {
            path: to.to_path_buf(),
            reason: std::io::Error::other("its name is no Unicode"),
        })?;
        catalog.read(|connection| connection.execute("VACUUM INTO ?1", [name]))?;
        let connection = Connection::open(copy)?;
        // Searches under way are those of this machine's processes.
        connection.execute("DELETE FROM asking", [])?;
        drop(connection);
        let copied = sound(copy, to)?;
        if before.0 == catalog.generation()? && !alike(&copied, &before.1) {
            let problem = format!("it counts {copied:?}, the catalogue {:?}", before.1);
            return Err(MoveError::NotSound { path: to.to_path_buf(), problem });
        }
        Ok(copied)
    })
}

/// As [`backup`], of a home in another store: its rows at one moment, each of which is compared with what is in the file.
///
/// # Errors
/// As of [`backup`].
#[cfg(feature = "postgres")]
pub(crate) fn backup_rows(
    source: &dyn Source,
    to: &Path,
    force: bool,
    progress: MoveProgress<'_>,
) -> Result<Counts, MoveError> {
    write_file(to, force, |copy| {
        source.at_once(&mut |rows| {
            transfer(rows, Box::new(FolderArrival::once(folder_of(copy))?), &mut *progress).map(drop)
        })?;
        // One file, without a log beside it.
        Connection::open(copy)?.pragma_update(None, "journal_mode", "DELETE")?;
        sound(copy, to)
    })
}

/// Has `make` make a catalogue that is to be the file `to`.
fn write_file(
    to: &Path,
    force: bool,
    make: impl FnOnce(&Path) -> Result<Counts, MoveError>,
) -> Result<Counts, MoveError> {
    let io = |reason| MoveError::Io { path: to.to_path_buf(), reason };
    if to.exists() {
        match () {
            () if !force => return Err(MoveError::Exists { path: to.to_path_buf() }),
            () if !is_backup(to) => return Err(MoveError::NoBackup { path: to.to_path_buf() }),
            () => {}
        }
    }
    let folder = folder_of(to);
    let place = TemporaryFolder::new_in(folder, BESIDE).map_err(io)?;
    let copy = place.path().join(FILE_NAME);
    let counts = make(&copy)?;
    access::keep_to_owner(&copy).map_err(io)?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&copy, to).map_err(io)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(counts)
}

/// Whether a file is what [`write_file`] makes. A home's own catalogue is none: it keeps a log beside it, and its header says so.
fn is_backup(path: &Path) -> bool {
    const LOGS_BESIDE: u8 = 2;
    let mut head = [0; 20];
    let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok();
    let has_tables = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.query_row(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('photos', 'answers', 'offers')",
            [],
            |row| row.get::<_, u32>(0),
        )
    };
    is_read
        && head.starts_with(b"SQLite format 3\0")
        && head[18] != LOGS_BESIDE
        && has_tables().is_ok_and(|tables| tables == 3)
}

/// Makes a catalogue in `folder` of the file that [`backup`] wrote, which is verified first. Returns what is in it.
///
/// # Errors
/// [`MoveError::NotSound`] when the file is not sound, or of a newer version; [`MoveError::PhotoNumber`].
pub(crate) fn restore(from: &Path, folder: &Path) -> Result<Counts, MoveError> {
    let copy = folder.join(FILE_NAME);
    fs::copy(from, &copy).map_err(|reason| {
        let is_of_copy = matches!(reason.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        let path = if is_of_copy { copy.as_path() } else { from };
        MoveError::Io { path: path.to_path_buf(), reason }
    })?;
    access::keep_to_owner(&copy).map_err(|reason| MoveError::Io { path: copy.clone(), reason })?;
    let counts = sound(&copy, from)?;
    // An older one becomes one of today's here, where nothing is lost if that fails.
    let catalog = Catalog::open(folder)?;
    check_photo_numbers(&catalog)?;
    // All of it has to be in the file that is taken away.
    let busy: i64 = catalog.writer().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(MoveError::InUse { path: copy });
    }
    Ok(counts)
}

fn alike(one: &Counts, other: &Counts) -> bool {
    let of = |c: &Counts| (c.photos, c.own_photos, c.own_goods, c.answers, c.offers);
    of(one) == of(other)
}

/// What is in a file, if it is a sound catalogue; `name` is what it is called.
fn sound(path: &Path, name: &Path) -> Result<Counts, MoveError> {
    let bad = |problem: String| MoveError::NotSound { path: name.to_path_buf(), problem };
    let read = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let unattached: u64 =
            connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
        let counts = counts_of(&connection, path)?;
        Ok::<_, rusqlite::Error>((found, unattached, counts))
    };
    match read() {
        Ok((found, 0, counts)) if found == "ok" => Ok(counts),
        Ok((found, 0, _)) => Err(bad(found)),
        Ok((_, unattached, _)) => Err(bad(format!("{unattached} rows belong to nothing"))),
        Err(error) => Err(bad(error.to_string())),
    }
}
