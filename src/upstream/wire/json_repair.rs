//! JSON as it is met: a reader that forgives what has one meaning only.
//!
//! Half a surrogate pair becomes U+FFFD, `NaN` and `Infinity` become `null`, commas too many are passed over, control
//! characters and unknown escapes stand for themselves, what follows the first value is not looked at, and what is
//! nested deeper than [`MAX_DEPTH`] is skipped. Asked only when the strict reader has refused.

use serde_json::{Map, Number, Value};

/// The answers of all dialects nest less than ten deep.
const MAX_DEPTH: usize = 64;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unparsed {
    EndsEarly,
    NoJson,
}

/// The first value of `text`. An object or an array: a bare word is no answer.
pub(super) fn parse(text: &str) -> Result<Value, Unparsed> {
    let mut reader = Reader { rest: text };
    match reader.peek() {
        Some('{' | '[') => reader.value(0),
        _ => Err(Unparsed::NoJson),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// The next character that is not blank.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
        self.rest.chars().next()
    }

    fn advance(&mut self) -> Result<char, Unparsed> {
        let mut chars = self.rest.chars();
        let next = chars.next().ok_or(Unparsed::EndsEarly)?;
        self.rest = chars.as_str();
        Ok(next)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Unparsed> {
        match self.peek().ok_or(Unparsed::EndsEarly)? {
            '{' | '[' if depth >= MAX_DEPTH => self.skip_nested().map(|()| Value::Null),
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' => self.string().map(Value::String),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Unparsed> {
        self.advance()?;
        let mut object = Map::new();
        loop {
            match self.peek().ok_or(Unparsed::EndsEarly)? {
                '}' => {
                    self.advance()?;
                    return Ok(Value::Object(object));
                }
                ',' => drop(self.advance()?),
                '"' => {
                    let name = self.string()?;
                    match self.peek().ok_or(Unparsed::EndsEarly)? {
                        ':' => drop(self.advance()?),
                        _ => return Err(Unparsed::NoJson),
                    }
                    let value = self.value(depth + 1)?;
                    object.insert(name, value);
                }
                _ => return Err(Unparsed::NoJson),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Unparsed> {
        self.advance()?;
        let mut array = Vec::new();
        loop {
            match self.peek().ok_or(Unparsed::EndsEarly)? {
                ']' => {
                    self.advance()?;
                    return Ok(Value::Array(array));
                }
                ',' => drop(self.advance()?),
                '}' | ':' => return Err(Unparsed::NoJson),
                _ => array.push(self.value(depth + 1)?),
            }
        }
    }

    /// Past an object or array, without recursion.
    fn skip_nested(&mut self) -> Result<(), Unparsed> {
        let mut open = 0_usize;
        loop {
            match self.peek().ok_or(Unparsed::EndsEarly)? {
                '"' => drop(self.string()?),
                '{' | '[' => {
                    open += 1;
                    self.advance()?;
                }
                '}' | ']' => {
                    open -= 1;
                    self.advance()?;
                    if open == 0 {
                        return Ok(());
                    }
                }
                _ => drop(self.advance()?),
            }
        }
    }

    fn string(&mut self) -> Result<String, Unparsed> {
        self.advance()?;
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\']).ok_or(Unparsed::EndsEarly)?;
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end..];
            if self.advance()? == '"' {
                return Ok(text);
            }
            match self.advance()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'u' => text.push(self.escaped_character()),
                other => text.push(other),
            }
        }
    }

    /// After `\u`: a character of four hexadecimal digits, or of two such escapes.
    fn escaped_character(&mut self) -> char {
        let Some(first) = self.hex() else { return char::REPLACEMENT_CHARACTER };
        if let Some(whole) = char::from_u32(first) {
            return whole;
        }
        let before = self.rest;
        if (0xd800..0xdc00).contains(&first)
            && let Some(rest) = self.rest.strip_prefix("\\u")
        {
            self.rest = rest;
            if let Some(second @ 0xdc00..0xe000) = self.hex() {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
        self.rest = before;
        char::REPLACEMENT_CHARACTER
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = &self.rest[4..];
        u32::from_str_radix(digits, 16).ok()
    }

    /// A number, `true`, `false`, `null`, or a word that stands for no value.
    fn word(&mut self) -> Result<Value, Unparsed> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        let end = self.rest.find(|c: char| !is_part(c)).ok_or(Unparsed::EndsEarly)?;
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        let bare = word.trim_start_matches(['+', '-']);
        Ok(match word {
            "" => return Err(Unparsed::NoJson),
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            _ if matches!(bare, "null" | "None" | "undefined" | "NaN" | "nan" | "Infinity" | "inf") => {
                Value::Null
            }
            _ if bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') => number(word),
            _ => return Err(Unparsed::NoJson),
        })
    }
}

/// As a number where one means it exactly enough, else as the text that it is: `007`, `1e999`.
fn number(word: &str) -> Value {
    let plain = word.trim_start_matches('+');
    let whole =
        plain.parse::<u64>().map(Number::from).or_else(|_| plain.parse::<i64>().map(Number::from)).ok();
    match whole.or_else(|| plain.parse().ok().and_then(Number::from_f64)) {
        Some(number) => Value::Number(number),
        None => Value::String(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_one_meaning_is_read() {
        let cases = [
            (r#"{"a":"\ud83d","b":1}"#, json!({ "a": "\u{fffd}", "b": 1 })),
            (r#"{"a":"\ud83dx\ude00"}"#, json!({ "a": "\u{fffd}x\u{fffd}" })),
            (r#"{"a":"\ud83d\u0041"}"#, json!({ "a": "\u{fffd}A" })),
            (r#"{"a":"\ud83d\ude00"}"#, json!({ "a": "😀" })),
            (r#"{"a":NaN,"b":-Infinity,"c":[1,]}"#, json!({ "a": null, "b": null, "c": [1] })),
            (r#"{"a":1,,"b":2,}"#, json!({ "a": 1, "b": 2 })),
            ("{\"a\":\"two\nlines\tand\u{1}\"}", json!({ "a": "two\nlines\tand\u{1}" })),
            (r#"{"a":"\x\'"}"#, json!({ "a": "x'" })),
            (r#"{"a":1}trailing"#, json!({ "a": 1 })),
            (r#"{"a":1}{"a":2}"#, json!({ "a": 1 })),
            (r#"{"a":1,"a":2}"#, json!({ "a": 2 })),
            (r#"{"a":+5,"b":.5,"c":007}"#, json!({ "a": 5, "b": 0.5, "c": 7 })),
            (r#"{"a":1e999}"#, json!({ "a": "1e999" })),
            (r#"{"a":1048608196202797156}"#, json!({ "a": 1_048_608_196_202_797_156_u64 })),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_field_that_is_nested_beyond_reason_does_not_spoil_its_neighbours() {
        for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
            let text = format!(r#"{{"before":1,"deep":{deep},"after":"]}}"}}"#);
            let value = parse(&text).expect("readable");
            assert_eq!((&value["before"], &value["after"]), (&json!(1), &json!("]}")));
        }
    }

    #[test]
    fn half_an_answer_is_told_from_none() {
        for text in ["{", r#"{"a"#, r#"{"a":"#, r#"{"a":[1,2"#, r#"{"a":"b\"#, r#"{"a":tru"#] {
            assert_eq!(parse(text), Err(Unparsed::EndsEarly), "{text}");
        }
        for text in ["", "word", "1", "{a:1}", r#"{"a" 1}"#, r#"{"a":what}"#, "[}"] {
            assert_eq!(parse(text), Err(Unparsed::NoJson), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in r#"([\[\]{}":,\\0-9a-fu+. -]|\\ud83d){0,200}"#) {
            let _ = parse(&text);
        }

        #[test]
        fn sound_json_is_read_as_the_strict_reader_reads_it(
            strings in prop::collection::vec(".{0,20}", 0..5), number in any::<i64>(), hundredths in any::<i16>(),
        ) {
            let value = json!({ "strings": strings, "number": number, "fraction": f64::from(hundredths) / 100.0, "none": null });
            let text = value.to_string();
            let strict: Value = serde_json::from_str(&text).expect("sound");
            prop_assert_eq!(parse(&text), Ok(strict));
        }
    }
}
