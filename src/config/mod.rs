//! Which home, which model, whom to ask with which credentials? Whatever a door (the command line, a server, a binding) was
//! told, else the environment, else the configuration file, else a default.
//!
//! ```no_run
//! use tongkuan::config::{Overrides, Settings};
//!
//! let settings = Settings::resolve(&Overrides::default())?;
//! let engine = settings.engine_builder(true)?.open()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The variables are `TONGKUAN_HOME`, `TONGKUAN_CONFIG`, `TONGKUAN_MODEL`, `TONGKUAN_PROVIDER`, `TONGKUAN_OFFLINE`, `TONGKUAN_UPSTREAM`,
//! `TONGKUAN_BASE_URL`, `TONGKUAN_DAILY_BUDGET`, `TONGKUAN_MAX_FALSE_HIT`, `TONGKUAN_INDEX`, `TONGKUAN_INDEX_SNAPSHOTS` and those of the
//! credentials; an empty one is as good as none. Credentials come from variables and from files alone.

mod error;
mod file;
mod overrides;
mod profile;
mod upstreams;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::ConfigError;
pub use overrides::{Overrides, check_share};
pub use profile::{Profile, UnknownProfile};
pub use upstreams::UpstreamSettings;

use crate::catalog::CatalogError;
use crate::embed::{Model, Provider, runtime};
use crate::engine::{Engine, EngineBuilder, IndexMode, RuntimeChoice};
use crate::fetch::{FetchLimits, Fetcher};
use crate::home::Home;
use crate::photo::PhotoLimits;
use crate::upstream::Tape;
use file::ConfigFile;
use upstreams::NotAsked;
use variables::Variables;

/// All settings, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The home; it need not be there.
    pub home: Home,
    /// Whether it was named, so that its absence is a slip.
    pub is_home_named: bool,
    /// Where a fetched ONNX Runtime lies.
    pub runtime_folder: PathBuf,
    /// The configuration file; it need not be there.
    pub config_file: PathBuf,
    /// Whether the offers' pictures are to be fetched after each search.
    pub harvest: bool,
    /// `None` where none is named.
    pub max_false_hit: Option<f64>,
    /// What the model runs on.
    pub provider: Provider,
    /// Which index answers what is near.
    pub index: IndexMode,
    /// A folder in which the workers of a home in a database share snapshots of the index.
    pub index_snapshots: Option<PathBuf>,
    offline: bool,
    fetch_from: Vec<String>,
    model: Option<PathBuf>,
    record: Option<PathBuf>,
    replay: Option<PathBuf>,
    upstreams: Vec<UpstreamSettings>,
}

impl Settings {
    /// With this process's environment, and the configuration file that it, or else the platform, names.
    ///
    /// # Errors
    /// [`ConfigError`] for what was named and is not there or makes no sense.
    pub fn resolve(overrides: &Overrides) -> Result<Self, ConfigError> {
        Self::resolve_with(overrides, &Variables::new(&|name| std::env::var_os(name)))
    }

    fn resolve_with(overrides: &Overrides, variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let overrides = &overrides.over(variables)?;
        if overrides.record.is_some() && overrides.replay.is_some() {
            return Err(ConfigError::RecordAndReplay);
        }
        if let Some(share) = overrides.max_false_hit {
            check_share(share)?;
        }
        let folders = directories::ProjectDirs::from("", "", "tongkuan");
        let config_file = match (&overrides.config_file, &folders) {
            (Some(named), _) => named.clone(),
            (None, Some(folders)) => folders.config_dir().join("config.toml"),
            (None, None) => PathBuf::from("config.toml"),
        };
        let file = ConfigFile::read(&config_file, overrides.config_file.is_some())?;
        let named = overrides.home.clone().or(file.home);
        let is_home_named = named.is_some();
        let home = named.or_else(|| folders.as_ref().map(|f| f.data_dir().to_path_buf()));
        let home = Home::parse(home.ok_or(ConfigError::NoHomeFolder)?)?;
        Ok(Self {
            runtime_folder: runtime::shared_folder().unwrap_or_else(|| home.folder().join("runtime")),
            home,
            is_home_named,
            config_file,
            harvest: file.harvest,
            max_false_hit: overrides.max_false_hit.or(file.max_false_hit),
            provider: overrides.provider.or(file.provider).unwrap_or_default(),
            index: overrides.index.or(file.index).unwrap_or_default(),
            index_snapshots: overrides.index_snapshots.clone().or(file.index_snapshots),
            offline: overrides.offline.unwrap_or(false),
            fetch_from: file.fetch_from,
            model: overrides.model.clone().or(file.model),
            record: overrides.record.clone(),
            replay: overrides.replay.clone(),
            upstreams: UpstreamSettings::resolve(overrides, variables, file.upstreams, file.upstream)?,
        })
    }

    /// For another home folder, without an upstream.
    #[must_use]
    pub fn without_upstream(mut self, home: &Path) -> Self {
        (self.home, self.index) = (home.into(), IndexMode::Local);
        self.upstreams = Vec::new();
        self
    }

    /// As [`Settings::without_upstream`], with no bound but the default: for measuring how sure the engine is.
    #[must_use]
    pub fn on_its_own(self, home: &Path) -> Self {
        Self { max_false_hit: None, ..self.without_upstream(home) }
    }

