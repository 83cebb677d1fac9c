//! Is one of the nearest stored pictures this one? Puts index, catalogue, verifier and policy together.

use super::{CANDIDATES, Engine, EngineError, Seen, Stage, Timings};
use crate::index::Candidates;
use crate::photo_id::PhotoId;
use crate::verdict::Finding;
use crate::verify::{Candidate, Probe, Sketch, measure};

impl Engine {
    /// Judges the picture in question by its embedding, and by the sketches of the stored pictures near it.
    pub(super) fn judge(&self, seen: &mut Seen, timings: &mut Timings) -> Result<(), EngineError> {
        let Some(embedding) = &seen.embedding else { return Ok(()) };
        let candidates = timings.measure(Stage::Index, || {
            let index = self.index.current(&self.catalog, self.progress.as_ref())?;
            seen.policy = self.bound.policy(index.len() as u64, self.progress.as_ref());
            Ok::<_, EngineError>(index.search(embedding, CANDIDATES, seen.policy.hit_threshold())?)
        })?;
        let (sketches, said) = timings.measure(Stage::Catalog, || {
            Ok::<_, EngineError>((self.sketches(&candidates)?, self.catalog.said_of(&ids(&candidates))?))
        })?;
        if let (Some(photo), None, true) = (&seen.photo, &seen.probe, sketches.iter().any(Option::is_some)) {
            seen.probe = Some(timings.measure(Stage::Verdict, || Probe::of(photo.as_image()))?);
        }
        seen.verdict = timings.measure(Stage::Verdict, || {
            let findings = findings(seen.probe.as_ref(), &candidates, &sketches);
            seen.policy.judge(&candidates, &findings, &|a, b| said.of(a, b))
        });
        Ok(())
    }

    /// The candidates' sketches. One that cannot be read is worth a note; the picture is then judged without it.
    fn sketches(&self, candidates: &Candidates) -> Result<Vec<Option<Sketch>>, EngineError> {
        let ids = ids(candidates);
        let read = |(id, bytes): (&PhotoId, Option<Vec<u8>>)| {
            Sketch::from_bytes(&bytes?)
                .map_err(|error| self.progress.note(&format!("photo {id}: {error}")))
                .ok()
        };
        Ok(ids.iter().zip(self.catalog.sketches(&ids)?).map(read).collect())
    }
}

fn ids(candidates: &Candidates) -> Vec<PhotoId> {
    candidates.iter().map(|candidate| candidate.photo_id).collect()
}

fn findings<'s>(
    probe: Option<&Probe>,
    candidates: &Candidates,
    sketches: &'s [Option<Sketch>],
) -> Vec<Finding<'s>> {
    let mut findings: Vec<Finding<'_>> =
        sketches.iter().map(|sketch| Finding { sketch: sketch.as_ref(), evidence: None }).collect();
    let Some(probe) = probe else { return findings };
    let sketched = candidates.iter().zip(sketches);
    let near: Vec<Candidate<'_>> = sketched
        .filter_map(|(c, sketch)| sketch.as_ref().map(|sketch| Candidate { sketch, cosine: c.score }))
        .collect();
    let places = findings.iter_mut().filter(|finding| finding.sketch.is_some());
    for (finding, evidence) in places.zip(measure(probe, &near)) {
        finding.evidence = evidence;
    }
    findings
}
