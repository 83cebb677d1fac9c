//! Reviews that people have not decided yet, in the service's own file: the picture, the photo that stands out, and why it is
//! not certain.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;
use serde_json::Value;

use super::store::{ServeStore, ServeStoreError};
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// So long a decided review can be opened again with its picture.
const REOPENED_WITHIN: Duration = Duration::from_hours(24);
/// Of all pictures that are kept for reviews, in bytes.
const MAX_PICTURE_BYTES: i64 = 512 * 1024 * 1024;

/// A picture that was not certain.
pub(super) struct NewReview<'a> {
    pub(super) picture: &'a [u8],
    pub(super) label: &'a str,
    /// The photo that stands out.
    pub(super) photo_id: PhotoId,
    /// What search or check said: `similarity`, `confidence`, `why` and others, as JSON.
    pub(super) facts: Value,
}

/// A review without its picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct StoredReview {
    pub(super) review_id: i64,
    /// What the picture is called.
    pub(super) label: String,
    /// The photo that stands out.
    #[serde(skip)]
    pub(super) photo_id: PhotoId,
    pub(super) facts: Value,
    pub(super) found_at: Timestamp,
}

fn stored_review(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredReview> {
    Ok(StoredReview {
        review_id: row.get(0)?,
        label: row.get(1)?,
        photo_id: PhotoId(row.get(2)?),
        facts: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
        found_at: Timestamp::from_unix_ms(row.get(4)?),
    })
}

const COLUMNS: &str = "review_id, label, photo_id, facts, found_ms";

impl ServeStore {
    /// Keeps a review, unless the pair is kept already, and at most `max` of them: the oldest go first, decided ones before open
    /// ones.
    pub(super) fn keep_review(
        &self,
        new: &NewReview<'_>,
        max: u32,
        now: Timestamp,
    ) -> Result<(), ServeStoreError> {
        let mut writer = self.writer();
        let keeping = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        keeping
            .execute("DELETE FROM reviews WHERE closed_ms < ?1", [now.minus(REOPENED_WITHIN).unix_ms()])?;
        keeping.execute(
            "INSERT INTO reviews (byte_digest, photo_id, label, picture, facts, found_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (byte_digest, photo_id) DO UPDATE SET facts = excluded.facts WHERE closed_ms IS NULL",
            params![
                Digest::of(new.picture).as_bytes().as_slice(),
                new.photo_id.0,
                new.label,
                new.picture,
                new.facts.to_string(),
                now.unix_ms(),
            ],
        )?;
        keeping.execute(
            "DELETE FROM reviews WHERE review_id IN (
                 SELECT review_id FROM (
                     SELECT review_id, row_number() OVER newest AS place, sum(length(picture)) OVER newest AS bytes FROM reviews
                     WINDOW newest AS (ORDER BY closed_ms IS NOT NULL, review_id DESC))
                 WHERE place > ?1 OR bytes > ?2)",
            params![max, MAX_PICTURE_BYTES],
        )?;
        keeping.commit()?;
        Ok(())
    }

    /// How many reviews are open, and up to `limit` of them after `after`, the oldest first.
    pub(super) fn open_reviews(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<(u64, Vec<StoredReview>), ServeStoreError> {
        let reader = self.reader();
        let open = reader
            .prepare_cached("SELECT count(*) FROM reviews WHERE closed_ms IS NULL")?
            .query_row([], |row| row.get(0))?;
        let mut statement = reader.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM reviews WHERE closed_ms IS NULL AND review_id > ?1 ORDER BY review_id LIMIT ?2"
        ))?;
        let reviews = statement.query_map(params![after, limit], stored_review)?;
        Ok((open, reviews.collect::<Result<_, _>>()?))
    }

    /// A review, open or decided a short while ago, with its picture.
    pub(super) fn review(&self, review_id: i64) -> Result<Option<(StoredReview, Vec<u8>)>, ServeStoreError> {
        let reader = self.reader();
        let mut statement =
            reader.prepare_cached(&format!("SELECT {COLUMNS}, picture FROM reviews WHERE review_id = ?1"))?;
        let found = statement.query_row([review_id], |row| Ok((stored_review(row)?, row.get(5)?)));
        Ok(found.optional()?)
    }

    /// Closes a review, or opens it again.
    pub(super) fn set_review_closed(
        &self,
        review_id: i64,
        closed_at: Option<Timestamp>,
    ) -> Result<(), ServeStoreError> {
        self.writer().execute(
            "UPDATE reviews SET closed_ms = ?2 WHERE review_id = ?1",
            params![review_id, closed_at.map(Timestamp::unix_ms)],
        )?;
        Ok(())
    }

    /// Closes the review of a pair that was decided elsewhere, or opens it again.
    pub(super) fn set_pair_closed(
        &self,
        byte_digest: Digest,
        photo_id: PhotoId,
        closed_at: Option<Timestamp>,
    ) -> Result<(), ServeStoreError> {
        self.writer().execute(
            "UPDATE reviews SET closed_ms = ?3 WHERE byte_digest = ?1 AND photo_id = ?2",
            params![byte_digest.as_bytes().as_slice(), photo_id.0, closed_at.map(Timestamp::unix_ms)],
        )?;
        Ok(())
    }

    /// Takes away the reviews of a photo that is gone.
    pub(super) fn forget_reviews_of(&self, photo_id: PhotoId) -> Result<(), ServeStoreError> {
        self.writer().execute("DELETE FROM reviews WHERE photo_id = ?1", [photo_id.0])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

    fn keep(store: &ServeStore, picture: &[u8], photo_id: i64, max: u32, now: Timestamp) {
        let facts = json!({"why": "other_variant"});
        let new = NewReview { picture, label: "a.jpg", photo_id: PhotoId(photo_id), facts };
        store.keep_review(&new, max, now).unwrap();
    }

    fn open(store: &ServeStore) -> Vec<(String, i64)> {
        let (count, reviews) = store.open_reviews(0, 100).unwrap();
        assert_eq!(count, reviews.len() as u64);
        let picture = |id| String::from_utf8(store.review(id).unwrap().unwrap().1).unwrap();
        reviews.iter().map(|review| (picture(review.review_id), review.photo_id.0)).collect()
    }

    #[test]
    fn a_pair_is_kept_once_and_no_more_than_may_be_the_oldest_and_the_decided_go_first() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        for (picture, photo_id) in [("a", 1), ("a", 1), ("b", 1), ("c", 1), ("a", 2)] {
            keep(&store, picture.as_bytes(), photo_id, 4, NOW);
        }
        let all = ["a", "b", "c", "a"].map(str::to_owned).into_iter().zip([1, 1, 1, 2]);
        assert_eq!(open(&store), all.collect::<Vec<_>>());
        store.set_pair_closed(Digest::of(b"c"), PhotoId(1), Some(NOW)).unwrap();
        keep(&store, b"d", 1, 4, NOW);
        assert_eq!(open(&store).len(), 4, "the decided one went");
        keep(&store, b"e", 1, 4, NOW);
        assert!(!open(&store).contains(&("a".to_owned(), 1)), "the oldest went");
    }

    #[test]
    fn a_decided_review_is_opened_again_within_a_day_and_a_pair_that_was_put_aside_does_not_come_back() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        keep(&store, b"a", 1, 9, NOW);
        let review_id = store.open_reviews(0, 1).unwrap().1[0].review_id;
        store.set_review_closed(review_id, Some(NOW)).unwrap();
        keep(&store, b"a", 1, 9, NOW);
        assert!(open(&store).is_empty());
        store.set_review_closed(review_id, None).unwrap();
        assert_eq!(open(&store).len(), 1);
        store.set_review_closed(review_id, Some(NOW)).unwrap();
        keep(&store, b"b", 1, 9, Timestamp::from_unix_ms(NOW.unix_ms() + 25 * 3_600_000));
        assert!(store.review(review_id).unwrap().is_none());
        store.forget_reviews_of(PhotoId(1)).unwrap();
        assert!(open(&store).is_empty());
    }
}
