//! The index of a home folder while it is in use: opened when first needed, and never behind the catalogue.

use std::num::NonZeroUsize;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::shared_snapshot::{NotTaken, Origin, Own, SharedFolder, SharedIndex};
use super::vector_index::{OwnIndex, VectorIndex};
use super::{EngineError, Progress};
use crate::index::{Index, IndexError, IndexOptions, LoadError, SaveError};
use crate::photo_id::PhotoId;
use crate::store::{Extent, Store, StoredVector};
use crate::vector::Fingerprint;

/// How many embeddings are read from the catalogue at a time: 8 MB at 256 dimensions.
const CHUNK: u32 = 8192;

/// A snapshot is written when it saves a later start the linking of at least this many pictures, and one in
/// [`GROWN_BY`] of those that the last one had: it is written as a whole.
const WORTH_SAVING: usize = 1000;
const GROWN_BY: usize = 16;

/// While a whole index is linked it is saved after each such part of it.
const LINKED_PARTS: usize = 4;

/// From so many unindexed pictures on, a background thread links some.
const LAG: usize = 256;

/// An index in which one picture of so many was removed is made anew without them.
const ONE_REMOVED_OF: usize = 4;

/// So many pictures of a snapshot are compared with the catalogue before it is used.
const SAMPLES: usize = 16;

pub(super) struct LiveIndex {
    folder: PathBuf,
    /// The digest of the model.
    model: String,
    options: IndexOptions,
    /// Where workers share snapshots, if they do.
    shared: Option<SharedFolder>,
    opened: Mutex<Option<Arc<Opened>>>,
    /// How many pictures the newest snapshot on disk holds.
    saved: AtomicUsize,
    /// Held while the index is told what is new in the catalogue.
    following: Mutex<()>,
    linking: Arc<AtomicBool>,
}

/// An index, and what it is of.
struct Opened {
    index: Index,
    origin: Origin,
}

impl Deref for Opened {
    type Target = Index;

    fn deref(&self) -> &Index {
        &self.index
    }
}

impl LiveIndex {
    pub(super) fn new(
        folder: PathBuf,
        shared: Option<PathBuf>,
        fingerprint: &Fingerprint,
        exact_max: Option<usize>,
    ) -> Self {
        let dimension = NonZeroUsize::new(fingerprint.dimension).unwrap_or(NonZeroUsize::MIN);
        let options = IndexOptions::new(dimension);
        Self {
            folder,
            model: fingerprint.digest.clone(),
            shared: shared.map(SharedFolder::new),
            options: IndexOptions { exact_max: exact_max.unwrap_or(options.exact_max), ..options },
            opened: Mutex::new(None),
            saved: AtomicUsize::new(0),
            following: Mutex::default(),
            linking: Arc::default(),
        }
    }

    /// The index with every photo in it that the catalogue holds at this moment, whichever process stored or removed
    /// them.
    fn current(&self, store: &dyn Store, progress: &dyn Progress) -> Result<Arc<Opened>, EngineError> {
        let index = {
            let mut opened = self.opened();
            match &*opened {
                Some(index) => Arc::clone(index),
                None => Arc::clone(opened.insert(Arc::new(self.open(store, progress)?))),
            }
        };
        self.follow(&index, store, &|_, _| {})?;
        if index.unindexed() >= LAG
            && index.len() > self.options.exact_max
            && !self.linking.swap(true, Ordering::AcqRel)
        {
            // Beside the searches, not in one: the next picture is not held up.
            let (index, linking) = (Arc::clone(&index), Arc::clone(&self.linking));
            rayon::spawn(move || {
                index.link_some();
                linking.store(false, Ordering::Release);
            });
        }
        Ok(index)
    }

