//! What does the engine ask of its store? One trait for each concern, and values without I/O between them.
//!
//! [`Catalog`](crate::catalog::Catalog) meets all of them with SQLite, `postgres::PostgresStore` with PostgreSQL. Every store
//! has to pass the same battery (`tests/it/store.rs`, `tests/it/store_views.rs`). What every method promises:
//!
//! - What it has returned is durable, and a half-made change is never seen.
//! - It may be called from any thread, and other processes may use the same store at the same time.
//! - Writes wait for other writers no longer than the thread's [`Patience`] allows.
//! - Numbers of photos and of removals only grow, and are never given again: that is the feed an index follows.

mod sqlite;

use std::fmt::Display;

pub(crate) use sqlite::open;

pub use crate::catalog::{
    AnswerKey, Asking, CatalogError, CheckGroup, Counts, Damage, DamageNote, DatabaseTrouble, DayCounts,
    EmbeddingChunk, Entry, Extent, FetchedPhoto, FoundOffer, GoodsPhoto, Holder, ImageCounts, Lacks,
    NewAnswer, NewGood, NewPhoto, NewWaiting, OWN_PROFILE, Paid, PaidAnswer, PaidDetails, PaidRefusal,
    PaidWaiting, PastAnswer, Patience, PhotoFilter, PhotoKind, QueueCounts, Recognised, Refill, Refusal,
    Said, Stored, StoredAnswer, StoredDetail, StoredGood, StoredPhoto, StoredVector, Subject, ToldPair,
    ToldRecord, UnreadableAnswer, WaitReason, Waiting, WaitingImage, Words,
};

use crate::calibration::Calibration;
use crate::ledger::Ledger;
use crate::offer::{Offer, OfferDetail, OfferId, OfferTerms};
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::quota_day::QuotaDay;
use crate::timestamp::Timestamp;
use crate::vector::{Embedding, Fingerprint};

/// All that the engine asks of its store.
pub trait Store:
    PhotoStore
    + AnswerStore
    + CheckStore
    + SpendStore
    + QueueStore
    + FeedbackStore
    + OfferImageStore
    + HistoryStore
    + UpkeepStore
    + VectorSearchStore
    + ViewStore
{
}

impl<S> Store for S where
    S: PhotoStore
        + AnswerStore
        + CheckStore
        + SpendStore
        + QueueStore
        + FeedbackStore
        + OfferImageStore
        + HistoryStore
        + UpkeepStore
        + VectorSearchStore
        + ViewStore
{
}

/// How far a store has come at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// As of [`PhotoStore::generation`].
    pub generation: u64,
    /// As of [`FeedbackStore::calibrations`].
    pub calibrations: u64,
    /// As of [`Extent::last_removal`].
    pub last_removal: i64,
}

/// What sets the vectors of a store apart, for indexes that processes of several machines share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The store: of letters, digits and `-`.
    pub home: String,
    /// Its vectors as they are. It becomes another with whatever changes vectors otherwise than the feed tells: another model,
    /// vectors that were made anew, a store that was put back to an earlier state.
    pub vectors: String,
}

