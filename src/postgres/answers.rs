//! Answers, offers, goods and details.

use std::collections::HashMap;

use postgres::Row;

use super::connection::{Lock, Reader, Write};
use super::photos::{is_stored, put_photo};
use super::{PostgresStore, bump_generation, history, images, plain};
use crate::catalog::shared::{OWN_PARAMS, category_number, parse_offer, regions_json, salvaged_offer};
use crate::catalog::{
    AnswerKey, CatalogError, DatabaseTrouble, Entry, GoodsPhoto, NewAnswer, NewGood, NewPhoto, OWN_PROFILE,
    Paid, PaidWaiting, Refusal, Stored, StoredAnswer, StoredDetail, StoredGood, UnreadableAnswer, Words,
};
use crate::offer::{Offer, OfferDetail, OfferId};
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::store::AnswerStore;
use crate::timestamp::Timestamp;

impl AnswerStore for PostgresStore {
    fn answer(&self, photo_id: PhotoId, key: &AnswerKey<'_>) -> Result<Option<StoredAnswer>, CatalogError> {
        let profiles = any_of(key.profiles);
        self.read_at_once(|c| {
            let row = c.first(
                "SELECT answer_id, profile, params, fetched_at_ms, total, regions FROM answers
                 WHERE photo_id = $1
                   AND (profile = $4::text OR (params = $3 AND ($2::text[] IS NULL OR profile = ANY($2))))
                 ORDER BY (profile = $4::text) DESC, fetched_at_ms DESC, answer_id DESC LIMIT 1",
                &[&photo_id.0, &profiles, &key.params, &(!key.without_own).then_some(OWN_PROFILE)],
            )?;
            match row {
                Some(row) => {
                    let (answer_id, answer) = answer_row(&row)?;
                    Ok(Some(self.with_offers(c, answer_id, answer)?))
                }
                None => self.answer_that_names_it(c, photo_id, key.params, profiles),
            }
        })
    }

