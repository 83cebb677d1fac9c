//! Over HTTP: what is checked is what is connected to, at every redirect.

use std::error::Error as _;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::{Client, Response};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::LOCATION;

use super::{Fetch, FetchError, FetchLimits, is_public};
use crate::http::{USER_AGENT, innermost, install_tls_provider};

/// Fetches files from public web addresses, and from origins that are named. Blocking: build, use and drop it outside
/// of async tasks.
#[derive(Debug)]
pub struct Fetcher {
    limits: FetchLimits,
    /// As [`Url::origin`] writes them: `http://127.0.0.1:1688`.
    origins: Vec<String>,
    /// Never connects to an address that is not public.
    guarded: OnceLock<Client>,
    /// For `origins` only.
    trusted: OnceLock<Client>,
}

impl Fetcher {
    /// `origins` are addresses (their path does not count) whose host and port are fetched from although they are not
    /// public, such as a local sandbox.
    ///
    /// # Errors
    /// [`FetchError::NotWeb`] for an origin that is no address.
    pub fn new(limits: FetchLimits, origins: &[String]) -> Result<Self, FetchError> {
        let origins = origins.iter().map(|address| Ok(parse(address)?.origin().ascii_serialization()));
        let origins = origins.collect::<Result<_, FetchError>>()?;
        Ok(Self { limits, origins, guarded: OnceLock::new(), trusted: OnceLock::new() })
    }

    /// A client is made when it is first needed: it reads the system's certificates.
    fn client<'a>(&self, cell: &'a OnceLock<Client>, is_trusted: bool) -> Result<&'a Client, FetchError> {
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        install_tls_provider();
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.limits.timeout)
            // Each step is checked here.
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look names up by itself.
            .no_proxy();
        if !is_trusted {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        } else if self.origins.iter().all(|origin| origin.starts_with("http://")) {
            // No certificate is needed, so a machine without any can still talk to a local sandbox.
            builder = builder.tls_certs_only(std::iter::empty());
        }
        let client = builder.build().map_err(|error| FetchError::Failed {
            url: "every address".to_owned(),
            why: format!("no HTTP client ({}); install the system's CA certificates", innermost(&error)),
        })?;
        Ok(cell.get_or_init(|| client))
    }

    /// Whether and how this address may be asked.
    fn client_for(&self, url: &Url) -> Result<&Client, FetchError> {
        if self.origins.contains(&url.origin().ascii_serialization()) {
            return self.client(&self.trusted, true);
        }
        // An address with the usual port has none in it.
        if let Some(port) = url.port() {
            return Err(FetchError::Port { url: shown(url), port });
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            Ok(ip) if !is_public(ip) => Err(FetchError::NotPublic { url: shown(url) }),
            _ => self.client(&self.guarded, false),
        }
    }

    fn read(&self, url: &Url, response: Response) -> Result<Vec<u8>, FetchError> {
        let status = response.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status { url: shown(url), status });
        }
        let max_bytes = self.limits.max_bytes;
        let too_large = || FetchError::TooLarge { url: shown(url), max_bytes };
        if response.content_length().is_some_and(|length| length > max_bytes) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        if let Err(error) = response.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes) {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
            return Err(inner.map_or_else(
                || FetchError::Failed { url: shown(url), why: error.to_string() },
                |inner| failure(url, inner),
            ));
        }
        if bytes.len() as u64 > max_bytes { Err(too_large()) } else { Ok(bytes) }
    }
}

impl Fetch for Fetcher {
    fn fetch(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let end = Instant::now() + self.limits.timeout;
        let first = parse(address)?;
        let mut url = first.clone();
        for _ in 0..=self.limits.max_redirects {
            let client = self.client_for(&url)?;
            let rest = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let response = client.get(url.clone()).timeout(rest).send();
            let response = response.map_err(|error| failure(&url, &error))?;
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return self.read(&url, response);
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let next = target.and_then(|target| url.join(target).ok());
            url = parse(next.ok_or(FetchError::Status { url: shown(&url), status })?.as_str())?;
        }
        Err(FetchError::Redirects { url: shown(&first), max_redirects: self.limits.max_redirects })
    }
}

fn parse(address: &str) -> Result<Url, FetchError> {
    let refused = |url: String| FetchError::NotWeb { url };
    let url = Url::parse(address).map_err(|_| refused(address.chars().take(200).collect()))?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none();
    if is_web && is_plain { Ok(url) } else { Err(refused(shown(&url))) }
}

/// The address as it may be printed.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{host}{port}{}", url.scheme(), url.path()).chars().take(200).collect()
}

fn failure(url: &Url, error: &reqwest::Error) -> FetchError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<Inner>() {
            return FetchError::NotPublic { url: shown(url) };
        }
        cause = inner.source();
    }
    let why = if error.is_timeout() { "it takes too long".to_owned() } else { innermost(error) };
    FetchError::Failed { url: shown(url), why }
}

/// The system's resolver without addresses that are not public: what is checked is what is connected to.
#[derive(Debug)]
struct PublicOnly;

/// The name leads only to inner addresses.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that is not public")]
struct Inner;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || {
                (host.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
            });
            let found: Vec<SocketAddr> = found.await??;
            // One inner address among public ones is as bad: which of them is connected to would be chance.
            if found.is_empty() || !found.iter().all(|address| is_public(address.ip())) {
                return Err(Inner.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
