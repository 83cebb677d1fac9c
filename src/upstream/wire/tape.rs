//! What was said on the wire, to be looked at or said again: a recording holds one exchange a line (NDJSON), and no
//! secret.

use std::collections::VecDeque;
use std::fmt;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::super::secret::{REDACTED, redact_all};
use super::super::{Secret, UploadPicture, UpstreamError, UpstreamErrorKind};
use super::request::{Request, Value};
use super::{Arrived, decode};

/// A recording is replayed from memory; 1,000 searches are about 100 MB.
const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;

/// A recording of exchanges with upstreams: either one that is being made, or one that stands in for the network.
/// Given to a client through its configuration; one tape may serve several clients.
///
/// Recorded are the method, the path (without the app key), the parameters' names and values, the status and the
/// answer. Secrets, tokens and signatures are left out, addresses lose their query, and a picture is told by the
/// SHA-256 of its bytes and their number.
pub struct Tape {
    path: PathBuf,
    state: Mutex<State>,
}

enum State {
    Recording {
        file: File,
        /// To be left out wherever they occur.
        secrets: Vec<Secret>,
        /// Why the last exchange could not be written.
        broken: Option<String>,
    },
    Replaying(VecDeque<Exchange>),
}

/// Why there is no tape.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum TapeError {
    #[error("cannot make the recording {}: {source}; name a file that does not exist yet", path.display())]
    Create { path: PathBuf, r#source: std::io::Error },
    #[error("cannot read the recording {}: {source}", path.display())]
    Read { path: PathBuf, r#source: std::io::Error },
    #[error("the recording {} is longer than {MAX_FILE_BYTES} bytes; replay a part of it", path.display())]
    TooLong { path: PathBuf },
    #[error("line {line} of the recording {} is no exchange: {problem}; name a file that was recorded, or record anew", path.display())]
    Line { path: PathBuf, line: usize, problem: String },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Exchange {
    profile: String,
    method: String,
    path: String,
    params: Map<String, Json>,
    /// Got a token: nothing in its answer is of use without the secrets, so it is not replayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    token: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Answered {
        status: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        body: String,
    },
    /// No complete answer came.
    Failed { failed: Failure },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Failure {
    kind: UpstreamErrorKind,
    code: String,
    message: String,
}

impl Tape {
    /// Begins a recording in a new file.
    ///
    /// # Errors
    /// [`TapeError::Create`], also when the file is there already.
    pub fn record(path: &Path) -> Result<Self, TapeError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|source| TapeError::Create { path: path.to_owned(), source })?;
        let state = State::Recording { file, secrets: Vec::new(), broken: None };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// Reads a recording, to be replayed in order in the place of the network: nothing is sent anywhere. Every request
    /// must be the recorded one, secrets aside; tokens are taken as given.
    ///
    /// # Errors
    /// [`TapeError`] when the file cannot be read or is no recording.
    pub fn replay(path: &Path) -> Result<Self, TapeError> {
        let fault = |source| TapeError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(fault)?;
        if file.metadata().map_err(fault)?.len() > MAX_FILE_BYTES {
            return Err(TapeError::TooLong { path: path.to_owned() });
        }
        let mut exchanges = VecDeque::new();
        for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
            let exchange: Exchange = serde_json::from_slice(&line.map_err(fault)?).map_err(|error| {
                TapeError::Line { path: path.to_owned(), line: number + 1, problem: error.to_string() }
            })?;
            if !exchange.token {
                exchanges.push_back(exchange);
            }
        }
        Ok(Self { path: path.to_owned(), state: Mutex::new(State::Replaying(exchanges)) })
    }

    pub(super) fn is_replay(&self) -> bool {
        matches!(*self.state(), State::Replaying(_))
    }

    /// Never writes these.
    pub(super) fn keep_out<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        if let State::Recording { secrets: known, .. } = &mut *self.state() {
            for secret in secrets {
                if !known.iter().any(|known| known.expose() == secret.expose()) {
                    known.push(secret.clone());
                }
            }
        }
    }

    /// The next answer of the recording; or that of `send`, written down.
    pub(super) fn exchange(
        &self,
        profile: &'static str,
        ask: &Request<'_>,
        send: impl FnOnce() -> Result<Arrived, UpstreamError>,
    ) -> Result<Arrived, UpstreamError> {
        self.refuse_if_broken(profile)?;
        self.keep_out(&ask.secrets());
        if let State::Replaying(exchanges) = &mut *self.state() {
            return self.next(profile, ask, exchanges);
        }
        // Not under the lock: several clients may wait for their answers at the same time.
        let result = send();
        self.write(profile, ask, &result);
        result
    }

    fn next(
        &self,
        profile: &'static str,
        ask: &Request<'_>,
        exchanges: &mut VecDeque<Exchange>,
    ) -> Result<Arrived, UpstreamError> {
        let refuse = |what: String| {
            let message = format!(
                "the recording {} {what}; replay the same searches in the same order, or record anew",
                self.path.display()
            );
            Err(UpstreamError::new(profile, UpstreamErrorKind::Unsupported, "replay", message))
        };
        let (path, params) = (ask.recorded_path(), params(ask));
        let Some(next) = exchanges.front() else {
            return refuse(format!("has ended, but {} {path} was asked", ask.method));
        };
        if (next.profile.as_str(), next.method.as_str(), &next.path) != (profile, ask.method, &path) {
            return refuse(format!(
                "goes on with {} {} ({}), but {} {path} ({profile}) was asked",
                next.method, next.path, next.profile, ask.method
            ));
        }
        let other = |name: &&String| next.params.get(*name) != params.get(*name);
        if let Some(name) = next.params.keys().chain(params.keys()).find(other) {
            return refuse(format!("has another value of {name} in {} {path}", ask.method));
        }
        match exchanges.pop_front().map(|exchange| exchange.outcome) {
            Some(Outcome::Answered { status, retry_after_ms, body }) => {
                let (value, text) = decode::decode(body.as_bytes(), None);
                Ok(Arrived { status, retry_after: retry_after_ms.map(Duration::from_millis), text, value })
            }
            Some(Outcome::Failed { failed: Failure { kind, code, message } }) => {
                Err(UpstreamError { profile, kind, code, message, retry_after: None, billed: None })
            }
            None => refuse("has ended".to_owned()),
        }
    }

    /// An answer has been paid for, so it is not thrown away when it cannot be written: the next request is refused.
    fn write(&self, profile: &'static str, ask: &Request<'_>, result: &Result<Arrived, UpstreamError>) {
        let State::Recording { file, secrets, broken } = &mut *self.state() else { return };
        let redact = |text: &str| redact_all(text, secrets.iter());
        let outcome = match result {
            Ok(reply) => Outcome::Answered {
                status: reply.status,
                retry_after_ms: reply
                    .retry_after
                    .map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
                body: redact(&if ask.is_for_token { without_tokens(reply) } else { reply.text.clone() }),
            },
            Err(error) => Outcome::Failed {
                failed: Failure {
                    kind: error.kind,
                    code: error.code.clone(),
                    message: redact(&error.message),
                },
            },
        };
        let mut params = params(ask);
        for value in params.values_mut() {
            if let Json::String(text) = value {
                *text = redact(text);
            }
        }
        let exchange = Exchange {
            profile: profile.to_owned(),
            method: ask.method.to_owned(),
            path: ask.recorded_path(),
            params,
            token: ask.is_for_token,
            outcome,
        };
        let line = serde_json::to_string(&exchange).map_err(std::io::Error::from);
        // One write a line: a process that is killed leaves whole lines.
        if let Err(error) = line.and_then(|line| file.write_all(format!("{line}\n").as_bytes())) {
            *broken = Some(error.to_string());
        }
    }

    fn refuse_if_broken(&self, profile: &'static str) -> Result<(), UpstreamError> {
        let State::Recording { broken: Some(why), .. } = &*self.state() else { return Ok(()) };
        let message = format!("the recording {} cannot be written: {why}", self.path.display());
        Err(UpstreamError::new(profile, UpstreamErrorKind::Param, "record", message))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Names and values as they may be published.
fn params(ask: &Request<'_>) -> Map<String, Json> {
    let picture = |picture: &UploadPicture| {
        let digest = Sha256::digest(&picture.bytes);
        let hex = digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        json!({ "sha256": hex, "bytes": picture.bytes.len() })
    };
    let mut params = Map::new();
    for (name, value) in ask.query.iter().chain(&ask.fields) {
        let readable = match value {
            Value::Plain(text) => text.as_str().into(),
            Value::Secret(_) => REDACTED.into(),
            Value::Url(url) => public_part(url).into(),
            Value::Picture { picture: sent, .. } => picture(sent),
        };
        params.insert((*name).to_owned(), readable);
    }
    if let Some((name, sent)) = ask.file {
        params.insert(name.to_owned(), picture(sent));
    }
    if ask.bearer.is_some() {
        params.insert("authorization".to_owned(), REDACTED.into());
    }
    params
}

/// An address without the parts that may hold credentials.
fn public_part(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return url.split(['?', '#']).next().unwrap_or_default().to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    // Only refused for addresses that can hold neither.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

/// The answer to a request for a token: every field that may be one is left out, and all of it when it cannot be read.
fn without_tokens(reply: &Arrived) -> String {
    let Ok(Json::Object(mut fields)) = reply.value.clone() else { return REDACTED.to_owned() };
    for (name, value) in &mut fields {
        if name.to_ascii_lowercase().contains("token") {
            *value = REDACTED.into();
        }
    }
    Json::Object(fields).to_string()
}
