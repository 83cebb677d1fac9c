//! Pictures of a run that stores nothing: what is new is remembered beside the home until the run ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::EngineError;
use super::hashes::{Hashes, PROPOSED};
use super::provisional::{number_of, provisional};
use super::report::CheckMatch;
use crate::index::{Candidates, HashIndex, Index, IndexOptions};
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::vector::{Embedding, PerceptualHash};

/// In memory 4 bytes for each number of a vector, as many codes, two digests, the hash and the label; sketches lie in a temporary
/// file.
pub(super) struct Overlay {
    index: Index,
    state: Mutex<State>,
    /// Those below this are in the index, too.
    indexed: AtomicUsize,
}

struct State {
    by_bytes: HashMap<Digest, usize>,
    by_pixels: HashMap<Digest, usize>,
    hashes: HashIndex,
    pictures: Vec<Remembered>,
    sketches: File,
    sketches_bytes: u64,
}

struct Remembered {
    row: u64,
    label: String,
    sketch_at: u64,
    sketch_bytes: usize,
}

/// A picture to be remembered.
pub(super) struct NewPicture<'a> {
    pub(super) row: u64,
    pub(super) label: &'a str,
    pub(super) byte_digest: Digest,
    pub(super) pixel_digest: Digest,
    pub(super) embedding: &'a Embedding,
    pub(super) sketch: &'a [u8],
    pub(super) hash: PerceptualHash,
}

impl Overlay {
    /// For vectors of so many numbers.
    pub(super) fn new(dimension: usize) -> Result<Self, EngineError> {
        let dimension = NonZeroUsize::new(dimension).unwrap_or(NonZeroUsize::MIN);
        let state = State {
            by_bytes: HashMap::new(),
            by_pixels: HashMap::new(),
            hashes: HashIndex::default(),
            pictures: Vec::new(),
            sketches: tempfile::tempfile().map_err(unwritten)?,
            sketches_bytes: 0,
        };
        let index = Index::new(IndexOptions::new(dimension));
        Ok(Self { index, state: Mutex::new(state), indexed: AtomicUsize::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pictures it remembers: a search that starts now finds those with numbers below this.
    pub(super) fn len(&self) -> usize {
        self.indexed.load(Ordering::Acquire)
    }

    pub(super) fn by_bytes(&self, digest: Digest) -> Option<PhotoId> {
        self.state().by_bytes.get(&digest).copied().map(provisional)
    }

    pub(super) fn by_pixels(&self, digest: Digest) -> Option<PhotoId> {
        self.state().by_pixels.get(&digest).copied().map(provisional)
    }

    /// Pictures after `after` that are near by their hashes.
    pub(super) fn proposed(&self, hashes: &Hashes, after: PhotoId) -> Candidates {
        self.state().hashes.near(hashes, after, PROPOSED)
    }

    pub(super) fn search(
        &self,
        embedding: &Embedding,
        k: usize,
        sure_above: f32,
    ) -> Result<Candidates, EngineError> {
        Ok(self.index.search(embedding, k, sure_above)?)
    }

    /// # Panics
    /// For a number that it has not given.
    pub(super) fn check_match(&self, photo_id: PhotoId) -> CheckMatch {
        let state = self.state();
        let Remembered { row, label, .. } = &state.pictures[number_of(photo_id)];
        CheckMatch { photo_id: None, row: Some(*row), label: label.clone(), kind: None, good: None }
    }

    pub(super) fn sketch(&self, photo_id: PhotoId) -> Result<Option<Vec<u8>>, EngineError> {
        let mut state = self.state();
        let Some(picture) = state.pictures.get(number_of(photo_id)) else { return Ok(None) };
        let (at, mut bytes) = (picture.sketch_at, vec![0; picture.sketch_bytes]);
        let read = state.sketches.seek(SeekFrom::Start(at));
        read.and_then(|_| state.sketches.read_exact(&mut bytes)).map_err(unwritten)?;
        Ok(Some(bytes))
    }

    /// Remembers pictures, in their order.
    pub(super) fn add(&self, pictures: &[NewPicture<'_>]) -> Result<(), EngineError> {
        let first = {
            let mut state = self.state();
            let (first, end) = (state.pictures.len(), state.sketches_bytes);
            state.sketches.seek(SeekFrom::Start(end)).map_err(unwritten)?;
            for (number, picture) in (first..).zip(pictures) {
                state.sketches.write_all(picture.sketch).map_err(unwritten)?;
                let remembered = Remembered {
                    row: picture.row,
                    label: picture.label.to_owned(),
                    sketch_at: state.sketches_bytes,
                    sketch_bytes: picture.sketch.len(),
                };
                state.sketches_bytes += picture.sketch.len() as u64;
                state.pictures.push(remembered);
                state.by_bytes.insert(picture.byte_digest, number);
                state.by_pixels.insert(picture.pixel_digest, number);
                state.hashes.push([(provisional(number), picture.hash)], provisional(number));
            }
            first
        };
        let new: Vec<(PhotoId, &Embedding)> = (first..)
            .zip(pictures)
            .map(|(number, picture)| (provisional(number), picture.embedding))
            .collect();
        self.index.insert_many(new)?;
        self.indexed.store(first + pictures.len(), Ordering::Release);
        self.index.link_some();
        Ok(())
    }
}

fn unwritten(source: std::io::Error) -> EngineError {
    EngineError::Scratch { folder: std::env::temp_dir(), source }
}
