//! Where words go: answers to standard output, whose reader may go away, and complaints to standard error. Neither lets
//! anything through that could take over a terminal.

use std::fmt;
use std::io::{self, StderrLock, StdoutLock, Write as _};
use std::sync::{Mutex, PoisonError};

use crate::printable::{Printable, line};

/// Standard output, locked.
pub(super) type Stdout = Printable<StdoutLock<'static>>;

pub(super) fn stdout() -> Stdout {
    Printable::new(io::stdout().lock())
}

/// Standard error, locked.
pub(super) fn stderr() -> Printable<StderrLock<'static>> {
    Printable::new(io::stderr().lock())
}

/// One line on standard error, whatever is in it. Where that cannot be written to there is nothing else to tell it to.
pub(super) fn complain(text: impl fmt::Display) {
    let _ = writeln!(stderr(), "{}", line(format_args!("tongkuan: {text}")));
}

/// A complaint about what is called `name`, which is said once where the error says it itself.
pub(super) fn complain_about(name: impl fmt::Display, error: impl fmt::Display) {
    let (name, error) = (name.to_string(), error.to_string());
    if error.contains(&name) { complain(error) } else { complain(format_args!("{name}: {error}")) }
}

/// Whether standard output's reader has gone away: `tongkuan ... | head`. Errors of standard output come as they are;
/// all others say what was being done.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Standard output of a command whose work is worth finishing when its answers cannot be written any more.
#[derive(Debug, Default)]
pub(super) struct BatchOutput {
    broken: Mutex<Option<io::Error>>,
}

impl BatchOutput {
    /// A whole line, from any thread. Once one could not be written, no more is tried.
    pub(super) fn line(&self, text: impl fmt::Display) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none() {
            *broken = writeln!(stdout(), "{text}").err();
        }
    }

    /// To be called when the work is done.
    ///
    /// # Errors
    /// Why lines are missing.
    pub(super) fn finish(self) -> io::Result<()> {
        self.broken.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
