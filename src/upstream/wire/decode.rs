//! From the bytes of an answer to a value: every dialect, refusals and tokens included, reads its answers here.
//!
//! An answer is paid for when it arrives, so what is merely untidy is put right: another encoding than UTF-8, a byte
//! order mark, half a surrogate pair, nesting beyond reason, a wrapper of script around the object. What stays
//! unreadable is named by what it looks like.

use std::io::Read;

use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use serde_json::Value;

use super::json_repair;

/// An answer that is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It stops in the middle.
    Truncated,
    /// It is whole, and something else.
    Foreign(&'static str),
}

/// `body` without the compression that its header names, or that it begins with: some servers and proxies compress what
/// was asked for as it is. What cannot be unpacked, or is longer than `limit_bytes` then, stays as it came.
pub(super) fn unpacked(body: Vec<u8>, packing: Option<&str>, limit_bytes: usize) -> Vec<u8> {
    let is_gzip = body.starts_with(&[0x1F, 0x8B]);
    let reader: Box<dyn Read + '_> = match packing {
        _ if is_gzip => Box::new(flate2::read::MultiGzDecoder::new(&body[..])),
        // By the standard with a header of zlib, by some servers without one.
        Some("deflate") if body.first().is_some_and(|first| first & 0x0F == 8) => {
            Box::new(flate2::read::ZlibDecoder::new(&body[..]))
        }
        Some("deflate") => Box::new(flate2::read::DeflateDecoder::new(&body[..])),
        _ => return body,
    };
    let mut text = Vec::new();
    let read = reader.take(limit_bytes as u64 + 1).read_to_end(&mut text);
    if read.is_ok_and(|read| read <= limit_bytes) { text } else { body }
}

/// The value that `body` holds, and its text. `content_type` is the header, if there was one.
pub(super) fn decode(body: &[u8], content_type: Option<&str>) -> (Result<Value, Unreadable>, String) {
    let text = text_of(body, content_type);
    let value = serde_json::from_str(&text)
        .or_else(|_| json_repair::parse(unwrapped(&text)).map_err(|end| why(&text, end)));
    (value, text)
}

fn why(text: &str, end: json_repair::Unparsed) -> Unreadable {
    let start: String = text.trim_start().chars().take(2000).collect::<String>().to_lowercase();
    if start.is_empty() {
        return Unreadable::Foreign("empty");
    }
    if start.starts_with('<') {
        let is_login = ["captcha", "login", "验证码", "登录", "滑块", "punish", "x5sec"];
        return Unreadable::Foreign(if is_login.iter().any(|word| start.contains(word)) {
            "an HTML page: a captcha or log-in page"
        } else if start.starts_with("<?xml") && !start.contains("<html") {
            "XML"
        } else {
            "an HTML page: perhaps a captcha or log-in page"
        });
    }
    match end {
        json_repair::Unparsed::EndsEarly => Unreadable::Truncated,
        json_repair::Unparsed::NoJson if text.chars().take(200).any(is_binary) => {
            Unreadable::Foreign("binary data")
        }
        json_repair::Unparsed::NoJson => Unreadable::Foreign("text that is no JSON"),
    }
}

fn is_binary(c: char) -> bool {
    c.is_control() && !c.is_whitespace() || c == char::REPLACEMENT_CHARACTER
}

/// `body` as text. A byte order mark goes before the declared encoding, and that before what the bytes look like; but
/// a declaration that the bytes contradict is not believed, since servers declare by habit.
fn text_of(body: &[u8], content_type: Option<&str>) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(body) {
        return encoding.decode_without_bom_handling(&body[mark..]).0.into_owned();
    }
    let utf8 = std::str::from_utf8(body).ok();
    let declared = content_type.and_then(charset).filter(|encoding| {
        let is_wide = *encoding == UTF_16LE || *encoding == UTF_16BE;
        // Latin-1 is what servers say that were not told what to say.
        *encoding != UTF_8 && encoding.name() != "windows-1252" && (!is_wide || body.contains(&0))
    });
    if let Some(encoding) = declared {
        let (text, _, has_errors) = encoding.decode(body);
        // Text in another encoding that happens to be UTF-8 holds no ideographs: those take six lucky bytes a pair.
        let is_utf8 = utf8.is_some_and(|text| has_errors || text.chars().any(is_ideograph));
        if !is_utf8 {
            return text.into_owned();
        }
    }
    if let Some(encoding) = wide(body) {
        return encoding.decode_without_bom_handling(body).0.into_owned();
    }
    if let Some(text) = utf8 {
        return text.to_owned();
    }
    let (good, bad) = utf8_characters(body);
    let (text, _) = GB18030.decode_without_bom_handling(body);
    if bad > good && text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count() < bad {
        return text.into_owned();
    }
    String::from_utf8_lossy(body).into_owned()
}

fn charset(content_type: &str) -> Option<&'static Encoding> {
    let lower = content_type.to_ascii_lowercase();
    let label = lower.split_once("charset=")?.1.split(';').next()?;
    Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes())
}

/// UTF-16 without a mark: JSON begins with an ASCII character.
fn wide(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0, low, ..] if *low != 0 => Some(UTF_16BE),
        [low, 0, ..] if *low != 0 => Some(UTF_16LE),
        _ => None,
    }
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{4e00}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}')
}

