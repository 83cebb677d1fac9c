//! Removing photos with all that hangs on them, and the feed of removals.
//!
//! What was spent stays: no money comes back with a picture. So do the offers that upstreams named, which are about goods
//! and not about the picture; own goods go with their last picture.

use rusqlite::{Transaction, TransactionBehavior, params};

use super::columns::text;
use super::photos::is_stored;
use super::{Catalog, CatalogError, OWN_PROFILE, PhotoFilter, PhotoKind, bump_generation};
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// How far the catalogue has come: an index that knows all this is not behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The newest photo that has a vector; numbers only grow.
    pub last_photo_id: Option<PhotoId>,
    /// The number of the last removal, 0 for none.
    pub last_removal: i64,
}

/// What goes with a photo, in an order that no reference minds.
const FORGET: [&str; 9] = [
    // A waiting picture would come back with its answer.
    "DELETE FROM queue WHERE byte_digest IN (SELECT byte_digest FROM photo_bytes WHERE photo_id = ?1)",
    // So would a harvested one.
    "UPDATE offer_images SET state = 'failed', photo_id = NULL, trouble = 'forgotten' WHERE photo_id = ?1",
    "DELETE FROM answer_offers WHERE answer_id IN (SELECT answer_id FROM answers WHERE photo_id = ?1)",
    "DELETE FROM answers WHERE photo_id = ?1",
    "DELETE FROM sketches WHERE photo_id = ?1",
    "DELETE FROM embeddings WHERE photo_id = ?1",
    "DELETE FROM photo_bytes WHERE photo_id = ?1",
    "DELETE FROM photos WHERE photo_id = ?1",
    "INSERT INTO removals (photo_id) VALUES (?1)",
];

impl Catalog {
    /// Removes photos with all that is stored about them, in one transaction, and returns those that were there. Every
    /// index on this home follows, see [`Catalog::removals_after`].
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn forget(&self, photo_ids: &[PhotoId]) -> Result<Vec<PhotoId>, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone = Vec::new();
        for &photo_id in photo_ids {
            if forget_one(&transaction, photo_id)? {
                gone.push(photo_id);
            }
        }
        if !gone.is_empty() {
            bump_generation(&transaction)?;
            transaction.commit()?;
        }
        Ok(gone)
    }

    /// Up to `limit` removals after the one of number `after`, in their order: number and photo.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read; so for all lookups here.
    pub fn removals_after(&self, after: i64, limit: u32) -> Result<Vec<(i64, PhotoId)>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT removal_id, photo_id FROM removals WHERE removal_id > ?1 ORDER BY removal_id LIMIT ?2",
            )?
            .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
        })
    }

    /// How far the catalogue has come.
    ///
    /// # Errors
    /// [`CatalogError::ModelChanged`] when the vectors are no longer those of the model that this was opened for.
    pub fn extent(&self) -> Result<Extent, CatalogError> {
        let extent = self.read(|c| {
            c.prepare_cached(
                "SELECT (SELECT max(photo_id) FROM embeddings), (SELECT coalesce(max(removal_id), 0) FROM removals)",
            )?
            .query_row([], |row| Ok(Extent { last_photo_id: row.get(0)?, last_removal: row.get(1)? }))
        })?;
        if self.is_mine()? { Ok(extent) } else { Err(CatalogError::ModelChanged) }
    }

    /// The pictures of searches that were stored, and last answered by an upstream, before `time`. Own goods are none,
    /// nor are pictures of offers.
    pub fn searched_before(&self, time: Timestamp) -> Result<Vec<PhotoId>, CatalogError> {
        let filter =
            PhotoFilter { kind: Some(PhotoKind::Query), added_before: Some(time), ..PhotoFilter::default() };
        let mut photos = self.photos(&filter)?;
        let answered_since: std::collections::HashSet<PhotoId> = self.read(|c| {
            c.prepare_cached("SELECT DISTINCT photo_id FROM answers WHERE fetched_at_ms >= ?1")?
                .query_map([time.unix_ms()], |row| row.get(0))?
                .collect::<Result<_, _>>()
        })?;
        photos.retain(|photo_id| !answered_since.contains(photo_id));
        Ok(photos)
    }
}

fn forget_one(transaction: &Transaction<'_>, photo_id: PhotoId) -> Result<bool, rusqlite::Error> {
    if !is_stored(transaction, photo_id)? {
        return Ok(false);
    }
    let own_goods: Vec<String> = transaction
        .prepare_cached(
            "SELECT o.offer_id FROM answer_offers o JOIN answers a ON a.answer_id = o.answer_id
             WHERE a.photo_id = ?1 AND o.profile = ?2",
        )?
        .query_map(params![photo_id, OWN_PROFILE], |row| text(row, 0))?
        .collect::<Result<_, _>>()?;
    for statement in FORGET {
        transaction.prepare_cached(statement)?.execute([photo_id])?;
    }
    for offer_id in own_goods {
        let key = params![OWN_PROFILE, offer_id];
        let named = transaction
            .prepare_cached("SELECT 1 FROM answer_offers WHERE profile = ?1 AND offer_id = ?2")?
            .exists(key)?;
        if named {
            continue;
        }
        for statement in [
            "DELETE FROM offer_titles WHERE rowid IN
             (SELECT offer_number FROM offer_numbers WHERE profile = ?1 AND offer_id = ?2)",
            "DELETE FROM offer_numbers WHERE profile = ?1 AND offer_id = ?2",
            "DELETE FROM offer_categories WHERE profile = ?1 AND offer_id = ?2",
            "DELETE FROM offers WHERE profile = ?1 AND offer_id = ?2",
        ] {
            transaction.prepare_cached(statement)?.execute(key)?;
        }
    }
    Ok(true)
}
