//! `tongkuan same` and `not-same`: what a person says of two pictures outranks every score.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::found;
use super::output::stdout;
use super::picture::{Picture, Pictures};
use super::settings::Settings;
use crate::engine::{PhotoRef, Sameness};
use crate::photo::{Photo, PhotoLimits};
use crate::photo_id::PhotoId;
use crate::printable::line;

/// Two pictures: numbers of stored photos, as `search` prints them, files, addresses, or - for standard input. A file that
/// is not stored is stored. A file whose name is a number is named with its folder (./17).
#[derive(Args, Debug)]
pub(super) struct Told {
    #[arg(value_name = "PHOTO|FILE|URL|-")]
    one: PathBuf,
    #[arg(value_name = "PHOTO|FILE|URL|-")]
    other: PathBuf,
    /// Take back whatever was said of the two
    #[arg(long)]
    forget: bool,
}

/// A picture as it was named on the command line.
pub(super) enum Named {
    Photo(PhotoId),
    File { bytes: Vec<u8>, label: String },
}

impl Named {
    /// A number is that of a photo, anything else a picture, which is read.
    pub(super) fn parse(path: &Path, pictures: &Pictures) -> Result<Self> {
        if let Some(number) = path.to_str().and_then(|text| text.parse().ok()) {
            return Ok(Self::Photo(PhotoId(number)));
        }
        let Picture { bytes, label, .. } = pictures.open(path)?;
        Ok(Self::File { bytes, label })
    }

    fn photo_ref(&self) -> PhotoRef<'_> {
        match self {
            Self::Photo(photo_id) => PhotoRef::Photo(*photo_id),
            Self::File { bytes, label } => PhotoRef::File { bytes, label },
        }
    }
}

/// Reads one of the two. An error names it, and comes before anything is stored of the other.
fn read(path: &Path, pictures: &Pictures) -> Result<Named> {
    let read = || -> Result<Named> {
        let named = Named::parse(path, pictures)?;
        if let Named::File { bytes, .. } = &named {
            // The engine would not say which of the two it is.
            Photo::decode(bytes, &PhotoLimits::default())?;
        }
        Ok(named)
    };
    read().map_err(|error| {
        let name = if path == Path::new("-") { Path::new("standard input") } else { path };
        let name = line(name.display()).to_string();
        if format!("{error:#}").contains(&name) { error } else { error.context(name) }
    })
}

impl Told {
    pub(super) fn run(&self, settings: &Settings, same: bool) -> Result<ExitCode> {
        let pictures = Pictures::new(settings)?;
        let (one, other) = (read(&self.one, &pictures)?, read(&self.other, &pictures)?);
        // Two files may be the first pictures of a new home; a number, or something to take back, is of an old one.
        let is_new = !self.forget && [&one, &other].iter().all(|named| matches!(named, Named::File { .. }));
        let engine = if is_new { settings.engine(true)? } else { settings.existing_engine(true)? };
        if self.forget {
            let forgotten = engine.forget_told(one.photo_ref(), other.photo_ref())?;
            if settings.json {
                writeln!(stdout(), "{}", json!({"id": null, "forgotten": forgotten}))?;
            } else if forgotten {
                writeln!(stdout(), "forgotten")?;
            } else {
                bail!("nothing was said of these two");
            }
            return Ok(found(forgotten));
        }
        let sameness = if same { Sameness::Same } else { Sameness::Different };
        let told = engine.tell(one.photo_ref(), other.photo_ref(), sameness)?;
        if settings.json {
            let mut value = serde_json::to_value(&told)?;
            value["id"] = json!(null);
            writeln!(stdout(), "{value}")?;
            return Ok(ExitCode::SUCCESS);
        }
        let [a, b] = told.photos;
        writeln!(
            stdout(),
            "photo {a} and photo {b} are {}the same: remembered",
            if same { "" } else { "not " }
        )?;
        for photo in told.stored {
            writeln!(stdout(), "  photo {photo} is new: it was not stored before")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
