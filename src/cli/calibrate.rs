//! `tongkuan calibrate`: how sure must the engine be, on pictures like the user's own?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::FAILED;
use super::output::{complain, stdout};
use super::picture;
use super::scratch::Scratch;
use super::settings::{Settings, open_store};
use super::show::{self, Terminal};
use crate::calibration::{DEFAULT_MAX_FALSE_HIT, TooFewPairs};
use crate::engine::SecondLook;
use crate::eval::{Evaluation, MakeOptions, Manifest, Recolours, best_calibration, evaluate, make};
use crate::home::Home;
use crate::printable::field;
use crate::store::Store;

const NOT_KEPT: &str = "the calibration that was printed is not in use, as it could not be kept";

/// So many of the pairs that the engine was surest of are shown.
const SHOWN: usize = 5;

/// Set the threshold between hit and review for pictures like yours: half of a folder's pictures are stored in a temporary
/// home folder, edits of all and recoloured goods are searched for, and the lowest confidence is chosen that keeps false
/// hits within --max-false-hit. The home folder is only written to at the end, so an interrupted run changes nothing.
/// Exit status: 2 if a picture could not be read; the others count all the same. Without a folder: print what is in use.
#[derive(Args, Debug)]
pub(super) struct Calibrate {
    /// Pictures of different goods; labels.ndjson in it may say which show the same (see `eval --make`)
    folder: Option<PathBuf>,
    /// Go back to the calibration that travels with the program
    #[arg(long, conflicts_with = "folder")]
    reset: bool,
    /// The same pictures and seed make the same calibration
    #[arg(long, value_name = "N", default_value_t = 7, requires = "folder")]
    seed: u64,
    /// Use at most this many pictures of the folder
    #[arg(long, value_name = "N", requires = "folder", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl Calibrate {
    pub(super) fn run(&self, settings: Settings) -> Result<ExitCode> {
        if let Some(folder) = &self.folder {
            return self.calibrate(settings, folder);
        }
        settings.require_home()?;
        if self.reset {
            writable(open_store(&settings.home)?, &settings.home)?.keep_calibration(None)?;
        }
        let engine = settings.engine(false)?;
        let (point, on) = (engine.operating_point()?, engine.calibrated_on());
        if settings.json {
            writeln!(
                stdout(),
                "{}",
                json!({"id": null, "threshold": point.confidence, "max_false_hit": point.max_false_hit,
                    "bounds": point.bounds, "calibrated_on": on})
            )?;
        } else {
            let promised = show::promised(point.bounds, point.max_false_hit);
            writeln!(stdout(), "hits from confidence {:.4} on: {promised} ({on})", point.confidence)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn calibrate(&self, settings: Settings, folder: &Path) -> Result<ExitCode> {
        let asked = settings.max_false_hit.unwrap_or(DEFAULT_MAX_FALSE_HIT);
        let json = settings.json;
        let home = settings.home.clone();
        // A home that is there must open before an hour is spent; a new one is made once there is something to keep.
        let store = if settings.has_home()? { Some(writable(open_store(&home)?, &home)?) } else { None };
        let terminal = Terminal::new();
        let scratch = Scratch::new()?;
        let found = picture::labelled_folder(folder)?;
        let pictures = found.paths();
        let limit = self.limit.map(|limit| limit as usize);
        let options = MakeOptions { seed: self.seed, limit, recolours: Recolours::All };
        let named = pictures.len().min(limit.unwrap_or(usize::MAX));
        let stored = || store.as_ref().map_or(Ok(0), |store| store.photo_count());
        let engine = settings.on_its_own(&scratch.join("home")).engine(true)?;
        let model = engine.model().clone();
        // An hour is not spent on what cannot be promised however it goes.
        let best = best_calibration(folder, &pictures, options, &model, asked)?;
        if let Err(refused) = best.operating_point(asked, stored()?) {
            return Err(too_few(refused, named, "at least"));
        }
        let made = make(folder, &pictures, &scratch.join("set"), options, &terminal)?;
        for error in &made.unreadable {
            complain(format_args!("{error}"));
        }
        let usable = named - made.unreadable.len();
        let all_were_read = made.unreadable.is_empty() && found.unreadable.is_empty();
        let status = if all_were_read { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
        let evaluation = evaluate(&engine, Manifest::read(&made.manifest)?, SecondLook::Always, &terminal)?;
        let calibration = evaluation.calibration(&model, asked, |_| true);
        let point = match calibration.operating_point(asked, stored()?) {
            Ok(point) => point,
            Err(refused) => return Err(too_few(refused, usable, "about")),
        };
        let keep = || match store {
            Some(store) => Ok(store.keep_calibration(Some(&calibration))?),
            None => Ok(open_store(&home)?.keep_calibration(Some(&calibration))?),
        };
        // What an hour was spent on is printed, whatever becomes of it.
        let kept: Result<()> = keep();
        let answered = evaluation.answered_at(point.confidence);
        let mut out = stdout();
        if json {
            let report = json!({"id": null, "threshold": point.confidence, "max_false_hit": asked, "seed": self.seed,
                "pictures": usable, "pairs": calibration.pairs(), "answered": answered, "kept": kept.is_ok(),
                "unseen": calibration.unseen.queries, "look_alikes": calibration.look_alikes.queries,
                "model": evaluation.model});
            writeln!(out, "{report}")?;
            kept.context(NOT_KEPT)?;
            return Ok(status);
        }
        writeln!(
            out,
            "hits from confidence {:.4} on: at most {:.2} % false hits, on {} pairs of {} pictures",
            point.confidence,
            asked * 100.0,
            calibration.pairs(),
            usable
        )?;
        if let Some(answered) = answered {
            writeln!(
                out,
                "edited copies of stored pictures that are answered there: {:.1} %",
                answered * 100.0
            )?;
        }
        nearest_mistakes(&mut out, &evaluation)?;
        kept.context(NOT_KEPT)?;
        Ok(status)
    }
}

/// The store, unless nothing can be kept in it.
fn writable(store: Arc<dyn Store>, home: &Home) -> Result<Arc<dyn Store>> {
    if store.is_read_only() {
        bail!(
            "no calibration can be kept in {home}, which cannot be written: it is read-only, another user's, or on a full disk; \
             --home names another"
        );
    }
    Ok(store)
}

/// Two pictures of one good that are not labelled as such look like the worst mistake: the user should know of them.
fn nearest_mistakes(out: &mut impl Write, evaluation: &Evaluation) -> Result<()> {
    let pairs = evaluation.surest_unseen(SHOWN);
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(out, "taken for another picture soonest (if both show one item, say so in labels.ndjson):")?;
    for (confidence, query, stored) in pairs {
        writeln!(out, "  {confidence:.4}  {}  {}", field(query), field(stored))?;
    }
    Ok(())
}

/// The refusal, with how many pictures would do.
fn too_few(refused: TooFewPairs, pictures: usize, how_sure: &str) -> anyhow::Error {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let needed = (pictures as f64 * refused.times).ceil() as usize;
    if pictures == 0 {
        return anyhow::anyhow!("the folder has no picture that can be used for it. Nothing was changed");
    }
    anyhow::anyhow!(
        "{refused}. The folder has {pictures} pictures for it; {how_sure} {needed} like them are needed. Nothing was changed"
    )
}
