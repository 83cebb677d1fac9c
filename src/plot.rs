//! Numbers as pictures: histograms and courses over time, as SVG that reads by day and by night.
//!
//! A panel is a fragment of [`PANEL_WIDTH`] x [`PANEL_HEIGHT`] units; a page of HTML may hold it as it is, and
//! [`document`] makes a file of several. Colours are those of the page (`--ink`, `--soft`, `--line`, `--curve`, `--bad`).

use std::fmt::Write;

pub(crate) const PANEL_WIDTH: u32 = 480;
pub(crate) const PANEL_HEIGHT: u32 = 230;

/// Where the numbers are drawn: left, top, width, height.
const AREA: (f64, f64, f64, f64) = (52.0, 34.0, 410.0, 150.0);

/// Colours of courses, by their order.
const COLOURS: [&str; 3] = ["var(--curve,#1a66c2)", "var(--bad,#b3261e)", "var(--third,#8a6d00)"];

/// Text that may stand anywhere in HTML or XML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[expect(clippy::cast_precision_loss, reason = "counts for people to look at")]
fn number(count: u64) -> f64 {
    count as f64
}

/// A round number that is no smaller: 1, 2 or 5 times a power of ten.
fn rounded_up(most: f64) -> f64 {
    let most = most.max(1.0);
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|n| *n >= most - 1e-9).unwrap_or(most)
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e4 => format!("{}k", v / 1e3),
        v => format!("{v}"),
    }
}

fn frame(title: &str, most: f64) -> String {
    let (left, top, wide, high) = AREA;
    let mut svg = format!(
        "<text x=\"{left}\" y=\"18\" class=\"plot-title\" fill=\"var(--ink,#1c1e21)\" font-weight=\"600\" \
         font-size=\"14\">{}</text>",
        escaped(title)
    );
    for share in [0.0, 0.5, 1.0] {
        let y = top + high * (1.0 - share);
        // Writing to memory does not fail.
        let _ = write!(
            svg,
            "<path d=\"M{left} {y:.1}h{wide}\" stroke=\"var(--line,#d9dce0)\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + 4.0,
            short(most * share)
        );
    }
    svg
}

/// How often values lie where, between `from` and `to`; `line` is drawn across with its name.
pub(crate) fn histogram(
    title: &str,
    values: &[f64],
    (from, to): (f64, f64),
    bins: usize,
    line: Option<(f64, &str)>,
) -> String {
    let (left, top, wide, high) = AREA;
    let mut counts = vec![0_u64; bins];
    for value in values.iter().filter(|value| value.is_finite()) {
        let share = ((value - from) / (to - from)).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to the number of bins"
        )]
        let bin = ((share * number(bins as u64)) as usize).min(bins - 1);
        counts[bin] += 1;
    }
    let most = rounded_up(number(counts.iter().copied().max().unwrap_or(0)));
    let mut svg = frame(title, most);
    let step = wide / number(bins as u64);
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // What is there shows, however little it is.
        let tall = (high * number(*count) / most).max(1.5);
        let x = left + step * number(bin as u64);
        let low = from + (to - from) * number(bin as u64) / number(bins as u64);
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"var(--curve,#1a66c2)\">\
             <title>{count} from {low:.3}</title></rect>",
            x + 0.5,
            top + high - tall,
            step - 1.0
        );
    }
    for part in 0..=4_u32 {
        let share = f64::from(part) / 4.0;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            left + wide * share,
            top + high + 17.0,
            (from + (to - from) * share) * 100.0 / 100.0
        );
    }
    if let Some((at, name)) = line {
        let share = ((at - from) / (to - from)).clamp(0.0, 1.0);
        let x = left + wide * share;
        let (anchor, dx) = if share > 0.5 { ("end", -5.0) } else { ("start", 5.0) };
        let _ = write!(
            svg,
            "<path d=\"M{x:.1} {top}v{high}\" stroke=\"var(--bad,#b3261e)\" stroke-width=\"2\" \
             stroke-dasharray=\"5 3\"/><text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\" \
             style=\"fill:var(--bad,#b3261e)\">{} {at:.3}</text>",
            x + dx,
            top + 11.0,
            escaped(name)
        );
    }
    if values.is_empty() {
        svg.push_str(&nothing());
    }
    svg
}

