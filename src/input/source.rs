//! Where is this picture? A path, an address or the picture itself, however a person or a program has written it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use percent_encoding::percent_decode_str;
use url::Url;

use super::archive::Member;
use super::names::{name_text, plain};
use super::{ReadProblem, SourceProblem};
use crate::photo::{PhotoLimits, read_bytes};

/// Where the bytes of a picture are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PictureSource {
    /// A file of this machine.
    File(PathBuf),
    /// An `http` or `https` address, as [`Url`] writes it. Who fetches it decides from where pictures may come.
    Address(String),
    /// Of a `data:` address.
    Bytes(Vec<u8>),
    /// A file in a zip or tar.
    Member(Member),
}

impl PictureSource {
    /// What `text` names: an address (`https://host/a b.jpg`, `//host/a.jpg`), `file://` with percent-encoding, `data:`,
    /// or a path, which is relative to `folder`. A path that is not there is tried without white space and quotes around
    /// it, with `\` as `/`, with `~`, and with its percent-encoding undone.
    ///
    /// # Errors
    /// [`SourceProblem`]. Whether the picture is there is not said by this.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SourceProblem> {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if trimmed.is_empty() {
            return Err(SourceProblem::Empty);
        }
        if text.contains('\0') {
            return Err(SourceProblem::Nul);
        }
        match scheme_of(trimmed) {
            Some(scheme) if scheme == "http" || scheme == "https" => address(trimmed),
            Some(scheme) if scheme == "file" => file_address(trimmed, folder),
            Some(scheme) if scheme == "data" => data(trimmed).map(Self::Bytes),
            Some(scheme) if trimmed[scheme.len()..].starts_with("://") => {
                Err(SourceProblem::Scheme { scheme })
            }
            _ if has_host_only(trimmed) && !folder.join(trimmed).exists() => {
                address(&format!("https:{trimmed}"))
            }
            _ => Ok(Self::File(existing(text, trimmed, folder))),
        }
    }

    /// As [`PictureSource::parse`], with paths below `folder` in an archive.
    pub(super) fn parse_in(
        text: &str,
        folder: &str,
        members: &HashMap<String, Member>,
    ) -> Result<Self, SourceProblem> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(SourceProblem::Empty);
        }
        if scheme_of(trimmed).is_some() || has_host_only(trimmed) {
            return match Self::parse(trimmed, Path::new("")) {
                // An archive from elsewhere is not to name files of this machine.
                Ok(Self::File(_)) => Err(SourceProblem::NotInArchive),
                other => other,
            };
        }
        let member = members.get(&plain(&format!("{folder}/{trimmed}")));
        member.cloned().map(Self::Member).ok_or(SourceProblem::NotInArchive)
    }

    /// Its last part, for people: the file's name, or the address without what stands before the last `/`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => name_text(path.file_name().unwrap_or(path.as_os_str())),
            Self::Address(address) => {
                let path = address.split(['?', '#']).next().unwrap_or_default();
                let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                percent_decode_str(last).decode_utf8_lossy().into_owned()
            }
            Self::Bytes(_) => "data".to_owned(),
            Self::Member(member) => {
                let name = member.name();
                name.rsplit('/').next().unwrap_or(name).to_owned()
            }
        }
    }

    /// The bytes of a picture on this machine.
    ///
    /// # Errors
    /// [`ReadProblem`]; [`ReadProblem::NotLocal`] for an address.
    pub fn read(&self, limits: &PhotoLimits) -> Result<Vec<u8>, ReadProblem> {
        match self {
            Self::File(path) => Ok(read_bytes(path, limits)?),
            Self::Address(address) => Err(ReadProblem::NotLocal { address: address.clone() }),
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Member(member) => member.read(limits.max_bytes),
        }
    }
}

/// The scheme before a colon, in lower case; a letter alone is a drive.
fn scheme_of(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once(':')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits))
        .then(|| scheme.to_ascii_lowercase())
}

/// `//host.domain/...`, as pages write addresses.
fn has_host_only(text: &str) -> bool {
    let Some((host, path)) = text.strip_prefix("//").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    host.contains('.') && !path.is_empty() && !host.contains(char::is_whitespace)
}

fn address(text: &str) -> Result<PictureSource, SourceProblem> {
    let url = Url::parse(text).map_err(|_| SourceProblem::Address)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceProblem::Credentials);
    }
    if url.has_host() { Ok(PictureSource::Address(url.into())) } else { Err(SourceProblem::Address) }
}

fn file_address(text: &str, folder: &Path) -> Result<PictureSource, SourceProblem> {
    let rest = text.get("file:".len()..).unwrap_or_default();
    if !rest.starts_with("//") {
        // `file:a.jpg`: relative, whatever the standards say.
        let path = percent_decode_str(rest).decode_utf8().map_err(|_| SourceProblem::FileAddress)?;
        return Ok(PictureSource::File(folder.join(&*path)));
    }
    // `#` and `?` are letters of names here, and spaces need no encoding.
    let text = text.replace('#', "%23").replace('?', "%3F");
    let url = Url::parse(&text).map_err(|_| SourceProblem::FileAddress)?;
    let path = url.to_file_path().map_err(|()| SourceProblem::FileAddress)?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        Err(SourceProblem::Nul)
    } else {
        Ok(PictureSource::File(path))
    }
}

fn data(text: &str) -> Result<Vec<u8>, SourceProblem> {
    let (head, body) = text.split_once(',').ok_or(SourceProblem::Data)?;
    let mut body: Vec<u8> = percent_decode_str(body).collect();
    if !head.to_ascii_lowercase().ends_with(";base64") {
        return Ok(body);
    }
    body.retain(|byte| !byte.is_ascii_whitespace());
    STANDARD.decode(&body).or_else(|_| STANDARD_NO_PAD.decode(&body)).map_err(|_| SourceProblem::Data)
}

