//! Answers: what an upstream said about a photo, under which question, and when.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::columns::{blob, integer, text};
use super::damage::{DamageLog, Entry};
use super::filter::category_number;
use super::words::{self, Words};
use super::{Catalog, CatalogError, OWN_PROFILE, history, images};
use crate::offer::{Offer, OfferId};
use crate::photo_id::PhotoId;
use crate::question::Region;
use crate::timestamp::Timestamp;

/// The question that an own good answers: any.
pub(crate) const OWN_PARAMS: &str = "own";

/// Which question an answer belongs to, beside the photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerKey<'a> {
    /// The upstream profiles that may have answered; none at all takes any. The newest answer is taken.
    pub profiles: &'a [&'a str],
    /// [`crate::question::SearchParams::key`].
    pub params: &'a str,
    /// Leaves out own goods, which are the answer to every question otherwise.
    pub without_own: bool,
}

/// An answer to be stored.
#[derive(Clone, Copy, Debug)]
pub enum NewAnswer<'a> {
    /// What an upstream said; replaces what it said before to the same question.
    Upstream {
        /// The upstream's profile.
        profile: &'a str,
        /// The parameters' key: `SearchParams::key`.
        params: &'a str,
        /// When the upstream answered.
        fetched_at: Timestamp,
        /// Offers over all pages, where the upstream says so.
        total: Option<u64>,
        /// Parts in which the upstream sees goods, in pixels of the photo.
        regions: &'a [Region],
        /// In the upstream's order.
        offers: &'a [Offer],
    },
    /// An own good shown on the photo; added to those already there, and the photo becomes an own one.
    Own {
        /// When it was added.
        added_at: Timestamp,
        /// What is told of it.
        offer: &'a Offer,
    },
}

/// An answer as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredAnswer {
    /// The upstream's profile; [`OWN_PROFILE`] for own goods.
    pub profile: String,
    /// The parameters' key: `SearchParams::key`.
    pub params: String,
    /// When the upstream answered or, for own goods, when they were stored.
    pub fetched_at: Timestamp,
    /// Offers over all pages, where the upstream says so.
    pub total: Option<u64>,
    /// Parts in which the upstream sees goods, in pixels of the photo that was asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// In the upstream's order.
    pub offers: Vec<Offer>,
}

/// A stored offer, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundOffer {
    /// The upstream's, or `own`.
    pub profile: String,
    /// The offer whose title fits.
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
                    "SELECT answer_id, profile, params, fetched_at_ms, total, regions FROM answers
                     WHERE photo_id = ?1
                       AND (profile = ?4 OR (params = ?3 AND
                            (?2 IS NULL OR profile IN (SELECT value FROM json_each(?2)))))
                     ORDER BY profile = ?4 DESC, fetched_at_ms DESC, answer_id DESC LIMIT 1",
                )?
                .query_row(
                    params![photo_id, profiles, key.params, (!key.without_own).then_some(OWN_PROFILE)],
                    answer_row,
                )
                .optional()?;
            if let Some((id, answer)) = found {
                return Ok(Some(with_offers(c, &self.damage, id, answer)?));
            }
            answer_that_names_it(c, &self.damage, photo_id, profiles.as_deref(), key.params)
        })
    }

    /// The stored offers whose titles hold all of these words, the best match first.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn find_offers(&self, words: &Words, limit: u32) -> Result<Vec<FoundOffer>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT o.profile, o.offer_id, o.body, o.updated_at_ms FROM offer_titles t
                 JOIN offer_numbers n ON n.offer_number = t.rowid
                 JOIN offers o ON o.profile = n.profile AND o.offer_id = n.offer_id
                 WHERE offer_titles MATCH ?1 ORDER BY t.rank, n.offer_number LIMIT ?2",
            )?
            .query_map(params![words.fts5(), limit], |row| {
                let profile = text(row, 0)?;
                let offer = stored_offer(&self.damage, &profile, row, 1)?;
                Ok(offer.map(|offer| FoundOffer { profile, offer }))
            })?
            .filter_map(Result::transpose)
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
                    "SELECT answer_id, profile, params, fetched_at_ms, total, regions FROM answers
                     WHERE photo_id = ?1 ORDER BY fetched_at_ms DESC, answer_id DESC",
                )?
                .query_map([photo_id], answer_row)?
                .collect::<Result<_, _>>()?;
            rows.into_iter().map(|(id, answer)| with_offers(c, &self.damage, id, answer)).collect()
        })
    }

    /// The photos that show an own good, by ascending number.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn photos_of_own(&self, offer_id: &OfferId) -> Result<Vec<PhotoId>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT DISTINCT a.photo_id FROM answer_offers o JOIN answers a ON a.answer_id = o.answer_id
                 WHERE o.profile = ?1 AND o.offer_id = ?2 ORDER BY a.photo_id",
            )?
            .query_map([OWN_PROFILE, offer_id.as_str()], |row| row.get(0))?
            .collect()
        })
    }

    /// An own good, whatever shows it.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn own_good(&self, offer_id: &OfferId) -> Result<Option<Offer>, CatalogError> {
        self.read(|c| {
            c.prepare_cached(
                "SELECT offer_id, body, updated_at_ms FROM offers WHERE profile = ?1 AND offer_id = ?2",
            )?
            .query_row([OWN_PROFILE, offer_id.as_str()], |row| {
                stored_offer(&self.damage, OWN_PROFILE, row, 0)
            })
            .optional()
            .map(Option::flatten)
        })
    }
}

