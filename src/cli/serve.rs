//! `tongkuan serve` and `keys`

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::interrupt::{INTERRUPTED, SignalWatch};
use super::log;
use super::output::{complain, stdout};
use super::settings::Settings;
use crate::catalog::DamageNote;
use crate::clock::{Clock as _, SystemClock};
use crate::engine::Progress;
use crate::fetch::Fetch;
use crate::photo::PhotoLimits;
use crate::printable::field;
use crate::serve::{Ended, GatewayApp, NewKey, Rights, ServeOptions, ServeParts, ServeStore, Server};

const AFTER_HELP: &str = "\
Paths: /v1/search, /v1/check, /v1/similar, /v1/pictures, /v1/offers, /v1/verdicts, /v1/quota,
/v1/stats; /docs and /openapi.json describe them; /livez, /readyz and /metrics are for operations.
The upstreams' own dialects (article, aop, linkplus, onebound, tmapi) are spoken on the same port:
a script that is there already changes its base URL, and nothing else. docs/serve.md has examples.

Without keys only this machine is listened to, and everybody on it may ask and spend. With
`tongkuan keys add` a key is needed from then on, and other machines may be let in: put TLS in
front of it (a reverse proxy).

SIGTERM or Ctrl-C: what was accepted is answered, then it ends (exit status 0); a second one does
not wait (130).";

/// Run the HTTP service, and the gateway in the upstreams' dialects.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8688)), value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Local searches at once (default: one a core)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Requests that may wait for a worker; more are refused with 429 (default: 32 a worker)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_waiting: Option<u32>,
    /// Searches that may wait for an upstream at once
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_asking: u16,
    /// Connections at once
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections: u32,
    /// The largest picture that is taken, in bytes
    #[arg(long, default_value_t = PhotoLimits::default().max_bytes, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=1_073_741_824))]
    max_bytes: u64,
    /// The most pixels a picture may have
    #[arg(long, default_value_t = PhotoLimits::default().max_pixels, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    max_pixels: u64,
    /// All pictures that are in memory before they are looked at, in MiB
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    max_in_flight_mib: u64,
    /// Seconds that a request may take; it then gets what is known
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    deadline_secs: u64,
    /// Seconds that requests under way get to end
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    drain_secs: u64,
    /// A name under which it may be asked while there are no keys, beside those of this machine; may be repeated
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Pages that may ask, such as https://erp.example; may be repeated. Without it none of other sites may
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Reviews that are kept with their pictures until somebody decides them on the page; the oldest go first. 0 for none
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    max_reviews: u32,
    /// Do not speak the upstreams' dialects
    #[arg(long)]
    no_gateway: bool,
    /// Do not let agents ask at /mcp
    #[arg(long)]
    no_mcp: bool,
    /// Do not ask about waiting pictures, fetch old answers anew, or look after the index beside requests
    #[arg(long)]
    no_background: bool,
    /// How what happens is logged, on standard error (see --log for how much; default: info)
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// Notes of the engine, in the log.
#[derive(Debug)]
pub(super) struct Logged;

impl Progress for Logged {
    fn note(&self, text: &str) {
        tracing::info!("{text}");
    }

    fn damage(&self, damage: DamageNote<'_>) {
        tracing::warn!("{damage}; {}", super::advice::for_damage(damage));
    }

    fn step(&self, what: &str, done: usize, of: usize) {
        tracing::debug!(what, done, of, "long work");
    }
}

