//! How does a picture come here from an address, and from nowhere else? Web addresses come from upstreams
//! and users, so they must not reach this machine, its network or a cloud's metadata service (SSRF), also not by a
//! redirect or a name that resolves to an inner address.

mod address;
#[cfg(feature = "upstream")]
mod web;

use std::time::Duration;

pub use address::is_public;
#[cfg(feature = "upstream")]
pub use web::Fetcher;

/// Brings files from addresses. Blocking.
pub trait Fetch: std::fmt::Debug + Sync {
    /// The file at `address`.
    ///
    /// # Errors
    /// [`FetchError`].
    fn fetch(&self, address: &str) -> Result<Vec<u8>, FetchError>;
}

/// How much is fetched, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Of one file.
    pub max_bytes: u64,
    /// For one file, from the first byte out to the last byte in, redirects included.
    pub timeout: Duration,
    /// More end the fetch.
    pub max_redirects: u32,
}

impl Default for FetchLimits {
    /// 20 MB, the most that public clients take (8 MB is usual); pictures of goods are below 1 MB.
    fn default() -> Self {
        Self { max_bytes: 20_000_000, timeout: Duration::from_secs(20), max_redirects: 3 }
    }
}

/// Why a file was not fetched. Addresses are shown without their query, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum FetchError {
    #[error("{url:?} is not a web address: use http:// or https://, without user name and password")]
    NotWeb { url: String },
    #[error("{url}: port {port} is refused: only 80 for http and 443 for https are fetched from")]
    Port { url: String, port: u16 },
    #[error("{url} leads to an address inside of this machine's network, which is not fetched from")]
    NotPublic { url: String },
    #[error("{url} redirects more than {max_redirects} times")]
    Redirects { url: String, max_redirects: u32 },
    #[error("{url} answers with HTTP status {status}")]
    Status { url: String, status: u16 },
    #[error("{url} is larger than {max_bytes} bytes")]
    TooLarge { url: String, max_bytes: u64 },
    #[error("{url} cannot be fetched: {why}")]
    Failed { url: String, why: String },
}

impl FetchError {
    /// Whether it is refused as things are configured here, which says nothing of the picture.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Port { .. } | Self::NotPublic { .. })
    }

    /// Whether the same address may work later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Failed { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}
