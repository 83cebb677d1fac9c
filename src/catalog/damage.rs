//! What cannot be read of what is stored: one bad entry never stops the rest.
//!
//! A read that comes upon such an entry goes on without it and tells the listener, once for each entry. A scan finds
//! them all, and mending takes away what cannot be read, so that it is made or fetched anew.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::answers::{OWN_PROFILE, parse_offer, salvaged_offer};
use super::queue::{self, RawWaiting};
use super::{Catalog, CatalogError, bump_generation, meta};
use crate::calibration::Calibration;
use crate::offer::OfferDetail;
use crate::photo_id::PhotoId;
use crate::question::SearchParams;
use crate::vector::{Embedding, Fingerprint};

/// So many entries are named one by one; a listener is told once that there are more.
const MAX_TOLD: usize = 20;

/// Rows that a scan reads at a time.
const CHUNK: u32 = 1024;

/// An entry of the catalogue that can be damaged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// A photo's vector.
    Vector(PhotoId),
    /// Gathered for the next model.
    NextVector(PhotoId),
    /// A photo's sketch.
    Sketch(PhotoId),
    /// The text of an offer.
    Offer {
        /// Who told of it.
        profile: String,
        /// Its id at that profile.
        offer_id: String,
    },
    /// Details of an offer.
    Details {
        /// Who told of it.
        profile: String,
        /// Its id at that profile.
        offer_id: String,
    },
    /// A picture of the queue.
    Waiting {
        /// Its number in the queue.
        queue_id: i64,
    },
    /// What was asked for with an answer.
    Params {
        /// The answer's number.
        answer_id: i64,
    },
    /// The home's own calibration.
    Calibration,
    /// The name of the model that the home belongs to.
    Model,
}

/// An entry that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What cannot be read.
    pub entry: Entry,
    /// Why it cannot be read.
    pub problem: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vector(id) => write!(f, "the vector of photo {id}"),
            Self::NextVector(id) => write!(f, "the next model's vector of photo {id}"),
            Self::Sketch(id) => write!(f, "the sketch of photo {id}"),
            Self::Offer { profile, offer_id } if profile == OWN_PROFILE => {
                write!(f, "the own good {offer_id}")
            }
            Self::Offer { profile, offer_id } => write!(f, "the offer {offer_id} of {profile}"),
            Self::Details { profile, offer_id } => {
                write!(f, "the details of the offer {offer_id} of {profile}")
            }
            Self::Waiting { queue_id } => write!(f, "entry {queue_id} of the queue"),
            Self::Params { answer_id } => write!(f, "what answer {answer_id} was asked for with"),
            Self::Calibration => write!(f, "the calibration of this home"),
            Self::Model => write!(f, "the name of the model of this home"),
        }
    }
}

impl Entry {
    /// What is done without it, and what mends it: a repair is [`Catalog::repair`].
    fn consequence(&self) -> &'static str {
        match self {
            Self::Vector(_) => {
                "the photo is left out of the index and known by its bytes and pixels only; a repair takes the vector away, \
                 embedding the original anew makes another"
            }
            Self::NextVector(_) => "it is not used, and is made again",
            Self::Sketch(_) => {
                "the photo is judged by its vector alone; a repair takes the sketch away, the original makes another"
            }
            Self::Offer { profile, .. } if profile == OWN_PROFILE => {
                "only its id is known; add the good again, or have a repair keep the id alone"
            }
            Self::Offer { .. } => {
                "only its id is known; another answer that names it renews it, a repair keeps the id"
            }
            Self::Details { .. } => "they count as unknown; a repair takes them away",
            Self::Waiting { .. } => "it is passed over; a repair takes it away",
            Self::Params { .. } => {
                "no search finds the answer; a repair takes it away, and the next search asks anew"
            }
            Self::Calibration => {
                "the shipped one takes its place; calibrate again, or have a repair take it away"
            }
            Self::Model => {
                "the vectors have the dimension of this program's model, whose name was written in its place; if it was \
                 another model, embed the originals anew"
            }
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read ({}): {}", self.entry, self.problem, self.entry.consequence())
    }
}

/// What is wrong with a blob that was stored with this sum.
type ProblemOf<'a> = dyn Fn(&[u8], Option<i64>) -> Option<String> + 'a;

type Listener = Box<dyn Fn(DamageNote<'_>) + Send + Sync>;

/// What a listener hears of damage.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum DamageNote<'a> {
    /// One entry.
    Entry(&'a Damage),
    /// So many were told of that it is enough: a scan counts them.
    More,
}

impl fmt::Display for DamageNote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(damage) => damage.fmt(f),
            Self::More => f.write_str("more entries cannot be read"),
        }
    }
}

/// What was found damaged while something else was read.
#[derive(Default)]
pub(super) struct DamageLog {
    listener: OnceLock<Listener>,
    told: Mutex<HashSet<Entry>>,
}

impl DamageLog {
    /// Tells the listener, unless it has heard of this entry.
    pub(super) fn note(&self, entry: Entry, problem: impl fmt::Display) {
        let Some(listener) = self.listener.get() else { return };
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() > MAX_TOLD || !told.insert(entry.clone()) {
                return;
            }
            if told.len() > MAX_TOLD {
                return listener(DamageNote::More);
            }
        }
        listener(DamageNote::Entry(&Damage { entry, problem: problem.to_string() }));
    }
}

