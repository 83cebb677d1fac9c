//! What does this row say of a good?

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::archive::Member;
use super::fields::{CATEGORIES, DETAIL_URL, Fields, ID, PICTURE, PRICE, TITLE, Value, normal};
use super::names::name_text;
use super::price::parse_price;
use super::source::PictureSource;
use super::{Columns, RowProblem};
use crate::offer::Price;

/// A good as a source names it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What shows it.
    pub picture: PictureSource,
    /// As it was given; else the name of the picture: its path below the folder or archive, or as the list names it.
    pub id: String,
    /// Whether the input names the id; else it is the picture's place.
    pub is_id_given: bool,
    /// As it was given; else the id if that was given, else the picture's name without its ending.
    pub title: String,
    /// Of one piece.
    pub price: Option<Price>,
    /// As 1688 numbers them.
    pub category_ids: Vec<u64>,
    /// A page about it.
    pub detail_url: Option<String>,
    /// What stands in the column that was named as the key, if one was and it is not empty.
    pub key: Option<String>,
}

/// What of a row has to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// All that it says of a good.
    #[default]
    Good,
    /// The picture and the id: prices, titles and the like are not looked at.
    PictureAlone,
}

/// What the paths of a list are relative to.
#[derive(Debug)]
pub(super) enum Base {
    Folder(PathBuf),
    /// A folder in an archive, and the archive's files.
    Archive {
        folder: String,
        members: HashMap<String, Member>,
    },
}

/// A path as an id: without `./` before it, with `/` on every system.
pub(super) fn written_name(path: &str) -> String {
    path.trim().trim_start_matches("./").replace('\\', "/")
}

/// As [`written_name`], of a path as this system has it: elsewhere than on Windows `\` is a character as any other.
pub(super) fn path_name(path: &Path) -> String {
    let name = name_text(path.as_os_str());
    if cfg!(windows) { written_name(&name) } else { name.trim_start_matches("./").to_owned() }
}

/// Whether one of a table's columns says where pictures are.
pub(super) fn names_picture(header: &[String], columns: &Columns) -> bool {
    if let Some(picture) = &columns.picture {
        return header.iter().any(|name| normal(name) == normal(picture));
    }
    header.iter().any(|name| PICTURE.contains(&normal(name).as_str()))
}

impl Row {
    /// A good of which nothing but the picture is known. `name` is its id.
    pub(super) fn of_picture(picture: PictureSource, name: String) -> Self {
        Self {
            picture,
            title: stem(&name).to_owned(),
            id: name,
            is_id_given: false,
            price: None,
            category_ids: Vec::new(),
            detail_url: None,
            key: None,
        }
    }

    /// Takes the fields that it understands out of `fields`. `given` becomes the id that is given, also where the row cannot be
    /// used.
    pub(super) fn of_fields(
        fields: &mut Fields,
        base: &Base,
        wanted: Wanted,
        given: &mut Option<String>,
    ) -> Result<Self, RowProblem> {
        let there = fields.written_names();
        let written = match fields.take(PICTURE) {
            None => Err(RowProblem::NoPicture { there }),
            Some((field, Value::Empty)) => Err(RowProblem::EmptyPicture { field }),
            Some((field, Value::Text(text))) if text.trim().is_empty() => {
                Err(RowProblem::EmptyPicture { field })
            }
            Some((_, Value::Text(text) | Value::Number(text))) => Ok(text),
            Some((field, Value::Other(json))) => Err(wrong(field, &json, "a path or address")),
        };
        let own = id(fields);
        *given = own.as_ref().ok().cloned().flatten();
        let (written, own) = (written?, own?);
        let picture = match base {
            Base::Folder(folder) => PictureSource::parse(&written, folder),
            Base::Archive { folder, members } => PictureSource::parse_in(&written, folder, members),
        };
        let picture =
            picture.map_err(|problem| RowProblem::Picture { source_text: shortened(&written), problem })?;
        let plain = Self::of_picture(picture, written_name(&written));
        let plain = match own {
            Some(id) => Self { id, is_id_given: true, ..plain },
            None => plain,
        };
        if wanted == Wanted::PictureAlone {
            return Ok(plain);
        }
        let title =
            fields.text(TITLE)?.map(|(_, title)| title.trim().to_owned()).filter(|title| !title.is_empty());
        let price = match fields.text(PRICE)? {
            Some((field, text)) => {
                parse_price(&text).map_err(|problem| RowProblem::Price { field, problem })?
            }
            None => None,
        };
        let category_ids = categories(fields)?;
        let detail_url =
            fields.text(DETAIL_URL)?.map(|(_, url)| url.trim().to_owned()).filter(|url| !url.is_empty());
        let named = if plain.is_id_given { plain.id.clone() } else { plain.title };
        Ok(Self { title: title.unwrap_or(named), price, category_ids, detail_url, ..plain })
    }
}

