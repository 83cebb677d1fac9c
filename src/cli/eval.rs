//! `tongkuan eval`: how good are the answers on these pictures?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::output::{complain, refuse_other, report, stdout};
use super::picture;
use super::scratch::Scratch;
use super::settings::Settings;
use super::show::Terminal;
use super::{FAILED, found};
use crate::engine::SecondLook;
use crate::eval::{MakeOptions, Manifest, Recolours, Summary, evaluate, make, number, percent, write_html};
use crate::printable::{field, line};

/// Store the references of a manifest in a temporary home folder, search for its queries, and print how good the
/// answers are. Nothing is spent, and your own home folder is not touched. With --max-false-hit, a cut-off is chosen for
/// that share, too, and the exit status is 1 if the engine makes more false hits. It is 2 if a line or a picture could not be
/// used; what was made of the others is printed all the same.
#[derive(Args, Debug)]
pub(super) struct Eval {
    /// NDJSON with lines like {"path":"a.jpg","role":"reference","item":"A"} and
    /// {"path":"b.jpg","role":"query","item":"A","edit":"crop70"}; paths are relative to the file. A query of no item,
    /// or of one without a reference, must not be answered; "negative":"recolour" or "variant" labels it in the report. A
    /// JSON array, CSV or TSV of the same will do; - is standard input
    #[arg(required_unless_present = "make", conflicts_with = "make")]
    manifest: Option<PathBuf>,
    /// Write a report with the worst mistakes as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Make a manifest from the pictures of a folder, instead: half are stored, edits of all are queries. A file
    /// labels.ndjson in it may say which show the same goods: {"file":"a.jpg","item":"A-red","family":"A"}
    #[arg(long, value_name = "DIR", requires = "out")]
    make: Option<PathBuf>,
    /// The new folder for the manifest and its pictures
    #[arg(long, value_name = "DIR", requires = "make")]
    out: Option<PathBuf>,
    /// The same seed makes the same manifest of the same pictures
    #[arg(long, value_name = "N", default_value_t = 7, requires = "make")]
    seed: u64,
    /// Use at most this many pictures of the folder
    #[arg(long, value_name = "N", requires = "make", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Look at parts only of pictures that may hold other pictures, as `check` does, instead of all that are no hit as a
    /// whole
    #[arg(long, conflicts_with = "make")]
    likely_second_looks: bool,
}

impl Eval {
    pub(super) fn run(&self, settings: Settings) -> Result<ExitCode> {
        match (&self.make, &self.out, &self.manifest) {
            (Some(folder), Some(out), _) => self.make(&settings, folder, out),
            (.., Some(manifest)) => self.evaluate(settings, manifest),
            _ => bail!("name a manifest, or --make and --out"),
        }
    }

    fn make(&self, settings: &Settings, folder: &Path, out: &Path) -> Result<ExitCode> {
        let options = MakeOptions {
            seed: self.seed,
            limit: self.limit.map(|limit| limit as usize),
            recolours: Recolours::Turned,
        };
        let found = picture::labelled_folder(folder)?;
        let made = make(folder, &found.paths(), out, options, &Terminal::new())?;
        for error in &made.unreadable {
            complain(format_args!("{error}"));
        }
        let unreadable = made.unreadable.len() + found.unreadable.len();
        if settings.json {
            writeln!(
                stdout(),
                "{}",
                json!({"id": null, "manifest": made.manifest, "references": made.references, "queries": made.queries,
                       "unreadable": unreadable, "skipped": found.skipped.len(), "seed": self.seed})
            )?;
        } else {
            writeln!(
                stdout(),
                "{}: {} references, {} queries (seed {})",
                field(made.manifest.display()),
                made.references,
                made.queries,
                self.seed
            )?;
        }
        Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    fn evaluate(&self, settings: Settings, manifest: &Path) -> Result<ExitCode> {
        self.html.as_deref().map_or(Ok(()), |html| refuse_report(html, manifest))?;
        let (name, manifest) = (manifest.display(), Manifest::read(manifest)?);
        if !manifest.ignored_fields.is_empty() {
            let fields: Vec<&str> = manifest.ignored_fields.iter().map(String::as_str).collect();
            complain(format_args!("{name}: ignored fields: {}", fields.join(", ")));
        }
        let second_look = if self.likely_second_looks { SecondLook::WhenLikely } else { SecondLook::Always };
        let scratch = Scratch::new()?;
        let (json, max_false_hit) = (settings.json, settings.max_false_hit);
        let engine = settings.without_upstream(&scratch.join("home")).engine(true)?;
        let evaluation = evaluate(&engine, manifest, second_look, &Terminal::new())?;
        for bad in &evaluation.bad_lines {
            complain(format_args!("{bad}"));
        }
        let summary = Summary::of(&evaluation, max_false_hit);
        let mut out = stdout();
        if json {
            let mut value = serde_json::to_value(&summary)?;
            value["id"] = json!(null);
            writeln!(out, "{value}")?;
        } else {
            print(&mut out, &summary)?;
        }
        if let Some(path) = &self.html {
            write_html(path, &evaluation, &summary)?;
        }
        let kept = match (max_false_hit, summary.all.false_hit_rate) {
            (Some(most), Some(rate)) => rate <= most,
            _ => true,
        };
        if !evaluation.bad_lines.is_empty() {
            return Ok(ExitCode::from(FAILED));
        }
        Ok(found(kept))
    }
}

/// Refuses a report over what cannot be made again, and over the manifest that it is about.
fn refuse_report(html: &Path, manifest: &Path) -> Result<()> {
    if html.canonicalize().is_ok_and(|html| manifest.canonicalize().is_ok_and(|manifest| html == manifest)) {
        bail!("{} is the manifest, which is not written over: name another file", line(html.display()));
    }
    refuse_other(html, report::HTML)
}

fn print(out: &mut impl Write, summary: &Summary) -> std::io::Result<()> {
    let all = &summary.all;
    writeln!(out, "model            {}", field(&summary.model))?;
    writeln!(
        out,
        "stored           {} pictures, {:.1} a second",
        summary.references, summary.stored_per_second
    )?;
    writeln!(
        out,
        "searched         {} pictures ({} of a stored item, {} of none), {:.1} a second",
        summary.queries, all.seen, all.unseen, summary.searched_per_second
    )?;
    if !summary.bad_lines.is_empty() {
        writeln!(out, "did not count    {} lines", summary.bad_lines.len())?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "hit rate         {:>8}   of the seen, at the engine's {:.4}",
        percent(all.hit_rate),
        summary.threshold
    )?;
    writeln!(out, "wrong item       {:>8}   of the seen", percent(all.wrong_item_rate))?;
    writeln!(
        out,
        "false hits       {:>8}   of the unseen (95 % upper bound {})",
        percent(all.false_hit_rate),
        percent(all.false_hit_upper)
    )?;
    writeln!(out, "review           {:>8}   of all", percent(all.review_rate))?;
    writeln!(out, "right item first {:>8}   of the seen", percent(all.acc_at_1))?;
    writeln!(out, "micro-AP         {:>8}", number(all.micro_ap))?;
    for at in &all.recall_at_precision {
        writeln!(out, "recall at precision {:<6} {:>8}", at.precision, percent(at.recall))?;
    }
    for table in summary.tables() {
        write!(out, "\n{table}")?;
    }
    Ok(())
}