/// Photos with their vectors and sketches, and the feed by which an index follows.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait PhotoStore: Send + Sync {
    /// Claims the store for a model's vectors, or refuses when it belongs to another.
    fn claim_model(&self, fingerprint: &Fingerprint) -> Result<(), CatalogError>;
    /// Grows with every photo and answer that any process stores.
    fn generation(&self) -> Result<u64, CatalogError>;
    /// What has changed, in one look, for those who keep something beside a store that can go away; `None` where this one
    /// cannot.
    fn pulse(&self) -> Result<Option<Pulse>, CatalogError> {
        Ok(None)
    }
    /// What sets the store's vectors apart; `None` for a store whose indexes are not shared by machines.
    fn lineage(&self) -> Result<Option<Lineage>, CatalogError> {
        Ok(None)
    }
    /// A stored photo; `None` when there is none of this number.
    fn photo(&self, photo_id: PhotoId) -> Result<Option<StoredPhoto>, CatalogError>;
    /// The photo with these bytes, by the SHA-256 of the file; `None` when none is stored.
    fn photo_by_bytes(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError>;
    /// The photo with these pixels, by [`Photo::pixel_digest`](crate::photo::Photo::pixel_digest); `None` when none is stored.
    fn photo_by_pixels(&self, digest: Digest) -> Result<Option<PhotoId>, CatalogError>;
    /// What a file was taken for by what it shows; `None` where nothing was, or that does not hold any more: the photo is gone, a
    /// person has told it apart from another, or the calibration or the model has become another.
    fn recognised(&self, byte_digest: Digest) -> Result<Option<Recognised>, CatalogError>;
    /// Remembers what files were taken for, those whose photos are still there, in one transaction; the oldest go when there are
    /// too many.
    fn remember_recognised(&self, recognised: &[Recognised]) -> Result<(), CatalogError>;
    /// The digests of a photo's pixels and of one file that shows them; `None` when there is no such photo.
    fn digests_of(&self, photo_id: PhotoId) -> Result<Option<(Digest, Option<Digest>)>, CatalogError>;
    /// How many photos are stored.
    fn photo_count(&self) -> Result<u64, CatalogError>;
    /// The photos that `filter` means, in the order of their numbers.
    fn photos(&self, filter: &PhotoFilter) -> Result<Vec<PhotoId>, CatalogError>;
    /// A photo's vector of the store's model; what may be in its place, [`StoredVector`] says.
    fn embedding(&self, photo_id: PhotoId) -> Result<StoredVector, CatalogError>;
    /// Sketches as the verifier writes them, in the order of `photo_ids`; `None` for a photo without one.
    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, CatalogError>;
    /// Takes note of a sketch that the verifier cannot read.
    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn Display);
    /// Stores a photo without an answer, in one transaction; one that is there stays.
    fn store_photo(&self, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError>;
    /// Stores photos without answers, in one transaction; those that are there stay.
    fn store_photos(&self, photos: &[NewPhoto<'_>]) -> Result<Vec<Stored>, CatalogError>;
    /// Removes photos with all that hangs on them, in one transaction; returns those that were there.
    fn forget(&self, photo_ids: &[PhotoId]) -> Result<Vec<PhotoId>, CatalogError>;
    /// Photos of searches that were stored, and last answered, before `time`.
    fn searched_before(&self, time: Timestamp) -> Result<Vec<PhotoId>, CatalogError>;
    /// How far the feed reaches.
    fn extent(&self) -> Result<Extent, CatalogError>;
    /// Additions to the feed, by rising numbers.
    fn embeddings_after(&self, after: Option<PhotoId>, limit: u32) -> Result<EmbeddingChunk, CatalogError>;
    /// Removals of the feed, each with its number, which rises.
    fn removals_after(&self, after: i64, limit: u32) -> Result<Vec<(i64, PhotoId)>, CatalogError>;
}

/// Answers, offers and goods, and the side journal for what was paid for and cannot be stored.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait AnswerStore: Send + Sync {
    /// The newest answer of a photo that fits `key`, own goods first.
    fn answer(&self, photo_id: PhotoId, key: &AnswerKey<'_>) -> Result<Option<StoredAnswer>, CatalogError>;
    /// Stores a photo, unless it is there, with an answer, in one transaction.
    fn store(&self, photo: &NewPhoto<'_>, answer: &NewAnswer<'_>) -> Result<Stored, CatalogError>;
    /// Stores an answer of a photo, in one transaction. `false` when the photo is gone.
    fn store_answer(&self, photo_id: PhotoId, answer: &NewAnswer<'_>) -> Result<bool, CatalogError>;
    /// Stores goods in one transaction: a good that cannot be stored has its own error, the others are stored.
    fn store_all(&self, goods: &[NewGood<'_>])
    -> Result<Vec<Result<StoredGood, CatalogError>>, CatalogError>;
    /// One of the user's own goods; `None` when there is none of this id.
    fn own_good(&self, offer_id: &OfferId) -> Result<Option<Offer>, CatalogError>;
    /// The newest details of an offer by one of the profiles (any when there are none).
    fn details(&self, offer_id: &OfferId, profiles: &[&str]) -> Result<Option<StoredDetail>, CatalogError>;
    /// Stores what was told of an offer.
    fn store_details(
        &self,
        profile: &str,
        offer_id: &OfferId,
        detail: &OfferDetail,
        fetched_at: Timestamp,
    ) -> Result<(), CatalogError>;
    /// Remembers that an upstream does not take a picture.
    fn remember_refusal(&self, byte_digest: Digest, refusal: &Refusal) -> Result<(), CatalogError>;
    /// What an upstream has against a picture, if it said so between two times.
    fn refusal(
        &self,
        byte_digest: Digest,
        profile: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Refusal>, CatalogError>;
    /// Remembers that the answer to a question could not be read.
    fn remember_unreadable(&self, answer: &UnreadableAnswer) -> Result<(), CatalogError>;
    /// The unreadable answer to a question, if it came between two times.
    fn unreadable_answer(
        &self,
        profile: &str,
        question: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<UnreadableAnswer>, CatalogError>;
    /// Keeps something that was paid for beside the store; `false` when it lives only as long as this process.
    fn set_aside(&self, paid: Paid) -> bool;
    /// Whether something that was paid for waits to be stored.
    fn has_something_set_aside(&self) -> bool;
    /// Stores what was set aside, in one transaction.
    fn store_what_waits(&self) -> Result<(), CatalogError>;
    /// How much was set aside and waits.
    fn paid_waiting(&self) -> Result<PaidWaiting, CatalogError>;
    /// Makes sure that one more answer can be set aside.
    fn keep_room_for_an_answer(&self) -> Result<(), CatalogError>;
    /// The answer for these bytes that waits to be stored.
    fn waiting_answer(&self, byte_digest: Digest, params: &str, profiles: &[&str]) -> Option<StoredAnswer>;
    /// The details of an offer that wait to be stored.
    fn waiting_details(&self, offer_id: &OfferId, profiles: &[&str]) -> Option<StoredDetail>;
    /// Whether storing failed the last time.
    fn storing_fails(&self) -> bool;
    /// Takes note of whether storing fails, for [`storing_fails`](Self::storing_fails).
    fn note_storing(&self, fails: bool);
}

/// Pictures that are checked and added in one step.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait CheckStore: Send + Sync {
    /// Adds a group of photos in one transaction, in which no other writer can add or remove any. `decide` may read the store
    /// meanwhile; when it says `false` or fails, nothing has changed.
    fn add_checked(
        &self,
        decide: &mut dyn FnMut(&mut dyn CheckGroup) -> Result<bool, CatalogError>,
    ) -> Result<bool, CatalogError>;
    /// The number of the run that writes to `output`; a new one, unless it `resumes` one that has not ended.
    fn check_run(&self, output: &str, resumes: bool, started_at: Timestamp) -> Result<i64, CatalogError>;
    /// The lines of a run's last group, by their rows: they may have been told of or not.
    fn kept_lines(&self, run_id: i64) -> Result<Vec<(u64, String)>, CatalogError>;
    /// All lines of the run were told of.
    fn end_check_run(&self, run_id: i64) -> Result<(), CatalogError>;
}

/// The account of paid calls: spend and breakers ([`Ledger`]), and turns at the upstream.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait SpendStore: Ledger {
    /// Calls that count against `day`.
    fn calls_spent(&self, profile: &str, day: &QuotaDay) -> Result<u32, CatalogError>;
    /// When the calls of `day` started, in order.
    fn call_starts(&self, profile: &str, day: &QuotaDay) -> Result<Vec<Timestamp>, CatalogError>;
    /// Calls of others that the provider has counted, and its own limit.
    fn provider_limits(&self, profile: &str, day: &QuotaDay) -> Result<(u32, Option<u32>), CatalogError>;
    /// Answers given without a call: on `day`, and ever.
    fn saved_calls(&self, day: &QuotaDay) -> Result<(u64, u64), CatalogError>;
    /// Counts answers that were given without a call.
    fn add_saved_calls(&self, day: &QuotaDay, calls: u64) -> Result<(), CatalogError>;
    /// Takes the right to ask about `subject`, in one transaction over all processes, or says who holds it. What `given_up`
    /// holds is free.
    fn take_turn_from(
        &self,
        given_up: Option<Holder>,
        subject: Subject<'_>,
        params: &str,
        same_from: f32,
    ) -> Result<Result<Asking<'_>, Holder>, CatalogError>;
}

/// Pictures that wait to be asked about.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait QueueStore: Send + Sync {
    /// Has a picture wait, unless it does. `false` when it did.
    fn queue(&self, waiting: &NewWaiting<'_>) -> Result<bool, CatalogError>;
    /// The next one after a place (priority, number), the highest priority first, then the oldest; `None` at the end.
    fn next_waiting(&self, after: Option<(i32, i64)>) -> Result<Option<Waiting>, CatalogError>;
    /// Takes a picture out of the queue.
    fn unqueue(&self, queue_id: i64) -> Result<(), CatalogError>;
    /// Notes why asking about a picture was in vain.
    fn note_trouble(&self, queue_id: i64, trouble: &str) -> Result<(), CatalogError>;
}

/// What people say of pairs of pictures, and the home's own calibration.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait FeedbackStore: Send + Sync {
    /// Remembers what is said of two photos, in the place of what was said before.
    fn tell(
        &self,
        pair: (PhotoId, PhotoId),
        same: bool,
        confidence: Option<f32>,
        told_at: Timestamp,
    ) -> Result<(), CatalogError>;
    /// Takes back what was said. `false` when nothing was.
    fn forget_told(&self, pair: (PhotoId, PhotoId)) -> Result<bool, CatalogError>;
    /// What was said of pairs of these photos.
    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, CatalogError>;
    /// The photos that are the same as this one, also through others, in the order of their numbers.
    fn same_as(&self, photo_id: PhotoId) -> Result<Vec<PhotoId>, CatalogError>;
    /// What was said of any two photos, after a pair, in the order of their numbers.
    fn told_after(
        &self,
        after: Option<(PhotoId, PhotoId)>,
        limit: u32,
    ) -> Result<Vec<ToldRecord>, CatalogError>;
    /// Notes what was said elsewhere, in one transaction, unless something was said here later. Returns for each whether it
    /// was noted.
    fn take_told(&self, told: &[ToldRecord]) -> Result<Vec<bool>, CatalogError>;
    /// How sure the verifier was, 0..=1, that pairs are the same which people told apart.
    fn told_apart_confidences(&self) -> Result<Vec<f32>, CatalogError>;
    /// The home's own calibration.
    fn calibration(&self) -> Result<Option<Calibration>, CatalogError>;
    /// Keeps a calibration, or forgets the one that is there.
    fn keep_calibration(&self, calibration: Option<&Calibration>) -> Result<(), CatalogError>;
    /// Grows with every calibration and every word about a pair.
    fn calibrations(&self) -> Result<u64, CatalogError>;
}

/// The offers' own pictures, which wait to be fetched.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait OfferImageStore: Send + Sync {
    /// Up to `limit` pictures after the number `after` that are to be fetched.
    fn waiting_images(&self, after: i64, limit: u32) -> Result<Vec<WaitingImage>, CatalogError>;
    /// The photo that was fetched from an address.
    fn photo_by_url(&self, url: &str) -> Result<Option<PhotoId>, CatalogError>;
    /// Stores a fetched picture and links it, in one transaction.
    fn store_image(&self, image_id: i64, photo: &NewPhoto<'_>) -> Result<Stored, CatalogError>;
    /// Says that a photo, which was stored already, is this picture.
    fn link_image(&self, image_id: i64, photo_id: PhotoId) -> Result<(), CatalogError>;
    /// Notes why a picture could not be had; one that may pass goes on waiting.
    fn note_image_trouble(&self, image_id: i64, trouble: &str, may_pass: bool) -> Result<(), CatalogError>;
}

/// What was told of offers and answered about photos over time, and the offers that are watched.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait HistoryStore: Send + Sync {
    /// What upstreams told of an offer, the oldest first.
    fn history(&self, offer_id: &OfferId) -> Result<Vec<OfferTerms>, CatalogError>;
    /// Answers about a photo in whose place newer ones came, the newest first; of each question the last twenty.
    fn past_answers(&self, photo_id: PhotoId) -> Result<Vec<PastAnswer>, CatalogError>;
    /// Watches offers from now on; those that are watched stay as they are. Returns how many are new.
    fn watch_offers(&self, offer_ids: &[OfferId], since: Timestamp) -> Result<u64, CatalogError>;
    /// Watches offers no longer. Returns how many of them were watched.
    fn unwatch_offers(&self, offer_ids: &[OfferId]) -> Result<u64, CatalogError>;
    /// The watched offers, and since when each of them is, by their ids.
    fn watched_offers(&self) -> Result<Vec<(OfferId, Timestamp)>, CatalogError>;
}

/// Another model for stored photos, and entries that cannot be read.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait UpkeepStore: Send + Sync {
    /// What a photo lacks for the model `next`.
    fn lacks(&self, photo_id: PhotoId, next: &Fingerprint, sketch_format: u8) -> Result<Lacks, CatalogError>;
    /// Photos without a vector of `next`, and without a sketch.
    fn lacking(&self, next: &Fingerprint) -> Result<(u64, u64), CatalogError>;
    /// Whether a photo has these pixels.
    fn has_pixels(&self, photo_id: PhotoId, pixels: Digest) -> Result<bool, CatalogError>;
    /// Photos that were last decoded before colour profiles were honoured.
    fn seen_by_older_decoders(&self) -> Result<u64, CatalogError>;
    /// Up to `limit` photos after the number `after` that were fetched from addresses.
    fn fetched_photos(&self, after: i64, limit: u32) -> Result<Vec<FetchedPhoto>, CatalogError>;
    /// Starts gathering vectors of `next` beside the old ones, or goes on with that.
    fn gather_for(&self, next: &Fingerprint) -> Result<(), CatalogError>;
    /// Stores what a photo lacked, in one transaction.
    fn fill(&self, photo_id: PhotoId, next: &Fingerprint, refill: &Refill<'_>) -> Result<(), CatalogError>;
    /// Has the gathered vectors take the place of the old ones, in one transaction. `false` while some are missing.
    fn go_over_to(&self, next: &Fingerprint, even_if_incomplete: bool) -> Result<bool, CatalogError>;
    /// `sketch` says what is wrong with a sketch's bytes.
    fn damaged_entries(&self, sketch: &dyn Fn(&[u8]) -> Option<String>) -> Result<Vec<Damage>, CatalogError>;
    /// Takes damaged entries away, in one transaction.
    fn repair(&self, damage: &[Damage]) -> Result<(), CatalogError>;
}

/// How far the vectors reach in which a store searches by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchReach {
    /// Of the feed: they have all of it.
    pub extent: Extent,
    /// Vectors of photos that came since the extent that was asked from; all of them where it was asked from none.
    pub came: u64,
    /// Of those that were there at that extent, how many were removed since.
    pub went: u64,
    /// Whether there is a graph that can be used.
    pub has_graph: bool,
}

/// The graph of a store that searches by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphState {
    /// Few vectors need none.
    Missing,
    /// Some worker is making it.
    BeingBuilt,
    /// Making it was cut off.
    NotValid,
    /// In use.
    Valid,
}

/// What a store has to search by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchFacts {
    /// The version of the extension.
    pub extension: String,
    /// How many vectors can be searched.
    pub vectors: u64,
    /// How many are stored.
    pub stored: u64,
    /// Whether those can be searched that are stored; else the next search copies the rest.
    pub is_ready: bool,
    /// See [`GraphState`].
    pub graph: GraphState,
    /// Its size.
    pub graph_bytes: u64,
}

