//! `tongkuan search`

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::interrupt::{stop_saying_so, told_interrupted};
use super::output::{complain_about, stdout};
use super::picture::{self, Picture, Pictures};
use super::question::{BreadthArgs, QuestionArgs};
use super::settings::Settings;
use super::{FAILED, advice, found, harvest, show};
use crate::cancel::Interrupt;
use crate::catalog::Words;
use crate::engine::{Answer, Engine, MAX_PAGES, Mode, Outcome, Query, Refine};
use crate::photo::PhotoFormat;
use crate::upstream::{Region, SearchParams};

#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Search {
    /// Pictures: JPEG, PNG, WebP, GIF or BMP; files, addresses, or - for standard input
    #[arg(required = true, value_name = picture::VALUE_NAME, value_parser = super::any_path())]
    pictures: Vec<PathBuf>,
    /// Ask the upstream even if the answer is known, and store what it says (the stored answer is printed if that fails)
    #[arg(long, conflicts_with = "bypass")]
    refresh: bool,
    /// Ask the upstream even if the answer is known, and store nothing
    #[arg(long)]
    bypass: bool,
    /// Ask about a picture in which nothing shows, too (a blank, one colour), and about a tall detail page as a whole
    #[arg(long)]
    force: bool,
    /// Only offers with all of these words in their titles; chosen among those that come, so it costs nothing
    #[arg(long, value_name = "WORDS", value_parser = words)]
    keyword: Option<Words>,
    /// Only offers that sell as few pieces as this
    #[arg(long, value_name = "PIECES", value_parser = clap::value_parser!(u32).range(1..))]
    max_min_order: Option<u32>,
    /// Only this part of the picture, in pixels
    #[arg(long, value_name = "LEFT,TOP,RIGHT,BOTTOM")]
    region: Option<Region>,
    /// Which page of offers
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// Offers a page, 1 to 50
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    page_size: u32,
    #[command(flatten)]
    breadth: BreadthArgs,
    /// All pages of offers
    #[arg(long, conflicts_with = "pages")]
    all: bool,
    /// Fetch anew what is known but at least this old (the old answer is printed if that fails)
    #[arg(long, value_name = "DAYS", value_parser = days)]
    max_age: Option<f64>,
    /// Have a picture wait when nothing may be asked now; `tongkuan drain` asks later. Higher priorities come first
    #[arg(long, value_name = "PRIORITY", num_args = 0..=1, default_missing_value = "0", require_equals = true)]
    defer: Option<i32>,
    /// Afterwards fetch the pictures of the offers, so that they are hits the next time (see `tongkuan harvest`)
    #[arg(long)]
    harvest: bool,
    /// Print what the verdict rests on (--json always does)
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    question: QuestionArgs,
}

fn words(text: &str) -> Result<Words, String> {
    Words::parse(text).ok_or_else(|| "there is no word in it".to_owned())
}

/// A number of days, fractions allowed.
fn days(text: &str) -> Result<f64, String> {
    let days: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of days"))?;
    if (0.0..=36_500.0).contains(&days) { Ok(days) } else { Err("use 0 to 36500 days".to_owned()) }
}

impl Search {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let params = SearchParams {
            region: self.region,
            page: self.page,
            page_size: self.page_size,
            ..self.question.params()?
        };
        for (wanted, option) in
            [(self.refresh, "--refresh"), (self.bypass, "--bypass"), (self.harvest, "--harvest")]
        {
            if wanted {
                settings.network(option)?;
            }
        }
        if settings.is_offline() {
            settings.require_home()?;
        }
        let pictures = Pictures::new(settings)?;
        let (mut all_hits, mut failed) = (true, false);
        // Without a picture there is nothing to store, and --home may be a typing mistake: no new one is made.
        let mut ahead = VecDeque::new();
        if !settings.has_home()? {
            for path in &self.pictures {
                let opened = pictures.open(path).and_then(|picture| {
                    PhotoFormat::sniff(&picture.bytes)?;
                    Ok(picture)
                });
                let is_one = opened.is_ok();
                ahead.push_back(opened);
                if is_one {
                    break;
                }
            }
            if !ahead.back().is_some_and(Result::is_ok) {
                for (path, opened) in self.pictures.iter().zip(ahead) {
                    opened.err().map_or(Ok(()), |error| tell(settings, path, &error))?;
                }
                return Ok(ExitCode::from(FAILED));
            }
        }
        let engine = settings.engine(true)?;
        let (stop, _watch) = stop_saying_so()?;
        let interrupt = Interrupt::from(stop);
        let mut out = stdout();
        for path in &self.pictures {
            if interrupt.check().is_err() {
                break;
            }
            let picture = ahead.pop_front().unwrap_or_else(|| pictures.open(path));
            match picture
                .and_then(|picture| self.search(&engine, settings, &picture, params.clone(), &interrupt))
            {
                Ok(answer) => {
                    all_hits &= answer.verdict == Outcome::Hit;
                    if settings.json {
                        writeln!(out, "{}", json_of(path, &answer)?)?;
                    } else {
                        show::answer(&mut out, &path.display().to_string(), &answer)?;
                        if self.explain {
                            show::explanation(&mut out, &answer.explain)?;
                        }
                    }
                }
                // One bad picture does not stop the others.
                Err(error) => {
                    failed = true;
                    tell(settings, path, &error)?;
                }
            }
        }
        drop(out);
        super::quota::refresh(settings, &engine, &interrupt);
        if let Some(fetcher) = pictures.fetcher().filter(|_| self.harvest || settings.harvest)
            && interrupt.check().is_ok()
        {
            harvest::after_search(&engine, fetcher, &interrupt);
        }
        if interrupt.check().is_err() {
            return Ok(told_interrupted("what was answered is printed"));
        }
        Ok(if failed { ExitCode::from(FAILED) } else { found(all_hits) })
    }

    fn search(
        &self,
        engine: &Engine,
        settings: &Settings,
        picture: &Picture,
        params: SearchParams,
        interrupt: &Interrupt,
    ) -> Result<Answer> {
        let mode = match (settings.is_offline(), self.refresh, self.bypass) {
            (true, ..) => Mode::LocalOnly,
            (_, true, _) => Mode::Refresh,
            (_, _, true) => Mode::Bypass,
            _ => Mode::Default,
        };
        let max_age = self.max_age.map(|days| Duration::from_secs_f64(days * 86_400.0));
        let refine = Refine { words: self.keyword.clone(), max_min_order: self.max_min_order };
        let (source_url, defer) = (picture.source_url.as_deref(), self.defer);
        let plain = Query::new(&picture.bytes, &picture.label);
        let mut query = plain
            .source_url(source_url)
            .params(params)
            .mode(mode)
            .max_age(max_age)
            .defer(defer)
            .force(self.force)
            .refine(refine);
        query.interrupt = interrupt.clone();
        let breadth = self.breadth.breadth();
        Ok(engine.search_widely(&query, if self.all { breadth.pages(MAX_PAGES) } else { breadth })?)
    }
}

/// Tells what is wrong with one picture.
fn tell(settings: &Settings, path: &Path, error: &anyhow::Error) -> std::io::Result<()> {
    if settings.json {
        writeln!(stdout(), "{}", advice::json_of(path.display().to_string(), error.as_ref()))?;
    }
    complain_about(path.display(), advice::explained(error.as_ref()));
    Ok(())
}

/// An answer with the path or address that was asked for.
fn json_of(path: &Path, answer: &Answer) -> Result<serde_json::Value> {
    let mut value = serde_json::to_value(answer)?;
    value["id"] = json!(path.display().to_string());
    Ok(value)
}
