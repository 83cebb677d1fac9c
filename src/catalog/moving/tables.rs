//! The tables of a home, whichever store they are in, and their rows as values that all of them read and write alike.

use sha2::{Digest as _, Sha256};

use super::MoveError;
use crate::catalog::CatalogError;
use crate::photo_id::PhotoId;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Integer,
    /// Yes or no, as 1 or 0.
    Flag,
    /// A number of single precision.
    Single,
    Text,
    /// A decimal number, as the text of it.
    Decimal,
    /// A SHA-256.
    Digest,
    Bytes,
    /// The CRC-32 of the bytes in the column before it.
    Sum,
}
use Kind::{Bytes, Decimal, Digest, Flag, Integer, Single, Sum, Text};

/// A table, with what both kinds of stores keep in it. Words of titles and what is looked for of a price are not among the
/// columns: they are made anew.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The first so many columns are the primary key.
    pub(crate) keys: usize,
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// Whether it is part of an export: what is under way, and what is of one machine, is not.
    pub(crate) is_exported: bool,
}

impl Table {
    /// The columns of the primary key.
    pub(crate) fn key(&self) -> &'static [(&'static str, Kind)] {
        self.columns.get(..self.keys).unwrap_or(self.columns)
    }

    /// How many rows are read at once, for rows that may be as long as a file.
    pub(crate) fn page_rows(&self) -> u32 {
        if self.columns.iter().any(|(name, _)| *name == "bytes") { 4 } else { 400 }
    }
}

