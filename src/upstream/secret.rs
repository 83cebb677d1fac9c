//! A value that must never be read in a log.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands where a secret stood.
pub(super) const REDACTED: &str = "***";
/// A credential of one or two letters would take the text around it along and hide nothing.
const MIN_BYTES: usize = 3;

/// An app secret, a token or another credential: printed as `Secret(***)`, never serialised, read only
/// through [`expose`](Self::expose), so that every use can be found by that word.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// From here on it is shown nowhere.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The credential itself: for a request on its way out, and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` without this credential, for texts of an upstream that may quote what was sent to it: as it is, as a part
    /// of an address or a form (percent signs, `+`), of JSON, of HTML, in Base64 (also in the middle of a longer text)
    /// and in hexadecimal digits. One of fewer than 3 bytes stays.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.0.len() < MIN_BYTES {
            return text.to_owned();
        }
        self.forms().iter().fold(text.to_owned(), |text, form| without(&text, form))
    }

    /// The credential itself, and the texts that stand for the whole of it.
    fn forms(&self) -> Vec<Form> {
        let bytes = self.0.as_bytes();
        let whole = |text| Form { text, shares_first: false, shares_last: false };
        let mut forms = vec![whole(self.0.clone())];
        for before in 0..3 {
            // Base64 of a text that holds the credential depends on where it begins, by the place modulo 3; the
            // characters at its ends hold bits of its neighbours, too.
            let padded = [&[0; 2][..before], bytes].concat();
            let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
            if to >= from + 4 {
                forms.extend([&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|base64| Form {
                    text: base64.encode(&padded)[from..to].to_owned(),
                    shares_first: before > 0,
                    shares_last: padded.len() % 3 > 0,
                }));
            }
        }
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        forms.extend([hex.to_uppercase(), hex].map(whole));
        forms
    }
}

/// A text that stands for a credential.
struct Form {
    text: String,
    /// Whether the character before it, or the one after it, holds bits of the credential beside those of a neighbour.
    shares_first: bool,
    shares_last: bool,
}

/// `text` without any of `secrets`.
#[cfg(any(test, feature = "upstream"))]
pub(super) fn redact_all<'a>(text: &str, secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut secrets: Vec<&Secret> = secrets.into_iter().collect();
    // One may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
    secrets.iter().fold(text.to_owned(), |text, secret| secret.redact(&text))
}

