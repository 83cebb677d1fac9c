//! What people have said of pairs of stored pictures: that they are the same, or that they are not.

use std::collections::HashMap;

use rusqlite::{TransactionBehavior, params};
use serde::Serialize;

use super::calibrations::bump_calibrations;
use super::recognised::forget_recognised_as;
use super::{Catalog, CatalogError, bump_generation};
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// So many pictures that are the same as one are looked at: people say it of a handful.
pub(crate) const MAX_SAME: u32 = 100;

/// What was said of a picture and another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ToldPair {
    /// The other photo of the pair.
    pub other: PhotoId,
    /// Whether they are the same.
    pub same: bool,
    /// When that was said.
    pub told_at: Timestamp,
}

/// What was said of two pictures, with all that is kept of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToldRecord {
    /// The pair, the lower number first.
    pub photos: [PhotoId; 2],
    /// Whether they show the same picture.
    pub same: bool,
    /// How sure the verifier was, 0..=1, where it could be asked.
    pub confidence: Option<f32>,
    /// When that was said last.
    pub told_at: Timestamp,
}

/// What was said of some pictures among themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(pub(crate) HashMap<(PhotoId, PhotoId), bool>);

impl Said {
    /// Whether the two are the same; `None` when there is no feedback.
    #[must_use]
    pub fn of(&self, one: PhotoId, other: PhotoId) -> Option<bool> {
        self.0.get(&ordered(one, other)).copied()
    }
}

/// The lower id first, as pairs are stored.
pub(crate) fn ordered(one: PhotoId, other: PhotoId) -> (PhotoId, PhotoId) {
    if one.0 <= other.0 { (one, other) } else { (other, one) }
}

impl Catalog {
    /// Notes what a person says of two stored pictures, in the place of what was said of them before. `confidence`: how
    /// sure the verifier was, 0..=1, where it could be asked.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails, or either is not stored.
    pub fn tell(
        &self,
        (one, other): (PhotoId, PhotoId),
        same: bool,
        confidence: Option<f32>,
        told_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let (a, b) = ordered(one, other);
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "INSERT INTO told (photo_a, photo_b, same, confidence, told_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (photo_a, photo_b) DO UPDATE
             SET same = excluded.same, told_at_ms = excluded.told_at_ms,
                 confidence = coalesce(excluded.confidence, confidence)",
            params![a, b, same, confidence, told_at.unix_ms()],
        )?;
        if !same {
            forget_recognised_as(&transaction, [a, b])?;
        }
        bump_generation(&transaction)?;
        bump_calibrations(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Takes back what was said of two pictures. Returns whether anything was.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; so for all of these.
    pub fn forget_told(&self, (one, other): (PhotoId, PhotoId)) -> Result<bool, CatalogError> {
        let (a, b) = ordered(one, other);
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let gone =
            transaction.execute("DELETE FROM told WHERE photo_a = ?1 AND photo_b = ?2", params![a, b])?;
        bump_generation(&transaction)?;
        bump_calibrations(&transaction)?;
        transaction.commit()?;
        Ok(gone > 0)
    }

    /// What was said of any two of these.
    pub fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, CatalogError> {
        let ids = format!("{:?}", photo_ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let pairs = self.read(|c| {
            c.prepare_cached(
                "WITH ids AS (SELECT value AS id FROM json_each(?1))
                 SELECT photo_a, photo_b, same FROM told
                 WHERE photo_a IN (SELECT id FROM ids) AND photo_b IN (SELECT id FROM ids)",
            )?
            .query_map([ids], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
            .collect::<Result<_, _>>()
        })?;
        Ok(Said(pairs))
    }

    /// What was said of a picture, newest first.
    pub fn told_of(&self, photo_id: PhotoId) -> Result<Vec<ToldPair>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT photo_b, same, told_at_ms FROM told WHERE photo_a = ?1
                 UNION ALL SELECT photo_a, same, told_at_ms FROM told WHERE photo_b = ?1
                 ORDER BY told_at_ms DESC",
            )?
            .query_map([photo_id], |row| {
                let told_at = Timestamp::from_unix_ms(row.get(2)?);
                Ok(ToldPair { other: row.get(0)?, same: row.get(1)?, told_at })
            })?
            .collect()
        })
    }

    /// The pictures that are the same as this one, by what was said of it and of them, the nearest by words first; none
    /// that was told apart from it.
    pub fn same_as(&self, photo_id: PhotoId) -> Result<Vec<PhotoId>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "WITH RECURSIVE
                   both (one, other) AS (SELECT photo_a, photo_b FROM told WHERE same
                                         UNION ALL SELECT photo_b, photo_a FROM told WHERE same),
                   alike (id) AS (SELECT ?1 UNION SELECT other FROM alike JOIN both ON one = id LIMIT ?2)
                 SELECT id FROM alike WHERE id <> ?1 AND NOT EXISTS (
                   SELECT 1 FROM told WHERE NOT same AND photo_a = min(id, ?1) AND photo_b = max(id, ?1))
                 ORDER BY id",
            )?
            .query_map(params![photo_id, MAX_SAME], |row| row.get(0))?
            .collect()
        })
    }

    /// What was said of any two pictures, after a pair, in the order of their numbers.
    pub fn told_after(
        &self,
        after: Option<(PhotoId, PhotoId)>,
        limit: u32,
    ) -> Result<Vec<ToldRecord>, CatalogError> {
        let (a, b) = after.unwrap_or((PhotoId(i64::MIN), PhotoId(i64::MIN)));
        self.read(|c| {
            c.prepare_cached(
                "SELECT photo_a, photo_b, same, confidence, told_at_ms FROM told
                 WHERE (photo_a, photo_b) > (?1, ?2) ORDER BY photo_a, photo_b LIMIT ?3",
            )?
            .query_map(params![a, b, limit], |row| {
                Ok(ToldRecord {
                    photos: [row.get(0)?, row.get(1)?],
                    same: row.get(2)?,
                    confidence: row.get(3)?,
                    told_at: Timestamp::from_unix_ms(row.get(4)?),
                })
            })?
            .collect()
        })
    }

    /// Notes what was said elsewhere, in one transaction; what was said here later stays. Returns for each whether it was
    /// noted.
    pub fn take_told(&self, told: &[ToldRecord]) -> Result<Vec<bool>, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut noted = Vec::with_capacity(told.len());
        for ToldRecord { photos: [one, other], same, confidence, told_at } in told {
            let (a, b) = ordered(*one, *other);
            let changed = transaction
                .prepare_cached(
                    "INSERT INTO told (photo_a, photo_b, same, confidence, told_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (photo_a, photo_b) DO UPDATE
                     SET same = excluded.same, told_at_ms = excluded.told_at_ms,
                         confidence = coalesce(excluded.confidence, confidence)
                     WHERE excluded.told_at_ms > told_at_ms",
                )?
                .execute(params![a, b, same, confidence, told_at.unix_ms()])?;
            if changed > 0 && !same {
                forget_recognised_as(&transaction, [a, b])?;
            }
            noted.push(changed > 0);
        }
        bump_generation(&transaction)?;
        bump_calibrations(&transaction)?;
        transaction.commit()?;
        Ok(noted)
    }

    /// How sure the verifier was of the pairs that people told apart, where it could be asked.
    pub fn told_apart_confidences(&self) -> Result<Vec<f32>, CatalogError> {
        self.read(|c| {
            c.prepare("SELECT confidence FROM told WHERE NOT same AND confidence IS NOT NULL")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }
}
