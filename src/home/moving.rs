//! All of a home goes somewhere else, and comes from somewhere: into one file, lines of JSON, Parquet files, or another home.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use super::{Home, Place};
use crate::catalog::moving::{
    self, Exported, FolderArrival, MoveError, MoveOptions, MoveProgress, Moved, Source,
};
use crate::catalog::{Catalog, CatalogError, Counts, Damage};
#[cfg(feature = "postgres")]
use crate::postgres::{A_FILE, Arriving, PostgresAddress, PostgresArrival, PostgresStore};
use crate::store::Store;
use crate::timestamp::Timestamp;

/// What is done with answers that were paid for and wait beside a home whose rows are to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetAside {
    /// They are stored, or nothing is read.
    Stored,
    /// They are stored where the home can be written.
    StoredWherePossible,
}

impl Home {
    /// Writes all of this home, as it is at one moment, into the new file `to`, while other processes use it: a catalogue of
    /// SQLite, whichever store the home is in, and whole when it has its name. Tokens of upstreams are not in it: they are
    /// secrets, and can be had anew. Returns what is in it. `progress` hears of a home in a database.
    ///
    /// # Errors
    /// [`MoveError::Exists`] when `to` is there, unless it may be replaced; [`MoveError::NoHome`]; [`MoveError::NotSound`]
    /// when the copy is not sound, as when the catalogue is damaged.
    pub fn backup(&self, to: &Path, force: bool, progress: MoveProgress<'_>) -> Result<Counts, MoveError> {
        self.must_be_there()?;
        match &self.0 {
            Place::Folder(folder) => {
                let _ = progress;
                moving::backup(&whole_folder(folder)?, to, force)
            }
            #[cfg(feature = "postgres")]
            Place::Database { address, folder } => {
                moving::backup_rows(&whole_database(address, folder)?, to, force, progress)
            }
        }
    }

    /// Makes this home of a file that [`backup`](Self::backup) wrote, of a home in whichever store. The file is verified before
    /// anything is changed. A home that is there and may be replaced is kept beside the new one: returned are what is in the
    /// home, and the old one's file, or the address of its schema.
    ///
    /// # Errors
    /// [`MoveError::Exists`] when there is a home and it may not be replaced, [`MoveError::InUse`] when another process has it
    /// open, [`MoveError::NotSound`] when the file is not sound, or of a newer version, [`MoveError::PhotoNumber`]. Then the home
    /// is as it was.
    pub fn restore(
        &self,
        from: &Path,
        force: bool,
        progress: MoveProgress<'_>,
    ) -> Result<(Counts, Option<PathBuf>), MoveError> {
        self.arrive(force, progress, |folder, _| moving::restore(from, folder))
    }