/// For a picture that some offer is shown by: the newest answer that names the offer, with the offer first. Its regions
/// are those of another picture.
fn answer_that_names_it(
    connection: &Connection,
    damage: &DamageLog,
    photo_id: PhotoId,
    profiles: Option<&str>,
    params: &str,
) -> Result<Option<StoredAnswer>, rusqlite::Error> {
    let found = connection
        .prepare_cached(
            "SELECT a.answer_id, a.profile, a.params, a.fetched_at_ms, a.total, NULL, i.offer_id FROM offer_images i
             JOIN answer_offers o ON o.profile = i.profile AND o.offer_id = i.offer_id
             JOIN answers a ON a.answer_id = o.answer_id
             WHERE i.photo_id = ?1 AND a.params = ?2
               AND (?3 IS NULL OR a.profile IN (SELECT value FROM json_each(?3)))
             -- Of several offers with the picture, the one that had it first.
             ORDER BY a.fetched_at_ms DESC, a.answer_id DESC, i.image_id LIMIT 1",
        )?
        .query_row(params![photo_id, params, profiles], |row| {
            let (id, answer) = answer_row(row)?;
            Ok((id, answer, text(row, 6)?))
        })
        .optional()?;
    let Some((id, answer, shown)) = found else { return Ok(None) };
    let mut answer = with_offers(connection, damage, id, answer)?;
    if let Some(place) = answer.offers.iter().position(|offer| offer.offer_id.as_str() == shown) {
        answer.offers[..=place].rotate_right(1);
    }
    Ok(Some(answer))
}

fn answer_row(row: &rusqlite::Row<'_>) -> Result<(i64, StoredAnswer), rusqlite::Error> {
    let answer = StoredAnswer {
        profile: text(row, 1)?,
        params: text(row, 2)?,
        fetched_at: Timestamp::from_unix_ms(integer(row, 3)?.unwrap_or(0)),
        total: integer(row, 4)?.and_then(|total| u64::try_from(total).ok()),
        // What cannot be read is a suggestion less.
        regions: serde_json::from_slice(blob(row, 5)?).unwrap_or_default(),
        offers: Vec::new(),
    };
    Ok((row.get(0)?, answer))
}

/// Reads the body of a stored offer.
pub(crate) fn parse_offer(body: &[u8]) -> Result<Offer, serde_json::Error> {
    serde_json::from_slice(body)
}

/// What is left of an offer whose body cannot be read; `None` where not even the id can.
pub(crate) fn salvaged_offer(offer_id: &str) -> Option<Offer> {
    Some(Offer::new(OfferId::new(offer_id).ok()?, ""))
}

/// The offer of a row in which id, body and `updated_at_ms` stand from column `first` on. Where the body cannot be read
/// only the id is left of it, if that can be.
fn stored_offer(
    damage: &DamageLog,
    profile: &str,
    row: &rusqlite::Row<'_>,
    first: usize,
) -> Result<Option<Offer>, rusqlite::Error> {
    let offer_id = text(row, first)?;
    let offer = match parse_offer(blob(row, first + 1)?) {
        Ok(offer) => Some(offer),
        Err(error) => {
            let left = salvaged_offer(&offer_id);
            damage.note(Entry::Offer { profile: profile.to_owned(), offer_id }, error);
            left
        }
    };
    let seen_at = integer(row, first + 2)?.map(Timestamp::from_unix_ms);
    Ok(offer.map(|offer| Offer { seen_at, ..offer }))
}

