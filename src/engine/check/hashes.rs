//! The hashes of the stored pictures while a run lasts: never behind the store, and kept in the home's index folder.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use super::super::{EngineError, Progress};
use crate::index::{Candidates, HashIndex};
use crate::photo_id::PhotoId;
use crate::store::Store;
use crate::vector::PerceptualHash;
use crate::verify::Sketch;

/// How many pictures are proposed, at most.
pub(super) const PROPOSED: usize = 8;

/// Sketches that are read from the store at a time: some 8 MB.
const CHUNK: u32 = 1024;

/// So many pictures of what was saved are compared with the store before it is used.
const SAMPLES: usize = 16;

/// It is saved when it has grown by so many pictures, and by one in [`GROWN_BY`]: it is written as a whole.
const WORTH_SAVING: usize = 1000;
const GROWN_BY: usize = 16;

/// The hash of a picture, and that of its mirror image.
pub(super) type Hashes = [PerceptualHash; 2];

pub(super) struct StoredHashes {
    folder: PathBuf,
    /// Loaded when it is first asked.
    loaded: RwLock<Option<Loaded>>,
}

struct Loaded {
    index: HashIndex,
    /// How many the file holds.
    saved: usize,
}

impl StoredHashes {
    /// `folder` is that of the home's index.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, loaded: RwLock::default() }
    }

    /// The nearest [`PROPOSED`] pictures with numbers above `after`, of all that are stored at this moment.
    pub(super) fn near(
        &self,
        hashes: &Hashes,
        after: PhotoId,
        store: &dyn Store,
        progress: &dyn Progress,
    ) -> Result<Candidates, EngineError> {
        let now = store.extent()?;
        let is_current = |index: &HashIndex| {
            let (last, removal) = index.extent();
            last >= now.last_photo_id && removal >= now.last_removal
        };
        {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(Loaded { index, .. }) = loaded.as_ref().filter(|loaded| is_current(&loaded.index)) {
                return Ok(index.near(hashes, after, PROPOSED));
            }
        }
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.is_none() {
            let index = self.load(store);
            *loaded = Some(Loaded { saved: index.len(), index });
        }
        let Some(Loaded { index, .. }) = loaded.as_mut() else { unreachable!("it was loaded above") };
        if !is_current(index) {
            follow(index, store, progress)?;
        }
        Ok(index.near(hashes, after, PROPOSED))
    }

    /// What was saved, if the store still has what it knows of; else nothing yet.
    fn load(&self, store: &dyn Store) -> HashIndex {
        let saved = HashIndex::load(&self.folder).unwrap_or_else(|error| {
            tracing::warn!(%error, "the saved hashes cannot be read: they are made anew");
            None
        });
        let Some(saved) = saved else { return HashIndex::default() };
        let fits = |saved: &HashIndex| {
            let (now, (last, removal)) = (store.extent()?, saved.extent());
            if removal > now.last_removal || last > now.last_photo_id {
                return Ok(false);
            }
            let samples: Vec<(PhotoId, PerceptualHash)> = saved.samples(SAMPLES).collect();
            let photo_ids: Vec<PhotoId> = samples.iter().map(|(photo_id, _)| *photo_id).collect();
            // One that is gone by now has none.
            let pairs = store.sketches(&photo_ids)?.into_iter().zip(&samples);
            let mut known = pairs.filter_map(|(sketch, (_, hash))| Some((hash_of(&sketch?)?, *hash)));
            Ok::<_, EngineError>(known.all(|(stored, saved)| stored == saved))
        };
        match fits(&saved) {
            Ok(true) => saved,
            Ok(false) => {
                tracing::warn!("the saved hashes are not those of the catalogue: they are made anew");
                HashIndex::default()
            }
            Err(error) => {
                tracing::warn!(%error, "the saved hashes cannot be compared with the catalogue");
                HashIndex::default()
            }
        }
    }

    /// Saves it if that saves a later run much. That it cannot be written is only logged: the next run makes it anew.
    pub(super) fn save_if_grown(&self) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let Some(Loaded { index, saved }) = loaded.as_mut() else { return };
        let changed = index.len().abs_diff(*saved);
        if changed < WORTH_SAVING || changed * GROWN_BY < *saved {
            return;
        }
        match index.save(&self.folder) {
            Ok(()) => *saved = index.len(),
            Err(error) => tracing::warn!(%error, "the hashes cannot be saved"),
        }
    }
}

/// Of a sketch as it is stored; `None` for one that cannot be read, which the verifier tells of where it is needed.
fn hash_of(sketch: &[u8]) -> Option<PerceptualHash> {
    Some(Sketch::from_bytes(sketch).ok()?.hash())
}

/// First what came, then what went: what went in between is then not missed.
fn follow(index: &mut HashIndex, store: &dyn Store, progress: &dyn Progress) -> Result<(), EngineError> {
    let (mut done, mut all) = (index.len(), None);
    loop {
        let chunk = store.embeddings_after(index.extent().0, CHUNK)?;
        let Some(last) = chunk.last else { break };
        let photo_ids: Vec<PhotoId> = chunk.embeddings.iter().map(|(photo_id, _)| *photo_id).collect();
        let sketches = store.sketches(&photo_ids)?;
        done += photo_ids.len();
        let hashes = photo_ids.into_iter().zip(sketches);
        index.push(hashes.filter_map(|(photo_id, sketch)| Some((photo_id, hash_of(&sketch?)?))), last);
        // One chunk is read before anybody could wonder.
        if done >= CHUNK as usize {
            let all = match all {
                Some(all) => all,
                None => *all.insert(usize::try_from(store.photo_count()?).unwrap_or(usize::MAX)),
            };
            progress.step("hashing sketches", done.min(all), all);
        }
    }
    loop {
        let chunk = store.removals_after(index.extent().1, CHUNK)?;
        let Some((seen, _)) = chunk.last() else { return Ok(()) };
        let gone: Vec<PhotoId> = chunk.iter().map(|(_, photo_id)| *photo_id).collect();
        index.remove(&gone, *seen);
    }
}
