//! How things look on a terminal: notes and progress on standard error, answers on standard output.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use super::advice;
use super::output::{Stdout, complain};
use crate::calibration::Bounds;
use crate::catalog::{DamageNote, OWN_PROFILE};
use crate::engine::{Answer, Explanation, Outcome, Progress, Source, Unanswered};
use crate::offer::{Offer, Price};
use crate::photo_id::PhotoId;
use crate::printable::{field, line};
use crate::upstream::{SearchParams, WhyNot};
use crate::verdict::Rule;
use crate::verify::Doubt;

/// Notes as lines, steps as a bar (only where standard error is a terminal).
#[derive(Debug)]
pub(super) struct Terminal {
    bar: Mutex<Option<ProgressBar>>,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { bar: Mutex::new(None) }
    }
}

impl Progress for Terminal {
    fn note(&self, text: &str) {
        complain(format_args!("{text}"));
    }

    fn damage(&self, damage: DamageNote<'_>) {
        complain(format_args!("{damage}; {}", advice::for_damage(damage)));
    }

    fn step(&self, what: &str, done: usize, of: usize) {
        let mut bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(of as u64);
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_message(what.to_owned());
        bar.set_length(of as u64);
        bar.set_position(done as u64);
        if done >= of {
            bar.finish_and_clear();
        }
    }
}

/// Whose answer it is, and what was asked beside the picture.
pub(super) fn answered(profile: &str, params: &str) -> String {
    if profile == OWN_PROFILE {
        return "own goods".to_owned();
    }
    let plain = SearchParams::default().key();
    let asked: Vec<&str> =
        params.split(';').filter(|asked| plain.split(';').all(|usual| usual != *asked)).collect();
    if asked.is_empty() {
        field(profile).to_string()
    } else {
        format!("{} ({})", field(profile), field(asked.join(", ")))
    }
}

/// The word for an outcome, at least `width` columns wide, coloured if standard output is a terminal and `NO_COLOR` is not set.
pub(super) fn coloured(outcome: Outcome, width: usize) -> String {
    let (word, code) = match outcome {
        Outcome::Hit => ("hit", 32),
        Outcome::Review => ("review", 33),
        Outcome::Miss => ("miss", 36),
    };
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { format!("{word:width$}") } else { format!("\x1b[{code}m{word:width$}\x1b[0m") }
}

/// By what a stored picture was recognised, for people.
pub(super) fn by(rule: Rule) -> &'static str {
    match rule {
        Rule::SameBytes => "by the same bytes",
        Rule::SamePixels => "by the same pixels",
        Rule::SamePicture => "by sight",
        Rule::Remembered => "by a person's word",
    }
}

/// What speaks against a stored picture, with the pictures that agree as well.
fn against(doubt: Doubt, rivals: &[PhotoId]) -> String {
    let (words, _) = doubt.in_words();
    let rivals: Vec<String> = rivals.iter().map(|photo| photo.0.to_string()).collect();
    if rivals.is_empty() { words.to_owned() } else { format!("{words}: photos {}", rivals.join(", ")) }
}

