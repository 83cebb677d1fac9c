//! What was paid for and could not be stored: kept in the side journal (else in memory), found there, stored later.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::answers::{NewAnswer, StoredAnswer, put_answer};
use super::details::{StoredDetail, put_details};
use super::photos::{NewPhoto, is_stored, put_photo};
use super::refusals::{Refusal, put_refusal};
use super::{Catalog, CatalogError, bump_generation, meta};
use crate::offer::{Offer, OfferDetail, OfferId};
use crate::photo::{Digest, PhotoFormat};
use crate::photo_id::PhotoId;
use crate::question::Region;
use crate::timestamp::Timestamp;
use crate::vector::Embedding;

/// What an upstream said and was paid for, with all that is needed to store it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paid {
    /// An answer to a search.
    Answer(PaidAnswer),
    /// Details of an offer.
    Details(Box<PaidDetails>),
    /// What an upstream has against a picture.
    Refusal(PaidRefusal),
}

/// An answer about a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaidAnswer {
    pub(crate) byte_digest: Bytes,
    /// The stored photo that it answers, if the picture was recognised.
    pub(crate) photo_id: Option<i64>,
    /// What becomes a photo otherwise.
    pub(crate) photo: Option<PaidPhoto>,
    pub(crate) profile: String,
    pub(crate) params: String,
    pub(crate) fetched_at_ms: i64,
    total: Option<u64>,
    /// None in what earlier versions have written.
    #[serde(default)]
    regions: Vec<Region>,
    offers: Vec<Offer>,
}

/// [`NewPhoto`] as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PaidPhoto {
    label: String,
    pixel_digest: Bytes,
    width_px: u32,
    height_px: u32,
    format: PhotoFormat,
    /// The fingerprint of the model that made the vector, as in `meta.model`.
    pub(crate) model: Option<String>,
    vector: Bytes,
    sketch: Bytes,
    added_at_ms: i64,
}

/// Details of an offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaidDetails {
    /// Who told of it.
    pub profile: String,
    /// The one that was asked for.
    pub offer_id: OfferId,
    /// When it was told, in milliseconds since 1970.
    pub fetched_at_ms: i64,
    /// What was told.
    pub detail: OfferDetail,
}

/// What an upstream has against a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaidRefusal {
    pub(crate) byte_digest: Bytes,
    profile: String,
    code: String,
    message: String,
    refused_at_ms: i64,
}

/// Written to JSON in Base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

impl Bytes {
    fn of(digest: Digest) -> Self {
        Self(digest.as_bytes().to_vec())
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        self.0.as_slice().try_into().ok().map(Digest::from_bytes)
    }
}

impl PaidAnswer {
    /// `photo_id`: of the stored photo that the picture was recognised as; `photo`: the picture itself, where its
    /// embedding could be had. Own goods are never paid for: `None` for them.
    #[must_use]
    pub fn new(
        byte_digest: Digest,
        photo_id: Option<PhotoId>,
        photo: Option<&NewPhoto<'_>>,
        answer: &NewAnswer<'_>,
    ) -> Option<Self> {
        let NewAnswer::Upstream { profile, params, fetched_at, total, regions, offers } = *answer else {
            return None;
        };
        Some(Self {
            byte_digest: Bytes::of(byte_digest),
            photo_id: photo_id.map(|id| id.0),
            photo: photo.map(|photo| PaidPhoto {
                label: photo.label.to_owned(),
                pixel_digest: Bytes::of(photo.pixel_digest),
                width_px: photo.width_px,
                height_px: photo.height_px,
                format: photo.format,
                model: None,
                vector: Bytes(photo.embedding.to_le_bytes()),
                sketch: Bytes(photo.sketch.to_vec()),
                added_at_ms: photo.added_at.unix_ms(),
            }),
            profile: profile.to_owned(),
            params: params.to_owned(),
            fetched_at_ms: fetched_at.unix_ms(),
            total,
            regions: regions.to_vec(),
            offers: offers.to_vec(),
        })
    }

