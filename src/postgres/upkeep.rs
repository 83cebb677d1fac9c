//! Vectors of another model, and entries that cannot be read.

use postgres::Row;

use super::connection::{Lock, Write};
use super::feedback::CALIBRATION;
use super::lineage::end_lineage;
use super::queue::raw_after;
use super::search_tables::drop_search;
use super::{PostgresStore, bump_generation, count, meta, meta_in, set_meta};
use crate::calibration::Calibration;
use crate::catalog::shared::{
    BlobVisitor, RawWaiting, changed_blobs, crc32, params_problem, parse_offer, salvaged_offer, scan_blobs,
};
use crate::catalog::{CatalogError, Damage, Entry, FetchedPhoto, Lacks, OWN_PROFILE, Refill};
use crate::offer::OfferDetail;
use crate::photo::{DECODER_VERSION, Digest};
use crate::photo_id::PhotoId;
use crate::store::UpkeepStore;
use crate::vector::Fingerprint;

/// Rows that a scan reads at a time.
const CHUNK: i64 = 1024;

fn json(fingerprint: &Fingerprint) -> String {
    serde_json::to_string(fingerprint).unwrap_or_default()
}

impl UpkeepStore for PostgresStore {
    fn lacks(&self, photo_id: PhotoId, next: &Fingerprint, sketch_format: u8) -> Result<Lacks, CatalogError> {
        let format = [sketch_format];
        let found = self.read(|c| {
            let row = c.first(
                "SELECT CASE WHEN (SELECT value FROM meta WHERE key = 'model') IS NOT DISTINCT FROM $2
                        THEN NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.photo_id = p.photo_id)
                        ELSE NOT EXISTS (SELECT 1 FROM next_embeddings n WHERE n.photo_id = p.photo_id) END,
                        NOT EXISTS (SELECT 1 FROM sketches s
                                    WHERE s.photo_id = p.photo_id AND substr(s.sketch, 1, 1) = $4),
                        decoder < $3
                 FROM photos p WHERE photo_id = $1",
                &[&photo_id.0, &json(next), &i64::from(DECODER_VERSION), &format.as_slice()],
            )?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Lacks { vector: row.try_get(0)?, sketch: row.try_get(1)?, decoding: row.try_get(2)? }))
        })?;
        Ok(found.unwrap_or(Lacks { vector: false, sketch: false, decoding: false }))
    }

    fn lacking(&self, next: &Fingerprint) -> Result<(u64, u64), CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT (SELECT count(*) FROM photos) - CASE
                          WHEN (SELECT value FROM meta WHERE key = 'model') IS NOT DISTINCT FROM $1
                          THEN (SELECT count(*) FROM embeddings) ELSE (SELECT count(*) FROM next_embeddings) END,
                        (SELECT count(*) FROM photos) - (SELECT count(*) FROM sketches)",
                &[&json(next)],
            )?;
            Ok((count(row.try_get(0)?), count(row.try_get(1)?)))
        })
    }

    fn has_pixels(&self, photo_id: PhotoId, pixels: Digest) -> Result<bool, CatalogError> {
        self.read(|c| {
            let sql = "SELECT 1 FROM photos WHERE photo_id = $1 AND pixel_digest = $2";
            Ok(c.exists(sql, &[&photo_id.0, &pixels.as_bytes().as_slice()])?)
        })
    }

    fn seen_by_older_decoders(&self) -> Result<u64, CatalogError> {
        self.read(|c| {
            let sql = "SELECT count(*) FROM photos WHERE decoder < $1";
            Ok(count(c.one(sql, &[&i64::from(DECODER_VERSION)])?.try_get(0)?))
        })
    }

    fn fetched_photos(&self, after: i64, limit: u32) -> Result<Vec<FetchedPhoto>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT image_id, url, photo_id FROM offer_images
                 WHERE state = 'stored' AND image_id > $1 ORDER BY image_id LIMIT $2",
                &[&after, &i64::from(limit)],
            )?
            .iter()
            .map(|row| {
                let photo_id = PhotoId(row.try_get(2)?);
                Ok(FetchedPhoto { image_id: row.try_get(0)?, url: row.try_get(1)?, photo_id })
            })
            .collect()
        })
    }

    fn gather_for(&self, next: &Fingerprint) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        let wanted = Some(json(next));
        if meta_in(&mut write, "model")? != wanted && meta_in(&mut write, "next_model")? != wanted {
            write.execute("DELETE FROM next_embeddings", &[])?;
            set_meta(&mut write, "next_model", &json(next))?;
        }
        write.commit()
    }

    fn fill(&self, photo_id: PhotoId, next: &Fingerprint, refill: &Refill<'_>) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        // Another photo may have these pixels already: the file without a profile that this one was made from.
        write.execute(
            "UPDATE photos SET pixel_digest = $2
             WHERE photo_id = $1 AND NOT EXISTS (SELECT 1 FROM photos WHERE pixel_digest = $2)",
            &[&photo_id.0, &refill.pixel_digest.as_bytes().as_slice()],
        )?;
        write.execute(
            "UPDATE photos SET decoder = $2 WHERE photo_id = $1",
            &[&photo_id.0, &i64::from(DECODER_VERSION)],
        )?;
        if let Some(vector) = refill.vector {
            let mine = meta_in(&mut write, "model")?.as_deref() == Some(&json(next));
            let bytes = vector.to_le_bytes();
            let table = if mine { "embeddings" } else { "next_embeddings" };
            if mine {
                end_lineage(&mut write)?;
            }
            write.execute(
                &format!(
                    "INSERT INTO {table} (photo_id, vector, crc32) VALUES ($1, $2, $3)
                     ON CONFLICT (photo_id) DO UPDATE SET vector = excluded.vector, crc32 = excluded.crc32"
                ),
                &[&photo_id.0, &bytes, &i64::from(crc32(&bytes))],
            )?;
        }
        if let Some(sketch) = refill.sketch {
            write.execute(
                "INSERT INTO sketches (photo_id, sketch, crc32) VALUES ($1, $2, $3)
                 ON CONFLICT (photo_id) DO UPDATE SET sketch = excluded.sketch, crc32 = excluded.crc32",
                &[&photo_id.0, &sketch, &i64::from(crc32(sketch))],
            )?;
        }
        write.commit()
    }

    fn go_over_to(&self, next: &Fingerprint, even_if_incomplete: bool) -> Result<bool, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        if meta_in(&mut write, "model")?.as_deref() == Some(&json(next)) {
            return Ok(true);
        }
        let row = write
            .one("SELECT (SELECT count(*) FROM photos) > (SELECT count(*) FROM next_embeddings)", &[])?;
        let is_incomplete: bool = row.try_get(0)?;
        if is_incomplete && !even_if_incomplete {
            return Ok(false);
        }
        // They are the other model's.
        drop_search(&mut write, &self.address)?;
        write.batch(
            "DELETE FROM embeddings;
             INSERT INTO embeddings (photo_id, vector, crc32) SELECT photo_id, vector, crc32 FROM next_embeddings;
             DELETE FROM next_embeddings;
             DELETE FROM recognised;
             DELETE FROM meta WHERE key = 'next_model'",
        )?;
        set_meta(&mut write, "model", &json(next))?;
        end_lineage(&mut write)?;
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(true)
    }

    fn damaged_entries(&self, sketch: &dyn Fn(&[u8]) -> Option<String>) -> Result<Vec<Damage>, CatalogError> {
        let mut found = scan_blobs(self.dimension(), sketch, &|table, column, after, look| {
            self.read_blobs(table, column, after, look)
        })?;
        self.scan_bodies("offers", &mut found, |profile, offer_id, body| {
            let problem = parse_offer(body.as_bytes()).err()?;
            Some(Damage { entry: Entry::Offer { profile, offer_id }, problem: problem.to_string() })
        })?;
        self.scan_bodies("offer_details", &mut found, |profile, offer_id, body| {
            let problem = serde_json::from_str::<OfferDetail>(body).err()?;
            Some(Damage { entry: Entry::Details { profile, offer_id }, problem: problem.to_string() })
        })?;
        self.scan_queue(&mut found)?;
        self.scan_params(&mut found)?;
        if self.read(|c| meta(c, CALIBRATION))?.is_some_and(|text| Calibration::from_json(&text).is_none()) {
            found.push(Damage { entry: Entry::Calibration, problem: "it is no calibration".to_owned() });
        }
        Ok(found)
    }

    fn repair(&self, damage: &[Damage]) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        for Damage { entry, .. } in damage {
            mend_one(&mut write, entry)?;
        }
        if damage.iter().any(|damage| matches!(damage.entry, Entry::Vector(_))) {
            end_lineage(&mut write)?;
        }
        bump_generation(&mut write)?;
        write.commit()
    }
}

