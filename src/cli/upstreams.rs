//! Which upstreams are asked, with which credentials, and how much.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Deserialize;

use super::settings::Common;
use crate::clock::SystemClock;
use crate::engine::CachePolicy;
use crate::offer::{OfferDetail, OfferId};
use crate::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, SearchParams, Secret, Tape, TmapiConfig, TmapiUpstream, TokenFile, UploadLimits,
    UploadPicture, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage, aop,
};

/// An upstream dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Profile {
    /// The dialect of the common articles; the sandbox speaks it
    Article,
    /// The official gateway
    Aop,
    /// The official gateway's search for pictures at a public address
    Linkplus,
    /// The vendor OneBound
    Onebound,
    /// The vendor TMAPI, for pictures at a public address
    Tmapi,
}

impl Profile {
    /// The variable of the key, if there is one beside the secret, and that of the secret.
    fn variables(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Article | Self::Aop | Self::Linkplus => (Some("TONGKUAN_APP_KEY"), "TONGKUAN_APP_SECRET"),
            Self::Onebound => (Some("TONGKUAN_ONEBOUND_KEY"), "TONGKUAN_ONEBOUND_SECRET"),
            Self::Tmapi => (None, "TONGKUAN_TMAPI_TOKEN"),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Article => "article",
            Self::Aop => "aop",
            Self::Linkplus => "linkplus",
            Self::Onebound => "onebound",
            Self::Tmapi => "tmapi",
        })
    }
}

/// `[upstream.PROFILE]` of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpstreamFile {
    base_url: Option<String>,
    app_key: Option<String>,
    /// A file that holds nothing but the secret; the secret itself is not to be written here.
    app_secret_file: Option<PathBuf>,
    access_token_file: Option<PathBuf>,
    refresh_token_file: Option<PathBuf>,
    daily_budget: Option<u32>,
    min_interval_ms: Option<u64>,
    timeout_secs: Option<u64>,
    soft_ttl_secs: Option<u64>,
    hard_ttl_secs: Option<u64>,
    empty_ttl_secs: Option<u64>,
    refused_ttl_secs: Option<u64>,
    unreadable_ttl_secs: Option<u64>,
}

/// One upstream, resolved.
#[derive(Debug)]
pub(super) struct UpstreamSettings {
    pub(super) profile: Profile,
    /// Empty for a profile that has none.
    pub(super) app_key: String,
    app_secret: Secret,
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    pub(super) base_url: Option<String>,
    timeout: Option<Duration>,
    pub(super) policy: GuardPolicy,
    pub(super) freshness: CachePolicy,
}

impl UpstreamSettings {
    /// An upstream of the article dialect with everything else as it is by default.
    pub(super) fn article(base_url: &str, app_key: &str, app_secret: &str) -> Self {
        Self {
            profile: Profile::Article,
            app_key: app_key.to_owned(),
            app_secret: Secret::new(app_secret),
            access_token: None,
            refresh_token: None,
            base_url: Some(base_url.to_owned()),
            timeout: None,
            policy: GuardPolicy::default(),
            freshness: CachePolicy::default(),
        }
    }

    /// All that are named, else those that are configured, else `article` if there are credentials. None at all
    /// without any: then only local knowledge answers.
    pub(super) fn resolve(
        common: &Common,
        listed: Option<Vec<Profile>>,
        mut files: HashMap<Profile, UpstreamFile>,
    ) -> Result<Vec<Self>> {
        let named = common.upstream.clone().or(listed);
        let profiles = match &named {
            Some(profiles) => profiles.clone(),
            None if files.len() > 1 => bail!(
                "several upstreams are configured: say in which order they are asked, \
                 as in upstreams = [\"aop\", \"article\"]"
            ),
            None => vec![files.keys().next().copied().unwrap_or(Profile::Article)],
        };
        let mut all = Vec::new();
        for (place, profile) in profiles.into_iter().enumerate() {
            let file = files.remove(&profile);
            let is_wanted = named.is_some() || file.is_some();
            let base_url = common.base_url.clone().filter(|_| place == 0);
            match Self::of(profile, common, base_url, file.unwrap_or_default())? {
                Some(settings) => all.push(settings),
                None if is_wanted => {
                    let (key, secret) = profile.variables();
                    let both = key.map_or_else(|| secret.to_owned(), |key| format!("{key} and {secret}"));
                    bail!("the upstream {profile} is named but its credentials are not: set {both}")
                }
                None => {}
            }
        }
        Ok(all)
    }

