//! What goes before the configuration file.

use std::path::PathBuf;
use std::str::FromStr as _;

use super::error::ConfigError;
use super::profile::Profile;
use super::variables::Variables;
use crate::embed::{Provider, UnknownProvider};
use crate::engine::{IndexMode, UnknownIndex};

/// What a door was told itself. `None` leaves a setting to the environment, the file and the defaults.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The home folder.
    pub home: Option<PathBuf>,
    /// The configuration file, which must be there then.
    pub config_file: Option<PathBuf>,
    /// The manifest of another model than the built-in one.
    pub model: Option<PathBuf>,
    /// What the model runs on.
    pub provider: Option<Provider>,
    /// Whether the network is forbidden.
    pub offline: Option<bool>,
    /// Whom to ask, in this order.
    pub upstreams: Option<Vec<Profile>>,
    /// The address of the first upstream; one on this machine, such as a sandbox's, of all that have no other one there.
    pub base_url: Option<String>,
    /// Calls a day and upstream.
    pub daily_budget: Option<u32>,
    /// 0 to 1; see [`EngineBuilder::max_false_hit`](crate::EngineBuilder::max_false_hit).
    pub max_false_hit: Option<f64>,
    /// Which index answers what is near.
    pub index: Option<IndexMode>,
    /// A folder in which the workers of a home in a database share snapshots of the index.
    pub index_snapshots: Option<PathBuf>,
    /// A new file for what is said to and by the upstreams.
    pub record: Option<PathBuf>,
    /// A recording that answers in the place of the upstreams; no credentials are needed then.
    pub replay: Option<PathBuf>,
}

impl Overrides {
    /// These, with what they leave open filled in from the environment.
    pub(super) fn over(&self, variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let named = self.clone();
        Ok(Self {
            home: named.home.or_else(|| variables.path("TONGKUAN_HOME")),
            config_file: named.config_file.or_else(|| variables.path("TONGKUAN_CONFIG")),
            model: named.model.or_else(|| variables.path("TONGKUAN_MODEL")),
            provider: variables.or(named.provider, "TONGKUAN_PROVIDER", |text| {
                text.parse().map_err(|unknown: UnknownProvider| unknown.to_string())
            })?,
            offline: variables.or(named.offline, "TONGKUAN_OFFLINE", switch)?,
            upstreams: variables.or(named.upstreams, "TONGKUAN_UPSTREAM", |text| {
                text.split(',').map(Profile::from_str).collect::<Result<_, _>>().map_err(|e| e.to_string())
            })?,
            base_url: variables.or(named.base_url, "TONGKUAN_BASE_URL", |text| Ok(text.to_owned()))?,
            daily_budget: variables.or(named.daily_budget, "TONGKUAN_DAILY_BUDGET", |text| {
                text.trim().parse().map_err(|_| "use a number of calls, 0 to 4294967295".to_owned())
            })?,
            max_false_hit: variables.or(named.max_false_hit, "TONGKUAN_MAX_FALSE_HIT", |text| {
                let share: f64 = text.trim().parse().map_err(|_| "it is not a number".to_owned())?;
                check_share(share).map(|()| share).map_err(|error| error.to_string())
            })?,
            index: variables.or(named.index, "TONGKUAN_INDEX", |text| {
                text.parse().map_err(|unknown: UnknownIndex| unknown.to_string())
            })?,
            index_snapshots: named.index_snapshots.or_else(|| variables.path("TONGKUAN_INDEX_SNAPSHOTS")),
            ..named
        })
    }
}

/// Whether `share` is a share of searches that can be promised: above 0, at most 1.
///
/// # Errors
/// [`ConfigError::Share`].
pub fn check_share(share: f64) -> Result<(), ConfigError> {
    if share > 0.0 && share <= 1.0 { Ok(()) } else { Err(ConfigError::Share { share }) }
}

/// On or off as people write it.
fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Ok(true),
        "" | "0" | "false" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err("use 1, true, yes, on, 0, false, no or off".to_owned()),
    }
}
