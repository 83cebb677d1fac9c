//! Files that were recognised by sight, so that the same file is never judged, or paid for, a second time.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Catalog, CatalogError};
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// So many files are remembered, the newest: some 40 MB.
pub(crate) const MAX_RECOGNISED: i64 = 250_000;

/// A file that was taken for a stored photo by what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// Of the file.
    pub byte_digest: Digest,
    /// The photo that it was taken for.
    pub photo_id: PhotoId,
    /// Cosine of the two embeddings, -1..=1; or the share of equal bits of their hashes, where those were enough.
    pub score: f32,
    /// How sure the verifier was, 0..=1.
    pub confidence: f32,
    /// The share of false hits, 0..=1, that the threshold which it reached was to keep to.
    pub max_false_hit: f32,
    /// The verifier that was so sure: its `weights_digest` and the number of its rules.
    pub verifier: String,
    /// When that was.
    pub recognised_at: Timestamp,
}

impl Catalog {
    /// What a file was taken for; `None` where it was not recognised by sight, or that does not hold any more: the photo is
    /// gone, a person has told it apart from another, or thresholds follow from another calibration or model.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn recognised(&self, byte_digest: Digest) -> Result<Option<Recognised>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT photo_id, score, confidence, max_false_hit, verifier, recognised_at_ms
                 FROM recognised WHERE byte_digest = ?1",
            )?
            .query_row([byte_digest.as_bytes()], |row| {
                Ok(Recognised {
                    byte_digest,
                    photo_id: row.get(0)?,
                    score: row.get(1)?,
                    confidence: row.get(2)?,
                    max_false_hit: row.get(3)?,
                    verifier: row.get(4)?,
                    recognised_at: Timestamp::from_unix_ms(row.get(5)?),
                })
            })
            .optional()
        })
    }

    /// Remembers what files were taken for, those whose photos are still there, and lets the oldest go.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn remember_recognised(&self, recognised: &[Recognised]) -> Result<(), CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for one in recognised {
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO recognised
                         (byte_digest, photo_id, score, confidence, max_false_hit, verifier, recognised_at_ms)
                     SELECT ?1, photo_id, ?3, ?4, ?5, ?6, ?7 FROM photos WHERE photo_id = ?2",
                )?
                .execute(params![
                    one.byte_digest.as_bytes(),
                    one.photo_id,
                    one.score,
                    one.confidence,
                    one.max_false_hit,
                    one.verifier,
                    one.recognised_at.unix_ms()
                ])?;
        }
        // Rows are numbered as they come.
        transaction
            .prepare_cached("DELETE FROM recognised WHERE rowid <= (SELECT max(rowid) FROM recognised) - ?1")?
            .execute([MAX_RECOGNISED])?;
        transaction.commit()?;
        Ok(())
    }
}

/// For when a person has told two photos apart: what was taken for either may be the other.
pub(super) fn forget_recognised_as(
    transaction: &Transaction<'_>,
    photos: [PhotoId; 2],
) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached("DELETE FROM recognised WHERE photo_id IN (?1, ?2)")?
        .execute(params![photos[0], photos[1]])?;
    Ok(())
}

/// For when the threshold or the vectors become others.
pub(super) fn forget_all_recognised(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    transaction.execute("DELETE FROM recognised", [])?;
    Ok(())
}