/// Hears about long work: what it is, how much is done, of how much.
pub type SearchTell<'a> = &'a dyn Fn(&'static str, u64, u64);

/// Nearest neighbours by the store itself, for processes whose memory does not hold an index of all vectors. What is stored
/// or removed is so for the next search, whoever did it.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written, [`CatalogError::PgvectorUnavailable`] where it cannot search.
pub trait VectorSearchStore: Send + Sync {
    /// Refuses where the store cannot search by itself.
    fn check_vector_search(&self) -> Result<(), CatalogError> {
        Err(no_vector_search())
    }
    /// What can be searched; `None` while something is missing that [`prepare_search`](Self::prepare_search) makes.
    fn search_reach(&self, since: Option<Extent>) -> Result<Option<SearchReach>, CatalogError> {
        let _ = since;
        Err(no_vector_search())
    }
    /// Makes what it takes to search among vectors of so many numbers, or goes on where that was cut off; from `graph_from`
    /// vectors on with a graph, unless another process is making it. With `anew`, whatever is there.
    fn prepare_search(
        &self,
        dimension: usize,
        graph_from: u64,
        anew: bool,
        tell: SearchTell<'_>,
    ) -> Result<(), CatalogError> {
        let _ = (dimension, graph_from, anew, tell);
        Err(no_vector_search())
    }
    /// The `k` nearest by the graph with so many vectors in view, each with its exact cosine, the best first; now and then one
    /// that belongs among them is missing. `None` as of [`search_reach`](Self::search_reach).
    fn nearest_by_graph(
        &self,
        query: &Embedding,
        k: usize,
        breadth: usize,
    ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
        let _ = (query, k, breadth);
        Err(no_vector_search())
    }
    /// The `k` nearest of all, or of those of `among`, with none missed. `None` as of [`search_reach`](Self::search_reach).
    fn nearest_exactly(
        &self,
        query: &Embedding,
        k: usize,
        among: Option<&[PhotoId]>,
    ) -> Result<Option<Vec<(PhotoId, f32)>>, CatalogError> {
        let _ = (query, k, among);
        Err(no_vector_search())
    }
    /// What there is; `None` where it cannot search.
    fn search_facts(&self) -> Result<Option<SearchFacts>, CatalogError> {
        Ok(None)
    }
}

/// What a home in a folder says to one who wants it to search by itself.
pub(crate) fn no_vector_search() -> CatalogError {
    CatalogError::PgvectorUnavailable {
        problem: "it is in a folder, and pgvector is an extension of PostgreSQL; use the local index, or move the home into \
                  a database"
            .to_owned(),
    }
}

/// The database server that a store is on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFacts {
    /// As it says itself.
    pub version: String,
    /// The version of the home's tables.
    pub format: i64,
    /// By the server's clock.
    pub time: Timestamp,
    /// Whether this process talks to it over TLS.
    pub is_encrypted: bool,
    /// Connections of all programs, and how many it takes.
    pub connections: (u64, u64),
    /// How many of them wait for a lock.
    pub waiting_for_locks: u64,
    /// Rows of the home's tables, as the server estimates them, and how many are there that are not used any more.
    pub rows: (u64, u64),
}

