//! From which confidence on may a stored picture be the answer, if at most so many searches may be answered falsely?
//!
//! A [`Calibration`] holds how sure the engine was about pictures that it must not answer, and how many pictures were
//! stored then. [`Calibration::operating_point`] is the lowest confidence at which the false hits are few enough: not those that
//! were counted but the upper 95 % bound of Clopper and Pearson (Biometrika 26, 1934), corrected for the edits of one
//! picture, which are not independent, and for the number of pictures that are stored now. Pictures of which a look-alike
//! is stored are counted apart from those that are like no stored one; the threshold keeps the bound of each. A bound that the
//! pairs cannot support is refused with the number that would.
//!
//! Pure: no I/O, no clock. How well the bound is kept is in docs/benchmarks/bound.md.

mod clopper_pearson;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use clopper_pearson::upper_bound;

use crate::verify::{REVIEW_CONFIDENCE, SAME_PICTURE_CONFIDENCE, weights_digest};

/// The newest calibration format this code reads.
pub const CALIBRATION_FORMAT: u32 = 2;

/// The share of false hits that is allowed by default.
pub const DEFAULT_MAX_FALSE_HIT: f64 = 0.01;

/// Accidents grow as the number of stored pictures to this power: sixteen times the pictures made four to seven times the
/// accidents, whose powers are 0.5 and 0.7 (docs/benchmarks/bound.md); a little more, on the safe side. The union bound,
/// 1, would promise nothing in a large home.
const GROWTH: f64 = 0.75;

const SHIPPED: &str = include_str!("../../models/efficientnet-lite0-gem/calibration.json");

/// How sure the engine was about pictures whose originals are not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`CALIBRATION_FORMAT`].
    pub format: u32,
    /// Digest of the model's fingerprint.
    pub model: String,
    /// [`crate::verify::weights_digest`].
    pub verifier: String,
    /// The share of false hits, 0..=1, that it was made for: what is allowed by default.
    pub max_false_hit: f64,
    /// Pictures that were stored.
    pub stored: u64,
    /// Pictures that are like no stored one, except by chance.
    pub unseen: Sample,
    /// Pictures of which a look-alike is stored.
    pub look_alikes: Sample,
}

/// Searches that must not be answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// How many there are.
    pub queries: usize,
    /// Pictures that the queries were made of.
    pub pictures: usize,
    /// How sure the engine was of the surest stored picture, 0..=1, for those searches in which that is at least
    /// [`REVIEW_CONFIDENCE`]; the surest first.
    pub confidences: Vec<f32>,
    /// For each of the `confidences`, the number of the picture, below `pictures`.
    pub made_of: Vec<usize>,
}

/// What is promised of each kind of search that must not be answered: with 95 % certainty at most this share of it, 0..=1,
/// is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Of searches for pictures that are like no stored one.
    pub unseen: f64,
    /// Of searches for pictures of which a look-alike is stored: another colour, another print, other words, other goods
    /// in the same place.
    pub look_alikes: f64,
}

impl Bounds {
    /// The larger one: whatever the mix of searches, no larger share is answered.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.unseen.max(self.look_alikes)
    }
}

/// From where on a stored picture may be the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The lowest confidence of a hit, 0..=1.
    pub confidence: f32,
    /// With 95 % certainty at most this share, 0..=1, of the searches for pictures that are not stored is answered;
    /// `None` without a calibration.
    pub max_false_hit: Option<f64>,
    /// The same by kinds, each as far as its pairs promise; `None` without a calibration.
    pub bounds: Option<Bounds>,
}

/// Said where it counts; 0 stands for however few.
fn with_stored(stored: u64) -> String {
    if stored == 0 { String::new() } else { format!("with {stored} pictures stored, ") }
}

impl OperatingPoint {
    /// Where nothing is calibrated.
    pub const UNCALIBRATED: Self =
        Self { confidence: SAME_PICTURE_CONFIDENCE, max_false_hit: None, bounds: None };
}

