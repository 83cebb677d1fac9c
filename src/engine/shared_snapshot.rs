//! Which snapshot of the index does a worker take from the others, and when does it leave them its own?

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{EngineError, Progress};
use crate::index::{
    CopyError, Index, IndexFingerprint, IndexOptions, Listing, LoadError, SaveError, SavedSnapshot,
    SharedSnapshot, SharedSnapshots,
};
use crate::photo_id::PhotoId;
use crate::store::{Extent, Store};

/// Two snapshots are far apart when additions and removals between them are at least one in so many of the pictures. What lies
/// between is followed one by one, linking included, while a snapshot is copied as a whole: about 1.4 kB a picture. With a
/// tenth, a home that grows is published as a whole about ten times over, and who comes anew links a tenth of it.
const FAR_ONE_OF: u64 = 10;

/// What the vectors of an index are of. Taken before the first of them is read: should the store's vectors become others
/// meanwhile, what is saved under this is not used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) fingerprint: IndexFingerprint,
    /// The store's name among those that share a folder; `None` for a store that shares nothing.
    home: Option<String>,
}

impl Origin {
    /// Vectors of the model with this digest in this store.
    pub(super) fn of(model: &str, store: &dyn Store) -> Result<Self, EngineError> {
        Ok(match store.lineage()? {
            None => Self { fingerprint: IndexFingerprint(model.to_owned()), home: None },
            Some(lineage) => Self {
                fingerprint: IndexFingerprint(format!("{model} in {} {}", lineage.home, lineage.vectors)),
                home: Some(lineage.home),
            },
        })
    }
}

/// What a folder for workers has of a home's index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedIndex {
    /// The folder.
    pub folder: PathBuf,
    /// How many pictures the newest snapshot has that can be used, and how far in the feed it has come.
    pub newest: Option<(usize, Extent)>,
    /// Why the folder cannot be read.
    pub problem: Option<String>,
}

/// The folder in which workers share snapshots.
pub(super) struct SharedFolder {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Snapshots that turned out not to be as they were written: as good as none, and removed by the next that is published.
    damaged: Vec<PathBuf>,
    /// The snapshot of this machine that was last compared with those here, by how many pictures it had.
    compared: Option<(IndexFingerprint, usize)>,
}

/// Why a shared snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<SaveError> for NotTaken {
    fn from(error: SaveError) -> Self {
        Self::Copy(error.into())
    }
}

/// The index of this machine, as far as sharing has to know it.
pub(super) struct Own<'o> {
    /// Where it is saved.
    pub(super) folder: &'o Path,
    pub(super) options: IndexOptions,
    pub(super) origin: &'o Origin,
}

impl SharedFolder {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest snapshot here, where this machine has none or one that is far older: copied, and opened. `is_right` compares
    /// it with the store.
    ///
    /// # Errors
    /// Those of `is_right` when the store fails. Whatever is wrong here is only told.
    pub(super) fn take(
        &self,
        own: &Own<'_>,
        opened: Option<&Index>,
        is_right: impl Fn(&Index) -> Result<(), NotTaken>,
        progress: &dyn Progress,
    ) -> Result<Option<Index>, EngineError> {
        let Some(home) = &own.origin.home else { return Ok(None) };
        let listed = SharedSnapshots::new(&self.folder, home).list(&own.options, &own.origin.fingerprint);
        let Listing { found, passed_over } = match listed {
            Ok(listing) => listing,
            Err(error) => {
                tell(progress, &format!("no index is taken from {}: {error}", self.folder.display()));
                return Ok(None);
            }
        };
        let reach = opened.map(|index| (index.last_photo_id(), index.removals_seen()));
        let damaged = self.state().damaged.clone();
        let is_worth = |shared: &SharedSnapshot| {
            let is_far = |reach| is_far(extent(reach), extent(shared.reach()), shared.pictures());
            !damaged.iter().any(|path| path == shared.path()) && reach.is_none_or(is_far)
        };
        if opened.is_none() && found.is_empty() {
            for (path, why) in passed_over {
                tell(progress, &format!("the shared index {} is passed over: {why}", path.display()));
            }
        }
        for shared in found.iter().filter(|shared| is_worth(shared)) {
            let (path, start) = (shared.path().display(), Instant::now());
            progress.note(&format!("copying the index of {} pictures from {path}", shared.pictures()));
            let taken = Index::take_over(own.options, own.folder, &own.origin.fingerprint, shared, &is_right);
            match taken {
                Ok(index) => {
                    tracing::info!(
                        photos = index.len(),
                        ms = start.elapsed().as_millis(),
                        "an index is taken"
                    );
                    return Ok(Some(index));
                }
                Err(NotTaken::Engine(error)) => return Err(error),
                Err(why) => {
                    tell(progress, &format!("the shared index {path} is passed over: {why}"));
                    if matches!(why, NotTaken::Copy(CopyError::Load(LoadError::Damaged { .. }))) {
                        self.state().damaged.push(shared.path().to_owned());
                    }
                }
            }
        }
        Ok(None)
    }

