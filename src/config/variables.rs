//! The environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use super::{ConfigError, Overrides, Profile};

/// Gives the value of a variable.
type Lookup<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// The variables of a process, or of a test. An empty one is not set.
pub(super) struct Variables<'a>(&'a Lookup<'a>);

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a Lookup<'a>) -> Self {
        Self(lookup)
    }

    /// `overrides`, with what they leave open filled in.
    pub(super) fn below(&self, overrides: &Overrides) -> Result<Overrides, ConfigError> {
        let named = overrides.clone();
        Ok(Overrides {
            home: named.home.or_else(|| self.path("TONGKUAN_HOME")),
            config_file: named.config_file.or_else(|| self.path("TONGKUAN_CONFIG")),
            model: named.model.or_else(|| self.path("TONGKUAN_MODEL")),
            offline: self.or(named.offline, "TONGKUAN_OFFLINE", switch)?,
            upstreams: self.or(named.upstreams, "TONGKUAN_UPSTREAM", |text| {
                text.split(',').map(Profile::from_str).collect::<Result<_, _>>().map_err(|e| e.to_string())
            })?,
            base_url: self.or(named.base_url, "TONGKUAN_BASE_URL", |text| Ok(text.to_owned()))?,
            daily_budget: self.or(named.daily_budget, "TONGKUAN_DAILY_BUDGET", |text| {
                text.trim().parse().map_err(|_| "use a number of calls, 0 to 4294967295".to_owned())
            })?,
            max_false_hit: self.or(named.max_false_hit, "TONGKUAN_MAX_FALSE_HIT", |text| {
                let share: f64 = text.trim().parse().map_err(|_| "it is not a number".to_owned())?;
                super::check_share(share).map(|()| share).map_err(|error| error.to_string())
            })?,
            ..named
        })
    }

    /// A variable that is text.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value.into_string().map_err(|_| ConfigError::Variable {
            name,
            // It may be a secret.
            value: "...".to_owned(),
            problem: "it is not UTF-8".to_owned(),
        })?;
        Ok(Some(text))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn or<T>(
        &self,
        named: Option<T>,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        if named.is_some() {
            return Ok(named);
        }
        let Some(value) = self.text(name)? else { return Ok(None) };
        read(&value).map(Some).map_err(|problem| ConfigError::Variable { name, value, problem })
    }
}

/// On or off as people write it.
fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Ok(true),
        "" | "0" | "false" | "no" | "off" | "n" | "f" => Ok(false),
        _ => Err("use 1, true, yes, on, 0, false, no or off".to_owned()),
    }
}