    fn store(&self, photo: &NewPhoto<'_>, answer: &NewAnswer<'_>) -> Result<Stored, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        self.must_be_mine(&mut write)?;
        let stored = put_photo(&mut write, photo)?;
        put_answer(&mut write, stored.photo_id, answer)?;
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(stored)
    }

    fn store_answer(&self, photo_id: PhotoId, answer: &NewAnswer<'_>) -> Result<bool, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        if !is_stored(&mut write, photo_id)? {
            return Ok(false);
        }
        put_answer(&mut write, photo_id, answer)?;
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(true)
    }

    fn store_all(
        &self,
        goods: &[NewGood<'_>],
    ) -> Result<Vec<Result<StoredGood, CatalogError>>, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        if goods.iter().any(|good| matches!(good.photo, GoodsPhoto::New(_))) {
            self.must_be_mine(&mut write)?;
        }
        let mut results = Vec::with_capacity(goods.len());
        for good in goods {
            write.batch("SAVEPOINT good")?;
            let result = put_good(&mut write, good);
            match &result {
                // The server or the connection, and not what was to be stored.
                Err(CatalogError::Database { trouble, .. }) if *trouble != DatabaseTrouble::Other => {
                    return result.map(|_| Vec::new());
                }
                Err(_) => write.batch("ROLLBACK TO good; RELEASE good")?,
                Ok(_) => write.batch("RELEASE good")?,
            }
            results.push(result);
        }
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(results)
    }

    fn own_good(&self, offer_id: &OfferId) -> Result<Option<Offer>, CatalogError> {
        self.read(|c| {
            let row = c.first(
                "SELECT offer_id, body, updated_at_ms FROM offers WHERE profile = $1 AND offer_id = $2",
                &[&OWN_PROFILE, &offer_id.as_str()],
            )?;
            row.map_or(Ok(None), |row| self.stored_offer(OWN_PROFILE, &row, 0))
        })
    }

    fn details(&self, offer_id: &OfferId, profiles: &[&str]) -> Result<Option<StoredDetail>, CatalogError> {
        let profiles = any_of(profiles);
        self.read(|c| {
            let rows = c.query(
                "SELECT profile, fetched_at_ms, body FROM offer_details
                 WHERE offer_id = $1 AND ($2::text[] IS NULL OR profile = ANY($2)) ORDER BY fetched_at_ms DESC",
                &[&offer_id.as_str(), &profiles],
            )?;
            for row in rows {
                let profile: String = row.try_get(0)?;
                match serde_json::from_str(row.try_get(2)?) {
                    Ok(detail) => {
                        let fetched_at = Timestamp::from_unix_ms(row.try_get(1)?);
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

    fn store_details(
        &self,
        profile: &str,
        offer_id: &OfferId,
        detail: &OfferDetail,
        fetched_at: Timestamp,
    ) -> Result<(), CatalogError> {
        // Its categories are rows that answers write as well: two orders of them must not meet.
        let mut write = self.write(Lock::Commit)?;
        put_details(&mut write, profile, offer_id, detail, fetched_at)?;
        write.commit()
    }

    fn remember_refusal(&self, byte_digest: Digest, refusal: &Refusal) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::None)?;
        put_refusal(&mut write, byte_digest, refusal)?;
        write.commit()
    }

    fn refusal(
        &self,
        byte_digest: Digest,
        profile: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Refusal>, CatalogError> {
        self.read(|c| {
            let row = c.first(
                "SELECT profile, code, message, refused_at_ms FROM refusals
                 WHERE byte_digest = $1 AND profile = $2 AND refused_at_ms > $3 AND refused_at_ms <= $4",
                &[&byte_digest.as_bytes().as_slice(), &profile, &since.unix_ms(), &until.unix_ms()],
            )?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Refusal {
                profile: row.try_get(0)?,
                code: row.try_get(1)?,
                message: row.try_get(2)?,
                refused_at: Timestamp::from_unix_ms(row.try_get(3)?),
            }))
        })
    }

    fn remember_unreadable(&self, answer: &UnreadableAnswer) -> Result<(), CatalogError> {
        let UnreadableAnswer { profile, question, code, message, answered_at } = answer;
        let mut write = self.write(Lock::None)?;
        write.execute(
            "INSERT INTO unreadable_answers (profile, question, code, message, answered_at_ms)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (profile, question) DO UPDATE
             SET code = excluded.code, message = excluded.message, answered_at_ms = excluded.answered_at_ms",
            &[profile, &plain(question), &plain(code), &plain(message), &answered_at.unix_ms()],
        )?;
        write.commit()
    }

    fn unreadable_answer(
        &self,
        profile: &str,
        question: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<UnreadableAnswer>, CatalogError> {
        self.read(|c| {
            let row = c.first(
                "SELECT profile, question, code, message, answered_at_ms FROM unreadable_answers
                 WHERE profile = $1 AND question = $2 AND answered_at_ms > $3 AND answered_at_ms <= $4",
                &[&profile, &plain(question), &since.unix_ms(), &until.unix_ms()],
            )?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(UnreadableAnswer {
                profile: row.try_get(0)?,
                question: row.try_get(1)?,
                code: row.try_get(2)?,
                message: row.try_get(3)?,
                answered_at: Timestamp::from_unix_ms(row.try_get(4)?),
            }))
        })
    }

    fn set_aside(&self, paid: Paid) -> bool {
        self.set_aside.keep(paid, self.model.get())
    }

    fn has_something_set_aside(&self) -> bool {
        !self.set_aside.is_empty()
    }

    fn store_what_waits(&self) -> Result<(), CatalogError> {
        self.set_aside.drain(|all| self.store_paid(all))
    }

    fn paid_waiting(&self) -> Result<PaidWaiting, CatalogError> {
        self.set_aside.counts()
    }

    fn keep_room_for_an_answer(&self) -> Result<(), CatalogError> {
        self.set_aside.keep_room()
    }

    fn waiting_answer(&self, byte_digest: Digest, params: &str, profiles: &[&str]) -> Option<StoredAnswer> {
        self.set_aside.answer(byte_digest, params, profiles)
    }

    fn waiting_details(&self, offer_id: &OfferId, profiles: &[&str]) -> Option<StoredDetail> {
        self.set_aside.details(offer_id, profiles)
    }

    fn storing_fails(&self) -> bool {
        self.set_aside.storing_fails()
    }

    fn note_storing(&self, fails: bool) {
        self.set_aside.note_storing(fails)
    }
}

/// `None`, which takes any, for no profile at all.
fn any_of<'a, 'b>(profiles: &'a [&'b str]) -> Option<&'a [&'b str]> {
    (!profiles.is_empty()).then_some(profiles)
}

