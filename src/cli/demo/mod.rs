//! `tongkuan demo`: the whole thing at work, on real parts, against an in-process sandbox.

mod page;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use image::imageops::{FilterType, resize};
use serde_json::json;

use super::output::{refuse_other, report, stdout};
use super::picture;
use super::scratch::Scratch;
use super::settings::Settings;
use super::show::coloured;
use crate::config::UpstreamSettings;
use crate::engine::{Answer, Engine, Mode, Query};
use crate::photo::{Photo, PhotoLimits, encode_jpeg, read_bytes};
use crate::printable::field;
use crate::sandbox::{Sandbox, SandboxOptions, View};
use page::Page;

/// Own pictures shown at the most: each costs a paced second.
const MAX_OWN_PICTURES: usize = 5;

#[derive(Args, Debug)]
pub(super) struct Demo {
    /// A folder of your own pictures (the first five are used) instead of rendered goods
    folder: Option<PathBuf>,
    /// Write the pictures, verdicts and costs to this HTML file, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show that page in the browser; without --html it is tongkuan-demo.html in this folder
    #[arg(long)]
    open: bool,
}

/// One line of the table.
struct Step {
    what: String,
    bytes: Vec<u8>,
    mode: Mode,
}

impl Step {
    fn new(what: impl Into<String>, bytes: &[u8], mode: Mode) -> Self {
        Self { what: what.into(), bytes: bytes.to_vec(), mode }
    }
}

