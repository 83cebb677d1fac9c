//! What a process that was killed has left in a home folder, removed by the next one that opens it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::BUSY_TIMEOUT;
use crate::presence::{FOLDER, lives};

/// Removes the files of processes that have ended, and what those had taken in `asking`. None of it does
/// harm, so where it cannot be removed (a home that may only be read) it stays for the next process.
pub(super) fn remove(home: &Path, writer: &mut Connection) {
    // They are worth no waiting for another writer.
    let _ = writer.busy_timeout(Duration::ZERO).and_then(|()| remove_rows(home, writer));
    let _ = writer.busy_timeout(BUSY_TIMEOUT);
    let Ok(entries) = fs::read_dir(home.join(FOLDER)) else { return };
    for entry in entries.flatten() {
        // A look at it removes the file of a dead one.
        let _ = lives(home, &entry.file_name().to_string_lossy());
    }
}

fn remove_rows(home: &Path, writer: &mut Connection) -> Result<(), rusqlite::Error> {
    let processes: Vec<String> = writer
        .prepare("SELECT DISTINCT process FROM asking")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for process in processes {
        // A name that a live process holds is never given to another, so nothing can come between look and removal.
        if !lives(home, &process) {
            writer.execute("DELETE FROM asking WHERE process = ?1", params![process])?;
        }
    }
    Ok(())
}
