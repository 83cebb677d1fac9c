//! `tongkuan forget`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::output::{BatchOutput, complain_about};
use super::picture::Pictures;
use super::settings::Settings;
use super::told::Named;
use super::{FAILED, advice};
use crate::engine::{Engine, EngineError};
use crate::photo_id::PhotoId;

const DAY: Duration = Duration::from_hours(24);

/// Photos to remove with everything that is stored about them: answers, digests, embedding, place in the queue. What was
/// spent stays in the books.
#[derive(Args, Debug)]
pub(super) struct Forget {
    /// Numbers that `search` prints as matched photo, or pictures: files (write ./17 for a file of that name), addresses,
    /// or - for standard input
    #[arg(value_name = "PHOTO_ID|FILE|URL|-", value_parser = super::any_path(), required_unless_present = "older_than")]
    photos: Vec<PathBuf>,
    /// All pictures of searches, and of `check --add`, that were stored, and last answered by an upstream, longer ago; own
    /// goods and pictures of offers stay
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
}

impl Forget {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let engine = settings.existing_engine(false)?;
        let pictures = Pictures::new(settings)?;
        let named: Vec<_> =
            self.photos.iter().map(|named| (named, photo_of(&engine, &pictures, named))).collect();
        let found: Vec<PhotoId> =
            named.iter().filter_map(|(_, photo)| photo.as_ref().ok().copied()).collect();
        engine.forget(&found)?;
        let old = match self.older_than {
            Some(days) => engine.forget_older_than(DAY * days)?.photo_ids,
            None => Vec::new(),
        };
        // They are gone: the index is told, whether the output can be written or not.
        let out = BatchOutput::default();
        let tell = |id: Value, photo_id: PhotoId| {
            if settings.json {
                out.line(json!({"id": id, "forgotten": photo_id}));
            } else {
                out.line(format_args!("forgotten: photo {photo_id}"));
            }
        };
        let mut missing = false;
        for (named, photo) in named {
            let id = named.display().to_string();
            match photo {
                Ok(photo_id) => tell(json!(id), photo_id),
                Err(error) => {
                    missing = true;
                    complain_about(&id, advice::explained(error.as_ref()));
                    if settings.json {
                        out.line(advice::json_of(&id, error.as_ref()));
                    }
                }
            }
        }
        for photo_id in old {
            tell(json!(photo_id), photo_id);
        }
        engine.settle_index()?;
        out.finish()?;
        Ok(if missing { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }
}

fn photo_of(engine: &Engine, pictures: &Pictures, named: &Path) -> Result<PhotoId> {
    match Named::parse(named, pictures)? {
        Named::Photo(photo_id) if engine.catalog().photo(photo_id)?.is_none() => {
            Err(EngineError::NoSuchPhoto { photo_id }.into())
        }
        Named::Photo(photo_id) => Ok(photo_id),
        Named::File { bytes, .. } => {
            engine.photo_of(&bytes)?.context("not stored: neither these bytes nor these pixels")
        }
    }
}
