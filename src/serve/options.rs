//! How the service behaves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::photo::PhotoLimits;

/// How the service behaves. The defaults suit a machine of a few cores.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where it listens; port 0 takes a free one. Another address than loopback needs a key (`tongkuan keys add`).
    pub listen: SocketAddr,
    /// Local searches worked on at once: one a core, which they fill.
    pub workers: usize,
    /// Requests that may wait for one of the workers; more are refused with 429.
    pub max_waiting: usize,
    /// Searches that may wait for an upstream at once, and as many pictures that are fetched. Such waits fill no core.
    pub max_asking: usize,
    /// Checks of many pictures at once; each uses all cores.
    pub max_batches: usize,
    /// Streams of pictures to check that are open at once; more are refused with 429. One that waits for its client holds no place
    /// among the batches.
    pub max_streams: usize,
    /// Connections; more wait outside.
    pub max_connections: usize,
    /// Of one request's body, in bytes.
    pub max_body_bytes: u64,
    /// Of all bodies that are in memory at once, in bytes.
    pub max_bytes_in_flight: u64,
    /// For one request, unless it asks for less: waits end then (see [`crate::Query::deadline`]).
    pub deadline: Duration,
    /// For a request's head, and for its body, to arrive.
    pub read_timeout: Duration,
    /// For requests under way to end when the service is told to end.
    pub drain_timeout: Duration,
    /// Names under which it is asked, beside those of this machine, while there are no keys (a page elsewhere could else
    /// reach it through a name that leads here).
    pub allowed_hosts: Vec<String>,
    /// Pages that may ask, as `https://erp.example`.
    pub allowed_origins: Vec<String>,
    /// Reviews that are kept for people to decide, with their pictures; the oldest go first. 0 for none.
    pub max_reviews: u32,
    /// Whether the upstreams' dialects are spoken.
    pub gateway: bool,
    /// Whether agents may ask, at `/mcp`.
    #[cfg(feature = "mcp")]
    pub mcp: bool,
    /// How often waiting pictures, old answers and the index are looked after; `None` for never.
    pub background: Option<Duration>,
    /// Whether offers' pictures are fetched in the background.
    pub harvest: bool,
}

impl ServeOptions {
    /// Requests that may wait for each worker by default: on two cores the 64 connections of a busy client are served without a
    /// refusal (docs/benchmarks/serve.md).
    pub const WAITING_A_WORKER: usize = 32;
}

impl Default for ServeOptions {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8688)),
            workers,
            max_waiting: Self::WAITING_A_WORKER * workers,
            max_asking: 64,
            max_batches: 2,
            max_streams: 8,
            max_connections: 1024,
            max_body_bytes: PhotoLimits::default().max_bytes + 64 * 1024,
            max_bytes_in_flight: 256 * 1024 * 1024,
            deadline: Duration::from_mins(1),
            read_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_mins(1),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_reviews: 1000,
            gateway: true,
            #[cfg(feature = "mcp")]
            mcp: true,
            background: Some(Duration::from_secs(30)),
            harvest: false,
        }
    }
}
