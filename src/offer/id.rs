//! What a good is called at its source: 1688's numbers, and whatever people call their own goods.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// The longest id, in bytes of UTF-8.
const MAX_BYTES: usize = 256;

/// The longest id that an upstream is asked about, in bytes.
const MAX_UPSTREAM_BYTES: usize = 64;

/// Bytes of the digest that stands for what could not be kept of a path.
const DIGEST_BYTES: usize = 8;

/// The identity of a good at its source: 1 to 256 bytes of UTF-8 without control characters, compared byte for byte.
///
/// 1688 uses decimal numbers of up to 19 digits ([`OfferId::is_upstream_form`]); own goods (see `tongkuan add`) are
/// called as people call them: `A/12.3`, `蓝色-01`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OfferId(String);

/// Why a text is not an [`OfferId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: {problem}")]
pub struct OfferIdError {
    /// The beginning of it.
    text: String,
    problem: IdProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum IdProblem {
    #[error("it is empty; name the good")]
    Empty,
    #[error("it has {0} bytes; use at most {MAX_BYTES}")]
    TooLong(usize),
    #[error("it holds a control character such as a tab or a line break; leave that out")]
    Control,
    #[error("the ids of upstreams are 1 to {MAX_UPSTREAM_BYTES} ASCII letters, digits, '-' or '_'")]
    NotUpstream,
}

impl OfferId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`OfferIdError`] unless `id` is 1 to 256 bytes without control characters.
    pub fn new(id: impl Into<String>) -> Result<Self, OfferIdError> {
        let id = id.into();
        match problem_of(&id) {
            None => Ok(Self(id)),
            Some(problem) => Err(OfferIdError::new(&id, problem)),
        }
    }

    /// An id that an upstream told, or may be asked about: it goes into addresses.
    ///
    /// # Errors
    /// [`OfferIdError`] unless `id` is 1 to 64 ASCII letters, digits, `-` or `_`.
    pub fn of_upstream(id: impl Into<String>) -> Result<Self, OfferIdError> {
        let id = Self(id.into());
        if id.is_upstream_form() { Ok(id) } else { Err(OfferIdError::new(&id.0, IdProblem::NotUpstream)) }
    }

    /// Whether an upstream can have a good of this id: 1 to 64 ASCII letters, digits, `-` or `_`.
    #[must_use]
    pub fn is_upstream_form(&self) -> bool {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=MAX_UPSTREAM_BYTES).contains(&self.0.len()) && self.0.bytes().all(allowed)
    }

    /// The page on which 1688 shows the offer that has this id there.
    #[must_use]
    pub fn page_url(&self) -> String {
        format!("https://detail.1688.com/offer/{}.html", self.0)
    }

    /// The id of the good whose picture has this path in its folder: the path with `/` between its parts. A path that is
    /// no id as it is (not UTF-8, too long, with control characters) is replaced by what of it can be read, `~` and 16
    /// hexadecimal digits of a digest of the whole; so no two paths have one id, and a path always has the same.
    /// Also says whether it is the path itself.
    #[must_use]
    pub fn of_path(relative: &Path) -> (Self, bool) {
        let names: Vec<&OsStr> = relative
            .components()
            .filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None })
            .collect();
        let path = names.join(OsStr::new("/"));
        match path.to_str() {
            Some(text) if problem_of(text).is_none() && !is_digested(text) => (Self(text.to_owned()), true),
            _ => (Self(digested(&path)), false),
        }
    }

    /// Reads an id from JSON: a string, or an integer of any length, digit for digit. For `deserialize_with`.
    ///
    /// # Errors
    /// The deserializer's, for anything else and for what is no id.
    pub fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Box::<RawValue>::deserialize(deserializer)?;
        let written = written.get();
        let digits = written.strip_prefix('-').unwrap_or(written);
        let id = if written.starts_with('"') {
            serde_json::from_str(written).map_err(de::Error::custom)?
        } else if digits.bytes().all(|b| b.is_ascii_digit()) {
            written.to_owned()
        } else {
            let shown: String = written.chars().take(80).collect();
            let problem = format!("{shown} is not an id: write it as a string, \"A-1\", or as an integer");
            return Err(de::Error::custom(problem));
        };
        Self::new(id).map_err(de::Error::custom)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OfferIdError {
    fn new(text: &str, problem: IdProblem) -> Self {
        Self { text: text.chars().take(80).collect(), problem }
    }
}

fn problem_of(id: &str) -> Option<IdProblem> {
    if id.is_empty() {
        Some(IdProblem::Empty)
    } else if id.len() > MAX_BYTES {
        Some(IdProblem::TooLong(id.len()))
    } else {
        id.chars().any(char::is_control).then_some(IdProblem::Control)
    }
}