/// Courses over days, which are evenly spaced; each has its name and as many values as there are days.
pub(crate) fn over_time(title: &str, days: &[String], courses: &[(&str, Vec<u64>)]) -> String {
    let (left, top, wide, high) = AREA;
    let most = courses.iter().flat_map(|(_, values)| values).copied().max().unwrap_or(0);
    let most = rounded_up(number(most));
    let mut svg = frame(title, most);
    let last = number(days.len().saturating_sub(1).max(1) as u64);
    let x = |day: usize| left + wide * if days.len() == 1 { 0.5 } else { number(day as u64) / last };
    for ((name, values), (course, colour)) in courses.iter().zip(COLOURS.iter().enumerate()) {
        let mut path = String::new();
        for (day, value) in values.iter().enumerate() {
            let y = top + high * (1.0 - number(*value) / most);
            let _ = write!(path, "{}{:.1} {y:.1}", if day == 0 { "M" } else { "L" }, x(day));
            if days.len() <= 60 {
                let _ = write!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"><title>{}: {} {}</title></circle>",
                    x(day),
                    escaped(&days[day]),
                    value,
                    escaped(name)
                );
            }
        }
        let _ = write!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
        let _ = write!(
            svg,
            "<circle cx=\"{0:.1}\" cy=\"{1}\" r=\"4\" fill=\"{colour}\"/><text x=\"{2:.1}\" y=\"{3}\">{4}</text>",
            left + 6.0 + 140.0 * number(course as u64),
            top + high + 34.0,
            left + 15.0 + 140.0 * number(course as u64),
            top + high + 38.0,
            escaped(name)
        );
    }
    if let (Some(first), Some(end)) = (days.first(), days.last()) {
        let ends = if days.len() == 1 {
            vec![(first, 0.5, "middle")]
        } else {
            vec![(first, 0.0, "start"), (end, 1.0, "end")]
        };
        for (day, share, anchor) in ends {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                left + wide * share,
                top + high + 17.0,
                escaped(day)
            );
        }
    } else {
        svg.push_str(&nothing());
    }
    svg
}

fn nothing() -> String {
    let (left, top, wide, high) = AREA;
    format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">nothing yet</text>",
        left + wide / 2.0,
        top + high / 2.0
    )
}

/// A panel for a page of HTML.
pub(crate) fn in_page(panel: &str, label: &str) -> String {
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {PANEL_WIDTH} {PANEL_HEIGHT}\" role=\"img\" aria-label=\"{}\">{panel}</svg>",
        escaped(label)
    )
}

/// A file of panels, two in a row, that follows the viewer's colours.
pub(crate) fn document(panels: &[String]) -> String {
    let rows = u32::try_from(panels.len().div_ceil(2)).unwrap_or(1).max(1);
    let (width, height) = (2 * PANEL_WIDTH, rows * PANEL_HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\
         <style>:root{{--ink:#1c1e21;--soft:#62676d;--line:#d9dce0;--ground:#fff;--curve:#1a66c2;--bad:#b3261e;--third:#8a6d00}}\
         @media(prefers-color-scheme:dark){{:root{{--ink:#e7e9ec;--soft:#a0a6ad;--line:#3a3f46;--ground:#16181b;\
         --curve:#6cb0ff;--bad:#ff8a80;--third:#e0c34d}}}}\
         text{{font:12.5px system-ui,sans-serif;fill:var(--soft)}}text.plot-title{{font-size:14px;fill:var(--ink)}}</style>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"var(--ground)\"/>"
    );
    for (number, panel) in (0_u32..).zip(panels) {
        let (x, y) = (number % 2 * PANEL_WIDTH, number / 2 * PANEL_HEIGHT);
        let _ = write!(svg, "<g transform=\"translate({x} {y})\">{panel}</g>");
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bar_and_the_line_is_where_it_belongs() {
        let svg = histogram("c", &[0.0, 0.05, 0.5, 1.0, 1.0], (0.0, 1.0), 10, Some((0.75, "line")));
        assert_eq!(svg.matches("<rect").count(), 3);
        for bar in ["2 from 0.000", "1 from 0.500", "2 from 0.900"] {
            assert!(svg.contains(bar), "{svg}");
        }
        let (left, _, wide, _) = AREA;
        assert!(svg.contains(&format!("M{:.1} ", left + 0.75 * wide)), "{svg}");
    }

    #[test]
    fn what_came_from_outside_is_text() {
        let days = vec!["<b>".to_owned()];
        let svg = document(&[over_time("a & <script>", &days, &[("\"x\"", vec![3])])]);
        assert!(!svg.contains("<b>") && !svg.contains("<script>"), "{svg}");
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, end) in [(0.0, 1.0), (1.0, 1.0), (3.0, 5.0), (17.0, 20.0), (60.0, 100.0), (1000.0, 1000.0)]
        {
            assert!((rounded_up(most) - end).abs() < 1e-6, "{most}");
        }
    }
}
