//! The offers' own pictures, which wait to be fetched.

use super::connection::{Lock, Write};
use super::photos::put_photo;
use super::{PostgresStore, bump_generation, plain};
use crate::catalog::shared::MAX_ATTEMPTS;
use crate::catalog::{CatalogError, NewPhoto, Stored, WaitingImage};
use crate::offer::{Offer, OfferDetail, OfferId, canonical_image_url};
use crate::photo_id::PhotoId;
use crate::store::OfferImageStore;

impl OfferImageStore for PostgresStore {
    fn waiting_images(&self, after: i64, limit: u32) -> Result<Vec<WaitingImage>, CatalogError> {
        self.read(|c| {
            c.query(
                "SELECT image_id, profile, offer_id, url FROM offer_images
                 WHERE state = 'waiting' AND image_id > $1 ORDER BY image_id LIMIT $2",
                &[&after, &i64::from(limit)],
            )?
            .iter()
            .map(|row| {
                Ok(WaitingImage {
                    image_id: row.try_get(0)?,
                    profile: row.try_get(1)?,
                    offer_id: row.try_get(2)?,
                    url: row.try_get(3)?,
                })
            })
            .collect()
        })
    }

    fn photo_by_url(&self, url: &str) -> Result<Option<PhotoId>, CatalogError> {
        self.read(|c| {
            let row = c.one(
                "SELECT max(photo_id) FROM offer_images
                 WHERE md5(url) = md5($1::text) AND url = $1 AND state = 'stored'",
                &[&plain(url)],
            )?;
            let photo_id: Option<i64> = row.try_get(0)?;
            Ok(photo_id.map(PhotoId))
        })
    }

    fn store_image(&self, image_id: i64, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        self.must_be_mine(&mut write)?;
        let stored = put_photo(&mut write, photo)?;
        link(&mut write, image_id, stored.photo_id)?;
        bump_generation(&mut write)?;
        write.commit()?;
        Ok(stored)
    }

    fn link_image(&self, image_id: i64, photo_id: PhotoId) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::Commit)?;
        link(&mut write, image_id, photo_id)?;
        bump_generation(&mut write)?;
        write.commit()
    }

    fn note_image_trouble(&self, image_id: i64, trouble: &str, may_pass: bool) -> Result<(), CatalogError> {
        let mut write = self.write(Lock::None)?;
        write.execute(
            "UPDATE offer_images SET attempts = attempts + 1, trouble = $2,
                    state = CASE WHEN $3 AND attempts + 1 < $4::bigint THEN 'waiting' ELSE 'failed' END
             WHERE image_id = $1 AND state = 'waiting'",
            &[&image_id, &plain(trouble), &may_pass, &i64::from(MAX_ATTEMPTS)],
        )?;
        write.commit()
    }
}

fn link(write: &mut Write<'_>, image_id: i64, photo_id: PhotoId) -> Result<(), CatalogError> {
    write.execute(
        "UPDATE offer_images SET state = 'stored', photo_id = $2, trouble = NULL WHERE image_id = $1",
        &[&image_id, &photo_id.0],
    )?;
    Ok(())
}

/// Notes the addresses of offers' pictures, those that are new.
pub(super) fn await_images(
    write: &mut Write<'_>,
    profile: &str,
    offers: &[Offer],
) -> Result<(), CatalogError> {
    let (ids, urls): (Vec<&str>, Vec<String>) = offers
        .iter()
        .filter_map(|offer| {
            let url = offer.image_url.as_deref().and_then(canonical_image_url)?;
            Some((offer.offer_id.as_str(), plain(&url).into_owned()))
        })
        .unzip();
    if ids.is_empty() {
        return Ok(());
    }
    write.execute(
        "INSERT INTO offer_images (profile, offer_id, url)
         SELECT $1, offer_id, url FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS new (offer_id, url, place)
         ORDER BY place
         ON CONFLICT (profile, offer_id, md5(url)) DO NOTHING",
        &[&profile, &ids, &urls],
    )?;
    Ok(())
}

/// Notes the addresses of the pictures of an offer's variants, those that are new, where the upstream has told of the offer in a
/// search: answers that name it are what such a picture leads to.
pub(super) fn await_variants(
    write: &mut Write<'_>,
    profile: &str,
    offer_id: &OfferId,
    detail: &OfferDetail,
) -> Result<(), CatalogError> {
    let urls: Vec<String> = detail.variant_images().iter().map(|url| plain(url).into_owned()).collect();
    if urls.is_empty() {
        return Ok(());
    }
    write.execute(
        "INSERT INTO offer_images (profile, offer_id, url)
         SELECT o.profile, o.offer_id, new.url FROM offers o, unnest($3::text[]) WITH ORDINALITY AS new (url, place)
         WHERE o.profile = $1 AND o.offer_id = $2
         ORDER BY place
         ON CONFLICT (profile, offer_id, md5(url)) DO NOTHING",
        &[&profile, &offer_id.as_str(), &urls],
    )?;
    Ok(())
}
