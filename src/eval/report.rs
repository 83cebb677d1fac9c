//! How does one look at an evaluation? One HTML page without links: numbers, a curve, and the worst mistakes.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rayon::prelude::*;

use super::edits::scaled_to;
use super::make::jpeg;
use super::measures::{Judged, Measures, share, sweep};
use super::summary::Summary;
use super::tables::{number, percent};
use super::{EvalError, EvaluatedQuery, Evaluation};
use crate::engine::Outcome;
use crate::photo::{Photo, PhotoLimits, read_bytes};
use crate::printable::field;
use crate::temporary::NewFile;

/// Pairs of pictures in each of the two lists of mistakes.
const MAX_PAIRS: usize = 30;
const THUMBNAIL_PX: u32 = 200;
const THUMBNAIL_QUALITY: u8 = 75;

/// The curve's drawing area, in units of the picture, which a page scales to its width.
const PLOT: (f64, f64, f64, f64) = (48.0, 12.0, 372.0, 220.0);
/// The lowest share of false hits on the axis; what lies below is drawn there.
const AXIS_FROM: f64 = 1e-4;

/// Of all pages for people: colours, tiles, tables, pairs of pictures.
pub(crate) const PAGE_STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#62676d;--line:#d9dce0;--ground:#fff;--card:#f5f6f8;--curve:#1a66c2;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e7e9ec;--soft:#a0a6ad;--line:#3a3f46;--ground:#16181b;--card:#202327;--curve:#6cb0ff;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground)}
h1{font-size:1.4rem;margin:.5rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.4rem 0}
.soft{color:var(--soft);font-size:.9rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.5rem;margin:1rem 0}
.tile{background:var(--card);border-radius:.5rem;padding:.6rem .8rem}.tile b{display:block;font-size:1.4rem}
.scroll{overflow-x:auto}table{border-collapse:separate;border-spacing:0;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--ground)}
svg{width:100%;height:auto;max-width:36rem}svg text{fill:var(--soft);font-size:12.5px}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.75rem}
figure{margin:0;background:var(--card);border-radius:.5rem;padding:.6rem}
figure div{display:grid;grid-template-columns:1fr 1fr;gap:.4rem}
figure img{width:100%;aspect-ratio:1;object-fit:contain;background:#fff;border-radius:.25rem}
figcaption{font-size:.85rem;overflow-wrap:anywhere;margin-top:.4rem}.bad{color:var(--bad);font-weight:600}
";

/// The whole page. Reads the pictures of the pairs that it shows; one that is gone is left out.
#[must_use]
pub fn html(evaluation: &Evaluation, summary: &Summary) -> String {
    page(evaluation, summary).into_string()
}

/// Writes the page to `path`, in the place of what is there.
///
/// # Errors
/// [`EvalError::Write`].
pub fn write_html(path: &Path, evaluation: &Evaluation, summary: &Summary) -> Result<(), EvalError> {
    NewFile::write(path, html(evaluation, summary).as_bytes())
        .map_err(|source| EvalError::Write { path: path.to_path_buf(), source })
}

fn page(evaluation: &Evaluation, summary: &Summary) -> Markup {
    let all = &summary.all;
    let tiles = [
        ("hits, of seen", percent(all.hit_rate)),
        ("wrong item, of seen", percent(all.wrong_item_rate)),
        ("false hits, of unseen", percent(all.false_hit_rate)),
        ("review, of all", percent(all.review_rate)),
        ("right item first", percent(all.acc_at_1)),
        ("micro-AP", number(all.micro_ap)),
    ];
    let [cutoffs, edits, negatives, times] = summary.tables();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { "Tongkuan: evaluation" }
                style { (PreEscaped(PAGE_STYLE)) }
            }
            body {
                h1 { "How good are the answers?" }
                p.soft {
                    (summary.references) " pictures stored, " (summary.queries) " searched (" (all.seen)
                    " of a stored item, " (all.unseen) " of none). Model " (field(&summary.model))
                    ". Hit from a confidence of " (format!("{:.4}", summary.threshold)) "."
                }
                div.tiles {
                    @for (what, value) in &tiles { div.tile { b { (value) } (what) } }
                }
                (cutoffs)
                h2 { "Hits against false hits" }
                p.soft { "Every threshold at once; the dot is the engine as it is now." }
                (curve(evaluation))
                (edits)
                (negatives)
                (times)
                p.soft {
                    (format!("{:.1}", summary.stored_per_second)) " pictures a second stored, "
                    (format!("{:.1}", summary.searched_per_second)) " searched, over all cores."
                }
                @if !summary.bad_lines.is_empty() {
                    h2 { (summary.bad_lines.len()) " lines did not count" }
                    p.soft {
                        @for line in summary.bad_lines.iter().take(20) { (field(line)) br; }
                    }
                }
                (mistakes(evaluation))
            }
        }
    }
}

