//! A read-only view of what is stored.

use std::fmt;

use super::Engine;
use crate::clock::Timestamp;
use crate::offer::{Offer, OfferId, OfferTerms};
use crate::photo_id::PhotoId;
use crate::quota_day::QuotaDay;
use crate::store::{
    AnswerKey, CatalogError, Counts, DayCounts, Extent, FoundOffer, ImageCounts, PastAnswer, PhotoFilter,
    QueueCounts, SearchFacts, ServerFacts, Store, StoredAnswer, StoredDetail, StoredPhoto, StoredVector,
    ToldPair, Words,
};
use crate::vector::Fingerprint;

/// What an engine's home holds, to be read. Every method's error is a [`CatalogError`] when it cannot be.
#[derive(Clone, Copy)]
pub struct CatalogView<'e>(&'e dyn Store);

impl Engine {
    /// What is stored.
    #[must_use]
    pub fn catalog(&self) -> CatalogView<'_> {
        CatalogView(self.store.as_ref())
    }
}

impl fmt::Debug for CatalogView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CatalogView").field(&self.0.location()).finish()
    }
}

impl CatalogView<'_> {
    /// Where it is, for people.
    #[must_use]
    pub fn location(&self) -> String {
        self.0.location()
    }

    /// Whether the home could not be opened to be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    /// Whether storing failed the last time.
    #[must_use]
    pub fn storing_fails(&self) -> bool {
        self.0.storing_fails()
    }

    /// The database server that it is on; `None` for a home in a folder.
    pub fn server(&self) -> Result<Option<ServerFacts>, CatalogError> {
        self.0.server()
    }

    /// What pgvector has to search with; `None` where the home is in a folder, or its database lacks the extension.
    pub fn search_facts(&self) -> Result<Option<SearchFacts>, CatalogError> {
        self.0.search_facts()
    }

    /// How far the feed of additions and removals reaches, which the index follows.
    pub fn extent(&self) -> Result<Extent, CatalogError> {
        self.0.extent()
    }

    /// How much there is.
    pub fn counts(&self) -> Result<Counts, CatalogError> {
        self.0.counts()
    }

    /// What happened on which day.
    pub fn by_day(&self) -> Result<Vec<DayCounts>, CatalogError> {
        self.0.by_day()
    }

    /// How much waits in the queue.
    pub fn queue_counts(&self) -> Result<QueueCounts, CatalogError> {
        self.0.queue_counts()
    }

    /// How many pictures of offers wait to be fetched.
    pub fn image_counts(&self) -> Result<ImageCounts, CatalogError> {
        self.0.image_counts()
    }

    /// What is wrong with the store as a whole; empty when it is sound.
    pub fn problems(&self) -> Result<Vec<String>, CatalogError> {
        self.0.problems()
    }

    /// The model that made the stored vectors.
    pub fn stored_model(&self) -> Result<Option<Fingerprint>, CatalogError> {
        self.0.stored_model()
    }

    /// Grows with every photo and answer that any process stores.
    pub fn generation(&self) -> Result<u64, CatalogError> {
        self.0.generation()
    }

    /// A stored photo; `None` when there is none of this number.
    pub fn photo(&self, photo_id: PhotoId) -> Result<Option<StoredPhoto>, CatalogError> {
        self.0.photo(photo_id)
    }

    /// How many photos are stored.
    pub fn photo_count(&self) -> Result<u64, CatalogError> {
        self.0.photo_count()
    }

    /// The photos that `filter` means, in the order of their numbers.
    pub fn photos(&self, filter: &PhotoFilter) -> Result<Vec<PhotoId>, CatalogError> {
        self.0.photos(filter)
    }

    /// The vector of a photo; what may be in its place, [`StoredVector`] says.
    pub fn embedding(&self, photo_id: PhotoId) -> Result<StoredVector, CatalogError> {
        self.0.embedding(photo_id)
    }

    /// The sketches of photos, in their order; `None` for one without.
    pub fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, CatalogError> {
        self.0.sketches(photo_ids)
    }

    /// Offers whose titles hold all of these words, the best match first.
    pub fn find_offers(&self, words: &Words, limit: u32) -> Result<Vec<FoundOffer>, CatalogError> {
        self.0.find_offers(words, limit)
    }

    /// The newest answer of a photo that fits `key`, own goods first.
    pub fn answer(
        &self,
        photo_id: PhotoId,
        key: &AnswerKey<'_>,
    ) -> Result<Option<StoredAnswer>, CatalogError> {
        self.0.answer(photo_id, key)
    }

    /// All answers of a photo, the newest first.
    pub fn answers(&self, photo_id: PhotoId) -> Result<Vec<StoredAnswer>, CatalogError> {
        self.0.answers(photo_id)
    }

    /// One of the user's own goods; `None` when there is none of this id.
    pub fn own_good(&self, offer_id: &OfferId) -> Result<Option<Offer>, CatalogError> {
        self.0.own_good(offer_id)
    }

    /// The photos that show one of the user's own goods.
    pub fn photos_of_own(&self, offer_id: &OfferId) -> Result<Vec<PhotoId>, CatalogError> {
        self.0.photos_of_own(offer_id)
    }

    /// The photo that the picture at this address became, canonical as in
    /// [`canonical_image_url`](crate::offer::canonical_image_url).
    pub fn photo_by_url(&self, url: &str) -> Result<Option<PhotoId>, CatalogError> {
        self.0.photo_by_url(url)
    }

    /// The newest details of an offer by one of the profiles (any when there are none).
    pub fn details(
        &self,
        offer_id: &OfferId,
        profiles: &[&str],
    ) -> Result<Option<StoredDetail>, CatalogError> {
        self.0.details(offer_id, profiles)
    }

    /// What upstreams told of an offer, the oldest first.
    pub fn history(&self, offer_id: &OfferId) -> Result<Vec<OfferTerms>, CatalogError> {
        self.0.history(offer_id)
    }

    /// Answers about a photo in whose place newer ones came, the newest first; of each question the last twenty.
    pub fn past_answers(&self, photo_id: PhotoId) -> Result<Vec<PastAnswer>, CatalogError> {
        self.0.past_answers(photo_id)
    }

    /// The watched offers, and since when each of them is, by their ids.
    pub fn watched_offers(&self) -> Result<Vec<(OfferId, Timestamp)>, CatalogError> {
        self.0.watched_offers()
    }

    /// What was said of a photo and others, the newest first.
    pub fn told_of(&self, photo_id: PhotoId) -> Result<Vec<ToldPair>, CatalogError> {
        self.0.told_of(photo_id)
    }

    /// Calls to `profile` that count against `day`, failed ones that may have been billed included.
    pub fn calls_spent(&self, profile: &str, day: &QuotaDay) -> Result<u32, CatalogError> {
        self.0.calls_spent(profile, day)
    }

    /// Photos that were last decoded before colour profiles were honoured.
    pub fn seen_by_older_decoders(&self) -> Result<u64, CatalogError> {
        self.0.seen_by_older_decoders()
    }
}
