//! The nearest pictures, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::photo_id::PhotoId;

/// A stored picture and how alike it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The stored photo.
    pub photo_id: PhotoId,
    /// Exact cosine, -1 to 1; 1 means that the vectors are the same bit for bit.
    pub score: f32,
}

/// Better first: higher score, then older picture.
fn better_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.photo_id.cmp(&b.photo_id))
}

/// Candidates by descending score, equal scores by ascending picture; no picture twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates(Vec<Candidate>);

impl Candidates {
    /// The best `k` of `found`, where a picture found twice counts once, with its better score.
    #[must_use]
    pub fn best_of(mut found: Vec<Candidate>, k: usize) -> Self {
        found.sort_unstable_by(|a, b| a.photo_id.cmp(&b.photo_id).then(better_first(a, b)));
        found.dedup_by_key(|candidate| candidate.photo_id);
        found.sort_unstable_by(better_first);
        found.truncate(k);
        Self(found)
    }

    /// The best first.
    #[must_use]
    pub fn as_slice(&self) -> &[Candidate] {
        &self.0
    }

    /// The first; `None` when there is none.
    #[must_use]
    pub fn best(&self) -> Option<&Candidate> {
        self.0.first()
    }

    /// The best first.
    pub fn iter(&self) -> std::slice::Iter<'_, Candidate> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Candidates {
    type Item = &'a Candidate;
    type IntoIter = std::slice::Iter<'a, Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Candidates {
    type Item = Candidate;
    type IntoIter = std::vec::IntoIter<Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Slots of which an estimate does not rule out that they are among the best, of a stream without repetitions.
pub(super) struct Contenders {
    places: usize,
    /// The best `places` of the scores that are certain to be reached, the least on top.
    certain: BinaryHeap<Worse>,
    /// What the last of the best reaches for certain: a slot that cannot is out.
    floor: f32,
    /// Slots with the most that they may score.
    slots: Vec<(u32, f32)>,
}

impl Contenders {
    /// For the best `places >= 1`.
    pub(super) fn new(places: usize) -> Self {
        Self { places, certain: BinaryHeap::new(), floor: f32::NEG_INFINITY, slots: Vec::new() }
    }

    /// Whether a slot that scores at most `estimate + error_bound` is still in question.
    #[inline]
    pub(super) fn may_take(&self, estimate: f32, error_bound: f32) -> bool {
        estimate + error_bound >= self.floor
    }

    /// Takes note of a slot that scores between `estimate - error_bound` and `estimate + error_bound`.
    #[inline]
    pub(super) fn offer(&mut self, slot: u32, estimate: f32, error_bound: f32) {
        if self.may_take(estimate, error_bound) {
            self.slots.push((slot, estimate + error_bound));
            self.reaches(estimate - error_bound);
        }
    }

    fn reaches(&mut self, score: f32) {
        if self.certain.len() < self.places {
            self.certain.push(Worse(score));
        } else if let Some(mut worst) = self.certain.peek_mut()
            && score > worst.0
        {
            *worst = Worse(score);
        }
        if self.certain.len() == self.places {
            self.floor = self.certain.peek().map_or(f32::NEG_INFINITY, |worst| worst.0);
        }
    }

    /// The contenders of two streams.
    pub(super) fn and(mut self, other: Self) -> Self {
        other.certain.into_iter().for_each(|Worse(score)| self.reaches(score));
        self.slots.extend(other.slots);
        self
    }

    /// Has `score` score, the most promising first, until no other slot can be among the best `places`: slots with
    /// their scores, the best among them.
    pub(super) fn scored(self, mut score: impl FnMut(u32) -> f32) -> Vec<(u32, f32)> {
        let mut slots = self.slots;
        slots.retain(|(_, most)| *most >= self.floor);
        slots.sort_unstable_by(|(_, a), (_, b)| b.total_cmp(a));
        let (mut best, mut scored) = (Self::new(self.places), Vec::with_capacity(slots.len()));
        for (slot, most) in slots {
            if most < best.floor {
                break;
            }
            let score = score(slot);
            best.reaches(score);
            scored.push((slot, score));
        }
        scored
    }
}

/// A score, ordered so that the lower is the greater.
struct Worse(f32);

impl Ord for Worse {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Worse {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Worse {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Worse {}

#[cfg(test)]
mod tests {
    use super::Contenders;

    #[test]
    fn only_those_are_scored_that_can_still_be_among_the_best() {
        let scores = [0.50, 0.90, 0.70, 0.80, 0.10, 0.85];
        let mut contenders = Contenders::new(2);
        for (slot, score) in (0..).zip(scores) {
            contenders.offer(slot, score + 0.01, 0.06);
        }
        let mut asked = Vec::new();
        let scored = contenders.scored(|slot| {
            asked.push(slot);
            scores[slot as usize]
        });
        assert_eq!(scored, [(1, 0.90), (5, 0.85), (3, 0.80)]);
        assert_eq!(asked, [1, 5, 3], "0.70 is at most 0.77");
    }
}