/// A row of `answer_id, profile, params, fetched_at_ms, total, regions`.
pub(super) fn answer_row(row: &Row) -> Result<(i64, StoredAnswer), CatalogError> {
    let total: Option<i64> = row.try_get(4)?;
    let regions: Option<&str> = row.try_get(5)?;
    let answer = StoredAnswer {
        profile: row.try_get(1)?,
        params: row.try_get(2)?,
        fetched_at: Timestamp::from_unix_ms(row.try_get(3)?),
        total: total.and_then(|total| u64::try_from(total).ok()),
        // What cannot be read is a suggestion less.
        regions: regions.and_then(|regions| serde_json::from_str(regions).ok()).unwrap_or_default(),
        offers: Vec::new(),
    };
    Ok((row.try_get(0)?, answer))
}

impl PostgresStore {
    /// For a picture that some offer is shown by: the newest answer that names the offer, with the offer first. Its
    /// regions are those of another picture.
    fn answer_that_names_it(
        &self,
        c: &mut Reader<'_>,
        photo_id: PhotoId,
        params: &str,
        profiles: Option<&[&str]>,
    ) -> Result<Option<StoredAnswer>, CatalogError> {
        let row = c.first(
            "SELECT a.answer_id, a.profile, a.params, a.fetched_at_ms, a.total, NULL::text, i.offer_id
             FROM offer_images i
             JOIN answer_offers o ON o.profile = i.profile AND o.offer_id = i.offer_id
             JOIN answers a ON a.answer_id = o.answer_id
             WHERE i.photo_id = $1 AND a.params = $2 AND ($3::text[] IS NULL OR a.profile = ANY($3))
             ORDER BY a.fetched_at_ms DESC, a.answer_id DESC, i.image_id LIMIT 1",
            &[&photo_id.0, &params, &profiles],
        )?;
        let Some(row) = row else { return Ok(None) };
        let (answer_id, answer) = answer_row(&row)?;
        let shown: &str = row.try_get(6)?;
        let mut answer = self.with_offers(c, answer_id, answer)?;
        if let Some(place) = answer.offers.iter().position(|offer| offer.offer_id.as_str() == shown) {
            answer.offers[..=place].rotate_right(1);
        }
        Ok(Some(answer))
    }

    pub(super) fn with_offers(
        &self,
        c: &mut Reader<'_>,
        answer_id: i64,
        mut answer: StoredAnswer,
    ) -> Result<StoredAnswer, CatalogError> {
        let rows = c.query(
            "SELECT o.offer_id, o.body, o.updated_at_ms, a.similarity FROM answer_offers a
             JOIN offers o ON o.profile = a.profile AND o.offer_id = a.offer_id
             WHERE a.answer_id = $1 ORDER BY a.rank",
            &[&answer_id],
        )?;
        for row in rows {
            // An offer's fields are shared by all answers that name it; its similarity belongs to this one.
            let Some(mut offer) = self.stored_offer(&answer.profile, &row, 0)? else { continue };
            let percent: Option<i16> = row.try_get(3)?;
            offer.similarity = percent.and_then(|percent| u8::try_from(percent).ok());
            answer.offers.push(offer);
        }
        Ok(answer)
    }

    /// The offer of a row in which id, body and `updated_at_ms` stand from column `first` on. Where the body cannot be read
    /// only the id is left of it, if that can be.
    pub(super) fn stored_offer(
        &self,
        profile: &str,
        row: &Row,
        first: usize,
    ) -> Result<Option<Offer>, CatalogError> {
        let body: &str = row.try_get(first + 1)?;
        let offer = match parse_offer(body.as_bytes()) {
            Ok(offer) => Some(offer),
            Err(error) => {
                let offer_id: String = row.try_get(first)?;
                let left = salvaged_offer(&offer_id);
                self.damage.note(Entry::Offer { profile: profile.to_owned(), offer_id }, error);
                left
            }
        };
        let seen_at = Some(Timestamp::from_unix_ms(row.try_get(first + 2)?));
        Ok(offer.map(|offer| Offer { seen_at, ..offer }))
    }
}

