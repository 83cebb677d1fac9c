//! The sheet as one page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::columns::{COLUMNS, Cell, Column, cells, landed_cost};
use super::{Sheet, SheetRow};
use crate::printable::field;

const STYLE: &str = "
:root{color-scheme:light dark;--line:#d9dce0;--soft:#62676d;--ground:#fff;--card:#f5f6f8;--ink:#1c1e21}
@media(prefers-color-scheme:dark){:root{--line:#3a3f46;--soft:#a0a6ad;--ground:#16181b;--card:#202327;--ink:#e7e9ec}}
body{margin:0;font:14px/1.4 system-ui,sans-serif;color:var(--ink);background:var(--ground)}
table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:middle;max-width:22rem;overflow-wrap:anywhere}
th{position:sticky;top:0;background:var(--card);white-space:nowrap;z-index:1}
img{max-width:96px;max-height:96px;display:block;background:#fff}
.title{min-width:14rem}.long{min-width:11rem}.number{text-align:right}.number,.short{white-space:nowrap}a{color:inherit}
";

pub(super) fn html(sheet: &Sheet) -> String {
    // A page is only read, so what no upstream has told of any offer takes no room in it.
    let mut is_told = [false; COLUMNS.len()];
    for row in sheet.rows() {
        for (is_told, cell) in is_told.iter_mut().zip(cells(&row, sheet.language)) {
            *is_told |= cell != Cell::Empty;
        }
    }
    let shown = || {
        let columns = COLUMNS.iter().enumerate();
        columns.filter(move |(place, c)| is_told[*place] && !matches!(c.name, "sell_price" | "margin"))
    };
    let page: Markup = html! {
        (DOCTYPE)
        html lang=(sheet.language.of("en", "zh")) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { "Tongkuan" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                table {
                    thead { tr { @for (_, column) in shown() { th scope="col" { (column.head(sheet.language)) } } } }
                    tbody {
                        @for row in sheet.rows() {
                            @let cells = cells(&row, sheet.language);
                            tr { @for (place, column) in shown() { (cell(&cells[place], column, &row, sheet)) } }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn cell(cell: &Cell<'_>, column: &Column, row: &SheetRow<'_>, sheet: &Sheet) -> Markup {
    let number = |text: String| html! { td.number { (text) } };
    match cell {
        // Days, statuses and numbers of goods stay on one line.
        Cell::Text(text) if text.len() <= 16 => html! { td.short { (field(text)) } },
        Cell::Text(text) if column.name.starts_with("title") => html! { td.title { (field(text)) } },
        Cell::Text(text) => html! { td.long { (field(text)) } },
        Cell::Link(url) => {
            html! { td { a href=(url) rel="noreferrer noopener" target="_blank" title=(url) { (field(host_of(url))) } } }
        }
        // Fen; all digits where a price is told more finely.
        Cell::Price(value) if is_whole(value * 100.0) => number(format!("{value:.2}")),
        Cell::Number(value) | Cell::Price(value) => number(value.to_string()),
        Cell::Share(share) => number(format!("{:.1} %", share * 100.0)),
        Cell::LandedCost => {
            number(landed_cost(row, sheet.assumptions).map_or(String::new(), |cost| format!("{cost:.2}")))
        }
        Cell::Picture(jpeg) => {
            html! { td { img alt="" loading="lazy" src=(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))); } }
        }
        Cell::Empty | Cell::Blank | Cell::Margin => html! { td {} },
    }
}

/// But for what binary fractions lose.
fn is_whole(number: f64) -> bool {
    (number - number.round()).abs() < 1e-6
}

/// What a link is called: an address takes more room than all else that is told of an offer.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::super::Language;
    use super::super::tests::sheet;
    use super::*;

    #[test]
    fn a_page_has_a_row_for_each_and_escapes_what_sellers_write() {
        let mut sheet = sheet();
        sheet.language = Language::Chinese;
        sheet.pictures[0].offers[0].offer.title = "<script>杯".to_owned();
        let page = html(&sheet);
        assert_eq!(page.matches("<tr>").count(), 4);
        assert!(page.contains("&lt;script&gt;杯") && !page.contains("<script>"), "{page}");
        assert!(
            page.contains("状态") && page.contains(">12.50<") && page.contains(">detail.1688.com<"),
            "{page}"
        );
        assert!(!page.contains("复购率"), "nothing tells of it");
        sheet.pictures[0].offers[1].offer.repurchase_percent = Some(40);
        assert!(html(&sheet).contains("复购率"));
    }
}
