//! How does a request reach an upstream? One HTTP client under limits: time, size, no redirects, no retries,
//! and no address in an error, because an address may carry a secret.

mod decode;
mod json_repair;
mod request;
mod tape;

use std::io::Read as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::secret::redact_all;
use super::{Secret, UpstreamError, UpstreamErrorKind};
use crate::clock::Timestamp;
use crate::http::{USER_AGENT, innermost, install_tls_provider};

pub(super) use request::{Request, SIGNATURE};
pub use tape::{Tape, TapeError};

use decode::Unreadable;

/// The longest answer that is read: 50 offers are about 100 KB.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// A host that does not take a connection within this time is not there; the rest of the time is for the
/// answer.
const MAX_CONNECT: Duration = Duration::from_secs(10);
/// How much of an upstream's own words, or of an answer that cannot be read, is quoted.
const MAX_QUOTED_CHARS: usize = 200;

/// The client side of one address. Blocking: build, use and drop it outside of async tasks.
#[derive(Debug)]
pub(super) struct Wire {
    profile: &'static str,
    client: Client,
    /// Without a slash at its end.
    base: String,
    /// Whether others on the way can read along: plain HTTP, and not to this machine.
    is_overheard: bool,
    timeout: Duration,
    tape: Option<Arc<Tape>>,
    /// Those of the configuration.
    secrets: Vec<Secret>,
}

impl Wire {
    /// `timeout` bounds a request from the first byte out to the last byte in. What is said is written to `tape`, less
    /// `secrets`, or comes from there.
    pub(super) fn new(
        profile: &'static str,
        base_url: &str,
        timeout: Duration,
        tape: Option<Arc<Tape>>,
        secrets: &[&Secret],
    ) -> Result<Self, UpstreamError> {
        let fault = |what: &str| config_error(profile, what);
        let url =
            Url::parse(base_url).map_err(|error| fault(&format!("base_url is not an address ({error})")))?;
        let is_plain = match url.scheme() {
            "http" => true,
            "https" => false,
            _ => return Err(fault("base_url must begin with https:// or http://")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("base_url must not hold a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fault("base_url must end with its path: no ? and no #"));
        }
        if timeout.is_zero() {
            return Err(fault("timeout must be longer than 0 s"));
        }
        install_tls_provider();
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(timeout.min(MAX_CONNECT))
            // An answer is some 100 KB of text; one that is compressed all the same is unpacked.
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
            // A followed redirect would carry the credentials to an address that was never configured.
            .redirect(reqwest::redirect::Policy::none())
            // Every search is paid for, so only the guard repeats one.
            .retry(reqwest::retry::never());
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        if is_plain {
            // No certificate is needed, so a machine without any can still talk to a local sandbox.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        let client = builder.build().map_err(|error| {
            fault(&format!("no HTTP client ({}); install the system's CA certificates", innermost(&error)))
        })?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        if let Some(tape) = &tape {
            tape.keep_out(secrets.iter().copied());
        }
        let is_overheard = is_plain && !is_loopback(&url);
        let secrets = secrets.iter().copied().cloned().collect();
        Ok(Self { profile, client, base, is_overheard, timeout, tape, secrets })
    }

    /// Whether a recording stands in for the network: then there are no tokens to be got, and none are needed.
    pub(super) fn is_replay(&self) -> bool {
        self.tape.as_ref().is_some_and(|tape| tape.is_replay())
    }

    /// Sends and reads the whole answer. An answer with an error status is an answer.
    ///
    /// # Errors
    /// `Unreachable` when no connection was made; `Unsupported` for a request that would show a credential to others
    /// on the way; otherwise `Transient`: cut off, too slow or too long.
    pub(super) fn send(&self, ask: &Request<'_>, now: Timestamp) -> Result<Reply, UpstreamError> {
        let arrived = match &self.tape {
            Some(tape) => tape.exchange(self.profile, ask, || self.send_out(ask, now)),
            None => self.send_out(ask, now),
        }?;
        let secrets = self.secrets.iter().cloned().chain(ask.secrets()).collect();
        Ok(Reply::new(self.profile, arrived, secrets, ask.is_for_token))
    }

    fn send_out(&self, ask: &Request<'_>, now: Timestamp) -> Result<Arrived, UpstreamError> {
        if self.is_overheard && ask.carries_credentials() {
            let message = "base_url begins with http://, so others on the way could read the secret or token that \
                           belongs to the request, and nothing was sent; begin it with https:// (http:// is for \
                           localhost)";
            return Err(UpstreamError::new(
                self.profile,
                UpstreamErrorKind::Unsupported,
                "plain_http",
                message,
            ));
        }
        let start = Instant::now();
        let request = ask.build(&self.client, &self.base).map_err(|error| self.failure(&error))?;
        // On the request and not on the client: there it would begin anew with every piece of the body.
        let response = request.timeout(self.timeout).send().map_err(|error| self.failure(&error))?;
        let status = response.status().as_u16();
        let retry_after = pause_asked(&response, now);
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let packing = response.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let packing = packing.map(str::to_ascii_lowercase);
        let body = self.read_body(response)?;
        let body = decode::unpacked(body, packing.as_deref(), MAX_BODY_BYTES);
        let (value, text) = decode::decode(&body, content_type.as_deref());
        // Neither query nor fields: they may hold a secret.
        let (profile, path, bytes, ms) =
            (self.profile, ask.recorded_path(), body.len(), start.elapsed().as_millis());
        tracing::debug!(profile, path, status, bytes, ms, "an upstream has answered");
        Ok(Arrived { status, retry_after, text, value })
    }

    fn read_body(&self, response: Response) -> Result<Vec<u8>, UpstreamError> {
        let mut body = Vec::new();
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced <= MAX_BODY_BYTES {
            let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX).saturating_add(1);
            if let Err(error) = response.take(limit).read_to_end(&mut body) {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
                return Err(match inner {
                    Some(inner) => self.failure(inner),
                    None => self.cut_off(&error.to_string()),
                });
            }
        }
        if announced > MAX_BODY_BYTES || body.len() > MAX_BODY_BYTES {
            let message = format!("the answer is longer than {MAX_BODY_BYTES} bytes");
            return Err(UpstreamError::new(
                self.profile,
                UpstreamErrorKind::Unreadable,
                "oversized",
                message,
            ));
        }
        Ok(body)
    }

