//! What is stored of offers' pages: read once each, for the plan and for the rows alike.

use std::collections::HashMap;

use crate::engine::CatalogView;
use crate::offer::{OfferDetail, OfferId};
use crate::store::CatalogError;

/// Details by offer; those of which nothing is stored, too.
pub(super) struct StoredDetails<'a> {
    catalog: CatalogView<'a>,
    read: HashMap<OfferId, Option<OfferDetail>>,
}

impl<'a> StoredDetails<'a> {
    pub(super) fn new(catalog: CatalogView<'a>) -> Self {
        Self { catalog, read: HashMap::new() }
    }

    /// The newest that any upstream has told.
    pub(super) fn of(&mut self, offer_id: &OfferId) -> Result<Option<&OfferDetail>, CatalogError> {
        if !self.read.contains_key(offer_id) {
            let stored = self.catalog.details(offer_id, &[])?;
            self.read.insert(offer_id.clone(), stored.map(|stored| stored.detail));
        }
        Ok(self.read.get(offer_id).and_then(Option::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::engine::Engine;
    use crate::offer::Offer;

    #[test]
    fn what_was_read_is_not_read_again() {
        let home = tempfile::tempdir().unwrap();
        let engine = Engine::builder(home.path()).open().unwrap();
        let [known, unknown] = ["1", "2"].map(|id| id.parse::<OfferId>().unwrap());
        let store = |id: &OfferId, title: &str| {
            let catalog = crate::catalog::Catalog::open(home.path()).unwrap();
            let detail = OfferDetail::new(Offer::new(id.clone(), title));
            catalog.store_details("aop", id, &detail, Timestamp::from_unix_ms(7)).unwrap();
        };
        store(&known, "cup");
        let mut stored = StoredDetails::new(engine.catalog());
        let title = |detail: Option<&OfferDetail>| detail.map(|detail| detail.offer.title.clone());
        assert_eq!(title(stored.of(&known).unwrap()).as_deref(), Some("cup"));
        assert_eq!(title(stored.of(&unknown).unwrap()), None);
        store(&known, "another");
        store(&unknown, "another");
        assert_eq!(title(stored.of(&known).unwrap()).as_deref(), Some("cup"));
        assert_eq!(title(stored.of(&unknown).unwrap()), None);
    }
}