    /// `None` without credentials.
    fn of(
        profile: Profile,
        common: &Common,
        base_url: Option<String>,
        file: UpstreamFile,
    ) -> Result<Option<Self>> {
        let (key_name, secret_name) = profile.variables();
        // A recording is asked without credentials.
        let stand_in = common.replay.as_ref().map(|_| "replayed".to_owned());
        let app_key = match key_name {
            Some(name) => variable(name).or(file.app_key).or_else(|| stand_in.clone()),
            None => Some(String::new()),
        };
        let app_secret = secret(secret_name, file.app_secret_file.as_deref())?;
        let app_secret = app_secret.or_else(|| stand_in.clone().map(Secret::new));
        let (Some(app_key), Some(app_secret)) = (app_key, app_secret) else { return Ok(None) };
        let default = GuardPolicy::default();
        let policy = GuardPolicy {
            daily_budget: common.daily_budget.or(file.daily_budget).unwrap_or(default.daily_budget),
            min_interval: match (&stand_in, file.min_interval_ms) {
                (Some(_), _) => Duration::ZERO,
                (None, Some(ms)) => Duration::from_millis(ms),
                (None, None) => default.min_interval,
            },
            ..default
        };
        let ttl = |secs: Option<u64>, default| secs.map_or(default, Duration::from_secs);
        let default = CachePolicy::default();
        let freshness = CachePolicy {
            soft_ttl: ttl(file.soft_ttl_secs, default.soft_ttl),
            hard_ttl: ttl(file.hard_ttl_secs, default.hard_ttl),
            empty_ttl: ttl(file.empty_ttl_secs, default.empty_ttl),
            refused_ttl: ttl(file.refused_ttl_secs, default.refused_ttl),
            unreadable_ttl: ttl(file.unreadable_ttl_secs, default.unreadable_ttl),
        };
        Ok(Some(Self {
            profile,
            app_key,
            app_secret,
            access_token: secret("TONGKUAN_ACCESS_TOKEN", file.access_token_file.as_deref())?,
            refresh_token: secret("TONGKUAN_REFRESH_TOKEN", file.refresh_token_file.as_deref())?,
            base_url: base_url.or(file.base_url),
            timeout: file.timeout_secs.map(Duration::from_secs),
            policy,
            freshness,
        }))
    }

    pub(super) fn connect(&self, home: &Path, tape: Option<&Arc<Tape>>) -> Result<Arc<dyn Upstream>> {
        Ok(match self.profile {
            Profile::Article => {
                let mut config = ArticleConfig::new(&self.app_key, self.app_secret.clone());
                config.base_url = self.base_url.clone().unwrap_or(config.base_url);
                config.timeout = self.timeout.unwrap_or(config.timeout);
                config.tape = tape.cloned();
                Arc::new(ArticleUpstream::new(config, Arc::new(SystemClock))?)
            }
            Profile::Aop | Profile::Linkplus => {
                let config = AopConfig { tape: tape.cloned(), ..self.gateway(home) };
                if self.profile == Profile::Aop {
                    Arc::new(AopUpstream::new(config, Arc::new(SystemClock))?)
                } else {
                    Arc::new(LinkplusUpstream::new(config, Arc::new(SystemClock))?)
                }
            }
            Profile::Onebound => {
                let mut config =
                    OneboundConfig::new(Secret::new(self.app_key.as_str()), self.app_secret.clone());
                config.base_url = self.base_url.clone().unwrap_or(config.base_url);
                config.timeout = self.timeout.unwrap_or(config.timeout);
                config.tape = tape.cloned();
                Arc::new(OneboundUpstream::new(config, Arc::new(SystemClock))?)
            }
            Profile::Tmapi => {
                let mut config = TmapiConfig::new(self.app_secret.clone());
                config.base_url = self.base_url.clone().unwrap_or(config.base_url);
                config.timeout = self.timeout.unwrap_or(config.timeout);
                config.tape = tape.cloned();
                Arc::new(TmapiUpstream::new(config, Arc::new(SystemClock))?)
            }
        })
    }

    /// The official gateway; its profiles share the app and the tokens.
    pub(super) fn gateway(&self, home: &Path) -> AopConfig {
        let mut config = AopConfig::new(&self.app_key, self.app_secret.clone());
        config.access_token.clone_from(&self.access_token);
        config.refresh_token.clone_from(&self.refresh_token);
        config.token_file = Some(TokenFile::of_home(home, aop::PROFILE));
        config.base_url = self.base_url.clone().unwrap_or(config.base_url);
        config.timeout = self.timeout.unwrap_or(config.timeout);
        config
    }
}

/// An upstream that is known, with what it takes and what it has answered, but never asked: the network is forbidden.
pub(super) struct NotAsked(Arc<dyn Upstream>);

impl NotAsked {
    pub(super) fn instead_of(upstream: Arc<dyn Upstream>) -> Arc<dyn Upstream> {
        Arc::new(Self(upstream))
    }

    fn refusal(&self) -> UpstreamError {
        let message = "nothing is asked with --offline (or TONGKUAN_OFFLINE)";
        UpstreamError::new(self.profile(), UpstreamErrorKind::Unsupported, "offline", message)
    }
}

impl Upstream for NotAsked {
    fn profile(&self) -> &'static str {
        self.0.profile()
    }

    fn upload_limits(&self) -> UploadLimits {
        self.0.upload_limits()
    }

    fn max_page_size(&self) -> u32 {
        self.0.max_page_size()
    }

    fn gives_details(&self) -> bool {
        self.0.gives_details()
    }

    fn make_ready(&self) -> Result<(), UpstreamError> {
        Err(self.refusal())
    }

    fn search(&self, _: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        Err(self.refusal())
    }

    fn details(&self, _: &OfferId) -> Result<OfferDetail, UpstreamError> {
        Err(self.refusal())
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Err(self.refusal())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn secret(name: &str, file: Option<&Path>) -> Result<Option<Secret>> {
    if let Some(value) = variable(name) {
        return Ok(Some(Secret::new(value)));
    }
    let Some(path) = file else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(Secret::new(text.trim())))
}
