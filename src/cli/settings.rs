//! The options that every command takes, and what they are resolved to.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::output::complain;
use super::show::Terminal;
use crate::config::{self, Overrides, Profile, UpstreamSettings, check_share};
use crate::embed::Provider;
use crate::engine::{Engine, EngineBuilder, IndexMode, Progress as _};
use crate::home::Home;
use crate::store::Store;

/// Options that every command takes. The variables are read by [`config`], as for every other door.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub(super) struct Common {
    /// The home: a folder for catalogue and index, or postgres://USER@HOST/DATABASE for a database that several machines
    /// share (the password: PGPASSWORD, PGPASSFILE or ?password_file=PATH) [env: TONGKUAN_HOME]
    #[arg(long, global = true, value_name = "DIR|ADDRESS")]
    pub(super) home: Option<PathBuf>,
    /// The configuration file (default: config.toml in the platform's configuration folder) [env: TONGKUAN_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON: one object a line
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Use no network at all: nothing is fetched, no upstream is asked [env: TONGKUAN_OFFLINE]
    #[arg(long, global = true)]
    pub(super) offline: bool,
    /// The manifest.json of another model [env: TONGKUAN_MODEL]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// What the model runs on (default: cpu); any other needs an ONNX Runtime that has it, which ORT_DYLIB_PATH names, and runs
    /// pictures together [env: TONGKUAN_PROVIDER]
    #[arg(long, global = true, value_name = "PROVIDER")]
    pub(super) provider: Option<Provider>,
    /// Whom to ask: one profile, or several separated by commas, of which the next takes over when one is spent (default:
    /// those of the configuration file, else article where an app key and secret are set) [env: TONGKUAN_UPSTREAM]
    #[arg(long, global = true, value_name = "PROFILE", value_delimiter = ',')]
    pub(super) upstream: Option<Vec<Profile>>,
    /// The address of the first upstream, or of all of them where it is on this machine, as a sandbox's is (default: their
    /// providers') [env: TONGKUAN_BASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// Calls a day and upstream, over all processes on the home folder (default: 500) [env: TONGKUAN_DAILY_BUDGET]
    #[arg(long, global = true, value_name = "N")]
    pub(super) daily_budget: Option<u32>,
    /// How many of the searches for pictures that are not stored may be answered falsely, 0 to 1 (default: 0.01); the
    /// threshold between hit and review follows from it [env: TONGKUAN_MAX_FALSE_HIT]
    #[arg(long, global = true, value_name = "SHARE", value_parser = share)]
    pub(super) max_false_hit: Option<f64>,
    /// Which index answers what is near (default: local) [env: TONGKUAN_INDEX]
    #[arg(long, global = true, value_name = "INDEX")]
    pub(super) index: Option<IndexMode>,
    /// A folder in which the workers of a home in a database share snapshots of their indexes [env: TONGKUAN_INDEX_SNAPSHOTS]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) index_snapshots: Option<PathBuf>,
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

impl Common {
    fn overrides(&self) -> Overrides {
        Overrides {
            home: self.home.clone(),
            config_file: self.config.clone(),
            model: self.model.clone(),
            provider: self.provider,
            offline: self.offline.then_some(true),
            upstreams: self.upstream.clone(),
            base_url: self.base_url.clone(),
            daily_budget: self.daily_budget,
            max_false_hit: self.max_false_hit,
            index: self.index,
            index_snapshots: self.index_snapshots.clone(),
            record: self.record.clone(),
            replay: self.replay.clone(),
        }
    }
}

/// As the options name them.
impl ValueEnum for Profile {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Article => "The dialect of the common articles; the sandbox speaks it",
            Self::Aop => "The official gateway",
            Self::Linkplus => "The official gateway's search for pictures at a public address",
            Self::Onebound => "The vendor OneBound",
            Self::Tmapi => "The vendor TMAPI, for pictures at a public address",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// As the option names them.
impl ValueEnum for Provider {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Cpu => "The processor, with any ONNX Runtime",
            Self::Cuda => "GPUs of NVIDIA (ONNX Runtime 1.18 or newer, as in the package onnxruntime-gpu)",
            Self::OpenVino => {
                "Intel's OpenVINO (as in onnxruntime-openvino); a home is another model's with it"
            }
            Self::CoreMl => "Apple's Core ML (in the runtimes for macOS)",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// As the option names them.
impl ValueEnum for IndexMode {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Local => "An index of each process, in its memory and in the home's folder",
            Self::Pgvector => {
                "PostgreSQL with pgvector, for a home in a database whose index the memory does not hold"
            }
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// The settings of one command: those of every door, and how it prints.
#[derive(Debug)]
pub(super) struct Settings {
    config: config::Settings,
    pub(super) json: bool,
}

impl Deref for Settings {
    type Target = config::Settings;

    fn deref(&self) -> &config::Settings {
        &self.config
    }
}

impl Settings {
    pub(super) fn resolve(common: &Common) -> Result<Self> {
        let config = config::Settings::resolve(&common.overrides())?;
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if config.upstreams().is_empty() && is_set("TONGKUAN_APP_KEY") && !is_set("TONGKUAN_APP_SECRET") {
            complain(
                "TONGKUAN_APP_KEY is set and TONGKUAN_APP_SECRET is not: nothing can be asked with one alone",
            );
        }
        Ok(Self { config, json: common.json })
    }

    /// See [`config::Settings::without_upstream`].
    pub(super) fn without_upstream(self, home: &Path) -> Self {
        Self { config: self.config.without_upstream(home), ..self }
    }

    /// See [`config::Settings::on_its_own`].
    pub(super) fn on_its_own(self, home: &Path) -> Self {
        Self { config: self.config.on_its_own(home), ..self }
    }

    /// See [`config::Settings::with_upstream`].
    pub(super) fn with_upstream(self, home: &Path, upstream: UpstreamSettings) -> Self {
        Self { config: self.config.with_upstream(home, upstream), ..self }
    }

    /// An engine on the home without upstreams and with the default bound, which tells this terminal what it does.
    pub(super) fn builder(&self, may_fetch_runtime: bool) -> Result<EngineBuilder> {
        self.builder_on(self.config.home.clone(), may_fetch_runtime)
    }

    /// As [`Settings::builder`], on another home.
    pub(super) fn builder_on(&self, home: impl Into<Home>, may_fetch_runtime: bool) -> Result<EngineBuilder> {
        Ok(self.config.local_builder_on(home, may_fetch_runtime)?.progress(Arc::new(Terminal::new())))
    }

    /// Opens the home with these settings, making it when it is not there.
    pub(super) fn engine(&self, may_fetch_runtime: bool) -> Result<Engine> {
        let builder = self.config.engine_builder(may_fetch_runtime)?;
        Ok(builder.progress(Arc::new(Terminal::new())).open()?)
    }

    /// As [`Settings::engine`], for commands that only read or change what is stored: a home that is not there is an
    /// error, not made.
    pub(super) fn existing_engine(&self, may_fetch_runtime: bool) -> Result<Engine> {
        self.require_home()?;
        self.engine(may_fetch_runtime)
    }
}

/// Opens what is stored at a home, making it when it is not there, and tells this terminal what is wrong with it.
pub(super) fn open_store(home: &Home) -> Result<Arc<dyn Store>> {
    let on_damage = Terminal::new();
    let on_wait = Terminal::new();
    Ok(home.open(move |damage| on_damage.damage(damage), move |text| on_wait.note(text))?)
}

/// A share of searches.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    check_share(share).map(|()| share).map_err(|error| error.to_string())
}