/// The share of hits over that of false hits as inline SVG; the x axis is logarithmic.
fn curve(evaluation: &Evaluation) -> Markup {
    let judged: Vec<Judged> = evaluation.queries.iter().map(|query| query.judged).collect();
    let now = Measures::of(&judged, &[]);
    if now.seen == 0 || now.unseen == 0 {
        return html! { p { "A curve needs seen and unseen queries." } };
    }
    let (left, top, wide, high) = PLOT;
    let x = |rate: f64| left + wide * (1.0 - rate.clamp(AXIS_FROM, 1.0).log10() / AXIS_FROM.log10());
    let y = |rate: f64| top + high * (1.0 - rate);
    let bottom = top + high;
    let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
    let mut last = (0, 0);
    for step in sweep(&judged) {
        // A step to the right, then up: between two cut-offs there is nothing.
        if (step.unseen, step.right) != last {
            last = (step.unseen, step.right);
            let (false_hits, hits) = (share(step.unseen, now.unseen), share(step.right, now.seen));
            // Writing to a string cannot fail.
            let _ = write!(path, "H{:.1}V{:.1}", x(false_hits.unwrap_or(0.0)), y(hits.unwrap_or(0.0)));
        }
    }
    let false_hits = [(1e-4, "0.01 %"), (1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %"), (1.0, "100 %")];
    let hits = [(0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")];
    let rounded = |at: f64| format!("{at:.1}");
    html! {
        svg viewBox=(format!("0 0 {} {}", left + wide + 20.0, bottom + 44.0)) role="img"
            aria-label="Share of hits over share of false hits" {
            @for (rate, label) in false_hits {
                path d=(format!("M{:.1} {top}V{bottom}", x(rate))) stroke="var(--line)" {}
                text x=(rounded(x(rate))) y=(bottom + 16.0) text-anchor="middle" { (label) }
            }
            @for (rate, label) in hits {
                path d=(format!("M{left} {:.1}h{wide}", y(rate))) stroke="var(--line)" {}
                text x=(left - 6.0) y=(rounded(y(rate) + 4.0)) text-anchor="end" { (label) }
            }
            text x=(left + wide / 2.0) y=(bottom + 36.0) text-anchor="middle" {
                "unseen pictures answered (false hits)"
            }
            path d=(path) fill="none" stroke="var(--curve)" stroke-width="2" {}
            circle cx=(rounded(x(now.false_hit_rate.unwrap_or(0.0)))) cy=(rounded(y(now.hit_rate.unwrap_or(0.0))))
                r="5" fill="var(--bad)" stroke="var(--ground)" stroke-width="2" { title { "now" } }
        }
    }
}

fn mistakes(evaluation: &Evaluation) -> Markup {
    let surest_first =
        |a: &&EvaluatedQuery, b: &&EvaluatedQuery| b.judged.confidence.total_cmp(&a.judged.confidence);
    let mut wrong: Vec<&EvaluatedQuery> =
        evaluation.queries.iter().filter(|query| !query.judged.right).collect();
    wrong.sort_by(surest_first);
    wrong.sort_by_key(|query| query.judged.outcome != Outcome::Hit);
    let mut lost: Vec<&EvaluatedQuery> = evaluation
        .queries
        .iter()
        .filter(|query| query.judged.right && query.judged.outcome != Outcome::Hit)
        .collect();
    lost.sort_by(|a, b| surest_first(b, a));
    let answered = wrong.iter().filter(|query| query.judged.outcome == Outcome::Hit).count();
    let left_right = "Query left, the stored picture that came first right";
    let of_wrong =
        format!("{left_right}. {answered} were answered and come first, then those that came nearest to it.");
    let of_lost = format!(
        "{left_right}: the right one, but not sure enough for an answer. The lowest scores of {}.",
        lost.len()
    );
    html! {
        (pairs(evaluation, "Taken for another", &of_wrong, &wrong))
        (pairs(evaluation, "Not recognised", &of_lost, &lost))
    }
}

fn pairs(evaluation: &Evaluation, title: &str, what: &str, all: &[&EvaluatedQuery]) -> Markup {
    let shown = &all[..all.len().min(MAX_PAIRS)];
    let figures: Vec<Markup> = shown.par_iter().filter_map(|query| figure(evaluation, query)).collect();
    html! {
        h2 { (title) }
        p.soft { (what) }
        div.pairs { @for figure in &figures { (figure) } }
    }
}

fn figure(evaluation: &Evaluation, query: &EvaluatedQuery) -> Option<Markup> {
    let shown = evaluation.references.get(&query.best?)?.first()?;
    let asked = thumbnail(&evaluation.folder.join(&query.line.path))?;
    let reference = thumbnail(&evaluation.folder.join(&shown.path))?;
    let negative = query.line.negative.map(|negative| format!(", {negative}"));
    let edit = query.line.edit.as_deref().map(|edit| format!(", {}", field(edit)));
    Some(html! {
        figure {
            div { (asked) (reference) }
            figcaption {
                @match query.judged.outcome {
                    Outcome::Hit => span.bad { "hit" },
                    Outcome::Review => "review",
                    Outcome::Miss => "miss",
                }
                " at " (format!("{:.3}", query.judged.confidence))
                (negative.unwrap_or_default()) (edit.unwrap_or_default())
                br;
                span.soft {
                    (field(query.line.item.as_deref().unwrap_or("no item"))) " → " (field(&shown.item))
                }
            }
        }
    })
}

fn thumbnail(path: &Path) -> Option<Markup> {
    page_thumbnail(&read_bytes(path, &PhotoLimits::default()).ok()?)
}

/// A picture's file as a small picture within the page; `None` when it cannot be decoded.
pub(crate) fn page_thumbnail(bytes: &[u8]) -> Option<Markup> {
    let picture = Photo::decode(bytes, &PhotoLimits::default()).ok()?.into_image();
    let large = picture.width().max(picture.height()) > THUMBNAIL_PX;
    let small = if large { scaled_to(&picture, THUMBNAIL_PX) } else { picture };
    let data = STANDARD.encode(jpeg(&small, THUMBNAIL_QUALITY));
    Some(html! { img alt="" loading="lazy" src=(format!("data:image/jpeg;base64,{data}")); })
}
