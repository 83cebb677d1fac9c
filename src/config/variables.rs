//! The environment.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::ConfigError;

/// Gives the value of a variable.
type Lookup<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// The variables of a process, or of a test. An empty one is not set.
pub(super) struct Variables<'a>(&'a Lookup<'a>);

impl<'a> Variables<'a> {
    pub(super) fn new(lookup: &'a Lookup<'a>) -> Self {
        Self(lookup)
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

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// What is named, else what `read` makes of the variable.
    pub(super) fn or<T>(
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
