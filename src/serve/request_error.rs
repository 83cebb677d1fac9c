//! Why a request is refused before the engine is asked, or beside it.

/// Why a request is refused. What the engine and fetching have to say keeps their own errors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum RequestError {
    #[error("{0}")]
    Invalid(String),
    #[error("there is nothing at this path: /docs lists what there is")]
    NoSuchPath,
    #[error("this path is not asked with {method}: /docs says with what")]
    Method { method: String },
    #[error("the body is larger than the {limit_bytes} bytes that are allowed")]
    TooLarge { limit_bytes: u64 },
    #[error("the body did not arrive within {secs} s")]
    TooSlow { secs: u64 },
    #[error("a body of the type {given:?} is not read here: send {wanted}")]
    MediaType { given: String, wanted: &'static str },
    #[error("no more requests are taken just now: ask again in {retry_after_secs} s")]
    Overloaded { retry_after_secs: u64 },
    #[error("this key has asked too often: ask again in {retry_after_secs} s")]
    RateLimited { retry_after_secs: u64 },
    #[error("no place became free before the deadline")]
    TimedOut,
    #[error("the server is ending: ask another one, or again in a moment")]
    Draining,
    #[error("this needs a key: send it as Authorization: Bearer KEY, or as X-Api-Key")]
    KeyMissing,
    #[error("this key is not known, or was revoked")]
    KeyUnknown,
    #[error("this key lacks the right to {right}")]
    Forbidden { right: &'static str },
    #[error(
        "requests for the host {host:?} are not taken: only those for this machine, unless the server was told others"
    )]
    Host { host: String },
    #[error("requests of pages from {origin:?} are not taken, unless the server was told so")]
    Origin { origin: String },
    #[error("this Idempotency-Key came with another request before")]
    IdempotencyReused,
    #[error("the first request with this Idempotency-Key is still under way")]
    IdempotencyRunning,
    #[error(
        "the first request with this Idempotency-Key was interrupted, and it is not known whether it was paid for: with \
         bypass nothing is stored; ask without bypass, or with a new key"
    )]
    IdempotencyUnknown,
    #[error("this connection may not store pictures")]
    AddNotAllowed,
    #[error("{path:?} is not below a folder that pictures may be read from")]
    PathOutside { path: String },
    #[error("this offer is not known here")]
    NoSuchOffer,
    #[error("there is no such review any more: it was decided over a day ago, or made room for newer ones")]
    NoSuchReview,
    #[error("photo {photo_id} has no sketch to make a thumbnail of: it was stored by an earlier version")]
    NoThumbnail { photo_id: i64 },
    #[error("a fault of this program; its log says more under this request's id")]
    Panicked,
}

impl RequestError {
    /// After how long it is worth asking again, where that is known.
    #[must_use]
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::Overloaded { retry_after_secs } | Self::RateLimited { retry_after_secs } => {
                Some(*retry_after_secs)
            }
            Self::Draining | Self::IdempotencyRunning => Some(1),
            _ => None,
        }
    }
}
