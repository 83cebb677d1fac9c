//! `tongkuan reembed`: vectors of another model, and sketches that are missing, for what is stored.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::picture::paths_in;
use super::settings::Settings;
use super::{FAILED, found};
use crate::engine::{Originals, Reembedded, Refilled};

/// Embed the stored pictures anew with the model of this program (or --model), and make the sketches that are missing.
/// The home folder keeps no originals: they are looked for in folders, by their bytes or pixels, and fetched again.
/// Searches with the old model go on until all vectors are there; interrupted, it is taken up again by the same command.
#[derive(Args, Debug)]
pub(super) struct Reembed {
    /// A folder with originals; may be given several times
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Fetch the pictures of offers again from their addresses
    #[arg(long, conflicts_with = "offline")]
    fetch: bool,
    /// Go over to the new model even if originals are missing: those are then recognised by their bytes and pixels only
    #[arg(long)]
    leave_the_rest: bool,
}

impl Reembed {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        if self.from.is_empty() && !self.fetch && !self.leave_the_rest {
            bail!("name a folder with the originals (--from DIR), or --fetch");
        }
        let files = paths_in(&self.from)?;
        let fetcher = if self.fetch { Some(settings.fetcher()?) } else { None };
        let originals = Originals { files, fetcher: fetcher.as_ref(), leave_the_rest: self.leave_the_rest };
        let done = settings.builder(true)?.reembed(&originals, &|refilled| tell(settings, refilled))?;
        if settings.json {
            println!("{}", serde_json::to_string(&done)?);
        } else {
            print(&done);
        }
        Ok(if done.failed > 0 { ExitCode::from(FAILED) } else { found(done.done) })
    }
}

fn tell(settings: &Settings, refilled: &Refilled) {
    match &refilled.result {
        Err(error) => eprintln!("tongkuan: {}: {error}", refilled.original),
        Ok(Some((photo_id, _))) if settings.json => {
            println!("{}", json!({"id": refilled.original, "photo_id": photo_id}));
        }
        Ok(_) => {}
    }
}

fn print(done: &Reembedded) {
    println!("{} embedded, {} sketched, {} failed", done.embedded, done.sketched, done.failed);
    if done.without_sketch > 0 {
        println!("{} photos have no sketch: they are judged by their vectors alone", done.without_sketch);
    }
    match (done.done, done.without_vector) {
        (true, 0) => println!("the home belongs to {}", done.model),
        (true, rest) => println!(
            "the home belongs to {}; {rest} photos have no vector: they are known by their bytes and pixels only",
            done.model
        ),
        (false, rest) => println!(
            "{rest} photos have no vector of {} yet, so the home stays as it is: name more folders (--from), or go over \
             without them (--leave-the-rest)",
            done.model
        ),
    }
}
