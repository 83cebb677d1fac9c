//! Is one of the nearest stored pictures this one? Puts index, catalogue, verifier and policy together.

use super::search::Search;
use super::{Engine, EngineError, Stage};
use crate::index::{self, Candidates};
use crate::photo_id::PhotoId;
use crate::store::Said;
use crate::vector::Embedding;
use crate::verdict::{Finding, Verdict};
use crate::verify::{Doubt, Evidence, Probe, Sketch, SketchedCandidate, measure};

/// How many stored pictures are looked at before the verdict.
const CANDIDATES: usize = 20;

/// How many stored pictures near one part of a picture are looked at, and near all parts together.
const CANDIDATES_PER_PART: usize = 4;
const CANDIDATES_BY_PARTS: usize = 20;

impl Search<'_> {
    /// Judges the picture in question by its embedding, and by the sketches of the stored pictures near it; when that
    /// gives no hit, by what its parts look like: a collage or a scene is none of the pictures in it as a whole.
    pub(super) fn judge(&mut self) -> Result<(), EngineError> {
        let (engine, timings) = (self.engine, &self.picture.timings);
        let embedding = self.picture.embedding()?;
        self.query.interrupt.check()?;
        let (policy, near) = timings.measure(Stage::Index, || {
            engine.with_index(|index| {
                let stored = index.len() as u64;
                let policy = engine.bound.policy(engine.store.as_ref(), stored, engine.progress.as_ref())?;
                Ok((policy, index.search(embedding, CANDIDATES, policy.hit_threshold())?))
            })
        })?;
        let (findings, said) = self.compare(&near)?;
        let whole = timings.measure(Stage::Verdict, || policy.judge(&findings, &|a, b| said.of(a, b)));
        (self.policy, self.verdict) = (policy, whole);
        // Where a person's word speaks against the best of them, parts of the picture would only bring it up again.
        let told_apart = matches!(whole, Verdict::Review(m) if m.doubt == Some(Doubt::ToldApart));
        if told_apart || matches!(whole, Verdict::Hit(_)) || near.is_empty() {
            return Ok(());
        }
        self.query.interrupt.check()?;
        let parts = self.picture.parts()?;
        let near = timings.measure(Stage::Index, || engine.near_parts(parts, &near))?;
        if !near.is_empty() {
            let (findings, said) = self.compare(&near)?;
            let judge = || policy.judge_parts(whole, &findings, &|a, b| said.of(a, b));
            self.verdict = timings.measure(Stage::Verdict, judge);
        }
        Ok(())
    }

    /// Lays the candidates over the picture in question; with what people have said of them.
    fn compare(&self, near: &Candidates) -> Result<(Vec<Finding>, Said), EngineError> {
        let (engine, timings) = (self.engine, &self.picture.timings);
        let (mut findings, said) = timings.measure(Stage::Catalog, || {
            Ok::<_, EngineError>((engine.findings(near)?, engine.store.said_of(&ids(near))?))
        })?;
        if findings.iter().any(|finding| finding.sketch.is_some()) {
            let probe = self.picture.probe()?;
            timings.measure(Stage::Verdict, || lay_over(probe, &mut findings));
        }
        Ok((findings, said))
    }
}

impl Engine {
    /// The stored pictures nearest to any of the parts, without those of `known` that are nearer to the whole. What
    /// the graph overlooks is not looked for: this is a second look already.
    fn near_parts(&self, parts: &[Embedding], known: &Candidates) -> Result<Candidates, EngineError> {
        if parts.is_empty() {
            return Ok(Candidates::default());
        }
        let mut near = self.with_index(|index| {
            let mut near = Vec::new();
            for part in parts {
                near.extend(index.search(part, CANDIDATES_PER_PART, -1.0)?);
            }
            Ok(near)
        })?;
        let nearer_as_a_whole = |near: &index::Candidate| {
            known.iter().any(|known| known.photo_id == near.photo_id && known.score >= near.score)
        };
        near.retain(|candidate| !nearer_as_a_whole(candidate));
        Ok(Candidates::best_of(near, CANDIDATES_BY_PARTS))
    }

    /// The candidates with their sketches. Where one cannot be read the picture is judged without it.
    fn findings(&self, candidates: &Candidates) -> Result<Vec<Finding>, EngineError> {
        let stored = self.store.sketches(&ids(candidates))?;
        let finding = |(candidate, bytes): (&index::Candidate, Option<Vec<u8>>)| {
            let unreadable = |error| self.store.note_unreadable_sketch(candidate.photo_id, &error);
            let sketch = bytes.and_then(|bytes| Sketch::from_bytes(&bytes).map_err(unreadable).ok());
            Finding { sketch, ..Finding::from(*candidate) }
        };
        Ok(candidates.iter().zip(stored).map(finding).collect())
    }
}

fn ids(candidates: &Candidates) -> Vec<PhotoId> {
    candidates.iter().map(|candidate| candidate.photo_id).collect()
}

/// Measures the candidates that have a sketch against the picture in question.
fn lay_over(probe: &Probe, findings: &mut [Finding]) {
    let mut sketched: Vec<(&mut Option<Evidence>, SketchedCandidate<'_>)> = findings
        .iter_mut()
        .filter_map(|Finding { candidate, sketch, evidence }| {
            let sketch = sketch.as_ref()?;
            Some((evidence, SketchedCandidate { sketch, cosine: candidate.score }))
        })
        .collect();
    let near: Vec<SketchedCandidate<'_>> = sketched.iter().map(|(_, near)| *near).collect();
    for ((evidence, _), measured) in sketched.iter_mut().zip(measure(probe, &near)) {
        **evidence = measured;
    }
}