    /// Where what can be made anew from the catalogue is saved.
    pub(super) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    fn opened(&self) -> MutexGuard<'_, Option<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the index what is new in the catalogue; where nothing is, without a lock.
    fn follow(
        &self,
        index: &Index,
        store: &dyn Store,
        tell: &dyn Fn(usize, usize),
    ) -> Result<(), EngineError> {
        let is_behind = || {
            let (has, now) = (extent_of(index), store.extent()?);
            Ok::<_, EngineError>(has.last_photo_id < now.last_photo_id || has.last_removal < now.last_removal)
        };
        if !is_behind()? {
            return Ok(());
        }
        let _following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        // First what came, then what went: what went in between is then not missed.
        let (mut all, mut after) = (None, index.last_photo_id());
        loop {
            // Vectors that cannot be read are not in it: such a photo is left out, and the rest goes on.
            let chunk = store.embeddings_after(after, CHUNK)?;
            let Some(last) = chunk.last else { break };
            after = Some(last);
            index.insert_many(chunk.embeddings.iter().map(|(photo_id, embedding)| (*photo_id, embedding)))?;
            let all = match all {
                Some(all) => all,
                None => *all.insert(photo_count(store)?),
            };
            tell(index.len(), all);
        }
        loop {
            let chunk = store.removals_after(index.removals_seen(), CHUNK)?;
            let Some((seen, _)) = chunk.last() else { return Ok(()) };
            let gone: Vec<PhotoId> = chunk.iter().map(|(_, photo_id)| *photo_id).collect();
            index.remove(&gone, *seen);
        }
    }

    fn open(&self, store: &dyn Store, progress: &dyn Progress) -> Result<Opened, EngineError> {
        let origin = Origin::of(&self.model, store)?;
        let saved = match self.load(store, &origin)? {
            Ok(index) => Some(index),
            // Small homes never have a snapshot: they need none.
            Err(None) => None,
            Err(Some(why)) => {
                tracing::warn!(why, "the saved index is not used");
                progress.note(&why);
                None
            }
        };
        let taken = match &self.shared {
            None => None,
            Some(shared) => {
                let is_right = |index: &Index| match refused(index, store)? {
                    Some(why) => Err(NotTaken::Refused(why)),
                    None => Ok(()),
                };
                shared.take(&self.own(&origin), saved.as_ref(), is_right, progress)?
            }
        };
        let Some(index) = taken.or(saved) else { return self.anew_of(origin, store, progress) };
        self.saved.store(index.len(), Ordering::Release);
        Ok(Opened { index, origin })
    }

    /// The saved index, or why it cannot be used, if there is one.
    fn load(&self, store: &dyn Store, origin: &Origin) -> Result<Result<Index, Option<String>>, EngineError> {
        let index = match Index::load(self.options, &self.folder, &origin.fingerprint) {
            Ok(index) => index,
            Err(LoadError::Missing) => return Ok(Err(None)),
            Err(error) => return Ok(Err(Some(error.to_string()))),
        };
        Ok(match refused(&index, store)? {
            Some(why) => Err(Some(why)),
            None => Ok(index),
        })
    }

    fn own<'o>(&'o self, origin: &'o Origin) -> Own<'o> {
        Own { folder: &self.folder, options: self.options, origin }
    }

    /// Leaves what is saved to other workers, if they want it.
    fn publish(&self, index: &Opened, anew: bool, store: &dyn Store, progress: &dyn Progress) {
        if let Some(shared) = &self.shared {
            let saved = self.saved.load(Ordering::Acquire);
            let origin_now = || Origin::of(&self.model, store);
            shared.publish(&self.own(&index.origin), saved, anew, origin_now, progress);
        }
    }

    /// What is there of the index for other workers; `None` where no folder was named, or the store shares nothing.
    pub(super) fn shared(&self, store: &dyn Store) -> Result<Option<SharedIndex>, EngineError> {
        let Some(shared) = &self.shared else { return Ok(None) };
        Ok(shared.look(&self.options, &Origin::of(&self.model, store)?))
    }

    /// Makes the index anew in the place of one whose files turned out to be damaged.
    fn replace(
        &self,
        damaged: &Arc<Opened>,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let mut opened = self.opened();
        if opened.as_ref().is_some_and(|open| Arc::ptr_eq(open, damaged)) {
            tracing::warn!("the saved index was damaged in use: it is made anew");
            progress.note(&IndexError::Damaged.to_string());
            *opened = Some(Arc::new(self.anew(store, progress)?));
            self.discard(progress);
        }
        Ok(())
    }

