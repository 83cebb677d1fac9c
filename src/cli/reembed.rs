//! `tongkuan reembed`: vectors of another model, and sketches that are missing, for what is stored.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::interrupt::{told_interrupted, until_interrupt};
use super::output::{BatchOutput, complain_about, stdout};
use super::picture::paths_in;
use super::settings::Settings;
use super::{FAILED, found};
use crate::engine::{Originals, Reembedded, Refilled};

/// Embed the stored pictures anew with the model of this program (or --model), make the sketches that are missing, and
/// look again at pictures whose colour profile was passed over when they were stored (format 6 of the catalogue and older).
/// The home folder keeps no originals: they are looked for in folders, by their bytes or pixels, and fetched again.
/// Searches with the old model go on until all vectors are there; interrupted, it is taken up again by the same command.
#[derive(Args, Debug)]
pub(super) struct Reembed {
    /// A folder with originals; may be given several times
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Fetch the pictures of offers again from their addresses
    #[arg(long)]
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
        let fetcher = if self.fetch { Some(settings.fetcher(settings.network("--fetch")?)?) } else { None };
        settings.require_home()?;
        let files = paths_in(&self.from)?;
        let originals = Originals {
            files,
            fetcher: fetcher.as_ref().map(|fetcher| fetcher as _),
            leave_the_rest: self.leave_the_rest,
        };
        let out = BatchOutput::default();
        let tell = |refilled: &Refilled| tell(settings, &out, refilled);
        let done = settings.builder(true)?.reembed_unless(&until_interrupt()?, &originals, &tell)?;
        out.finish()?;
        if settings.json {
            let mut value = serde_json::to_value(&done)?;
            value["id"] = json!(null);
            writeln!(stdout(), "{value}")?;
        } else {
            print(&done)?;
        }
        if done.interrupted.is_some() {
            return Ok(told_interrupted("what is embedded is not embedded again"));
        }
        Ok(if done.failed > 0 { ExitCode::from(FAILED) } else { found(done.done) })
    }
}

fn tell(settings: &Settings, out: &BatchOutput, refilled: &Refilled) {
    let id = &refilled.original;
    match &refilled.result {
        Err(error) => {
            complain_about(id, error);
            if settings.json {
                out.line(json!({"id": id, "error": error.to_string(), "code": error.code()}));
            }
        }
        Ok(Some((photo_id, _))) if settings.json => out.line(json!({"id": id, "photo_id": photo_id})),
        Ok(_) => {}
    }
}

fn print(done: &Reembedded) -> std::io::Result<()> {
    writeln!(stdout(), "{} embedded, {} sketched, {} failed", done.embedded, done.sketched, done.failed)?;
    if done.recoloured > 0 {
        let recoloured = done.recoloured;
        writeln!(stdout(), "{recoloured} of them look different with the colour profile of their file")?;
    }
    if done.without_sketch > 0 {
        writeln!(
            stdout(),
            "{} photos have no sketch: they are judged by their vectors alone",
            done.without_sketch
        )?;
    }
    match (done.done, done.without_vector) {
        (true, 0) => writeln!(stdout(), "the home belongs to {}", done.model),
        (true, rest) => writeln!(
            stdout(),
            "the home belongs to {}; {rest} photos have no vector: they are known by their bytes and pixels only",
            done.model
        ),
        (false, rest) => writeln!(
            stdout(),
            "{rest} photos have no vector of {} yet, so the home stays as it is: name more folders (--from), or go over \
             without them (--leave-the-rest)",
            done.model
        ),
    }
}
