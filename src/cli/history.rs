//! `tongkuan history`, `changes` and `watch`: offers and answers over time.

use std::io::{BufRead as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::interrupt::{told_interrupted, until_interrupt};
use super::output::{complain_about, report, stdout, write_report};
use super::picture::{self, Pictures};
use super::settings::Settings;
use super::show::Terminal;
use super::{FAILED, advice, found, show};
use crate::clock::Timestamp;
use crate::engine::{AnswerChanges, Progress as _};
use crate::offer::{Change, OfferId, OfferTerms, Price, TermChanges};
use crate::plot;
use crate::printable::{field, line};
use crate::upstream::guard::WhyNot;
use crate::verdict::Verdict;

/// Price, least order and sales of an offer, each time that an answer told something else; never asks an upstream. Exit
/// status: 0 something is known, 1 nothing is.
#[derive(Args, Debug)]
pub(super) struct History {
    /// As `search` prints it
    offer_id: OfferId,
    /// Draw the prices and the sales
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl History {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.existing_engine(false)?;
        let history = engine.catalog().history(&self.offer_id)?;
        if let Some(path) = &self.plot {
            write_report(path, report::SVG, &drawn(&self.offer_id, &history))?;
        }
        let mut out = stdout();
        if settings.json {
            writeln!(out, "{}", json!({ "id": self.offer_id, "history": history }))?;
            return Ok(found(!history.is_empty()));
        }
        if history.is_empty() {
            writeln!(out, "{}: nothing was told of it yet", field(&self.offer_id))?;
            return Ok(found(false));
        }
        writeln!(out, "{}  {}", field(&self.offer_id), steps(&history))?;
        for terms in &history {
            writeln!(out, "  {}", told(terms))?;
        }
        Ok(found(true))
    }
}

/// One character for each price that was told, the lowest the lowest.
fn steps(history: &[OfferTerms]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let cents: Vec<u64> = history.iter().filter_map(|terms| terms.price).map(cents).collect();
    let (least, most) = (cents.iter().min().copied().unwrap_or(0), cents.iter().max().copied().unwrap_or(0));
    let level = |cents: &u64| {
        let place = (cents - least) * 7 / (most - least).max(1);
        LEVELS[usize::try_from(place).unwrap_or(0).min(7)]
    };
    // The last sixty fit on a line.
    cents.iter().skip(cents.len().saturating_sub(60)).map(level).collect()
}

fn cents(price: Price) -> u64 {
    u64::try_from((price.yuan() * rust_decimal::Decimal::ONE_HUNDRED).round()).unwrap_or(u64::MAX)
}

/// Prices in yuan (drawn in hundredths, which are whole), and sales.
fn drawn(offer_id: &OfferId, history: &[OfferTerms]) -> String {
    let times: Vec<String> =
        history.iter().map(|terms| terms.since.to_string().chars().take(10).collect()).collect();
    let course = |value: &dyn Fn(&OfferTerms) -> Option<u64>| {
        let mut last = history.iter().find_map(value).unwrap_or(0);
        let follow = history.iter().map(|terms| {
            last = value(terms).unwrap_or(last);
            last
        });
        follow.collect::<Vec<u64>>()
    };
    let mut prices = vec![("price", course(&|terms| terms.price.map(cents)))];
    if history.iter().any(|terms| terms.promotion_price.is_some()) {
        prices.push(("promotion", course(&|terms| terms.promotion_price.map(cents))));
    }
    plot::document(&[
        plot::over_time(&format!("Price of {offer_id}, in hundredths of a yuan"), &times, &prices),
        plot::over_time(
            "Sold in 30 days",
            &times,
            &[("sold", course(&|terms| terms.month_sold.map(u64::from)))],
        ),
    ])
}

fn told(terms: &OfferTerms) -> String {
    let mut words = vec![format!("{} to {}", terms.since, terms.until)];
    words.extend(terms.price.map(|price| format!("¥{price}")));
    words.extend(terms.promotion_price.map(|price| format!("promotion ¥{price}")));
    words.extend(terms.min_order_quantity.map(|pieces| format!("from {pieces} pieces on")));
    words.extend(terms.month_sold.map(|sold| format!("{sold} sold in 30 days")));
    format!("{}  [{}]", words.join("  "), field(&terms.profile))
}

fn changes(changes: &TermChanges) -> String {
    fn from_to<T: std::fmt::Display>(name: &str, sign: &str, change: Option<Change<T>>) -> Option<String> {
        let Change { before, after } = change?;
        let shown = |value: Option<T>| value.map_or_else(|| "?".to_owned(), |value| format!("{sign}{value}"));
        Some(format!("{name} {} -> {}", shown(before), shown(after)))
    }
    let words = [
        from_to("price", "¥", changes.price),
        from_to("promotion", "¥", changes.promotion_price),
        from_to("least order", "", changes.min_order_quantity),
        from_to("sold in 30 days", "", changes.month_sold),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What the upstream says about a picture now, beside what it said before: which offers came, which went, whose terms
/// have changed. Never asks; `search --refresh` brings a new answer. Exit status: 0 there were two answers to compare, 1
/// there were not.
#[derive(Args, Debug)]
pub(super) struct Changes {
    /// A picture, its address, or - for standard input
    #[arg(value_name = picture::VALUE_NAME)]
    picture: PathBuf,
    /// Compare with what was said by then, such as 2026-11-01T00:00:00Z, instead of with the answer before the newest
    #[arg(long, value_name = "TIME")]
    by: Option<Timestamp>,
}

impl Changes {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.existing_engine(true)?;
        let bytes = Pictures::new(settings)?.open(&self.picture)?.bytes;
        let id = json!(self.picture.display().to_string());
        let all = match engine.recognise(&bytes).with_context(|| line(self.picture.display()).to_string())? {
            Verdict::Hit(matched) => engine.answer_changes(matched.photo_id, self.by)?,
            _ => Vec::new(),
        };
        let mut out = stdout();
        if settings.json {
            writeln!(out, "{}", json!({ "id": id, "answers": all }))?;
        } else if all.is_empty() {
            writeln!(out, "{}: there are no two answers to compare", field(self.picture.display()))?;
        }
        for answer in all.iter().filter(|_| !settings.json) {
            print(&mut out, answer)?;
        }
        Ok(found(!all.is_empty()))
    }
}

fn print(out: &mut impl Write, answer: &AnswerChanges) -> Result<()> {
    let AnswerChanges { profile, params, before, after, .. } = answer;
    writeln!(out, "{} {before} -> {after}", show::answered(profile, params))?;
    for changed in &answer.changed {
        writeln!(
            out,
            "  changed  {} {}: {}",
            field(&changed.offer.offer_id),
            field(&changed.offer.title),
            changes(&changed.changes)
        )?;
    }
    for gone in &answer.went {
        let terms = gone.terms.as_ref().map(told).unwrap_or_default();
        writeln!(out, "  gone     {} {terms}", field(&gone.offer_id))?;
    }
    if !answer.came.is_empty() {
        writeln!(out, "  new:")?;
        show::offers(out, &answer.came)?;
    }
    writeln!(out, "  unchanged: {}", answer.unchanged)?;
    Ok(())
}

/// Offers to be asked about again and again. `watch ask` is for a timer: it asks about the ones that were told of longest
/// ago, within a number of calls, and says what has changed.
#[derive(Args, Debug)]
pub(super) struct Watch {
    #[command(subcommand)]
    command: WatchCommand,
}

#[derive(Debug, Subcommand)]
enum WatchCommand {
    /// Watch these offers
    Add(Offers),
    /// Watch these offers no longer
    Remove(Offers),
    /// Print the watched offers and what was told of them last
    List,
    /// Ask about the watched offers (a call each), those first that were told of longest ago
    Ask(Ask),
}

#[derive(Args, Debug)]
struct Offers {
    /// As `search` prints them
    #[arg(required_unless_present = "from")]
    offer_ids: Vec<OfferId>,
    /// A file with one on each line; - is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Offers {
    fn all(&self) -> Result<Vec<OfferId>> {
        let mut all = self.offer_ids.clone();
        if let Some(path) = &self.from {
            all.extend(read(path)?);
        }
        Ok(all)
    }
}

fn read(path: &Path) -> Result<Vec<OfferId>> {
    let cannot = || format!("{} cannot be read", path.display());
    let lines: Box<dyn std::io::BufRead> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::io::BufReader::new(std::fs::File::open(path).with_context(cannot)?))
    };
    let mut ids = Vec::new();
    for (number, text) in (1..).zip(lines.lines()) {
        let text = text.with_context(cannot)?;
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match OfferId::new(text) {
            Ok(id) => ids.push(id),
            Err(error) => bail!("{}, line {number}: {error}", path.display()),
        }
    }
    Ok(ids)
}

