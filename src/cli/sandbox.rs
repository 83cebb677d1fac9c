//! `tongkuan sandbox`

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::output::stdout;
use super::settings::Settings;
use crate::sandbox::{Faults, Sandbox, SandboxOptions};

#[derive(Args, Debug)]
pub(super) struct SandboxCommand {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 1688)]
    port: u16,
    /// Which goods there are
    #[arg(long, default_value_t = 1688)]
    seed: u64,
    /// Searches a day
    #[arg(long, default_value_t = 500, value_name = "N")]
    daily_quota: u32,
    /// Milliseconds between two searches
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    min_interval_ms: u64,
    /// Have prices and sales move every so many seconds, as from one day to the next (by default they stay)
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    market_day_secs: Option<u64>,
    /// Let something go wrong: with NAME the next search, with NAME=SHARE that share of all; may be repeated
    #[arg(long, value_name = "NAME[=SHARE]", long_help = FAULT_HELP)]
    fault: Vec<String>,
    /// Which searches the shares of --fault strike
    #[arg(long, default_value_t = 1, value_name = "N")]
    fault_seed: u64,
}

const FAULT_HELP: &str = "\
Let something go wrong: with NAME the next search, with NAME=SHARE that share of all; may be repeated, as in
--fault quota --fault rate=0.05 --fault cut=0.01 --fault-seed 7. Later ones can be set over HTTP:
POST /sandbox/faults with {\"script\":[\"rate\",\"slow:500\"],\"shares\":{\"cut\":0.01},\"seed\":7}
  rate, rate-200   too fast, in the dialect's own status and in HTTP 200
  quota            nothing is left
  token            every token ends at this moment
  slow:MS          the answer comes MS milliseconds later
  cut              the connection ends in the middle of the answer
  truncated        half of the answer comes as if it were all
  missing-fields   rows without price, title and supplier
  image-id-0       the picture is not taken (image id 0, where there is one)
  other-success    success as a string where it is a truth value, and the reverse
  hang             nothing comes
  html, empty      a log-in page, or nothing, as HTTP 200
  gbk, gbk-undeclared, utf-16, bom
                   the answer in another encoding, or with a byte order mark
  surrogate, bad-byte
                   titles with half a surrogate pair, or with a byte that is not UTF-8
  deep, jsonp, trailing
                   a field nested a thousand deep, a script around the answer, something after it";

impl SandboxCommand {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        settings.network("the sandbox, a server,")?;
        let options = SandboxOptions {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            seed: self.seed,
            daily_quota: self.daily_quota,
            min_interval_ms: self.min_interval_ms,
            market_day_secs: self.market_day_secs,
            faults: Faults::parse(&self.fault, self.fault_seed)?,
            ..SandboxOptions::default()
        };
        let (key, secret) = (options.app_key.clone(), options.app_secret.clone());
        let refresh_token = options.refresh_token.clone();
        let sandbox = Sandbox::start(options)?;
        if settings.json {
            let told = json!({
                "id": null,
                "base_url": sandbox.base_url(),
                "app_key": key,
                "app_secret": secret,
                "refresh_token": refresh_token,
            });
            writeln!(stdout(), "{told}")?;
        } else {
            writeln!(
                stdout(),
                "sandbox on {} ({} goods; open it in a browser)",
                sandbox.base_url(),
                sandbox.catalogue().goods().len()
            )?;
            writeln!(stdout(), "to use it for every upstream that is asked, in another terminal:")?;
            writeln!(stdout(), "  export TONGKUAN_BASE_URL={}", sandbox.base_url())?;
            writeln!(stdout(), "  export TONGKUAN_APP_KEY={key} TONGKUAN_APP_SECRET={secret}")?;
            writeln!(stdout(), "or, to meet the official gateway's dialect, this too:")?;
            writeln!(stdout(), "  export TONGKUAN_UPSTREAM=aop TONGKUAN_REFRESH_TOKEN={refresh_token}")?;
            writeln!(
                stdout(),
                "the vendors: TONGKUAN_ONEBOUND_KEY={key} TONGKUAN_ONEBOUND_SECRET={secret},"
            )?;
            writeln!(stdout(), "  and TONGKUAN_TMAPI_TOKEN={secret}")?;
            writeln!(stdout(), "Ctrl-C ends it.")?;
        }
        loop {
            // Until a signal ends the process; the server works in its own thread.
            std::thread::park();
        }
    }
}