    /// Leaves the snapshot of this machine here, if what is here is far older, or this one was made `anew` because something was
    /// wrong: then it takes the place of what is not newer. Whatever fails is only told.
    pub(super) fn publish(
        &self,
        own: &Own<'_>,
        saved: usize,
        anew: bool,
        origin_now: impl Fn() -> Result<Origin, EngineError>,
        progress: &dyn Progress,
    ) {
        let Some(home) = &own.origin.home else { return };
        // Once for each snapshot: what cannot be published now is not tried again before there is more.
        let compared = Some((own.origin.fingerprint.clone(), saved));
        let before = std::mem::replace(&mut self.state().compared, compared.clone());
        if saved == 0 || (before == compared && !anew) {
            return;
        }
        let shared = SharedSnapshots::new(&self.folder, home);
        if let Err(why) = self.try_publish(&shared, own, anew, origin_now, progress) {
            tell(progress, &format!("the index is not shared in {}: {why}", self.folder.display()));
        }
    }

    fn try_publish(
        &self,
        shared: &SharedSnapshots,
        own: &Own<'_>,
        anew: bool,
        origin_now: impl Fn() -> Result<Origin, EngineError>,
        progress: &dyn Progress,
    ) -> Result<(), NotTaken> {
        let fingerprint = &own.origin.fingerprint;
        let saved = SavedSnapshot::open(own.folder, &own.options, fingerprint)?;
        let damaged = self.state().damaged.clone();
        let listing =
            shared.list(&own.options, fingerprint).map_err(|error| NotTaken::Refused(error.to_string()))?;
        let newest = listing.found.iter().find(|there| !damaged.iter().any(|path| path == there.path()));
        let is_far =
            |there: &SharedSnapshot| is_far(extent(there.reach()), extent(saved.reach()), saved.pictures());
        let is_due = anew || newest.is_none_or(is_far);
        // Vectors that have become others since are of no use to anybody.
        if !is_due || origin_now()? != *own.origin {
            return Ok(());
        }
        let start = Instant::now();
        let published = shared.publish(saved, &own.options, fingerprint, &damaged)?;
        let (path, pictures) = (published.path().display(), published.pictures());
        tracing::info!(pictures, ms = start.elapsed().as_millis(), %path, "the index is shared");
        progress.note(&format!("the index of {pictures} pictures is shared in {path}"));
        Ok(())
    }

    /// What is here of this origin; `None` for a store that shares nothing.
    pub(super) fn look(&self, options: &IndexOptions, origin: &Origin) -> Option<SharedIndex> {
        let shared = SharedSnapshots::new(&self.folder, origin.home.as_ref()?);
        let (newest, problem) = match shared.list(options, &origin.fingerprint) {
            Ok(listing) => (listing.found.first().map(|it| (it.pictures(), extent(it.reach()))), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Some(SharedIndex { folder: self.folder.clone(), newest, problem })
    }
}

fn extent((last_photo_id, last_removal): (Option<PhotoId>, i64)) -> Extent {
    Extent { last_photo_id, last_removal }
}

/// Whether so much lies between two places of the feed that an index of so many pictures is better copied than followed.
fn is_far(from: Extent, to: Extent, pictures: usize) -> bool {
    let last = |extent: Extent| extent.last_photo_id.map_or(0, |id| id.0);
    let came = last(to).saturating_sub(last(from)).max(0).unsigned_abs();
    let went = to.last_removal.saturating_sub(from.last_removal).max(0).unsigned_abs();
    let between = came.saturating_add(went);
    between > 0 && between.saturating_mul(FAR_ONE_OF) >= pictures as u64
}

fn tell(progress: &dyn Progress, text: &str) {
    tracing::warn!(text, "sharing the index");
    progress.note(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_pictures_is_far_and_what_lies_behind_is_not() {
        let at = |photo: i64, removal| extent((Some(PhotoId(photo)), removal));
        assert!(!is_far(at(91, 0), at(100, 0), 100));
        assert!(is_far(at(90, 0), at(100, 0), 100));
        assert!(is_far(at(100, 0), at(100, 10), 100), "what went counts as well");
        assert!(is_far(at(95, 3), at(100, 8), 100));
        assert!(!is_far(at(200, 50), at(100, 0), 100), "it is ahead");
        assert!(!is_far(at(100, 0), at(100, 0), 0), "nothing lies between");
        assert!(is_far(extent((None, 0)), at(i64::MAX, i64::MAX), usize::MAX));
    }
}
