//! Putting a new catalogue in the place of an old one.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::MoveError;
#[cfg(feature = "postgres")]
use super::MoveProgress;
use crate::access::{self, LockedFile};
#[cfg(feature = "postgres")]
use crate::catalog::Catalog;
use crate::catalog::FILE_NAME;
use crate::catalog::opening::is_damage;
use crate::temporary::TemporaryFolder;

/// How the folder in a home begins in which a catalogue arrives that goes with its process.
const ARRIVING: &str = "arriving-";
/// The folder in a home in which a moved catalogue arrives, and the file in it that says where it comes from.
const MOVE_FOLDER: &str = "arriving-move";
const MOVE_FROM: &str = "from";

/// Has `fill` make a catalogue in a folder of its own, and that take its place in `home`. Also tells where one that was there
/// is kept.
///
/// # Errors
/// [`MoveError::Exists`] when there is a catalogue and it may not be replaced, [`MoveError::InUse`] when another process has it
/// open; those of `fill`. Then the home is as it was.
pub(crate) fn put_in_place<T>(
    home: &Path,
    force: bool,
    fill: impl FnOnce(&Path) -> Result<T, MoveError>,
) -> Result<(T, Option<PathBuf>), MoveError> {
    let place = Place::in_home(home, force)?;
    let made = fill(place.folder())?;
    Ok((made, place.take()?))
}

