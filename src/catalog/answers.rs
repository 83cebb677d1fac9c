//! Answers: what an upstream said about a photo, under which question, and when.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::filter::category_number;
use super::words::{self, Words};
use super::{Catalog, CatalogError, images};
use crate::clock::Timestamp;
use crate::offer::{Offer, OfferId};
use crate::photo_id::PhotoId;

/// The profile under which the user's own goods are kept, beside those of the upstreams.
pub(super) const OWN_PROFILE: &str = "own";

/// The question that an own good answers: any.
const OWN_PARAMS: &str = "own";

/// Which question an answer belongs to, beside the photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerKey<'a> {
    /// The upstream profiles that may have answered; none at all takes any. The newest answer is taken.
    pub profiles: &'a [&'a str],
    /// [`crate::upstream::SearchParams::key`].
    pub params: &'a str,
}

/// An answer to be stored.
#[derive(Clone, Copy, Debug)]
pub enum NewAnswer<'a> {
    /// What an upstream said; replaces what it said before to the same question.
    Upstream {
        profile: &'a str,
        params: &'a str,
        fetched_at: Timestamp,
        total: Option<u64>,
        /// In the upstream's order.
        offers: &'a [Offer],
    },
    /// An own good shown on the photo; added to those already there, and the photo becomes an own one.
    Own { added_at: Timestamp, offer: &'a Offer },
}

/// An answer as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredAnswer {
    pub profile: String,
    pub params: String,
    pub fetched_at: Timestamp,
    pub total: Option<u64>,
    pub offers: Vec<Offer>,
}

/// A stored offer, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundOffer {
    /// The upstream's, or `own`.
    pub profile: String,
    #[serde(flatten)]
    pub offer: Offer,
}

impl StoredAnswer {
    /// Whether it holds goods of the user's own, which never grow old.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.profile == OWN_PROFILE
    }
}

impl Catalog {
    /// The stored answer to a question about a photo: an own good shown on it answers every question, else the
    /// upstream's answer to just this one.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn answer(
        &self,
        photo_id: PhotoId,
        key: &AnswerKey<'_>,
    ) -> Result<Option<StoredAnswer>, CatalogError> {
        let profiles = (!key.profiles.is_empty()).then(|| serde_json::json!(key.profiles).to_string());
        self.read(|c| {
            let found = c
                .prepare_cached(
                    "SELECT answer_id, profile, params, fetched_at_ms, total FROM answers
                     WHERE photo_id = ?1
                       AND (profile = ?4 OR (params = ?3 AND
                            (?2 IS NULL OR profile IN (SELECT value FROM json_each(?2)))))
                     ORDER BY profile = ?4 DESC, fetched_at_ms DESC, answer_id DESC LIMIT 1",
                )?
                .query_row(params![photo_id, profiles, key.params, OWN_PROFILE], answer_row)
                .optional()?;
            if let Some((id, answer)) = found {
                return Ok(Some(with_offers(c, id, answer)?));
            }
            answer_that_names_it(c, photo_id, profiles.as_deref(), key.params)
        })
    }

    /// The stored offers whose titles hold all of these words, the best match first.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn find_offers(&self, words: &Words, limit: u32) -> Result<Vec<FoundOffer>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT o.profile, o.body, o.updated_at_ms FROM offer_titles t
                 JOIN offer_numbers n ON n.offer_number = t.rowid
                 JOIN offers o ON o.profile = n.profile AND o.offer_id = n.offer_id
                 WHERE offer_titles MATCH ?1 ORDER BY t.rank, n.offer_number LIMIT ?2",
            )?
            .query_map(params![words.fts5(), limit], |row| {
                let body: String = row.get(1)?;
                Ok(FoundOffer { profile: row.get(0)?, offer: stored_offer(&body, row.get(2)?)? })
            })?
            .collect()
        })
    }

    /// All stored answers about a photo, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn answers(&self, photo_id: PhotoId) -> Result<Vec<StoredAnswer>, CatalogError> {
        self.read(|c| {
            let rows: Vec<(i64, StoredAnswer)> = c
                .prepare_cached(
                    "SELECT answer_id, profile, params, fetched_at_ms, total FROM answers
                     WHERE photo_id = ?1 ORDER BY fetched_at_ms DESC, answer_id DESC",
                )?
                .query_map([photo_id], answer_row)?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(|(id, answer)| with_offers(c, id, answer)).collect()
        })
    }
}

