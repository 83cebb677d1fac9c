//! What was told over time.

use std::str::FromStr;

use super::connection::{Lock, Write};
use super::{PostgresStore, count};
use crate::catalog::shared::{MAX_PAST_ANSWERS, past_offers};
use crate::catalog::{CatalogError, PastAnswer};
use crate::offer::{Offer, OfferId, OfferTerms, Price};
use crate::photo_id::PhotoId;
use crate::store::HistoryStore;
use crate::timestamp::Timestamp;

impl HistoryStore for PostgresStore {
    fn history(&self, offer_id: &OfferId) -> Result<Vec<OfferTerms>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT profile, since_ms, until_ms, price::text, promotion_price::text, min_order, month_sold
                 FROM offer_history WHERE offer_id = $1 ORDER BY since_ms, profile",
                &[&offer_id.as_str()],
            )?
            .iter()
            .map(|row| {
                let time = |column| row.try_get(column).map(Timestamp::from_unix_ms);
                let price = |column| {
                    let text: Option<String> = row.try_get(column)?;
                    Ok::<_, CatalogError>(text.and_then(|text| Price::from_str(&text).ok()))
                };
                let number = |column| {
                    let number: Option<i64> = row.try_get(column)?;
                    Ok::<_, CatalogError>(number.map(|number| u32::try_from(count(number)).unwrap_or(u32::MAX)))
                };
                Ok(OfferTerms {
                    profile: row.try_get(0)?,
                    since: time(1)?,
                    until: time(2)?,
                    price: price(3)?,
                    promotion_price: price(4)?,
                    min_order_quantity: number(5)?,
                    month_sold: number(6)?,
                })
            })
            .collect()
        })
    }

    fn past_answers(&self, photo_id: PhotoId) -> Result<Vec<PastAnswer>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT profile, params, fetched_at_ms, total, offer_ids FROM past_answers
                 WHERE photo_id = $1 ORDER BY fetched_at_ms DESC, profile, params",
                &[&photo_id.0],
            )?
            .iter()
            .map(|row| {
                let total: Option<i64> = row.try_get(3)?;
                Ok(PastAnswer {
                    profile: row.try_get(0)?,
                    params: row.try_get(1)?,
                    fetched_at: Timestamp::from_unix_ms(row.try_get(2)?),
                    total: total.map(count),
                    offer_ids: past_offers(row.try_get(4)?),
                })
            })
            .collect()
        })
    }

    fn watch_offers(&self, offer_ids: &[OfferId], since: Timestamp) -> Result<u64, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        let changed = write.execute(
            "INSERT INTO watched_offers (offer_id, watched_since_ms) SELECT id, $2 FROM unnest($1::text[]) AS new (id)
             ON CONFLICT (offer_id) DO NOTHING",
            &[&ids(offer_ids), &since.unix_ms()],
        )?;
        write.commit()?;
        Ok(changed)
    }

    fn unwatch_offers(&self, offer_ids: &[OfferId]) -> Result<u64, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        let changed =
            write.execute("DELETE FROM watched_offers WHERE offer_id = ANY($1)", &[&ids(offer_ids)])?;
        write.commit()?;
        Ok(changed)
    }

    fn watched_offers(&self) -> Result<Vec<(OfferId, Timestamp)>, CatalogError> {
        self.read(|c| {
            let rows =
                c.query("SELECT offer_id, watched_since_ms FROM watched_offers ORDER BY offer_id", &[])?;
            let mut watched = Vec::new();
            for row in rows {
                let offer_id: String = row.try_get(0)?;
                let since = Timestamp::from_unix_ms(row.try_get(1)?);
                watched.extend(OfferId::new(offer_id).ok().map(|offer_id| (offer_id, since)));
            }
            Ok(watched)
        })
    }
}

fn ids(offer_ids: &[OfferId]) -> Vec<&str> {
    offer_ids.iter().map(OfferId::as_str).collect()
}

