//! What is a key? It has rights, a budget and a pace of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::timestamp::Timestamp;

/// What a key may do. Each right stands alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Search what is stored, and read it.
    pub read: bool,
    /// Add and remove pictures, and say of pairs whether they are the same.
    pub write: bool,
    /// Ask upstreams, which costs calls; what they answer is stored.
    pub spend: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, spend: true };
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.read, "read"), (self.write, "write"), (self.spend, "spend")];
        let words: Vec<&str> = words.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect();
        f.write_str(&words.join(","))
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text names no rights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no right: use read, write and spend, separated by commas")]
pub struct RightsError(String);

impl FromStr for Rights {
    type Err = RightsError;

    fn from_str(text: &str) -> Result<Self, RightsError> {
        let mut rights = Self::default();
        for word in text.split(',') {
            *match word.trim() {
                "read" => &mut rights.read,
                "write" => &mut rights.write,
                "spend" => &mut rights.spend,
                other => return Err(RightsError(other.chars().take(40).collect())),
            } = true;
        }
        Ok(rights)
    }
}

/// The part of a key that is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct KeyId(pub(super) String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// For people; no two keys share one.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// Calls a day of China standard time at the most; `None` leaves it to the upstreams' own budgets.
    pub daily_budget: Option<u32>,
    /// Requests a second on average; `None` for any number.
    pub per_second: Option<f64>,
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoredKey {
    /// By which it is known.
    #[serde(rename = "id")]
    pub key_id: KeyId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// Calls a day at the most.
    pub daily_budget: Option<u32>,
    /// Requests a second on average.
    pub per_second: Option<f64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub revoked_at: Option<Timestamp>,
    /// Calls that it has caused today.
    pub calls_today: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_they_are_written() {
        for text in ["read", "write", "spend", "read,write,spend"] {
            assert_eq!(text.parse::<Rights>().unwrap().to_string(), text);
        }
        assert_eq!("read, spend".parse::<Rights>().unwrap().to_string(), "read,spend");
        assert!("admin".parse::<Rights>().is_err() && "".parse::<Rights>().is_err());
    }
}
