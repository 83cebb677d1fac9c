//! Which rows are in this text? Whatever its layout, one after another.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use super::fields::{self, Fields, Names, Value};
use super::names::ending_of;
use super::rows::{JsonLines, JsonValues, Layout, is_enough, layout_of};
use super::table::{Table, separator_of};
use super::text::{DAMAGE, HEAD_BYTES, Lines, TextEncoding, TextLine, TextReader, start_of};
use super::{FileProblem, InputError, MAX_ROW_BYTES, MAX_TEXT_BYTES, Numbered, RowProblem};

/// Names of the column that says where a picture is.
pub const TABLE_PICTURE_NAMES: &[&str] = fields::PICTURE;

/// So many lines tell whether a text is a list of paths.
const MAX_FIRST_PATHS: usize = 50;

type Source = io::Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;
type Text = TextReader<Source>;

/// The rows of a text: NDJSON, JSON, CSV, TSV, or a list of paths.
pub struct Records {
    rows: Rows,
    is_ended: bool,
    /// The first lines of a list of paths.
    first_paths: Vec<String>,
}

enum Rows {
    Lines(JsonLines<Text>),
    Values(JsonValues<Text>),
    Table(Box<Table<Text>>),
    List(Lines<Text>),
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("is_ended", &self.is_ended).finish_non_exhaustive()
    }
}