    pub(super) fn is_for(&self, byte_digest: Digest, params: &str, profiles: &[&str]) -> bool {
        self.byte_digest.0 == byte_digest.as_bytes()
            && self.params == params
            && (profiles.is_empty() || profiles.contains(&self.profile.as_str()))
    }

    fn store(&self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        let Some(photo_id) = self.photo_id(transaction)? else { return Ok(()) };
        let newest: Option<i64> = transaction
            .prepare_cached(
                "SELECT fetched_at_ms FROM answers WHERE photo_id = ?1 AND profile = ?2 AND params = ?3",
            )?
            .query_row(params![photo_id, self.profile, self.params], |row| row.get(0))
            .optional()?;
        if newest.is_some_and(|newest| newest >= self.fetched_at_ms) {
            return Ok(());
        }
        put_answer(transaction, photo_id, &self.as_new())
    }

    /// The answer as it is to be stored.
    pub(crate) fn as_new(&self) -> NewAnswer<'_> {
        NewAnswer::Upstream {
            profile: &self.profile,
            params: &self.params,
            fetched_at: Timestamp::from_unix_ms(self.fetched_at_ms),
            total: self.total,
            regions: &self.regions,
            offers: &self.offers,
        }
    }

    /// As one finds it that looks for it.
    pub(super) fn into_stored(self) -> StoredAnswer {
        let fetched_at = Timestamp::from_unix_ms(self.fetched_at_ms);
        let Self { profile, params, total, regions, mut offers, .. } = self;
        for offer in &mut offers {
            offer.seen_at = Some(fetched_at);
        }
        StoredAnswer { profile, params, fetched_at, total, regions, offers }
    }

    /// The photo to which the answer belongs; stored now if it was not. `None` where it was removed meanwhile, and this
    /// record does not hold it.
    fn photo_id(&self, transaction: &Transaction<'_>) -> Result<Option<PhotoId>, rusqlite::Error> {
        if let Some(photo_id) = self.photo_id.map(PhotoId)
            && is_stored(transaction, photo_id)?
        {
            return Ok(Some(photo_id));
        }
        let same_bytes = transaction
            .prepare_cached("SELECT photo_id FROM photo_bytes WHERE byte_digest = ?1")?
            .query_row([&self.byte_digest.0], |row| row.get(0))
            .optional()?;
        let (None, Some(photo)) = (same_bytes, &self.photo) else { return Ok(same_bytes) };
        let Some(byte_digest) = self.byte_digest.digest() else { return Ok(None) };
        let Some(embedding) = photo.embedding() else { return Ok(None) };
        let Some(new) = photo.as_new(byte_digest, &embedding) else { return Ok(None) };
        let stored = put_photo(transaction, &new)?;
        if stored.is_new && photo.model.is_some() && photo.model != meta(transaction, "model")? {
            // The home has another model by now. The photo stays known by its bytes and pixels, as after `reembed`.
            transaction.execute("DELETE FROM embeddings WHERE photo_id = ?1", [stored.photo_id])?;
        }
        Ok(Some(stored.photo_id))
    }
}

impl PaidPhoto {
    pub(crate) fn embedding(&self) -> Option<Embedding> {
        Embedding::from_le_bytes(&self.vector.0).ok()
    }

    /// The photo as it is to be stored, with its [`embedding`](Self::embedding).
    pub(crate) fn as_new<'a>(
        &'a self,
        byte_digest: Digest,
        embedding: &'a Embedding,
    ) -> Option<NewPhoto<'a>> {
        Some(NewPhoto {
            label: &self.label,
            byte_digest,
            pixel_digest: self.pixel_digest.digest()?,
            width_px: self.width_px,
            height_px: self.height_px,
            format: self.format,
            embedding,
            sketch: &self.sketch.0,
            added_at: Timestamp::from_unix_ms(self.added_at_ms),
        })
    }
}

