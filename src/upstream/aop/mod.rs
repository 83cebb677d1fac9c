//! Profile `aop`: the documented calls of the open platform's gateway.
//!
//! A search is two signed form posts: `product.image.upload` gives the picture an id,
//! `product.search.imageQuery` answers for that id; `product.search.queryProductDetail` tells of one offer. The answer never states a similarity. Access tokens come by
//! `OAuth2`: a person agrees once on the [`authorize_url`], [`AopUpstream::log_in`] changes the code that comes
//! back into a refresh token (good for half a year), and that gets access tokens (good for ten hours) from then
//! on. Not yet tried against the live gateway.

mod detail;
mod fields;
mod gateway;
mod image_query;
mod upload;

use std::fmt;
use std::sync::Arc;

use super::{Input, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamPage};
use crate::clock::Clock;
use crate::offer::{OfferDetail, OfferId};

pub(super) use detail::offer_detail;
pub use gateway::{AopConfig, authorize_url, classify, sign};
pub(super) use gateway::{Gateway, open};

/// The profile's name in the configuration and the catalogue.
pub const PROFILE: &str = "aop";

/// All of them are documented.
const TAKEN: [Input; 9] = [
    Input::Category,
    Input::Keyword,
    Input::TranslateKeyword,
    Input::AuxiliaryText,
    Input::ItemTitle,
    Input::Collection,
    Input::Filter,
    Input::Sort,
    Input::Language,
];

/// The client of the open platform's gateway.
pub struct AopUpstream {
    gateway: Gateway,
}

impl AopUpstream {
    /// Asks nothing yet. Build, use and drop it outside of async tasks: its HTTP client blocks.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Param`](super::UpstreamErrorKind::Param) with code `config` for an address, key, secret or
    /// timeout that cannot work.
    pub fn new(config: AopConfig, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        Ok(Self { gateway: Gateway::new(PROFILE, config, clock)? })
    }

    /// Changes the code from the [`authorize_url`] into tokens and keeps them in the token file. A code is good
    /// once and for two minutes.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Auth`](super::UpstreamErrorKind::Auth) when the gateway does not take the code; `Param` without a token file.
    pub fn log_in(&self, code: &str, redirect_uri: &str) -> Result<(), UpstreamError> {
        self.gateway.log_in(code, redirect_uri)
    }
}

impl Upstream for AopUpstream {
    fn profile(&self) -> &'static str {
        PROFILE
    }

    /// Above some 300 KB the gateway gives the image id 0; the longest side is ours.
    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 300_000, advised_min_side_px: 300, max_side_px: 1000, takes_region: true }
    }

    fn make_ready(&self) -> Result<(), UpstreamError> {
        self.gateway.hold_token()
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        super::CheckParams::check(params, PROFILE, &TAKEN)?;
        self.gateway.with_token(|token| {
            let image_id = upload::upload(&self.gateway, token, picture)?;
            image_query::image_query(&self.gateway, token, &image_id, picture.region, params)
        })
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        self.gateway.with_token(|token| offer_detail(&self.gateway, token, offer_id))
    }

    /// Proves the address, the key and the secret, but not the access token.
    fn check(&self) -> Result<(), UpstreamError> {
        self.gateway.check()
    }
}

impl fmt::Debug for AopUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AopUpstream").field("gateway", &self.gateway).finish()
    }
}
