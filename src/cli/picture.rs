//! Which picture does this argument name? A file, an address, or `-`: the same for every command.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::output::{complain, complain_about};
use super::settings::Settings;
use crate::fetch::{Fetch as _, FetchError, Fetcher};
use crate::input::{Folder, PictureSource, skipped_text};
use crate::offer::canonical_image_url;
use crate::photo::{PhotoError, PhotoFormat, PhotoLimits};

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
        let Some(fetcher) = &self.fetcher else { bail!("{address} cannot be fetched with --offline") };
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

/// Fetches the full-size picture where `address` names a thumbnail or another format of one at Alibaba, and what
/// `address` itself names if that is not there. Returns the address that it came from.
fn fetch_largest(
    address: &str,
    fetch: impl Fn(&str) -> Result<Vec<u8>, FetchError>,
) -> Result<(Vec<u8>, String), FetchError> {
    let bare = address.split('#').next().unwrap_or(address);
    if let Some(canonical) = canonical_image_url(address).filter(|canonical| canonical != bare)
        && let Ok(bytes) = fetch(&canonical)
        && PhotoFormat::sniff(&bytes).is_ok()
    {
        return Ok((bytes, canonical));
    }
    Ok((fetch(address)?, address.to_owned()))
}

/// The pictures of `folder`; what was passed over is told on standard error.
pub(super) fn folder(folder: &Path) -> Result<Folder> {
    let found = Folder::read(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for (name, error) in &found.unreadable {
        complain_about(folder.join(name).display(), error);
    }
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
    use std::cell::RefCell;

    use super::*;

    const GIF: &[u8] = b"GIF89a";
    const FULL: &str = "https://cbu01.alicdn.com/img/ibank/O1CN01abc_!!123-0-cib.jpg";

    /// A fetch from `there`, and what was asked for.
    #[allow(clippy::type_complexity, reason = "both halves are compared at once")]
    fn fetched(
        address: &str,
        there: &[(&str, &[u8])],
    ) -> (Result<(Vec<u8>, String), FetchError>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let result = fetch_largest(address, |address| {
            asked.borrow_mut().push(address.to_owned());
            let found = there.iter().find(|(known, _)| *known == address);
            let missing = FetchError::Status { url: address.to_owned(), status: 404 };
            found.map(|(_, bytes)| bytes.to_vec()).ok_or(missing)
        });
        (result, asked.into_inner())
    }

    #[test]
    fn a_thumbnail_at_alibaba_is_fetched_in_full_size_with_one_request() {
        for end in ["_.avif", "_.webp", "_350x350.jpg", "_Q75.jpg_.webp", "?__r__=1"] {
            let (result, asked) = fetched(&format!("{FULL}{end}"), &[(FULL, GIF)]);
            assert_eq!(result, Ok((GIF.to_vec(), FULL.to_owned())), "{end}");
            assert_eq!(asked, [FULL], "{end}");
        }
        let sized = FULL.replace("-cib.jpg", "-cib.310x310.jpg");
        assert_eq!(fetched(&sized, &[(FULL, GIF)]).0, Ok((GIF.to_vec(), FULL.to_owned())));
    }

    #[test]
    fn the_given_address_is_taken_where_the_full_size_is_not_there_or_no_picture() {
        let thumbnail = format!("{FULL}_350x350.jpg");
        let (result, asked) = fetched(&thumbnail, &[(&thumbnail, GIF)]);
        assert_eq!(result, Ok((GIF.to_vec(), thumbnail.clone())));
        assert_eq!(asked, [FULL, &thumbnail]);
        let (result, _) = fetched(&thumbnail, &[(&thumbnail, GIF), (FULL, b"<html>")]);
        assert_eq!(result, Ok((GIF.to_vec(), thumbnail)));
    }

    #[test]
    fn elsewhere_nothing_is_taken_off() {
        let address = "https://shop.example/a.jpg_350x350.jpg?id=7#top";
        let (result, asked) = fetched(address, &[]);
        assert!(matches!(result, Err(FetchError::Status { status: 404, .. })));
        assert_eq!(asked, [address]);
    }

    #[test]
    fn standard_input_has_an_end() {
        let error = read_stdin(std::io::repeat(7)).unwrap_err();
        assert!(error.to_string().contains("more than the 33554432 allowed"), "{error}");
    }
}