fn with_offers(
    connection: &Connection,
    damage: &DamageLog,
    answer_id: i64,
    mut answer: StoredAnswer,
) -> Result<StoredAnswer, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT o.offer_id, o.body, o.updated_at_ms, a.similarity FROM answer_offers a
         JOIN offers o ON o.profile = a.profile AND o.offer_id = a.offer_id
         WHERE a.answer_id = ?1 ORDER BY a.rank",
    )?;
    let mut rows = statement.query([answer_id])?;
    while let Some(row) = rows.next()? {
        // An offer's fields are shared by all answers that name it; its similarity belongs to this one.
        let Some(mut offer) = stored_offer(damage, &answer.profile, row, 0)? else { continue };
        offer.similarity = integer(row, 3)?.and_then(|percent| u8::try_from(percent).ok());
        answer.offers.push(offer);
    }
    Ok(answer)
}

pub(super) fn put_answer(
    transaction: &Transaction<'_>,
    photo_id: PhotoId,
    answer: &NewAnswer<'_>,
) -> Result<(), rusqlite::Error> {
    match *answer {
        NewAnswer::Upstream { profile, params, fetched_at, total, regions, offers } => {
            let regions = regions_json(regions);
            history::keep_past_answer(transaction, photo_id, profile, params, fetched_at)?;
            let answer_id =
                upsert_answer(transaction, photo_id, profile, params, fetched_at, total, regions.as_deref())?;
            transaction.execute("DELETE FROM answer_offers WHERE answer_id = ?1", [answer_id])?;
            for offer in offers {
                put_offer(transaction, answer_id, profile, fetched_at, offer)?;
            }
        }
        NewAnswer::Own { added_at, offer } => {
            let answer_id =
                upsert_answer(transaction, photo_id, OWN_PROFILE, OWN_PARAMS, added_at, None, None)?;
            let offer_id = offer.offer_id.as_str();
            transaction
                .prepare_cached("DELETE FROM answer_offers WHERE answer_id = ?1 AND offer_id = ?2")?
                .execute(params![answer_id, offer_id])?;
            // What was told last of a good is all that counts.
            transaction
                .prepare_cached("DELETE FROM offer_categories WHERE profile = ?1 AND offer_id = ?2")?
                .execute([OWN_PROFILE, offer_id])?;
            put_offer(transaction, answer_id, OWN_PROFILE, added_at, offer)?;
            transaction
                .prepare_cached("UPDATE photos SET kind = 'own' WHERE photo_id = ?1")?
                .execute([photo_id])?;
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
    regions: Option<&str>,
) -> Result<i64, rusqlite::Error> {
    transaction
        .prepare_cached(
            "INSERT INTO answers (photo_id, profile, params, fetched_at_ms, total, regions)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (photo_id, profile, params)
             DO UPDATE SET fetched_at_ms = excluded.fetched_at_ms, total = excluded.total, regions = excluded.regions
             RETURNING answer_id",
        )?
        .query_row(params![photo_id, profile, params, fetched_at.unix_ms(), total, regions], |row| row.get(0))
}

/// As they are stored; null for none.
pub(crate) fn regions_json(regions: &[Region]) -> Option<String> {
    (!regions.is_empty()).then(|| serde_json::json!(regions).to_string())
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
        history::note_terms(transaction, profile, &offer.offer_id, offer, updated_at)?;
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

/// Puts the title of a stored offer into the full-text index. One that cannot be read is reported when it is asked for.
pub(super) fn index_stored(
    transaction: &Transaction<'_>,
    profile: &str,
    body: &str,
) -> Result<(), rusqlite::Error> {
    match parse_offer(body.as_bytes()) {
        Ok(offer) => index_title(transaction, profile, offer.offer_id.as_str(), &offer.title),
        Err(_) => Ok(()),
    }
}

/// For a file of a format that had no full-text index and fetched no pictures of offers.
pub(super) fn index_all_offers(transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
    let mut all = transaction.prepare("SELECT profile, body FROM offers")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let profile = text(row, 0)?;
        // An offer that cannot be read is reported when it is asked for.
        let Ok(offer) = parse_offer(blob(row, 1)?) else { continue };
        index_title(transaction, &profile, offer.offer_id.as_str(), &offer.title)?;
        if profile != OWN_PROFILE {
            images::await_image(transaction, &profile, &offer)?;
        }
    }
    Ok(())
}
