//! Where words go: answers to standard output, whose reader may go away, and complaints to standard error. Neither lets
//! anything through that could take over a terminal.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, StderrLock, StdoutLock, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow, bail};

use crate::photo::PhotoFormat;
use crate::printable::{Printable, line};
use crate::temporary::NewFile;

/// Refuses to write what was asked for over something that cannot be made again: a picture, or a database as homes and backups
/// are.
pub(super) fn refuse_precious(path: &Path) -> Result<()> {
    // Others, such as pipes, would wait for somebody to write.
    if !std::fs::metadata(path).is_ok_and(|file| file.is_file()) {
        return Ok(());
    }
    let mut head = Vec::new();
    File::open(path)?.take(64).read_to_end(&mut head)?;
    let what = match () {
        () if head.starts_with(b"SQLite format 3\0") => "a database",
        () if PhotoFormat::sniff(&head).is_ok() => "a picture",
        () => return Ok(()),
    };
    bail!("{} is {what}, which is not written over: name another file", line(path.display()))
}

/// Refuses to put a new file in the place of a device, a pipe or a socket, which would be gone.
pub(super) fn refuse_special(path: &Path) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir()) {
        bail!("{} is a device, a pipe or a socket, which is not replaced: name a file", line(path.display()));
    }
    Ok(())
}

/// What files begin with that are made anew from what is known, and may be written over.
pub(super) mod report {
    pub(in crate::cli) const HTML: &str = "<!DOCTYPE html>";
    pub(in crate::cli) const SVG: &str = "<svg ";
    pub(in crate::cli) const GROUPS_CSV: &str = "group,role,relation,";
}

/// Refuses to write a report over anything but an earlier one, which begins like it, or an empty file.
pub(super) fn refuse_other(path: &Path, begins_with: &str) -> Result<()> {
    refuse_precious(path)?;
    if !std::fs::metadata(path).is_ok_and(|file| file.is_file()) {
        return Ok(());
    }
    let mut head = Vec::new();
    File::open(path)?.take(begins_with.len() as u64).read_to_end(&mut head)?;
    if !head.is_empty() && !head.eq_ignore_ascii_case(begins_with.as_bytes()) {
        bail!(
            "{} is there already, and no earlier report, so it is not written over: name another file",
            line(path.display())
        );
    }
    Ok(())
}

/// As [`refuse_other`], where a new file is put in the place of what is there.
pub(super) fn refuse_replacing(path: &Path, begins_with: &str) -> Result<()> {
    refuse_special(path)?;
    refuse_other(path, begins_with)
}

/// Writes a report that was asked for, but not over [anything else](refuse_other).
pub(super) fn write_report(path: &Path, begins_with: &str, text: &str) -> Result<()> {
    refuse_other(path, begins_with)?;
    NewFile::write(path, text.as_bytes())
        .map_err(|error| anyhow!("{} cannot be written ({error})", path.display()))
}

/// Whether this process was started with its standard output closed (`tongkuan ... >&-`). The language's runtime puts
/// /dev/null in its place before `main`, so who starts the process has to find out.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

pub(super) fn stdout_is_closed() {
    IS_CLOSED.store(true, Ordering::Relaxed);
}

/// Standard output, locked.
pub(super) type Stdout = Printable<OpenStdout>;

pub(super) fn stdout() -> Stdout {
    Printable::new(OpenStdout(io::stdout().lock()))
}

/// Standard output, which fails where it was closed.
pub(super) struct OpenStdout(StdoutLock<'static>);

impl io::Write for OpenStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        check_stdout()?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// # Errors
/// When standard output was closed before this process began.
pub(super) fn check_stdout() -> io::Result<()> {
    if IS_CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other(
            "standard output is closed, so nothing could be printed; send it to a file or /dev/null",
        ));
    }
    Ok(())
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
    complain(about(&name.to_string(), &error.to_string()));
}

/// The error, with what it is about where it does not say so itself.
pub(super) fn about(name: &str, error: &str) -> String {
    if names(error, name) { error.to_owned() } else { format!("{name}: {error}") }
}

/// Whether `text` names what is called `name`. Letters alone prove little: a file may be called `end`, `text` or `0`, and the
/// picture end too early, be text, or have 0 bytes.
fn names(text: &str, name: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let wholes = text.match_indices(name).map(|(at, _)| (&text[..at], &text[at + name.len()..])).filter(
        |(before, after)| !before.ends_with(|c| is_of_word(c) || c == '.') && !after.starts_with(is_of_word),
    );
    let is_path = name.contains(['.', '/', '\\']);
    let is_number = name.len() >= 8 && name.contains(|c: char| c.is_ascii_digit());
    let is_meant = |(before, after): (&str, &str)| {
        let is_quoted = ['"', '`', '\''].iter().any(|&c| before.ends_with(c) && after.starts_with(c));
        let is_noun = ["cannot read ", "photo ", "offer "].iter().any(|noun| before.ends_with(noun));
        is_path || is_number || is_quoted || is_noun || before.is_empty()
    };
    name.is_empty() || wholes.into_iter().any(is_meant)
}

/// Whether standard output failed, as with `tongkuan ... | head`. Its errors come as they are; all others say what was
/// being done.
pub(super) fn is_output_error(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some()
}

/// As [`is_output_error`], where the reader has gone away.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_said_unless_the_error_says_it_as_a_name() {
        for (name, error) in [
            ("end", "the JPEG ends too early: fetch or save it again"),
            ("text", "this is text, not a picture"),
            ("0", "the picture is empty (0 bytes)"),
            ("jpeg", "the jpeg is damaged"),
            ("a.jpg", "cannot read aa.jpg"),
        ] {
            assert_eq!(about(name, error), format!("{name}: {error}"));
        }
        for (name, error) in [
            ("a.jpg", "cannot read a.jpg: no such file"),
            ("a.jpg", "cannot read pictures/a.jpg: no such file"),
            ("end", "cannot read end: no such file"),
            ("end", "there is no picture \"end\" in the folder"),
            ("text", "text has 9 bytes, more than the 8 allowed"),
            ("", "the name is empty"),
            ("7", "there is no photo 7 in home"),
            ("600123456789", "the upstream knows no offer 600123456789"),
        ] {
            assert_eq!(about(name, error), error);
        }
    }
}
