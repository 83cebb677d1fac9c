//! Photos, their digests and embeddings, and the feed of additions and removals.

use std::collections::{HashMap, HashSet};
use std::fmt::{Display, Write as _};

use postgres::Row;
use postgres::types::ToSql;

use super::connection::{Lock, Write};
use super::{CALIBRATIONS, PostgresStore, bump_generation, count, meta, plain};
use crate::catalog::shared::{MAX_RECOGNISED, category_number, checked, crc32, flaw_of_model, read_vector};
use crate::catalog::{
    CatalogError, EmbeddingChunk, Entry, Extent, NewPhoto, OWN_PROFILE, PhotoFilter, PhotoKind, Recognised,
    Stored, StoredPhoto, StoredVector,
};
use crate::photo::{DECODER_VERSION, Digest};
use crate::photo_id::PhotoId;
use crate::store::{Lineage, PhotoStore, Pulse};
use crate::timestamp::Timestamp;
use crate::vector::Fingerprint;

/// Whether a photo `p` was harvested and no search was made with it.
const HARVESTED_ONLY: &str = "(EXISTS (SELECT 1 FROM offer_images i WHERE i.photo_id = p.photo_id)
      AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.photo_id = p.photo_id))";

impl PhotoStore for PostgresStore {
    fn claim_model(&self, fingerprint: &Fingerprint) -> Result<(), CatalogError> {
        let mine = serde_json::to_string(fingerprint).unwrap_or_default();
        let mut stored = self.read(|c| meta(c, "model"))?;
        if stored.is_none() && self.is_read_only {
            // An empty home that cannot be written is not claimed for a model.
            return Ok(());
        }
        if stored.is_none() {
            // Another process may claim at the same moment: the first one counts.
            let mut write = self.write(Lock::Commit)?;
            write.execute(
                "INSERT INTO meta (key, value) VALUES ('model', $1) ON CONFLICT (key) DO NOTHING",
                &[&mine],
            )?;
            write.commit()?;
            stored = self.read(|c| meta(c, "model"))?;
        }
        let text = stored.unwrap_or_else(|| mine.clone());
        let flaw = flaw_of_model(&text, fingerprint, || self.vectors_have(fingerprint.dimension))?;
        if let Some(problem) = flaw {
            self.rewrite_model(&mine, problem)?;
        }
        let _ = self.model.set(mine);
        Ok(())
    }