/// For a picture that some offer is shown by: the newest answer that names the offer, with the offer first.
fn answer_that_names_it(
    connection: &Connection,
    photo_id: PhotoId,
    profiles: Option<&str>,
    params: &str,
) -> Result<Option<StoredAnswer>, rusqlite::Error> {
    let found = connection
        .prepare_cached(
            "SELECT a.answer_id, a.profile, a.params, a.fetched_at_ms, a.total, i.offer_id FROM offer_images i
             JOIN answer_offers o ON o.profile = i.profile AND o.offer_id = i.offer_id
             JOIN answers a ON a.answer_id = o.answer_id
             WHERE i.photo_id = ?1 AND a.params = ?2
               AND (?3 IS NULL OR a.profile IN (SELECT value FROM json_each(?3)))
             ORDER BY a.fetched_at_ms DESC, a.answer_id DESC LIMIT 1",
        )?
        .query_row(params![photo_id, params, profiles], |row| {
            let (id, answer) = answer_row(row)?;
            Ok((id, answer, row.get::<_, String>(5)?))
        })
        .optional()?;
    let Some((id, answer, shown)) = found else { return Ok(None) };
    let mut answer = with_offers(connection, id, answer)?;
    if let Some(place) = answer.offers.iter().position(|offer| offer.offer_id.as_str() == shown) {
        answer.offers[..=place].rotate_right(1);
    }
    Ok(Some(answer))
}

fn answer_row(row: &rusqlite::Row<'_>) -> Result<(i64, StoredAnswer), rusqlite::Error> {
    let answer = StoredAnswer {
        profile: row.get(1)?,
        params: row.get(2)?,
        fetched_at: Timestamp::from_unix_ms(row.get(3)?),
        total: row.get(4)?,
        offers: Vec::new(),
    };
    Ok((row.get(0)?, answer))
}

/// Of an offer as it is stored, `updated_at_ms` beside it.
pub(super) fn stored_offer(body: &str, updated_at_ms: i64) -> Result<Offer, rusqlite::Error> {
    let mut offer: Offer = serde_json::from_str(body).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e))
    })?;
    offer.seen_at = Some(Timestamp::from_unix_ms(updated_at_ms));
    Ok(offer)
}

fn with_offers(
    connection: &Connection,
    answer_id: i64,
    mut answer: StoredAnswer,
) -> Result<StoredAnswer, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT o.body, o.updated_at_ms, a.similarity FROM answer_offers a
         JOIN offers o ON o.profile = a.profile AND o.offer_id = a.offer_id
         WHERE a.answer_id = ?1 ORDER BY a.rank",
    )?;
    let rows = statement.query_map([answer_id], |row| {
        let body: String = row.get(0)?;
        // An offer's fields are shared by all answers that name it; its similarity belongs to this one.
        let mut offer = stored_offer(&body, row.get(1)?)?;
        offer.similarity = row.get(2)?;
        Ok(offer)
    })?;
    answer.offers = rows.collect::<Result<_, _>>()?;
    Ok(answer)
}

pub(super) fn put_answer(
    transaction: &Transaction<'_>,
    photo_id: PhotoId,
    answer: &NewAnswer<'_>,
) -> Result<(), rusqlite::Error> {
    match *answer {
        NewAnswer::Upstream { profile, params, fetched_at, total, offers } => {
            let answer_id = upsert_answer(transaction, photo_id, profile, params, fetched_at, total)?;
            transaction.execute("DELETE FROM answer_offers WHERE answer_id = ?1", [answer_id])?;
            for offer in offers {
                put_offer(transaction, answer_id, profile, fetched_at, offer)?;
            }
        }
        NewAnswer::Own { added_at, offer } => {
            let answer_id = upsert_answer(transaction, photo_id, OWN_PROFILE, OWN_PARAMS, added_at, None)?;
            transaction.execute(
                "DELETE FROM answer_offers WHERE answer_id = ?1 AND offer_id = ?2",
                params![answer_id, offer.offer_id.as_str()],
            )?;
            put_offer(transaction, answer_id, OWN_PROFILE, added_at, offer)?;
            transaction.execute("UPDATE photos SET kind = 'own' WHERE photo_id = ?1", [photo_id])?;
        }
    }
    Ok(())
}

