//! What does 1688 say, and may we ask now?
//!
//! One trait, [`Upstream`], and a small module for each dialect behind it. [`guard`] stands in front of every
//! dialect and decides about money and time: budget, pace, retries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::offer::{Offer, Price};

/// What to ask for beside the picture. Part of the identity of a stored answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SearchParams {
    pub category_id: Option<u64>,
    pub price_min: Option<Price>,
    pub price_max: Option<Price>,
    /// 1-based.
    pub page: u32,
    /// 1 to 50.
    pub page_size: u32,
}

impl Default for SearchParams {
    fn default() -> Self {
        Self { category_id: None, price_min: None, price_max: None, page: 1, page_size: 20 }
    }
}

impl SearchParams {
    /// The canonical text of these parameters: equal exactly when the parameters ask for the same thing
    /// (`price_min` 5, 5.0 and 5.00 are one). Stored with every answer.
    #[must_use]
    pub fn key(&self) -> String {
        let price = |p: Option<Price>| p.map_or_else(String::new, |p| p.yuan().normalize().to_string());
        format!(
            "category={};price={}..{};page={};size={}",
            self.category_id.map_or_else(String::new, |id| id.to_string()),
            price(self.price_min),
            price(self.price_max),
            self.page,
            self.page_size
        )
    }
}

/// A picture made fit for upload.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadPicture {
    pub bytes: Vec<u8>,
    pub media_type: UploadMediaType,
    pub width_px: u32,
    pub height_px: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadMediaType {
    Jpeg,
    Png,
}

/// One page of an upstream's answer, in its order of relevance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamPage {
    pub offers: Vec<Offer>,
    /// How many offers there are over all pages, where the upstream says so.
    pub total: Option<u64>,
}

/// What an upstream accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    pub max_bytes: usize,
    /// Smaller pictures are sent all the same, with a warning.
    pub advised_min_side_px: u32,
    pub max_side_px: u32,
}

/// One dialect of picture search. Blocking; called from any thread; makes at most the requests that one search
/// needs (a token request included) and never retries a search by itself: [`guard`] does.
pub trait Upstream: Send + Sync {
    /// The profile's name in the configuration and the catalogue, for example `article`.
    fn profile(&self) -> &'static str;

    fn upload_limits(&self) -> UploadLimits;

    /// # Errors
    /// [`UpstreamError`], classified so that the guard knows whether to try again.
    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError>;

    /// A call that costs nothing and proves that the address and the credentials work.
    ///
    /// # Errors
    /// [`UpstreamError`] as for a search.
    fn check(&self) -> Result<(), UpstreamError>;
}

/// What kind of trouble an upstream reports; decides what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UpstreamErrorKind {
    /// The token is bad or old: refreshed once, then fatal.
    Auth,
    /// The app may not call this: fatal.
    Acl,
    /// The signature is wrong: fatal, check the secret.
    Signature,
    /// A parameter is wrong: fatal.
    Param,
    /// Too fast: wait and try again.
    Rate,
    /// Nothing left for today: stop.
    Quota,
    /// This picture is not accepted: another may be.
    Image,
    /// The upstream does not know this call: fatal.
    Unsupported,
    /// The upstream or the way to it fails: try again, a bounded number of times.
    Transient,
}

/// An upstream's refusal or failure. Never carries a secret or a URL with one in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{profile}: {message} ({code})")]
pub struct UpstreamError {
    pub profile: &'static str,
    pub kind: UpstreamErrorKind,
    /// The upstream's own code, or a word of ours such as `timeout`.
    pub code: String,
    /// What happened and what to do about it.
    pub message: String,
    /// How long the upstream asks to wait, where it says so.
    pub retry_after: Option<Duration>,
}
