//! Which cells are in this table? CSV and TSV with a header, as spreadsheets write them.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use csv::{ReaderBuilder, StringRecord, Terminator};

use super::fields::{CATEGORIES, DETAIL_URL, Fields, ID, PICTURE, PRICE, TITLE, Value, normal};
use super::text::DAMAGE;
use super::{FileProblem, MAX_ROW_BYTES, Numbered, RowProblem};

/// Columns of a header, so that a row of separators is not a table.
const MAX_COLUMNS: usize = 4096;

/// How the table that begins with `head` separates its cells; `None` where its first line is no header.
///
/// `extra` are names of columns beside those of goods.
pub(super) fn separator_of(head: &str, is_named_so: bool, extra: &[&str]) -> Option<u8> {
    let mut lines = head.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut first = lines.next()?;
    if let Some(separator) = told_separator(first) {
        return Some(separator);
    }
    first = first.trim();
    let known = |separator: char| {
        let names = first.split(separator).map(|name| normal(name.trim().trim_matches('"')));
        names.filter(|name| is_known(name) || extra.contains(&name.as_str())).count()
    };
    // Of several that know as much, the last: one column alone has no separator at all.
    let counted = ['|', '\t', ';', ','].map(|separator| (known(separator), separator));
    let (known, separator) = counted.into_iter().max_by_key(|(known, _)| *known)?;
    let is_header = match known {
        0 => false,
        1 => !first.contains(separator) || is_named_so || is_picture_alone(first, separator),
        _ => true,
    };
    let fallback = ['\t', ';', ','].into_iter().max_by_key(|separator| first.matches(*separator).count());
    match (is_header, is_named_so) {
        (true, _) => u8::try_from(separator).ok(),
        (false, true) => fallback.and_then(|separator| u8::try_from(separator).ok()),
        (false, false) => None,
    }
}

/// Of several cells only the picture's is known: a header, too, as long as no cell looks like a file.
fn is_picture_alone(line: &str, separator: char) -> bool {
    let mut names = line.split(separator).map(normal);
    names.any(|name| PICTURE.contains(&name.as_str())) && !line.contains(['/', '\\', '.'])
}

fn is_known(name: &str) -> bool {
    [PICTURE, ID, TITLE, PRICE, CATEGORIES, DETAIL_URL].iter().any(|names| names.contains(&name))
}

/// `sep=;`, by which a spreadsheet tells the next one.
fn told_separator(line: &str) -> Option<u8> {
    let rest = line.strip_prefix("sep=").or_else(|| line.strip_prefix("SEP="))?;
    match rest.as_bytes() {
        [separator] if separator.is_ascii() => Some(*separator),
        _ => None,
    }
}

fn skip_line(reader: &mut impl BufRead) -> Result<(), (u64, FileProblem)> {
    super::text::Lines::new(reader, b'\n').next(MAX_ROW_BYTES).map_err(|error| (1, error.into()))?;
    Ok(())
}

/// The rows of a table.
pub(super) struct Table<R> {
    csv: csv::Reader<Bounded<R>>,
    separator: u8,
    header: Vec<String>,
    record: StringRecord,
    skipped_lines: u64,
}