impl Demo {
    pub(super) fn run(&self, settings: Settings) -> Result<ExitCode> {
        settings.network("the demo, which runs a sandbox,")?;
        let html = self.html.clone().or_else(|| self.open.then(|| PathBuf::from("tongkuan-demo.html")));
        html.as_deref().map_or(Ok(()), |path| refuse_other(path, report::HTML))?;
        let scratch = Scratch::new()?;
        let options = SandboxOptions::default();
        let (key, secret) = (options.app_key.clone(), options.app_secret.clone());
        let sandbox = Sandbox::start(options)?;
        let json = settings.json;
        if !json {
            writeln!(
                stdout(),
                "A sandbox stands in for 1688 at {}; the home folder is a fresh one.\n",
                sandbox.base_url()
            )?;
        }
        let upstream = UpstreamSettings::article(sandbox.base_url(), &key, &secret);
        let settings = settings.with_upstream(&scratch.join("home"), upstream);
        let engine = settings.engine(true)?;
        // Loading the model and drawing the sandbox's goods are no part of any search.
        engine.warm_up()?;
        sandbox.warm_up();
        let online = match &self.folder {
            None => goods(&sandbox)?,
            Some(folder) => own(folder)?,
        };
        let mut table = Table { json, page: html.as_ref().map(|_| Page::default()) };
        table.head()?;
        for step in &online {
            table.row(&engine, step)?;
        }
        let counters = sandbox.counters();
        drop(sandbox);
        // The upstream is gone now; what was seen is still answered.
        let seen = &online[0].bytes;
        for step in [
            Step::new("offline: the first one again", seen, Mode::LocalOnly),
            Step::new("offline: another edit of it", &edited(seen, 0.8, 70)?, Mode::LocalOnly),
        ] {
            table.row(&engine, &step)?;
        }
        if json {
            writeln!(stdout(), "{}", json!({"id": null, "sandbox_counted": counters}))?;
        } else {
            writeln!(
                stdout(),
                "\nThe sandbox counted {} search(es) and {} token request(s). What was stored went with the demo.",
                counters.searches_ok,
                counters.token_requests
            )?;
        }
        if let (Some(path), Some(page)) = (&html, &table.page) {
            page.write(path)?;
            if !json {
                writeln!(stdout(), "The page is {}.", path.display())?;
            }
            if self.open {
                page::open(path)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn goods(sandbox: &Sandbox) -> Result<Vec<Step>> {
    let catalogue = sandbox.catalogue();
    let good = catalogue.goods().first().context("the sandbox has no goods")?;
    let variant = catalogue.colour_variants(good).next().context("the first good has no colour variant")?;
    let picture = catalogue.jpeg(good, View::Main);
    Ok(vec![
        Step::new(format!("a new picture: {}", good.title), &picture, Mode::Default),
        Step::new("the same file", &picture, Mode::Default),
        Step::new("edited: 70 % of the size, re-encoded", &edited(&picture, 0.7, 75)?, Mode::Default),
        Step::new(
            format!("colour variant: {}", variant.colour),
            &catalogue.jpeg(variant, View::Main),
            Mode::Default,
        ),
    ])
}

fn own(folder: &Path) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for picture in picture::folder(folder)?.pictures.into_iter().take(MAX_OWN_PICTURES) {
        let (label, path) = (picture.name, picture.path);
        let bytes = read_bytes(&path, &PhotoLimits::default())?;
        let copy = edited(&bytes, 0.7, 75).with_context(|| path.display().to_string())?;
        steps.push(Step::new(format!("new: {label}"), &bytes, Mode::Default));
        steps.push(Step::new(format!("edited: {label}"), &copy, Mode::Default));
    }
    if steps.is_empty() {
        bail!("{} holds no pictures (JPEG, PNG, WebP, GIF, BMP)", folder.display());
    }
    Ok(steps)
}

/// An edited copy: scaled, and encoded as JPEG.
fn edited(bytes: &[u8], scale: f32, quality: u8) -> Result<Vec<u8>> {
    let photo = Photo::decode(bytes, &PhotoLimits::default())?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let scaled = |side: u32| ((side as f32 * scale) as u32).max(1);
    let size = (scaled(photo.width_px()), scaled(photo.height_px()));
    let small = resize(photo.as_image(), size.0, size.1, FilterType::CatmullRom);
    Ok(encode_jpeg(&small, quality)?)
}

/// The table on standard output, and the page.
struct Table {
    json: bool,
    page: Option<Page>,
}

impl Table {
    fn head(&self) -> Result<()> {
        if !self.json {
            writeln!(
                stdout(),
                "{:<46} {:<7} {:<13} {:>5} {:>6} {:>6}  {:>9}  stages",
                "picture",
                "verdict",
                "rule",
                "alike",
                "calls",
                "offers",
                "total"
            )?;
        }
        Ok(())
    }

    fn row(&mut self, engine: &Engine, step: &Step) -> Result<()> {
        let query = Query::new(&step.bytes, &step.what).mode(step.mode);
        let answer = engine.search(&query).with_context(|| step.what.clone())?;
        if self.json {
            let mut value = serde_json::to_value(&answer)?;
            value["id"] = json!(step.what);
            writeln!(stdout(), "{value}")?;
            return self.keep(engine, step, answer);
        }
        // Chinese letters are two columns wide.
        let columns: usize = step.what.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
        let padding = " ".repeat(46usize.saturating_sub(columns));
        let mut out = stdout();
        write!(out, "{}{padding} ", field(&step.what))?;
        out.own(&coloured(answer.verdict, 7))?;
        writeln!(
            out,
            " {:<13} {:>5} {:>6} {:>6}  {:>6.1} ms  {}",
            answer.rule().map(|r| r.to_string()).unwrap_or_default(),
            answer.similarity().map(|s| s.to_string()).unwrap_or_default(),
            answer.upstream_calls,
            answer.offers.len(),
            answer.timings_ms.total,
            stages(&answer)
        )?;
        drop(out);
        self.keep(engine, step, answer)
    }

    /// For the page, if there is to be one.
    fn keep(&mut self, engine: &Engine, step: &Step, answer: Answer) -> Result<()> {
        match &mut self.page {
            Some(page) => page.take(engine, &step.what, &step.bytes, answer),
            None => Ok(()),
        }
    }
}

fn stages(answer: &Answer) -> String {
    let stages = answer.timings_ms.stages().into_iter();
    let spent = stages.filter_map(|(name, ms)| ms.map(|ms| format!("{name} {ms:.1}")));
    spent.collect::<Vec<_>>().join(", ")
}
