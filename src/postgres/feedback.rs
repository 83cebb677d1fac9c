//! What people say of pairs of pictures, and the home's own calibration.

use std::collections::HashMap;

use postgres::Row;

use super::connection::{Lock, Write};
use super::photos::{numbers, raw};
use super::{CALIBRATIONS, PostgresStore, bump, bump_generation, meta, set_meta};
use crate::calibration::Calibration;
use crate::catalog::shared::{MAX_SAME, ordered};
use crate::catalog::{CatalogError, Entry, Said, ToldRecord};
use crate::photo_id::PhotoId;
use crate::store::FeedbackStore;
use crate::timestamp::Timestamp;

pub(super) const CALIBRATION: &str = "calibration";

impl FeedbackStore for PostgresStore {
    fn tell(
        &self,
        (one, other): (PhotoId, PhotoId),
        same: bool,
        confidence: Option<f32>,
        told_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let (a, b) = ordered(one, other);
        let mut write = self.write(Lock::Commit)?;
        write.execute(
            "INSERT INTO told (photo_a, photo_b, same, confidence, told_at_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (photo_a, photo_b) DO UPDATE
             SET same = excluded.same, told_at_ms = excluded.told_at_ms,
                 confidence = coalesce(excluded.confidence, told.confidence)",
            &[&a.0, &b.0, &same, &confidence, &told_at.unix_ms()],
        )?;
        if !same {
            forget_recognised_as(&mut write, [a, b])?;
        }
        said(write)
    }

    fn forget_told(&self, (one, other): (PhotoId, PhotoId)) -> Result<bool, CatalogError> {
        let (a, b) = ordered(one, other);
        let mut write = self.write(Lock::Commit)?;
        let gone = write.execute("DELETE FROM told WHERE photo_a = $1 AND photo_b = $2", &[&a.0, &b.0])?;
        said(write)?;
        Ok(gone > 0)
    }

    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, CatalogError> {
        let ids = raw(photo_ids);
        let pairs: HashMap<(PhotoId, PhotoId), bool> = self.read(|c| {
            c.query(
                "SELECT photo_a, photo_b, same FROM told WHERE photo_a = ANY($1) AND photo_b = ANY($1)",
                &[&ids],
            )?
            .iter()
            .map(|row| Ok(((PhotoId(row.try_get(0)?), PhotoId(row.try_get(1)?)), row.try_get(2)?)))
            .collect::<Result<_, CatalogError>>()
        })?;
        Ok(Said(pairs))
    }

    fn same_as(&self, photo_id: PhotoId) -> Result<Vec<PhotoId>, CatalogError> {
        self.read(|c| {
            numbers(&c.query(
                "WITH RECURSIVE alike (id) AS (
                   SELECT $1::bigint
                   UNION
                   SELECT CASE WHEN t.photo_a = alike.id THEN t.photo_b ELSE t.photo_a END
                   FROM alike JOIN told t ON t.same AND (t.photo_a = alike.id OR t.photo_b = alike.id))
                 SELECT id FROM (SELECT id FROM alike LIMIT $2) AS nearest
                 WHERE id <> $1 AND NOT EXISTS (
                   SELECT 1 FROM told WHERE NOT same AND photo_a = least(id, $1) AND photo_b = greatest(id, $1))
                 ORDER BY id",
                &[&photo_id.0, &i64::from(MAX_SAME)],
            )?)
        })
    }

    fn told_after(
        &self,
        after: Option<(PhotoId, PhotoId)>,
        limit: u32,
    ) -> Result<Vec<ToldRecord>, CatalogError> {
        let (a, b) = after.map_or((i64::MIN, i64::MIN), |(a, b)| (a.0, b.0));
        self.read(|c| {
            c.query(
                "SELECT photo_a, photo_b, same, confidence, told_at_ms FROM told
                 WHERE (photo_a, photo_b) > ($1, $2) ORDER BY photo_a, photo_b LIMIT $3",
                &[&a, &b, &i64::from(limit)],
            )?
            .iter()
            .map(record)
            .collect()
        })
    }

    fn take_told(&self, told: &[ToldRecord]) -> Result<Vec<bool>, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        let mut noted = Vec::with_capacity(told.len());
        for ToldRecord { photos: [one, other], same, confidence, told_at } in told {
            let (a, b) = ordered(*one, *other);
            let changed = write.execute(
                "INSERT INTO told (photo_a, photo_b, same, confidence, told_at_ms) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (photo_a, photo_b) DO UPDATE
                 SET same = excluded.same, told_at_ms = excluded.told_at_ms,
                     confidence = coalesce(excluded.confidence, told.confidence)
                 WHERE excluded.told_at_ms > told.told_at_ms",
                &[&a.0, &b.0, same, confidence, &told_at.unix_ms()],
            )?;
            if changed > 0 && !same {
                forget_recognised_as(&mut write, [a, b])?;
            }
            noted.push(changed > 0);
        }
        said(write)?;
        Ok(noted)
    }

    fn told_apart_confidences(&self) -> Result<Vec<f32>, CatalogError> {
        self.read(|c| {
            c.query("SELECT confidence FROM told WHERE NOT same AND confidence IS NOT NULL", &[])?
                .iter()
                .map(|row| Ok(row.try_get(0)?))
                .collect()
        })
    }

    fn calibration(&self) -> Result<Option<Calibration>, CatalogError> {
        let text = self.read(|c| meta(c, CALIBRATION))?;
        Ok(text.and_then(|text| {
            let calibration = Calibration::from_json(&text);
            if calibration.is_none() {
                self.damage.note(Entry::Calibration, "it is no calibration");
            }
            calibration
        }))
    }

    fn keep_calibration(&self, calibration: Option<&Calibration>) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        if let Some(calibration) = calibration {
            set_meta(&mut write, CALIBRATION, &calibration.to_json())?;
        } else {
            write.execute("DELETE FROM meta WHERE key = $1", &[&CALIBRATION])?;
        }
        write.execute("DELETE FROM recognised", &[])?;
        bump(&mut write, CALIBRATIONS)?;
        write.commit()
    }

    fn calibrations(&self) -> Result<u64, CatalogError> {
        let times = self.read(|c| meta(c, CALIBRATIONS))?;
        Ok(times.and_then(|times| times.parse().ok()).unwrap_or(0))
    }
}

/// For when a person has told two photos apart: what was taken for either may be the other.
fn forget_recognised_as(write: &mut Write<'_>, photos: [PhotoId; 2]) -> Result<(), CatalogError> {
    write.execute("DELETE FROM recognised WHERE photo_id IN ($1, $2)", &[&photos[0].0, &photos[1].0])?;
    Ok(())
}

/// Ends a transaction that changed what people have said.
fn said(mut write: Write<'_>) -> Result<(), CatalogError> {
    bump_generation(&mut write)?;
    bump(&mut write, CALIBRATIONS)?;
    write.commit()
}

fn record(row: &Row) -> Result<ToldRecord, CatalogError> {
    Ok(ToldRecord {
        photos: [PhotoId(row.try_get(0)?), PhotoId(row.try_get(1)?)],
        same: row.try_get(2)?,
        confidence: row.try_get(3)?,
        told_at: Timestamp::from_unix_ms(row.try_get(4)?),
    })
}