fn upsert_answer(
    transaction: &Transaction<'_>,
    photo_id: PhotoId,
    profile: &str,
    params: &str,
    fetched_at: Timestamp,
    total: Option<u64>,
) -> Result<i64, rusqlite::Error> {
    transaction
        .prepare_cached(
            "INSERT INTO answers (photo_id, profile, params, fetched_at_ms, total) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (photo_id, profile, params)
             DO UPDATE SET fetched_at_ms = excluded.fetched_at_ms, total = excluded.total
             RETURNING answer_id",
        )?
        .query_row(params![photo_id, profile, params, fetched_at.unix_ms(), total], |row| row.get(0))
}

/// Appends an offer to an answer, after those that are there.
fn put_offer(
    transaction: &Transaction<'_>,
    answer_id: i64,
    profile: &str,
    updated_at: Timestamp,
    offer: &Offer,
) -> Result<(), rusqlite::Error> {
    let body =
        serde_json::to_string(offer).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    transaction
        .prepare_cached(
            "INSERT INTO offers (profile, offer_id, body, updated_at_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (profile, offer_id)
             DO UPDATE SET body = excluded.body, updated_at_ms = excluded.updated_at_ms",
        )?
        .execute(params![profile, offer.offer_id.as_str(), body, updated_at.unix_ms()])?;
    index_title(transaction, profile, offer.offer_id.as_str(), &offer.title)?;
    note_categories(transaction, profile, &offer.offer_id, &offer.category_ids)?;
    if profile != OWN_PROFILE {
        images::await_image(transaction, profile, offer)?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO answer_offers (answer_id, rank, profile, offer_id, similarity)
             VALUES (?1, (SELECT coalesce(max(rank) + 1, 0) FROM answer_offers WHERE answer_id = ?1), ?2, ?3, ?4)",
        )?
        .execute(params![answer_id, profile, offer.offer_id.as_str(), offer.similarity])?;
    Ok(())
}

/// Keeps that an offer is of these categories, beside those that were told of it before.
pub(super) fn note_categories(
    transaction: &Transaction<'_>,
    profile: &str,
    offer_id: &OfferId,
    category_ids: &[u64],
) -> Result<(), rusqlite::Error> {
    let mut note = transaction.prepare_cached(
        "INSERT OR IGNORE INTO offer_categories (category_id, profile, offer_id) VALUES (?1, ?2, ?3)",
    )?;
    for &category_id in category_ids {
        note.execute(params![category_number(category_id), profile, offer_id.as_str()])?;
    }
    Ok(())
}

/// Puts a title into the full-text index, in place of the one that the offer had.
fn index_title(
    transaction: &Transaction<'_>,
    profile: &str,
    offer_id: &str,
    title: &str,
) -> Result<(), rusqlite::Error> {
    let number: i64 = transaction
        .prepare_cached(
            "INSERT INTO offer_numbers (profile, offer_id) VALUES (?1, ?2)
             ON CONFLICT (profile, offer_id) DO UPDATE SET offer_id = excluded.offer_id RETURNING offer_number",
        )?
        .query_row(params![profile, offer_id], |row| row.get(0))?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO offer_titles (rowid, title) VALUES (?1, ?2)")?
        .execute(params![number, words::indexed(title)])?;
    Ok(())
}

/// For a file of a format that had no full-text index and fetched no pictures of offers.
pub(super) fn index_all_offers(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    let mut all = transaction.prepare("SELECT profile, body, updated_at_ms FROM offers")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let (profile, body): (String, String) = (row.get(0)?, row.get(1)?);
        // An offer that cannot be read is reported when it is asked for.
        let Ok(offer) = stored_offer(&body, row.get(2)?) else { continue };
        index_title(transaction, &profile, offer.offer_id.as_str(), &offer.title)?;
        if profile != OWN_PROFILE {
            images::await_image(transaction, &profile, &offer)?;
        }
    }
    Ok(())
}
