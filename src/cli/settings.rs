//! Where a setting comes from: the command line, else the environment, else the configuration file, else a default.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap::builder::TypedValueParser as _;
use serde::Deserialize;

use super::show::Terminal;
use super::upstreams::{NotAsked, Profile, UpstreamFile, UpstreamSettings};
use crate::catalog::Catalog;
use crate::embed::{Model, runtime};
use crate::engine::{Engine, EngineBuilder, RuntimeChoice};
use crate::fetch::{FetchLimits, Fetcher};
use crate::photo::PhotoLimits;
use crate::upstream::Tape;

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub(super) struct Common {
    /// The home folder: catalogue and index
    #[arg(long, env = "TONGKUAN_HOME", global = true, value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
    /// The configuration file (default: config.toml in the platform's configuration folder)
    #[arg(long, env = "TONGKUAN_CONFIG", global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON: one object a line
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Use no network at all: nothing is fetched, no upstream is asked
    #[arg(long, env = "TONGKUAN_OFFLINE", global = true, value_parser = switch())]
    pub(super) offline: bool,
    /// The manifest.json of another model
    #[arg(long, env = "TONGKUAN_MODEL", global = true, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// Whom to ask: one profile, or several separated by commas, of which the next takes over when one is spent
    #[arg(long, env = "TONGKUAN_UPSTREAM", global = true, value_name = "PROFILE", value_delimiter = ',')]
    pub(super) upstream: Option<Vec<Profile>>,
    /// The address of the first upstream (default: its provider's)
    #[arg(long, env = "TONGKUAN_BASE_URL", global = true, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// Calls a day and upstream, over all processes on the home folder (default: 500)
    #[arg(long, env = "TONGKUAN_DAILY_BUDGET", global = true, value_name = "N")]
    pub(super) daily_budget: Option<u32>,
    /// How many of the searches for pictures that are not stored may be answered falsely, 0 to 1 (default: 0.01); the
    /// line between hit and review follows from it
    #[arg(long, env = "TONGKUAN_MAX_FALSE_HIT", global = true, value_name = "SHARE", value_parser = share)]
    pub(super) max_false_hit: Option<f64>,
    /// Log this program's own work on standard error: off, error, warn, info, debug, trace, or a filter such as
    /// tongkuan::upstream=debug (default: RUST_LOG, else off)
    #[arg(long, global = true, value_name = "LEVEL|FILTER")]
    pub(super) log: Option<String>,
    /// Write down what is said to and by the upstreams, without secrets, in a new file
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Have a recording answer in the place of the upstreams (use it with a --home of its own; no credentials needed)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) replay: Option<PathBuf>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    home: Option<PathBuf>,
    model: Option<PathBuf>,
    max_false_hit: Option<f64>,
    /// Fetch the offers' pictures after each search.
    harvest: bool,
    /// Addresses from which pictures may be fetched although they are not public.
    fetch_from: Vec<String>,
    /// In the order in which they are asked.
    upstreams: Option<Vec<Profile>>,
    upstream: HashMap<Profile, UpstreamFile>,
}

/// All settings, resolved.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) home: PathBuf,
    pub(super) runtime_folder: PathBuf,
    pub(super) config_file: PathBuf,
    pub(super) json: bool,
    offline: bool,
    pub(super) harvest: bool,
    /// `None` where none is named.
    pub(super) max_false_hit: Option<f64>,
    fetch_from: Vec<String>,
    model: Option<PathBuf>,
    record: Option<PathBuf>,
    replay: Option<PathBuf>,
    upstreams: Vec<UpstreamSettings>,
}

impl Settings {
    pub(super) fn resolve(common: &Common) -> Result<Self> {
        // Not by clap, which does not see a conflict of options before and after the command's name.
        if common.record.is_some() && common.replay.is_some() {
            bail!("--record and --replay exclude each other: a replayed answer is recorded already");
        }
        let folders = directories::ProjectDirs::from("", "", "tongkuan");
        let config_file = match (&common.config, &folders) {
            (Some(named), _) => named.clone(),
            (None, Some(folders)) => folders.config_dir().join("config.toml"),
            (None, None) => PathBuf::from("config.toml"),
        };
        let file = read_config(&config_file, common.config.is_some())?;
        if let Some(share) = file.max_false_hit {
            share_of(share).map_err(|problem| {
                anyhow::anyhow!("{}: max_false_hit is {share}: {problem}", config_file.display())
            })?;
        }
        let home = common.home.clone().or(file.home);
        let home = home.or_else(|| folders.as_ref().map(|f| f.data_dir().to_path_buf()));
        let Some(home) = home else { bail!("this system names no data folder; choose one with --home") };
        let runtime_folder = runtime::shared_folder().unwrap_or_else(|| home.join("runtime"));
        Ok(Self {
            home,
            runtime_folder,
            config_file,
            json: common.json,
            offline: common.offline,
            harvest: file.harvest,
            max_false_hit: common.max_false_hit.or(file.max_false_hit),
            fetch_from: file.fetch_from,
            model: common.model.clone().or(file.model),
            record: common.record.clone(),
            replay: common.replay.clone(),
            upstreams: UpstreamSettings::resolve(common, file.upstreams, file.upstream)?,
        })
    }

    /// Settings for a home folder of its own without an upstream.
    pub(super) fn without_upstream(mut self, home: &Path) -> Self {
        self.home = home.to_path_buf();
        self.upstreams = Vec::new();
        self
    }

    /// As [`Settings::without_upstream`], with no bound but the default: for who measures how sure the engine is.
    pub(super) fn on_its_own(self, home: &Path) -> Self {
        Self { max_false_hit: None, ..self.without_upstream(home) }
    }

