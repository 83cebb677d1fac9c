//! The sheet as text with commas.

use std::io::{self, Write};

use super::Sheet;
use super::columns::{COLUMNS, Cell, cells, landed_cost};

/// With a byte order mark, by which Excel knows UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

pub(super) fn write(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(MARK)?;
    let mut table = csv::Writer::from_writer(out);
    let kept = || COLUMNS.iter().enumerate().filter(|(_, column)| !column.is_picture);
    table.write_record(kept().map(|(_, column)| column.head(sheet.language)))?;
    for row in sheet.rows() {
        let cells = cells(&row, sheet.language);
        table.write_record(kept().map(|(place, _)| match &cells[place] {
            Cell::Text(text) => harmless(text),
            Cell::Link(url) => url.clone(),
            Cell::Number(number) | Cell::Price(number) => number.to_string(),
            Cell::Share(share) => format!("{share:.4}"),
            Cell::LandedCost => {
                landed_cost(&row, sheet.assumptions).map_or(String::new(), |cost| format!("{cost:.4}"))
            }
            Cell::Empty | Cell::Blank | Cell::Margin | Cell::Picture(_) => String::new(),
        }))?;
    }
    table.flush()
}

/// A spreadsheet takes text that begins in this way for a formula, and others write the titles and name the files.
pub(crate) fn harmless(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sheet;
    use super::*;

    #[test]
    fn a_title_is_no_formula_and_every_row_has_all_columns() {
        let mut text = Vec::new();
        write(&sheet(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut table = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let title = table.headers().unwrap().iter().position(|head| head == "Title").unwrap();
        let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 3);
        assert_eq!(&rows[0][title], "'=1+1 陶瓷马克杯");
        assert_eq!(&rows[2][title], "");
    }
}
