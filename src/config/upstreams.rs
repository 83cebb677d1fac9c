//! Which upstreams are asked, with which credentials, and how much.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::ConfigError;
use super::file::UpstreamSection;
use super::overrides::Overrides;
use super::profile::Profile;
use super::variables::Variables;
use crate::clock::SystemClock;
use crate::engine::CachePolicy;
use crate::offer::{OfferDetail, OfferId};
use crate::upstream::{
    AopConfig, AopUpstream, ArticleConfig, ArticleUpstream, GuardPolicy, LinkplusUpstream, OneboundConfig,
    OneboundUpstream, SearchParams, Secret, Tape, TmapiConfig, TmapiUpstream, TokenFile, UploadLimits,
    UploadPicture, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage, WeightUnit, aop,
    is_on_this_machine,
};

/// One upstream, resolved.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its dialect.
    pub profile: Profile,
    /// Empty for a profile that has none.
    pub app_key: String,
    app_secret: Secret,
    access_token: Option<Secret>,
    refresh_token: Option<Secret>,
    /// `None`: its provider's.
    pub base_url: Option<String>,
    timeout: Option<Duration>,
    /// Of the weights that it tells without one.
    pub weight_unit: WeightUnit,
    /// How much may be spent, and how fast.
    pub policy: GuardPolicy,
    /// How long its answers are good.
    pub cache_policy: CachePolicy,
}

impl UpstreamSettings {
    /// What requests are signed with: for a gateway that checks its clients' signatures.
    #[must_use]
    pub fn app_secret(&self) -> &Secret {
        &self.app_secret
    }

    /// An upstream of the article dialect with everything else as it is by default.
    #[must_use]
    pub fn article(base_url: &str, app_key: &str, app_secret: &str) -> Self {
        Self {
            profile: Profile::Article,
            app_key: app_key.to_owned(),
            app_secret: Secret::new(app_secret),
            access_token: None,
            refresh_token: None,
            base_url: Some(base_url.to_owned()),
            timeout: None,
            weight_unit: WeightUnit::default(),
            policy: GuardPolicy::default(),
            cache_policy: CachePolicy::default(),
        }
    }

    /// All that are named, else those that are configured, else `article` if there are credentials. None at all
    /// without any: then only local knowledge answers.
    pub(super) fn resolve(
        overrides: &Overrides,
        variables: &Variables<'_>,
        listed: Option<Vec<Profile>>,
        mut sections: HashMap<Profile, UpstreamSection>,
    ) -> Result<Vec<Self>, ConfigError> {
        let named = overrides.upstreams.clone().or(listed);
        let profiles = match &named {
            Some(profiles) => profiles.clone(),
            None if sections.len() > 1 => return Err(ConfigError::UpstreamOrder),
            None => vec![sections.keys().next().copied().unwrap_or(Profile::Article)],
        };
        let twice = profiles.iter().enumerate().find(|(place, profile)| profiles[..*place].contains(profile));
        if let Some((_, &profile)) = twice {
            return Err(ConfigError::UpstreamTwice { profile });
        }
        let mut all = Vec::new();
        for (place, profile) in profiles.into_iter().enumerate() {
            let section = sections.remove(&profile);
            let is_wanted = named.is_some() || section.is_some();
            let section = section.unwrap_or_default();
            let has_stand_in = section.base_url.as_deref().is_some_and(is_on_this_machine);
            // One on this machine stands in for all: with a sandbox's address set, nothing is sent to a provider.
            let base_url = overrides
                .base_url
                .clone()
                .filter(|address| place == 0 || is_on_this_machine(address) && !has_stand_in);
            match Self::of(profile, overrides, variables, base_url, section)? {
                Some(settings) => all.push(settings),
                None if is_wanted => {
                    let (key, secret) = profile.variables();
                    let variables =
                        key.map_or_else(|| secret.to_owned(), |key| format!("{key} and {secret}"));
                    return Err(ConfigError::NoCredentials { profile, variables });
                }
                None => {}
            }
        }
        Ok(all)
    }

