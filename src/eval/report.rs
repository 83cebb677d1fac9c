//! How does one look at an evaluation? One HTML page without links: numbers, a curve, and the worst mistakes.

use std::fmt::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;

use super::edits::scaled_to;
use super::make::jpeg;
use super::measures::{AtCutoff, Judged, Measures, share, sweep};
use super::summary::Summary;
use super::{Asked, EvalError, Evaluation};
use crate::engine::Outcome;
use crate::photo::{Photo, PhotoLimits, read_bytes};
use crate::printable::field;

/// Pairs of pictures in each of the two lists of mistakes.
const MAX_PAIRS: usize = 30;
const THUMBNAIL_PX: u32 = 200;
const THUMBNAIL_QUALITY: u8 = 75;

/// The curve's drawing area, in units of the picture, which a page scales to its width.
const PLOT: (f64, f64, f64, f64) = (48.0, 12.0, 372.0, 220.0);
/// The lowest share of false hits on the axis; what lies below is drawn there.
const AXIS_FROM: f64 = 1e-4;

const STYLE: &str = "
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
    let mut page = String::new();
    // Writing to memory does not fail.
    let written = write_page(&mut page, evaluation, summary);
    debug_assert!(written.is_ok());
    page
}

/// Writes the page to `path`.
///
/// # Errors
/// [`EvalError::Write`].
pub fn write_html(path: &Path, evaluation: &Evaluation, summary: &Summary) -> Result<(), EvalError> {
    let write = |source| EvalError::Write { path: path.to_path_buf(), source };
    std::fs::write(path, html(evaluation, summary)).map_err(write)
}

fn write_page(page: &mut String, evaluation: &Evaluation, summary: &Summary) -> std::fmt::Result {
    let all = &summary.all;
    write!(
        page,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Tongkuan: evaluation</title><style>{STYLE}</style><h1>How good are the answers?</h1>\
         <p class=\"soft\">{} pictures stored, {} searched ({} of a stored item, {} of none). \
         Model {}. Hit from a score of {:.4}.</p><div class=\"tiles\">",
        summary.references,
        summary.queries,
        all.seen,
        all.unseen,
        escaped(&summary.model),
        summary.threshold
    )?;
    for (what, value) in [
        ("hits, of seen", percent(all.hit_rate)),
        ("wrong item, of seen", percent(all.wrong_item_rate)),
        ("false hits, of unseen", percent(all.false_hit_rate)),
        ("review, of all", percent(all.review_rate)),
        ("right item first", percent(all.acc_at_1)),
        ("micro-AP", number(all.micro_ap)),
    ] {
        write!(page, "<div class=\"tile\"><b>{value}</b>{what}</div>")?;
    }
    page.push_str("</div>");
    cutoffs(page, &all.at_cutoffs)?;
    write!(
        page,
        "<h2>Hits against false hits</h2><p class=\"soft\">Every cut-off of the score at once; the dot is the \
         engine as it is now.</p>{}",
        curve(evaluation)?
    )?;
    edits(page, summary.by_edit.iter())?;
    negatives(page, summary.by_negative.iter())?;
    times(page, summary)?;
    if !summary.bad_lines.is_empty() {
        write!(page, "<h2>{} lines did not count</h2><p class=\"soft\">", summary.bad_lines.len())?;
        for line in summary.bad_lines.iter().take(20) {
            write!(page, "{}<br>", escaped(line))?;
        }
        page.push_str("</p>");
    }
    mistakes(page, evaluation)
}

