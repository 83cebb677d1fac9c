//! Where a setting comes from: the command line, else the environment, else the configuration file, else a default.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::show::Terminal;
use crate::clock::SystemClock;
use crate::embed::{Model, runtime};
use crate::engine::{Engine, RuntimeChoice};
use crate::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, Secret, TokenFile, Upstream, aop,
};

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
    #[arg(long, env = "TONGKUAN_OFFLINE", global = true)]
    pub(super) offline: bool,
    /// The manifest.json of another model
    #[arg(long, env = "TONGKUAN_MODEL", global = true, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    /// Which dialect the upstream speaks
    #[arg(long, env = "TONGKUAN_UPSTREAM", global = true, value_name = "PROFILE")]
    pub(super) upstream: Option<Profile>,
    /// The upstream's address (default: the 1688 gateway)
    #[arg(long, env = "TONGKUAN_BASE_URL", global = true, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// Upstream calls a day, over all processes on the home folder (default: 500)
    #[arg(long, env = "TONGKUAN_DAILY_BUDGET", global = true, value_name = "N")]
    pub(super) daily_budget: Option<u32>,
}

/// An upstream dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Profile {
    /// The dialect of the common articles; the sandbox speaks it
    Article,
    /// The official gateway
    Aop,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    home: Option<PathBuf>,
    model: Option<PathBuf>,
    upstream: UpstreamFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UpstreamFile {
    profile: Option<Profile>,
    base_url: Option<String>,
    app_key: Option<String>,
    /// A file that holds nothing but the secret; the secret itself is not to be written here.
    app_secret_file: Option<PathBuf>,
    access_token_file: Option<PathBuf>,
    refresh_token_file: Option<PathBuf>,
    daily_budget: Option<u32>,
    min_interval_ms: Option<u64>,
    timeout_secs: Option<u64>,
}

/// All settings, resolved.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) home: PathBuf,
    pub(super) runtime_folder: PathBuf,
    pub(super) config_file: PathBuf,
    pub(super) json: bool,
    pub(super) offline: bool,
    model: Option<PathBuf>,
    upstream: Option<UpstreamSettings>,
}

#[derive(Debug)]
struct UpstreamSettings {
    profile: Profile,
    base_url: Option<String>,
    app_key: String,
    app_secret: Secret,
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    timeout: Option<Duration>,
    policy: GuardPolicy,
}

impl Settings {
    pub(super) fn resolve(common: &Common) -> Result<Self> {
        let folders = directories::ProjectDirs::from("", "", "tongkuan");
        let config_file = match (&common.config, &folders) {
            (Some(named), _) => named.clone(),
            (None, Some(folders)) => folders.config_dir().join("config.toml"),
            (None, None) => PathBuf::from("config.toml"),
        };
        let file = read_config(&config_file, common.config.is_some())?;
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
            model: common.model.clone().or(file.model),
            upstream: upstream(common, file.upstream)?,
        })
    }

    /// Settings for a home folder of its own that talks to a sandbox, for the demo.
    pub(super) fn with_upstream(
        mut self,
        home: &Path,
        base_url: &str,
        app_key: &str,
        app_secret: &str,
    ) -> Self {
        self.home = home.to_path_buf();
        self.offline = false;
        self.upstream = Some(UpstreamSettings {
            profile: Profile::Article,
            base_url: Some(base_url.to_owned()),
            app_key: app_key.to_owned(),
            app_secret: Secret::new(app_secret),
            access_token: None,
            refresh_token: None,
            timeout: None,
            policy: GuardPolicy::default(),
        });
        self
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

    /// Opens the home folder with these settings.
    pub(super) fn engine(&self, may_fetch_runtime: bool) -> Result<Engine> {
        let mut builder = Engine::builder(&self.home)
            .model(Arc::new(self.model()?))
            .runtime(self.runtime(may_fetch_runtime && !self.offline))
            .progress(Arc::new(Terminal::new()));
        if let Some(settings) = &self.upstream {
            builder = builder.upstream(settings.connect(&self.home)?, settings.policy.clone());
        }
        Ok(builder.open()?)
    }

    /// Of the app that the credentials belong to.
    pub(super) fn app_key(&self) -> Result<&str> {
        Ok(&self.credentials()?.app_key)
    }

    /// The official gateway, whatever profile is configured, and where its tokens are kept.
    pub(super) fn aop(&self) -> Result<(AopUpstream, TokenFile)> {
        let file = TokenFile::of_home(&self.home, aop::PROFILE);
        Ok((self.credentials()?.aop(&self.home)?, file))
    }

    fn credentials(&self) -> Result<&UpstreamSettings> {
        self.upstream
            .as_ref()
            .context("there are no credentials: set TONGKUAN_APP_KEY and TONGKUAN_APP_SECRET")
    }
}

