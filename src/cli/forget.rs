//! `tongkuan forget` and `similar`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::FAILED;
use super::settings::Settings;
use super::told::Named;
use crate::catalog::{PhotoFilter, PhotoKind};
use crate::clock::{Clock, SystemClock};
use crate::engine::Engine;
use crate::photo::{PhotoLimits, read_bytes};
use crate::photo_id::PhotoId;

const DAY: Duration = Duration::from_hours(24);

/// Photos to remove with everything that is stored about them: answers, digests, embedding, place in the queue. What was
/// spent stays in the books.
#[derive(Args, Debug)]
pub(super) struct Forget {
    /// Numbers that `search` prints as matched photo, or picture files (write ./17 for a file of that name)
    #[arg(value_name = "PHOTO_ID|FILE", required_unless_present = "older_than")]
    photos: Vec<PathBuf>,
    /// All pictures of searches that were stored, and last answered by an upstream, longer ago; own goods and pictures of
    /// offers stay
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
}

impl Forget {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.engine(false)?;
        let (mut found, mut missing) = (Vec::new(), false);
        for named in &self.photos {
            match photo_of(&engine, named) {
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

fn photo_of(engine: &Engine, named: &Path) -> Result<PhotoId> {
    match Named::parse(named)? {
        Named::Photo(photo_id) if engine.catalog().photo(photo_id)?.is_none() => {
            bail!("there is no photo {photo_id} in {}", engine.home().display())
        }
        Named::Photo(photo_id) => Ok(photo_id),
        Named::File { bytes, .. } => {
            engine.photo_of(&bytes)?.context("not stored: neither these bytes nor these pixels")
        }
    }
}

/// Which stored pictures look most like this one? No verdict, no upstream: for a look of one's own.
#[derive(Args, Debug)]
pub(super) struct SimilarCommand {
    picture: PathBuf,
    /// Pictures printed at the most
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10)]
    count: usize,
    /// Only pictures of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only pictures stored in the last so many days
    #[arg(long, value_name = "DAYS")]
    newer_than: Option<u32>,
    /// Only pictures stored longer ago
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Only pictures that this upstream has answered
    #[arg(long, value_name = "PROFILE")]
    answered_by: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Somebody searched with it
    Query,
    /// Of an own good
    Own,
    /// Of an offer, and nobody has searched with it
    Offer,
}

impl SimilarCommand {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.engine(true)?;
        let bytes = read_bytes(&self.picture, &PhotoLimits::default())?;
        let ago = |days: u32| SystemClock.now().minus(DAY * days);
        let filter = PhotoFilter {
            kind: self.kind.map(|kind| match kind {
                Kind::Query => PhotoKind::Query,
                Kind::Own => PhotoKind::Own,
                Kind::Offer => PhotoKind::Offer,
            }),
            added_since: self.newer_than.map(ago),
            added_before: self.older_than.map(ago),
            profile: self.answered_by.clone(),
        };
        let similar = engine.similar(&bytes, self.count, &filter)?;
        let mut out = std::io::stdout().lock();
        if settings.json {
            writeln!(out, "{}", json!({"similar": similar}))?;
        } else {
            for it in &similar {
                writeln!(out, "{:>3}  photo {:<8} {}", it.similarity, it.photo_id.0, it.label)?;
            }
        }
        Ok(super::found(!similar.is_empty()))
    }
}