/// An answer for people: one line that says what happened, then the offers.
pub(super) fn answer(out: &mut Stdout, label: &str, answer: &Answer) -> std::io::Result<()> {
    let rule = answer.rule().map(|rule| format!(" {}", by(rule))).unwrap_or_default();
    let likeness = answer.similarity().map(|s| format!(", similarity {s}")).unwrap_or_default();
    write!(out, "{}: ", field(label))?;
    out.own(&coloured(answer.verdict, 0))?;
    writeln!(out, "{rule}{likeness}, {}", source(answer))?;
    if let Some(matched) = &answer.matched {
        writeln!(out, "  matched: photo {} ({})", matched.photo_id.0, field(&matched.label))?;
    }
    if let Some(doubt) = answer.why() {
        writeln!(out, "  but: {}", against(doubt, &answer.rivals()))?;
    }
    if let (true, Some(fetched_at)) = (answer.stale, answer.fetched_at) {
        writeln!(out, "  old: fetched {fetched_at}")?;
    }
    if answer.unanswered.as_ref().is_some_and(|unanswered| unanswered.queued) {
        writeln!(out, "  waits in the queue: `tongkuan drain` asks later")?;
    }
    for warning in &answer.warnings {
        writeln!(out, "  note: {}", line(warning))?;
    }
    advice_for(out, answer.unanswered.as_ref())?;
    for part in &answer.parts {
        let of = part.upstream.as_deref().unwrap_or("the upstream");
        let region = part.region.map(|region| format!(", part {region}")).unwrap_or_default();
        let calls =
            if part.upstream_calls == 0 { String::new() } else { format!(", {} calls", part.upstream_calls) };
        writeln!(out, "  {}{region}: {} new offers{calls}", field(of), part.new_offers)?;
    }
    offers(out, &answer.offers)?;
    if answer.filtered_out > 0 {
        let all = if answer.offers.is_empty() { "all, " } else { "" };
        writeln!(out, "  left out by --keyword or --max-min-order: {all}{}", answer.filtered_out)?;
    }
    // One is the picture's only thing, most often as large as the picture.
    if answer.suggested_regions.len() > 1 && answer.parts.iter().all(|part| part.region.is_none()) {
        let regions: Vec<String> = answer.suggested_regions.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "  goods are also seen in parts of it; --region searches for one: {}",
            regions.join("  ")
        )?;
    }
    Ok(())
}

/// What to do when nothing was asked.
pub(super) fn advice_for(out: &mut Stdout, unanswered: Option<&Unanswered>) -> std::io::Result<()> {
    match unanswered.and_then(|unanswered| advice::for_unanswered(unanswered.reason)) {
        Some(advice) => writeln!(out, "  {advice}"),
        None => Ok(()),
    }
}

/// What an answer rests on, for people.
pub(super) fn explanation(out: &mut impl Write, explain: &Explanation) -> std::io::Result<()> {
    let Some(photo_id) = explain.photo_id() else { return writeln!(out, "  because: nothing is stored") };
    let rule = explain.rule().map_or("not recognised", by);
    writeln!(out, "  because: photo {photo_id}, {rule}")?;
    if let Some(recognised) = explain.recognised() {
        writeln!(out, "    told to be the same as photo {recognised}, which was recognised")?;
    }
    let number = |value: Option<f32>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    writeln!(out, "    cosine {}, confidence {}", number(explain.score()), number(explain.confidence()))?;
    if let Some(geometry) = explain.geometry() {
        writeln!(
            out,
            "    scale {:.2}, turned {:.1} degrees{}, {} keypoints agree; {:.0} % of it in sight, over {:.0} % of the picture",
            geometry.scale,
            geometry.turn_degrees,
            if geometry.mirrored { ", mirrored" } else { "" },
            geometry.keypoints,
            geometry.overlap_stored * 100.0,
            geometry.overlap_query * 100.0
        )?;
    }
    if let Some(colours) = explain.colour_agreement() {
        writeln!(out, "    {:.0} % of what is in sight has its colour", colours * 100.0)?;
    }
    let is_by_sight = explain.rule() == Some(Rule::SamePicture) && explain.confidence().is_some();
    if is_by_sight && explain.geometry().is_none() {
        writeln!(
            out,
            "    measured at an earlier search: this very file is known since, and is not measured again"
        )?;
    }
    let promise = promised(explain.bounds(), explain.max_false_hit());
    writeln!(out, "    threshold {:.4}: {promise}, {}", explain.threshold(), explain.calibrated_on())?;
    match explain.doubt() {
        Some(doubt) => writeln!(out, "    against it: {}", against(doubt, &[])),
        None => Ok(()),
    }
}

