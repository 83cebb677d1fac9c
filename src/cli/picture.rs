//! Which picture does this argument name? A file, an address, or `-`: the same for every command.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::output::{complain, complain_about};
use super::settings::Settings;
use crate::config::ConfigError;
use crate::doors::fetch_largest;
use crate::eval::LABELS;
use crate::fetch::{Fetch as _, Fetcher};
use crate::input::{Folder, Input, PictureSource, Skipped, missed_pictures, passed_archives, skipped_text};
use crate::photo::{PhotoError, PhotoLimits};

/// What a picture's argument is called in the help.
pub(super) const VALUE_NAME: &str = "FILE|URL|-";

/// A picture that was read or fetched.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) bytes: Vec<u8>,
    /// The name of its file.
    pub(super) label: String,
    /// Where it was fetched.
    pub(super) source_url: Option<String>,
}

/// Reads pictures, and fetches them unless there is to be no network.
#[derive(Debug)]
pub(super) struct Pictures {
    fetcher: Option<Fetcher>,
}

impl Pictures {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        if settings.is_offline() {
            return Ok(Self { fetcher: None });
        }
        Ok(Self { fetcher: Some(settings.fetcher(settings.network("fetching")?)?) })
    }

    /// What fetches; not there with `--offline`.
    pub(super) fn fetcher(&self) -> Option<&Fetcher> {
        self.fetcher.as_ref()
    }

    /// The picture that `named` stands for: a path, an address, or `-` for standard input.
    pub(super) fn open(&self, named: &Path) -> Result<Picture> {
        if named == Path::new("-") {
            let bytes = read_stdin(std::io::stdin().lock())?;
            return Ok(Picture { bytes, label: "-".to_owned(), source_url: None });
        }
        self.read(&source_of(named)?)
    }

    pub(super) fn read(&self, source: &PictureSource) -> Result<Picture> {
        let label = source.name();
        let PictureSource::Address(address) = source else {
            return Ok(Picture { bytes: source.read(&PhotoLimits::default())?, label, source_url: None });
        };
        let Some(fetcher) = &self.fetcher else {
            return Err(ConfigError::Offline { what: address.clone() }.into());
        };
        let (bytes, address) = fetch_largest(address, |address| fetcher.fetch(address))?;
        Ok(Picture {
            bytes,
            label: PictureSource::Address(address.clone()).name(),
            source_url: Some(address),
        })
    }
}

/// A name that is no text can only be a file's.
fn source_of(named: &Path) -> Result<PictureSource> {
    Ok(match named.to_str() {
        Some(text) => PictureSource::parse(text, Path::new(""))?,
        None => PictureSource::File(named.to_path_buf()),
    })
}

fn read_stdin(stdin: impl Read) -> Result<Vec<u8>> {
    let limit_bytes = PhotoLimits::default().max_bytes;
    let mut bytes = Vec::new();
    stdin.take(limit_bytes + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    let read = bytes.len() as u64;
    if read > limit_bytes {
        return Err(PhotoError::TooManyBytes { bytes: read, limit_bytes }.into());
    }
    Ok(bytes)
}

/// So many files that were passed over are named.
const MAX_NAMED: usize = 10;

/// Names the files that were passed over though they are called as pictures are.
pub(super) fn name_missed(source: &str, skipped: &[(String, Skipped)]) {
    for (name, kind) in missed_pictures(skipped).take(MAX_NAMED) {
        complain(format_args!("{source}: {name} is passed over: {kind}"));
    }
    let more = missed_pictures(skipped).skip(MAX_NAMED).count();
    if more > 0 {
        complain(format_args!("{source}: and {more} more that are called as pictures are"));
    }
}

/// What was missed in a source that was read to its end.
pub(super) fn tell_of_missing(source: &str, input: &Input) {
    let report = input.report();
    name_missed(source, &report.skipped);
    if let Some((count, example)) = passed_archives(source, &report.skipped) {
        complain(format_args!(
            "{source}: archives or Parquet files in it ({count}) are not opened: name them themselves, such as {example}"
        ));
    }
    if report.items == 0 {
        complain(format_args!("{source}: there is no picture in it"));
    }
}

/// The pictures of `folder`; what was passed over is told on standard error.
pub(super) fn folder(folder: &Path) -> Result<Folder> {
    told_folder(folder, |_| true)
}

/// As [`folder`], where a file may say what the pictures show, which is not passed over.
pub(super) fn labelled_folder(folder: &Path) -> Result<Folder> {
    told_folder(folder, |name| name != LABELS)
}

fn told_folder(folder: &Path, is_told: impl Fn(&str) -> bool) -> Result<Folder> {
    let mut found = Folder::read(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    found.skipped.retain(|(name, _)| is_told(name));
    for (name, error) in &found.unreadable {
        complain_about(folder.join(name).display(), error);
    }
    name_missed(&folder.display().to_string(), &found.skipped);
    if let Some(text) = skipped_text(&found.skipped) {
        complain(format_args!("{}: {text}", folder.display()));
    }
    Ok(found)
}

/// Reads the pictures of several folders.
pub(super) fn paths_in(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for named in folders {
        paths.extend(folder(named)?.paths());
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_has_an_end() {
        let error = read_stdin(std::io::repeat(7)).unwrap_err();
        assert!(error.to_string().contains("more than the 33554432 allowed"), "{error}");
    }
}
