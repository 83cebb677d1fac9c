//! Is one of the nearest stored pictures this one? Puts index, catalogue, verifier and policy together.

use super::{Engine, EngineError, SecondLook, Stage};
use crate::cancel::Interrupt;
use crate::index::{self, Candidates};
use crate::photo_id::PhotoId;
use crate::store::Said;
use crate::vector::Embedding;
use crate::verdict::{Finding, Match, Policy, Rule, Verdict};
use crate::verify::{Doubt, Measurements, Probe, REVIEW_CONFIDENCE, Sketch, SketchedCandidate};

/// How many stored pictures are looked at before the verdict.
pub(super) const CANDIDATES: usize = 20;

/// How many stored pictures near one part of a picture are looked at, and near all parts together.
pub(super) const CANDIDATES_PER_PART: usize = 4;
const CANDIDATES_BY_PARTS: usize = 20;

/// A picture to be judged: what is made of it when it is asked for.
pub(super) trait Look {
    fn embedding(&self) -> Result<&Embedding, EngineError>;
    /// Whether it may hold other pictures, as collages and scenes do.
    fn may_be_composite(&self) -> Result<bool, EngineError>;
    /// Embeddings of parts of it; none where the embedder knows whole pictures only.
    fn parts(&self) -> Result<&[Embedding], EngineError>;
    fn probe(&self) -> Result<&Probe, EngineError>;
    /// What was found of stored pictures that it was compared with before.
    fn with_measurements<T>(&self, work: impl FnOnce(&mut Measurements) -> T) -> T;
    /// Runs `work` as (a part of) a stage.
    fn measure<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T;
}

/// The stored pictures that a picture is judged against.
pub(super) trait Corpus {
    /// The policy with so many stored pictures, and the nearest [`CANDIDATES`] of them.
    fn whole(&self, embedding: &Embedding) -> Result<(Policy, Candidates), EngineError>;
    /// The nearest [`CANDIDATES_PER_PART`] of each part. What the graph overlooks is not looked for: this is a second look
    /// already.
    fn parts(&self, parts: &[Embedding]) -> Result<Vec<Candidates>, EngineError>;
    /// Sketches in the order of `photo_ids`, as the verifier writes them.
    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, EngineError>;
    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, EngineError>;
    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn std::fmt::Display);
    /// The policy, and the stored pictures whose hashes are near, by that nearness: they are compared before anything is
    /// embedded. `None` where hashes are not looked at.
    fn proposed(&self, look: &impl Look) -> Result<Option<(Policy, Candidates)>, EngineError> {
        let _ = look;
        Ok(None)
    }
}

/// A verdict and all that it rests on.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) policy: Policy,
    pub(super) verdict: Verdict,
    pub(super) near: Near,
}

/// The stored pictures near one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Near {
    /// By their hashes, the score being the share of equal bits.
    pub(super) proposed: Candidates,
    /// By their embeddings; `None` where one of the proposed was a hit.
    pub(super) whole: Option<Candidates>,
    /// Near each part of it; `None` where parts were not looked at.
    pub(super) parts: Option<Vec<Candidates>>,
}

impl Judged {
    /// Whether the picture was recognised without its embedding: then the scores of its verdict are none of embeddings.
    pub(super) fn is_by_hash(&self) -> bool {
        self.near.whole.is_none()
    }
}

impl Near {
    /// The pictures nearest to any of the parts, without those that are nearer to the whole.
    fn by_parts(&self) -> Candidates {
        let mut near: Vec<index::Candidate> = self.parts.iter().flatten().flatten().copied().collect();
        let nearer_as_a_whole = |near: &index::Candidate| {
            self.whole
                .iter()
                .flat_map(Candidates::iter)
                .any(|known| known.photo_id == near.photo_id && known.score >= near.score)
        };
        near.retain(|candidate| !nearer_as_a_whole(candidate));
        Candidates::best_of(near, CANDIDATES_BY_PARTS)
    }
}

/// Of a picture with the pixels of a stored one: two blanks have them by chance.
pub(super) fn of_same_pixels(photo_id: PhotoId, is_blank: bool) -> Verdict {
    let same = Match::equal(photo_id, Rule::SamePixels);
    if is_blank {
        let doubt = Some(Doubt::NothingToCompare);
        Verdict::Review(Match { confidence: Some(REVIEW_CONFIDENCE), doubt, ..same })
    } else {
        Verdict::Hit(same)
    }
}

/// Judges a picture by its embedding, and by the sketches of the stored pictures near it; when that gives no hit, by what
/// its parts look like: a collage or a scene is none of the pictures in it as a whole.
pub(super) fn judge(
    look: &impl Look,
    corpus: &impl Corpus,
    second_look: SecondLook,
    interrupt: &Interrupt,
) -> Result<Judged, EngineError> {
    interrupt.check()?;
    let mut near = Near::default();
    if let Some((policy, proposed)) = look.measure(Stage::Index, || corpus.proposed(look))? {
        near.proposed = proposed;
        if let Some(verdict) = judge_proposed(look, corpus, &policy, &near.proposed)? {
            return Ok(Judged { policy, verdict, near });
        }
    }
    let embedding = look.embedding()?;
    interrupt.check()?;
    let (policy, whole) = look.measure(Stage::Index, || corpus.whole(embedding))?;
    let whole = near.whole.insert(whole);
    let (findings, said) = compare(look, corpus, whole)?;
    let verdict = look.measure(Stage::Verdict, || policy.judge(&findings, &|a, b| said.of(a, b)));
    // Where a person's word speaks against the best of them, parts of the picture would only bring it up again.
    let told_apart = matches!(verdict, Verdict::Review(m) if m.doubt == Some(Doubt::ToldApart));
    if told_apart || matches!(verdict, Verdict::Hit(_)) || whole.is_empty() {
        return Ok(Judged { policy, verdict, near });
    }
    if second_look == SecondLook::WhenLikely && !look.may_be_composite()? {
        return Ok(Judged { policy, verdict, near });
    }
    interrupt.check()?;
    let parts = look.parts()?;
    near.parts = Some(look.measure(Stage::Index, || corpus.parts(parts))?);
    let by_parts = near.by_parts();
    if by_parts.is_empty() {
        return Ok(Judged { policy, verdict, near });
    }
    let (findings, said) = compare(look, corpus, &by_parts)?;
    let judge = || policy.judge_parts(verdict, &findings, &|a, b| said.of(a, b));
    let verdict = look.measure(Stage::Verdict, judge);
    Ok(Judged { policy, verdict, near })
}