fn wrong(field: String, found: &str, wanted: &'static str) -> RowProblem {
    RowProblem::Field { field, found: shortened(found), wanted }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

pub(super) fn id(fields: &mut Fields) -> Result<Option<String>, RowProblem> {
    let (field, text) = match fields.take(ID) {
        None | Some((_, Value::Empty)) => return Ok(None),
        Some((field, Value::Text(text))) => (field, text.trim().to_owned()),
        // Programs that keep a column as floating-point numbers write 17.0.
        Some((field, Value::Number(number))) => {
            let whole = number.strip_suffix(".0").unwrap_or(&number).to_owned();
            if whole.trim_start_matches('-').contains(['.', 'e', 'E', '-']) {
                return Err(wrong(field, &number, "an id: write it as text, in quotes"));
            }
            (field, whole)
        }
        Some((field, Value::Other(json))) => {
            return Err(wrong(field, &json, "an id: write it as text, in quotes"));
        }
    };
    match () {
        () if text.is_empty() => Ok(None),
        () if is_rounded(&text) => Err(RowProblem::Rounded { field, found: text }),
        () => Ok(Some(text)),
    }
}

/// `8.64704E+11`: what a spreadsheet makes of a long number.
fn is_rounded(text: &str) -> bool {
    let Some((digits, exponent)) = text.split_once(['E', 'e']) else { return false };
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit() || c == '.');
    let power = exponent.strip_prefix('+');
    digits.contains('.') && is_number(digits) && power.is_some_and(is_number)
}

/// Numbers in a list, or in a text that separates them.
fn categories(fields: &mut Fields) -> Result<Vec<u64>, RowProblem> {
    let (field, text) = match fields.take(CATEGORIES) {
        None | Some((_, Value::Empty)) => return Ok(Vec::new()),
        Some((field, Value::Text(text) | Value::Number(text) | Value::Other(text))) => (field, text),
    };
    let between = |c: char| {
        c.is_whitespace() || matches!(c, ',' | ';' | '|' | '>' | '/' | '[' | ']' | '"' | '，' | '、')
    };
    let numbers = text.split(between).filter(|part| !part.is_empty()).map(str::parse);
    numbers.collect::<Result<_, _>>().map_err(|_| wrong(field, &text, "a list of category numbers"))
}

