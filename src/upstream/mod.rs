//! What does 1688 say, and may we ask now?
//!
//! One trait, [`Upstream`], and a small module for each dialect behind it. [`guard`] stands in front of every
//! dialect and decides about money and time: budget, pace, retries.

#[cfg(feature = "upstream")]
pub mod aop;
#[cfg(feature = "upstream")]
pub mod article;
pub mod guard;
mod guard_error;
mod guard_policy;
#[cfg(feature = "upstream")]
mod lenient;
mod limits;
#[cfg(feature = "upstream")]
pub mod linkplus;
#[cfg(feature = "upstream")]
pub mod onebound;
pub mod prepare;
mod secret;
#[cfg(feature = "upstream")]
pub mod tmapi;
#[cfg(feature = "upstream")]
mod token;
#[cfg(feature = "upstream")]
mod weight_unit;
#[cfg(feature = "upstream")]
mod wire;

use std::fmt;

pub use crate::ledger::{Booking, Breaker, CallOutcome, Ledger, LedgerError, ProviderCount, Reservation};
pub use crate::question::{
    Input, LanguageCode, OfferFilter, Phrase, Region, RegionError, SearchParams, Sort, WordError,
};
pub use crate::quota_day::QuotaDay;
pub use crate::upstream_error::{UpstreamError, UpstreamErrorKind};

use crate::offer::{Offer, OfferDetail, OfferId};

#[cfg(feature = "upstream")]
pub use aop::{AopConfig, AopUpstream};
#[cfg(feature = "upstream")]
pub use article::{ArticleConfig, ArticleUpstream};
pub use guard::{BilledDetail, BilledPage, Guard, GuardError, GuardPolicy, WaitNotes, WhyNot};
#[cfg(feature = "upstream")]
pub use linkplus::LinkplusUpstream;
#[cfg(feature = "upstream")]
pub use onebound::{OneboundConfig, OneboundUpstream};
pub use prepare::{ELONGATED, PrepareError, Prepared, UploadWarning, prepare};
pub use secret::Secret;
#[cfg(feature = "upstream")]
pub use tmapi::{TmapiConfig, TmapiUpstream};
#[cfg(feature = "upstream")]
pub use token::TokenFile;
#[cfg(feature = "upstream")]
pub use weight_unit::WeightUnit;
#[cfg(feature = "config")]
pub(crate) use wire::is_on_this_machine;
#[cfg(feature = "upstream")]
pub use wire::{Tape, TapeError};

/// What no upstream takes, or not this one.
#[cfg(feature = "upstream")]
trait CheckParams {
    /// Refuses it before anything is spent on it: nothing that is asked is left out in silence. `taken`: the inputs that
    /// the dialect has words for.
    fn check(&self, profile: &'static str, taken: &[Input]) -> Result<(), UpstreamError>;
}

#[cfg(feature = "upstream")]
impl CheckParams for SearchParams {
    fn check(&self, profile: &'static str, taken: &[Input]) -> Result<(), UpstreamError> {
        if let Some(input) = self.inputs().find(|input| !taken.contains(input)) {
            return Err(not_taken(profile, input));
        }
        let fault = if self.page == 0 {
            "page is 0: pages count from 1"
        } else if !(1..=MAX_PAGE_SIZE).contains(&self.page_size) {
            "page_size is outside 1 to 50"
        } else if self.price_min.zip(self.price_max).is_some_and(|(min, max)| min > max) {
            "price_min is above price_max"
        } else if self.translate_keyword && self.keyword.is_none() {
            "there is no keyword to translate"
        } else {
            return Ok(());
        };
        Err(UpstreamError::new(profile, UpstreamErrorKind::Param, "params", fault))
    }
}

/// An input for which this dialect has no words.
#[cfg(feature = "upstream")]
fn not_taken(profile: &'static str, what: impl fmt::Display) -> UpstreamError {
    let message = format!("this upstream cannot be asked with this input: {what}");
    UpstreamError::new(profile, UpstreamErrorKind::Param, NOT_TAKEN, message)
}

/// A picture made fit for upload.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadPicture {
    /// The file.
    pub bytes: Vec<u8>,
    /// The file's format.
    pub media_type: UploadMediaType,
    /// Of the picture in `bytes`.
    pub width_px: u32,
    /// Of the picture in `bytes`.
    pub height_px: u32,
    /// The part that is meant, in pixels of this picture; only for a dialect that [takes](UploadLimits::takes_region)
    /// one.
    pub region: Option<Region>,
    /// Where the picture was got from, if that is an `http` or `https` address. Some dialects take nothing else.
    pub source_url: Option<String>,
}

