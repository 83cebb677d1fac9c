//! Snapshots in a folder that several machines can read, from which a machine that has none takes a copy.
//!
//! ```text
//! FOLDER/<home>/               of one home
//!   snapshot-<time>-<random>/  files as in `snapshot`; complete when it has a `header`
//!     state, codes, vectors    written first, each flushed to the disk
//!     header.partial           written last, flushed, renamed to `header`
//! ```
//! No lock is held, because locks do not hold on every file system that machines share; names are random instead, and a file is
//! only ever read after its `header` is there. The renamed file is what completes a snapshot, not the folder: buckets
//! cannot rename folders in one step. Whoever has completed a newer one removes the older ones; a reader that finds files gone
//! or cut off passes that snapshot over, as it does any whose sums are not right.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::files::{create, sync_dir};
use super::snapshot::{self, FORMAT, Files, HEADER, IndexFingerprint, PREFIX};
use super::vector_store::Extent;
use super::{IndexOptions, LoadError, SaveError};
use crate::access;
use crate::photo_id::PhotoId;

/// What is not complete and has not changed for so long was left by a publisher that was killed: files are written one after
/// the other, and one takes minutes at the most.
const LEFT_AFTER: Duration = Duration::from_hours(1);

/// A complete snapshot in a shared folder.
#[derive(Clone, Debug)]
pub(crate) struct SharedSnapshot {
    path: PathBuf,
    extent: Extent,
}

/// A snapshot of this machine that can be published. Its files are open, so who removes them meanwhile does no harm.
pub(crate) struct SavedSnapshot {
    extent: Extent,
    files: Files,
}

impl SavedSnapshot {
    /// What was saved last in `dir`.
    ///
    /// # Errors
    /// [`CopyError`] when nothing was saved there that can serve where this is wanted.
    pub(crate) fn open(
        dir: &Path,
        options: &IndexOptions,
        fingerprint: &IndexFingerprint,
    ) -> Result<Self, CopyError> {
        let (extent, files) = snapshot::open_newest(dir, options, fingerprint)?;
        Ok(Self { extent, files })
    }

    /// As [`SharedSnapshot::pictures`].
    pub(crate) fn pictures(&self) -> usize {
        pictures(&self.extent)
    }

    /// As [`SharedSnapshot::reach`].
    pub(crate) fn reach(&self) -> (Option<PhotoId>, i64) {
        reach(&self.extent)
    }
}

impl SharedSnapshot {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many pictures it has, without those that were removed.
    pub(crate) fn pictures(&self) -> usize {
        pictures(&self.extent)
    }

    /// How far in the feed of additions and removals it has come.
    pub(crate) fn reach(&self) -> (Option<PhotoId>, i64) {
        reach(&self.extent)
    }

    /// Copies it into the folder `to`. Nothing is looked at yet.
    pub(super) fn copy(&self, to: &Path) -> Result<(), CopyError> {
        copy_files(snapshot::open_files(&self.path)?, to, str::to_owned)
    }

    fn age(&self) -> (i64, i64, &Path) {
        (self.extent.last_photo_id, self.extent.removals_seen, &self.path)
    }
}

fn pictures(extent: &Extent) -> usize {
    extent.slots - extent.removed
}

fn reach(extent: &Extent) -> (Option<PhotoId>, i64) {
    (Some(PhotoId(extent.last_photo_id)).filter(|id| id.0 > 0), extent.removals_seen)
}

/// Why a snapshot was not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// It is not what is wanted, or cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The copy cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// The snapshots of one home in a shared folder.
pub(crate) struct SharedSnapshots {
    shared: PathBuf,
    folder: PathBuf,
}

/// What is in a shared folder for a home.
pub(crate) struct Listing {
    /// What can be copied, the newest first.
    pub(crate) found: Vec<SharedSnapshot>,
    /// What is complete and cannot be used, each with what is wrong with it.
    pub(crate) passed_over: Vec<(PathBuf, LoadError)>,
}

impl SharedSnapshots {
    /// Those of `home`, which names no other one and can be a file's name, in the folder `shared`.
    pub(crate) fn new(shared: &Path, home: &str) -> Self {
        Self { shared: shared.to_owned(), folder: shared.join(home) }
    }

    /// What is there that can serve where this is wanted.
    ///
    /// # Errors
    /// When the shared folder is not there, or cannot be read.
    pub(crate) fn list(&self, options: &IndexOptions, fingerprint: &IndexFingerprint) -> io::Result<Listing> {
        let mut listing = Listing { found: Vec::new(), passed_over: Vec::new() };
        for path in self.entries()? {
            match snapshot::look(&path, options, fingerprint) {
                Ok(extent) => listing.found.push(SharedSnapshot { path, extent }),
                Err(LoadError::Damaged { .. }) if !path.join(HEADER).exists() => {}
                Err(error) => listing.passed_over.push((path, error)),
            }
        }
        listing.found.sort_by(|a, b| b.age().cmp(&a.age()));
        Ok(listing)
    }

