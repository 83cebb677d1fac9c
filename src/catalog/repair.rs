//! Every entry that cannot be read, found by reading all of them, and what is taken away so that it is made or fetched anew.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::answers::{parse_offer, salvaged_offer};
use super::columns::{blob, checked, integer, read_vector, text};
use super::queue::{self, RawWaiting};
use super::{Catalog, CatalogError, Damage, Entry, OWN_PROFILE, bump_generation, calibrations, meta};
use crate::calibration::Calibration;
use crate::offer::OfferDetail;
use crate::photo_id::PhotoId;
use crate::question::SearchParams;

/// Rows that a scan reads at a time.
const CHUNK: u32 = 1024;

/// What is wrong with a blob that was stored with this sum.
type ProblemOf<'a> = dyn Fn(&[u8], Option<i64>) -> Option<String> + 'a;

/// Looks at a photo's blob and its sum.
pub(crate) type BlobVisitor<'a> = dyn FnMut(PhotoId, &[u8], Option<i64>) + 'a;

/// Has some of a table looked at, and its column of blobs: those after a photo in the order of photos. Returns the last one.
pub(crate) type ReadBlobs<'a> =
    dyn Fn(&str, &str, PhotoId, &mut BlobVisitor<'_>) -> Result<Option<PhotoId>, CatalogError> + 'a;

/// Finds the vectors and sketches that are damaged, in whichever store. `sketch` says what is wrong with a sketch.
///
/// # Errors
/// Those of `read`.
pub(crate) fn scan_blobs(
    dimension: Option<usize>,
    sketch: &dyn Fn(&[u8]) -> Option<String>,
    read: &ReadBlobs<'_>,
) -> Result<Vec<Damage>, CatalogError> {
    let vector = |bytes: &[u8], sum: Option<i64>| read_vector(bytes, sum, dimension).err();
    let next = |bytes: &[u8], sum: Option<i64>| read_vector(bytes, sum, None).err();
    let sketch = |bytes: &[u8], sum: Option<i64>| checked(bytes, sum).err().or_else(|| sketch(bytes));
    scan_tables(&vector, &next, &sketch, read)
}

/// Finds the vectors and sketches that are not what was stored, in whichever store.
///
/// # Errors
/// Those of `read`.
pub(crate) fn changed_blobs(read: &ReadBlobs<'_>) -> Result<Vec<Damage>, CatalogError> {
    let changed = |bytes: &[u8], sum: Option<i64>| checked(bytes, sum).err();
    scan_tables(&changed, &changed, &changed, read)
}

fn scan_tables(
    vector: &ProblemOf<'_>,
    next: &ProblemOf<'_>,
    sketch: &ProblemOf<'_>,
    read: &ReadBlobs<'_>,
) -> Result<Vec<Damage>, CatalogError> {
    let mut found = Vec::new();
    let mut scan = |table: &str, column: &str, problem: &ProblemOf<'_>, entry: fn(PhotoId) -> Entry| {
        let mut after = Some(PhotoId(i64::MIN));
        while let Some(place) = after {
            after = read(table, column, place, &mut |photo_id, bytes, sum| {
                found.extend(problem(bytes, sum).map(|problem| Damage { entry: entry(photo_id), problem }));
            })?;
        }
        Ok::<_, CatalogError>(())
    };
    scan("embeddings", "vector", vector, Entry::Vector)?;
    scan("next_embeddings", "vector", next, Entry::NextVector)?;
    scan("sketches", "sketch", sketch, Entry::Sketch)?;
    Ok(found)
}

