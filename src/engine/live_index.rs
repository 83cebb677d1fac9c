//! The index of a home folder while it is in use: opened when first needed, and never behind the catalogue.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{EngineError, Progress};
use crate::catalog::Catalog;
use crate::embed::{Embedding, Fingerprint};
use crate::index::{Index, IndexFingerprint, IndexOptions, LoadError};
use crate::photo_id::PhotoId;

/// How many embeddings are read from the catalogue at a time: 8 MB at 256 dimensions.
const CHUNK: u32 = 8192;

/// A snapshot is written when it saves a later start the linking of at least this many pictures.
const WORTH_SAVING: usize = 1000;

pub(super) struct LiveIndex {
    folder: PathBuf,
    fingerprint: IndexFingerprint,
    options: IndexOptions,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    index: Arc<Index>,
    /// How many pictures the newest snapshot on disk holds.
    saved: usize,
}

impl LiveIndex {
    pub(super) fn new(folder: PathBuf, fingerprint: &Fingerprint) -> Self {
        let dimension = NonZeroUsize::new(fingerprint.dimension).unwrap_or(NonZeroUsize::MIN);
        Self {
            folder,
            fingerprint: IndexFingerprint(fingerprint.digest.clone()),
            options: IndexOptions::new(dimension),
            opened: Mutex::new(None),
        }
    }

    /// The index with every photo in it that the catalogue holds at this moment, whichever process stored it.
    pub(super) fn current(
        &self,
        catalog: &Catalog,
        progress: &dyn Progress,
    ) -> Result<Arc<Index>, EngineError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = opened.as_ref() {
            for (photo_id, embedding) in embeddings_after(catalog, open.index.last_photo_id())? {
                open.index.insert(photo_id, &embedding)?;
            }
            return Ok(Arc::clone(&open.index));
        }
        let open = self.open(catalog, progress)?;
        Ok(Arc::clone(&opened.insert(open).index))
    }

    fn open(&self, catalog: &Catalog, progress: &dyn Progress) -> Result<Opened, EngineError> {
        let pictures = embeddings_after(catalog, None)?;
        match Index::load(self.options, &self.folder, &self.fingerprint, &pictures) {
            Ok(index) => {
                let saved = index.len() - index.unlinked();
                return Ok(Opened { index: Arc::new(index), saved });
            }
            // Small homes never have a snapshot: they need none.
            Err(LoadError::Missing) => {}
            Err(e) => progress.note(&e.to_string()),
        }
        let index = Index::new(self.options);
        index.insert_many(pictures.iter().map(|(photo_id, embedding)| (*photo_id, embedding)))?;
        Ok(Opened { index: Arc::new(index), saved: 0 })
    }

    /// Searches for every picture by its own vector. Returns how many there are.
    pub(super) fn audit(&self, catalog: &Catalog, progress: &dyn Progress) -> Result<usize, EngineError> {
        let index = self.current(catalog, progress)?;
        let pictures = embeddings_after(catalog, None)?;
        for (done, (photo_id, embedding)) in pictures.iter().enumerate() {
            // An equal vector may belong to another picture: then the score is what counts.
            let found = index.search(embedding, 1, 0.999)?;
            if found.best().is_none_or(|best| best.score < 1.0 - 1e-6) {
                return Err(EngineError::Lost { photo_id: *photo_id });
            }
            if pictures.len() >= WORTH_SAVING {
                progress.step("auditing", done + 1, pictures.len());
            }
        }
        Ok(pictures.len())
    }

    /// Links what is not linked yet and writes a snapshot, if that makes the next start or search noticeably
    /// faster. Right answers never depend on it.
    pub(super) fn settle(&self, catalog: &Catalog, progress: &dyn Progress) -> Result<(), EngineError> {
        let index = self.current(catalog, progress)?;
        let saved =
            self.opened.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |o| o.saved);
        if index.len() <= self.options.exact_max || index.len() < saved + WORTH_SAVING {
            return Ok(());
        }
        progress.note(&format!("linking {} pictures in the index", index.unlinked()));
        index.catch_up();
        index.save(&self.folder, &self.fingerprint)?;
        if let Some(open) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            open.saved = index.len();
        }
        Ok(())
    }
}

/// Every embedding after `after`, by ascending id.
fn embeddings_after(
    catalog: &Catalog,
    mut after: Option<PhotoId>,
) -> Result<Vec<(PhotoId, Embedding)>, EngineError> {
    let mut all = Vec::new();
    loop {
        let chunk = catalog.embeddings_after(after, CHUNK)?;
        let Some((last, _)) = chunk.last() else { return Ok(all) };
        after = Some(*last);
        all.extend(chunk);
    }
}