/// A hit among pictures that only their hashes propose, by the threshold and the rules for all others; `None` for anything else,
/// and for one that does not lie on the whole picture: the embedding has to find out then.
fn judge_proposed(
    look: &impl Look,
    corpus: &impl Corpus,
    policy: &Policy,
    proposed: &Candidates,
) -> Result<Option<Verdict>, EngineError> {
    if proposed.is_empty() {
        return Ok(None);
    }
    let (mut findings, said) = compare(look, corpus, proposed)?;
    // What is judged by nearness alone needs the nearness of embeddings.
    findings.retain(|finding| finding.sketch.is_some());
    let verdict = look.measure(Stage::Verdict, || policy.judge(&findings, &|a, b| said.of(a, b)));
    let is_sure = |found: &Match| found.evidence.is_some_and(|evidence| evidence.covers_whole());
    Ok(matches!(&verdict, Verdict::Hit(found) if is_sure(found)).then_some(verdict))
}

/// Lays the candidates over the picture in question; with what people have said of them.
fn compare(
    look: &impl Look,
    corpus: &impl Corpus,
    near: &Candidates,
) -> Result<(Vec<Finding>, Said), EngineError> {
    let (mut findings, said) = look.measure(Stage::Catalog, || {
        Ok::<_, EngineError>((findings(corpus, near.as_slice())?, corpus.said_of(&ids(near.as_slice()))?))
    })?;
    if findings.iter().any(|finding| finding.sketch.is_some()) {
        let probe = look.probe()?;
        let compare = || look.with_measurements(|known| lay_over(probe, &mut findings, known));
        look.measure(Stage::Verdict, compare);
    }
    Ok((findings, said))
}

/// The candidates with their sketches. Where one cannot be read the picture is judged without it.
pub(super) fn findings(
    corpus: &impl Corpus,
    candidates: &[index::Candidate],
) -> Result<Vec<Finding>, EngineError> {
    let stored = corpus.sketches(&ids(candidates))?;
    let finding = |(candidate, bytes): (&index::Candidate, Option<Vec<u8>>)| {
        let unreadable = |error| corpus.note_unreadable_sketch(candidate.photo_id, &error);
        let sketch = bytes.and_then(|bytes| Sketch::from_bytes(&bytes).map_err(unreadable).ok());
        Finding { sketch, ..Finding::from(*candidate) }
    };
    Ok(candidates.iter().zip(stored).map(finding).collect())
}

fn ids(candidates: &[index::Candidate]) -> Vec<PhotoId> {
    candidates.iter().map(|candidate| candidate.photo_id).collect()
}

/// Measures the candidates that have a sketch against the picture in question, of which `known` was found before.
pub(super) fn lay_over(probe: &Probe, findings: &mut [Finding], known: &mut Measurements) {
    let (mut places, mut near, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (place, Finding { candidate, sketch, .. }) in findings.iter().enumerate() {
        if let Some(sketch) = sketch {
            places.push(place);
            near.push(SketchedCandidate { sketch, cosine: candidate.score });
            ids.push(candidate.photo_id.0);
        }
    }
    for (place, evidence) in places.into_iter().zip(known.measure(probe, &near, &ids)) {
        findings[place].evidence = evidence;
    }
}

/// What the home folder stores at this moment.
impl Corpus for Engine {
    fn whole(&self, embedding: &Embedding) -> Result<(Policy, Candidates), EngineError> {
        self.with_index(|index| {
            let stored = index.len() as u64;
            let policy = self.bound.policy(self.store.as_ref(), stored, self.progress.as_ref())?;
            Ok((policy, index.search(embedding, CANDIDATES, policy.hit_threshold())?))
        })
    }

    fn parts(&self, parts: &[Embedding]) -> Result<Vec<Candidates>, EngineError> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        self.with_index(|index| {
            let near = |part| index.search(part, CANDIDATES_PER_PART, -1.0);
            parts.iter().map(near).collect()
        })
    }

    fn sketches(&self, photo_ids: &[PhotoId]) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let sketches = self.store.sketches(photo_ids)?;
        self.recent.keep_sketches(photo_ids, &sketches);
        Ok(sketches)
    }

    fn said_of(&self, photo_ids: &[PhotoId]) -> Result<Said, EngineError> {
        Ok(self.store.said_of(photo_ids)?)
    }

    fn note_unreadable_sketch(&self, photo_id: PhotoId, problem: &dyn std::fmt::Display) {
        self.store.note_unreadable_sketch(photo_id, problem);
    }
}