impl Catalog {
    /// Has `listener` told of each entry that turns out to be damaged, once. Only the first call counts.
    pub fn on_damage(&self, listener: impl Fn(DamageNote<'_>) + Send + Sync + 'static) {
        let _ = self.damage.listener.set(Box::new(listener));
    }

    /// Reads every entry that can be damaged, and returns those that are. `sketch` says what is wrong with a sketch.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn damaged_entries(
        &self,
        sketch: &dyn Fn(&[u8]) -> Option<String>,
    ) -> Result<Vec<Damage>, CatalogError> {
        let dimension = self.dimension();
        let mut found = Vec::new();
        let vector = |bytes: &[u8], crc| read_vector(bytes, crc, dimension).err();
        self.scan_blobs("embeddings", "vector", &vector, Entry::Vector, &mut found)?;
        let next = |bytes: &[u8], crc| read_vector(bytes, crc, None).err();
        self.scan_blobs("next_embeddings", "vector", &next, Entry::NextVector, &mut found)?;
        let sketch = |bytes: &[u8], crc| checked(bytes, crc).err().or_else(|| sketch(bytes));
        self.scan_blobs("sketches", "sketch", &sketch, Entry::Sketch, &mut found)?;
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
            if meta(c, super::calibrations::KEY)?.is_some_and(|text| Calibration::from_json(&text).is_none())
            {
                found.push(Damage { entry: Entry::Calibration, problem: "it is no calibration".to_owned() });
            }
            Ok(())
        })?;
        Ok(found)
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

    fn scan_blobs(
        &self,
        table: &str,
        column: &str,
        problem: &ProblemOf<'_>,
        entry: fn(PhotoId) -> Entry,
        found: &mut Vec<Damage>,
    ) -> Result<(), CatalogError> {
        let sql = format!(
            "SELECT photo_id, {column}, crc32 FROM {table} WHERE photo_id > ?1 ORDER BY photo_id LIMIT {CHUNK}"
        );
        let mut after = PhotoId(i64::MIN);
        loop {
            // In pieces: one long read would keep the journal from being folded in.
            let last = self.read(|c| {
                let mut statement = c.prepare_cached(&sql)?;
                let mut rows = statement.query([after])?;
                let mut last = None;
                while let Some(row) = rows.next()? {
                    let photo_id: PhotoId = row.get(0)?;
                    last = Some(photo_id);
                    let problem = problem(blob(row, 1)?, integer(row, 2)?);
                    found.extend(problem.map(|problem| Damage { entry: entry(photo_id), problem }));
                }
                Ok(last)
            })?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Numbers per vector, by the model that the home belongs to, where that is known.
    pub(super) fn dimension(&self) -> Option<usize> {
        let model = self.model.get().cloned().or_else(|| self.read(|c| meta(c, "model")).ok().flatten());
        serde_json::from_str::<Fingerprint>(&model?).ok().map(|model| model.dimension)
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
        let params = text(row, 1)?;
        if !SearchParams::is_key(&params) {
            let entry = Entry::Params { answer_id: row.get(0)? };
            found.push(Damage {
                entry,
                problem: format!("{:?}", params.chars().take(80).collect::<String>()),
            });
        }
    }
    Ok(())
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
        Entry::Calibration => {
            transaction.execute("DELETE FROM meta WHERE key = ?1", [super::calibrations::KEY])
        }
        // Written anew when the home was opened.
        Entry::Model => Ok(0),
    }?;
    Ok(())
}

/// What a blob's sum is stored as.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A blob as it was stored. Those from before there were sums have none.
pub(super) fn checked(bytes: &[u8], stored_crc: Option<i64>) -> Result<&[u8], String> {
    match stored_crc {
        Some(stored) if stored != i64::from(crc32(bytes)) => Err("its sum is another".to_owned()),
        _ => Ok(bytes),
    }
}

/// A stored vector, of `dimension` numbers where that is known.
pub(super) fn read_vector(
    bytes: &[u8],
    stored_crc: Option<i64>,
    dimension: Option<usize>,
) -> Result<Embedding, String> {
    let embedding = Embedding::from_le_bytes(checked(bytes, stored_crc)?).map_err(|e| e.to_string())?;
    match dimension {
        Some(wanted) if wanted != embedding.dimension() => {
            Err(format!("it has {} numbers instead of {wanted}", embedding.dimension()))
        }
        _ => Ok(embedding),
    }
}

/// A column of text, whatever became of its bytes.
pub(super) fn text(row: &Row<'_>, column: usize) -> Result<String, rusqlite::Error> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

pub(super) fn optional_text(row: &Row<'_>, column: usize) -> Result<Option<String>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    })
}

/// A column of bytes; none at all for a number.
pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    })
}

/// A column of whole numbers; `None` for anything else.
pub(super) fn integer(row: &Row<'_>, column: usize) -> Result<Option<i64>, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}

/// A column that counts something: what is out of range is the nearest that is in it.
pub(super) fn count(row: &Row<'_>, column: usize) -> Result<u32, rusqlite::Error> {
    let number = integer(row, column)?.unwrap_or(0).max(0);
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}