    /// Copies the snapshot `saved` here, and then removes those that are older or cannot be read, those at
    /// `damaged` among them. Returns the copy.
    ///
    /// # Errors
    /// [`CopyError`]; what is there stays then.
    pub(crate) fn publish(
        &self,
        saved: SavedSnapshot,
        options: &IndexOptions,
        fingerprint: &IndexFingerprint,
        damaged: &[PathBuf],
    ) -> Result<SharedSnapshot, CopyError> {
        let SavedSnapshot { extent, files } = saved;
        let path = self.folder.join(name());
        let io = |source| SaveError::Io { path: path.clone(), source };
        // Where it is not mounted it is not made on this machine's disk.
        fs::metadata(&self.shared).map_err(|source| SaveError::Io { path: self.shared.clone(), source })?;
        access::make_folder(&self.folder).map_err(io)?;
        access::make_folder(&path).map_err(io)?;
        let partial = path.join(format!("{HEADER}.partial"));
        let copied = copy_files(files, &path, |name| {
            if name == HEADER { format!("{HEADER}.partial") } else { name.to_owned() }
        });
        let completed = copied.and_then(|()| Ok(fs::rename(&partial, path.join(HEADER)).map_err(io)?));
        if let Err(error) = completed {
            remove(&path);
            return Err(error);
        }
        // Not every file system that is shared can do that.
        let _ = sync_dir(&path).and_then(|()| sync_dir(&self.folder));
        let published = SharedSnapshot { path, extent };
        self.remove_older(&published, options, fingerprint, damaged);
        Ok(published)
    }

    /// Folders of snapshots, complete or not; none where nothing was published for the home yet.
    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return fs::read_dir(&self.shared).map(|_| Vec::new());
            }
            entries => entries?,
        };
        let is_one = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
        };
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        Ok(paths?.into_iter().filter(is_one).collect())
    }

    /// Of those that are published at once, each publisher looks for what is older than the newest: exactly one stays.
    fn remove_older(
        &self,
        mine: &SharedSnapshot,
        options: &IndexOptions,
        fingerprint: &IndexFingerprint,
        damaged: &[PathBuf],
    ) {
        let Ok(listing) = self.list(options, fingerprint) else { return };
        let (damaged, whole): (Vec<_>, Vec<_>) =
            listing.found.iter().partition(|it| damaged.contains(&it.path));
        let is_older = |it: &&&SharedSnapshot| whole.iter().any(|other| it.age() < other.age());
        // What came after this one was published is its publisher's to compare.
        let older = whole.iter().filter(is_older).filter(|it| it.age() <= mine.age());
        let of_no_use = listing.passed_over.iter().filter(|(_, error)| match error {
            LoadError::Damaged { .. } | LoadError::Differs { .. } => true,
            // A newer version's are for workers of that version.
            LoadError::OtherFormat { found, .. } => *found < FORMAT,
            _ => false,
        });
        for shared in damaged.iter().chain(older) {
            remove(&shared.path);
        }
        for (path, _) in of_no_use {
            remove(path);
        }
        // By the clock of the folder, which need not be this machine's.
        let now = fs::metadata(mine.path.join(HEADER)).and_then(|header| header.modified());
        for path in self.entries().unwrap_or_default() {
            let is_left = now.as_ref().is_ok_and(|now| is_left(&path, *now));
            if is_left && !path.join(HEADER).exists() {
                remove(&path);
            }
        }
    }
}

/// What cannot be removed the next one who publishes removes.
fn remove(snapshot: &Path) {
    // First what makes it complete.
    let _ = fs::remove_file(snapshot.join(HEADER));
    let _ = fs::remove_dir_all(snapshot);
}

/// Whether nothing in the folder has changed for long.
fn is_left(folder: &Path, now: SystemTime) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let paths = entries.flatten().map(|entry| entry.path()).chain([folder.to_owned()]);
    let changed = paths.filter_map(|path| fs::metadata(path).ok()?.modified().ok()).max();
    changed.is_some_and(|changed| now.duration_since(changed).is_ok_and(|age| age > LEFT_AFTER))
}

/// Copies `files` in their order, each flushed to the disk before the next.
fn copy_files(files: Files, to: &Path, named: impl Fn(&str) -> String) -> Result<(), CopyError> {
    for (name, mut file) in files {
        let path = to.join(named(name));
        let copied = create(&path).and_then(|mut copy| {
            io::copy(&mut file, &mut copy)?;
            copy.sync_all()
        });
        copied.map_err(|source| SaveError::Io { path, source })?;
    }
    Ok(())
}

