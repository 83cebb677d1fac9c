//! The short text beside an answer: for agents that read nothing else, and for people who look over their shoulders.

use std::fmt::Write as _;

use super::answers::{
    Age, CheckAnswer, Cost, MatchedPicture, NotAsked, OfferAnswer, OfferBrief, QuotaAnswer, SearchAnswer,
    SimilarAnswer,
};
use crate::printable::field;

/// Offers and pictures that the text names; the structured answer has all.
const MAX_LISTED: usize = 5;

pub(super) fn of_search(answer: &SearchAnswer) -> String {
    let mut text = match answer.verdict.as_str() {
        "hit" => format!("hit: this picture is known ({})", answer.rule.as_deref().unwrap_or("hit")),
        "review" => format!(
            "review: a stored picture stands out, but it is not certain to be the same ({})",
            answer.why.as_deref().unwrap_or("not sure enough")
        ),
        _ => "miss: this picture is not known".to_owned(),
    };
    matched(&mut text, answer.matched.as_ref());
    let known = answer.offers.len() + answer.offers_left_out;
    // Writing to a string cannot fail; so in all of this file.
    let _ = match answer.source.as_str() {
        "upstream" => write!(text, "; 1688 was asked just now: {known} offers"),
        "local" => write!(text, "; {known} offers are stored{}", aged(&answer.age)),
        _ => write!(text, "; no offers"),
    };
    for offer in answer.offers.iter().take(MAX_LISTED) {
        line(&mut text, offer);
    }
    let more = known - answer.offers.len().min(MAX_LISTED);
    if more > 0 {
        let _ = write!(text, "\n  and {more} more");
    }
    not_asked(&mut text, answer.not_asked.as_ref());
    cost(&mut text, &answer.cost);
    text
}

pub(super) fn of_check(answer: &CheckAnswer) -> String {
    let mut text = match answer.outcome.as_str() {
        "seen" => "seen: this picture is stored already".to_owned(),
        "review" => format!(
            "review: a stored picture stands out, but it is not certain to be the same ({})",
            answer.why.as_deref().unwrap_or("not sure enough")
        ),
        _ if answer.added => "new: it was not known, and is stored now".to_owned(),
        _ => "new: it is not known, and was not stored".to_owned(),
    };
    matched(&mut text, answer.matched.as_ref());
    if let Some(good) = &answer.matched_good {
        let _ = write!(text, ", the good {}", field(good));
    }
    if let Some(secs) = answer.matched_age_secs {
        let _ = write!(text, ", stored {} ago", span(secs));
    }
    cost(&mut text, &answer.cost);
    text
}

pub(super) fn of_similar(answer: &SimilarAnswer) -> String {
    let mut text = format!("{} stored pictures, best first; this is no verdict", answer.similar.len());
    for similar in answer.similar.iter().take(MAX_LISTED) {
        let _ = write!(
            text,
            "\n  {:>3} photo {} ({}) {}, stored {} ago",
            similar.similarity,
            similar.photo_id,
            similar.kind,
            field(&similar.label),
            span(similar.age_secs)
        );
    }
    cost(&mut text, &answer.cost);
    text
}

pub(super) fn of_offer(answer: &OfferAnswer) -> String {
    let mut text = match &answer.detail {
        None => "nothing is known about this offer".to_owned(),
        Some(_) if answer.source == "upstream" => "1688 was asked just now".to_owned(),
        Some(_) => format!("known{}", aged(&answer.age)),
    };
    if let Some(detail) = &answer.detail {
        line(&mut text, &detail.offer);
        let _ = write!(text, "\n  {} variants", detail.variants());
    }
    not_asked(&mut text, answer.not_asked.as_ref());
    cost(&mut text, &answer.cost);
    text
}

pub(super) fn of_quota(answer: &QuotaAnswer) -> String {
    let mut text =
        format!("{} calls were saved today, {} ever", answer.calls_saved_today, answer.calls_saved_ever);
    for paused in &answer.paused {
        let _ = write!(text, "\n{} is not asked until {}", paused.profile, paused.until);
    }
    cost(&mut text, &answer.cost);
    text
}

fn matched(text: &mut String, matched: Option<&MatchedPicture>) {
    if let Some(matched) = matched {
        let _ = write!(text, ", photo {} ({}) {}", matched.photo_id, matched.kind, field(&matched.label));
    }
}

fn line(text: &mut String, offer: &OfferBrief) {
    let price = offer.price.as_ref().map_or_else(|| "no price".to_owned(), |price| format!("¥{price}"));
    let _ = write!(text, "\n  {} {price} {}", field(&offer.offer_id), field(&offer.title));
    if let Some(pieces) = offer.min_order_quantity {
        let _ = write!(text, " (from {pieces} pieces)");
    }
    if let Some(secs) = offer.price_age_secs {
        let _ = write!(text, ", told {} ago", span(secs));
    }
}

fn aged(age: &Age) -> String {
    let old = if age.stale { ", older than they should be" } else { "" };
    age.age_secs.map_or_else(String::new, |secs| format!(", told {} ago{old}", span(secs)))
}

fn not_asked(text: &mut String, why: Option<&NotAsked>) {
    if let Some(why) = why {
        let _ = write!(text, "\n1688: {}", field(&why.message));
        if let Some(at) = &why.retry_at {
            let _ = write!(text, "; again from {at}");
        }
    }
}

/// On a line of its own, the last one.
fn cost(text: &mut String, cost: &Cost) {
    let _ = write!(text, "\nThis cost {}.", calls(cost.upstream_calls));
    let _ = match cost.calls_left_here {
        _ if !cost.may_spend => write!(text, " This connection may not spend."),
        Some(left) => write!(text, " This connection may still spend {}.", calls(left)),
        None => Ok(()),
    };
    for left in &cost.upstreams {
        let _ = write!(text, " {}.", left.sentence());
    }
}

fn calls(calls: u32) -> String {
    if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") }
}

/// A span of time in the largest unit that it has two of.
fn span(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_a_unit_that_says_something() {
        let told: Vec<String> = [0, 119, 120, 7199, 7200, 172_800].map(span).into();
        assert_eq!(told, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}
