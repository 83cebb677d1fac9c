//! How is the catalogue's file opened: to be written, or, where that cannot be, to be read?
//!
//! A home on a read-only medium, or of another user, is read as it stands. Usually SQLite does so by its own locks and its
//! files beside the catalogue. Where it can make none of those, and there is no write-ahead log to be read either, the
//! file is taken as immutable: without locks. Another process may be able to write to it all the same, so before and after
//! each read it is compared with what was opened.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::BUSY_TIMEOUT;
use super::patience::Wait;

/// What may be done with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
    /// Read without locks, see the module.
    Immutable,
}

/// What tells whether a file was written to: length and time of the catalogue and of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileState([Option<(u64, Option<SystemTime>)>; 2]);

impl FileState {
    pub(super) fn of(path: &Path) -> Self {
        let state = |path: &std::ffi::OsStr| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.len(), meta.modified().ok()))
        };
        Self([state(path.as_os_str()), state(&log_of(path))])
    }
}

/// The file, open.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) access: Access,
    /// What it could not be opened to be written for, where that is a full disk.
    pub(super) full: Option<rusqlite::Error>,
}

/// Opens the file with the first access that it grants.
pub(super) fn open(path: &Path) -> Result<Opened, rusqlite::Error> {
    let refused = match connect(path, Access::ReadWrite) {
        Ok(connection) => {
            let is_read_only = connection.is_readonly(rusqlite::MAIN_DB)?;
            let access = if is_read_only { Access::ReadOnly } else { Access::ReadWrite };
            return Ok(Opened { connection, access, full: None });
        }
        Err(error) => error,
    };
    // A lock, or damage, is no reason to read without locks.
    if !lies_in_the_medium(&refused) || !path.exists() {
        return Err(refused);
    }
    let with = |access| Ok::<_, rusqlite::Error>((connect(path, access)?, access));
    let has_log = std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0);
    let read = match with(Access::ReadOnly) {
        Err(_) if !has_log => with(Access::Immutable),
        read => read,
    };
    let Ok((connection, access)) = read else { return Err(refused) };
    Ok(Opened { connection, access, full: is_full(&refused).then_some(refused) })
}

/// A connection to write with on a full disk: it says so when it is used, and writes once there is room.
pub(super) fn connect_later(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Reads nothing, as setting `synchronous` would, which is FULL by itself.
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Whether there is no room for what is to be written. Of the log's index SQLite says so by an I/O error of its own.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}

/// Whether the file is no catalogue, or no whole one.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// One more connection with the access that was found.
pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read_only = flags | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = match access {
        Access::ReadWrite => Connection::open_with_flags(
            path,
            flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?,
        Access::ReadOnly => Connection::open_with_flags(path, read_only)?,
        Access::Immutable => {
            Connection::open_with_flags(immutable_uri(path), read_only | OpenFlags::SQLITE_OPEN_URI)?
        }
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if access == Access::ReadWrite {
        use_log(&connection)?;
        // FULL: an acknowledged answer survives power loss too. A write happens once per paid call, so it may cost.
        connection.pragma_update(None, "synchronous", "FULL")?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    // Opening reads nothing yet; what cannot be read is to fail here.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

/// Turns the write-ahead log on. Where several processes make one home at once, SQLite refuses some of them at once, lest two
/// wait for each other, and calls no busy handler: those try again.
fn use_log(connection: &Connection) -> Result<(), rusqlite::Error> {
    let mut wait = Wait::new(BUSY_TIMEOUT, None);
    let mut tries = 0;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && wait.pause(tries) => {
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Whether the file, its folder or the disk refuses to be written.
pub(super) fn lies_in_the_medium(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
        )
    )
}

fn log_of(path: &Path) -> OsString {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, CatalogError, FILE_NAME};
    use super::*;

    #[test]
    fn a_full_disk_and_a_damaged_file_are_told_as_what_they_are() {
        let told = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            CatalogError::from(error).to_string()
        };
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            let text = told(full);
            assert!(
                text.contains("disk that it is on is full") && text.ends_with("free some room there"),
                "{text}"
            );
        }
        assert!(told(ffi::SQLITE_CORRUPT).ends_with("restore a backup of it"));
        assert!(!told(ffi::SQLITE_READONLY).contains("full"));
        let home = tempfile::tempdir().unwrap();
        drop(Catalog::open(home.path()).unwrap());
        let file = home.path().join(FILE_NAME);
        let whole = std::fs::read(&file).unwrap();
        for bytes in [&whole[..whole.len() / 2], &[7; 8192]] {
            std::fs::write(&file, bytes).unwrap();
            let opened = Catalog::open(home.path()).and_then(|catalog| catalog.counts());
            let text = opened.unwrap_err().to_string();
            assert!(text.ends_with("it is damaged: restore a backup of it"), "{text}");
        }
    }

    #[test]
    fn the_write_ahead_log_is_turned_on_as_soon_as_another_connection_has_done_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)").unwrap();
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| connect(&path, Access::ReadWrite));
            other.execute_batch("COMMIT").unwrap();
            let connection = opening.join().unwrap().unwrap();
            let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
            assert_eq!(mode.unwrap(), "wal");
        });
    }
}