fn cutoffs(page: &mut String, points: &[AtCutoff]) -> std::fmt::Result {
    page.push_str(
        "<h2>At a given share of false hits</h2><div class=\"scroll\"><table><tr><th>false hits allowed<th>score from\
         <th>hits<th>wrong item<th>false hits<th>95 % upper bound",
    );
    for point in points {
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            percent(Some(point.cutoff.max_false_hit)),
            number(point.cutoff.confidence),
            percent(point.hit_rate),
            percent(point.wrong_item_rate),
            percent(point.false_hit_rate),
            percent(point.false_hit_upper)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn edits<'a>(
    page: &mut String,
    groups: impl Iterator<Item = (&'a String, &'a Measures)>,
) -> std::fmt::Result {
    page.push_str(
        "<h2>By edit</h2><div class=\"scroll\"><table><tr><th><th>seen<th>hits<th>at 1 % false<th>at 0.1 %\
         <th>wrong item<th>right first<th>unseen<th>false hits<th>review",
    );
    for (name, m) in groups {
        let at = |i: usize| percent(m.at_cutoffs.get(i).and_then(|point| point.hit_rate));
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            escaped(name),
            m.seen,
            percent(m.hit_rate),
            at(0),
            at(1),
            percent(m.wrong_item_rate),
            percent(m.acc_at_1),
            m.unseen,
            percent(m.false_hit_rate),
            percent(m.review_rate)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn negatives<'a>(
    page: &mut String,
    groups: impl Iterator<Item = (&'a String, &'a Measures)>,
) -> std::fmt::Result {
    page.push_str(
        "<h2>By kind of unseen picture</h2><div class=\"scroll\"><table><tr><th><th>unseen<th>false hits\
         <th>95 % upper bound<th>at 1 %<th>at 0.1 %<th>review",
    );
    for (name, m) in groups {
        let at = |i: usize| percent(m.at_cutoffs.get(i).and_then(|point| point.false_hit_rate));
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            escaped(name),
            m.unseen,
            percent(m.false_hit_rate),
            percent(m.false_hit_upper),
            at(0),
            at(1),
            percent(m.review_rate)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn times(page: &mut String, summary: &Summary) -> std::fmt::Result {
    write!(
        page,
        "<h2>Time</h2><p class=\"soft\">{:.1} pictures a second stored, {:.1} searched, over all cores.</p>\
         <div class=\"scroll\"><table><tr><th>stage<th>searches<th>median ms<th>95 % ms",
        summary.stored_per_second, summary.searched_per_second
    )?;
    for time in &summary.stages {
        let ms = |value: Option<f64>| value.map_or("–".to_owned(), |ms| format!("{ms:.2}"));
        write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}",
            time.stage,
            time.queries,
            ms(time.median_ms),
            ms(time.p95_ms)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

/// The share of hits over that of false hits as inline SVG; the x axis is logarithmic.
fn curve(evaluation: &Evaluation) -> Result<String, std::fmt::Error> {
    let judged: Vec<Judged> = evaluation.queries.iter().map(|asked| asked.judged).collect();
    let now = Measures::of(&judged, &[]);
    if now.seen == 0 || now.unseen == 0 {
        return Ok("<p>A curve needs seen and unseen queries.</p>".to_owned());
    }
    let (left, top, wide, high) = PLOT;
    let x = |rate: f64| left + wide * (1.0 - rate.clamp(AXIS_FROM, 1.0).log10() / AXIS_FROM.log10());
    let y = |rate: f64| top + high * (1.0 - rate);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Share of hits over share of false hits\">",
        left + wide + 20.0,
        top + high + 44.0
    );
    for (rate, label) in [(1e-4, "0.01 %"), (1e-3, "0.1 %"), (1e-2, "1 %"), (1e-1, "10 %"), (1.0, "100 %")] {
        let (at, bottom) = (x(rate), top + high);
        write!(
            svg,
            "<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"var(--line)\"/>\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 16.0
        )?;
    }
    for (rate, label) in [(0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")] {
        let at = y(rate);
        write!(
            svg,
            "<path d=\"M{left} {at:.1}h{wide}\" stroke=\"var(--line)\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 6.0,
            at + 4.0
        )?;
    }
    write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">unseen pictures answered (false hits)</text>",
        left + wide / 2.0,
        top + high + 36.0
    )?;
    let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
    let mut last = (0, 0);
    for step in sweep(&judged) {
        // A step to the right, then up: between two cut-offs there is nothing.
        if (step.unseen, step.right) != last {
            last = (step.unseen, step.right);
            let (false_hits, hits) = (share(step.unseen, now.unseen), share(step.right, now.seen));
            write!(path, "H{:.1}V{:.1}", x(false_hits.unwrap_or(0.0)), y(hits.unwrap_or(0.0)))?;
        }
    }
    write!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"var(--curve)\" stroke-width=\"2\"/>")?;
    let (cx, cy) = (x(now.false_hit_rate.unwrap_or(0.0)), y(now.hit_rate.unwrap_or(0.0)));
    write!(
        svg,
        "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\" fill=\"var(--bad)\" stroke=\"var(--ground)\" stroke-width=\"2\">\
         <title>now</title></circle></svg>"
    )?;
    Ok(svg)
}

fn mistakes(page: &mut String, evaluation: &Evaluation) -> std::fmt::Result {
    let surest_first = |a: &&Asked, b: &&Asked| b.judged.confidence.total_cmp(&a.judged.confidence);
    let mut wrong: Vec<&Asked> = evaluation.queries.iter().filter(|asked| !asked.judged.right).collect();
    wrong.sort_by(surest_first);
    wrong.sort_by_key(|asked| asked.judged.outcome != Outcome::Hit);
    let mut lost: Vec<&Asked> = evaluation
        .queries
        .iter()
        .filter(|asked| asked.judged.right && asked.judged.outcome != Outcome::Hit)
        .collect();
    lost.sort_by(|a, b| surest_first(b, a));
    let answered = wrong.iter().filter(|asked| asked.judged.outcome == Outcome::Hit).count();
    let left_right = "Query left, the stored picture that came first right";
    let what =
        format!("{left_right}. {answered} were answered and come first, then those that came nearest to it.");
    pairs(page, evaluation, "Taken for another", &what, &wrong)?;
    let what = format!(
        "{left_right}: the right one, but not sure enough for an answer. The lowest scores of {}.",
        lost.len()
    );
    pairs(page, evaluation, "Not recognised", &what, &lost)
}

fn pairs(
    page: &mut String,
    evaluation: &Evaluation,
    title: &str,
    what: &str,
    all: &[&Asked],
) -> std::fmt::Result {
    let shown = &all[..all.len().min(MAX_PAIRS)];
    let figures: Vec<String> = shown.par_iter().filter_map(|asked| figure(evaluation, asked)).collect();
    write!(
        page,
        "<h2>{title}</h2><p class=\"soft\">{what}</p><div class=\"pairs\">{}</div>",
        figures.concat()
    )
}

fn figure(evaluation: &Evaluation, asked: &Asked) -> Option<String> {
    let shown = evaluation.references.get(&asked.best?)?.first()?;
    let (query, reference) = (
        thumbnail(&evaluation.folder.join(&asked.line.path))?,
        thumbnail(&evaluation.folder.join(&shown.path))?,
    );
    let outcome = match asked.judged.outcome {
        Outcome::Hit => "<span class=\"bad\">hit</span>",
        Outcome::Review => "review",
        Outcome::Miss => "miss",
    };
    let negative = asked.line.negative.map(|negative| format!(", {negative}")).unwrap_or_default();
    let edit = asked.line.edit.as_deref().map(|edit| format!(", {}", escaped(edit))).unwrap_or_default();
    Some(format!(
        "<figure><div>{query}{reference}</div><figcaption>{outcome} at {:.3}{negative}{edit}<br>\
         <span class=\"soft\">{} → {}</span></figcaption></figure>",
        asked.judged.confidence,
        escaped(asked.line.item.as_deref().unwrap_or("no item")),
        escaped(&shown.item)
    ))
}

fn thumbnail(path: &Path) -> Option<String> {
    let bytes = read_bytes(path, &PhotoLimits::default()).ok()?;
    let picture = Photo::decode(&bytes, &PhotoLimits::default()).ok()?.into_image();
    let large = picture.width().max(picture.height()) > THUMBNAIL_PX;
    let small = if large { scaled_to(&picture, THUMBNAIL_PX) } else { picture };
    let data = STANDARD.encode(jpeg(&small, THUMBNAIL_QUALITY));
    Some(format!("<img alt=\"\" loading=\"lazy\" src=\"data:image/jpeg;base64,{data}\">"))
}

fn percent(rate: Option<f64>) -> String {
    rate.map_or("–".to_owned(), |rate| format!("{:.2} %", rate * 100.0))
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.4}"))
}

/// Text that may stand anywhere in HTML, as one line.
fn escaped(text: &str) -> String {
    field(text)
        .to_string()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
