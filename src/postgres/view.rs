//! What people are shown of a home.

use std::collections::BTreeMap;

use time::Date;
use time::macros::format_description;

use super::answers::answer_row;
use super::photos::numbers;
use super::search_tables::GRAPH;
use super::{PostgresStore, count, meta};
use crate::catalog::shared::MOST_DAYS;
use crate::catalog::{
    CatalogError, Counts, DayCounts, FoundOffer, ImageCounts, OWN_PROFILE, QueueCounts, StoredAnswer,
    ToldPair, Words,
};
use crate::offer::OfferId;
use crate::photo_id::PhotoId;
use crate::store::{ServerFacts, ViewStore};
use crate::timestamp::Timestamp;
use crate::vector::Fingerprint;

impl ViewStore for PostgresStore {
    fn location(&self) -> String {
        self.address.to_string()
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn server(&self) -> Result<Option<ServerFacts>, CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT current_setting('server_version'), (SELECT version FROM format),
                        (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
                        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
                        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                        current_setting('max_connections')::bigint,
                        (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'),
                        coalesce(sum(n_live_tup), 0)::bigint, coalesce(sum(n_dead_tup), 0)::bigint
                 FROM pg_stat_user_tables WHERE schemaname = current_schema()",
                &[],
            )?;
            Ok(Some(ServerFacts {
                version: row.try_get(0)?,
                format: row.try_get(1)?,
                time: Timestamp::from_unix_ms(row.try_get(2)?),
                is_encrypted: row.try_get(3)?,
                connections: (count(row.try_get(4)?), count(row.try_get(5)?)),
                waiting_for_locks: count(row.try_get(6)?),
                rows: (count(row.try_get(7)?), count(row.try_get(8)?)),
            }))
        })
    }

    fn counts(&self) -> Result<Counts, CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT (SELECT count(*) FROM photos), (SELECT count(*) FROM photos WHERE kind = 'own'),
                        (SELECT count(*) FROM offers WHERE profile = $1),
                        (SELECT count(*) FROM answers), (SELECT count(*) FROM offers),
                        (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
                         WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r')",
                &[&OWN_PROFILE],
            )?;
            Ok(Counts {
                photos: count(row.try_get(0)?),
                own_photos: count(row.try_get(1)?),
                own_goods: count(row.try_get(2)?),
                answers: count(row.try_get(3)?),
                offers: count(row.try_get(4)?),
                file_bytes: count(row.try_get(5)?),
            })
        })
    }

    fn by_day(&self) -> Result<Vec<DayCounts>, CatalogError> {
        let mut days: BTreeMap<Date, DayCounts> = BTreeMap::new();
        // Days of China standard time, as calls are counted.
        let rows = self.read(|c| {
            Ok(c.query(
                "SELECT to_char(to_timestamp(added_at_ms / 1000) AT TIME ZONE 'UTC' + interval '8 hours', 'YYYY-MM-DD'),
                        count(*), 0::bigint, 0::bigint
                 FROM photos GROUP BY 1
                 UNION ALL SELECT day, 0, count(*), 0 FROM spend WHERE state <> 'refunded' GROUP BY day
                 UNION ALL SELECT day, 0, 0, calls FROM saved_calls",
                &[],
            )?)
        })?;
        for row in rows {
            // What is no day of the calendar is left out.
            let Some(date) = date(row.try_get(0)?) else { continue };
            let day = days.entry(date).or_insert_with(|| nothing_on(date));
            day.photos += count(row.try_get(1)?);
            day.calls += count(row.try_get(2)?);
            day.saved += count(row.try_get(3)?);
        }
        let Some((&last, _)) = days.last_key_value() else { return Ok(Vec::new()) };
        let Some((&first, _)) = days.first_key_value() else { return Ok(Vec::new()) };
        let earliest = last - time::Duration::days(i64::from(MOST_DAYS));
        let mut date = first.max(earliest);
        let mut all = Vec::new();
        loop {
            all.push(days.remove(&date).unwrap_or_else(|| nothing_on(date)));
            match date.next_day() {
                Some(next) if date < last => date = next,
                _ => return Ok(all),
            }
        }
    }

    fn queue_counts(&self) -> Result<QueueCounts, CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT count(*) FILTER (WHERE reason = 'deferred'), count(*) FILTER (WHERE reason = 'stale'),
                        count(*) FILTER (WHERE attempts > 0) FROM queue",
                &[],
            )?;
            Ok(QueueCounts {
                deferred: count(row.try_get(0)?),
                stale: count(row.try_get(1)?),
                in_trouble: count(row.try_get(2)?),
            })
        })
    }

    fn image_counts(&self) -> Result<ImageCounts, CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'stored'),
                        count(*) FILTER (WHERE state = 'failed') FROM offer_images",
                &[],
            )?;
            Ok(ImageCounts {
                waiting: count(row.try_get(0)?),
                stored: count(row.try_get(1)?),
                failed: count(row.try_get(2)?),
            })
        })
    }

    /// The server holds its references and checks by itself; what is looked for is what makes it lose or miss something.
    fn problems(&self) -> Result<Vec<String>, CatalogError> {
        self.read(|c| {
            let rows = c.query(
                "SELECT 'the index ' || c.relname || ' is not valid: REINDEX it' FROM pg_index i
                 JOIN pg_class c ON c.oid = i.indexrelid
                 WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace AND c.relname <> $1
                 UNION ALL
                 SELECT 'the server runs with ' || name || ' off: a crash can lose what is stored, or damage it'
                 FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'",
                // It may be one that is being made: `search_facts` tells of it.
                &[&GRAPH],
            )?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
    }

    fn stored_model(&self) -> Result<Option<Fingerprint>, CatalogError> {
        let text = self.read(|c| meta(c, "model"))?;
        text.map(|text| {
            serde_json::from_str(&text)
                .map_err(|e| CatalogError::Damaged { place: "meta.model".to_owned(), problem: e.to_string() })
        })
        .transpose()
    }

    fn find_offers(&self, words: &Words, limit: u32) -> Result<Vec<FoundOffer>, CatalogError> {
        self.read(|c| {
            let rows = c.query(
                "SELECT profile, offer_id, body, updated_at_ms FROM offers
                 WHERE title @@ $1::text::tsquery
                 ORDER BY ts_rank(title, $1::text::tsquery, 1) DESC, offer_number LIMIT $2",
                &[&words.tsquery(), &i64::from(limit)],
            )?;
            let mut found = Vec::new();
            for row in rows {
                let profile: String = row.try_get(0)?;
                let offer = self.stored_offer(&profile, &row, 1)?;
                found.extend(offer.map(|offer| FoundOffer { profile, offer }));
            }
            Ok(found)
        })
    }

    fn answers(&self, photo_id: PhotoId) -> Result<Vec<StoredAnswer>, CatalogError> {
        self.read_at_once(|c| {
            let rows = c.query(
                "SELECT answer_id, profile, params, fetched_at_ms, total, regions FROM answers
                 WHERE photo_id = $1 ORDER BY fetched_at_ms DESC, answer_id DESC",
                &[&photo_id.0],
            )?;
            rows.iter()
                .map(|row| {
                    let (answer_id, answer) = answer_row(row)?;
                    self.with_offers(c, answer_id, answer)
                })
                .collect()
        })
    }

    fn photos_of_own(&self, offer_id: &OfferId) -> Result<Vec<PhotoId>, CatalogError> {
        self.read(|c| {
            numbers(&c.query(
                "SELECT DISTINCT a.photo_id FROM answer_offers o JOIN answers a USING (answer_id)
                 WHERE o.profile = $1 AND o.offer_id = $2 ORDER BY a.photo_id",
                &[&OWN_PROFILE, &offer_id.as_str()],
            )?)
        })
    }

    fn told_of(&self, photo_id: PhotoId) -> Result<Vec<ToldPair>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT photo_b, same, told_at_ms FROM told WHERE photo_a = $1
                 UNION ALL SELECT photo_a, same, told_at_ms FROM told WHERE photo_b = $1
                 ORDER BY told_at_ms DESC",
                &[&photo_id.0],
            )?
            .iter()
            .map(|row| {
                let told_at = Timestamp::from_unix_ms(row.try_get(2)?);
                Ok(ToldPair { other: PhotoId(row.try_get(0)?), same: row.try_get(1)?, told_at })
            })
            .collect()
        })
    }
}

fn nothing_on(date: Date) -> DayCounts {
    let day = format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day());
    DayCounts { day, photos: 0, calls: 0, saved: 0 }
}

fn date(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}