/// Tables in an order that no reference minds. Turns are not among them: they are over when their process is.
pub(crate) const TABLES: [Table; 27] = [
    Table { name: "meta", keys: 1, columns: &[("key", Text), ("value", Text)], is_exported: true },
    Table {
        name: "photos",
        keys: 1,
        columns: &[
            ("photo_id", Integer),
            ("kind", Text),
            ("label", Text),
            ("pixel_digest", Digest),
            ("width_px", Integer),
            ("height_px", Integer),
            ("format", Text),
            ("added_at_ms", Integer),
            ("decoder", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "photo_bytes",
        keys: 1,
        columns: &[("byte_digest", Digest), ("photo_id", Integer)],
        is_exported: true,
    },
    Table {
        name: "embeddings",
        keys: 1,
        columns: &[("photo_id", Integer), ("vector", Bytes), ("crc32", Sum)],
        is_exported: true,
    },
    Table {
        name: "sketches",
        keys: 1,
        columns: &[("photo_id", Integer), ("sketch", Bytes), ("crc32", Sum)],
        is_exported: true,
    },
    Table {
        name: "offers",
        keys: 2,
        columns: &[("profile", Text), ("offer_id", Text), ("body", Text), ("updated_at_ms", Integer)],
        is_exported: true,
    },
    Table {
        name: "offer_categories",
        keys: 3,
        columns: &[("category_id", Integer), ("profile", Text), ("offer_id", Text)],
        is_exported: true,
    },
    Table {
        name: "answers",
        keys: 1,
        columns: &[
            ("answer_id", Integer),
            ("photo_id", Integer),
            ("profile", Text),
            ("params", Text),
            ("fetched_at_ms", Integer),
            ("total", Integer),
            ("regions", Text),
        ],
        is_exported: true,
    },
    Table {
        name: "answer_offers",
        keys: 2,
        columns: &[
            ("answer_id", Integer),
            ("rank", Integer),
            ("profile", Text),
            ("offer_id", Text),
            ("similarity", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "offer_details",
        keys: 2,
        columns: &[("profile", Text), ("offer_id", Text), ("body", Text), ("fetched_at_ms", Integer)],
        is_exported: true,
    },
    Table {
        name: "offer_history",
        keys: 3,
        columns: &[
            ("profile", Text),
            ("offer_id", Text),
            ("since_ms", Integer),
            ("until_ms", Integer),
            ("price", Decimal),
            ("promotion_price", Decimal),
            ("min_order", Integer),
            ("month_sold", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "past_answers",
        keys: 4,
        columns: &[
            ("photo_id", Integer),
            ("profile", Text),
            ("params", Text),
            ("fetched_at_ms", Integer),
            ("total", Integer),
            ("offer_ids", Text),
        ],
        is_exported: true,
    },
    Table {
        name: "watched_offers",
        keys: 1,
        columns: &[("offer_id", Text), ("watched_since_ms", Integer)],
        is_exported: true,
    },
    Table {
        name: "offer_images",
        keys: 1,
        columns: &[
            ("image_id", Integer),
            ("profile", Text),
            ("offer_id", Text),
            ("url", Text),
            ("state", Text),
            ("photo_id", Integer),
            ("attempts", Integer),
            ("trouble", Text),
        ],
        is_exported: true,
    },
    Table {
        name: "told",
        keys: 2,
        columns: &[
            ("photo_a", Integer),
            ("photo_b", Integer),
            ("same", Flag),
            ("confidence", Single),
            ("told_at_ms", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "recognised",
        keys: 1,
        columns: &[
            ("byte_digest", Digest),
            ("photo_id", Integer),
            ("score", Single),
            ("confidence", Single),
            ("max_false_hit", Single),
            ("verifier", Text),
            ("recognised_at_ms", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "refusals",
        keys: 2,
        columns: &[
            ("byte_digest", Digest),
            ("profile", Text),
            ("code", Text),
            ("message", Text),
            ("refused_at_ms", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "unreadable_answers",
        keys: 2,
        columns: &[
            ("profile", Text),
            ("question", Text),
            ("code", Text),
            ("message", Text),
            ("answered_at_ms", Integer),
        ],
        is_exported: true,
    },
    Table {
        name: "queue",
        keys: 1,
        columns: &[
            ("queue_id", Integer),
            ("reason", Text),
            ("priority", Integer),
            ("label", Text),
            ("byte_digest", Digest),
            ("bytes", Bytes),
            ("params_key", Text),
            ("params", Text),
            ("queued_at_ms", Integer),
            ("attempts", Integer),
            ("trouble", Text),
            ("source_url", Text),
        ],
        is_exported: true,
    },
    Table {
        name: "spend",
        keys: 1,
        columns: &[
            ("spend_id", Integer),
            ("profile", Text),
            ("day", Text),
            ("start_at_ms", Integer),
            ("state", Text),
        ],
        is_exported: true,
    },
    Table { name: "saved_calls", keys: 1, columns: &[("day", Text), ("calls", Integer)], is_exported: true },
    Table {
        name: "provider_counts",
        keys: 2,
        columns: &[("profile", Text), ("day", Text), ("foreign_calls", Integer), ("max_a_day", Integer)],
        is_exported: false,
    },
    Table {
        name: "breakers",
        keys: 1,
        columns: &[
            ("profile", Text),
            ("failures", Integer),
            ("until_ms", Integer),
            ("kind", Text),
            ("code", Text),
            ("message", Text),
        ],
        is_exported: false,
    },
    Table {
        name: "removals",
        keys: 1,
        columns: &[("removal_id", Integer), ("photo_id", Integer)],
        is_exported: false,
    },
    Table {
        name: "next_embeddings",
        keys: 1,
        columns: &[("photo_id", Integer), ("vector", Bytes), ("crc32", Sum)],
        is_exported: false,
    },
    Table {
        name: "check_runs",
        keys: 1,
        columns: &[("run_id", Integer), ("output", Text), ("started_at_ms", Integer)],
        is_exported: false,
    },
    Table {
        name: "check_lines",
        keys: 2,
        columns: &[("run_id", Integer), ("input_row", Integer), ("line", Text)],
        is_exported: false,
    },
];

/// Tables that number their rows, and the column: a number that was given once is not given again.
pub(crate) const NUMBERED: [(&str, &str); 7] = [
    ("photos", "photo_id"),
    ("removals", "removal_id"),
    ("queue", "queue_id"),
    ("answers", "answer_id"),
    ("spend", "spend_id"),
    ("offer_images", "image_id"),
    ("check_runs", "run_id"),
];

/// Columns that hold numbers of photos.
pub(super) const PHOTO_COLUMNS: [&str; 3] = ["photo_id", "photo_a", "photo_b"];

/// One value, as all stores have it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Single(f32),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    /// A text without what not every store can keep.
    pub(crate) fn text(text: String) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text })
    }

    fn add_to(&self, hash: &mut Sha256) {
        let mut add = |tag: u8, bytes: &[u8]| {
            hash.update([tag]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        match self {
            Self::Null => add(0, &[]),
            Self::Integer(number) => add(1, &number.to_le_bytes()),
            Self::Single(number) => add(2, &number.to_bits().to_le_bytes()),
            Self::Text(text) => add(3, text.as_bytes()),
            Self::Bytes(bytes) => add(4, bytes),
        }
    }
}

/// The values of a row, in the order of the table's columns.
pub(crate) type Row = Vec<Cell>;

/// The last number that a table has given.
pub(crate) type LastNumber = (&'static str, i64);

/// A home whose rows are read.
pub(crate) trait Rows {
    /// Rows in the order of their keys, at most `limit` after the one with these key values. Keys are compared by their bytes.
    fn rows_after(&self, table: &Table, after: Option<&[Cell]>, limit: u32)
    -> Result<Vec<Row>, CatalogError>;
    /// How many rows there are.
    fn row_count(&self, table: &Table) -> Result<u64, CatalogError>;
    /// The lowest and the highest value of a column of whole numbers; `None` where it has none.
    fn range(&self, table: &Table, column: &str) -> Result<Option<(i64, i64)>, CatalogError>;
    /// The last numbers that the tables in [`NUMBERED`] have given.
    fn last_numbers(&self) -> Result<Vec<LastNumber>, CatalogError>;
    /// What says whether photos or answers have changed meanwhile.
    fn changes(&self) -> Result<u64, CatalogError>;
}

/// A home whose rows can be read as they are at one moment, whatever is written meanwhile.
pub(crate) trait Source: Rows {
    /// Has `read` read them, once.
    fn at_once(&self, read: &mut dyn FnMut(&dyn Rows) -> Result<(), MoveError>) -> Result<(), MoveError>;
}

/// Refuses numbers that a photo cannot have, such as those that a check gives for one run alone.
///
/// # Errors
/// [`MoveError::PhotoNumber`].
pub(crate) fn check_photo_numbers(rows: &dyn Rows) -> Result<(), MoveError> {
    let refuse = |table, number| Err(MoveError::PhotoNumber { table, number });
    for table in &TABLES {
        for (column, _) in table.columns.iter().filter(|(column, _)| PHOTO_COLUMNS.contains(column)) {
            let Some((lowest, highest)) = rows.range(table, column)? else { continue };
            if let Some(number) = [lowest, highest].into_iter().find(|number| !PhotoId::is_storable(*number))
            {
                return refuse(table.name, number);
            }
        }
    }
    match rows.last_numbers()?.into_iter().find(|(table, _)| *table == "photos") {
        Some((table, last)) if last != 0 && !PhotoId::is_storable(last) => refuse(table, last),
        _ => Ok(()),
    }
}

/// Has `each` take the rows of a table after those key values, a page at a time; the last page is empty.
pub(crate) fn each_page(
    rows: &dyn Rows,
    table: &Table,
    mut after: Option<Row>,
    each: &mut dyn FnMut(Vec<Row>) -> Result<(), MoveError>,
) -> Result<(), MoveError> {
    loop {
        let page = rows.rows_after(table, after.as_deref(), table.page_rows())?;
        after = page.last().map(|last| last.iter().take(table.keys).cloned().collect());
        each(page)?;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The number of rows of a table, and the SHA-256 of all of them in the order of their keys.
pub(crate) fn sum_up(
    rows: &dyn Rows,
    table: &Table,
    counted: &mut dyn FnMut(u64),
) -> Result<(u64, [u8; 32]), MoveError> {
    let (mut hash, mut count) = (Sha256::new(), 0_u64);
    each_page(rows, table, None, &mut |page| {
        for cell in page.iter().flatten() {
            cell.add_to(&mut hash);
        }
        count += page.len() as u64;
        counted(page.len() as u64);
        Ok(())
    })?;
    Ok((count, hash.finalize().into()))
}
