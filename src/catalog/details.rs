//! What upstreams have told about single offers, and when.

use rusqlite::{Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::answers::note_categories;
use super::columns::{blob, integer, text};
use super::damage::Entry;
use super::{Catalog, CatalogError, history, images};
use crate::offer::{OfferDetail, OfferId};
use crate::timestamp::Timestamp;

/// Details as they were stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredDetail {
    /// Who told of it.
    pub profile: String,
    /// When it was told.
    pub fetched_at: Timestamp,
    /// What was told.
    pub detail: OfferDetail,
}

impl Catalog {
    /// Stores what `profile` says about an offer, in the place of what it said before. `offer_id` is the one that was
    /// asked for.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn store_details(
        &self,
        profile: &str,
        offer_id: &OfferId,
        detail: &OfferDetail,
        fetched_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        put_details(&transaction, profile, offer_id, detail, fetched_at)?;
        transaction.commit()?;
        Ok(())
    }

    /// The newest details of an offer from one of `profiles` that can be read; of any when none is named.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn details(
        &self,
        offer_id: &OfferId,
        profiles: &[&str],
    ) -> Result<Option<StoredDetail>, CatalogError> {
        let profiles = (!profiles.is_empty()).then(|| serde_json::json!(profiles).to_string());
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT profile, fetched_at_ms, body FROM offer_details
                 WHERE offer_id = ?1 AND (?2 IS NULL OR profile IN (SELECT value FROM json_each(?2)))
                 ORDER BY fetched_at_ms DESC",
            )?;
            let mut rows = statement.query(params![offer_id.as_str(), profiles])?;
            while let Some(row) = rows.next()? {
                let profile = text(row, 0)?;
                match serde_json::from_slice(blob(row, 2)?) {
                    Ok(detail) => {
                        let fetched_at = Timestamp::from_unix_ms(integer(row, 1)?.unwrap_or(0));
                        return Ok(Some(StoredDetail { profile, fetched_at, detail }));
                    }
                    Err(error) => {
                        let offer_id = offer_id.to_string();
                        self.damage.note(Entry::Details { profile, offer_id }, error);
                    }
                }
            }
            Ok(None)
        })
    }
}

pub(super) fn put_details(
    transaction: &Transaction<'_>,
    profile: &str,
    offer_id: &OfferId,
    detail: &OfferDetail,
    fetched_at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let body =
        serde_json::to_string(detail).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    transaction.execute(
        "INSERT INTO offer_details (profile, offer_id, body, fetched_at_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (profile, offer_id)
         DO UPDATE SET body = excluded.body, fetched_at_ms = excluded.fetched_at_ms",
        params![profile, offer_id.as_str(), body, fetched_at.unix_ms()],
    )?;
    history::note_terms(transaction, profile, offer_id, &detail.offer, fetched_at)?;
    images::await_variants(transaction, profile, offer_id, detail)?;
    note_categories(transaction, profile, offer_id, &detail.offer.category_ids)
}
