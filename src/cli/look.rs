//! `tongkuan offers`, `show` and `stats`: what is stored.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use serde_json::{Value, json};

use super::output::{complain, is_output_error, refuse_other, report, stdout, write_report};
use super::picture::{self, Pictures};
use super::settings::Settings;
use super::{FAILED, advice, found, show};
use crate::doors;
use crate::engine::{Engine, EngineError};
use crate::photo_id::PhotoId;
use crate::plot;
use crate::printable::{field, line};
use crate::verdict::Verdict;

#[derive(Args, Debug)]
pub(super) struct Offers {
    /// A picture, its address, or - for standard input
    #[arg(value_name = picture::VALUE_NAME)]
    picture: PathBuf,
}

impl Offers {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.existing_engine(true)?;
        let bytes = Pictures::new(settings)?.open(&self.picture)?.bytes;
        let id = json!(self.picture.display().to_string());
        let Verdict::Hit(matched) =
            engine.recognise(&bytes).with_context(|| line(self.picture.display()).to_string())?
        else {
            if settings.json {
                writeln!(stdout(), "{}", json!({"id": id, "matched": null, "answers": []}))?;
            } else {
                writeln!(stdout(), "{}: not seen before", field(self.picture.display()))?;
            }
            return Ok(found(false));
        };
        print_photo(settings, &engine, matched.photo_id, &id)
    }
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The number that `search` prints as matched photo
    photo_id: String,
}

impl Show {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let Ok(number) = self.photo_id.parse() else {
            let problem = "is no photo's number, as `search` prints it for what it has matched; `tongkuan offers` takes pictures";
            let error = anyhow!("{} {problem}", self.photo_id);
            return fail(settings, &json!(self.photo_id), error);
        };
        let engine = settings.existing_engine(false)?;
        print_photo(settings, &engine, PhotoId(number), &json!(number))
            .or_else(|error| fail(settings, &json!(number), error))
    }
}

/// Tells `error` of what was named, here and not at the end of the command.
pub(super) fn fail(settings: &Settings, id: &Value, error: anyhow::Error) -> Result<ExitCode> {
    if is_output_error(&error) {
        return Err(error);
    }
    if settings.json {
        // What stopped the command matters more than that it could not be printed here.
        let _ = writeln!(stdout(), "{}", advice::json_of(id, error.as_ref()));
    }
    complain(advice::explained(error.as_ref()));
    Ok(ExitCode::from(FAILED))
}

/// `id` is what the photo was named by.
fn print_photo(settings: &Settings, engine: &Engine, photo_id: PhotoId, id: &Value) -> Result<ExitCode> {
    let missing = || EngineError::NoSuchPhoto { photo_id };
    if settings.json {
        let mut shown = doors::photo(engine, photo_id)?.ok_or_else(missing)?;
        shown["id"] = id.clone();
        writeln!(stdout(), "{shown}")?;
        return Ok(found(true));
    }
    let photo = engine.catalog().photo(photo_id)?.ok_or_else(missing)?;
    let answers = engine.catalog().answers(photo_id)?;
    let told = engine.catalog().told_of(photo_id)?;
    let mut goods = Vec::new();
    for good in answers.iter().filter(|answer| answer.is_own()).flat_map(|answer| &answer.offers) {
        goods.push((&good.offer_id, engine.catalog().photos_of_own(&good.offer_id)?));
    }
    let mut out = stdout();
    writeln!(
        out,
        "photo {}: {} ({}x{} {}, stored {})",
        photo.photo_id.0,
        field(&photo.label),
        photo.width_px,
        photo.height_px,
        photo.format,
        photo.added_at
    )?;
    for pair in &told {
        let word = if pair.same { "the same as" } else { "not the same as" };
        writeln!(out, "  {word} photo {}, told {}", pair.other, pair.told_at)?;
    }
    for answer in &answers {
        writeln!(out, "{} {}", show::answered(&answer.profile, &answer.params), answer.fetched_at)?;
        show::offers(&mut out, &answer.offers)?;
    }
    for (offer_id, photos) in goods.iter().filter(|(_, photos)| photos.len() > 1) {
        let others: Vec<String> =
            photos.iter().filter(|id| **id != photo_id).map(ToString::to_string).collect();
        writeln!(out, "{offer_id} is also on photo {}", others.join(", "))?;
    }
    Ok(found(true))
}

/// Pictures whose nearest others are drawn: some seconds of work.
const SAMPLED: usize = 2000;

#[derive(Args, Debug)]
pub(super) struct Stats {
    /// Draw it: how near the stored pictures lie to each other, with the threshold in it, calls and calls saved, and growth
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl Stats {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        self.plot.as_deref().map_or(Ok(()), |path| refuse_other(path, report::SVG))?;
        let engine = settings.existing_engine(false)?;
        if let Some(path) = &self.plot {
            write_report(path, report::SVG, &plots(&engine)?)?;
        }
        stats(settings, &engine)
    }
}

/// The home as a picture.
fn plots(engine: &Engine) -> Result<String> {
    let sample = engine.sample_corpus(SAMPLED)?;
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let days = engine.catalog().by_day()?;
    let names: Vec<String> = days.iter().map(|day| day.day.clone()).collect();
    let mut total = 0;
    let grown = days.iter().map(|day| {
        total += day.photos;
        total
    });
    Ok(plot::document(&[
        plot::histogram(
            "How sure the verifier is of the nearest other picture",
            &wide(&sample.confidences),
            (0.0, 1.0),
            40,
            Some((f64::from(sample.threshold), "threshold")),
        ),
        plot::histogram(
            "Similarity of the nearest other picture",
            &wide(&sample.similarities),
            (0.0, 1.0),
            40,
            None,
        ),
        plot::over_time(
            "Upstream calls a day, and answers without one",
            &names,
            &[
                ("answered without a call", days.iter().map(|day| day.saved).collect()),
                ("calls", days.iter().map(|day| day.calls).collect()),
            ],
        ),
        plot::over_time("Stored pictures", &names, &[("pictures", grown.collect())]),
    ]))
}

fn stats(settings: &Settings, engine: &Engine) -> Result<ExitCode> {
    let mut out = stdout();
    if settings.json {
        let mut value = doors::stats(engine)?;
        value["id"] = json!(null);
        writeln!(out, "{value}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let counts = engine.catalog().counts()?;
    let model = engine.catalog().stored_model()?.map(|m| m.to_string());
    writeln!(out, "home      {}", field(engine.home()))?;
    writeln!(out, "photos    {} ({} of {} own goods)", counts.photos, counts.own_photos, counts.own_goods)?;
    writeln!(out, "answers   {}", counts.answers)?;
    writeln!(out, "offers    {}", counts.offers)?;
    writeln!(out, "file      {} KB", counts.file_bytes / 1000)?;
    writeln!(out, "model     {}", field(model.unwrap_or_default()))?;
    Ok(ExitCode::SUCCESS)
}