    /// Settings for a home folder of its own that talks to a sandbox, for the demo.
    pub(super) fn with_upstream(mut self, home: &Path, upstream: UpstreamSettings) -> Self {
        self.home = home.to_path_buf();
        self.upstreams = vec![upstream];
        self
    }

    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    /// Leave to use the network for `what`, which begins the sentence of the refusal. Whatever opens a socket for a
    /// command asks here.
    pub(super) fn network(&self, what: &str) -> Result<Network> {
        if self.offline {
            bail!("{what} needs the network, which --offline (or TONGKUAN_OFFLINE) forbids");
        }
        Ok(Network(()))
    }

    /// Refuses when nothing is stored at the home folder: a command that only reads does not make a new one.
    pub(super) fn require_home(&self) -> Result<()> {
        if self.has_home()? {
            return Ok(());
        }
        bail!(
            "there is no home at {}: no catalogue is in it; correct --home, TONGKUAN_HOME or the configuration file, or \
             make a home there with `tongkuan add` or a search that is not offline",
            self.home.display()
        )
    }

    /// Whether something is stored at the home folder.
    pub(super) fn has_home(&self) -> Result<bool> {
        Catalog::is_in(&self.home).with_context(|| {
            let home = self.home.display();
            format!(
                "the home {home} may not be read: have its owner let you in, or choose another with --home"
            )
        })
    }

    pub(super) fn runtime(&self, may_fetch: bool) -> RuntimeChoice {
        RuntimeChoice { folder: self.runtime_folder.clone(), may_fetch, intra_threads: 1 }
    }

    pub(super) fn model(&self) -> Result<Model> {
        Ok(match &self.model {
            Some(manifest) => Model::read(manifest)?,
            None => Model::built_in()?,
        })
    }

    /// An engine on the home folder without upstreams and with the default bound.
    pub(super) fn builder(&self, may_fetch_runtime: bool) -> Result<EngineBuilder> {
        self.builder_on(&self.home, may_fetch_runtime)
    }

    /// As [`Settings::builder`], on another home folder.
    pub(super) fn builder_on(&self, home: &Path, may_fetch_runtime: bool) -> Result<EngineBuilder> {
        Ok(Engine::builder(home)
            .model(Arc::new(self.model()?))
            .runtime(self.runtime(may_fetch_runtime && !self.offline))
            .progress(Arc::new(Terminal::new())))
    }

    /// As [`Settings::engine`], for commands that only read or change what is stored: a home that is not there is an
    /// error, not made.
    pub(super) fn existing_engine(&self, may_fetch_runtime: bool) -> Result<Engine> {
        self.require_home()?;
        self.engine(may_fetch_runtime)
    }

    /// Opens the home folder with these settings, making it when it is not there.
    pub(super) fn engine(&self, may_fetch_runtime: bool) -> Result<Engine> {
        let mut builder = self.builder(may_fetch_runtime)?;
        if let Some(share) = self.max_false_hit {
            builder = builder.max_false_hit(share);
        }
        let tape = match (&self.record, &self.replay) {
            (Some(file), _) => Some(Arc::new(Tape::record(file)?)),
            (None, Some(file)) => Some(Arc::new(Tape::replay(file)?)),
            (None, None) => None,
        };
        for settings in &self.upstreams {
            let upstream = settings.connect(&self.home, tape.as_ref())?;
            let upstream = if self.offline { NotAsked::instead_of(upstream) } else { upstream };
            builder = builder.upstream(upstream, settings.policy.clone(), settings.freshness);
        }
        Ok(builder.open()?)
    }

    /// What fetches pictures. An upstream's own address is one to fetch from, if it was named: a sandbox
    /// serves the pictures of its goods.
    pub(super) fn fetcher(&self, _: Network) -> Result<Fetcher> {
        let mut origins = self.fetch_from.clone();
        origins.extend(self.upstreams.iter().filter_map(|upstream| upstream.base_url.clone()));
        let limits = FetchLimits { max_bytes: PhotoLimits::default().max_bytes, ..FetchLimits::default() };
        Ok(Fetcher::new(limits, &origins)?)
    }

    /// The settings of `profile`, which must be among those configured.
    pub(super) fn upstream(&self, profile: Profile) -> Result<&UpstreamSettings> {
        let found = self.upstreams.iter().find(|settings| settings.profile == profile);
        found.with_context(|| format!("the upstream {profile} is not configured; see `tongkuan --help`"))
    }
}

/// Leave to use the network; only [`Settings::network`] gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network(());

/// On or off as people write it in variables; an empty variable is off.
fn switch() -> impl clap::builder::TypedValueParser<Value = bool> {
    clap::builder::StringValueParser::new().try_map(|text| match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Ok(true),
        "" | "0" | "false" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err("use 1, true, yes, on, 0, false, no or off"),
    })
}

/// A share of searches.
fn share(text: &str) -> Result<f64, String> {
    share_of(text.parse().map_err(|_| format!("{text:?} is not a number"))?)
}

fn share_of(share: f64) -> Result<f64, String> {
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("use 0 to 1: 0.01 is one in a hundred".to_owned())
    }
}

fn read_config(path: &Path, was_named: bool) -> Result<ConfigFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !was_named => return Ok(ConfigFile::default()),
        Err(e) if was_named => {
            bail!(
                "cannot read the configuration file {} ({e}); correct --config or TONGKUAN_CONFIG",
                path.display()
            )
        }
        Err(e) => bail!("cannot read the configuration file {} ({e}); let this user read it", path.display()),
    };
    toml::from_str(&text).map_err(|error| {
        // One line, where the library would draw the place.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("{} is not a valid configuration: line {line}: {}", path.display(), error.message())
    })
}
