//! Which photos are meant: by what is known of them and of the goods they stand for.

use rusqlite::params;

use super::{Catalog, CatalogError, PhotoKind};
use crate::offer::Price;
use crate::photo_id::PhotoId;
use crate::timestamp::Timestamp;

/// Which photos are meant: those that fulfil all that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhotoFilter {
    /// Photos of this kind alone.
    pub kind: Option<PhotoKind>,
    /// Stored then or later.
    pub added_since: Option<Timestamp>,
    /// Stored before then.
    pub added_before: Option<Timestamp>,
    /// Answered by this upstream.
    pub profile: Option<String>,
    /// Which goods they have to stand for.
    pub goods: GoodsFilter,
}

/// Which goods a photo has to stand for. It stands for an own good or an offer that it shows, and for every offer that
/// an upstream has found with it; one of them has to fulfil all that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoodsFilter {
    /// Of this category or of one below it, as far as upstreams told; one that was asked about a category alone has told
    /// that all it answered is of it.
    pub category_id: Option<u64>,
    /// At least this price, as it was told last. A good without a price is none.
    pub price_min: Option<Price>,
    /// At most this price.
    pub price_max: Option<Price>,
}

impl GoodsFilter {
    /// SQL that a photo `p` has to fulfil. It names the parameters ?4, the category, ?5 and ?6, the prices as texts, in
    /// any case.
    fn sql(&self) -> String {
        if *self == Self::default() {
            return "?4 IS NULL AND ?5 IS NULL AND ?6 IS NULL".to_owned();
        }
        let category = match self.category_id {
            None => "?4 IS NULL",
            Some(_) => {
                "(profile, offer_id) IN (SELECT profile, offer_id FROM offer_categories WHERE category_id = ?4)"
            }
        };
        let price = match (self.price_min, self.price_max) {
            (None, None) => "?5 IS NULL AND ?6 IS NULL",
            // Both sides are made of decimals in the same way, so equal ones are equal here.
            _ => "price_yuan BETWEEN coalesce(CAST(?5 AS REAL), 0) AND coalesce(CAST(?6 AS REAL), 9e999)",
        };
        format!(
            "p.photo_id IN (
                 WITH meant AS (SELECT profile, offer_id FROM offers WHERE {category} AND {price})
                 SELECT a.photo_id FROM meant JOIN answer_offers USING (profile, offer_id)
                     JOIN answers a USING (answer_id)
                 UNION
                 SELECT i.photo_id FROM meant JOIN offer_images i USING (profile, offer_id)
                     WHERE i.photo_id IS NOT NULL)"
        )
    }
}

impl Catalog {
    /// The photos that `filter` means, by ascending number.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be read.
    pub fn photos(&self, filter: &PhotoFilter) -> Result<Vec<PhotoId>, CatalogError> {
        let kind = match filter.kind {
            None => "1",
            Some(PhotoKind::Own) => "kind = 'own'",
            Some(PhotoKind::Query) => "kind = 'query' AND NOT harvested_only",
            Some(PhotoKind::Offer) => "kind = 'query' AND harvested_only",
        };
        let harvested_only = "(EXISTS (SELECT 1 FROM offer_images i WHERE i.photo_id = p.photo_id)
              AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.photo_id = p.photo_id))";
        let sql = format!(
            "SELECT photo_id FROM photos p WHERE {}
             AND (?1 IS NULL OR added_at_ms >= ?1) AND (?2 IS NULL OR added_at_ms < ?2)
             AND (?3 IS NULL OR EXISTS (SELECT 1 FROM answers a WHERE a.photo_id = p.photo_id AND a.profile = ?3))
             AND {}
             ORDER BY photo_id",
            kind.replace("harvested_only", harvested_only),
            filter.goods.sql()
        );
        let ms = |at: Option<Timestamp>| at.map(Timestamp::unix_ms);
        let yuan = |price: Option<Price>| price.map(|price| price.yuan().to_string());
        self.read(|c| {
            c.prepare_cached(&sql)?
                .query_map(
                    params![
                        ms(filter.added_since),
                        ms(filter.added_before),
                        filter.profile,
                        filter.goods.category_id.map(category_number),
                        yuan(filter.goods.price_min),
                        yuan(filter.goods.price_max)
                    ],
                    |row| row.get(0),
                )?
                .collect()
        })
    }
}

/// A category as it is stored. No upstream's numbers come near the limit, and whatever is beyond is one category.
pub(crate) fn category_number(category_id: u64) -> i64 {
    i64::try_from(category_id).unwrap_or(i64::MAX)
}
