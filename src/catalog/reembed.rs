//! Vectors of another model: gathered beside the old ones, which serve until the new ones take their place at once.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::columns::{crc32, text};
use super::recognised::forget_all_recognised;
use super::{Catalog, CatalogError, bump_generation, meta};
use crate::photo::{DECODER_VERSION, Digest};
use crate::photo_id::PhotoId;
use crate::vector::{Embedding, Fingerprint};

/// What a stored photo lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacks {
    /// A vector of the model that is asked about.
    pub vector: bool,
    /// Whether it lacks a sketch of the present format.
    pub sketch: bool,
    /// A look by the decoder of today: with an older one, a picture with a colour profile had other pixels.
    pub decoding: bool,
}

/// What is stored of a photo that lacked it.
#[derive(Clone, Copy, Debug)]
pub struct Refill<'a> {
    /// By the next model, if it was lacking.
    pub vector: Option<&'a Embedding>,
    /// As the verifier writes it, if it was lacking.
    pub sketch: Option<&'a [u8]>,
    /// What the decoder of today makes of the file.
    pub pixel_digest: Digest,
}

/// A photo that came from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPhoto {
    /// The picture's number; they only rise.
    pub image_id: i64,
    /// Where it was fetched from.
    pub url: String,
    /// The photo that it became.
    pub photo_id: PhotoId,
}

fn json(fingerprint: &Fingerprint) -> String {
    serde_json::to_string(fingerprint).unwrap_or_default()
}

impl Catalog {
    /// Begins, or takes up again, to gather the vectors of `next`. Vectors of a third model that were gathered before
    /// are dropped. Does nothing where the home belongs to `next` already.
    ///
    /// # Errors
    /// [`CatalogError`] when the file fails; so for all of these.
    pub fn gather_for(&self, next: &Fingerprint) -> Result<(), CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is = |key| Ok::<_, rusqlite::Error>(meta(&transaction, key)?.as_deref() == Some(&json(next)));
        if !is("model")? && !is("next_model")? {
            transaction.execute("DELETE FROM next_embeddings", [])?;
            transaction.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('next_model', ?1)",
                [json(next)],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What the photo lacks to serve `next`; nothing for one that is not stored. A sketch of another format than
    /// `sketch_format`, which is a sketch's first byte, counts as none.
    pub fn lacks(
        &self,
        photo_id: PhotoId,
        next: &Fingerprint,
        sketch_format: u8,
    ) -> Result<Lacks, CatalogError> {
        let found = self.read(|c| {
            c.prepare_cached(
                "SELECT CASE WHEN (SELECT value FROM meta WHERE key = 'model') IS ?2
                        THEN NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.photo_id = p.photo_id)
                        ELSE NOT EXISTS (SELECT 1 FROM next_embeddings n WHERE n.photo_id = p.photo_id) END,
                        NOT EXISTS (SELECT 1 FROM sketches s
                                    WHERE s.photo_id = p.photo_id AND substr(s.sketch, 1, 1) = ?4),
                        decoder < ?3
                 FROM photos p WHERE photo_id = ?1",
            )?
            .query_row(params![photo_id, json(next), DECODER_VERSION, [sketch_format].as_slice()], |row| {
                Ok(Lacks { vector: row.get(0)?, sketch: row.get(1)?, decoding: row.get(2)? })
            })
            .optional()
        })?;
        Ok(found.unwrap_or(Lacks { vector: false, sketch: false, decoding: false }))
    }

    /// Whether the photo is known by these pixels.
    pub fn has_pixels(&self, photo_id: PhotoId, pixels: Digest) -> Result<bool, CatalogError> {
        self.read(|c| {
            c.prepare_cached("SELECT 1 FROM photos WHERE photo_id = ?1 AND pixel_digest = ?2")?
                .exists(params![photo_id, pixels.as_bytes()])
        })
    }

    /// Photos that an older decoder has seen. Those without a colour profile look the same to both.
    pub fn seen_by_older_decoders(&self) -> Result<u64, CatalogError> {
        self.read(|c| {
            c.query_row("SELECT count(*) FROM photos WHERE decoder < ?1", [DECODER_VERSION], |row| row.get(0))
        })
    }