    /// Closes the index and removes what is saved of it on disk: the next use makes it anew.
    pub(super) fn reset(&self, progress: &dyn Progress) {
        *self.opened() = None;
        self.saved.store(0, Ordering::Release);
        self.discard(progress);
    }

    /// Removes what is saved on disk. Where that cannot be done, a note tells so.
    pub(super) fn discard(&self, progress: &dyn Progress) {
        if let Err(error) = Index::discard(&self.folder) {
            progress.note(&error.to_string());
        }
    }

    /// An index of all that the catalogue has, not indexed yet.
    fn anew(&self, store: &dyn Store, progress: &dyn Progress) -> Result<Opened, EngineError> {
        self.anew_of(Origin::of(&self.model, store)?, store, progress)
    }

    fn anew_of(
        &self,
        origin: Origin,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<Opened, EngineError> {
        self.saved.store(0, Ordering::Release);
        let index = Index::new(self.options);
        let start = Instant::now();
        self.follow(&index, store, &|done, of| progress.step("reading the catalogue", done, of))?;
        tracing::info!(photos = index.len(), ms = start.elapsed().as_millis(), "the index is made anew");
        Ok(Opened { index, origin })
    }

    /// How far in the store's feed the index has come.
    pub(super) fn extent(&self, store: &dyn Store, progress: &dyn Progress) -> Result<Extent, EngineError> {
        let index = self.current(store, progress)?;
        Ok(extent_of(&index))
    }

    /// Does something with the index as engines see it.
    pub(super) fn with<T>(
        &self,
        store: &dyn Store,
        progress: &dyn Progress,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.with_rebuild_on_corruption(store, progress, |index| {
            job(&OwnIndex { index, exact_max: self.options.exact_max })
        })
    }

    /// Does something with the index without asking the catalogue for what is new; `None` where it was not opened yet.
    pub(super) fn as_it_is<T>(
        &self,
        job: impl Fn(&dyn VectorIndex) -> Result<T, EngineError>,
    ) -> Option<Result<T, EngineError>> {
        let index = self.opened().clone()?;
        Some(job(&OwnIndex { index: &index, exact_max: self.options.exact_max }))
    }

    /// Does something with the index, see [`LiveIndex::current`], or with the one made in its place if it turns out to be
    /// damaged: that has no file that could be.
    fn with_rebuild_on_corruption<T>(
        &self,
        store: &dyn Store,
        progress: &dyn Progress,
        job: impl Fn(&Arc<Opened>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        loop {
            let index = self.current(store, progress)?;
            match job(&index) {
                Err(EngineError::Index(IndexError::Damaged) | EngineError::Save(SaveError::Damaged)) => {
                    self.replace(&index, store, progress)?
                }
                done => return done,
            }
        }
    }

    /// Makes the index anew from the catalogue, links it and saves it, whatever is on disk.
    pub(super) fn remake(&self, store: &dyn Store, progress: &dyn Progress) -> Result<(), EngineError> {
        let index = Arc::new(self.anew(store, progress)?);
        let saved = self.link_and_save(&index, progress);
        *self.opened() = Some(Arc::clone(&index));
        saved?;
        self.publish(&index, true, store, progress);
        Ok(())
    }

    /// Links what is not indexed yet and saves. Where that takes long there are snapshots before and in between: after a
    /// kill the work goes on from the last one, and vectors that a file holds take no memory while the others are indexed.
    fn link_and_save(&self, index: &Opened, progress: &dyn Progress) -> Result<(), EngineError> {
        let part = WORTH_SAVING.max(index.len() / LINKED_PARTS);
        let tell = |done, of| progress.step("linking", done, of);
        while index.len() > self.options.exact_max && index.unindexed() > part {
            self.save(index)?;
            index.link_more(part, &tell);
        }
        let start = Instant::now();
        index.link_more(usize::MAX, &tell);
        tracing::info!(photos = index.len(), ms = start.elapsed().as_millis(), "the index is indexed");
        self.save(index)
    }

    fn save(&self, index: &Opened) -> Result<(), EngineError> {
        index.save(&self.folder, &index.origin.fingerprint)?;
        self.saved.store(index.len(), Ordering::Release);
        Ok(())
    }

    /// Gives back the room of removed pictures, links what is not indexed yet and writes a snapshot, if that makes the
    /// next start or search noticeably faster. Right answers never depend on it, and searches go on meanwhile.
    pub(super) fn settle(&self, store: &dyn Store, progress: &dyn Progress) -> Result<(), EngineError> {
        self.with_rebuild_on_corruption(store, progress, |index| self.settle_one(index, store, progress))
    }

    fn settle_one(
        &self,
        index: &Arc<Opened>,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let mut index = Arc::clone(index);
        let saved = self.saved.load(Ordering::Acquire);
        let is_worn = index.removed() * ONE_REMOVED_OF > index.len() + index.removed();
        if is_worn {
            if index.len() > self.options.exact_max {
                progress.note(&format!("making the index anew without {} removed pictures", index.removed()));
            }
            let compacted = index.compacted(&|done, of| progress.step("linking", done, of))?;
            index = Arc::new(Opened { index: compacted, origin: index.origin.clone() });
            *self.opened() = Some(Arc::clone(&index));
            self.follow(&index, store, &|_, _| {})?;
        }
        let worth = WORTH_SAVING.max(saved / GROWN_BY);
        // A snapshot that was made while the index was being indexed holds pictures without links.
        let has_grown = index.len() > self.options.exact_max
            && (index.len() >= saved + worth || index.unindexed() >= worth);
        // What is gone is not to stay in a file.
        let has_to_go = is_worn && saved > 0;
        if has_grown || has_to_go {
            if index.unindexed() > 0 {
                progress.note(&format!("linking {} pictures in the index", index.unindexed()));
            }
            self.link_and_save(&index, progress)?;
        }
        // Here, not in a search.
        self.publish(&index, false, store, progress);
        Ok(())
    }
}

/// What speaks against an index that was saved: it is of another catalogue, or of this one at a time that is no more.
fn refused(index: &Index, store: &dyn Store) -> Result<Option<String>, EngineError> {
    let now = store.extent()?;
    let refused = |what| Ok(Some(format!("{what}; the index is made anew from the catalogue")));
    // Numbers only grow, so a catalogue that was put back from a copy lacks the last ones or has others there.
    if index.removals_seen() > now.last_removal {
        return refused("the saved index knows of more removals than the catalogue");
    }
    let Ok(samples) = index.samples(SAMPLES) else { return refused("the saved index is damaged") };
    for (photo_id, embedding) in samples {
        match store.embedding(photo_id)? {
            StoredVector::Whole(stored) if stored == embedding => {}
            // What the index has of it is what was stored once.
            StoredVector::Damaged => {}
            StoredVector::Missing if removed_since(store, index, photo_id)? => {}
            StoredVector::Whole(_) => {
                return refused("the saved index has other vectors than the catalogue");
            }
            StoredVector::Missing => {
                return refused("the saved index has pictures that the catalogue lacks");
            }
        }
    }
    Ok(None)
}

/// How far in the store's feed an index has come.
fn extent_of(index: &Index) -> Extent {
    Extent { last_photo_id: index.last_photo_id(), last_removal: index.removals_seen() }
}

fn photo_count(store: &dyn Store) -> Result<usize, EngineError> {
    Ok(usize::try_from(store.photo_count()?).unwrap_or(usize::MAX))
}

/// Whether the catalogue says that a photo was removed after the index was told last.
fn removed_since(store: &dyn Store, index: &Index, photo_id: PhotoId) -> Result<bool, EngineError> {
    let mut seen = index.removals_seen();
    loop {
        let chunk = store.removals_after(seen, CHUNK)?;
        let Some((last, _)) = chunk.last() else { return Ok(false) };
        if chunk.iter().any(|(_, removed)| *removed == photo_id) {
            return Ok(true);
        }
        seen = *last;
    }
}