/// Never the same twice, on whichever machine. Of two that have come equally far, the one that was made later has the greater.
fn name() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos());
    let mut random = RandomState::new().build_hasher();
    random.write_u32(std::process::id());
    random.write_u128(now);
    format!("{PREFIX}{now:020x}-{:016x}", random.finish())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Barrier;

    use super::super::Index;
    use super::*;
    use crate::vector::Embedding;

    /// A shared folder, and another one for each machine.
    struct Scene {
        folder: tempfile::TempDir,
        options: IndexOptions,
    }

    impl Scene {
        fn new() -> Self {
            let scene = Self {
                folder: tempfile::tempdir().unwrap(),
                options: IndexOptions::new(NonZeroUsize::new(2).unwrap()),
            };
            fs::create_dir(scene.path("shared")).unwrap();
            scene
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn shared(&self) -> SharedSnapshots {
            SharedSnapshots::new(&self.path("shared"), "home")
        }

        /// A machine that has saved so many pictures.
        fn machine(&self, name: &str, pictures: i64) -> PathBuf {
            let (dir, index) = (self.path(name), Index::new(self.options));
            let picture = Embedding::new(vec![0.6, 0.8]).unwrap();
            (1..=pictures).for_each(|id| index.insert(PhotoId(id), &picture).unwrap());
            index.save(&dir, &mine()).unwrap();
            dir
        }

        fn publish(&self, name: &str, pictures: i64) -> SharedSnapshot {
            self.publish_saved(&self.machine(name, pictures), &mine(), &[]).unwrap()
        }

        fn publish_saved(
            &self,
            dir: &Path,
            fingerprint: &IndexFingerprint,
            damaged: &[PathBuf],
        ) -> Result<SharedSnapshot, CopyError> {
            let saved = SavedSnapshot::open(dir, &self.options, fingerprint)?;
            self.shared().publish(saved, &self.options, fingerprint, damaged)
        }

        fn list(&self) -> Listing {
            self.shared().list(&self.options, &mine()).unwrap()
        }

        fn take(&self, shared: &SharedSnapshot, name: &str) -> Result<Index, CopyError> {
            Index::take_over(self.options, &self.path(name), &mine(), shared, |_| Ok(()))
        }

        fn saved(&self, name: &str) -> Option<usize> {
            Index::load(self.options, &self.path(name), &mine()).ok().map(|index| index.len())
        }
    }

    fn mine() -> IndexFingerprint {
        IndexFingerprint("a model in a home".to_owned())
    }

    /// Has another bit in the middle of the file.
    fn damage(path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn what_one_machine_publishes_another_takes_in_the_place_of_what_it_had() {
        let scene = Scene::new();
        assert!(scene.list().found.is_empty());
        scene.publish("one", 5);
        let newer = scene.publish("one", 2000);
        let found = scene.list().found;
        assert_eq!(found.len(), 1, "the older one is gone");
        assert_eq!((found[0].path(), found[0].pictures()), (newer.path(), 2000));
        assert_eq!(found[0].reach(), (Some(PhotoId(2000)), 0));
        scene.machine("other", 3);
        let taken = scene.take(&newer, "other").unwrap();
        assert_eq!((taken.len(), taken.last_photo_id()), (2000, Some(PhotoId(2000))));
        assert_eq!((scene.saved("other"), scene.saved("one")), (Some(2000), Some(2000)));
        assert_eq!(scene.take(&newer, "new").unwrap().len(), 2000);
    }

    #[test]
    fn what_is_published_is_what_was_opened_although_another_one_was_saved_meanwhile() {
        let scene = Scene::new();
        let dir = scene.machine("one", 5);
        let saved = SavedSnapshot::open(&dir, &scene.options, &mine()).unwrap();
        assert_eq!((saved.pictures(), saved.reach()), (5, (Some(PhotoId(5)), 0)));
        scene.machine("one", 9);
        let published = scene.shared().publish(saved, &scene.options, &mine(), &[]).unwrap();
        assert_eq!((published.pictures(), published.reach()), (5, (Some(PhotoId(5)), 0)));
        assert_eq!(scene.take(&published, "other").unwrap().len(), 5);
    }

    #[test]
    fn of_two_that_publish_at_once_the_newer_one_stays_and_is_whole() {
        let scene = Scene::new();
        for (one, other) in [(7, 7), (7, 8), (9, 8)] {
            let machines = [scene.machine("one", one), scene.machine("other", other)];
            let barrier = Barrier::new(2);
            std::thread::scope(|scope| {
                for dir in &machines {
                    let (scene, barrier) = (&scene, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        scene.publish_saved(dir, &mine(), &[]).unwrap();
                    });
                }
            });
            let listing = scene.list();
            assert!(listing.found.len() == 1 && listing.passed_over.is_empty(), "{:?}", listing.found);
            let taken = scene.take(&listing.found[0], "new").unwrap();
            assert_eq!(i64::try_from(taken.len()).unwrap(), one.max(other));
        }
    }

    #[test]
    fn what_is_damaged_is_not_taken_and_what_the_machine_had_stays() {
        for file in ["state", "codes", "vectors", HEADER] {
            let scene = Scene::new();
            let shared = scene.publish("one", 2000);
            scene.machine("other", 3);
            damage(&shared.path().join(file));
            let taken = scene.take(&shared, "other");
            assert!(matches!(taken, Err(CopyError::Load(LoadError::Damaged { .. }))), "{file}: {taken:?}");
            assert_eq!(scene.saved("other"), Some(3), "{file}");
            let left: Vec<_> = fs::read_dir(scene.path("other")).unwrap().flatten().collect();
            assert_eq!(left.len(), 2, "the lock and the snapshot: {left:?}");
            // The next one who knows of it removes it.
            let damaged = [shared.path().to_owned()];
            let dir = scene.machine("one", 1);
            scene.publish_saved(&dir, &mine(), &damaged).unwrap();
            assert_eq!(scene.list().found.iter().map(SharedSnapshot::pictures).collect::<Vec<_>>(), [1]);
            assert!(!shared.path().exists());
        }
    }

    #[test]
    fn a_snapshot_that_is_removed_under_a_reader_is_passed_over() {
        let scene = Scene::new();
        let older = scene.publish("one", 5);
        let newer = scene.publish("one", 6);
        assert!(scene.take(&older, "other").is_err());
        assert_eq!(scene.saved("other"), None);
        assert_eq!(scene.take(&newer, "other").unwrap().len(), 6);
    }

    #[test]
    fn another_homes_is_passed_over_and_removed_and_a_newer_versions_is_passed_over_and_stays() {
        let scene = Scene::new();
        let shared = scene.publish("one", 9);
        let other = IndexFingerprint("a model in another home".to_owned());
        let listing = scene.shared().list(&scene.options, &other).unwrap();
        assert!(listing.found.is_empty());
        assert!(matches!(listing.passed_over[..], [(_, LoadError::Differs { .. })]));
        let taken = Index::take_over::<CopyError>(scene.options, &scene.path("new"), &other, &shared, |_| {
            panic!("nobody is asked about it")
        });
        assert!(matches!(taken, Err(CopyError::Load(LoadError::Differs { .. }))));

        let newer = scene.path("shared/home/snapshot-newer");
        fs::rename(shared.path(), &newer).unwrap();
        let mut header = fs::read(newer.join(HEADER)).unwrap();
        header[8] = u8::try_from(FORMAT).unwrap() + 1;
        fs::write(newer.join(HEADER), &header).unwrap();
        assert!(matches!(scene.list().passed_over[..], [(_, LoadError::OtherFormat { .. })]));
        let own = scene.publish("one", 2);
        assert!(newer.exists() && scene.list().found.len() == 1);
        header[8] = u8::try_from(FORMAT).unwrap() - 1;
        fs::write(newer.join(HEADER), &header).unwrap();
        let foreign = scene.machine("foreign", 3);
        let index = Index::load(scene.options, &foreign, &mine()).unwrap();
        index.save(&foreign, &other).unwrap();
        scene.publish_saved(&foreign, &other, &[]).unwrap();
        assert!(
            !newer.exists() && !own.path().exists(),
            "an older version's, and one of what was here before"
        );
    }

    #[test]
    fn what_is_half_written_is_none_and_goes_when_nobody_writes_it_any_more() {
        let scene = Scene::new();
        let shared = scene.publish("one", 9);
        let [half, left] = ["half", "left"].map(|name| scene.path(&format!("shared/home/snapshot-{name}")));
        for path in [&half, &left] {
            fs::create_dir(path).unwrap();
            fs::copy(shared.path().join("state"), path.join("state")).unwrap();
        }
        let listing = scene.list();
        assert!(listing.found.len() == 1 && listing.passed_over.is_empty());
        let long_ago = SystemTime::now() - LEFT_AFTER * 2;
        for path in [left.join("state"), left.clone()] {
            fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
        scene.publish("one", 10);
        assert!(half.exists() && !left.exists());
    }

    #[test]
    fn a_folder_that_is_not_mounted_is_not_made() {
        let scene = Scene::new();
        fs::remove_dir(scene.path("shared")).unwrap();
        let dir = scene.machine("one", 3);
        assert!(scene.shared().list(&scene.options, &mine()).is_err());
        let published = scene.publish_saved(&dir, &mine(), &[]);
        assert!(matches!(published, Err(CopyError::Save(SaveError::Io { .. }))), "{published:?}");
        assert!(!scene.path("shared").exists());
    }
}
