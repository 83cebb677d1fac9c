//! The figures of an evaluation as tables, for a terminal and for a page alike.

use std::fmt;

use maud::{Markup, Render, html};

use super::Summary;
use crate::printable::field;

/// Columns of text; the first is a name, the others are figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    title: &'static str,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// What it shows, as a heading.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.title
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

/// For a terminal: one line a row, columns by their widest cell, no title.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for (place, (cell, width)) in cells.zip(&widths).enumerate() {
                match place {
                    0 => write!(f, "{cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)
        };
        line(&mut self.head.iter().copied())?;
        self.rows.iter().try_for_each(|row| line(&mut row.iter().map(String::as_str)))
    }
}

/// For a page, with its title.
impl Render for Table {
    fn render(&self) -> Markup {
        html! {
            h2 { (self.title) }
            div.scroll {
                table {
                    tr { @for cell in &self.head { th { (cell) } } }
                    @for row in &self.rows {
                        tr { @for cell in row { td { (cell) } } }
                    }
                }
            }
        }
    }
}

impl Summary {
    /// Hits at given shares of false hits, by edit, by kind of unseen picture, and times.
    #[must_use]
    pub fn tables(&self) -> [Table; 4] {
        [self.by_cutoff_table(), self.by_edit_table(), self.by_negative_table(), self.times_table()]
    }

    fn by_cutoff_table(&self) -> Table {
        let row = |point: &super::AtCutoff| {
            vec![
                percent(Some(point.cutoff.max_false_hit)),
                number(point.cutoff.confidence),
                percent(point.hit_rate),
                percent(point.wrong_item_rate),
                percent(point.false_hit_rate),
                percent(point.false_hit_upper),
            ]
        };
        Table {
            title: "At a given share of false hits",
            head: vec![
                "false hits allowed",
                "score from",
                "hits",
                "wrong item",
                "false hits",
                "95 % upper bound",
            ],
            rows: self.all.at_cutoffs.iter().map(row).collect(),
        }
    }

    fn by_edit_table(&self) -> Table {
        let rows = self.by_edit.iter().map(|(name, m)| {
            let at = |i: usize| percent(m.at_cutoffs.get(i).and_then(|point| point.hit_rate));
            vec![
                field(name).to_string(),
                m.seen.to_string(),
                percent(m.hit_rate),
                at(0),
                at(1),
                percent(m.wrong_item_rate),
                percent(m.acc_at_1),
                m.unseen.to_string(),
                percent(m.false_hit_rate),
                percent(m.review_rate),
            ]
        });
        Table {
            title: "By edit",
            head: vec![
                "edit",
                "seen",
                "hits",
                "at 1 % false",
                "at 0.1 %",
                "wrong item",
                "right first",
                "unseen",
                "false hits",
                "review",
            ],
            rows: rows.collect(),
        }
    }

    fn by_negative_table(&self) -> Table {
        let rows = self.by_negative.iter().map(|(name, m)| {
            let at = |i: usize| percent(m.at_cutoffs.get(i).and_then(|point| point.false_hit_rate));
            vec![
                field(name).to_string(),
                m.unseen.to_string(),
                percent(m.false_hit_rate),
                percent(m.false_hit_upper),
                at(0),
                at(1),
                percent(m.review_rate),
            ]
        });
        Table {
            title: "By kind of unseen picture",
            head: vec![
                "not stored",
                "unseen",
                "false hits",
                "95 % upper bound",
                "at 1 %",
                "at 0.1 %",
                "review",
            ],
            rows: rows.collect(),
        }
    }

    fn times_table(&self) -> Table {
        let ms = |value: Option<f64>| value.map_or_else(none, |ms| format!("{ms:.2}"));
        let rows = self.stages.iter().map(|time| {
            vec![time.stage.to_string(), time.queries.to_string(), ms(time.median_ms), ms(time.p95_ms)]
        });
        Table { title: "Time", head: vec!["stage", "searches", "median ms", "95 % ms"], rows: rows.collect() }
    }
}

/// A share as a percentage.
#[must_use]
pub fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(none, |rate| format!("{:.2} %", rate * 100.0))
}

/// A score or an average.
#[must_use]
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(none, |value| format!("{value:.4}"))
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = |name: &str, figure: &str| vec![name.to_owned(), figure.to_owned()];
        Table {
            title: "A < B",
            head: vec!["edit", "hits"],
            rows: vec![row("裁剪 & <b>", "9.00 %"), row("x", "-")],
        }
    }

    #[test]
    fn on_a_terminal_columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(table().to_string(), "edit        hits\n裁剪 & <b>  9.00 %\nx              -\n");
    }

    #[test]
    fn on_a_page_nothing_of_a_cell_is_markup() {
        let page = table().render().into_string();
        assert!(page.contains("<h2>A &lt; B</h2>"), "{page}");
        assert!(page.contains("<td>裁剪 &amp; &lt;b&gt;</td><td>9.00 %</td>"), "{page}");
    }
}
