//! How good are the answers? Pure functions of what was asked and what came back.
//!
//! Every cut-off means: a query counts as answered when its confidence is at least that much. Queries of equal
//! confidence stand or fall together.

use serde::Serialize;

use crate::calibration::upper_bound;
use crate::engine::Outcome;

/// The precisions for which the recall is told.
const PRECISIONS: [f64; 3] = [0.9, 0.99, 0.999];

/// One query as the measures see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Whether the queried item is stored.
    pub seen: bool,
    /// Whether the stored picture that came first is one of the queried item; never for an unseen one.
    pub right: bool,
    /// The number that ranks queries, -1 to 1: higher means surer that the first picture is the right one.
    pub confidence: f64,
    /// What the engine said.
    pub outcome: Outcome,
}

/// What was measured on a set of queries. A rate is `None` (`null`) where there was nothing to count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Queries whose item is stored.
    pub seen: usize,
    /// Queries whose item is not stored.
    pub unseen: usize,
    /// Of the seen: answered with the right item.
    pub hit_rate: Option<f64>,
    /// Of the seen: answered with another item.
    pub wrong_item_rate: Option<f64>,
    /// Of the unseen: answered.
    pub false_hit_rate: Option<f64>,
    /// With 95 % certainty the true share of false hits is below; see [`upper_bound`].
    pub false_hit_upper: Option<f64>,
    /// Of all: something stood out, but was not answered with.
    pub review_rate: Option<f64>,
    /// Of the seen: the right item came first, whatever the confidence.
    pub acc_at_1: Option<f64>,
    /// See [`micro_ap`].
    pub micro_ap: Option<f64>,
    /// At some precisions.
    pub recall_at_precision: Vec<RecallAtPrecision>,
    /// At cut-offs that were chosen on all queries.
    pub at_cutoffs: Vec<AtCutoff>,
}

/// The greatest share of the seen queries that some cut-off answers rightly with this precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecallAtPrecision {
    /// The share of answers that are right, 0..=1.
    pub precision: f64,
    /// `None` where nothing is seen.
    pub recall: Option<f64>,
}

/// A cut-off for a share of false hits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cutoff {
    /// The share of unseen queries that may be answered, 0 to 1.
    pub max_false_hit: f64,
    /// The lowest confidence that keeps to it; `None` when there is none, or no unseen query.
    pub confidence: Option<f64>,
}

/// What a cut-off does to a set of queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AtCutoff {
    /// The cut-off.
    #[serde(flatten)]
    pub cutoff: Cutoff,
    /// Of the seen: answered with the right item.
    pub hit_rate: Option<f64>,
    /// Of the seen: answered with another item.
    pub wrong_item_rate: Option<f64>,
    /// Unseen queries that are answered.
    pub false_hits: usize,
    /// Of the unseen: answered.
    pub false_hit_rate: Option<f64>,
    /// With 95 % certainty the true share of false hits is below, were the cut-off chosen on other queries.
    pub false_hit_upper: Option<f64>,
}

/// How many queries have at least this confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The confidence.
    pub confidence: f64,
    /// Seen, and the right item came first.
    pub right: usize,
    /// Seen, and another item came first.
    pub wrong: usize,
    /// Not stored at all.
    pub unseen: usize,
}

impl Step {
    fn precision(&self) -> f64 {
        share(self.right, self.right + self.wrong + self.unseen).unwrap_or(1.0)
    }
}

impl Cutoff {
    /// The cut-off with the most answers of which at most the share `max_false_hit` of the unseen queries is one.
    #[must_use]
    pub fn choose(judged: &[Judged], max_false_hit: f64) -> Self {
        let unseen = judged.iter().filter(|j| !j.seen).count();
        let allowed = sweep(judged).into_iter().take_while(|step| {
            // 3 of 300 are 1 %, whatever rounding says.
            to_f64(step.unseen) <= max_false_hit * to_f64(unseen) + 1e-9
        });
        let confidence = if unseen == 0 { None } else { allowed.last().map(|step| step.confidence) };
        Self { max_false_hit, confidence }
    }

    fn applied(self, judged: &[Judged]) -> AtCutoff {
        let reaches = |j: &&Judged| self.confidence.is_some_and(|c| j.confidence >= c);
        let count = |which: fn(&Judged) -> bool| judged.iter().filter(reaches).filter(|j| which(j)).count();
        let (seen, unseen) = numbers(judged);
        let false_hits = count(|j| !j.seen);
        AtCutoff {
            cutoff: self,
            hit_rate: share(count(|j| j.right), seen),
            wrong_item_rate: share(count(|j| j.seen && !j.right), seen),
            false_hits,
            false_hit_rate: share(false_hits, unseen),
            false_hit_upper: upper_bound(false_hits, unseen),
        }
    }
}

