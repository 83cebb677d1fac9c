//! Whose signatures does the gateway take?

use crate::config::{Profile, UpstreamSettings};
use crate::upstream::Secret;

/// An app whose requests the gateway takes: as it is configured for the upstreams.
#[derive(Clone, Debug)]
pub struct GatewayApp {
    /// The dialect that it is configured for.
    pub profile: Profile,
    /// Its key, which is no secret; empty where there is none.
    pub app_key: String,
    /// What it signs with.
    pub app_secret: Secret,
}

impl GatewayApp {
    /// That of an upstream's settings.
    #[must_use]
    pub fn of(settings: &UpstreamSettings) -> Self {
        Self {
            profile: settings.profile,
            app_key: settings.app_key.clone(),
            app_secret: settings.app_secret().clone(),
        }
    }

    /// Whether it is an app of the open platform, which the articles' dialect, `aop` and `linkplus` share.
    pub(super) fn is_of_platform(&self) -> bool {
        matches!(self.profile, Profile::Article | Profile::Aop | Profile::Linkplus)
    }
}