impl PostgresStore {
    /// The vectors and sketches that are not what was stored: no file that is written of them is taken back.
    pub(crate) fn changed_blobs(&self) -> Result<Vec<Damage>, CatalogError> {
        changed_blobs(&|table, column, after, look| self.read_blobs(table, column, after, look))
    }

    /// A chunk for [`scan_blobs`].
    fn read_blobs(
        &self,
        table: &str,
        column: &str,
        after: PhotoId,
        look: &mut BlobVisitor<'_>,
    ) -> Result<Option<PhotoId>, CatalogError> {
        let sql = format!(
            "SELECT photo_id, {column}, crc32 FROM {table} WHERE photo_id > $1 ORDER BY photo_id LIMIT {CHUNK}"
        );
        let rows = self.read(|c| Ok(c.query(&sql, &[&after.0])?))?;
        let mut last = None;
        for row in &rows {
            let photo_id = PhotoId(row.try_get(0)?);
            look(photo_id, row.try_get(1)?, Some(row.try_get(2)?));
            last = Some(photo_id);
        }
        Ok(last)
    }

    fn scan_bodies(
        &self,
        table: &str,
        found: &mut Vec<Damage>,
        damage: impl Fn(String, String, &str) -> Option<Damage>,
    ) -> Result<(), CatalogError> {
        let sql = format!(
            "SELECT profile, offer_id, body FROM {table} WHERE (profile, offer_id) > ($1, $2)
             ORDER BY profile, offer_id LIMIT {CHUNK}"
        );
        let mut after = (String::new(), String::new());
        loop {
            let rows = self.read(|c| Ok(c.query(&sql, &[&after.0, &after.1])?))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.try_get(0)?, last.try_get(1)?);
            for row in &rows {
                found.extend(damage(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
            }
        }
    }

    fn scan_queue(&self, found: &mut Vec<Damage>) -> Result<(), CatalogError> {
        let mut place = None;
        while let Some(raw) = self.read(|c| raw_after(c, place))? {
            place = Some(raw.place());
            let entry = Entry::Waiting { queue_id: raw.queue_id };
            found.extend(RawWaiting::into_waiting(raw).err().map(|problem| Damage { entry, problem }));
        }
        Ok(())
    }

    fn scan_params(&self, found: &mut Vec<Damage>) -> Result<(), CatalogError> {
        let sql = format!(
            "SELECT answer_id, params FROM answers WHERE profile <> $1 AND answer_id > $2
             ORDER BY answer_id LIMIT {CHUNK}"
        );
        let mut after = i64::MIN;
        loop {
            let rows: Vec<Row> = self.read(|c| Ok(c.query(&sql, &[&OWN_PROFILE, &after])?))?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                if let Some(problem) = params_problem(row.try_get(1)?) {
                    let entry = Entry::Params { answer_id: row.try_get(0)? };
                    found.push(Damage { entry, problem });
                }
            }
        }
    }
}