/// The first bytes of what `reader` gives: enough to tell its kind. Does not wait for more than the line that tells it, since
/// the program that writes the next one may be waiting for an answer to this one.
pub(super) fn head_of(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match reader.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if tells_layout(&head[..filled]) {
            break;
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Whether this is the beginning of a text of which the whole lines are enough to tell how it is laid out.
fn tells_layout(so_far: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(so_far) else { return false };
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    !text.contains('\0') && is_enough(lines.trim_start_matches('\u{feff}'))
}

impl Records {
    /// The rows of the file at `path` (`-` is standard input), which must be text. `columns` are names of columns beside
    /// those of goods, by which a table's header is known.
    ///
    /// # Errors
    /// [`FileProblem`] when it cannot be read, or is no text.
    pub fn open(path: &Path, columns: &[&str]) -> Result<Self, FileProblem> {
        let mut reader: Box<dyn Read + Send> =
            if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        let head = head_of(&mut reader)?;
        match super::kind_of(&head)? {
            super::Kind::Text => Self::new(head, reader, &path.display().to_string(), columns),
            super::Kind::Zip => {
                Err(super::Archive::zip(File::open(path)?).err().unwrap_or(FileProblem::Found {
                    found: "a zip archive",
                    remedy: "unpack it and name the list in it",
                }))
            }
            super::Kind::Picture => {
                Err(FileProblem::Found { found: "a picture", remedy: "name a list of pictures" })
            }
            super::Kind::Parquet => {
                Err(FileProblem::Found { found: "a Parquet file", remedy: "save it as NDJSON or CSV" })
            }
            super::Kind::Tar | super::Kind::Gzip => Err(FileProblem::Found {
                found: "a compressed file",
                remedy: "unpack it and name the list in it",
            }),
        }
    }

    /// The rows of what begins with `head` and goes on with `rest`; the ending of `name` counts where the content leaves
    /// a doubt.
    pub(super) fn new(
        head: Vec<u8>,
        rest: Box<dyn Read + Send>,
        name: &str,
        columns: &[&str],
    ) -> Result<Self, FileProblem> {
        let Some(start) = start_of(&head) else {
            let remedy = "save it as UTF-8 text and name that file";
            return Err(FileProblem::Found { found: "no text in a known encoding", remedy });
        };
        let mut beginning = String::new();
        TextReader::new(&head[..], start, u64::MAX).read_to_string(&mut beginning)?;
        let text = TextReader::new(Cursor::new(head).chain(rest), start, MAX_TEXT_BYTES);
        let ending = ending_of(name);
        let is_json = matches!(ending.as_str(), "ndjson" | "jsonl" | "json");
        let is_table = matches!(ending.as_str(), "csv" | "tsv");
        // The content decides; the ending of the name only where that says nothing.
        let layout = layout_of(&beginning, false);
        let separator = separator_of(&beginning, false, columns);
        let (layout, separator) = match (layout, separator) {
            (None, None) => (layout_of(&beginning, is_json), separator_of(&beginning, is_table, columns)),
            found => found,
        };
        let rows = match (layout, separator) {
            _ if start.is_nul_separated => Rows::List(Lines::new(text, 0)),
            (Some(Layout::Lines), _) => Rows::Lines(JsonLines::new(text)),
            (Some(Layout::Values), _) => Rows::Values(JsonValues::new(text)),
            (None, Some(separator)) => {
                Rows::Table(Box::new(Table::open(text, separator).map_err(|(_, problem)| problem)?))
            }
            (None, None) => Rows::List(Lines::new(text, b'\n')),
        };
        let first_paths = match &rows {
            Rows::List(lines) if lines.end == b'\n' => {
                let paths = beginning
                    .lines()
                    .filter(|line| !line.trim().is_empty() && !is_comment(line.trim_start()));
                paths.take(MAX_FIRST_PATHS).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { rows, is_ended: false, first_paths })
    }

    /// Of a list of paths, the first lines; nothing of any other layout. Whether they are paths is not said by this: any
    /// text has lines.
    pub(super) fn first_paths(&self) -> &[String] {
        &self.first_paths
    }

    /// Of a table.
    pub(super) fn header(&self) -> Option<&[String]> {
        match &self.rows {
            Rows::Table(table) => Some(table.header()),
            _ => None,
        }
    }

    /// As far as it is known by now.
    #[must_use]
    pub fn encoding(&self) -> Option<TextEncoding> {
        match &self.rows {
            Rows::Lines(rows) => rows.reader().encoding(),
            Rows::Values(rows) => rows.reader().encoding(),
            Rows::Table(table) => table.reader().encoding(),
            Rows::List(lines) => lines.reader.encoding(),
        }
    }

    /// The next row and its line. After an error of the kind [`InputError::File`] there is none.
    pub(super) fn next_row(&mut self) -> Option<(u64, Result<Fields, InputError>)> {
        if self.is_ended {
            return None;
        }
        let row = match &mut self.rows {
            Rows::Lines(rows) => rows.next(),
            Rows::Values(rows) => rows.next(),
            Rows::Table(table) => table.next(),
            Rows::List(lines) => next_path(lines),
        };
        match row {
            Ok(Some((line, fields))) => Some((line, fields.map_err(Into::into))),
            Ok(None) => {
                self.is_ended = true;
                None
            }
            Err((line, problem)) => {
                self.is_ended = true;
                Some((line, Err(problem.into())))
            }
        }
    }

    /// The next row as a JSON object, with its line: the fields of `known` (a key of the object, and the names of columns
    /// that mean it), numbers as texts. The names of all other fields go to `ignored`.
    pub fn next_json(
        &mut self,
        known: &[(&str, &'static [&'static str])],
        ignored: &mut BTreeSet<String>,
    ) -> Option<(u64, Result<serde_json::Value, InputError>)> {
        let (line, fields) = self.next_row()?;
        let json = fields.map(|fields| {
            let known: &[(&str, Names)] = known;
            let (json, rest) = fields.into_json(known);
            ignored.extend(rest);
            json
        });
        Some((line, json))
    }
}

/// `# like this`; `#1.jpg` is a file.
fn is_comment(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| rest.starts_with([' ', '#', '!']) || !rest.contains(['.', '/']))
}

fn next_path(lines: &mut Lines<Text>) -> Result<Option<Numbered>, (u64, FileProblem)> {
    loop {
        let line = lines.next(MAX_ROW_BYTES);
        let number = lines.number;
        let row = match line.map_err(|error| (number, error.into()))? {
            None => return Ok(None),
            Some(TextLine::TooLong) => Err(RowProblem::TooLong { limit_bytes: MAX_ROW_BYTES }),
            Some(TextLine::Whole(path)) if path.contains(DAMAGE) => Err(RowProblem::Damaged),
            Some(TextLine::Whole(path)) => {
                if path.trim().is_empty() || lines.end == b'\n' && is_comment(path.trim_start()) {
                    continue;
                }
                let mut fields = Fields::default();
                fields.insert(fields::PICTURE[0], Value::Text(path));
                Ok(fields)
            }
        };
        return Ok(Some((number, row)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What another program has written by now; to read on would be to wait for it.
    struct Written(VecDeque<&'static str>);

    impl Read for Written {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().expect("nothing is waited for");
            buffer[..piece.len()].copy_from_slice(piece.as_bytes());
            Ok(piece.len())
        }
    }

    /// Line and picture of the first row.
    fn first_row(pieces: &[&'static str]) -> (u64, String) {
        let mut reader = Written(pieces.iter().copied().collect());
        let head = head_of(&mut reader).unwrap();
        let mut records = Records::new(head, Box::new(reader), "-", &[]).unwrap();
        let (line, fields) = records.next_row().unwrap();
        (line, fields.unwrap().text(fields::PICTURE).unwrap().unwrap().1)
    }

    #[test]
    fn a_row_is_there_as_soon_as_its_line_is_whatever_the_layout() {
        for (pieces, line, picture) in [
            (&["{\"path\":\"a.png\"}\n"][..], 1, "a.png"),
            (&["{\"path\":", "\"a.png\"}", "\n"], 1, "a.png"),
            (&["{\"path\":\"马克杯.png\"}\n"], 1, "马克杯.png"),
            (&["\u{feff}{\"path\":\"a.png\"}\n"], 1, "a.png"),
            (&["# goods\n", "\n", "{\"path\":\"a.png\"}\n"], 3, "a.png"),
            (&["{\n", "\"path\":\"a.png\"\n", "}\n"], 1, "a.png"),
            (&["[\n", "{\"path\":\"a.png\"},\n"], 2, "a.png"),
            (&["path,id\n", "a.png,A\n"], 2, "a.png"),
            (&["# goods\n", "路径,编号\n", "马克杯.png,A\n"], 3, "马克杯.png"),
            (&["a.png\n"], 1, "a.png"),
        ] {
            assert_eq!(first_row(pieces), (line, picture.to_owned()), "{pieces:?}");
        }
    }
}