/// The first way to read `text` as a path that leads to a file; else the path as it stands.
fn existing(text: &str, trimmed: &str, folder: &Path) -> PathBuf {
    let quoted = ['"', '\''].into_iter().find_map(|quote| trimmed.strip_prefix(quote)?.strip_suffix(quote));
    let bare = quoted.unwrap_or(trimmed);
    let mut forms = vec![text.to_owned(), trimmed.to_owned(), bare.to_owned()];
    if bare.contains('\\') {
        forms.push(bare.replace('\\', "/"));
    }
    if bare.contains('%') {
        forms.extend(percent_decode_str(bare).decode_utf8().ok().map(std::borrow::Cow::into_owned));
    }
    let mut paths: Vec<PathBuf> = forms.iter().map(|form| folder.join(form)).collect();
    if let (Some(rest), Some(home)) = (bare.strip_prefix("~/"), std::env::home_dir()) {
        paths.push(home.join(rest));
    }
    let found = paths.iter().find(|path| fs::metadata(path).is_ok()).cloned();
    found.unwrap_or_else(|| folder.join(bare))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address_of(text: &str) -> Option<String> {
        match PictureSource::parse(text, Path::new("/no/such/folder")) {
            Ok(PictureSource::Address(address)) => Some(address),
            _ => None,
        }
    }

    fn file_of(text: &str, folder: &Path) -> Option<PathBuf> {
        match PictureSource::parse(text, folder) {
            Ok(PictureSource::File(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn addresses_are_recognised_however_they_are_written() {
        for (written, address) in [
            ("https://cbu01.alicdn.com/a.jpg", "https://cbu01.alicdn.com/a.jpg"),
            ("HTTPS://CBU01.alicdn.com/A.jpg", "https://cbu01.alicdn.com/A.jpg"),
            ("  http://host.example/a b.jpg \n", "http://host.example/a%20b.jpg"),
            ("//cbu01.alicdn.com/img/a.jpg", "https://cbu01.alicdn.com/img/a.jpg"),
            ("https://host.example/马克杯.jpg", "https://host.example/%E9%A9%AC%E5%85%8B%E6%9D%AF.jpg"),
            ("https://host.example/%E9%A9%AC.jpg", "https://host.example/%E9%A9%AC.jpg"),
            ("https://图片.example/a.jpg", "https://xn--wcsw84d.example/a.jpg"),
        ] {
            assert_eq!(address_of(written).as_deref(), Some(address), "{written}");
        }
    }

    #[test]
    fn what_names_no_picture_says_why() {
        let problem = |text: &str| PictureSource::parse(text, Path::new("")).unwrap_err();
        assert_eq!(problem("  "), SourceProblem::Empty);
        assert_eq!(problem("ftp://host/a.jpg"), SourceProblem::Scheme { scheme: "ftp".to_owned() });
        assert_eq!(problem("S3://bucket/a.jpg"), SourceProblem::Scheme { scheme: "s3".to_owned() });
        assert_eq!(problem("https://"), SourceProblem::Address);
        assert_eq!(problem("https://me:secret@host.example/a.jpg"), SourceProblem::Credentials);
        assert_eq!(problem("data:image/png;base64,%%%"), SourceProblem::Data);
        assert_eq!(problem("a\0b"), SourceProblem::Nul);
    }

    #[test]
    fn a_file_address_is_a_path_with_its_encoding_undone() {
        for (written, path) in [
            ("file:///srv/pictures/a.jpg", "/srv/pictures/a.jpg"),
            ("FILE://localhost/srv/%E9%A9%AC%20a.jpg", "/srv/马 a.jpg"),
            ("file:///srv/a#1?.jpg", "/srv/a#1?.jpg"),
            ("file:a.jpg", "/here/a.jpg"),
        ] {
            assert_eq!(file_of(written, Path::new("/here")).as_deref(), Some(Path::new(path)), "{written}");
        }
        let elsewhere = PictureSource::parse("file://server/share/a.jpg", Path::new(""));
        assert_eq!(elsewhere.unwrap_err(), SourceProblem::FileAddress);
    }

    #[test]
    fn a_path_is_found_behind_spaces_quotes_backslashes_and_percent_signs() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::create_dir(here.join("sub")).unwrap();
        for name in ["a.jpg", "sub/马.jpg", " b.jpg"] {
            fs::write(here.join(name), "x").unwrap();
        }
        for (written, name) in [
            (" a.jpg ", "a.jpg"),
            ("\"a.jpg\"", "a.jpg"),
            ("./a.jpg", "./a.jpg"),
            ("sub\\马.jpg", "sub/马.jpg"),
            ("sub/%E9%A9%AC.jpg", "sub/马.jpg"),
            (" b.jpg", " b.jpg"),
            ("no such.jpg", "no such.jpg"),
        ] {
            assert_eq!(file_of(written, here), Some(here.join(name)), "{written}");
        }
    }

    #[test]
    fn a_data_address_is_the_picture_itself() {
        let parsed = PictureSource::parse("data:image/gif;base64,R0lGODlh", Path::new("")).unwrap();
        assert_eq!(parsed.read(&PhotoLimits::default()).unwrap(), b"GIF89a");
        let plain = PictureSource::parse("data:text/plain,a%20b", Path::new("")).unwrap();
        assert_eq!(plain.read(&PhotoLimits::default()).unwrap(), b"a b");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(file:|data:|//|https?:|~/|)\\PC{0,40}") {
            let _ = PictureSource::parse(&text, Path::new("/no/such/folder")).map(|source| source.name());
        }
    }
}