/// `text` without `form`, each of whose characters may be written in any of the ways that [`ends`] knows.
fn without(text: &str, form: &Form) -> String {
    let bytes = text.as_bytes();
    let first = form.text.as_bytes().first().copied().unwrap_or_default();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        let may_begin = bytes[at] == first || matches!(bytes[at], b'%' | b'+' | b'\\' | b'&');
        match may_begin.then(|| end_of(bytes, at, &form.text)).flatten() {
            Some(end) => {
                let kept = &text[copied..at];
                let kept =
                    if form.shares_first { kept.strip_suffix(is_base64).unwrap_or(kept) } else { kept };
                out.push_str(kept);
                out.push_str(REDACTED);
                let end = if form.shares_last { text.len() - after_shared(&text[end..]).len() } else { end };
                (copied, at) = (end, end);
            }
            None => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// What follows the Base64 character at the beginning of `rest`, and the padding after it.
fn after_shared(rest: &str) -> &str {
    let escaped = ["%2B", "%2F", "%2b", "%2f"].into_iter().find_map(|sign| rest.strip_prefix(sign));
    let Some(mut rest) = rest.strip_prefix(is_base64).or(escaped) else { return rest };
    while let Some(shorter) = ["=", "%3D", "%3d"].into_iter().find_map(|sign| rest.strip_prefix(sign)) {
        rest = shorter;
    }
    rest
}

/// Where `form` ends in `text`, if it begins at `at`: the last place, where there are several.
fn end_of(text: &[u8], at: usize, form: &str) -> Option<usize> {
    let mut places = vec![at];
    for c in form.chars() {
        let mut next: Vec<usize> = places.iter().flat_map(|&place| ends(text, place, c)).collect();
        next.sort_unstable();
        next.dedup();
        if next.is_empty() {
            return None;
        }
        places = next;
    }
    places.last().copied()
}

/// Where `c` ends in `text` if it is written at `at`, in each of the ways in which it may be.
fn ends(text: &[u8], at: usize, c: char) -> Vec<usize> {
    let rest = &text[at..];
    let mut ends = Vec::new();
    let mut buffer = [0; 4];
    let utf8 = c.encode_utf8(&mut buffer).as_bytes();
    if rest.starts_with(utf8) {
        ends.push(at + utf8.len());
    }
    match rest.first() {
        Some(b'+') if c == ' ' => ends.push(at + 1),
        Some(b'%') => ends.extend(percent_encoded(rest, utf8).map(|length| at + length)),
        Some(b'\\') => ends.extend(escaped(rest, c).map(|length| at + length)),
        Some(b'&') => ends.extend(entity(rest, c).map(|length| at + length)),
        _ => {}
    }
    ends
}

/// The lengths of `%C3%A9` and, encoded twice, `%25C3%25A9`.
fn percent_encoded(text: &[u8], utf8: &[u8]) -> impl Iterator<Item = usize> {
    ["%", "%25"].into_iter().filter_map(move |sign| {
        utf8.iter().try_fold(0, |at, byte| {
            let written = format!("{sign}{byte:02x}");
            let found = text.get(at..at + written.len())?;
            found.eq_ignore_ascii_case(written.as_bytes()).then_some(at + written.len())
        })
    })
}

/// The length of `\n`, `\u00e9` (as often as UTF-16 has it) or `\u{e9}`.
fn escaped(text: &[u8], c: char) -> Option<usize> {
    let short = match c {
        '\n' => b'n',
        '\t' => b't',
        '\r' => b'r',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\0' => b'0',
        '"' | '\\' | '/' | '\'' => c as u8,
        _ => 0,
    };
    if short != 0 && text.get(1) == Some(&short) {
        return Some(2);
    }
    let braced = format!("\\u{{{:x}}}", u32::from(c));
    if text.get(..braced.len()).is_some_and(|text| text.eq_ignore_ascii_case(braced.as_bytes())) {
        return Some(braced.len());
    }
    let mut units = [0; 2];
    let json =
        c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
    text.get(..json.len()).filter(|text| text.eq_ignore_ascii_case(json.as_bytes())).map(<[u8]>::len)
}

/// The length of `&amp;`, `&#38;` or `&#x26;`.
fn entity(text: &[u8], c: char) -> Option<usize> {
    let end = text.iter().take(12).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[1..end]).ok()?;
    let named = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    };
    let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    });
    (named.or_else(|| number.and_then(char::from_u32)) == Some(c)).then_some(end + 1)
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    /// As servers and libraries write it when they quote a request.
    fn quotations(secret: &str) -> Vec<String> {
        let json = serde_json::Value::from(secret).to_string();
        let debug = format!("{secret:?}");
        let form = Url::parse_with_params("http://x/", [("", secret)]).expect("an address");
        let form = form.query().and_then(|query| query.strip_prefix('=')).expect("a value").to_owned();
        let percent = secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let escaped = secret.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<Vec<_>>().concat();
        let entities = secret.chars().map(|c| format!("&#{};", u32::from(c))).collect::<Vec<_>>().concat();
        let hex = secret.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
        vec![
            secret.to_owned(),
            json[1..json.len() - 1].to_owned(),
            json[1..json.len() - 1].replace('/', "\\/"),
            form.clone(),
            form.replace('+', "%20"),
            percent.to_lowercase(),
            percent.replace('%', "%25"),
            percent,
            escaped.to_lowercase(),
            escaped,
            entities,
            hex.to_lowercase(),
            hex,
            debug[1..debug.len() - 1].to_owned(),
        ]
    }

    #[test]
    fn a_secret_is_not_readable_in_its_debug_text() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(Secret(***))");
    }

    #[test]
    fn a_secret_is_taken_out_of_a_foreign_text_in_every_form() {
        let secret = Secret::new("p+w /é\"%41&=");
        for form in quotations(secret.expose()) {
            assert_eq!(secret.redact(&format!("token {form} is old")), "token *** is old", "{form}");
        }
        assert_eq!(secret.redact("p+w is another"), "p+w is another");
        assert_eq!(
            Secret::new("hunter2").redact("hunter, hunter3, %68, 100 %"),
            "hunter, hunter3, %68, 100 %"
        );
    }

    #[test]
    fn a_secret_is_taken_out_of_credentials_in_base64_wherever_it_stands_in_them() {
        let secret = Secret::new("hunter2-9d1c");
        for user in ["", "a", "ab", "abc", "key:"] {
            let header = format!("Basic {}", STANDARD.encode(format!("{user}hunter2-9d1c:more")));
            let shown = secret.redact(&header);
            let left: String = shown.split(REDACTED).collect();
            assert!(shown.contains(REDACTED) && left.len() < header.len() - 12, "{header} {shown}");
        }
    }

    #[test]
    fn of_a_secret_in_base64_no_character_is_left_that_holds_a_bit_of_it() {
        for secret in ["hunter2-9d1c", "hunter2-9d1", "hunter2-9d", "ééé~~~"] {
            for (before, after) in
                ["", "a", "ab", "abc", "key:"].iter().flat_map(|b| ["", "x", "yz", ":more"].map(|a| (*b, a)))
            {
                let (from, to) = (before.len() * 8 / 6, ((before.len() + secret.len()) * 8).div_ceil(6));
                let text = STANDARD.encode(format!("{before}{secret}{after}"));
                let rest = text[to..].trim_end_matches('=');
                let kept = |shown: &str, rest: &str| {
                    shown
                        .strip_prefix(&text[..from])
                        .is_some_and(|s| s.trim_end_matches('=') == format!("{REDACTED}{rest}"))
                };
                let shown = Secret::new(secret).redact(&text);
                assert!(kept(&shown, rest), "{text} {shown}");
                let address: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
                let shown = Secret::new(secret).redact(&address);
                let rest: String = url::form_urlencoded::byte_serialize(rest.as_bytes()).collect();
                let shown = shown.replace("%3D", "=");
                assert!(kept(&shown, &rest), "{address} {shown}");
            }
        }
    }

    #[test]
    fn the_longer_of_two_secrets_goes_first() {
        let secrets = [Secret::new("abcd"), Secret::new("abcdef")];
        assert_eq!(redact_all("abcdef abcd", &secrets), "*** ***");
    }

    proptest! {
        #[test]
        fn no_form_of_any_secret_is_left(secret in "[^*]{3,40}", before in "[a-z ]{0,5}", after in "[a-z ]{0,5}") {
            prop_assume!(!before.contains(&secret) && !after.contains(&secret));
            let hidden = Secret::new(secret.clone());
            for form in quotations(&secret) {
                let shown = hidden.redact(&format!("{before}{form}{after}"));
                prop_assert!(shown.contains(REDACTED), "{} in {:?}", form, shown);
                prop_assert!(form == REDACTED || !shown.contains(&form), "{} in {:?}", form, shown);
            }
        }

        #[test]
        fn any_text_can_be_looked_through(text in ".{0,100}", secret in ".{0,10}") {
            let _ = Secret::new(secret).redact(&text);
        }
    }
}
