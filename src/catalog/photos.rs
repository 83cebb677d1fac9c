//! Photos, their digests and their embeddings.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::columns::{blob, checked, count, crc32, integer, read_vector, text};
use super::damage::Entry;
use super::{Catalog, CatalogError, bump_generation};
use crate::photo::{DECODER_VERSION, Digest, PhotoFormat};
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;
use crate::vector::Embedding;

/// Where a stored photo came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PhotoKind {
    /// A search was made with it.
    Query,
    /// One of the user's own goods (`tongkuan add`).
    Own,
    /// An offer is shown by it, and no search was made with it yet.
    Offer,
}

/// A photo to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewPhoto<'a> {
    /// For people: usually the file's name.
    pub label: &'a str,
    /// Of the file.
    pub byte_digest: Digest,
    /// Of the upright sRGB pixels.
    pub pixel_digest: Digest,
    /// After it was turned upright.
    pub width_px: u32,
    /// After it was turned upright.
    pub height_px: u32,
    /// The file's.
    pub format: PhotoFormat,
    /// By the home's model.
    pub embedding: &'a Embedding,
    /// What the verifier keeps of it, as it writes it.
    pub sketch: &'a [u8],
    /// When it is stored.
    pub added_at: Timestamp,
}

/// A stored photo, without its embedding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredPhoto {
    /// Its number; they only rise.
    pub photo_id: PhotoId,
    /// How it came here.
    pub kind: PhotoKind,
    /// For people, usually the file's name.
    pub label: String,
    /// After it was turned upright.
    pub width_px: u32,
    /// After it was turned upright.
    pub height_px: u32,
    /// The file's, as a word.
    pub format: String,
    /// When it was stored.
    pub added_at: Timestamp,
}

/// Some of the stored embeddings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingChunk {
    /// By ascending id; those that can be read.
    pub embeddings: Vec<(PhotoId, Embedding)>,
    /// The last photo that was looked at; `None` when there is none left.
    pub last: Option<PhotoId>,
}

/// What is stored of what a photo looks like.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredVector {
    /// It can be read.
    Whole(Embedding),
    /// It is there but cannot be read.
    Damaged,
    /// The photo has none, or is not stored.
    Missing,
}

/// What [`Catalog::store`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The photo's number, new or not.
    pub photo_id: PhotoId,
    /// False when a photo with the same bytes or pixels was there already; then only the answer was added.
    pub is_new: bool,
}

impl Catalog {
    /// The photo whose file has these bytes.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read; so for all lookups here.
    pub fn photo_by_bytes(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError> {
        self.read(|c| {
            c.prepare_cached("SELECT photo_id FROM photo_bytes WHERE byte_digest = ?1")?
                .query_row([digest.as_bytes()], |row| row.get(0))
                .optional()
        })
    }

    /// The photo that decodes to these pixels.
    pub fn photo_by_pixels(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError> {
        self.read(|c| {
            c.prepare_cached("SELECT photo_id FROM photos WHERE pixel_digest = ?1")?
                .query_row([digest.as_bytes()], |row| row.get(0))
                .optional()
        })
    }

    /// A stored photo; `None` when there is none of this number.
    pub fn photo(&self, photo_id: PhotoId) -> Result<Option<StoredPhoto>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT photo_id, kind, label, width_px, height_px, format, added_at_ms,
                        EXISTS (SELECT 1 FROM offer_images i WHERE i.photo_id = photos.photo_id)
                        AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.photo_id = photos.photo_id)
                 FROM photos WHERE photo_id = ?1",
            )?
            .query_row([photo_id], stored_photo)
            .optional()
        })
    }

    /// The digests of a photo's pixels and of one file that shows them, the lowest of several.
    pub fn digests_of(&self, photo_id: PhotoId) -> Result<Option<(Digest, Option<Digest>)>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT pixel_digest, (SELECT min(byte_digest) FROM photo_bytes b WHERE b.photo_id = p.photo_id)
                 FROM photos p WHERE photo_id = ?1",
            )?
            .query_row([photo_id], |row| {
                let bytes: Option<[u8; 32]> = row.get(1)?;
                Ok((Digest::from_bytes(row.get(0)?), bytes.map(Digest::from_bytes)))
            })
            .optional()
        })
    }

    /// How many photos are stored.
    pub fn photo_count(&self) -> Result<u64, CatalogError> {
        self.read(|c| c.prepare_cached("SELECT count(*) FROM photos")?.query_row([], |row| row.get(0)))
    }

    /// What a photo looks like to the home's model.
    ///
    /// # Errors
    /// As [`Catalog::embeddings_after`].
    pub fn embedding(&self, photo_id: PhotoId) -> Result<StoredVector, CatalogError> {
        let before = PhotoId(photo_id.0.saturating_sub(1));
        let chunk = self.embeddings_after(Some(before), 1)?;
        if chunk.last != Some(photo_id) {
            return Ok(StoredVector::Missing);
        }
        let vector = chunk.embeddings.into_iter().next();
        Ok(vector.map_or(StoredVector::Damaged, |(_, embedding)| StoredVector::Whole(embedding)))
    }

    /// The embeddings of up to `limit` photos after `after`, by ascending id. Those that cannot be read are left out.
    ///
    /// # Errors
    /// [`CatalogError::ModelChanged`] when the home has gone over to another model since it was claimed.
    pub fn embeddings_after(
        &self,
        after: Option<PhotoId>,
        limit: u32,
    ) -> Result<EmbeddingChunk, CatalogError> {
        let dimension = self.dimension();
        let chunk = self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT photo_id, vector, crc32 FROM embeddings
                 WHERE photo_id > ?1 AND (?3 IS NULL OR ?3 IS (SELECT value FROM meta WHERE key = 'model'))
                 ORDER BY photo_id LIMIT ?2",
            )?;
            let mut rows = statement.query(params![after.map_or(0, |id| id.0), limit, self.model.get()])?;
            let mut chunk = EmbeddingChunk::default();
            while let Some(row) = rows.next()? {
                let photo_id = row.get(0)?;
                chunk.last = Some(photo_id);
                match read_vector(blob(row, 1)?, integer(row, 2)?, dimension) {
                    Ok(embedding) => chunk.embeddings.push((photo_id, embedding)),
                    Err(problem) => self.damage.note(Entry::Vector(photo_id), problem),
                }
            }
            Ok(chunk)
        })?;
        if chunk.last.is_none() && !self.is_mine()? {
            return Err(CatalogError::ModelChanged);
        }
        Ok(chunk)
    }

    /// The sketches of these photos, in their order; `None` for a photo from before there were sketches, and for one whose
    /// sketch is not what was stored.
    pub fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, CatalogError> {
        let ids = format!("{:?}", photo_ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let mut sketches: HashMap<PhotoId, Vec<u8>> = HashMap::new();
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT photo_id, sketch, crc32 FROM sketches
                 WHERE photo_id IN (SELECT value FROM json_each(?1))",
            )?;
            let mut rows = statement.query([ids])?;
            while let Some(row) = rows.next()? {
                let photo_id = row.get(0)?;
                match checked(blob(row, 1)?, integer(row, 2)?) {
                    Ok(sketch) => {
                        sketches.insert(photo_id, sketch.to_vec());
                    }
                    Err(problem) => self.damage.note(Entry::Sketch(photo_id), problem),
                }
            }
            Ok(())
        })?;
        Ok(photo_ids.iter().map(|id| sketches.remove(id)).collect())
    }

    /// Has the listener told of a sketch that is as it was stored, but cannot be read.
    pub fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: impl std::fmt::Display) {
        self.damage.note(Entry::Sketch(photo_id), problem);
    }

    /// Stores photos that have no answers yet.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn store_photos(&self, photos: &[NewPhoto<'_>]) -> Result<Vec<Stored>, CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.must_be_mine(&transaction)?;
        let stored = photos.iter().map(|photo| put_photo(&transaction, photo)).collect::<Result<_, _>>()?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(stored)
    }

    /// Stores a photo that has no answer yet.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn store_photo(&self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.must_be_mine(&transaction)?;
        let stored = put_photo(&transaction, photo)?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(stored)
    }
}