    /// For another home folder that asks this upstream alone.
    #[must_use]
    pub fn with_upstream(mut self, home: &Path, upstream: UpstreamSettings) -> Self {
        (self.home, self.index) = (home.into(), IndexMode::Local);
        self.upstreams = vec![upstream];
        self
    }

    /// Whether the network is forbidden.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Leave to use the network for `what`, which begins the sentence of the refusal. Whatever opens a socket on a user's
    /// behalf asks here.
    ///
    /// # Errors
    /// [`ConfigError::Offline`].
    pub fn network(&self, what: &str) -> Result<Network, ConfigError> {
        if self.offline {
            return Err(ConfigError::Offline { what: what.to_owned() });
        }
        Ok(Network(()))
    }

    /// Refuses when nothing is stored at the home: what only reads does not make a new one.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`]; as [`Settings::has_home`].
    pub fn require_home(&self) -> Result<(), ConfigError> {
        if self.has_home()? { Ok(()) } else { Err(ConfigError::NoHome { home: self.home.clone() }) }
    }

    /// Whether something is stored at the home.
    ///
    /// # Errors
    /// [`ConfigError::HomeNotReadable`]; as [`Home::is_there`].
    pub fn has_home(&self) -> Result<bool, ConfigError> {
        self.home.is_there().map_err(|error| match error {
            CatalogError::Home { path, source } => {
                ConfigError::HomeNotReadable { home: path, cause: source.to_string() }
            }
            other => other.into(),
        })
    }

    /// Where ONNX Runtime comes from, with one thread a picture.
    #[must_use]
    pub fn runtime(&self, may_fetch: bool) -> RuntimeChoice {
        RuntimeChoice::new(&self.runtime_folder).may_fetch(may_fetch)
    }

    /// The model that is named, else the built-in one.
    ///
    /// # Errors
    /// [`ConfigError::Model`].
    pub fn model(&self) -> Result<Model, ConfigError> {
        Ok(match &self.model {
            Some(manifest) => Model::read(manifest)?,
            None => Model::built_in()?,
        })
    }

    /// An engine on the home without upstreams, with the default bound and an index of its own.
    ///
    /// # Errors
    /// [`ConfigError::Model`].
    pub fn local_builder(&self, may_fetch_runtime: bool) -> Result<EngineBuilder, ConfigError> {
        self.local_builder_on(self.home.clone(), may_fetch_runtime)
    }

    /// As [`Settings::local_builder`], on another home.
    ///
    /// # Errors
    /// [`ConfigError`] when the model cannot be used.
    pub fn local_builder_on(
        &self,
        home: impl Into<Home>,
        may_fetch_runtime: bool,
    ) -> Result<EngineBuilder, ConfigError> {
        Ok(Engine::builder(home)
            .model(Arc::new(self.model()?))
            .provider(self.provider)
            .runtime(self.runtime(may_fetch_runtime && !self.offline)))
    }

    /// An engine with all of these settings. ONNX Runtime may be fetched where that is said here and the network is not
    /// forbidden. Opening it makes the home when it is not there: see [`Settings::require_home`].
    ///
    /// # Errors
    /// [`ConfigError`] when the model, the recording or an upstream's settings cannot be used.
    pub fn engine_builder(&self, may_fetch_runtime: bool) -> Result<EngineBuilder, ConfigError> {
        let mut builder = self.local_builder(may_fetch_runtime)?.index(self.index);
        if let Some(folder) = &self.index_snapshots {
            builder = builder.index_snapshots(folder);
        }
        if let Some(share) = self.max_false_hit {
            builder = builder.max_false_hit(share);
        }
        let tape = match (&self.record, &self.replay) {
            (Some(file), _) => Some(Arc::new(Tape::record(file)?)),
            (None, Some(file)) => Some(Arc::new(Tape::replay(file)?)),
            (None, None) => None,
        };
        for settings in &self.upstreams {
            let upstream = settings.connect(self.home.folder(), tape.as_ref())?;
            let upstream = if self.offline { NotAsked::instead_of(upstream) } else { upstream };
            builder = builder.upstream(upstream, settings.policy.clone(), settings.cache_policy);
        }
        Ok(builder)
    }

    /// What fetches pictures. An upstream's own address is one to fetch from, if it was named: a sandbox
    /// serves the pictures of its goods.
    ///
    /// # Errors
    /// [`ConfigError::Fetch`] for an entry of `fetch_from` that is no address.
    pub fn fetcher(&self, _: Network) -> Result<Fetcher, ConfigError> {
        let mut origins = self.fetch_from.clone();
        origins.extend(self.upstreams.iter().filter_map(|upstream| upstream.base_url.clone()));
        let limits = FetchLimits { max_bytes: PhotoLimits::default().max_bytes, ..FetchLimits::default() };
        Ok(Fetcher::new(limits, &origins)?)
    }

    /// The upstreams, in the order in which they are asked.
    #[must_use]
    pub fn upstreams(&self) -> &[UpstreamSettings] {
        &self.upstreams
    }

    /// The settings of `profile`, which must be among those configured.
    ///
    /// # Errors
    /// [`ConfigError::NotConfigured`].
    pub fn upstream(&self, profile: Profile) -> Result<&UpstreamSettings, ConfigError> {
        let found = self.upstreams.iter().find(|settings| settings.profile == profile);
        found.ok_or(ConfigError::NotConfigured { profile })
    }
}

/// Leave to use the network; only [`Settings::network`] gives it.
#[derive(Clone, Copy, Debug)]
pub struct Network(());

#[cfg(test)]
mod tests;