/// Whether a text has the form of what [`digested`] makes. Such a path is digested itself, so that it is not taken for
/// another one's digest.
fn is_digested(text: &str) -> bool {
    text.rsplit_once('~').is_some_and(|(_, digest)| {
        digest.len() == 2 * DIGEST_BYTES && digest.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

fn digested(path: &OsStr) -> String {
    let mut first = [0; DIGEST_BYTES];
    first.copy_from_slice(&Sha256::digest(path.as_encoded_bytes())[..DIGEST_BYTES]);
    let digest = format!("{:016x}", u64::from_be_bytes(first));
    let readable: String = path.to_string_lossy().replace(char::is_control, "\u{FFFD}");
    // The end tells more than the folders before it: a file's name stands there.
    let room = MAX_BYTES - 1 - digest.len();
    let cut = readable.len().saturating_sub(room);
    let start = (cut..=readable.len()).find(|&at| readable.is_char_boundary(at)).unwrap_or(0);
    format!("{}~{digest}", &readable[start..])
}

impl TryFrom<String> for OfferId {
    type Error = OfferIdError;
    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl FromStr for OfferId {
    type Err = OfferIdError;
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl From<OfferId> for String {
    fn from(id: OfferId) -> Self {
        id.0
    }
}

impl fmt::Display for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Row {
        #[serde(deserialize_with = "OfferId::from_json")]
        id: OfferId,
    }

    #[test]
    fn an_id_is_any_text_of_256_bytes_without_control_characters() {
        let longest = "长".repeat(85) + "a";
        for id in ["A/12.3", "蓝色-01", "AB 102/红", "a", "..", "~", "👜", longest.as_str()] {
            assert_eq!(OfferId::new(id).map(String::from).as_deref(), Ok(id));
            let json = serde_json::to_string(&OfferId(id.to_owned())).expect("JSON");
            assert_eq!(serde_json::from_str::<OfferId>(&json).map(String::from).ok().as_deref(), Some(id));
        }
        for (id, problem) in [
            ("", "empty"),
            (&*"长".repeat(86), "258 bytes"),
            ("a\tb", "control"),
            ("a\u{7f}", "control"),
            ("a\u{85}b", "control"),
        ] {
            let error = OfferId::new(id).expect_err(id).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn an_integer_in_json_is_an_id_digit_for_digit() {
        for (json, id) in [
            (r#"{"id": 864704291266 }"#, "864704291266"),
            (r#"{"id":9007199254740993}"#, "9007199254740993"),
            (r#"{"id":18446744073709551617}"#, "18446744073709551617"),
            (r#"{"id":123456789012345678901234567890}"#, "123456789012345678901234567890"),
            (r#"{"id":0}"#, "0"),
            (r#"{"id":-7}"#, "-7"),
            (r#"{"id":"A\/1\u84dd"}"#, "A/1蓝"),
        ] {
            assert_eq!(serde_json::from_str::<Row>(json).expect(json).id.as_str(), id);
        }
        for json in ["1.5", "1e3", "true", "null", "[1]", r#"{"a":1}"#, r#""""#, r#""a\nb""#] {
            let error =
                serde_json::from_str::<Row>(&format!("{{\"id\":{json}}}")).expect_err(json).to_string();
            assert!(error.contains("is not an id"), "{error}");
        }
    }

    #[test]
    fn only_letters_digits_and_dashes_go_to_an_upstream() {
        for id in ["864704291266", "A-1_b", &"7".repeat(64)] {
            assert!(OfferId::of_upstream(id).is_ok(), "{id}");
        }
        for id in ["", "a b", "a/b", "蓝", "a&b=c", &"7".repeat(65)] {
            assert!(OfferId::of_upstream(id).is_err(), "{id}");
        }
    }

    #[test]
    fn the_id_of_a_file_is_its_path_with_its_ending() {
        for (path, id) in
            [("马克杯.jpg", "马克杯.jpg"), ("./A-red/1.jpg", "A-red/1.jpg"), ("a  b/c.PNG", "a  b/c.PNG")]
        {
            assert_eq!(OfferId::of_path(Path::new(path)), (OfferId(id.to_owned()), true));
        }
    }

    #[test]
    fn no_two_paths_have_one_id_even_where_they_are_no_ids_as_they_are() {
        let deep = "很长的文件夹/".repeat(20);
        let mut paths: Vec<PathBuf> =
            ["a\tb.jpg", "a\nb.jpg", "a\u{FFFD}b.jpg", "ab.jpg"].map(PathBuf::from).into();
        paths.extend(["1.jpg", "2.jpg"].map(|name| PathBuf::from(format!("{deep}{name}"))));
        #[cfg(unix)]
        for name in [b"\xb0\xd7.jpg", b"\xb0\xd8.jpg"] {
            paths.push(PathBuf::from(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name)));
        }
        // Made to look like the first one's id.
        paths.push(PathBuf::from(OfferId::of_path(&paths[0]).0.as_str()));
        let ids: HashSet<OfferId> = paths.iter().map(|path| OfferId::of_path(path).0).collect();
        assert_eq!(ids.len(), paths.len(), "{ids:?}");
        for path in &paths {
            let (id, _) = OfferId::of_path(path);
            assert_eq!((OfferId::new(id.as_str()), OfferId::of_path(path).0), (Ok(id.clone()), id));
        }
        assert!(OfferId::of_path(&paths[4]).0.as_str().contains("1.jpg~"), "the name can be read");
    }
}