pub(super) fn put_photo(
    transaction: &Transaction<'_>,
    photo: &NewPhoto<'_>,
) -> Result<Stored, rusqlite::Error> {
    let bytes = photo.byte_digest.as_bytes();
    let pixels = photo.pixel_digest.as_bytes();
    let known: Option<PhotoId> = transaction
        .prepare_cached(
            "SELECT photo_id FROM photo_bytes WHERE byte_digest = ?1
             UNION ALL SELECT photo_id FROM photos WHERE pixel_digest = ?2 LIMIT 1",
        )?
        .query_row(params![bytes, pixels], |row| row.get(0))
        .optional()?;
    let photo_id = if let Some(photo_id) = known {
        photo_id
    } else {
        transaction
            .prepare_cached(
                "INSERT INTO photos (kind, label, pixel_digest, width_px, height_px, format, added_at_ms, decoder)
                 VALUES ('query', ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                photo.label,
                pixels,
                photo.width_px,
                photo.height_px,
                photo.format.to_string(),
                photo.added_at.unix_ms(),
                DECODER_VERSION
            ])?;
        let photo_id = PhotoId(transaction.last_insert_rowid());
        let vector = photo.embedding.to_le_bytes();
        transaction
            .prepare_cached("INSERT INTO embeddings (photo_id, vector, crc32) VALUES (?1, ?2, ?3)")?
            .execute(params![photo_id, vector, crc32(&vector)])?;
        transaction
            .prepare_cached("INSERT INTO sketches (photo_id, sketch, crc32) VALUES (?1, ?2, ?3)")?
            .execute(params![photo_id, photo.sketch, crc32(photo.sketch)])?;
        photo_id
    };
    transaction
        .prepare_cached("INSERT OR IGNORE INTO photo_bytes (byte_digest, photo_id) VALUES (?1, ?2)")?
        .execute(params![bytes, photo_id])?;
    Ok(Stored { photo_id, is_new: known.is_none() })
}

/// Whether the photo is there; for transactions that are about to change something about it.
pub(super) fn is_stored(transaction: &Transaction<'_>, photo_id: PhotoId) -> Result<bool, rusqlite::Error> {
    transaction.prepare_cached("SELECT 1 FROM photos WHERE photo_id = ?1")?.exists([photo_id])
}

fn stored_photo(row: &Row<'_>) -> Result<StoredPhoto, rusqlite::Error> {
    let kind = text(row, 1)?;
    Ok(StoredPhoto {
        photo_id: row.get(0)?,
        kind: match (kind.as_str(), row.get(7)?) {
            ("own", _) => PhotoKind::Own,
            (_, true) => PhotoKind::Offer,
            _ => PhotoKind::Query,
        },
        label: text(row, 2)?,
        width_px: count(row, 3)?,
        height_px: count(row, 4)?,
        format: text(row, 5)?,
        added_at: Timestamp::from_unix_ms(integer(row, 6)?.unwrap_or(0)),
    })
}