/// Has `fill` make a catalogue in a folder beside a home in another store, and `send` read it; then it is gone. What a killed
/// process has left of one is removed before.
///
/// # Errors
/// [`MoveError::InUse`] while another process does so; those of `fill` and `send`.
#[cfg(feature = "postgres")]
pub(crate) fn by_way_of<T, S>(
    beside: &Path,
    progress: MoveProgress<'_>,
    fill: impl FnOnce(&Path, MoveProgress<'_>) -> Result<T, MoveError>,
    send: impl FnOnce(&Catalog, MoveProgress<'_>) -> Result<S, MoveError>,
) -> Result<(T, S), MoveError> {
    let place = Place::that_stays(beside, "a file", true)?;
    let done = fill(place.folder(), &mut *progress).and_then(|made| {
        let catalog = Catalog::open(place.folder())?;
        Ok((made, send(&catalog, progress)?))
    });
    // What is left of it does no harm.
    let _ = fs::remove_dir_all(&place.folder);
    done
}

/// A folder beside the catalogue in which a new one is made.
pub(super) struct Place {
    home: PathBuf,
    folder: PathBuf,
    /// Of one that is gone with its owner.
    temporary: Option<TemporaryFolder>,
    /// Locked for as long as this lives, for one that others may want to go on with.
    _lock: Option<LockedFile>,
}

impl Place {
    /// Refuses where a catalogue is in the home and may not be replaced.
    pub(super) fn in_home(home: &Path, force: bool) -> Result<Self, MoveError> {
        let io = |reason| MoveError::Io { path: home.to_path_buf(), reason };
        let catalogue = home.join(FILE_NAME);
        if catalogue.exists() && !force {
            return Err(MoveError::Exists { path: catalogue });
        }
        access::make_home(home).map_err(io)?;
        let folder = TemporaryFolder::new_in(home, ARRIVING).map_err(io)?;
        let path = folder.path().to_path_buf();
        Ok(Self { home: home.to_path_buf(), folder: path, temporary: Some(folder), _lock: None })
    }

    /// One that stays where its owner is killed, for the next move from the same place. Refuses where a catalogue is in the
    /// home.
    pub(super) fn for_move(home: &Path, from: &str, restart: bool) -> Result<Self, MoveError> {
        if home.join(FILE_NAME).exists() {
            return Err(MoveError::TargetUsed { location: home.display().to_string() });
        }
        Self::that_stays(home, from, restart)
    }

    fn that_stays(home: &Path, from: &str, restart: bool) -> Result<Self, MoveError> {
        let io = |reason| MoveError::Io { path: home.to_path_buf(), reason };
        access::make_home(home).map_err(io)?;
        let folder = home.join(MOVE_FOLDER);
        access::make_folder(&folder).map_err(io)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let lock = access::open(&mut options, &folder.join(MOVE_FROM)).map_err(io)?;
        let lock = LockedFile::take(lock).map_err(|error| match error {
            TryLockError::WouldBlock => MoveError::InUse { path: home.to_path_buf() },
            TryLockError::Error(reason) => io(reason),
        })?;
        let mut earlier = String::new();
        (&*lock).read_to_string(&mut earlier).map_err(io)?;
        if earlier != from {
            if !earlier.is_empty() && !restart {
                let location = home.display().to_string();
                return Err(MoveError::Unfinished { location, from: earlier });
            }
            lock.set_len(0).and_then(|()| (&*lock).rewind()).map_err(io)?;
        }
        if earlier != from || restart {
            for name in [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal"), format!("{FILE_NAME}-shm")] {
                match fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                    _ => {}
                }
            }
        }
        if earlier != from {
            (&*lock).write_all(from.as_bytes()).and_then(|()| lock.sync_all()).map_err(io)?;
        }
        Ok(Self { home: home.to_path_buf(), folder, temporary: None, _lock: Some(lock) })
    }

    /// Where the new catalogue is to be made.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has the new catalogue take its place. One that was there is kept beside it, and its name returned.
    pub(super) fn take(self) -> Result<Option<PathBuf>, MoveError> {
        let (new, old) = (self.folder.join(FILE_NAME), self.home.join(FILE_NAME));
        let io = |reason| MoveError::Io { path: old.clone(), reason };
        let is_there = old.exists();
        if is_there {
            self.hold(&old)?;
            // What cannot be read of a damaged one is no reason to keep it.
            if let Err(error) = carry_over_calls(&old, &new) {
                tracing::warn!(%error, "the calls of the replaced catalogue are not counted on");
            }
        }
        File::open(&new).and_then(|file| file.sync_all()).map_err(io)?;
        let mut replaced = None;
        if is_there {
            let kept = (1..10_000)
                .map(|n| self.home.join(format!("{FILE_NAME}.replaced-{n}")))
                .find(|path| !path.exists());
            // There is a number that is free.
            let kept = kept.unwrap_or_else(|| self.home.join(format!("{FILE_NAME}.replaced")));
            fs::rename(&old, &kept).map_err(io)?;
            replaced = Some(kept);
        }
        // What belongs to the old one would be taken for the new one's.
        for beside in ["-wal", "-shm"] {
            let mut path = old.clone().into_os_string();
            path.push(beside);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                _ => {}
            }
        }
        let index = self.home.join("index");
        if index.exists() {
            fs::remove_dir_all(&index).map_err(io)?;
        }
        fs::rename(&new, &old).map_err(io)?;
        File::open(&self.home).and_then(|home| home.sync_all()).map_err(io)?;
        if self.temporary.is_none() {
            // What is left of it does no harm.
            let _ = fs::remove_dir_all(&self.folder);
        }
        Ok(replaced)
    }

    /// Makes sure that no other process has the old catalogue open, and that all of it is in its file.
    fn hold(&self, old: &Path) -> Result<(), MoveError> {
        let held = || {
            let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
            let connection = Connection::open_with_flags(old, flags)?;
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
            // Leaving the log behind takes every other connection's end.
            let mode: String = connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
            connection.execute_batch("BEGIN EXCLUSIVE; COMMIT")?;
            Ok::<_, rusqlite::Error>(mode)
        };
        match held() {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => Err(MoveError::InUse { path: self.home.clone() }),
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                ) =>
            {
                Err(MoveError::InUse { path: self.home.clone() })
            }
            // One that is no catalogue any more is not in use.
            Err(error) if is_damage(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Calls that the old catalogue has booked and the new one does not know of were made all the same: they count on against the day's
/// budget.
fn carry_over_calls(old: &Path, new: &Path) -> rusqlite::Result<usize> {
    let connection = Connection::open_with_flags(new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute("ATTACH DATABASE ?1 AS replaced", [old.to_string_lossy()])?;
    let carried = connection.execute(
        "INSERT INTO main.spend (profile, day, start_at_ms, state)
         SELECT profile, day, start_at_ms, state FROM replaced.spend earlier
         WHERE NOT EXISTS (SELECT 1 FROM main.spend known
                           WHERE known.profile = earlier.profile AND known.start_at_ms = earlier.start_at_ms)",
        [],
    )?;
    connection.execute("DETACH DATABASE replaced", [])?;
    Ok(carried)
}
