//! Text from outside (titles, file names, what servers say) on a terminal, in a log or on a page: nothing in it may move
//! the cursor, change colours, begin a line of its own, or be read in another order than it stands.
//!
//! What may do so is written as in JSON (`\u001b`): visible, and in a JSON string the very same text.

use std::fmt::{self, Write as _};
use std::io;

/// Titles, names and addresses longer than this, in characters, are cut for people.
pub(crate) const MAX_FIELD_CHARS: usize = 200;

/// Whether `c` shows as itself: no control character (C0, DEL, C1), none that turns the direction of writing, none that
/// cannot be seen, no line or paragraph separator, no tag. Selectors of variants stay: Chinese names and emoji need them.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        ))
}

fn escape(c: char, out: &mut impl fmt::Write) -> fmt::Result {
    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
}

/// Shows a value as one line, and of one that is too long the beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneLine<T> {
    value: T,
    max_chars: usize,
}

/// The value as a field of a line, up to [`MAX_FIELD_CHARS`].
pub(crate) fn field<T: fmt::Display>(value: T) -> OneLine<T> {
    OneLine { value, max_chars: MAX_FIELD_CHARS }
}

/// The value as a whole line.
pub(crate) fn line<T: fmt::Display>(value: T) -> OneLine<T> {
    OneLine { value, max_chars: 4000 }
}

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Cut { out: String::new(), left: self.max_chars };
        // Only a cut ends it early: what comes after is not even made.
        let cut = write!(out, "{}", self.value).is_err();
        if cut {
            out.out.push('…');
        }
        f.pad(&out.out)
    }
}

/// Takes so many characters, escaped where needed, and then fails.
struct Cut {
    out: String,
    left: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            if is_plain(c) { self.out.push(c) } else { escape(c, &mut self.out)? }
        }
        Ok(())
    }
}

/// A writer of lines that lets nothing through but plain characters and ends of lines: the last guard, behind fields
/// that are shown by [`field`]. JSON stays the same JSON.
#[derive(Debug)]
pub(crate) struct Printable<W> {
    to: W,
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
}

impl<W: io::Write> Printable<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, begun: Vec::new() }
    }

    /// Writes text of the program's own as it is: colours.
    pub(crate) fn own(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(text.as_bytes())
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, c) in text.char_indices().filter(|&(_, c)| c != '\n' && !is_plain(c)) {
            self.to.write_all(&text.as_bytes()[plain_from..at])?;
            let mut escaped = String::new();
            let _ = escape(c, &mut escaped);
            self.to.write_all(escaped.as_bytes())?;
            plain_from = at + c.len_utf8();
        }
        self.to.write_all(&text.as_bytes()[plain_from..])
    }
}

impl<W: io::Write> io::Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.put(text)?;
                    break;
                }
                Err(error) => {
                    let (text, after) = rest.split_at(error.valid_up_to());
                    self.put(&String::from_utf8_lossy(text))?;
                    let Some(bad) = error.error_len() else {
                        self.begun = after.to_vec();
                        break;
                    };
                    self.put("\u{fffd}")?;
                    rest = &after[bad..];
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn through(pieces: &[&[u8]]) -> String {
        let mut out = Printable::new(Vec::new());
        for piece in pieces {
            out.write_all(piece).unwrap();
        }
        String::from_utf8(out.to).unwrap()
    }

    #[test]
    fn what_moves_turns_or_hides_is_written_out() {
        assert_eq!(field("red\u{1b}[31m\u{7}").to_string(), r"red\u001b[31m\u0007");
        assert_eq!(field("a\nb\r\tc\u{7f}\u{9b}2J").to_string(), r"a\u000ab\u000d\u0009c\u007f\u009b2J");
        assert_eq!(
            field("\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}").to_string(),
            r"\u202egpj.exe\u2066\u200f\u061c"
        );
        assert_eq!(field("\u{feff}\u{200b}\u{2028}\u{e0041}").to_string(), r"\ufeff\u200b\u2028\udb40\udc41");
        assert_eq!(field("马克杯 ½ é 葛\u{e0100} ❤\u{fe0f}").to_string(), "马克杯 ½ é 葛\u{e0100} ❤\u{fe0f}");
    }

    #[test]
    fn a_long_field_is_cut_and_a_short_one_is_padded() {
        assert_eq!(field("杯".repeat(MAX_FIELD_CHARS)).to_string().chars().count(), MAX_FIELD_CHARS);
        let cut = field("杯".repeat(MAX_FIELD_CHARS + 1)).to_string();
        assert_eq!((cut.chars().count(), cut.chars().last()), (MAX_FIELD_CHARS + 1, Some('…')));
        assert_eq!(format!("{:>5}|", field("ab")), "   ab|");
    }

    #[test]
    fn a_writer_lets_only_plain_text_and_ends_of_lines_through() {
        assert_eq!(through(&[b"one\ntwo\x1b[0m\n"]), "one\ntwo\\u001b[0m\n");
        assert_eq!(through(&["杯".as_bytes(), b"\n"]), "杯\n");
        // Characters in pieces, and bytes that are none.
        let cup = "杯\u{202e}".as_bytes();
        assert_eq!(through(&[&cup[..1], &cup[1..4], &cup[4..]]), "杯\\u202e");
        assert_eq!(through(&[b"a\xffb\x9bc"]), "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"t": "\u{1b}[31m\u{7f}\u{85}\u{9b}\u{202e}\u{2028}\u{e0041}\n\\\"杯"});
        let text = through(&[value.to_string().as_bytes()]);
        assert!(text.chars().all(is_plain), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