    fn generation(&self) -> Result<u64, CatalogError> {
        // One that cannot be read is another than all that can be.
        Ok(self.read(|c| meta(c, "generation"))?.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    fn lineage(&self) -> Result<Option<Lineage>, CatalogError> {
        self.find_lineage()
    }

    fn pulse(&self) -> Result<Option<Pulse>, CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT (SELECT value FROM meta WHERE key = 'generation'),
                        (SELECT value FROM meta WHERE key = $1),
                        (SELECT coalesce(max(removal_id), 0) FROM removals)",
                &[&CALIBRATIONS],
            )?;
            let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
            Ok(Some(Pulse {
                generation: number(row.try_get(0)?),
                calibrations: number(row.try_get(1)?),
                last_removal: row.try_get(2)?,
            }))
        })
    }

    fn photo(&self, photo_id: PhotoId) -> Result<Option<StoredPhoto>, CatalogError> {
        let sql = format!(
            "SELECT photo_id, kind, label, width_px, height_px, format, added_at_ms, {HARVESTED_ONLY}
             FROM photos p WHERE photo_id = $1"
        );
        self.read(|c| Ok(c.first(&sql, &[&photo_id.0])?.map(|row| stored_photo(&row)).transpose()?))
    }

    fn photo_by_bytes(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError> {
        self.number("SELECT photo_id FROM photo_bytes WHERE byte_digest = $1", digest)
    }

    fn photo_by_pixels(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError> {
        self.number("SELECT photo_id FROM photos WHERE pixel_digest = $1", digest)
    }

    fn recognised(&self, byte_digest: Digest) -> Result<Option<Recognised>, CatalogError> {
        self.read(|c| {
            let row = c.first(
                "SELECT photo_id, score, confidence, max_false_hit, verifier, recognised_at_ms
                 FROM recognised WHERE byte_digest = $1",
                &[&byte_digest.as_bytes().as_slice()],
            )?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Recognised {
                byte_digest,
                photo_id: PhotoId(row.try_get(0)?),
                score: row.try_get(1)?,
                confidence: row.try_get(2)?,
                max_false_hit: row.try_get(3)?,
                verifier: row.try_get(4)?,
                recognised_at: Timestamp::from_unix_ms(row.try_get(5)?),
            }))
        })
    }

    fn remember_recognised(&self, recognised: &[Recognised]) -> Result<(), CatalogError> {
        // The commit lock: a photo that is found is not removed before its row refers to it.
        let mut write = self.write(Lock::Commit)?;
        for one in recognised {
            write.execute(
                "INSERT INTO recognised
                     (byte_digest, photo_id, score, confidence, max_false_hit, verifier, recognised_at_ms)
                 SELECT $1, photo_id, $3, $4, $5, $6, $7 FROM photos WHERE photo_id = $2
                 ON CONFLICT (byte_digest) DO UPDATE
                 SET photo_id = excluded.photo_id, score = excluded.score, confidence = excluded.confidence,
                     max_false_hit = excluded.max_false_hit, verifier = excluded.verifier,
                     recognised_at_ms = excluded.recognised_at_ms",
                &[
                    &one.byte_digest.as_bytes().as_slice(),
                    &one.photo_id.0,
                    &one.score,
                    &one.confidence,
                    &one.max_false_hit,
                    &one.verifier,
                    &one.recognised_at.unix_ms(),
                ],
            )?;
        }
        write.execute(
            "DELETE FROM recognised WHERE recognised_number <= (SELECT max(recognised_number) FROM recognised) - $1",
            &[&MAX_RECOGNISED],
        )?;
        write.commit()
    }

    fn digests_of(&self, photo_id: PhotoId) -> Result<Option<(Digest, Option<Digest>)>, CatalogError> {
        self.read(|c| {
            let row = c.first(
                "SELECT pixel_digest, (SELECT byte_digest FROM photo_bytes b WHERE b.photo_id = p.photo_id
                                       ORDER BY byte_digest LIMIT 1)
                 FROM photos p WHERE photo_id = $1",
                &[&photo_id.0],
            )?;
            let Some(row) = row else { return Ok(None) };
            let pixels: &[u8] = row.try_get(0)?;
            let bytes: Option<&[u8]> = row.try_get(1)?;
            // The table's checks hold both to 32 bytes.
            let digest = |bytes: &[u8]| bytes.try_into().ok().map(Digest::from_bytes);
            Ok(digest(pixels).map(|pixels| (pixels, bytes.and_then(digest))))
        })
    }

    fn photo_count(&self) -> Result<u64, CatalogError> {
        self.read(|c| Ok(count(c.one("SELECT count(*) FROM photos", &[])?.try_get(0)?)))
    }

    fn photos(&self, filter: &PhotoFilter) -> Result<Vec<PhotoId>, CatalogError> {
        let (added_since, added_before) =
            (filter.added_since.map(Timestamp::unix_ms), filter.added_before.map(Timestamp::unix_ms));
        let category = filter.goods.category_id.map(category_number);
        let price_min = filter.goods.price_min.map(|price| price.yuan().to_string());
        let price_max = filter.goods.price_max.map(|price| price.yuan().to_string());
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::new();
        let mut sql = "SELECT photo_id FROM photos p WHERE true".to_owned();
        sql.push_str(match filter.kind {
            None => "",
            Some(PhotoKind::Own) => " AND kind = 'own'",
            Some(PhotoKind::Query) => " AND kind = 'query' AND NOT ",
            Some(PhotoKind::Offer) => " AND kind = 'query' AND ",
        });
        if matches!(filter.kind, Some(PhotoKind::Query | PhotoKind::Offer)) {
            sql.push_str(HARVESTED_ONLY);
        }
        // Writing to a string cannot fail; so for all here.
        for (value, test) in [(&added_since, "added_at_ms >= "), (&added_before, "added_at_ms < ")] {
            if value.is_some() {
                values.push(value);
                let _ = write!(sql, " AND {test}${}", values.len());
            }
        }
        if filter.profile.is_some() {
            values.push(&filter.profile);
            let _ = write!(
                sql,
                " AND EXISTS (SELECT 1 FROM answers a WHERE a.photo_id = p.photo_id AND a.profile = ${})",
                values.len()
            );
        }
        let mut goods = String::new();
        if category.is_some() {
            values.push(&category);
            let _ = write!(
                goods,
                " AND (profile, offer_id) IN (SELECT profile, offer_id FROM offer_categories WHERE category_id = ${})",
                values.len()
            );
        }
        for (value, test) in [(&price_min, "price_yuan >= "), (&price_max, "price_yuan <= ")] {
            if value.is_some() {
                values.push(value);
                let _ = write!(goods, " AND {test}${}::text::numeric", values.len());
            }
        }
        if !goods.is_empty() {
            let _ = write!(
                sql,
                " AND p.photo_id IN (
                     WITH meant AS (SELECT profile, offer_id FROM offers WHERE true{goods})
                     SELECT a.photo_id FROM meant JOIN answer_offers USING (profile, offer_id)
                         JOIN answers a USING (answer_id)
                     UNION
                     SELECT i.photo_id FROM meant JOIN offer_images i USING (profile, offer_id)
                         WHERE i.photo_id IS NOT NULL)"
            );
        }
        sql.push_str(" ORDER BY photo_id");
        self.read(|c| numbers(&c.query(&sql, &values)?))
    }

    fn embedding(&self, photo_id: PhotoId) -> Result<StoredVector, CatalogError> {
        let (dimension, model) = (self.dimension(), self.model.get());
        let found = self.read(|c| {
            let row = c.first(
                "SELECT vector, crc32 FROM embeddings
                 WHERE photo_id = $1 AND ($2::text IS NULL OR $2 = (SELECT value FROM meta WHERE key = 'model'))",
                &[&photo_id.0, &model],
            )?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(read_vector(row.try_get(0)?, Some(row.try_get(1)?), dimension)))
        })?;
        match found {
            Some(Ok(embedding)) => Ok(StoredVector::Whole(embedding)),
            Some(Err(problem)) => {
                self.damage.note(Entry::Vector(photo_id), problem);
                Ok(StoredVector::Damaged)
            }
            None if self.is_mine()? => Ok(StoredVector::Missing),
            None => Err(CatalogError::ModelChanged),
        }
    }

    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, CatalogError> {
        let ids = raw(photo_ids);
        let mut sketches: HashMap<PhotoId, Vec<u8>> = self.read(|c| {
            let mut sketches = HashMap::new();
            // One number at a time: `= ANY` would look for each in every partition.
            let rows = c.query(
                "SELECT s.photo_id, s.sketch, s.crc32 FROM unnest($1::bigint[]) AS wanted (photo_id)
                 CROSS JOIN LATERAL (SELECT * FROM sketches WHERE sketches.photo_id = wanted.photo_id OFFSET 0) AS s",
                &[&ids],
            )?;
            for row in rows {
                let photo_id = PhotoId(row.try_get(0)?);
                match checked(row.try_get(1)?, Some(row.try_get(2)?)) {
                    Ok(sketch) => drop(sketches.insert(photo_id, sketch.to_vec())),
                    Err(problem) => self.damage.note(Entry::Sketch(photo_id), problem),
                }
            }
            Ok(sketches)
        })?;
        Ok(photo_ids.iter().map(|id| sketches.remove(id)).collect())
    }

    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn Display) {
        self.damage.note(Entry::Sketch(photo_id), problem);
    }

    fn store_photo(&self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        self.must_be_mine(&mut write)?;
        let stored = put_photo(&mut write, photo)?;
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(stored)
    }

    fn store_photos(&self, photos: &[NewPhoto<'_>]) -> Result<Vec<Stored>, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        self.must_be_mine(&mut write)?;
        let stored = photos.iter().map(|photo| put_photo(&mut write, photo)).collect::<Result<_, _>>()?;
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(stored)
    }

    fn forget(&self, photo_ids: &[PhotoId]) -> Result<Vec<PhotoId>, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        let stored: HashSet<PhotoId> = numbers(
            &write.query("SELECT photo_id FROM photos WHERE photo_id = ANY($1)", &[&raw(photo_ids)])?,
        )?
        .into_iter()
        .collect();
        let mut left = stored;
        let gone: Vec<PhotoId> = photo_ids.iter().copied().filter(|id| left.remove(id)).collect();
        if gone.is_empty() {
            return Ok(gone);
        }
        let ids = raw(&gone);
        let own_goods: Vec<String> = write
            .query(
                "SELECT DISTINCT o.offer_id FROM answer_offers o JOIN answers a USING (answer_id)
                 WHERE a.photo_id = ANY($1) AND o.profile = $2",
                &[&ids, &OWN_PROFILE],
            )?
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        for statement in FORGET {
            write.execute(statement, &[&ids])?;
        }
        for statement in FORGET_OWN {
            write.execute(statement, &[&OWN_PROFILE, &own_goods])?;
        }
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(gone)
    }

    fn searched_before(&self, time: Timestamp) -> Result<Vec<PhotoId>, CatalogError> {
        let filter =
            PhotoFilter { kind: Some(PhotoKind::Query), added_before: Some(time), ..PhotoFilter::default() };
        let mut photos = self.photos(&filter)?;
        let answered_since: HashSet<PhotoId> = self.read(|c| {
            let sql = "SELECT DISTINCT photo_id FROM answers WHERE fetched_at_ms >= $1";
            Ok(numbers(&c.query(sql, &[&time.unix_ms()])?)?.into_iter().collect())
        })?;
        photos.retain(|photo_id| !answered_since.contains(photo_id));
        Ok(photos)
    }

    fn extent(&self) -> Result<Extent, CatalogError> {
        let extent = self.read(|c| extent_of(&c.one(EXTENT, &[])?))?;
        if self.is_mine()? { Ok(extent) } else { Err(CatalogError::ModelChanged) }
    }

    fn embeddings_after(&self, after: Option<PhotoId>, limit: u32) -> Result<EmbeddingChunk, CatalogError> {
        let dimension = self.dimension();
        let (after, limit) = (after.map_or(0, |id| id.0), i64::from(limit));
        let model = self.model.get();
        let chunk = self.read(|c| {
            let rows = c.query(
                "SELECT photo_id, vector, crc32 FROM embeddings
                 WHERE photo_id > $1
                   AND ($3::text IS NULL OR $3 = (SELECT value FROM meta WHERE key = 'model'))
                 ORDER BY photo_id LIMIT $2",
                &[&after, &limit, &model],
            )?;
            let mut chunk = EmbeddingChunk::default();
            for row in rows {
                let photo_id = PhotoId(row.try_get(0)?);
                chunk.last = Some(photo_id);
                match read_vector(row.try_get(1)?, Some(row.try_get(2)?), dimension) {
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

    fn removals_after(&self, after: i64, limit: u32) -> Result<Vec<(i64, PhotoId)>, CatalogError> {
        self.read(|c| {
            let sql =
                "SELECT removal_id, photo_id FROM removals WHERE removal_id > $1 ORDER BY removal_id LIMIT $2";
            c.query(sql, &[&after, &i64::from(limit)])?
                .iter()
                .map(|row| Ok((row.try_get(0)?, PhotoId(row.try_get(1)?))))
                .collect()
        })
    }
}

/// What goes with photos, in an order that no reference minds.
const FORGET: [&str; 9] = [
    // A waiting picture would come back with its answer.
    "DELETE FROM queue WHERE byte_digest IN (SELECT byte_digest FROM photo_bytes WHERE photo_id = ANY($1))",
    // So would a harvested one.
    "UPDATE offer_images SET state = 'failed', photo_id = NULL, trouble = 'forgotten' WHERE photo_id = ANY($1)",
    "DELETE FROM answer_offers WHERE answer_id IN (SELECT answer_id FROM answers WHERE photo_id = ANY($1))",
    "DELETE FROM answers WHERE photo_id = ANY($1)",
    "DELETE FROM sketches USING unnest($1::bigint[]) AS gone (photo_id) WHERE sketches.photo_id = gone.photo_id",
    "DELETE FROM embeddings USING unnest($1::bigint[]) AS gone (photo_id) WHERE embeddings.photo_id = gone.photo_id",
    "DELETE FROM photo_bytes WHERE photo_id = ANY($1)",
    "DELETE FROM photos WHERE photo_id = ANY($1)",
    "INSERT INTO removals (photo_id) SELECT id FROM unnest($1::bigint[]) WITH ORDINALITY AS gone (id, place) ORDER BY place",
];

/// Own goods that no photo shows any more.
const FORGET_OWN: [&str; 2] = [
    "DELETE FROM offer_categories c WHERE c.profile = $1 AND c.offer_id = ANY($2)
       AND NOT EXISTS (SELECT 1 FROM answer_offers o WHERE o.profile = c.profile AND o.offer_id = c.offer_id)",
    "DELETE FROM offers f WHERE f.profile = $1 AND f.offer_id = ANY($2)
       AND NOT EXISTS (SELECT 1 FROM answer_offers o WHERE o.profile = f.profile AND o.offer_id = f.offer_id)",
];

pub(super) const EXTENT: &str =
    "SELECT (SELECT max(photo_id) FROM embeddings), (SELECT coalesce(max(removal_id), 0) FROM removals)";

/// Of a row of [`EXTENT`].
pub(super) fn extent_of(row: &Row) -> Result<Extent, CatalogError> {
    let last: Option<i64> = row.try_get(0)?;
    Ok(Extent { last_photo_id: last.map(PhotoId), last_removal: row.try_get(1)? })
}

impl PostgresStore {
    fn number(&self, sql: &str, digest: Digest) -> Result<Option<PhotoId>, CatalogError> {
        let bytes = digest.as_bytes().as_slice();
        self.read(|c| {
            let number = c.first(sql, &[&bytes])?.map(|row| row.try_get(0)).transpose()?;
            Ok(number.map(PhotoId))
        })
    }

    fn rewrite_model(&self, mine: &str, problem: impl Display) -> Result<(), CatalogError> {
        self.damage.note(Entry::Model, problem);
        if self.is_read_only {
            return Ok(());
        }
        let mut write = self.write(Lock::Commit)?;
        write.execute("UPDATE meta SET value = $1 WHERE key = 'model'", &[&mine])?;
        write.commit()
    }

    /// Whether the stored vectors, if any, are of so many numbers: the first and the last one are looked at.
    fn vectors_have(&self, dimension: usize) -> Result<bool, CatalogError> {
        let bytes = i32::try_from(4 * dimension).unwrap_or(i32::MAX);
        self.read(|c| {
            Ok(!c.exists(
                "SELECT 1 FROM embeddings
                 WHERE photo_id IN ((SELECT min(photo_id) FROM embeddings), (SELECT max(photo_id) FROM embeddings))
                   AND length(vector) <> $1",
                &[&bytes],
            )?)
        })
    }
}

/// Numbers as the server takes them.
pub(super) fn raw(photo_ids: &[PhotoId]) -> Vec<i64> {
    photo_ids.iter().map(|id| id.0).collect()
}

/// The first column of rows.
pub(super) fn numbers(rows: &[Row]) -> Result<Vec<PhotoId>, CatalogError> {
    rows.iter().map(|row| Ok(PhotoId(row.try_get(0)?))).collect()
}

/// Stores a photo unless its bytes or pixels are there. Under the commit lock, so nobody stores the same meanwhile.
pub(super) fn put_photo(write: &mut Write<'_>, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
    let bytes = photo.byte_digest.as_bytes().as_slice();
    let pixels = photo.pixel_digest.as_bytes().as_slice();
    // The photo of these bytes comes first, as everywhere.
    let known = write.first(
        "SELECT photo_id FROM (SELECT photo_id, 0 AS place FROM photo_bytes WHERE byte_digest = $1
                               UNION ALL SELECT photo_id, 1 FROM photos WHERE pixel_digest = $2) AS known
         ORDER BY place LIMIT 1",
        &[&bytes, &pixels],
    )?;
    let is_new = known.is_none();
    let photo_id: i64 = if let Some(row) = known {
        row.try_get(0)?
    } else {
        let row = write.one(
            "INSERT INTO photos (kind, label, pixel_digest, width_px, height_px, format, added_at_ms, decoder)
             VALUES ('query', $1, $2, $3, $4, $5, $6, $7) RETURNING photo_id",
            &[
                &plain(photo.label),
                &pixels,
                &i64::from(photo.width_px),
                &i64::from(photo.height_px),
                &photo.format.to_string(),
                &photo.added_at.unix_ms(),
                &i64::from(DECODER_VERSION),
            ],
        )?;
        let photo_id: i64 = row.try_get(0)?;
        let vector = photo.embedding.to_le_bytes();
        write.execute(
            "INSERT INTO embeddings (photo_id, vector, crc32) VALUES ($1, $2, $3)",
            &[&photo_id, &vector, &i64::from(crc32(&vector))],
        )?;
        write.execute(
            "INSERT INTO sketches (photo_id, sketch, crc32) VALUES ($1, $2, $3)",
            &[&photo_id, &photo.sketch, &i64::from(crc32(photo.sketch))],
        )?;
        photo_id
    };
    write.execute(
        "INSERT INTO photo_bytes (byte_digest, photo_id) VALUES ($1, $2) ON CONFLICT (byte_digest) DO NOTHING",
        &[&bytes, &photo_id],
    )?;
    Ok(Stored { photo_id: PhotoId(photo_id), is_new })
}

/// Whether the photo is there; for transactions that are about to change something about it.
pub(super) fn is_stored(write: &mut Write<'_>, photo_id: PhotoId) -> Result<bool, CatalogError> {
    write.exists("SELECT 1 FROM photos WHERE photo_id = $1", &[&photo_id.0])
}

fn stored_photo(row: &Row) -> Result<StoredPhoto, postgres::Error> {
    let kind: &str = row.try_get(1)?;
    let pixels =
        |column| Ok::<_, postgres::Error>(u32::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0));
    Ok(StoredPhoto {
        photo_id: PhotoId(row.try_get(0)?),
        kind: match (kind, row.try_get(7)?) {
            ("own", _) => PhotoKind::Own,
            (_, true) => PhotoKind::Offer,
            _ => PhotoKind::Query,
        },
        label: row.try_get(2)?,
        width_px: pixels(3)?,
        height_px: pixels(4)?,
        format: row.try_get(5)?,
        added_at: Timestamp::from_unix_ms(row.try_get(6)?),
    })
}
