//! `tongkuan mcp`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use tokio::sync::watch;

use super::interrupt::SignalWatch;
use super::log;
use super::serve::Logged;
use super::settings::Settings;
use crate::clock::SystemClock;
use crate::fetch::Fetch;
use crate::serve::{McpOptions, McpParts, McpServer};

const AFTER_HELP: &str = "\
An agent's client starts this by itself; docs/mcp.md has the lines for common clients. Tools:
search_picture, check_picture, similar_pictures, offer_details, quota. Standard output belongs to
the protocol; what happens is logged on standard error.

By default an agent looks at what is stored, and nothing else. With --allow-spend it may ask 1688,
so many times as long as the connection lasts and within the day's budget (--daily-budget), and
each call has to ask for that as well. With --allow-add it may store pictures. It may name files
below --root alone, wherever links lead.

For agents elsewhere, `tongkuan serve` has the same tools at /mcp, with its keys.";

/// Be a tool for agents (Model Context Protocol), over standard input and output.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Mcp {
    /// A folder below which pictures may be named by their paths; may be repeated (default: the working folder)
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,
    /// Calls to 1688 that the agent may cause, as long as it is connected
    #[arg(long, value_name = "N", default_value_t = 0)]
    allow_spend: u32,
    /// Let the agent store pictures (check_picture with add)
    #[arg(long)]
    allow_add: bool,
}

impl Mcp {
    pub(super) fn run(&self, settings: &Settings, log: Option<&str>) -> Result<ExitCode> {
        log::start_service(log, false)?;
        let engine = settings.engine_builder(true)?.progress(Arc::new(Logged)).open()?;
        let fetcher = if settings.is_offline() {
            None
        } else {
            Some(Arc::new(settings.fetcher(settings.network("fetching")?)?) as Arc<dyn Fetch + Send>)
        };
        let parts = McpParts { engine: Arc::new(engine), fetcher, clock: Arc::new(SystemClock) };
        let roots = if self.root.is_empty() { vec![PathBuf::from(".")] } else { self.root.clone() };
        let options = McpOptions { roots, allow_spend: self.allow_spend, allow_add: self.allow_add };
        let server = McpServer::new(parts, &options)?;
        let (stop, stopped) = watch::channel(0);
        let watch = SignalWatch::start(move || stop.send_modify(|times| *times += 1))?;
        let ended = server.run(stopped);
        drop(watch);
        ended?;
        Ok(ExitCode::SUCCESS)
    }
}
