//! Pictures of offers: which are to be fetched, and which stored photo each of them became.

use rusqlite::{Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::columns::text;
use super::photos::{NewPhoto, Stored, put_photo};
use super::{Catalog, CatalogError, bump_generation};
use crate::offer::{Offer, OfferDetail, OfferId, canonical_image_url};
use crate::photo_id::PhotoId;

/// So often a picture that could not be fetched is tried again.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// A picture that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingImage {
    /// Rises with every picture that becomes known.
    pub image_id: i64,
    /// Who told of the offer.
    pub profile: String,
    /// The offer that it shows.
    pub offer_id: String,
    /// Canonical; see [`canonical_image_url`].
    pub url: String,
}

/// How many pictures of offers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageCounts {
    /// To be fetched.
    pub waiting: u64,
    /// Fetched and stored as photos.
    pub stored: u64,
    /// Given up.
    pub failed: u64,
}

impl Catalog {
    /// Up to `limit` pictures after `after` that are to be fetched, in the order in which they became known.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read; so for all of these.
    pub fn waiting_images(&self, after: i64, limit: u32) -> Result<Vec<WaitingImage>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT image_id, profile, offer_id, url FROM offer_images
                 WHERE state = 'waiting' AND image_id > ?1 ORDER BY image_id LIMIT ?2",
            )?
            .query_map(params![after, limit], |row| {
                Ok(WaitingImage {
                    image_id: row.get(0)?,
                    profile: text(row, 1)?,
                    offer_id: text(row, 2)?,
                    url: text(row, 3)?,
                })
            })?
            .collect()
        })
    }

    /// How many pictures of offers there are.
    pub fn image_counts(&self) -> Result<ImageCounts, CatalogError> {
        self.read(|c| {
            c.query_row(
                "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'stored'),
                        count(*) FILTER (WHERE state = 'failed') FROM offer_images",
                [],
                |row| Ok(ImageCounts { waiting: row.get(0)?, stored: row.get(1)?, failed: row.get(2)? }),
            )
        })
    }

    /// The photo that this address gave before, for whatever offer.
    pub fn photo_by_url(&self, url: &str) -> Result<Option<PhotoId>, CatalogError> {
        self.read(|c| {
            c.prepare_cached("SELECT max(photo_id) FROM offer_images WHERE url = ?1 AND state = 'stored'")?
                .query_row([url], |row| row.get(0))
        })
    }

    /// Stores a fetched picture of an offer in one transaction. One that is there already (same bytes or same pixels)
    /// is not stored twice.
    pub fn store_image(&self, image_id: i64, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.must_be_mine(&transaction)?;
        let stored = put_photo(&transaction, photo)?;
        link(&transaction, image_id, stored.photo_id)?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(stored)
    }

    /// Notes that a picture of an offer is a photo that is stored.
    pub fn link_image(&self, image_id: i64, photo_id: PhotoId) -> Result<(), CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        link(&transaction, image_id, photo_id)?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Notes why a picture was not fetched. One that `may_pass` is tried again, three times in all.
    pub fn note_image_trouble(
        &self,
        image_id: i64,
        trouble: &str,
        may_pass: bool,
    ) -> Result<(), CatalogError> {
        self.writer().execute(
            "UPDATE offer_images SET attempts = attempts + 1, trouble = ?2,
                    state = CASE WHEN ?3 AND attempts + 1 < ?4 THEN 'waiting' ELSE 'failed' END
             WHERE image_id = ?1 AND state = 'waiting'",
            params![image_id, trouble, may_pass, MAX_ATTEMPTS],
        )?;
        Ok(())
    }
}

fn link(transaction: &Transaction<'_>, image_id: i64, photo_id: PhotoId) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached(
            "UPDATE offer_images SET state = 'stored', photo_id = ?2, trouble = NULL WHERE image_id = ?1",
        )?
        .execute(params![image_id, photo_id])?;
    Ok(())
}

/// Notes the address of an offer's picture, if it is a new one.
pub(super) fn await_image(
    transaction: &Transaction<'_>,
    profile: &str,
    offer: &Offer,
) -> Result<(), rusqlite::Error> {
    let Some(url) = offer.image_url.as_deref().and_then(canonical_image_url) else { return Ok(()) };
    transaction
        .prepare_cached("INSERT OR IGNORE INTO offer_images (profile, offer_id, url) VALUES (?1, ?2, ?3)")?
        .execute(params![profile, offer.offer_id.as_str(), url])?;
    Ok(())
}

/// Notes the addresses of the pictures of an offer's variants, those that are new, where the upstream has told of the offer in a
/// search: answers that name it are what such a picture leads to.
pub(super) fn await_variants(
    transaction: &Transaction<'_>,
    profile: &str,
    offer_id: &OfferId,
    detail: &OfferDetail,
) -> Result<(), rusqlite::Error> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR IGNORE INTO offer_images (profile, offer_id, url)
         SELECT profile, offer_id, ?3 FROM offers WHERE profile = ?1 AND offer_id = ?2",
    )?;
    for url in detail.variant_images() {
        statement.execute(params![profile, offer_id.as_str(), url])?;
    }
    Ok(())
}
