//! The store of a home folder: [`Catalog`] on SQLite.

use std::path::Path;
use std::sync::Arc;

#[allow(clippy::wildcard_imports, reason = "every value of every trait's signature")]
use super::*;
use crate::catalog::Catalog;

/// Opens the store of a home folder, making it when it is not there. `on_damage` hears of each entry that turns out to be
/// damaged, once; `on_wait`, in a sentence, that another process is writing.
///
/// # Errors
/// [`CatalogError`] when it cannot be opened, or is newer than this program.
pub(crate) fn open(
    home: &Path,
    on_damage: impl Fn(DamageNote<'_>) + Send + Sync + 'static,
    on_wait: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Arc<dyn Store>, CatalogError> {
    let catalog = Catalog::open(home)?;
    catalog.on_damage(on_damage);
    catalog.on_wait(on_wait);
    Ok(Arc::new(catalog))
}

/// A trait's methods by those of the same name that `Catalog` has.
macro_rules! by_catalog {
    ($trait:ident { $(fn $name:ident(&self $(, $arg:ident: $type:ty)*) $(-> $result:ty)?;)* }) => {
        impl $trait for Catalog {
            $(fn $name(&self $(, $arg: $type)*) $(-> $result)? {
                // An inherent method comes before the trait's.
                Self::$name(self $(, $arg)*)
            })*
        }
    };
}

by_catalog! { PhotoStore {
    fn claim_model(&self, fingerprint: &Fingerprint) -> Result<(), CatalogError>;
    fn generation(&self) -> Result<u64, CatalogError>;
    fn photo(&self, photo_id: PhotoId) -> Result<Option<StoredPhoto>, CatalogError>;
    fn photo_by_bytes(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError>;
    fn photo_by_pixels(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError>;
    fn recognised(&self, byte_digest: Digest) -> Result<Option<Recognised>, CatalogError>;
    fn remember_recognised(&self, recognised: &[Recognised]) -> Result<(), CatalogError>;
    fn digests_of(&self, photo_id: PhotoId) -> Result<Option<(Digest, Option<Digest>)>, CatalogError>;
    fn photo_count(&self) -> Result<u64, CatalogError>;
    fn photos(&self, filter: &PhotoFilter) -> Result<Vec<PhotoId>, CatalogError>;
    fn embedding(&self, photo_id: PhotoId) -> Result<StoredVector, CatalogError>;
    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, CatalogError>;
    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn Display);
    fn store_photo(&self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError>;
    fn store_photos(&self, photos: &[NewPhoto<'_>]) -> Result<Vec<Stored>, CatalogError>;
    fn forget(&self, photo_ids: &[PhotoId]) -> Result<Vec<PhotoId>, CatalogError>;
    fn searched_before(&self, time: Timestamp) -> Result<Vec<PhotoId>, CatalogError>;
    fn extent(&self) -> Result<Extent, CatalogError>;
    fn embeddings_after(&self, after: Option<PhotoId>, limit: u32) -> Result<EmbeddingChunk, CatalogError>;
    fn removals_after(&self, after: i64, limit: u32) -> Result<Vec<(i64, PhotoId)>, CatalogError>;
}}

by_catalog! { AnswerStore {
    fn answer(&self, photo_id: PhotoId, key: &AnswerKey<'_>) -> Result<Option<StoredAnswer>, CatalogError>;
    fn store(&self, photo: &NewPhoto<'_>, answer: &NewAnswer<'_>) -> Result<Stored, CatalogError>;
    fn store_answer(&self, photo_id: PhotoId, answer: &NewAnswer<'_>) -> Result<bool, CatalogError>;
    fn store_all(&self, goods: &[NewGood<'_>]) -> Result<Vec<Result<StoredGood, CatalogError>>, CatalogError>;
    fn own_good(&self, offer_id: &OfferId) -> Result<Option<Offer>, CatalogError>;
    fn details(&self, offer_id: &OfferId, profiles: &[&str]) -> Result<Option<StoredDetail>, CatalogError>;
    fn store_details(&self, profile: &str, offer_id: &OfferId, detail: &OfferDetail, fetched_at: Timestamp) -> Result<(), CatalogError>;
    fn remember_refusal(&self, byte_digest: Digest, refusal: &Refusal) -> Result<(), CatalogError>;
    fn refusal(&self, byte_digest: Digest, profile: &str, since: Timestamp, until: Timestamp) -> Result<Option<Refusal>, CatalogError>;
    fn remember_unreadable(&self, answer: &UnreadableAnswer) -> Result<(), CatalogError>;
    fn unreadable_answer(&self, profile: &str, question: &str, since: Timestamp, until: Timestamp) -> Result<Option<UnreadableAnswer>, CatalogError>;
    fn set_aside(&self, paid: Paid) -> bool;
    fn has_something_set_aside(&self) -> bool;
    fn store_what_waits(&self) -> Result<(), CatalogError>;
    fn paid_waiting(&self) -> Result<PaidWaiting, CatalogError>;
    fn keep_room_for_an_answer(&self) -> Result<(), CatalogError>;
    fn waiting_answer(&self, byte_digest: Digest, params: &str, profiles: &[&str]) -> Option<StoredAnswer>;
    fn waiting_details(&self, offer_id: &OfferId, profiles: &[&str]) -> Option<StoredDetail>;
    fn storing_fails(&self) -> bool;
    fn note_storing(&self, fails: bool);
}}

by_catalog! { CheckStore {
    fn add_checked(&self, decide: &mut dyn FnMut(&mut dyn CheckGroup) -> Result<bool, CatalogError>) -> Result<bool, CatalogError>;
    fn check_run(&self, output: &str, resumes: bool, started_at: Timestamp) -> Result<i64, CatalogError>;
    fn kept_lines(&self, run_id: i64) -> Result<Vec<(u64, String)>, CatalogError>;
    fn end_check_run(&self, run_id: i64) -> Result<(), CatalogError>;
}}

by_catalog! { SpendStore {
    fn calls_spent(&self, profile: &str, day: &QuotaDay) -> Result<u32, CatalogError>;
    fn call_starts(&self, profile: &str, day: &QuotaDay) -> Result<Vec<Timestamp>, CatalogError>;
    fn provider_limits(&self, profile: &str, day: &QuotaDay) -> Result<(u32, Option<u32>), CatalogError>;
    fn saved_calls(&self, day: &QuotaDay) -> Result<(u64, u64), CatalogError>;
    fn add_saved_calls(&self, day: &QuotaDay, calls: u64) -> Result<(), CatalogError>;
    fn take_turn_from(&self, given_up: Option<Holder>, subject: Subject<'_>, params: &str, same_from: f32) -> Result<Result<Asking<'_>, Holder>, CatalogError>;
}}

by_catalog! { QueueStore {
    fn queue(&self, waiting: &NewWaiting<'_>) -> Result<bool, CatalogError>;
    fn next_waiting(&self, after: Option<(i32, i64)>) -> Result<Option<Waiting>, CatalogError>;
    fn unqueue(&self, queue_id: i64) -> Result<(), CatalogError>;
    fn note_trouble(&self, queue_id: i64, trouble: &str) -> Result<(), CatalogError>;
}}

by_catalog! { FeedbackStore {
    fn tell(&self, pair: (PhotoId, PhotoId), same: bool, confidence: Option<f32>, told_at: Timestamp) -> Result<(), CatalogError>;
    fn forget_told(&self, pair: (PhotoId, PhotoId)) -> Result<bool, CatalogError>;
    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, CatalogError>;
    fn same_as(&self, photo_id: PhotoId) -> Result<Vec<PhotoId>, CatalogError>;
    fn told_after(&self, after: Option<(PhotoId, PhotoId)>, limit: u32) -> Result<Vec<ToldRecord>, CatalogError>;
    fn take_told(&self, told: &[ToldRecord]) -> Result<Vec<bool>, CatalogError>;
    fn told_apart_confidences(&self) -> Result<Vec<f32>, CatalogError>;
    fn calibration(&self) -> Result<Option<Calibration>, CatalogError>;
    fn keep_calibration(&self, calibration: Option<&Calibration>) -> Result<(), CatalogError>;
    fn calibrations(&self) -> Result<u64, CatalogError>;
}}

by_catalog! { OfferImageStore {
    fn waiting_images(&self, after: i64, limit: u32) -> Result<Vec<WaitingImage>, CatalogError>;
    fn photo_by_url(&self, url: &str) -> Result<Option<PhotoId>, CatalogError>;
    fn store_image(&self, image_id: i64, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError>;
    fn link_image(&self, image_id: i64, photo_id: PhotoId) -> Result<(), CatalogError>;
    fn note_image_trouble(&self, image_id: i64, trouble: &str, may_pass: bool) -> Result<(), CatalogError>;
}}

by_catalog! { HistoryStore {
    fn history(&self, offer_id: &OfferId) -> Result<Vec<OfferTerms>, CatalogError>;
    fn past_answers(&self, photo_id: PhotoId) -> Result<Vec<PastAnswer>, CatalogError>;
    fn watch_offers(&self, offer_ids: &[OfferId], since: Timestamp) -> Result<u64, CatalogError>;
    fn unwatch_offers(&self, offer_ids: &[OfferId]) -> Result<u64, CatalogError>;
    fn watched_offers(&self) -> Result<Vec<(OfferId, Timestamp)>, CatalogError>;
}}

by_catalog! { UpkeepStore {
    fn lacks(&self, photo_id: PhotoId, next: &Fingerprint, sketch_format: u8) -> Result<Lacks, CatalogError>;
    fn lacking(&self, next: &Fingerprint) -> Result<(u64, u64), CatalogError>;
    fn has_pixels(&self, photo_id: PhotoId, pixels: Digest) -> Result<bool, CatalogError>;
    fn seen_by_older_decoders(&self) -> Result<u64, CatalogError>;
    fn fetched_photos(&self, after: i64, limit: u32) -> Result<Vec<FetchedPhoto>, CatalogError>;
    fn gather_for(&self, next: &Fingerprint) -> Result<(), CatalogError>;
    fn fill(&self, photo_id: PhotoId, next: &Fingerprint, refill: &Refill<'_>) -> Result<(), CatalogError>;
    fn go_over_to(&self, next: &Fingerprint, even_if_incomplete: bool) -> Result<bool, CatalogError>;
    fn damaged_entries(&self, sketch: &dyn Fn(&[u8]) -> Option<String>) -> Result<Vec<Damage>, CatalogError>;
    fn repair(&self, damage: &[Damage]) -> Result<(), CatalogError>;
}}

by_catalog! { ViewStore {
    fn location(&self) -> String;
    fn is_read_only(&self) -> bool;
    fn counts(&self) -> Result<Counts, CatalogError>;
    fn by_day(&self) -> Result<Vec<DayCounts>, CatalogError>;
    fn queue_counts(&self) -> Result<QueueCounts, CatalogError>;
    fn image_counts(&self) -> Result<ImageCounts, CatalogError>;
    fn problems(&self) -> Result<Vec<String>, CatalogError>;
    fn stored_model(&self) -> Result<Option<Fingerprint>, CatalogError>;
    fn find_offers(&self, words: &Words, limit: u32) -> Result<Vec<FoundOffer>, CatalogError>;
    fn answers(&self, photo_id: PhotoId) -> Result<Vec<StoredAnswer>, CatalogError>;
    fn photos_of_own(&self, offer_id: &OfferId) -> Result<Vec<PhotoId>, CatalogError>;
    fn told_of(&self, photo_id: PhotoId) -> Result<Vec<ToldPair>, CatalogError>;
}}

/// SQLite searches by no vectors: each process has an index of its own.
impl VectorSearchStore for Catalog {}