/// How many characters beyond ASCII are whole in UTF-8, and how many sequences are none.
fn utf8_characters(body: &[u8]) -> (usize, usize) {
    body.utf8_chunks().fold((0, 0), |(good, bad), chunk| {
        let whole = chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        (good + whole, bad + usize::from(!chunk.invalid().is_empty()))
    })
}

/// `text` without what is put before JSON so that it is, or is not, a script: `callback(`, `)]}',`, `while(1);`.
fn unwrapped(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
    if text.starts_with(['{', '[', '<', '"']) {
        return text;
    }
    let Some(at) = text.find(['{', '[']) else { return text };
    let is_script = |c: char| c.is_ascii_alphanumeric() || "_$.()[]{}'\",;:=/*&\n\r\t ".contains(c);
    // Words of people are not skipped: `Error: {0}` is no object.
    if at <= 80
        && text[..at].chars().all(is_script)
        && text[..at].trim_end().ends_with(['(', ',', ';', '=', '/', '\''])
    {
        &text[at..]
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &[u8], content_type: Option<&str>) -> Option<Value> {
        decode(body, content_type).0.ok()
    }

    fn gbk(text: &str) -> Vec<u8> {
        let (bytes, _, is_lossy) = encoding_rs::GBK.encode(text);
        assert!(!is_lossy);
        bytes.into_owned()
    }

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    const TEXT: &str = r#"{"title":"陶瓷马克杯 350ml","n":1}"#;

    #[test]
    fn an_answer_in_any_encoding_that_is_met_says_the_same() {
        let json = Some(json!({ "title": "陶瓷马克杯 350ml", "n": 1 }));
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        let gbk_type = Some("application/json;charset=GBK");
        let cases: [(&str, Vec<u8>, Option<&str>); 13] = [
            ("UTF-8", TEXT.into(), None),
            ("UTF-8 with a mark", marked(b"\xef\xbb\xbf", TEXT.into()), None),
            ("UTF-8 declared as GBK", TEXT.into(), gbk_type),
            ("UTF-8 declared as Latin-1", TEXT.into(), Some("text/html; charset=ISO-8859-1")),
            ("GBK declared", gbk(TEXT), gbk_type),
            ("GBK declared with quotes", gbk(TEXT), Some("application/json; charset=\"gb2312\"")),
            ("GBK not declared", gbk(TEXT), None),
            ("GBK declared as UTF-8", gbk(TEXT), Some("application/json; charset=utf-8")),
            ("UTF-16 with a mark", marked(b"\xff\xfe", utf16(TEXT, u16::to_le_bytes)), None),
            ("UTF-16 without a mark", utf16(TEXT, u16::to_le_bytes), None),
            ("UTF-16, the other order", utf16(TEXT, u16::to_be_bytes), None),
            ("UTF-8 declared as UTF-16", TEXT.into(), Some("application/json;charset=utf-16le")),
            ("UTF-16 declared", utf16(TEXT, u16::to_be_bytes), Some("application/json;charset=utf-16be")),
        ];
        for (name, bytes, content_type) in cases {
            assert_eq!(read(&bytes, content_type), json, "{name}");
        }
    }

    #[test]
    fn one_bad_byte_costs_one_character() {
        let mut bytes = TEXT.as_bytes().to_vec();
        let at = bytes.windows(3).position(|three| three == "350".as_bytes()).expect("it is there");
        bytes[at] = 0xff;
        assert_eq!(read(&bytes, None), Some(json!({ "title": "陶瓷马克杯 \u{fffd}50ml", "n": 1 })));
    }

    #[test]
    fn scripts_around_an_answer_are_taken_off() {
        for text in [
            r#"callback({"a":1});"#,
            r#"/**/jQuery_1.cb( {"a":1} )"#,
            ")]}',\n{\"a\":1}",
            r#"while(1);{"a":1}"#,
            r#"var it = {"a":1};"#,
            "\u{feff}\n {\"a\":1}\u{0}\u{0}",
        ] {
            assert_eq!(read(text.as_bytes(), None), Some(json!({ "a": 1 })), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_by_what_it_looks_like() {
        let login = "<!DOCTYPE html><html><title>login</title>";
        for (body, expected) in [
            (&b""[..], Unreadable::Foreign("empty")),
            (b" \r\n", Unreadable::Foreign("empty")),
            (login.as_bytes(), Unreadable::Foreign("an HTML page: a captcha or log-in page")),
            (b"<html>", Unreadable::Foreign("an HTML page: perhaps a captcha or log-in page")),
            (b"<?xml version='1.0'?><a/>", Unreadable::Foreign("XML")),
            (b"\x1f\x8b\x08\x00\x01\x02", Unreadable::Foreign("binary data")),
            (b"Error: {0}", Unreadable::Foreign("text that is no JSON")),
            (b"{\"success\":true,\"pro", Unreadable::Truncated),
            (b"{\"a\":[1,2", Unreadable::Truncated),
        ] {
            assert_eq!(decode(body, None).0, Err(expected), "{}", String::from_utf8_lossy(body));
        }
    }
}
