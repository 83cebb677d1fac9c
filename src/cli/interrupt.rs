//! Ctrl-C: long work ends after what it has in hand, and the same command goes on from there.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::output::complain;
use crate::cancel::{Cancel, Interrupt};

/// Exit status of a run that was interrupted, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// Cancelled by the first Ctrl-C (or SIGTERM); the second one ends the process at once.
pub(super) fn stop_on_interrupt() -> Result<Cancel> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop.into())
}

/// As [`stop_on_interrupt`], where nothing else cancels.
pub(super) fn until_interrupt() -> Result<Interrupt> {
    Ok(stop_on_interrupt()?.into())
}

/// Says that the same command goes on from here, and what it does not do again.
pub(super) fn told_interrupted(kept: &str) -> ExitCode {
    complain(format_args!("interrupted: run the same command again to go on; {kept}"));
    ExitCode::from(INTERRUPTED)
}
