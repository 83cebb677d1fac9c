//! The storing half of `tongkuan add`: a stream of goods in, a line for each out, in their order and once it is on disk.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde_json::json;

use super::interrupt::{INTERRUPTED, until_interrupt};
use super::output::{BatchOutput, complain, complain_about};
use super::settings::Settings;
use super::show::Terminal;
use super::{FAILED, advice};
use crate::engine::{Added, BatchEnd, Engine, OwnGood, Progress};
use crate::input::{Skipped, skipped_text};

/// Reads a picture's file when its turn comes.
pub(super) type Read = Box<dyn FnOnce() -> Result<Vec<u8>> + Send>;

/// What is printed of a good.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: String,
    /// Where it was named, as `goods.csv:3`.
    pub(super) at: String,
    /// The id was made of the file's name: another picture of the same good is worth a note.
    pub(super) is_named_by_file: bool,
}

/// A good or why it cannot be one.
pub(super) type Task = (Place, Result<OwnGood<Read>>);

/// Files of folders and archives that are no goods.
pub(super) type SkippedFiles = Vec<(String, Skipped)>;

/// Stores goods and tells of each. `total`: how many there will be at least, where that is known. `skipped` is complete once
/// the goods are.
pub(super) fn store_goods(
    settings: &Settings,
    engine: &Engine,
    tasks: impl IntoIterator<Item = Task, IntoIter: Send + 'static>,
    total: Option<usize>,
    skipped: &Mutex<SkippedFiles>,
) -> Result<ExitCode> {
    let interrupt = until_interrupt()?;
    let (terminal, out) = (Terminal::new(), BatchOutput::default());
    let [mut new, mut known, mut failed] = [0_u64; 3];
    let mut done = 0;
    let end = engine.add_all(tasks, &interrupt, &mut |place: Place, result: Result<Added>| {
        let Place { id, at, is_named_by_file } = place;
        let text = match &result {
            Ok(added) => {
                *(if added.is_new { &mut new } else { &mut known }) += 1;
                if is_named_by_file && added.photos > 1 {
                    complain(format_args!(
                        "{id}: the good has {} pictures by now: the file was another one before, or another folder has \
                         one of this path",
                        added.photos
                    ));
                }
                json!({"id": id, "photo_id": added.photo_id, "is_new": added.is_new, "photos": added.photos})
            }
            Err(error) => {
                failed += 1;
                let text = advice::explained(error.as_ref());
                if at == id {
                    complain_about(&id, &text);
                } else {
                    complain_about(&at, format_args!("{id}: {text}"));
                }
                json!({"id": id, "at": at, "error": text, "code": advice::code_of(error.as_ref())})
            }
        };
        if settings.json {
            // Where standard output is gone, the work is worth finishing all the same.
            out.line(text);
        }
        done += 1;
        terminal.step("adding", done, total.unwrap_or(done).max(done));
    });
    let skipped = std::mem::take(&mut *skipped.lock().unwrap_or_else(PoisonError::into_inner));
    if settings.json {
        for (name, kind) in &skipped {
            out.line(json!({"id": name, "skipped": kind.to_string()}));
        }
    }
    let skipped = skipped_text(&skipped).map_or(String::new(), |text| format!(", {text}"));
    let counts = format!("{new} added, {known} already there, {failed} failed{skipped}");
    let again = "run the same command again to go on; what is stored is not embedded twice";
    match end.with_context(|| format!("stopped: {counts}; {again}"))? {
        BatchEnd::Stopped => {
            complain(format_args!("interrupted: {counts}; {again}"));
            return Ok(ExitCode::from(INTERRUPTED));
        }
        BatchEnd::Done => {}
    }
    engine.settle_index()?;
    complain(counts);
    out.finish()?;
    Ok(if failed > 0 { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}
