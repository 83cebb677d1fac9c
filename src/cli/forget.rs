//! `tongkuan forget`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::FAILED;
use super::picture::Pictures;
use super::settings::Settings;
use super::told::Named;
use crate::engine::Engine;
use crate::photo_id::PhotoId;

const DAY: Duration = Duration::from_hours(24);

/// Photos to remove with everything that is stored about them: answers, digests, embedding, place in the queue. What was
/// spent stays in the books.
#[derive(Args, Debug)]
pub(super) struct Forget {
    /// Numbers that `search` prints as matched photo, or pictures: files (write ./17 for a file of that name), addresses,
    /// or - for standard input
    #[arg(value_name = "PHOTO_ID|FILE|URL|-", required_unless_present = "older_than")]
    photos: Vec<PathBuf>,
    /// All pictures of searches that were stored, and last answered by an upstream, longer ago; own goods and pictures of
    /// offers stay
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
}

impl Forget {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.engine(false)?;
        let pictures = Pictures::new(settings)?;
        let (mut found, mut missing) = (Vec::new(), false);
        for named in &self.photos {
            match photo_of(&engine, &pictures, named) {
                Ok(photo_id) => found.push(photo_id),
                Err(error) => {
                    missing = true;
                    eprintln!("tongkuan: {}: {error:#}", named.display());
                }
            }
        }
        let mut gone = engine.forget(&found)?.photo_ids;
        if let Some(days) = self.older_than {
            gone.extend(engine.forget_older_than(DAY * days)?.photo_ids);
        }
        let mut out = std::io::stdout().lock();
        for photo_id in &gone {
            if settings.json {
                writeln!(out, "{}", json!({"forgotten": photo_id}))?;
            } else {
                writeln!(out, "forgotten: photo {photo_id}")?;
            }
        }
        drop(out);
        engine.settle_index()?;
        Ok(if missing { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

fn photo_of(engine: &Engine, pictures: &Pictures, named: &Path) -> Result<PhotoId> {
    match Named::parse(named, pictures)? {
        Named::Photo(photo_id) if engine.catalog().photo(photo_id)?.is_none() => {
            bail!("there is no photo {photo_id} in {}", engine.home().display())
        }
        Named::Photo(photo_id) => Ok(photo_id),
        Named::File { bytes, .. } => {
            engine.photo_of(&bytes)?.context("not stored: neither these bytes nor these pixels")
        }
    }
}