impl Measures {
    /// Measures `judged` as the engine answered, and as it would have at each of `cutoffs`.
    #[must_use]
    pub fn of(judged: &[Judged], cutoffs: &[Cutoff]) -> Self {
        let (seen, unseen) = numbers(judged);
        let count = |which: fn(&Judged) -> bool| judged.iter().filter(|j| which(j)).count();
        let false_hits = count(|j| !j.seen && j.outcome == Outcome::Hit);
        let steps = sweep(judged);
        let recall = |precision| {
            let enough = steps.iter().filter(|step| step.precision() >= precision);
            share(enough.map(|step| step.right).max().unwrap_or(0), seen)
        };
        Self {
            seen,
            unseen,
            hit_rate: share(count(|j| j.right && j.outcome == Outcome::Hit), seen),
            wrong_item_rate: share(count(|j| j.seen && !j.right && j.outcome == Outcome::Hit), seen),
            false_hit_rate: share(false_hits, unseen),
            false_hit_upper: upper_bound(false_hits, unseen),
            review_rate: share(count(|j| j.outcome == Outcome::Review), judged.len()),
            acc_at_1: share(count(|j| j.right), seen),
            micro_ap: micro_ap(judged),
            recall_at_precision: PRECISIONS
                .map(|precision| RecallAtPrecision { precision, recall: recall(precision) })
                .to_vec(),
            at_cutoffs: cutoffs.iter().map(|cutoff| cutoff.applied(judged)).collect(),
        }
    }
}

/// The counts at every confidence that occurs, from the highest down.
#[must_use]
pub fn sweep(judged: &[Judged]) -> Vec<Step> {
    let mut sorted: Vec<&Judged> = judged.iter().collect();
    sorted.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut steps: Vec<Step> = Vec::new();
    let mut now = Step { confidence: f64::INFINITY, right: 0, wrong: 0, unseen: 0 };
    for j in sorted {
        match (j.seen, j.right) {
            (true, true) => now.right += 1,
            (true, false) => now.wrong += 1,
            (false, _) => now.unseen += 1,
        }
        now.confidence = j.confidence;
        match steps.last_mut() {
            Some(last) if last.confidence.total_cmp(&j.confidence).is_eq() => *last = now,
            _ => steps.push(now),
        }
    }
    steps
}

/// Micro-averaged precision over all queries, one prediction each (the first stored picture), as in the image
/// similarity challenge of 2021 (arXiv:2106.09672): the sum over cut-offs of precision times the recall gained
/// there. Unseen queries and wrong items lower the precision of everything below them. `None` without seen queries.
#[must_use]
pub fn micro_ap(judged: &[Judged]) -> Option<f64> {
    let (seen, _) = numbers(judged);
    let mut before = 0;
    let mut sum = 0.0;
    for step in sweep(judged) {
        sum += step.precision() * to_f64(step.right - before);
        before = step.right;
    }
    (seen > 0).then(|| sum / to_f64(seen))
}

/// The value below which the share `part` (0 to 1) of `values` lies, by nearest rank; `None` when there are none.
#[must_use]
pub fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held to the length below")]
    let rank = (part * to_f64(values.len())).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
}

fn numbers(judged: &[Judged]) -> (usize, usize) {
    let seen = judged.iter().filter(|j| j.seen).count();
    (seen, judged.len() - seen)
}

/// `part` of `whole`, 0 to 1; `None` of nothing.
pub(super) fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| to_f64(part) / to_f64(whole))
}