    /// `None` without credentials.
    fn of(
        profile: Profile,
        overrides: &Overrides,
        variables: &Variables<'_>,
        base_url: Option<String>,
        section: UpstreamSection,
    ) -> Result<Option<Self>, ConfigError> {
        let (key_name, secret_name) = profile.variables();
        // A recording is asked without credentials.
        let stand_in = overrides.replay.as_ref().map(|_| "replayed".to_owned());
        let app_key = match key_name {
            Some(name) => variables.text(name)?.or(section.app_key).or_else(|| stand_in.clone()),
            None => Some(String::new()),
        };
        let app_secret = secret(variables, secret_name, section.app_secret_file.as_deref())?;
        let app_secret = app_secret.or_else(|| stand_in.clone().map(Secret::new));
        let (Some(app_key), Some(app_secret)) = (app_key, app_secret) else { return Ok(None) };
        let default = GuardPolicy::default();
        let policy = GuardPolicy {
            daily_budget: overrides.daily_budget.or(section.daily_budget).unwrap_or(default.daily_budget),
            min_interval: match (&stand_in, section.min_interval_ms) {
                (Some(_), _) => Duration::ZERO,
                (None, Some(ms)) => Duration::from_millis(ms),
                (None, None) => default.min_interval,
            },
            ..default
        };
        let ttl = |secs: Option<u64>, default| secs.map_or(default, Duration::from_secs);
        let default = CachePolicy::default();
        let cache_policy = CachePolicy {
            soft_ttl: ttl(section.soft_ttl_secs, default.soft_ttl),
            hard_ttl: ttl(section.hard_ttl_secs, default.hard_ttl),
            empty_ttl: ttl(section.empty_ttl_secs, default.empty_ttl),
            refused_ttl: ttl(section.refused_ttl_secs, default.refused_ttl),
            unreadable_ttl: ttl(section.unreadable_ttl_secs, default.unreadable_ttl),
        };
        let token = |name, file: Option<&Path>| secret(variables, name, file);
        Ok(Some(Self {
            profile,
            app_key,
            app_secret,
            access_token: token("TONGKUAN_ACCESS_TOKEN", section.access_token_file.as_deref())?,
            refresh_token: token("TONGKUAN_REFRESH_TOKEN", section.refresh_token_file.as_deref())?,
            base_url: base_url.or(section.base_url),
            timeout: section.timeout_secs.map(Duration::from_secs),
            weight_unit: section.weight_unit.unwrap_or_default(),
            policy,
            cache_policy,
        }))
    }

    pub(super) fn connect(
        &self,
        home: &Path,
        tape: Option<&Arc<Tape>>,
    ) -> Result<Arc<dyn Upstream>, UpstreamError> {
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
                (config.tape, config.weight_unit) = (tape.cloned(), self.weight_unit);
                Arc::new(OneboundUpstream::new(config, Arc::new(SystemClock))?)
            }
            Profile::Tmapi => {
                let mut config = TmapiConfig::new(self.app_secret.clone());
                config.base_url = self.base_url.clone().unwrap_or(config.base_url);
                config.timeout = self.timeout.unwrap_or(config.timeout);
                (config.tape, config.weight_unit) = (tape.cloned(), self.weight_unit);
                Arc::new(TmapiUpstream::new(config, Arc::new(SystemClock))?)
            }
        })
    }

    /// The official gateway, with tokens kept in `home`; its profiles share the app and the tokens.
    #[must_use]
    pub fn gateway(&self, home: &Path) -> AopConfig {
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
        let message = "nothing is asked, because the network is forbidden (TONGKUAN_OFFLINE)";
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

fn secret(
    variables: &Variables<'_>,
    name: &'static str,
    file: Option<&Path>,
) -> Result<Option<Secret>, ConfigError> {
    if let Some(value) = variables.text(name)? {
        return Ok(Some(Secret::new(value)));
    }
    let Some(path) = file else { return Ok(None) };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Secret::new(text.trim()))),
        Err(e) => Err(ConfigError::SecretNotRead { path: path.to_owned(), cause: e.to_string() }),
    }
}
