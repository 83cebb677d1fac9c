//! Storing what was set aside.

use super::answers::{put_answer, put_details, put_refusal};
use super::connection::{Lock, Write};
use super::photos::{is_stored, put_photo};
use super::{PostgresStore, bump_generation, meta_in};
use crate::catalog::{CatalogError, Paid, PaidAnswer, PaidDetails};
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

impl PostgresStore {
    /// In one transaction; what is there in a newer version stays, so doing it twice changes nothing.
    pub(super) fn store_paid(&self, all: &[Paid]) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        for paid in all {
            match paid {
                Paid::Answer(answer) => store_answer(&mut write, answer)?,
                Paid::Details(details) => store_details(&mut write, details)?,
                Paid::Refusal(refusal) => {
                    if let Some(byte_digest) = refusal.byte_digest.digest() {
                        put_refusal(&mut write, byte_digest, &refusal.as_refusal())?;
                    }
                }
            }
        }
        bump_generation(&mut write)?;
        write.commit()
    }
}

fn store_answer(write: &mut Write<'_>, answer: &PaidAnswer) -> Result<(), CatalogError> {
    let Some(photo_id) = photo_of(write, answer)? else { return Ok(()) };
    let is_newest = !write.exists(
        "SELECT 1 FROM answers WHERE photo_id = $1 AND profile = $2 AND params = $3 AND fetched_at_ms >= $4",
        &[&photo_id.0, &answer.profile, &answer.params, &answer.fetched_at_ms],
    )?;
    if is_newest { put_answer(write, photo_id, &answer.as_new()) } else { Ok(()) }
}

/// The photo to which an answer belongs; stored now if it was not. `None` where it was removed meanwhile, and the record
/// does not hold it.
fn photo_of(write: &mut Write<'_>, answer: &PaidAnswer) -> Result<Option<PhotoId>, CatalogError> {
    if let Some(photo_id) = answer.photo_id.map(PhotoId)
        && is_stored(write, photo_id)?
    {
        return Ok(Some(photo_id));
    }
    let same_bytes = write
        .first("SELECT photo_id FROM photo_bytes WHERE byte_digest = $1", &[&answer.byte_digest.0])?
        .map(|row| row.try_get(0))
        .transpose()?
        .map(PhotoId);
    let (None, Some(photo)) = (same_bytes, &answer.photo) else { return Ok(same_bytes) };
    let Some(byte_digest) = answer.byte_digest.digest() else { return Ok(None) };
    let Some(embedding) = photo.embedding() else { return Ok(None) };
    let Some(new) = photo.as_new(byte_digest, &embedding) else { return Ok(None) };
    let stored = put_photo(write, &new)?;
    if stored.is_new && photo.model.is_some() && photo.model != meta_in(write, "model")? {
        // The home has another model by now. The photo stays known by its bytes and pixels, as after `reembed`.
        write.execute("DELETE FROM embeddings WHERE photo_id = $1", &[&stored.photo_id.0])?;
    }
    Ok(Some(stored.photo_id))
}

fn store_details(write: &mut Write<'_>, details: &PaidDetails) -> Result<(), CatalogError> {
    let PaidDetails { profile, offer_id, fetched_at_ms, detail } = details;
    let is_newest = !write.exists(
        "SELECT 1 FROM offer_details WHERE profile = $1 AND offer_id = $2 AND fetched_at_ms >= $3",
        &[profile, &offer_id.as_str(), fetched_at_ms],
    )?;
    if is_newest {
        put_details(write, profile, offer_id, detail, Timestamp::from_unix_ms(*fetched_at_ms))
    } else {
        Ok(())
    }
}