/// What a threshold promises, for each kind of searches that must not be answered.
pub(super) fn promised(bounds: Option<Bounds>, max_false_hit: Option<f64>) -> String {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    match (bounds, max_false_hit) {
        (Some(bounds), _) => format!(
            "at most {} of searches for new pictures and {} of those for look-alikes are answered",
            percent(bounds.unseen),
            percent(bounds.look_alikes)
        ),
        (None, Some(share)) => format!("at most {} false hits", percent(share)),
        (None, None) => "nothing is promised".to_owned(),
    }
}

fn source(answer: &Answer) -> String {
    let ms = answer.timings_ms.total;
    match answer.source {
        Source::Local => format!("{} offers from the catalogue in {ms:.1} ms", answer.offers.len()),
        Source::Upstream => format!(
            "{} offers from the upstream in {ms:.0} ms, {} call(s)",
            answer.offers.len(),
            answer.upstream_calls
        ),
        Source::None => match answer.upstream_calls {
            0 => format!("no stored answer, {}, {ms:.1} ms", asked(answer.unanswered.as_ref())),
            calls => format!("no answer, {calls} call(s) in vain, {ms:.0} ms"),
        },
    }
}

/// What was done where no call was billed.
fn asked(unanswered: Option<&Unanswered>) -> &'static str {
    match unanswered.map(|unanswered| unanswered.reason) {
        Some(WhyNot::UpstreamFailed) => "asked in vain, nothing billed",
        // Said now, or remembered from a while ago.
        Some(WhyNot::QuotaSpent | WhyNot::Unreadable) => "nothing billed",
        _ => "nothing asked",
    }
}

pub(super) fn offers(out: &mut impl Write, offers: &[Offer]) -> std::io::Result<()> {
    for (rank, offer) in offers.iter().enumerate() {
        let price = offer.price.map(|p| format!("¥{p}")).unwrap_or_default();
        let company = offer.supplier.company_name.as_deref().unwrap_or("");
        writeln!(
            out,
            "  {:>2}. {:<14} {price:>9}  {}  {}",
            rank + 1,
            field(offer.offer_id.as_str()),
            field(&offer.title),
            field(company)
        )?;
        let terms = terms(offer);
        if !terms.is_empty() {
            writeln!(out, "      {}", field(&terms.join(", ")))?;
        }
    }
    Ok(())
}

/// What a buyer asks next, as far as it was told.
fn terms(offer: &Offer) -> Vec<String> {
    let price = |name: &str, price: Option<Price>| price.map(|price| format!("{name} ¥{price}"));
    let told = [
        offer.title_translated.clone(),
        price("dropship", offer.dropship_price),
        price("promotion", offer.promotion_price),
        offer.month_sold.filter(|sold| *sold > 0).map(|sold| format!("{sold} sold in 30 days")),
        offer.repurchase_percent.map(|percent| format!("{percent} % come again")),
        offer.trade_score.map(|score| format!("score {score}")),
        offer.shipping_promise.clone(),
        offer.no_reason_return.filter(|may| *may).map(|_| "7 days to send it back".to_owned()),
        offer.is_postage_free.filter(|is| *is).map(|_| "freight paid by the seller".to_owned()),
        offer.weight_grams.map(|grams| format!("{grams} g")),
        offer.supplier.address.clone(),
        offer.supplier.years.map(|years| format!("{years} years")),
        offer.is_patented.filter(|is| *is).map(|_| "patented".to_owned()),
    ];
    told.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_in_vain_is_not_called_unasked() {
        let told = |reason| {
            let message = "it was refused".to_owned();
            let why = Unanswered { reason, message, retry_at: None, queued: false, queue_failed: false };
            asked(Some(&why))
        };
        assert_eq!(told(WhyNot::UpstreamFailed), "asked in vain, nothing billed");
        assert_eq!(told(WhyNot::BudgetSpent), "nothing asked");
        assert_eq!(asked(None), "nothing asked");
    }
}