/// A name without folders and ending.
fn stem(name: &str) -> &str {
    let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
    match last.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 5 => stem,
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Result<Row, RowProblem> {
        let (mut fields, base) = (Fields::from_json(json).unwrap(), Base::Folder(PathBuf::new()));
        Row::of_fields(&mut fields, &base, Wanted::Good, &mut None)
    }

    #[test]
    fn ids_are_taken_as_they_are_and_never_guessed() {
        for (json, id) in [
            (r#"{"path":"a","id":864704291266}"#, "864704291266"),
            (r#"{"path":"a","id":17.0}"#, "17"),
            (r#"{"path":"a","id":-5}"#, "-5"),
            (r#"{"path":"a","id":""}"#, "a"),
            (r#"{"path":"a","id":null}"#, "a"),
            (r#"{"path":"a","货号":" 蓝色-01 "}"#, "蓝色-01"),
            (r#"{"path":"a","id":"1E5"}"#, "1E5"),
            (r#"{"path":"./sub\\a.jpg"}"#, "sub/a.jpg"),
        ] {
            assert_eq!(row(json).unwrap().id, id, "{json}");
        }
        for json in
            [r#"{"path":"a","id":1.5}"#, r#"{"path":"a","id":["A"]}"#, r#"{"path":"a","id":"8.64704E+11"}"#]
        {
            assert!(row(json).unwrap_err().to_string().contains("\"id\""), "{json}");
        }
    }

    #[test]
    fn a_good_without_title_is_called_by_its_id_or_else_by_its_file() {
        assert_eq!(row(r#"{"path":"x/马克杯.jpg","id":"A"}"#).unwrap().title, "A");
        assert_eq!(row(r#"{"path":"x/马克杯.jpg"}"#).unwrap().title, "马克杯");
        assert_eq!(row(r#"{"图片":"a","商品名称":"杯子"}"#).unwrap().title, "杯子");
    }

    #[test]
    fn categories_are_numbers_in_a_list_or_a_text() {
        assert_eq!(row(r#"{"path":"a","category_ids":[1, 2]}"#).unwrap().category_ids, [1, 2]);
        assert_eq!(row(r#"{"path":"a","category_ids":"1; 2"}"#).unwrap().category_ids, [1, 2]);
        assert_eq!(row(r#"{"path":"a","category_id":7}"#).unwrap().category_ids, [7]);
        assert!(row(r#"{"path":"a","category_ids":"cups"}"#).is_err());
    }

    #[test]
    fn a_second_address_is_that_of_the_page() {
        let both = row(r#"{"image":"a.jpg","url":"https://detail.1688.com/offer/1.html"}"#).unwrap();
        assert_eq!(both.detail_url.as_deref(), Some("https://detail.1688.com/offer/1.html"));
        let alone = row(r#"{"url":"https://host.example/a.jpg"}"#).unwrap();
        assert!(matches!(alone.picture, PictureSource::Address(_)) && alone.detail_url.is_none());
    }

    #[test]
    fn of_a_picture_alone_nothing_else_is_looked_at_and_of_what_is_wrong_the_id_is_known() {
        let row = |json: &str, wanted| {
            let (mut given, base) = (None, Base::Folder(PathBuf::new()));
            let row = Row::of_fields(&mut Fields::from_json(json).unwrap(), &base, wanted, &mut given);
            (row.map(|row| (row.id, row.is_id_given)).map_err(|error| error.to_string()), given)
        };
        let odd = r#"{"path":"a","id":"A","price":"USD 12.99","title":["x"],"category_ids":"Shoes","detail_url":{"a":1}}"#;
        assert!(row(odd, Wanted::Good).0.is_err());
        assert_eq!(row(odd, Wanted::PictureAlone), (Ok(("A".to_owned(), true)), Some("A".to_owned())));
        for json in [odd, r#"{"path":"","id":"A"}"#, r#"{"id":"A"}"#, r#"{"path":[1],"id":"A"}"#] {
            let (outcome, given) = row(json, Wanted::Good);
            assert!(outcome.is_err() && given.as_deref() == Some("A"), "{json}: {outcome:?} {given:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let problem = |json: &str| row(json).unwrap_err().to_string();
        assert!(problem(r#"{"id":"A","bild":"a.jpg"}"#).contains("bild, id"));
        assert!(problem(r#"{"path":" ","id":"A"}"#).contains("\"path\" is empty"));
        assert!(problem(r#"{"path":"a","price":"1-2"}"#).contains("field \"price\": \"1-2\" is a range"));
        assert!(problem(r#"{"path":"ftp://host/a"}"#).contains("ftp"));
    }
}