#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
pub(super) fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(seen: bool, right: bool, confidence: f64, outcome: Outcome) -> Judged {
        Judged { seen, right, confidence, outcome }
    }

    fn right(confidence: f64) -> Judged {
        judged(true, true, confidence, Outcome::Miss)
    }

    fn wrong(confidence: f64) -> Judged {
        judged(true, false, confidence, Outcome::Miss)
    }

    fn unseen(confidence: f64) -> Judged {
        judged(false, false, confidence, Outcome::Miss)
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn rates_count_what_the_engine_answered() {
        let all = [
            judged(true, true, 0.9, Outcome::Hit),
            judged(true, true, 0.8, Outcome::Review),
            judged(true, false, 0.95, Outcome::Hit),
            judged(true, false, 0.2, Outcome::Miss),
            judged(false, false, 0.97, Outcome::Hit),
            judged(false, false, 0.7, Outcome::Review),
        ];
        let m = Measures::of(&all, &[]);
        assert_eq!((m.seen, m.unseen), (4, 2));
        assert_eq!((m.hit_rate, m.wrong_item_rate), (Some(0.25), Some(0.25)));
        assert_eq!((m.false_hit_rate, m.acc_at_1), (Some(0.5), Some(0.5)));
        near(m.review_rate, 2.0 / 6.0);
    }

    #[test]
    fn without_queries_there_are_no_rates() {
        let m = Measures::of(&[], &[Cutoff::choose(&[], 0.01)]);
        assert_eq!((m.hit_rate, m.false_hit_rate, m.review_rate, m.micro_ap), (None, None, None, None));
        assert_eq!((m.at_cutoffs[0].cutoff.confidence, m.at_cutoffs[0].false_hit_upper), (None, None));
    }

    #[test]
    fn micro_ap_by_hand() {
        // Ranks: right (1/1), unseen, right (2/3), wrong, right (3/5); four are seen.
        let all = [right(0.9), unseen(0.8), right(0.7), wrong(0.6), right(0.5)];
        near(micro_ap(&all), (1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 4.0);
        near(micro_ap(&[right(0.9), right(0.1)]), 1.0);
        near(micro_ap(&[wrong(0.9), unseen(0.1)]), 0.0);
    }

    #[test]
    fn tied_queries_share_the_precision_of_all_of_them() {
        near(micro_ap(&[right(0.5), unseen(0.5)]), 0.5);
        near(micro_ap(&[unseen(0.5), right(0.5)]), 0.5);
    }

    #[test]
    fn recall_at_precision_takes_the_best_cutoff_even_below_a_mistake() {
        // Precision is 1/1, 1/2, then 10/11 at the end.
        let mut all = vec![right(0.9), unseen(0.8)];
        all.extend((0..9).map(|i| right(0.5 - f64::from(i) / 100.0)));
        let m = Measures::of(&all, &[]);
        let recall = |i: usize| m.recall_at_precision[i].recall;
        assert_eq!((recall(0), recall(1), recall(2)), (Some(1.0), Some(0.1), Some(0.1)));
    }

    #[test]
    fn a_cutoff_lets_through_what_it_may_and_no_tie_more() {
        let mut all: Vec<Judged> = (0..100).map(|i| unseen(f64::from(i) / 1000.0)).collect();
        // Two unseen queries at one confidence: 1 % may not have one of them.
        all.extend([unseen(0.6), unseen(0.6), right(0.7), right(0.6), right(0.099)]);
        let one_percent = Cutoff::choose(&all, 0.01);
        assert_eq!(one_percent.confidence, Some(0.7));
        let point = one_percent.applied(&all);
        assert_eq!(point.false_hits, 0);
        near(point.hit_rate, 1.0 / 3.0);
        let two_percent = Cutoff::choose(&all, 2.0 / 102.0);
        assert_eq!(two_percent.confidence, Some(0.6));
        assert_eq!(two_percent.applied(&all).false_hits, 2);
        near(two_percent.applied(&all).hit_rate, 2.0 / 3.0);
    }

    #[test]
    fn no_cutoff_is_chosen_when_the_surest_query_is_unseen_and_none_may_pass() {
        let all = [unseen(0.9), right(0.8)];
        let none = Cutoff::choose(&all, 0.0);
        assert_eq!(none.confidence, None);
        assert_eq!(none.applied(&all).hit_rate, Some(0.0));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(percentile(&mut values, 0.5), Some(3.0));
        assert_eq!(percentile(&mut values, 0.95), Some(5.0));
        assert_eq!(percentile(&mut values, 0.0), Some(1.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }

    fn any_judged() -> impl Strategy<Value = Vec<Judged>> {
        // Few distinct confidences, so that ties are common.
        let one = (any::<bool>(), any::<bool>(), 0..20_u8).prop_map(|(seen, right, step)| {
            judged(seen, seen && right, f64::from(step) / 20.0, Outcome::Miss)
        });
        proptest::collection::vec(one, 0..120)
    }

    proptest! {
        #[test]
        fn every_rate_is_a_share(all in any_judged(), max in 0.0..1.0_f64) {
            let m = Measures::of(&all, &[Cutoff::choose(&all, max)]);
            let at = &m.at_cutoffs[0];
            for rate in [m.acc_at_1, m.micro_ap, m.review_rate, at.hit_rate, at.false_hit_rate, at.false_hit_upper]
                .into_iter()
                .chain(m.recall_at_precision.iter().map(|r| r.recall))
                .flatten()
            {
                prop_assert!((0.0..=1.0).contains(&rate));
            }
            prop_assert!(m.micro_ap.unwrap_or(0.0) <= m.acc_at_1.unwrap_or(0.0) + 1e-12);
        }

        #[test]
        fn a_cutoff_keeps_its_promise_and_the_bound_is_above_it(all in any_judged(), max in 0.0..1.0_f64) {
            let at = Cutoff::choose(&all, max).applied(&all);
            prop_assert!(at.false_hit_rate.unwrap_or(0.0) <= max + 1e-9);
            prop_assert!(at.false_hit_upper >= at.false_hit_rate);
        }

        #[test]
        fn who_allows_more_false_hits_loses_no_right_one(all in any_judged(), a in 0.0..1.0_f64, b in 0.0..1.0_f64) {
            let at = |max| Cutoff::choose(&all, max).applied(&all).hit_rate;
            prop_assert!(at(a.min(b)) <= at(a.max(b)));
        }

        #[test]
        fn less_precision_never_costs_recall(all in any_judged()) {
            let recalls: Vec<_> = Measures::of(&all, &[]).recall_at_precision.iter().map(|r| r.recall).collect();
            prop_assert!(recalls.is_sorted_by(|a, b| a >= b));
        }

        #[test]
        fn the_order_of_queries_does_not_matter(all in any_judged()) {
            let mut turned = all.clone();
            turned.reverse();
            let cutoffs = [Cutoff::choose(&all, 0.1)];
            prop_assert_eq!(Measures::of(&all, &cutoffs), Measures::of(&turned, &cutoffs));
        }
    }
}
