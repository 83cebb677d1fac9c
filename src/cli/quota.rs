//! `tongkuan quota` and `drain`: what may still be spent, and the pictures that wait for it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::interrupt::{told_interrupted, until_interrupt};
use super::output::{BatchOutput, complain_about, stdout};
use super::settings::Settings;
use super::show::Terminal;
use super::{FAILED, advice, found};
use crate::cancel::Interrupt;
use crate::doors;
use crate::engine::{DrainedOne, Engine, Progress};
use crate::printable::{field, line};

/// Calls used and left today, when the count begins anew, where today's rate leads, and what was saved.
pub(super) fn quota(settings: &Settings) -> Result<ExitCode> {
    let engine = settings.existing_engine(false)?;
    let mut out = stdout();
    if settings.json {
        let mut value = doors::quota(&engine)?;
        value["id"] = json!(null);
        writeln!(out, "{value}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let reports = engine.quota()?;
    let (saved_today, saved_ever) = engine.saved_calls()?;
    let waiting = engine.catalog().queue_counts()?;
    if reports.is_empty() {
        writeln!(out, "no upstream is configured; `tongkuan --help` tells how to name one")?;
    }
    for report in &reports {
        let forecast = report.forecast.map_or_else(String::new, |calls| {
            let enough = if calls > u64::from(report.budget) { ", more than the budget" } else { "" };
            format!("; at today's rate {calls} by then{enough}")
        });
        writeln!(
            out,
            "{:<9} {} of {} used, {} left until {}{forecast}",
            report.profile, report.used, report.budget, report.left, report.resets_at
        )?;
        if let (Some(until), Some(why)) = (report.open_until, &report.open_because) {
            writeln!(out, "          not asked before {until}: {}", line(why))?;
        }
    }
    writeln!(out, "saved     {saved_today} calls today, {saved_ever} ever")?;
    writeln!(
        out,
        "waiting   {} new pictures, {} old answers ({} tried in vain)",
        waiting.deferred, waiting.stale, waiting.in_trouble
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Asks about the pictures that wait, the highest priority first, until none is left or nothing may be asked. What was
/// answered has left the queue, so an interrupted run is taken up again by running it again.
#[derive(Args, Debug)]
pub(super) struct Drain {
    /// Pictures tried at the most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Drain {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        settings.network("asking about the pictures that wait")?;
        let engine = settings.existing_engine(true)?;
        let terminal = Terminal::new();
        let counts = engine.catalog().queue_counts()?;
        let total = usize::try_from(counts.deferred + counts.stale)?;
        let mut done = 0;
        let out = BatchOutput::default();
        let drained = engine.drain_unless(&until_interrupt()?, self.limit, &mut |one| {
            done += 1;
            terminal.step("asking", done, total.max(done));
            report(settings, &out, one);
        })?;
        out.finish()?;
        let left = engine.catalog().queue_counts()?;
        if settings.json {
            writeln!(stdout(), "{}", json!({ "id": null, "drained": drained, "waiting": left }))?;
        } else {
            writeln!(
                stdout(),
                "{} answered, {} dropped, {} still waiting",
                drained.answered,
                drained.dropped,
                left.deferred + left.stale
            )?;
            if let Some(stopped) = &drained.stopped {
                writeln!(stdout(), "stopped: {}", line(&stopped.message))?;
            }
        }
        if drained.interrupted.is_some() {
            return Ok(told_interrupted("what was answered is not asked about again"));
        }
        Ok(if drained.dropped > 0 { ExitCode::from(FAILED) } else { found(left.deferred + left.stale == 0) })
    }
}

fn report(settings: &Settings, out: &BatchOutput, one: &DrainedOne<'_>) {
    let label = &one.waiting.label;
    match one.result {
        Ok(answer) if settings.json => match serde_json::to_value(answer) {
            Ok(mut value) => {
                value["id"] = json!(label);
                out.line(value);
            }
            Err(error) => out.line(json!({ "id": label, "error": error.to_string() })),
        },
        Ok(answer) => match &answer.unanswered {
            // It goes on waiting; why stands below, once for all.
            Some(_) if answer.upstream_calls == 0 => out.line(format_args!("{}: not asked", field(label))),
            Some(_) => out.line(format_args!("{}: asked in vain", field(label))),
            None => out.line(format_args!("{}: {} offers", field(label), answer.offers.len())),
        },
        Err(error) => {
            if settings.json {
                out.line(advice::json_of(label, error));
            }
            complain_about(label, advice::explained(error));
        }
    }
}

/// Fetches anew what a search has found to be old, once its answers are printed.
pub(super) fn refresh(settings: &Settings, engine: &Engine, interrupt: &Interrupt) {
    if interrupt.check().is_err() {
        return;
    }
    let catalog = engine.catalog();
    let nothing_to_do = || catalog.queue_counts().is_ok_and(|waiting| waiting.stale == 0);
    if settings.is_offline() || catalog.is_read_only() || catalog.storing_fails() || nothing_to_do() {
        return;
    }
    let terminal = Terminal::new();
    // They are printed, so this is no failure of the search.
    if let Err(error) = engine.refresh_stale_unless(interrupt) {
        terminal.note(&format!("that failed: {error}"));
    }
}