fn put_good(write: &mut Write<'_>, good: &NewGood<'_>) -> Result<StoredGood, CatalogError> {
    let stored = match &good.photo {
        GoodsPhoto::Stored(photo_id) if !is_stored(write, *photo_id)? => {
            return Err(CatalogError::PhotoGone { photo_id: *photo_id });
        }
        GoodsPhoto::Stored(photo_id) => Stored { photo_id: *photo_id, is_new: false },
        GoodsPhoto::New(photo) => put_photo(write, photo)?,
    };
    put_answer(write, stored.photo_id, &NewAnswer::Own { added_at: good.added_at, offer: good.offer })?;
    let row = write.one(
        "SELECT count(*) FROM answer_offers WHERE profile = $1 AND offer_id = $2",
        &[&OWN_PROFILE, &good.offer.offer_id.as_str()],
    )?;
    let photos = u32::try_from(row.try_get::<_, i64>(0)?).unwrap_or(u32::MAX);
    Ok(StoredGood { photo_id: stored.photo_id, is_new: stored.is_new, photos })
}

pub(super) fn put_answer(
    write: &mut Write<'_>,
    photo_id: PhotoId,
    answer: &NewAnswer<'_>,
) -> Result<(), CatalogError> {
    match *answer {
        NewAnswer::Upstream { profile, params, fetched_at, total, regions, offers } => {
            let regions = regions_json(regions);
            history::keep_past_answer(write, photo_id, profile, params, fetched_at)?;
            let answer_id =
                upsert_answer(write, photo_id, profile, params, fetched_at, total, regions.as_deref())?;
            write.execute("DELETE FROM answer_offers WHERE answer_id = $1", &[&answer_id])?;
            put_offers(write, answer_id, profile, fetched_at, offers)
        }
        NewAnswer::Own { added_at, offer } => {
            let answer_id = upsert_answer(write, photo_id, OWN_PROFILE, OWN_PARAMS, added_at, None, None)?;
            let offer_id = offer.offer_id.as_str();
            write.execute(
                "DELETE FROM answer_offers WHERE answer_id = $1 AND offer_id = $2",
                &[&answer_id, &offer_id],
            )?;
            // What was told last of a good is all that counts.
            write.execute(
                "DELETE FROM offer_categories WHERE profile = $1 AND offer_id = $2",
                &[&OWN_PROFILE, &offer_id],
            )?;
            put_offers(write, answer_id, OWN_PROFILE, added_at, std::slice::from_ref(offer))?;
            write.execute("UPDATE photos SET kind = 'own' WHERE photo_id = $1", &[&photo_id.0])?;
            Ok(())
        }
    }
}

fn upsert_answer(
    write: &mut Write<'_>,
    photo_id: PhotoId,
    profile: &str,
    params: &str,
    fetched_at: Timestamp,
    total: Option<u64>,
    regions: Option<&str>,
) -> Result<i64, CatalogError> {
    let total = total.map(|total| i64::try_from(total).unwrap_or(i64::MAX));
    let row = write.one(
        "INSERT INTO answers (photo_id, profile, params, fetched_at_ms, total, regions)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (photo_id, profile, params)
         DO UPDATE SET fetched_at_ms = excluded.fetched_at_ms, total = excluded.total, regions = excluded.regions
         RETURNING answer_id",
        &[&photo_id.0, &profile, &params, &fetched_at.unix_ms(), &total, &regions],
    )?;
    Ok(row.try_get(0)?)
}