#[derive(Args, Debug)]
struct Ask {
    /// Calls made at the most, repeated ones included; the day's budget holds besides
    #[arg(long, value_name = "N")]
    max_calls: Option<u32>,
    /// Leave out offers that something was told of since
    #[arg(long, value_name = "HOURS", default_value_t = 20)]
    min_age_hours: u32,
    /// Say how many calls it would take, and ask nothing
    #[arg(long)]
    dry_run: bool,
}

impl Watch {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let mut out = stdout();
        match &self.command {
            WatchCommand::Add(offers) => {
                let ids = offers.all()?;
                let added = settings.engine(false)?.watch_offers(&ids)?;
                if settings.json {
                    writeln!(out, "{}", json!({ "id": null, "added": added, "named": ids.len() }))?;
                } else {
                    writeln!(out, "{added} watched from now on, {} were already", ids.len() as u64 - added)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            WatchCommand::Remove(offers) => {
                let ids = offers.all()?;
                let removed = settings.existing_engine(false)?.unwatch_offers(&ids)?;
                if settings.json {
                    writeln!(out, "{}", json!({ "id": null, "removed": removed, "named": ids.len() }))?;
                } else {
                    writeln!(out, "{removed} watched no longer, {} were not", ids.len() as u64 - removed)?;
                }
                Ok(ExitCode::SUCCESS)
            }
            WatchCommand::List => {
                let engine = settings.existing_engine(false)?;
                for (offer_id, terms) in engine.offers_to_ask_about(Duration::ZERO)? {
                    if settings.json {
                        writeln!(out, "{}", json!({ "id": offer_id, "terms": terms }))?;
                    } else {
                        let terms = terms.as_ref().map_or_else(|| "nothing was told yet".to_owned(), told);
                        writeln!(out, "{}  {terms}", field(&offer_id))?;
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
            WatchCommand::Ask(ask) => ask.run(settings),
        }
    }
}

impl Ask {
    fn run(&self, settings: &Settings) -> Result<ExitCode> {
        if !self.dry_run {
            settings.network("asking about watched offers")?;
        }
        let engine = settings.existing_engine(false)?;
        let min_age = Duration::from_secs(u64::from(self.min_age_hours) * 3600);
        let due = engine.offers_to_ask_about(min_age)?;
        let most = self.max_calls.unwrap_or(u32::MAX);
        let mut out = stdout();
        if self.dry_run {
            let calls = due.len().min(most as usize);
            if settings.json {
                writeln!(out, "{}", json!({ "id": null, "due": due.len(), "calls": calls }))?;
            } else {
                writeln!(out, "{} offers are due; {calls} calls would be made", due.len())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let (terminal, interrupt) = (Terminal::new(), until_interrupt()?);
        let (mut asked, mut changed, mut failed, mut calls) = (0_usize, 0_usize, 0_usize, 0_u32);
        let mut stopped = None;
        for (offer_id, _) in &due {
            if calls >= most || interrupt.check().is_err() {
                break;
            }
            terminal.step("asking", asked + 1, due.len());
            match engine.ask_again(&interrupt.clone().max_calls(most - calls), offer_id) {
                Ok(again) => {
                    calls += again.upstream_calls;
                    if let Some(unanswered) = &again.unanswered
                        && !matches!(unanswered.reason, WhyNot::UpstreamFailed | WhyNot::Unreadable)
                    {
                        // It holds for all that follow.
                        stopped = Some(unanswered.message.clone());
                        break;
                    }
                    asked += 1;
                    failed += usize::from(again.unanswered.is_some());
                    changed += usize::from(!again.changes.is_empty());
                    if settings.json {
                        let mut value = serde_json::to_value(&again)?;
                        value["id"] = json!(offer_id);
                        writeln!(out, "{value}")?;
                    } else if let Some(unanswered) = &again.unanswered {
                        writeln!(out, "{}: {}", field(offer_id), line(&unanswered.message))?;
                    } else if !again.changes.is_empty() {
                        writeln!(out, "{}: {}", field(offer_id), changes(&again.changes))?;
                    }
                    for warning in &again.warnings {
                        terminal.note(&format!("{offer_id}: {warning}"));
                    }
                }
                Err(error) => {
                    // What an upstream knows nothing about is paid for, too.
                    calls += error.calls();
                    if interrupt.check().is_err() && error.is_interrupted() {
                        break;
                    }
                    (asked, failed) = (asked + 1, failed + 1);
                    if settings.json {
                        writeln!(out, "{}", advice::json_of(offer_id, &error))?;
                    }
                    complain_about(offer_id, advice::explained(&error));
                }
            }
        }
        let left = due.len() - asked;
        if settings.json {
            writeln!(
                out,
                "{}",
                json!({ "id": null, "asked": asked, "changed": changed, "failed": failed, "left": left,
                        "upstream_calls": calls, "stopped": stopped })
            )?;
        } else {
            writeln!(
                out,
                "{asked} asked, {changed} changed, {failed} failed, {left} still due; {calls} calls"
            )?;
            if let Some(why) = &stopped {
                writeln!(out, "stopped: {}", line(why))?;
            }
        }
        if interrupt.check().is_err() {
            return Ok(told_interrupted("what was answered is not asked about again"));
        }
        Ok(if failed > 0 { ExitCode::from(FAILED) } else { found(left == 0) })
    }
}
