//! `tongkuan offers`, `show` and `stats`: what is stored.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::output::stdout;
use super::picture::{self, Pictures};
use super::settings::Settings;
use super::{found, show};
use crate::engine::Engine;
use crate::photo_id::PhotoId;
use crate::printable::field;
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
        let Verdict::Hit(matched) = engine.recognise(&bytes)? else {
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
    photo_id: i64,
}

impl Show {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        print_photo(
            settings,
            &settings.existing_engine(false)?,
            PhotoId(self.photo_id),
            &json!(self.photo_id),
        )
    }
}

/// `id` is what the photo was named by.
fn print_photo(settings: &Settings, engine: &Engine, photo_id: PhotoId, id: &Value) -> Result<ExitCode> {
    let Some(photo) = engine.catalog().photo(photo_id)? else {
        bail!("there is no photo {} in {}", photo_id.0, engine.home().display());
    };
    let answers = engine.catalog().answers(photo_id)?;
    let told = engine.catalog().told_of(photo_id)?;
    let mut goods = Vec::new();
    for good in answers.iter().filter(|answer| answer.is_own()).flat_map(|answer| &answer.offers) {
        goods.push((&good.offer_id, engine.catalog().photos_of_own(&good.offer_id)?));
    }
    let mut out = stdout();
    if settings.json {
        let goods: Vec<_> =
            goods.iter().map(|(id, photos)| json!({"offer_id": id, "photo_ids": photos})).collect();
        let shown = json!({"id": id, "matched": photo, "answers": answers, "told": told, "own_goods": goods});
        writeln!(out, "{shown}")?;
        return Ok(found(true));
    }
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
        writeln!(out, "  {word} photo {}, somebody said {}", pair.other, pair.told_at)?;
    }
    for answer in &answers {
        writeln!(out, "{} [{}] {}", field(&answer.profile), field(&answer.params), answer.fetched_at)?;
        show::offers(&mut out, &answer.offers)?;
    }
    for (offer_id, photos) in goods.iter().filter(|(_, photos)| photos.len() > 1) {
        let others: Vec<String> =
            photos.iter().filter(|id| **id != photo_id).map(ToString::to_string).collect();
        writeln!(out, "{offer_id} is also on photo {}", others.join(", "))?;
    }
    Ok(found(true))
}

pub(super) fn stats(settings: &Settings) -> Result<ExitCode> {
    let engine = settings.existing_engine(false)?;
    let counts = engine.catalog().counts()?;
    let model = engine.catalog().stored_model()?.map(|m| m.to_string());
    let mut out = stdout();
    if settings.json {
        writeln!(out, "{}", json!({"home": engine.home(), "counts": counts, "model": model}))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "home      {}", field(engine.home().display()))?;
    writeln!(out, "photos    {} ({} of {} own goods)", counts.photos, counts.own_photos, counts.own_goods)?;
    writeln!(out, "answers   {}", counts.answers)?;
    writeln!(out, "offers    {}", counts.offers)?;
    writeln!(out, "file      {} KB", counts.file_bytes / 1000)?;
    writeln!(out, "model     {}", field(model.unwrap_or_default()))?;
    Ok(ExitCode::SUCCESS)
}