impl Serve {
    pub(super) fn run(&self, settings: &Settings, log: Option<&str>) -> Result<ExitCode> {
        log::start_service(log, self.log_format == LogFormat::Json)?;
        let limits =
            PhotoLimits { max_bytes: self.max_bytes, max_pixels: self.max_pixels, ..PhotoLimits::default() };
        let builder = settings.engine_builder(true)?.limits(limits).progress(Arc::new(Logged));
        let engine = Arc::new(builder.open()?);
        let fetcher = if settings.is_offline() {
            None
        } else {
            let fetcher = settings.fetcher(settings.network("fetching")?)?;
            Some(Arc::new(fetcher) as Arc<dyn Fetch + Send>)
        };
        let parts = ServeParts {
            store: Arc::new(ServeStore::open(engine.folder())?),
            engine,
            fetcher,
            apps: settings.upstreams().iter().map(GatewayApp::of).collect(),
            clock: Arc::new(SystemClock),
        };
        let server = Arc::new(Server::start(parts, self.options(settings))?);
        let stopping = Arc::clone(&server);
        let watch = SignalWatch::start(move || stopping.stop())?;
        if settings.json {
            writeln!(stdout(), "{}", json!({"id": null, "base_url": server.base_url()}))?;
        } else {
            writeln!(
                stdout(),
                "listening on {} (open it in a browser; /docs lists what programs can ask)",
                server.base_url()
            )?;
        }
        stdout().flush()?;
        let ended = server.wait();
        drop(watch);
        if ended == Ended::Cut {
            complain("ended with requests under way; a call that was made is booked, and its answer is lost");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self, settings: &Settings) -> ServeOptions {
        let default = ServeOptions::default();
        let workers = self.workers.map_or(default.workers, usize::from);
        ServeOptions {
            listen: self.listen,
            workers,
            max_waiting: self
                .max_waiting
                .map_or(ServeOptions::WAITING_A_WORKER * workers, |waiting| waiting as usize),
            max_asking: self.max_asking.into(),
            max_connections: self.max_connections as usize,
            // A form and base64 are longer than the picture.
            max_body_bytes: self.max_bytes / 3 * 4 + 64 * 1024,
            max_bytes_in_flight: self.max_in_flight_mib * 1024 * 1024,
            deadline: Duration::from_secs(self.deadline_secs),
            drain_timeout: Duration::from_secs(self.drain_secs),
            allowed_hosts: self.allow_host.clone(),
            allowed_origins: self.allow_origin.clone(),
            max_reviews: self.max_reviews,
            gateway: !self.no_gateway,
            mcp: !self.no_mcp,
            background: default.background.filter(|_| !self.no_background),
            harvest: settings.harvest && !settings.is_offline(),
            ..default
        }
    }
}

/// Keys of the service: who may read, write and spend, and how much.
#[derive(Args, Debug)]
pub(super) struct Keys {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key; it is printed this once, and only a digest of it is kept
    Add {
        /// What it is called, for people
        name: String,
        /// What it may do: read (search what is stored), write (add, remove, say same or not same), spend (ask upstreams)
        #[arg(long, default_value = "read", value_name = "RIGHT,...")]
        rights: Rights,
        /// Calls a day that it may cause (default: as many as the upstreams' own budgets allow)
        #[arg(long, value_name = "N")]
        daily_budget: Option<u32>,
        /// Requests a second on average, with bursts of two seconds' worth (default: any number)
        #[arg(long, value_name = "N", value_parser = pace)]
        per_second: Option<f64>,
    },
    /// Print all keys, without their secrets
    List,
    /// Print all keys as lines of JSON for another home, with digests in the place of their secrets: a backup of the home has
    /// no keys, and a service without keys lets everybody on its machine in
    Export,
    /// Take the keys that `keys export` has printed, all or none; who has a key keeps using it
    Import {
        /// The file, or - for standard input
        file: PathBuf,
    },
    /// End a key, by its name or id, at once and for good. Once there was a key, nobody is let in without one
    Revoke {
        /// As `keys list` prints it
        name: String,
    },
}

fn pace(text: &str) -> Result<f64, String> {
    let pace: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.001..=100_000.0).contains(&pace) { Ok(pace) } else { Err("use 0.001 to 100000".to_owned()) }
}

impl Keys {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let now = SystemClock.now();
        let store = || -> Result<ServeStore> {
            if !settings.has_home()? {
                // A first key may be made before the first picture.
                drop(settings.engine(false)?);
            }
            Ok(ServeStore::open(settings.home.folder())?)
        };
        match &self.what {
            What::Add { name, rights, daily_budget, per_second } => {
                let new = NewKey {
                    name: name.clone(),
                    rights: *rights,
                    daily_budget: *daily_budget,
                    per_second: *per_second,
                };
                let (id, key) = store()?.make_key(&new, now)?;
                if settings.json {
                    writeln!(stdout(), "{}", json!({"id": id, "name": name, "key": key.expose()}))?;
                } else {
                    writeln!(stdout(), "{}", key.expose())?;
                    complain(format_args!("key {id} ({name}) may {rights}; it is not shown again"));
                }
            }
            What::List => {
                settings.require_home()?;
                for key in store()?.list_keys(now)? {
                    if settings.json {
                        writeln!(stdout(), "{}", serde_json::to_value(&key)?)?;
                        continue;
                    }
                    let budget = key.daily_budget.map_or_else(String::new, |budget| format!(" of {budget}"));
                    let state = key.revoked_at.map_or_else(String::new, |at| format!("; revoked {at}"));
                    writeln!(
                        stdout(),
                        "{:<10} {:<20} {:<16} {}{budget} calls today{state}",
                        key.key_id.to_string(),
                        field(&key.name),
                        key.rights.to_string(),
                        key.calls_today
                    )?;
                }
            }
            What::Export => {
                settings.require_home()?;
                for line in store()?.export_keys(now)? {
                    writeln!(stdout(), "{line}")?;
                }
            }
            What::Import { file } => {
                let (name, lines) = if file.as_path() == Path::new("-") {
                    ("standard input".to_owned(), std::io::read_to_string(std::io::stdin().lock()))
                } else {
                    (file.display().to_string(), std::fs::read_to_string(file))
                };
                let lines = match lines {
                    Err(error) if error.kind() == ErrorKind::InvalidData => {
                        bail!("{name} is no text: name a file that `tongkuan keys export` has written")
                    }
                    lines => lines.with_context(|| format!("{name} cannot be read"))?,
                };
                let added = store()?.import_keys(&lines).with_context(|| name)?;
                if settings.json {
                    writeln!(stdout(), "{}", json!({"id": null, "added": added}))?;
                } else {
                    writeln!(stdout(), "{added} keys added")?;
                }
            }
            What::Revoke { name } => {
                settings.require_home()?;
                store()?.revoke_key(name, now)?;
                if settings.json {
                    writeln!(stdout(), "{}", json!({"id": name, "revoked": true}))?;
                } else {
                    writeln!(stdout(), "revoked: {}", field(name))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
