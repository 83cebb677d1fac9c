//! Own goods, stored by the group.

use rusqlite::{ErrorCode, Transaction, TransactionBehavior, params};

use super::answers::{NewAnswer, put_answer};
use super::photos::{NewPhoto, Stored, is_stored, put_photo};
use super::{Catalog, CatalogError, OWN_PROFILE, SqliteFault, bump_generation};
use crate::offer::Offer;
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// An own good to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewGood<'a> {
    /// What is told of it.
    pub offer: &'a Offer,
    /// What shows it.
    pub photo: GoodsPhoto<'a>,
    /// When it was added.
    pub added_at: Timestamp,
}

/// The photo that shows an own good.
#[derive(Clone, Copy, Debug)]
pub enum GoodsPhoto<'a> {
    /// One that was stored when it was looked for.
    Stored(PhotoId),
    /// One that is stored with the good.
    New(NewPhoto<'a>),
}

/// What became of a [`NewGood`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredGood {
    /// The photo that shows it.
    pub photo_id: PhotoId,
    /// False when a photo with the same bytes or pixels was there already.
    pub is_new: bool,
    /// How many photos show the good by now.
    pub photos: u32,
}

impl Catalog {
    /// Stores goods in their order, in one transaction; what is told last of a good counts. One that cannot be stored has
    /// an error in its place and leaves nothing behind; the others are stored all the same. Equal pictures in one group
    /// are one photo.
    ///
    /// # Errors
    /// [`CatalogError`] when the file fails; then none of them is stored. In the place of a good:
    /// [`CatalogError::PhotoGone`] when its photo was removed since it was looked for, or what is wrong with it.
    pub fn store_all(
        &self,
        goods: &[NewGood<'_>],
    ) -> Result<Vec<Result<StoredGood, CatalogError>>, CatalogError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if goods.iter().any(|good| matches!(good.photo, GoodsPhoto::New(_))) {
            self.must_be_mine(&transaction)?;
        }
        let mut results = Vec::with_capacity(goods.len());
        for good in goods {
            transaction.prepare_cached("SAVEPOINT good")?.execute([])?;
            let result = put_good(&transaction, good);
            match &result {
                Err(CatalogError::Sqlite(SqliteFault(error))) if fails_for_all(error) => {
                    return result.map(|_| Vec::new());
                }
                Err(_) => drop(transaction.prepare_cached("ROLLBACK TO good")?.execute([])?),
                Ok(_) => {}
            }
            transaction.prepare_cached("RELEASE good")?.execute([])?;
            results.push(result);
        }
        bump_generation(&transaction)?;
        transaction.commit()?;
        Ok(results)
    }
}

fn put_good(transaction: &Transaction<'_>, good: &NewGood<'_>) -> Result<StoredGood, CatalogError> {
    let stored = match &good.photo {
        GoodsPhoto::Stored(photo_id) if !is_stored(transaction, *photo_id)? => {
            return Err(CatalogError::PhotoGone { photo_id: *photo_id });
        }
        GoodsPhoto::Stored(photo_id) => Stored { photo_id: *photo_id, is_new: false },
        GoodsPhoto::New(photo) => put_photo(transaction, photo)?,
    };
    put_answer(transaction, stored.photo_id, &NewAnswer::Own { added_at: good.added_at, offer: good.offer })?;
    let photos = transaction
        .prepare_cached("SELECT count(*) FROM answer_offers WHERE profile = ?1 AND offer_id = ?2")?
        .query_row(params![OWN_PROFILE, good.offer.offer_id.as_str()], |row| row.get(0))?;
    Ok(StoredGood { photo_id: stored.photo_id, is_new: stored.is_new, photos })
}

/// Whether an error lies in the file or the machine, and not in what was to be stored.
fn fails_for_all(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        None | Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    )
}
