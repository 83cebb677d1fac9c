//! The perceptual hashes of the stored pictures: which of them may be a re-encoded copy of one, before it is embedded.
//!
//! A plain list that is scanned, 8 bytes a picture. On disk it is one file beside the snapshots:
//!
//! ```text
//! index/hashes   magic, format (4 bytes), sum of the rest (8); newest photo (8), removals seen (8), count (8); then the
//!                numbers of the photos (8 each), the bits (8 each), the shapes (2 each). All little-endian.
//! ```
//! It is written as a whole beside the old one, flushed to the disk and renamed; one that is damaged is made anew.

use std::fs;
use std::io;
use std::path::Path;

use super::checksum::checksum;
use super::files::{create_summed, sync_dir};
use super::{Candidate, Candidates};
use crate::access;
use crate::photo_id::PhotoId;
use crate::vector::PerceptualHash;

/// Bits of 64 by which a picture that is near differs, at most (docs/benchmarks/check.md).
pub const MAX_HASH_DISTANCE: u32 = 6;

const MAGIC: [u8; 8] = *b"TKHASHES";
/// Raised with every change of the file, or of what the bits mean.
const FORMAT: u32 = 1;
const FILE: &str = "hashes";
const PARTIAL: &str = "hashes.partial";
const ROW_BYTES: usize = 18;

/// Hashes by the rising numbers of their pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashIndex {
    photo_ids: Vec<PhotoId>,
    bits: Vec<u64>,
    shapes: Vec<[u8; 2]>,
    last_photo_id: Option<PhotoId>,
    last_removal: i64,
}

/// The share of bits that are equal.
#[expect(clippy::cast_precision_loss, reason = "at most 64")]
fn score(distance: u32) -> f32 {
    1.0 - distance as f32 / 64.0
}

impl HashIndex {
    /// How alike two pictures are by their hashes, as a score: the share of equal bits, with `other` or with its mirror image,
    /// whose hashes are both given. `None` if they are not near.
    #[must_use]
    pub fn likeness(hashes: &[PerceptualHash; 2], other: &PerceptualHash) -> Option<f32> {
        let distance = hashes.iter().filter_map(|hash| hash.distance(other)).min();
        distance.filter(|distance| *distance <= MAX_HASH_DISTANCE).map(score)
    }

    /// How many hashes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.photo_ids.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.photo_ids.is_empty()
    }

    /// The newest picture that it was told of, and the newest removal.
    #[must_use]
    pub fn extent(&self) -> (Option<PhotoId>, i64) {
        (self.last_photo_id, self.last_removal)
    }

    /// Adds pictures by rising numbers, all above those that are there; others are passed over. `last` is the newest picture that
    /// is known by then, with or without a hash.
    pub fn push(&mut self, pictures: impl IntoIterator<Item = (PhotoId, PerceptualHash)>, last: PhotoId) {
        for (photo_id, hash) in pictures {
            if self.last_photo_id.is_none_or(|last| last < photo_id) {
                self.photo_ids.push(photo_id);
                self.bits.push(hash.bits);
                self.shapes.push(hash.shape);
                self.last_photo_id = Some(photo_id);
            }
        }
        self.last_photo_id = self.last_photo_id.max(Some(last));
    }

    /// Takes pictures away; `seen` is the number of the newest removal.
    pub fn remove(&mut self, gone: &[PhotoId], seen: i64) {
        self.last_removal = self.last_removal.max(seen);
        let places: Vec<usize> = gone.iter().filter_map(|id| self.photo_ids.binary_search(id).ok()).collect();
        if places.is_empty() {
            return;
        }
        let mut stays = vec![true; self.len()];
        for place in places {
            stays[place] = false;
        }
        let [mut ids, mut bits, mut shapes] = [0; 3].map(|_| stays.iter().copied());
        self.photo_ids.retain(|_| ids.next() != Some(false));
        self.bits.retain(|_| bits.next() != Some(false));
        self.shapes.retain(|_| shapes.next() != Some(false));
    }

    /// The `k` nearest pictures with numbers above `after`, of those that differ by at most [`MAX_HASH_DISTANCE`] bits from the
    /// picture or from its mirror image, whose hashes are both given.
    #[must_use]
    pub fn near(&self, hashes: &[PerceptualHash; 2], after: PhotoId, k: usize) -> Candidates {
        let start = self.photo_ids.partition_point(|photo_id| *photo_id <= after);
        let [own, mirrored] = hashes.map(|hash| hash.bits);
        let mut near = Vec::new();
        within(&self.bits[start..], own, mirrored, |place| {
            let place = start + place;
            let other = PerceptualHash { bits: self.bits[place], shape: self.shapes[place] };
            if let Some(score) = Self::likeness(hashes, &other) {
                near.push(Candidate { photo_id: self.photo_ids[place], score });
            }
        });
        Candidates::best_of(near, k)
    }

    /// Up to `count` of its pictures, evenly spread, the last one among them.
    pub fn samples(&self, count: usize) -> impl Iterator<Item = (PhotoId, PerceptualHash)> {
        let (len, step) = (self.len(), self.len().div_ceil(count.max(1)).max(1));
        let places = (0..len).rev().step_by(step);
        places.map(|i| (self.photo_ids[i], PerceptualHash { bits: self.bits[i], shape: self.shapes[i] }))
    }

    /// Writes it into the folder `dir`, which is made if need be.
    ///
    /// # Errors
    /// Those of the file system; what was there before stays.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        access::make_folder(dir)?;
        let mut body = Vec::with_capacity(24 + ROW_BYTES * self.len());
        let last_photo_id = self.last_photo_id.map_or(0, |id| id.0);
        for number in [last_photo_id, self.last_removal] {
            body.extend(number.to_le_bytes());
        }
        body.extend((self.len() as u64).to_le_bytes());
        body.extend(self.photo_ids.iter().flat_map(|id| id.0.to_le_bytes()));
        body.extend(self.bits.iter().flat_map(|bits| bits.to_le_bytes()));
        body.extend(self.shapes.as_flattened());
        // A name of its own: another process may be writing, too.
        let partial = dir.join(format!("{PARTIAL}-{}", std::process::id()));
        let written = create_summed(&partial, &MAGIC, FORMAT, &body)
            .and_then(|()| fs::rename(&partial, dir.join(FILE)))
            .and_then(|()| sync_dir(dir));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    /// Reads what was saved in `dir`; `None` where nothing was, and for what is damaged or of another format.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(FILE)) {
            Ok(bytes) => Ok(Self::from_bytes(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?.strip_prefix(&FORMAT.to_le_bytes())?;
        let (sum, body) = rest.split_first_chunk::<8>()?;
        if checksum(body, 0) != u64::from_le_bytes(*sum) {
            return None;
        }
        let (numbers, rows) = body.split_at_checked(24)?;
        let [last, last_removal, count] = [0, 1, 2].map(|i| numbers.as_chunks::<8>().0[i]);
        let count = usize::try_from(u64::from_le_bytes(count)).ok()?;
        if rows.len() % ROW_BYTES != 0 || rows.len() / ROW_BYTES != count {
            return None;
        }
        let (photo_ids, rows) = rows.split_at(8 * count);
        let (bits, shapes) = rows.split_at(8 * count);
        let photo_ids: Vec<PhotoId> =
            photo_ids.as_chunks().0.iter().map(|id| PhotoId(i64::from_le_bytes(*id))).collect();
        let last_photo_id = Some(PhotoId(i64::from_le_bytes(last))).filter(|id| id.0 > 0);
        let is_sound = photo_ids.is_sorted_by(|a, b| a < b) && photo_ids.last().copied() <= last_photo_id;
        is_sound.then(|| Self {
            bits: bits.as_chunks().0.iter().map(|bits| u64::from_le_bytes(*bits)).collect(),
            shapes: shapes.as_chunks().0.to_vec(),
            photo_ids,
            last_photo_id,
            last_removal: i64::from_le_bytes(last_removal),
        })
    }
}