/// Appends offers to an answer, after those that are there: a statement for each table, however many they are.
fn put_offers(
    write: &mut Write<'_>,
    answer_id: i64,
    profile: &str,
    updated_at: Timestamp,
    offers: &[Offer],
) -> Result<(), CatalogError> {
    // A statement writes a row once; what an answer says last of an offer counts.
    let last: HashMap<&str, &Offer> = offers.iter().map(|offer| (offer.offer_id.as_str(), offer)).collect();
    let (mut ids, mut bodies, mut prices, mut titles) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let is_last =
        |offer: &&Offer| last.get(offer.offer_id.as_str()).is_some_and(|last| std::ptr::eq(*last, *offer));
    for offer in offers.iter().filter(is_last) {
        ids.push(offer.offer_id.as_str());
        bodies.push(json(offer)?);
        prices.push(price(offer));
        titles.push(Words::tsvector(&offer.title));
    }
    write.execute(
        "INSERT INTO offers (profile, offer_id, body, updated_at_ms, price_yuan, title)
         SELECT $1, offer_id, body, $2, price::numeric, title::tsvector
         FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS new (offer_id, body, price, title)
         ON CONFLICT (profile, offer_id) DO UPDATE
         SET body = excluded.body, updated_at_ms = excluded.updated_at_ms, price_yuan = excluded.price_yuan,
             title = excluded.title",
        &[&profile, &updated_at.unix_ms(), &ids, &bodies, &prices, &titles],
    )?;
    note_categories(
        write,
        profile,
        offers.iter().flat_map(|offer| offer.category_ids.iter().map(|id| (*id, &offer.offer_id))),
    )?;
    if profile != OWN_PROFILE {
        images::await_images(write, profile, offers)?;
        let told: Vec<_> = offers.iter().filter(is_last).map(|offer| (&offer.offer_id, offer)).collect();
        history::note_terms(write, profile, &told, updated_at)?;
    }
    let all: Vec<&str> = offers.iter().map(|offer| offer.offer_id.as_str()).collect();
    let similarities: Vec<Option<i16>> = offers.iter().map(|offer| offer.similarity.map(i16::from)).collect();
    write.execute(
        "INSERT INTO answer_offers (answer_id, rank, profile, offer_id, similarity)
         SELECT $1, place - 1 + (SELECT coalesce(max(rank) + 1, 0) FROM answer_offers WHERE answer_id = $1),
                $2, offer_id, similarity
         FROM unnest($3::text[], $4::smallint[]) WITH ORDINALITY AS new (offer_id, similarity, place)",
        &[&answer_id, &profile, &all, &similarities],
    )?;
    Ok(())
}

/// As it is stored beside the body, to be looked for.
pub(super) fn price(offer: &Offer) -> Option<String> {
    offer.price.map(|price| price.yuan().to_string())
}

fn json(value: &impl serde::Serialize) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|error| super::fault::unexpected(error.to_string()))
}

/// Keeps that offers are of these categories, beside those that were told of them before.
fn note_categories<'a>(
    write: &mut Write<'_>,
    profile: &str,
    told: impl Iterator<Item = (u64, &'a OfferId)>,
) -> Result<(), CatalogError> {
    let (categories, ids): (Vec<i64>, Vec<&str>) =
        told.map(|(category_id, offer_id)| (category_number(category_id), offer_id.as_str())).unzip();
    if categories.is_empty() {
        return Ok(());
    }
    write.execute(
        "INSERT INTO offer_categories (category_id, profile, offer_id)
         SELECT category_id, $1, offer_id FROM unnest($2::bigint[], $3::text[]) AS told (category_id, offer_id)
         ON CONFLICT (category_id, profile, offer_id) DO NOTHING",
        &[&profile, &categories, &ids],
    )?;
    Ok(())
}

pub(super) fn put_details(
    write: &mut Write<'_>,
    profile: &str,
    offer_id: &OfferId,
    detail: &OfferDetail,
    fetched_at: Timestamp,
) -> Result<(), CatalogError> {
    write.execute(
        "INSERT INTO offer_details (profile, offer_id, body, fetched_at_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (profile, offer_id)
         DO UPDATE SET body = excluded.body, fetched_at_ms = excluded.fetched_at_ms",
        &[&profile, &offer_id.as_str(), &json(detail)?, &fetched_at.unix_ms()],
    )?;
    history::note_terms(write, profile, &[(offer_id, &detail.offer)], fetched_at)?;
    images::await_variants(write, profile, offer_id, detail)?;
    note_categories(write, profile, detail.offer.category_ids.iter().map(|id| (*id, offer_id)))
}

pub(super) fn put_refusal(
    write: &mut Write<'_>,
    byte_digest: Digest,
    refusal: &Refusal,
) -> Result<(), CatalogError> {
    write.execute(
        "INSERT INTO refusals (byte_digest, profile, code, message, refused_at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (byte_digest, profile) DO UPDATE
         SET code = excluded.code, message = excluded.message, refused_at_ms = excluded.refused_at_ms
         WHERE excluded.refused_at_ms >= refusals.refused_at_ms",
        &[
            &byte_digest.as_bytes().as_slice(),
            &refusal.profile,
            &plain(&refusal.code),
            &plain(&refusal.message),
            &refusal.refused_at.unix_ms(),
        ],
    )?;
    Ok(())
}
