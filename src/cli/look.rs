//! `tongkuan offers`, `show` and `stats`: what is stored.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::picture::{self, Pictures};
use super::settings::Settings;
use super::{found, show};
use crate::photo_id::PhotoId;
use crate::verdict::Verdict;

#[derive(Args, Debug)]
pub(super) struct Offers {
    /// A picture, its address, or - for standard input
    #[arg(value_name = picture::VALUE_NAME)]
    picture: PathBuf,
}

impl Offers {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.engine(true)?;
        let bytes = Pictures::new(settings)?.open(&self.picture)?.bytes;
        let Verdict::Hit(matched) = engine.recognise(&bytes)? else {
            if settings.json {
                println!("{}", json!({"matched": null, "answers": []}));
            } else {
                println!("{}: not seen before", self.picture.display());
            }
            return Ok(found(false));
        };
        print_photo(settings, &engine, matched.photo_id)
    }
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The number that `search` prints as matched photo
    photo_id: i64,
}

impl Show {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        print_photo(settings, &settings.engine(false)?, PhotoId(self.photo_id))
    }
}

fn print_photo(settings: &Settings, engine: &crate::engine::Engine, photo_id: PhotoId) -> Result<ExitCode> {
    let Some(photo) = engine.catalog().photo(photo_id)? else {
        bail!("there is no photo {} in {}", photo_id.0, engine.home().display());
    };
    let answers = engine.catalog().answers(photo_id)?;
    let told = engine.catalog().told_of(photo_id)?;
    let mut out = std::io::stdout().lock();
    if settings.json {
        writeln!(out, "{}", json!({"matched": photo, "answers": answers, "told": told}))?;
        return Ok(found(true));
    }
    writeln!(
        out,
        "photo {}: {} ({}x{} {}, stored {})",
        photo.photo_id.0, photo.label, photo.width_px, photo.height_px, photo.format, photo.added_at
    )?;
    for pair in &told {
        let word = if pair.same { "the same as" } else { "not the same as" };
        writeln!(out, "  {word} photo {}, somebody said {}", pair.other, pair.told_at)?;
    }
    for answer in &answers {
        writeln!(out, "{} [{}] {}", answer.profile, answer.params, answer.fetched_at)?;
        show::offers(&mut out, &answer.offers)?;
    }
    Ok(found(true))
}

pub(super) fn stats(settings: &Settings) -> Result<ExitCode> {
    let engine = settings.engine(false)?;
    let counts = engine.catalog().counts()?;
    let model = engine.catalog().stored_model()?.map(|m| m.to_string());
    let mut out = std::io::stdout().lock();
    if settings.json {
        writeln!(out, "{}", json!({"home": engine.home(), "counts": counts, "model": model}))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "home      {}", engine.home().display())?;
    writeln!(out, "photos    {} ({} of own goods)", counts.photos, counts.own_photos)?;
    writeln!(out, "answers   {}", counts.answers)?;
    writeln!(out, "offers    {}", counts.offers)?;
    writeln!(out, "file      {} KB", counts.file_bytes / 1000)?;
    writeln!(out, "model     {}", model.unwrap_or_default())?;
    Ok(ExitCode::SUCCESS)
}
