//! What was told over time: the terms of offers, answers in whose place newer ones came, and offers that are watched.

use rusqlite::{Row, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::columns::{count, integer, optional_text, text};
use super::{Catalog, CatalogError};
use crate::offer::{Offer, OfferId, OfferTerms, Price};
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// Of each question about a photo: the oldest go first.
pub(crate) const MAX_PAST_ANSWERS: i64 = 20;

/// An answer in whose place a newer one came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastAnswer {
    /// The upstream's profile.
    pub profile: String,
    /// The parameters' key: `SearchParams::key`.
    pub params: String,
    /// When the upstream answered.
    pub fetched_at: Timestamp,
    /// Offers over all pages, where the upstream says so.
    pub total: Option<u64>,
    /// In the upstream's order.
    pub offer_ids: Vec<OfferId>,
}

impl Catalog {
    /// What was told of an offer, the oldest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn history(&self, offer_id: &OfferId) -> Result<Vec<OfferTerms>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT profile, since_ms, until_ms, price, promotion_price, min_order, month_sold
                 FROM offer_history WHERE offer_id = ?1 ORDER BY since_ms, profile",
            )?
            .query_map([offer_id.as_str()], |row| {
                Ok(OfferTerms {
                    profile: text(row, 0)?,
                    since: time(row, 1)?,
                    until: time(row, 2)?,
                    price: price(row, 3)?,
                    promotion_price: price(row, 4)?,
                    min_order_quantity: number(row, 5)?,
                    month_sold: number(row, 6)?,
                })
            })?
            .collect()
        })
    }

    /// Answers about a photo in whose place newer ones came, the newest first; of each question the last twenty.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn past_answers(&self, photo_id: PhotoId) -> Result<Vec<PastAnswer>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT profile, params, fetched_at_ms, total, offer_ids FROM past_answers
                 WHERE photo_id = ?1 ORDER BY fetched_at_ms DESC, profile, params",
            )?
            .query_map([photo_id], |row| {
                Ok(PastAnswer {
                    profile: text(row, 0)?,
                    params: text(row, 1)?,
                    fetched_at: time(row, 2)?,
                    total: integer(row, 3)?.and_then(|total| u64::try_from(total).ok()),
                    offer_ids: past_offers(&text(row, 4)?),
                })
            })?
            .collect()
        })
    }

    /// Watches offers from now on; those that are watched stay as they are. Returns how many are new.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn watch_offers(&self, offer_ids: &[OfferId], since: Timestamp) -> Result<u64, CatalogError> {
        self.change_watched(offer_ids, |transaction, offer_id| {
            transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO watched_offers (offer_id, watched_since_ms) VALUES (?1, ?2)",
                )?
                .execute(params![offer_id.as_str(), since.unix_ms()])
        })
    }

    /// Watches offers no longer. Returns how many of them were watched.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails.
    pub fn unwatch_offers(&self, offer_ids: &[OfferId]) -> Result<u64, CatalogError> {
        self.change_watched(offer_ids, |transaction, offer_id| {
            transaction
                .prepare_cached("DELETE FROM watched_offers WHERE offer_id = ?1")?
                .execute([offer_id.as_str()])
        })
    }

    fn change_watched(
        &self,
        offer_ids: &[OfferId],
        change: impl Fn(&Transaction<'_>, &OfferId) -> Result<usize, rusqlite::Error>,
    ) -> Result<u64, CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changed = 0;
        for offer_id in offer_ids {
            changed += change(&transaction, offer_id)? as u64;
        }
        transaction.commit()?;
        Ok(changed)
    }

    /// The watched offers, and since when each of them is, by their ids.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn watched_offers(&self) -> Result<Vec<(OfferId, Timestamp)>, CatalogError> {
        self.read(|c| {
            let rows: Vec<(String, i64)> = c
                .prepare_cached("SELECT offer_id, watched_since_ms FROM watched_offers ORDER BY offer_id")?
                .query_map([], |row| Ok((text(row, 0)?, integer(row, 1)?.unwrap_or(0))))?
                .collect::<Result<_, _>>()?;
            let watched = rows.into_iter().filter_map(|(offer_id, since_ms)| {
                Some((OfferId::new(offer_id).ok()?, Timestamp::from_unix_ms(since_ms)))
            });
            Ok(watched.collect())
        })
    }
}

fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, rusqlite::Error> {
    Ok(Timestamp::from_unix_ms(integer(row, column)?.unwrap_or(0)))
}

fn price(row: &Row<'_>, column: usize) -> Result<Option<Price>, rusqlite::Error> {
    Ok(optional_text(row, column)?.and_then(|price| price.parse().ok()))
}

fn number(row: &Row<'_>, column: usize) -> Result<Option<u32>, rusqlite::Error> {
    let told = integer(row, column)?;
    told.map(|_| count(row, column)).transpose()
}

/// The ids of a [`PastAnswer`] as they are stored; those that cannot be read are left out.
pub(crate) fn past_offers(stored: &str) -> Vec<OfferId> {
    let ids: Vec<String> = serde_json::from_str(stored).unwrap_or_default();
    ids.into_iter().filter_map(|id| OfferId::new(id).ok()).collect()
}

/// Notes what was told of an offer. What was not told stays as it was told before, because searches and details tell
/// different things.
pub(super) fn note_terms(
    transaction: &Transaction<'_>,
    profile: &str,
    offer_id: &OfferId,
    offer: &Offer,
    told_at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let price = |price: Option<Price>| price.map(|price| price.to_string());
    transaction
        .prepare_cached(
            "WITH last AS (
                 SELECT * FROM offer_history WHERE profile = ?1 AND offer_id = ?2 AND since_ms <= ?3
                 ORDER BY since_ms DESC LIMIT 1
             ), told AS (
                 SELECT coalesce(?4, price) AS price, coalesce(?5, promotion_price) AS promotion_price,
                        coalesce(?6, min_order) AS min_order, coalesce(?7, month_sold) AS month_sold,
                        since_ms AS last_since,
                        (?4 IS NULL OR CAST(?4 AS REAL) IS CAST(price AS REAL))
                        AND (?5 IS NULL OR CAST(?5 AS REAL) IS CAST(promotion_price AS REAL))
                        AND (?6 IS NULL OR ?6 IS min_order) AND (?7 IS NULL OR ?7 IS month_sold) AS is_same
                 FROM (SELECT 1) LEFT JOIN last
             )
             INSERT INTO offer_history
                 (profile, offer_id, since_ms, until_ms, price, promotion_price, min_order, month_sold)
             SELECT ?1, ?2, CASE WHEN is_same AND last_since IS NOT NULL THEN last_since ELSE ?3 END, ?3,
                    price, promotion_price, min_order, month_sold
             FROM told WHERE true
             ON CONFLICT (profile, offer_id, since_ms) DO UPDATE
             SET until_ms = max(until_ms, excluded.until_ms), price = excluded.price,
                 promotion_price = excluded.promotion_price, min_order = excluded.min_order,
                 month_sold = excluded.month_sold",
        )?
        .execute(params![
            profile,
            offer_id.as_str(),
            told_at.unix_ms(),
            price(offer.price),
            price(offer.promotion_price),
            offer.min_order_quantity,
            offer.month_sold,
        ])?;
    Ok(())
}

/// Keeps which offers the answer names that is about to be replaced.
pub(super) fn keep_past_answer(
    transaction: &Transaction<'_>,
    photo_id: PhotoId,
    profile: &str,
    params: &str,
    fetched_at: Timestamp,
) -> Result<(), rusqlite::Error> {
    let kept = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO past_answers (photo_id, profile, params, fetched_at_ms, total, offer_ids)
             SELECT photo_id, profile, params, fetched_at_ms, total,
                    (SELECT json_group_array(offer_id) FROM
                     (SELECT offer_id FROM answer_offers o WHERE o.answer_id = a.answer_id ORDER BY rank))
             FROM answers a WHERE photo_id = ?1 AND profile = ?2 AND params = ?3 AND fetched_at_ms < ?4",
        )?
        .execute(params![photo_id, profile, params, fetched_at.unix_ms()])?;
    if kept > 0 {
        transaction
            .prepare_cached(
                "DELETE FROM past_answers WHERE photo_id = ?1 AND profile = ?2 AND params = ?3 AND fetched_at_ms NOT IN
                 (SELECT fetched_at_ms FROM past_answers WHERE photo_id = ?1 AND profile = ?2 AND params = ?3
                  ORDER BY fetched_at_ms DESC LIMIT ?4)",
            )?
            .execute(params![photo_id, profile, params, MAX_PAST_ANSWERS])?;
    }
    Ok(())
}
