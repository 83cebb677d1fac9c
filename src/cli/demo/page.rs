//! The demo as one HTML page without links: pictures, verdicts and what they cost.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::output::{report, write_report};
use crate::engine::{Answer, Engine, Outcome, Source};
use crate::eval::{PAGE_STYLE, page_thumbnail};
use crate::photo_id::PhotoId;
use crate::printable::field;

const STYLE: &str = "
ol{list-style:none;margin:1rem 0;padding:0}
li{display:grid;grid-template-columns:9rem 9rem 1fr;gap:.75rem;align-items:center;background:var(--card);border-radius:.5rem;padding:.6rem;margin:.6rem 0}
li figure{padding:0;background:none}li figure img{width:100%;aspect-ratio:1;object-fit:contain;background:#fff;border-radius:.25rem}
li .none{aspect-ratio:1;display:grid;place-items:center;border:1px dashed var(--line);border-radius:.25rem;color:var(--soft);font-size:.85rem;text-align:center;padding:.5rem}
.verdict{display:inline-block;font-weight:700;border:2px solid currentColor;border-radius:.35rem;padding:0 .5rem}
.hit{color:#127a35}.review{color:#8a5a00}.miss{color:var(--curve)}
@media(prefers-color-scheme:dark){.hit{color:#6fd08c}.review{color:#f0b45b}}
@media(max-width:36rem){li{grid-template-columns:1fr 1fr}li>:last-child{grid-column:1/-1}}
";

/// The searches of a demo, as they are made.
#[derive(Default)]
pub(super) struct Page {
    rows: Vec<Row>,
    /// A thumbnail of each stored photo.
    stored: HashMap<PhotoId, Markup>,
}

struct Row {
    what: String,
    picture: Option<Markup>,
    matched: Option<Markup>,
    answer: Answer,
}

impl Page {
    pub(super) fn take(&mut self, engine: &Engine, what: &str, bytes: &[u8], answer: Answer) -> Result<()> {
        let picture = page_thumbnail(bytes);
        let matched = answer.matched.as_ref().and_then(|matched| self.stored.get(&matched.photo_id)).cloned();
        if let (Some(photo_id), Some(picture)) = (engine.photo_of(bytes)?, &picture) {
            self.stored.entry(photo_id).or_insert_with(|| picture.clone());
        }
        self.rows.push(Row { what: what.to_owned(), picture, matched, answer });
        Ok(())
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        write_report(path, report::HTML, &self.html().into_string())
    }

    fn html(&self) -> Markup {
        let calls: u32 = self.rows.iter().map(|row| row.answer.upstream_calls).sum();
        let count = |verdict| self.rows.iter().filter(|row| row.answer.verdict == verdict).count();
        let tiles = [
            ("pictures searched", self.rows.len().to_string()),
            ("answered from memory", count(Outcome::Hit).to_string()),
            ("left to people", count(Outcome::Review).to_string()),
            ("calls paid for", calls.to_string()),
        ];
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    title { "Tongkuan: demo" }
                    style { (PreEscaped(PAGE_STYLE)) (PreEscaped(STYLE)) }
                }
                body {
                    h1 { "Have we seen this picture before?" }
                    p.soft {
                        "Each picture as it was searched, the stored one that it was recognised as, and what that cost. "
                        "A stand-in for 1688 was asked; what was stored is gone again."
                    }
                    div.tiles { @for (what, value) in &tiles { div.tile { b { (value) } (what) } } }
                    ol { @for row in &self.rows { (row.html()) } }
                }
            }
        }
    }
}

impl Row {
    fn html(&self) -> Markup {
        let answer = &self.answer;
        let (class, means) = match answer.verdict {
            Outcome::Hit => ("hit", "known: answered from memory"),
            Outcome::Review => ("review", "alike, but not sure enough to answer with it"),
            Outcome::Miss => ("miss", "not known before"),
        };
        html! {
            li {
                figure { @if let Some(picture) = &self.picture { (picture) } }
                @match &self.matched {
                    Some(matched) => figure { (matched) },
                    None => div.none { "nothing stored that it could be" },
                }
                div {
                    b { (field(&self.what)) }
                    p { span.verdict.(class) { (class) } " " (means) }
                    p.soft {
                        (answer.offers.len()) " offers"
                        @match answer.source {
                            Source::Local => " from memory",
                            Source::Upstream => " from 1688",
                            Source::None => "",
                        }
                        ", " (answer.upstream_calls) " calls, " (format!("{:.1}", answer.timings_ms.total)) " ms"
                        @if let Some(confidence) = answer.confidence() { ", confidence " (format!("{confidence:.3}")) }
                        @if let Some(rule) = answer.rule() { ", by " (rule) }
                    }
                }
            }
        }
    }
}

/// Shows the page in the user's browser.
pub(super) fn open(path: &Path) -> Result<()> {
    let remedy = || format!("no browser could be started; the page is {}", path.display());
    opener::open(path).with_context(remedy)
}
