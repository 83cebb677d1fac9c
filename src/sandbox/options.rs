//! How a sandbox behaves, and what it counts.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::faults::Faults;
use crate::clock::{Clock, SystemClock};

/// How a sandbox behaves.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Loopback only; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Which goods there are.
    pub seed: u64,
    /// What clients name.
    pub app_key: String,
    /// What clients sign with.
    pub app_secret: String,
    /// Of the official gateway's dialect: gets access tokens, and never ends.
    pub refresh_token: String,
    /// Accepted searches per day of China standard time.
    pub daily_quota: u32,
    /// Between two accepted searches.
    pub min_interval_ms: u64,
    /// How long an access token is good.
    pub token_ttl_secs: u64,
    /// Larger ones are refused.
    pub max_upload_bytes: usize,
    /// Answers every search with 40003, as for an app without the permission.
    pub deny_search: bool,
    /// How long a day of the market is: from one to the next, prices and sales move. `None`: they stay as they are.
    pub market_day_secs: Option<u64>,
    /// What goes wrong.
    pub faults: Faults,
    /// By which days, pace and tokens pass.
    pub clock: Arc<dyn Clock>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1688,
            app_key: "sandbox".to_owned(),
            app_secret: "sandbox-secret".to_owned(),
            refresh_token: "sandbox-refresh-token".to_owned(),
            daily_quota: 500,
            min_interval_ms: 1000,
            token_ttl_secs: 36_000,
            max_upload_bytes: 5 * 1024 * 1024,
            deny_search: false,
            market_day_secs: None,
            faults: Faults::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl std::fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("addr", &self.addr)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// For access tokens, granted or not.
    pub token_requests: u64,
    /// Searches that were answered; these count against the quota.
    pub searches_ok: u64,
    /// For want of pace, quota, token or permission.
    pub searches_refused: u64,
    /// Calls about one offer that were answered; these count against the quota, too.
    pub details_ok: u64,
    /// Pictures of goods that were fetched.
    pub image_fetches: u64,
    /// Faults that befell an answer.
    pub faults_injected: u64,
}