impl UpstreamSettings {
    fn connect(&self, home: &Path) -> Result<Arc<dyn Upstream>> {
        Ok(match self.profile {
            Profile::Article => {
                let mut config = ArticleConfig::new(&self.app_key, self.app_secret.clone());
                config.base_url = self.base_url.clone().unwrap_or(config.base_url);
                config.timeout = self.timeout.unwrap_or(config.timeout);
                Arc::new(ArticleUpstream::new(config, Arc::new(SystemClock))?)
            }
            Profile::Aop => Arc::new(self.aop(home)?),
        })
    }

    fn aop(&self, home: &Path) -> Result<AopUpstream> {
        let mut config = AopConfig::new(&self.app_key, self.app_secret.clone());
        config.access_token.clone_from(&self.access_token);
        config.refresh_token.clone_from(&self.refresh_token);
        config.token_file = Some(TokenFile::of_home(home, aop::PROFILE));
        config.base_url = self.base_url.clone().unwrap_or(config.base_url);
        config.timeout = self.timeout.unwrap_or(config.timeout);
        Ok(AopUpstream::new(config, Arc::new(SystemClock))?)
    }
}

fn read_config(path: &Path, was_named: bool) -> Result<ConfigFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !was_named => return Ok(ConfigFile::default()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
}

/// The upstream, or none when no credentials are there: then only local knowledge answers.
fn upstream(common: &Common, file: UpstreamFile) -> Result<Option<UpstreamSettings>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let app_key = variable("TONGKUAN_APP_KEY").or(file.app_key);
    let app_secret = secret("TONGKUAN_APP_SECRET", file.app_secret_file.as_deref())?;
    let access_token = secret("TONGKUAN_ACCESS_TOKEN", file.access_token_file.as_deref())?;
    let refresh_token = secret("TONGKUAN_REFRESH_TOKEN", file.refresh_token_file.as_deref())?;
    let (Some(app_key), Some(app_secret)) = (app_key, app_secret) else {
        if common.upstream.is_some() || file.profile.is_some() {
            bail!(
                "an upstream is named but its credentials are not: set TONGKUAN_APP_KEY and TONGKUAN_APP_SECRET"
            );
        }
        return Ok(None);
    };
    let mut policy = GuardPolicy::default();
    policy.daily_budget = common.daily_budget.or(file.daily_budget).unwrap_or(policy.daily_budget);
    policy.min_interval = file.min_interval_ms.map_or(policy.min_interval, Duration::from_millis);
    Ok(Some(UpstreamSettings {
        profile: common.upstream.or(file.profile).unwrap_or(Profile::Article),
        base_url: common.base_url.clone().or(file.base_url),
        app_key,
        app_secret,
        access_token,
        refresh_token,
        timeout: file.timeout_secs.map(Duration::from_secs),
        policy,
    }))
}

fn secret(variable: &str, file: Option<&Path>) -> Result<Option<Secret>> {
    if let Some(value) = std::env::var(variable).ok().filter(|v| !v.is_empty()) {
        return Ok(Some(Secret::new(value)));
    }
    let Some(path) = file else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(Secret::new(text.trim())))
}
