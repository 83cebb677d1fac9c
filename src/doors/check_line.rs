//! What is said of a checked picture, as a line of JSON, and how it is read back.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::{CheckMatch, Checked};
use crate::photo_id::PhotoId;

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Real,
    Truth,
    Text,
    /// Text of JSON in Parquet.
    List,
}

/// All columns, in their order.
pub(crate) const COLUMNS: [(&str, Kind); 24] = [
    ("row", Kind::Whole),
    ("id", Kind::Text),
    ("key", Kind::Text),
    ("source", Kind::Text),
    ("outcome", Kind::Text),
    ("photo_id", Kind::Whole),
    ("added", Kind::Truth),
    ("matched_photo_id", Kind::Whole),
    ("matched_row", Kind::Whole),
    ("matched_label", Kind::Text),
    ("matched_good", Kind::Text),
    ("rule", Kind::Text),
    ("score", Kind::Real),
    ("confidence", Kind::Real),
    ("why", Kind::Text),
    ("rivals", Kind::List),
    ("threshold", Kind::Real),
    ("max_false_hit", Kind::Real),
    ("compared_with", Kind::Whole),
    ("contest", Kind::List),
    ("error", Kind::Text),
    ("code", Kind::Text),
    ("offers", Kind::List),
    ("unanswered", Kind::Text),
];

/// Columns that only `--ask` fills: they are left away without it.
const OF_ASKING: [&str; 2] = ["offers", "unanswered"];

/// The columns that are printed.
#[derive(Clone, Debug)]
pub(crate) struct Columns(Vec<(&'static str, Kind)>);

impl Columns {
    /// Those of `named`, in that order; all without it.
    pub(crate) fn of(named: &[String], asks: bool) -> Result<Self, String> {
        let all = COLUMNS.into_iter().filter(|(name, _)| asks || !OF_ASKING.contains(name));
        if named.is_empty() {
            return Ok(Self(all.collect()));
        }
        let column = |name: &String| {
            let found = all.clone().find(|(column, _)| column == name);
            found.ok_or_else(|| {
                let names: Vec<&str> = all.clone().map(|(name, _)| name).collect();
                format!("there is no column {name:?}: use {}", names.join(", "))
            })
        };
        if let Some((_, twice)) =
            named.iter().enumerate().find(|(place, name)| named[..*place].contains(name))
        {
            return Err(format!("the column {twice} is named twice"));
        }
        named.iter().map(column).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(column, _)| *column == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        self.0.iter().copied()
    }
}

/// The line of a checked picture as JSON. Its fields, in any order, are those of `tongkuan check`: `row`, `id`, `key` and
/// `source` of the picture; `outcome`, `photo_id`, `added`, `matched_*`, `rule`, `score`, `confidence`, `why`, `rivals`, `threshold`,
/// `max_false_hit`, `compared_with` and `contest` of [`Checked`]; or `error` and `code`.
#[derive(Clone, Debug, Default)]
pub struct CheckedLine(Map<String, Value>);

/// The digits of the `f32`, which a wider number would show more of.
pub(crate) fn real(value: Option<f32>) -> Value {
    value.map_or(Value::Null, |value| value.to_string().parse::<f64>().map_or(Value::Null, Value::from))
}

pub(crate) fn text_of(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

impl CheckedLine {
    /// Of a row, with its name and the user's own key for it.
    #[must_use]
    pub fn new(row: u64, id: &str, key: Option<&str>) -> Self {
        let mut line = Self::default();
        line.set("row", row);
        line.set("id", id);
        line.set("key", key);
        line
    }

    /// Where the picture was found: its path or address, or the archive or table that holds it, and where in that.
    #[must_use]
    pub fn found_at(mut self, source: Option<&str>) -> Self {
        self.set("source", source);
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// What became of it.
    pub fn take_checked(&mut self, checked: &Checked) {
        let number = |photo_id: Option<PhotoId>| photo_id.map(|photo_id| photo_id.0);
        self.set("outcome", text_of(checked.outcome));
        self.set("photo_id", number(checked.photo_id));
        self.set("added", checked.added);
        if let Some(CheckMatch { photo_id, row, label, good, .. }) = &checked.matched {
            self.set("matched_photo_id", number(*photo_id));
            self.set("matched_row", *row);
            self.set("matched_label", label.as_str());
            self.set("matched_good", good.as_ref().map(ToString::to_string));
        }
        self.set("rule", text_of(checked.rule));
        self.set("score", real(checked.score));
        self.set("confidence", real(checked.confidence));
        self.set("why", text_of(checked.why));
        let rivals: Vec<i64> = checked.rivals.iter().map(|rival| rival.0).collect();
        self.set("rivals", if rivals.is_empty() { Value::Null } else { rivals.into() });
        self.set("threshold", real(checked.threshold));
        self.set("max_false_hit", checked.max_false_hit);
        self.set("compared_with", checked.compared_with);
        // Its numbers with their own digits.
        let contest = checked.contest.and_then(|contest| serde_json::to_string(&contest).ok());
        self.set(
            "contest",
            contest.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or_default()),
        );
    }

    /// Why nothing became of it. `code`: of `docs/errors.md`.
    pub fn take_error(&mut self, error: &str, code: Option<&str>) {
        self.set("outcome", "error");
        self.set("error", error);
        self.set("code", code);
    }

    pub(crate) fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// Whether it has this column, if only as null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).as_str()
    }

    /// What was written by [`CheckedLine::to_json`], of any columns.
    pub(crate) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// One line of NDJSON, without its end.
    pub(crate) fn to_json(&self, columns: &Columns) -> String {
        let mut object = String::from("{");
        for (place, (name, _)) in columns.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(object, "{comma}\"{name}\":{}", self.get(name));
        }
        object.push('}');
        object
    }

    /// One line of NDJSON as `tongkuan check` prints it, without its end: all columns in their order.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Without names there is none that could be wrong.
        Columns::of(&[], false).map(|columns| self.to_json(&columns)).unwrap_or_default()
    }

    /// One line of NDJSON with all fields that are set, without its end.
    #[must_use]
    pub fn to_whole_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

/// What resuming needs of a line.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub(crate) row: u64,
    pub(crate) outcome: String,
    pub(crate) id: Option<String>,
    pub(crate) added: Option<bool>,
    pub(crate) photo_id: Option<PhotoId>,
}