    /// Writes all of this home, as it is at one moment, as lines of JSON, while other processes use it. No more is held than a
    /// page of rows. `progress` hears of the table that begins.
    ///
    /// # Errors
    /// [`MoveError`] when the home cannot be read or `to` not written.
    pub fn export(
        &self,
        to: impl Write,
        now: Timestamp,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Exported, MoveError> {
        self.must_be_there()?;
        moving::export(self.whole_source()?.as_ref(), to, now, progress)
    }

    /// As [`export`](Self::export), as Parquet files in a new folder.
    ///
    /// # Errors
    /// As of [`export`](Self::export); [`MoveError::FolderExists`] when the folder is there.
    #[cfg(feature = "parquet")]
    pub fn export_parquet(
        &self,
        folder: &Path,
        now: Timestamp,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Exported, MoveError> {
        self.must_be_there()?;
        moving::export_parquet(self.whole_source()?.as_ref(), folder, now, progress)
    }

    /// Makes this home of what [`export`](Self::export) wrote, of a home in whichever store: when all was read, its sum was right
    /// and it was found sound, in one step. A home that is there and may be replaced is kept, as by
    /// [`restore`](Self::restore).
    ///
    /// # Errors
    /// [`MoveError::Exists`] when there is a home and it may not be replaced; [`MoveError`] for what is wrong with the lines,
    /// each with its number. Then the home is as it was.
    pub fn import(
        &self,
        from: impl BufRead,
        force: bool,
        progress: MoveProgress<'_>,
    ) -> Result<(Exported, Option<PathBuf>), MoveError> {
        self.arrive(force, progress, |folder, progress| {
            moving::import(from, folder, &mut |rows| progress("importing", rows, rows + 1))
        })
    }

    /// As [`import`](Self::import), of what [`export_parquet`](Self::export_parquet) wrote.
    ///
    /// # Errors
    /// As of [`import`](Self::import); [`MoveError::File`] for what is wrong with a file.
    #[cfg(feature = "parquet")]
    pub fn import_parquet(
        &self,
        from: &Path,
        force: bool,
        progress: MoveProgress<'_>,
    ) -> Result<(Exported, Option<PathBuf>), MoveError> {
        self.arrive(force, progress, |folder, progress| {
            moving::import_parquet(from, folder, &mut |rows| progress("importing", rows, rows + 1))
        })
    }

    /// Moves all that is stored here to a home that is not there yet: the same photos, answers and bookings, under the same
    /// numbers. This home stays as it is, and is read by others meanwhile; what writes to it has to have ended, and is found
    /// out. A move that was killed goes on where it was, and `to` is no home before all has arrived and was verified.
    ///
    /// What belongs to this machine does not move: the index is made anew; tokens, keys of the service and scans stay.
    ///
    /// # Errors
    /// [`MoveError`], which says what to do.
    pub fn move_to(
        &self,
        to: &Self,
        options: MoveOptions,
        progress: MoveProgress<'_>,
    ) -> Result<Moved, MoveError> {
        let (from, target) = (self.identity(), to.identity());
        if from == target {
            return Err(MoveError::SameHome { location: from });
        }
        self.must_be_there()?;
        if to.is_there()? {
            return Err(MoveError::TargetUsed { location: to.to_string() });
        }
        let source = self.source(SetAside::Stored)?;
        moving::check_photo_numbers(source.as_ref())?;
        if options.dry_run {
            return Ok(moving::count_rows(source.as_ref())?);
        }
        let arrival: Box<dyn moving::Arrival> = match &to.0 {
            Place::Folder(folder) => Box::new(FolderArrival::begin(folder, &from, options.restart)?),
            #[cfg(feature = "postgres")]
            Place::Database { address, folder } => {
                let arrives = Arriving { from: &from, restart: options.restart, force: false };
                let arrival = PostgresArrival::begin(address, arrives)?;
                forget_index(folder)?;
                Box::new(arrival)
            }
        };
        Ok(moving::transfer(source.as_ref(), arrival, progress)?.0)
    }

    fn must_be_there(&self) -> Result<(), MoveError> {
        if self.is_there()? { Ok(()) } else { Err(MoveError::NoHome { location: self.to_string() }) }
    }

    /// What is to be written for others to read: nothing that they would refuse.
    fn whole_source(&self) -> Result<Box<dyn Source>, MoveError> {
        Ok(match &self.0 {
            Place::Folder(folder) => Box::new(whole_folder(folder)?),
            #[cfg(feature = "postgres")]
            Place::Database { address, folder } => Box::new(whole_database(address, folder)?),
        })
    }

    fn source(&self, set_aside: SetAside) -> Result<Box<dyn Source>, CatalogError> {
        Ok(match &self.0 {
            Place::Folder(folder) => Box::new(open_folder(folder, set_aside)?),
            #[cfg(feature = "postgres")]
            Place::Database { address, folder } => Box::new(open_database(address, folder, set_aside)?),
        })
    }

    /// Makes this home of the verified catalogue that `fill` makes in the folder it is given. Into a database it goes as a home
    /// that moves, so what was killed goes on when `fill` makes the same again.
    fn arrive<T>(
        &self,
        force: bool,
        progress: MoveProgress<'_>,
        fill: impl FnOnce(&Path, MoveProgress<'_>) -> Result<T, MoveError>,
    ) -> Result<(T, Option<PathBuf>), MoveError> {
        match &self.0 {
            Place::Folder(home) => moving::put_in_place(home, force, |folder| fill(folder, progress)),
            #[cfg(feature = "postgres")]
            Place::Database { address, folder } => {
                if !force && self.is_there()? {
                    return Err(MoveError::Exists { path: address.to_string().into() });
                }
                let send = |catalog: &Catalog, progress: MoveProgress<'_>| {
                    let from = format!("{A_FILE}{}", moving::digest_of(catalog)?);
                    let arrival =
                        PostgresArrival::begin(address, Arriving { from: &from, restart: false, force })?;
                    forget_index(folder)?;
                    Ok(moving::transfer(catalog, Box::new(arrival), progress)?.1)
                };
                moving::by_way_of(folder, progress, fill, send)
            }
        }
    }

    /// The same for two homes that are one.
    fn identity(&self) -> String {
        match &self.0 {
            Place::Folder(folder) => {
                let absolute = std::fs::canonicalize(folder).or_else(|_| std::path::absolute(folder));
                absolute.unwrap_or_else(|_| folder.clone()).display().to_string()
            }
            #[cfg(feature = "postgres")]
            Place::Database { address, .. } => address.to_string(),
        }
    }
}

fn whole_folder(folder: &Path) -> Result<Catalog, MoveError> {
    let catalog = open_folder(folder, SetAside::StoredWherePossible)?;
    must_be_whole(&catalog.changed_blobs()?)?;
    Ok(catalog)
}

#[cfg(feature = "postgres")]
fn whole_database(address: &PostgresAddress, folder: &Path) -> Result<PostgresStore, MoveError> {
    let store = open_database(address, folder, SetAside::StoredWherePossible)?;
    must_be_whole(&store.changed_blobs()?)?;
    Ok(store)
}

fn must_be_whole(changed: &[Damage]) -> Result<(), MoveError> {
    match changed {
        [] => Ok(()),
        [first, ..] => Err(MoveError::Damaged { count: changed.len(), first: first.to_string() }),
    }
}

fn open_folder(folder: &Path, set_aside: SetAside) -> Result<Catalog, CatalogError> {
    let catalog = Catalog::open(folder)?;
    store_set_aside(&catalog, set_aside)?;
    Ok(catalog)
}

#[cfg(feature = "postgres")]
fn open_database(
    address: &PostgresAddress,
    folder: &Path,
    set_aside: SetAside,
) -> Result<PostgresStore, CatalogError> {
    let store = PostgresStore::open(address, folder)?;
    store_set_aside(&store, set_aside)?;
    Ok(store)
}

fn store_set_aside(store: &dyn Store, set_aside: SetAside) -> Result<(), CatalogError> {
    if store.has_something_set_aside() && (set_aside == SetAside::Stored || !store.is_read_only()) {
        store.store_what_waits()?;
    }
    Ok(())
}

/// That of a home that was at a database before.
#[cfg(feature = "postgres")]
fn forget_index(folder: &Path) -> Result<(), MoveError> {
    let path = folder.join("index");
    match std::fs::remove_dir_all(&path) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => Err(MoveError::Io { path, reason }),
        _ => Ok(()),
    }
}