/// The bound that was asked for needs more pairs than there are.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "at most {} false hits cannot be promised: {}the {pairs} pairs of the calibration support {} at best, and about {needed} \
     would be needed; allow more, or calibrate on more pictures",
    percent(*.asked), with_stored(*.stored), percent(*.least)
)]
pub struct TooFewPairs {
    /// The share that was asked for, 0..=1.
    pub asked: f64,
    /// The smallest share that the pairs support.
    pub least: f64,
    /// Stored photos for which the bound has to hold.
    pub stored: u64,
    /// Pairs that the calibration has.
    pub pairs: usize,
    /// Pairs, in the same proportion of kinds, with which the bound could be kept.
    pub needed: usize,
    /// How many times as many that is; with as many times more stored pictures, fewer will do.
    pub times: f64,
}

impl Sample {
    /// Of all searches, in any order, those that could matter: what names the picture that a query was made of, and the
    /// confidence.
    #[must_use]
    pub fn of<Picture: Eq + Hash>(searches: impl IntoIterator<Item = (Picture, f32)>) -> Self {
        let (mut sample, mut numbers) = (Self::default(), HashMap::new());
        for (picture, confidence) in searches {
            let next = numbers.len();
            let number = *numbers.entry(picture).or_insert(next);
            sample.pictures = numbers.len();
            sample.count(number, confidence);
        }
        sample
    }

    /// Counts one more search, for a picture of its own; `confidence` is 0..=1.
    pub fn add(&mut self, confidence: f32) {
        self.pictures += 1;
        self.count(self.pictures - 1, confidence);
    }

    fn count(&mut self, picture: usize, confidence: f32) {
        self.queries += 1;
        if confidence >= REVIEW_CONFIDENCE {
            let place = self.reach(confidence);
            self.confidences.insert(place, confidence);
            self.made_of.insert(place, picture);
        }
    }

    fn reach(&self, confidence: f32) -> usize {
        self.confidences.partition_point(|&c| c >= confidence)
    }

    /// How many times wider the share of searches that stand out scatters than if the queries were independent, at
    /// least 1: the design effect of a sample in clusters, here the queries made of one picture (Kish, Survey Sampling,
    /// 1965). With `k` of `n` that stand out, `k_i` of picture `i` of `C`, it is the variance of `k / n` over the
    /// pictures, `C / (C - 1) (sum of k_i^2 - k^2 / C) / n^2`, by that of independent ones, `p (1 - p) / n`. Taken
    /// where the most stand out: of few it could not be told.
    fn design_effect(&self) -> f64 {
        let (k, n, pictures) = (self.confidences.len() as u64, self.queries as u64, self.pictures as u64);
        if k == 0 || k == n || pictures < 2 {
            return 1.0;
        }
        let mut of_picture: HashMap<usize, u64> = HashMap::new();
        for picture in &self.made_of {
            *of_picture.entry(*picture).or_default() += 1;
        }
        let squares = to_f64(of_picture.values().map(|k| k * k).sum());
        let (k, n, pictures) = (to_f64(k), to_f64(n), to_f64(pictures));
        let clustered = pictures / (pictures - 1.0) * (squares - k * k / pictures) / (n * n);
        (clustered / (k / n * (1.0 - k / n) / n)).max(1.0)
    }

    /// With 95 % certainty at most this share of such searches reaches `confidence`: Clopper and Pearson with the
    /// effective numbers in the place of those that were counted (Korn and Graubard, Survey Methodology 24, 1998).
    fn bound(&self, confidence: f32) -> f64 {
        let effect = self.design_effect();
        let reach = (to_f64(self.reach(confidence) as u64) / effect).ceil();
        let queries = to_f64(self.queries as u64) / effect;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most the counts they were made of"
        )]
        let (reach, queries) = (reach as usize, queries as usize);
        // Nothing is known of a kind that was never tried.
        upper_bound(reach, queries).unwrap_or(1.0)
    }

    fn realised(&self, confidence: f32) -> f64 {
        to_f64(self.reach(confidence) as u64) / to_f64(self.queries.max(1) as u64)
    }

    fn is_sound(&self) -> bool {
        self.confidences.len() <= self.queries
            && self.pictures <= self.queries
            && self.made_of.len() == self.confidences.len()
            && self.made_of.iter().all(|picture| *picture < self.pictures)
            && self.confidences.iter().all(|c| (0.0..=1.0).contains(c))
            && self.confidences.is_sorted_by(|a, b| a >= b)
    }
}