impl Catalog {
    /// Reads every entry that can be damaged, and returns those that are. `sketch` says what is wrong with a sketch.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn damaged_entries(
        &self,
        sketch: &dyn Fn(&[u8]) -> Option<String>,
    ) -> Result<Vec<Damage>, CatalogError> {
        let mut found = scan_blobs(self.dimension(), sketch, &|table, column, after, look| {
            self.read_blobs(table, column, after, look)
        })?;
        self.read(|c| {
            scan_bodies(c, "offers", &mut found, |profile, offer_id, body| {
                let problem = parse_offer(body).err()?;
                Some(Damage { entry: Entry::Offer { profile, offer_id }, problem: problem.to_string() })
            })?;
            scan_bodies(c, "offer_details", &mut found, |profile, offer_id, body| {
                let problem = serde_json::from_slice::<OfferDetail>(body).err()?;
                Some(Damage { entry: Entry::Details { profile, offer_id }, problem: problem.to_string() })
            })?;
            let mut place = None;
            while let Some(raw) = queue::raw_after(c, place)? {
                place = Some(raw.place());
                let entry = Entry::Waiting { queue_id: raw.queue_id };
                found.extend(RawWaiting::into_waiting(raw).err().map(|problem| Damage { entry, problem }));
            }
            scan_params(c, &mut found)?;
            if meta(c, calibrations::KEY)?.is_some_and(|text| Calibration::from_json(&text).is_none()) {
                found.push(Damage { entry: Entry::Calibration, problem: "it is no calibration".to_owned() });
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The vectors and sketches that are not what was stored: no file that is written of them is taken back.
    pub(crate) fn changed_blobs(&self) -> Result<Vec<Damage>, CatalogError> {
        changed_blobs(&|table, column, after, look| self.read_blobs(table, column, after, look))
    }

    /// Takes away what cannot be read, in one transaction: a photo without its vector stays known by its bytes and pixels,
    /// a good whose text is lost keeps its id. Entries that are whole by now are removed as well: `damage` is to be
    /// fresh, from [`Catalog::damaged_entries`].
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn repair(&self, damage: &[Damage]) -> Result<(), CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Damage { entry, .. } in damage {
            mend_one(&transaction, entry)?;
        }
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// A chunk for [`scan_blobs`]: one long read would keep the journal from being folded in.
    fn read_blobs(
        &self,
        table: &str,
        column: &str,
        after: PhotoId,
        look: &mut BlobVisitor<'_>,
    ) -> Result<Option<PhotoId>, CatalogError> {
        let sql = format!(
            "SELECT photo_id, {column}, crc32 FROM {table} WHERE photo_id > ?1 ORDER BY photo_id LIMIT {CHUNK}"
        );
        self.read(|c| {
            let mut statement = c.prepare_cached(&sql)?;
            let mut rows = statement.query([after])?;
            let mut last = None;
            while let Some(row) = rows.next()? {
                let photo_id: PhotoId = row.get(0)?;
                look(photo_id, blob(row, 1)?, integer(row, 2)?);
                last = Some(photo_id);
            }
            Ok(last)
        })
    }
}

fn scan_bodies(
    connection: &Connection,
    table: &str,
    found: &mut Vec<Damage>,
    damage: impl Fn(String, String, &[u8]) -> Option<Damage>,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare(&format!("SELECT profile, offer_id, body FROM {table}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.extend(damage(text(row, 0)?, text(row, 1)?, blob(row, 2)?));
    }
    Ok(())
}

fn scan_params(connection: &Connection, found: &mut Vec<Damage>) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare("SELECT answer_id, params FROM answers WHERE profile <> ?1")?;
    let mut rows = statement.query([OWN_PROFILE])?;
    while let Some(row) = rows.next()? {
        if let Some(problem) = params_problem(&text(row, 1)?) {
            found.push(Damage { entry: Entry::Params { answer_id: row.get(0)? }, problem });
        }
    }
    Ok(())
}

/// What is wrong with what an answer was asked for with.
pub(crate) fn params_problem(params: &str) -> Option<String> {
    let is_key = SearchParams::is_key(params);
    (!is_key).then(|| format!("{:?}", params.chars().take(80).collect::<String>()))
}

fn mend_one(transaction: &Transaction<'_>, entry: &Entry) -> Result<(), rusqlite::Error> {
    let by_number = |sql: &str, number: i64| transaction.prepare_cached(sql)?.execute([number]);
    let by_offer = |sql: &str, profile: &str, offer_id: &str| transaction.execute(sql, [profile, offer_id]);
    match entry {
        Entry::Vector(id) => by_number("DELETE FROM embeddings WHERE photo_id = ?1", id.0),
        Entry::NextVector(id) => by_number("DELETE FROM next_embeddings WHERE photo_id = ?1", id.0),
        Entry::Sketch(id) => by_number("DELETE FROM sketches WHERE photo_id = ?1", id.0),
        Entry::Waiting { queue_id } => by_number("DELETE FROM queue WHERE queue_id = ?1", *queue_id),
        Entry::Params { answer_id } => {
            by_number("DELETE FROM answer_offers WHERE answer_id = ?1", *answer_id)?;
            by_number("DELETE FROM answers WHERE answer_id = ?1", *answer_id)
        }
        Entry::Details { profile, offer_id } => {
            by_offer("DELETE FROM offer_details WHERE profile = ?1 AND offer_id = ?2", profile, offer_id)
        }
        Entry::Offer { profile, offer_id } => {
            let Some(left) = salvaged_offer(offer_id).and_then(|offer| serde_json::to_string(&offer).ok())
            else {
                return Ok(());
            };
            transaction.execute(
                "UPDATE offers SET body = ?3 WHERE profile = ?1 AND offer_id = ?2",
                params![profile, offer_id, left],
            )
        }
        Entry::Calibration => transaction.execute("DELETE FROM meta WHERE key = ?1", [calibrations::KEY]),
        // Written anew when the home was opened.
        Entry::Model => Ok(0),
    }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::columns::crc32;
    use super::*;

    #[test]
    fn every_table_of_blobs_is_scanned_to_its_end_and_what_is_damaged_is_named_by_its_photo() {
        let found = scan_blobs(Some(1), &|_| None, &|_, _, after, look| {
            let photo_id = PhotoId(after.0.max(0) + 1);
            if photo_id.0 > 3 {
                return Ok(None);
            }
            let bytes = 1.0_f32.to_le_bytes();
            let sum = i64::from(crc32(&bytes));
            look(photo_id, &bytes, Some(if photo_id.0 == 2 { sum ^ 1 } else { sum }));
            Ok(Some(photo_id))
        });
        let entries: Vec<Entry> = found.unwrap().into_iter().map(|damage| damage.entry).collect();
        let second = PhotoId(2);
        assert_eq!(entries, [Entry::Vector(second), Entry::NextVector(second), Entry::Sketch(second)]);
    }
}
