//! Photos and their answers, stored together.

use rusqlite::TransactionBehavior;

use super::answers::{NewAnswer, put_answer};
use super::photos::{NewPhoto, Stored, is_stored, put_photo};
use super::{Catalog, CatalogError, bump_generation};
use crate::photo_id::PhotoId;

impl Catalog {
    /// Stores a photo with its embedding and its first answer in one transaction: all of it is there afterwards,
    /// or nothing. A photo that is there already (same bytes or same pixels) is not stored twice; see
    /// [`NewAnswer`] for what happens to an answer that is there already.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn store(&self, photo: &NewPhoto<'_>, answer: &NewAnswer<'_>) -> Result<Stored, CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.must_be_mine(&transaction)?;
        let stored = put_photo(&transaction, photo)?;
        put_answer(&transaction, stored.photo_id, answer)?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(stored)
    }

    /// Stores another answer to a photo that is there; says `false`, and stores nothing, if it is not there any more.
    ///
    /// # Errors
    /// [`CatalogError`] when the write fails; nothing has changed then.
    pub fn store_answer(&self, photo_id: PhotoId, answer: &NewAnswer<'_>) -> Result<bool, CatalogError> {
        let mut writer = self.writer_in_time()?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !is_stored(&transaction, photo_id)? {
            return Ok(false);
        }
        put_answer(&transaction, photo_id, answer)?;
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(true)
    }
}
