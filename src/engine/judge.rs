//! Is one of the nearest stored pictures this one? Puts index, catalogue, verifier and policy together.

use super::{CANDIDATES, Engine, EngineError, Seen, Stage, Timings};
use crate::catalog::Said;
use crate::embed::Embedding;
use crate::index::{self, Candidates};
use crate::photo_id::PhotoId;
use crate::verdict::{Finding, Policy, Verdict};
use crate::verify::{Candidate, Doubt, Evidence, Probe, Sketch, measure};

/// How many stored pictures near one part of a picture are looked at, and near all parts together.
const CANDIDATES_PER_PART: usize = 4;
const CANDIDATES_BY_PARTS: usize = 20;

impl Engine {
    /// Judges the picture in question by its embedding, and by the sketches of the stored pictures near it; when that
    /// gives no hit, by what its parts look like: a collage or a scene is none of the pictures in it as a whole.
    pub(super) fn judge(&self, seen: &mut Seen, timings: &mut Timings) -> Result<(), EngineError> {
        let Some(embedding) = &seen.embedding else { return Ok(()) };
        let candidates;
        (seen.policy, candidates) = timings.measure(Stage::Index, || {
            self.on_the_index(|index| {
                let policy = self.bound.policy(&self.catalog, index.len() as u64, self.progress.as_ref())?;
                Ok((policy, index.search(embedding, CANDIDATES, policy.hit_threshold())?))
            })
        })?;
        let near = |policy: &Policy, findings: &[Finding], said: &Said| {
            policy.judge(findings, &|a, b| said.of(a, b))
        };
        seen.verdict = self.compare(seen, &candidates, near, timings)?;
        let whole = seen.verdict;
        // Where a person's word speaks against the best of them, parts of the picture would only bring it up again.
        let told_apart = matches!(whole, Verdict::Review(m) if m.doubt == Some(Doubt::ToldApart));
        if told_apart || matches!(whole, Verdict::Hit(_)) || candidates.is_empty() {
            return Ok(());
        }
        if let (None, Some(photo)) = (&seen.parts, &seen.photo) {
            seen.parts = Some(self.embed_parts(photo, timings)?);
        }
        let candidates =
            timings.measure(Stage::Index, || self.near_parts(seen.parts.as_deref(), &candidates))?;
        if !candidates.is_empty() {
            let near_parts = |policy: &Policy, findings: &[Finding], said: &Said| {
                policy.judge_parts(whole, findings, &|a, b| said.of(a, b))
            };
            seen.verdict = self.compare(seen, &candidates, near_parts, timings)?;
        }
        Ok(())
    }

    /// Lays the candidates over the picture in question, and has `judge` say what follows.
    fn compare(
        &self,
        seen: &mut Seen,
        candidates: &Candidates,
        judge: impl FnOnce(&Policy, &[Finding], &Said) -> Verdict,
        timings: &mut Timings,
    ) -> Result<Verdict, EngineError> {
        let (mut findings, said) = timings.measure(Stage::Catalog, || {
            Ok::<_, EngineError>((self.findings(candidates)?, self.catalog.said_of(&ids(candidates))?))
        })?;
        let has_sketch = findings.iter().any(|finding| finding.sketch.is_some());
        if let (Some(photo), None, true) = (&seen.photo, &seen.probe, has_sketch) {
            seen.probe = Some(timings.measure(Stage::Verdict, || Probe::of(photo.as_image()))?);
        }
        Ok(timings.measure(Stage::Verdict, || {
            if let Some(probe) = &seen.probe {
                lay_over(probe, &mut findings);
            }
            judge(&seen.policy, &findings, &said)
        }))
    }

    /// The stored pictures nearest to any of the parts, without those of `known` that are nearer to the whole. What
    /// the graph overlooks is not looked for: this is a second look already.
    fn near_parts(&self, parts: Option<&[Embedding]>, known: &Candidates) -> Result<Candidates, EngineError> {
        let parts = parts.unwrap_or_default();
        if parts.is_empty() {
            return Ok(Candidates::default());
        }
        let mut near = self.on_the_index(|index| {
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
        let stored = self.catalog.sketches(&ids(candidates))?;
        let finding = |(candidate, bytes): (&index::Candidate, Option<Vec<u8>>)| {
            let unreadable = |error| self.catalog.note_unreadable_sketch(candidate.photo_id, error);
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
    let mut sketched: Vec<(&mut Option<Evidence>, Candidate<'_>)> = findings
        .iter_mut()
        .filter_map(|Finding { candidate, sketch, evidence }| {
            let sketch = sketch.as_ref()?;
            Some((evidence, Candidate { sketch, cosine: candidate.score }))
        })
        .collect();
    let near: Vec<Candidate<'_>> = sketched.iter().map(|(_, near)| *near).collect();
    for ((evidence, _), measured) in sketched.iter_mut().zip(measure(probe, &near)) {
        **evidence = measured;
    }
}
