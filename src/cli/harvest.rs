//! `tongkuan harvest` and `find`: the offers' own pictures, and the offers by their titles.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::interrupt::{told_interrupted, until_interrupt};
use super::output::stdout;
use super::settings::Settings;
use super::show::Terminal;
use super::{FAILED, advice, found, show};
use crate::cancel::Interrupt;
use crate::catalog::Words;
use crate::engine::{Engine, Harvested, Progress};
use crate::fetch::Fetcher;

/// Fetches the pictures of the offers that searches have brought, and indexes them: a supplier's picture, or an edited
/// copy of it, is then a hit. Only from public addresses and from those named by `fetch_from`. An interrupted run is
/// taken up again by running it again. Exit status: 2 if a picture could not be fetched or read, or its address is refused.
#[derive(Args, Debug)]
pub(super) struct Harvest {
    /// Pictures tried at the most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Harvest {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let fetcher = settings.fetcher(settings.network("fetching pictures")?)?;
        let engine = settings.existing_engine(true)?;
        let harvested = run(&engine, &fetcher, self.limit, &until_interrupt()?)?;
        if harvested.interrupted.is_none() {
            engine.settle_index()?;
        }
        let images = engine.catalog().image_counts()?;
        let Harvested { stored, known, failed, refused, interrupted } = harvested;
        if settings.json {
            writeln!(stdout(), "{}", json!({ "id": null, "harvested": harvested, "images": images }))?;
        } else {
            writeln!(
                stdout(),
                "{stored} stored, {known} known already, {failed} failed, {refused} refused, {} waiting",
                images.waiting
            )?;
        }
        if interrupted.is_some() {
            return Ok(told_interrupted("what is stored is not fetched again"));
        }
        Ok(if failed + refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }
}

fn run(engine: &Engine, fetcher: &Fetcher, limit: Option<u64>, interrupt: &Interrupt) -> Result<Harvested> {
    let terminal = Terminal::new();
    let waiting = usize::try_from(engine.catalog().image_counts()?.waiting.min(limit.unwrap_or(u64::MAX)))?;
    let (mut done, mut refusal) = (0, None);
    let harvested = engine.harvest_unless(interrupt, fetcher, limit, &mut |image, result| {
        done += 1;
        terminal.step("fetching", done, waiting.max(done));
        match result {
            // One for all, below.
            Err(error) if error.is_refusal() => {
                refusal.get_or_insert_with(|| advice::explained(error));
            }
            Err(error) => terminal.note(&format!("picture of offer {}: {error}", image.offer_id)),
            Ok(_) => {}
        }
    })?;
    if let Some(first) = refusal {
        let refused = harvested.refused;
        terminal.note(&format!(
            "{refused} pictures are not fetched as things are configured, and go on waiting: {first}"
        ));
    }
    Ok(harvested)
}

/// Once the answers are printed, so a failure is none of the search.
pub(super) fn after_search(engine: &Engine, fetcher: &Fetcher, interrupt: &Interrupt) {
    if let Err(error) = run(engine, fetcher, None, interrupt) {
        Terminal::new().note(&format!("fetching the offers' pictures failed: {error}"));
    }
}

/// Prints the stored offers whose titles hold all of these words; never asks an upstream.
#[derive(Args, Debug)]
pub(super) struct Find {
    /// Words, in Chinese or not; any part of a Chinese title is found
    #[arg(required = true)]
    words: Vec<String>,
    /// Offers at the most
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Find {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let Some(words) = Words::parse(&self.words.join(" ")) else { bail!("there is no word to look for") };
        let engine = settings.existing_engine(false)?;
        let all = engine.catalog().find_offers(&words, self.limit)?;
        let mut out = stdout();
        let any = !all.is_empty();
        if settings.json {
            for offer in &all {
                let mut value = serde_json::to_value(offer)?;
                value["id"] = json!(offer.offer.offer_id);
                writeln!(out, "{value}")?;
            }
        } else {
            let offers: Vec<_> = all.into_iter().map(|found| found.offer).collect();
            show::offers(&mut out, &offers)?;
        }
        Ok(found(any))
    }
}