/// Notes what was told of offers, each once. What was not told stays as it was told before, because searches and details
/// tell different things.
pub(super) fn note_terms(
    write: &mut Write<'_>,
    profile: &str,
    told: &[(&OfferId, &Offer)],
    told_at: Timestamp,
) -> Result<(), CatalogError> {
    let text = |price: Option<Price>| price.map(|price| price.to_string());
    let ids: Vec<&str> = told.iter().map(|(offer_id, _)| offer_id.as_str()).collect();
    let prices: Vec<Option<String>> = told.iter().map(|(_, offer)| text(offer.price)).collect();
    let promotions: Vec<Option<String>> = told.iter().map(|(_, offer)| text(offer.promotion_price)).collect();
    let min_orders: Vec<Option<i64>> =
        told.iter().map(|(_, offer)| offer.min_order_quantity.map(i64::from)).collect();
    let sold: Vec<Option<i64>> = told.iter().map(|(_, offer)| offer.month_sold.map(i64::from)).collect();
    write.execute(
        "WITH new AS (
             SELECT offer_id, price::numeric AS price, promotion_price::numeric AS promotion_price, min_order, month_sold
             FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
                  AS new (offer_id, price, promotion_price, min_order, month_sold)
         ), told AS (
             SELECT new.offer_id, last.since_ms AS last_since,
                    coalesce(new.price, last.price) AS price,
                    coalesce(new.promotion_price, last.promotion_price) AS promotion_price,
                    coalesce(new.min_order, last.min_order) AS min_order,
                    coalesce(new.month_sold, last.month_sold) AS month_sold,
                    last.price AS last_price, last.promotion_price AS last_promotion,
                    last.min_order AS last_min_order, last.month_sold AS last_sold
             FROM new LEFT JOIN LATERAL (
                 SELECT * FROM offer_history h WHERE h.profile = $1 AND h.offer_id = new.offer_id AND h.since_ms <= $2
                 ORDER BY h.since_ms DESC LIMIT 1
             ) last ON true
         )
         INSERT INTO offer_history
             (profile, offer_id, since_ms, until_ms, price, promotion_price, min_order, month_sold)
         SELECT $1, offer_id,
                CASE WHEN last_since IS NOT NULL AND (price, promotion_price, min_order, month_sold)
                          IS NOT DISTINCT FROM (last_price, last_promotion, last_min_order, last_sold)
                     THEN last_since ELSE $2 END,
                $2, price, promotion_price, min_order, month_sold
         FROM told
         ON CONFLICT (profile, offer_id, since_ms) DO UPDATE
         SET until_ms = greatest(offer_history.until_ms, excluded.until_ms), price = excluded.price,
             promotion_price = excluded.promotion_price, min_order = excluded.min_order,
             month_sold = excluded.month_sold",
        &[&profile, &told_at.unix_ms(), &ids, &prices, &promotions, &min_orders, &sold],
    )?;
    Ok(())
}

/// Keeps which offers the answer names that is about to be replaced.
pub(super) fn keep_past_answer(
    write: &mut Write<'_>,
    photo_id: PhotoId,
    profile: &str,
    params: &str,
    fetched_at: Timestamp,
) -> Result<(), CatalogError> {
    let kept = write.execute(
        "INSERT INTO past_answers (photo_id, profile, params, fetched_at_ms, total, offer_ids)
         SELECT photo_id, profile, params, fetched_at_ms, total,
                (SELECT coalesce(json_agg(offer_id ORDER BY rank), '[]')::text FROM answer_offers o
                 WHERE o.answer_id = a.answer_id)
         FROM answers a WHERE photo_id = $1 AND profile = $2 AND params = $3 AND fetched_at_ms < $4
         ON CONFLICT DO NOTHING",
        &[&photo_id.0, &profile, &params, &fetched_at.unix_ms()],
    )?;
    if kept > 0 {
        write.execute(
            "DELETE FROM past_answers WHERE photo_id = $1 AND profile = $2 AND params = $3 AND fetched_at_ms NOT IN
             (SELECT fetched_at_ms FROM past_answers WHERE photo_id = $1 AND profile = $2 AND params = $3
              ORDER BY fetched_at_ms DESC LIMIT $4)",
            &[&photo_id.0, &profile, &params, &MAX_PAST_ANSWERS],
        )?;
    }
    Ok(())
}