impl UploadPicture {
    #[cfg(feature = "upstream")]
    /// The picture's address, for a dialect that looks pictures up by it, and only as a whole.
    fn address(&self, profile: &'static str, params: &SearchParams) -> Result<&str, UpstreamError> {
        let refuse =
            |code, message| Err(UpstreamError::new(profile, UpstreamErrorKind::Param, code, message));
        if params.region.is_some() {
            return refuse(
                "region",
                "this upstream searches the whole picture at an address, not a part of it",
            );
        }
        match self.source_url.as_deref() {
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => Ok(url),
            Some(_) => refuse(NO_ADDRESS, "the picture's address is not a web address"),
            None => refuse(NO_ADDRESS, "this upstream takes no file: search for the picture by its URL"),
        }
    }
}

impl fmt::Debug for UploadPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, media_type, width_px, height_px, .. } = self;
        write!(f, "UploadPicture({media_type:?} {width_px}x{height_px} px, {} bytes)", bytes.len())
    }
}

/// Formats that upstreams take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadMediaType {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl UploadMediaType {
    /// As in `Content-Type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// The usual ending of a file's name, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
        }
    }
}

/// Of an error: the picture has no address, and this upstream takes nothing else. Another may.
const NO_ADDRESS: &str = "no_address";
/// Of an error: the question holds what this upstream has no words for. Another may have.
const NOT_TAKEN: &str = "input_not_taken";
/// Offers a page at the most: what the official search takes.
const MAX_PAGE_SIZE: u32 = 50;

/// One page of an upstream's answer, in its order of relevance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamPage {
    /// In the upstream's order.
    pub offers: Vec<Offer>,
    /// How many offers there are over all pages, where the upstream says so.
    pub total: Option<u64>,
    /// How many entries of this page were left out because they could not be read (no usable id). A page of
    /// which nothing can be read is an error instead.
    pub skipped: u32,
    /// How many calls the provider has counted today, where it says so.
    pub provider_count: Option<ProviderCount>,
    /// Parts of the picture in which the upstream sees goods, in pixels of the picture that it was sent.
    pub suggested_regions: Vec<Region>,
}

/// What an upstream accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// Of the file.
    pub max_bytes: usize,
    /// Smaller pictures are sent all the same, with a warning.
    pub advised_min_side_px: u32,
    /// Larger pictures are scaled down.
    pub max_side_px: u32,
    /// Whether it takes a region beside the whole picture. Others are sent the part alone.
    pub takes_region: bool,
}

impl UploadLimits {
    #[cfg(feature = "upstream")]
    /// Of a dialect to which no picture is uploaded: these only bound what is prepared in vain.
    const OF_NO_UPLOAD: Self =
        Self { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: false };
}

/// One dialect of picture search. Blocking; called from any thread; makes at most the requests that one
/// search needs (a token request included) and never retries a search by itself: [`guard`] does.
pub trait Upstream: Send + Sync {
    /// The profile's name in the configuration and the catalogue, for example `article`.
    fn profile(&self) -> &'static str;

    /// What it accepts.
    fn upload_limits(&self) -> UploadLimits;

    /// How many offers a page holds at the most, 1 to 50. A search for larger pages gets pages of this size.
    fn max_page_size(&self) -> u32 {
        MAX_PAGE_SIZE
    }

    /// Does what has to be done before a search and is none, such as fetching a token. A search does it, too.
    ///
    /// # Errors
    /// [`UpstreamError`], never [`UpstreamErrorKind::Transient`]: no search was made.
    fn make_ready(&self) -> Result<(), UpstreamError> {
        Ok(())
    }

    /// # Errors
    /// [`UpstreamError`], classified so that the guard knows whether to try again.
    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError>;

    /// Whether [`details`](Self::details) is there.
    fn gives_details(&self) -> bool {
        false
    }

    /// Everything about one offer. Takes a place in the quota as a search does.
    ///
    /// # Errors
    /// [`UpstreamError`] as for a search; [`UpstreamErrorKind::Unsupported`] from a dialect that documents no such call.
    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        let message = format!("details of an offer ({offer_id}) cannot be asked for here");
        Err(UpstreamError::new(self.profile(), UpstreamErrorKind::Unsupported, "details", message))
    }

    /// A call that is not a search (no search is paid for) and proves that the address and the credentials
    /// work.
    ///
    /// # Errors
    /// [`UpstreamError`] as for a search.
    fn check(&self) -> Result<(), UpstreamError>;
}

/// The code of an answer that holds nothing about the offer.
pub(crate) const NO_SUCH_OFFER: &str = "no_such_offer";

/// A good answer that holds nothing about the offer.
#[cfg(feature = "upstream")]
fn no_such_offer(profile: &'static str, offer_id: &OfferId) -> UpstreamError {
    let error = UpstreamError::new(profile, UpstreamErrorKind::Param, NO_SUCH_OFFER, "");
    // No parameter is wrong, which is what the kind would advise to mend.
    let message =
        format!("nothing is known there about the offer {offer_id}; it may be delisted, or the number wrong");
    UpstreamError { message, billed: Some(true), ..error }
}