fn mend_one(write: &mut Write<'_>, entry: &Entry) -> Result<(), CatalogError> {
    match entry {
        Entry::Vector(id) => write.execute("DELETE FROM embeddings WHERE photo_id = $1", &[&id.0]),
        Entry::NextVector(id) => write.execute("DELETE FROM next_embeddings WHERE photo_id = $1", &[&id.0]),
        Entry::Sketch(id) => write.execute("DELETE FROM sketches WHERE photo_id = $1", &[&id.0]),
        Entry::Waiting { queue_id } => write.execute("DELETE FROM queue WHERE queue_id = $1", &[queue_id]),
        Entry::Params { answer_id } => {
            write.execute("DELETE FROM answer_offers WHERE answer_id = $1", &[answer_id])?;
            write.execute("DELETE FROM answers WHERE answer_id = $1", &[answer_id])
        }
        Entry::Details { profile, offer_id } => write
            .execute("DELETE FROM offer_details WHERE profile = $1 AND offer_id = $2", &[profile, offer_id]),
        Entry::Offer { profile, offer_id } => {
            let Some(left) = salvaged_offer(offer_id).and_then(|offer| serde_json::to_string(&offer).ok())
            else {
                return Ok(());
            };
            write.execute(
                "UPDATE offers SET body = $3, price_yuan = NULL WHERE profile = $1 AND offer_id = $2",
                &[profile, offer_id, &left],
            )
        }
        Entry::Calibration => write.execute("DELETE FROM meta WHERE key = $1", &[&CALIBRATION]),
        // Written anew when the home was opened.
        Entry::Model => Ok(0),
    }?;
    Ok(())
}
