//! Which values are in this JSON? NDJSON, an array, or objects one after another, each taken out of the stream by
//! itself, so that a broken one spoils no other and a large file needs no memory.

use std::io::{self, BufRead};

use super::fields::Fields;
use super::text::{Lines, TextLine};
use super::{FileProblem, MAX_ROW_BYTES, Numbered, RowProblem};

/// Brackets within brackets in one row.
const MAX_DEPTH: usize = 64;

/// Whether the text that begins with `head` is JSON, and how it is laid out. `None` for another kind of text.
pub(super) fn layout_of(head: &str, is_named_so: bool) -> Option<Layout> {
    let mut lines = lines_of(head);
    let first = lines.next()?;
    let is_object = |line: &str| line.starts_with('{') && Fields::from_json(line).is_ok();
    match first.as_bytes()[0] {
        b'[' => {
            let inner = first[1..].trim_start();
            let is_array = inner.is_empty() || inner.starts_with(['{', '"', '[', ']']);
            (is_array || is_named_so).then_some(Layout::Values)
        }
        b'{' => {
            // An object that ends in a later line is followed by lines that are none.
            let next = lines.next();
            let is_laid_out =
                is_open(first) && !is_object(first) && next.is_some_and(|line| !is_object(line));
            Some(if is_laid_out { Layout::Values } else { Layout::Lines })
        }
        // Else it is a list of paths, one of which stands in quotes.
        b'"' if serde_json::from_str::<String>(first).is_ok() && lines.all(|line| line.starts_with('"')) => {
            Some(Layout::Lines)
        }
        _ => is_named_so.then_some(Layout::Lines),
    }
}

/// Whether these first lines of a text are enough for [`layout_of`], and for the header of a table: the first that says something,
/// and one more where that leaves an object open.
pub(super) fn is_enough(head: &str) -> bool {
    let mut lines = lines_of(head);
    lines.next().is_some_and(|first| !(first.starts_with('{') && is_open(first)) || lines.next().is_some())
}

/// Lines that are neither blank nor comments.
fn lines_of(head: &str) -> impl Iterator<Item = &str> {
    head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whether the value that begins here goes on in the next line.
fn is_open(line: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A value a line.
    Lines,
    /// Values over several lines, in an array or one after another.
    Values,
}

/// A value a line.
#[derive(Debug)]
pub(super) struct JsonLines<R> {
    lines: Lines<R>,
}

impl<R: BufRead> JsonLines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { lines: Lines::new(reader, b'\n') }
    }

    pub(super) fn reader(&self) -> &R {
        &self.lines.reader
    }

    pub(super) fn next(&mut self) -> Result<Option<Numbered>, (u64, FileProblem)> {
        loop {
            let line = self.lines.next(MAX_ROW_BYTES);
            let number = self.lines.number;
            let row = match line.map_err(|error| (number, error.into()))? {
                None => return Ok(None),
                Some(TextLine::TooLong) => Err(RowProblem::TooLong { limit_bytes: MAX_ROW_BYTES }),
                Some(TextLine::Whole(line)) => {
                    let line = line.trim();
                    if line.is_empty() || line.starts_with('#') {
                        continue;
                    }
                    Fields::from_json(line)
                }
            };
            return Ok(Some((number, row)));
        }
    }
}