impl<R> std::fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<R: BufRead> Table<R> {
    /// Reads the header.
    pub(super) fn open(mut reader: R, separator: u8) -> Result<Self, (u64, FileProblem)> {
        let mut skipped_lines = 0;
        let first = reader.fill_buf().map_err(|error| (1, error.into()))?;
        if first.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sep=")) {
            skip_line(&mut reader)?;
            skipped_lines += 1;
        }
        // Lines of comment may stand above the header; below it a row may begin with anything, also an id like #12.
        while reader.fill_buf().map_err(|error| (1, error.into()))?.first() == Some(&b'#') {
            skip_line(&mut reader)?;
            skipped_lines += 1;
        }
        let csv = ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Bounded { inner: reader, given: 0, last: b'\n' });
        let mut table =
            Self { csv, separator, header: Vec::new(), record: StringRecord::new(), skipped_lines };
        let Some(line) = table.read()? else { return Ok(table) };
        if table.record.len() > MAX_COLUMNS {
            return Err((line, FileProblem::TooManyColumns { limit: MAX_COLUMNS }));
        }
        table.header = table.record.iter().map(ToOwned::to_owned).collect();
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) =
            table.header.iter().find(|name| !name.trim().is_empty() && !seen.insert(normal(name)))
        {
            return Err((line, FileProblem::ColumnTwice { column: twice.clone() }));
        }
        Ok(table)
    }

    pub(super) fn reader(&self) -> &R {
        &self.csv.get_ref().inner
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// Reads the next record that is not blank, and gives its line.
    fn read(&mut self) -> Result<Option<u64>, (u64, FileProblem)> {
        loop {
            self.csv.get_mut().given = 0;
            let start = self.csv.position().line() + self.skipped_lines;
            match self.csv.read_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err((start, problem_of(error))),
            }
            // Counted back from its end: the reader begins a record with the blank lines before it.
            let breaks = self.record.iter().flat_map(str::bytes).filter(|&byte| byte == b'\n').count() as u64;
            // A quote that is still open at the end of the file has taken in the last line's end.
            let is_open = self.record.iter().next_back().is_some_and(|cell| cell.ends_with('\n'));
            let end = self.csv.position().line() + self.skipped_lines;
            let line = if is_open { start.max(1) } else { end.saturating_sub(breaks + 1).max(1) };
            let is_comment =
                self.record.len() == 1 && self.header.len() > 1 && self.record[0].starts_with("# ");
            // A spreadsheet writes rows of nothing but separators below the last one.
            if !is_comment && self.record.iter().any(|cell| !cell.trim().is_empty()) {
                return Ok(Some(line));
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Numbered>, (u64, FileProblem)> {
        let Some(line) = self.read()? else { return Ok(None) };
        Ok(Some((line, self.row())))
    }

    /// Whether one of the lines in `cell` after the first looks like a row of this table: as many cells, and something like
    /// a file or address where the picture stands. Then a quote was opened that is none.
    fn holds_a_row(&self, cell: &str) -> bool {
        let picture = self.header.iter().position(|name| PICTURE.contains(&normal(name).as_str()));
        let Some(picture) = picture.filter(|_| cell.contains('\n')) else { return false };
        cell.split('\n').skip(1).any(|line| {
            let cells: Vec<&str> = line.trim_end_matches('\r').split(char::from(self.separator)).collect();
            let named = cells.get(picture).copied().unwrap_or_default();
            cells.len() == self.header.len() && named.trim_matches('"').contains(['.', '/', '\\'])
        })
    }

    fn row(&self) -> Result<Fields, RowProblem> {
        let (found, wanted) = (self.record.len(), self.header.len());
        if self.record.iter().skip(wanted).any(|cell| !cell.trim().is_empty()) {
            return Err(RowProblem::Columns { found, wanted });
        }
        if self.record.iter().any(|cell| self.holds_a_row(cell)) {
            return Err(RowProblem::OpenQuote);
        }
        let mut fields = Fields::default();
        for (name, cell) in self.header.iter().zip(&self.record) {
            if cell.contains(DAMAGE) {
                return Err(RowProblem::Damaged);
            }
            if !name.trim().is_empty() {
                let cell = text_of(cell);
                let is_empty = cell.trim().is_empty();
                fields.insert(name, if is_empty { Value::Empty } else { Value::Text(cell.into_owned()) });
            }
        }
        Ok(fields)
    }
}

/// A cell's text; of `="0012"`, by which Excel is kept from making a number of an id, what stands in the quotes.
fn text_of(cell: &str) -> Cow<'_, str> {
    let formula = cell.trim().strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
    let Some(text) = formula else { return Cow::Borrowed(cell) };
    // A quote alone ends the text: the rest is a formula that is not computed here.
    let is_text = !text.replace("\"\"", "").contains('"');
    if is_text { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(cell) }
}

fn problem_of(error: csv::Error) -> FileProblem {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            FileProblem::RowTooLong { limit_bytes: MAX_ROW_BYTES }
        }
        csv::ErrorKind::Io(error) => error.into(),
        other => FileProblem::Table { problem: format!("{other:?}") },
    }
}

/// Gives no more than a row may have before the reader comes back for the next one: a quote that is not closed takes
/// all that follows into one cell. The last line gets an end, so that lines can be counted by their ends.
struct Bounded<R> {
    inner: R,
    given: usize,
    last: u8,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given > MAX_ROW_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut read = self.inner.read(buffer)?;
        if let (0, Some(first)) = (read, buffer.first_mut())
            && self.last != b'\n'
        {
            *first = b'\n';
            read = 1;
        }
        self.given += read;
        self.last = buffer[..read].last().copied().unwrap_or(b'\n');
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<(u64, Result<Vec<String>, String>)> {
        let separator = separator_of(text, true, &[]).expect("a table");
        let mut table = Table::open(text.as_bytes(), separator).expect("a header");
        let mut rows = Vec::new();
        while let Some((line, row)) = table.next().expect("a row") {
            let cells = |mut fields: Fields| {
                [PICTURE, ID, TITLE, PRICE]
                    .map(|names| fields.text(names).unwrap().map_or(String::new(), |f| f.1))
            };
            rows.push((line, row.map(|fields| cells(fields).to_vec()).map_err(|error| error.to_string())));
        }
        rows
    }