impl Calibration {
    /// Of searches that an engine with these verifier's weights and the model of this fingerprint's digest has made
    /// among `stored` pictures.
    #[must_use]
    pub fn new(model: &str, max_false_hit: f64, stored: u64, unseen: Sample, look_alikes: Sample) -> Self {
        let (model, verifier) = (model.to_owned(), weights_digest().to_owned());
        Self { format: CALIBRATION_FORMAT, model, verifier, max_false_hit, stored, unseen, look_alikes }
    }

    /// The one that travels with the program: for the built-in model, on pictures that nothing was fitted on
    /// (docs/benchmarks/bound.md). `None` only in a program that was built with a file that is none.
    #[must_use]
    pub fn shipped() -> Option<&'static Self> {
        static PARSED: LazyLock<Option<Calibration>> = LazyLock::new(|| Calibration::from_json(SHIPPED));
        PARSED.as_ref()
    }

    /// Reads what [`Calibration::to_json`] wrote; `None` for anything else, another format included.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        let sound = read.format == CALIBRATION_FORMAT
            && (0.0..=1.0).contains(&read.max_false_hit)
            && read.unseen.is_sound()
            && read.look_alikes.is_sound();
        sound.then_some(read)
    }

    /// As [`from_json`](Self::from_json) reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists of them: nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Searches that were made for it.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.unseen.queries + self.look_alikes.queries
    }

    /// With 95 % certainty at most this share, 0..=1, of each kind of searches for pictures that are not stored reaches
    /// `confidence` when `stored` pictures are.
    ///
    /// Each stored picture is another chance to resemble an unlike one by accident, so that bound grows with their number
    /// (by the power 0.75). Look-alikes are counted where one is stored already: that bound stays.
    #[must_use]
    pub fn bounds(&self, confidence: f32, stored: u64) -> Bounds {
        Bounds {
            unseen: (self.unseen.bound(confidence) * self.growth(stored)).min(1.0),
            look_alikes: self.look_alikes.bound(confidence),
        }
    }

    /// The larger of the [`bounds`](Self::bounds).
    #[must_use]
    pub fn bound(&self, confidence: f32, stored: u64) -> f64 {
        self.bounds(confidence, stored).worst()
    }

    /// The share, 0..=1, of these very searches that reaches `confidence`, of the kind of which more do: for who tests the
    /// threshold of another calibration.
    #[must_use]
    pub fn realised(&self, confidence: f32) -> f64 {
        self.unseen.realised(confidence).max(self.look_alikes.realised(confidence))
    }

    /// The threshold: the lowest confidence that keeps the false hits at `max_false_hit` (0..=1) with `stored` pictures
    /// stored, but never one that only stands out.
    ///
    /// # Errors
    /// [`TooFewPairs`] when even a threshold above all that was seen cannot promise it.
    pub fn operating_point(&self, max_false_hit: f64, stored: u64) -> Result<OperatingPoint, TooFewPairs> {
        let mut cuts: Vec<f32> = self
            .unseen
            .confidences
            .iter()
            .chain(&self.look_alikes.confidences)
            .map(|c| c.next_up())
            .collect();
        cuts.push(REVIEW_CONFIDENCE);
        cuts.sort_by(f32::total_cmp);
        let place = cuts.partition_point(|&cut| self.bound(cut, stored) > max_false_hit);
        if let Some(&confidence) = cuts.get(place) {
            let bounds = Some(self.bounds(confidence, stored));
            return Ok(OperatingPoint { confidence, max_false_hit: Some(max_false_hit), bounds });
        }
        let times = self.least_of_many(stored) / max_false_hit;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count; the cast saturates"
        )]
        let needed = (to_f64(self.pairs() as u64) * times).ceil() as usize;
        let least = self.strictest(stored).max_false_hit.unwrap_or(1.0);
        Err(TooFewPairs { asked: max_false_hit, least, stored, pairs: self.pairs(), needed, times })
    }

    fn growth(&self, stored: u64) -> f64 {
        (to_f64(stored) / to_f64(self.stored.max(1))).max(1.0).powf(GROWTH)
    }

    /// The bound when none of the searches is answered, with the limit of `n` times the bound for large `n`: ln 20.
    fn least_of_many(&self, stored: u64) -> f64 {
        let least =
            |sample: &Sample| 20_f64.ln() / (to_f64(sample.queries as u64) / sample.design_effect()).max(1.0);
        (least(&self.unseen) * self.growth(stored)).max(least(&self.look_alikes))
    }

    /// A threshold above everything that was seen, and what it promises.
    #[must_use]
    pub fn strictest(&self, stored: u64) -> OperatingPoint {
        let highest = |sample: &Sample| sample.confidences.first().map_or(REVIEW_CONFIDENCE, |c| c.next_up());
        let confidence = highest(&self.unseen).max(highest(&self.look_alikes));
        let bounds = self.bounds(confidence, stored);
        OperatingPoint { confidence, max_false_hit: Some(bounds.worst()), bounds: Some(bounds) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calibration(unseen: Sample, look_alikes: Sample) -> Calibration {
        let (model, verifier) = ("m".to_owned(), "v".to_owned());
        let (format, max_false_hit) = (CALIBRATION_FORMAT, DEFAULT_MAX_FALSE_HIT);
        Calibration { format, model, verifier, max_false_hit, stored: 1000, unseen, look_alikes }
    }

    /// `queries` searches, those that stand out with confidences just below 1, a thousandth apart.
    fn sample(queries: usize, standing_out: u16) -> Sample {
        let mut sample = Sample::of((0..standing_out).map(|i| (i, 0.99 - f32::from(i) / 1000.0)));
        (sample.queries, sample.pictures) = (queries, queries);
        sample
    }

    /// `pictures` with ten queries each; of those of every twentieth picture `standing_out` stand out.
    fn clustered(pictures: u16, standing_out: u16) -> Sample {
        let queries = (0..pictures).flat_map(|picture| (0..10).map(move |query| (picture, query)));
        Sample::of(queries.map(|(picture, query)| {
            (picture, if picture % 20 == 0 && query < standing_out { 0.9 } else { 0.0 })
        }))
    }

    #[test]
    fn queries_of_one_picture_that_stand_out_together_count_as_fewer() {
        let (apart, together) = (clustered(400, 1), clustered(40, 10));
        assert_eq!((apart.queries, together.queries), (4000, 400));
        assert!((apart.design_effect() - 1.0).abs() < 1e-9, "{}", apart.design_effect());
        // All or none of ten: they tell as much as one. 40 / 39 for the mean that is estimated from them.
        assert!((together.design_effect() - 10.0 * 40.0 / 39.0).abs() < 1e-9, "{}", together.design_effect());
        assert!(together.bound(0.9) > upper_bound(20, 400).expect("some"));
        assert!(together.bound(0.9) >= upper_bound(2, 40).expect("some"));
    }

    #[test]
    fn the_threshold_is_the_lowest_that_keeps_the_bound() {
        let calibration = calibration(sample(3000, 0), sample(3000, 60));
        let point = calibration.operating_point(0.01, 1000).expect("supported");
        assert!(calibration.bound(point.confidence, 1000) <= 0.01);
        let below = point.confidence.next_down();
        assert!(calibration.bound(below, 1000) > 0.01, "{point:?}");
        // SciPy 1.17: 20 of 3,000 have the bound 0.967 %, 21 have 1.006 %.
        assert_eq!(
            calibration.look_alikes.confidences.iter().filter(|c| **c >= point.confidence).count(),
            20
        );
        let bounds = point.bounds.expect("calibrated");
        assert!(bounds.look_alikes <= 0.01 && bounds.unseen < 0.001, "{bounds:?}");
    }

    #[test]
    fn each_kind_keeps_the_bound_and_neither_hides_behind_the_other() {
        let (few, many) = (sample(3000, 0), sample(3000, 60));
        let by_unseen =
            calibration(many.clone(), few.clone()).operating_point(0.01, 1000).expect("supported");
        let by_look_alikes = calibration(few, many.clone()).operating_point(0.01, 1000).expect("supported");
        assert_eq!(by_unseen.confidence.total_cmp(&by_look_alikes.confidence), std::cmp::Ordering::Equal);
        assert!(many.bound(by_unseen.confidence) <= 0.01);
    }

    #[test]
    fn a_threshold_never_lies_below_what_stands_out() {
        let point =
            calibration(sample(3000, 0), sample(3000, 0)).operating_point(0.5, 1000).expect("supported");
        assert!(point.confidence.total_cmp(&REVIEW_CONFIDENCE).is_eq(), "{point:?}");
    }

    #[test]
    fn more_stored_pictures_raise_the_threshold_and_at_last_the_bound_is_refused() {
        let calibration = calibration(sample(3000, 20), sample(3000, 0));
        let at = |stored| calibration.operating_point(0.01, stored).map(|point| point.confidence);
        assert_eq!(at(10), at(1000), "fewer pictures than it was made on change nothing");
        assert!(at(5000).expect("supported") > at(1000).expect("supported"));
        let refused = at(50_000).expect_err("19 times the accidents");
        assert_eq!((refused.pairs, refused.stored), (6000, 50_000));
        assert!(refused.to_string().contains("calibrate on more"), "{refused}");
    }

    #[test]
    fn as_many_pairs_as_a_refusal_names_are_enough() {
        let few = calibration(sample(100, 0), sample(100, 0));
        let refused = few.operating_point(0.01, 1000).expect_err("too few");
        let half = refused.needed / 2 + 1;
        let enough = calibration(sample(half, 0), sample(half, 0));
        assert!(enough.operating_point(0.01, 1000).is_ok(), "{refused}");
        let too_few = calibration(sample(half * 9 / 10, 0), sample(half * 9 / 10, 0));
        assert!(too_few.operating_point(0.01, 1000).is_err(), "{refused}");
    }

    #[test]
    fn a_kind_that_was_never_tried_supports_nothing() {
        assert!(calibration(sample(100_000, 0), Sample::default()).operating_point(0.3, 1000).is_err());
    }

    #[test]
    fn what_is_written_is_read_and_what_is_not_sound_is_not() {
        let good = calibration(sample(300, 3), sample(300, 30));
        assert_eq!(Calibration::from_json(&good.to_json()).as_ref(), Some(&good));
        let of = |queries: usize, confidences: &[f32], made_of: &[usize]| {
            let (confidences, made_of) = (confidences.to_vec(), made_of.to_vec());
            Sample { queries, pictures: queries, confidences, made_of }
        };
        let unsorted = of(9, &[0.5, 0.6], &[0, 1]);
        let beyond = of(9, &[1.5], &[0]);
        let too_many = of(1, &[0.6, 0.5], &[0, 0]);
        let of_no_picture = of(9, &[0.6], &[9]);
        let of_fewer_pictures = of(9, &[0.6, 0.5], &[0]);
        for bad in [unsorted, beyond, too_many, of_no_picture, of_fewer_pictures] {
            assert_eq!(Calibration::from_json(&calibration(bad, sample(9, 0)).to_json()), None);
        }
        assert_eq!(
            Calibration::from_json(&Calibration { format: CALIBRATION_FORMAT + 1, ..good }.to_json()),
            None
        );
        assert_eq!(Calibration::from_json("{}"), None);
    }

    #[test]
    fn the_shipped_calibration_is_of_this_model_and_these_weights_and_supports_the_default() {
        let shipped = Calibration::shipped().expect("sound");
        let model = crate::embed::Model::built_in().expect("built in").fingerprint();
        assert_eq!(shipped.model, model.digest, "make it again: docs/benchmarks/bound.md");
        assert_eq!(
            shipped.verifier,
            crate::verify::weights_digest(),
            "make it again: docs/benchmarks/bound.md"
        );
        assert!(shipped.operating_point(DEFAULT_MAX_FALSE_HIT, shipped.stored).is_ok());
    }

    proptest! {
        #[test]
        fn who_allows_more_or_stores_less_has_no_higher_threshold(
            (n, k) in (400..4000_usize, 0..50_u16), (a, b) in (0.001..0.5_f64, 0.001..0.5_f64),
            (few, many) in (1..5000_u64, 1..5000_u64)
        ) {
            let calibration = calibration(sample(n, k / 9), sample(n, k));
            let at = |max, stored| calibration.operating_point(max, stored).map_or(2.0, |point| point.confidence);
            prop_assert!(at(a.max(b), few) <= at(a.min(b), few));
            prop_assert!(at(a, few.min(many)) <= at(a, few.max(many)));
        }
    }
}