/// Calls `found` with the place of each of `all` that is near one of the two.
fn within(all: &[u64], own: u64, mirrored: u64, mut found: impl FnMut(usize)) {
    // Sixteen at once, without a branch for each: next to none is near.
    for (block, bits) in all.chunks(16).enumerate() {
        let distance = |bits: u64| (bits ^ own).count_ones().min((bits ^ mirrored).count_ones());
        let nearest = bits.iter().fold(u32::MAX, |nearest, bits| nearest.min(distance(*bits)));
        if nearest <= MAX_HASH_DISTANCE {
            let near = bits.iter().enumerate().filter(|(_, bits)| distance(**bits) <= MAX_HASH_DISTANCE);
            near.for_each(|(place, _)| found(16 * block + place));
        }
    }
}

/// Removes what was saved in `dir`, and what a killed writer left.
pub(super) fn discard(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == FILE || name.starts_with(PARTIAL) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: [u8; 2] = [48, 32];

    fn hash(bits: u64) -> PerceptualHash {
        PerceptualHash { bits, shape: SHAPE }
    }

    fn index(all: &[u64]) -> HashIndex {
        let mut index = HashIndex::default();
        let rows: Vec<_> = (1..).zip(all).map(|(id, bits)| (PhotoId(id), hash(*bits))).collect();
        if let Some((last, _)) = rows.last().copied() {
            index.push(rows, last);
        }
        index
    }

    proptest! {
        #[test]
        fn the_near_ones_are_those_of_a_comparison_with_each(
            all in proptest::collection::vec(0_u64..4096, 0..70), own in 0_u64..4096, after in 0_i64..70,
        ) {
            let (index, hashes) = (index(&all), [hash(own), hash(own.rotate_left(40))]);
            let near = (1..).zip(&all).filter(|(id, _)| *id > after).filter_map(|(id, bits)| {
                let score = HashIndex::likeness(&hashes, &hash(*bits))?;
                Some(Candidate { photo_id: PhotoId(id), score })
            });
            prop_assert_eq!(index.near(&hashes, PhotoId(after), 5), Candidates::best_of(near.collect(), 5));
        }

        #[test]
        fn what_was_saved_is_read_back_and_damage_is_not(
            all in proptest::collection::vec(any::<u64>(), 0..20), at in any::<prop::sample::Index>(), bit in 0u32..8,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("index");
            let mut index = index(&all);
            index.remove(&[PhotoId(2)], 7);
            prop_assert_eq!(HashIndex::load(&dir).unwrap(), None);
            index.save(&dir).unwrap();
            let loaded = HashIndex::load(&dir).unwrap();
            prop_assert_eq!(loaded.as_ref(), Some(&index));
            let mut bytes = fs::read(dir.join(FILE)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(HashIndex::from_bytes(&bytes), None);
            prop_assert_eq!(HashIndex::from_bytes(&bytes[..at]), None);
        }
    }

    #[test]
    fn a_removed_picture_is_not_proposed_and_an_older_number_is_not_taken_again() {
        let mut index = index(&[5, 5, 5]);
        index.remove(&[PhotoId(2), PhotoId(9)], 3);
        index.push([(PhotoId(2), hash(5))], PhotoId(4));
        let near = index.near(&[hash(5), hash(!5)], PhotoId(0), 9);
        assert_eq!(near.iter().map(|near| near.photo_id.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((index.len(), index.extent()), (2, (Some(PhotoId(4)), 3)));
    }
}