    /// Stores what a photo lacked, in place of what was there.
    pub fn fill(
        &self,
        photo_id: PhotoId,
        next: &Fingerprint,
        refill: &Refill<'_>,
    ) -> Result<(), CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another photo may have these pixels already: the file without a profile that this one was made from.
        transaction
            .prepare_cached("UPDATE OR IGNORE photos SET pixel_digest = ?2 WHERE photo_id = ?1")?
            .execute(params![photo_id, refill.pixel_digest.as_bytes()])?;
        transaction
            .prepare_cached("UPDATE photos SET decoder = ?2 WHERE photo_id = ?1")?
            .execute(params![photo_id, DECODER_VERSION])?;
        if let Some(vector) = refill.vector {
            let mine = meta(&transaction, "model")?.as_deref() == Some(&json(next));
            let bytes = vector.to_le_bytes();
            let table = if mine { "embeddings" } else { "next_embeddings" };
            transaction
                .prepare_cached(&format!(
                    "INSERT OR REPLACE INTO {table} (photo_id, vector, crc32) VALUES (?1, ?2, ?3)"
                ))?
                .execute(params![photo_id, bytes, crc32(&bytes)])?;
        }
        if let Some(sketch) = refill.sketch {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO sketches (photo_id, sketch, crc32) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![photo_id, sketch, crc32(sketch)])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Photos that lack a vector of `next`, and photos that lack a sketch.
    pub fn lacking(&self, next: &Fingerprint) -> Result<(u64, u64), CatalogError> {
        self.read(|c| {
            c.query_row(
                "SELECT (SELECT count(*) FROM photos) - CASE
                          WHEN (SELECT value FROM meta WHERE key = 'model') IS ?1
                          THEN (SELECT count(*) FROM embeddings) ELSE (SELECT count(*) FROM next_embeddings) END,
                        (SELECT count(*) FROM photos) - (SELECT count(*) FROM sketches)",
                [json(next)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    /// Up to `limit` photos after `after` (an `image_id`) that came from an address.
    pub fn fetched_photos(&self, after: i64, limit: u32) -> Result<Vec<FetchedPhoto>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT image_id, url, photo_id FROM offer_images
                 WHERE state = 'stored' AND image_id > ?1 ORDER BY image_id LIMIT ?2",
            )?
            .query_map(params![after, limit], |row| {
                Ok(FetchedPhoto { image_id: row.get(0)?, url: text(row, 1)?, photo_id: row.get(2)? })
            })?
            .collect()
        })
    }

    /// Has the vectors gathered for `next` take the place of the others, in one transaction: from then on the home
    /// belongs to `next`, and processes that run another model are refused. Photos without a new vector stay known by
    /// their bytes and pixels. Unless `even_if_incomplete`, nothing happens while there are such photos. Returns
    /// whether the home belongs to `next` now.
    pub fn go_over_to(&self, next: &Fingerprint, even_if_incomplete: bool) -> Result<bool, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if meta(&transaction, "model")?.as_deref() == Some(&json(next)) {
            return Ok(true);
        }
        let missing: u64 = transaction.query_row(
            "SELECT (SELECT count(*) FROM photos) - (SELECT count(*) FROM next_embeddings)",
            [],
            |row| row.get(0),
        )?;
        if missing > 0 && !even_if_incomplete {
            return Ok(false);
        }
        transaction.execute_batch(
            "DELETE FROM embeddings;
             INSERT INTO embeddings (photo_id, vector, crc32) SELECT photo_id, vector, crc32 FROM next_embeddings;
             DELETE FROM next_embeddings;
             DELETE FROM meta WHERE key = 'next_model';",
        )?;
        transaction.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('model', ?1)", [json(next)])?;
        forget_all_recognised(&transaction)?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(true)
    }

    /// Whether the home still belongs to the model that it was claimed for.
    pub(super) fn is_mine(&self) -> Result<bool, CatalogError> {
        let Some(mine) = self.model.get() else { return Ok(true) };
        Ok(self.read(|c| meta(c, "model"))?.as_ref() == Some(mine))
    }

    /// Part of every transaction that stores a vector: the home must still belong to the model that made it.
    pub(super) fn must_be_mine(&self, transaction: &Transaction<'_>) -> Result<(), CatalogError> {
        let Some(mine) = self.model.get() else { return Ok(()) };
        let stored = meta(transaction, "model")?;
        if stored.as_ref() == Some(mine) { Ok(()) } else { Err(CatalogError::ModelChanged) }
    }
}
