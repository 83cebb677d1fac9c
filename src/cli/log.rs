//! `--log` and `RUST_LOG`: what the library notes about its own work (retries, breaker trips, rebuilds, slow stages), on
//! standard error. Notes for people are another thing: see [`super::show::Terminal`].

use anyhow::{Result, bail};
use tracing_subscriber::filter::EnvFilter;

use super::output::stderr;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Begins to log what `named` (`--log`), else `RUST_LOG`, asks for; nothing without either.
pub(super) fn start(named: Option<&str>) -> Result<()> {
    let variable = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = match (named, &variable) {
        (Some(text), _) => filter_of(text, "--log")?,
        // Often set for other programs.
        (None, Some(text)) => match filter_of(text, "RUST_LOG") {
            Ok(filter) => filter,
            Err(error) => {
                super::output::complain(error);
                return Ok(());
            }
        },
        (None, None) => return Ok(()),
    };
    // Fails where a program around this library logs already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(stderr).try_init();
    Ok(())
}

/// As [`start`] for the service, which logs its requests unless it is told not to.
pub(super) fn start_service(named: Option<&str>, as_json: bool) -> Result<()> {
    let variable = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter = match (named, &variable) {
        (Some(text), _) => filter_of(text, "--log")?,
        (None, Some(text)) => filter_of(text, "RUST_LOG")?,
        (None, None) => filter_of("info", "--log")?,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(stderr);
    let _ = if as_json { lines.json().try_init() } else { lines.try_init() };
    Ok(())
}

fn filter_of(text: &str, name: &str) -> Result<EnvFilter> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    // Of this program alone: what libraries log may hold addresses with secrets in them.
    let own = if LEVELS.contains(&lower.as_str()) { format!("tongkuan={lower}") } else { text.to_owned() };
    // A word that is no level would be taken for the name of a module.
    let is_typed_wrong = !own.contains(['=', ':', ',']) && !own.starts_with("tongkuan");
    match EnvFilter::builder().parse(&own) {
        Ok(filter) if !is_typed_wrong => Ok(filter),
        _ => bail!(
            "{name} is {text:?}: use {}, or a filter such as tongkuan::upstream=debug",
            LEVELS.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_of_this_program_and_a_word_that_is_none_is_refused() {
        for (text, filter) in [
            ("debug", "tongkuan=debug"),
            (" WARN ", "tongkuan=warn"),
            ("off", "tongkuan=off"),
            ("tongkuan::upstream=trace", "tongkuan::upstream=trace"),
            ("hyper=info", "hyper=info"),
        ] {
            assert_eq!(filter_of(text, "--log").unwrap().to_string(), filter);
        }
        for text in ["verbose", "tongkuan=loud"] {
            assert!(filter_of(text, "--log").unwrap_err().to_string().contains("use off, error"), "{text}");
        }
    }
}
