//! `tongkuan login`: how the app comes to ask in a person's name.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::output::stdout;
use super::settings::Settings;
use crate::clock::SystemClock;
use crate::config::Profile;
use crate::printable::{field, line};
use crate::upstream::aop::{PROFILE, authorize_url};
use crate::upstream::{AopConfig, AopUpstream, TokenFile};

/// Two steps, with the upstream aop or linkplus configured (--upstream aop). Without --code: prints the page to open in a
/// browser; after consent it leads to the redirect address with `?code=...` in it. With --code, within two minutes: gets the
/// tokens and keeps them in the home folder, in a file that only its owner may read. They are renewed from then on without
/// help, for half a year.
#[derive(Args, Debug)]
pub(super) struct Login {
    /// The address that the open platform's console knows for the app
    #[arg(long, value_name = "URL")]
    redirect_uri: String,
    /// The code from the redirect
    #[arg(long)]
    code: Option<String>,
    /// The page on which to agree
    #[arg(long, value_name = "URL", default_value = AopConfig::DEFAULT_AUTHORIZE_URL)]
    authorize_url: String,
}

impl Login {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let linkplus = settings.upstream(Profile::Linkplus);
        let aop = linkplus.or_else(|_| settings.upstream(Profile::Aop))?;
        let Some(code) = &self.code else {
            let url = authorize_url(&self.authorize_url, &aop.app_key, &self.redirect_uri, "tongkuan")?;
            if settings.json {
                writeln!(stdout(), "{}", json!({ "id": null, "open": url }))?;
            } else {
                writeln!(
                    stdout(),
                    "Open this page, agree, and run the command again with --code from the address it leads to:"
                )?;
                writeln!(stdout(), "  {}", line(url))?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        settings.network("changing a code into tokens")?;
        let config = aop.gateway(settings.home.folder());
        let file = TokenFile::of_home(settings.home.folder(), PROFILE);
        AopUpstream::new(config, Arc::new(SystemClock))?.log_in(code, &self.redirect_uri)?;
        if settings.json {
            writeln!(stdout(), "{}", json!({ "id": null, "tokens": file.path() }))?;
        } else {
            writeln!(stdout(), "logged in; the tokens are in {}", field(file.path().display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
