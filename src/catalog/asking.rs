//! Searches under way: a search registers here before its paid call, so that no other thread or process pays for the same
//! picture, or for the details of the same offer.

use std::borrow::Cow;
use std::fmt;
use std::sync::{MutexGuard, PoisonError};

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::columns::text;
use super::patience::Writer;
use super::{Catalog, CatalogError};
use crate::offer::OfferId;
use crate::paths::folder_of;
use crate::photo_id::PhotoId;
use crate::presence::{FOLDER, lives};
use crate::vector::{Embedding, similarity};

/// What a search wants to ask about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A stored photo, or an edited copy of it.
    Stored(PhotoId),
    /// A picture that is not stored.
    New(&'a Embedding),
    /// Details of an offer; whatever the parameters.
    Offer(&'a OfferId),
}

impl Subject<'_> {
    /// Under which word the turn is written down: only turns of the same word are compared.
    pub(crate) fn key(self, params: &str) -> Cow<'_, str> {
        match self {
            Self::Stored(_) | Self::New(_) => Cow::Borrowed(params),
            Self::Offer(offer_id) => Cow::Owned(format!("offer {offer_id}")),
        }
    }

    /// What is written down of it: a number, or bytes. An offer is named by its word, and has no vector.
    pub(crate) fn columns(self) -> (Option<PhotoId>, Option<Vec<u8>>) {
        match self {
            Self::Stored(photo_id) => (Some(photo_id), None),
            Self::New(embedding) => (None, Some(embedding.to_le_bytes())),
            Self::Offer(_) => (None, Some(Vec::new())),
        }
    }

    /// Whether another turn of the same word is about the same. A picture may have been stored since the other search began,
    /// so stored and new ones are compared by their vectors: `vector` is that of the other picture, and `stored` that of this
    /// one where it is stored.
    pub(crate) fn is_same(
        self,
        stored: Option<&Embedding>,
        photo_id: Option<PhotoId>,
        vector: Option<&[u8]>,
        same_from: f32,
    ) -> bool {
        let mine = match (self, photo_id) {
            (Self::Offer(_), _) => return true,
            (Self::Stored(mine), Some(theirs)) => return mine == theirs,
            (Self::Stored(_), None) => stored,
            (Self::New(mine), _) => Some(mine),
        };
        let theirs = vector.and_then(|vector| Embedding::from_le_bytes(vector).ok());
        mine.zip(theirs).is_some_and(|(mine, theirs)| {
            theirs.dimension() == mine.dimension()
                && similarity(mine.as_slice(), theirs.as_slice()) >= same_from
        })
    }
}

/// Whether one may ask.
#[derive(Debug)]
pub enum Turn<'a> {
    /// The right to ask about this picture and edited copies of it, exclusive until this is dropped.
    Mine(Asking<'a>),
    /// Another search has it. Wait, then look whether the answer is there.
    Taken,
}

/// Another search that asks about the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub i64);

/// The exclusive right to ask about a picture; ends when dropped, or with the process.
pub struct Asking<'a> {
    release: Option<Box<dyn FnOnce() + 'a>>,
}

impl<'a> Asking<'a> {
    /// `release` gives the right back.
    pub fn new(release: impl FnOnce() + 'a) -> Self {
        Self { release: Some(Box::new(release)) }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

/// The registered search of some thread or process.
struct Other {
    asking_id: i64,
    process: String,
    photo_id: Option<PhotoId>,
    /// Of the picture, whether it is stored or not.
    vector: Option<Vec<u8>>,
}

impl Catalog {
    fn ended_turns(&self) -> MutexGuard<'_, Vec<i64>> {
        self.ended_turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the right to ask about `subject` with these parameters, unless another search holds it for the same picture
    /// or for one whose embedding is at least as near as `same_from` (a cosine), stored or not; two stored photos are the same by
    /// their number alone. What a process held that has ended is free.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be written.
    pub fn take_turn(
        &self,
        subject: Subject<'_>,
        params: &str,
        same_from: f32,
    ) -> Result<Turn<'_>, CatalogError> {
        let taken = self.take_turn_from(None, subject, params, same_from)?;
        Ok(taken.map_or(Turn::Taken, Turn::Mine))
    }

    /// As [`take_turn`](Self::take_turn), or the right's holder. What `given_up` holds, which has been waited for long
    /// enough, is free: the first of the waiting searches takes it over, and the others wait for that one.
    ///
    /// # Errors
    /// As for [`take_turn`](Self::take_turn).
    pub fn take_turn_from(
        &self,
        given_up: Option<Holder>,
        subject: Subject<'_>,
        params: &str,
        same_from: f32,
    ) -> Result<Result<Asking<'_>, Holder>, CatalogError> {
        let home = folder_of(&self.path);
        let key = subject.key(params);
        let process = self
            .presence
            .name(home)
            .map_err(|source| CatalogError::Home { path: home.join(FOLDER), source })?;
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let others: Vec<Other> = transaction
            .prepare_cached(
                "SELECT asking_id, process, asking.photo_id, coalesce(asking.vector, embeddings.vector)
                 FROM asking LEFT JOIN embeddings ON embeddings.photo_id = asking.photo_id WHERE params = ?1",
            )?
            .query_map([&key], |row| {
                Ok(Other {
                    asking_id: row.get(0)?,
                    process: text(row, 1)?,
                    photo_id: row.get(2)?,
                    vector: row.get(3)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let stored = match subject {
            Subject::Stored(photo_id) if !others.is_empty() => transaction
                .prepare_cached("SELECT vector FROM embeddings WHERE photo_id = ?1")?
                .query_row([photo_id], |row| row.get::<_, Vec<u8>>(0))
                .optional()?
                .and_then(|vector| Embedding::from_le_bytes(&vector).ok()),
            _ => None,
        };
        for other in others {
            let is_same =
                subject.is_same(stored.as_ref(), other.photo_id, other.vector.as_deref(), same_from);
            if !is_same {
                continue;
            }
            let holder = Holder(other.asking_id);
            let has_ended = given_up == Some(holder) || self.ended_turns().contains(&other.asking_id);
            if !has_ended && (self.presence.is(&other.process) || lives(home, &other.process)) {
                return Ok(Err(holder));
            }
            transaction.execute("DELETE FROM asking WHERE asking_id = ?1", [other.asking_id])?;
        }
        let (photo_id, vector) = subject.columns();
        transaction
            .prepare_cached("INSERT INTO asking (process, params, photo_id, vector) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![process, key, photo_id, vector])?;
        let asking_id = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(Ok(Asking::new(move || self.end_turn(asking_id))))
    }

    fn end_turn(&self, asking_id: i64) {
        let delete =
            |writer: Writer<'_>| writer.execute("DELETE FROM asking WHERE asking_id = ?1", [asking_id]);
        if self.writer_in_time().and_then(delete).is_err() {
            // The entry stays until the next search removes it.
            self.ended_turns().push(asking_id);
        }
    }
}