/// Values in an array or one after another.
#[derive(Debug)]
pub(super) struct JsonValues<R> {
    reader: R,
    line: u64,
    array: Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Array {
    Before,
    Inside { since: u64 },
    None,
    After,
}

impl<R: BufRead> JsonValues<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: 1, array: Array::Before }
    }

    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    pub(super) fn next(&mut self) -> Result<Option<Numbered>, (u64, FileProblem)> {
        loop {
            let line = self.line;
            let Some(byte) = self.peek().map_err(|error| (line, error.into()))? else {
                return match self.array {
                    Array::Inside { since } => Err((since, FileProblem::Unclosed)),
                    _ => Ok(None),
                };
            };
            match byte {
                b'#' => self.skip_line().map_err(|error| (line, error.into()))?,
                b',' | b' ' | b'\t' | b'\n' => self.consume(byte),
                b'[' if self.array == Array::Before => {
                    self.array = Array::Inside { since: line };
                    self.consume(byte);
                }
                b']' if matches!(self.array, Array::Inside { .. }) => {
                    self.array = Array::After;
                    self.consume(byte);
                }
                _ if self.array == Array::After => return Err((line, FileProblem::AfterArray)),
                _ => {
                    if self.array == Array::Before {
                        self.array = Array::None;
                    }
                    let value = self.value().map_err(|problem| (line, problem))?;
                    return Ok(Some((line, Fields::from_json(&value))));
                }
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    fn consume(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.reader.consume(1);
    }

    fn skip_line(&mut self) -> io::Result<()> {
        while self.peek()?.is_some_and(|byte| byte != b'\n') {
            self.reader.consume(1);
        }
        Ok(())
    }

    /// The text of the value that begins here.
    fn value(&mut self) -> Result<String, FileProblem> {
        let mut value = Vec::new();
        let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
        while let Some(byte) = self.peek()? {
            let is_between = matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n');
            if depth == 0 && !in_text && is_between && !value.is_empty() {
                break;
            }
            self.consume(byte);
            value.push(byte);
            if value.len() > MAX_ROW_BYTES {
                return Err(FileProblem::RowTooLong { limit_bytes: MAX_ROW_BYTES });
            }
            if in_text {
                in_text = byte != b'"' || is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
            } else if byte == b'"' {
                in_text = true;
            } else if matches!(byte, b'{' | b'[') {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(FileProblem::TooDeep { limit: MAX_DEPTH });
                }
            } else if matches!(byte, b'}' | b']') {
                depth = depth.saturating_sub(1);
            }
            if depth == 0 && !in_text && matches!(byte, b'}' | b']' | b'"') {
                return Ok(text_of(value));
            }
        }
        if depth > 0 || in_text {
            return Err(FileProblem::Unclosed);
        }
        Ok(text_of(value))
    }
}

/// The reader gives UTF-8, and values begin and end at ASCII.
fn text_of(value: Vec<u8>) -> String {
    String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::type_complexity, reason = "rows and end are compared at once")]
    fn values(text: &str) -> (Vec<(u64, bool)>, Option<(u64, String)>) {
        let mut rows = JsonValues::new(text.as_bytes());
        let mut seen = Vec::new();
        loop {
            match rows.next() {
                Ok(Some((line, row))) => seen.push((line, row.is_ok())),
                Ok(None) => return (seen, None),
                Err((line, problem)) => return (seen, Some((line, problem.to_string()))),
            }
        }
    }

    #[test]
    fn the_layout_is_told_by_the_first_lines() {
        for (head, layout) in [
            ("{\"path\":\"a\"}\n{\"path\":\"b\"}\n", Some(Layout::Lines)),
            ("{\"path\":\"a\"\n{\"path\":\"b\"}\n", Some(Layout::Lines)),
            ("# goods\n\n{\n  \"path\": \"a\"\n}\n", Some(Layout::Values)),
            ("[{\"path\":\"a\"}]", Some(Layout::Values)),
            ("[\n  {\n", Some(Layout::Values)),
            ("\"a.jpg\"\n", Some(Layout::Lines)),
            ("[a].jpg\n", None),
            ("path,id\n", None),
        ] {
            assert_eq!(layout_of(head, false), layout, "{head}");
        }
        assert_eq!(layout_of("broken\n", true), Some(Layout::Lines));
    }

    #[test]
    fn a_line_is_enough_unless_it_says_nothing_or_leaves_an_object_open() {
        for enough in ["{\"path\":\"a\"}", "a.jpg", "path,id", "[", "# goods\n\na.jpg", "{\n\"path\":\"a\""] {
            assert!(is_enough(enough), "{enough}");
        }
        for too_little in ["", "\n \n", "# goods", "{", "# goods\n{\"path\":", "{\n\n"] {
            assert!(!is_enough(too_little), "{too_little}");
        }
    }

    #[test]
    fn a_broken_value_spoils_no_other() {
        let text = "[{\"path\":\"]},{\"},\n {\"path\": nonsense},\n 7,\n {\"a\":\n{\"b\":[1]}}\n]\n";
        assert_eq!(values(text), (vec![(1, true), (2, false), (3, false), (4, true)], None));
        assert_eq!(values("{\"a\":1}\n{\n\"b\":2}{\"c\":3}").0, [(1, true), (2, true), (3, true)]);
    }

    #[test]
    fn an_array_that_was_cut_off_is_told_after_the_rows_that_are_whole() {
        let (rows, end) = values("[{\"path\":\"a\"},\n{\"path\":");
        assert_eq!((rows, end.map(|(line, _)| line)), (vec![(1, true)], Some(2)));
        assert_eq!(values("\n[{\"path\":\"a\"},\n").1.map(|(line, _)| line), Some(2));
        assert!(values("[] {}").1.is_some());
    }

    #[test]
    fn nesting_and_length_have_an_end() {
        assert!(values(&"[".repeat(100_000)).1.unwrap().1.contains("64"));
        assert!(values(&format!("[{{\"path\":\"{}", "x".repeat(MAX_ROW_BYTES))).1.is_some());
    }
}