    fn failure(&self, error: &reqwest::Error) -> UpstreamError {
        use UpstreamErrorKind::{Param, Transient, Unreachable};
        if error.is_connect() {
            let message = format!("no connection ({})", innermost(error));
            UpstreamError::new(self.profile, Unreachable, "not_connected", message)
        } else if error.is_timeout() {
            let message = format!("no complete answer within {:?}", self.timeout);
            UpstreamError::new(self.profile, Transient, crate::upstream_error::TIMEOUT, message)
        } else if error.is_builder() {
            UpstreamError::new(
                self.profile,
                Param,
                "request",
                format!("no valid request ({})", innermost(error)),
            )
        } else {
            self.cut_off(&innermost(error))
        }
    }

    fn cut_off(&self, why: &str) -> UpstreamError {
        let message = format!("the connection broke off ({why})");
        UpstreamError::new(
            self.profile,
            UpstreamErrorKind::Transient,
            crate::upstream_error::BROKEN_OFF,
            message,
        )
    }
}

pub(super) fn config_error(profile: &'static str, what: &str) -> UpstreamError {
    UpstreamError::new(profile, UpstreamErrorKind::Param, "config", what)
}

/// An answer as it came in, decoded.
pub(super) struct Arrived {
    status: u16,
    retry_after: Option<Duration>,
    text: String,
    value: Result<Value, Unreadable>,
}

/// An answer of whatever status, fully read.
pub(super) struct Reply {
    pub(super) status: u16,
    /// `Retry-After`, as a pause from now.
    retry_after: Option<Duration>,
    profile: &'static str,
    /// `null` when it cannot be read.
    value: Value,
    unreadable: Option<Unreadable>,
    /// The beginning of the text as it came. Empty for an answer that may hold a token.
    start: String,
    /// Of the request and of the configuration.
    secrets: Vec<Secret>,
}

impl Reply {
    fn new(profile: &'static str, arrived: Arrived, secrets: Vec<Secret>, holds_tokens: bool) -> Self {
        let Arrived { status, retry_after, text, value } = arrived;
        // A secret that is cut off in the middle would not be found: more is looked through than is shown.
        let kept = if holds_tokens { 0 } else { 20 * MAX_QUOTED_CHARS };
        let start = text.chars().take(kept).collect();
        let unreadable = value.as_ref().err().copied();
        Self { status, retry_after, profile, value: value.unwrap_or_default(), unreadable, start, secrets }
    }

    /// `null` when it is no JSON.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The upstream refuses, in these words if it says any.
    pub(super) fn refusal(
        &self,
        kind: UpstreamErrorKind,
        code: &str,
        words: Option<String>,
    ) -> UpstreamError {
        let message = words.map_or_else(
            || {
                let kind = self.unreadable.map_or_else(String::new, |found| match found {
                    Unreadable::Foreign(kind) => format!(" ({kind})"),
                    Unreadable::Truncated => String::new(),
                });
                format!("refused with HTTP status {}{kind}", self.status)
            },
            |words| quote(&words, &self.secrets),
        );
        let error = UpstreamError::new(self.profile, kind, quote(code, &self.secrets), message);
        UpstreamError { retry_after: self.retry_after, ..error }
    }

    /// A whole answer that is not what was asked for (`what` is missing or wrong), or half of one. The search may
    /// have been made.
    pub(super) fn unreadable(&self, what: &str) -> UpstreamError {
        let mut message = match self.unreadable {
            None => what.to_owned(),
            // A connection that was cut is told from this before: this is how the upstream ended its answer.
            Some(Unreadable::Truncated) => "the answer stops in the middle".to_owned(),
            Some(Unreadable::Foreign(found)) => format!("the answer is {found}"),
        };
        let beginning = quote(&self.start, &self.secrets);
        if !beginning.trim().is_empty() {
            message = format!("{message}; it begins with `{}`", beginning.trim());
        }
        UpstreamError::new(self.profile, UpstreamErrorKind::Unreadable, "unreadable", message)
    }
}

/// An upstream's own words made fit for a message: without secrets, one line, at most 200 characters.
fn quote(words: &str, secrets: &[Secret]) -> String {
    let printable = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || turns { ' ' } else { c }
    };
    redact_all(words, secrets).chars().map(printable).take(MAX_QUOTED_CHARS).collect()
}

/// Seconds or an HTTP date; a date in the past is no pause.
fn pause_asked(response: &Response, now: Timestamp) -> Option<Duration> {
    let written = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = written.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = OffsetDateTime::parse(written, &Rfc2822).ok()?;
    Some(now.until(Timestamp::from_unix_ms(moment.unix_timestamp().saturating_mul(1000))))
}

/// Whether an address, as a user names it, is one of this machine.
#[cfg(feature = "config")]
pub(crate) fn is_on_this_machine(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
