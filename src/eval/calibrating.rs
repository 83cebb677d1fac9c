//! What an evaluation says of the threshold between hit and review.

use std::path::{Path, PathBuf};

use super::make::{MakeOptions, MostQueries, most_queries};
use super::measures::share;
use super::{EvalError, EvaluatedQuery, Evaluation};
use crate::calibration::{Calibration, Sample};
use crate::embed::Fingerprint;

/// What [`Evaluation::calibration`] would give for what [`make`](super::make) makes of these pictures, if nothing in it stood
/// out that must not be answered: what this one cannot promise, none that is made of them can. No picture is looked at.
///
/// # Errors
/// [`EvalError`] when a label is wrong.
pub fn best_calibration(
    folder: &Path,
    pictures: &[PathBuf],
    options: MakeOptions,
    model: &Fingerprint,
    max_false_hit: f64,
) -> Result<Calibration, EvalError> {
    let MostQueries { stored, unseen, look_alikes } = most_queries(folder, pictures, options)?;
    let sample = |queries: usize| Sample::of((0..queries).map(|query| (query, 0.0)));
    Ok(Calibration::new(&model.digest, max_false_hit, stored, sample(unseen), sample(look_alikes)))
}

impl Evaluation {
    /// How sure the engine, with the model of this fingerprint, was of those of the `counted` queries that must not be
    /// answered, for a share of false hits that is to be allowed (0..=1): the labelled ones are look-alikes, the others
    /// like no stored picture.
    #[must_use]
    pub fn calibration(
        &self,
        model: &Fingerprint,
        max_false_hit: f64,
        counted: impl Fn(&EvaluatedQuery) -> bool,
    ) -> Calibration {
        let of = |is_look_alike: bool| {
            let counted = self.unseen().filter(|asked| counted(asked));
            let kind = counted.filter(|asked| asked.line.negative.is_some() == is_look_alike);
            Sample::of(kind.map(|asked| (asked.made_of(), sureness(asked))))
        };
        Calibration::new(&model.digest, max_false_hit, self.references.len() as u64, of(false), of(true))
    }

    /// The share, 0..=1, of the queries for stored items that are answered rightly from this confidence on; `None` when
    /// there are none.
    #[must_use]
    pub fn answered_at(&self, confidence: f32) -> Option<f64> {
        let seen = || self.queries.iter().filter(|asked| asked.judged.seen);
        share(seen().filter(|a| a.judged.right && sureness(a) >= confidence).count(), seen().count())
    }

    /// The queries that must not be answered, but that the engine was surest of: confidence, query, stored picture. Only
    /// those that stand out.
    #[must_use]
    pub fn surest_unseen(&self, limit: usize) -> Vec<(f32, &str, &str)> {
        let mut all: Vec<&EvaluatedQuery> = self.unseen().collect();
        all.sort_by(|a, b| b.judged.confidence.total_cmp(&a.judged.confidence));
        let named = all.into_iter().filter_map(|asked| {
            let stored = self.references.get(&asked.best?)?.first()?;
            Some((sureness(asked), asked.line.path.as_str(), stored.path.as_str()))
        });
        named
            .take_while(|(confidence, ..)| *confidence >= crate::verify::REVIEW_CONFIDENCE)
            .take(limit)
            .collect()
    }

    fn unseen(&self) -> impl Iterator<Item = &EvaluatedQuery> {
        self.queries.iter().filter(|asked| !asked.judged.seen)
    }
}

impl EvaluatedQuery {
    /// What names the picture that the query was made of: the query itself, if its line does not say.
    #[must_use]
    pub fn made_of(&self) -> &str {
        self.line.made_of.as_deref().unwrap_or(&self.line.path)
    }

    /// Heads or tails for the picture that it was made of, the same for all that was made of that: for who sets a threshold
    /// by one half of the pictures and tests it on the other. Each `split` has its own lot. Pictures are told by their
    /// numbers, as [`make`](super::make) gives them.
    #[must_use]
    pub fn is_in_first_half(&self, split: u64) -> bool {
        let picture: u64 = self.made_of().parse().unwrap_or(0);
        let mut x = (picture << 8 | split).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 27)) & 1 == 0
    }
}

/// The confidence as the engine had it.
fn sureness(asked: &EvaluatedQuery) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "it was an f32 before")]
    let confidence = asked.judged.confidence as f32;
    confidence
}
