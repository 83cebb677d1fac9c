//! May a file that is there give way to a new sheet?

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::{Map, Value};

use super::columns::COLUMNS;
use super::{Form, Language};

/// So much is looked at of the beginning of a file, and of the properties of a workbook, in bytes.
const HEAD_BYTES: u64 = 64 << 10;
/// The longest line of a picture, in bytes: 50 offers with all their variants.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Whether the file holds nothing, or a sheet as [`Sheet::write`](super::Sheet::write) writes one of this form. A workbook that
/// was saved by another program since is none: it may hold a person's prices.
///
/// # Errors
/// When it cannot be read.
pub fn may_replace(path: &Path, form: Form) -> io::Result<bool> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let file = BufReader::new(file);
    match form {
        Form::Workbook => Ok(is_workbook_as_written(file).unwrap_or(false)),
        Form::Table => has_our_heads(file),
        Form::Lines => begins_with_a_picture(file),
        Form::Page => is_page(file),
    }
}

/// What saves a workbook tells when, beside the time at which it was made.
fn is_workbook_as_written(file: BufReader<File>) -> Option<bool> {
    let mut book = zip::ZipArchive::new(file).ok()?;
    let mut properties = String::new();
    book.by_name("docProps/core.xml").ok()?.take(HEAD_BYTES).read_to_string(&mut properties).ok()?;
    let time = |name: &str| {
        let (_, element) = properties.split_once(&format!("<dcterms:{name}"))?;
        Some(element.split_once('>')?.1.split_once('<')?.0)
    };
    let is_ours = properties.contains("<dc:title>Tongkuan</dc:title>");
    Some(is_ours && time("created")? == time("modified")?)
}

/// By the first of them, which are those of earlier versions, too.
fn has_our_heads(mut file: BufReader<File>) -> io::Result<bool> {
    if file.fill_buf()?.starts_with("\u{feff}".as_bytes()) {
        file.consume(3);
    }
    let mut table = csv::Reader::from_reader(file.take(HEAD_BYTES));
    let Ok(heads) = table.headers() else { return Ok(false) };
    let ours = |language| COLUMNS.iter().filter(|column| !column.is_picture).map(move |c| c.head(language));
    Ok([Language::English, Language::Chinese]
        .into_iter()
        .any(|language| ours(language).take(4).eq(heads.iter().take(4))))
}

fn begins_with_a_picture(file: BufReader<File>) -> io::Result<bool> {
    let mut line = Vec::new();
    file.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    let line: Option<Map<String, Value>> = serde_json::from_slice(&line).ok();
    Ok(line.is_some_and(|line| ["id", "key", "status", "offers"].iter().all(|name| line.contains_key(*name))))
}

fn is_page(file: BufReader<File>) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    let head = String::from_utf8_lossy(&head);
    Ok(head.starts_with("<!DOCTYPE html>") && head.contains("<title>Tongkuan</title>"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::super::tests::sheet;
    use super::*;

    const FORMS: [(Form, &str); 4] = [
        (Form::Workbook, "a.xlsx"),
        (Form::Table, "a.csv"),
        (Form::Lines, "a.ndjson"),
        (Form::Page, "a.html"),
    ];

    #[test]
    fn a_sheet_of_either_language_gives_way_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        for (form, name) in FORMS {
            let path = folder.path().join(name);
            for language in [Language::English, Language::Chinese] {
                let mut sheet = sheet();
                sheet.language = language;
                sheet.write(&path, form).unwrap();
                assert!(may_replace(&path, form).unwrap(), "{name} {language:?}");
            }
            fs::write(&path, b"").unwrap();
            assert!(may_replace(&path, form).unwrap(), "nothing is lost");
        }
    }

    #[test]
    fn what_is_somebody_elses_does_not_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let others = [
            "PK\u{3}\u{4} no workbook",
            "sku,price,stock,note\nA-1,3,4,5\n",
            "{\"path\":\"a.jpg\",\"id\":\"A-1\"}\n",
            "<!DOCTYPE html><title>Accounts</title>",
        ];
        for ((form, name), other) in FORMS.into_iter().zip(others) {
            let path = folder.path().join(name);
            fs::write(&path, other).unwrap();
            assert!(!may_replace(&path, form).unwrap(), "{name}");
        }
    }

    #[test]
    fn a_workbook_that_another_program_has_saved_does_not_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.xlsx");
        for (modified, gives_way) in [("2026-01-01T10:00:00Z", true), ("2026-01-02T09:30:00Z", false)] {
            let element = |name: &str, time: &str| {
                format!("<dcterms:{name} xsi:type=\"dcterms:W3CDTF\">{time}</dcterms:{name}>")
            };
            let (created, modified) =
                (element("created", "2026-01-01T10:00:00Z"), element("modified", modified));
            let mut book = zip::ZipWriter::new(File::create(&path).unwrap());
            book.start_file("docProps/core.xml", zip::write::SimpleFileOptions::default()).unwrap();
            write!(book, "<dc:title>Tongkuan</dc:title>{created}{modified}").unwrap();
            book.finish().unwrap();
            assert_eq!(may_replace(&path, Form::Workbook).unwrap(), gives_way, "{modified}");
        }
    }
}