/// What people are shown of a store.
///
/// # Errors
/// [`CatalogError`] when the store cannot be read or written.
pub trait ViewStore: Send + Sync {
    /// Where it is, for people.
    fn location(&self) -> String;
    /// Whether it could not be opened to be written.
    fn is_read_only(&self) -> bool;
    /// The database server that it is on; `None` for one in files of this machine.
    fn server(&self) -> Result<Option<ServerFacts>, CatalogError> {
        Ok(None)
    }
    /// How much there is.
    fn counts(&self) -> Result<Counts, CatalogError>;
    /// Every day from the first on which something was stored or asked to the last.
    fn by_day(&self) -> Result<Vec<DayCounts>, CatalogError>;
    /// How much waits in the queue.
    fn queue_counts(&self) -> Result<QueueCounts, CatalogError>;
    /// How many pictures of offers there are.
    fn image_counts(&self) -> Result<ImageCounts, CatalogError>;
    /// What is wrong with the store as a whole; empty when it is sound.
    fn problems(&self) -> Result<Vec<String>, CatalogError>;
    /// The model that made the stored vectors.
    fn stored_model(&self) -> Result<Option<Fingerprint>, CatalogError>;
    /// Offers whose titles hold all of these words, the best match first.
    fn find_offers(&self, words: &Words, limit: u32) -> Result<Vec<FoundOffer>, CatalogError>;
    /// All answers of a photo, the newest first.
    fn answers(&self, photo_id: PhotoId) -> Result<Vec<StoredAnswer>, CatalogError>;
    /// The photos that show one of the user's own goods.
    fn photos_of_own(&self, offer_id: &OfferId) -> Result<Vec<PhotoId>, CatalogError>;
    /// What was said of a photo and others, the newest first.
    fn told_of(&self, photo_id: PhotoId) -> Result<Vec<ToldPair>, CatalogError>;
}