impl PaidRefusal {
    /// From what the store would have kept.
    #[must_use]
    pub fn new(byte_digest: Digest, refusal: &Refusal) -> Self {
        Self {
            byte_digest: Bytes::of(byte_digest),
            profile: refusal.profile.clone(),
            code: refusal.code.clone(),
            message: refusal.message.clone(),
            refused_at_ms: refusal.refused_at.unix_ms(),
        }
    }

    fn store(&self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        let Some(byte_digest) = self.byte_digest.digest() else { return Ok(()) };
        put_refusal(transaction, byte_digest, &self.as_refusal())
    }

    /// The refusal as it is to be stored.
    pub(crate) fn as_refusal(&self) -> Refusal {
        Refusal {
            profile: self.profile.clone(),
            code: self.code.clone(),
            message: self.message.clone(),
            refused_at: Timestamp::from_unix_ms(self.refused_at_ms),
        }
    }
}

impl PaidDetails {
    fn store(&self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        let newest: Option<i64> = transaction
            .prepare_cached("SELECT fetched_at_ms FROM offer_details WHERE profile = ?1 AND offer_id = ?2")?
            .query_row(params![self.profile, self.offer_id.as_str()], |row| row.get(0))
            .optional()?;
        if newest.is_some_and(|newest| newest >= self.fetched_at_ms) {
            return Ok(());
        }
        let fetched_at = Timestamp::from_unix_ms(self.fetched_at_ms);
        put_details(transaction, &self.profile, &self.offer_id, &self.detail, fetched_at)
    }
}

/// How much was paid for and is not in the store yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaidWaiting {
    /// Answers, details and refusals that will be stored.
    pub waiting: usize,
    /// Such that cannot be read any more.
    pub damaged: usize,
}

impl Catalog {
    /// Keeps what was paid for and could not be stored until it can be. Says whether it is on disk: else it lives as
    /// long as this process.
    pub fn set_aside(&self, paid: Paid) -> bool {
        self.set_aside.keep(paid, self.model.get())
    }

    /// Whether something that was paid for is not in the catalogue yet.
    #[must_use]
    pub fn has_something_set_aside(&self) -> bool {
        !self.set_aside.is_empty()
    }

    /// Stores what was set aside, here or by other processes. To be called before more is paid for: while it fails,
    /// more could not be stored either.
    ///
    /// # Errors
    /// [`CatalogError`] when the catalogue or the journal cannot be written. Nothing is lost then.
    pub fn store_what_waits(&self) -> Result<(), CatalogError> {
        self.set_aside.drain(|all| self.store_paid(all))
    }

    /// How much of it there is.
    ///
    /// # Errors
    /// [`CatalogError::Journal`] when it cannot be read.
    pub fn paid_waiting(&self) -> Result<PaidWaiting, CatalogError> {
        self.set_aside.counts()
    }

    /// Sees to it that an answer that is paid for now has a place on disk, whatever happens to the catalogue.
    ///
    /// # Errors
    /// [`CatalogError::Journal`] when it has none.
    pub fn keep_room_for_an_answer(&self) -> Result<(), CatalogError> {
        self.set_aside.keep_room()
    }

    fn store_paid(&self, all: &[Paid]) -> Result<(), CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for paid in all {
            match paid {
                Paid::Answer(answer) => answer.store(&transaction)?,
                Paid::Details(details) => details.store(&transaction)?,
                Paid::Refusal(refusal) => refusal.store(&transaction)?,
            }
        }
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// The newest answer about these bytes that waits to be stored.
    #[must_use]
    pub fn waiting_answer(
        &self,
        byte_digest: Digest,
        params: &str,
        profiles: &[&str],
    ) -> Option<StoredAnswer> {
        self.set_aside.answer(byte_digest, params, profiles)
    }

    /// The newest details of an offer that wait to be stored.
    #[must_use]
    pub fn waiting_details(&self, offer_id: &OfferId, profiles: &[&str]) -> Option<StoredDetail> {
        self.set_aside.details(offer_id, profiles)
    }
}
