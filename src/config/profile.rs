//! The names of upstream dialects, and of the variables that hold their credentials.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// An upstream dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The dialect of the common articles; the sandbox speaks it.
    Article,
    /// The official gateway.
    Aop,
    /// The official gateway's search for pictures at a public address.
    Linkplus,
    /// The vendor OneBound.
    Onebound,
    /// The vendor TMAPI, for pictures at a public address.
    Tmapi,
}

impl Profile {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Article, Self::Aop, Self::Linkplus, Self::Onebound, Self::Tmapi];

    /// As it is named in configurations and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Aop => "aop",
            Self::Linkplus => "linkplus",
            Self::Onebound => "onebound",
            Self::Tmapi => "tmapi",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The variable of the key, if there is one beside the secret, and that of the secret.
    pub(super) fn variables(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Article | Self::Aop | Self::Linkplus => (Some("TONGKUAN_APP_KEY"), "TONGKUAN_APP_SECRET"),
            Self::Onebound => (Some("TONGKUAN_ONEBOUND_KEY"), "TONGKUAN_ONEBOUND_SECRET"),
            Self::Tmapi => (None, "TONGKUAN_TMAPI_TOKEN"),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == name.trim());
        found.ok_or_else(|| UnknownProfile { name: name.to_owned() })
    }
}

/// No dialect has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no upstream: use {}", Profile::names())]
pub struct UnknownProfile {
    /// As it was given.
    pub name: String,
}
