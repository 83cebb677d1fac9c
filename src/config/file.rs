//! `config.toml`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::ConfigError;
use super::overrides::check_share;
use super::profile::Profile;
use crate::embed::Provider;
use crate::engine::IndexMode;
use crate::upstream::WeightUnit;

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) home: Option<PathBuf>,
    pub(super) model: Option<PathBuf>,
    /// What the model runs on.
    pub(super) provider: Option<Provider>,
    pub(super) max_false_hit: Option<f64>,
    /// Which index answers what is near.
    pub(super) index: Option<IndexMode>,
    /// A folder in which workers share snapshots of the index.
    pub(super) index_snapshots: Option<PathBuf>,
    /// Fetch the offers' pictures after each search.
    pub(super) harvest: bool,
    /// Addresses from which pictures may be fetched although they are not public.
    pub(super) fetch_from: Vec<String>,
    /// In the order in which they are asked.
    pub(super) upstreams: Option<Vec<Profile>>,
    pub(super) upstream: HashMap<Profile, UpstreamSection>,
}

/// `[upstream.PROFILE]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpstreamSection {
    pub(super) base_url: Option<String>,
    pub(super) app_key: Option<String>,
    /// A file that holds nothing but the secret; the secret itself is not to be written here.
    pub(super) app_secret_file: Option<PathBuf>,
    pub(super) access_token_file: Option<PathBuf>,
    pub(super) refresh_token_file: Option<PathBuf>,
    pub(super) daily_budget: Option<u32>,
    pub(super) min_interval_ms: Option<u64>,
    pub(super) timeout_secs: Option<u64>,
    /// Of an upstream that tells weights without one: `"kg"` or `"g"`.
    pub(super) weight_unit: Option<WeightUnit>,
    pub(super) soft_ttl_secs: Option<u64>,
    pub(super) hard_ttl_secs: Option<u64>,
    pub(super) empty_ttl_secs: Option<u64>,
    pub(super) refused_ttl_secs: Option<u64>,
    pub(super) unreadable_ttl_secs: Option<u64>,
}

impl ConfigFile {
    /// Reads the file at `path`. The default one may be absent.
    pub(super) fn read(path: &Path, was_named: bool) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !was_named => return Ok(Self::default()),
            Err(e) => {
                return Err(ConfigError::FileNotRead { path: path.to_owned(), cause: e.to_string() });
            }
        };
        let invalid = |problem| ConfigError::FileInvalid { path: path.to_owned(), problem };
        let file: Self = toml::from_str(&text).map_err(|error| {
            // One line, where the library would draw the place.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            invalid(format!("line {}: {}", before.matches('\n').count() + 1, error.message()))
        })?;
        if let Some(share) = file.max_false_hit {
            check_share(share).map_err(|error| invalid(error.to_string()))?;
        }
        Ok(file)
    }
}
