//! The storing half of `tongkuan add`: a stream of goods in, a line for each out, in their order and once it is on disk.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::FAILED;
use super::settings::Settings;
use super::show::Terminal;
use crate::engine::{Added, BatchEnd, Engine, OwnGood, Progress};

/// Reads a picture's file when its turn comes.
pub(super) type Read = Box<dyn FnOnce() -> Result<Vec<u8>> + Send>;

/// What is printed of a good, and the good or why it cannot be one.
pub(super) type Task = (String, Result<OwnGood<Read>>);

/// Exit status of a run that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Stores goods and tells of each. `total`: how many there will be, where that is known. `one_picture_each`: whether it is
/// worth a note when a good has another picture, too.
pub(super) fn store_goods(
    settings: &Settings,
    engine: &Engine,
    tasks: impl IntoIterator<Item = Task, IntoIter: Send + 'static>,
    total: Option<usize>,
    one_picture_each: bool,
) -> Result<ExitCode> {
    let stop = stop_on_interrupt()?;
    let terminal = Terminal::new();
    let [mut new, mut known, mut failed] = [0_u64; 3];
    let mut done = 0;
    let end = engine.add_all(tasks, &stop, &mut |id: String, result: Result<Added>| {
        let text = match &result {
            Ok(added) => {
                *(if added.is_new { &mut new } else { &mut known }) += 1;
                if one_picture_each && added.photos > 1 {
                    eprintln!(
                        "tongkuan: {id}: the good has {} pictures by now: the file was another one before, or another \
                         folder has one of this path",
                        added.photos
                    );
                }
                json!({"id": id, "photo_id": added.photo_id, "is_new": added.is_new, "photos": added.photos})
            }
            Err(error) => {
                failed += 1;
                eprintln!("tongkuan: {id}: {error:#}");
                json!({"id": id, "error": format!("{error:#}")})
            }
        };
        if settings.json {
            // Standard output is gone: the work is worth finishing all the same.
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
        done += 1;
        terminal.step("adding", done, total.unwrap_or(done).max(done));
    });
    let counts = format!("{new} added, {known} already there, {failed} failed");
    let again = "run the same command again to go on; what is stored is not embedded twice";
    match end.with_context(|| format!("stopped: {counts}; {again}"))? {
        BatchEnd::Stopped => {
            eprintln!("tongkuan: interrupted: {counts}; {again}");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        BatchEnd::Done => {}
    }
    engine.settle_index()?;
    eprintln!("tongkuan: {counts}");
    Ok(if failed > 0 { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// A flag that the first Ctrl-C (or SIGTERM) raises; the second one ends the process at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
