//! What kind of trouble an upstream reports, and what can be done about it. A noun without I/O: the engine decides by it, and
//! what is kept of an upstream's state names it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Of an error: no answer came in time. Whether the search was made is not known.
pub(crate) const TIMEOUT: &str = "timeout";

/// Of an error: the connection broke off once the request was under way. Whether the search was made is not known either.
pub(crate) const BROKEN_OFF: &str = "connection";

/// What kind of trouble an upstream reports; decides what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UpstreamErrorKind {
    /// The token is bad or old: refreshed once, then fatal.
    Auth,
    /// The app may not call this: fatal.
    Acl,
    /// The signature is wrong: fatal, check the secret.
    Signature,
    /// A parameter is wrong: fatal.
    Param,
    /// Too fast: wait and try again.
    Rate,
    /// Nothing left for today: stop.
    Quota,
    /// This picture is not accepted: another may be.
    Image,
    /// The upstream does not know this call: fatal.
    Unsupported,
    /// The upstream or the way to it fails, and a search may have been made: try again, a bounded number of
    /// times.
    Transient,
    /// A whole answer came and is none: a log-in page, another format. The search may have been made and would be
    /// answered in the same way, so it is not made again.
    Unreadable,
    /// No search left this machine: nothing answers at the address, or not even a token could be had. Try
    /// again, a bounded number of times; costs nothing.
    Unreachable,
}

impl UpstreamErrorKind {
    /// Whether the same search may succeed if it is made again after a while.
    #[must_use]
    pub fn is_worth_retrying(self) -> bool {
        matches!(self, Self::Transient | Self::Unreachable | Self::Rate)
    }

    /// Whether every search fails in this way until a person mends the credentials, the permission or the address.
    #[must_use]
    pub fn needs_a_person(self) -> bool {
        matches!(self, Self::Auth | Self::Acl | Self::Signature | Self::Unsupported)
    }

    /// Whether the upstream may count the failed search as made. Only where nothing is known.
    #[must_use]
    pub fn may_be_billed(self) -> bool {
        matches!(self, Self::Transient | Self::Unreadable)
    }

    /// What to do about it, as the end of a sentence.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Auth => "check the app key, the app secret and the access token",
            Self::Acl => "apply for this permission in the open platform's console",
            Self::Signature => "check that the app secret belongs to the app key",
            Self::Param => "correct the parameter",
            Self::Rate => "wait, and raise min_interval if it happens often",
            Self::Quota => "wait for the next day or buy more calls",
            Self::Image => "try another picture or a smaller one",
            Self::Unsupported => "check base_url and the profile",
            Self::Transient => "try again later",
            Self::Unreadable => "see what base_url answers to a browser, then ask anew",
            Self::Unreachable => "check the network and base_url",
        }
    }
}

/// An upstream's refusal or failure. Never carries a secret or a URL with one in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{profile}: {message} ({code})")]
pub struct UpstreamError {
    /// The upstream's profile.
    pub profile: &'static str,
    /// What follows from it.
    pub kind: UpstreamErrorKind,
    /// The upstream's own code, or a word of ours such as `timeout`.
    pub code: String,
    /// What happened and what to do about it.
    pub message: String,
    /// How long the upstream asks to wait, where it says so.
    pub retry_after: Option<Duration>,
    /// Whether the provider counts the failed search as made, where it says so; else its kind tells.
    pub billed: Option<bool>,
}

impl UpstreamError {
    /// An error without a wish for a pause. `message` says what happened; the kind's
    /// [remedy](UpstreamErrorKind::remedy) is added to it.
    #[must_use]
    pub fn new(
        profile: &'static str,
        kind: UpstreamErrorKind,
        code: impl Into<String>,
        message: impl fmt::Display,
    ) -> Self {
        let message = format!("{message}; {}", kind.remedy());
        Self { profile, kind, code: code.into(), message, retry_after: None, billed: None }
    }

    /// The same error, of another kind, with that kind's remedy.
    #[cfg(feature = "upstream")]
    #[must_use]
    pub(crate) fn of_kind(self, kind: UpstreamErrorKind) -> Self {
        let said =
            self.message.strip_suffix(self.kind.remedy()).map(|said| format!("{said}{}", kind.remedy()));
        Self { kind, message: said.unwrap_or(self.message), ..self }
    }

    /// Whether the same search may succeed if it is made again after a while. One that was waited for in vain (a time-out,
    /// HTTP 504) may have been made and be under way still: to make it again would cost a second call and as long a wait. Of one
    /// whose connection broke off after it was sent, the answer may have been on its way: it is made anew only when asked again.
    /// An upstream that answers with an error of its own (HTTP 500, 502, 503) has ended the search: vendors that publish
    /// what they bill do not bill those, and the next attempt mostly succeeds. See docs/decisions.md, 43.
    #[must_use]
    pub fn is_worth_retrying(&self) -> bool {
        self.kind.is_worth_retrying() && !matches!(self.code.as_str(), TIMEOUT | BROKEN_OFF | "504")
    }

    /// Whether the provider may count the failed search as made.
    #[must_use]
    pub fn may_be_billed(&self) -> bool {
        self.billed.unwrap_or_else(|| self.kind.may_be_billed())
    }
}