    #[test]
    fn the_separator_is_told_by_the_header() {
        for (head, separator) in [
            ("path,id,title,price\n", b','),
            ("图片;编号;标题;价格(元)\n", b';'),
            ("\"Image URL\"\t\"SKU\"\n", b'\t'),
            ("sep=|\npath|id\n", b'|'),
            ("image\na.jpg\n", b','),
        ] {
            assert_eq!(separator_of(head, false, &[]).map(char::from), Some(char::from(separator)), "{head}");
        }
        assert_eq!(separator_of("a.jpg\nb.jpg\n", false, &[]), None);
        assert_eq!(separator_of("pictures, all/image,1.jpg\n", false, &[]), None);
    }

    #[test]
    fn quotes_separators_line_ends_and_comments_are_read_as_spreadsheets_write_them() {
        let text = "# goods\npath,id,title,price\n\"a,b.jpg\",A-1,\"2\"\" cup\nred\",59\n\n# no\nc.jpg,C,,\n,,,\nd.jpg,D\n";
        let cells = |cells: [&str; 4]| Ok(cells.map(ToOwned::to_owned).to_vec());
        assert_eq!(
            rows(text),
            [
                (3, cells(["a,b.jpg", "A-1", "2\" cup\nred", "59"])),
                (7, cells(["c.jpg", "C", "", ""])),
                (9, cells(["d.jpg", "D", "", ""])),
            ]
        );
    }

    #[test]
    fn a_text_that_excel_was_kept_from_reading_as_a_number_is_that_text() {
        let rows = rows(
            "path,id,title,price\na.jpg,=\"0012\",\"=\"\"2\"\"\"\" cup\"\"\",9\nb.jpg,=A1,=\"a\"&\"b\",\n",
        );
        let cells = |cells: [&str; 4]| Ok(cells.map(ToOwned::to_owned).to_vec());
        assert_eq!(rows[0].1, cells(["a.jpg", "0012", "2\" cup", "9"]));
        assert_eq!(rows[1].1, cells(["b.jpg", "=A1", "=\"a\"&\"b\"", ""]));
    }

    #[test]
    fn a_row_with_more_cells_than_the_header_is_refused_and_the_next_is_not() {
        let rows = rows("path,id,title\na.jpg,A,red, small\nb.jpg,B,blue,\n");
        assert!(rows[0].1.as_ref().unwrap_err().contains("4 fields"), "{rows:?}");
        assert!(rows[1].1.is_ok());
    }

    #[test]
    fn a_quote_that_takes_in_the_rows_after_it_is_told() {
        for text in [
            "path,id,title\n0.jpg,A,\"open\n1.jpg,B,x\n2.jpg,C,y\n",
            "path,id,title\n0.jpg,A,\"open\n1.jpg,B,\"x\n2.jpg,C,y\n",
        ] {
            let rows = rows(text);
            assert_eq!(rows[0].0, 2);
            assert!(rows[0].1.as_ref().unwrap_err().contains("a quote opens here"), "{rows:?}");
        }
        assert!(rows("path,id,title\n0.jpg,A,\"two\nlines, one good\"\n")[0].1.is_ok());
    }

    #[test]
    fn a_row_may_begin_with_a_hash() {
        let rows = rows("# mine\nid,path\n#12,0.jpg\nA,1.jpg\n");
        let lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 4], "{rows:?}");
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_in_an_error() {
        let text = format!("path,id\n\"a.jpg,A\n{}", "b.jpg,B\n".repeat(300_000));
        let mut table = Table::open(text.as_bytes(), b',').unwrap();
        assert!(matches!(table.next(), Err((2, FileProblem::RowTooLong { .. }))));
    }

    #[test]
    fn a_column_that_stands_twice_is_named() {
        let error = Table::open("path,id,Path\n".as_bytes(), b',').unwrap_err();
        assert!(matches!(error, (1, FileProblem::ColumnTwice { column }) if column == "Path"));
    }

    proptest! {
        #[test]
        fn what_is_written_as_csv_is_read_back(titles in proptest::collection::vec("[^\r\u{FDD0}\u{feff}]{1,20}", 1..8)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["path", "id", "title", "price"]).unwrap();
            for title in &titles {
                writer.write_record(["a.jpg", "A", title, "1"]).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let read: Vec<String> = rows(&text).into_iter().map(|(_, row)| row.unwrap()[2].clone()).collect();
            let want: Vec<String> =
                titles.iter().map(|t| if t.trim().is_empty() { String::new() } else { t.clone() }).collect();
            prop_assert_eq!(read, want);
        }
    }
}
