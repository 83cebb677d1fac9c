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

use rusqlite::{Connection, ErrorCode, OpenFlags};

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

/// Opens the file with the first access that it grants.
pub(super) fn open(path: &Path) -> Result<(Connection, Access), rusqlite::Error> {
    let refused = match connect(path, Access::ReadWrite) {
        Ok(connection) if connection.is_readonly(rusqlite::MAIN_DB)? => {
            return Ok((connection, Access::ReadOnly));
        }
        Ok(connection) => return Ok((connection, Access::ReadWrite)),
        Err(error) => error,
    };
    // A lock, or damage, is no reason to read without locks.
    if !lies_in_the_medium(&refused) || !path.exists() {
        return Err(refused);
    }
    if let Ok(connection) = connect(path, Access::ReadOnly) {
        return Ok((connection, Access::ReadOnly));
    }
    let has_log = std::fs::metadata(log_of(path)).is_ok_and(|log| log.len() > 0);
    if !has_log && let Ok(connection) = connect(path, Access::Immutable) {
        return Ok((connection, Access::Immutable));
    }
    Err(refused)
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
    use super::*;

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
