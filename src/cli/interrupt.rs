//! Ctrl-C: long work ends after what it has in hand, and the same command goes on from there.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::sync::oneshot;

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

/// As [`stop_on_interrupt`], until the watch is dropped; the first Ctrl-C is answered at once.
pub(super) fn stop_saying_so() -> Result<(Cancel, SignalWatch)> {
    let stop = Cancel::new();
    let watched = stop.clone();
    let watch = SignalWatch::start(move || {
        if watched.is_cancelled() {
            // As the handlers of `stop_on_interrupt` do: nothing is waited for.
            signal_hook::low_level::exit(INTERRUPTED.into());
        }
        watched.cancel();
        complain(
            "interrupted: nothing more is asked; a call under way is waited for, since it is paid for. Ctrl-C again ends it at once",
        );
    })?;
    Ok((stop, watch))
}

/// Says that the same command goes on from here, and what it does not do again.
pub(super) fn told_interrupted(kept: &str) -> ExitCode {
    complain(format_args!("interrupted: run the same command again to go on; {kept}"));
    ExitCode::from(INTERRUPTED)
}

/// Calls a function at each Ctrl-C and SIGTERM (on Windows Ctrl-Break), on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct SignalWatch {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    /// From its return on no signal ends the process by itself.
    pub(super) fn start(mut on_signal: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        #[cfg(unix)]
        let (mut interrupt, mut terminate) = {
            use tokio::signal::unix::{SignalKind, signal};
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        #[cfg(windows)]
        let (mut interrupt, mut terminate) =
            (tokio::signal::windows::ctrl_c()?, tokio::signal::windows::ctrl_break()?);
        drop(entered);
        let (stop, mut stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        Some(()) = interrupt.recv() => on_signal(),
                        Some(()) = terminate.recv() => on_signal(),
                        _ = &mut stopped => return,
                    }
                }
            });
        });
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
